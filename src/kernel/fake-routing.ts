/**
 * What the kernel makes of routes, for the fake kernel: which it accepts, and which go when a device goes.
 *
 * Rules of Linux that are kept here, each checked against the real one by kernel.suite.ts: a gateway must be reached
 * directly through a device that is up, unless the next hop is onlink; a route needs a device that is up; addresses
 * bring a connected route of protocol "kernel" while their device is up; IPv4 keeps a multipath route until its last
 * device is down or one of them is removed, IPv6 until its last next hop is gone.
 *
 * Source: net/ipv4/fib_semantics.c, net/ipv4/fib_frontend.c, net/ipv6/route.c, net/ipv6/addrconf.c.
 */
import { cidr, containsIp, formatCidr, prefixOf } from '../net/cidr.ts';
import { addressBits, type Family, type Ip, sameIp } from '../net/ip.ts';
import {
  type Address,
  type IfIndex,
  type NextHop,
  ROUTE_PROTOCOL,
  ROUTE_SCOPE,
  ROUTE_TABLE,
  type Route,
} from '../net/kernel-objects.ts';
import { KernelError } from './kernel.ts';
import { discards, LOOPBACK_INDEX, normalRoute } from './netlink/route-normal-form.ts';

/** What routing depends on. */
export interface RoutingState {
  readonly links: ReadonlyMap<IfIndex, { readonly up: boolean }>;
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
}

const CONNECTED_METRIC: Readonly<Record<Family, number>> = { 4: 0, 6: 256 };
const LINK_LOCAL = cidr('fe80::/10');

/** The route as the kernel would hold it; throws KernelError where the kernel would refuse it. */
export function acceptedRoute(state: RoutingState, asked: Route): Route {
  if (asked.type === 'other') throw new RangeError('a route of type "other" can be read, but not written');
  const family = asked.destination.address.family;
  if (discards(asked.type)) {
    if (family === 4 && asked.nextHops.length > 0) {
      refuse(asked, 'EINVAL', 'Gateway, device and multipath can not be specified for this route type');
    }
    return normalRoute(asked);
  }
  if (asked.nextHops.length === 0) refuse(asked, 'ENODEV');
  if (family === 6 && asked.nextHops.length > 1 && asked.nextHops.some((hop) => hop.gateway === undefined)) {
    refuse(asked, 'EINVAL', 'Device only routes can not be added for IPv6 using the multipath API.');
  }
  const nextHops = asked.nextHops.map((hop) => acceptedHop(state, asked, hop));
  const { source } = asked;
  if (source !== undefined && !state.addresses.some((known) => sameIp(known.address, source))) {
    refuse(asked, 'EINVAL', family === 4 ? 'Invalid prefsrc address' : 'Invalid source address');
  }
  return normalRoute({ ...asked, nextHops });
}

function acceptedHop(state: RoutingState, route: Route, hop: NextHop): NextHop {
  const device = hop.index === undefined ? undefined : state.links.get(hop.index);
  if (hop.index !== undefined && device === undefined) refuse(route, 'ENODEV');
  const { gateway } = hop;
  if (gateway === undefined || hop.onlink) {
    if (device === undefined) return refuse(route, 'ENODEV');
    if (gateway === undefined && hop.onlink && route.destination.address.family === 4) {
      refuse(route, 'EINVAL', 'Invalid flags for nexthop - PERVASIVE and ONLINK can not be set');
    }
    if (!device.up) refuse(route, 'ENETDOWN', 'Nexthop device is not up');
    return hop;
  }
  if (gateway.family === 6 && state.addresses.some((own) => sameIp(own.address, gateway))) {
    refuse(route, 'EINVAL', 'Gateway can not be a local address');
  }
  // Each device that is up has a connected fe80::/64, which the fake does not spell out.
  if (containsIp(LINK_LOCAL, gateway) && device?.up) return hop;
  const index = onLinkDevice(state, route, gateway, hop.index);
  if (index !== undefined) return { ...hop, index };
  return gateway.family === 4
    ? refuse(route, 'ENETUNREACH', 'Nexthop has invalid gateway')
    : refuse(route, 'EHOSTUNREACH');
}

/** The device by which a gateway is reached directly: by the longest route to it that has no gateway itself. */
function onLinkDevice(
  state: RoutingState,
  route: Route,
  gateway: Ip,
  wanted: IfIndex | undefined,
): IfIndex | undefined {
  const scopeMin = Math.max(route.scope + 1, ROUTE_SCOPE.link);
  const candidates = state.routes
    .filter((known) => known.table === ROUTE_TABLE.main || known.table === route.table)
    .filter((known) => known.type === 'unicast' && containsIp(known.destination, gateway))
    .filter((known) => (gateway.family === 4 ? known.scope >= scopeMin : true))
    .sort((a, b) => b.destination.length - a.destination.length);
  return candidates
    .flatMap((known) => known.nextHops)
    .find((hop) => hop.gateway === undefined && (wanted === undefined || hop.index === wanted))?.index;
}

/** The route that an address brings while its device is up; undefined when it brings none to the main table. */
export function connectedRoute(address: Address): Route | undefined {
  const { family } = address.address;
  const destination = prefixOf(address.address, address.prefixLength);
  if (family === 4 && (address.prefixLength === addressBits(family) || address.index === LOOPBACK_INDEX)) {
    return undefined;
  }
  if (containsIp(cidr('::1/128'), address.address)) return undefined;
  return normalRoute({
    destination,
    type: 'unicast',
    nextHops: [{ gateway: undefined, index: address.index, onlink: false }],
    protocol: ROUTE_PROTOCOL.kernel,
    scope: ROUTE_SCOPE.link,
    table: ROUTE_TABLE.main,
    metric: CONNECTED_METRIC[family],
    source: family === 4 ? address.address : undefined,
  });
}

/** Whether a route goes now that `lost`, one of the devices, is down (or removed, and no longer among the links). */
export function survivesLoss(state: RoutingState, route: Route, lost: IfIndex): boolean {
  const family = route.destination.address.family;
  if (family === 6 && lost === LOOPBACK_INDEX && discards(route.type)) return false;
  if (!route.nextHops.some((hop) => hop.index === lost)) return true;
  if (family === 4 && !state.links.has(lost)) return false;
  return route.nextHops.some((hop) => hop.index !== undefined && (state.links.get(hop.index)?.up ?? false));
}

/** The route without next hops through devices that are no more. */
export function withoutRemovedHops(state: RoutingState, route: Route): Route {
  const nextHops = route.nextHops.filter((hop) => hop.index !== undefined && state.links.has(hop.index));
  return nextHops.length === route.nextHops.length ? route : { ...route, nextHops };
}

function refuse(route: Route, code: string, text?: string): never {
  const reason = text === undefined ? code : `${code}: ${text}`;
  throw new KernelError(code, `putting route ${formatCidr(route.destination)} table ${route.table}: ${reason}`);
}
