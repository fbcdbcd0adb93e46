/**
 * The changes of a program as edits that the kernel can be told without nft, where they are nothing else.
 *
 * nft's text costs what the table is large; an edit costs what it is itself. A container comes with two chains of plain
 * rules, its devices' dispatches and its addresses in sets that are there, and goes likewise. As soon as a change has
 * anything more in it (a base chain, a new set, a rule that asks for addresses or ports), all of it is left to nft.
 * Rules are said here as nft would compile their text (print-rule.ts), so that its listing shows no difference.
 */
import { assert } from '../../../lib/assert.ts';
import type { SetElementsChange } from '../../../net/set-element.ts';
import type { ChainEdit, DispatchEdit, PlainRule, RulePart, TableEdits } from '../../../net/table-edit.ts';
import type { Action, Chain, ConntrackState, Match, ProgramChanges, Rule, TableName } from '../filter/program.ts';
import { elementOf } from './members.ts';
import { deviceName, nftChainName, nftSetName } from './names.ts';
import { chainNameOf, goneFrom } from './plan.ts';
import { printChain, rulesOf } from './print.ts';
import { ALL_MARK_BITS, LOGGED_BYTES, plainText } from './print-rule.ts';

/** linux/netfilter/nf_conntrack_common.h, as nft's words for them stand for bits (NF_CT_STATE_BIT). */
const STATE_BITS: Readonly<Record<ConntrackState, number>> = {
  invalid: 1,
  established: 2,
  related: 4,
  new: 8,
  untracked: 64,
};

/**
 * Undefined where the changes have anything else in them. A set that gets all its members now may be new, which the kernel
 * refuses with ENOENT.
 */
export function directEdits(changes: ProgramChanges): TableEdits | undefined {
  const chains: ChainEdit[] = [];
  for (const chain of changes.chains.values()) {
    if (chain === undefined) continue;
    const edit = chainEdit(chain);
    if (edit === undefined) return undefined;
    chains.push(edit);
  }
  const members: SetElementsChange[] = [];
  for (const { now, added, removed } of changes.sets.values()) {
    if (now === undefined || added.length + removed.length === 0) return undefined;
    members.push({ set: nftSetName(now), removed: removed.map(elementOf), added: added.map(elementOf) });
  }
  const dispatches = [...changes.maps].map(
    ([map, entries]): DispatchEdit => ({
      map,
      removed: goneFrom(entries).map(deviceName),
      added: [...entries].flatMap(([device, chain]) =>
        chain === undefined ? [] : [[deviceName(device), nftChainName({ table: 'filter', name: chain })] as const],
      ),
    }),
  );
  return { chains, members, dispatches, staleChains: goneFrom(changes.chains).map(chainNameOf) };
}

function chainEdit(chain: Chain): ChainEdit | undefined {
  if (chain.hook !== undefined) return undefined;
  const parts: (readonly RulePart[])[] = [];
  for (const rule of rulesOf(chain)) {
    const said = ruleParts(rule, chain.table);
    if (said === undefined) return undefined;
    parts.push(said);
  }
  const { comments } = printChain(chain);
  assert(comments.length === parts.length, 'a plain rule is one rule of nft');
  const rules = comments.map((comment, index): PlainRule => ({ parts: parts[index] ?? [], comment }));
  return { name: nftChainName(chain), rules };
}

function ruleParts({ matches, action }: Rule, table: TableName): RulePart[] | undefined {
  const asked: RulePart[] = [];
  const protocols = new Set<number>();
  for (const match of matches) {
    const part = matchPart(match);
    if (part === undefined) return undefined;
    if (part.kind === 'protocol' && part.is) protocols.add(part.protocol);
    asked.push(part);
  }
  if (protocols.size > 1) return undefined; // no packet is so, and nft gets no rule
  const done = actionPart(action, table);
  return done === undefined ? undefined : [...asked, { kind: 'counter' }, done];
}

function matchPart(match: Match): RulePart | undefined {
  switch (match.kind) {
    case 'protocol':
      return { kind: 'protocol', protocol: match.protocol, is: match.is };
    case 'conntrack':
      return {
        kind: 'conntrack',
        states: match.states.reduce((bits, state) => bits | STATE_BITS[state], 0),
        is: match.is,
      };
    case 'mark':
      return { kind: 'mark', bits: match.bits, value: match.is ? match.bits : 0 };
    default:
      return undefined;
  }
}

function actionPart(action: Action, table: TableName): RulePart | undefined {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return { kind: 'verdict', verdict: action.kind };
    case 'jump':
    case 'goto':
      return { kind: action.kind, chain: nftChainName({ table, name: action.chain }) };
    case 'mark':
      return { kind: 'setMark', keep: (ALL_MARK_BITS & ~(action.clear | action.set)) >>> 0, set: action.set };
    case 'nflog':
      return { kind: 'log', group: action.group, prefix: plainText(action.prefix), bytes: LOGGED_BYTES };
    default:
      return undefined;
  }
}
