/**
 * Randomness as an argument.
 *
 * Jitter and identifiers come from a `Random` that is handed in, so that a test or a simulation with a seed gives the
 * same run again. The generator is mulberry32: 32 bits of state, good enough for jitter, never for secrets.
 */

/** Gives the next number in [0, 1). */
export type Random = () => number;

/** A generator that gives the same sequence for the same 32-bit seed. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
