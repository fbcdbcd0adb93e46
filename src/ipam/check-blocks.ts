/**
 * Whether blocks, their owners' claims and the pools fit together.
 *
 * The block's entry decides whose it is; the claim (BlockAffinity) only says where a node has to look. So where the two differ
 * the claim is put right, and a block is given up only when it has no assigned address. Calico's agents claim in three
 * writes and may die between two of them; such claims are finished. Called by check.ts.
 */
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import { blockAffinityName, cidrName, keyOf, resourceKey } from '../model/resource-key.ts';
import { compareCidr, containsCidr, overlaps } from '../net/cidr.ts';
import { blockPrefix, isEmpty, ownerOf } from './block.ts';
import { newAffinity } from './claim.ts';
import type { Found } from './finding.ts';
import { repairable, unrepairable } from './finding.ts';
import type { Plan } from './plan.ts';
import { Draft } from './plan.ts';
import { poolPrefix } from './pools.ts';
import { planReleaseBlock } from './release.ts';
import type { Survey } from './survey.ts';

const NOTHING: Plan = { expect: [], writes: [] };

/** Everything about blocks that is not as it should be. `isOld` says whether a claim can no longer be in the making. */
export function checkBlocks(survey: Survey, isOld: (affinity: BlockAffinity) => boolean): Found[] {
  const blocks = survey.all('IPAMBlock');
  return [
    ...blocks.flatMap((block) => outsidePools(survey, block)),
    ...overlapping(blocks),
    ...blocks.flatMap((block) => checkOwner(survey, block)),
    ...survey
      .all('BlockAffinity')
      .filter((affinity) => affinity.spec.state === 'confirmed' || isOld(affinity))
      .flatMap((affinity) => checkAffinity(survey, affinity)),
  ];
}

function outsidePools(survey: Survey, block: IpamBlock): Found[] {
  const isInside = survey.all('IPPool').some((pool) => containsCidr(poolPrefix(pool), blockPrefix(block)));
  // A pool that cannot be read may be the block's.
  if (isInside || survey.hasUnreadable('IPPool')) return [];
  const { cidr } = block.spec;
  const what = { code: 'block-outside-pools', subject: cidr, cause: `no IPPool contains ${whose(block)}` } as const;
  if (isEmpty(block)) return [repairable({ ...what, remedy: 'gives the block up: it is empty' }, giveUp(cidr))];
  const remedy = `make an IPPool that contains ${cidr} again, or remove the containers that have its ${usedText(block)}`;
  return [unrepairable({ ...what, remedy })];
}

/** Sorted by address, a prefix that contains others stands right before them, so each is compared with the last widest one. */
function overlapping(blocks: readonly IpamBlock[]): Found[] {
  const sorted = blocks.toSorted((a, b) => compareCidr(blockPrefix(a), blockPrefix(b)));
  let widest: IpamBlock | undefined;
  return sorted.flatMap((block) => {
    if (widest === undefined || !overlaps(blockPrefix(widest), blockPrefix(block))) {
      widest = block;
      return [];
    }
    const doomed = [block, widest].find(isEmpty);
    const cause = `${whose(block)} overlaps ${whose(widest)}: their addresses could be assigned twice`;
    const what = { code: 'blocks-overlap', subject: block.spec.cidr, cause } as const;
    if (doomed === undefined) {
      return [
        unrepairable({
          ...what,
          remedy: `both are in use: remove the containers of one, ${block.spec.cidr} has ${usedText(block)}`,
        }),
      ];
    }
    return [
      repairable({ ...what, remedy: `gives up block ${doomed.spec.cidr}: it is empty` }, giveUp(doomed.spec.cidr)),
    ];
  });
}

function checkOwner(survey: Survey, block: IpamBlock): Found[] {
  const owner = ownerOf(block);
  const { cidr } = block.spec;
  if (owner === undefined) {
    if (!isEmpty(block)) return [];
    const cause = 'it has neither owner nor addresses: whoever emptied it did not remove it';
    return [repairable({ code: 'block-abandoned', subject: cidr, cause, remedy: 'removes the block' }, giveUp(cidr))];
  }
  const key = affinityKey(owner, cidr);
  if (survey.affinity(key) !== undefined || survey.unreadable.has(key)) return [];
  const cause = `the block is node ${owner}'s, which has no claim to it, and so does not find it`;
  const what = { code: 'block-without-affinity', subject: cidr, cause } as const;
  if (isEmpty(block)) return [repairable({ ...what, remedy: 'gives the block up: it is empty' }, giveUp(cidr))];
  return [
    repairable({ ...what, remedy: `writes the claim of node ${owner}` }, (live) => {
      const now = live.block(cidr);
      if (now === undefined || ownerOf(now) !== owner || live.affinity(key) !== undefined) return NOTHING;
      const draft = new Draft();
      draft.rely(now);
      draft.put(newAffinity(owner, cidr));
      return draft.finish();
    }),
  ];
}

function checkAffinity(survey: Survey, affinity: BlockAffinity): Found[] {
  const { node, cidr, state } = affinity.spec;
  const key = keyOf(affinity);
  const block = survey.block(cidr);
  if (block === undefined) {
    if (survey.unreadable.has(resourceKey({ kind: 'IPAMBlock', name: cidrName(cidr) }))) return [];
    const cause = `node ${node} has a claim (${state}) to block ${cidr}, which does not exist`;
    const remedy = 'removes the claim';
    return [repairable({ code: 'affinity-without-block', subject: cidr, cause, remedy }, withoutAffinity(key))];
  }
  if (ownerOf(block) !== node) {
    const cause = `node ${node} has a claim (${state}) to ${whose(block)}`;
    const remedy = `removes the claim of node ${node}`;
    return [repairable({ code: 'affinity-foreign', subject: cidr, cause, remedy }, withoutAffinity(key))];
  }
  const cause = `node ${node} has left its claim to block ${cidr} in state ${state}`;
  const what = { code: 'affinity-unfinished', subject: cidr, cause } as const;
  if (state === 'pending')
    return [repairable({ ...what, remedy: 'confirms the claim: the block is there' }, confirmed(key, cidr))];
  if (state === 'pendingDeletion') {
    return [repairable({ ...what, remedy: 'gives the block up; its addresses in use stay assigned' }, giveUp(cidr))];
  }
  return [];
}

/** Takes the block from its owner, and removes it when it is empty. */
function giveUp(cidr: string): (survey: Survey) => Plan {
  return (survey) => {
    const block = survey.block(cidr);
    if (block === undefined) return NOTHING;
    const owner = ownerOf(block);
    return planReleaseBlock(block, owner === undefined ? undefined : survey.affinity(affinityKey(owner, cidr)));
  };
}

function withoutAffinity(key: string): (survey: Survey) => Plan {
  return (survey) => {
    const affinity = survey.affinity(key);
    if (affinity === undefined) return NOTHING;
    const draft = new Draft();
    const block = survey.block(affinity.spec.cidr);
    if (block !== undefined && ownerOf(block) === affinity.spec.node) return NOTHING;
    if (block !== undefined) draft.rely(block);
    draft.remove(affinity);
    return draft.finish();
  };
}

function confirmed(key: string, cidr: string): (survey: Survey) => Plan {
  return (survey) => {
    const affinity = survey.affinity(key);
    const block = survey.block(cidr);
    if (affinity === undefined || block === undefined) return NOTHING;
    const draft = new Draft();
    draft.rely(block);
    draft.put({ ...affinity, spec: { ...affinity.spec, state: 'confirmed' } });
    return draft.finish();
  };
}

function affinityKey(node: string, cidr: string): string {
  return resourceKey({ kind: 'BlockAffinity', name: blockAffinityName(node, cidr) });
}

function whose(block: IpamBlock): string {
  const owner = ownerOf(block);
  return `block ${block.spec.cidr} of ${owner === undefined ? 'no node' : `node ${owner}`}`;
}

function usedText(block: IpamBlock): string {
  const used = block.spec.allocations.length - block.spec.unallocated.length;
  return `${used} ${used === 1 ? 'address' : 'addresses'} in use`;
}
