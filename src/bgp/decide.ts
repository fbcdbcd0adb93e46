/**
 * The decision process: which of the routes to one prefix is best.
 *
 * First what may not be used at all is set aside. Then each step, in the order of the RFC, keeps the routes that are best
 * by its measure, until one is left. Eliminating step by step is what makes MED sound: it compares only routes of the
 * same neighbouring AS, so no order over all routes exists that a sort could use.
 * Our own announcements come before everything, as we know best what is here. Routes that are equal up to the step where
 * only names are compared serve together (ECMP); AS paths then need the same length, not the same content (RFC 7938 section 6.3).
 *
 * RFC 4271 section 9.1.2, RFC 4456 sections 8 and 9.
 */
import { byteAt } from '../lib/bytes.ts';
import type { Ip } from '../net/ip.ts';
import { compareIp, sameIp } from '../net/ip.ts';
import type { Route, Self } from './route.ts';
import { DEFAULT_LOCAL_PREFERENCE } from './route.ts';

/** More next hops than a kernel route is ever given in practice; keeps one prefix from filling a netlink message. */
const GATEWAYS_MAX = 64;

export interface Decision {
  readonly best: Route | undefined;
  /** Where packets go: the best route's next hop and those as good; none for a prefix of our own. Ascending. */
  readonly gateways: readonly Ip[];
  /** The step that left one route only; '' where there was no choice. */
  readonly decidedBy: string;
}

interface Step {
  readonly name: string;
  readonly keep: (routes: readonly Route[]) => readonly Route[];
}

const STEPS_OF_MERIT: readonly Step[] = [
  { name: 'locally originated', keep: lowest((route) => (route.source.kind === 'local' ? 0 : 1)) },
  {
    name: 'highest LOCAL_PREF',
    keep: lowest((route) => -(route.attributes.localPreference ?? DEFAULT_LOCAL_PREFERENCE)),
  },
  { name: 'shortest AS_PATH', keep: lowest((route) => route.attributes.asPath.length) },
  { name: 'lowest ORIGIN', keep: lowest((route) => route.attributes.origin) },
  { name: 'lowest MED within a neighbouring AS', keep: keepLowestMed },
  {
    name: 'eBGP over iBGP',
    keep: lowest((route) => (route.source.kind === 'peer' && route.source.external ? 0 : 1)),
  },
];

/** The steps below compare names, not merit: they make the choice the same everywhere. */
const STEPS_OF_NAME: readonly Step[] = [
  { name: 'lowest router identifier', keep: lowest(originator) },
  { name: 'shortest CLUSTER_LIST', keep: lowest((route) => route.attributes.clusterList.length) },
  { name: 'lowest peer address', keep: keepLowestAddress },
];

/** Chooses among the routes to one prefix. */
export function decide(routes: readonly Route[], self: Self): Decision {
  const usable = routes.filter((route) => whyUnusable(route, self) === undefined);
  const merit = eliminate(usable, STEPS_OF_MERIT);
  const name = eliminate(merit.routes, STEPS_OF_NAME);
  const best = name.routes[0];
  if (best === undefined) return { best, gateways: [], decidedBy: '' };
  return { best, gateways: gatewaysOf(merit.routes), decidedBy: name.decidedBy || merit.decidedBy };
}

/** Why a route may not be used, in words; undefined when it may. */
function whyUnusable(route: Route, self: Self): string | undefined {
  const { source, attributes } = route;
  if (source.kind === 'local') return undefined;
  if (self.asn === undefined || self.routerId === undefined) return 'we are not configured';
  if (attributes.asPath.includes(self.asn)) return `AS_PATH contains our own AS ${self.asn}`;
  if (attributes.originatorId === self.routerId) return 'it originates from ourselves (ORIGINATOR_ID)';
  if (attributes.clusterList.includes(self.routerId)) return 'it has passed through ourselves (CLUSTER_LIST)';
  const { nextHop } = attributes;
  if (nextHop === undefined || !isUsableNextHop(nextHop)) return 'the next hop is not an address of a host';
  if (sameIp(nextHop, source.localAddress) || self.addresses.some((own) => sameIp(own, nextHop))) {
    return 'the next hop is an address of our own';
  }
  return undefined;
}

function eliminate(routes: readonly Route[], steps: readonly Step[]): { routes: readonly Route[]; decidedBy: string } {
  let kept = routes;
  for (const step of steps) {
    if (kept.length <= 1) break;
    kept = step.keep(kept);
    if (kept.length === 1) return { routes: kept, decidedBy: step.name };
  }
  return { routes: kept, decidedBy: '' };
}

function lowest(measure: (route: Route) => number): (routes: readonly Route[]) => readonly Route[] {
  return (routes) => {
    const least = routes.reduce((minimum, route) => Math.min(minimum, measure(route)), Number.POSITIVE_INFINITY);
    return routes.filter((route) => measure(route) === least);
  };
}

function keepLowestMed(routes: readonly Route[]): readonly Route[] {
  const leastOf = new Map<number, number>();
  for (const { attributes } of routes) {
    const neighbour = attributes.asPath[0] ?? 0;
    leastOf.set(neighbour, Math.min(leastOf.get(neighbour) ?? Number.POSITIVE_INFINITY, attributes.med ?? 0));
  }
  return routes.filter(({ attributes }) => (attributes.med ?? 0) === leastOf.get(attributes.asPath[0] ?? 0));
}

/** ORIGINATOR_ID stands in for the identifier of the peer (RFC 4456 section 9). */
function originator(route: Route): number {
  return route.attributes.originatorId ?? (route.source.kind === 'peer' ? route.source.routerId : 0);
}

function keepLowestAddress(routes: readonly Route[]): readonly Route[] {
  const sorted = [...routes].sort((a, b) =>
    a.source.kind === 'peer' && b.source.kind === 'peer' ? compareIp(a.source.address, b.source.address) : 0,
  );
  return sorted.slice(0, 1);
}

function gatewaysOf(routes: readonly Route[]): readonly Ip[] {
  const gateways: Ip[] = [];
  for (const { source, attributes } of routes) {
    const { nextHop } = attributes;
    if (source.kind === 'local' || nextHop === undefined) return [];
    if (!gateways.some((known) => sameIp(known, nextHop))) gateways.push(nextHop);
  }
  return gateways.sort(compareIp).slice(0, GATEWAYS_MAX);
}

/** Not "this host", loopback or multicast; nor IPv6 link-local, which says nothing without a device. */
function isUsableNextHop(address: Ip): boolean {
  const first = byteAt(address.bytes, 0);
  if (address.family === 4) return first !== 0 && first !== 127 && first < 224;
  const isLow = address.bytes.subarray(0, 15).every((byte) => byte === 0); // ::, ::1 and their like
  return !isLow && first !== 0xff && !(first === 0xfe && (byteAt(address.bytes, 1) & 0xc0) === 0x80);
}
