/**
 * What a kernel holds, as values: links, addresses, routes, neighbours.
 *
 * The contract between the dataplane, which decides what should be there, and the kernel room, which reads and
 * writes it. Fields bear rtnetlink's names, spelled out. Numbers that the kernel assigns meaning to (protocols, scopes,
 * tables) keep their numbers, because unknown ones must survive being read.
 */
import type { Brand } from '../lib/brand.ts';
import type { Cidr } from './cidr.ts';
import { formatCidr, sameCidr } from './cidr.ts';
import type { Ip } from './ip.ts';
import { formatIp, sameIp } from './ip.ts';
import type { Mac } from './mac.ts';

export type IfIndex = Brand<number, 'IfIndex'>;

export function ifIndex(value: number): IfIndex {
  return value as IfIndex;
}

export interface Link {
  readonly index: IfIndex;
  readonly name: string;
  readonly mac: Mac | undefined;
  readonly mtu: number;
  /** Administratively up (IFF_UP). */
  readonly up: boolean;
  /** Up and with a carrier (IFF_LOWER_UP). */
  readonly carrier: boolean;
  /** IFLA_INFO_KIND: "veth", "bridge", "vxlan" …; undefined for a device of no kind, such as lo or a real card. */
  readonly kind: string | undefined;
  /** Of a device of kind "vxlan" only. */
  readonly vxlan?: VxlanAttributes;
}

/** What makes a VXLAN device the one it is: none of these can be changed but by making it anew. */
export interface VxlanAttributes {
  /** The network's number, 24 bits. */
  readonly vni: number;
  /** The UDP port of all its machines. */
  readonly port: number;
  /** Our end's address; undefined when the kernel chooses. */
  readonly local: Ip | undefined;
  /** The device that the tunnel goes through. */
  readonly parent: IfIndex | undefined;
  /** Whether it believes what it hears; ours is told who is where. */
  readonly learning: boolean;
}

export interface Address {
  readonly index: IfIndex;
  readonly address: Ip;
  readonly prefixLength: number;
}

/** rtm_type of linux/rtnetlink.h; others are kept as "other". */
export type RouteType = 'unicast' | 'local' | 'blackhole' | 'unreachable' | 'prohibit' | 'throw' | 'other';

export interface NextHop {
  readonly gateway: Ip | undefined;
  readonly index: IfIndex | undefined;
  readonly onlink: boolean;
}

export interface Route {
  readonly destination: Cidr;
  readonly type: RouteType;
  /** One, or several for ECMP; none for a blackhole. */
  readonly nextHops: readonly NextHop[];
  readonly protocol: number;
  readonly scope: number;
  readonly table: number;
  readonly metric: number;
  /** RTA_PREFSRC: the source address that the host itself uses with this route. */
  readonly source: Ip | undefined;
}

export interface Neighbour {
  readonly index: IfIndex;
  readonly address: Ip;
  readonly mac: Mac | undefined;
  readonly permanent: boolean;
}

/** Behind which machine a MAC address of a VXLAN device is reached (an entry of its forwarding database). */
export interface ForwardingEntry {
  readonly index: IfIndex;
  readonly mac: Mac;
  readonly destination: Ip;
}

/** A device that answers for an address which it does not have (NTF_PROXY). */
export interface NeighbourProxy {
  readonly index: IfIndex;
  readonly address: Ip;
}

/**
 * rtm_protocol. BIRD's number is kept for what comes by BGP, since operators read and grep for "proto bird"; Felix's (80, Calico's
 * for tunnels) for what follows from the store.
 */
export const ROUTE_PROTOCOL = { kernel: 2, boot: 3, static: 4, bird: 12, felix: 80 } as const;
export const ROUTE_SCOPE = { universe: 0, link: 253, host: 254 } as const;
export const ROUTE_TABLE = { main: 254, local: 255 } as const;

/** What the kernel tells routes apart by: two routes with the same key cannot both exist. */
export function routeKey(route: Pick<Route, 'destination' | 'table' | 'metric'>): string {
  return `${formatCidr(route.destination)} table ${route.table} metric ${route.metric}`;
}

export function sameNextHop(a: NextHop, b: NextHop): boolean {
  return a.index === b.index && a.onlink === b.onlink && sameIp(a.gateway, b.gateway);
}

/** Whether two routes would forward alike and look alike: every field counts, the order of next hops does not. */
export function sameRoute(a: Route, b: Route): boolean {
  return (
    sameCidr(a.destination, b.destination) &&
    a.type === b.type &&
    a.protocol === b.protocol &&
    a.scope === b.scope &&
    a.table === b.table &&
    a.metric === b.metric &&
    sameIp(a.source, b.source) &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((hop) => b.nextHops.some((other) => sameNextHop(hop, other))) &&
    b.nextHops.every((hop) => a.nextHops.some((other) => sameNextHop(hop, other)))
  );
}

/** One line in the manner of `ip route`, for messages and dumps; devices are named by `deviceName`. */
export function formatRoute(route: Route, deviceName: (index: IfIndex) => string | undefined): string {
  const hop = (nextHop: NextHop): string => {
    const device = nextHop.index === undefined ? undefined : (deviceName(nextHop.index) ?? `if${nextHop.index}`);
    const via = nextHop.gateway === undefined ? '' : ` via ${formatIp(nextHop.gateway)}`;
    return `${via}${device === undefined ? '' : ` dev ${device}`}${nextHop.onlink ? ' onlink' : ''}`;
  };
  const type = route.type === 'unicast' ? '' : `${route.type} `;
  return `${type}${formatCidr(route.destination)}${route.nextHops.map(hop).join(' nexthop')} proto ${route.protocol}`;
}
