/**
 * One peer's session: the finite state machine of RFC 4271 section 8. All transitions are in this file.
 *
 * A session has up to a few connections at a time, since both sides may dial; each is in one of the states from Connect to
 * Established, and at most one is Established. The session's own state is that of its most advanced connection; without
 * any it is Active (waiting for the next try or for the peer to dial) or Idle (holding off after an error).
 *
 *      Idle/Active ──retry──► Connect ──connected──► OpenSent ──OPEN──► OpenConfirm ──KEEPALIVE──► Established
 *           ▲      ──────────────accepted───────────────┘                    │                          │
 *           └────────── refused, closed, NOTIFICATION, hold timer ───────────┴──────────────────────────┘
 *
 * Departures: Idle takes connections too, as a peer that dials is worth an answer; there is no DelayOpen. Two connections
 * are settled when an OPEN arrives (section 6.8, RFC 6286); a new one from a peer with graceful restart takes the place of
 * the Established one (RFC 4724 section 4.2), because the peer has restarted and our TCP has not noticed.
 */
import type { Backoff } from '../lib/backoff.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { formatRouterId } from '../net/asn.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import { multiprotocolValue } from './capabilities.ts';
import type { ConnectionId, PeerConfig, SessionState, SpeakerOutput } from './contract.ts';
import type { BgpError } from './errors.ts';
import { bgpError, CEASE, describeNotification, HOLD_TIMER_EXPIRED, isBgpError } from './errors.ts';
import type { Frame } from './message.ts';
import { decodeNotification, encodeNotification, KEEPALIVE, MESSAGE_TYPE, MessageFramer } from './message.ts';
import type { Open } from './open.ts';
import { decodeOpen, encodeOpen } from './open.ts';

/** Hold time while waiting for the peer's OPEN (RFC 4271 section 8.2.2 suggests 4 minutes). */
const OPEN_HOLD_MS = 240_000;
/** A SYN that was not answered by then was lost in a full backlog or meets no host: a new one is quicker than its repeats. */
const CONNECT_TIMEOUT_MS = 5_000;
/** With a passive side its partner's retry decides how fast a restart is over; Calico retries each 5 s. */
const CONNECT_BACKOFF: Backoff = { firstMs: 500, maxMs: 5_000 };
/** After an error of protocol or configuration a retry rarely helps before somebody has changed something. */
const ERROR_BACKOFF: Backoff = { firstMs: 5_000, maxMs: 60_000 };
/** First dials are spread over this time, so that a whole mesh does not dial a new host in one instant. */
const FIRST_DIAL_SPREAD_MS = 200;
/** One dialled, one accepted, and some left over from restarts of the peer; the oldest goes when there are more. */
const CONNECTIONS_MAX = 4;
/** Three keepalives in a hold time (RFC 4271 section 4.4). */
const KEEPALIVES_PER_HOLD = 3;
const KEEPALIVE_JITTER_FLOOR = 0.75;

/** Why an Established session ended, which decides whether the peer's routes are kept. */
export type DownCause = 'connection-lost' | 'notification';

export interface Negotiated {
  readonly open: Open;
  /** Our own end of the connection. */
  readonly localAddress: Ip;
  readonly holdTimeSeconds: number;
}

/** What the session needs of its owner, and tells it. */
export interface SessionOwner {
  emit(output: SpeakerOutput): void;
  nextConnection(): ConnectionId;
  /** The OPEN that we send now. */
  ownOpen(now: Instant): Open;
  established(now: Instant, negotiated: Negotiated): void;
  /** Takes the body of an UPDATE; an error ends the session. */
  update(now: Instant, body: Uint8Array): BgpError | undefined;
  down(now: Instant, cause: DownCause): void;
}

interface Connection {
  readonly id: ConnectionId;
  /** We dialled it. */
  readonly outgoing: boolean;
  /** It came while another connection was Established. */
  readonly besideEstablished: boolean;
  readonly framer: MessageFramer;
  state: 'Connect' | 'OpenSent' | 'OpenConfirm' | 'Established' | 'Ended';
  /** When the peer has been silent for too long; undefined without a hold timer. */
  deadline: Instant | undefined;
  keepaliveAt: Instant | undefined;
  localAddress: Ip | undefined;
  negotiated: Negotiated | undefined;
}

const STATE_ORDER: readonly SessionState[] = ['Connect', 'OpenSent', 'OpenConfirm', 'Established'];

export class Session {
  #config: PeerConfig;
  readonly #owner: SessionOwner;
  readonly #random: Random;
  #connections: Connection[] = [];
  #dialAt: Instant | undefined;
  #resting: 'Idle' | 'Active' = 'Active';
  #failures = 0;
  #stopped = false;
  #state: SessionState = 'Idle';
  #since: Instant;
  #lastError = '';

  constructor(now: Instant, config: PeerConfig, owner: SessionOwner, random: Random) {
    this.#config = config;
    this.#owner = owner;
    this.#random = random;
    this.#since = now;
  }

  get state(): SessionState {
    return this.#state;
  }

  get since(): Instant {
    return this.#since;
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** Begins to dial, or to wait where the peer is to dial. */
  start(now: Instant): void {
    if (!this.#config.passive) this.#dialAt = after(now, FIRST_DIAL_SPREAD_MS * this.#random());
    this.#restate(now, 'started');
  }

  /** Takes a configuration that needs no reset: how the peer is dialled and described. */
  reconfigure(now: Instant, config: PeerConfig): void {
    this.#config = config;
    if (config.passive) this.#dialAt = undefined;
    else if (this.#connections.length === 0) this.#dialAt ??= now;
  }

  /** Ends all connections with a NOTIFICATION and tries anew. */
  reset(now: Instant, error: BgpError): void {
    for (const connection of [...this.#connections]) this.#fail(now, connection, error);
  }

  /** Ends all connections with a NOTIFICATION for good. */
  stop(now: Instant, error: BgpError): void {
    this.#stopped = true;
    this.#resting = 'Idle';
    this.reset(now, error);
    this.#dialAt = undefined;
    this.#restate(now, error.why);
  }

  nextTimer(): Instant | undefined {
    let next = this.#dialAt;
    for (const { deadline, keepaliveAt } of this.#connections) next = earlier(earlier(next, deadline), keepaliveAt);
    return next;
  }

  tick(now: Instant): void {
    for (const connection of [...this.#connections]) this.#tickConnection(now, connection);
    if (this.#dialAt !== undefined && this.#dialAt <= now) this.#dial(now);
  }

  connected(now: Instant, id: ConnectionId, localAddress: Ip): void {
    const connection = this.#find(id);
    if (connection?.state === 'Connect') this.#sendOpen(now, connection, localAddress, 'connected');
  }

  connectFailed(now: Instant, id: ConnectionId, reason: string): void {
    const connection = this.#find(id);
    if (connection !== undefined) this.#remove(now, connection, `connecting failed: ${reason}`, 'connection-lost');
  }

  accepted(now: Instant, id: ConnectionId, localAddress: Ip): void {
    const waiting = this.#connections.filter((connection) => connection.state !== 'Established');
    const oldest = waiting[0];
    if (waiting.length >= CONNECTIONS_MAX && oldest !== undefined) this.#drop(now, oldest, 'too many connections');
    this.#sendOpen(now, this.#add(id, false, undefined), localAddress, 'accepted');
  }

  closed(now: Instant, id: ConnectionId, reason: string): void {
    const connection = this.#find(id);
    if (connection !== undefined) this.#remove(now, connection, reason, 'connection-lost');
  }

  received(now: Instant, id: ConnectionId, bytes: Uint8Array): void {
    const connection = this.#find(id);
    if (connection === undefined || connection.state === 'Connect') return;
    const { frames, error } = connection.framer.push(bytes);
    for (const frame of frames) {
      if (this.#find(id) === undefined) return; // an earlier frame has ended it
      this.#obey(now, connection, frame);
    }
    if (error !== undefined && this.#find(id) !== undefined) this.#fail(now, connection, error);
  }

  /** Sends UPDATEs on the Established connection; they count as keepalive. */
  send(now: Instant, bytes: Uint8Array): void {
    const connection = this.#established();
    if (connection === undefined) return;
    this.#owner.emit({ kind: 'send', connection: connection.id, bytes });
    this.#scheduleKeepalive(now, connection);
  }

  #tickConnection(now: Instant, connection: Connection): void {
    if (connection.deadline !== undefined && connection.deadline <= now) {
      if (connection.state === 'Connect') {
        this.#drop(now, connection, `connecting timed out after ${CONNECT_TIMEOUT_MS / 1000} s`);
        return;
      }
      this.#fail(
        now,
        connection,
        bgpError('holdTimerExpired', `nothing came from the peer in ${connection.state} for too long`),
      );
      return;
    }
    if (connection.keepaliveAt !== undefined && connection.keepaliveAt <= now) {
      this.#owner.emit({ kind: 'send', connection: connection.id, bytes: KEEPALIVE });
      this.#scheduleKeepalive(now, connection);
    }
  }

  #dial(now: Instant): void {
    this.#dialAt = undefined;
    if (this.#connections.length > 0) return;
    const { address, port } = this.#config;
    const connection = this.#add(this.#owner.nextConnection(), true, after(now, CONNECT_TIMEOUT_MS));
    this.#owner.emit({ kind: 'connect', connection: connection.id, address, port });
    this.#restate(now, `dialling ${formatIp(address)} port ${port}`);
  }

  #add(id: ConnectionId, outgoing: boolean, deadline: Instant | undefined): Connection {
    const connection: Connection = {
      id,
      outgoing,
      besideEstablished: this.#established() !== undefined,
      framer: new MessageFramer(),
      state: 'Connect',
      deadline,
      keepaliveAt: undefined,
      localAddress: undefined,
      negotiated: undefined,
    };
    this.#connections.push(connection);
    return connection;
  }

  /** → OpenSent. Both sides send their OPEN at once: two that wait for each other would wait for ever. */
  #sendOpen(now: Instant, connection: Connection, localAddress: Ip, reason: string): void {
    connection.localAddress = localAddress;
    connection.state = 'OpenSent';
    connection.deadline = after(now, OPEN_HOLD_MS);
    this.#owner.emit({ kind: 'send', connection: connection.id, bytes: encodeOpen(this.#owner.ownOpen(now)) });
    this.#restate(now, reason);
  }

  #obey(now: Instant, connection: Connection, frame: Frame): void {
    const { state } = connection;
    if (frame.type === MESSAGE_TYPE.notification) this.#notified(now, connection, frame.body);
    else if (state === 'OpenSent' && frame.type === MESSAGE_TYPE.open) this.#opened(now, connection, frame.body);
    else if (state === 'OpenConfirm' && frame.type === MESSAGE_TYPE.keepalive) this.#establish(now, connection);
    else if (state === 'Established' && frame.type !== MESSAGE_TYPE.open) {
      this.#restartHold(now, connection);
      // We do not offer route refresh, so a request for it is none of ours and is passed over (RFC 2918 section 4).
      const error = frame.type === MESSAGE_TYPE.update ? this.#owner.update(now, frame.body) : undefined;
      if (error !== undefined) this.#fail(now, connection, error);
    } else {
      const name = state === 'OpenSent' || state === 'OpenConfirm' ? state : 'Established';
      const why = `message of type ${frame.type} in ${state}`;
      this.#fail(now, connection, bgpError(`unexpectedIn${name}`, why, Uint8Array.of(frame.type)));
    }
  }

  #notified(now: Instant, connection: Connection, body: Uint8Array): void {
    const { code, subcode, data } = decodeNotification(body);
    const reason = `the peer says: ${describeNotification(code, subcode, data)}`;
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    // A cease is a wish of the peer's operator or of its collision rule, no fault that needs a long wait.
    this.#remove(now, connection, reason, 'notification', code === CEASE ? CONNECT_BACKOFF : ERROR_BACKOFF);
  }

  /** OPEN: OpenSent → OpenConfirm, unless the peer is not who it should be or another connection wins. */
  #opened(now: Instant, connection: Connection, body: Uint8Array): void {
    const open = decodeOpen(body);
    const own = this.#owner.ownOpen(now);
    const error = isBgpError(open) ? open : this.#objection(own, open);
    if (error !== undefined || isBgpError(open)) {
      if (error !== undefined) this.#fail(now, connection, error);
      return;
    }
    for (const other of [...this.#connections]) {
      if (other !== connection && !this.#survives(now, connection, other, own, open)) return;
    }
    const holdTimeSeconds = Math.min(own.holdTimeSeconds, open.holdTimeSeconds);
    const localAddress = connection.localAddress ?? this.#config.address;
    connection.negotiated = { open, localAddress, holdTimeSeconds };
    connection.state = 'OpenConfirm';
    this.#restartHold(now, connection);
    this.#owner.emit({ kind: 'send', connection: connection.id, bytes: KEEPALIVE });
    this.#scheduleKeepalive(now, connection);
    this.#restate(now, `OPEN from router ${formatRouterId(open.routerId)}`);
  }

  /** What is wrong with the peer's OPEN, given what we know of it. */
  #objection(own: Open, open: Open): BgpError | undefined {
    if (open.asn !== this.#config.asn) {
      return bgpError('badPeerAs', `the peer is in AS ${open.asn}, configured is AS ${this.#config.asn}`);
    }
    if (open.asn === own.asn && open.routerId === own.routerId) {
      return bgpError('badRouterId', `the peer has our own router identifier ${formatRouterId(own.routerId)}`);
    }
    const theirs = open.capabilities.families ?? [4];
    if (!this.#config.families.some((family) => theirs.includes(family))) {
      const wanted = this.#config.families.map((family) => `IPv${family}`).join(' and ');
      const data = this.#config.families.flatMap((family) => [1, 4, ...multiprotocolValue(family)]);
      return bgpError('unsupportedCapability', `the peer does not speak ${wanted} unicast`, Uint8Array.from(data));
    }
    return undefined;
  }

  /** Settles the collision of a connection that got its OPEN with another one; false when it lost and is gone. */
  #survives(now: Instant, connection: Connection, other: Connection, own: Open, open: Open): boolean {
    if (other.state === 'Connect') {
      this.#drop(now, other, 'the peer has dialled meanwhile');
      return true;
    }
    if (other.state === 'OpenSent') return true; // nobody knows yet who is at its other end
    if (other.state === 'Established' && connection.besideEstablished) {
      const restarts = other.negotiated?.open.capabilities.gracefulRestart !== undefined;
      if (restarts) this.#drop(now, other, 'the peer has opened a new connection: it has restarted');
      else this.#fail(now, connection, bgpError('collision', 'another connection is Established'));
      return restarts;
    }
    // The one that the side with the higher identifier opened is kept; of two from one side, the newer.
    const weAreHigher = own.routerId === open.routerId ? own.asn > open.asn : own.routerId > open.routerId;
    const keep = connection.outgoing === other.outgoing || connection.outgoing === weAreHigher;
    const loser = keep ? other : connection;
    this.#fail(now, loser, bgpError('collision', 'the other connection of the two was kept'));
    return keep;
  }

  /** KEEPALIVE: OpenConfirm → Established. */
  #establish(now: Instant, connection: Connection): void {
    if (connection.negotiated === undefined) return;
    connection.state = 'Established';
    this.#failures = 0;
    this.#dialAt = undefined;
    this.#restartHold(now, connection);
    this.#restate(now, 'KEEPALIVE');
    this.#owner.established(now, connection.negotiated);
  }

  #restartHold(now: Instant, connection: Connection): void {
    const seconds = connection.negotiated?.holdTimeSeconds ?? 0;
    connection.deadline = seconds === 0 ? undefined : after(now, seconds * 1000);
  }

  #scheduleKeepalive(now: Instant, connection: Connection): void {
    const seconds = connection.negotiated?.holdTimeSeconds ?? 0;
    const jitter = KEEPALIVE_JITTER_FLOOR + (1 - KEEPALIVE_JITTER_FLOOR) * this.#random();
    connection.keepaliveAt = seconds === 0 ? undefined : after(now, ((seconds * 1000) / KEEPALIVES_PER_HOLD) * jitter);
  }

  /** Ends a connection by a NOTIFICATION of ours. */
  #fail(now: Instant, connection: Connection, error: BgpError): void {
    if (connection.state !== 'Connect') {
      this.#owner.emit({ kind: 'send', connection: connection.id, bytes: encodeNotification(error) });
    }
    const reason = `${describeNotification(error.code, error.subcode, new Uint8Array(0))}: ${error.why}`;
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    const backoff = error.code === CEASE || error.code === HOLD_TIMER_EXPIRED ? CONNECT_BACKOFF : ERROR_BACKOFF;
    this.#remove(now, connection, reason, 'notification', backoff);
  }

  /** Ends a connection without a word. */
  #drop(now: Instant, connection: Connection, reason: string): void {
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    this.#remove(now, connection, reason, 'connection-lost');
  }

  /** The connection is no more; where it was the last one, the next try is scheduled. */
  #remove(now: Instant, connection: Connection, reason: string, cause: DownCause, backoff = CONNECT_BACKOFF): void {
    const wasEstablished = connection.state === 'Established';
    connection.state = 'Ended';
    this.#connections = this.#connections.filter((other) => other !== connection);
    if (wasEstablished || this.#connections.length === 0) this.#lastError = reason;
    if (this.#connections.length === 0 && !this.#stopped) {
      this.#failures += 1;
      this.#resting = backoff === ERROR_BACKOFF ? 'Idle' : 'Active';
      const wait = backoffMs(backoff, this.#failures, this.#random);
      this.#dialAt = this.#config.passive ? undefined : after(now, wait);
    }
    this.#restate(now, reason);
    if (wasEstablished) this.#owner.down(now, cause);
  }

  #restate(now: Instant, reason: string): void {
    let to: SessionState = this.#resting;
    for (const { state } of this.#connections) {
      if (state !== 'Ended' && STATE_ORDER.indexOf(state) > STATE_ORDER.indexOf(to)) to = state;
    }
    if (to === this.#state) return;
    const from = this.#state;
    this.#state = to;
    this.#since = now;
    this.#owner.emit({ kind: 'session', peer: this.#config.address, from, to, reason });
  }

  #find(id: ConnectionId): Connection | undefined {
    return this.#connections.find((connection) => connection.id === id);
  }

  #established(): Connection | undefined {
    return this.#connections.find((connection) => connection.state === 'Established');
  }
}
