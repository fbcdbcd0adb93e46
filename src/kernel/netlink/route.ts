/**
 * Routes: RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE.
 *
 * The body is a struct rtmsg and RTA_… attributes. One next hop is written into the route itself (RTA_OIF, RTA_GATEWAY,
 * the onlink flag in rtm_flags); several are a list of struct rtnexthop in RTA_MULTIPATH. A table above 255 does not fit
 * rtm_table and goes into RTA_TABLE, which counts always. Routes that a Route cannot express (by type of service, by
 * source prefix, the kernel's cache of exceptions) are not decoded, so nobody takes them for something else.
 *
 * What the two families say differently is made one in route-normal-form.ts, and nowhere else.
 * Source: linux/rtnetlink.h.
 */
import { byteAt } from '../../lib/bytes.ts';
import { type Cidr, prefixOf } from '../../net/cidr.ts';
import { addressBits, type Family, type Ip, ipFromBytes } from '../../net/ip.ts';
import { ifIndex, type NextHop, ROUTE_TABLE, type Route, type RouteType } from '../../net/kernel-objects.ts';
import { AF, familyOfNumber } from './family.ts';
import {
  type Attributes,
  aligned,
  type NetlinkMessage,
  type NetlinkRequest,
  NetlinkWriter,
  NLM_F,
  parseAttributes,
  u16At,
  u32At,
  u32Of,
} from './message.ts';
import { discards, kernelMetric, LOOPBACK_INDEX, normalRoute } from './route-normal-form.ts';

export const RTM_ROUTE = { new: 24, del: 25, get: 26 } as const;

const RTMSG_LENGTH = 12;
const RTNEXTHOP_LENGTH = 8;
const RTM_F_CLONED = 0x200;
const RTNH_F_ONLINK = 0x4;
/** rtm_table of a route whose table is in RTA_TABLE only. */
const RT_TABLE_UNSPEC = 0;
/** rtm_scope of a removal: any scope. */
const RT_SCOPE_NOWHERE = 255;
const RTA = {
  destination: 1,
  source: 2,
  outInterface: 4,
  gateway: 5,
  priority: 6,
  preferredSource: 7,
  multipath: 9,
  table: 15,
  via: 18,
} as const;

const TYPE_NUMBERS: Readonly<Record<Exclude<RouteType, 'other'>, number>> = {
  unicast: 1,
  local: 2,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
};
const TYPE_NAMES = new Map<number, RouteType>(
  Object.entries(TYPE_NUMBERS).map(([name, number]) => [number, name as RouteType]),
);

/** A dump of one table and family; the kernel filters, if the socket has NETLINK_GET_STRICT_CHK. */
export function encodeRoutesDump(family: Family, table: number): NetlinkRequest {
  const writer = new NetlinkWriter();
  rtmsg(writer, { family, length: 0, table, protocol: 0, scope: 0, type: 0, flags: 0 });
  return { type: RTM_ROUTE.get, flags: NLM_F.dump, body: writer.attributeU32(RTA.table, table).finish() };
}

/** Adds the route, or puts it in the place of the one with the same key. */
export function encodeRoutePut(route: Route): NetlinkRequest {
  return { type: RTM_ROUTE.new, flags: NLM_F.create | NLM_F.replace, body: encodeRoute(route) };
}

/**
 * Removes the route with this destination, table, metric, protocol and type, whatever its next hops are. The kernel
 * takes metric 0 (IPv4) and, for IPv6, any type for "whichever comes first"; so the request asks to be told what was
 * removed (NLM_F_ECHO), and the caller must look.
 */
export function encodeRouteRemove(route: Route): NetlinkRequest {
  const writer = new NetlinkWriter();
  const { family } = route.destination.address;
  rtmsg(writer, { ...headOf(route), scope: RT_SCOPE_NOWHERE, flags: 0 });
  key(writer, route);
  if (family === 6 && discards(route.type)) writer.attributeU32(RTA.outInterface, LOOPBACK_INDEX);
  return { type: RTM_ROUTE.del, flags: NLM_F.echo, body: writer.finish() };
}

/** Puts back a route that an RTM_DELROUTE has reported as removed, with everything it had, known to us or not. */
export function encodeRouteRestore(removed: NetlinkMessage): NetlinkRequest {
  const body = removed.body.slice();
  // What the kernel reports about the state of the next hop is not accepted as a wish.
  new DataView(body.buffer).setUint32(8, u32At(body, 8) & RTNH_F_ONLINK, true);
  return { type: RTM_ROUTE.new, flags: NLM_F.create | NLM_F.exclusive, body };
}

/** The body of an RTM_NEWROUTE. */
function encodeRoute(route: Route): Uint8Array {
  const writer = new NetlinkWriter();
  const family = route.destination.address.family;
  const [only, ...others] = route.nextHops;
  const flags = only !== undefined && others.length === 0 ? hopFlags(only) : 0;
  rtmsg(writer, { ...headOf(route), flags });
  key(writer, route);
  if (route.source !== undefined) writer.attribute(RTA.preferredSource, route.source.bytes);
  if (only !== undefined && others.length === 0) {
    if (only.index !== undefined) writer.attributeU32(RTA.outInterface, only.index);
    gateway(writer, family, only.gateway);
  } else if (only !== undefined) {
    writer.nested(RTA.multipath, () => {
      for (const hop of route.nextHops) nextHop(writer, family, hop);
    });
  }
  return writer.finish();
}

/**
 * The route that an RTM_NEWROUTE or RTM_DELROUTE describes, in normal form; undefined for other messages, for what a
 * Route cannot express, and for malformed ones.
 */
export function decodeRoute(message: NetlinkMessage): Route | undefined {
  const { type, body } = message;
  if (type !== RTM_ROUTE.new && type !== RTM_ROUTE.del) return undefined;
  const attributes = parseAttributes(body, RTMSG_LENGTH);
  const family = familyOfNumber(byteAt(body, 0));
  if (attributes === undefined || family === undefined) return undefined;
  const [sourceLength, typeOfService] = [byteAt(body, 2), byteAt(body, 3)];
  const flags = u32At(body, 8);
  if ((flags & RTM_F_CLONED) !== 0 || sourceLength !== 0 || typeOfService !== 0) return undefined;
  const destination = destinationOf(attributes, family, byteAt(body, 1));
  const nextHops = nextHopsOf(attributes, family, flags);
  const source = attributes.get(RTA.preferredSource);
  if (destination === undefined || nextHops === undefined) return undefined;
  if (source !== undefined && source.length !== addressBits(family) / 8) return undefined;
  return normalRoute({
    destination,
    type: TYPE_NAMES.get(byteAt(body, 7)) ?? 'other',
    nextHops,
    protocol: byteAt(body, 5),
    scope: byteAt(body, 6),
    table: u32Of(attributes.get(RTA.table)) ?? byteAt(body, 4),
    metric: u32Of(attributes.get(RTA.priority)) ?? 0,
    source: source === undefined ? undefined : ipFromBytes(source),
  });
}

interface Head {
  readonly family: Family;
  readonly length: number;
  readonly table: number;
  readonly protocol: number;
  readonly scope: number;
  readonly type: number;
  readonly flags: number;
}

function headOf(route: Route): Omit<Head, 'flags'> {
  const { destination, table, protocol, scope, type } = route;
  if (type === 'other') throw new RangeError('a route of type "other" can be read, but not written');
  const { family } = destination.address;
  return { family, length: destination.length, table, protocol, scope, type: TYPE_NUMBERS[type] };
}

/** struct rtmsg: family, lengths of destination and source prefix, type of service, table, protocol, scope, type, flags. */
function rtmsg(writer: NetlinkWriter, head: Head): void {
  writer.u8(AF[head.family]).u8(head.length).u8(0).u8(0);
  writer.u8(head.table > ROUTE_TABLE.local ? RT_TABLE_UNSPEC : head.table);
  writer.u8(head.protocol).u8(head.scope).u8(head.type).u32(head.flags);
}

function key(writer: NetlinkWriter, route: Route): void {
  if (route.destination.length > 0) writer.attribute(RTA.destination, route.destination.address.bytes);
  writer.attributeU32(RTA.table, route.table);
  const metric = kernelMetric(route);
  if (metric !== 0) writer.attributeU32(RTA.priority, metric);
}

/** struct rtnexthop, whose length counts its attributes: length, flags, weight - 1, index. */
function nextHop(writer: NetlinkWriter, family: Family, hop: NextHop): void {
  const start = writer.length;
  writer
    .u16(0)
    .u8(hopFlags(hop))
    .u8(0)
    .u32(hop.index ?? 0);
  gateway(writer, family, hop.gateway);
  writer.patchU16(start, writer.length - start);
}

/** RTA_GATEWAY, or RTA_VIA for an IPv4 route through an IPv6 gateway. */
function gateway(writer: NetlinkWriter, family: Family, address: Ip | undefined): void {
  if (address === undefined) return;
  if (address.family === family) writer.attribute(RTA.gateway, address.bytes);
  else writer.nested(RTA.via, () => writer.u16(AF[address.family]).bytes(address.bytes));
}

function hopFlags(hop: NextHop): number {
  return hop.onlink ? RTNH_F_ONLINK : 0;
}

function destinationOf(attributes: Attributes, family: Family, length: number): Cidr | undefined {
  const bytes = attributes.get(RTA.destination) ?? new Uint8Array(addressBits(family) / 8);
  if (bytes.length !== addressBits(family) / 8 || length > addressBits(family)) return undefined;
  return prefixOf(ipFromBytes(bytes), length);
}

function nextHopsOf(attributes: Attributes, family: Family, flags: number): NextHop[] | undefined {
  const list = attributes.get(RTA.multipath);
  if (list !== undefined) return multipathOf(list, family);
  const gateway = gatewayOf(attributes, family);
  const index = u32Of(attributes.get(RTA.outInterface));
  if (gateway === 'malformed') return undefined;
  if (gateway === undefined && index === undefined) return [];
  return [{ gateway, index: index === undefined ? undefined : ifIndex(index), onlink: (flags & RTNH_F_ONLINK) !== 0 }];
}

function multipathOf(list: Uint8Array, family: Family): NextHop[] | undefined {
  const hops: NextHop[] = [];
  let offset = 0;
  while (offset < list.length) {
    const remaining = list.length - offset;
    if (remaining < RTNEXTHOP_LENGTH) return undefined;
    const length = u16At(list, offset);
    if (length < RTNEXTHOP_LENGTH || length > remaining) return undefined;
    const attributes = parseAttributes(list.subarray(offset + RTNEXTHOP_LENGTH, offset + length));
    const gateway = attributes === undefined ? 'malformed' : gatewayOf(attributes, family);
    if (gateway === 'malformed') return undefined;
    const index = u32At(list, offset + 4);
    const onlink = (byteAt(list, offset + 2) & RTNH_F_ONLINK) !== 0;
    hops.push({ gateway, index: index === 0 ? undefined : ifIndex(index), onlink });
    offset += aligned(length);
  }
  return hops;
}

function gatewayOf(attributes: Attributes, family: Family): Ip | undefined | 'malformed' {
  const plain = attributes.get(RTA.gateway);
  if (plain !== undefined) return plain.length === addressBits(family) / 8 ? ipFromBytes(plain) : 'malformed';
  const via = attributes.get(RTA.via);
  if (via === undefined) return undefined;
  const viaFamily = via.length < 2 ? undefined : familyOfNumber(u16At(via, 0));
  if (viaFamily === undefined || via.length !== 2 + addressBits(viaFamily) / 8) return 'malformed';
  return ipFromBytes(via.subarray(2));
}
