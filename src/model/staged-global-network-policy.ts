/**
 * StagedGlobalNetworkPolicy: a GlobalNetworkPolicy that is tried out.
 *
 * It is evaluated beside those in force, so that one can see what it would decide, and is never enforced. Its
 * `stagedAction` says what putting it in force does to the policy of the same name.
 */
import type { z } from 'zod';
import { kindOf } from './kind.ts';
import { policyProblems, stagedGlobalPolicySpec, stagedPolicyColumns, stagedProblems } from './policy-spec.ts';
import type { Resource } from './resource.ts';

export type StagedGlobalNetworkPolicySpec = Readonly<z.infer<typeof stagedGlobalPolicySpec>>;
export type StagedGlobalNetworkPolicy = Resource<'StagedGlobalNetworkPolicy', StagedGlobalNetworkPolicySpec>;

/** A staged deletion that says nothing else. */
const EMPTY = stagedGlobalPolicySpec.parse({ stagedAction: 'Delete' });

export const stagedGlobalNetworkPolicyKind = kindOf<'StagedGlobalNetworkPolicy', StagedGlobalNetworkPolicySpec>({
  kind: 'StagedGlobalNetworkPolicy',
  plural: 'stagedglobalnetworkpolicies',
  shortNames: ['sgnp', 'sgnps'],
  namespaced: false,
  spec: stagedGlobalPolicySpec.default(stagedGlobalPolicySpec.parse({})),
  check: ({ spec }) => [...policyProblems(spec), ...stagedProblems(spec, EMPTY)],
  columns: stagedPolicyColumns,
});
