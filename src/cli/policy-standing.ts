/**
 * How policies stand on all nodes: what the store has, beside what each node has said of itself.
 *
 * Pure. A node's word on hits counts only where it has the revision that is stored, since rules are told apart by their place
 * in it. A node on which a policy chooses nobody has nothing to do for it and says nothing. See node/filter/policy-report.ts.
 */
import type { PolicyResource } from '../felix/calc/policy/policy-source.ts';
import { policySource } from '../felix/calc/policy/policy-source.ts';
import { resolvePolicy } from '../felix/calc/policy/resolved-rules.ts';
import type { DesiredRule } from '../felix/desired/policy.ts';
import type { PolicyReport, ReportedPolicy } from '../node/filter/policy-report.ts';

/** Fields are only ever added: `-o json` prints these objects as they are. */
export interface PolicyStanding {
  /** "NetworkPolicy shop/db" */
  readonly policy: string;
  readonly tier: string;
  readonly staged: boolean;
  readonly selector: string;
  /** The stored resource's. */
  readonly revision: string;
  readonly file: string | undefined;
  /** How many endpoints it chooses, on all nodes. */
  readonly endpoints: number;
  /** Those on which it chooses somebody. */
  readonly nodes: readonly NodeStanding[];
  /** What is left out of it because it cannot be put in force as it is meant. */
  readonly leftOut: readonly string[];
  readonly rules: readonly RuleStanding[];
}

export interface NodeStanding {
  readonly node: string;
  /** "behind": another revision than the stored one is in force. */
  readonly state: 'in force' | 'behind' | 'failed';
  readonly revision: string | undefined;
  readonly error: string;
  readonly endpoints: number;
}

export interface RuleStanding {
  readonly direction: 'ingress' | 'egress';
  readonly index: number;
  readonly action: string;
  readonly file: string | undefined;
  /** On all nodes that have counted; undefined when none has. */
  readonly packets: number | undefined;
}

/** `reports` are of nodes that live. Policies without effect (a staged deletion) are passed over. */
export function policyStandings(
  resources: readonly PolicyResource[],
  reports: readonly PolicyReport[],
): PolicyStanding[] {
  const byPolicy = new Map<string, { readonly node: string; readonly reported: ReportedPolicy }[]>();
  for (const { node, policies } of reports) {
    for (const reported of policies) {
      const said = byPolicy.get(reported.policy) ?? [];
      byPolicy.set(reported.policy, said);
      said.push({ node, reported });
    }
  }
  return resources.flatMap((resource): PolicyStanding[] => {
    const source = policySource(resource);
    if (source === undefined) return [];
    const { value, leftOut } = resolvePolicy(source);
    const revision = resource.metadata.resourceVersion ?? '';
    const said = byPolicy.get(value.id) ?? [];
    const current = said.flatMap(({ reported }) => (reported.revision === revision ? [reported] : []));
    return [
      {
        ...{ policy: value.id, tier: value.tier, staged: value.staged, selector: value.selector, revision, leftOut },
        file: value.provenance.source,
        endpoints: said.reduce((sum, { reported }) => sum + reported.endpoints, 0),
        nodes: said.map(({ node, reported }) => nodeStanding(node, reported, revision)),
        rules: [...rulesOf('ingress', value.ingress, current), ...rulesOf('egress', value.egress, current)],
      },
    ];
  });
}

function nodeStanding(node: string, { revision, error = '', endpoints }: ReportedPolicy, stored: string): NodeStanding {
  const state = error !== '' || revision === undefined ? 'failed' : revision === stored ? 'in force' : 'behind';
  return { node, state, revision, error, endpoints };
}

function rulesOf(
  direction: 'ingress' | 'egress',
  rules: readonly DesiredRule[],
  reported: readonly ReportedPolicy[],
): RuleStanding[] {
  const counts = reported.flatMap((each) => (each[direction]?.length === rules.length ? [each[direction]] : []));
  return rules.map(({ index, action, provenance }, position) => {
    const packets = counts.length === 0 ? undefined : counts.reduce((sum, each) => sum + (each[position] ?? 0), 0);
    return { direction, index, action, file: provenance.source, packets };
  });
}
