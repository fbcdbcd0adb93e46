/**
 * How long to wait before the next try.
 *
 * The wait doubles with each failure up to a bound, and is spread by jitter so that many waiters do not return at once
 * (RFC 4271 section 10 asks the same of BGP's timers: a factor between 0.75 and 1).
 */
import type { Random } from './prng.ts';

export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

const JITTER_FLOOR = 0.75;

/** Milliseconds to wait after `failures` (1 or more) failures in a row. */
export function backoffMs(backoff: Backoff, failures: number, random: Random): number {
  const exponent = Math.min(Math.max(failures - 1, 0), 30); // 2^30 firsts is beyond any bound in use
  const full = Math.min(backoff.firstMs * 2 ** exponent, backoff.maxMs);
  return full * (JITTER_FLOOR + (1 - JITTER_FLOOR) * random());
}
