/**
 * StagedNetworkPolicy: a NetworkPolicy that is tried out.
 *
 * It is evaluated beside those in force, so that one can see what it would decide, and is never enforced. Its
 * `stagedAction` says what putting it in force does to the policy of the same name.
 */
import type { z } from 'zod';
import { kindOf } from './kind.ts';
import { policyProblems, stagedPolicyColumns, stagedPolicySpec, stagedProblems } from './policy-spec.ts';
import type { Resource } from './resource.ts';

export type StagedNetworkPolicySpec = Readonly<z.infer<typeof stagedPolicySpec>>;
export type StagedNetworkPolicy = Resource<'StagedNetworkPolicy', StagedNetworkPolicySpec>;

/** A staged deletion that says nothing else. */
const EMPTY = stagedPolicySpec.parse({ stagedAction: 'Delete' });

export const stagedNetworkPolicyKind = kindOf<'StagedNetworkPolicy', StagedNetworkPolicySpec>({
  kind: 'StagedNetworkPolicy',
  plural: 'stagednetworkpolicies',
  shortNames: ['snp', 'snps'],
  namespaced: true,
  spec: stagedPolicySpec.default(stagedPolicySpec.parse({})),
  check: ({ spec }) => [...policyProblems(spec), ...stagedProblems(spec, EMPTY)],
  columns: stagedPolicyColumns,
});
