/**
 * One collector that is told of our sessions (RFC 7854): connection, the table at first, everything live after that.
 *
 *   speaker's monitor outputs ──► sessions (who is up, with which OPENs)
 *                            └──► the connection, at once            pages of the table ──► the connection, when it has room
 *
 * A collector that comes, or comes back, is told of each session that is up and what its peer has sent, a page at a time; what
 * happens meanwhile is told in between, and since each message is true when it is written, the last word on a prefix is
 * right. Nothing is kept for a collector that is away: it gets the table again. One that reads too slowly is cut off and
 * dialled again, so that it costs QUEUE_BYTES_MAX at most. The session with a peer never waits for a collector.
 *
 * Called by the shell around the speaker, with an instance for each collector. Messages are made in bgp/bmp.ts.
 */
import { connect, type Socket } from 'node:net';
import type { MonitorEvent, PeerName } from '../../bgp/contract.ts';
import { encodeEndOfRib } from '../../bgp/export/update-writer.ts';
import type { BmpDownReason, BmpPeer } from '../../bgp/observe/bmp.ts';
import {
  encodeInitiation,
  encodePeerDown,
  encodePeerUp,
  encodeRouteMonitoring,
  encodeStatistics,
  encodeTermination,
} from '../../bgp/observe/bmp.ts';
import { tableUpdates } from '../../bgp/observe/table-updates.ts';
import type { PeerConfig } from '../../bgp/peer-config.ts';
import type { Negotiated } from '../../bgp/session/negotiated.ts';
import { HEADER_BYTES } from '../../bgp/wire/message.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { wallClockNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { BgpControl } from '../control-api.ts';
import { VERSION } from '../version.ts';

/** A collector that has not read this much is taken for dead; a table of 100,000 routes has a tenth of it. */
const QUEUE_BYTES_MAX = 32 * 1024 * 1024;
/** The table is read on only while less than this waits to be sent: the rest stays where it is, in the table. */
const TABLE_QUEUE_BYTES = 256 * 1024;
/** Prefixes a turn of the loop: a few milliseconds. */
const PAGE_PREFIXES = 500;
const STATISTICS_MS = 60_000;
/** RFC 7854 section 3.2 advises 30 seconds at first and 720 at most; a collector that was restarted need not be blind so long. */
const RECONNECT = { firstMs: 1_000, maxMs: 60_000 };
/** A connection that has lasted this long is a success, and the next wait begins anew. */
const LASTING_MS = 30_000;
/** The collector's machine may be gone without a word. */
const KEEPALIVE_MS = 30_000;
const CONNECT_TIMEOUT_MS = 10_000;
/** The last NOTIFICATION of a peer is why its session ended if it is no older than the loop may be late. */
const NOTIFICATION_MS = 1_000;

interface Session {
  readonly negotiated: Negotiated;
  readonly peer: BmpPeer;
  readonly config: PeerConfig;
  readonly since: number;
}

/** What of a session's table has not been told yet. */
interface TableCursor {
  readonly name: PeerName;
  after: string | undefined;
}

export interface BmpOptions {
  readonly collector: { readonly address: Ip; readonly port: number };
  /** Who we are, for the collector's operator. */
  readonly systemName: string;
  readonly bgp: Pick<BgpControl, 'neighbor' | 'dump'>;
  readonly log: Log;
  readonly random: Random;
  /** QUEUE_BYTES_MAX where it is not said. */
  readonly queueBytesMax?: number;
}

export class BmpStation {
  readonly #options: BmpOptions;
  readonly #queueBytesMax: number;
  readonly #place: string;
  readonly #sessions = new Map<PeerName, Session>();
  readonly #statistics: NodeJS.Timeout;
  #socket: Socket | undefined;
  #isConnected = false;
  #cursors: TableCursor[] = [];
  #pumping: NodeJS.Immediate | undefined;
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #isClosed = false;

  constructor(options: BmpOptions) {
    this.#options = options;
    this.#queueBytesMax = options.queueBytesMax ?? QUEUE_BYTES_MAX;
    this.#place = `${formatIp(options.collector.address)} port ${options.collector.port}`;
    this.#statistics = setInterval(() => this.#sendStatistics(), STATISTICS_MS).unref();
    this.#connect();
  }

  /** What the speaker has to say of a peer; its bytes are copied. */
  monitor(name: PeerName, event: MonitorEvent): void {
    const session = this.#sessions.get(name);
    if (event.kind === 'up') {
      const { negotiated, config } = event;
      const { asn, routerId } = negotiated.open;
      const peer = { address: config.address, asn, routerId, asnBytes: negotiated.asnBytes };
      const begun = { negotiated, peer, config, since: wallClockNow() };
      this.#sessions.set(name, begun);
      this.#introduce(name, begun);
    } else if (session === undefined) return;
    else if (event.kind === 'update') {
      this.#send(encodeRouteMonitoring(session.peer, wallClockNow(), event.body));
    } else {
      this.#sessions.delete(name);
      this.#cursors = this.#cursors.filter((cursor) => cursor.name !== name);
      this.#send(encodePeerDown(session.peer, wallClockNow(), this.#downReason(name)));
    }
  }

  /** Says goodbye to the collector. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#statistics);
    clearTimeout(this.#retry);
    clearImmediate(this.#pumping);
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return;
    if (!this.#isConnected) {
      socket.destroy();
      return;
    }
    this.#send(encodeTermination('muslin stops'));
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.end();
      socket.setTimeout(CONNECT_TIMEOUT_MS, () => socket.destroy());
      socket.resume();
    });
  }

  #connect(): void {
    const { collector, log } = this.#options;
    const socket = connect({ host: formatIp(collector.address), port: collector.port, timeout: CONNECT_TIMEOUT_MS });
    this.#socket = socket;
    let connectedAt: number | undefined;
    let reason = 'closed by the collector';
    socket.on('connect', () => {
      connectedAt = performance.now();
      socket.setTimeout(0);
      socket.setKeepAlive(true, KEEPALIVE_MS);
      log.info('BMP collector connected', { collector: this.#place });
      this.#begin();
    });
    socket.on('timeout', () => socket.destroy(new Error('no answer')));
    socket.on('drain', () => this.#pump());
    socket.resume(); // a collector has nothing to say
    socket.on('error', (error) => {
      reason = error.message;
    });
    socket.on('close', () => {
      this.#isConnected = false;
      this.#cursors = [];
      if (this.#isClosed) return;
      const lasted = connectedAt === undefined ? 0 : performance.now() - connectedAt;
      this.#failures = lasted >= LASTING_MS ? 1 : this.#failures + 1;
      const waitMs = Math.round(backoffMs(RECONNECT, this.#failures, this.#options.random));
      log.warn('BMP collector away, trying again', { collector: this.#place, reason, waitMs });
      this.#retry = setTimeout(() => this.#connect(), waitMs).unref();
    });
  }

  /** All that a new connection has to be told. */
  #begin(): void {
    this.#isConnected = true;
    this.#send(encodeInitiation(this.#options.systemName, `muslin ${VERSION}`));
    for (const [name, session] of this.#sessions) this.#introduce(name, session);
  }

  #introduce(name: PeerName, { peer, negotiated, config, since }: Session): void {
    const { localAddress, ownOpen: sent, open: received } = negotiated;
    const ports = { localPort: 0, remotePort: config.passive ? 0 : config.port };
    this.#send(encodePeerUp(peer, { since, localAddress, ...ports, sent, received }));
    if (!this.#isConnected) return;
    this.#cursors.push({ name, after: undefined });
    this.#pump();
  }

  /** Goes on with the tables while the connection has room. */
  #pump(): void {
    if (this.#pumping !== undefined || this.#cursors.length === 0) return;
    this.#pumping = setImmediate(() => {
      this.#pumping = undefined;
      const [cursor] = this.#cursors;
      const waiting = this.#socket?.writableLength ?? 0;
      if (cursor === undefined || !this.#isConnected || waiting > TABLE_QUEUE_BYTES) return;
      this.#sendPage(cursor);
      this.#pump();
    });
  }

  #sendPage(cursor: TableCursor): void {
    const session = this.#sessions.get(cursor.name);
    if (session === undefined) return;
    const { asnBytes, messageBytesMax, addPathReceive, families } = session.negotiated;
    const question = { received: cursor.name, after: cursor.after, limit: PAGE_PREFIXES };
    const { entries, next } = this.#options.bgp.dump(question);
    const now = wallClockNow();
    for (const body of tableUpdates(entries, { asnBytes, messageBytesMax, pathIds: addPathReceive }))
      this.#send(encodeRouteMonitoring(session.peer, now, body));
    cursor.after = next;
    if (next !== undefined) return;
    this.#cursors = this.#cursors.filter((each) => each !== cursor);
    for (const family of families)
      this.#send(encodeRouteMonitoring(session.peer, now, encodeEndOfRib(family).subarray(HEADER_BYTES)));
  }

  #sendStatistics(): void {
    if (!this.#isConnected) return;
    for (const [name, { peer }] of this.#sessions) {
      const view = this.#options.bgp.neighbor(name);
      if (view === undefined) continue;
      const { treatedAsWithdraw: updatesTreatedAsWithdraw, prefixesReceived: routesReceived } = view;
      const statistics = { updatesTreatedAsWithdraw, routesReceived, routesAccepted: view.prefixesAccepted };
      this.#send(encodeStatistics(peer, wallClockNow(), statistics));
    }
  }

  #send(bytes: Uint8Array): void {
    const socket = this.#socket;
    if (socket === undefined || !this.#isConnected) return;
    if (socket.writableLength + bytes.length > this.#queueBytesMax) {
      this.#isConnected = false;
      socket.destroy(new Error(`it has not read ${socket.writableLength} bytes`));
      return;
    }
    socket.write(bytes);
  }

  #downReason(name: PeerName): BmpDownReason {
    const view = this.#options.bgp.neighbor(name);
    if (view === undefined) return { kind: 'deconfigured' };
    const last = view.lastNotification;
    if (last === undefined || last.agoMs > NOTIFICATION_MS) return { kind: 'silence', from: 'remote' };
    const { code, subcode, direction } = last;
    return { kind: 'notification', from: direction === 'sent' ? 'local' : 'remote', code, subcode };
  }
}
