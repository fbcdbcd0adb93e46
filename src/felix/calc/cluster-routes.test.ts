/**
 * Which way leads to another host's containers: every mode, near and far, from BGP and from the store, ready and not.
 *
 * A row is a network of two or three hosts and the routes that must follow on host-a, whose subnet is 192.168.100.0/24. host-n is
 * in it, host-f is behind a router. Each is told in every order and with looks in between (states.suite.ts).
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { AnyResource } from '../../model/kinds.ts';
import { validateResource } from '../../model/validate.ts';
import { cidr } from '../../net/cidr.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { DesiredRoute } from '../desired/desired.ts';
import { Calculation } from './calculation.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from './calculation-settings.ts';
import type { ProgramClusterRoutes } from './cluster-routes.ts';
import { toldInVain, WAYS } from './states.suite.ts';

type Fact =
  | { readonly resource: AnyResource }
  | { readonly learned: string; readonly via: readonly string[] }
  | { readonly programs: ProgramClusterRoutes };

function resource(kind: string, name: string, spec: object): Fact {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return { resource: validated.resource };
}

type Tunnels = 'ipip' | 'vxlan' | 'vxlan6';

const ADDRESSES = {
  'host-a': ['192.168.100.100/24', 'fd00:100::100/64'],
  'host-n': ['192.168.100.101/24', 'fd00:100::101/64'],
  'host-f': ['192.168.200.101/24', 'fd00:200::101/64'],
} as const;

/** A host whose tunnels' addresses end as its own do: 172.17.n.1 IPIP, 172.17.n.2 VXLAN. */
function host(name: keyof typeof ADDRESSES, ...tunnels: Tunnels[]): Fact {
  const [ipv4Address, ipv6Address] = ADDRESSES[name];
  const number = { 'host-a': 8, 'host-n': 9, 'host-f': 10 }[name];
  return resource('Node', name, {
    bgp: { ipv4Address, ipv6Address, ...(tunnels.includes('ipip') && { ipv4IPIPTunnelAddr: `172.17.${number}.1` }) },
    ...(tunnels.includes('vxlan') && { ipv4VXLANTunnelAddr: `172.17.${number}.2` }),
    ...(tunnels.includes('vxlan6') && { ipv6VXLANTunnelAddr: `fd00:17:${number}::2` }),
  });
}

const pool = (more: object = {}): Fact => resource('IPPool', 'containers', { cidr: '172.17.0.0/16', ...more });
const pool6 = (more: object = {}): Fact => resource('IPPool', 'six', { cidr: 'fd00:17::/32', ...more });

function block(prefix: string, node: string | undefined, lent: Readonly<Record<number, string>> = {}): Fact {
  const size = 2 ** ((prefix.includes(':') ? 128 : 32) - Number(prefix.split('/')[1]));
  const ordinals = [...new Array(size).keys()];
  const borrowed = Object.keys(lent).map(Number);
  return resource('IPAMBlock', prefix.replaceAll(/[.:/]/g, '-'), {
    cidr: prefix,
    affinity: node === undefined ? null : `host:${node}`,
    allocations: ordinals.map((ordinal) => (borrowed.includes(ordinal) ? borrowed.indexOf(ordinal) : null)),
    unallocated: ordinals.filter((ordinal) => !borrowed.includes(ordinal)),
    attributes: borrowed.map((ordinal) => ({ handle_id: `h${ordinal}`, secondary: { node: lent[ordinal] ?? '' } })),
  });
}

const learned = (prefix: string, ...via: string[]): Fact => ({ learned: prefix, via });
const programs = (value: ProgramClusterRoutes): Fact => ({ programs: value });

function tell(calculation: Calculation, fact: Fact, present: boolean): void {
  if ('programs' in fact) {
    const programClusterRoutes = present ? fact.programs : 'Disabled';
    calculation.setSettings({ ...CALCULATION_SETTINGS_DEFAULTS, programClusterRoutes });
  } else if ('learned' in fact) {
    const gateways = present
      ? fact.via.map((text) => {
          const [address = '', deviceName] = text.split('%');
          return { address: ip(address), deviceName };
        })
      : [];
    calculation.updateLearned(cidr(fact.learned), gateways, gateways[0]?.address);
  } else {
    const { resource } = fact;
    const { name } = resource.metadata;
    if (resource.kind === 'Node') calculation.updateNode(name, present ? resource : undefined);
    if (resource.kind === 'IPPool') calculation.updatePool(name, present ? resource : undefined);
    if (resource.kind === 'IPAMBlock') calculation.updateBlock(name, present ? resource : undefined);
  }
}

function text([key, { target }]: [string, DesiredRoute]): string {
  if (target.kind !== 'gateways') return `${key} ${target.kind}`;
  const hop = ({ address, deviceName }: (typeof target.gateways)[number]) =>
    ` via ${formatIp(address)}${deviceName === undefined ? '' : ` dev ${deviceName}`}`;
  return `${key}${target.gateways.map(hop).join('')} ${target.protocol}`;
}

class Collected {
  readonly routes = new Map<string, DesiredRoute>();

  take(calculation: Calculation): void {
    for (const [key, route] of calculation.takeChanges().routes) {
      if (route === undefined) this.routes.delete(key);
      else this.routes.set(key, route);
    }
  }

  text(): string[] {
    const lines = [...this.routes].map(text).filter((line) => line !== '169.254.1.1/32 device');
    return lines.sort();
  }
}

const [A, N, F] = [host('host-a', 'ipip', 'vxlan'), host('host-n', 'ipip', 'vxlan'), host('host-f', 'ipip', 'vxlan')];
const IPIP = { ipipMode: 'Always' };
const IPIP_CROSS = { ipipMode: 'CrossSubnet' };
const VXLAN = { vxlanMode: 'Always' };
const VXLAN_CROSS = { vxlanMode: 'CrossSubnet' };
const TO_N = learned('172.17.9.0/24', '192.168.100.101');
const TO_F = learned('172.17.10.0/24', '192.168.200.101');
const BLOCKS = [block('172.17.9.0/24', 'host-n'), block('172.17.10.0/24', 'host-f')];
const NEAR = '172.17.9.0/24 via 192.168.100.101';
const FAR = '172.17.10.0/24 via 192.168.200.101';
const NEAR_VXLAN = '172.17.9.0/24 via 172.17.9.2 dev vxlan.calico';
const FAR_VXLAN = '172.17.10.0/24 via 172.17.10.2 dev vxlan.calico';

const FROM_BGP: [string, Fact[], string[]][] = [
  ['outside of all pools', [TO_N, TO_F], [`${FAR} bird`, `${NEAR} bird`]],
  ['Never', [pool(), TO_N, TO_F], [`${FAR} bird`, `${NEAR} bird`]],
  ['ipipMode Always', [pool(IPIP), TO_N, TO_F], [`${FAR} dev tunl0 bird`, `${NEAR} dev tunl0 bird`]],
  ['ipipMode CrossSubnet', [pool(IPIP_CROSS), TO_N, TO_F], [`${FAR} dev tunl0 bird`, `${NEAR} bird`]],
  ['vxlanMode Always', [pool(VXLAN), TO_N, TO_F], [`${FAR_VXLAN} bird`, `${NEAR_VXLAN} bird`]],
  ['vxlanMode CrossSubnet', [pool(VXLAN_CROSS), TO_N, TO_F], [`${FAR_VXLAN} bird`, `${NEAR} bird`]],
  [
    'of several gateways each is judged by itself',
    [pool(IPIP_CROSS), learned('172.17.9.0/24', '192.168.100.101', '192.168.200.101', '192.168.200.1')],
    ['172.17.9.0/24 via 192.168.100.101 via 192.168.200.101 dev tunl0 via 192.168.200.1 bird'],
  ],
  [
    'a gateway that is no host',
    [pool(IPIP), learned('172.17.9.0/24', '192.168.100.1')],
    ['172.17.9.0/24 via 192.168.100.1 bird'],
  ],
  [
    'a gateway without an address, on a device',
    [pool(IPIP), learned('172.17.9.0/24', 'fe80::1%eth1')],
    ['172.17.9.0/24 via fe80::1 dev eth1 bird'],
  ],
  [
    'an address out of the pool, on its own',
    [pool(IPIP), learned('172.17.9.7/32', '192.168.200.101'), learned('10.0.0.0/8', '192.168.200.101')],
    ['10.0.0.0/8 via 192.168.200.101 bird', '172.17.9.7/32 via 192.168.200.101 dev tunl0 bird'],
  ],
];

const FROM_STORE: [string, Fact[], string[]][] = [
  ['Never, and nobody programs', [pool(), ...BLOCKS], []],
  ['Never, programmed', [pool(), programs('Enabled'), ...BLOCKS], [`${FAR} felix`, `${NEAR} felix`]],
  ['Never, EnabledNoEncapOnly', [pool(), programs('EnabledNoEncapOnly'), ...BLOCKS], [`${FAR} felix`, `${NEAR} felix`]],
  ['Never, EnabledIPIPOnly', [pool(), programs('EnabledIPIPOnly'), ...BLOCKS], []],
  ['IPIP, and nobody programs', [pool(IPIP), ...BLOCKS], []],
  ['IPIP, EnabledNoEncapOnly', [pool(IPIP), programs('EnabledNoEncapOnly'), ...BLOCKS], []],
  [
    'IPIP, EnabledIPIPOnly',
    [pool(IPIP), programs('EnabledIPIPOnly'), ...BLOCKS],
    [`${FAR} dev tunl0 felix`, `${NEAR} dev tunl0 felix`],
  ],
  [
    'IPIP across subnets, programmed',
    [pool(IPIP_CROSS), programs('Enabled'), ...BLOCKS],
    [`${FAR} dev tunl0 felix`, `${NEAR} felix`],
  ],
  ['VXLAN, whoever programs', [pool(VXLAN), ...BLOCKS], [`${FAR_VXLAN} felix`, `${NEAR_VXLAN} felix`]],
  ['VXLAN across subnets', [pool(VXLAN_CROSS), ...BLOCKS], [`${FAR_VXLAN} felix`, `${NEAR} felix`]],
  ['outside of all pools', [programs('Enabled'), ...BLOCKS], []],
  [
    'what BGP says of it, too',
    [pool(VXLAN), ...BLOCKS, learned('172.17.9.0/24', '192.168.100.7')],
    [`${FAR_VXLAN} felix`, `${NEAR_VXLAN} felix`],
  ],
  [
    'our own block, and what it has lent',
    [pool(VXLAN), block('172.17.8.0/24', 'host-a', { 5: 'host-f', 6: 'host-a' })],
    ['172.17.8.0/24 blackhole', '172.17.8.5/32 via 172.17.10.2 dev vxlan.calico felix'],
  ],
  [
    'an address that a third host has borrowed, and one that we have',
    [pool(VXLAN), block('172.17.9.0/24', 'host-n', { 5: 'host-f', 6: 'host-a', 7: 'host-n' })],
    ['172.17.9.0/24 via 172.17.9.2 dev vxlan.calico felix', '172.17.9.5/32 via 172.17.10.2 dev vxlan.calico felix'],
  ],
  [
    'addresses in a block that nobody owns any more',
    [pool(VXLAN), block('172.17.9.0/24', undefined, { 5: 'host-f' })],
    ['172.17.9.5/32 via 172.17.10.2 dev vxlan.calico felix'],
  ],
  [
    'a block of one address that is lent is where its borrower is',
    [pool({ ...VXLAN, blockSize: 32 }), block('172.17.9.1/32', 'host-n', { 0: 'host-f' })],
    ['172.17.9.1/32 via 172.17.10.2 dev vxlan.calico felix'],
  ],
  ['a block of a host that is not there', [pool(VXLAN), block('172.17.11.0/24', 'host-x')], []],
];

const BARE_A = host('host-a');
const BARE_N = host('host-n');
const BARE_F = host('host-f');

/** The hosts are in the facts. */
const READINESS: [string, Fact[], string[]][] = [
  [
    'IPIP to hosts without it: as they are',
    [A, BARE_N, BARE_F, pool(IPIP), TO_N, TO_F],
    [`${FAR} bird`, `${NEAR} bird`],
  ],
  ['IPIP, and we have none', [BARE_A, N, F, pool(IPIP), TO_N, TO_F], [`${FAR} bird`, `${NEAR} bird`]],
  [
    'from IPIP to VXLAN, which no other host has yet',
    [A, host('host-n', 'ipip'), host('host-f', 'ipip'), pool(VXLAN), TO_N, TO_F, ...BLOCKS],
    [`${FAR} dev tunl0 felix`, `${NEAR} dev tunl0 felix`],
  ],
  [
    'from IPIP to VXLAN, by hosts that we are not told of by the store',
    [A, host('host-n', 'ipip'), host('host-f', 'ipip'), pool(VXLAN), TO_N, TO_F],
    [`${FAR} dev tunl0 bird`, `${NEAR} dev tunl0 bird`],
  ],
  [
    'from VXLAN to IPIP, which only one of them has yet',
    [A, host('host-n', 'vxlan', 'ipip'), host('host-f', 'vxlan'), pool(IPIP), TO_N, TO_F],
    [`${FAR_VXLAN} bird`, `${NEAR} dev tunl0 bird`],
  ],
  [
    'VXLAN to a far host without it: what BGP says, if anything',
    [A, BARE_N, BARE_F, pool(VXLAN), ...BLOCKS],
    [`${NEAR} felix`],
  ],
  [
    'VXLAN to a far host without it, with BGP',
    [A, BARE_N, BARE_F, pool(VXLAN), ...BLOCKS, TO_F],
    [`${FAR} bird`, `${NEAR} felix`],
  ],
  ['across subnets of our own only', [host('host-a'), N, F, pool(VXLAN_CROSS), ...BLOCKS], [`${NEAR} felix`]],
  ['a network whose hosts are not known', [pool(IPIP_CROSS), TO_N], [`${NEAR} bird`]],
];

const SIX: [string, Fact[], string[]][] = [
  [
    'VXLAN over IPv6',
    [pool6(VXLAN), block('fd00:17:9::/122', 'host-n'), block('fd00:17:a::/122', 'host-f')],
    [
      'fd00:17:9::/122 via fd00:17:9::2 dev vxlan-v6.calico felix',
      'fd00:17:a::/122 via fd00:17:10::2 dev vxlan-v6.calico felix',
    ],
  ],
  [
    'across subnets of IPv6',
    [pool6(VXLAN_CROSS), block('fd00:17:9::/122', 'host-n'), block('fd00:17:a::/122', 'host-f')],
    ['fd00:17:9::/122 via fd00:100::101 felix', 'fd00:17:a::/122 via fd00:17:10::2 dev vxlan-v6.calico felix'],
  ],
  [
    'IPv6 beside a pool of IPv4 with IPIP, by BGP',
    [pool(IPIP), pool6(), learned('fd00:17:9::/122', 'fd00:100::101'), TO_N],
    ['172.17.9.0/24 via 192.168.100.101 dev tunl0 bird', 'fd00:17:9::/122 via fd00:100::101 bird'],
  ],
];

const HOSTS6 = [host('host-a', 'ipip', 'vxlan6'), host('host-n', 'ipip', 'vxlan6'), host('host-f', 'vxlan6')];

const GROUPS: [string, Fact[], [string, Fact[], string[]][]][] = [
  ['learnt by BGP', [A, N, F], FROM_BGP],
  ['from the store', [A, N, F], FROM_STORE],
  ['while tunnels come and go', [], READINESS],
  ['of IPv6', HOSTS6, SIX],
];

for (const [group, common, rows] of GROUPS) {
  describe(`routes ${group}`, () => {
    for (const [name, facts, expected] of rows) {
      it(name, () => {
        for (const way of WAYS) {
          const calculation = new Calculation('host-a');
          const collected = new Collected();
          for (const step of way.steps([...common, ...facts])) {
            if (step === 'look') collected.take(calculation);
            else tell(calculation, step.fact, step.present);
          }
          collected.take(calculation);
          assert.deepEqual(collected.text(), expected, way.name);
        }
      });
    }

    it('and nothing is left of what is taken back', () => {
      for (const [name, facts] of rows) {
        const calculation = new Calculation('host-a');
        const collected = new Collected();
        for (const step of toldInVain([...common, ...facts])) {
          if (step === 'look') collected.take(calculation);
          else tell(calculation, step.fact, step.present);
        }
        assert.deepEqual(collected.text(), [], name);
      }
    });
  });
}

describe('a route through a tunnel', () => {
  it('says why', () => {
    const calculation = new Calculation('host-a');
    for (const fact of [A, N, F, pool(IPIP_CROSS), TO_N, TO_F]) tell(calculation, fact, true);
    const { routes } = calculation.takeChanges();
    assert.equal(
      routes.get('172.17.10.0/24')?.provenance.origin,
      'BGP peer 192.168.200.101: IPPool containers asks for ipip across subnets',
    );
    assert.equal(
      routes.get('172.17.9.0/24')?.provenance.origin,
      'BGP peer 192.168.100.101: IPPool containers asks for ipip across subnets only, and 192.168.100.101 is in ours',
    );
  });

  it('follows a host that takes another address', () => {
    const calculation = new Calculation('host-a');
    for (const fact of [A, F, pool(IPIP), TO_F]) tell(calculation, fact, true);
    calculation.takeChanges();
    const moved = { bgp: { ipv4Address: '192.168.200.7/24', ipv4IPIPTunnelAddr: '172.17.10.1' } };
    tell(calculation, resource('Node', 'host-f', moved), true);
    tell(calculation, learned('172.17.11.0/24', '192.168.200.7'), true);
    const lines = [...calculation.takeChanges().routes].flatMap(([key, route]) => (route ? text([key, route]) : []));
    // What is at its old address now is no host of the network.
    assert.deepEqual(lines.sort(), [`${FAR} bird`, '172.17.11.0/24 via 192.168.200.7 dev tunl0 bird'].sort());
  });

  it('is told anew only when something of it differs', () => {
    const calculation = new Calculation('host-a');
    for (const fact of [A, N, F, pool(IPIP), TO_N, TO_F]) tell(calculation, fact, true);
    calculation.takeChanges();
    for (const fact of [A, F, pool(IPIP), TO_N]) tell(calculation, fact, true);
    assert.deepEqual([...calculation.takeChanges().routes.keys()], []);
    tell(calculation, BARE_F, true);
    assert.deepEqual([...calculation.takeChanges().routes.keys()], ['172.17.10.0/24']);
  });
});
