/**
 * Profile: rules and labels that endpoints name, rather than being chosen by them.
 *
 * Profiles are asked after all tiers, in the order in which an endpoint names them; they have no selector and no order. The
 * labels in `labelsToApply` are inherited by the endpoints, which is how labels of a namespace get to its containers.
 */
import type { z } from 'zod';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import { formatLabels, labelsField } from './metadata.ts';
import { ruleListProblems, rulesField } from './policy-rule.ts';
import type { Resource } from './resource.ts';

const spec = mapping({
  ingress: rulesField(),
  egress: rulesField(),
  labelsToApply: labelsField().default({}),
});

export type ProfileSpec = Readonly<z.infer<typeof spec>>;
export type Profile = Resource<'Profile', ProfileSpec>;

export const profileKind = kindOf<'Profile', ProfileSpec>({
  kind: 'Profile',
  plural: 'profiles',
  shortNames: ['pro', 'pros'],
  namespaced: false,
  spec: spec.default(spec.parse({})),
  check: ({ spec }) => ruleListProblems(spec, true),
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'LABELS', cell: ({ spec }) => formatLabels(spec.labelsToApply), wide: true },
  ],
});
