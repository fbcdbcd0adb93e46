/**
 * Tables larger than a slice of work, peers that do not read, peers that come and go: what is bounded, and what is left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { instant } from '../lib/clock.ts';
import { asn } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { type ConnectionId, peerName } from './contract.ts';
import { INTERNAL_PEER, type SpeakerConfig } from './peer-config.ts';
import { ACCEPT_ALL, type Policy } from './policy/policy-rules.ts';
import { announce, openFrom, restartCapability, ScriptedWorld } from './scripted-peer.suite.ts';
import { createSpeaker } from './speaker.ts';
import { config, originations, peer } from './virtual-net.suite.ts';
import { isBgpError } from './wire/errors.ts';
import { KEEPALIVE, MESSAGE_TYPE, MessageFramer } from './wire/message.ts';
import { prefixesIn } from './wire/nlri.ts';
import { INTERNAL } from './wire/update.suite.ts';
import { UpdateDecoder } from './wire/update.ts';

const SPEAKER = '10.0.0.100';
const TALKER = '10.0.0.1';
const HEARER = '10.0.0.2';
const OTHER = '10.0.0.3';
const CLIENT = { passive: true, reflectorClient: true } as const;

/** More than a slice of settling and feeding. */
const MANY = 17_000;
const many = (count: number): string[] =>
  Array.from({ length: count }, (_, index) => `11.${index >> 8}.${index & 255}.0/24`);

/** The table that follows from all that was sent on a connection, and the End-of-RIBs in it. */
function heard(world: ScriptedWorld, connection: ConnectionId): { prefixes: Set<string>; ends: string[] } {
  const prefixes = new Set<string>();
  const ends: string[] = [];
  const framer = new MessageFramer();
  const decoder = new UpdateDecoder(INTERNAL);
  framer.messageBytesMax = 65_535;
  for (const output of world.outputs) {
    if (output.kind !== 'send' || output.connection !== connection) continue;
    for (const { type, body } of framer.push(output.bytes).frames) {
      if (type !== MESSAGE_TYPE.update) continue;
      const update = decoder.decode(body);
      assert.ok(!isBgpError(update));
      if (update.endOfRib !== undefined) ends.push(`IPv${update.endOfRib} after ${prefixes.size}`);
      for (const range of update.withdrawn) {
        for (const { prefix } of prefixesIn(body, range)) prefixes.delete(formatCidr(prefix));
      }
      for (const { range } of update.announced) {
        for (const { prefix } of prefixesIn(body, range)) prefixes.add(formatCidr(prefix));
      }
    }
  }
  return { prefixes, ends };
}

const clients = (more: Parameters<typeof peer>[1] = {}): SpeakerConfig =>
  config(SPEAKER, [peer(TALKER, CLIENT), peer(HEARER, { ...CLIENT, ...more }), peer(OTHER, CLIENT)]);

test('RFC 4724 section 2: End-of-RIB comes behind the last route, also of a table of several slices', () => {
  const world = new ScriptedWorld(clients(), many(MANY));
  world.run(200_000);
  const connection = world.establish(HEARER, openFrom(HEARER));
  const early = heard(world, connection);
  assert.equal(early.prefixes.size, MANY);
  assert.deepEqual(early.ends.sort(), [`IPv4 after ${MANY}`, `IPv6 after ${MANY}`]);

  const other = new ScriptedWorld(clients());
  other.run(200_000);
  const accepted = other.accept(HEARER);
  // Nothing of it is settled yet when the session comes up.
  other.speaker.handle(other.now, { kind: 'announce', originations: originations(many(MANY)) });
  other.receive(accepted, openFrom(HEARER), KEEPALIVE);
  const late = heard(other, accepted);
  assert.deepEqual(late.ends.sort(), [`IPv4 after ${MANY}`, `IPv6 after ${MANY}`]);
});

test('a policy that changes in the midst of withdrawals leaves the peer with the right table', () => {
  const none: Policy = { rules: [], otherwise: 'reject' };
  const condition = { cidr: cidr('11.0.0.0/11'), operator: 'In', lengthMin: undefined, lengthMax: undefined } as const;
  const half: Policy = {
    rules: [{ name: 'half', prefix: condition, action: 'reject', operations: [] }],
    otherwise: 'accept',
  };
  const kept = many(MANY).filter((_, index) => index % 3 === 0);
  const keptByHalf = kept.filter((text) => Number(text.split('.')[1]) > 31);
  for (const [first, policies, expected] of [
    [ACCEPT_ALL, [half], keptByHalf],
    [ACCEPT_ALL, [half, none, ACCEPT_ALL], kept],
    [none, [ACCEPT_ALL, half], keptByHalf],
  ] as const) {
    for (const isBlocked of [false, true]) {
      const world = new ScriptedWorld(clients({ exportPolicy: first }), many(MANY));
      world.run(200_000);
      const connection = world.establish(HEARER, openFrom(HEARER));
      if (isBlocked) world.tell({ kind: 'blocked', connection });
      world.speaker.handle(world.now, { kind: 'announce', originations: originations(kept) });
      for (const exportPolicy of policies) {
        world.outputs.push(
          ...world.speaker.handle(world.now, { kind: 'configure', config: clients({ exportPolicy }) }),
          ...world.speaker.handle(world.now, { kind: 'work' }),
        );
      }
      world.tell(isBlocked ? { kind: 'drained', connection } : { kind: 'work' });
      assert.deepEqual(heard(world, connection).prefixes, new Set(expected));
    }
  }
});

test('a peer that does not read is given up at 64 MiB, others are not kept waiting, and its next session is well', () => {
  const world = new ScriptedWorld(clients({ passive: false }));
  world.run(200_000);
  const connection = world.establish(HEARER, openFrom(HEARER));
  world.run(10_000);
  const name = peerName({ address: ip(HEARER), device: undefined });
  world.establish(OTHER, openFrom(OTHER));
  world.tell({ kind: 'blocked', connection });
  const queued = (): number => world.speaker.neighbor(world.now, name)?.queuedBytes ?? 0;
  let most = 0;
  for (let round = 0; world.state(HEARER) === 'Established'; round++) {
    assert.ok(round < 1_000, 'it is never given up');
    // Nearly a message for each prefix.
    const largeCommunities = Array.from({ length: 300 }, (_, index) => [1, round, index] as const);
    const heavy = originations(many(200)).map((one, index) => ({
      ...one,
      largeCommunities: [[2, round, index] as const, ...largeCommunities],
    }));
    world.tell({ kind: 'announce', originations: heavy });
    most = Math.max(most, queued());
    world.outputs.length = 0;
  }
  assert.ok(most > 60 * 1024 * 1024 && most <= 64 * 1024 * 1024, `${most} bytes waited`);
  assert.equal(world.state(OTHER), 'Established');
  assert.equal(queued(), 0);
  // It is dialled again after the shortest idle hold, with nothing else to wake the speaker before.
  assert.ok((world.speaker.nextTimer() ?? Number.POSITIVE_INFINITY) <= world.now + 5_000);
  world.tell({ kind: 'announce', originations: originations(['11.0.0.0/24']) });
  world.run(120_000);
  const again = world.establish(HEARER, openFrom(HEARER));
  assert.deepEqual([...heard(world, again).prefixes], ['11.0.0.0/24']);
});

test('RFC 9687: a session that ends while its peer does not read leaves the next one free to talk', () => {
  const world = new ScriptedWorld(clients(), ['11.0.0.0/24']);
  world.run(200_000);
  const first = world.establish(HEARER, openFrom(HEARER));
  world.tell({ kind: 'blocked', connection: first });
  world.tell({ kind: 'announce', originations: originations(['11.0.1.0/24']) });
  world.tell({ kind: 'closed', connection: first, reason: 'cut' });
  const second = world.establish(HEARER, openFrom(HEARER));
  const { prefixes, ends } = heard(world, second);
  assert.deepEqual([...prefixes], ['11.0.1.0/24']);
  assert.equal(ends.length, 2);
});

test('policy may turn new attributes into those that came before', () => {
  const prefer = (from: number, to: number): Policy['rules'][number] => ({
    name: `${from} to ${to}`,
    localPreference: from,
    action: 'accept',
    operations: [{ kind: 'setLocalPreference', value: to }],
  });
  const importPolicy: Policy = { rules: [prefer(100, 200), prefer(150, 100)], otherwise: 'accept' };
  const world = new ScriptedWorld(clients({ importPolicy }));
  const connection = world.establish(HEARER, openFrom(HEARER));
  for (const localPreference of [100, 150, 100]) {
    world.receive(connection, announce(ip(HEARER), ['11.0.0.0/24'], { localPreference }));
  }
  assert.deepEqual(world.kernel(), ['11.0.0.0/24']);
});

test('events before the first configuration cause no work without end, and count once it comes', () => {
  const now = instant(0);
  const speaker = createSpeaker({ random: () => 0, now });
  speaker.handle(now, { kind: 'announce', originations: originations(['11.0.0.0/24']) });
  assert.ok(!speaker.hasWork());
  speaker.handle(now, { kind: 'configure', config: clients() });
  assert.ok(speaker.hasWork());
});

test('peers of listen ranges that have gone leave neither themselves nor their routes', () => {
  const range = { range: cidr('10.1.0.0/16'), device: undefined, asn: asn(64512), peersMax: 3 };
  const template = { ...INTERNAL_PEER, importPolicy: ACCEPT_ALL, exportPolicy: ACCEPT_ALL };
  for (const gracefulRestart of ['off', 'full'] as const) {
    const ranges = [{ ...range, peer: { ...template, gracefulRestart } }];
    const world = new ScriptedWorld(config(SPEAKER, [], { listenRanges: ranges }));
    for (let round = 0; round < 10; round++) {
      const address = `10.1.0.${round + 1}`;
      const open = openFrom(address, gracefulRestart === 'full' ? restartCapability() : {});
      const connection = world.establish(address, open);
      world.receive(connection, announce(ip(address), ['11.0.0.0/24', `11.0.${round}.0/24`]));
      world.tell({ kind: 'closed', connection, reason: 'gone' });
      world.run(100_000);
      assert.equal(world.speaker.peers(world.now).length, 0, `${gracefulRestart}, round ${round}`);
    }
    assert.deepEqual(world.speaker.sizes(), { prefixes: 0, paths: 0, attributeSets: 0 });
  }
});

test('nobody installs: what was told is forgotten, and all is told anew once somebody does', () => {
  const world = new ScriptedWorld(clients());
  const connection = world.establish(HEARER, openFrom(HEARER));
  world.receive(connection, announce(ip(HEARER), ['11.0.0.0/24']));
  world.tell({ kind: 'configure', config: { ...clients(), installs: false } });
  world.outputs.length = 0;
  world.receive(connection, announce(ip(HEARER), ['11.0.1.0/24']));
  assert.deepEqual(world.kernel(), []);
  world.tell({ kind: 'configure', config: clients() });
  assert.deepEqual(world.kernel(), ['11.0.0.0/24', '11.0.1.0/24']);
});

test('RFC 4271 9.2: what differs only inside our AS is no news for another', () => {
  const external = peer(OTHER, { passive: true, asn: asn(65001) });
  const world = new ScriptedWorld(config(SPEAKER, [peer(TALKER, CLIENT), peer(HEARER, CLIENT), external]));
  const talker = world.establish(TALKER, openFrom(TALKER));
  const hearer = world.establish(HEARER, openFrom(HEARER));
  const other = world.establish(OTHER, openFrom(OTHER, {}, 65001));
  const updatesOn = (connection: ConnectionId): number => world.said(connection).split('UPDATE').length - 1;
  world.receive(talker, announce(ip(TALKER), ['11.0.0.0/24'], { localPreference: 100 }));
  const before = [hearer, other].map(updatesOn);
  world.receive(talker, announce(ip(TALKER), ['11.0.0.0/24'], { localPreference: 200 }));
  assert.deepEqual([hearer, other].map(updatesOn), [(before[0] ?? 0) + 1, before[1]]);
});
