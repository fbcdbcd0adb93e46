import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { peerName } from './contract.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, peer, VirtualNet } from './virtual-net.suite.ts';
import type { Capabilities } from './wire/capabilities.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.17.9.0/24';
const EVERYTHING = {
  prefix: undefined,
  match: 'exact',
  peer: undefined,
  family: undefined,
  after: undefined,
  limit: 99,
} as const;
const CLIENT = { passive: true, reflectorClient: true };
const SOURCES = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'] as const;
const HEARER = '10.0.0.9';
const name = (address: string) => peerName({ address: ip(address), device: undefined });

function addPath(mode: { send: boolean; receive: boolean }): Partial<Capabilities> {
  return { addPath: ([4, 6] as const).map((family) => ({ family, ...mode })) };
}

/** A reflector, clients that announce, and one that is sent `sendMax` paths to a prefix. */
function rig(sendMax: number): { world: ScriptedWorld; sources: Talker[]; hearer: Talker } {
  const peers = [
    ...SOURCES.map((address) => peer(address, CLIENT)),
    peer(HEARER, { ...CLIENT, addPath: { sendMax, receive: false } }),
  ];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const sources = SOURCES.map((address) => new Talker(world, address));
  const hearer = new Talker(world, HEARER, { capabilities: addPath({ send: false, receive: true }) });
  hearer.words();
  return { world, sources, hearer };
}

const hops = (talker: Talker): string[] =>
  [...talker.routes().values()].map(({ nextHop }) => nextHop?.bytes.join('.') ?? '').sort();

test('RFC 7911 section 2: the best paths are sent, as many as configured, the better ones first in line', () => {
  const { sources, hearer } = rig(2);
  for (const [index, source] of sources.entries()) source.announce([PREFIX], { localPreference: 100 + index });
  assert.deepEqual(hops(hearer), ['10.0.0.3', '10.0.0.4']);
  sources[0]?.announce([PREFIX], { localPreference: 200 });
  assert.deepEqual(hops(hearer), ['10.0.0.1', '10.0.0.4']);
  sources[3]?.withdraw([PREFIX]);
  assert.deepEqual(hops(hearer), ['10.0.0.1', '10.0.0.3']);
});

test('RFC 7911 section 3: a path keeps its identifier when its attributes change, and is withdrawn by it', () => {
  const { sources, hearer } = rig(4);
  for (const source of sources) source.announce([PREFIX]);
  const before = hearer.prefixes();
  assert.equal(before.length, 4);
  assert.equal(new Set(before).size, 4);
  hearer.words();
  sources[1]?.announce([PREFIX], { med: 5, localPreference: 300 });
  const [word = '', ...rest] = hearer.words();
  assert.deepEqual(rest, []);
  assert.ok(before.includes(word.slice(1)), word);
  assert.equal(hearer.routes().get(word.slice(1))?.med, 5);
  sources[1]?.withdraw([PREFIX]);
  assert.deepEqual(hearer.words(), [`-${word.slice(1)}`]);
  assert.equal(hearer.prefixes().length, 3);
});

test('RFC 7911 section 3: nothing is said of a path that is not among the best, nor when the order changes', () => {
  const { sources, hearer } = rig(2);
  for (const source of sources.slice(0, 2)) source.announce([PREFIX], { localPreference: 200 });
  hearer.words();
  sources[2]?.announce([PREFIX], { localPreference: 100 });
  sources[2]?.withdraw([PREFIX]);
  assert.deepEqual(hearer.words(), []);
});

test('RFC 7911 section 3: a peer is not sent its own paths, and gets a full number of others', () => {
  const { sources, hearer } = rig(2);
  hearer.announce([PREFIX], { localPreference: 900 });
  for (const source of sources) source.announce([PREFIX]);
  assert.ok(!hops(hearer).includes(HEARER));
  hearer.withdraw([PREFIX]);
  assert.equal(hearer.prefixes().length, 2);
});

test('RFC 7911 section 4: without the capability of both sides there are no identifiers', () => {
  for (const mode of [{ send: true, receive: false }, undefined]) {
    const peers = [peer('10.0.0.1', CLIENT), peer(HEARER, { ...CLIENT, addPath: { sendMax: 4, receive: false } })];
    const world = new ScriptedWorld(config(OURS, peers), []);
    const hearer = new Talker(world, HEARER, { capabilities: mode === undefined ? {} : addPath(mode) });
    new Talker(world, '10.0.0.1').announce([PREFIX]);
    assert.deepEqual(hearer.prefixes(), [PREFIX]);
  }
});

test('RFC 7911 section 3: paths are told apart by identifier on receipt; a withdrawal takes only its own', () => {
  const peers = [peer('10.0.0.1', { ...CLIENT, addPath: { sendMax: 1, receive: true } }), peer(HEARER, CLIENT)];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const source = new Talker(world, '10.0.0.1', { capabilities: addPath({ send: true, receive: false }) });
  const hearer = new Talker(world, HEARER);
  source.announce([PREFIX], { nextHop: ip('10.0.0.1') }, 0xffffffff);
  source.announce([PREFIX], { nextHop: ip('10.0.0.11'), localPreference: 200 }, 7);
  assert.equal(world.speaker.peers(world.now)[0]?.prefixesReceived, 2);
  const views = everyRoute(world.speaker).map(({ pathId, nextHop, best }) => ({ pathId, nextHop, best }));
  assert.deepEqual(views, [
    { pathId: 7, nextHop: '10.0.0.11', best: true },
    { pathId: 0xffffffff, nextHop: '10.0.0.1', best: false },
  ]);
  const verdicts = world.speaker.explain(cidr(PREFIX))?.candidates.map(({ pathId, verdict }) => [pathId, verdict]);
  assert.deepEqual(verdicts, [
    [7, 'best'],
    [0xffffffff, 'lost at: highest LOCAL_PREF (100, the best has 200)'],
  ]);
  assert.deepEqual(hearer.only().nextHop, ip('10.0.0.11'));
  source.withdraw([PREFIX], 8);
  source.withdraw([PREFIX], 7);
  assert.deepEqual(hearer.only().nextHop, ip('10.0.0.1'));
  source.withdraw([PREFIX], 0xffffffff);
  assert.deepEqual(hearer.prefixes(), []);
});

test('RFC 7911 section 3: equal paths of one peer serve together (ECMP)', () => {
  const peers = [peer('10.0.0.1', { ...CLIENT, addPath: { sendMax: 1, receive: true } })];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const source = new Talker(world, '10.0.0.1', { capabilities: addPath({ send: true, receive: false }) });
  source.announce([PREFIX], { nextHop: ip('10.0.0.11') }, 1);
  source.announce([PREFIX], { nextHop: ip('10.0.0.12') }, 2);
  const best = world.outputs.findLast((output) => output.kind === 'best');
  assert.deepEqual(
    best?.gateways.map(({ address }) => address.bytes.join('.')),
    ['10.0.0.11', '10.0.0.12'],
  );
});

test('RFC 7911 section 2: between two of ours a client learns all ways, of both families, and uses them together', () => {
  const net = new VirtualNet(1);
  const [reflector, first, second, hearer] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
  const sending = { addPath: { sendMax: 4, receive: true } };
  const clients = [first, second].map((address) => peer(address, CLIENT));
  const r = net.host(config(reflector, [...clients, peer(hearer, { ...CLIENT, ...sending })]));
  const a = net.host(config(first, [peer(reflector)]), [PREFIX, 'fd17::/64']);
  net.host(config(second, [peer(reflector)]), [PREFIX, 'fd17::/64']);
  const h = net.host(config(hearer, [peer(reflector, sending)]));
  net.run(5_000);
  assert.deepEqual(Object.fromEntries(h.kernel), { [PREFIX]: `${first} ${second}`, 'fd17::/64': 'fd00::2 fd00::3' });
  const advertised = r.speaker?.advertised(name(hearer), EVERYTHING)?.routes ?? [];
  const received = h.speaker?.received(name(reflector), EVERYTHING)?.routes ?? [];
  const row = ({ prefix, pathId, nextHop }: (typeof received)[number]) => `${prefix} ${pathId} ${nextHop}`;
  assert.deepEqual(received.map(row).sort(), advertised.map(row).sort());
  assert.equal(received.length, 4);
  assert.equal(r.speaker?.peers(net.now).find(({ address }) => address === hearer)?.prefixesSent, 4);
  net.kill(a, { fin: true });
  net.run(130_000);
  assert.deepEqual(Object.fromEntries(h.kernel), { [PREFIX]: second, 'fd17::/64': 'fd00::3' });
});

test('RFC 7911 section 2: another number of paths needs no reset, and no path is missing meanwhile', () => {
  const { world, sources, hearer } = rig(4);
  for (const source of sources) source.announce([PREFIX]);
  hearer.words();
  for (const [sendMax, withdrawals] of [
    [2, 2],
    [3, 0],
    [3, 0],
  ] as const) {
    const hearing = peer(HEARER, { ...CLIENT, addPath: { sendMax, receive: false } });
    const peers = [...SOURCES.map((address) => peer(address, CLIENT)), hearing];
    world.tell({ kind: 'configure', config: config(OURS, peers) });
    assert.equal(hearer.words().filter((word) => word.startsWith('-')).length, withdrawals);
    assert.equal(hearer.prefixes().length, sendMax);
  }
  assert.equal(world.state(HEARER), 'Established');
});

test('RFC 7911: explain says of each peer how many paths it is sent', () => {
  const { world, sources } = rig(2);
  for (const source of sources) source.announce([PREFIX]);
  const verdicts = Object.fromEntries(
    (world.speaker.explain(cidr(PREFIX))?.advertised ?? []).map(({ peer: to, verdict }) => [to, verdict]),
  );
  assert.equal(verdicts[HEARER], 'sent: 2 paths');
  assert.equal(verdicts['10.0.0.2'], 'sent');
});
