/**
 * The dataplane against readings of a kernel made of plain data: what it asks for, in which order, and what it leaves alone.
 *
 * `Host` below is the kernel's side: it carries operations out on a reading, as the shell does on the real one.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { instant } from '../../lib/clock.ts';
import { seededRandom } from '../../lib/prng.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import type { Link, Route } from '../../net/kernel-objects.ts';
import { formatRoute, ifIndex, ROUTE_PROTOCOL, routeKey } from '../../net/kernel-objects.ts';
import type { DesiredChanges, DesiredEndpoint, DesiredRoute, Gateway } from '../desired/desired.ts';
import type { KernelOperation } from './dataplane.ts';
import { Dataplane } from './dataplane.ts';

const provenance = { origin: 'test' };
const NOW = instant(0);

const A1: DesiredEndpoint = {
  id: 'default/a1',
  deviceName: 'calia1',
  addresses: [cidr('172.17.8.2/32')],
  policy: { tiers: [], profiles: [] },
  floatingIps: [],
  allowedSources: [],
  provenance,
};
const ROUTE_A1: DesiredRoute = {
  destination: cidr('172.17.8.2/32'),
  target: { kind: 'device', deviceName: 'calia1' },
  provenance,
};
const BLOCK: DesiredRoute = { destination: cidr('172.17.8.0/24'), target: { kind: 'blackhole' }, provenance };
const TO_B: DesiredRoute = {
  destination: cidr('172.17.9.0/24'),
  target: { kind: 'gateways', gateways: [{ address: ip('192.168.100.101'), deviceName: undefined }], protocol: 'bird' },
  provenance,
};

function link(index: number, name: string, up = true): Link {
  return { index: ifIndex(index), name, mac: undefined, mtu: 1500, up, carrier: up, kind: 'veth' };
}

function unicast(destination: string, device: number, protocol: number, gateway?: string): Route {
  const nextHop = {
    gateway: gateway === undefined ? undefined : ip(gateway),
    index: ifIndex(device),
    onlink: gateway !== undefined,
  };
  const common = { destination: cidr(destination), type: 'unicast', table: 254, metric: 0, source: undefined } as const;
  return { ...common, nextHops: [nextHop], protocol, scope: gateway === undefined ? 253 : 0 };
}

function desire(endpoints: DesiredEndpoint[], routes: DesiredRoute[]): DesiredChanges {
  return {
    endpoints: new Map(endpoints.map((endpoint) => [endpoint.id, endpoint])),
    routes: new Map(
      routes.map((route) => [`${route.destination.address.bytes.join('.')}/${route.destination.length}`, route]),
    ),
    policy: { sets: new Map(), policies: new Map(), profiles: new Map(), hostEndpoints: new Map() },
    tunnels: new Map(),
    services: new Map(),
    announcements: undefined,
  };
}

function via(address: string, deviceName?: string): Gateway {
  return { address: ip(address), deviceName };
}

class Host {
  readonly links = new Map([link(1, 'lo'), link(2, 'eth0'), link(7, 'calia1', false)].map((each) => [each.name, each]));
  readonly addresses = [{ index: ifIndex(2), address: ip('192.168.100.100'), prefixLength: 24 }];
  readonly routes = new Map<string, Route>();
  readonly settings = new Map<string, string>();
  readonly proxies = new Map<string, { index: ReturnType<typeof ifIndex>; address: ReturnType<typeof ip> }>();
  readonly dataplane: Dataplane;

  constructor() {
    this.dataplane = new Dataplane(seededRandom(1));
  }

  /** As the shell does: devices first, for they tell which settings matter. */
  read(): void {
    this.dataplane.observeInterfaces([...this.links.values()], this.addresses);
    const names = new Set(this.dataplane.settingNames());
    this.dataplane.observe({
      links: [...this.links.values()],
      addresses: this.addresses,
      routes: [...this.routes.values()],
      proxies: [...this.proxies.values()],
      settings: new Map([...this.settings].filter(([name]) => names.has(name))),
    });
  }

  /** Runs rounds until nothing is left; gives what was done, a line each. */
  converge(filterInForce = true): string[] {
    const done: string[] = [];
    for (let round = 0; round < 8; round++) {
      const before = this.dataplane.operationsBeforeFilter(NOW);
      for (const operation of before) done.push(this.carryOut(operation));
      const after = this.dataplane.operationsAfterFilter(NOW, filterInForce);
      for (const operation of after) done.push(this.carryOut(operation));
      if (before.length + after.length === 0) return done;
    }
    throw new Error(`does not converge: ${done.join('; ')}`);
  }

  carryOut(step: KernelOperation): string {
    const { kind, operation } = step;
    if (kind === 'setting' && operation.kind !== 'remove') this.settings.set(operation.key, operation.desired);
    if (kind === 'proxy' && operation.kind !== 'remove') this.proxies.set(operation.key, operation.desired);
    if (kind === 'linkUp' && operation.kind !== 'remove') {
      this.links.set(operation.key, { ...(this.links.get(operation.key) as Link), up: true });
    }
    if (kind === 'route' && operation.kind === 'remove') this.routes.delete(operation.key);
    if (kind === 'route' && operation.kind !== 'remove') this.routes.set(operation.key, operation.desired);
    this.dataplane.report(step, undefined, NOW);
    return `${kind} ${operation.kind} ${operation.key}`;
  }
}

/** A host that has converged on one container, its block and the route to another host. */
function convergedHost(): Host {
  const host = new Host();
  host.read();
  host.dataplane.update(desire([A1], [ROUTE_A1, BLOCK, TO_B]));
  host.dataplane.allowRemovals('store');
  host.dataplane.allowRemovals('learned');
  host.read();
  host.converge();
  return host;
}

describe('the dataplane', () => {
  it('sets a device up before it carries packets, and routes to it last', () => {
    const host = new Host();
    host.read();
    host.dataplane.update(desire([A1], [ROUTE_A1, BLOCK, TO_B]));
    host.read();
    const done = host.converge();
    const place = (prefix: string) => done.findIndex((line) => line.startsWith(prefix));
    assert.ok(place('setting add ipv4/conf/calia1/forwarding') >= 0);
    assert.ok(place('setting add ipv4/conf/calia1') < place('proxy add'));
    assert.ok(place('proxy add') < place('linkUp add calia1'));
    assert.ok(place('linkUp add calia1') < place('route add 172.17.8.2/32'));
    assert.equal(host.dataplane.endpointPending('default/a1'), undefined);
    assert.deepEqual(host.dataplane.unsettled(), []);
  });

  it('gives the routes the shapes that operators know', () => {
    const host = convergedHost();
    const lines = [...host.routes.values()]
      .map((route) => formatRoute(route, (index) => host.dataplane.interfaces.linkAt(index)?.name))
      .sort();
    assert.deepEqual(lines, [
      '172.17.8.2/32 dev calia1 proto 3',
      '172.17.9.0/24 via 192.168.100.101 dev eth0 onlink proto 12',
      'blackhole 172.17.8.0/24 proto 12',
    ]);
  });

  it('does nothing when started again on a kernel that is right', () => {
    const before = convergedHost();
    const host = new Host();
    for (const [name, each] of before.links) host.links.set(name, each);
    for (const [key, route] of before.routes) host.routes.set(key, route);
    for (const [name, value] of before.settings) host.settings.set(name, value);
    for (const [key, proxy] of before.proxies) host.proxies.set(key, proxy);
    host.read();
    assert.deepEqual(host.converge(), []);
    host.dataplane.allowRemovals('store');
    host.dataplane.update(desire([A1], [ROUTE_A1, BLOCK]));
    host.read();
    assert.deepEqual(host.converge(), [], 'the learned route is kept until BGP has converged');
    host.dataplane.update(desire([], [TO_B]));
    host.dataplane.allowRemovals('learned');
    assert.deepEqual(host.converge(), []);
  });

  const wrong: { name: string; harm: (host: Host) => void; repair: string[] }[] = [
    {
      name: 'a deleted route',
      harm: (host) => host.routes.delete(routeKey(unicast('172.17.9.0/24', 2, 12))),
      repair: ['route add 172.17.9.0/24 table 254 metric 0'],
    },
    {
      name: 'a route that leads elsewhere',
      harm: (host) => {
        const route = unicast('172.17.9.0/24', 2, ROUTE_PROTOCOL.boot, '192.168.100.7');
        host.routes.set(routeKey(route), route);
      },
      repair: ['route change 172.17.9.0/24 table 254 metric 0'],
    },
    {
      name: 'a stale route on a cali device',
      harm: (host) => {
        const route = unicast('172.17.8.99/32', 7, ROUTE_PROTOCOL.boot);
        host.routes.set(routeKey(route), route);
      },
      repair: ['route remove 172.17.8.99/32 table 254 metric 0'],
    },
    {
      name: 'a stale learned route',
      harm: (host) => {
        const route = unicast('172.17.77.0/24', 2, ROUTE_PROTOCOL.bird, '192.168.100.102');
        host.routes.set(routeKey(route), route);
      },
      repair: ['route remove 172.17.77.0/24 table 254 metric 0'],
    },
    {
      name: 'foreign routes, which it leaves alone',
      harm: (host) => {
        for (const route of [
          unicast('10.99.0.0/16', 2, ROUTE_PROTOCOL.static, '192.168.100.1'),
          unicast('0.0.0.0/0', 2, ROUTE_PROTOCOL.boot, '192.168.100.1'),
          unicast('192.168.100.0/24', 2, ROUTE_PROTOCOL.kernel),
          { ...unicast('172.17.9.0/24', 2, ROUTE_PROTOCOL.static, '192.168.100.9'), metric: 50 },
        ]) {
          host.routes.set(routeKey(route), route);
        }
      },
      repair: [],
    },
    {
      name: 'a changed setting',
      harm: (host) => host.settings.set('ipv4/conf/calia1/rp_filter', '0'),
      repair: ['setting change ipv4/conf/calia1/rp_filter'],
    },
    { name: 'a lost proxy', harm: (host) => host.proxies.clear(), repair: ['proxy add 7 169.254.1.1'] },
  ];
  for (const { name, harm, repair } of wrong) {
    it(`repairs ${name} in one pass`, () => {
      const host = convergedHost();
      harm(host);
      host.read();
      assert.deepEqual(host.converge(), repair);
    });
  }

  it('lets no container on the network while the packet filter is not in force', () => {
    const host = new Host();
    host.read();
    host.dataplane.update(desire([A1], [ROUTE_A1, TO_B]));
    host.read();
    const done = host.converge(false);
    assert.ok(done.includes('route add 172.17.9.0/24 table 254 metric 0'), 'other hosts are reached all the same');
    assert.ok(!done.some((line) => line.startsWith('linkUp') || line.includes('172.17.8.2')), done.join('; '));
  });

  const BLOCK_6: DesiredRoute = { ...BLOCK, destination: cidr('fd00:17:8::/120') };
  const reasons: [why: string, start: (dataplane: Dataplane) => boolean][] = [
    ['an address of its own', (dataplane) => dataplane.routeIpv6()],
    ['a route, having no address', (dataplane) => dataplane.update(desire([], [BLOCK_6]))],
  ];
  for (const [why, start] of reasons) {
    it(`keeps heeding router advertisements where the host did, once it forwards IPv6 for ${why}`, () => {
      const host = new Host();
      host.settings.set('ipv6/conf/eth0/accept_ra', '1').set('ipv6/conf/lo/accept_ra', '0');
      host.read();
      assert.equal(start(host.dataplane), true);
      assert.ok(host.dataplane.settingNames().includes('ipv6/conf/eth0/accept_ra'));
      host.read();
      const done = host.converge();
      const forwarding = done.indexOf('setting add ipv6/conf/all/forwarding');
      assert.ok(forwarding > done.indexOf('setting change ipv6/conf/eth0/accept_ra'), done.join('; '));
      assert.equal(host.settings.get('ipv6/conf/eth0/accept_ra'), '2');
      assert.equal(host.settings.get('ipv6/conf/lo/accept_ra'), '0', 'where it did not, nothing changes');
    });
  }

  it('does not forward IPv6 where there is none to route, and says once that it does', () => {
    const host = convergedHost();
    assert.equal(host.settings.get('ipv6/conf/all/forwarding'), undefined);
    assert.equal(host.dataplane.update(desire([], [ROUTE_A1])), false);
    assert.equal(host.dataplane.update(desire([], [BLOCK_6])), true);
    assert.equal(host.dataplane.update(desire([], [BLOCK_6])), false);
  });

  const gateways: [string, string, readonly Gateway[], string | undefined, string?][] = [
    [
      'several gateways are one route',
      '172.17.9.0/24',
      [via('192.168.100.102'), via('192.168.100.101')],
      '172.17.9.0/24 via 192.168.100.101 dev eth0 onlink nexthop via 192.168.100.102 dev eth0 onlink proto 12',
    ],
    [
      'a link-local gateway brings its device, for IPv4 too (RFC 8950)',
      '172.17.9.0/24',
      [via('fe80::1', 'eth0')],
      '172.17.9.0/24 via fe80::1 dev eth0 onlink proto 12',
    ],
    [
      'link-local gateways are in the order of their devices',
      '172.17.9.0/24',
      [via('fe80::1', 'lo'), via('fe80::2', 'eth0')],
      '172.17.9.0/24 via fe80::2 dev eth0 onlink nexthop via fe80::1 dev lo onlink proto 12',
    ],
    [
      'a gateway on no subnet of ours is left out beside one that is',
      '172.17.9.0/24',
      [via('10.9.9.9'), via('192.168.100.101')],
      '172.17.9.0/24 via 192.168.100.101 dev eth0 onlink proto 12',
    ],
    [
      'a link-local gateway without its device is waited for',
      'fd09::/64',
      [via('fe80::1')],
      undefined,
      'fe80::1 is link-local and comes without its device',
    ],
    [
      'so is one whose device is not there',
      'fd09::/64',
      [via('fe80::1', 'eth7')],
      undefined,
      'device eth7, by which fe80::1 is reached, is not up',
    ],
  ];
  for (const [name, prefix, hops, line, waitsFor] of gateways) {
    it(name, () => {
      const host = new Host();
      const target = { kind: 'gateways', gateways: hops, protocol: 'bird' } as const;
      host.read();
      host.dataplane.update(desire([], [{ destination: cidr(prefix), target, provenance: { origin: 'BGP' } }]));
      host.converge();
      const lines = [...host.routes.values()].map((route) =>
        formatRoute(route, (index) => host.dataplane.interfaces.linkAt(index)?.name),
      );
      assert.deepEqual(lines, line === undefined ? [] : [line]);
      assert.deepEqual(
        host.dataplane.unsettled().map(({ error }) => error),
        waitsFor === undefined ? [] : [waitsFor],
      );
    });
  }

  it('puts routes anew when the device of their gateway comes back', () => {
    const host = new Host();
    host.links.delete('calia1');
    host.read();
    const target = { kind: 'gateways', gateways: [via('fe80::1', 'calia1')], protocol: 'bird' } as const;
    host.dataplane.update(desire([], [{ destination: cidr('fd09::/64'), target, provenance: { origin: 'BGP' } }]));
    host.converge();
    assert.equal(host.routes.size, 0);
    host.dataplane.observeLink(link(9, 'calia1', true), false);
    host.converge();
    assert.deepEqual(
      [...host.routes.values()].map(({ nextHops }) => nextHops[0]?.index),
      [9],
    );
  });

  it('says what a route waits for, and goes on when it comes', () => {
    const host = new Host();
    host.links.delete('calia1');
    host.read();
    host.dataplane.update(desire([A1], [ROUTE_A1]));
    host.converge();
    assert.equal(host.dataplane.endpointPending('default/a1'), 'device calia1 does not exist');
    host.links.set('calia1', link(9, 'calia1', false));
    host.read();
    host.converge();
    assert.equal(host.dataplane.endpointPending('default/a1'), undefined);
  });

  it('sets up a device that came back under its old name anew', () => {
    const host = convergedHost();
    host.links.set('calia1', link(11, 'calia1', false));
    host.dataplane.observeInterfaces([...host.links.values()], host.addresses);
    const done = host.converge();
    assert.ok(done.includes('setting add ipv4/conf/calia1/forwarding'), done.join('; '));
    assert.ok(done.includes('proxy add 11 169.254.1.1'), done.join('; '));
  });

  it('retries what the kernel refused, after a wait, and shows the error meanwhile', () => {
    const host = new Host();
    host.read();
    host.dataplane.update(desire([], [TO_B]));
    const [operation] = host.dataplane.operationsAfterFilter(NOW, true);
    assert.ok(operation);
    host.dataplane.report(operation, 'ENETUNREACH: no', NOW);
    assert.deepEqual(host.dataplane.operationsAfterFilter(NOW, true), []);
    const route = host.dataplane.unsettled().find(({ object }) => object.startsWith('route'));
    assert.equal(route?.error, 'ENETUNREACH: no');
    const retry = host.dataplane.nextRetry();
    assert.ok(retry !== undefined && retry > NOW);
    assert.equal(host.dataplane.operationsAfterFilter(retry, true).length, 1);
  });
});
