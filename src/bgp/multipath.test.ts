import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, originations, peer } from './virtual-net.suite.ts';
import type { PathAttributes } from './wire/attributes.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.18.9.0/24';
const SOURCES = ['10.0.0.1', '10.0.0.2', '10.0.0.3'] as const;

function rig(
  own: Partial<SpeakerConfig> = {},
  more: Partial<PeerConfig> = {},
): { world: ScriptedWorld; talkers: Talker[] } {
  const world = new ScriptedWorld(
    config(
      OURS,
      SOURCES.map((address) => peer(address, { passive: true, ...more })),
      own,
    ),
    [],
  );
  const talkers = SOURCES.map(
    (address, index) =>
      new Talker(world, address, { asn: more.asn === undefined ? 64512 : 65000, routerId: `9.9.9.${index + 1}` }),
  );
  return { world, talkers };
}

/** The last word on a prefix: its gateways, "discard", or "nothing". */
function installed(world: ScriptedWorld, prefix = PREFIX): string {
  const best = world.outputs.findLast((output) => output.kind === 'best' && formatCidr(output.prefix) === prefix);
  if (best?.kind !== 'best') return 'unknown';
  if (best.discard) return 'discard';
  return best.gateways.map(({ address }) => address.bytes.join('.')).join(' ') || 'nothing';
}

/** What three peers say, and which of them serve. */
const WAYS: [
  title: string,
  said: (Partial<PathAttributes> | undefined)[],
  own: Partial<SpeakerConfig>,
  gateways: string,
][] = [
  ['three that are equal', [{}, {}, {}], {}, '10.0.0.1 10.0.0.2 10.0.0.3'],
  ['at most two of three', [{}, {}, {}], { multipathMax: 2 }, '10.0.0.1 10.0.0.2'],
  ['one of three, the best', [{}, {}, {}], { multipathMax: 1 }, '10.0.0.1'],
  ['two of one next hop count once', [{}, { nextHop: ip('10.0.0.1') }, undefined], {}, '10.0.0.1'],
  ['a better LOCAL_PREF alone', [{}, { localPreference: 200 }, {}], {}, '10.0.0.2'],
  [
    'paths of equal length with other numbers',
    [{ asPath: [1, 2] }, { asPath: [3, 4] }, { asPath: [5] }],
    {},
    '10.0.0.3',
  ],
  ['paths of equal length', [{ asPath: [1, 2] }, { asPath: [3, 4] }, undefined], {}, '10.0.0.1 10.0.0.2'],
  [
    'MED within one neighbour',
    [
      { asPath: [1], med: 5 },
      { asPath: [1], med: 4 },
      { asPath: [2], med: 9 },
    ],
    {},
    '10.0.0.2 10.0.0.3',
  ],
  ['another ORIGIN', [{ origin: 2 }, { origin: 0 }, { origin: 1 }], {}, '10.0.0.2'],
  ['one through ourselves', [{ nextHop: ip(OURS) }, {}, undefined], {}, '10.0.0.2'],
];
for (const [title, said, own, gateways] of WAYS) {
  test(`RFC 4271 section 9.1.2, RFC 7938 section 6.3: ${title}`, () => {
    const { world, talkers } = rig(own);
    for (const [index, more] of said.entries()) if (more !== undefined) talkers[index]?.announce([PREFIX], more);
    assert.equal(installed(world), gateways);
    for (const [index, more] of said.entries()) if (more !== undefined) talkers[index]?.withdraw([PREFIX]);
    assert.equal(installed(world), 'nothing');
  });
}

test('RFC 7938 section 6.3: the kernel hears of a gateway that comes or goes, and of nothing else', () => {
  const { world, talkers } = rig();
  const count = (): number => world.outputs.filter(({ kind }) => kind === 'best').length;
  for (const talker of talkers) talker.announce([PREFIX]);
  assert.equal(count(), 3);
  talkers[0]?.announce([PREFIX], { communities: [1] });
  assert.equal(count(), 3, 'a community is no matter of forwarding');
  talkers[0]?.announce([PREFIX], { localPreference: 50 });
  assert.equal(installed(world), '10.0.0.2 10.0.0.3');
  assert.equal(count(), 4);
});

test('RFC 7938 section 6.3: link-local next hops are in the order of their devices', () => {
  const ends = [
    ['fe80::9', 'eth0'],
    ['fe80::1', 'eth1'],
  ] as const;
  const peers = ends.map(([address, device]) => peer(address, { passive: true, device }));
  const world = new ScriptedWorld(config(OURS, peers), []);
  for (const [address, device] of ends.toReversed()) {
    new Talker(world, address, { device, localAddress: 'fe80::a' }).announce(['fd18::/64'], { nextHop: ip(address) });
  }
  const best = world.outputs.findLast(({ kind }) => kind === 'best');
  assert.ok(best?.kind === 'best');
  assert.deepEqual(
    best.gateways.map(({ address, device }) => [formatIp(address), device]),
    ends,
  );
});

test('RFC 7938 section 6.3: of several ways peers are told the best one only', () => {
  const peers = [
    ...SOURCES.map((address) => peer(address, { passive: true, reflectorClient: true })),
    peer('10.0.0.9', { passive: true }),
  ];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const hearing = new Talker(world, '10.0.0.9');
  for (const address of SOURCES) new Talker(world, address).announce([PREFIX]);
  assert.deepEqual(hearing.only().nextHop, ip('10.0.0.1'));
});

test('RFC 4271 section 9.1.2: an external route is better than an internal one, and serves alone', () => {
  const peers = [peer(SOURCES[0], { passive: true }), peer(SOURCES[1], { passive: true, asn: asn(65000) })];
  const world = new ScriptedWorld(config(OURS, peers), []);
  new Talker(world, SOURCES[0]).announce([PREFIX], { asPath: [65000] });
  new Talker(world, SOURCES[1], { asn: 65000 }).announce([PREFIX]);
  assert.equal(installed(world), SOURCES[1]);
});

const WHOLE = '172.18.0.0/16';
const aggregate = (summaryOnly: boolean, ...prefixes: string[]): Partial<SpeakerConfig> => ({
  aggregates: prefixes.map((prefix) => ({ prefix: cidr(prefix), summaryOnly })),
});

test('RFC 4271 section 9.2.2.2: an aggregate is there as long as a part of it is, with ATOMIC_AGGREGATE and AGGREGATOR', () => {
  const { world, talkers } = rig(aggregate(false, WHOLE), { reflectorClient: true });
  const [first, second] = talkers;
  assert.ok(first !== undefined && second !== undefined);
  assert.deepEqual(second.prefixes(), []);
  first.announce([PREFIX, '172.18.10.0/24']);
  assert.deepEqual(second.prefixes(), [WHOLE, '172.18.10.0/24', PREFIX]);
  assert.deepEqual(first.prefixes(), [WHOLE]);
  const { atomicAggregate, aggregator, asPath, nextHop } = first.only();
  assert.deepEqual(
    { atomicAggregate, aggregator, asPath, nextHop },
    { atomicAggregate: true, aggregator: { asn: 64512, address: ip(OURS) }, asPath: [], nextHop: ip(OURS) },
  );
  assert.equal(installed(world, WHOLE), 'discard');
  assert.equal(installed(world, PREFIX), '10.0.0.1');
  first.withdraw([PREFIX]);
  assert.deepEqual(first.prefixes(), [WHOLE]);
  first.withdraw(['172.18.10.0/24']);
  assert.deepEqual([...first.prefixes(), ...second.prefixes()], []);
  assert.equal(installed(world, WHOLE), 'nothing');
});

test('RFC 4271 section 9.2.2.2: with summaryOnly the parts stay with us, and explain says so', () => {
  const { world, talkers } = rig(aggregate(true, WHOLE), { reflectorClient: true });
  talkers[0]?.announce([PREFIX, '172.19.0.0/24']);
  assert.deepEqual(talkers[1]?.prefixes(), [WHOLE, '172.19.0.0/24']);
  assert.equal(installed(world, PREFIX), '10.0.0.1');
  const verdict = world.speaker.explain(cidr(PREFIX))?.advertised[1]?.verdict;
  assert.equal(verdict, 'not sent: an aggregate of ours stands for it');
});

test('RFC 4271 section 9.2.2.2: an aggregate can be a part of another; the prefix itself is none', () => {
  const { talkers } = rig(aggregate(false, WHOLE, '172.16.0.0/12'));
  talkers[0]?.announce([WHOLE]);
  assert.deepEqual(talkers[1]?.prefixes(), ['172.16.0.0/12']);
  talkers[0]?.announce([PREFIX]);
  assert.deepEqual(talkers[1]?.prefixes(), ['172.16.0.0/12', WHOLE]);
  talkers[0]?.withdraw([PREFIX, WHOLE]);
  assert.deepEqual(talkers[1]?.prefixes(), []);
});

test('RFC 4271 section 9.2.2.2: parts may be our own, and of IPv6; announcing the aggregate itself does not end it', () => {
  const { world, talkers } = rig(aggregate(true, WHOLE, 'fd18::/32'));
  const announce = (...prefixes: string[]): void =>
    world.tell({ kind: 'announce', originations: originations(prefixes) });
  announce(PREFIX, 'fd18:0:1::/64');
  assert.deepEqual(talkers[0]?.prefixes(), [WHOLE, 'fd18::/32']);
  assert.equal(installed(world, 'fd18::/32'), 'discard');
  announce(PREFIX, WHOLE);
  assert.deepEqual(talkers[0]?.prefixes(), [WHOLE]);
  announce(PREFIX);
  assert.deepEqual(talkers[0]?.prefixes(), [WHOLE]);
  announce();
  assert.deepEqual(talkers[0]?.prefixes(), []);
});

test('RFC 4271 section 9.2.2.2: with a route of a peer for the aggregate itself ours is the better one', () => {
  const { world, talkers } = rig(aggregate(false, WHOLE));
  talkers[0]?.announce([WHOLE], { localPreference: 900 });
  assert.equal(installed(world, WHOLE), '10.0.0.1');
  talkers[1]?.announce([PREFIX]);
  assert.equal(installed(world, WHOLE), 'discard');
  talkers[1]?.withdraw([PREFIX]);
  assert.equal(installed(world, WHOLE), '10.0.0.1');
});
