/**
 * The store in one SQLite file: the default for one machine, shared by all its processes.
 *
 * Every process opens the file itself; SQLite's lock makes their transactions one sequence. Reads and writes are synchronous
 * calls of some tens of microseconds; so each method does its whole work at once, and no other event of this process comes
 * in between. Only that a write is safe is waited for: one fsync of the log, beside the event loop, for all that wait.
 * Watches read the log table (history.ts). They are woken at once by writes through the same object, and by
 * file-changes.ts for those of others.
 */
import { resolve } from 'node:path';
import type { DatabaseSync, StatementSync } from 'node:sqlite';
import { wallClockNow } from '../lib/clock.ts';
import { announceChange, FileChanges } from './file-changes.ts';
import type { Change, ChangeLog, Page } from './history.ts';
import { Bell, compacted, PAGE_CHANGES_MAX, parseStored, watchLog } from './history.ts';
import type { CheckedWrite } from './limits.ts';
import { checkKey, checkPrefix, checkTransaction } from './limits.ts';
import { storeErrorOf } from './sqlite-error.ts';
import { openDatabase } from './sqlite-schema.ts';
import type { Entry, Listing, Revision, Store, Transaction, TransactionResult, WatchEvent } from './store.ts';
import { revision, StoreError } from './store.ts';
import { SyncedFile } from './synced-file.ts';

/** Enough for a watcher that was away for some minutes; at 1 kB each about 100 MB of disk at the most usual. */
const HISTORY_CHANGES_MAX = 100_000;

/** etcd's default quota: a network that fits in the one fits in the other. */
const FILE_BYTES_MAX = 2 * 1024 * 1024 * 1024;

/** After the last character that a key may have: the end of the range of keys with a prefix. */
const AFTER_KEYS = '\x7f';

export interface SqliteOptions {
  readonly changesMax?: number;
  readonly bytesMax?: number;
}

/** Opens the store in the file at `path`, making the file (not its directory). Throws StoreError. */
export function openSqliteStore(path: string, options: SqliteOptions = {}): Store {
  const description = `sqlite://${resolve(path)}`;
  try {
    const database = openDatabase(path, description, options.bytesMax ?? FILE_BYTES_MAX);
    return new SqliteStore(database, resolve(path), description, options.changesMax ?? HISTORY_CHANGES_MAX);
  } catch (error) {
    throw storeErrorOf(error, description);
  }
}

/** The one row of the table `state`. */
interface State {
  readonly revision: Revision;
  readonly sequence: number;
  readonly compactedRevision: number;
  readonly compactedSequence: number;
}

class SqliteStore implements Store, ChangeLog {
  readonly description: string;
  readonly #database: DatabaseSync;
  readonly #path: string;
  readonly #changesMax: number;
  readonly #log: SyncedFile;
  readonly #bell = new Bell();
  readonly #fileChanges: FileChanges;
  readonly #statements: ReturnType<typeof prepareStatements>;
  #watchers = 0;
  /** The newest revision that watchers have been woken for. */
  #rungRevision = 0;

  constructor(database: DatabaseSync, path: string, description: string, changesMax: number) {
    this.#database = database;
    this.#path = path;
    this.description = description;
    this.#changesMax = changesMax;
    this.#log = new SyncedFile(`${path}-wal`);
    this.#statements = prepareStatements(database);
    this.#fileChanges = new FileChanges(path, () => this.#ringIfMoved());
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    return this.#guarded(() => entryOf(this.#statements.entry.get(key)));
  }

  async list(prefix: string): Promise<Listing> {
    checkPrefix(prefix);
    return this.#inTransaction('BEGIN', () => {
      const rows = this.#statements.entries.all(prefix, prefix + AFTER_KEYS);
      return { entries: rows.flatMap((row) => entryOf(row) ?? []), revision: this.#state().revision };
    });
  }

  async transact(transaction: Transaction, onTaken?: (revision: Revision) => void): Promise<TransactionResult> {
    const writes = checkTransaction(transaction);
    const before = this.#rungRevision;
    const result = this.#inTransaction('BEGIN IMMEDIATE', () => this.#transact(transaction, writes));
    if (!result.ok) return result;
    if (result.revision > before) {
      announceChange(this.#path, wallClockNow());
      this.#ring(result.revision);
    }
    onTaken?.(result.revision);
    // Also where nothing was written: what this transaction saw is as safe as what it did.
    await this.#log.sync().catch((error) => {
      throw storeErrorOf(error, this.description);
    });
    return result;
  }

  async *watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix);
    if (this.#watchers === 0) this.#fileChanges.start();
    this.#watchers += 1;
    try {
      yield* watchLog(this, this.#bell, prefix, from, signal);
    } finally {
      this.#watchers -= 1;
      if (this.#watchers === 0) this.#fileChanges.stop();
    }
  }

  async close(): Promise<void> {
    if (!this.#database.isOpen) return;
    this.#database.close();
    this.#bell.ring();
    await this.#log.close();
  }

  placeAfter(from: Revision): number {
    return this.#inTransaction('BEGIN', () => {
      const state = this.#state();
      if (from < state.compactedRevision || from > state.revision) throw compacted(from, this.description);
      const row = this.#statements.lastSequence.get(from);
      return Number(row?.['sequence'] ?? state.compactedSequence);
    });
  }

  readAfter(place: number, prefix: string): Page {
    return this.#inTransaction('BEGIN', () => {
      const state = this.#state();
      if (place < state.compactedSequence) throw compacted(undefined, this.description);
      const rows = this.#statements.changes.all(place, prefix, prefix + AFTER_KEYS, PAGE_CHANGES_MAX);
      return { changes: rows.map(changeOf), revision: state.revision };
    });
  }

  #transact(transaction: Transaction, writes: readonly CheckedWrite[]): TransactionResult {
    const revisionOf = (key: string) => Number(this.#statements.entryRevision.get(key)?.['revision'] ?? 0);
    const conflicts = transaction.expect.filter((expected) => revisionOf(expected.key) !== expected.revision);
    if (conflicts.length > 0) return { ok: false, conflicts: conflicts.map(({ key }) => key) };
    const state = this.#state();
    const effective = writes.filter(({ key, text }) => text !== undefined || revisionOf(key) !== 0);
    if (effective.length === 0) return { ok: true, revision: state.revision };
    const next = revision(state.revision + 1);
    let sequence = state.sequence;
    for (const { key, text } of effective) {
      sequence += 1;
      if (text === undefined) this.#statements.remove.run(key);
      else this.#statements.put.run(key, next, text);
      this.#statements.log.run(sequence, next, key, text ?? null);
    }
    this.#statements.advance.run(next, sequence);
    this.#compact(sequence);
    return { ok: true, revision: next };
  }

  /** Forgets the oldest changes beyond the limit, and with each the rest of its transaction. */
  #compact(sequence: number): void {
    const last = this.#statements.changeAt.get(sequence - this.#changesMax)?.['revision'];
    if (typeof last !== 'number') return;
    const lastSequence = this.#statements.lastSequence.get(last)?.['sequence'];
    this.#statements.forget.run(Number(lastSequence));
    this.#statements.compact.run(last, Number(lastSequence));
  }

  #state(): State {
    const row = this.#statements.state.get();
    if (row === undefined) throw new StoreError('corrupt', `${this.description}: its state row is missing`);
    return {
      revision: revision(Number(row['revision'])),
      sequence: Number(row['sequence']),
      compactedRevision: Number(row['compacted_revision']),
      compactedSequence: Number(row['compacted_sequence']),
    };
  }

  #ringIfMoved(): void {
    try {
      const { revision } = this.#guarded(() => this.#state());
      if (revision !== this.#rungRevision) this.#ring(revision);
    } catch {
      this.#bell.ring(); // whoever watches meets the error at its next read, and reports it
    }
  }

  #ring(revision: number): void {
    this.#rungRevision = revision;
    this.#bell.ring();
  }

  #inTransaction<Result>(begin: 'BEGIN' | 'BEGIN IMMEDIATE', work: () => Result): Result {
    return this.#guarded(() => {
      this.#database.exec(begin);
      try {
        const result = work();
        this.#database.exec('COMMIT');
        return result;
      } catch (error) {
        if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
        throw error;
      }
    });
  }

  #guarded<Result>(work: () => Result): Result {
    if (!this.#database.isOpen) throw new StoreError('closed', `${this.description}: the store has been closed`);
    try {
      return work();
    } catch (error) {
      throw storeErrorOf(error, this.description);
    }
  }
}

function prepareStatements(database: DatabaseSync) {
  return {
    entry: database.prepare('SELECT key, revision, value FROM entry WHERE key = ?'),
    entryRevision: database.prepare('SELECT revision FROM entry WHERE key = ?'),
    entries: database.prepare('SELECT key, revision, value FROM entry WHERE key >= ? AND key < ? ORDER BY key'),
    put: database.prepare('INSERT OR REPLACE INTO entry (key, revision, value) VALUES (?, ?, ?)'),
    remove: database.prepare('DELETE FROM entry WHERE key = ?'),
    state: database.prepare('SELECT * FROM state WHERE id = 1'),
    advance: database.prepare('UPDATE state SET revision = ?, sequence = ? WHERE id = 1'),
    log: database.prepare('INSERT INTO change (sequence, revision, key, value) VALUES (?, ?, ?, ?)'),
    changes: database.prepare(
      'SELECT sequence, revision, key, value FROM change WHERE sequence > ? AND key >= ? AND key < ? ORDER BY sequence LIMIT ?',
    ),
    changeAt: database.prepare('SELECT revision FROM change WHERE sequence = ?'),
    lastSequence: database.prepare(
      'SELECT sequence FROM change WHERE revision <= ? ORDER BY revision DESC, sequence DESC LIMIT 1',
    ),
    forget: database.prepare('DELETE FROM change WHERE sequence <= ?'),
    compact: database.prepare('UPDATE state SET compacted_revision = ?, compacted_sequence = ? WHERE id = 1'),
  } satisfies Record<string, StatementSync>;
}

type Row = ReturnType<StatementSync['get']>;

function entryOf(row: Row): Entry | undefined {
  if (row === undefined) return undefined;
  return {
    key: String(row['key']),
    value: parseStored(String(row['value'])),
    revision: revision(Number(row['revision'])),
  };
}

function changeOf(row: NonNullable<Row>): Change {
  return {
    sequence: Number(row['sequence']),
    revision: revision(Number(row['revision'])),
    key: String(row['key']),
    text: row['value'] === null ? undefined : String(row['value']),
  };
}
