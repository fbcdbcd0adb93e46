import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn, routerIdFromIp } from '../../net/asn.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../wire/attributes.ts';
import { AttributeSet, LOCAL_SOURCE, type Source } from './attribute-sets.ts';
import { type Candidate, decide, ranked, whyLost } from './decide.ts';
import { gatewaysOf } from './settlement.ts';
import { judgeUsability } from './usability.ts';

const SELF = {
  asn: asn(64512),
  routerId: routerIdFromIp(ip('10.0.0.100')),
  clusterId: 77,
  addresses: [ip('10.0.0.100')],
};

let paths = 0;

function candidate(source: Source, attributes: PathAttributes): Candidate {
  const set = new AttributeSet({
    id: 0,
    family: 4,
    source,
    attributes,
    device: undefined,
    contents: new Uint8Array(0),
    hash: 0,
  });
  judgeUsability(set, SELF);
  return { path: paths++, set, pathId: 0 };
}

function route(from: string, attributes: Partial<PathAttributes> = {}, more: Partial<Source> = {}): Candidate {
  const source: Source = {
    slot: 1,
    name: from,
    address: ip(from),
    device: undefined,
    external: false,
    routerId: routerIdFromIp(ip(from)),
    localAddress: ip('10.0.0.200'),
    reflectorClient: false,
    allowedOwnAsns: 0,
    localAsn: undefined,
    ...more,
  };
  return candidate(source, { ...PLAIN_ATTRIBUTES, nextHop: ip(from), ...attributes });
}

const LOCAL = candidate(LOCAL_SOURCE, PLAIN_ATTRIBUTES);
const EXTERNAL = { external: true } as const;
const ORIGINATOR = routerIdFromIp(ip('9.0.0.1'));

const ROWS: [step: string, better: Candidate, worse: Candidate][] = [
  ['not long-lived stale', route('10.0.0.2'), route('10.0.0.1', { communities: [0xffff0006], localPreference: 900 })],
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
      const decision = decide(routes);
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
    assert.equal(decide(order).best, third);
  }
});

const UNUSABLE: [title: string, route: Candidate][] = [
  ['our own AS in its path', route('10.0.0.1', { asPath: [1, 64512] })],
  ['our own identifier as originator', route('10.0.0.1', { originatorId: SELF.routerId })],
  ['our own cluster in its cluster list', route('10.0.0.1', { clusterList: [1, SELF.clusterId] })],
  ['our own address as next hop', route('10.0.0.1', { nextHop: ip('10.0.0.100') })],
  ['our end of the session as next hop', route('10.0.0.1', { nextHop: ip('10.0.0.200') })],
  ...['0.0.0.0', '127.0.0.1', '224.0.0.5', '255.255.255.255', '::', '::1', 'fe80::1', 'ff02::1'].map(
    (nextHop): [string, Candidate] => [`the next hop ${nextHop}`, route('10.0.0.1', { nextHop: ip(nextHop) })],
  ),
];
for (const [title, bad] of UNUSABLE) {
  test(`RFC 4271 9.1.2: a route with ${title} is not used`, () => {
    assert.deepEqual(decide([bad]), { best: undefined, equals: [], decidedBy: '' });
    const good = route('10.0.0.9');
    assert.equal(decide([bad, good]).best, good);
  });
}

test('RFC 7938 6.3: routes of equal merit serve together, each gateway once; worse ones do not', () => {
  const routes = [
    route('10.0.0.3'),
    route('10.0.0.1'),
    route('10.0.0.2', { nextHop: ip('10.0.0.1') }),
    route('10.0.0.4', { localPreference: 50 }),
  ];
  const { best, equals } = decide(routes);
  assert.equal(best, routes[1]);
  assert.ok(best !== undefined);
  const texts = (max: number): string[] => gatewaysOf(best.set, equals, max).map(({ address }) => formatIp(address));
  assert.deepEqual(texts(64), ['10.0.0.1', '10.0.0.3']);
  assert.deepEqual(texts(1), ['10.0.0.1']);
});

test('a prefix of our own has no gateways', () => {
  const { best, equals } = decide([LOCAL, route('10.0.0.1')]);
  assert.deepEqual(best === undefined ? undefined : gatewaysOf(best.set, equals, 64), []);
});

test('RFC 4271 9.1.2 a: our own AS number is allowed as often as it is configured', () => {
  const allowed = { allowedOwnAsns: 1 };
  assert.equal(route('10.0.0.1', { asPath: [1, 64512] }, allowed).set.unusable, undefined);
  assert.match(route('10.0.0.1', { asPath: [64512, 1, 64512] }, allowed).set.unusable ?? '', /our own AS/);
});

test('a link-local next hop is used where the peer is on a device', () => {
  const nextHop = ip('fe80::1');
  assert.equal(route('10.0.0.1', { nextHop }, { device: 'eth0' }).set.unusable, undefined);
});

test('RFC 7911: paths are ranked as if the better ones were not there', () => {
  const [first, second, third] = [
    route('10.0.0.3', { med: 0 }),
    route('10.0.0.1', { asPath: [1] }),
    route('10.0.0.2', { asPath: [1, 2] }),
  ];
  assert.deepEqual(ranked([third, second, first], 2), [first, second]);
  assert.deepEqual(ranked([third, second, first], 9), [first, second, third]);
});

test('a loser is told at which step, with both values', () => {
  const best = route('10.0.0.2', { asPath: [1] });
  const loser = route('10.0.0.1', { asPath: [1, 2, 3] });
  assert.equal(whyLost([loser, best], loser), 'shortest AS_PATH (3, the best has 1)');
  const lower = route('10.0.0.1', { localPreference: 50 });
  assert.equal(whyLost([lower, best], lower), 'highest LOCAL_PREF (50, the best has 100)');
});
