/**
 * From what is in the kernel to what should be: one transaction of nft, as small as can be.
 *
 * A chain is refilled when its hashes differ, whatever the reason; map elements are added and removed one by one; nothing
 * else is written. The kernel takes the script as a whole or not at all, so no packet ever meets half of it, but
 * within it each thing must exist before it is named and must be named no more before it goes. That is the order below.
 * Where something is in the table that cannot be mended piecemeal (a hook that is not ours, a foreign set or map, a table
 * put to sleep), the table is removed and made anew, in the same one transaction.
 *
 * Invariant: the script is empty exactly when nothing differs.
 */
import type { ActualChain, ActualMap, ActualTable } from './parse.ts';
import type { PrintedChain, PrintedTable } from './print.ts';
import { NFT_TABLE } from './print.ts';

export interface FilterPlan {
  /** nft commands, a line each, ending in a newline; empty when nothing differs. */
  readonly script: string;
  /** How many chains, maps and map elements it adds, rewrites or removes. */
  readonly changes: number;
  /** What the table holds once the script has run. */
  readonly after: ActualTable;
}

/** The plan that leads from `actual` (undefined: no table) to `desired`. */
export function difference(desired: PrintedTable, actual: ActualTable | undefined): FilterPlan {
  if (actual !== undefined && canBeMended(desired, actual)) return plan(desired, [], commands(desired, actual));
  const empty: ActualTable = { chains: new Map(), maps: new Map(), foreign: false };
  // Added first, since a table that is not there cannot be deleted.
  const anew = [`add table ${NFT_TABLE}`, `delete table ${NFT_TABLE}`, `add table ${NFT_TABLE}`];
  return plan(desired, anew, commands(desired, empty));
}

/** What is there under a desired name has the desired header, and all else are chains, which can go by name. */
function canBeMended(desired: PrintedTable, actual: ActualTable): boolean {
  const sameHeader = (
    wanted: ReadonlyMap<string, { readonly header: string }>,
    there: ReadonlyMap<string, ActualChain | ActualMap>,
  ) => [...wanted].every(([name, { header }]) => (there.get(name)?.header ?? header) === header);
  const knownMaps = [...actual.maps.keys()].every((name) => desired.maps.has(name));
  const headers = sameHeader(desired.chains, actual.chains) && sameHeader(desired.maps, actual.maps);
  return !actual.foreign && knownMaps && headers;
}

interface Commands {
  readonly lines: readonly string[];
  readonly changes: number;
}

function plan(desired: PrintedTable, first: readonly string[], { lines, changes }: Commands): FilterPlan {
  const script = [...first, ...lines].map((line) => `${line}\n`).join('');
  return { script, changes, after: { ...desired, foreign: false } };
}

function commands(desired: PrintedTable, actual: ActualTable): Commands {
  const newMaps = [...desired.maps].filter(([name]) => !actual.maps.has(name));
  const newChains = [...desired.chains].filter(([name]) => !actual.chains.has(name));
  const refilled = [...desired.chains].filter(([name, chain]) => !sameRules(chain, actual.chains.get(name)));
  const staleChains = [...actual.chains.keys()].filter((name) => !desired.chains.has(name));
  const elements = elementCommands(desired, actual);
  const lines = [
    ...newMaps.map(([name, { header }]) => `add map ${NFT_TABLE} ${name} { ${header} }`),
    ...newChains.map(([name, { header }]) => `add chain ${NFT_TABLE} ${name}${header && ` { ${header} }`}`),
    ...refilled.flatMap(([name, chain]) => refill(name, chain, actual.chains.get(name))),
    ...elements.lines,
    // All are emptied before any goes, since they may jump to one another.
    ...staleChains.map((name) => `flush chain ${NFT_TABLE} ${name}`),
    ...staleChains.map((name) => `delete chain ${NFT_TABLE} ${name}`),
  ];
  const changes = newMaps.length + refilled.length + elements.changes + staleChains.length;
  return { lines, changes };
}

function sameRules(chain: PrintedChain, actual: ActualChain | undefined): boolean {
  if (actual === undefined) return false;
  const { hashes } = actual;
  if (chain.hashes === hashes) return true;
  return chain.hashes.length === hashes.length && chain.hashes.every((hash, index) => hash === hashes[index]);
}

function refill(name: string, chain: PrintedChain, actual: ActualChain | undefined): string[] {
  const adds = chain.rules.map((rule) => `add rule ${NFT_TABLE} ${name} ${rule}`);
  return actual === undefined || actual.hashes.length === 0 ? adds : [`flush chain ${NFT_TABLE} ${name}`, ...adds];
}

/** Removals first: an element with the wrong verdict must go before the right one can be added. */
function elementCommands(desired: PrintedTable, actual: ActualTable): Commands {
  const lines: string[] = [];
  let changes = 0;
  for (const [name, { elements }] of actual.maps) {
    const wanted = desired.maps.get(name)?.elements;
    const gone = [...elements].filter(([device, verdict]) => wanted?.get(device) !== verdict);
    changes += gone.length;
    const keys = gone.map(([device]) => `"${device}"`);
    if (keys.length > 0) lines.push(`delete element ${NFT_TABLE} ${name} { ${keys.join(', ')} }`);
  }
  for (const [name, { elements }] of desired.maps) {
    const there = actual.maps.get(name)?.elements;
    const missing = [...elements].filter(([device, verdict]) => there?.get(device) !== verdict);
    changes += missing.length;
    const pairs = missing.map(([device, verdict]) => `"${device}" : ${verdict}`);
    if (pairs.length > 0) lines.push(`add element ${NFT_TABLE} ${name} { ${pairs.join(', ')} }`);
  }
  return { lines, changes };
}
