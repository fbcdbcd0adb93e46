import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import type { Policy, PolicyOperation } from './policy/policy-rules.ts';
import { ACCEPT_ALL, REJECT_ALL } from './policy/policy-rules.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, peer } from './virtual-net.suite.ts';

const OURS = '10.0.0.100';
const [SPEAKING, HEARING, OTHER] = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];
const PREFIXES = ['172.18.1.0/24', '172.18.2.0/24', '172.18.3.0/24'];

/** Rejects a prefix, changes those below another one, and accepts the rest. */
function policy(rejected: string, changed?: string, operation?: PolicyOperation): Policy {
  const condition = (text: string) => ({
    cidr: cidr(text),
    operator: 'In' as const,
    lengthMin: undefined,
    lengthMax: undefined,
  });
  const rules: Policy['rules'] = [
    { name: 'not that', family: 4, prefix: condition(rejected), action: 'reject', operations: [] },
  ];
  if (changed === undefined || operation === undefined) return { rules, otherwise: 'accept' };
  return {
    rules: [
      ...rules,
      { name: 'changed', family: 4, prefix: condition(changed), action: 'accept', operations: [operation] },
    ],
    otherwise: 'accept',
  };
}

class Bench {
  readonly world: ScriptedWorld;
  readonly speaking: Talker;
  readonly hearing: Talker;
  readonly other: Talker;
  readonly #own: Partial<SpeakerConfig>;
  #quietAt = 0;

  /** A client that says three prefixes, and two others that hear them. */
  constructor(own: Partial<SpeakerConfig> = {}, hearing: Partial<PeerConfig> = {}) {
    this.#own = own;
    this.world = new ScriptedWorld(this.#config({}, hearing, {}), []);
    this.speaking = new Talker(this.world, SPEAKING);
    this.hearing = new Talker(this.world, HEARING);
    this.other = new Talker(this.world, OTHER);
    this.speaking.announce(PREFIXES);
    assert.deepEqual(this.hearing.prefixes(), PREFIXES);
    this.quiet();
  }

  quiet(): void {
    for (const talker of [this.speaking, this.hearing, this.other]) talker.words();
    this.#quietAt = this.world.outputs.length;
  }

  /** How many gateways each prefix was given since it was last quiet. */
  installed(): number[] {
    const outputs = this.world.outputs.slice(this.#quietAt);
    return outputs.flatMap((output) => (output.kind === 'best' ? [output.gateways.length] : []));
  }

  /** Changes the configuration of peers or of ourselves; answers what the hearing one is told. */
  change(speaking: Partial<PeerConfig>, hearing: Partial<PeerConfig> = {}, own: Partial<SpeakerConfig> = {}): string[] {
    this.world.tell({ kind: 'configure', config: this.#config(speaking, hearing, own) });
    for (const address of [SPEAKING, HEARING, OTHER]) assert.equal(this.world.state(address), 'Established');
    return this.hearing.words();
  }

  #config(speaking: Partial<PeerConfig>, hearing: Partial<PeerConfig>, own: Partial<SpeakerConfig>): SpeakerConfig {
    const client = { passive: true, reflectorClient: true };
    const peers = [
      peer(SPEAKING, { ...client, ...speaking }),
      peer(HEARING, { passive: true, ...hearing }),
      peer(OTHER, { passive: true }),
    ];
    return config(OURS, peers, { ...this.#own, ...own });
  }
}

const [FIRST = '', SECOND = '', THIRD = ''] = PREFIXES;
const MED: PolicyOperation = { kind: 'setMed', value: 5 };

/** What changes in the configuration of the speaking peer, and of the hearing one; what the hearing one is told; what the other one is. */
const CHANGES: [
  title: string,
  speaking: Partial<PeerConfig>,
  hearing: Partial<PeerConfig>,
  heard: string[],
  others: string[],
][] = [
  ['nothing', {}, {}, [], []],
  ['a description', { description: 'new' }, { description: 'new' }, [], []],
  ['an import policy that rejects one prefix', { importPolicy: policy(SECOND) }, {}, [`-${SECOND}`], [`-${SECOND}`]],
  [
    'an import policy that changes one prefix',
    { importPolicy: policy('1.0.0.0/8', THIRD, MED) },
    {},
    [`+${THIRD}`],
    [`+${THIRD}`],
  ],
  [
    'an import policy that rejects all',
    { importPolicy: REJECT_ALL },
    {},
    PREFIXES.map((p) => `-${p}`),
    PREFIXES.map((p) => `-${p}`),
  ],
  ['an equal import policy', { importPolicy: { ...ACCEPT_ALL, rules: [] } }, {}, [], []],
  ['an export policy that rejects one prefix', {}, { exportPolicy: policy(SECOND) }, [`-${SECOND}`], []],
  [
    'an export policy that changes one prefix',
    {},
    { exportPolicy: policy('1.0.0.0/8', THIRD, MED) },
    [`+${THIRD}`],
    [],
  ],
  [
    'an export policy that rejects one and changes one',
    {},
    { exportPolicy: policy(FIRST, THIRD, MED) },
    [`-${FIRST}`, `+${THIRD}`],
    [],
  ],
  ['an equal export policy', {}, { exportPolicy: { ...ACCEPT_ALL, rules: [] } }, [], []],
  [
    'the speaking peer is no client any more',
    { reflectorClient: false },
    {},
    PREFIXES.map((p) => `-${p}`),
    PREFIXES.map((p) => `-${p}`),
  ],
  ['the hearing peer becomes a client, too', {}, { reflectorClient: true }, [], []],
  ['next hop self, which is not for reflected routes', {}, { nextHop: 'self' }, [], []],
  ['limits and times', { prefixesMax: 5, connectRetrySeconds: 9 }, { keepaliveSeconds: 7 }, [], []],
];
for (const [title, speaking, hearing, heard, others] of CHANGES) {
  test(`soft reconfiguration: ${title}`, () => {
    const bench = new Bench();
    assert.deepEqual(bench.change(speaking, hearing).sort(), [...heard].sort());
    assert.deepEqual(bench.other.words().sort(), [...others].sort());
    assert.deepEqual(bench.speaking.words(), []);
    if (speaking.importPolicy === undefined) assert.deepEqual(bench.installed(), []);
    bench.quiet();
    const expected = bench.change({}, {}).sort();
    const undone = heard.map((word) => `+${word.slice(1)}`);
    assert.deepEqual(expected, undone.sort(), 'the way back is the difference, too');
    assert.deepEqual(bench.hearing.prefixes(), PREFIXES);
  });
}

test('soft reconfiguration: one peer is a client in place of another', () => {
  const bench = new Bench();
  assert.deepEqual(bench.change({ reflectorClient: false }, { reflectorClient: true }), []);
  assert.deepEqual(bench.other.prefixes(), []);
  bench.change({}, {});
  assert.deepEqual([bench.hearing.prefixes(), bench.other.prefixes()], [PREFIXES, PREFIXES]);
});

test('soft reconfiguration: prefixesMax below what is there ends the session with the next prefix, not before', () => {
  const bench = new Bench();
  bench.change({ prefixesMax: 2 });
  bench.speaking.announce(['172.18.4.0/24']);
  assert.match(bench.speaking.words().join(), /maximum number of prefixes/);
});

test('soft reconfiguration: allowedOwnAsns lets in what was a loop, and out again', () => {
  const bench = new Bench();
  bench.speaking.announce(['172.18.4.0/24'], { asPath: [65001, 64512] });
  assert.deepEqual(bench.hearing.words(), []);
  assert.deepEqual(bench.change({ allowedOwnAsns: 1 }), ['+172.18.4.0/24']);
  assert.deepEqual(bench.change({ allowedOwnAsns: 0 }), ['-172.18.4.0/24']);
});

test('soft reconfiguration: another cluster identifier reaches all that are told reflected routes', () => {
  const bench = new Bench();
  assert.deepEqual(
    bench.change({}, {}, { clusterId: 9 }).sort(),
    PREFIXES.map((prefix) => `+${prefix}`),
  );
  assert.deepEqual(bench.hearing.routes().get(FIRST)?.clusterList, [9]);
  bench.speaking.announce([FIRST], { clusterList: [8] });
  bench.quiet();
  assert.ok(bench.change({}, {}, { clusterId: 8 }).includes(`-${FIRST}`), 'what is a loop now is not used any more');
  assert.deepEqual(bench.speaking.words(), []);
});

test('soft reconfiguration: another address of ours changes only routes that have it as next hop', () => {
  const bench = new Bench();
  const own = { device: undefined, communities: [], largeCommunities: [], localPreference: undefined };
  bench.world.tell({ kind: 'announce', originations: [{ prefix: cidr('172.17.8.0/24'), ...own }] });
  bench.quiet();
  assert.deepEqual(bench.change({}, {}, { nextHops: { 4: ip('10.0.0.77') } }), ['+172.17.8.0/24']);
  assert.deepEqual(bench.hearing.routes().get('172.17.8.0/24')?.nextHop, ip('10.0.0.77'));
  assert.deepEqual(bench.change({}, {}, { nextHops: {} }), ['+172.17.8.0/24']);
  assert.deepEqual(bench.hearing.routes().get('172.17.8.0/24')?.nextHop, ip(OURS));
});

test('soft reconfiguration: aggregates come and go, with what they stand for', () => {
  const bench = new Bench();
  const whole = cidr('172.18.0.0/16');
  const aggregates = (summaryOnly: boolean) => ({ aggregates: [{ prefix: whole, summaryOnly }] });
  assert.deepEqual(bench.change({}, {}, aggregates(false)), ['+172.18.0.0/16']);
  assert.deepEqual(
    bench.change({}, {}, aggregates(true)).sort(),
    PREFIXES.map((prefix) => `-${prefix}`),
  );
  assert.deepEqual(bench.hearing.prefixes(), ['172.18.0.0/16']);
  assert.deepEqual(bench.change({}, {}).sort(), [...PREFIXES.map((prefix) => `+${prefix}`), '-172.18.0.0/16'].sort());
});

test('soft reconfiguration: ways and whether they are wanted', () => {
  const bench = new Bench();
  bench.other.announce([FIRST]);
  const best = (): number | undefined => bench.installed().at(-1);
  assert.equal(best(), 2);
  bench.change({}, {}, { multipathMax: 1 });
  assert.equal(best(), 1);
  bench.quiet();
  bench.change({}, {}, { multipathMax: 1, installs: false });
  bench.speaking.announce(['172.18.4.0/24']);
  assert.equal(best(), undefined);
});

test('soft reconfiguration: what changes while the difference is being told is told, too', () => {
  const bench = new Bench();
  const { world, hearing } = bench;
  const rejecting = [
    peer(SPEAKING, { passive: true, reflectorClient: true }),
    peer(HEARING, { passive: true, exportPolicy: policy(SECOND) }),
    peer(OTHER, { passive: true }),
  ];
  world.outputs.push(...world.speaker.handle(world.now, { kind: 'configure', config: config(OURS, rejecting) }));
  bench.speaking.withdraw([SECOND, THIRD]);
  assert.deepEqual(hearing.prefixes(), [FIRST]);
});

test('soft reconfiguration: another AS of the peer, another key or another family need a new session', () => {
  for (const more of [{ asn: asn(65001) }, { password: 'x' }, { families: [4] as const }]) {
    const bench = new Bench();
    bench.world.tell({
      kind: 'configure',
      config: config(OURS, [
        peer(SPEAKING, { passive: true, reflectorClient: true }),
        peer(HEARING, { passive: true, ...more }),
        peer(OTHER, { passive: true }),
      ]),
    });
    assert.match(bench.hearing.words().join(), /other configuration change \(6\/6\)|hard reset/);
    assert.deepEqual([...bench.speaking.words(), ...bench.other.words()], []);
    assert.equal(everyRoute(bench.world.speaker).length, 3);
  }
});

test('soft reconfiguration: an external peer that is given policies is told and heard without a reset (RFC 8212)', () => {
  const none = { passive: true, asn: asn(65000), importPolicy: undefined, exportPolicy: undefined };
  const world = new ScriptedWorld(config(OURS, [peer(SPEAKING, none)]), [FIRST]);
  const talker = new Talker(world, SPEAKING, { asn: 65000 });
  talker.announce([SECOND]);
  assert.deepEqual([talker.prefixes(), world.kernel()], [[], []]);
  world.tell({ kind: 'configure', config: config(OURS, [peer(SPEAKING, { ...none, importPolicy: ACCEPT_ALL })]) });
  assert.deepEqual([talker.prefixes(), world.kernel()], [[], [SECOND]]);
  world.tell({ kind: 'configure', config: config(OURS, [peer(SPEAKING, { ...none, exportPolicy: ACCEPT_ALL })]) });
  assert.deepEqual([talker.prefixes(), world.kernel()], [[FIRST], []]);
});

test('soft reconfiguration: a collector that comes later is told of all sessions that are up (RFC 7854)', () => {
  const bench = new Bench();
  const told = (): string[] =>
    bench.world.outputs.flatMap((output) => (output.kind === 'monitor' ? [`${output.peer} ${output.event.kind}`] : []));
  bench.change({}, {}, { monitors: true });
  assert.deepEqual(told(), [`${SPEAKING} up`, `${HEARING} up`, `${OTHER} up`]);
  bench.change({}, {}, { monitors: true });
  bench.speaking.withdraw([FIRST]);
  assert.deepEqual(told().slice(3), [`${SPEAKING} update`]);
});

test('RFC 4486 section 4: prefixes of both families count for the limit, routes that policy rejects, too', () => {
  const limited = peer(SPEAKING, { passive: true, prefixesMax: 2, importPolicy: REJECT_ALL });
  const world = new ScriptedWorld(config(OURS, [limited]), []);
  const talker = new Talker(world, SPEAKING);
  talker.announce([FIRST]);
  talker.announce(['fd18::/64'], { nextHop: ip('fd00::1') });
  talker.announce([FIRST]);
  assert.equal(world.state(SPEAKING), 'Established');
  talker.announce([SECOND]);
  assert.match(talker.words().join(), /cease: maximum number of prefixes reached \(6\/1\): data 00010100000002,closed/);
  assert.equal(world.state(SPEAKING), 'Idle');
});
