/**
 * From the rules that are in one table of iptables to those that should be: lines for iptables-restore --noflush.
 *
 * A chain of ours is compared by hashes, rule by rule: what differs is replaced, then rules are appended, or deleted from the
 * end. Since a hash covers all rules before it, a rule that comes or goes is felt by all behind it, so no place is ever
 * mistaken for another. In other people's chains ours stand first or last, or in both places. Where they do not, they are
 * deleted by their text and added again: a number could meanwhile be that of somebody else's rule.
 *
 * The kernel takes the lines of one table as a whole or not at all. Within it, chains are declared before anything leads to
 * them, and those that go are all emptied before any is deleted.
 */
import type { TableName } from '../filter/program.ts';
import type { PrintedChain } from './print.ts';
import type { OwnRule, SavedTable } from './save.ts';

/** Our rules in a chain that is not ours. */
export interface HookRules {
  readonly first: readonly OwnRule[];
  readonly last: readonly OwnRule[];
}

/** What is to be compared; what is not named stays as it is. */
export interface TableWish {
  /** Chains of ours; undefined: must not be there. */
  readonly chains: ReadonlyMap<string, PrintedChain | undefined>;
  /** Chains that are not ours. */
  readonly hooks: ReadonlyMap<string, HookRules>;
}

export interface TableDifference {
  /** The table's part of the input, from "*" to "COMMIT"; none when nothing differs. */
  readonly lines: readonly string[];
  /** How many chains are touched, other people's too. */
  readonly changes: number;
}

export function tableDifference(table: TableName, wish: TableWish, actual: SavedTable): TableDifference {
  const declared: string[] = [];
  const rules: string[] = [];
  const stale: string[] = [];
  let changes = 0;
  for (const [name, wanted] of wish.chains) {
    const hashes = actual.chains.get(name);
    const lines = wanted === undefined ? [] : chainLines(name, wanted, hashes ?? []);
    if (wanted === undefined && hashes !== undefined) stale.push(name);
    if (wanted !== undefined && hashes === undefined) declared.push(name);
    rules.push(...lines);
    if (lines.length > 0 || (wanted === undefined) !== (hashes === undefined)) changes++;
  }
  for (const [name, wanted] of wish.hooks) {
    const lines = hookLines(name, wanted, actual.others.get(name) ?? []);
    rules.push(...lines);
    if (lines.length > 0) changes++;
  }
  const lines = [
    `*${table}`,
    ...declared.map((name) => `:${name} - [0:0]`),
    ...rules,
    ...stale.map((name) => `-F ${name}`),
    ...stale.map((name) => `-X ${name}`),
    'COMMIT',
  ];
  return { lines: changes === 0 ? [] : lines, changes };
}

/** The table once the lines have been taken. */
export function afterDifference(wish: TableWish, actual: SavedTable): void {
  for (const [name, wanted] of wish.chains) {
    if (wanted === undefined) actual.chains.delete(name);
    else actual.chains.set(name, hashesOf(wanted));
  }
  for (const [name, { first, last }] of wish.hooks) {
    const foreign = (actual.others.get(name) ?? []).filter((rule) => rule === undefined);
    actual.others.set(name, [...first, ...foreign, ...last]);
  }
}

function hashesOf({ rules }: PrintedChain): readonly string[] {
  return rules.map(({ hash }) => hash);
}

function chainLines(name: string, { rules }: PrintedChain, actual: readonly string[]): string[] {
  const appended = (from: number) => rules.slice(from).map(({ text }) => `-A ${name} ${text}`);
  const noneIsRight = actual.every((hash, index) => hash !== rules[index]?.hash);
  // Finding a rule by its number takes time in proportion to it.
  if (noneIsRight && actual.length > 0) return [`-F ${name}`, ...appended(0)];
  const lines = rules.slice(0, actual.length).flatMap(({ hash, text }, index) => {
    return hash === actual[index] ? [] : [`-R ${name} ${index + 1} ${text}`];
  });
  lines.push(...appended(actual.length));
  for (let number = actual.length; number > rules.length; number--) lines.push(`-D ${name} ${number}`);
  return lines;
}

function hookLines(name: string, { first, last }: HookRules, actual: readonly (OwnRule | undefined)[]): string[] {
  const own = actual.filter((rule) => rule !== undefined);
  const wanted = [...first, ...last];
  const inPlace =
    own.length === wanted.length &&
    first.every((rule, index) => actual[index]?.hash === rule.hash) &&
    last.every((rule, index) => actual[actual.length - last.length + index]?.hash === rule.hash);
  if (inPlace) return [];
  return [
    ...own.map(({ text }) => `-D ${name} ${text}`),
    ...first.map(({ text }, index) => `-I ${name} ${index + 1} ${text}`),
    ...last.map(({ text }) => `-A ${name} ${text}`),
  ];
}
