/**
 * Giving back: the addresses of a handle, one address, or a whole block.
 *
 * A block stays its owner's when its last address is released, for the next container; only one without an owner goes
 * then. Its owner gives up empty blocks on purpose (planReleaseEmptyBlocks), or all of them when the node leaves: a block
 * that still has addresses in use stays, without an owner, until these are released. As with claims, block and affinity
 * change in one transaction, so that the state `pendingDeletion` is never needed.
 */
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { IpamHandle } from '../model/ipam-handle.ts';
import type { Labels } from '../model/selector.ts';
import { addressIn, containsCidr, ordinalOf } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { blockPrefix, holderAt, isEmpty, ordinalsOf, ownerOf, releaseOrdinals, withOwner } from './block.ts';
import { withCount } from './handle.ts';
import type { Plan } from './plan.ts';
import { Draft } from './plan.ts';
import { choosePools, poolPrefix } from './pools.ts';
import type { Snapshot } from './snapshot.ts';

export interface Release {
  readonly plan: Plan;
  readonly released: readonly Ip[];
}

/** A transaction of the store holds 128 writes; a block that is given up takes two. */
const BLOCKS_RELEASED_MAX = 60;

/** Releases all that a handle has. `blocks` are those that its record names, by CIDR in text. */
export function planReleaseHandle(handle: IpamHandle, blocks: ReadonlyMap<string, IpamBlock>): Release {
  const draft = new Draft();
  const released: Ip[] = [];
  for (const cidrText of Object.keys(handle.spec.block)) {
    const block = blocks.get(cidrText);
    const ordinals = block === undefined ? [] : ordinalsOf(block, handle.spec.handleID);
    if (block === undefined || ordinals.length === 0) continue;
    putOrRemove(draft, releaseOrdinals(block, ordinals));
    released.push(...ordinals.map((ordinal) => addressIn(blockPrefix(block), ordinal)));
  }
  draft.remove(handle);
  return { plan: draft.finish(), released };
}

/** Releases one assigned address. `handle` is its handle's record, if there is one. */
export function planReleaseAddress(block: IpamBlock, handle: IpamHandle | undefined, address: Ip): Release {
  const draft = new Draft();
  const ordinal = ordinalOf(blockPrefix(block), address);
  if (ordinal === undefined || holderAt(block, ordinal) === undefined) return { plan: draft.finish(), released: [] };
  putOrRemove(draft, releaseOrdinals(block, [ordinal]));
  if (handle !== undefined) {
    const rest = withCount(handle, block.spec.cidr, -1);
    if (Object.keys(rest.spec.block).length > 0) draft.put(rest);
    else draft.remove(rest);
  }
  return { plan: draft.finish(), released: [address] };
}

/** Takes a block from its owner: it goes when it is empty, and stays without an owner until it is. */
export function planReleaseBlock(block: IpamBlock, affinity: BlockAffinity | undefined): Plan {
  const draft = new Draft();
  draftReleaseBlock(draft, block, affinity);
  return draft.finish();
}

/**
 * Gives up the node's empty blocks, but for one of each family, if its pool still serves the node: the next container
 * shall not have to claim one. The snapshot needs the node's own blocks only.
 */
export function planReleaseEmptyBlocks(snapshot: Snapshot, node: string, labels: Labels): Plan {
  const draft = new Draft();
  const kept = new Set<Family>();
  let count = 0;
  const own = [...snapshot.blocks.values()].filter((block) => ownerOf(block) === node);
  // A block in use is as good as an empty one for the next container.
  for (const block of own)
    if (!isEmpty(block) && isServed(snapshot, block, node, labels)) kept.add(familyOfBlock(block));
  for (const block of own) {
    if (!isEmpty(block) || count === BLOCKS_RELEASED_MAX) continue;
    if (!kept.has(familyOfBlock(block)) && isServed(snapshot, block, node, labels)) {
      kept.add(familyOfBlock(block));
      continue;
    }
    draftReleaseBlock(
      draft,
      block,
      snapshot.affinities.find(({ spec }) => spec.cidr === block.spec.cidr),
    );
    count += 1;
  }
  return draft.finish();
}

function isServed(snapshot: Snapshot, block: IpamBlock, node: string, labels: Labels): boolean {
  const wish = {
    family: familyOfBlock(block),
    node,
    labels,
    use: 'Workload',
    requestedPools: [],
    namespaceLabels: undefined,
  } as const;
  const choice = choosePools(snapshot.pools, wish);
  return choice.kind === 'chosen' && choice.pools.some((pool) => containsCidr(poolPrefix(pool), blockPrefix(block)));
}

function familyOfBlock(block: IpamBlock): Family {
  return blockPrefix(block).address.family;
}

function draftReleaseBlock(draft: Draft, block: IpamBlock, affinity: BlockAffinity | undefined): void {
  if (affinity !== undefined) draft.remove(affinity);
  putOrRemove(draft, withOwner(block, undefined));
}

function putOrRemove(draft: Draft, block: IpamBlock): void {
  if (isEmpty(block) && ownerOf(block) === undefined) draft.remove(block);
  else draft.put(block);
}
