/**
 * How the kernel itself would send to an address: RTM_GETROUTE for one destination.
 *
 * Other than a dump it goes through rules, tables and next hops, and names the address to send from even where no route says
 * one. The answer is not a route that somebody has put there, so it is not a Route.
 *
 * Source: linux/rtnetlink.h. Called by bpf/ipip-programs.ts.
 */
import { addressBits, type Ip, ipFromBytes } from '../../net/ip.ts';
import { AF } from './family.ts';
import { type NetlinkMessage, type NetlinkRequest, NetlinkWriter, parseAttributes } from './message.ts';
import { RTM_ROUTE } from './route.ts';

const RTMSG_LENGTH = 12;
const RTA = { destination: 1, preferredSource: 7 } as const;

/** ENETUNREACH and its like when there is no way. */
export function encodeWayGet(destination: Ip): NetlinkRequest {
  const { family, bytes } = destination;
  // struct rtmsg, of which a question has family and length of the destination alone.
  const writer = new NetlinkWriter().u8(AF[family]).u8(addressBits(family)).u16(0).u32(0).u32(0);
  return { type: RTM_ROUTE.get, flags: 0, body: writer.attribute(RTA.destination, bytes).finish() };
}

/** The address that the host would send from; undefined for other messages. */
export function decodeWaySource(message: NetlinkMessage): Ip | undefined {
  if (message.type !== RTM_ROUTE.new) return undefined;
  const source = parseAttributes(message.body, RTMSG_LENGTH)?.get(RTA.preferredSource);
  return source?.length === 4 || source?.length === 16 ? ipFromBytes(source) : undefined;
}
