import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { peerName } from './contract.ts';
import type { PeerConfig } from './peer-config.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, peer, VirtualNet } from './virtual-net.suite.ts';
import type { Capabilities } from './wire/capabilities.ts';
import { LLGR_STALE, NO_LLGR } from './wire/communities.ts';
import { bgpError, hardReset } from './wire/errors.ts';
import { encodeMessage, encodeNotification, MESSAGE_TYPE } from './wire/message.ts';

const OURS = '10.0.0.100';
const PEER = '10.0.0.2';
const PREFIX = '172.18.9.0/24';
const PREFIX6 = 'fd18:9::/64';
const name = peerName({ address: ip(PEER), device: undefined });

interface Gr {
  readonly notification?: boolean;
  readonly preserved?: boolean;
  readonly seconds?: number;
  readonly families?: readonly (4 | 6)[];
}

function restarts({ notification = true, preserved = true, seconds = 60, families = [4, 6] }: Gr = {}) {
  const rows = families.map((family) => ({ family, forwardingPreserved: preserved }));
  return { gracefulRestart: { restarting: false, notification, restartTimeSeconds: seconds, families: rows } };
}

const lastsLong = (staleSeconds: number): Partial<Capabilities> => ({
  longLived: ([4, 6] as const).map((family) => ({ family, forwardingPreserved: true, staleSeconds })),
});

function rig(
  capabilities: Partial<Capabilities>,
  more: Partial<PeerConfig> = {},
): { world: ScriptedWorld; talker: Talker } {
  const world = new ScriptedWorld(config(OURS, [peer(PEER, { passive: true, ...more })]), ['172.17.8.0/24']);
  const talker = new Talker(world, PEER, { capabilities });
  talker.announce([PREFIX]);
  talker.announce([PREFIX6], { nextHop: ip('fd00::2') });
  talker.endOfRib(4, 6);
  talker.words();
  assert.deepEqual(world.kernel(), [PREFIX, PREFIX6]);
  return { world, talker };
}

type Ending = (world: ScriptedWorld, talker: Talker) => void;

const reset: Ending = (world) => {
  world.tell({ kind: 'command', peer: name, command: { kind: 'reset', communication: '' } });
};
const told =
  (error: ReturnType<typeof bgpError>): Ending =>
  (_world, talker) =>
    talker.say(encodeNotification(error));
const configured =
  (...peers: PeerConfig[]): Ending =>
  (world) =>
    world.tell({ kind: 'configure', config: config(OURS, peers) });

/** How a session ends, whether its routes stay if both sides have the N bit, and if not; and what the peer is told. */
const ENDINGS: [title: string, end: Ending, keptWithN: boolean, keptWithout: boolean, said: RegExp][] = [
  ['a lost connection', (_, talker) => talker.vanish(), true, true, /^$/],
  ['an expired hold timer', (world) => world.run(91_000), true, false, /hold timer expired \(4\/0\)/],
  ['a NOTIFICATION received', told(bgpError('administrativeReset', '')), true, false, /^closed$/],
  ['a hard reset received', told(hardReset(bgpError('administrativeReset', ''))), false, false, /^closed$/],
  ['a shutdown by the peer', told(bgpError('administrativeShutdown', '')), true, false, /^closed$/],
  ['a reset by command', reset, true, false, /administrative reset \(6\/4\)/],
  [
    'a malformed UPDATE',
    (_, talker) => talker.say(encodeMessage(MESSAGE_TYPE.update, Uint8Array.of(0, 9, 0, 0))),
    true,
    false,
    /malformed attribute list \(3\/1\)/,
  ],
  [
    'another hold time in the configuration',
    configured(peer(PEER, { passive: true, holdTimeSeconds: 30 })),
    true,
    false,
    /other configuration change \(6\/6\)/,
  ],
  ['BFD', (world) => world.tell({ kind: 'bfdDown', peer: name, reason: 'test' }), false, false, /BFD down \(6\/10\)/],
  ['its removal', configured(), false, false, /peer de-configured \(6\/3\)/],
  [
    'a shutdown by us',
    configured(peer(PEER, { passive: true, shutdown: 'new rack' })),
    false,
    false,
    /administrative shutdown \(6\/2\): new rack/,
  ],
  [
    'too many prefixes',
    (world, talker) => {
      configured(peer(PEER, { passive: true, prefixesMax: 2 }))(world, talker);
      talker.announce(['172.18.10.0/24']);
    },
    false,
    false,
    /maximum number of prefixes reached \(6\/1\)/,
  ],
];
for (const [title, end, keptWithN, keptWithout, said] of ENDINGS) {
  for (const notification of [true, false]) {
    const kept = notification ? keptWithN : keptWithout;
    test(`RFC 8538 section 3: ${title} ${kept ? 'keeps' : 'drops'} routes ${notification ? 'with' : 'without'} the N bit`, () => {
      const { world, talker } = rig(restarts({ notification }));
      end(world, talker);
      assert.notEqual(world.state(PEER), 'Established');
      assert.equal(world.kernel().length, kept ? 2 : 0);
      const words = talker.words().filter((word) => word !== 'closed' || said.test(word));
      assert.match(words.join(), said);
      // A peer that would keep our routes is told by a hard reset not to.
      if (notification && !keptWithN && !title.endsWith('received'))
        assert.match(words.join(), /hard reset \(6\/9\): /);
      world.run(61_000);
      assert.deepEqual(world.kernel(), []);
    });
  }
}

const WATCHED = { intervalMs: 300, multiplier: 3, multihop: false } as const;

/** What meets a dial to a peer whose process has ended, and whether its routes stay. */
const DIALS: [title: string, answer: string | undefined, more: Partial<PeerConfig>, kept: boolean][] = [
  ['a kernel that is alive refuses', 'ECONNREFUSED', { bfd: WATCHED }, true],
  ['nobody answers', undefined, { bfd: WATCHED }, false],
  ['the neighbour does not resolve', 'EHOSTUNREACH', { bfd: WATCHED }, false],
  ['our own link is gone', 'ENETUNREACH', { bfd: WATCHED }, false],
  ['nobody answers, and the path is not to be watched', undefined, {}, true],
];
for (const [title, answer, more, kept] of DIALS) {
  test(`RFC 4724 section 4.2: while a peer restarts, ${title}: its routes ${kept ? 'stay' : 'go'}`, () => {
    const { world, talker } = rig(restarts(), { passive: false, ...more });
    talker.vanish();
    world.run(1_000);
    const connection = world.dialled();
    assert.ok(connection !== undefined && connection !== talker.connection);
    if (answer !== undefined) world.tell({ kind: 'connectFailed', connection, reason: answer });
    assert.equal(world.kernel().length, kept || answer === undefined ? 2 : 0);
    if (answer === undefined) world.run(5_500);
    assert.equal(world.kernel().length, kept ? 2 : 0);
  });
}

test('RFC 4724 section 3: our OPEN names the families with their F bit, and says R only after a start', () => {
  const rows: [PeerConfig['gracefulRestart'], unknown][] = [
    [
      'full',
      {
        restarting: true,
        notification: true,
        restartTimeSeconds: 120,
        families: [4, 6].map((family) => ({ family, forwardingPreserved: true })),
      },
    ],
    ['helper', { restarting: true, notification: true, restartTimeSeconds: 0, families: [] }],
    ['off', undefined],
  ];
  for (const [gracefulRestart, expected] of rows) {
    const world = new ScriptedWorld(config(OURS, [peer(PEER, { passive: true, gracefulRestart })]), []);
    assert.deepEqual(world.openOn(world.accept(PEER)).capabilities.gracefulRestart, expected);
  }
});

const MODES: [title: string, capabilities: Partial<Capabilities>, more: Partial<PeerConfig>, kept: string[]][] = [
  ['we only help', restarts(), { gracefulRestart: 'helper' }, [PREFIX, PREFIX6]],
  ['we have it off', restarts(), { gracefulRestart: 'off' }, []],
  ['the peer has none', {}, {}, []],
  ['the peer has it for IPv4 only', restarts({ families: [4] }), {}, [PREFIX]],
  ['the peer only helps', restarts({ families: [] }), {}, []],
  ['the peer restarts in no time', restarts({ seconds: 0 }), {}, []],
];
for (const [title, capabilities, more, kept] of MODES) {
  test(`RFC 4724 section 4.2: ${kept.length} of 2 routes are kept when ${title}`, () => {
    const { world, talker } = rig(capabilities, more);
    talker.vanish();
    assert.deepEqual(world.kernel(), kept);
  });
}

test('RFC 4724 section 4.2: a family that the returning peer no longer has is gone at once, the other at its end', () => {
  const { world, talker } = rig(restarts());
  talker.vanish();
  const again = new Talker(world, PEER, { capabilities: { ...restarts({ families: [4] }), families: [4] } });
  assert.deepEqual(world.kernel(), [PREFIX]);
  again.endOfRib(4);
  assert.deepEqual(world.kernel(), []);
  assert.equal(world.speaker.peers(world.now)[0]?.stale, false);
});

const HEARERS: [address: string, capabilities: Partial<Capabilities>][] = [
  ['10.0.0.3', { ...restarts(), longLived: [] }],
  ['10.0.0.4', restarts()],
];

/** A peer whose routes are kept long, and two that are told of them, of whom one knows of it. */
function longLived(seconds = 60, more: Partial<PeerConfig> = {}) {
  const peers = [
    peer(PEER, { passive: true, reflectorClient: true, longLivedStaleSeconds: 1_000, holdTimeSeconds: 0, ...more }),
    ...HEARERS.map(([address]) => peer(address, { passive: true, longLivedStaleSeconds: 1_000, holdTimeSeconds: 0 })),
  ];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const capabilities = { ...restarts({ seconds }), ...lastsLong(600) };
  const talker = new Talker(world, PEER, { capabilities });
  const [knowing, other] = HEARERS.map(([address, own]) => new Talker(world, address, { capabilities: own }));
  assert.ok(knowing !== undefined && other !== undefined);
  return { world, talker, knowing, other, capabilities };
}

test('RFC 9494 section 4.2: after the restart time routes are a last resort, until their own time is over', () => {
  const { world, talker, knowing, other } = longLived();
  talker.announce([PREFIX], { communities: [5] });
  talker.announce(['172.18.10.0/24'], { communities: [NO_LLGR] });
  talker.vanish();
  assert.equal(knowing.prefixes().length, 2);
  world.run(59_000);
  assert.equal(knowing.prefixes().length, 2);
  world.run(2_000);
  assert.deepEqual(world.kernel(), [PREFIX], 'NO_LLGR is not kept so long');
  assert.deepEqual(knowing.only().communities, [5, LLGR_STALE]);
  assert.deepEqual(other.prefixes(), [], 'not to peers that do not know of it (section 4.3)');
  const explained = world.speaker.explain(cidr(PREFIX));
  assert.match(
    String(explained?.advertised.map(({ verdict }) => verdict)),
    /not sent: it is stale \(LLGR\), and the peer/,
  );
  assert.equal(world.speaker.peers(world.now)[0]?.stale, true);
  world.run(598_000);
  assert.deepEqual(world.kernel(), [PREFIX]);
  world.run(3_000);
  assert.deepEqual(world.kernel(), []);
  assert.deepEqual(knowing.prefixes(), []);
});

test('RFC 9494 section 4.3: any fresh route is better, however bad it is', () => {
  const { world, talker, knowing, other } = longLived();
  talker.announce([PREFIX], { localPreference: 900 });
  other.announce([PREFIX], { localPreference: 1, asPath: [1, 2, 3] });
  talker.vanish();
  const best = (): string | undefined => everyRoute(world.speaker).find((route) => route.best)?.from;
  assert.equal(best(), PEER);
  world.run(61_000);
  assert.equal(best(), '10.0.0.4');
  assert.match(
    world.speaker.explain(cidr(PREFIX))?.candidates[1]?.verdict ?? '',
    /lost at: not long-lived stale \(long-lived stale, the best is fresh\)/,
  );
  assert.deepEqual(knowing.prefixes(), []);
});

test('RFC 9494 section 4.2: the peer that returns confirms its routes', () => {
  const { world, talker, knowing, capabilities } = longLived();
  talker.announce([PREFIX, '172.18.10.0/24']);
  talker.vanish();
  world.run(61_000);
  knowing.words();
  const again = new Talker(world, PEER, { capabilities });
  assert.equal(world.kernel().length, 2);
  again.announce([PREFIX]);
  assert.deepEqual(knowing.routes().get(PREFIX)?.communities, []);
  again.endOfRib(4, 6);
  assert.deepEqual(world.kernel(), [PREFIX]);
  assert.deepEqual(knowing.words(), [`+${PREFIX}`, '-172.18.10.0/24']);
});

test('RFC 9494 section 4.2: without a restart time the long one begins at once; we keep them no longer than configured', () => {
  const { world, talker } = longLived(0, { longLivedStaleSeconds: 100 });
  talker.announce([PREFIX]);
  talker.vanish();
  world.run(0);
  assert.deepEqual(
    everyRoute(world.speaker).map(({ communities }) => communities),
    [['llgr-stale']],
  );
  world.run(99_000);
  assert.deepEqual(world.kernel(), [PREFIX]);
  world.run(2_000);
  assert.deepEqual(world.kernel(), []);
});

test('RFC 9494 section 3.1: between two of ours the last resort lasts as configured', () => {
  const net = new VirtualNet(1);
  const more = { longLivedStaleSeconds: 600, restartTimeSeconds: 20 };
  const a = net.host(config('10.0.0.1', [peer(PEER, more)]));
  const b = net.host(config(PEER, [peer('10.0.0.1', { ...more, passive: true })]), [PREFIX]);
  net.run(3_000);
  net.kill(b, { fin: true });
  net.run(30_000);
  assert.equal(a.kernel.get(PREFIX), PEER);
  assert.deepEqual(everyRoute(a.speaker)[0]?.communities, ['llgr-stale']);
  net.start(b);
  net.run(20_000);
  assert.deepEqual(everyRoute(a.speaker)[0]?.communities, []);
  net.kill(b, { fin: true });
  net.run(621_000);
  assert.equal(a.kernel.size, 0);
});

test('RFC 4724 section 4.1: reflector and clients that start together do not wait for each other', () => {
  const net = new VirtualNet(2);
  const clients = ['10.0.0.2', '10.0.0.3', '10.0.0.4'];
  const reflector = net.host(
    config(
      '10.0.0.1',
      clients.map((address) => peer(address, { reflectorClient: true, passive: true })),
    ),
    [],
  );
  const hosts = clients.map((address, index) =>
    net.host(config(address, [peer('10.0.0.1')]), [`172.18.${index}.0/24`]),
  );
  net.run(5_000);
  for (const host of [reflector, ...hosts]) {
    assert.equal(host.outputs.filter(({ kind }) => kind === 'initialConvergence').length, 1);
  }
  for (const host of hosts) assert.equal(host.kernel.size, 2);
});

test('RFC 4724 section 4.1: a reflector that restarts says End-of-RIB only when it has heard its clients again', () => {
  const peers = [PEER, '10.0.0.3'].map((address) => peer(address, { passive: true, reflectorClient: true }));
  const world = new ScriptedWorld(config(OURS, peers), ['172.17.8.0/24']);
  const first = new Talker(world, PEER, { capabilities: restarts() });
  first.endOfRib(4, 6);
  assert.deepEqual(first.words(), ['+172.17.8.0/24']);
  const second = new Talker(world, '10.0.0.3', { capabilities: restarts() });
  second.announce([PREFIX]);
  second.endOfRib(4);
  assert.deepEqual(first.words(), [`+${PREFIX}`]);
  second.endOfRib(6);
  assert.deepEqual(first.words(), ['end 4', 'end 6']);
});

test('RFC 4724 section 4.1: an external peer counts as one whose routes we pass on', () => {
  const peers = [peer(PEER, { passive: true }), peer('10.0.0.3', { passive: true, asn: asn(65000) })];
  const world = new ScriptedWorld(config(OURS, peers), []);
  world.tell({ kind: 'announce', originations: [] });
  const first = new Talker(world, PEER, { capabilities: restarts() });
  first.endOfRib(4, 6);
  assert.deepEqual(first.words(), []);
  const external = new Talker(world, '10.0.0.3', { asn: 65000, capabilities: restarts() });
  external.endOfRib(4, 6);
  assert.deepEqual(first.words(), ['end 4', 'end 6']);
});
