/**
 * From what is in the kernel to what should be: what has to be edited, as little as can be.
 *
 * A chain is refilled when its hashes differ, whatever the reason; elements of maps and members of sets are added and
 * removed one by one; nothing else is written.
 * Where something is in the table that cannot be mended piecemeal (a hook that is not ours, a foreign map, a set of
 * another type, a table put to sleep), the table is removed and made anew, in the same one transaction.
 *
 * Invariant: the script is empty exactly when nothing differs.
 */
import type { Chain, FilterProgram, ProgramSet } from '../filter/program.ts';
import { nftChainName, nftSetName } from './names.ts';
import type { ActualChain, ActualTable } from './parse.ts';
import { chainHashes, chainHeader, DISPATCH_MAP_HEADER, dispatchVerdict, programSetHeader } from './print.ts';
import type { DispatchEdit, FilterPlan, MemberEdit, TableEdits } from './script.ts';
import { printPlan } from './script.ts';

const EMPTY: ActualTable = { chains: new Map(), maps: new Map(), sets: new Map(), foreign: false };

/** The plan that leads from `actual` (undefined: no table) to `program`. */
export function difference(program: FilterProgram, actual: ActualTable | undefined): FilterPlan {
  const desired: Desired = {
    chains: new Map([...program.chains.values()].map((chain) => [nftChainName(chain), chain])),
    maps: program.maps,
    sets: new Map([...program.sets.values()].map((set) => [nftSetName(set), set])),
  };
  if (actual !== undefined && canBeMended(desired, actual)) return printPlan(edits(desired, actual), { anew: false });
  return printPlan(edits(desired, EMPTY), { anew: true });
}

/** By nft's names. */
interface Desired {
  readonly chains: ReadonlyMap<string, Chain>;
  readonly maps: FilterProgram['maps'];
  readonly sets: ReadonlyMap<string, ProgramSet>;
}

/** What is there under a desired name has the desired header, and all else can go by its name. */
function canBeMended(desired: Desired, actual: ActualTable): boolean {
  if (actual.foreign) return false;
  const names: ReadonlyMap<string, unknown> = desired.maps;
  for (const [name, { header }] of actual.maps) if (!names.has(name) || header !== DISPATCH_MAP_HEADER) return false;
  for (const [name, chain] of desired.chains) {
    const there = actual.chains.get(name);
    if (there !== undefined && there.header !== chainHeader(chain)) return false;
  }
  for (const [name, set] of desired.sets) {
    const there = actual.sets.get(name);
    if (there !== undefined && there.header !== programSetHeader(set)) return false;
  }
  return true;
}

function edits(desired: Desired, actual: ActualTable): TableEdits {
  const newChains: Chain[] = [];
  const refilled: { chain: Chain; flush: boolean }[] = [];
  for (const [name, chain] of desired.chains) {
    const there = actual.chains.get(name);
    if (there === undefined) newChains.push(chain);
    if (!sameRules(chain, there)) refilled.push({ chain, flush: there !== undefined && there.hashes.length > 0 });
  }
  return {
    newMaps: [...desired.maps.keys()].filter((name) => !actual.maps.has(name)),
    newSets: [...desired.sets].flatMap(([name, set]) => (actual.sets.has(name) ? [] : [set])),
    newChains,
    refilled,
    members: memberEdits(desired, actual),
    dispatches: dispatchEdits(desired, actual),
    staleChains: [...actual.chains.keys()].filter((name) => !desired.chains.has(name)),
    staleSets: [...actual.sets.keys()].filter((name) => !desired.sets.has(name)),
  };
}

/** A chain that is not there, too, has to be counted as changed, even if no rules are to be in it. */
function sameRules(chain: Chain, actual: ActualChain | undefined): boolean {
  if (actual === undefined) return false;
  const hashes = chainHashes(chain);
  return hashes.length === actual.hashes.length && hashes.every((hash, index) => hash === actual.hashes[index]);
}

function memberEdits(desired: Desired, actual: ActualTable): MemberEdit[] {
  const found: MemberEdit[] = [];
  for (const [name, set] of desired.sets) {
    const there = actual.sets.get(name);
    const flush = there?.odd ?? false;
    const members: ReadonlySet<string> = flush ? new Set() : (there?.members ?? new Set());
    const removed = [...members].filter((member) => !set.members.has(member));
    const added = [...set.members].filter((member) => !members.has(member));
    if (flush || removed.length > 0 || added.length > 0) found.push({ set, flush, removed, added });
  }
  return found;
}

/** An element with the wrong verdict must go before the right one can be added. */
function dispatchEdits(desired: Desired, actual: ActualTable): DispatchEdit[] {
  const found: DispatchEdit[] = [];
  for (const [map, entries] of desired.maps) {
    const there = actual.maps.get(map)?.elements ?? new Map<string, string>();
    const isRight = (device: string, chain: string | undefined): boolean =>
      chain !== undefined && there.get(device) === dispatchVerdict(chain);
    const removed = [...there.keys()].filter((device) => !isRight(device, entries.get(device)));
    const added = [...entries].filter(([device, chain]) => !isRight(device, chain));
    if (removed.length > 0 || added.length > 0) found.push({ map, removed, added });
  }
  return found;
}
