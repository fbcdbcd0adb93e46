/**
 * What all policies of Calico have in common: their tier and order, whom they are for, their rules and directions.
 *
 * Tiers go by order, and so do the policies in a tier; `null` stands after every number. `types` says which directions a
 * policy has a say in, with or without rules: where it is absent it follows from the rules, and is filled in here.
 * Staged policies are the same with a `stagedAction`: what putting the policy in force would do. One that stages a
 * deletion has nothing else to say.
 */
import { z } from 'zod';
import { sameJson } from '../lib/json.ts';
import type { Column } from '../lib/table.ts';
import { mapping, refuseRepetition } from './fields.ts';
import type { RuleLists } from './policy-rule.ts';
import { ruleListProblems, rulesField } from './policy-rule.ts';
import { policySelectorField } from './policy-selector.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Metadata } from './resource.ts';
import { DEFAULT_TIER, orderField, tierNameProblem } from './tier.ts';

type PolicyType = 'Ingress' | 'Egress';

/** The directions that a policy has a say in. */
export function policyTypesField() {
  return z
    .array(z.enum(['Ingress', 'Egress']))
    .superRefine(refuseRepetition)
    .readonly()
    .exactOptional();
}

const tierField = z
  .string()
  .superRefine((name, context) => {
    const message = tierNameProblem(name);
    if (message !== undefined) context.addIssue({ code: 'custom', message });
  })
  .default(DEFAULT_TIER);

const policyFields = {
  tier: tierField,
  order: orderField(),
  selector: policySelectorField().default('all()'),
  serviceAccountSelector: policySelectorField().exactOptional(),
  types: policyTypesField(),
  ingress: rulesField(),
  egress: rulesField(),
  performanceHints: z
    .array(z.enum(['AssumeNeededOnEveryNode']))
    .superRefine(refuseRepetition)
    .readonly()
    .exactOptional(),
};

const globalFields = {
  namespaceSelector: policySelectorField().exactOptional(),
  doNotTrack: z.boolean().default(false),
  preDNAT: z.boolean().default(false),
  applyOnForward: z.boolean().default(false),
};

/** What is to become of the policy of the same name: set, deleted, or (as Calico marks them) learnt or ignored. */
export const stagedFields = { stagedAction: z.enum(['Set', 'Delete', 'Learn', 'Ignore']).default('Set') };

export const policySpec = mapping(policyFields).transform(withTypes);
export const globalPolicySpec = mapping({ ...policyFields, ...globalFields }).transform(withTypes);
export const stagedPolicySpec = mapping({ ...stagedFields, ...policyFields }).transform(withTypes);
export const stagedGlobalPolicySpec = mapping({ ...stagedFields, ...policyFields, ...globalFields }).transform(
  withTypes,
);

export type GlobalPolicySpec = Readonly<z.infer<typeof globalPolicySpec>>;

interface Directions {
  readonly types?: readonly PolicyType[];
  readonly ingress: readonly unknown[];
  readonly egress: readonly unknown[];
  readonly stagedAction?: StagedAction;
}

type StagedAction = 'Set' | 'Delete' | 'Learn' | 'Ignore';

function withTypes<Fields extends Directions>(fields: Fields): Fields & { readonly types: readonly PolicyType[] } {
  const stated = fields.types ?? [];
  return { ...fields, types: stated.length > 0 || fields.stagedAction === 'Delete' ? stated : impliedTypes(fields) };
}

/** Calico's rule: a policy without rules is for ingress, and one with egress rules alone is for egress alone. */
function impliedTypes({ ingress, egress }: Directions): readonly PolicyType[] {
  if (egress.length === 0) return ['Ingress'];
  return ingress.length === 0 ? ['Egress'] : ['Ingress', 'Egress'];
}

/** What joins fields of a policy; those of the whole network have more of them, and their rules are in no namespace. */
export function policyProblems(spec: RuleLists | GlobalPolicySpec): Problem[] {
  const anywhere = 'preDNAT' in spec;
  return [...(anywhere ? hookProblems(spec) : []), ...ruleListProblems(spec, anywhere)];
}

/** The combinations of doNotTrack, preDNAT and applyOnForward that the hooks of the packet filter allow. */
function hookProblems(spec: GlobalPolicySpec): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: keyof GlobalPolicySpec, message: string) => problems.push({ path: ['spec', field], message });
  if (spec.preDNAT && spec.doNotTrack) wrong('preDNAT', 'excludes doNotTrack; set one of the two to false');
  for (const field of ['doNotTrack', 'preDNAT'] as const) {
    if (spec[field] && !spec.applyOnForward) {
      wrong(field, 'acts before routing, so on forwarded packets, too; set applyOnForward to true');
    }
  }
  if (spec.preDNAT && spec.egress.length > 0) {
    wrong('egress', 'must be left out: packets that leave are never before DNAT (preDNAT is true)');
  }
  if (spec.preDNAT && spec.types.includes('Egress')) {
    wrong(
      'types',
      `${quote(spec.types)} must be ["Ingress"]: packets that leave are never before DNAT (preDNAT is true)`,
    );
  }
  return problems;
}

/** What may stand beside `stagedAction: Delete`. */
const BESIDE_DELETE: readonly string[] = ['stagedAction', 'tier'];

/** Fields of a staged deletion that say something, where `empty` is what a spec says that has no other field. */
export function stagedProblems(
  spec: { readonly stagedAction: StagedAction },
  empty: Readonly<Record<string, unknown>>,
): Problem[] {
  if (spec.stagedAction !== 'Delete') return [];
  return Object.entries(spec)
    .filter(([field, value]) => !BESIDE_DELETE.includes(field) && !sameJson(value, empty[field]))
    .map(([field, value]) => ({
      path: ['spec', field],
      message: `${quote(value)} must be left out: stagedAction is Delete, and what is deleted needs no rules`,
    }));
}

/** A policy, as far as its table goes. */
interface PolicyRow {
  readonly metadata: Metadata;
  readonly spec: { readonly tier: string; readonly order: number | null; readonly selector: string };
}

interface StagedPolicyRow extends PolicyRow {
  readonly spec: PolicyRow['spec'] & { readonly stagedAction: StagedAction };
}

export const policyColumns: readonly Column<PolicyRow>[] = [
  { title: 'NAME', cell: ({ metadata }) => metadata.name },
  { title: 'TIER', cell: ({ spec }) => spec.tier },
  { title: 'ORDER', cell: ({ spec }) => String(spec.order ?? ''), wide: true },
  { title: 'SELECTOR', cell: ({ spec }) => spec.selector, wide: true },
];

export const stagedPolicyColumns: readonly Column<StagedPolicyRow>[] = [
  ...policyColumns,
  { title: 'STAGEDACTION', cell: ({ spec }) => spec.stagedAction, wide: true },
];
