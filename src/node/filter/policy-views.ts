/**
 * What is in force, as people ask for it: an endpoint with the rules that its packets meet, a policy with what its rules did.
 *
 * Made from the program that the kernel was given and from the kernel's counters. Rules are found by walking the chains as a packet
 * would; those with an origin are shown, and of several that one resource's rule became (one for each family, say) the counts are
 * added. A policy's chains are shared by the endpoints that it chooses, so its counts are the host's.
 */

import { deviceOfChain } from '../../felix/dataplane/filter/chain-names.ts';
import type { ChainKey, FilterProgram, Rule, RuleOrigin } from '../../felix/dataplane/filter/program.ts';
import { chainKey } from '../../felix/dataplane/filter/program.ts';
import type { MarkBits } from '../../felix/desired/filter-settings.ts';
import type { DesiredRule } from '../../felix/desired/policy.ts';
import type { DenialView, RuleHits, RuleView } from '../control-api.ts';
import type { RuleCount } from './filter-backend.ts';

export type Counts = ReadonlyMap<ChainKey, readonly RuleCount[]>;

/** An endpoint's chain leads to a group's, that to a policy's. */
const DEPTH_MAX = 4;

/** The filter chains that lie behind `name`, itself first. */
export function chainsBehind(program: FilterProgram, name: string, depth = 0): ChainKey[] {
  const key = chainKey({ table: 'filter', name });
  const chain = program.chains.get(key);
  if (chain === undefined || depth > DEPTH_MAX) return [];
  const behind = chain.rules.flatMap(({ action }) => {
    const leads = action.kind === 'jump' || action.kind === 'goto';
    return leads ? chainsBehind(program, action.chain, depth + 1) : [];
  });
  return [...new Set([key, ...behind])];
}

/** The rules with an origin in the order in which a packet in chain `name` meets them. */
export function ruleViews(program: FilterProgram, counts: Counts, marks: MarkBits, name: string): RuleView[] {
  const views: RuleView[] = [];
  const visit = (chainName: string, depth: number): void => {
    const key = chainKey({ table: 'filter', name: chainName });
    const counted = counts.get(key);
    for (const [index, rule] of (program.chains.get(key)?.rules ?? []).entries()) {
      const { action } = rule;
      if ((action.kind === 'jump' || action.kind === 'goto') && depth < DEPTH_MAX) visit(action.chain, depth + 1);
      if (rule.origin === undefined) continue;
      const view = viewOf(rule, rule.origin, marks, chainName, chainName !== name, counted?.[index]);
      const last = views.at(-1);
      if (last !== undefined && sameOrigin(last.owner, view.owner)) views[views.length - 1] = added(last, view);
      else views.push(view);
    }
  };
  visit(name, 0);
  return views;
}

function viewOf(
  rule: Rule,
  owner: RuleOrigin,
  marks: MarkBits,
  chain: string,
  shared: boolean,
  count: RuleCount | undefined,
): RuleView {
  const file = rule.provenance?.source;
  return { owner, action: judgement(rule, marks), file, chain, shared, packets: count?.packets, bytes: count?.bytes };
}

function judgement({ action }: Rule, marks: MarkBits): RuleView['action'] {
  if (action.kind === 'log') return 'log';
  if (action.kind !== 'mark') return 'deny';
  if ((action.set & marks.accept) !== 0) return 'allow';
  return (action.set & marks.pass) !== 0 ? 'pass' : 'deny';
}

function sameOrigin(one: RuleOrigin, other: RuleOrigin): boolean {
  return one.kind === other.kind && one.name === other.name && one.index === other.index;
}

function added(one: RuleView, other: RuleView): RuleView {
  return { ...one, packets: sum(one.packets, other.packets), bytes: sum(one.bytes, other.bytes) };
}

function sum(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : one + other;
}

/** The rules that have denied packets, most packets first; `workloadAt` names the container behind a device. */
export function denialViews(
  program: FilterProgram,
  counts: Counts,
  marks: MarkBits,
  workloadAt: (device: string) => string | undefined,
): DenialView[] {
  const denials: DenialView[] = [];
  for (const [key, counted] of counts) {
    const chain = program.chains.get(key);
    for (const [index, rule] of (chain?.rules ?? []).entries()) {
      const { packets, bytes } = counted[index] ?? { packets: 0, bytes: 0 };
      if (chain === undefined || rule.origin === undefined || packets === 0 || judgement(rule, marks) !== 'deny')
        continue;
      const device = deviceOfChain(chain.name);
      const workload = device === undefined ? undefined : (workloadAt(device) ?? device);
      const file = rule.provenance?.source;
      const last = denials.at(-1);
      if (last?.chain === chain.name && sameOrigin(last.owner, rule.origin))
        denials[denials.length - 1] = { ...last, packets: last.packets + packets, bytes: last.bytes + bytes };
      else denials.push({ owner: rule.origin, file, chain: chain.name, workload, packets, bytes });
    }
  }
  return denials.toSorted((one, other) => other.packets - one.packets);
}

/** The chains in which a policy's rules are. */
export function chainsByPolicy(program: FilterProgram): Map<string, ChainKey[]> {
  const chains = new Map<string, ChainKey[]>();
  for (const [key, { rules }] of program.chains) {
    const owner = rules.find(({ origin }) => origin?.kind === 'policy')?.origin?.name;
    if (owner !== undefined) chains.set(owner, [...(chains.get(owner) ?? []), key]);
  }
  return chains;
}

/** Packets by rule: "ingress 0", "egress 2". */
type Hits = ReadonlyMap<string, number>;

/** What the rules of each policy have met, for every policy that has a chain whose counters are known. */
export function hitsByPolicy(program: FilterProgram, counts: Counts): Map<string, Hits> {
  const hits = new Map<string, Map<string, number>>();
  for (const [key, counted] of counts) {
    for (const [index, { origin }] of (program.chains.get(key)?.rules ?? []).entries()) {
      if (origin?.kind !== 'policy') continue;
      const ofPolicy = hits.get(origin.name) ?? new Map<string, number>();
      hits.set(origin.name, ofPolicy);
      const rule = `${origin.direction} ${origin.index}`;
      ofPolicy.set(rule, (ofPolicy.get(rule) ?? 0) + (counted[index]?.packets ?? 0));
    }
  }
  return hits;
}

/** `hits` undefined: the counters could not be read, or the policy has no chain, as a staged one. */
export function ruleHits(
  rules: readonly DesiredRule[],
  direction: 'ingress' | 'egress',
  hits: Hits | undefined,
): RuleHits[] {
  return rules.map(({ index, action, provenance }) => ({
    action,
    file: provenance.source,
    packets: hits === undefined ? undefined : (hits.get(`${direction} ${index}`) ?? 0),
  }));
}
