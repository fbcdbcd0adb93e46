/**
 * Watching in etcd: one stream that starts after a revision and ends sooner or later; etcd.ts goes on with the next one.
 *
 * What arrives is kept for a reader that is busy, up to a bound. Beyond it the stream is cut, and the reader, when it has
 * read what was kept, opens a new one at its place: a slow reader costs little, and one that is too slow finds its place
 * compacted. What is kept are batches of whole revisions, so a new stream never starts within a transaction.
 */
import type { ClientDuplexStream, ServiceError } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import type { EtcdConnection } from './etcd-connection.ts';
import { CallFailure } from './etcd-error.ts';
import type { EtcdLayout } from './etcd-layout.ts';
import { etcdRevisionOf, revisionOf } from './etcd-layout.ts';
import type { WatchRequest, WatchResponse } from './etcd-rpc.ts';
import { TXN, WATCH } from './etcd-rpc.ts';
import { compacted } from './history.ts';
import type { Revision, WatchEvent } from './store.ts';
import { StoreError } from './store.ts';

type Change = Exclude<WatchEvent, { kind: 'bookmark' }>;

/** All changes up to a revision that have not been in an earlier batch. */
export interface Batch {
  readonly changes: readonly Change[];
  readonly revision: Revision;
}

export class WatchStream {
  /** When everything up to here has come, the reader has caught up with what was there at the beginning. */
  readonly target: Revision;
  readonly #call: ClientDuplexStream<WatchRequest, WatchResponse>;
  readonly #connection: EtcdConnection;
  readonly #layout: EtcdLayout;
  readonly #from: Revision;
  readonly #changesMax: number;
  readonly #batches: Batch[] = [];
  #keptChanges = 0;
  #isEstablished = false;
  #fragments: WatchResponse['events'][] = [];
  #end: StoreError | 'cut' | undefined;
  #wake: (() => void) | undefined;

  constructor(
    call: ClientDuplexStream<WatchRequest, WatchResponse>,
    options: {
      readonly connection: EtcdConnection;
      readonly layout: EtcdLayout;
      readonly from: Revision;
      readonly target: Revision;
      readonly changesMax: number;
    },
  ) {
    this.#call = call;
    this.#connection = options.connection;
    this.#layout = options.layout;
    this.#from = options.from;
    this.target = options.target;
    this.#changesMax = options.changesMax;
    call.on('data', (response: WatchResponse) => this.#take(response));
    call.on('error', ({ code, details }: ServiceError) => this.#failed(new CallFailure(code, details)));
    call.on('end', () => this.#failed(new CallFailure(status.UNAVAILABLE, 'the watch has been ended')));
    call.write({
      create_request: {
        ...this.#layout.whole,
        start_revision: etcdRevisionOf(options.from) + 1,
        progress_notify: true,
        fragment: true,
      },
    });
  }

  /** Whether there is nothing to read just now. */
  get isDrained(): boolean {
    return this.#batches.length === 0;
  }

  /** Whether etcd has begun to watch for us. */
  get isEstablished(): boolean {
    return this.#isEstablished;
  }

  /** The next batch, waited for; undefined when the stream was cut or `signal` aborts. Throws StoreError. */
  async next(signal: AbortSignal): Promise<Batch | undefined> {
    if (this.isDrained && this.#end === undefined && !signal.aborted) {
      await new Promise<void>((resolve) => {
        const wake = () => {
          this.#wake = undefined;
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#wake = wake;
        signal.addEventListener('abort', wake);
      });
    }
    if (signal.aborted) return undefined;
    const batch = this.#batches.shift();
    this.#keptChanges -= batch?.changes.length ?? 0;
    if (batch === undefined && this.#end instanceof StoreError) throw this.#end;
    return batch;
  }

  close(): void {
    this.#finish('cut');
  }

  #take(response: WatchResponse): void {
    if (this.#end !== undefined) return;
    if (response.canceled) this.#canceled(response);
    else if (response.created) this.#isEstablished = true;
    else this.#takeEvents(response);
  }

  #takeEvents(response: WatchResponse): void {
    this.#fragments.push(response.events);
    if (response.fragment) return;
    const events = this.#fragments.flat();
    this.#fragments = [];
    try {
      const changes = events.flatMap((event) => this.#changeOf(event) ?? []);
      const last = events.at(-1)?.kv.mod_revision ?? response.header.revision;
      this.#keep({ changes, revision: revisionOf(last) });
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      this.#finish(error);
    }
  }

  #keep(batch: Batch): void {
    if (this.#wake === undefined && this.#keptChanges + batch.changes.length > this.#changesMax) {
      this.#finish('cut');
      return;
    }
    this.#batches.push(batch);
    this.#keptChanges += batch.changes.length;
    this.#wake?.();
  }

  #changeOf({ type, kv }: WatchResponse['events'][number]): Change | undefined {
    if (type === 'DELETE') {
      const key = this.#layout.keyOf(kv.key);
      return key === undefined ? undefined : { kind: 'removed', key, revision: revisionOf(kv.mod_revision) };
    }
    const entry = this.#layout.entryOf(kv);
    return entry && { kind: 'put', entry };
  }

  #canceled({ compact_revision, cancel_reason }: WatchResponse): void {
    if (compact_revision > 0) {
      this.#finish(compacted(this.#from, this.#layout.description));
      return;
    }
    const code = /permission denied/.test(cancel_reason) ? status.PERMISSION_DENIED : status.UNAVAILABLE;
    this.#failed(new CallFailure(code, cancel_reason));
  }

  #failed(failure: CallFailure): void {
    if (this.#end === undefined) this.#finish(this.#connection.streamFailed(failure));
  }

  #finish(end: StoreError | 'cut'): void {
    if (this.#end !== undefined) return;
    this.#end = end;
    this.#call.cancel();
    this.#wake?.();
  }
}

/**
 * A stream of all changes after `from`. Throws StoreError: `compacted` when history no longer reaches back so far, or has
 * never been there.
 */
export async function openWatchStream(
  connection: EtcdConnection,
  layout: EtcdLayout,
  from: Revision,
  changesMax: number,
): Promise<WatchStream> {
  const clock = { key: layout.clock.key, keys_only: true };
  // Reading at `from` fails when that is compacted or not yet there. etcd itself would begin a watch one revision later, where
  // compaction has already dropped removals.
  const { responses } = await connection
    .read(TXN, {
      compare: [],
      success: [{ request_range: { ...clock, revision: etcdRevisionOf(from) } }, { request_range: clock }],
      failure: [],
    })
    .catch((error: unknown) => {
      throw error instanceof StoreError && error.code === 'compacted' ? compacted(from, layout.description) : error;
    });
  const written = responses[1]?.response_range?.kvs[0]?.mod_revision;
  const target = written === undefined ? from : revisionOf(written);
  const call = await connection.stream(WATCH);
  return new WatchStream(call, { connection, layout, from, target, changesMax });
}
