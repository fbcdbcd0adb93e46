/**
 * How the store lies in etcd: keys below a prefix, revisions that begin at 0, and the clock.
 *
 *   PREFIX/resources/…      an entry: its key behind the prefix, its value as JSON text
 *   PREFIX/                 the clock: written by each of our transactions, so its own revision is that of the last of them
 *
 * A watch must know when it has caught up, also when all that happened were removals, of which etcd keeps no record to ask
 * for; and its answers to "how far are you?" come too early before etcd 3.4.25. The clock tells: once its last change has come,
 * so has everything before it, since etcd delivers in order. No entry can have the clock's key, as keys do not end with
 * a slash, and whoever may write below the prefix may write it. Every watch is of the whole store, clock included.
 */
import type { EtcdAddress } from './etcd-address.ts';
import type { KeyValue } from './etcd-rpc.ts';
import { parseStored } from './history.ts';
import type { Entry, Json, Revision } from './store.ts';
import { revision, StoreError } from './store.ts';

/** The revision of an etcd that nobody has written to; ours is 0. */
const FIRST_REVISION = 1;

/** For people who look into etcd; nobody reads it. */
const CLOCK_VALUE = Buffer.from('"written by every transaction of muslin"');

export function revisionOf(etcdRevision: number): Revision {
  return revision(etcdRevision - FIRST_REVISION);
}

export function etcdRevisionOf(revision: Revision): number {
  return revision + FIRST_REVISION;
}

export class EtcdLayout {
  /** Where the store is, for messages. */
  readonly description: string;
  readonly clock: { readonly key: Buffer; readonly value: Buffer };
  /** All entries and the clock. */
  readonly whole: { readonly key: Buffer; readonly range_end: Buffer };
  readonly #prefix: string;

  constructor({ prefix, description }: Pick<EtcdAddress, 'prefix' | 'description'>) {
    this.#prefix = prefix;
    this.description = description;
    this.clock = { key: Buffer.from(`${prefix}/`), value: CLOCK_VALUE };
    this.whole = this.range('/');
  }

  bytesOf(key: string): Buffer {
    return Buffer.from(this.#prefix + key);
  }

  /** The keys that begin with `prefix`. */
  range(prefix: string): { readonly key: Buffer; readonly range_end: Buffer } {
    const key = this.bytesOf(prefix);
    const end = Buffer.from(key);
    // Prefixes are ASCII and not empty: the last byte can always be raised.
    end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
    return { key, range_end: end };
  }

  /** The entry's key for an etcd key; undefined for the clock. */
  keyOf(bytes: Buffer): string | undefined {
    return bytes.equals(this.clock.key) ? undefined : bytes.toString('latin1').slice(this.#prefix.length);
  }

  /** undefined for the clock. Throws StoreError `corrupt` when the value is not ours. */
  entryOf(stored: KeyValue): Entry | undefined {
    const key = this.keyOf(stored.key);
    if (key === undefined) return undefined;
    return { key, value: this.#valueOf(key, stored.value), revision: revisionOf(stored.mod_revision) };
  }

  #valueOf(key: string, bytes: Buffer): Json {
    try {
      return parseStored(bytes.toString('utf8'));
    } catch (error) {
      const right = 'remove the key with etcdctl, or give muslin a prefix of its own';
      throw new StoreError('corrupt', `${this.description}: ${key} holds something that is not JSON: ${right}`, {
        cause: error,
      });
    }
  }
}
