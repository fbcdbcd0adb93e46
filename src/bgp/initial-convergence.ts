/**
 * After a start: when do we know enough to clean up what we left behind?
 *
 * The kernel still holds the routes of the run before, and traffic flows over them. They may go once every peer has said all
 * it has (End-of-RIB), or cannot be expected to. Each peer is waited for, but each for a bounded time: one that does not come
 * up at all, one that comes up but never finishes, and one that does not know of End-of-RIB.
 *
 * RFC 4724 section 4.1 (the Selection_Deferral_Timer).
 */
import type { Instant } from '../lib/clock.ts';
import { after } from '../lib/clock.ts';

/** A peer that is not up by then is likely down; its routes are of no use anyway. */
export const PEER_UP_WAIT_MS = 30_000;
/** The end of all waiting: enough for a full table, shorter than the hour in which nobody would notice stale routes. */
export const END_OF_RIB_WAIT_MS = 120_000;
/** How long a peer without graceful restart gets to send its routes after it has come up. */
const SILENT_PEER_WAIT_MS = 5_000;

/** How far one peer has come since our start. */
export type PeerProgress =
  | { readonly kind: 'down' }
  | { readonly kind: 'sending'; readonly establishedAt: Instant; readonly sendsEndOfRib: boolean }
  | { readonly kind: 'complete' };

/** Until when a peer in this state is waited for; undefined when it is waited for no more. */
function waitEnd(start: Instant, progress: PeerProgress): Instant | undefined {
  switch (progress.kind) {
    case 'complete':
      return undefined;
    case 'down':
      return after(start, PEER_UP_WAIT_MS);
    case 'sending':
      return progress.sendsEndOfRib
        ? after(start, END_OF_RIB_WAIT_MS)
        : after(progress.establishedAt, SILENT_PEER_WAIT_MS);
  }
}

/** When convergence must be assumed if nothing more happens; undefined when no peer is waited for. */
export function convergenceDeadline(start: Instant, peers: Iterable<PeerProgress>): Instant | undefined {
  let latest: Instant | undefined;
  for (const progress of peers) {
    const end = waitEnd(start, progress);
    if (end !== undefined && (latest === undefined || end > latest)) latest = end;
  }
  return latest;
}
