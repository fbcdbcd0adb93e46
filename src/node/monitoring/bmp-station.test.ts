/** Stations over real sockets, before a collector that reads strictly; conditions are waited for, never a time. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import type { MonitorEvent, PeerName } from '../../bgp/contract.ts';
import { tableUpdates } from '../../bgp/observe/table-updates.ts';
import type { DumpEntry, NeighborView } from '../../bgp/observe/views.ts';
import { INTERNAL_PEER } from '../../bgp/peer-config.ts';
import type { Negotiated } from '../../bgp/session/negotiated.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../../bgp/wire/attributes.ts';
import { NO_CAPABILITIES } from '../../bgp/wire/capabilities.ts';
import type { Log } from '../../lib/log.ts';
import { seededRandom } from '../../lib/prng.ts';
import { asn, routerIdFromIp } from '../../net/asn.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import { type FakeBgp, fakeBgp, neighborView } from '../bgp/bgp-control.suite.ts';
import { BmpCollector } from './bmp-collector.suite.ts';
import { BmpStation } from './bmp-station.ts';

const LIMIT = { timeout: 20_000 };
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };
const FOUR = '10.0.0.2' as PeerName;
const SIX = 'fd00::2' as PeerName;

function negotiated(more: Partial<Negotiated> = {}): Negotiated {
  const open = (number: number, id: string) => ({
    asn: number,
    holdTimeSeconds: 90,
    routerId: routerIdFromIp(ip(id)),
    capabilities: { ...NO_CAPABILITIES, families: [4, 6] as const, fourOctetAsn: number },
  });
  return {
    open: open(4_200_000_001, '10.0.0.2'),
    ownOpen: open(64512, '10.0.0.1'),
    localAddress: ip('10.0.0.1'),
    holdTimeSeconds: 90,
    families: [4, 6],
    asnBytes: 4,
    messageBytesMax: 4096,
    routeRefresh: true,
    enhancedRouteRefresh: true,
    addPathSend: [],
    addPathReceive: [],
    ipv4OverIpv6: false,
    longLivedStaleSeconds: {},
    restartsAfterNotification: false,
    role: undefined,
    ...more,
  };
}

function up(address: string, more: Partial<Negotiated> = {}): MonitorEvent {
  const config = { ...INTERNAL_PEER, address: ip(address), asn: asn(4_200_000_001) };
  return { kind: 'up', negotiated: negotiated(more), config };
}

function attributes(nextHop: string, asPath: readonly number[]): PathAttributes {
  return {
    ...PLAIN_ATTRIBUTES,
    asPath,
    nextHop: ip(nextHop),
  };
}

const PATH = attributes('10.0.0.2', [4_200_000_001, 65000]);
const PATH6 = attributes('fd00::2', [4_200_000_001]);

function entry(prefix: string, path: PathAttributes, pathId?: number): DumpEntry {
  return { prefix: cidr(prefix), paths: [{ peer: FOUR, pathId, attributes: path }] };
}

/** More than one message holds, and more than one page. */
const COUNT = 3_000;
const TABLE = [
  ...Array.from({ length: COUNT }, (_, index) => entry(`10.${index >> 8}.${index & 255}.0/24`, PATH)),
  entry('fd17::/64', PATH6),
  entry('0.0.0.0/0', { ...PATH, med: 5 }),
];

const TABLE_SESSION = { asnBytes: 4, messageBytesMax: 4096, pathIds: [] } as const;
const live = (prefix: string): MonitorEvent => {
  const [body] = tableUpdates([entry(prefix, PATH)], TABLE_SESSION);
  return { kind: 'update', body: body! };
};
/** UPDATE that withdraws 10.0.0.0/24. */
const WITHDRAWAL: MonitorEvent = { kind: 'update', body: Uint8Array.of(0, 4, 24, 10, 0, 0, 0, 0) };
const DOWN: MonitorEvent = { kind: 'down', reason: 'gone' };

async function withStation(
  work: (collector: BmpCollector, station: BmpStation, neighbors: NeighborView[]) => Promise<void>,
  options: {
    readonly queueBytesMax?: number;
    readonly before?: (station: BmpStation) => void;
    readonly speaker?: FakeBgp;
  } = {},
): Promise<void> {
  const collector = new BmpCollector();
  const port = await collector.listen();
  const neighbors: NeighborView[] = [];
  const bgp = {
    ...(options.speaker ?? fakeBgp({ entries: TABLE, pageSize: 500 })),
    neighbor: (name: string) => neighbors.find((each) => each.address === name),
  };
  const station = new BmpStation({
    ...{
      collector: { address: ip('127.0.0.1'), port },
      systemName: 'host-a',
      bgp,
      log: SILENT,
      random: seededRandom(1),
    },
    ...(options.queueBytesMax !== undefined && { queueBytesMax: options.queueBytesMax }),
  });
  options.before?.(station);
  try {
    await work(collector, station, neighbors);
  } finally {
    await station.close();
    collector.close();
  }
  if (collector.failure !== undefined) throw collector.failure;
}

test('a collector that comes late is told of each session, its whole table, and End-of-RIB', LIMIT, async () => {
  const before = (station: BmpStation) => {
    station.monitor(FOUR, up(FOUR));
    station.monitor(SIX, up(SIX, { localAddress: ip('fd00::1') }));
  };
  await withStation(
    async (collector) => {
      await collector.until(() => collector.peers.get(SIX)?.endOfRib.length === 2);
      assert.deepEqual(collector.log, ['connected', 'initiation host-a', `up ${FOUR}`, `up ${SIX}`]);
      const four = collector.peers.get(FOUR)!;
      assert.equal(four.routes.size, TABLE.length);
      assert.equal(four.routes.get('10.11.183.0/24 undefined'), 'via 10.0.0.2 path 4200000001 65000');
      assert.equal(four.routes.get('fd17::/64 undefined'), 'via fd00::2 path 4200000001');
      assert.deepEqual(four.endOfRib, [4, 6]);
      assert.deepEqual(
        [four.sent.asn, four.received.asn, four.localAddress, four.remotePort],
        [64512, 4_200_000_001, '10.0.0.1', 179],
      );
      assert.equal(collector.peers.get(SIX)!.localAddress, 'fd00::1');
    },
    { before },
  );
});

test('what happens is told as it happens, also while the table is being told', LIMIT, async () => {
  await withStation(async (collector, station, neighbors) => {
    await collector.until(() => collector.log.includes('initiation host-a'));
    station.monitor(FOUR, up(FOUR));
    station.monitor(FOUR, live('192.0.2.0/24'));
    await collector.until(() => collector.peers.get(FOUR)?.endOfRib.length === 2);
    const { routes } = collector.peers.get(FOUR)!;
    assert.ok(routes.has('192.0.2.0/24 undefined') && routes.has('10.0.0.0/24 undefined'));
    station.monitor(FOUR, WITHDRAWAL);
    await collector.until(() => !routes.has('10.0.0.0/24 undefined'));
    neighbors.push(neighborView(FOUR, { lastNotification: undefined }));
    station.monitor(FOUR, DOWN);
    await collector.until(() => !collector.peers.has(FOUR));
    assert.equal(collector.log.at(-1), `down ${FOUR}: 4`);
    station.monitor(FOUR, live('192.0.3.0/24')); // late, of a session that is over: not told
  });
});

const NOTIFICATION = { code: 6, subcode: 2, text: '', agoMs: 1 };

for (const [title, view, line] of [
  ['we said goodbye', { lastNotification: { ...NOTIFICATION, direction: 'sent' } }, '1 6/2'],
  ['the peer said goodbye', { lastNotification: { ...NOTIFICATION, direction: 'received' } }, '3 6/2'],
  ['the connection was lost', { lastNotification: undefined }, '4'],
  ['a goodbye of long ago', { lastNotification: { ...NOTIFICATION, direction: 'sent', agoMs: 90_000 } }, '4'],
  ['the peer is configured no more', undefined, '5'],
] as const) {
  test(`a session ends: ${title}`, LIMIT, async () => {
    await withStation(async (collector, station, neighbors) => {
      if (view !== undefined) neighbors.push(neighborView(FOUR, view));
      station.monitor(FOUR, up(FOUR));
      await collector.until(() => collector.peers.has(FOUR));
      station.monitor(FOUR, DOWN);
      await collector.until(() => collector.log.includes(`down ${FOUR}: ${line}`));
    });
  });
}

test('sessions with old speakers are told as such, those with path identifiers with them', LIMIT, async () => {
  const old = { asnBytes: 2, families: [4] } as const;
  await withStation(async (collector, station) => {
    station.monitor(FOUR, up(FOUR, old));
    await collector.until(() => collector.peers.get(FOUR)?.endOfRib.length === 1);
    assert.equal(collector.peers.get(FOUR)!.routes.get('10.0.0.0/24 undefined'), 'via 10.0.0.2 path 4200000001 65000');
    const { open, ownOpen } = negotiated();
    const capable = (each: typeof open, send: boolean) => ({
      ...each,
      capabilities: { ...each.capabilities, addPath: [{ family: 4 as const, send, receive: !send }] },
    });
    const more = { open: capable(open, true), ownOpen: capable(ownOpen, false), addPathReceive: [4] as const };
    station.monitor(SIX, up(SIX, more));
    await collector.until(() => collector.peers.get(SIX)?.endOfRib.length === 2);
    assert.ok(collector.peers.get(SIX)!.routes.has('10.0.0.0/24 0'));
  });
});

test('it says goodbye', LIMIT, async () => {
  await withStation(async (collector, station) => {
    await collector.until(() => collector.log.includes('initiation host-a'));
    await station.close();
    await collector.until(() => collector.log.includes('closed'));
    assert.equal(collector.log.at(-2), 'termination muslin stops');
  });
});

test('a collector that reads too slowly is cut off, and told everything anew when it is back', LIMIT, async () => {
  await withStation(
    async (collector, station) => {
      await collector.until(() => collector.log.includes('initiation host-a'));
      station.monitor(FOUR, up(FOUR));
      await collector.until(() => collector.peers.get(FOUR)?.endOfRib.length === 2);
      const closed = once(collector.socket, 'close');
      collector.socket.pause();
      // What the kernel's buffers hold is not in our queue: far more than both.
      const [update] = tableUpdates(TABLE.slice(0, 900), TABLE_SESSION);
      for (let index = 0; index < 10_000; index++) station.monitor(FOUR, { kind: 'update', body: update! });
      collector.socket.resume();
      await closed;
      await collector.until(() => collector.log.filter((line) => line === 'connected').length === 2);
      await collector.until(() => collector.peers.get(FOUR)?.endOfRib.length === 2);
      assert.equal(collector.peers.get(FOUR)!.routes.size, TABLE.length);
    },
    { queueBytesMax: 1024 * 1024 },
  );
});

/** A message of a kilobyte for each prefix: more in all than the buffers of the kernel and our queue hold. */
const BULKY = Array.from({ length: 20_000 }, (_, index) => {
  const communities = Array.from({ length: 250 }, (_, place) => index * 250 + place);
  return entry(`10.${index >> 8}.${index & 255}.0/24`, { ...PATH, communities });
});

test('a table waits for a collector that takes its time', LIMIT, async () => {
  const speaker = fakeBgp({ entries: BULKY, pageSize: 250 });
  const work = async (collector: BmpCollector, station: BmpStation) => {
    await collector.until(() => collector.log.includes('initiation host-a'));
    collector.socket.pause();
    station.monitor(FOUR, up(FOUR));
    const stopped = async (turns: number): Promise<void> => {
      const before = speaker.pages;
      for (let turn = 0; turn < turns; turn++) await new Promise(setImmediate);
      return speaker.pages === before ? undefined : stopped(turns);
    };
    await stopped(100);
    assert.ok(speaker.pages < BULKY.length / 250);
    collector.socket.resume();
    await collector.until(() => collector.peers.get(FOUR)?.endOfRib.length === 2);
    assert.equal(collector.peers.get(FOUR)!.routes.size, BULKY.length);
    assert.equal(collector.log.filter((line) => line === 'connected').length, 1);
  };
  await withStation(work, { queueBytesMax: 1024 * 1024, speaker });
});

test('a table is told in as few messages as it fits, each within the size of the session', () => {
  const bodies = tableUpdates(TABLE, TABLE_SESSION);
  assert.equal(bodies.length, Math.ceil((COUNT * 4) / (4096 - 19 - 4 - 30)) + 2);
  for (const body of bodies) assert.ok(body.length + 19 <= 4096);
  assert.deepEqual(tableUpdates([entry('10.0.0.0/8', { ...PATH, nextHop: undefined })], TABLE_SESSION), []);
});
