/**
 * When the speaker gets its ticks and its work.
 *
 * A tick waits for one turn of the event loop after its timer has rung, so that bytes that lay ready while we were busy are
 * read before a hold timer is believed to have run out. Work is done once a turn: reading, timers and work
 * alternate, hence no tick is later than one slice of work and one turn of reading.
 */
import type { Instant } from '../../lib/clock.ts';
import { monotonicNow } from '../../lib/clock.ts';

/** The longest wait that setTimeout takes. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export class BgpClock {
  readonly #onTick: () => void;
  readonly #onWork: () => void;
  #timer: { readonly at: Instant; readonly handle: NodeJS.Timeout } | undefined;
  #tick: NodeJS.Immediate | undefined;
  #work: NodeJS.Immediate | undefined;

  constructor(onTick: () => void, onWork: () => void) {
    this.#onTick = () => {
      this.#tick = undefined;
      onTick();
    };
    this.#onWork = () => {
      this.#work = undefined;
      onWork();
    };
  }

  /** Asks for a tick at the given time, if none comes earlier. */
  tickAt(next: Instant | undefined): void {
    if (next === undefined || this.#tick !== undefined) return;
    // A timer that rings too early costs an idle tick; setting it anew with each message would cost more.
    if (this.#timer !== undefined && this.#timer.at <= next) return;
    clearTimeout(this.#timer?.handle);
    const delay = Math.min(Math.max(Math.ceil(next - monotonicNow()), 0), TIMEOUT_MS_MAX);
    this.#timer = { at: next, handle: setTimeout(() => this.#ring(), delay) };
  }

  /** Asks for work in the next turn of the event loop. */
  workSoon(): void {
    this.#work ??= setImmediate(this.#onWork);
  }

  stop(): void {
    clearTimeout(this.#timer?.handle);
    clearImmediate(this.#tick);
    clearImmediate(this.#work);
  }

  #ring(): void {
    this.#timer = undefined;
    this.#tick = setImmediate(this.#onTick);
  }
}
