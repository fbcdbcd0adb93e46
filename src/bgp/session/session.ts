/**
 * One peer's session: the finite state machine of RFC 4271 section 8. All transitions are in this file.
 *
 * A session has up to a few connections at a time, since both sides may dial; each is in one of the states below, and at
 * most one is Established. The session's own state is that of its most advanced connection; without any it is Active
 * (waiting for the next try or for the peer to dial) or Idle (shut down, or holding off after an error).
 *
 *      Idle/Active ──retry──► Dialling ──connected──► [DelayingOpen ──►] OpenSent ──OPEN──► OpenConfirm ──KEEPALIVE──► Established
 *           ▲      ──────────────accepted──────────────────┘                                   │                          │
 *           └────────── refused, closed, NOTIFICATION, hold timer, send hold timer ────────────┴──────────────────────────┘
 *
 * Departures: Idle takes connections, as a peer that dials is worth an answer, until the session oscillates
 * (DampPeerOscillations). OpenConfirm has a hold timer even where none was agreed on. Collisions are in collision.ts, clocks
 * in connection.ts, what OPENs amount to in negotiate.ts, and which error means what for the next try in errors.ts.
 */
import type { Instant } from '../../lib/clock.ts';
import { earlier } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import { formatRouterId } from '../../net/asn.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { ConnectionId, SessionState, SpeakerOutput } from '../contract.ts';
import { peerName } from '../contract.ts';
import type { PeerConfig } from '../peer-config.ts';
import { capabilityNames } from '../wire/capabilities.ts';
import type { BgpError } from '../wire/errors.ts';
import {
  administrativeShutdown,
  bgpError,
  describeNotification,
  hardReset,
  isBgpError,
  isHard,
  isHardReset,
  isLasting,
  isMeantToLast,
  refusesOffer,
} from '../wire/errors.ts';
import type { Frame } from '../wire/message.ts';
import { decodeNotification, encodeNotification, KEEPALIVE, MESSAGE_TYPE } from '../wire/message.ts';
import type { Open } from '../wire/open.ts';
import { decodeOpen, encodeOpen } from '../wire/open.ts';
import type { Refresh, RefreshKind } from '../wire/route-refresh.ts';
import { decodeRefresh, encodeRefresh } from '../wire/route-refresh.ts';
import { settleCollision } from './collision.ts';
import type { Connection } from './connection.ts';
import {
  dueAt,
  jitteredKeepaliveMs,
  keepaliveDue,
  keepaliveSecondsOf,
  newConnection,
  patienceEnds,
  sendHoldEnds,
  sessionState,
  spendBudget,
  unexpectedMessage,
} from './connection.ts';
import { needsReset } from './needs-reset.ts';
import { negotiate } from './negotiate.ts';
import type { Negotiated } from './negotiated.ts';
import type { Reticence } from './own-open.ts';
import { reticentOpen } from './own-open.ts';
import { Retry } from './retry.ts';
import type { LogText } from './session-log.ts';
import { SessionLog, textOf } from './session-log.ts';

/** One dialled, one accepted, and some left over from restarts of the peer; the oldest goes when there are more. */
const CONNECTIONS_MAX = 4;

/** Of connect(2), where nobody is there to say no. */
const UNANSWERED: readonly string[] = ['ETIMEDOUT', 'EHOSTUNREACH', 'EHOSTDOWN', 'ENETUNREACH'];

/** What the session needs of its owner, and tells it. */
export interface SessionOwner {
  emit(output: SpeakerOutput): void;
  nextConnection(): ConnectionId;
  /** The OPEN that we send now. */
  ownOpen(now: Instant): Open;
  established(now: Instant, negotiated: Negotiated): void;
  /** Takes the body of an UPDATE; an error ends the session. */
  update(now: Instant, body: Uint8Array): BgpError | undefined;
  refresh(now: Instant, refresh: Refresh): void;
  /** Dialling met silence, where a kernel that is alive and reached would at least have refused. */
  unanswered(now: Instant): void;
  /** The Established session has ended; `recoverable` where graceful restart may bridge it, if both sides have it. */
  down(now: Instant, end: { readonly recoverable: boolean; readonly reason: string }): void;
}

/** How a connection ended. */
interface Ending {
  readonly reason: string;
  readonly recoverable: boolean;
  /** The next try waits for longer, as somebody has to change something. */
  readonly lasting: boolean;
}

export class Session {
  readonly log = new SessionLog();
  #config: PeerConfig;
  readonly #owner: SessionOwner;
  readonly #random: Random;
  #connections: Connection[] = [];
  /** Why there is to be no session; undefined for a peer in use. */
  #refusal: BgpError | undefined;
  readonly #retry: Retry;
  #reticence: Reticence = 'all';
  #state: SessionState = 'Idle';
  #since: Instant;
  #lastError = '';
  /** The peer has said so, and not spoken since: this tells more than that dialling it fails. */
  #isShutDownByPeer = false;

  constructor(now: Instant, config: PeerConfig, owner: SessionOwner, random: Random) {
    this.#config = config;
    this.#owner = owner;
    this.#random = random;
    this.#retry = new Retry(random);
    this.#since = now;
  }

  get state(): SessionState {
    return this.#state;
  }

  /** Since when it is in this state. */
  get since(): Instant {
    return this.#since;
  }

  get lastError(): string {
    return this.#lastError;
  }

  /** What was agreed on; undefined unless Established. */
  get negotiated(): Negotiated | undefined {
    return this.#established()?.negotiated;
  }

  get config(): PeerConfig {
    return this.#config;
  }

  /** Begins to dial, or to wait where the peer is to dial (events 1 to 7), unless the peer is shut down. */
  start(now: Instant): void {
    const { shutdown } = this.#config;
    this.#refusal = shutdown === undefined ? undefined : administrativeShutdown(shutdown);
    if (this.#refusal === undefined) this.#retry.first(now, this.#config);
    this.#restate(now, this.#refusal?.why ?? 'started');
  }

  /** Takes another configuration of the peer: softly where that is possible, else the session begins anew under it. */
  reconfigure(now: Instant, config: PeerConfig): void {
    const before = this.#config;
    this.#config = config;
    if (config.shutdown !== undefined) {
      if (config.shutdown !== before.shutdown) this.stop(now, administrativeShutdown(config.shutdown));
    } else if (before.shutdown !== undefined) this.start(now);
    else {
      const changed = needsReset(before, config);
      if (changed !== undefined) this.reset(now, bgpError('configurationChange', `changed: ${changed}`));
      const connection = this.#established();
      if (connection !== undefined) this.#scheduleKeepalive(connection);
      this.#retry.redialling(now, config, this.#connections.length === 0);
    }
  }

  /** Ends all connections with a NOTIFICATION and tries anew; without any, ends the wait for the next try. */
  reset(now: Instant, error: BgpError): void {
    const isAlone = this.#connections.length === 0;
    for (const connection of [...this.#connections]) this.#fail(now, connection, error);
    if (!isAlone || this.#refusal !== undefined) return;
    this.#retry.first(now, this.#config);
    this.#restate(now, error.why);
  }

  /** Ends all connections with a NOTIFICATION for good (events 2 and 8). */
  stop(now: Instant, error: BgpError): void {
    this.#refusal = error;
    this.#retry.clear();
    this.reset(now, error);
    this.#restate(now, error.why);
  }

  nextTimer(): Instant | undefined {
    let next = this.#retry.at;
    for (const connection of this.#connections) next = earlier(next, dueAt(connection, this.#config.delayOpenSeconds));
    return next;
  }

  tick(now: Instant): void {
    for (const connection of [...this.#connections]) this.#tickConnection(now, connection);
    const { at } = this.#retry;
    if (at !== undefined && at <= now) this.#wake(now);
  }

  connected(now: Instant, id: ConnectionId, localAddress: Ip): void {
    const connection = this.#find(id);
    if (connection?.state === 'Dialling') this.#begin(now, connection, localAddress, 'connected');
  }

  connectFailed(now: Instant, id: ConnectionId, reason: string): void {
    this.closed(now, id, `connecting failed: ${reason}`);
    if (UNANSWERED.includes(reason)) this.#owner.unanswered(now);
  }

  accepted(now: Instant, id: ConnectionId, localAddress: Ip): void {
    const { oscillations } = this.#retry;
    const damping = `${oscillations} errors in a row; the last one: ${this.#lastError}`;
    const refusal = this.#refusal ?? (oscillations === undefined ? undefined : bgpError('connectionRejected', damping));
    if (refusal !== undefined) {
      this.#refuse(now, id, refusal);
      return;
    }
    const waiting = this.#connections.filter((connection) => connection.state !== 'Established');
    const oldest = waiting[0];
    if (waiting.length >= CONNECTIONS_MAX && oldest !== undefined) this.#drop(now, oldest, 'too many connections');
    this.#begin(now, this.#add(now, id, false), localAddress, 'accepted');
  }

  closed(now: Instant, id: ConnectionId, reason: string): void {
    const connection = this.#find(id);
    if (connection === undefined) return;
    const { state, localAddress } = connection;
    // What one sees of a peer on whose side something is missing; it says nothing itself.
    const isTurnedAway = state === 'OpenSent' && localAddress !== undefined;
    const hint = isTurnedAway ? ` before its OPEN; it may not know ${formatIp(localAddress)} as a peer` : '';
    this.#remove(now, connection, { reason: `${reason}${hint}`, recoverable: true, lasting: false });
  }

  received(now: Instant, id: ConnectionId, bytes: Uint8Array): void {
    const connection = this.#find(id);
    if (connection === undefined || connection.state === 'Dialling') return;
    const { frames, error } = connection.framer.push(bytes);
    for (const frame of frames) {
      if (connection.state === 'Ended') return; // by an earlier frame
      this.log.countReceived(frame.type, frame.body.length);
      this.#obey(now, connection, frame);
    }
    if (error !== undefined && connection.state !== 'Ended') this.#fail(now, connection, error);
  }

  /** Our bytes do not go out: the send hold timer begins to run (RFC 9687). */
  blocked(now: Instant, id: ConnectionId): void {
    const connection = this.#find(id);
    if (connection !== undefined) connection.blockedAt ??= now;
  }

  drained(_now: Instant, id: ConnectionId): void {
    const connection = this.#find(id);
    if (connection !== undefined) connection.blockedAt = undefined;
  }

  /** Sends whole UPDATEs on the Established connection; they count as keepalive. */
  send(now: Instant, bytes: Uint8Array): void {
    const connection = this.#established();
    if (connection === undefined) return;
    this.#emitSend(connection.id, bytes);
    connection.sentAt = now;
  }

  /** Asks for a family anew, or encloses our answer; false where the peer does not understand that. */
  sendRefresh(_now: Instant, family: Family, kind: RefreshKind): boolean {
    const connection = this.#established();
    const negotiated = connection?.negotiated;
    const isUnderstood = kind === 'request' ? negotiated?.routeRefresh : negotiated?.enhancedRouteRefresh;
    if (connection === undefined || isUnderstood !== true) return false;
    this.#emitSend(connection.id, encodeRefresh({ family, kind }));
    return true;
  }

  /** The timers of a connection: hold, connect, delay open (events 9 to 12), keepalive, send hold. */
  #tickConnection(now: Instant, connection: Connection): void {
    const isDue = (at: Instant | undefined): boolean => at !== undefined && at <= now;
    const { state } = connection;
    if (isDue(patienceEnds(connection, this.#config.delayOpenSeconds))) {
      if (state === 'DelayingOpen') this.#sendOpen(now, connection, 'waited long enough for its OPEN');
      else if (state === 'Dialling') {
        this.#drop(now, connection, connectingTimedOut(this.#config));
        this.#owner.unanswered(now);
      } else this.#fail(now, connection, bgpError('holdTimerExpired', `nothing came from the peer in ${state}`));
    } else if (isDue(sendHoldEnds(connection))) {
      this.#fail(now, connection, bgpError('sendHoldTimerExpired', 'the peer has not read for too long'));
    } else if (isDue(keepaliveDue(connection))) this.#sendKeepalive(now, connection);
  }

  /** The idle hold is over, or the connect retry timer has run out (events 13 and 9): → Active, and Connect where we dial. */
  #wake(now: Instant): void {
    this.#retry.clear();
    const { address, port, passive } = this.#config;
    // An accepted connection on which nothing came yet is no reason not to try: it may be dead.
    if (this.#isBusy()) {
      if (!passive) this.#retry.later(now, this.#config);
    } else if (!passive) {
      const connection = this.#add(now, this.#owner.nextConnection(), true);
      this.#owner.emit({ kind: 'connect', connection: connection.id, peer: this.#config });
      this.#restate(now, `dialling ${formatIp(address)} port ${port}`);
    } else this.#restate(now, 'the idle hold time is over');
  }

  #add(now: Instant, id: ConnectionId, outgoing: boolean): Connection {
    const connection = newConnection(now, { id, outgoing, besideEstablished: this.#established() !== undefined });
    this.#connections.push(connection);
    return connection;
  }

  /** TCP is there (events 16 and 17): → OpenSent, or first wait for the peer's OPEN where we are to. */
  #begin(now: Instant, connection: Connection, localAddress: Ip, reason: string): void {
    connection.localAddress = localAddress;
    if (this.#config.delayOpenSeconds === 0) this.#sendOpen(now, connection, reason);
    else {
      connection.state = 'DelayingOpen';
      connection.heardAt = now;
      this.#restate(now, `${reason}, waiting for its OPEN`);
    }
  }

  /** → OpenSent. Both sides send their OPEN at once: two that wait for each other would wait for ever. */
  #sendOpen(now: Instant, connection: Connection, reason: string): void {
    connection.ownOpen = reticentOpen(this.#owner.ownOpen(now), this.#reticence);
    this.#reticence = 'all'; // once: a peer may have learnt meanwhile
    connection.state = 'OpenSent';
    connection.heardAt = now;
    this.#emitSend(connection.id, encodeOpen(connection.ownOpen));
    this.#restate(now, reason);
  }

  #obey(now: Instant, connection: Connection, { type, body }: Frame): void {
    const { state } = connection;
    if (type === MESSAGE_TYPE.notification) this.#notified(now, connection, body);
    else if (type !== MESSAGE_TYPE.update && !spendBudget(now, connection)) {
      this.#fail(now, connection, bgpError('outOfResources', `a flood of messages of type ${type}`));
    } else if (state === 'DelayingOpen' && type === MESSAGE_TYPE.open) {
      this.#sendOpen(now, connection, 'its OPEN has come');
      this.#opened(now, connection, body);
    } else if (state === 'OpenSent' && type === MESSAGE_TYPE.open) this.#opened(now, connection, body);
    else if (state === 'OpenConfirm' && type === MESSAGE_TYPE.keepalive) this.#establish(now, connection);
    else if (state === 'Established' && type === MESSAGE_TYPE.keepalive) connection.heardAt = now;
    else if (state === 'Established' && type === MESSAGE_TYPE.update) {
      connection.heardAt = now;
      const error = this.#owner.update(now, body);
      if (error !== undefined) this.#fail(now, connection, error);
    } else if (state === 'Established' && type === MESSAGE_TYPE.routeRefresh) this.#refresh(now, connection, body);
    else this.#fail(now, connection, unexpectedMessage(state, type));
  }

  /** OPEN: OpenSent → OpenConfirm (event 19), unless the peer is not who it should be or another connection wins. */
  #opened(now: Instant, connection: Connection, body: Uint8Array): void {
    const { ownOpen, localAddress } = connection;
    if (ownOpen === undefined || localAddress === undefined) return;
    const open = decodeOpen(body);
    if (isBgpError(open)) {
      this.#fail(now, connection, open);
      return;
    }
    const negotiated = negotiate(ownOpen, open, this.#config, localAddress);
    if (isBgpError(negotiated)) {
      this.#fail(now, connection, negotiated);
      return;
    }
    for (const other of [...this.#connections]) {
      if (other !== connection && !this.#survives(now, connection, other, ownOpen, open)) return;
    }
    this.#isShutDownByPeer = false;
    connection.negotiated = negotiated;
    connection.framer.messageBytesMax = negotiated.messageBytesMax;
    connection.state = 'OpenConfirm';
    connection.heardAt = now;
    this.#sendKeepalive(now, connection);
    this.#restate(now, () => openText(open));
  }

  /** Settles the collision of a connection that got its OPEN with another one; false when it lost and is gone. */
  #survives(now: Instant, connection: Connection, other: Connection, own: Open, open: Open): boolean {
    const verdict = settleCollision(connection, other, own, open);
    if (verdict.keep === 'both') return true;
    const loser = verdict.keep === 'candidate' ? other : connection;
    if (verdict.silent) this.#drop(now, loser, verdict.why);
    else this.#fail(now, loser, bgpError('collision', verdict.why));
    return verdict.keep === 'candidate';
  }

  /** KEEPALIVE: OpenConfirm → Established (event 26). */
  #establish(now: Instant, connection: Connection): void {
    if (connection.negotiated === undefined) return;
    connection.state = 'Established';
    connection.heardAt = now;
    this.#retry.succeeded();
    this.log.established += 1;
    this.#restate(now, 'KEEPALIVE');
    this.#owner.established(now, connection.negotiated);
  }

  #refresh(now: Instant, connection: Connection, body: Uint8Array): void {
    const refresh = decodeRefresh(body, connection.negotiated?.enhancedRouteRefresh === true);
    const { negotiated, ownOpen } = connection;
    if (isBgpError(refresh)) this.#fail(now, connection, refresh);
    else if (
      refresh !== undefined &&
      negotiated?.families.includes(refresh.family) === true &&
      ownOpen?.capabilities.routeRefresh === true
    ) {
      this.#owner.refresh(now, refresh);
    } else this.log.note(now, 'a ROUTE-REFRESH that we never agreed on was passed over');
  }

  /** The peer ends it (events 24 and 25). */
  #notified(now: Instant, connection: Connection, body: Uint8Array): void {
    const told = decodeNotification(body);
    const reason = `the peer says: ${describeNotification(told.code, told.subcode, told.data)}`;
    this.log.notification(now, 'received', told);
    const refused = connection.state === 'Established' ? undefined : refusesOffer(told);
    const wasOffered = connection.ownOpen?.capabilities.routeRefresh === true;
    if (refused !== undefined && wasOffered) this.#reticence = refused === 'parameters' ? 'none' : 'needed';
    const recoverable = connection.negotiated?.restartsAfterNotification === true && !isHardReset(told);
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    this.#isShutDownByPeer = false; // what it says now replaces what it has said
    this.#remove(now, connection, { reason, recoverable, lasting: this.#reticence === 'all' && isLasting(told) });
    this.#isShutDownByPeer = isMeantToLast(told);
  }

  /** Ends a connection by a NOTIFICATION of ours. */
  #fail(now: Instant, connection: Connection, error: BgpError): void {
    if (connection.state === 'Ended') return; // by what the owner did with the same message
    const restarts = connection.negotiated?.restartsAfterNotification === true;
    const told = restarts && isHard(error) ? hardReset(error) : error;
    if (connection.state !== 'Dialling') this.#notify(now, connection.id, told);
    const reason = `${describeNotification(error.code, error.subcode, new Uint8Array(0))}: ${error.why}`;
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    this.#remove(now, connection, { reason, recoverable: restarts && !isHard(error), lasting: isLasting(error) });
  }

  /** Ends a connection without a word. */
  #drop(now: Instant, connection: Connection, reason: string): void {
    this.#owner.emit({ kind: 'close', connection: connection.id, reason });
    this.#remove(now, connection, { reason, recoverable: true, lasting: false });
  }

  #refuse(now: Instant, id: ConnectionId, error: BgpError): void {
    this.#notify(now, id, error);
    this.log.note(now, `a connection was refused: ${error.why}`);
    this.#owner.emit({ kind: 'close', connection: id, reason: error.why });
  }

  /** The connection is no more; where it was the last one that counts, the next try is scheduled. */
  #remove(now: Instant, connection: Connection, { reason, recoverable, lasting }: Ending): void {
    const wasEstablished = connection.state === 'Established';
    connection.state = 'Ended';
    this.#connections = this.#connections.filter((other) => other !== connection);
    const wasLast = connection.outgoing ? !this.#isBusy() : this.#connections.length === 0;
    if (wasEstablished || (wasLast && !this.#isShutDownByPeer)) this.#lastError = reason;
    if (wasEstablished) {
      this.log.flaps += 1;
      this.#retry.lost(now - this.#since);
    }
    if (wasLast && this.#refusal === undefined) this.#retry.after(now, lasting, this.#config);
    this.#restate(now, reason);
    if (wasEstablished) this.#owner.down(now, { recoverable, reason });
  }

  #restate(now: Instant, reason: LogText): void {
    const resting = this.#refusal !== undefined || this.#retry.isHeld ? 'Idle' : 'Active';
    const to = sessionState(this.#connections, resting);
    const from = this.#state;
    this.log.note(now, reason, from === to ? undefined : { from, to });
    if (to === from) return;
    this.#state = to;
    this.#since = now;
    this.#owner.emit({ kind: 'session', peer: peerName(this.#config), from, to, reason: textOf(reason) });
  }

  #emitSend(connection: ConnectionId, bytes: Uint8Array): void {
    this.log.countSent(bytes);
    this.#owner.emit({ kind: 'send', connection, bytes });
  }

  #notify(now: Instant, connection: ConnectionId, error: BgpError): void {
    this.log.notification(now, 'sent', error);
    this.#emitSend(connection, encodeNotification(error));
  }

  #sendKeepalive(now: Instant, connection: Connection): void {
    this.#emitSend(connection.id, KEEPALIVE);
    connection.sentAt = now;
    this.#scheduleKeepalive(connection);
  }

  #scheduleKeepalive(connection: Connection): void {
    const seconds = keepaliveSecondsOf(connection.negotiated?.holdTimeSeconds ?? 0, this.#config.keepaliveSeconds);
    connection.keepaliveMs = jitteredKeepaliveMs(seconds, this.#random);
  }

  /** Whether a connection is there that may come to something. */
  #isBusy(): boolean {
    return this.#connections.some(({ outgoing, state }) => outgoing || state !== 'OpenSent');
  }

  #find(id: ConnectionId): Connection | undefined {
    return this.#connections.find((connection) => connection.id === id);
  }

  #established(): Connection | undefined {
    return this.#connections.find((connection) => connection.state === 'Established');
  }
}

function openText({ asn, routerId, holdTimeSeconds, capabilities }: Open): string {
  const said = [`AS ${asn}`, `router ${formatRouterId(routerId)}`, `hold time ${holdTimeSeconds} s`];
  return `OPEN: ${[...said, ...capabilityNames(capabilities)].join(', ')}`;
}

/** A kernel drops what has a wrong MD5 signature without a word, so that a password that differs looks like a dead host. */
function connectingTimedOut({ password }: PeerConfig): string {
  return `connecting timed out${password === undefined ? '' : ', as it does when the passwords (MD5) differ'}`;
}
