/**
 * What IPAM answers: a plan, to be carried out as one transaction of the store or not at all.
 *
 * IPAM decides on a snapshot, which may be stale by the time the plan arrives. So a plan carries what must still be true:
 * the revision of each entry it writes, and of some that it only relied on. If one has changed, nothing happens, and
 * the caller plans again on a new snapshot. A `Plan` has the shape of the store's Transaction, which this room may not import.
 *
 * A resource that was read carries its revision as `resourceVersion`, and keeps it while IPAM makes new values of it; one
 * that IPAM makes has none, and must not exist yet.
 */
import type { Brand } from '../lib/brand.ts';
import type { Json } from '../lib/json.ts';
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { IpamHandle } from '../model/ipam-handle.ts';
import { valueOfResource } from '../model/resource-entry.ts';
import { keyOf } from '../model/resource-key.ts';

type Revision = Brand<number, 'Revision'>;

export interface Plan {
  readonly expect: readonly { readonly key: string; readonly revision: Revision }[];
  readonly writes: readonly (
    | { readonly kind: 'put'; readonly key: string; readonly value: Json }
    | { readonly kind: 'remove'; readonly key: string }
  )[];
}

type Writable = IpamBlock | BlockAffinity | IpamHandle;

/** A plan in the making. Each entry is written once, with the last value that was put. */
export class Draft {
  readonly #expect = new Map<string, Revision>();
  readonly #writes = new Map<string, Plan['writes'][number]>();

  /** The plan holds only as long as this entry is as it was read. */
  rely(resource: IpPool | Writable): void {
    this.#expect.set(keyOf(resource), revisionOf(resource));
  }

  put(resource: Writable): void {
    const key = keyOf(resource);
    this.#expect.set(key, revisionOf(resource));
    this.#writes.set(key, { kind: 'put', key, value: valueOfResource(resource) });
  }

  remove(resource: Writable): void {
    const key = keyOf(resource);
    this.#expect.set(key, revisionOf(resource));
    this.#writes.set(key, { kind: 'remove', key });
  }

  finish(): Plan {
    const expect = [...this.#expect].map(([key, revision]) => ({ key, revision }));
    return { expect, writes: [...this.#writes.values()] };
  }
}

/** The revision at which a resource was read; 0, "there is none", for one that has just been made. */
function revisionOf(resource: IpPool | Writable): Revision {
  return Number(resource.metadata.resourceVersion ?? 0) as Revision; // a maker: the store's revisions come as text here
}
