/**
 * Assigning addresses to a container or a tunnel: one of each family that is asked for, all in one plan.
 *
 * An address comes, in this order, from a block that the node owns; from a new block, as long as the node has fewer than
 * it may; from a block of another node, which then is borrowed from (unless affinity is strict). The new block's claim,
 * the address and the handle are one transaction, so a crash leaves nothing that nobody owns, and costs one fsync. A
 * requested address is taken where it lies, reserved or not. Half of a dual-stack request is never assigned.
 */

import { assert } from '../lib/assert.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { IpamHandle } from '../model/ipam-handle.ts';
import type { Labels } from '../model/selector.ts';
import {
  addressIn,
  compareCidr,
  containsCidr,
  containsIp,
  formatCidr,
  ordinalOf,
  overlaps,
  prefixOf,
} from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import { assignOrdinal, blockPrefix, holderAt, newBlock, nextFree, ownerOf } from './block.ts';
import { draftClaim, isUnreadable, misfitsOf, startingPlace, unclaimedBlock } from './claim.ts';
import { exhaustedMessage } from './exhaustion.ts';
import { handleFailure, newHandle, withCount } from './handle.ts';
import type { Plan } from './plan.ts';
import { Draft } from './plan.ts';
import type { PoolUse } from './pools.ts';
import { choosePools, poolPrefix } from './pools.ts';
import type { Failure, Snapshot } from './snapshot.ts';
import { blockWith, failed } from './snapshot.ts';

export interface Assignment {
  readonly node: string;
  /** The node's, for the pools' selectors. */
  readonly labels: Labels;
  /** Under which the addresses are released again. */
  readonly handle: string;
  /** Families to choose an address of; a requested address stands for its family. */
  readonly families: readonly Family[];
  /** At most one of a family. */
  readonly requestedAddresses: readonly Ip[];
  /** Names or CIDRs of pools; empty for any. */
  readonly requestedPools: readonly string[];
  readonly use: PoolUse;
  /** What a person should know about the holder: pod, namespace, node. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface BlockLimits {
  /** Whether addresses may only come from the node's own blocks. */
  readonly strictAffinity: boolean;
  /** How many blocks of one family a node may claim by itself. */
  readonly blocksMax: number;
}

/** Calico's. Twenty blocks of 64 are ten times the containers that a host usually has. */
export const DEFAULT_BLOCK_LIMITS: BlockLimits = { strictAffinity: false, blocksMax: 20 };

export type AssignOutcome =
  | { readonly kind: 'planned'; readonly plan: Plan; readonly addresses: readonly Ip[] }
  /** Ask again with a snapshot of all blocks. */
  | { readonly kind: 'incomplete' }
  | Failure;

type Choice =
  /** `claimIn`: the block is new, and is to be claimed in this pool. */
  | {
      readonly kind: 'chosen';
      readonly block: IpamBlock;
      readonly ordinal: number;
      readonly claimIn: IpPool | undefined;
    }
  | { readonly kind: 'incomplete' }
  | Failure;

/** Plans the assignment. `handle` is the handle's record where it has addresses already; these it keeps. */
export function planAssign(
  snapshot: Snapshot,
  handle: IpamHandle | undefined,
  assignment: Assignment,
  limits: BlockLimits,
): AssignOutcome {
  const draft = new Draft();
  const addresses: Ip[] = [];
  let record = handle ?? newHandle(assignment.handle);
  const wrongHandle = handleFailure(record, assignment.handle);
  if (wrongHandle !== undefined) return wrongHandle;
  for (const family of [4, 6] as const) {
    const requested = assignment.requestedAddresses.filter((address) => address.family === family);
    assert(requested.length <= 1, `${requested.map(formatIp).join(' and ')} are requested at once`);
    const [address] = requested;
    if (address === undefined && !assignment.families.includes(family)) continue;
    const choice =
      address === undefined
        ? chooseAny(snapshot, assignment, limits, family)
        : chooseRequested(snapshot, assignment, limits, address);
    if (choice.kind !== 'chosen') return choice;
    const { block, ordinal, claimIn } = choice;
    if (claimIn !== undefined) draftClaim(draft, snapshot, claimIn, block, assignment.node);
    draft.put(assignOrdinal(block, ordinal, { handleId: assignment.handle, secondary: assignment.attributes }));
    record = withCount(record, block.spec.cidr, 1);
    addresses.push(addressIn(blockPrefix(block), ordinal));
  }
  if (addresses.length > 0) draft.put(record);
  return { kind: 'planned', plan: draft.finish(), addresses };
}

function chooseAny(snapshot: Snapshot, assignment: Assignment, limits: BlockLimits, family: Family): Choice {
  const { node } = assignment;
  const choice = choosePools(snapshot.pools, { ...assignment, family });
  if (choice.kind === 'failed') return choice;
  const { pools } = choice;
  const own = ownBlocks(snapshot, node);
  const fromOwn = firstFree(snapshot, blocksIn(own, pools));
  if (fromOwn !== undefined) return fromOwn;
  if (snapshot.coverage === 'own') return { kind: 'incomplete' };

  const ownOfFamily = own.filter((block) => blockPrefix(block).address.family === family);
  if (ownOfFamily.length < limits.blocksMax) {
    for (const pool of pools) {
      const block = unclaimedBlock(snapshot, pool, node);
      const ordinal = block === undefined ? undefined : nextFree(block, snapshot.reserved);
      if (block !== undefined && ordinal !== undefined) return { kind: 'chosen', block, ordinal, claimIn: pool };
    }
  }
  if (!limits.strictAffinity) {
    const others = blocksIn([...snapshot.blocks.values()], pools).filter((block) => ownerOf(block) !== node);
    const start = startingPlace(node, Math.max(others.length, 1));
    const borrowed = firstFree(snapshot, [...others.slice(start), ...others.slice(0, start)]);
    if (borrowed !== undefined) return borrowed;
  }
  return failed('exhausted', exhaustedMessage(snapshot, pools, { ...limits, node, family, owned: ownOfFamily.length }));
}

function chooseRequested(snapshot: Snapshot, assignment: Assignment, limits: BlockLimits, address: Ip): Choice {
  const { node } = assignment;
  const text = formatIp(address);
  const pool = snapshot.pools.find((each) => containsIp(poolPrefix(each), address));
  if (pool === undefined || pool.spec.disabled || !pool.spec.allowedUses.includes(assignment.use)) {
    const pools = snapshot.pools.map(({ metadata, spec }) => {
      return `${metadata.name} ${spec.cidr}${spec.disabled ? ' (disabled)' : ` (${spec.allowedUses.join(', ')})`}`;
    });
    const list = pools.length === 0 ? 'there is none' : pools.join('; ');
    return failed('address-outside-pools', `${text} is in no enabled pool for a ${assignment.use}: ${list}`);
  }
  const block = blockWith(snapshot.blocks, address);
  if (block === undefined) {
    return snapshot.coverage === 'own' ? { kind: 'incomplete' } : claimAround(snapshot, pool, node, address);
  }
  const owner = ownerOf(block);
  if (owner !== node && limits.strictAffinity) {
    const whose = owner === undefined ? 'no node' : `node ${owner}`;
    return failed(
      'block-owned',
      `${text} is in block ${block.spec.cidr} of ${whose}, and affinity is strict; ${node} cannot have it`,
    );
  }
  const ordinal = ordinalOf(blockPrefix(block), address);
  assert(ordinal !== undefined, `${text} is in ${block.spec.cidr}`);
  const holder = holderAt(block, ordinal);
  if (holder === undefined) return { kind: 'chosen', block, ordinal, claimIn: undefined };
  const details = Object.entries(holder.secondary).map(([name, value]) => ` ${name}=${value}`);
  return failed('address-taken', `${text} is assigned to handle ${holder.handleId}${details.join('')}`);
}

/** A new block around an address that is in no block yet. */
function claimAround(snapshot: Snapshot, pool: IpPool, node: string, address: Ip): Choice {
  const prefix = prefixOf(address, pool.spec.blockSize);
  const block = newBlock(prefix, node);
  const ordinal = ordinalOf(prefix, address);
  const misfit = misfitsOf(snapshot, prefix.length).find((each) => overlaps(each, prefix));
  assert(ordinal !== undefined, 'a prefix made around an address contains it');
  if (misfit === undefined && !isUnreadable(snapshot, block, node))
    return { kind: 'chosen', block, ordinal, claimIn: pool };
  const obstacle =
    misfit === undefined ? 'what the store has for it cannot be read' : `it overlaps block ${formatCidr(misfit)}`;
  return failed('block-mismatch', `${formatIp(address)} needs block ${formatCidr(prefix)}, but ${obstacle}`);
}

/** The blocks that the node owns and is not about to give up. */
function ownBlocks(snapshot: Snapshot, node: string): IpamBlock[] {
  const leaving = new Set(
    snapshot.affinities.filter(({ spec }) => spec.state === 'pendingDeletion').map(({ spec }) => spec.cidr),
  );
  return [...snapshot.blocks.values()].filter((block) => ownerOf(block) === node && !leaving.has(block.spec.cidr));
}

/** Those of `blocks` that are in a pool, in the order of the pools and then of their addresses. */
function blocksIn(blocks: readonly IpamBlock[], pools: readonly IpPool[]): IpamBlock[] {
  const ordered = blocks.map((block) => ({ block, prefix: blockPrefix(block) }));
  ordered.sort((a, b) => compareCidr(a.prefix, b.prefix));
  return pools.flatMap((pool) => {
    const prefix = poolPrefix(pool);
    return ordered.filter((each) => containsCidr(prefix, each.prefix)).map(({ block }) => block);
  });
}

function firstFree(snapshot: Snapshot, blocks: readonly IpamBlock[]): Choice | undefined {
  for (const block of blocks) {
    const ordinal = block.spec.deleted ? undefined : nextFree(block, snapshot.reserved);
    if (ordinal !== undefined) return { kind: 'chosen', block, ordinal, claimIn: undefined };
  }
  return undefined;
}
