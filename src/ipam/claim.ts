/**
 * How a node comes to own a block.
 *
 * In Calico a claim takes three writes, in an order that survives a crash between any two: affinity `pending`, block
 * created, affinity `confirmed`. Our store writes several entries at once or none, so the states between cannot be seen,
 * and a claim goes straight to `confirmed` together with the block and, mostly, its first address. What decides a race is
 * the same: the block's entry must not exist yet, and only one node can create it. The claim also relies on the pool
 * being as it was read, so that no block appears in a pool that was just disabled or removed.
 *
 * A node looks for an unclaimed block from a place in the pool that a hash of its name gives, onwards and around: nodes
 * spread over the pool, seldom compete, and find the same place again. Called by assign.ts and the address allocator.
 */
import { assert } from '../lib/assert.ts';
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import { API_VERSION } from '../model/resource.ts';
import { blockAffinityName, keyOf } from '../model/resource-key.ts';
import type { Cidr } from '../net/cidr.ts';
import { containsCidr, countOf, formatCidr, overlaps, subPrefix } from '../net/cidr.ts';
import { blockPrefix, newBlock, nextFree, ownerOf, withOwner } from './block.ts';
import type { Plan } from './plan.ts';
import { Draft } from './plan.ts';
import { poolPrefix } from './pools.ts';
import type { Failure, Snapshot } from './snapshot.ts';
import { failed } from './snapshot.ts';

/** As many blocks as a /8 has in /28; looking on in a larger pool with so many taken would only cost time. */
const CLAIM_STEPS_MAX = 2 ** 20;

/** Where the node begins to look among `count` things: FNV-1a of its name, which spreads names that differ little. */
export function startingPlace(node: string, count: number): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < node.length; index++) {
    hash = Math.imul(hash ^ node.charCodeAt(index), 0x01000193) >>> 0;
  }
  return hash % count;
}

/** A new block for the node in `pool` that has an address to give; undefined when the pool has no more. */
export function unclaimedBlock(snapshot: Snapshot, pool: IpPool, node: string): IpamBlock | undefined {
  assert(snapshot.coverage === 'all', 'only who knows all blocks can tell which are unclaimed');
  const { blockSize } = pool.spec;
  const prefix = poolPrefix(pool);
  const count = countOf(prefix, blockSize);
  const start = startingPlace(node, count);
  const reserved = snapshot.reserved.filter((reservation) => overlaps(reservation, prefix));
  const misfits = misfitsOf(snapshot, blockSize);
  for (let step = 0; step < Math.min(count, CLAIM_STEPS_MAX); step++) {
    const candidate = subPrefix(prefix, blockSize, (start + step) % count);
    if (snapshot.blocks.has(formatCidr(candidate))) continue;
    if (misfits.some((misfit) => overlaps(misfit, candidate))) continue;
    if (reserved.some((reservation) => containsCidr(reservation, candidate))) continue;
    const block = newBlock(candidate, node);
    if (nextFree(block, reserved) !== undefined && !isUnreadable(snapshot, block, node)) return block;
  }
  return undefined;
}

/** Adds to the draft what makes `block` the node's. The block itself is put by the caller, once it is as it shall be. */
export function draftClaim(draft: Draft, snapshot: Snapshot, pool: IpPool, block: IpamBlock, node: string): void {
  draft.rely(pool);
  const affinity = newAffinity(node, block.spec.cidr);
  const existing = snapshot.affinities.find(({ metadata }) => metadata.name === affinity.metadata.name);
  draft.put({ ...affinity, metadata: existing?.metadata ?? affinity.metadata });
}

/**
 * Claims a block that the caller chose, as for a topology that says which host owns which block. The pool's nodeSelector
 * and the limit of blocks do not count. The plan is empty when the block is the node's already.
 */
export function planClaim(
  snapshot: Snapshot,
  node: string,
  prefix: Cidr,
): { readonly kind: 'planned'; readonly plan: Plan } | Failure {
  assert(snapshot.coverage === 'all', 'a claim must know which blocks it may overlap');
  const text = formatCidr(prefix);
  const pool = snapshot.pools.find((each) => containsCidr(poolPrefix(each), prefix));
  if (pool === undefined) return failed('no-pool', `block ${text} is in no IPPool; make one that contains it`);
  const title = `IPPool ${pool.metadata.name} (${pool.spec.cidr})`;
  if (pool.spec.disabled) return failed('no-pool', `block ${text} is in ${title}, which is disabled`);
  if (prefix.length !== pool.spec.blockSize) {
    return failed('block-mismatch', `block ${text} is in ${title}, whose blocks are /${pool.spec.blockSize}`);
  }
  const existing = snapshot.blocks.get(text);
  const owner = existing === undefined ? undefined : ownerOf(existing);
  if (owner !== undefined && owner !== node) {
    return failed('block-owned', `block ${text} belongs to node ${owner}; ${node} cannot claim it`);
  }
  const misfit = misfitsOf(snapshot, prefix.length).find((each) => overlaps(each, prefix));
  if (misfit !== undefined) {
    return failed('block-mismatch', `block ${text} overlaps block ${formatCidr(misfit)}, made with another blockSize`);
  }
  const block = existing === undefined ? newBlock(prefix, node) : withOwner(existing, node);
  if (isUnreadable(snapshot, block, node)) {
    return failed('block-mismatch', `what the store has for block ${text} cannot be read; remove ${keyOf(block)}`);
  }
  const draft = new Draft();
  const affinity = snapshot.affinities.find(({ spec }) => spec.cidr === text);
  if (owner === undefined || affinity?.spec.state !== 'confirmed') {
    draftClaim(draft, snapshot, pool, block, node);
    draft.put(block);
  }
  return { kind: 'planned', plan: draft.finish() };
}

/** Blocks of another size than the pool's: left over from a pool that was made anew with another blockSize. */
export function misfitsOf(snapshot: Snapshot, blockSize: number): Cidr[] {
  return [...snapshot.blocks.values()].map(blockPrefix).filter((prefix) => prefix.length !== blockSize);
}

/** Whether the store has something under the keys of the block or its claim that is no valid resource. */
export function isUnreadable(snapshot: Snapshot, block: IpamBlock, node: string): boolean {
  const keys = [keyOf(block), keyOf(newAffinity(node, block.spec.cidr))];
  return keys.some((key) => snapshot.unreadable.has(key));
}

/** The claim of a node to a block. */
export function newAffinity(node: string, cidrText: string): BlockAffinity {
  return {
    apiVersion: API_VERSION,
    kind: 'BlockAffinity',
    metadata: { name: blockAffinityName(node, cidrText) },
    spec: { node, cidr: cidrText, state: 'confirmed', deleted: false },
  };
}
