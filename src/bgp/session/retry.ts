/**
 * When a session tries again: the connect retry timer and the idle hold timer, which never run at the same time.
 *
 * After a try that came to nothing, or a connection that was lost, the next one follows soon, with a wait that doubles up to
 * what is configured: with a passive side its partner's retry decides how fast a restart is over. After an error that
 * lasts until somebody changes something, the session holds in Idle; the hold grows with each such error, also where sessions
 * come up in between, and starts small again once a session has been stable. A peer that has oscillated for long is not
 * even listened to during the hold.
 *
 * RFC 4271 sections 8.1.1 (DampPeerOscillations, IdleHoldTimer, ConnectRetryTimer) and 10 (jitter).
 */
import type { Backoff } from '../../lib/backoff.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import { after } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';

/** The first wait between two tries to connect; the longest is configured. */
const RETRY_FIRST_MS = 500;
/** A retry rarely helps before somebody has changed something, and then nobody wants to wait for long. */
const IDLE_HOLD: Backoff = { firstMs: 5_000, maxMs: 60_000 };
/** So many errors in a row may be somebody at work on the peer. */
const OSCILLATIONS_MAX = 5;
/** A session that was up for this long has shown that its errors are over. */
const STABLE_MS = 300_000;
/** First dials are spread over this time, so that a whole mesh does not dial a new host in one instant. */
const FIRST_DIAL_SPREAD_MS = 200;

/** How the session dials. */
interface Dialling {
  readonly passive: boolean;
  readonly connectRetrySeconds: number;
}

export class Retry {
  readonly #random: Random;
  #at: Instant | undefined;
  #isHeld = false;
  /** Tries since the last session that came up. */
  #fruitless = 0;
  /** Lasting errors since the last stable time. */
  #oscillations = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  /** When the hold ends, or the next dial is due; undefined for a side that waits to be dialled. */
  get at(): Instant | undefined {
    return this.#at;
  }

  /** Whether the session is Idle for a while rather than Active. */
  get isHeld(): boolean {
    return this.#isHeld;
  }

  /** How many errors in a row have made it a peer that is not listened to; undefined for one that is. */
  get oscillations(): number | undefined {
    return this.#isHeld && this.#oscillations > OSCILLATIONS_MAX ? this.#oscillations : undefined;
  }

  first(now: Instant, { passive }: Dialling): void {
    this.clear();
    if (!passive) this.#at = after(now, FIRST_DIAL_SPREAD_MS * this.#random());
  }

  /** No try is wanted, or one is being made. */
  clear(): void {
    this.#at = undefined;
    this.#isHeld = false;
  }

  /** A session has come up. */
  succeeded(): void {
    this.clear();
    this.#fruitless = 0;
  }

  /** A session that had come up has ended. */
  lost(upForMs: number): void {
    if (upForMs >= STABLE_MS) this.#oscillations = 0;
  }

  /** The last connection is gone: `lasting` for an error that the next try will most likely meet again. */
  after(now: Instant, lasting: boolean, { passive, connectRetrySeconds }: Dialling): void {
    if (lasting) this.#oscillations += 1;
    else this.#fruitless += 1;
    this.#isHeld = lasting;
    const retry: Backoff = { firstMs: RETRY_FIRST_MS, maxMs: connectRetrySeconds * 1000 };
    const [backoff, failures] = lasting ? [IDLE_HOLD, this.#oscillations] : [retry, this.#fruitless];
    this.#at = passive && !lasting ? undefined : after(now, backoffMs(backoff, failures, this.#random));
  }

  /** Somebody is about to get through; see again after the longest wait whether that has come to something. */
  later(now: Instant, { connectRetrySeconds }: Dialling): void {
    this.#at = after(now, connectRetrySeconds * 1000);
  }

  /** How the session dials has changed; a hold goes on. `isAlone` without any connection. */
  redialling(now: Instant, { passive }: Dialling, isAlone: boolean): void {
    if (this.#isHeld) return;
    if (passive) this.#at = undefined;
    else if (isAlone) this.#at ??= now;
  }
}
