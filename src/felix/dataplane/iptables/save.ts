/**
 * What iptables-save tells, as far as it is ours.
 *
 * Chains named "cali-…" are ours with all that is in them; of their rules the hashes are kept, "" for a rule that bears
 * none. In everybody else's chains a rule is ours when it bears our comment or leads into a chain of ours; of these the text
 * is kept, by which they can be deleted whatever has moved meanwhile. The rest is foreign: it has a place and nothing else.
 *
 * iptables-save puts every comment with a ":" into double quotes and escapes quotes inside, so no comment can pretend to be
 * two. Tables that we have nothing to do with ("security") are left out.
 */
import type { TableName } from '../filter/program.ts';
import { RULE_MARK } from './print.ts';

/** All chains of ours begin with it, whatever version wrote them. */
const CHAIN_PREFIX = 'cali-';

export function isOwnChain(name: string): boolean {
  return name.startsWith(CHAIN_PREFIX);
}

const TABLE_NAMES: ReadonlySet<string> = new Set(['raw', 'mangle', 'nat', 'filter'] satisfies TableName[]);

/** A rule in somebody else's chain. */
export interface OwnRule {
  readonly hash: string;
  /** What follows "-A CHAIN ". */
  readonly text: string;
}

export interface SavedTable {
  /** Chains of ours: their rules' hashes. */
  readonly chains: Map<string, readonly string[]>;
  /** Other chains: a rule of ours, or undefined where a foreign one stands. */
  readonly others: Map<string, readonly (OwnRule | undefined)[]>;
}

export function emptyTable(): SavedTable {
  return { chains: new Map(), others: new Map() };
}

/** Every table that is there. Throws SaveUnreadable. */
export function parseSave(text: string): Map<TableName, SavedTable> {
  const tables = new Map<TableName, GrowingTable>();
  for (const { table, chain, rule } of entries(text)) {
    const { chains, others } = entryOf(tables, table, () => ({ chains: new Map(), others: new Map() }));
    if (isOwnChain(chain)) {
      const hashes = entryOf(chains, chain, () => []);
      if (rule !== undefined) hashes.push(hashOf(rule.text));
    } else {
      const rules = entryOf(others, chain, () => []);
      if (rule !== undefined) rules.push(ownRule(rule.text));
    }
  }
  return tables;
}

interface GrowingTable {
  readonly chains: Map<string, string[]>;
  readonly others: Map<string, (OwnRule | undefined)[]>;
}

function entryOf<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key);
  if (known !== undefined) return known;
  const made = make();
  map.set(key, made);
  return made;
}

/** What a rule of ours has counted. */
export interface RuleCounter {
  readonly table: TableName;
  readonly chain: string;
  readonly hash: string;
  readonly packets: number;
  readonly bytes: number;
}

/** The counters of all rules with a hash, from the output of `iptables-save -c`. */
export function parseCounters(text: string): RuleCounter[] {
  const counters: RuleCounter[] = [];
  for (const { table, chain, rule } of entries(text)) {
    const hash = rule === undefined ? '' : hashOf(rule.text);
    if (rule !== undefined && hash !== '')
      counters.push({ table, chain, hash, packets: rule.packets, bytes: rule.bytes });
  }
  return counters;
}

/** A rule of our chains that looks into a set. */
export interface SetUse {
  readonly table: TableName;
  readonly chain: string;
  /** From 1, as iptables counts. */
  readonly number: number;
}

/** Where rules in our chains name one of the sets. */
export function usesOfSets(text: string, names: ReadonlySet<string>): SetUse[] {
  const uses: SetUse[] = [];
  const counts = new Map<string, number>();
  for (const { table, chain, rule } of entries(text)) {
    if (rule === undefined || !isOwnChain(chain)) continue;
    const number = (counts.get(`${table} ${chain}`) ?? 0) + 1;
    counts.set(`${table} ${chain}`, number);
    const named = [...rule.text.matchAll(/ --match-set (\S+) /g)].some(([, name = '']) => names.has(name));
    if (named) uses.push({ table, chain, number });
  }
  return uses;
}

/** How many rules are there that are not ours; in whatever table. */
export function countForeignRules(text: string): number {
  let count = 0;
  for (const { table, chain, rule } of entries(text)) {
    if (!TABLE_NAMES.has(table) || rule === undefined || isOwnChain(chain)) continue;
    if (ownRule(rule.text) === undefined) count++;
  }
  return count;
}

/** The text is not what iptables-save prints. */
export class SaveUnreadable extends Error {
  override readonly name = 'SaveUnreadable';
}

interface Entry {
  readonly table: TableName;
  readonly chain: string;
  /** Undefined: the chain's declaration. */
  readonly rule: { readonly text: string; readonly packets: number; readonly bytes: number } | undefined;
}

const RULE_LINE = /^(?:\[(\d+):(\d+)\] )?-A (\S+) ?(.*)$/;

function* entries(text: string): Generator<Entry> {
  let table: TableName | undefined;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.startsWith('*')) {
      table = tableName(line.slice(1));
    } else if (table === undefined || line === '' || line.startsWith('#') || line === 'COMMIT') {
    } else if (line.startsWith(':')) {
      yield { table, chain: line.slice(1).split(' ', 1).join(), rule: undefined };
    } else {
      const [, packets = '0', bytes = '0', chain, rest = ''] = RULE_LINE.exec(line) ?? [];
      if (chain === undefined) {
        throw new SaveUnreadable(
          `line ${index + 1} of iptables-save is neither a chain nor a rule: ${line.slice(0, 100)}`,
        );
      }
      yield { table, chain, rule: { text: rest, packets: Number(packets), bytes: Number(bytes) } };
    }
  }
}

function tableName(name: string): TableName | undefined {
  return isTableName(name) ? name : undefined;
}

function isTableName(name: string): name is TableName {
  return TABLE_NAMES.has(name);
}

const HASH = new RegExp(`--comment "${RULE_MARK}([A-Za-z0-9_-]+)"`);
const LEADS_TO_US = new RegExp(` -[jg] ${CHAIN_PREFIX}`);
const QUOTED = /"(?:[^"\\]|\\.)*"/g;

function hashOf(rule: string): string {
  return HASH.exec(rule)?.[1] ?? '';
}

function ownRule(text: string): OwnRule | undefined {
  const hash = hashOf(text);
  // A comment may say anything, also "-j cali-FORWARD".
  return hash !== '' || LEADS_TO_US.test(` ${text.replace(QUOTED, '""')}`) ? { hash, text } : undefined;
}
