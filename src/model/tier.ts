/**
 * Tier: a group of policies that is asked as one, before or after the others.
 *
 * Tiers go by order, then name. When policies of a tier are for an endpoint and none of their rules decides, the tier's
 * `defaultAction` does: Deny drops the packet, Pass asks the next tier. Three tiers are there without being written;
 * a document may repeat what they are, but not change it.
 */
import { z } from 'zod';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';

/** The tier of policies that name none. */
export const DEFAULT_TIER = 'default';

/** RFC 1035: the longest label of a DNS name. */
const NAME_LENGTH_MAX = 63;

/** What is wrong with the name of a tier; undefined when nothing is. */
export function tierNameProblem(name: string): string | undefined {
  if (name.length <= NAME_LENGTH_MAX && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) return undefined;
  const dotted = name.includes('.') ? '; no dots, since they end a tier in the name of a policy' : '';
  return `${quote(name)} is not the name of a tier: 1 to ${NAME_LENGTH_MAX} lower-case letters, digits and "-", with a letter or digit at each end${dotted}`;
}

/** Of a tier or policy: lower goes first, and null after all. */
export function orderField() {
  return z.number().nullable().default(null);
}

const spec = mapping({
  order: orderField(),
  defaultAction: z.enum(['Deny', 'Pass']).default('Deny'),
});

export type TierSpec = Readonly<z.infer<typeof spec>>;
export type Tier = Resource<'Tier', TierSpec>;

/** The tiers that are always there. */
export const BUILT_IN_TIERS: ReadonlyMap<string, TierSpec> = new Map([
  ['kube-admin', { order: 1_000, defaultAction: 'Pass' }],
  [DEFAULT_TIER, { order: 1_000_000, defaultAction: 'Deny' }],
  ['kube-baseline', { order: 10_000_000, defaultAction: 'Pass' }],
]);

function check({ metadata, spec }: Tier): Problem[] {
  const builtIn = BUILT_IN_TIERS.get(metadata.name);
  if (builtIn === undefined) return [];
  return (['order', 'defaultAction'] as const)
    .filter((field) => spec[field] !== builtIn[field])
    .map((field) => ({
      path: ['spec', field],
      message: `${quote(spec[field])} is not what the tier ${metadata.name} has; write ${builtIn[field]}`,
    }));
}

export const tierKind = kindOf<'Tier', TierSpec>({
  kind: 'Tier',
  plural: 'tiers',
  shortNames: [],
  namespaced: false,
  spec: spec.default({ order: null, defaultAction: 'Deny' }),
  nameProblem: tierNameProblem,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'ORDER', cell: ({ spec }) => String(spec.order ?? '') },
    { title: 'DEFAULTACTION', cell: ({ spec }) => spec.defaultAction },
  ],
});
