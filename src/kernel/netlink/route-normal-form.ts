/**
 * One form for what IPv4 and IPv6 say differently about a route, so that a desired route equals what is read back.
 *
 * In IPv6 the kernel turns metric 0 into 1024, has no scopes (all read as universe), and hangs a route that discards
 * (blackhole, unreachable, prohibit, throw) on lo. In normal form such a route has metric 0, scope 0, and no next hop.
 * So an IPv6 route asked for with metric 1024 is read back with 0: they are the same route, and 0 is how it is written.
 *
 * Called by the codec when it reads and writes, and by the fake kernel when it stores.
 * Source: net/ipv6/route.c (ip6_route_info_create) and linux/ipv6_route.h (IP6_RT_PRIO_USER).
 */
import { ROUTE_SCOPE, type Route, type RouteType } from '../../net/kernel-objects.ts';

/** IP6_RT_PRIO_USER. */
const IPV6_DEFAULT_METRIC = 1024;
/** lo is the first device of every namespace; the kernel itself relies on this number. */
export const LOOPBACK_INDEX = 1;

const DISCARDING: readonly RouteType[] = ['blackhole', 'unreachable', 'prohibit', 'throw'];

/** Whether the type ends the search without forwarding: such routes have no next hop. */
export function discards(type: RouteType): boolean {
  return DISCARDING.includes(type);
}

export function normalRoute(route: Route): Route {
  if (route.destination.address.family === 4) return route;
  return {
    ...route,
    nextHops: discards(route.type) ? [] : route.nextHops,
    scope: ROUTE_SCOPE.universe,
    metric: route.metric === IPV6_DEFAULT_METRIC ? 0 : route.metric,
  };
}

/** The metric as the kernel holds it: what to say in a request, so that it cannot mean "any". */
export function kernelMetric(route: Route): number {
  return route.destination.address.family === 6 && route.metric === 0 ? IPV6_DEFAULT_METRIC : route.metric;
}
