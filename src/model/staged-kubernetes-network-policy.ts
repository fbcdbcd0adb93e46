/**
 * StagedKubernetesNetworkPolicy: a NetworkPolicy of Kubernetes that is tried out.
 *
 * It is evaluated beside those in force, so that one can see what it would decide, and is never enforced. Its
 * `stagedAction` says what putting it in force does to the policy of the same name.
 */
import type { z } from 'zod';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import { kubernetesPolicyFields, kubernetesPolicyProblems, withPolicyTypes } from './kubernetes-network-policy.ts';
import { formatLabelSelector } from './label-selector.ts';
import { stagedFields, stagedProblems } from './policy-spec.ts';
import type { Resource } from './resource.ts';

const spec = mapping({ ...stagedFields, ...kubernetesPolicyFields }).transform((fields) =>
  fields.stagedAction === 'Delete' ? { ...fields, policyTypes: fields.policyTypes ?? [] } : withPolicyTypes(fields),
);

export type StagedKubernetesPolicySpec = Readonly<z.infer<typeof spec>>;
export type StagedKubernetesNetworkPolicy = Resource<'StagedKubernetesNetworkPolicy', StagedKubernetesPolicySpec>;

/** A staged deletion that says nothing else. */
const EMPTY = spec.parse({ stagedAction: 'Delete' });

export const stagedKubernetesNetworkPolicyKind = kindOf<'StagedKubernetesNetworkPolicy', StagedKubernetesPolicySpec>({
  kind: 'StagedKubernetesNetworkPolicy',
  plural: 'stagedkubernetesnetworkpolicies',
  shortNames: ['sknp', 'sknps'],
  namespaced: true,
  spec: spec.default(spec.parse({})),
  check: ({ spec }) => [...kubernetesPolicyProblems(spec), ...stagedProblems(spec, EMPTY)],
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'POD-SELECTOR', cell: ({ spec }) => formatLabelSelector(spec.podSelector) },
    { title: 'STAGEDACTION', cell: ({ spec }) => spec.stagedAction, wide: true },
  ],
});
