/**
 * The datastore as everything else sees it: keys, values, revisions, transactions, watches.
 *
 * The store is the ground state of the network; all else can be computed from it, the kernel and the peers. Each change
 * moves the store's one revision forward. An entry carries the revision of its last change, and a write may demand
 * that an entry still has the revision it was read at (compare-and-swap), over several keys at once. A reader lists, then
 * watches from the revision of the list: nothing is missed and nothing comes twice. When the history from there has been
 * compacted, the watch ends with StoreError `compacted` and the reader lists again.
 *
 * Drivers are in files of their own, and all pass the one suite in compliance.suite.ts.
 */
import type { Brand } from '../lib/brand.ts';
import type { Json } from '../lib/json.ts';

export type { Json };

/** A point in the store's history; 0 is the empty store. */
export type Revision = Brand<number, 'Revision'>;

export function revision(value: number): Revision {
  return value as Revision;
}

export interface Entry {
  readonly key: string;
  readonly value: Json;
  /** When this entry was last written. */
  readonly revision: Revision;
}

export interface Listing {
  readonly entries: readonly Entry[];
  /** The revision at which the listing is true: the place to watch from. */
  readonly revision: Revision;
}

/** What must still be true for a transaction to happen: the entry has this revision; 0 means that there is none. */
export interface Expectation {
  readonly key: string;
  readonly revision: Revision;
}

export type Write =
  | { readonly kind: 'put'; readonly key: string; readonly value: Json }
  | { readonly kind: 'remove'; readonly key: string };

/**
 * All writes happen, at one revision, or none. A key may be written once. Removing what is not there changes nothing and
 * gives no event; a transaction that changes nothing leaves the revision where it is.
 */
export interface Transaction {
  readonly expect: readonly Expectation[];
  readonly writes: readonly Write[];
}

export type TransactionResult =
  | { readonly ok: true; readonly revision: Revision }
  /** Nothing was written: the entries under these keys are not as expected. */
  | { readonly ok: false; readonly conflicts: readonly string[] };

export type WatchEvent =
  | { readonly kind: 'put'; readonly entry: Entry }
  | { readonly kind: 'removed'; readonly key: string; readonly revision: Revision }
  /** Everything up to this revision has been delivered; sent when the watcher has caught up. */
  | { readonly kind: 'bookmark'; readonly revision: Revision };

/** Keys are slash-separated paths of printable ASCII, beginning with a slash. */
export const KEY_PATTERN = /^(\/[\x21-\x2e\x30-\x7e]+)+$/;
/** Longer than any name that validation lets through, with room for its path. */
export const KEY_LENGTH_MAX = 1024;
/** etcd refuses requests over 1.5 MiB; a value must fit in one with its key and expectations. */
export const VALUE_BYTES_MAX = 1024 * 1024;
/** etcd's default for operations in one transaction is 128; one of them is the driver's own (etcd-layout.ts). */
export const TRANSACTION_WRITES_MAX = 127;

export interface Store {
  /** How a person would name this store, for messages: its driver and place, without secrets. */
  readonly description: string;

  get(key: string): Promise<Entry | undefined>;

  /** All entries whose key begins with `prefix`, in order of their keys. */
  list(prefix: string): Promise<Listing>;

  /**
   * Resolves when the outcome is safe from a power cut. `onTaken` is called before, where the driver knows before, as soon
   * as the transaction has happened and everybody sees it: for work that can be undone and is as well done meanwhile.
   */
  transact(transaction: Transaction, onTaken?: (revision: Revision) => void): Promise<TransactionResult>;

  /**
   * Changes under `prefix` after revision `from`, in order, until `signal` aborts (the iteration then ends quietly).
   * Changes of one transaction come together. Throws StoreError `compacted` when history no longer reaches back to
   * `from`, or has never reached it (the store was replaced by another one).
   */
  watch(prefix: string, from: Revision, signal: AbortSignal): AsyncIterable<WatchEvent>;

  /**
   * Keeps an entry there until the signal aborts, or until this process dies: then it goes by itself, after `ttlSeconds` at
   * most. Resolves at the end. Only stores that other machines share have it; on one machine there are process numbers.
   */
  keepPresent?(key: string, value: Json, options: Presence): Promise<void>;

  close(): Promise<void>;
}

export interface Presence {
  readonly signal: AbortSignal;
  /** How long the entry may outlive its writer. */
  readonly ttlSeconds: number;
}

/** Under which hosts say that their agents live: `/presence/NODE`. Not a resource, and never copied to another store. */
export const PRESENCE_PREFIX = '/presence/';
/** Under which agents tell how policies stand on their nodes: `/status/policies/NODE`. Likewise no resource, and never copied. */
export const STATUS_PREFIX = '/status/policies/';

/** The world's error: the store could not do its work. `code` tells what the caller can do about it. */
export class StoreError extends Error {
  override readonly name = 'StoreError';
  readonly code: 'unavailable' | 'read-only' | 'full' | 'corrupt' | 'invalid' | 'compacted' | 'closed';

  constructor(code: StoreError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
