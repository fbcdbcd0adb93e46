/**
 * What entries of the store say, each judged once.
 *
 * A resource is validated when it is read, which for a block with all its addresses takes longer than reading it. An entry never
 * changes under its revision, so what was read once need not be judged again; and what this process has written was made from a
 * resource that is valid already. Bounded: whoever was not asked for longest is forgotten. One reader is shared by the feed and
 * the address allocator, which meet the same blocks with each container.
 */
import type { AnyResource, KindName } from '../model/kinds.ts';
import { type EntryReading, resourceOfEntry, type StoredEntry, withMetadata } from '../model/resource-entry.ts';
import type { Revision, Write } from '../store/store.ts';

/** More than the blocks, pools and containers that one host has; some MB at the most. */
const READINGS_MAX = 2_048;

interface Remembered {
  readonly revision: number;
  readonly reading: EntryReading;
}

export interface OfKind<Name extends KindName> {
  readonly resources: readonly Extract<AnyResource, { readonly kind: Name }>[];
  /** Keys of entries that are no valid resource of the kind. */
  readonly unreadable: readonly string[];
}

export class EntryReader {
  /** By key, the one asked for last at the end. */
  readonly #remembered = new Map<string, Remembered>();

  /** The resource in an entry, with the entry's revision as its resourceVersion; or what is wrong with it. */
  read(entry: StoredEntry): EntryReading {
    const before = this.#remembered.get(entry.key);
    const reading = before?.revision === entry.revision ? before.reading : resourceOfEntry(entry);
    this.#remember(entry.key, { revision: entry.revision, reading });
    return reading;
  }

  /** The resource in an entry when it is valid and of this kind, else undefined. */
  ofKind<Name extends KindName>(
    kind: Name,
    entry: StoredEntry,
  ): Extract<AnyResource, { readonly kind: Name }> | undefined {
    const reading = this.read(entry);
    if (!reading.ok || reading.resource.kind !== kind) return undefined;
    // `kind` tells the members of the union apart, which the compiler does not see through the type parameter.
    return reading.resource as Extract<AnyResource, { readonly kind: Name }>;
  }

  /** All of `entries`, which are to be of this kind. */
  allOfKind<Name extends KindName>(kind: Name, entries: readonly StoredEntry[]): OfKind<Name> {
    const resources: OfKind<Name>['resources'][number][] = [];
    const unreadable: string[] = [];
    for (const entry of entries) {
      const resource = this.ofKind(kind, entry);
      if (resource === undefined) unreadable.push(entry.key);
      else resources.push(resource);
    }
    return { resources, unreadable };
  }

  /** Takes up what this process has written at `revision`, as valueOfResource made it. */
  wrote(writes: readonly Write[], revision: Revision): void {
    for (const write of writes) {
      if (write.kind === 'remove') {
        this.#remembered.delete(write.key);
        continue;
      }
      const resource = withMetadata(write.value as unknown as AnyResource, { resourceVersion: String(revision) }); // by the contract
      this.#remember(write.key, { revision, reading: { ok: true, resource } });
    }
  }

  #remember(key: string, remembered: Remembered): void {
    this.#remembered.delete(key);
    this.#remembered.set(key, remembered);
    if (this.#remembered.size <= READINGS_MAX) return;
    for (const oldest of this.#remembered.keys()) {
      this.#remembered.delete(oldest);
      return;
    }
  }
}
