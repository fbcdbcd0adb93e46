/**
 * NetworkPolicy: what the containers of one namespace may send and receive.
 *
 * Its selector chooses among the endpoints of its own namespace only, and so does a selector in a rule that has no
 * namespaceSelector beside it. Kubernetes has a kind of the same name (kubernetes-network-policy.ts).
 */
import type { z } from 'zod';
import { kindOf } from './kind.ts';
import { policyColumns, policyProblems, policySpec } from './policy-spec.ts';
import type { Resource } from './resource.ts';

export type NetworkPolicySpec = Readonly<z.infer<typeof policySpec>>;
export type NetworkPolicy = Resource<'NetworkPolicy', NetworkPolicySpec>;

export const networkPolicyKind = kindOf<'NetworkPolicy', NetworkPolicySpec>({
  kind: 'NetworkPolicy',
  plural: 'networkpolicies',
  shortNames: ['np', 'pol', 'policy', 'policies'],
  namespaced: true,
  spec: policySpec.default(policySpec.parse({})),
  check: ({ spec }) => policyProblems(spec),
  columns: policyColumns,
});
