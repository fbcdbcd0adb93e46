/**
 * Who waits for an endpoint to be in force: the CNI requests whose containers must not start before that.
 *
 * Felix asks after each pass whether what somebody waits for has come true. Each wait is bounded, and one that is given up
 * says what was missing, since that is all that a runtime's user gets to see.
 */
interface Waiter {
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
}

export class EndpointWaiters {
  readonly #pending: (id: string) => string | undefined;
  readonly #waiters = new Map<string, Set<Waiter>>();

  /** `pending` says what an endpoint still lacks; undefined when it is in force. */
  constructor(pending: (id: string) => string | undefined) {
    this.#pending = pending;
  }

  /** Resolves when the endpoint is in force; rejects after `timeoutMs` with what it lacks. */
  wait(id: string, timeoutMs: number): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiters = this.#waiters.get(id) ?? new Set();
      const end = (): void => {
        clearTimeout(timer);
        waiters.delete(waiter);
        if (waiters.size === 0) this.#waiters.delete(id);
      };
      const waiter: Waiter = {
        resolve: () => {
          end();
          resolve();
        },
        reject: (error) => {
          end();
          reject(error);
        },
      };
      const timer = setTimeout(() => {
        const missing = this.#pending(id) ?? 'nothing is missing any more';
        waiter.reject(new Error(`not in force after ${timeoutMs / 1000} s: ${missing}`));
      }, timeoutMs);
      this.#waiters.set(id, waiters.add(waiter));
    });
  }

  /** Lets go those whose endpoint is in force by now. */
  tell(): void {
    for (const [id, waiters] of [...this.#waiters]) {
      if (this.#pending(id) !== undefined) continue;
      for (const waiter of [...waiters]) waiter.resolve();
    }
  }

  /** Ends all waits with `reason`. */
  giveUp(reason: string): void {
    for (const waiters of [...this.#waiters.values()]) {
      for (const waiter of [...waiters]) waiter.reject(new Error(reason));
    }
  }
}
