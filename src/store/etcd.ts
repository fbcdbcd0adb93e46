/**
 * The store in an etcd cluster: for networks of more than one machine.
 *
 * A transaction is one Txn of etcd's: what is expected are comparisons of revisions, what is written goes through Raft and is on
 * the disks of most members before the answer comes. All reads go through the leader's agreement too (they are linearizable).
 * How keys and revisions map is in etcd-layout.ts. Watches survive restarts and changes of leader: they go on after
 * the last revision that was delivered (etcd-watch.ts).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Backoff } from '../lib/backoff.ts';
import { backoffMs } from '../lib/backoff.ts';
import { parseEtcdAddress } from './etcd-address.ts';
import { EtcdConnection } from './etcd-connection.ts';
import { EtcdHistory } from './etcd-history.ts';
import { EtcdLayout, etcdRevisionOf, revisionOf } from './etcd-layout.ts';
import { keepPresent } from './etcd-presence.ts';
import type { Compare, RequestOp, TxnResponse } from './etcd-rpc.ts';
import { RANGE, TXN } from './etcd-rpc.ts';
import type { Batch, WatchStream } from './etcd-watch.ts';
import { openWatchStream } from './etcd-watch.ts';
import type { CheckedWrite } from './limits.ts';
import { checkKey, checkPrefix, checkTransaction } from './limits.ts';
import type {
  Entry,
  Json,
  Listing,
  Presence,
  Revision,
  Store,
  Transaction,
  TransactionResult,
  WatchEvent,
} from './store.ts';
import { StoreError } from './store.ts';

/** Each page makes etcd count what is left of the range, so they are not small; entries are about 1 kB. */
const PAGE_ENTRIES_MAX = 5_000;

/** A listing that history overtakes is begun again: once is bad luck, more often is a compaction gone wild. */
const LISTINGS_MAX = 3;

/** At about 1 kB each 10 MB for a reader that is busy. */
const BUFFERED_CHANGES_MAX = 10_000;

/** Long enough for etcd to restart or to elect a leader; then the reader is told that the store is away. */
const RESUME: Backoff = { firstMs: 50, maxMs: 2_000 };
const RESUMES_MAX = 20;

/** A removal that others always get ahead of; each round one of them has succeeded. */
const REMOVALS_MAX = 100;

/** Removing history that nobody needs: who was away for longer lists again. */
const HISTORY_MS = 10 * 60_000;

export interface EtcdOptions {
  readonly bufferedChangesMax?: number;
  readonly historyMs?: number;
}

/** Opens the store at an etcd:// or etcds:// address, without asking whether etcd is there. Throws StoreError. */
export function openEtcdStore(url: string, options: EtcdOptions = {}): Store {
  const address = parseEtcdAddress(url);
  const connection = new EtcdConnection(address);
  const layout = new EtcdLayout(address);
  const history = address.compacts ? new EtcdHistory(connection, layout, options.historyMs ?? HISTORY_MS) : undefined;
  const changesMax = options.bufferedChangesMax ?? BUFFERED_CHANGES_MAX;
  return new EtcdStore(connection, layout, history, changesMax);
}

class EtcdStore implements Store {
  readonly description: string;
  readonly #connection: EtcdConnection;
  readonly #layout: EtcdLayout;
  readonly #history: EtcdHistory | undefined;
  readonly #bufferedChangesMax: number;

  constructor(connection: EtcdConnection, layout: EtcdLayout, history: EtcdHistory | undefined, changesMax: number) {
    this.description = layout.description;
    this.#connection = connection;
    this.#layout = layout;
    this.#history = history;
    this.#bufferedChangesMax = changesMax;
  }

  async get(key: string): Promise<Entry | undefined> {
    checkKey(key);
    const { kvs } = await this.#connection.read(RANGE, { key: this.#layout.bytesOf(key) });
    return kvs[0] && this.#layout.entryOf(kvs[0]);
  }

  async list(prefix: string): Promise<Listing> {
    checkPrefix(prefix);
    for (let tried = 1; ; tried++) {
      try {
        return await this.#list(prefix);
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'compacted' || tried === LISTINGS_MAX) throw error;
      }
    }
  }

  async transact(transaction: Transaction): Promise<TransactionResult> {
    const writes = checkTransaction(transaction);
    const isCertain = ({ key, text }: CheckedWrite) =>
      text !== undefined || transaction.expect.some((expected) => expected.key === key && expected.revision > 0);
    if (!writes.some(isCertain)) return this.#removeIfThere(transaction, writes);
    const { succeeded, header, responses } = await this.#write(transaction, writes, []);
    if (succeeded) return { ok: true, revision: revisionOf(header.revision) };
    return { ok: false, conflicts: conflictsIn(transaction, responses) };
  }

  async *watch(prefix: string, from: Revision, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix);
    if (signal.aborted) return;
    const { closing } = this.#connection;
    let bookmarked: Revision | undefined;
    for await (const { changes, revision, isLast } of this.#batches(from, AbortSignal.any([signal, closing]))) {
      const concerned = changes.filter((change) => keyOf(change).startsWith(prefix));
      const bookmark = isLast && revision !== bookmarked;
      if (bookmark) bookmarked = revision;
      for (const event of bookmark ? [...concerned, { kind: 'bookmark', revision } as const] : concerned) {
        yield event;
        if (signal.aborted) return;
        this.#connection.assertOpen();
      }
    }
    if (!signal.aborted) this.#connection.assertOpen();
  }

  keepPresent(key: string, value: Json, options: Presence): Promise<void> {
    checkKey(key);
    return keepPresent(this.#connection, this.#layout, key, JSON.stringify(value), options);
  }

  async close(): Promise<void> {
    this.#history?.stop();
    this.#connection.close();
  }

  async #list(prefix: string): Promise<Listing> {
    const { key, range_end } = this.#layout.range(prefix);
    const entries: Entry[] = [];
    let next = key;
    let at = 0;
    for (;;) {
      const request = { key: next, range_end, limit: PAGE_ENTRIES_MAX, revision: at };
      const { kvs, more, header } = await this.#connection.read(RANGE, request);
      // The first page tells what is now; the others are read as it was then.
      if (at === 0) at = header.revision;
      for (const stored of kvs) {
        const entry = this.#layout.entryOf(stored);
        if (entry !== undefined) entries.push(entry);
      }
      const last = kvs.at(-1);
      if (!more || last === undefined) return { entries, revision: revisionOf(at) };
      next = Buffer.concat([last.key, Buffer.of(0)]);
    }
  }

  /**
   * A transaction that may turn out to change nothing, which must leave the revision where it is. So it is written only
   * when one of the keys is there, on condition that it still is.
   */
  async #removeIfThere(transaction: Transaction, writes: readonly CheckedWrite[]): Promise<TransactionResult> {
    for (let tried = 1; tried <= REMOVALS_MAX; tried++) {
      const reading = await this.#connection.read(TXN, {
        compare: this.#comparisons(transaction),
        success: writes.map(({ key }) => this.#look(key)),
        failure: transaction.expect.map(({ key }) => this.#look(key)),
      });
      if (!reading.succeeded) return { ok: false, conflicts: conflictsIn(transaction, reading.responses) };
      const present = reading.responses.flatMap(({ response_range }) => response_range?.kvs ?? [])[0];
      if (present === undefined) return { ok: true, revision: revisionOf(reading.header.revision) };
      const still: Compare = { result: 'GREATER', target: 'MOD', key: present.key, mod_revision: 0 };
      const { succeeded, header, responses } = await this.#write(transaction, writes, [still]);
      if (succeeded) return { ok: true, revision: revisionOf(header.revision) };
      const conflicts = conflictsIn(transaction, responses);
      if (conflicts.length > 0) return { ok: false, conflicts };
    }
    throw new StoreError('unavailable', `${this.description}: others remove and write the same keys all the time`);
  }

  #write(
    transaction: Transaction,
    writes: readonly CheckedWrite[],
    conditions: readonly Compare[],
  ): Promise<TxnResponse> {
    const operations = writes.map(({ key: name, text }): RequestOp => {
      const key = this.#layout.bytesOf(name);
      return text === undefined
        ? { request_delete_range: { key } }
        : { request_put: { key, value: Buffer.from(text) } };
    });
    return this.#connection.write(TXN, {
      compare: [...this.#comparisons(transaction), ...conditions],
      success: [...operations, { request_put: this.#layout.clock }],
      failure: transaction.expect.map(({ key }) => this.#look(key)),
    });
  }

  #comparisons({ expect }: Transaction): Compare[] {
    return expect.map(({ key, revision }) => ({
      result: 'EQUAL',
      target: 'MOD',
      key: this.#layout.bytesOf(key),
      mod_revision: revision === 0 ? 0 : etcdRevisionOf(revision),
    }));
  }

  #look(key: string): RequestOp {
    return { request_range: { key: this.#layout.bytesOf(key), keys_only: true } };
  }

  /**
   * All changes after `from`, over as many streams as it takes, until `signal` aborts. The first batch is empty. Only what
   * has once begun is resumed: an etcd that is not there from the start is said at once.
   */
  async *#batches(from: Revision, signal: AbortSignal): AsyncGenerator<Batch & { readonly isLast: boolean }> {
    this.#history?.start();
    let place: Batch = { changes: [], revision: from };
    let stream: WatchStream | undefined;
    let begun = false;
    let failures = 0;
    try {
      while (!signal.aborted) {
        try {
          stream ??= await openWatchStream(this.#connection, this.#layout, place.revision, this.#bufferedChangesMax);
          const batch: Batch | undefined = begun ? await stream.next(signal) : place;
          if (batch === undefined) {
            stream = undefined; // cut: the reader has been slow
            continue;
          }
          place = batch;
          begun = true;
        } catch (error) {
          if (signal.aborted) return;
          failures = stream?.isEstablished === true ? 1 : failures + 1;
          if (!begun || !isPassing(error) || failures > RESUMES_MAX) throw error;
          stream = undefined;
          await pause(backoffMs(RESUME, failures, Math.random), undefined, { signal }).catch(() => undefined);
          continue;
        }
        yield { ...place, isLast: place.revision >= stream.target && stream.isDrained };
      }
    } finally {
      stream?.close();
    }
  }
}

function isPassing(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'unavailable';
}

function keyOf(change: Batch['changes'][number]): string {
  return change.kind === 'put' ? change.entry.key : change.key;
}

/** The keys that were not as expected, from the answers to one look at each. */
function conflictsIn({ expect }: Transaction, responses: TxnResponse['responses']): string[] {
  return expect
    .filter(({ revision }, index) => {
      const found = responses[index]?.response_range?.kvs[0];
      return (found === undefined ? 0 : revisionOf(found.mod_revision)) !== revision;
    })
    .map(({ key }) => key);
}
