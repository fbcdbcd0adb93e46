/**
 * The nftables backend's entry: the program that should be in force, and what is known of the kernel, to a script.
 *
 * The agent lists the table (kernel/nft.ts), asks `planFilter`, and runs the script if there is any. While nobody else
 * touches the rules it need not list again, which costs more than all the rest: `planChanges` takes what has changed in the
 * program since a plan was last carried out, and its cost is that of the change. From time to time, and after any
 * refusal, the agent lists anew.
 * Without a listing the plan rebuilds the table whatever is in it, which is the way out when all else fails.
 */
import { setId } from '../../desired/policy.ts';
import type { Chain, ChainKey, FilterProgram, ProgramChanges, SetKey, SetPart, TableName } from '../filter/program.ts';
import { difference } from './difference.ts';
import { nftChainName, nftSetName } from './names.ts';
import { parseListing } from './parse.ts';
import type { FilterPlan, MemberEdit, TableEdits } from './script.ts';
import { printPlan } from './script.ts';

/**
 * What to run so that `program` is in force.
 * `listed` is the parsed JSON of `nft -j list table inet muslin`, undefined when there is no such table.
 * Throws ListingUnreadable when it is something else.
 */
export function planFilter(program: FilterProgram, listed: unknown): FilterPlan {
  return difference(program, parseListing(listed));
}

/**
 * What to run so that the program is in force, where it was so before the changes. Chains and sets may be new or not: nft
 * takes both without complaint. Where the table is not as it was, the kernel refuses the whole.
 */
export function planChanges(changes: ProgramChanges): FilterPlan {
  const chains = [...changes.chains.values()].filter((chain): chain is Chain => chain !== undefined);
  const sets = [...changes.sets.values()];
  const edits: TableEdits = {
    newMaps: [],
    newSets: sets.flatMap(({ now, added, removed }) =>
      now !== undefined && removed.length === 0 && added.length === now.members.size ? [now] : [],
    ),
    newChains: chains,
    refilled: chains.map((chain) => ({ chain, flush: true })),
    members: sets.flatMap(({ now, added, removed }): MemberEdit[] =>
      now === undefined ? [] : [{ set: now, flush: false, removed, added }],
    ),
    dispatches: [...changes.maps].map(([map, entries]) => ({
      map,
      removed: [...entries].flatMap(([device, chain]) => (chain === undefined ? [device] : [])),
      added: [...entries].flatMap(([device, chain]) => (chain === undefined ? [] : [[device, chain] as const])),
    })),
    staleChains: goneFrom(changes.chains).map(chainNameOf),
    staleSets: [...changes.sets].flatMap(([key, { now }]) => (now === undefined ? [setNameOf(key)] : [])),
  };
  return printPlan(edits, { anew: false });
}

/** The keys of what is there no more. */
export function goneFrom<Key>(changes: ReadonlyMap<Key, unknown>): Key[] {
  return [...changes].flatMap(([key, now]) => (now === undefined ? [key] : []));
}

/** What a chain is called in nftables. */
export function chainNameOf(key: ChainKey): string {
  const [table = '', name = ''] = key.split(' ');
  return nftChainName({ table: table as TableName, name }); // by the key's type
}

function setNameOf(key: SetKey): string {
  const [id = '', family, part = ''] = key.split(' ');
  return nftSetName({ set: setId(id), family: family === '4' ? 4 : 6, part: part as SetPart }); // by the key's type
}
