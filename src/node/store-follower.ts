/**
 * Following the store: list, watch, and start over when that fails.
 *
 * Whoever follows is told of each entry once with its newest value, of each removal, and that everything which was there
 * at some moment has been told. A watch that breaks is resumed by listing again and telling only what differs; so a store
 * that is away for an hour costs nothing but time, and nothing is removed meanwhile.
 */
import type { Backoff } from '../lib/backoff.ts';
import { backoffMs } from '../lib/backoff.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { Entry, Revision, Store } from '../store/store.ts';

export interface StoreListener {
  put(entry: Entry): void;
  removed(key: string): void;
  /** All that was in the store has been told; called again after each new start. */
  inSync(): void;
  /** The store cannot be read: `reason` for the status. What was told before still holds. */
  away(reason: string): void;
}

const RETRY: Backoff = { firstMs: 100, maxMs: 5_000 };

/** Follows all keys under `prefix` until `signal` aborts. Never throws for a store that is away. */
export async function followStore(
  store: Store,
  prefix: string,
  listener: StoreListener,
  options: { readonly signal: AbortSignal; readonly log: Log; readonly random: Random },
): Promise<void> {
  const known = new Map<string, Revision>();
  let failures = 0;
  while (!options.signal.aborted) {
    try {
      const from = await tellListing(store, prefix, known, listener);
      failures = 0;
      await tellChanges(store, prefix, from, known, listener, options.signal);
    } catch (error) {
      failures += 1;
      const reason = error instanceof Error ? error.message : String(error);
      const waitMs = backoffMs(RETRY, failures, options.random);
      options.log.warn('store cannot be followed, trying again', { reason, waitMs: Math.round(waitMs) });
      listener.away(reason);
      await pause(waitMs, options.signal);
    }
  }
}

async function tellListing(
  store: Store,
  prefix: string,
  known: Map<string, Revision>,
  listener: StoreListener,
): Promise<Revision> {
  const { entries, revision } = await store.list(prefix);
  const present = new Set(entries.map((entry) => entry.key));
  for (const key of [...known.keys()].filter((each) => !present.has(each))) {
    known.delete(key);
    listener.removed(key);
  }
  for (const entry of entries) {
    if (known.get(entry.key) === entry.revision) continue;
    known.set(entry.key, entry.revision);
    listener.put(entry);
  }
  listener.inSync();
  return revision;
}

async function tellChanges(
  store: Store,
  prefix: string,
  from: Revision,
  known: Map<string, Revision>,
  listener: StoreListener,
  signal: AbortSignal,
): Promise<void> {
  for await (const event of store.watch(prefix, from, signal)) {
    if (event.kind === 'put') {
      known.set(event.entry.key, event.entry.revision);
      listener.put(event.entry);
    } else if (event.kind === 'removed') {
      known.delete(event.key);
      listener.removed(event.key);
    }
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
