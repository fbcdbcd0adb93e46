/**
 * The packet filter in nftables: the table `inet muslin`, which is ours alone.
 *
 * Each change is one nftables transaction: it happens whole or not at all. What comes and goes with a container is told the
 * kernel directly, at the cost of the change; all else is nft's text, at the cost of the table. A table that cannot be read, or in which something stands that is not of our making, is made anew in one
 * transaction. The kernel tells when somebody else changes the table.
 */
import type { Chain, ChainKey, FilterProgram, ProgramChanges } from '../../felix/dataplane/filter/program.ts';
import { readCounts, ruleCounts } from '../../felix/dataplane/nftables/counts.ts';
import { directEdits } from '../../felix/dataplane/nftables/direct.ts';
import { forwardDrops } from '../../felix/dataplane/nftables/forward-drops.ts';
import { ListingUnreadable } from '../../felix/dataplane/nftables/listing.ts';
import { NFT_TABLE, NFT_TABLE_NAME, nftChainName } from '../../felix/dataplane/nftables/names.ts';
import { planChanges, planFilter } from '../../felix/dataplane/nftables/plan.ts';
import { type FilterPlan, removalScript, sleepScript } from '../../felix/dataplane/nftables/script.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { Nft } from '../../kernel/nft.ts';
import { openNft } from '../../kernel/nft.ts';
import { EDITS_IN_TRANSACTION_MAX, type NftEdits, openNftEdits } from '../../kernel/nft-edits.ts';
import { openNftEvents } from '../../kernel/nft-events.ts';
import { countOfEdits } from '../../net/table-edit.ts';
import type { FilterBackend, RuleCount } from './filter-backend.ts';

/** More chains than this are read by listing the whole table, which is little slower: nft looks through all chains for one. */
const CHAINS_ONE_BY_ONE_MAX = 8;

/** In the namespace at a path, or in the thread's own. Throws KernelError where nftables cannot work, with what is missing. */
export function openNftablesBackend(namespacePath?: string): FilterBackend {
  const closers: (() => void)[] = [];
  const opened = <Opened extends { close(): void }>(each: Opened): Opened => {
    closers.push(() => each.close());
    return each;
  };
  const close = (): void => {
    for (const each of closers.splice(0)) each();
  };
  let tell = (_by: string): void => undefined;
  try {
    const nft = opened(openNft(namespacePath));
    const edits = opened(openNftEdits(namespacePath));
    const events = opened(openNftEvents(namespacePath, NFT_TABLE_NAME, (by) => tell(by)));
    const run = ({ script, changes }: FilterPlan): number => {
      if (changes > 0) events.own(() => nft.run(script));
      return changes;
    };
    const readAndRun = (program: FilterProgram): number => {
      events.forget();
      return run(planAnew(nft, program));
    };
    return {
      identity: 'nftables',
      title: 'nftables',
      apply: (program, changes) => {
        if (changes === undefined) return readAndRun(program);
        return events.own(() => changeDirectly(edits, changes)) ?? run(planChanges(changes));
      },
      counts: (program, keys) => {
        const chains = [...program.chains].filter(([key]) => keys?.has(key) ?? true);
        return chains.length > CHAINS_ONE_BY_ONE_MAX ? countsOfAll(nft, chains) : countsOfEach(nft, chains);
      },
      isWatched: () => events.isComplete(),
      warnings: () => forwardDrops(nft.listChains()),
      watch: (onForeignChange) => {
        tell = onForeignChange;
      },
      remove: () =>
        events.own(() => {
          nft.run(sleepScript());
          nft.run(removalScript());
        }),
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** How much was changed; undefined where that is not all there is to change, or cannot be done so: nothing was. */
function changeDirectly(nftEdits: NftEdits, changes: ProgramChanges): number | undefined {
  const edits = directEdits(changes);
  if (edits === undefined) return undefined;
  const count = countOfEdits(edits);
  if (count > EDITS_IN_TRANSACTION_MAX) return undefined;
  try {
    nftEdits.change(NFT_TABLE_NAME, edits);
    return count;
  } catch (error) {
    // A set is new; if it is something else that is missing, nft will be refused, too.
    if (error instanceof KernelError && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

function planAnew(nft: Nft, program: FilterProgram): FilterPlan {
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
