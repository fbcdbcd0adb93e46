/**
 * How a fresh process knows that a kernel object is ours: one row for each kind.
 *
 *   object             mark                                                        removed when not desired
 *   route              table main, protocol 12 (bird) or 80; 3 on a "cali" device  yes
 *   device             name begins with "cali"; made and removed by CNI ADD, DEL   no: only its container's DEL may
 *   tunnel             vxlan.calico, vxlan-v6.calico, tunl0; the kernel's own      yes; the kernel's own goes down and
 *                      tunl0 from when we have wanted it                           loses its addresses
 *   neighbour, FDB     stands on a VXLAN tunnel                                    yes
 *   proxy neighbour    stands on a "cali" device                                   goes with its device
 *   nftables           the tables `inet muslin` and `inet muslin-cuts`, whole      yes
 *   iptables           chains "cali-…", rules that lead there or bear "cali:"      yes
 *   ipset              name begins with "cali4" or "cali6"                         yes
 *   sysctl             of a "cali" device; the host's that settings.ts lists       with its device; the host's stay on
 *
 * What bears no mark is never removed, and gives way only in the very place of something desired. Other speakers' "proto bird" is ours.
 */
import type { Route } from '../../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_TABLE } from '../../net/kernel-objects.ts';

export const WORKLOAD_DEVICE_PREFIX = 'cali';

export function isWorkloadDevice(name: string): boolean {
  return name.startsWith(WORKLOAD_DEVICE_PREFIX);
}

/** "local" came from an endpoint, "stored" from what the store says of other hosts, "learned" from BGP or from a block of ours. */
export type RouteOwner = 'local' | 'stored' | 'learned';

/** Whose route it is; undefined is foreign. */
export function routeOwnership(route: Route, deviceNames: readonly string[]): RouteOwner | undefined {
  if (route.table !== ROUTE_TABLE.main) return undefined;
  if (route.protocol === ROUTE_PROTOCOL.bird) return 'learned';
  if (route.protocol === ROUTE_PROTOCOL.felix) return 'stored';
  if (route.protocol === ROUTE_PROTOCOL.boot && deviceNames.some(isWorkloadDevice)) return 'local';
  return undefined;
}
