/**
 * How a fresh process knows that a kernel object is ours: one row for each kind.
 *
 *   object             mark                                                        removed when not desired
 *   route              table main, protocol 12 (bird) or 80; or protocol 3 (boot)  yes
 *                      on a device whose name begins with "cali"
 *   device             name begins with "cali"; made and removed by CNI ADD, DEL   no: only its container's DEL may
 *   tunnel             vxlan.calico, vxlan-v6.calico; tunl0, where it is not the   yes
 *                      kernel's own, which counts from when we have wanted it      no: its address goes, and it goes down
 *   neighbour,         stands on a VXLAN tunnel                                    yes
 *   forwarding entry
 *   proxy neighbour    stands on a "cali" device                                   goes with its device
 *   nftables           the tables `inet muslin` and `inet muslin-cuts`, whole      yes
 *   iptables           chains "cali-…", rules that lead there or bear "cali:"      yes
 *   ipset              name begins with "cali4" or "cali6"                         yes
 *   sysctl             of a "cali" device; the host's that settings.ts lists       with its device; the host's stay on
 *
 * What bears no mark is never removed, and changed only where it stands in the very place of something desired: the
 * kernel holds one route for a destination, table and metric, so a foreign one there has to give way.
 * A second speaker that writes "proto bird" routes into the main table of the same host would be taken for us.
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
