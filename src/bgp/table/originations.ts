/**
 * What we announce ourselves: prefixes that we are told of, and aggregates that stand for others.
 *
 * Both are paths of the local source, told apart by their path identifier, so that an aggregate and an announcement of one
 * prefix do not undo each other.
 */

import { routerIdBytes } from '../../net/asn.ts';
import type { Cidr } from '../../net/cidr.ts';
import { familyOf, formatCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import { ipFromBytes } from '../../net/ip.ts';
import type { Origination } from '../contract.ts';
import type { SpeakerConfig } from '../peer-config.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../wire/attributes.ts';
import type { AttributeSet, AttributeSets } from './attribute-sets.ts';
import { LOCAL_SLOT, LOCAL_SOURCE } from './attribute-sets.ts';
import type { Rib } from './rib.ts';

const ANNOUNCED = 0;
/** The path identifier of aggregates. */
export const AGGREGATED = 1;

export class Originations {
  readonly #ribs: Readonly<Record<Family, Rib>>;
  readonly #sets: AttributeSets;
  /** By path identifier: the prefixes, by their text. */
  readonly #present = [new Map<string, Cidr>(), new Map<string, Cidr>()] as const;

  constructor(ribs: Readonly<Record<Family, Rib>>, sets: AttributeSets) {
    this.#ribs = ribs;
    this.#sets = sets;
  }

  /** The complete set of what is announced. */
  announce(originations: readonly Origination[]): void {
    const attributesOf = new Map<string, PathAttributes>();
    this.#replace(
      ANNOUNCED,
      originations.map(({ prefix }) => prefix),
      (prefix, index) => {
        const { device, communities = [], largeCommunities = [], localPreference } = originations[index] ?? {};
        const key = JSON.stringify([communities, largeCommunities, localPreference]);
        const attributes = attributesOf.get(key) ?? {
          ...PLAIN_ATTRIBUTES,
          communities,
          largeCommunities,
          localPreference,
        };
        attributesOf.set(key, attributes);
        return this.#sets.intern(familyOf(prefix), LOCAL_SOURCE, attributes, device);
      },
    );
  }

  /** The complete set of aggregates that stand for something. */
  aggregate(prefixes: readonly Cidr[], { asn, routerId }: SpeakerConfig): void {
    const aggregator = { asn, address: ipFromBytes(routerIdBytes(routerId)) };
    const attributes: PathAttributes = { ...PLAIN_ATTRIBUTES, atomicAggregate: true, aggregator };
    this.#replace(AGGREGATED, prefixes, (prefix) => this.#sets.intern(familyOf(prefix), LOCAL_SOURCE, attributes));
  }

  #replace(
    pathId: typeof ANNOUNCED | typeof AGGREGATED,
    prefixes: readonly Cidr[],
    setOf: (prefix: Cidr, index: number) => AttributeSet,
  ): void {
    const present = this.#present[pathId];
    const wanted = new Set<string>();
    for (const [index, prefix] of prefixes.entries()) {
      const rib = this.#ribs[familyOf(prefix)];
      const text = formatCidr(prefix);
      wanted.add(text);
      present.set(text, prefix);
      const set = setOf(prefix, index);
      this.#sets.retain(set);
      rib.put(rib.rowOf(prefix), LOCAL_SLOT, pathId, set, set);
      this.#sets.release(set);
    }
    for (const [text, prefix] of [...present]) {
      if (wanted.has(text)) continue;
      present.delete(text);
      const rib = this.#ribs[familyOf(prefix)];
      rib.withdraw(rib.prefixes.findPrefix(prefix), LOCAL_SLOT, pathId);
    }
  }
}
