/**
 * One transaction of nft, from what has to be edited in the table.
 *
 * The kernel takes a script as a whole or not at all, so no packet ever meets half of it, but within it each thing must
 * exist before it is named and must be named no more before it goes. That is the order below, and its only place:
 * maps and sets, chains without rules, rules, members of sets, dispatches, then chains and sets that go.
 * What leaves a set goes before what comes, since a prefix may come that contains it.
 */
import type { Chain, DispatchMapName, ProgramSet } from '../filter/program.ts';
import { printMember } from './members.ts';
import { deviceName, NFT_TABLE, nftChainName, nftSetName } from './names.ts';
import { chainHeader, DISPATCH_MAP_HEADER, printChain, printDispatch, programSetHeader } from './print.ts';

export interface FilterPlan {
  /** nft commands, a line each, ending in a newline; empty when nothing differs. */
  readonly script: string;
  /** How many chains, maps, sets and elements it adds, rewrites or removes. */
  readonly changes: number;
}

export interface TableEdits {
  readonly newMaps: readonly DispatchMapName[];
  /** Sets that may not be there, to be made without members. */
  readonly newSets: readonly ProgramSet[];
  /** Chains that may not be there, to be made without rules. */
  readonly newChains: readonly Chain[];
  /** Chains whose rules are written; `flush` where there are others. */
  readonly refilled: readonly { readonly chain: Chain; readonly flush: boolean }[];
  readonly members: readonly MemberEdit[];
  readonly dispatches: readonly DispatchEdit[];
  /** nft's names, of chains that nothing leads to once the rest is done, but for one another. */
  readonly staleChains: readonly string[];
  readonly staleSets: readonly string[];
}

export interface MemberEdit {
  readonly set: ProgramSet;
  /** All that is in the set goes first. */
  readonly flush: boolean;
  readonly removed: readonly string[];
  readonly added: readonly string[];
}

export interface DispatchEdit {
  readonly map: DispatchMapName;
  /** Devices, also those that are to lead elsewhere. */
  readonly removed: readonly string[];
  /** Device and chain. */
  readonly added: readonly (readonly [string, string])[];
}

/** Elements in a line: nft reads a line at a time, and its parser's stack and messages are not without end. */
const ELEMENTS_MAX = 4_000;

/** What makes the table anew, before all else is added to it. Added first, since one that is not there cannot be deleted. */
const ANEW = [`add table ${NFT_TABLE}`, `delete table ${NFT_TABLE}`, `add table ${NFT_TABLE}`];
/** Without the flag, adding a table that sleeps would wake it. */
function asleep(table: string): string {
  return `add table ${table} { flags dormant; }`;
}

/** The plan that carries out the edits, in a table that is there or (`anew`) in one that replaces whatever is. */
export function printPlan(edits: TableEdits, { anew }: { readonly anew: boolean }): FilterPlan {
  const lines = anew ? [...ANEW] : [];
  for (const map of edits.newMaps) lines.push(`add map ${NFT_TABLE} ${map} { ${DISPATCH_MAP_HEADER} }`);
  for (const set of edits.newSets) {
    lines.push(`add set ${NFT_TABLE} ${nftSetName(set)} { ${programSetHeader(set)} }`);
  }
  for (const chain of edits.newChains) {
    const header = chainHeader(chain);
    lines.push(`add chain ${NFT_TABLE} ${nftChainName(chain)}${header && ` { ${header} }`}`);
  }
  for (const { chain, flush } of edits.refilled) {
    const name = nftChainName(chain);
    if (flush) lines.push(`flush chain ${NFT_TABLE} ${name}`);
    for (const rule of printChain(chain).rules) lines.push(`add rule ${NFT_TABLE} ${name} ${rule}`);
  }
  for (const edit of edits.members) lines.push(...memberLines(edit));
  for (const edit of edits.dispatches) lines.push(...dispatchLines(edit));
  // All are emptied before any goes, since they may jump to one another.
  for (const name of edits.staleChains) lines.push(`flush chain ${NFT_TABLE} ${name}`);
  for (const name of edits.staleChains) lines.push(`delete chain ${NFT_TABLE} ${name}`);
  for (const name of edits.staleSets) lines.push(`delete set ${NFT_TABLE} ${name}`);
  return { script: scriptOf(lines), changes: countOf(edits) };
}

/**
 * Takes a table (family and name; ours) off the packets' way at once, with all that is in it; to be run before `removalScript`, in a transaction of
 * its own. Packets were seen to be lost when a table was deleted that was awake: its chains go one by one.
 */
export function sleepScript(table: string = NFT_TABLE): string {
  return scriptOf([asleep(table)]);
}

/** Takes all that is ours away, be it there or not. */
export function removalScript(table: string = NFT_TABLE): string {
  return scriptOf([asleep(table), `delete table ${table}`]);
}

function scriptOf(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}

function memberLines({ set, flush, removed, added }: MemberEdit): string[] {
  const name = nftSetName(set);
  return [
    ...(flush ? [`flush set ${NFT_TABLE} ${name}`] : []),
    ...elementLines('delete', name, removed.map(printMember)),
    ...elementLines('add', name, added.map(printMember)),
  ];
}

function dispatchLines({ map, removed, added }: DispatchEdit): string[] {
  const keys = removed.map((device) => `"${deviceName(device)}"`);
  const pairs = added.map(([device, chain]) => printDispatch(device, chain));
  return [...elementLines('delete', map, keys), ...elementLines('add', map, pairs)];
}

function elementLines(verb: 'add' | 'delete', name: string, elements: readonly string[]): string[] {
  const lines: string[] = [];
  for (let from = 0; from < elements.length; from += ELEMENTS_MAX) {
    lines.push(`${verb} element ${NFT_TABLE} ${name} { ${elements.slice(from, from + ELEMENTS_MAX).join(', ')} }`);
  }
  return lines;
}

function countOf(edits: TableEdits): number {
  const whole = [edits.newMaps, edits.newSets, edits.refilled, edits.staleChains, edits.staleSets];
  const elements = [...edits.members, ...edits.dispatches];
  return (
    whole.reduce((sum, { length }) => sum + length, 0) +
    elements.reduce((sum, { removed, added }) => sum + removed.length + added.length, 0)
  );
}
