import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { peerName } from './contract.ts';
import { INTERNAL_PEER, type ListenRange, SPEAKER_DEFAULTS } from './peer-config.ts';
import { ACCEPT_ALL } from './policy/policy-rules.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker, type TalkerOptions } from './talker.suite.ts';
import { config, peer, VirtualNet } from './virtual-net.suite.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.18.9.0/24';

function range(text: string, more: Partial<ListenRange> = {}, terms: Partial<ListenRange['peer']> = {}): ListenRange {
  const policies = { importPolicy: ACCEPT_ALL, exportPolicy: ACCEPT_ALL };
  return {
    range: cidr(text),
    device: undefined,
    asn: asn(64512),
    peersMax: 10,
    peer: { ...INTERNAL_PEER, ...policies, ...terms },
    ...more,
  };
}

function rig(...listenRanges: ListenRange[]): ScriptedWorld {
  return new ScriptedWorld(config(OURS, [], { listenRanges }), ['172.17.8.0/24']);
}

const notices = (world: ScriptedWorld): string =>
  world.outputs.flatMap((output) => (output.kind === 'notice' ? [output.message] : [])).join('\n');
const names = (world: ScriptedWorld): string[] => world.speaker.peers(world.now).map(({ address }) => address);

const WELCOMES: [
  title: string,
  ranges: ListenRange[],
  from: string,
  options: TalkerOptions,
  description: string | undefined,
][] = [
  ['a range that contains it', [range('10.1.0.0/16', {}, { description: 'rack' })], '10.1.2.3', {}, 'rack'],
  ['no range that contains it', [range('10.1.0.0/16')], '10.2.2.3', {}, undefined],
  [
    'the longest of two ranges',
    [range('10.1.0.0/16', {}, { description: 'site' }), range('10.1.2.0/24', {}, { description: 'rack' })],
    '10.1.2.3',
    {},
    'rack',
  ],
  ['a range for any other AS', [range('10.1.0.0/16', { asn: undefined })], '10.1.2.3', { asn: 65009 }, ''],
  ['a range for any other AS, from our own', [range('10.1.0.0/16', { asn: undefined })], '10.1.2.3', {}, undefined],
  ['a range of another AS', [range('10.1.0.0/16', { asn: asn(65001) })], '10.1.2.3', { asn: 65009 }, undefined],
  [
    'a range of link-local peers',
    [range('fe80::/10', { device: 'eth0' }, { description: 'link' })],
    'fe80::1',
    { device: 'eth0', localAddress: 'fe80::2' },
    'link',
  ],
  [
    'a range of another link',
    [range('fe80::/10', { device: 'eth0' })],
    'fe80::1',
    { device: 'eth1', localAddress: 'fe80::2' },
    undefined,
  ],
];
for (const [title, ranges, from, options, description] of WELCOMES) {
  test(`dynamic neighbours: whoever dials from ${title} is ${description === undefined ? 'turned away' : 'welcome'}`, () => {
    const world = rig(...ranges);
    if (description === undefined) assert.throws(() => new Talker(world, from, options));
    else {
      const talker = new Talker(world, from, options);
      assert.deepEqual(talker.prefixes(), ['172.17.8.0/24']);
      const [view] = world.speaker.peers(world.now);
      assert.equal(view?.description, description);
      assert.equal(view?.asn, options.asn ?? 64512);
      const neighbor = world.speaker.neighbor(world.now, peerName({ address: ip(from), device: options.device }));
      assert.deepEqual([neighbor?.dynamic, neighbor?.passive], [true, true]);
      talker.vanish();
    }
    world.run(1);
    assert.deepEqual(names(world), [], 'it is gone when it has gone');
  });
}

test('dynamic neighbours: a range has so many peers at a time; one that goes makes room', () => {
  const world = rig(range('10.1.0.0/16', { peersMax: 2 }));
  const first = new Talker(world, '10.1.0.1');
  new Talker(world, '10.1.0.2');
  assert.throws(() => new Talker(world, '10.1.0.3'));
  assert.match(notices(world), /connection from 10\.1\.0\.3 refused: its range has 2 peers already/);
  first.vanish();
  new Talker(world, '10.1.0.3');
  assert.deepEqual(names(world), ['10.1.0.2', '10.1.0.3']);
});

test('dynamic neighbours: a configured peer is not one of its range', () => {
  const world = new ScriptedWorld(
    config(OURS, [peer('10.1.0.1', { passive: true, description: 'named' })], {
      listenRanges: [range('10.1.0.0/16', { peersMax: 1 })],
    }),
  );
  const named = new Talker(world, '10.1.0.1');
  new Talker(world, '10.1.0.2');
  assert.equal(world.speaker.peers(world.now)[0]?.description, 'named');
  named.vanish();
  assert.equal(world.speaker.peers(world.now).length, 2);
});

test('dynamic neighbours: one that restarts gracefully stays until its routes are gone', () => {
  const world = rig(range('10.1.0.0/16'));
  const families = [{ family: 4, forwardingPreserved: true }] as const;
  const restart = { restarting: false, notification: true, restartTimeSeconds: 60, families };
  const talker = new Talker(world, '10.1.0.1', { capabilities: { gracefulRestart: restart } });
  talker.announce([PREFIX]);
  talker.vanish();
  assert.deepEqual(names(world), ['10.1.0.1']);
  assert.deepEqual(world.kernel(), [PREFIX]);
  world.run(61_000);
  assert.deepEqual(names(world), []);
  assert.deepEqual(world.kernel(), []);
});

test('dynamic neighbours: without their range they are told to go; with other terms they stay', () => {
  const world = rig(range('10.1.0.0/16'));
  const talker = new Talker(world, '10.1.0.1');
  talker.announce([PREFIX]);
  const policy = { rules: [], otherwise: 'reject' } as const;
  world.tell({
    kind: 'configure',
    config: config(OURS, [], { listenRanges: [range('10.1.0.0/16', {}, { importPolicy: policy })] }),
  });
  assert.deepEqual([world.state('10.1.0.1'), world.kernel()], ['Established', []]);
  world.tell({ kind: 'configure', config: config(OURS, []) });
  assert.match(talker.words().join(), /peer de-configured \(6\/3\).*closed/);
  assert.deepEqual(names(world), []);
});

test('dynamic neighbours: a peer of any other AS keeps its session when the terms of its range change', () => {
  const world = rig(range('10.1.0.0/16', { asn: undefined }));
  const talker = new Talker(world, '10.1.0.1', { asn: 65009 });
  const changed = range('10.1.0.0/16', { asn: undefined }, { description: 'other' });
  world.tell({ kind: 'configure', config: config(OURS, [], { listenRanges: [changed] }) });
  assert.equal(world.state('10.1.0.1'), 'Established');
  assert.equal(talker.words().at(-1), 'end 6');
});

test('dynamic neighbours: a speaker with only a range, and whole hosts that dial it', () => {
  const net = new VirtualNet(1);
  const listening = net.host(
    config('10.0.0.1', [], {
      ...SPEAKER_DEFAULTS,
      listenRanges: [range('10.0.0.0/24', {}, { reflectorClient: true })],
    }),
  );
  const hosts = ['10.0.0.2', '10.0.0.3'].map((address, index) =>
    net.host(config(address, [peer('10.0.0.1')]), [`172.18.${index}.0/24`]),
  );
  net.run(5_000);
  assert.equal(listening.speaker?.peers(net.now).length, 2);
  assert.deepEqual(
    hosts.map(({ kernel }) => [...kernel]),
    [[['172.18.1.0/24', '10.0.0.3']], [['172.18.0.0/24', '10.0.0.2']]],
  );
});

test('dynamic neighbours: one that goes with its routes is gone as soon as these are', () => {
  const world = rig(range('10.1.0.0/16', { peersMax: 1 }));
  const prefixes = Array.from({ length: 40_000 }, (_, index) => `11.${index >> 8}.${index & 255}.0/24`); // more than a slice
  for (const address of ['10.1.0.1', '10.1.0.2']) {
    const talker = new Talker(world, address);
    talker.announce(prefixes);
    talker.vanish();
    assert.equal(world.speaker.sizes().paths, 1);
    assert.deepEqual(names(world), []);
  }
});

test('dynamic neighbours: one on a link keeps its session, and does not get dialled, when the configuration is given again', () => {
  const links = range('fe80::/10', { device: 'eth0' });
  const world = rig(links);
  const talker = new Talker(world, 'fe80::1', { device: 'eth0', localAddress: 'fe80::2' });
  world.tell({ kind: 'configure', config: config(OURS, [], { listenRanges: [links], multipathMax: 2 }) });
  assert.equal(world.state('fe80::1%eth0'), 'Established');
  talker.vanish();
  world.run(60_000);
  assert.equal(world.dialled(), undefined);
});

test('dynamic neighbours: one that is configured by name later has the terms of its name', () => {
  const world = rig(range('10.1.0.0/16'));
  new Talker(world, '10.1.0.1');
  const named = peer('10.1.0.1', { passive: true, description: 'named' });
  world.tell({ kind: 'configure', config: config(OURS, [named], { listenRanges: [range('10.1.0.0/16')] }) });
  new Talker(world, '10.1.0.1').vanish();
  world.run(1);
  const view = world.speaker.neighbor(world.now, peerName({ address: ip('10.1.0.1'), device: undefined }));
  assert.deepEqual([view?.dynamic, view?.description], [false, 'named']);
});
