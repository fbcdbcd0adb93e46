/**
 * The tiers of an endpoint: which policies are asked for it, in which order.
 *
 * Tiers go by order, then name; the policies of each by order, then name. A policy whose tier does not exist is asked
 * nowhere. Policies that act before connection tracking or before DNAT are for devices of hosts alone: a container's
 * packets have no such hook of their own.
 */
import { resourceTitle } from '../../../model/resource.ts';
import type { Tier, TierSpec } from '../../../model/tier.ts';
import { BUILT_IN_TIERS } from '../../../model/tier.ts';
import type { EndpointTier, PolicyId } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';
import { sourceOf } from '../provenance.ts';
import type { Direction, PolicySource } from './policy-source.ts';
import { comparePolicies, compareText } from './policy-source.ts';

/** All tiers by name, as they are asked. */
export class Tiers {
  readonly #stored = new Map<string, Tier>();

  update(name: string, tier: Tier | undefined): void {
    if (tier === undefined) this.#stored.delete(name);
    else this.#stored.set(name, tier);
  }

  has(name: string): boolean {
    return this.#stored.has(name) || BUILT_IN_TIERS.has(name);
  }

  /** What the tiers of the given policies, all of one endpoint, say for it. */
  ofEndpoint(policies: readonly PolicySource[]): EndpointTier[] {
    const byTier = Map.groupBy(policies, ({ tier }) => tier);
    const tiers = [...byTier].flatMap(([name, group]) => {
      const found = this.#find(name);
      return found === undefined ? [] : [{ name, group: group.toSorted(comparePolicies), ...found }];
    });
    return tiers.toSorted(compareTiers).map(({ name, group, spec, provenance }) => ({
      name,
      defaultAction: spec.defaultAction === 'Pass' ? 'pass' : 'deny',
      ingress: idsOf(group, 'ingress'),
      egress: idsOf(group, 'egress'),
      provenance,
    }));
  }

  #find(name: string): { readonly spec: TierSpec; readonly provenance: Provenance } | undefined {
    const stored = this.#stored.get(name);
    if (stored !== undefined)
      return { spec: stored.spec, provenance: sourceOf(resourceTitle(stored), stored.metadata) };
    const spec = BUILT_IN_TIERS.get(name);
    return spec && { spec, provenance: { origin: `Tier ${name}` } };
  }
}

interface NamedTier {
  readonly name: string;
  readonly spec: TierSpec;
}

function compareTiers(a: NamedTier, b: NamedTier): number {
  const [orderA, orderB] = [a.spec.order ?? Number.POSITIVE_INFINITY, b.spec.order ?? Number.POSITIVE_INFINITY];
  if (orderA !== orderB) return orderA < orderB ? -1 : 1;
  return compareText(a.name, b.name);
}

function idsOf(policies: readonly PolicySource[], direction: Direction): PolicyId[] {
  return policies.filter((policy) => policy[direction] !== undefined).map(({ id }) => id);
}
