/**
 * From a desired route to the one that a kernel understands.
 *
 * Desired routes name devices and gateways; the kernel wants interface indexes. A gateway's device is the one whose
 * subnet holds the gateway: hosts on one segment are each other's next hops, and "onlink" keeps the kernel from asking
 * whether it agrees. A link-local gateway is on every device's subnet, so it comes with its device; IPv4 routes may have
 * such gateways, too (RFC 8950). What cannot be resolved yet (a device that is not there, a gateway on no subnet of ours) is a reason
 * to wait, shown to the operator, not an error.
 *
 * The shapes are those that operators know:
 *   172.17.8.2 dev cali… scope link                                    protocol boot, which `ip` leaves out
 *   172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink       learnt by BGP
 *   172.17.9.0/24 via 192.168.200.101 dev tunl0 proto bird onlink      the same, through a tunnel
 *   172.17.9.0/24 via 172.17.9.0 dev vxlan.calico proto 80 onlink      from the store
 *   blackhole 172.17.8.0/24 proto bird
 */
import { formatCidr, prefixOf, sameCidr } from '../../net/cidr.ts';
import { compareIp, formatIp, isLinkLocal } from '../../net/ip.ts';
import type { NextHop, Route } from '../../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE, ROUTE_TABLE } from '../../net/kernel-objects.ts';
import type { DesiredRoute, Gateway } from '../desired/desired.ts';
import { isTunnelDevice } from '../desired/tunnels.ts';
import type { Interfaces } from './interfaces.ts';
import { isWorkloadDevice } from './ownership.ts';

export type Resolution = { readonly route: Route } | { readonly waitingFor: string };

/** The kernel route that fulfils a desired one, or what it waits for. */
export function resolveRoute(desired: DesiredRoute, interfaces: Interfaces): Resolution {
  const { destination, target } = desired;
  const common = { destination, table: ROUTE_TABLE.main, metric: 0, source: undefined };
  switch (target.kind) {
    case 'blackhole': {
      const route = {
        ...common,
        type: 'blackhole',
        nextHops: [],
        protocol: ROUTE_PROTOCOL.bird,
        scope: ROUTE_SCOPE.universe,
      };
      return { route: route as Route };
    }
    case 'device': {
      const link = interfaces.link(target.deviceName);
      if (link === undefined) return { waitingFor: `device ${target.deviceName} does not exist` };
      if (!link.up) return { waitingFor: `device ${target.deviceName} is down` };
      const protocol = protocolOfDevice(link.name);
      const nextHops = [{ gateway: undefined, index: link.index, onlink: false }];
      const scope = destination.address.family === 4 ? ROUTE_SCOPE.link : ROUTE_SCOPE.universe; // IPv6 has no scopes
      return { route: { ...common, type: 'unicast', nextHops, protocol, scope } };
    }
    case 'gateways': {
      const hops = [...target.gateways].sort(compareGateways).map((gateway) => nextHopTo(gateway, interfaces));
      const found = hops.filter((hop) => typeof hop !== 'string');
      const missing = hops.find((hop) => typeof hop === 'string');
      if (found.length === 0) return { waitingFor: missing ?? `${formatCidr(destination)} has no gateway` };
      const protocol = ROUTE_PROTOCOL[target.protocol];
      return { route: { ...common, type: 'unicast', nextHops: found, protocol, scope: ROUTE_SCOPE.universe } };
    }
  }
}

/** A container's; a tunnel's, to a gateway in it; or loopback's, to the gateway of all containers. */
function protocolOfDevice(name: string): number {
  if (isWorkloadDevice(name)) return ROUTE_PROTOCOL.boot;
  return isTunnelDevice(name) ? ROUTE_PROTOCOL.felix : ROUTE_PROTOCOL.bird;
}

/** In the order of their devices, so that the links of a host have the same place in all of its routes. */
function compareGateways(a: Gateway, b: Gateway): number {
  const [left, right] = [a.deviceName ?? '', b.deviceName ?? ''];
  return (left < right ? -1 : Number(left > right)) || compareIp(a.address, b.address);
}

function nextHopTo({ address: gateway, deviceName }: Gateway, interfaces: Interfaces): NextHop | string {
  if (deviceName !== undefined) {
    const link = interfaces.link(deviceName);
    if (link?.up !== true) return `device ${deviceName}, by which ${formatIp(gateway)} is reached, is not up`;
    return { gateway, index: link.index, onlink: true };
  }
  if (isLinkLocal(gateway)) return `${formatIp(gateway)} is link-local and comes without its device`;
  const nearest = [...interfaces.addresses()]
    .filter(({ address, prefixLength }) => {
      const sameFamily = address.family === gateway.family;
      return sameFamily && sameCidr(prefixOf(address, prefixLength), prefixOf(gateway, prefixLength));
    })
    .filter(({ index }) => interfaces.linkAt(index)?.up === true)
    .sort((a, b) => b.prefixLength - a.prefixLength || a.index - b.index)[0];
  if (nearest === undefined) {
    return `no device that is up has ${formatIp(gateway)} in its subnet; behind a router, its pool needs a tunnel (ipipMode or vxlanMode: CrossSubnet)`;
  }
  return { gateway, index: nearest.index, onlink: true };
}
