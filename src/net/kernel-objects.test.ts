import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cidr } from './cidr.ts';
import { ip } from './ip.ts';
import {
  formatRoute,
  ifIndex,
  type NextHop,
  ROUTE_PROTOCOL,
  ROUTE_SCOPE,
  ROUTE_TABLE,
  type Route,
  routeKey,
  sameNextHop,
  sameRoute,
} from './kernel-objects.ts';

const hop = (gateway: string | undefined, index: number | undefined, onlink = false): NextHop => ({
  gateway: gateway === undefined ? undefined : ip(gateway),
  index: index === undefined ? undefined : ifIndex(index),
  onlink,
});

const route = (changes: Partial<Route> = {}): Route => ({
  destination: cidr('172.17.9.0/24'),
  type: 'unicast',
  nextHops: [hop('192.168.100.101', 2, true)],
  protocol: ROUTE_PROTOCOL.bird,
  scope: ROUTE_SCOPE.universe,
  table: ROUTE_TABLE.main,
  metric: 0,
  source: undefined,
  ...changes,
});

describe('each field tells routes apart', () => {
  const CHANGES: readonly Partial<Route>[] = [
    { destination: cidr('172.17.9.0/25') },
    { type: 'blackhole' },
    { nextHops: [] },
    { nextHops: [hop('192.168.100.101', 2, false)] },
    { nextHops: [hop('192.168.100.101', 3, true)] },
    { nextHops: [hop('192.168.100.102', 2, true)] },
    { nextHops: [hop(undefined, 2, true)] },
    { protocol: ROUTE_PROTOCOL.static },
    { scope: ROUTE_SCOPE.link },
    { table: ROUTE_TABLE.local },
    { metric: 1 },
    { source: ip('192.168.100.100') },
  ];
  for (const change of CHANGES) {
    test(Object.keys(change).join(), () => {
      assert.ok(sameRoute(route(), route()));
      assert.ok(!sameRoute(route(), route(change)));
      assert.ok(!sameRoute(route(change), route()));
    });
  }
});

test('next hops are a set: their order does not count, what is in them does', () => {
  const [a, b, c] = [hop('10.0.0.1', 1), hop('10.0.0.2', 1), hop('10.0.0.3', 1)];
  const same = (left: NextHop[], right: NextHop[]): boolean =>
    sameRoute(route({ nextHops: left }), route({ nextHops: right }));
  assert.ok(same([a, b, c], [c, a, b]));
  assert.ok(!same([a, b], [a, c]));
  assert.ok(!same([a, b], [a, b, c]));
  assert.ok(!same([a, a], [a, b]));
  assert.ok(!same([a, b], [a, a]));
  assert.ok(sameNextHop(hop(undefined, 1), hop(undefined, 1)));
  assert.ok(!sameNextHop(hop(undefined, 1), hop('10.0.0.1', 1)));
});

test('the kernel tells routes apart by destination, table and metric only', () => {
  assert.equal(routeKey(route()), '172.17.9.0/24 table 254 metric 0');
  assert.equal(routeKey(route({ nextHops: [], protocol: 2, type: 'blackhole' })), routeKey(route()));
  assert.notEqual(routeKey(route({ metric: 1 })), routeKey(route()));
});

test('a route on one line', () => {
  const names = new Map([[ifIndex(2), 'eth0']]);
  const rows: [changes: Partial<Route>, text: string][] = [
    [{}, '172.17.9.0/24 via 192.168.100.101 dev eth0 onlink proto 12'],
    [{ nextHops: [hop(undefined, 2)] }, '172.17.9.0/24 dev eth0 proto 12'],
    [{ nextHops: [hop('10.0.0.1', 7)] }, '172.17.9.0/24 via 10.0.0.1 dev if7 proto 12'],
    [
      { nextHops: [hop('10.0.0.1', 2), hop('10.0.0.2', 2)] },
      '172.17.9.0/24 via 10.0.0.1 dev eth0 nexthop via 10.0.0.2 dev eth0 proto 12',
    ],
    [{ type: 'blackhole', nextHops: [] }, 'blackhole 172.17.9.0/24 proto 12'],
  ];
  for (const [changes, text] of rows)
    assert.equal(
      formatRoute(route(changes), (index) => names.get(index)),
      text,
    );
});
