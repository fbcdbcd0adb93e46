/**
 * One connection of a session: its state and its clocks.
 *
 * What the timers of RFC 4271 section 10 come to is kept as "when was this last so" and "how long may it be so": nothing is
 * set or cleared for a message, and `dueAt` works out when somebody has to look again. So a busy event loop does not make
 * a silent peer of one whose messages still lie in the socket, as those are read before the tick.
 *
 * The send hold timer (RFC 9687) runs while our bytes cannot be got rid of. Messages other than UPDATE are counted against
 * a budget: they cost the peer nothing, and no peer has reason for many.
 */
import type { Instant } from '../../lib/clock.ts';
import { after, earlier } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import type { Ip } from '../../net/ip.ts';
import type { ConnectionId, SessionState } from '../contract.ts';
import type { BgpError } from '../wire/errors.ts';
import { bgpError } from '../wire/errors.ts';
import { MessageFramer } from '../wire/message.ts';
import type { Open } from '../wire/open.ts';
import type { Negotiated } from './negotiated.ts';

/** Hold time while waiting for the peer's OPEN (RFC 4271 section 8.2.2 suggests 4 minutes). */
const OPEN_HOLD_MS = 240_000;
/** A SYN that was not answered by then was lost in a full backlog or meets no host: a new one is quicker than its repeats. */
const CONNECT_TIMEOUT_MS = 5_000;
/** RFC 9687 section 4: the longer of 8 minutes and twice the hold time. */
const SEND_HOLD_MS_MIN = 480_000;
/** Three keepalives in a hold time, never more than one a second (RFC 4271 section 4.4). */
const KEEPALIVES_PER_HOLD = 3;
const KEEPALIVE_MS_MIN = 1_000;
/** RFC 4271 section 10. */
const JITTER_FLOOR = 0.75;
/** A full round of refreshes in all families many times over; what a hold time of 3 s needs is one a second. */
const BUDGET_MESSAGES = 200;
const BUDGET_MESSAGES_PER_SECOND = 5;

export type ConnectionState = 'Dialling' | 'DelayingOpen' | 'OpenSent' | 'OpenConfirm' | 'Established' | 'Ended';

export interface Connection {
  readonly id: ConnectionId;
  /** We dialled it. */
  readonly outgoing: boolean;
  /** It came while another connection was Established. */
  readonly besideEstablished: boolean;
  readonly framer: MessageFramer;
  state: ConnectionState;
  localAddress: Ip | undefined;
  /** Ours as sent on this connection. */
  ownOpen: Open | undefined;
  negotiated: Negotiated | undefined;
  /** When the peer last gave a sign of life, or the present state began. */
  heardAt: Instant;
  /** When we last sent a KEEPALIVE or UPDATE. */
  sentAt: Instant;
  keepaliveMs: number | undefined;
  /** Since when our bytes have not gone out. */
  blockedAt: Instant | undefined;
  /** Messages that the peer may still send, as of `budgetAt`. */
  budget: number;
  budgetAt: Instant;
}

export function newConnection(
  now: Instant,
  { id, outgoing, besideEstablished }: Pick<Connection, 'id' | 'outgoing' | 'besideEstablished'>,
): Connection {
  return {
    id,
    outgoing,
    besideEstablished,
    framer: new MessageFramer(),
    state: 'Dialling',
    localAddress: undefined,
    ownOpen: undefined,
    negotiated: undefined,
    heardAt: now,
    sentAt: now,
    keepaliveMs: undefined,
    blockedAt: undefined,
    budget: BUDGET_MESSAGES,
    budgetAt: now,
  };
}

/** When the present state has lasted too long without a sign from the peer; undefined where it may last for ever. */
export function patienceEnds(connection: Connection, delayOpenSeconds: number): Instant | undefined {
  const holdMs = (connection.negotiated?.holdTimeSeconds ?? 0) * 1000;
  switch (connection.state) {
    case 'Ended':
      return undefined;
    case 'Dialling':
      return after(connection.heardAt, CONNECT_TIMEOUT_MS);
    case 'DelayingOpen':
      return after(connection.heardAt, delayOpenSeconds * 1000);
    case 'OpenSent':
      return after(connection.heardAt, OPEN_HOLD_MS);
    case 'OpenConfirm': // not for ever even without a hold time, since anybody may get this far
      return after(connection.heardAt, holdMs === 0 ? OPEN_HOLD_MS : holdMs);
    case 'Established':
      return holdMs === 0 ? undefined : after(connection.heardAt, holdMs);
  }
}

export function keepaliveDue({ sentAt, keepaliveMs }: Connection): Instant | undefined {
  return keepaliveMs === undefined ? undefined : after(sentAt, keepaliveMs);
}

export function sendHoldEnds({ blockedAt, negotiated }: Connection): Instant | undefined {
  if (blockedAt === undefined) return undefined;
  return after(blockedAt, Math.max(SEND_HOLD_MS_MIN, 2000 * (negotiated?.holdTimeSeconds ?? 0)));
}

/** When something is next to be done about the connection. */
export function dueAt(connection: Connection, delayOpenSeconds: number): Instant | undefined {
  const own = earlier(keepaliveDue(connection), sendHoldEnds(connection));
  return earlier(own, patienceEnds(connection, delayOpenSeconds));
}

/** Seconds between keepalives without jitter: as configured, but never too few for the hold time; undefined for none. */
export function keepaliveSecondsOf(holdTimeSeconds: number, configured: number | undefined): number | undefined {
  if (holdTimeSeconds === 0) return undefined;
  const third = holdTimeSeconds / KEEPALIVES_PER_HOLD;
  return configured === undefined || configured === 0 ? third : Math.min(configured, third);
}

/** Milliseconds to the next keepalive, with jitter. */
export function jitteredKeepaliveMs(seconds: number | undefined, random: Random): number | undefined {
  if (seconds === undefined) return undefined;
  return Math.max(seconds * 1000 * (JITTER_FLOOR + (1 - JITTER_FLOOR) * random()), KEEPALIVE_MS_MIN);
}

/** Takes one message off the budget, which fills up with time; false when there is none left. */
export function spendBudget(now: Instant, connection: Connection): boolean {
  const earned = ((now - connection.budgetAt) / 1000) * BUDGET_MESSAGES_PER_SECOND;
  connection.budget = Math.min(BUDGET_MESSAGES, connection.budget + earned) - 1;
  connection.budgetAt = now;
  return connection.budget >= 0;
}

/** A message that the state does not allow (RFC 6608 section 3); the data are its type. */
export function unexpectedMessage(state: ConnectionState, type: number): BgpError {
  const why = `message of type ${type} in ${state}`;
  if (state === 'OpenSent' || state === 'OpenConfirm' || state === 'Established') {
    return bgpError(`unexpectedIn${state}`, why, Uint8Array.of(type));
  }
  return bgpError('unexpectedMessage', why);
}

const STATE_ORDER: readonly SessionState[] = ['Idle', 'Active', 'Connect', 'OpenSent', 'OpenConfirm', 'Established'];

/** The state of a session with these connections: that of the most advanced one, or the one in which it rests without. */
export function sessionState(connections: readonly Connection[], resting: 'Idle' | 'Active'): SessionState {
  let furthest: SessionState = resting;
  for (const { state, outgoing } of connections) {
    const reached = stateOf(state, outgoing);
    if (STATE_ORDER.indexOf(reached) > STATE_ORDER.indexOf(furthest)) furthest = reached;
  }
  return furthest;
}

/** RFC 4271 knows a connection that waits with its OPEN as Connect (ours) or Active (the peer's). */
function stateOf(state: ConnectionState, outgoing: boolean): SessionState {
  if (state === 'Ended') return 'Idle';
  if (state === 'Dialling') return 'Connect';
  if (state === 'DelayingOpen') return outgoing ? 'Connect' : 'Active';
  return state;
}
