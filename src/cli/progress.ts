/**
 * How far a long command has come, for the person who waits: a line on stderr every second, none in the first one.
 *
 * Most stores are copied before the first line is due, and scripts then see an empty stderr.
 */
import { monotonicNow } from '../lib/clock.ts';
import type { Output } from './output.ts';

const INTERVAL_MS = 1_000;

/** To be told the count so far; prints "copied 1200 of 9000" at most once in INTERVAL_MS. */
export function progress(
  done: string,
  total: number,
  output: Output,
  now: () => number = monotonicNow,
): (count: number) => void {
  let last = now();
  return (count) => {
    const time = now();
    if (time - last < INTERVAL_MS) return;
    last = time;
    output.talk(`${done} ${count} of ${total}\n`);
  };
}
