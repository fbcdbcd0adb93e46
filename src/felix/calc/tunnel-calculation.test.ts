import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnyResource } from '../../model/kinds.ts';
import { validateResource } from '../../model/validate.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { DesiredTunnel, TunnelKind } from '../desired/tunnels.ts';
import { Calculation } from './calculation.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from './calculation-settings.ts';
import { vxlanMacOf } from './hosts.ts';

function node(name: string, spec: object): Extract<AnyResource, { kind: 'Node' }> {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind: 'Node', metadata: { name }, spec });
  assert.ok(validated.ok && validated.resource.kind === 'Node', JSON.stringify(validated));
  return validated.resource;
}

const A = node('host-a', { bgp: { ipv4Address: '192.168.100.100/24', ipv6Address: 'fd00:100::100/64' } });
const B = node('host-b', {
  bgp: { ipv4Address: '192.168.200.101/24' },
  ipv4VXLANTunnelAddr: '172.17.9.0',
  vxlanTunnelMACAddr: '66:00:00:00:00:0B',
});
const C = node('host-c', {
  bgp: { ipv4Address: '192.168.200.102/24', ipv6Address: 'fd00:200::102/64' },
  ipv4VXLANTunnelAddr: '172.17.10.0',
  ipv6VXLANTunnelAddr: 'fd00:17::1',
});
const BARE = node('host-d', { bgp: { ipv4Address: '192.168.200.103/24' }, addresses: [{ address: '10.0.0.3' }] });

function tunnelText(tunnel: DesiredTunnel | undefined): string {
  if (tunnel === undefined) return 'none';
  const { local, address, mtu, vxlan, remotes, hosts } = tunnel;
  return [
    `${formatIp(address)} local ${formatIp(local)} mtu ${mtu}`,
    ...(vxlan === undefined ? [] : [`vni ${vxlan.vni} port ${vxlan.port} ${vxlan.mac}`]),
    ...remotes.map((remote) => `${remote.node} ${formatIp(remote.host)} ${formatIp(remote.address)} ${remote.mac}`),
    ...hosts.map((host) => `from ${formatIp(host)}`),
  ].join('; ');
}

const ROWS: { name: string; kind: TunnelKind; address: string; expected: string }[] = [
  {
    name: 'IPIP takes from all hosts, by whatever address of theirs',
    kind: 'ipip',
    address: '172.17.8.1',
    expected:
      '172.17.8.1 local 192.168.100.100 mtu 0; from 10.0.0.3; from 192.168.200.101; from 192.168.200.102; from 192.168.200.103',
  },
  {
    name: 'VXLAN knows those that bear its address; a MAC address is the Node’s, or follows from the name',
    kind: 'vxlan',
    address: '172.17.8.0',
    expected: `172.17.8.0 local 192.168.100.100 mtu 0; vni 4096 port 4789 ${vxlanMacOf('host-a', 4)}; host-b 192.168.200.101 172.17.9.0 66:00:00:00:00:0b; host-c 192.168.200.102 172.17.10.0 ${vxlanMacOf('host-c', 4)}`,
  },
  {
    name: 'VXLAN over IPv6',
    kind: 'vxlan-v6',
    address: 'fd00:17::8',
    expected: `fd00:17::8 local fd00:100::100 mtu 0; vni 4096 port 4789 ${vxlanMacOf('host-a', 6)}; host-c fd00:200::102 fd00:17::1 ${vxlanMacOf('host-c', 6)}`,
  },
];

function told(...nodes: (typeof A)[]): Calculation {
  const calculation = new Calculation('host-a');
  for (const each of nodes) calculation.updateNode(each.metadata.name, each);
  return calculation;
}

describe('the tunnels of a host', () => {
  for (const { name, kind, address, expected } of ROWS) {
    it(name, () => {
      for (const nodes of [
        [A, B, C, BARE],
        [BARE, C, B, A],
      ]) {
        const calculation = told(...nodes);
        assert.deepEqual([...calculation.takeChanges().tunnels], [], 'nothing is said before it is known');
        calculation.setTunnel(kind, ip(address));
        assert.equal(tunnelText(calculation.takeChanges().tunnels.get(kind)), expected);
      }
    });
  }

  it('follow hosts and settings, and say nothing where nothing differs', () => {
    const calculation = told(A, B, C);
    calculation.setTunnel('vxlan', ip('172.17.8.0'));
    const taken = () => [...calculation.takeChanges().tunnels].map(([kind, tunnel]) => `${kind} ${tunnelText(tunnel)}`);
    assert.equal(taken().length, 1);
    calculation.updateNode('host-d', BARE);
    calculation.updateNode('host-b', { ...B, metadata: { ...B.metadata, labels: { rack: 'b' } } });
    assert.deepEqual(taken(), []);
    calculation.updateNode('host-b', undefined);
    assert.match(taken().join(), /4789 66:[^;]*; host-c [^;]*$/);
    const tunnels = {
      ...CALCULATION_SETTINGS_DEFAULTS.tunnels,
      vni: 7,
      port: 8472,
      mtus: { ipip: 1, vxlan: 2, 'vxlan-v6': 3 },
    };
    calculation.setSettings({ ...CALCULATION_SETTINGS_DEFAULTS, tunnels });
    assert.match(taken().join(), /mtu 2; vni 7 port 8472/);
    calculation.setTunnel('vxlan', undefined);
    assert.deepEqual(taken(), ['vxlan none']);
    calculation.setTunnel('vxlan', undefined);
    assert.deepEqual(taken(), []);
  });

  it('have a route to each gateway in the tunnel over IPv6, and to none over IPv4', () => {
    const calculation = told(A, B, C);
    const routes = () =>
      [...calculation.takeChanges().routes].flatMap(([key, route]) => {
        if (route === undefined) return [`${key} none`];
        return route.target.kind === 'device' && key !== '169.254.1.1/32' ? [`${key} ${route.target.deviceName}`] : [];
      });
    calculation.setTunnel('vxlan', ip('172.17.8.0'));
    assert.deepEqual(routes(), []);
    calculation.setTunnel('vxlan-v6', ip('fd00:17::8'));
    assert.deepEqual(routes(), ['fd00:17::1/128 vxlan-v6.calico']);
    calculation.updateNode('host-c', undefined);
    assert.deepEqual(routes(), ['fd00:17::1/128 none']);
  });

  it('take IPIP from hosts that somebody lists', () => {
    const calculation = told(A);
    calculation.setTunnel('ipip', ip('172.17.8.1'));
    const externalNodes = ['198.51.100.7', '198.51.100.8/32', '203.0.113.0/24', '2001:db8::1'];
    calculation.setSettings({ ...CALCULATION_SETTINGS_DEFAULTS, externalNodes });
    const tunnel = calculation.takeChanges().tunnels.get('ipip');
    assert.deepEqual(tunnel?.hosts.map(formatIp), ['198.51.100.7', '198.51.100.8']);
  });

  it('are none where the host has no address of the family', () => {
    const calculation = told(node('host-a', {}));
    calculation.setTunnel('vxlan', ip('172.17.8.0'));
    assert.deepEqual([...calculation.takeChanges().tunnels], [['vxlan', undefined]]);
  });

  it('have MAC addresses that Calico’s hosts compute as well', () => {
    // "f" and the first five bytes of what `printf host-a | sha1sum` prints; for IPv6 of "host-a-v6".
    assert.equal(vxlanMacOf('host-a', 4), '66:b7:a0:7e:28:cc');
    assert.equal(vxlanMacOf('host-a', 6), '66:4e:42:d9:73:4b');
  });

  it('announce their address where it lies in the block of another host', () => {
    const calculation = told({ ...A, spec: { ...A.spec, ipv4VXLANTunnelAddr: '172.17.9.4' } });
    const validated = validateResource({
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'pool' },
      spec: { cidr: '172.17.0.0/16' },
    });
    assert.ok(validated.ok && validated.resource.kind === 'IPPool');
    calculation.updatePool('pool', validated.resource);
    const announced = calculation.takeChanges().announcements?.map(({ prefix }) => formatIp(prefix.address));
    assert.deepEqual(announced, ['172.17.9.4']);
  });
});
