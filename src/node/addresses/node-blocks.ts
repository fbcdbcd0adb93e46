/**
 * The blocks of a node that is gone, given back: what is empty goes, what is not stays without an owner until it is.
 *
 * Each block is one transaction, which does nothing where somebody has been faster. Called by the lab, when a host leaves.
 */
import { ownerOf } from '../../ipam/block.ts';
import { planReleaseBlock } from '../../ipam/release.ts';
import { blockAffinityName, resourceKey } from '../../model/resource-key.ts';
import type { Store } from '../../store/store.ts';
import { carryOut, readSurvey } from './address-survey.ts';

export async function releaseBlocksOf(node: string, store: Store): Promise<void> {
  const survey = await readSurvey(store);
  for (const block of survey.all('IPAMBlock')) {
    if (ownerOf(block) !== node) continue;
    const name = blockAffinityName(node, block.spec.cidr);
    const affinity = survey.affinity(resourceKey({ kind: 'BlockAffinity', name }));
    await carryOut(store, survey, planReleaseBlock(block, affinity));
  }
}
