/**
 * Routes as people read them: the rows of `muslin bgp routes`.
 *
 * Communities are printed in their usual notations (RFC 1997 "64512:100", RFC 8092 "64512:1:2").
 */
import { formatCidr } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import type { RouteView } from './contract.ts';
import type { Route } from './route.ts';

const ORIGIN_NAMES = ['igp', 'egp', 'incomplete'] as const;

export function routeView(route: Route, best: boolean, stale: boolean): RouteView {
  const { attributes, source } = route;
  return {
    prefix: formatCidr(route.prefix),
    from: source.kind === 'local' ? 'local' : formatIp(source.address),
    nextHop: attributes.nextHop === undefined ? '' : formatIp(attributes.nextHop),
    best,
    stale,
    asPath: attributes.asPath.join(' '),
    localPreference: attributes.localPreference,
    origin: ORIGIN_NAMES[attributes.origin],
    med: attributes.med,
    communities: communityTexts(attributes),
  };
}

function communityTexts({ communities, largeCommunities }: PathAttributes): string[] {
  const short = communities.map((community) => `${community >>> 16}:${community & 0xffff}`);
  return [...short, ...largeCommunities.map((community) => community.join(':'))];
}
