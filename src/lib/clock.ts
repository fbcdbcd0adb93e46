/**
 * Time as a value.
 *
 * Code that decides never asks what time it is: it is handed an Instant, and it answers with the Instant at which it
 * wants to be woken. So two speakers can live through an hour in a millisecond, and a failure can be replayed.
 * An Instant counts milliseconds on a monotonic scale with an arbitrary zero; it is not a date.
 * Only this file reads the machine's clock.
 */
import type { Brand } from './brand.ts';

export type Instant = Brand<number, 'Instant'>;

/** Milliseconds since an arbitrary zero, as an Instant. */
export function instant(milliseconds: number): Instant {
  return milliseconds as Instant;
}

/** The Instant `milliseconds` after `start`. */
export function after(start: Instant, milliseconds: number): Instant {
  return instant(start + milliseconds);
}

/** The earlier of two wake-up times, where undefined means "never". */
export function earlier(a: Instant | undefined, b: Instant | undefined): Instant | undefined {
  if (a === undefined) return b;
  if (b === undefined) return a;
  return a < b ? a : b;
}

/** The machine's monotonic clock, for the shell that drives the core. */
export function monotonicNow(): Instant {
  return instant(performance.now());
}

/** The wall clock in milliseconds since 1970, for records that people read; never for measuring. */
export function wallClockNow(): number {
  return Date.now();
}
