/**
 * The packet filter in nftables: the table `inet muslin`, which is ours alone.
 *
 * Each change is one nftables transaction: it happens whole or not at all. A table that cannot be read, or in which
 * something stands that is not of our making, is made anew in one transaction.
 */
import type { Chain, ChainKey, FilterProgram } from '../../felix/dataplane/filter/program.ts';
import { readCounts, ruleCounts } from '../../felix/dataplane/nftables/counts.ts';
import { ListingUnreadable } from '../../felix/dataplane/nftables/listing.ts';
import { NFT_TABLE, nftChainName } from '../../felix/dataplane/nftables/names.ts';
import { planChanges, planFilter } from '../../felix/dataplane/nftables/plan.ts';
import { removalScript } from '../../felix/dataplane/nftables/script.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Nft } from '../../kernel/nft.ts';
import type { FilterBackend, RuleCount } from './filter-backend.ts';

/** More chains than this are read by listing the whole table, which is little slower: nft looks through all chains for one. */
const CHAINS_ONE_BY_ONE_MAX = 8;

/** Takes `nft` over. */
export function nftablesBackend(nft: Nft): FilterBackend {
  return {
    identity: 'nftables',
    title: 'nftables',
    apply: (program, changes) => {
      const plan = changes === undefined ? planAnew(nft, program) : planChanges(changes);
      if (plan.changes > 0) nft.run(plan.script);
      return plan.changes;
    },
    counts: (program, keys) => {
      const chains = [...program.chains].filter(([key]) => keys?.has(key) ?? true);
      return chains.length > CHAINS_ONE_BY_ONE_MAX ? countsOfAll(nft, chains) : countsOfEach(nft, chains);
    },
    remove: () => nft.run(removalScript()),
    close: () => nft.close(),
  };
}

function planAnew(nft: Nft, program: FilterProgram): ReturnType<typeof planFilter> {
  try {
    return planFilter(program, nft.listTable(NFT_TABLE));
  } catch (error) {
    const isUnreadable =
      error instanceof ListingUnreadable || (error instanceof KernelError && error.code === 'EPROTO');
    if (!isUnreadable) throw error;
    return planFilter(program, undefined);
  }
}

type Chains = readonly (readonly [ChainKey, Chain])[];

function countsOfAll(nft: Nft, chains: Chains): Map<ChainKey, readonly RuleCount[]> {
  const listed = readCounts(nft.listTable(NFT_TABLE, 'counters'));
  return new Map(chains.map(([key, chain]) => [key, ruleCounts(chain, listed)]));
}

function countsOfEach(nft: Nft, chains: Chains): Map<ChainKey, readonly RuleCount[]> {
  return new Map(
    chains.map(([key, chain]) => [key, ruleCounts(chain, readCounts(nft.listChain(NFT_TABLE, nftChainName(chain))))]),
  );
}
