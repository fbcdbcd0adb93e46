/**
 * Our rules in the kernel's own chains: the jump into each chain of ours that hangs there, and what follows at the end.
 *
 * The jump stands before everybody else's rules, or behind them where the operator wishes so. In nat POSTROUTING it is always
 * the last: kube-proxy must see and clear its own mark first, else the packet's mark outlives the translation and a tunnel's
 * outer packet is translated again. Rules for the end of the kernel chain are the last in any case.
 */
import type { Family } from '../../../net/ip.ts';
import type { Chain, HookName, Rule, TableName } from '../filter/program.ts';
import type { PrintedRule } from './print.ts';
import { chainWord, printRules } from './print.ts';

export type InsertMode = 'insert' | 'append';

/** Our rules in one of the kernel's chains. */
interface PrintedHook {
  readonly first: readonly PrintedRule[];
  readonly last: readonly PrintedRule[];
}

/** What should be in the kernel's chains of one table, by chain; `hooked` are all chains that hang anywhere. */
export function hookRules(
  hooked: Iterable<Chain>,
  table: TableName,
  family: Family,
  insertMode: InsertMode,
): Map<HookName, PrintedHook> {
  const rules = new Map<HookName, { first: Rule[]; last: Rule[] }>();
  for (const chain of hooked) {
    if (chain.table !== table || chain.hook === undefined) continue;
    const there = rules.get(chain.hook) ?? { first: [], last: [] };
    rules.set(chain.hook, there);
    const atEnd = insertMode === 'append' || (table === 'nat' && chain.hook === 'POSTROUTING');
    (atEnd ? there.last : there.first).push(jump(chain.name));
    there.last.push(...(chain.hookRules ?? []));
  }
  return new Map(
    [...rules].map(([hook, { first, last }]) => [
      hook,
      {
        first: printRules(`${hook} first`, first, table, family),
        last: printRules(`${hook} last`, last, table, family),
      },
    ]),
  );
}

function jump(name: string): Rule {
  const action = { kind: 'jump', chain: chainWord(name) } as const;
  return { matches: [], action, comment: '', provenance: undefined, origin: undefined };
}
