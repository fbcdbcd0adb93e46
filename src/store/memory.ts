/**
 * A store in memory: for tests, simulations, and labs that need not outlive their process.
 *
 * The plainest thing that keeps the contract, and so the yardstick for the other drivers. Values are kept as text, so no
 * caller can change what is stored by changing what it was given. The log is bounded by `changesMax`; what falls off
 * its end is compacted, whole transactions at a time.
 */
import type { Change, ChangeLog, Page } from './history.ts';
import { Bell, compacted, PAGE_CHANGES_MAX, parseStored, watchLog } from './history.ts';
import type { CheckedWrite } from './limits.ts';
import { checkKey, checkPrefix, checkTransaction } from './limits.ts';
import type { Entry, Listing, Revision, Store, Transaction, TransactionResult, WatchEvent } from './store.ts';
import { revision, StoreError } from './store.ts';

/** Enough for a watcher that was away for a minute on a busy network; at 1 kB each about 10 MB. */
const HISTORY_CHANGES_MAX = 10_000;

const DESCRIPTION = 'memory';

interface Stored {
  readonly text: string;
  readonly revision: Revision;
}

/** A new, empty store of its own. */
export function openMemoryStore(options: { readonly changesMax?: number } = {}): Store {
  return new MemoryStore(options.changesMax ?? HISTORY_CHANGES_MAX);
}

class MemoryStore implements Store, ChangeLog {
  readonly description = DESCRIPTION;
  readonly #changesMax: number;
  readonly #entries = new Map<string, Stored>();
  readonly #bell = new Bell();
  #log: Change[] = [];
  #revision = revision(0);
  #sequence = 0;
  /** The last change that has been forgotten: watches from before it cannot be served. */
  #compactedRevision = revision(0);
  #compactedSequence = 0;
  #closed = false;

  constructor(changesMax: number) {
    this.#changesMax = changesMax;
  }

  async get(key: string): Promise<Entry | undefined> {
    this.#assertOpen();
    checkKey(key);
    const stored = this.#entries.get(key);
    return stored && { key, value: parseStored(stored.text), revision: stored.revision };
  }

  async list(prefix: string): Promise<Listing> {
    this.#assertOpen();
    checkPrefix(prefix);
    const entries: Entry[] = [];
    for (const [key, stored] of this.#entries) {
      if (!key.startsWith(prefix)) continue;
      entries.push({ key, value: parseStored(stored.text), revision: stored.revision });
    }
    entries.sort((a, b) => (a.key < b.key ? -1 : 1));
    return { entries, revision: this.#revision };
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    this.#assertOpen();
    const writes = checkTransaction(transaction);
    const conflicts = transaction.expect.filter(
      ({ key, revision }) => (this.#entries.get(key)?.revision ?? 0) !== revision,
    );
    if (conflicts.length > 0) return { ok: false, conflicts: conflicts.map(({ key }) => key) };
    const effective = writes.filter(({ key, text }) => text !== undefined || this.#entries.has(key));
    if (effective.length > 0) this.#write(effective);
    return { ok: true, revision: this.#revision };
  }

  async *watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    this.#assertOpen();
    checkPrefix(prefix);
    yield* watchLog(this, this.#bell, prefix, from, signal);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#bell.ring();
  }

  placeAfter(from: Revision): number {
    if (from < this.#compactedRevision || from > this.#revision) throw compacted(from, DESCRIPTION);
    return this.#compactedSequence + this.#log.findLastIndex((change) => change.revision <= from) + 1;
  }

  readAfter(place: number, prefix: string): Page {
    this.#assertOpen();
    if (place < this.#compactedSequence) throw compacted(undefined, DESCRIPTION);
    const rest = this.#log.slice(place - this.#compactedSequence);
    const changes = rest.filter((change) => change.key.startsWith(prefix)).slice(0, PAGE_CHANGES_MAX);
    return { changes, revision: this.#revision };
  }

  #write(writes: readonly CheckedWrite[]): void {
    this.#revision = revision(this.#revision + 1);
    for (const { key, text } of writes) {
      if (text === undefined) this.#entries.delete(key);
      else this.#entries.set(key, { text, revision: this.#revision });
      this.#sequence += 1;
      this.#log.push({ sequence: this.#sequence, revision: this.#revision, key, text });
    }
    this.#compact();
    this.#bell.ring();
  }

  /** Forgets the oldest changes beyond the limit, and with each the rest of its transaction. */
  #compact(): void {
    const last = this.#log[this.#log.length - this.#changesMax - 1];
    if (last === undefined) return;
    this.#compactedRevision = last.revision;
    this.#log.splice(0, this.#log.findLastIndex((change) => change.revision <= last.revision) + 1);
    this.#compactedSequence = this.#sequence - this.#log.length;
  }

  #assertOpen(): void {
    if (this.#closed) throw new StoreError('closed', `${DESCRIPTION}: the store has been closed`);
  }
}
