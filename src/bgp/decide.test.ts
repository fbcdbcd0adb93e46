import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import { decide } from './decide.ts';
import { originate } from './export.ts';
import type { Route, RouteSource } from './route.ts';

const SELF = { asn: asn(64512), routerId: routerIdFromIp(ip('10.0.0.100')), addresses: [ip('10.0.0.100')] };
const PREFIX = cidr('172.17.9.0/24');

function route(from: string, attributes: Partial<PathAttributes> = {}, more: Partial<RouteSource> = {}): Route {
  const source: RouteSource = {
    kind: 'peer',
    address: ip(from),
    external: false,
    routerId: routerIdFromIp(ip(from)),
    localAddress: ip('10.0.0.200'),
    ...more,
  } as RouteSource; // `more` changes fields of a peer only
  return {
    prefix: PREFIX,
    key: '',
    source,
    attributes: { ...originate(ip(from)), localPreference: undefined, ...attributes },
  };
}

const LOCAL: Route = { prefix: PREFIX, key: '', source: { kind: 'local' }, attributes: originate(ip('10.0.0.100')) };
const EXTERNAL = { external: true } as const;
const ORIGINATOR = routerIdFromIp(ip('9.0.0.1'));

const ROWS: [step: string, better: Route, worse: Route, ...others: Route[]][] = [
  ['locally originated', LOCAL, route('10.0.0.1', { localPreference: 1000 })],
  ['highest LOCAL_PREF', route('10.0.0.2', { localPreference: 101, asPath: [1, 2] }), route('10.0.0.1')],
  ['shortest AS_PATH', route('10.0.0.2', { asPath: [1], origin: 2 }), route('10.0.0.1', { asPath: [1, 2] })],
  ['lowest ORIGIN', route('10.0.0.2', { origin: 1, med: 9 }), route('10.0.0.1', { origin: 2 })],
  [
    'lowest MED within a neighbouring AS',
    route('10.0.0.2', { asPath: [1], med: 1 }),
    route('10.0.0.1', { asPath: [1], med: 2 }, EXTERNAL),
  ],
  ['eBGP over iBGP', route('10.0.0.2', { asPath: [1], med: 5 }, EXTERNAL), route('10.0.0.1', { asPath: [2] })],
  ['lowest router identifier', route('10.0.0.1', { clusterList: [1] }), route('10.0.0.2')],
  ['lowest router identifier', route('10.0.0.2', { originatorId: ORIGINATOR }), route('10.0.0.1')],
  [
    'shortest CLUSTER_LIST',
    route('10.0.0.2', { originatorId: ORIGINATOR, clusterList: [1] }),
    route('10.0.0.1', { originatorId: ORIGINATOR, clusterList: [1, 2] }),
  ],
  [
    'lowest peer address',
    route('10.0.0.1', { originatorId: ORIGINATOR }),
    route('10.0.0.2', { originatorId: ORIGINATOR }),
  ],
];
for (const [step, better, worse] of ROWS) {
  test(`RFC 4271 9.1.2.2: ${step} decides`, () => {
    for (const routes of [
      [better, worse],
      [worse, better],
    ]) {
      const decision = decide(routes, SELF);
      assert.equal(decision.best, better);
      assert.equal(decision.decidedBy, step);
    }
  });
}

test('RFC 4271 9.1.2.2 c: MED decides alike in every order of three routes where no sort could', () => {
  const first = route('10.0.0.3', { asPath: [1], med: 2 }, EXTERNAL);
  const second = route('10.0.0.1', { asPath: [1], med: 3 }, EXTERNAL);
  const third = route('10.0.0.2', { asPath: [2], med: 9 }, EXTERNAL);
  for (const order of [
    [first, second, third],
    [second, third, first],
    [third, first, second],
    [third, second, first],
  ]) {
    assert.equal(decide(order, SELF).best, third);
  }
});

const UNUSABLE: [title: string, route: Route][] = [
  ['our own AS in its path', route('10.0.0.1', { asPath: [1, 64512] })],
  ['our own identifier as originator', route('10.0.0.1', { originatorId: SELF.routerId })],
  ['our own identifier in its cluster list', route('10.0.0.1', { clusterList: [SELF.routerId] })],
  ['our own address as next hop', route('10.0.0.1', { nextHop: ip('10.0.0.100') })],
  ['our end of the session as next hop', route('10.0.0.1', { nextHop: ip('10.0.0.200') })],
  ...['0.0.0.0', '127.0.0.1', '224.0.0.5', '255.255.255.255', '::', '::1', 'fe80::1', 'ff02::1'].map(
    (nextHop): [string, Route] => [`the next hop ${nextHop}`, route('10.0.0.1', { nextHop: ip(nextHop) })],
  ),
];
for (const [title, bad] of UNUSABLE) {
  test(`RFC 4271 9.1.2: a route with ${title} is not used`, () => {
    assert.deepEqual(decide([bad], SELF), { best: undefined, gateways: [], decidedBy: '' });
    const good = route('10.0.0.9');
    assert.equal(decide([bad, good], SELF).best, good);
  });
}

test('RFC 7938 6.3: routes of equal merit serve together, each gateway once; worse ones do not', () => {
  const routes = [
    route('10.0.0.3'),
    route('10.0.0.1'),
    route('10.0.0.2', { nextHop: ip('10.0.0.1') }),
    route('10.0.0.4', { localPreference: 50 }),
  ];
  const decision = decide(routes, SELF);
  assert.deepEqual(decision.gateways.map(formatIp), ['10.0.0.1', '10.0.0.3']);
  assert.equal(decision.best, routes[1]);
});

test('a prefix of our own has no gateways', () =>
  assert.deepEqual(decide([LOCAL, route('10.0.0.1')], SELF).gateways, []));
