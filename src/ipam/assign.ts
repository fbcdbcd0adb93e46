/**
 * Assigning addresses to a container or a tunnel: one of each family that is asked for, all in one plan.
 *
 * An address comes, in this order, from a block that the node owns; from a new block, as long as the node has fewer than
 * it may; from a block of another node, which then is borrowed from (unless affinity is strict). The new block's claim,
 * the address and the handle are one transaction, so a crash leaves nothing that nobody owns, and costs one fsync. A
 * requested address is taken where it lies, reserved or not, whichever nodes and namespaces its pool selects. Half of a
 * dual-stack request is never assigned. The plan relies on the pools it takes from, so that none is removed under it.
 */
import { assert } from '../lib/assert.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { IpamConfiguration } from '../model/ipam-configuration.ts';
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
import { choosePools, namespaceLabels, poolPrefix } from './pools.ts';
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
  /** The container's; undefined for what is in none, such as a tunnel. */
  readonly namespace: string | undefined;
  /** What a person should know about the holder: pod, namespace, node. */
  readonly attributes: Readonly<Record<string, string>>;
}

export interface BlockLimits {
  /** Whether addresses may only come from the node's own blocks. */
  readonly strictAffinity: boolean;
  /** How many blocks of one family a node may claim by itself. */
  readonly blocksMax: number;
  /** Whether nodes claim blocks by themselves at all. */
  readonly autoAllocateBlocks: boolean;
}

/** Calico's. Twenty blocks of 64 are ten times the containers that a host usually has. */
export const BLOCKS_MAX_DEFAULT = 20;

/** A block with fewer free addresses is left alone while another has more: an address that was just freed there shall rest. */
const RESTING_MIN = 8;

/** What the IPAMConfiguration asks for, or what holds where there is none. */
export function blockLimitsOf(configuration: IpamConfiguration | undefined): BlockLimits {
  const { strictAffinity = false, maxBlocksPerHost = 0, autoAllocateBlocks = true } = configuration?.spec ?? {};
  return { strictAffinity, blocksMax: maxBlocksPerHost || BLOCKS_MAX_DEFAULT, autoAllocateBlocks };
}

export type AssignOutcome =
  | { readonly kind: 'planned'; readonly plan: Plan; readonly addresses: readonly Ip[] }
  /** Ask again with a snapshot of all blocks. */
  | { readonly kind: 'incomplete' }
  | Failure;

type Choice =
  /** `isNew`: the block is not there yet, and is to be claimed. */
  | {
      readonly kind: 'chosen';
      readonly block: IpamBlock;
      readonly ordinal: number;
      readonly pool: IpPool;
      readonly isNew: boolean;
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
    const { block, ordinal, pool, isNew } = choice;
    draft.rely(pool);
    if (isNew) draftClaim(draft, snapshot, pool, block, assignment.node);
    draft.put(assignOrdinal(block, ordinal, { handleId: assignment.handle, secondary: assignment.attributes }));
    record = withCount(record, block.spec.cidr, 1);
    addresses.push(addressIn(blockPrefix(block), ordinal));
  }
  if (addresses.length > 0) draft.put(record);
  return { kind: 'planned', plan: draft.finish(), addresses };
}

function chooseAny(snapshot: Snapshot, assignment: Assignment, limits: BlockLimits, family: Family): Choice {
  const { node, namespace } = assignment;
  const labels = namespace === undefined ? undefined : namespaceLabels(snapshot, namespace);
  const choice = choosePools(snapshot.pools, { ...assignment, family, namespaceLabels: labels });
  if (choice.kind === 'failed') return choice;
  const { pools } = choice;
  const own = ownBlocks(snapshot, node);
  const fromOwn = pools.map((pool) => mostRested(snapshot, pool, own)).find((found) => found !== undefined);
  if (fromOwn !== undefined) return fromOwn;
  if (snapshot.coverage === 'own') return { kind: 'incomplete' };

  const ownOfFamily = own.filter((block) => blockPrefix(block).address.family === family);
  if (limits.autoAllocateBlocks && ownOfFamily.length < limits.blocksMax) {
    for (const pool of pools) {
      const block = unclaimedBlock(snapshot, pool, node);
      const ordinal = block === undefined ? undefined : nextFree(block, snapshot.reserved);
      if (block !== undefined && ordinal !== undefined) return { kind: 'chosen', block, ordinal, pool, isNew: true };
    }
  }
  if (!limits.strictAffinity) {
    const lenders = [...snapshot.blocks.values()].filter((block) => ownerOf(block) !== node);
    const others = pools.flatMap((pool) => blocksIn(lenders, pool).map((block) => ({ block, pool })));
    const start = startingPlace(node, Math.max(others.length, 1));
    for (const { block, pool } of [...others.slice(start), ...others.slice(0, start)]) {
      const ordinal = freeOrdinal(snapshot, block);
      if (ordinal !== undefined) return { kind: 'chosen', block, ordinal, pool, isNew: false };
    }
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
    if (snapshot.coverage === 'own') return { kind: 'incomplete' };
    return claimAround(snapshot, pool, { node, limits }, address);
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
  if (holder === undefined) return { kind: 'chosen', block, ordinal, pool, isNew: false };
  const details = Object.entries(holder.secondary).map(([name, value]) => ` ${name}=${value}`);
  return failed('address-taken', `${text} is assigned to handle ${holder.handleId}${details.join('')}`);
}

/** A new block around an address that is in no block yet. */
function claimAround(
  snapshot: Snapshot,
  pool: IpPool,
  { node, limits }: { readonly node: string; readonly limits: BlockLimits },
  address: Ip,
): Choice {
  const prefix = prefixOf(address, pool.spec.blockSize);
  const block = newBlock(prefix, node);
  const ordinal = ordinalOf(prefix, address);
  const misfit = misfitsOf(snapshot, prefix.length).find((each) => overlaps(each, prefix));
  assert(ordinal !== undefined, 'a prefix made around an address contains it');
  if (!limits.autoAllocateBlocks) {
    const message = `${formatIp(address)} needs block ${formatCidr(prefix)}, which no node has, and IPAMConfiguration has autoAllocateBlocks: false`;
    return failed('block-missing', message);
  }
  if (misfit === undefined && !isUnreadable(snapshot, block, node))
    return { kind: 'chosen', block, ordinal, pool, isNew: true };
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

/** Those of `blocks` that are in the pool, in the order of their addresses. */
function blocksIn(blocks: readonly IpamBlock[], pool: IpPool): IpamBlock[] {
  const poolCidr = poolPrefix(pool);
  const inside = blocks.map((block) => ({ block, prefix: blockPrefix(block) }));
  return inside
    .filter(({ prefix }) => containsCidr(poolCidr, prefix))
    .sort((a, b) => compareCidr(a.prefix, b.prefix))
    .map(({ block }) => block);
}

/**
 * The first of `blocks` in the pool that has plenty of free addresses; when none has, the one with most. So blocks are filled
 * one after the other, the last ones become empty and can be given up, and yet no address is used again at once.
 */
function mostRested(snapshot: Snapshot, pool: IpPool, blocks: readonly IpamBlock[]): Choice | undefined {
  const usable = blocksIn(blocks, pool).filter((block) => freeOrdinal(snapshot, block) !== undefined);
  const freeIn = (block: IpamBlock) => block.spec.unallocated.length;
  const plenty = usable.find((block) => freeIn(block) >= RESTING_MIN);
  const block = plenty ?? usable.toSorted((a, b) => freeIn(b) - freeIn(a))[0];
  const ordinal = block === undefined ? undefined : freeOrdinal(snapshot, block);
  return block === undefined || ordinal === undefined
    ? undefined
    : { kind: 'chosen', block, ordinal, pool, isNew: false };
}

function freeOrdinal(snapshot: Snapshot, block: IpamBlock): number | undefined {
  return block.spec.deleted ? undefined : nextFree(block, snapshot.reserved);
}
