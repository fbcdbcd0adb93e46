/**
 * When the packet filter may be repaired after somebody else has changed it: at once, unless that goes on and on.
 *
 * Two programs that each put a table right would do so for ever, as fast as they can. So after some repairs in a row each
 * is waited for longer, and none takes more than a share of the time; after a quiet while all is forgotten. What is
 * changed by our own will does not wait. Used by packet-filter.ts.
 */
import { after, type Instant, instant } from '../../lib/clock.ts';

/** More than a person makes by hand in a minute. */
const REPAIRS_AT_ONCE = 10;
const FIRST_WAIT_MS = 1_000;
const WAIT_MAX_MS = 60_000;
/** A repair is a listing, which takes seconds in a large table, in which the agent does nothing else. */
const REST_FACTOR = 4;
/** Without any change for so long, there is no fight. */
const QUIET_MS = 60_000;

export class RepairPace {
  #repairs = 0;
  #restUntil = instant(0);

  /** When a change that is noticed now may be repaired. */
  mayBegin(now: Instant): Instant {
    if (now - this.#restUntil >= QUIET_MS) this.#repairs = 0;
    return now < this.#restUntil ? this.#restUntil : now;
  }

  /** A repair has been made, and has taken so long. */
  repaired(began: Instant, ended: Instant): void {
    this.#repairs++;
    const growing =
      this.#repairs < REPAIRS_AT_ONCE ? 0 : FIRST_WAIT_MS * 2 ** Math.min(this.#repairs - REPAIRS_AT_ONCE, 10);
    this.#restUntil = after(ended, Math.min(Math.max(growing, REST_FACTOR * (ended - began)), WAIT_MAX_MS));
  }
}
