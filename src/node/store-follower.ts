/**
 * Following the store: list, watch, and start over when that fails.
 *
 * Whoever follows is told of each entry once with its newest value, of each removal, and that everything which was there
 * at some moment has been told. A watch that breaks is resumed by listing again and telling only what differs; so a store
 * that is away for an hour costs nothing but time, and nothing is removed meanwhile.
 *
 * What this process writes itself, through `ownStore`, is told at once: a container need not wait until the store has told of
 * it. The watch brings it again later, and older news of the same entries with it; whatever is not newer than what was told of
 * an entry is passed over. So the listener sees each entry's revisions in order, though not always all of them.
 */
import type { Backoff } from '../lib/backoff.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { Entry, Revision, Store, Transaction } from '../store/store.ts';

export interface StoreListener {
  put(entry: Entry): void;
  removed(key: string): void;
  /** All that was in the store has been told; called again after each new start. */
  inSync(): void;
  /** The store cannot be read: `reason` for the status. What was told before still holds. */
  away(reason: string): void;
}

export interface FollowOptions {
  /** Until when to follow. */
  readonly signal: AbortSignal;
  readonly log: Log;
  readonly random: Random;
}

const RETRY: Backoff = { firstMs: 100, maxMs: 5_000 };

/** What was told last of an entry; one that was removed is remembered until the watch has told of it, too. */
interface Told {
  readonly revision: Revision;
  readonly removed: boolean;
}

/** Follows all keys under `prefix`. */
export class StoreFollower {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #listener: StoreListener;
  readonly #options: FollowOptions;
  readonly #told = new Map<string, Told>();
  #hasListed = false;

  constructor(store: Store, prefix: string, listener: StoreListener, options: FollowOptions) {
    this.#store = store;
    this.#prefix = prefix;
    this.#listener = listener;
    this.#options = options;
  }

  /** The store, whose writers the listener hears at once; `onWritten` likewise, before it. */
  ownStore(onWritten: (transaction: Transaction, revision: Revision) => void): Store {
    const store = this.#store;
    return {
      description: store.description,
      get: (key) => store.get(key),
      list: (prefix) => store.list(prefix),
      watch: (prefix, from, signal) => store.watch(prefix, from, signal),
      close: () => store.close(),
      transact: async (transaction, onTaken) => {
        let isTaken = false;
        const take = (revision: Revision): void => {
          if (isTaken) return;
          isTaken = true;
          onWritten(transaction, revision);
          this.#takeOwn(transaction, revision);
          onTaken?.(revision);
        };
        const result = await store.transact(transaction, take);
        if (result.ok) take(result.revision);
        return result;
      },
    };
  }

  /** Follows until the signal aborts. Never throws for a store that is away. */
  async run(): Promise<void> {
    const { signal, log, random } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      try {
        const from = await this.#tellListing();
        failures = 0;
        await this.#tellChanges(from);
      } catch (error) {
        failures += 1;
        const reason = error instanceof Error ? error.message : String(error);
        const waitMs = backoffMs(RETRY, failures, random);
        log.warn('store cannot be followed, trying again', { reason, waitMs: Math.round(waitMs) });
        this.#listener.away(reason);
        await pause(waitMs, signal);
      }
    }
  }

  async #tellListing(): Promise<Revision> {
    const { entries, revision } = await this.#store.list(this.#prefix);
    const present = new Set(entries.map((entry) => entry.key));
    for (const [key, told] of [...this.#told]) {
      if (present.has(key) || told.revision > revision) continue;
      if (!told.removed) this.#listener.removed(key);
      this.#told.delete(key);
    }
    for (const entry of entries) this.#tellPut(entry);
    this.#hasListed = true;
    this.#listener.inSync();
    return revision;
  }

  async #tellChanges(from: Revision): Promise<void> {
    for await (const event of this.#store.watch(this.#prefix, from, this.#options.signal)) {
      if (event.kind === 'put') this.#tellPut(event.entry);
      else if (event.kind === 'removed') {
        this.#tellRemoved(event.key, event.revision);
        if (this.#told.get(event.key)?.revision === event.revision) this.#told.delete(event.key);
      }
    }
  }

  /** Before all has been listed the listing brings it, and nothing may be told out of its order. */
  #takeOwn({ writes }: Transaction, revision: Revision): void {
    if (!this.#hasListed) return;
    for (const write of writes) {
      if (!write.key.startsWith(this.#prefix)) continue;
      if (write.kind === 'remove') this.#tellRemoved(write.key, revision);
      else this.#tellPut({ key: write.key, value: write.value, revision });
    }
  }

  #tellPut(entry: Entry): void {
    if (this.#isOld(entry.key, entry.revision)) return;
    this.#told.set(entry.key, { revision: entry.revision, removed: false });
    this.#listener.put(entry);
  }

  #tellRemoved(key: string, revision: Revision): void {
    const before = this.#told.get(key);
    // What was never told of need not be taken back. A transaction that removes what is not there leaves the revision as it is.
    if (before === undefined || before.removed || this.#isOld(key, revision)) return;
    this.#told.set(key, { revision, removed: true });
    this.#listener.removed(key);
  }

  #isOld(key: string, revision: Revision): boolean {
    return (this.#told.get(key)?.revision ?? 0) >= revision;
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
  });
}
