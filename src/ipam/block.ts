/**
 * One block: which of its addresses are assigned, to whom, and which comes next.
 *
 * A block is a CIDR of at most some thousand addresses, counted by ordinal. `allocations` has for each ordinal null, or the
 * index of an entry of `attributes`, which tells the holder; holders that are equal share an entry. `unallocated` is a queue
 * of the free ordinals: one is taken from its head, and a freed one goes to its tail, so that an address is used again as
 * late as can be, when no connection table and no peer's cache remembers its last user.
 *
 * Invariants: every ordinal is either in `unallocated`, once, or has an allocation; every attribute has one. Blocks are
 * values: each function gives a new one. Called by assign.ts, claim.ts and release.ts.
 */
import { assert } from '../lib/assert.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import { API_VERSION } from '../model/resource.ts';
import { cidrName } from '../model/resource-key.ts';
import type { Cidr } from '../net/cidr.ts';
import { addressIn, cidr, containsIp, formatCidr } from '../net/cidr.ts';
import { addressBits } from '../net/ip.ts';

/** Who has an address: what is released together, and what a person may want to know about it. */
export interface Holder {
  readonly handleId: string;
  readonly secondary: Readonly<Record<string, string>>;
}

/** Among a holder's secondary attributes: since when it has its addresses, as RFC 3339 text. Calico's name for it. */
export const SINCE_ATTRIBUTE = 'timestamp';

/** A block of 4096 addresses (/20, /116) is the largest that an IPPool may ask for. */
const BLOCK_ADDRESSES_MAX = 4096;
const HOST_AFFINITY = 'host:';

/** A block without a single assigned address. */
export function newBlock(prefix: Cidr, node: string): IpamBlock {
  const size = 2 ** (addressBits(prefix.address.family) - prefix.length);
  assert(size <= BLOCK_ADDRESSES_MAX, `${formatCidr(prefix)} is too large for a block`);
  const text = formatCidr(prefix);
  return {
    apiVersion: API_VERSION,
    kind: 'IPAMBlock',
    metadata: { name: cidrName(text) },
    spec: {
      cidr: text,
      affinity: affinityOf(node),
      allocations: new Array<null>(size).fill(null),
      unallocated: Array.from({ length: size }, (_, ordinal) => ordinal),
      attributes: [],
      deleted: false,
    },
  };
}

/** The block under another owner; undefined leaves it without one. */
export function withOwner(block: IpamBlock, node: string | undefined): IpamBlock {
  return { ...block, spec: { ...block.spec, affinity: node === undefined ? null : affinityOf(node) } };
}

/** The node that the block belongs to. */
export function ownerOf(block: IpamBlock): string | undefined {
  return block.spec.affinity?.startsWith(HOST_AFFINITY) ? block.spec.affinity.slice(HOST_AFFINITY.length) : undefined;
}

export function blockPrefix(block: IpamBlock): Cidr {
  return cidr(block.spec.cidr);
}

export function isEmpty(block: IpamBlock): boolean {
  return block.spec.unallocated.length === block.spec.allocations.length;
}

/** The ordinal that has been free for longest, of those whose address is not reserved; undefined when there is none. */
export function nextFree(block: IpamBlock, reserved: readonly Cidr[]): number | undefined {
  const prefix = blockPrefix(block);
  return block.spec.unallocated.find((ordinal) => {
    const address = addressIn(prefix, ordinal);
    return !reserved.some((reservation) => containsIp(reservation, address));
  });
}

/** Who has the address at `ordinal`; undefined when it is free. */
export function holderAt(block: IpamBlock, ordinal: number): Holder | undefined {
  const index = block.spec.allocations[ordinal] ?? undefined;
  const attribute = index === undefined ? undefined : block.spec.attributes[index];
  return attribute === undefined ? undefined : { handleId: attribute.handle_id, secondary: attribute.secondary };
}

/** The ordinals that a handle has. */
export function ordinalsOf(block: IpamBlock, handleId: string): number[] {
  return block.spec.allocations.flatMap((index, ordinal) =>
    index !== null && block.spec.attributes[index]?.handle_id === handleId ? [ordinal] : [],
  );
}

/** Gives the free address at `ordinal` to `holder`. */
export function assignOrdinal(block: IpamBlock, ordinal: number, holder: Holder): IpamBlock {
  const { spec } = block;
  assert(spec.unallocated.includes(ordinal), `ordinal ${ordinal} of ${spec.cidr} is not free`);
  const attribute = { handle_id: holder.handleId, secondary: holder.secondary };
  const text = JSON.stringify(attribute);
  const known = spec.attributes.findIndex((each) => JSON.stringify(each) === text);
  return {
    ...block,
    spec: {
      ...spec,
      allocations: spec.allocations.with(ordinal, known >= 0 ? known : spec.attributes.length),
      unallocated: spec.unallocated.filter((free) => free !== ordinal),
      attributes: known >= 0 ? spec.attributes : [...spec.attributes, attribute],
    },
  };
}

/** Takes the assigned addresses at `ordinals` back; they will be the last to be used again, in this order. */
export function releaseOrdinals(block: IpamBlock, ordinals: readonly number[]): IpamBlock {
  const { spec } = block;
  const freed = new Set(ordinals);
  const stay = spec.allocations.map((index, ordinal) => (freed.has(ordinal) ? null : index));
  // Attributes that nobody refers to any more go, and the others move up.
  const used = [...new Set(stay.filter((index) => index !== null))].sort((a, b) => a - b);
  return {
    ...block,
    spec: {
      ...spec,
      allocations: stay.map((index) => (index === null ? null : used.indexOf(index))),
      unallocated: [...spec.unallocated, ...ordinals],
      attributes: used.flatMap((index) => spec.attributes[index] ?? []),
    },
  };
}

function affinityOf(node: string): string {
  return `${HOST_AFFINITY}${node}`;
}
