/**
 * What IPAM decides on: the part of the store that a decision needs, read at more or less one moment; and how it says no.
 *
 * Most assignments need the node's own blocks only, so a snapshot may have just these (`coverage: 'own'`): a decision that
 * turns out to need all answers `incomplete`, and the caller reads more. A snapshot need not be consistent: what is
 * relied on is checked again by the plan's expectations.
 */
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { Labels } from '../model/selector.ts';
import type { Cidr } from '../net/cidr.ts';
import { containsIp } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { blockPrefix } from './block.ts';

export interface Snapshot {
  /** In order of preference. */
  readonly pools: readonly IpPool[];
  /** What IPReservations take out of automatic assignment. */
  readonly reserved: readonly Cidr[];
  /** Labels by namespace, as far as pools choose by them; one that is not here has no labels but its name. */
  readonly namespaces: ReadonlyMap<string, Labels>;
  /** The node's claims. */
  readonly affinities: readonly BlockAffinity[];
  /** By CIDR in text. */
  readonly blocks: ReadonlyMap<string, IpamBlock>;
  /** Whether `blocks` are all that exist, or those of the node's claims. */
  readonly coverage: 'own' | 'all';
  /** Keys of blocks and claims that are in the store but are no valid resources: not to be used, nor written. */
  readonly unreadable: ReadonlySet<string>;
}

export type FailureCode =
  /** No pool may be used: none is there, enabled, of the family, for this node. */
  | 'no-pool'
  | 'exhausted'
  | 'address-taken'
  /** The address is in no pool that may be used. */
  | 'address-outside-pools'
  /** The block is another node's. */
  | 'block-owned'
  /** The block is not one of those that its pool is cut into, or overlaps one that exists. */
  | 'block-mismatch'
  /** The address is in no block, and none may be made for it. */
  | 'block-missing'
  /** The handle cannot be, or clashes with another one. */
  | 'handle-invalid';

/** Why IPAM cannot do what was asked, in words for the user who asked. Trying again is of no use. */
export interface Failure {
  readonly kind: 'failed';
  readonly code: FailureCode;
  readonly message: string;
}

export function failed(code: FailureCode, message: string): Failure {
  return { kind: 'failed', code, message };
}

/** The known block that has `address`. */
export function blockWith(blocks: Snapshot['blocks'], address: Ip): IpamBlock | undefined {
  return [...blocks.values()].find((block) => containsIp(blockPrefix(block), address));
}
