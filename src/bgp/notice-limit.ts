/**
 * A peer whose every UPDATE is malformed shall not fill the log: so many notices a minute, and a word on the last one.
 */
import type { Instant } from '../lib/clock.ts';
import { instant } from '../lib/clock.ts';

const NOTICES_PER_MINUTE = 20;
const MINUTE_MS = 60_000;

export class NoticeLimit {
  #count = 0;
  #since = instant(Number.NEGATIVE_INFINITY);

  /** The text to be logged; undefined when there have been enough. */
  admit(now: Instant, message: string): string | undefined {
    if (now - this.#since >= MINUTE_MS) {
      this.#since = now;
      this.#count = 0;
    }
    this.#count += 1;
    if (this.#count > NOTICES_PER_MINUTE) return undefined;
    return this.#count < NOTICES_PER_MINUTE ? message : `${message} (further notices of this minute are left out)`;
  }
}
