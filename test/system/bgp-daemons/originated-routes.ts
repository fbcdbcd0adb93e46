/**
 * Routes to originate: many prefixes, fewer attribute sets, every attribute in use; and what a peer must see of them.
 *
 * The sets differ in each attribute, so that two that were mixed up are noticed. `expected` says what arrives over one
 * session, by the rules of RFC 4271 sections 5.1 and 9, for a route that its sender originates.
 */
import type { LearntAttributes, OriginatedAttributes, Origination, Place } from './daemon.ts';

/** Not fewer: GoBGP repeats all prefixes of an UPDATE in its answer for each of them, so that few sets make it slow. */
const SETS = 40;
const ORIGINS = ['igp', 'egp', 'incomplete'] as const;

function attributeSet(number: number): OriginatedAttributes {
  return {
    origin: ORIGINS[number % ORIGINS.length] ?? 'igp',
    asPath: number % 4 === 0 ? [] : [64900 + number, 4_200_000_000 + number],
    med: 10 + number,
    localPreference: 100 + number,
    communities: [
      [64900, number],
      [64901, 7],
    ],
    routeTargets: [[64900, 100 + number]],
    largeCommunities: [
      [4_200_000_000, number, 1],
      [64900, 2, number],
    ],
  };
}

/** Half of them IPv4 /24s of BLOCK.0.0.0/8, half IPv6 /64s of fd00:BLOCK::/32. */
export function originations(count: number, block: number): Origination[] {
  const sets = Array.from({ length: SETS }, (_, number) => attributeSet(number));
  return Array.from({ length: count }, (_, index) => {
    const number = index >>> 1;
    const prefix =
      index % 2 === 0
        ? `${block}.${number >>> 8}.${number & 0xff}.0/24`
        : `fd00:${block}:${(number + 1).toString(16)}::/64`;
    const attributes = sets[number % SETS];
    if (attributes === undefined) throw new Error('there are as many sets as said');
    return { prefix, attributes };
  });
}

/** How a route of `origin` looks to its direct neighbour. */
export function expected(
  { prefix, attributes }: Origination,
  sender: { readonly place: Place; readonly asn: number; readonly external: boolean },
): LearntAttributes {
  const { origin, asPath, med, localPreference, communities, routeTargets, largeCommunities } = attributes;
  const { place, asn, external } = sender;
  return {
    origin,
    asPath: [...(external ? [asn] : []), ...asPath].join(' '),
    nextHop: prefix.includes(':') ? place.address6 : place.address,
    med,
    localPreference: external ? undefined : localPreference,
    communities: [
      ...communities.map((pair) => pair.join(':')),
      ...routeTargets.map((pair) => `rt:${pair.join(':')}`),
      ...largeCommunities.map((triple) => triple.join(':')),
    ].toSorted(),
    originatorId: undefined,
    clusterList: [],
  };
}
