/**
 * A policy or profile in force on this host: what the dataplane is told of it, and the sets that it needs for that.
 *
 * Made when the first endpoint needs it and whenever its resource changes; whoever keeps it asks for the sets, and gives
 * them back when it goes.
 */
import { printSelector } from '../../../model/selector.ts';
import type { DesiredPolicy, DesiredProfile, SetId } from '../../desired/policy.ts';
import type { SetWish } from '../labels/set-index.ts';
import type { PolicySource } from './policy-source.ts';
import { ruleProvenance } from './policy-source.ts';
import type { ProfileSource } from './profiles.ts';
import type { Needs } from './rule-resolution.ts';
import { resolveRules } from './rule-resolution.ts';

export interface Resolved<Value> {
  /** What it was made from. */
  readonly source: unknown;
  readonly value: Value;
  readonly sets: ReadonlyMap<SetId, SetWish>;
  /** Rules that are left out, each with the reason. */
  readonly leftOut: readonly string[];
}

export function resolvePolicy(source: PolicySource): Resolved<DesiredPolicy> {
  const needs: Needs = { sets: new Map(), leftOut: [] };
  const rulesOf = (direction: 'ingress' | 'egress') => {
    const provenance = (index: number) => ruleProvenance(source, direction, index);
    return resolveRules(source[direction] ?? [], { namespace: source.namespace, direction, provenance }, needs);
  };
  const { id, tier, staged, stage, applyOnForward, provenance } = source;
  const value: DesiredPolicy = {
    id,
    tier,
    selector: printSelector(source.selector),
    staged,
    stage,
    applyOnForward,
    ingress: rulesOf('ingress'),
    egress: rulesOf('egress'),
    provenance,
  };
  return { source, value, ...needs };
}

export function resolveProfile(name: string, source: ProfileSource): Resolved<DesiredProfile> {
  const needs: Needs = { sets: new Map(), leftOut: [] };
  const { provenance } = source;
  const rulesOf = (direction: 'ingress' | 'egress') =>
    resolveRules(source[direction], { namespace: undefined, direction, provenance: () => provenance }, needs);
  const value: DesiredProfile = { name, ingress: rulesOf('ingress'), egress: rulesOf('egress'), provenance };
  return { source, value, ...needs };
}
