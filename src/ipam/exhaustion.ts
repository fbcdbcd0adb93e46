/**
 * The message for "no address is left": which pools, how full, by which nodes, and which limit stood in the way.
 *
 * It is what a user sees when a container does not start, so it has to tell a pool that is full from one whose blocks are
 * spread over nodes that do not use them, and from a node that has reached its own limit.
 */
import type { IpPool } from '../model/ip-pool.ts';
import { containsCidr, countOf, overlaps } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { addressBits } from '../net/ip.ts';
import { blockPrefix, ownerOf } from './block.ts';
import { poolPrefix } from './pools.ts';
import type { Snapshot } from './snapshot.ts';

export interface Shortage {
  readonly node: string;
  readonly family: Family;
  readonly strictAffinity: boolean;
  readonly blocksMax: number;
  readonly autoAllocateBlocks: boolean;
  /** How many blocks of the family the node has. */
  readonly owned: number;
}

/** More would hide the ones that matter: those with most addresses. */
const NODES_SHOWN_MAX = 5;

export function exhaustedMessage(snapshot: Snapshot, pools: readonly IpPool[], shortage: Shortage): string {
  const { node, family, owned, blocksMax } = shortage;
  const lines = pools.map((pool) => describePool(snapshot, pool));
  if (!shortage.autoAllocateBlocks) lines.push('autoAllocateBlocks is false: no block is claimed by itself');
  else if (owned >= blocksMax) lines.push(`${node} has ${owned} blocks, and may claim no more than ${blocksMax}`);
  if (shortage.strictAffinity) lines.push('affinity is strict: free addresses in the blocks of others cannot be used');
  return `no IPv${family} address is left for node ${node}: ${lines.join('; ')}. Release addresses, or add an IPPool`;
}

function describePool(snapshot: Snapshot, pool: IpPool): string {
  const prefix = poolPrefix(pool);
  const blocks = [...snapshot.blocks.values()].filter((block) => containsCidr(prefix, blockPrefix(block)));
  const byNode = new Map<string, { blocks: number; used: number; size: number }>();
  let used = 0;
  for (const block of blocks) {
    const owner = ownerOf(block) ?? '(no node)';
    const sum = byNode.get(owner) ?? { blocks: 0, used: 0, size: 0 };
    const size = block.spec.allocations.length;
    const usedHere = size - block.spec.unallocated.length;
    byNode.set(owner, { blocks: sum.blocks + 1, used: sum.used + usedHere, size: sum.size + size });
    used += usedHere;
  }
  const nodes = [...byNode].sort(([, a], [, b]) => b.size - a.size);
  const shown = nodes.slice(0, NODES_SHOWN_MAX).map(([name, sum]) => {
    return `${name} ${sum.used} of ${sum.size} in ${sum.blocks} ${sum.blocks === 1 ? 'block' : 'blocks'}`;
  });
  if (nodes.length > shown.length) shown.push(`${nodes.length - shown.length} more nodes`);
  const reserved = snapshot.reserved.some((reservation) => overlaps(reservation, prefix)) ? ', some reserved' : '';
  const total = countOf(prefix, addressBits(prefix.address.family));
  const holders = shown.length === 0 ? '' : `: ${shown.join(', ')}`;
  return `${pool.metadata.name} (${pool.spec.cidr}) has ${used} of ${total} assigned${reserved}${holders}`;
}
