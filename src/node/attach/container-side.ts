/**
 * The container's end of the wire: its address, its routes, its one neighbour.
 *
 *   eth0            the address alone: 172.17.8.2/32, fd00::2/128
 *   169.254.1.1     dev eth0 scope link; default via 169.254.1.1          (IPv4)
 *   default         via fe80::ecee:eeff:feee:eeee dev eth0                (IPv6: the link-local address of the host's end)
 *   neighbour       the gateway is at ee:ee:ee:ee:ee:ee, for good
 *
 * No device has 169.254.1.1. The host answers ARP for it all the same (see felix/dataplane), so a container that loses the
 * permanent neighbour entry is not cut off; with the entry it does not even have to ask. Duplicate address detection
 * is switched off: an address that IPAM gave is ours, and waiting a second to find out would be felt at each start.
 */
import { WORKLOAD_GATEWAY } from '../../felix/desired/desired.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { familyOf, hostPrefix, prefixOf } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { addressBits, formatIp, ip, sameIp } from '../../net/ip.ts';
import type { IfIndex, Link, Route } from '../../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE, ROUTE_TABLE } from '../../net/kernel-objects.ts';
import { WORKLOAD_HOST_MAC } from '../../net/mac.ts';

/** Made from WORKLOAD_HOST_MAC as RFC 4291 appendix A says (modified EUI-64). */
const IPV6_GATEWAY = ip('fe80::ecee:eeff:feee:eeee');

/**
 * The first interface has the plain routes. A later one has its own beside them, less preferred (IPv6's usual metric is
 * 1024) and told apart by its index: two routes that differ in nothing but the device would replace each other.
 */
const LATER_METRIC = 1024;

/** The gateway that a container has in each family. */
export function workloadGateway(family: Family): Ip {
  return family === 4 ? WORKLOAD_GATEWAY : IPV6_GATEWAY;
}

/** Sets up `link`, which is down, with the given addresses, and brings it up. Throws KernelError. */
export function configureContainerSide(kernel: Kernel, link: Link, addresses: readonly Ip[]): void {
  if (addresses.some((address) => address.family === 6)) {
    kernel.writeSysctl(`ipv6/conf/${link.name}/disable_ipv6`, '0');
    kernel.writeSysctl(`ipv6/conf/${link.name}/accept_dad`, '0');
  }
  kernel.setLinkUp(link.index, true);
  const existing = kernel.routes(ROUTE_TABLE.main);
  for (const address of addresses) {
    kernel.addAddress(link.index, address, addressBits(address.family));
    const isFirst = !existing.some(
      ({ destination }) => destination.length === 0 && familyOf(destination) === address.family,
    );
    const metric = isFirst ? 0 : LATER_METRIC + link.index;
    for (const route of containerRoutes(link.index, address.family, metric)) kernel.putRoute(route);
    const gateway = workloadGateway(address.family);
    kernel.putNeighbour({ index: link.index, address: gateway, mac: WORKLOAD_HOST_MAC, permanent: true });
  }
}

/** What a container that was attached lacks now, in words; undefined when all is there. For CNI CHECK. */
export function containerSideProblem(
  kernel: Kernel,
  interfaceName: string,
  addresses: readonly Ip[],
): string | undefined {
  const link = kernel.link(interfaceName);
  if (link === undefined) return `there is no interface ${interfaceName}`;
  if (!link.up) return `interface ${interfaceName} is down`;
  const present = kernel.addresses().filter(({ index }) => index === link.index);
  const missing = addresses.find((address) => !present.some((each) => sameIp(each.address, address)));
  if (missing !== undefined) return `interface ${interfaceName} does not have ${formatIp(missing)}`;
  const routes = kernel.routes(ROUTE_TABLE.main);
  const unrouted = addresses.find(({ family }) => {
    return !routes.some((route) => isDefaultVia(route, workloadGateway(family), link.index));
  });
  if (unrouted === undefined) return undefined;
  return `there is no default route via ${formatIp(workloadGateway(unrouted.family))} dev ${interfaceName}`;
}

function isDefaultVia(route: Route, gateway: Ip, index: IfIndex): boolean {
  const leadsThere = route.nextHops.some((hop) => sameIp(hop.gateway, gateway) && hop.index === index);
  return route.destination.length === 0 && leadsThere;
}

function containerRoutes(index: IfIndex, family: Family, metric: number): Route[] {
  const gateway = workloadGateway(family);
  const everything = prefixOf(gateway, 0);
  const common = {
    type: 'unicast',
    protocol: ROUTE_PROTOCOL.boot,
    table: ROUTE_TABLE.main,
    metric,
    source: undefined,
  } as const;
  const viaGateway: Route = {
    ...common,
    destination: everything,
    scope: ROUTE_SCOPE.universe,
    nextHops: [{ gateway, index, onlink: false }],
  };
  if (family === 6) return [viaGateway]; // link-local addresses are on every link
  const toGateway: Route = {
    ...common,
    destination: hostPrefix(gateway),
    scope: ROUTE_SCOPE.link,
    nextHops: [{ gateway: undefined, index, onlink: false }],
  };
  return [toGateway, viaGateway];
}
