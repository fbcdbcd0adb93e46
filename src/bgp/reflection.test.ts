import assert from 'node:assert/strict';
import { test } from 'node:test';
import { asn, formatRouterId, routerIdFromIp } from '../net/asn.ts';
import { cidr } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { peerName } from './contract.ts';
import { ACCEPT_ALL } from './policy/policy-rules.ts';
import { ScriptedWorld } from './scripted-peer.suite.ts';
import { Talker } from './talker.suite.ts';
import { config, everyRoute, peer, VirtualNet } from './virtual-net.suite.ts';
import type { PathAttributes } from './wire/attributes.ts';

const OURS = '10.0.0.100';
const PREFIX = '172.17.9.0/24';
const CLIENT = { passive: true, reflectorClient: true };
const ADDRESSES = {
  client1: '10.0.0.1',
  client2: '10.0.0.2',
  mesh1: '10.0.0.3',
  mesh2: '10.0.0.4',
  external: '10.0.0.5',
} as const;
type Name = keyof typeof ADDRESSES;
const NAMES = Object.keys(ADDRESSES) as Name[];
const id = (text: string) => routerIdFromIp(ip(text));

function reflector(more: Parameters<typeof config>[2] = {}): { world: ScriptedWorld; talkers: Record<Name, Talker> } {
  const peers = NAMES.map((name) => {
    if (name === 'external') return peer(ADDRESSES[name], { passive: true, asn: asn(65000) });
    return peer(ADDRESSES[name], { passive: true, reflectorClient: name.startsWith('client') });
  });
  const world = new ScriptedWorld(config(OURS, peers, more), []);
  const talkers = Object.fromEntries(
    NAMES.map((name) => [name, new Talker(world, ADDRESSES[name], { asn: name === 'external' ? 65000 : 64512 })]),
  ) as Record<Name, Talker>;
  return { world, talkers };
}

const WHO_HEARS: [from: Name, heardBy: Name[]][] = [
  ['client1', ['client2', 'mesh1', 'mesh2', 'external']],
  ['mesh1', ['client1', 'client2', 'external']],
  ['external', ['client1', 'client2', 'mesh1', 'mesh2']],
];
for (const [from, heardBy] of WHO_HEARS) {
  test(`RFC 4456 section 6: a route of ${from} goes to ${heardBy.join(', ')}, and its withdrawal, too`, () => {
    const { talkers } = reflector();
    const hear = (): Name[] => NAMES.filter((name) => talkers[name].prefixes().includes(PREFIX));
    talkers[from].announce([PREFIX]);
    assert.deepEqual(hear(), heardBy);
    talkers[from].withdraw([PREFIX]);
    assert.deepEqual(hear(), []);
    assert.ok(NAMES.every((name) => heardBy.includes(name) || !talkers[name].words().join().includes(PREFIX)));
  });
}

test('RFC 4456 section 6: routes of our own go to everybody, unmarked', () => {
  const { world, talkers } = reflector();
  const own = { device: undefined, communities: [], largeCommunities: [], localPreference: undefined };
  world.tell({ kind: 'announce', originations: [{ prefix: cidr(PREFIX), ...own }] });
  for (const name of NAMES) {
    assert.equal(talkers[name].only().originatorId, undefined);
    assert.deepEqual(talkers[name].only().clusterList, []);
  }
});

test('RFC 4456 section 8: ORIGINATOR_ID and CLUSTER_LIST are set where there are none, extended where there are', () => {
  const { talkers } = reflector({ clusterId: 7 });
  talkers.client1.announce([PREFIX]);
  assert.equal(talkers.client2.only().originatorId, id(ADDRESSES.client1));
  assert.deepEqual(talkers.client2.only().clusterList, [7]);
  talkers.client1.announce([PREFIX], { originatorId: id('10.9.9.9'), clusterList: [1, 2] });
  for (const name of ['client2', 'mesh1'] as const) {
    assert.equal(formatRouterId(talkers[name].only().originatorId ?? id('0.0.0.1')), '10.9.9.9');
    assert.deepEqual(talkers[name].only().clusterList, [7, 1, 2]);
  }
});

test('RFC 4456 section 8: what came from outside our AS is not marked as reflected', () => {
  const { talkers } = reflector();
  talkers.external.announce([PREFIX]);
  assert.equal(talkers.client1.only().originatorId, undefined);
  assert.deepEqual(talkers.client1.only().clusterList, []);
});

const LOOPS: [title: string, more: Partial<PathAttributes>, verdict: RegExp][] = [
  ['our router identifier as ORIGINATOR_ID', { originatorId: id(OURS) }, /originates from ourselves/],
  ['our cluster in CLUSTER_LIST', { clusterList: [1, 7, 2] }, /passed through our own cluster/],
  ['our AS number in AS_PATH', { asPath: [65000, 64512] }, /contains our own AS 64512/],
];
for (const [title, more, verdict] of LOOPS) {
  test(`RFC 4456 section 8: a route with ${title} is not used, not passed on, and counted`, () => {
    const { world, talkers } = reflector({ clusterId: 7 });
    talkers.client1.announce([PREFIX, '172.17.10.0/24'], more);
    assert.deepEqual(world.kernel(), []);
    assert.deepEqual(talkers.client2.prefixes(), []);
    const name = peerName({ address: ip(ADDRESSES.client1), device: undefined });
    assert.equal(world.speaker.neighbor(world.now, name)?.loops, 2);
    assert.match(world.speaker.explain(cidr(PREFIX))?.candidates[0]?.verdict ?? '', verdict);
  });
}

test('RFC 4456 section 10: reflection changes nothing else, and next-hop-self is not for reflected routes', () => {
  const { world, talkers } = reflector();
  const peers = [peer('10.0.0.1', CLIENT), peer('10.0.0.2', { ...CLIENT, nextHop: 'self' })];
  world.tell({ kind: 'configure', config: config(OURS, peers) });
  const sent: Partial<PathAttributes> = {
    origin: 2,
    asPath: [65001, 65002],
    nextHop: ip('10.7.7.7'),
    med: 17,
    localPreference: 300,
    atomicAggregate: true,
    aggregator: { asn: 65002, address: ip('10.8.8.8') },
    communities: [0x00010002, 0x00010001],
    extendedCommunities: [[0x00020001, 5]],
    largeCommunities: [[1, 2, 3]],
    unknown: [{ type: 99, flags: 0xe0, value: Uint8Array.of(1, 2, 3) }],
  };
  talkers.client1.announce([PREFIX], sent);
  const { originatorId, clusterList, onlyToCustomer, linkLocalNextHop, ...rest } = talkers.client2.only();
  assert.deepEqual(rest, sent);
  assert.deepEqual([originatorId, clusterList], [id('10.0.0.1'), [id(OURS)]]);
});

test('RFC 4456 section 10: next-hop-self is for what came from outside', () => {
  const peers = [
    peer('10.0.0.2', { ...CLIENT, nextHop: 'self' }),
    peer('10.0.0.5', { passive: true, asn: asn(65000) }),
  ];
  const world = new ScriptedWorld(config(OURS, peers), []);
  const client = new Talker(world, '10.0.0.2');
  new Talker(world, '10.0.0.5', { asn: 65000 }).announce([PREFIX]);
  assert.deepEqual(client.only().nextHop, ip(OURS));
});

test('RFC 2545 section 3: a link-local next hop is not reflected beside the global one', () => {
  const { talkers } = reflector();
  talkers.client1.announce(['fd17::/64'], { nextHop: ip('fd00::1'), linkLocalNextHop: ip('fe80::1') });
  assert.equal(talkers.client2.only().linkLocalNextHop, undefined);
  assert.deepEqual(talkers.client2.only().nextHop, ip('fd00::1'));
});

test('RFC 4456 section 8: ORIGINATOR_ID and CLUSTER_LIST do not leave the AS', () => {
  const { talkers } = reflector();
  talkers.client1.announce([PREFIX], { originatorId: id('10.9.9.9'), clusterList: [1, 2] });
  assert.equal(talkers.external.only().originatorId, undefined);
  assert.deepEqual(talkers.external.only().clusterList, []);
});

/** Two reflectors that know each other, with a client that announces and one that listens, each at both. */
function redundant(clusterIds: [number | undefined, number | undefined]) {
  const net = new VirtualNet(1);
  const [r1, r2, c1, c2] = ['10.0.0.1', '10.0.0.2', '10.0.0.11', '10.0.0.12'];
  const clients = [peer(c1, CLIENT), peer(c2, CLIENT)];
  const first = net.host(config(r1, [peer(r2), ...clients], { clusterId: clusterIds[0] }));
  const second = net.host(config(r2, [peer(r1, { passive: true }), ...clients], { clusterId: clusterIds[1] }));
  const speaking = net.host(config(c1, [peer(r1), peer(r2)]), [PREFIX]);
  const hearing = net.host(config(c2, [peer(r1), peer(r2)]));
  net.run(5_000);
  return { net, first, second, speaking, hearing };
}

for (const clusterIds of [[undefined, undefined] as const, [9, 9] as const]) {
  const title = clusterIds[0] === undefined ? 'different' : 'equal';
  test(`RFC 4456 section 7: two reflectors with ${title} cluster identifiers; one may go without a route being lost`, () => {
    const { net, first, second, hearing, speaking } = redundant([...clusterIds]);
    assert.deepEqual(
      everyRoute(hearing.speaker)
        .map(({ from, nextHop, originatorId }) => [from, nextHop, originatorId])
        .sort(),
      [
        ['10.0.0.1', '10.0.0.11', '10.0.0.11'],
        ['10.0.0.2', '10.0.0.11', '10.0.0.11'],
      ],
    );
    assert.equal(hearing.kernel.get(PREFIX), '10.0.0.11');
    // The other reflector's route is kept and shown either way, and used only if it is another cluster's.
    const verdicts = first.speaker?.explain(cidr(PREFIX))?.candidates.map(({ from, verdict }) => `${from}: ${verdict}`);
    const expected =
      title === 'equal'
        ? /^10\.0\.0\.11: best,10\.0\.0\.2: not usable: it has passed through our own cluster/
        : /^10\.0\.0\.11: best,10\.0\.0\.2: (equal|lost)/;
    assert.match(String(verdicts), expected);
    assert.deepEqual(
      everyRoute(speaking.speaker).filter(({ from }) => from !== 'local'),
      [],
    );
    net.configure(second, { ...second.config, peers: [] });
    net.run(1_000);
    assert.deepEqual(
      everyRoute(hearing.speaker).map(({ from }) => from),
      ['10.0.0.1'],
    );
    assert.equal(hearing.kernel.get(PREFIX), '10.0.0.11');
    net.announce(speaking, []);
    net.run(1_000);
    assert.equal(hearing.kernel.size + everyRoute(first.speaker).length, 0);
  });
}

test('RFC 4456 section 7: a chain of reflectors passes a route on once, through clusters in order', () => {
  const net = new VirtualNet(2);
  const [edge, low, high, far] = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4'];
  net.host(config(edge, [peer(low)]), [PREFIX]);
  net.host(config(low, [peer(edge, CLIENT), peer(high)]));
  net.host(config(high, [peer(low, CLIENT), peer(far, CLIENT)]));
  const last = net.host(config(far, [peer(high)]));
  net.run(5_000);
  const [route] = everyRoute(last.speaker);
  assert.deepEqual(route?.clusterList, [high, low]);
  assert.equal(route?.originatorId, edge);
  assert.equal(last.kernel.get(PREFIX), edge);
});

test('RFC 4456 section 8: another cluster identifier is taken over without a reset, and all clients are told', () => {
  const { world, talkers } = reflector({ clusterId: 7 });
  talkers.client1.announce([PREFIX]);
  const peers = NAMES.slice(0, 2).map((name) => peer(ADDRESSES[name], { ...CLIENT, exportPolicy: ACCEPT_ALL }));
  world.tell({ kind: 'configure', config: config(OURS, peers, { clusterId: 8 }) });
  assert.equal(world.state(ADDRESSES.client2), 'Established');
  assert.deepEqual(talkers.client2.only().clusterList, [8]);
  talkers.client1.announce(['172.17.10.0/24'], { clusterList: [8] });
  talkers.client1.announce(['172.17.11.0/24'], { clusterList: [7] });
  assert.deepEqual(talkers.client2.prefixes(), ['172.17.11.0/24', PREFIX]);
});
