/**
 * Removing an IPPool, which must not happen under containers that have its addresses.
 *
 * A pool without assigned addresses may still have blocks, which nodes hold for their next containers, and a node may assign from
 * one at any moment. So the pool is disabled first: whoever plans an assignment relies on the pool being as it was read,
 * and from then on nobody can take from it. Then it is looked at again, the empty blocks are given up, and the pool goes.
 * A crash between leaves a disabled pool, which the next attempt removes. Called by `muslin delete`.
 */
import { blockPrefix, isEmpty, ownerOf } from '../../ipam/block.ts';
import { poolPrefix } from '../../ipam/pools.ts';
import { planReleaseBlock } from '../../ipam/release.ts';
import type { Survey } from '../../ipam/survey.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import { valueOfResource } from '../../model/resource-entry.ts';
import { blockAffinityName, keyOf, resourceKey } from '../../model/resource-key.ts';
import { containsCidr } from '../../net/cidr.ts';
import type { Store } from '../../store/store.ts';
import { revision } from '../../store/store.ts';
import { carryOut, readSurvey } from './address-survey.ts';

/** Conflicts here are with those who release the pool's last addresses, or with another who removes it. */
const ATTEMPTS_MAX = 20;
/** How many nodes are named as having addresses. */
const NODES_SHOWN_MAX = 5;

export type PoolRemoval =
  | { readonly kind: 'removed' }
  | { readonly kind: 'missing' }
  /** `message` says how many addresses are in use, and where. */
  | { readonly kind: 'in-use'; readonly message: string }
  | { readonly kind: 'busy' };

/** Removes the pool under `key`, unless its addresses are in use; a dry run only says what would come of it. */
export async function removePool(store: Store, key: string, dryRun: boolean): Promise<PoolRemoval> {
  let wasEnabled = false;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const survey = await readSurvey(store);
    const pool = survey.all('IPPool').find((each) => keyOf(each) === key);
    if (pool === undefined) {
      // What cannot be read has no blocks that anybody could know of.
      if (!survey.unreadable.has(key)) return { kind: 'missing' };
      if (!dryRun) await store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
      return { kind: 'removed' };
    }
    const blocks = blocksOf(survey, pool);
    const message = usedMessage(blocks);
    if (message !== undefined) {
      if (wasEnabled && !(await putPool(store, pool, false))) continue;
      return { kind: 'in-use', message };
    }
    if (dryRun) return { kind: 'removed' };
    if (!pool.spec.disabled) {
      wasEnabled = (await putPool(store, pool, true)) || wasEnabled;
      continue;
    }
    let areGone = true;
    for (const block of blocks) areGone = (await carryOut(store, survey, planGiveUp(survey, block))) && areGone;
    if (areGone && (await transactPool(store, pool, { kind: 'remove', key }))) return { kind: 'removed' };
  }
  return { kind: 'busy' };
}

function blocksOf(survey: Survey, pool: IpPool): IpamBlock[] {
  return survey.all('IPAMBlock').filter((block) => containsCidr(poolPrefix(pool), blockPrefix(block)));
}

function planGiveUp(survey: Survey, block: IpamBlock) {
  const name = blockAffinityName(ownerOf(block) ?? '', block.spec.cidr);
  return planReleaseBlock(block, survey.affinity(resourceKey({ kind: 'BlockAffinity', name })));
}

function putPool(store: Store, pool: IpPool, disabled: boolean): Promise<boolean> {
  const changed = { ...pool, spec: { ...pool.spec, disabled } };
  return transactPool(store, pool, { kind: 'put', key: keyOf(pool), value: valueOfResource(changed) });
}

async function transactPool(store: Store, pool: IpPool, write: Parameters<Store['transact']>[0]['writes'][number]) {
  const expected = { key: keyOf(pool), revision: revision(Number(pool.metadata.resourceVersion)) };
  return (await store.transact({ expect: [expected], writes: [write] })).ok;
}

/** How many addresses are in use, by node; undefined when none is. */
function usedMessage(blocks: readonly IpamBlock[]): string | undefined {
  const counts = new Map<string, number>();
  for (const block of blocks.filter((each) => !isEmpty(each))) {
    const owner = ownerOf(block) ?? '(no node)';
    const used = block.spec.allocations.length - block.spec.unallocated.length;
    counts.set(owner, (counts.get(owner) ?? 0) + used);
  }
  if (counts.size === 0) return undefined;
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  const nodes = [...counts].sort(([, a], [, b]) => b - a);
  const shown = nodes.slice(0, NODES_SHOWN_MAX).map(([node, count]) => `${count} in blocks of ${node}`);
  if (nodes.length > shown.length) shown.push(`others in those of ${nodes.length - shown.length} more nodes`);
  return `${total} of its addresses ${total === 1 ? 'is' : 'are'} in use: ${shown.join(', ')}`;
}
