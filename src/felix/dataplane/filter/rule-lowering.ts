/**
 * One rule of a resource as rules that a packet filter can say.
 *
 * A resource's rule asks for several things at once, each of which may be "one of these": one of many prefixes, of port
 * ranges or named ports, of the addresses or the prefixes of a set. A rule of a packet filter knows "and" only. So the
 * rule is first brought into literals (all must hold), choices (one alternative of each must) and exclusions (none
 * may), for each family by itself, and then either written down once for each combination, or, where these are too
 * many, judged step by step in two bits of the mark:
 *
 *   clear both; alternative of the first choice: set 0     │ of each further choice, given 0: set 1; not 1: clear 0; clear 1
 *   exclusion: clear 0                                     │ literals and 0: the rule itself
 *
 * A positive match on a set without members makes a combination impossible, and it is left out; a negative one is true.
 */
import { assert } from '../../../lib/assert.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { familyOf } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import type { MarkBits } from '../../desired/filter-settings.ts';
import type { DesiredRule, PortRange, RuleEnd, SetId } from '../../desired/policy.ts';
import type { Dialect, End, Match } from './program.ts';
import { marked, notMarked } from './rules.ts';
import type { SetLookup } from './set-parts.ts';

export interface LoweringContext {
  readonly dialect: Dialect;
  readonly sets: SetLookup;
  readonly marks: MarkBits;
}

export type Step =
  /** Takes note in the mark. */
  | { readonly kind: 'note'; readonly matches: readonly Match[]; readonly set: number; readonly clear: number }
  /** What matches here matches the resource's rule. */
  | { readonly kind: 'rule'; readonly matches: readonly Match[] };

/** How often a rule is rather repeated than cut into steps: beyond this the steps are fewer rules. */
const COPIES_MAX = 4;

const PORT_PROTOCOLS: ReadonlyMap<number, 'tcp' | 'udp' | 'sctp'> = new Map([
  [6, 'tcp'],
  [17, 'udp'],
  [132, 'sctp'],
]);
/** ICMP's and ICMPv6's numbers in the IP header. */
const ICMP_PROTOCOL: Readonly<Record<Family, number>> = { 4: 1, 6: 58 };

/** The rule as steps in order; none where no packet can match it. */
export function lowerRule(rule: DesiredRule, context: LoweringContext): Step[] {
  return familiesOf(rule).flatMap((family) => {
    const terms = termsOf(rule, family, context);
    return terms === undefined ? [] : stepsOf(terms, family, context.marks);
  });
}

interface Terms {
  readonly literals: readonly Match[];
  /** Of each at least two. */
  readonly choices: readonly (readonly Match[])[];
  readonly exclusions: readonly Match[];
}

/** Undefined stands for both at once, where nothing in the rule depends on the family. */
function familiesOf(rule: DesiredRule): readonly (Family | undefined)[] {
  const { family, icmp, notIcmp, source, destination } = rule;
  if (family !== undefined) return [family];
  const asksFamily =
    icmp !== undefined || notIcmp !== undefined || dependsOnFamily(source) || dependsOnFamily(destination);
  return asksFamily ? [4, 6] : [undefined];
}

function dependsOnFamily({ nets, notNets, sets, notSets, portSets, notPortSets }: RuleEnd): boolean {
  return [nets, notNets, sets, notSets, portSets, notPortSets].some((list) => list.length > 0);
}

/** Undefined where it cannot be met. */
function termsOf(rule: DesiredRule, family: Family | undefined, context: LoweringContext): Terms | undefined {
  const source = endTerms(rule.source, 'source', rule.protocol, family, context);
  const destination = endTerms(rule.destination, 'destination', rule.protocol, family, context);
  const protocol = protocolTerms(rule, family);
  if (source === undefined || destination === undefined || protocol === undefined) return undefined;
  return {
    literals: [...protocol, ...source.literals, ...destination.literals],
    choices: [...source.choices, ...destination.choices],
    exclusions: [...source.exclusions, ...destination.exclusions],
  };
}

function protocolTerms(rule: DesiredRule, family: Family | undefined): readonly Match[] | undefined {
  const { protocol, notProtocol, icmp, notIcmp } = rule;
  if (protocol === undefined) {
    assert(icmp === undefined && notIcmp === undefined, 'a rule asks for a type of ICMP, but not for ICMP');
    return notProtocol === undefined ? [] : [{ kind: 'protocol', protocol: notProtocol, is: false }];
  }
  if (protocol === notProtocol) return undefined;
  const asked: Match = { kind: 'protocol', protocol, is: true };
  if (icmp === undefined && notIcmp === undefined) return saysProtocol(rule) ? [] : [asked];
  assert(family !== undefined, 'a type of ICMP has a family');
  if (protocol !== ICMP_PROTOCOL[family]) return undefined;
  const none: Match[] = notIcmp === undefined ? [] : [{ kind: 'icmp', family, match: notIcmp, is: false }];
  // The type says the protocol, too.
  return icmp === undefined ? [asked, ...none] : [{ kind: 'icmp', family, match: icmp, is: true }, ...none];
}

/** Whether its ports are asked for in each rule that will come of it, which then need not ask for the protocol. */
function saysProtocol({ source, destination }: DesiredRule): boolean {
  return [source, destination].some(({ ports, portSets }) => ports.length > 0 && portSets.length === 0);
}

function endTerms(
  asked: RuleEnd,
  end: End,
  protocol: number | undefined,
  family: Family | undefined,
  context: LoweringContext,
): Terms | undefined {
  const literals: Match[] = [];
  const choices: Match[][] = [];
  const exclusions: Match[] = [];
  for (const { alternatives } of positiveTerms(asked, end, protocol, family, context)) {
    const [only, ...others] = alternatives;
    if (only === undefined) return undefined;
    if (others.length === 0) literals.push(only);
    else choices.push(alternatives);
  }
  literals.push(...portMatches(asked.notPorts, end, protocol, false, context.dialect));
  if (family !== undefined) {
    for (const set of asked.notSets) literals.push(...setMatches(set, end, family, false, context.sets));
    for (const set of asked.notPortSets) literals.push(...portSetMatches(set, end, family, false, context.sets));
    const excluded = netMatches(asked.notNets, end, family, false, context.dialect);
    // A program that lists one prefix in a match takes one such match in a rule, too: `-s` cannot be given twice.
    const fits = context.dialect.netsMax > 1 || excluded.length + Math.min(asked.nets.length, 1) <= 1;
    if (fits) literals.push(...excluded);
    else exclusions.push(...netMatches(asked.notNets, end, family, true, context.dialect));
  }
  return { literals, choices, exclusions };
}

/** One entry for each condition that is asked for; without alternatives it cannot be met. */
function positiveTerms(
  asked: RuleEnd,
  end: End,
  protocol: number | undefined,
  family: Family | undefined,
  { dialect, sets }: LoweringContext,
): { readonly alternatives: Match[] }[] {
  const terms: { readonly alternatives: Match[] }[] = [];
  if (asked.ports.length + asked.portSets.length > 0) {
    const named = asked.portSets.flatMap((set) =>
      family === undefined ? [] : portSetMatches(set, end, family, true, sets),
    );
    terms.push({ alternatives: [...portMatches(asked.ports, end, protocol, true, dialect), ...named] });
  }
  if (family === undefined) return terms;
  if (asked.nets.length > 0) terms.push({ alternatives: netMatches(asked.nets, end, family, true, dialect) });
  for (const set of asked.sets) terms.push({ alternatives: setMatches(set, end, family, true, sets) });
  return terms;
}

function netMatches(nets: readonly Cidr[], end: End, family: Family, is: boolean, dialect: Dialect): Match[] {
  const own = nets.filter((net) => familyOf(net) === family);
  const chunks = chunked(own, dialect.netsMax, () => 1);
  return chunks.map((prefixes) => ({ kind: 'nets', end, family, prefixes, is }));
}

function setMatches(set: SetId, end: End, family: Family, is: boolean, sets: SetLookup): Match[] {
  return sets.parts(set, family).map((part) => ({ kind: 'set', end, family, set, part, is }));
}

function portSetMatches(set: SetId, end: End, family: Family, is: boolean, sets: SetLookup): Match[] {
  return sets.parts(set, family).map(() => ({ kind: 'portSet', end, family, set, is }));
}

function portMatches(
  ports: readonly PortRange[],
  end: End,
  number: number | undefined,
  is: boolean,
  dialect: Dialect,
): Match[] {
  if (ports.length === 0) return [];
  const protocol = PORT_PROTOCOLS.get(number ?? 0);
  assert(protocol !== undefined, `a rule asks for ports of protocol ${number}, which has none`);
  const chunks = chunked(ports, dialect.portsMax, ({ first, last }) => (first === last ? 1 : 2));
  return chunks.map((chunk) => ({ kind: 'ports', end, protocol, ports: chunk, is }));
}

/** In order, as many in a chunk as weigh `weightMax` together. */
function chunked<Item>(items: readonly Item[], weightMax: number, weightOf: (item: Item) => number): Item[][] {
  const chunks: Item[][] = [];
  let weight = Number.POSITIVE_INFINITY;
  for (const item of items) {
    weight += weightOf(item);
    if (weight > weightMax) {
      chunks.push([]);
      weight = weightOf(item);
    }
    chunks.at(-1)?.push(item);
  }
  return chunks;
}

function stepsOf({ literals, choices, exclusions }: Terms, family: Family | undefined, marks: MarkBits): Step[] {
  const bound = (matches: readonly Match[]) => boundTo(family, matches);
  const copies = choices.reduce((product, { length }) => product * length, 1);
  if (exclusions.length === 0 && copies <= COPIES_MAX) {
    const picks = choices.reduce<Match[][]>(
      (all, choice) => all.flatMap((pick) => choice.map((each) => [...pick, each])),
      [[]],
    );
    return picks.map((pick) => ({ kind: 'rule', matches: bound([...literals, ...pick]) }));
  }
  const { scratch0: all, scratch1: one } = marks;
  const note = (matches: readonly Match[], set: number, clear: number): Step => ({
    kind: 'note',
    matches: bound(matches),
    set,
    clear,
  });
  const isAll = marked(all);
  const [first, ...further] = choices;
  return [
    first === undefined ? note([], all, one) : note([], 0, all | one),
    ...(first ?? []).map((alternative) => note([alternative], all, 0)),
    ...further.flatMap((choice, index) => [
      ...(index === 0 ? [] : [note([], 0, one)]),
      ...choice.map((alternative) => note([isAll, alternative], one, 0)),
      note([notMarked(one)], 0, all),
    ]),
    ...exclusions.map((exclusion) => note([exclusion], 0, all)),
    { kind: 'rule', matches: bound([...literals, isAll]) },
  ];
}

function boundTo(family: Family | undefined, matches: readonly Match[]): readonly Match[] {
  if (family === undefined || matches.some((match) => 'family' in match)) return matches;
  return [{ kind: 'family', family }, ...matches];
}
