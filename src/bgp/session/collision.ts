/**
 * Which of two connections with one peer is kept.
 *
 * Asked when an OPEN has come on one of them, the candidate, for each other connection; pure, so that both sides come to
 * the same answer from the same two OPENs. Beside an Established connection a new one loses, unless the peer restarts
 * gracefully: then it is the new one that is alive, and our TCP has not noticed yet (RFC 4724 section 4.2). A connection
 * that began before the other was Established is settled by identifiers, because for the peer, to whom our KEEPALIVE
 * is still on its way, the other is not Established yet.
 *
 * RFC 4271 section 6.8, RFC 6286 section 2.3.
 */

import type { Open } from '../wire/open.ts';
import type { Connection } from './connection.ts';

export type CollisionVerdict =
  | { readonly keep: 'both' }
  | {
      readonly keep: 'candidate' | 'other';
      readonly why: string /** Closed without a word. */;
      readonly silent: boolean;
    };

type Colliding = Pick<Connection, 'outgoing' | 'state' | 'besideEstablished' | 'negotiated'>;

export function settleCollision(candidate: Colliding, other: Colliding, own: Open, theirs: Open): CollisionVerdict {
  switch (other.state) {
    case 'Ended':
    case 'OpenSent': // nobody knows yet who is at its other end
      return { keep: 'both' };
    case 'Dialling':
    case 'DelayingOpen':
      return { keep: 'candidate', why: 'the peer has sent its OPEN on another connection', silent: true };
    case 'Established':
      if (!candidate.besideEstablished) break;
      if (other.negotiated?.open.capabilities.gracefulRestart === undefined) {
        return { keep: 'other', why: 'another connection is Established', silent: false };
      }
      return { keep: 'candidate', why: 'the peer has opened a new connection: it has restarted', silent: true };
    case 'OpenConfirm':
      break;
  }
  return { keep: byIdentifiers(candidate, other, own, theirs), why: 'the other connection was kept', silent: false };
}

/** The one that the side with the higher identifier opened is kept; of two from one side, the newer. */
function byIdentifiers(candidate: Colliding, other: Colliding, own: Open, theirs: Open): 'candidate' | 'other' {
  const weAreHigher = own.routerId === theirs.routerId ? own.asn > theirs.asn : own.routerId > theirs.routerId;
  return candidate.outgoing === other.outgoing || candidate.outgoing === weAreHigher ? 'candidate' : 'other';
}
