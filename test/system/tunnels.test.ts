/**
 * Tunnels end to end: three hosts in two subnets, a router that knows nothing of containers, a real kernel.
 *
 * First a network in which nobody speaks BGP, by VXLAN over both families; then one with BGP and IPIP, whose mode changes under
 * running pings. What a route, a device or an entry must look like is what operators of Calico know.
 */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { parseIpv4, Sniffer } from './raw-packets.ts';
import { document, HOST_NAMES, type HostName, hostAddress, hostAddress6, TunnelWorld } from './tunnel-world.ts';
import { MUSLIN } from './two-hosts-fixture.ts';

const CONTAINERS = { 'host-a': 'ca', 'host-n': 'cn', 'host-f': 'cf' } as const satisfies Record<HostName, string>;

/** Protocol numbers. */
const [ICMP, IPIP] = [1, 4];

function pool(more: object): object {
  return document('IPPool', 'containers', { cidr: '172.17.0.0/16', blockSize: 24, ...more });
}

function pool6(more: object): object {
  return document('IPPool', 'six', { cidr: 'fd00:17::/112', blockSize: 122, ...more });
}

/** The block that a host has, as its own blackhole says. */
function blockOf(world: TunnelWorld, host: HostName, family: 4 | 6): string {
  const line = world.routes(host, family).find((each) => each.startsWith('blackhole '));
  const [, block] = /^blackhole (\S+) /.exec(line ?? '') ?? [];
  assert.ok(block !== undefined, world.routes(host, family).join('\n'));
  return block;
}

/** How `on` routes the block of `to`, without what says nothing. */
function routeTo(world: TunnelWorld, on: HostName, to: HostName, family: 4 | 6 = 4): string {
  const block = blockOf(world, to, family);
  const line = world.routes(on, family).find((each) => each.startsWith(`${block} `)) ?? '';
  return line
    .slice(block.length + 1)
    .replace(/ metric 1024/, '')
    .replace(/ pref medium/, '');
}

function tunnelAddress(world: TunnelWorld, host: HostName, device: string): string {
  const [, address] =
    / inet6? (\S+)\/(?:32|128) scope global/.exec(world.inside(host, `ip -o addr show ${device}`)) ?? [];
  assert.ok(address !== undefined, world.inside(host, `ip addr show ${device}`));
  return address;
}

/** What a restart must not change; what the kernel does with link-local addresses in its own time is left out. */
function state(world: TunnelWorld, host: HostName): string[] {
  const commands = [
    'ip -d link',
    'ip -4 addr',
    'ip -6 addr show scope global',
    'ip route',
    'ip -6 route | grep -v fe80',
    'ip neigh show nud permanent',
    'bridge fdb | grep dst',
    'nft -s list ruleset',
    'sysctl -a --pattern "conf.(tunl0|vxlan).*(rp_filter|forwarding)"',
  ];
  return commands.map((command) => {
    const lines = world.inside(host, `${command} || true`).split('\n');
    return /neigh|fdb/.test(command) ? lines.sort().join('\n') : lines.join('\n'); // the kernel lists these in no order
  });
}

async function bringUp(world: TunnelWorld, ...pools: object[]): Promise<void> {
  world.apply(...pools);
  for (const host of HOST_NAMES) world.startAgent(host);
  await world.inSync();
  for (const host of HOST_NAMES) world.attach(host, CONTAINERS[host], pools.length > 1);
}

function everybodyReachesEverybody(world: TunnelWorld): void {
  for (const from of Object.values(CONTAINERS)) {
    for (const to of Object.values(CONTAINERS)) {
      for (const address of world.addressesOf(to)) world.inside(from, `ping -c 1 -W 5 ${address}`);
    }
  }
}

describe('VXLAN without any BGP', () => {
  let world: TunnelWorld;
  before(async () => {
    world = new TunnelWorld('vxlan', { bgp: false });
    await bringUp(world, pool({ vxlanMode: 'Always' }), pool6({ vxlanMode: 'Always' }));
  });
  after(() => world?.remove());

  it('routes lead through the devices of both families, and containers reach each other', async () => {
    for (const [on, to] of [
      ['host-a', 'host-n'],
      ['host-a', 'host-f'],
      ['host-f', 'host-a'],
    ] as const) {
      await world.eventually(`${on} routes to ${to}`, () => {
        const four =
          routeTo(world, on, to) === `via ${tunnelAddress(world, to, 'vxlan.calico')} dev vxlan.calico proto 80 onlink`;
        const address = tunnelAddress(world, to, 'vxlan-v6.calico');
        return four && routeTo(world, on, to, 6) === `via ${address} dev vxlan-v6.calico proto 80 onlink`;
      });
    }
    everybodyReachesEverybody(world);
  });

  it('nobody listens for BGP, or speaks it', () => {
    for (const host of HOST_NAMES) assert.equal(world.inside(host, 'ss -Htan sport = :179 or dport = :179'), '');
  });

  it('the device is Calico’s: number, port, MTU, MAC address, nothing learnt', () => {
    const text = world.inside('host-a', 'ip -d link show vxlan.calico');
    assert.match(text, /mtu 1450 .*vxlan id 4096 local 192\.168\.100\.100 dev eth0 .*dstport 4789 nolearning/s);
    const six = world.inside('host-a', 'ip -d link show vxlan-v6.calico');
    assert.match(six, /mtu 1430 .*vxlan id 4096 local fd00:100::100 dev eth0 .*dstport 4789 nolearning/s);
    assert.match(text, /link\/ether 66:/);
    const entries = world.inside('host-a', 'bridge fdb show dev vxlan.calico');
    assert.match(
      entries,
      new RegExp(`^66:\\S+ dst ${hostAddress('host-f').replaceAll('.', '\\.')} self permanent`, 'm'),
    );

    const [tunnel] = world.status('host-a').tunnels;
    assert.deepEqual(
      [tunnel?.['device'], tunnel?.['madeBy'], tunnel?.['receives']],
      ['vxlan.calico', 'kernel vxlan', true],
    );
  });

  it('addresses of tunnels are IPAM’s, and nothing is wrong with them', () => {
    world.muslin('ipam', 'check');
    const address = tunnelAddress(world, 'host-f', 'vxlan.calico');
    assert.match(world.muslin('ipam', 'explain', address), /vxlan-tunnel-addr-host-f/);
    assert.match(
      world.muslin('get', 'node', 'host-f', '-o', 'yaml'),
      new RegExp(`ipv4VXLANTunnelAddr: "?${address}"?`),
    );
  });

  it('the host itself reaches containers elsewhere, with its tunnel’s address', () => {
    const [address] = world.addressesOf('cf');
    world.inside('host-a', `ping -c 1 -W 5 ${address}`);
  });

  const breaks: [string, string][] = [
    ['the route', 'ip route del BLOCK'],
    ['the forwarding entry', 'bridge fdb del MAC dev vxlan.calico dst HOST self'],
    ['the neighbour', 'ip neigh del REMOTE dev vxlan.calico'],
    ['the address', 'ip addr flush dev vxlan.calico scope global'],
    ['the device', 'ip link del vxlan.calico'],
    ['its being up', 'ip link set vxlan.calico down'],
  ];
  for (const [what, command] of breaks) {
    it(`${what} is put right when somebody takes it away`, async () => {
      const REMOTE = tunnelAddress(world, 'host-f', 'vxlan.calico');
      const [, MAC = ''] = /link\/ether (\S+)/.exec(world.inside('host-f', 'ip link show vxlan.calico')) ?? [];
      const words = { BLOCK: blockOf(world, 'host-f', 4), MAC, REMOTE, HOST: hostAddress('host-f') };
      const [to] = world.addressesOf('cf');
      world.inside(
        'host-a',
        command.replaceAll(/[A-Z]{3,}/g, (word) => words[word as keyof typeof words]),
      );
      await world.eventually('containers reach each other again', () => {
        return world.tryInside('ca', 'ping', '-c', '1', '-W', '1', to ?? '').code === 0;
      });
      await world.eventually('all of it is there', () => {
        const entries = world.inside('host-a', 'bridge fdb show dev vxlan.calico; ip neigh show dev vxlan.calico');
        return entries.includes(`${MAC} dst`) && entries.includes(`${REMOTE} lladdr ${MAC} PERMANENT`);
      });
      await world.inSync();
    });
  }

  it('an agent that is killed and started again changes nothing, and no ping is lost', async () => {
    const [to = ''] = world.addressesOf('cf');
    const before = state(world, 'host-a');
    const node = world.muslin('get', 'node', 'host-a', '-o', 'yaml');
    const ping = world.ping('ca', to);
    await world.killAgent('host-a');
    world.startAgent('host-a');
    await world.eventually('host-a is in sync', () => world.status('host-a').inSync);
    const { sent, received } = await ping.stop();
    assert.ok(sent > 10, `only ${sent} pings`);
    assert.equal(received, sent);
    assert.deepEqual(state(world, 'host-a'), before);
    assert.equal(world.muslin('get', 'node', 'host-a', '-o', 'yaml'), node);
  });

  it('across subnets only, hosts of one subnet need no tunnel', async () => {
    const pings = [
      world.ping('ca', world.addressesOf('cn')[0] ?? ''),
      world.ping('ca', world.addressesOf('cf')[0] ?? ''),
    ];
    world.apply(pool({ vxlanMode: 'CrossSubnet' }), pool6({ vxlanMode: 'CrossSubnet' }));
    await world.eventually('host-a routes to host-n as it is', () => {
      const four = routeTo(world, 'host-a', 'host-n') === `via ${hostAddress('host-n')} dev eth0 proto 80 onlink`;
      return four && routeTo(world, 'host-a', 'host-n', 6) === `via ${hostAddress6('host-n')} dev eth0 proto 80 onlink`;
    });
    assert.match(routeTo(world, 'host-a', 'host-f'), /dev vxlan\.calico/);
    everybodyReachesEverybody(world);
    for (const ping of pings) {
      const { sent, received } = await ping.stop();
      assert.equal(received, sent);
    }
  });

  it('nothing is left of it after a purge', async () => {
    await world.killAgent('host-f');
    const purge = ['node', 'purge', '--root', world.directory, '--config', world.configuration('host-f')];
    const outcome = world.tryInside('host-f', MUSLIN, ...purge, '--yes');
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
    const left = world.inside(
      'host-f',
      'ip -o link; ip route; ip -6 route; nft list ruleset; bridge fdb; ip neigh show nud permanent',
    );
    assert.doesNotMatch(left, /vxlan(-v6)?\.calico|proto 80|proto bird|cali\w/, left);
    const text = world.muslin('get', 'node', 'host-f', '-o', 'yaml');
    assert.doesNotMatch(text, /Tunnel/);
    await world.eventually('host-a sends there no more', () => {
      return !world.inside('host-a', 'bridge fdb show dev vxlan.calico').includes(hostAddress('host-f'));
    });
  });
});

describe('IPIP with BGP', () => {
  let world: TunnelWorld;
  before(async () => {
    world = new TunnelWorld('ipip', { bgp: true });
    await bringUp(world, pool({ ipipMode: 'CrossSubnet' }));
  });
  after(() => world?.remove());

  const NEAR = `via ${hostAddress('host-n')} dev eth0 proto bird onlink`;
  const NEAR_TUNNEL = `via ${hostAddress('host-n')} dev tunl0 proto bird onlink`;
  const FAR = `via ${hostAddress('host-f')} dev tunl0 proto bird onlink`;

  async function routesBecome(near: RegExp | string, far: RegExp | string): Promise<void> {
    const is = (line: string, wanted: RegExp | string) =>
      typeof wanted === 'string' ? line === wanted : wanted.test(line);
    await world.eventually(`routes are ${near} and ${far}`, () => {
      const lines = [routeTo(world, 'host-a', 'host-n'), routeTo(world, 'host-a', 'host-f')];
      return is(lines[0] ?? '', near) && is(lines[1] ?? '', far) && routeTo(world, 'host-f', 'host-a') !== '';
    });
  }

  it('across subnets it is a tunnel, within one it is none', async () => {
    await routesBecome(NEAR, FAR);
    await world.eventually('containers reach each other', () => {
      everybodyReachesEverybody(world);
      return true;
    });
    const [tunnel] = world.status('host-a').tunnels;
    assert.equal(tunnel?.['device'], 'tunl0');
    assert.match(String(tunnel?.['madeBy']), /^(kernel ipip|eBPF programs)$/);
    assert.match(world.inside('host-a', 'ip link show tunl0'), / mtu 1480 /);
  });

  it('the router sees the hosts’ addresses, and inside of them the containers’', async () => {
    const [to = ''] = world.addressesOf('cf');
    const [from = ''] = world.addressesOf('ca');
    const sniffer = new Sniffer(world.path('router'), 'lan2');
    const ping = world.ping('ca', to);
    try {
      const outer = await sniffer.packet('a packet in a packet', ({ protocol, source }) => {
        return protocol === IPIP && source === hostAddress('host-a');
      });
      const inner = parseIpv4(outer.payload);
      assert.equal(outer.destination, hostAddress('host-f'));
      assert.deepEqual([inner?.source, inner?.destination, inner?.protocol], [from, to, ICMP]);
    } finally {
      sniffer.close();
      await ping.stop();
    }
  });

  it('every change of mode on the running network leaves every ping answered', async () => {
    const far = world.addressesOf('cf')[0] ?? '';
    const near = world.addressesOf('cn')[0] ?? '';
    const pings = [world.ping('ca', far), world.ping('cf', near), world.ping('cn', world.addressesOf('ca')[0] ?? '')];
    const steps: [object, RegExp | string, RegExp | string][] = [
      [{ ipipMode: 'Always' }, NEAR_TUNNEL, FAR],
      [{ vxlanMode: 'Always' }, /dev vxlan\.calico proto 80 onlink$/, /dev vxlan\.calico proto 80 onlink$/],
      [{ vxlanMode: 'CrossSubnet' }, `via ${hostAddress('host-n')} dev eth0 proto 80 onlink`, /dev vxlan\.calico/],
      [{ ipipMode: 'CrossSubnet' }, NEAR, FAR],
      [{ ipipMode: 'Always' }, NEAR_TUNNEL, FAR],
      [{ ipipMode: 'CrossSubnet' }, NEAR, FAR],
    ];
    for (const [mode, nearRoute, farRoute] of steps) {
      world.apply(pool(mode));
      await routesBecome(nearRoute, farRoute);
    }
    for (const ping of pings) {
      const { sent, received } = await ping.stop();
      assert.ok(sent > 50, `only ${sent} pings`);
      assert.equal(received, sent);
    }
  });

  it('from no tunnel to one and back, near hosts lose no ping', async () => {
    const ping = world.ping('ca', world.addressesOf('cn')[0] ?? '');
    world.apply(pool({}));
    await world.eventually(
      'host-a has no way through a tunnel',
      () => !world.routes('host-a').join().includes('tunl0'),
    );
    world.apply(pool({ ipipMode: 'Always' }));
    await routesBecome(NEAR_TUNNEL, FAR);
    const { sent, received } = await ping.stop();
    assert.equal(received, sent);
  });

  it('an agent that is killed and started again changes nothing, and no ping is lost', async () => {
    const earlier = state(world, 'host-f');
    const ping = world.ping('ca', world.addressesOf('cf')[0] ?? '');
    await world.killAgent('host-f');
    world.startAgent('host-f');
    await world.eventually('host-f is in sync', () => world.status('host-f').inSync);
    const { sent, received } = await ping.stop();
    assert.equal(received, sent);
    assert.deepEqual(state(world, 'host-f'), earlier);
  });

  it('nothing is left of it after a purge', async () => {
    await world.killAgent('host-f');
    const purge = ['node', 'purge', '--root', world.directory, '--config', world.configuration('host-f')];
    const outcome = world.tryInside('host-f', MUSLIN, ...purge, '--yes');
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
    const left = world.inside('host-f', 'ip -o link show up; ip addr; ip route; nft list ruleset');
    assert.doesNotMatch(left, /tunl0|proto bird|cali|172\.17/, left);
  });
});
