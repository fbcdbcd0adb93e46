import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ip } from '../net/ip.ts';
import type { PeerCommand } from './contract.ts';
import { peerName } from './contract.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, type Host, peer, VirtualNet } from './virtual-net.suite.ts';
import type { Capabilities } from './wire/capabilities.ts';
import { encodeMessage, MESSAGE_TYPE } from './wire/message.ts';

const OURS = '10.0.0.100';
const PEER = '10.0.0.2';
const OWN = ['172.17.8.0/24', '172.17.9.0/24', 'fd17::/64'];
const REFRESH = { routeRefresh: true };
const ENHANCED = { routeRefresh: true, enhancedRouteRefresh: true };
const count = (host: Host, kind: string): number => host.outputs.filter((output) => output.kind === kind).length;
const name = (address: string) => peerName({ address: ip(address), device: undefined });

function rig(capabilities: Partial<Capabilities>): { world: ScriptedWorld; talker: Talker } {
  const world = new ScriptedWorld(config(OURS, [peer(PEER, { passive: true })]), OWN);
  const talker = new Talker(world, PEER, { capabilities });
  talker.words();
  return { world, talker };
}

function command(world: ScriptedWorld, what: PeerCommand): void {
  world.tell({ kind: 'command', peer: name(PEER), command: what });
}

const REQUESTS: [title: string, capabilities: Partial<Capabilities>, family: 4 | 6, words: string[]][] = [
  ['of IPv4', REFRESH, 4, ['+172.17.8.0/24', '+172.17.9.0/24']],
  ['of IPv6', REFRESH, 6, ['+fd17::/64']],
  ['with begin and end', ENHANCED, 6, ['refresh begin 6', '+fd17::/64', 'refresh end 6']],
  ['of a family not agreed on', { ...REFRESH, families: [4] }, 6, []],
];
for (const [title, capabilities, family, words] of REQUESTS) {
  test(`RFC 2918 section 4, RFC 7313 section 4: a request ${title} is answered with ${words.length} words`, () => {
    const { world, talker } = rig(capabilities);
    talker.refresh(family, 'request');
    assert.deepEqual(talker.words(), words);
    assert.equal(world.state(PEER), 'Established');
  });
}

test('RFC 2918 section 4: a request of a family that nobody knows, or with an unknown subtype, is passed over', () => {
  const { world, talker } = rig(ENHANCED);
  for (const body of [Uint8Array.of(0, 1, 0, 128), Uint8Array.of(0x40, 4, 0, 71), Uint8Array.of(0, 1, 9, 1)]) {
    talker.say(encodeMessage(MESSAGE_TYPE.routeRefresh, body));
  }
  assert.deepEqual(talker.words(), []);
  assert.equal(world.state(PEER), 'Established');
});

test('RFC 7313 section 5: a begin of a wrong length ends the session with the message as data', () => {
  const { talker } = rig(ENHANCED);
  talker.say(encodeMessage(MESSAGE_TYPE.routeRefresh, Uint8Array.of(0, 1, 1, 1, 0)));
  const [said, closed] = talker.words();
  assert.match(said ?? '', /^ROUTE-REFRESH message error: invalid message length \(7\/1\): data f+0018050001010100$/);
  assert.equal(closed, 'closed');
});

const COMMANDS: [command: 'refreshIn' | 'refreshOut', capabilities: Partial<Capabilities>, words: string[]][] = [
  ['refreshIn', REFRESH, ['refresh request 4', 'refresh request 6']],
  ['refreshIn', {}, []],
  ['refreshOut', REFRESH, OWN.map((prefix) => `+${prefix}`)],
  ['refreshOut', {}, OWN.map((prefix) => `+${prefix}`)],
];
for (const [kind, capabilities, words] of COMMANDS) {
  test(`RFC 2918 section 3: ${kind} to a peer with ${Object.keys(capabilities).join() || 'no capability'}`, () => {
    const { world, talker } = rig(capabilities);
    command(world, { kind });
    assert.deepEqual(talker.words().sort(), [...words].sort());
  });
}

test('RFC 7313 section 4: refreshOut encloses each family in its own begin and end', () => {
  const { world, talker } = rig(ENHANCED);
  command(world, { kind: 'refreshOut' });
  const words = talker.words();
  const within = (family: number): string[] =>
    words.slice(words.indexOf(`refresh begin ${family}`) + 1, words.indexOf(`refresh end ${family}`));
  assert.deepEqual(
    within(4).filter((word) => word.startsWith('+172')),
    ['+172.17.8.0/24', '+172.17.9.0/24'],
  );
  assert.ok(within(6).includes('+fd17::/64'));
});

test('RFC 7313 section 4: what is not named between begin and end goes, other families stay', () => {
  const { world, talker } = rig(ENHANCED);
  talker.announce(['172.18.1.0/24', '172.18.2.0/24', '172.18.3.0/24']);
  talker.announce(['fd18::/64'], { nextHop: ip('fd00::2') });
  talker.refresh(4, 'begin');
  talker.announce(['172.18.1.0/24']);
  talker.announce(['172.18.3.0/24'], { med: 3 });
  assert.equal(world.kernel().length, 4);
  assert.equal(world.speaker.peers(world.now)[0]?.stale, false);
  talker.refresh(4, 'end');
  assert.deepEqual(world.kernel(), ['172.18.1.0/24', '172.18.3.0/24', 'fd18::/64']);
});

test('RFC 7313 section 4: an end without a begin removes nothing; a second begin starts over', () => {
  const { world, talker } = rig(ENHANCED);
  talker.announce(['172.18.1.0/24', '172.18.2.0/24']);
  talker.refresh(4, 'end');
  assert.equal(world.kernel().length, 2);
  talker.refresh(4, 'begin');
  talker.announce(['172.18.1.0/24']);
  talker.refresh(4, 'begin');
  talker.announce(['172.18.2.0/24']);
  talker.refresh(4, 'end');
  assert.deepEqual(world.kernel(), ['172.18.2.0/24']);
});

test('RFC 7313 section 4: begin and end from a peer that has not agreed on them are requests', () => {
  const { world, talker } = rig(REFRESH);
  talker.announce(['172.18.1.0/24']);
  talker.refresh(4, 'begin');
  talker.refresh(4, 'end');
  assert.deepEqual(world.kernel(), ['172.18.1.0/24']);
});

test('RFC 7313 section 4: a session lost between begin and end loses no route that would be kept without', () => {
  const restart = {
    restarting: false,
    notification: false,
    restartTimeSeconds: 60,
    families: [{ family: 4, forwardingPreserved: true }],
  } as const;
  const { world, talker } = rig({ ...ENHANCED, gracefulRestart: restart });
  talker.announce(['172.18.1.0/24', '172.18.2.0/24']);
  talker.refresh(4, 'begin');
  talker.announce(['172.18.1.0/24']);
  talker.vanish();
  assert.deepEqual(world.kernel(), ['172.18.1.0/24', '172.18.2.0/24']);
  const again = new Talker(world, PEER, { capabilities: { ...ENHANCED, gracefulRestart: restart } });
  again.announce(['172.18.2.0/24']);
  again.endOfRib(4);
  assert.deepEqual(world.kernel(), ['172.18.2.0/24']);
});

test('RFC 7313 section 4: between two of ours a refresh either way changes nothing that was right', () => {
  const net = new VirtualNet(1);
  const a = net.host(config('10.0.0.1', [peer(PEER)]), ['172.17.1.0/24']);
  const b = net.host(config(PEER, [peer('10.0.0.1', { passive: true })]), OWN);
  net.run(3_000);
  a.outputs.length = 0;
  b.outputs.length = 0;
  for (const kind of ['refreshIn', 'refreshOut'] as const)
    net.tell(a, { kind: 'command', peer: name(PEER), command: { kind } });
  net.run(1_000);
  assert.equal(everyRoute(a.speaker).length, 4);
  assert.equal(count(a, 'best') + count(b, 'best'), 0);
  assert.ok(count(b, 'send') >= 5, 'begin, routes, end of each family');
});

test('RFC 7313 section 4: no refresh begins before End-of-RIB, neither theirs nor ours', () => {
  const families = [{ family: 4, forwardingPreserved: true }] as const;
  const restart = { restarting: false, notification: false, restartTimeSeconds: 60, families };
  const world = new ScriptedWorld(config(OURS, [peer(PEER, { passive: true })])); // what it announces is not known yet
  const talker = new Talker(world, PEER, { capabilities: { ...ENHANCED, gracefulRestart: restart } });
  talker.announce(['172.18.1.0/24']);
  talker.refresh(4, 'begin');
  talker.refresh(4, 'end');
  assert.deepEqual(world.kernel(), ['172.18.1.0/24']);
  talker.refresh(4, 'request');
  assert.deepEqual(talker.words(), []);
  world.tell({ kind: 'announce', originations: [] });
  assert.deepEqual(talker.words(), ['end 4', 'end 6']);
  talker.endOfRib(4);
  talker.refresh(4, 'request');
  assert.deepEqual(talker.words(), ['refresh begin 4', 'refresh end 4']);
  talker.refresh(4, 'begin');
  talker.refresh(4, 'end');
  assert.deepEqual(world.kernel(), []);
});

test('RFC 2918 section 3: a peer that cannot be asked again is named in a notice', () => {
  const { world } = rig({});
  command(world, { kind: 'refreshIn' });
  assert.match(JSON.stringify(world.outputs), /it cannot be asked for IPv4 again: it has no route refresh/);
});
