import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import type { PeerConfig, Role } from './peer-config.ts';
import type { PolicyOperation } from './policy/policy-rules.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, peer, VirtualNet } from './virtual-net.suite.ts';
import type { PathAttributes } from './wire/attributes.ts';
import { NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED } from './wire/communities.ts';

const OURS = '10.0.0.100';
const INSIDE = '10.0.0.1';
const UP = '10.0.0.2';
const DOWN = '10.0.0.3';
const PREFIX = '172.18.9.0/24';
const OWN = '172.17.8.0/24';

interface Rig {
  readonly world: ScriptedWorld;
  readonly inside: Talker;
  /** AS 65001 and AS 65002. */
  readonly up: Talker;
  readonly down: Talker;
}

/** We are AS 64512, with an internal peer and two external ones. */
function rig(up: Partial<PeerConfig> = {}, down: Partial<PeerConfig> = {}, own: readonly string[] = []): Rig {
  const peers = [
    peer(INSIDE, { passive: true }),
    peer(UP, { passive: true, asn: asn(65001), ...up }),
    peer(DOWN, { passive: true, asn: asn(65002), ...down }),
  ];
  const world = new ScriptedWorld(config(OURS, peers), own);
  return {
    world,
    inside: new Talker(world, INSIDE),
    up: new Talker(world, UP, { asn: 65001 }),
    down: new Talker(world, DOWN, { asn: 65002 }),
  };
}

const verdictFor = ({ world }: Rig, address: string, prefix = PREFIX): string | undefined =>
  world.speaker.explain(cidr(prefix))?.advertised.find((row) => row.peer === address)?.verdict;

test('RFC 8212 section 2: without policy nothing is taken from an external peer and nothing sent to it, and explain says so', () => {
  const policies = { importPolicy: undefined, exportPolicy: undefined };
  const { world, inside, up, down } = rig(policies, policies, [OWN]);
  up.announce([PREFIX]);
  assert.deepEqual(inside.prefixes(), [OWN]);
  assert.deepEqual(world.kernel(), []);
  assert.deepEqual([...up.prefixes(), ...down.prefixes()], []);
  assert.equal(
    world.speaker.explain(cidr(PREFIX))?.candidates[0]?.verdict,
    'rejected: an external peer without an import policy tells us nothing (RFC 8212)',
  );
  assert.equal(
    verdictFor({ world, inside, up, down }, DOWN, OWN),
    'not sent: an external peer without an export policy is told nothing (RFC 8212)',
  );
  const view = world.speaker.peers(world.now).find(({ address }) => address === UP);
  assert.deepEqual([view?.prefixesReceived, view?.prefixesAccepted, view?.prefixesSent], [1, 0, 0]);
});

test('RFC 8212 section 2: internal peers need no policy', () => {
  const world = new ScriptedWorld(
    config(OURS, [peer(INSIDE, { passive: true, importPolicy: undefined, exportPolicy: undefined })]),
    [OWN],
  );
  const inside = new Talker(world, INSIDE);
  inside.announce([PREFIX]);
  assert.deepEqual(world.kernel(), [PREFIX]);
  assert.deepEqual(inside.prefixes(), [OWN]);
});

test('RFC 4271 section 5.1: what an external peer sees of a route, and what not', () => {
  const { inside, down } = rig();
  inside.announce([PREFIX], { localPreference: 300, med: 7, communities: [1], asPath: [] });
  const { asPath, nextHop, localPreference, med, communities } = down.only();
  assert.deepEqual(
    { asPath, nextHop, localPreference, med, communities },
    { asPath: [64512], nextHop: ip(OURS), localPreference: undefined, med: 7, communities: [1] },
  );
});

test('RFC 4271 section 5.1.4: the MED of another AS goes no further, whoever told us, unless policy sets one', () => {
  const first = rig();
  first.up.announce([PREFIX], { med: 7 });
  assert.equal(first.inside.only().med, 7);
  assert.equal(first.down.only().med, undefined);
  const second = rig();
  second.inside.announce([PREFIX], { med: 7, asPath: [65009] });
  assert.equal(second.down.only().med, undefined);
  const third = rig(
    {},
    {
      exportPolicy: {
        rules: [{ name: 'med', action: 'accept', operations: [{ kind: 'setMed', value: 7 }] }],
        otherwise: 'reject',
      },
    },
  );
  third.up.announce([PREFIX], { med: 7 });
  assert.equal(third.down.only().med, 7);
});

test('RFC 4271 section 5.1.5: LOCAL_PREF from outside is passed over', () => {
  const { world, up } = rig();
  up.announce([PREFIX], { localPreference: 900 });
  assert.equal(everyRoute(world.speaker)[0]?.localPreference, undefined);
});

test('RFC 4271 section 5.1.3: on a link of its own a peer is told our end of the session, others the address that is configured', () => {
  const world = new ScriptedWorld(
    config(
      OURS,
      [
        peer(UP, { passive: true, asn: asn(65001), localNextHop: true }),
        peer(DOWN, { passive: true, asn: asn(65002) }),
        peer(INSIDE, { passive: true, nextHop: 'self', localNextHop: true }),
      ],
      { nextHops: { 4: ip('10.9.9.9') } },
    ),
    [OWN],
  );
  const up = new Talker(world, UP, { asn: 65001 });
  const down = new Talker(world, DOWN, { asn: 65002 });
  const inside = new Talker(world, INSIDE);
  const nextHops = [up, down, inside].map((talker) => talker.only().nextHop);
  assert.deepEqual(nextHops, [ip(OURS), ip('10.9.9.9'), ip(OURS)]);
});

const NEXT_HOPS: [mode: PeerConfig['nextHop'], from: 'inside' | 'up' | 'own', toInside: string, toDown: string][] = [
  ['auto', 'up', UP, OURS],
  ['self', 'up', OURS, OURS],
  ['keep', 'up', UP, UP],
  ['keep', 'own', OURS, OURS],
  ['auto', 'own', OURS, OURS],
  ['keep', 'inside', '', INSIDE],
  ['auto', 'inside', '', OURS],
];
for (const [nextHop, from, toInside, toDown] of NEXT_HOPS) {
  test(`RFC 4271 section 5.1.3: next hop ${nextHop} of a route from ${from}`, () => {
    const peers = [
      peer(INSIDE, { passive: true, nextHop }),
      peer(UP, { passive: true, asn: asn(65001) }),
      peer(DOWN, { passive: true, asn: asn(65002), nextHop }),
    ];
    const world = new ScriptedWorld(config(OURS, peers), from === 'own' ? [PREFIX] : []);
    const inside = new Talker(world, INSIDE);
    const up = new Talker(world, UP, { asn: 65001 });
    const down = new Talker(world, DOWN, { asn: 65002 });
    if (from !== 'own') ({ inside, up })[from].announce([PREFIX]);
    if (toInside !== '') assert.deepEqual(inside.only().nextHop, ip(toInside));
    assert.deepEqual(down.only().nextHop, ip(toDown));
  });
}

const PREPEND: PolicyOperation = { kind: 'prependAsPath', asns: [64512, 64512] };
const PATHS: [
  title: string,
  up: Partial<PeerConfig>,
  down: Partial<PeerConfig>,
  sent: number[],
  seen: number[] | 'nothing',
][] = [
  ['our number in front', {}, {}, [65001, 65009], [64512, 65001, 65009]],
  ['RFC 7705: another number of ours for one peer', {}, { localAsn: asn(64999) }, [65001], [64999, 65001]],
  ['a path with the number of the peer', {}, {}, [65001, 65002], [64512, 65001, 65002]],
  ['as-override', {}, { asOverride: true }, [65001, 65002, 65002], [64512, 65001, 64512, 64512]],
  ['our own number not allowed', {}, {}, [65001, 64512], 'nothing'],
  ['our own number allowed once', { allowedOwnAsns: 1 }, {}, [65001, 64512], [64512, 65001, 64512]],
  ['our own number allowed once, there twice', { allowedOwnAsns: 1 }, {}, [65001, 64512, 64512], 'nothing'],
  ['the number that we show the peer, in its own path', { localAsn: asn(64999) }, {}, [65001, 64999], 'nothing'],
  ['the same, allowed', { localAsn: asn(64999), allowedOwnAsns: 1 }, {}, [65001, 64999], [64512, 65001, 64999]],
  ['a path that does not begin with the peer', {}, {}, [65009, 65001], 'nothing'],
  ['the same, not enforced', { enforceFirstAs: false }, {}, [65009, 65001], [64512, 65009, 65001]],
  [
    'prepended by policy',
    {},
    { exportPolicy: { rules: [{ name: 'p', action: 'accept', operations: [PREPEND] }], otherwise: 'reject' } },
    [65001],
    [64512, 64512, 64512, 65001],
  ],
];
for (const [title, up, down, asPath, seen] of PATHS) {
  test(`RFC 4271 section 5.1.2, AS_PATH: ${title}`, () => {
    const talkers = rig(up, down);
    talkers.up.announce([PREFIX], { asPath });
    const [route] = [...talkers.down.routes().values()];
    assert.deepEqual(route?.asPath ?? 'nothing', seen);
  });
}

const COMMUNITIES: [value: number, inside: boolean, outside: boolean][] = [
  [NO_EXPORT, true, false],
  [NO_EXPORT_SUBCONFED, true, false],
  [NO_ADVERTISE, false, false],
  [0xfe01, true, true],
];
for (const [value, inside, outside] of COMMUNITIES) {
  test(`RFC 1997: community 0x${value.toString(16)} ${inside ? 'may' : 'may not'} go inside, ${outside ? 'may' : 'may not'} outside`, () => {
    const talkers = rig();
    talkers.up.announce([PREFIX], { communities: [value] });
    assert.equal(talkers.inside.prefixes().length === 1, inside);
    assert.equal(talkers.down.prefixes().length === 1, outside);
    if (!outside) assert.match(verdictFor(talkers, DOWN) ?? '', /^not sent: it has the community no-/);
    assert.deepEqual(talkers.world.kernel(), [PREFIX]);
  });
}

test('RFC 1997: a community that our export policy adds is for the peer to obey', () => {
  const add: PolicyOperation = { kind: 'addCommunity', community: { kind: 'standard', value: NO_EXPORT } };
  const { up, down } = rig(
    {},
    { exportPolicy: { rules: [{ name: 'n', action: 'accept', operations: [add] }], otherwise: 'reject' } },
  );
  up.announce([PREFIX]);
  assert.deepEqual(down.only().communities, [NO_EXPORT]);
});

/** Our role, OTC as it comes, and as it is in our table; 'leak' for a route that is refused. */
const INGRESS: [role: Role, otc: number | undefined, seen: number | undefined | 'leak'][] = [
  ['provider', undefined, undefined],
  ['provider', 65001, 'leak'],
  ['route-server', 65001, 'leak'],
  ['customer', undefined, 65001],
  ['customer', 65009, 65009],
  ['peer', undefined, 65001],
  ['peer', 65001, 65001],
  ['peer', 65009, 'leak'],
  ['route-server-client', undefined, 65001],
];
for (const [role, otc, seen] of INGRESS) {
  test(`RFC 9234 section 5: a route with OTC ${otc ?? 'absent'} from a peer towards whom we are ${role}`, () => {
    const { world, up, inside } = rig({ role });
    up.announce([PREFIX], { onlyToCustomer: otc });
    const [route] = [...inside.routes().values()];
    assert.equal(route === undefined ? 'leak' : route.onlyToCustomer, seen);
    if (seen === 'leak') assert.match(JSON.stringify(world.outputs), /route leak: OTC/);
  });
}

/** Our role towards the peer below, OTC in our table, and as the peer sees it; 'kept' for a route that it is not sent. */
const EGRESS: [role: Role | undefined, otc: number | undefined, seen: number | undefined | 'kept'][] = [
  ['provider', undefined, 64512],
  ['provider', 65009, 65009],
  ['peer', undefined, 64512],
  ['peer', 65009, 'kept'],
  ['route-server', undefined, 64512],
  ['customer', undefined, undefined],
  ['customer', 65009, 'kept'],
  ['route-server-client', 65009, 'kept'],
  [undefined, 65009, 65009],
  [undefined, undefined, undefined],
];
for (const [role, otc, seen] of EGRESS) {
  test(`RFC 9234 section 5: a route with OTC ${otc ?? 'absent'} to a peer towards whom we are ${role ?? 'nothing'}`, () => {
    const talkers = rig({}, { role });
    talkers.inside.announce([PREFIX], { onlyToCustomer: otc });
    const [route] = [...talkers.down.routes().values()];
    assert.equal(route === undefined ? 'kept' : route.onlyToCustomer, seen);
    if (seen === 'kept') assert.match(verdictFor(talkers, DOWN) ?? '', /not sent: it is only for customers \(OTC\)/);
  });
}

test('RFC 9234 section 4.2: roles that do not fit refuse the session, a peer without one only where we are strict', () => {
  const state = (role: Role, more: Partial<PeerConfig>): string | undefined => {
    const world = new ScriptedWorld(
      config(OURS, [peer(UP, { passive: true, asn: asn(65001), role: 'provider', ...more })]),
      [],
    );
    try {
      new Talker(world, UP, { asn: 65001, capabilities: more.strictRole === true ? {} : { role } });
    } catch {
      // a session that does not come up
    }
    return world.state(UP) === 'Established' ? 'up' : world.speaker.peers(world.now)[0]?.lastError;
  };
  assert.equal(state('customer', {}), 'up');
  assert.match(
    state('provider', {}) ?? '',
    /role mismatch \(2\/11\): the peer says that its role is provider; our role/,
  );
  assert.match(state('customer', { strictRole: true }) ?? '', /the peer says no role/);
});

function received(talker: Talker): PathAttributes {
  const attributes = talker.routes().get(PREFIX);
  assert.ok(attributes !== undefined);
  return attributes;
}

test('RFC 7947 section 2.2: a route server changes neither path nor next hop nor MED nor communities', () => {
  const client = { routeServerClient: true };
  const { world, up, down } = rig(client, client, [OWN]);
  const sent: Partial<PathAttributes> = {
    asPath: [65001, 65009],
    nextHop: ip('10.0.0.77'),
    med: 7,
    communities: [0x00010002],
    largeCommunities: [[1, 2, 3]],
  };
  up.announce([PREFIX], sent);
  const { asPath, nextHop, med, communities, largeCommunities } = received(down);
  assert.deepEqual({ asPath, nextHop, med, communities, largeCommunities }, sent);
  assert.equal(world.speaker.peers(world.now)[1]?.type, 'route server client');
  const own = down.routes().get(OWN);
  assert.deepEqual([own?.asPath, own?.nextHop], [[64512], ip(OURS)], 'its own routes are those of an ordinary peer');
});

test('RFC 7947 section 2.2: two members of an exchange learn each other from our route server, with its number nowhere', () => {
  const net = new VirtualNet(1);
  const [server, left, right] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
  const member = { routeServerClient: true, passive: true };
  net.host(
    config(server, [peer(left, { ...member, asn: asn(65002) }), peer(right, { ...member, asn: asn(65003) })], {
      installs: false,
    }),
  );
  const toServer = peer(server, { enforceFirstAs: false });
  net.host(config(left, [toServer], { asn: asn(65002) }), [PREFIX]);
  const r = net.host(config(right, [toServer], { asn: asn(65003) }));
  net.run(5_000);
  assert.equal(everyRoute(r.speaker)[0]?.asPath, '65002');
  assert.equal(r.kernel.get(PREFIX), left);
});

test('RFC 7705 section 3: a peer is shown another number of ours, in OPEN and paths', () => {
  const net = new VirtualNet(2);
  net.host(config('10.0.0.1', [peer('10.0.0.2', { asn: asn(65002), localAsn: asn(64999) })]), [PREFIX]);
  const b = net.host(config('10.0.0.2', [peer('10.0.0.1', { asn: asn(64999), passive: true })], { asn: asn(65002) }));
  net.run(5_000);
  assert.equal(everyRoute(b.speaker)[0]?.asPath, '64999');
});

test('RFC 4271 section 6.2: a peer of any AS but ours is known by its OPEN; one of ours is refused', () => {
  for (const number of [65002, 64512]) {
    const net = new VirtualNet(3);
    const a = net.host(config('10.0.0.1', [peer('10.0.0.2', { asn: undefined })]));
    net.host(config('10.0.0.2', [peer('10.0.0.1', { passive: true })], { asn: asn(number) }), [PREFIX]);
    net.run(5_000);
    const [view] = a.speaker?.peers(net.now) ?? [];
    if (number === 65002) assert.deepEqual([view?.state, view?.asn, view?.type], ['Established', 65002, 'external']);
    else assert.match(view?.lastError ?? '', /the peer is in AS 64512, configured is any AS but our own/);
  }
});
