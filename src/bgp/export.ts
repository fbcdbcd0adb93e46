/**
 * What of the Loc-RIB a peer is told, and with which attributes.
 *
 * The iBGP rule: what came from one internal peer is not passed on to another, as they all talk to each other. To an
 * external peer our AS number is put in front, we become the next hop, and what has meaning only inside an AS is left out.
 * A route never goes back to where it came from.
 *
 * RFC 4271 sections 5.1 and 9.2, RFC 1997 (well-known communities).
 */
import type { Asn } from '../net/asn.ts';
import { familyOf } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { sameIp } from '../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import type { Route } from './route.ts';
import { DEFAULT_LOCAL_PREFERENCE } from './route.ts';

export interface ExportTarget {
  readonly address: Ip;
  readonly external: boolean;
}

export interface ExportSelf {
  readonly asn: Asn;
  readonly nextHops: Readonly<Partial<Record<Family, Ip>>>;
}

const NO_EXPORT = 0xffffff01;
const NO_ADVERTISE = 0xffffff02;
const NO_EXPORT_SUBCONFED = 0xffffff03;

/** The attributes with which `route` goes to `target`; undefined when it does not go there. */
export function exportRoute(route: Route, target: ExportTarget, self: ExportSelf): PathAttributes | undefined {
  const { source, attributes } = route;
  if (source.kind === 'peer') {
    if (sameIp(source.address, target.address)) return undefined;
    if (!source.external && !target.external) return undefined;
  }
  const { communities } = attributes;
  if (communities.includes(NO_ADVERTISE)) return undefined;
  if (target.external) {
    if (communities.includes(NO_EXPORT) || communities.includes(NO_EXPORT_SUBCONFED)) return undefined;
    return exportExternally(route, self);
  }
  // An internal peer that has no route to the next hop is the next hop's business, not ours (section 5.1.3).
  if (attributes.nextHop === undefined) return undefined;
  return { ...attributes, localPreference: attributes.localPreference ?? DEFAULT_LOCAL_PREFERENCE };
}

function exportExternally(route: Route, self: ExportSelf): PathAttributes | undefined {
  const { source, attributes, prefix } = route;
  const nextHop = self.nextHops[familyOf(prefix)];
  if (nextHop === undefined) return undefined;
  return {
    ...attributes,
    asPath: [self.asn, ...attributes.asPath],
    nextHop,
    // MED speaks to the neighbouring AS alone (section 5.1.4).
    med: source.kind === 'local' ? attributes.med : undefined,
    localPreference: undefined,
    originatorId: undefined,
    clusterList: [],
  };
}

/** The attributes of our own prefixes in a family. */
export function originate(nextHop: Ip | undefined): PathAttributes {
  return {
    origin: 0,
    asPath: [],
    nextHop,
    med: undefined,
    localPreference: DEFAULT_LOCAL_PREFERENCE,
    atomicAggregate: false,
    aggregator: undefined,
    communities: [],
    largeCommunities: [],
    originatorId: undefined,
    clusterList: [],
    unknown: [],
  };
}
