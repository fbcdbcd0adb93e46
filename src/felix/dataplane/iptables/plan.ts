/**
 * The iptables backend's entry: the program that should be in force, to inputs for ipset and iptables-restore.
 *
 * A plan is steps in an order in which no rule ever lacks what it names: sets are made and filled, then each family's
 * tables are written (one input, a transaction for each table), then what no rule needs any more leaves the sets. The first plan
 * compares everything with what is there (`listing`). From then on the planner remembers what each chain holds, and a plan from
 * changes touches the chains, sets and hooks that changed, and only if their hashes differ.
 *
 * After each plan the caller says `applied` or `failed`; a plan that failed may have been carried out in part, so the next
 * one needs a listing. Whoever doubts that the kernel still has what was written lists, too. The kernel part (kernel/iptables.ts)
 * reads the listing and runs the steps.
 */
import { assert } from '../../../lib/assert.ts';
import type { Family } from '../../../net/ip.ts';
import type {
  Chain,
  ChainKey,
  DispatchMapName,
  FilterProgram,
  ProgramChanges,
  Rule,
  TableName,
} from '../filter/program.ts';
import type { HookRules, TableWish } from './difference.ts';
import { afterDifference, tableDifference } from './difference.ts';
import { dispatchTree } from './dispatch-tree.ts';
import type { InsertMode } from './hook.ts';
import { hookRules } from './hook.ts';
import type { SetCommands } from './ipset.ts';
import { cannotBecome, changeSet, parseIpsetSave, reconcileSet, removeSet, setName, setNameOfKey } from './ipset.ts';
import type { PrintedRule } from './print.ts';
import { chainWord, printChain } from './print.ts';
import type { SavedTable } from './save.ts';
import { emptyTable, parseCounters, parseSave, usesOfSets } from './save.ts';

/** A program with its whole input: `PROGRAM --noflush`, or `ipset -exist restore`. */
export interface IptablesStep {
  readonly program: 'ipset' | 'iptables-restore' | 'ip6tables-restore';
  readonly input: string;
}

export interface IptablesPlan {
  /** In order; none when nothing differs. */
  readonly steps: readonly IptablesStep[];
  /** How many chains and sets it makes, rewrites or removes; a chain of both families counts twice. */
  readonly changes: number;
}

/** What is there, as iptables-save, ip6tables-save and `ipset save` print it; undefined for a family that is not looked after. */
export interface IptablesListing {
  readonly rules: Readonly<Record<Family, string | undefined>>;
  readonly sets: string;
}

export interface IptablesOptions {
  readonly families: readonly Family[];
  /** Whether our jumps stand before or after what others have in the kernel's chains. */
  readonly insertMode: InsertMode;
}

/** What a rule of the program has counted, in one family. */
export interface CountedRule {
  readonly family: Family;
  readonly table: TableName;
  readonly chain: string;
  readonly rule: Rule;
  readonly packets: number;
  readonly bytes: number;
}

/** In the order in which a packet meets them. */
const TABLE_NAMES: readonly TableName[] = ['raw', 'mangle', 'nat', 'filter'];
const RESTORE = { 4: 'iptables-restore', 6: 'ip6tables-restore' } as const;

const EMPTY_PROGRAM: FilterProgram = { chains: new Map(), maps: new Map(), sets: new Map() };

/** Takes all that is ours away, and nothing else. */
export function removalPlan(listing: IptablesListing): IptablesPlan {
  const families = ([4, 6] as const).filter((family) => listing.rules[family] !== undefined);
  return new IptablesPlanner({ families, insertMode: 'insert' }).plan(EMPTY_PROGRAM, undefined, listing);
}

/** What is to be compared in one table. */
interface Touched {
  /** Chains of ours; undefined: gone. */
  readonly chains: Map<string, Chain | undefined>;
  /** Whether our rules in the kernel's chains are to be compared, too. */
  hooks: boolean;
}

export class IptablesPlanner {
  readonly #options: IptablesOptions;
  /** What is there, by "4 filter". */
  readonly #tables = new Map<string, SavedTable>();
  /** Names of the sets that are there. */
  #sets = new Set<string>();
  /** What was made of the program's chains; of a dispatch several. */
  readonly #parts = new Map<ChainKey, readonly Chain[]>();
  /** Chains that begin with a dispatch. */
  readonly #dispatches = new Map<ChainKey, DispatchMapName>();
  /** Chains that the kernel's lead to. */
  readonly #hooked = new Map<ChainKey, Chain>();
  #trusted = false;

  constructor(options: IptablesOptions) {
    this.#options = options;
  }

  /**
   * What leads to `program`: from what the listing says, or, without one, by `changes` from what was last applied.
   * Throws SaveUnreadable when the listing is something else.
   */
  plan(
    program: FilterProgram,
    changes: ProgramChanges | undefined,
    listing: IptablesListing | undefined,
  ): IptablesPlan {
    if (listing !== undefined) return this.#planAnew(program, listing);
    assert(changes !== undefined && this.#trusted, 'a plan that follows none that was applied needs a listing');
    this.#trusted = false;
    const dispatches = [...this.#dispatches].flatMap(([key, map]) => (changes.maps.has(map) ? [key] : []));
    const touched = this.#touch(program, new Set([...changes.chains.keys(), ...dispatches]));
    const sets: SetCommands[] = [];
    for (const [key, change] of changes.sets) {
      const name = setNameOfKey(key);
      sets.push(changeSet(name, change, !this.#sets.has(name)));
      if (change.now === undefined) this.#sets.delete(name);
      else this.#sets.add(name);
    }
    return this.#carryOut([], sets, touched, false);
  }

  /** All steps of the last plan have been run. */
  applied(): void {
    this.#trusted = true;
  }

  /** One of them was refused, or the kernel may differ for another reason: the next plan needs a listing. */
  failed(): void {
    this.#trusted = false;
  }

  /** What the rules of the program planned last have counted, from the output of `iptables-save -c`. */
  countedRules(family: Family, text: string): CountedRule[] {
    const rules = new Map<string, PrintedRule>();
    for (const parts of this.#parts.values()) {
      for (const chain of parts) {
        for (const rule of printChain(chain, family).rules)
          rules.set(`${chain.table} ${chain.name} ${rule.hash}`, rule);
      }
    }
    for (const table of TABLE_NAMES) {
      for (const [hook, { first, last }] of this.#hookRules(table, family)) {
        for (const rule of [...first, ...last]) rules.set(`${table} ${hook} ${rule.hash}`, rule);
      }
    }
    return parseCounters(text).flatMap(({ table, chain, hash, packets, bytes }) => {
      const printed = rules.get(`${table} ${chain} ${hash}`);
      return printed === undefined ? [] : [{ family, table, chain, rule: printed.rule, packets, bytes }];
    });
  }

  #planAnew(program: FilterProgram, listing: IptablesListing): IptablesPlan {
    this.#trusted = false;
    for (const memory of [this.#tables, this.#parts, this.#dispatches, this.#hooked]) memory.clear();
    for (const family of this.#options.families) {
      const text = listing.rules[family];
      assert(text !== undefined, `no listing of the rules of IPv${family}`);
      for (const [table, saved] of parseSave(text)) this.#tables.set(`${family} ${table}`, saved);
    }
    const saved = parseIpsetSave(listing.sets);
    const wanted = new Map([...program.sets.values()].map((set) => [setName(set), set]));
    const misfits = [...wanted].flatMap(([name, set]) => (cannotBecome(set, saved.get(name)) ? [name] : []));
    const stale = [...saved.keys()].filter((name) => !wanted.has(name));
    const sets = [...stale.map(removeSet), ...[...wanted].map(([name, set]) => reconcileSet(set, saved.get(name)))];
    this.#sets = new Set(wanted.keys());
    return this.#carryOut(
      this.#letGo(new Set(misfits), listing),
      sets,
      this.#touch(program, program.chains.keys()),
      true,
    );
  }

  /**
   * Rules that name a set of the wrong type judge by something that nobody wrote. Until they are written again they drop
   * what comes to them, so that the set can be made anew.
   */
  #letGo(names: ReadonlySet<string>, listing: IptablesListing): IptablesStep[] {
    if (names.size === 0) return [];
    return this.#options.families.flatMap((family) => {
      const uses = usesOfSets(listing.rules[family] ?? '', names);
      const lines = TABLE_NAMES.flatMap((name) => {
        const ofTable = uses.filter(({ table }) => table === name);
        // The kernel lets nobody drop in the nat table; what is not translated is still filtered.
        const verdict = name === 'nat' ? 'RETURN' : 'DROP';
        const { chains } = this.#table(family, name);
        for (const { chain, number } of ofTable) chains.set(chain, (chains.get(chain) ?? []).with(number - 1, ''));
        const replaced = ofTable.map((use) => `-R ${use.chain} ${use.number} -j ${verdict}`);
        return replaced.length === 0 ? [] : [`*${name}`, ...replaced, 'COMMIT'];
      });
      return stepOf(RESTORE[family], lines);
    });
  }

  /** Brings what is remembered of the program up to date for these chains, and says what is to be compared. */
  #touch(program: FilterProgram, keys: Iterable<ChainKey>): Map<TableName, Touched> {
    const touched = new Map(
      TABLE_NAMES.map((name): [TableName, Touched] => [name, { chains: new Map(), hooks: false }]),
    );
    for (const key of keys) {
      const before = this.#parts.get(key) ?? [];
      const hadHook = this.#hooked.has(key);
      for (const memory of [this.#parts, this.#dispatches, this.#hooked]) memory.delete(key);
      const chain = program.chains.get(key);
      const parts = chain === undefined ? [] : this.#remember(key, chain, program);
      for (const { table, name } of before) touched.get(table)?.chains.set(name, undefined);
      for (const part of parts) touched.get(part.table)?.chains.set(chainWord(part.name), part);
      const table = (chain ?? before[0])?.table;
      const there = table === undefined ? undefined : touched.get(table);
      if (there !== undefined && (hadHook || this.#hooked.has(key))) there.hooks = true;
    }
    return touched;
  }

  #remember(key: ChainKey, chain: Chain, program: FilterProgram): readonly Chain[] {
    const action = chain.rules[0]?.action;
    const parts =
      action?.kind === 'dispatch' ? dispatchTree(chain, program.maps.get(action.map) ?? new Map()) : [chain];
    this.#parts.set(key, parts);
    if (action?.kind === 'dispatch') this.#dispatches.set(key, action.map);
    if (chain.hook !== undefined) this.#hooked.set(key, chain);
    return parts;
  }

  /** The steps, after which the memory holds what they lead to. `everything`: what is not wanted goes. */
  #carryOut(
    first: readonly IptablesStep[],
    sets: readonly SetCommands[],
    touched: ReadonlyMap<TableName, Touched>,
    everything: boolean,
  ): IptablesPlan {
    const before = sets.flatMap((commands) => commands.before);
    const after = sets.flatMap((commands) => commands.after);
    let changes = sets.filter((commands) => commands.before.length + commands.after.length > 0).length;
    const restores = this.#options.families.flatMap((family) => {
      const lines = [...touched].flatMap(([table, ofTable]) => {
        const actual = this.#table(family, table);
        const wish = this.#wish(family, table, ofTable, everything);
        const difference = tableDifference(table, wish, actual);
        afterDifference(wish, actual);
        changes += difference.changes;
        return difference.lines;
      });
      return stepOf(RESTORE[family], lines);
    });
    return { steps: [...first, ...stepOf('ipset', before), ...restores, ...stepOf('ipset', after)], changes };
  }

  #wish(family: Family, table: TableName, touched: Touched, everything: boolean): TableWish {
    const actual = this.#table(family, table);
    const chains = new Map(
      [...touched.chains].map(([name, chain]) => [name, chain === undefined ? undefined : printChain(chain, family)]),
    );
    if (everything) for (const name of actual.chains.keys()) if (!chains.has(name)) chains.set(name, undefined);
    if (!everything && !touched.hooks) return { chains, hooks: new Map() };
    const hooks = new Map<string, HookRules>(this.#hookRules(table, family));
    for (const [name, rules] of actual.others) {
      const hasOurs = rules.some((rule) => rule !== undefined);
      if (hasOurs && !hooks.has(name)) hooks.set(name, { first: [], last: [] });
    }
    return { chains, hooks };
  }

  #hookRules(table: TableName, family: Family): ReturnType<typeof hookRules> {
    return hookRules(this.#hooked.values(), table, family, this.#options.insertMode);
  }

  #table(family: Family, table: TableName): SavedTable {
    const key = `${family} ${table}`;
    const known = this.#tables.get(key) ?? emptyTable();
    this.#tables.set(key, known);
    return known;
  }
}

function stepOf(program: IptablesStep['program'], lines: readonly string[]): IptablesStep[] {
  return lines.length === 0 ? [] : [{ program, input: lines.map((line) => `${line}\n`).join('') }];
}
