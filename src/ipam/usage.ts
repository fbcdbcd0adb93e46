/**
 * How full pools and blocks are, and what becomes of one address: what `muslin ipam show` and `explain` print.
 *
 * Views of a survey, as values that go out as JSON. Called by the commands.
 */
import type { Labels } from '../model/selector.ts';
import { addressIn, cidr, compareCidr, containsCidr, containsIp, ordinalOf } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { addressBits, formatIp } from '../net/ip.ts';
import { blockPrefix, holderAt, ownerOf } from './block.ts';
import type { CheckTime } from './check.ts';
import { check, endpointTitle } from './check.ts';
import type { Finding } from './finding.ts';
import { poolPrefix } from './pools.ts';
import type { Survey } from './survey.ts';
import { endpointsByAddress, poolWith, sinceOf } from './survey.ts';

interface Usage {
  readonly cidr: string;
  readonly addresses: number;
  readonly inUse: number;
  readonly free: number;
}

export interface BlockUsage extends Usage {
  /** Null for a block that was given up with addresses in use. */
  readonly owner: string | null;
  /** How many of the addresses in use are on other nodes than the owner. */
  readonly borrowed: number;
}

export interface PoolUsage extends Usage {
  /** Null for blocks that no pool contains. */
  readonly name: string | null;
  readonly isDisabled: boolean;
  readonly blocks: readonly BlockUsage[];
}

/** Each pool with its blocks, in the order of addresses; last the blocks that are in none. */
export function usageOf(survey: Survey): PoolUsage[] {
  const blocks = survey.all('IPAMBlock').toSorted((a, b) => compareCidr(blockPrefix(a), blockPrefix(b)));
  const pools = survey.all('IPPool').toSorted((a, b) => compareCidr(poolPrefix(a), poolPrefix(b)));
  const usages = pools.map((pool): PoolUsage => {
    const prefix = poolPrefix(pool);
    const inside = blocks.filter((block) => containsCidr(prefix, blockPrefix(block))).map(usageOfBlock);
    const addresses = 2 ** (addressBits(prefix.address.family) - prefix.length);
    const inUse = inside.reduce((sum, block) => sum + block.inUse, 0);
    const { metadata, spec } = pool;
    const usage = { cidr: spec.cidr, addresses, inUse, free: addresses - inUse, blocks: inside };
    return { ...usage, name: metadata.name, isDisabled: spec.disabled };
  });
  const stray = blocks.filter((block) => !pools.some((pool) => containsCidr(poolPrefix(pool), blockPrefix(block))));
  if (stray.length === 0) return usages;
  const strays = stray.map(usageOfBlock);
  const sum = (field: 'addresses' | 'inUse' | 'free') => strays.reduce((total, block) => total + block[field], 0);
  const outside = { addresses: sum('addresses'), inUse: sum('inUse'), free: sum('free'), blocks: strays };
  return [...usages, { ...outside, name: null, cidr: '-', isDisabled: false }];
}

function usageOfBlock(block: Parameters<typeof ownerOf>[0]): BlockUsage {
  const { cidr, allocations, unallocated } = block.spec;
  const owner = ownerOf(block) ?? null;
  const borrowed = allocations.filter((_, ordinal) => {
    const node = holderAt(block, ordinal)?.secondary['node'];
    return node !== undefined && node !== owner;
  });
  const [addresses, free] = [allocations.length, unallocated.length];
  return { cidr, owner, addresses, inUse: addresses - free, free, borrowed: borrowed.length };
}

export interface AddressExplanation {
  readonly address: string;
  readonly state: 'assigned' | 'free' | 'reserved' | 'in no block' | 'outside of all pools';
  readonly pool: string | null;
  readonly block: string | null;
  /** The node whose block it is. */
  readonly owner: string | null;
  readonly handle: string | null;
  /** RFC 3339. */
  readonly since: string | null;
  /** What the holder said of itself: node, pod, namespace. */
  readonly attributes: Labels;
  /** "endpoint default/a1 of node host-a". */
  readonly endpoints: readonly string[];
  /** What happens when it is released, or when it will be assigned. */
  readonly next: string;
  readonly problems: readonly Finding[];
}

/** All that is known of one address. */
export function explainAddress(survey: Survey, address: Ip, time: CheckTime): AddressExplanation {
  const text = formatIp(address);
  const pool = poolWith(survey, address);
  const block = survey.all('IPAMBlock').find((each) => containsIp(blockPrefix(each), address));
  const ordinal = block === undefined ? undefined : ordinalOf(blockPrefix(block), address);
  const holder = block === undefined || ordinal === undefined ? undefined : holderAt(block, ordinal);
  const since = holder === undefined ? undefined : sinceOf(holder);
  const isReserved = isReservedIn(survey, address);
  const concerns = new Set([text, block?.spec.cidr, holder?.handleId]);
  const problems = check(survey, time).map(({ finding }) => finding);
  return {
    address: text,
    state:
      holder !== undefined
        ? 'assigned'
        : isReserved
          ? 'reserved'
          : block !== undefined
            ? 'free'
            : pool !== undefined
              ? 'in no block'
              : 'outside of all pools',
    pool: pool?.metadata.name ?? null,
    block: block?.spec.cidr ?? null,
    owner: (block === undefined ? undefined : ownerOf(block)) ?? null,
    handle: holder?.handleId ?? null,
    since: since === undefined ? null : new Date(since).toISOString(),
    attributes: holder?.secondary ?? {},
    endpoints: (endpointsByAddress(survey).get(text) ?? []).map(endpointTitle),
    next: nextOf(survey, address, { pool, block, isHeld: holder !== undefined, isReserved }),
    problems: problems.filter((each) => concerns.has(each.subject) || each.leak?.addresses.includes(text) === true),
  };
}

function nextOf(
  survey: Survey,
  address: Ip,
  place: {
    readonly pool: ReturnType<typeof poolWith>;
    readonly block: ReturnType<Survey['block']>;
    readonly isHeld: boolean;
    readonly isReserved: boolean;
  },
): string {
  const { pool, block, isHeld, isReserved } = place;
  if (pool === undefined && !isHeld) return 'nobody gets it: no IPPool has it';
  if (pool === undefined) return 'once released, nobody gets it again: no IPPool has it';
  const disabled = pool.spec.disabled ? `; IPPool ${pool.metadata.name} is disabled, so that nobody gets it` : '';
  if (isReserved)
    return `${isHeld ? 'once released, ' : ''}only who asks for it gets it: an IPReservation has it${disabled}`;
  if (block === undefined) return `it can be assigned once a node claims a block around it${disabled}`;
  const { unallocated } = block.spec;
  const isLast = block.spec.allocations.length - unallocated.length === 1;
  if (isHeld && isLast && ownerOf(block) === undefined) {
    return `once released, block ${block.spec.cidr} goes with it: no node owns the block, and it would be empty${disabled}`;
  }
  // A freed address goes to the end of its block's queue.
  const ordinal = ordinalOf(blockPrefix(block), address) ?? 0;
  const before = isHeld ? unallocated : unallocated.slice(0, unallocated.indexOf(ordinal));
  const count = before.filter((each) => !isReservedIn(survey, addressIn(blockPrefix(block), each))).length;
  const others = `${count} other free ${count === 1 ? 'address' : 'addresses'} of block ${block.spec.cidr}`;
  const order = `${count === 0 ? 'it is the next of its block' : `${others} ${count === 1 ? 'is' : 'are'} assigned before it`}${disabled}`;
  return isHeld ? `once released: ${order}` : order;
}

function isReservedIn(survey: Survey, address: Ip): boolean {
  return survey
    .all('IPReservation')
    .some(({ spec }) => spec.reservedCIDRs.some((text) => containsIp(cidr(text), address)));
}
