/**
 * GlobalNetworkPolicy: what endpoints may send and receive, containers in any namespace and interfaces of hosts.
 *
 * On host endpoints it can act before connection tracking (`doNotTrack`) or before DNAT (`preDNAT`), and on packets that
 * the host only forwards (`applyOnForward`).
 */
import type { z } from 'zod';
import { kindOf } from './kind.ts';
import { globalPolicySpec, policyColumns, policyProblems } from './policy-spec.ts';
import type { Resource } from './resource.ts';

export type GlobalNetworkPolicySpec = Readonly<z.infer<typeof globalPolicySpec>>;
export type GlobalNetworkPolicy = Resource<'GlobalNetworkPolicy', GlobalNetworkPolicySpec>;

export const globalNetworkPolicyKind = kindOf<'GlobalNetworkPolicy', GlobalNetworkPolicySpec>({
  kind: 'GlobalNetworkPolicy',
  plural: 'globalnetworkpolicies',
  shortNames: ['gnp', 'gnps'],
  namespaced: false,
  spec: globalPolicySpec.default(globalPolicySpec.parse({})),
  check: ({ spec }) => policyProblems(spec),
  columns: policyColumns,
});
