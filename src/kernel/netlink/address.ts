/**
 * Addresses of devices: RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR.
 *
 * The body is a struct ifaddrmsg and IFA_… attributes. On a point-to-point device IFA_LOCAL is the device's own address
 * and IFA_ADDRESS the other end's; elsewhere both are the same, and IPv6 leaves IFA_LOCAL out. IPv6 addresses are added
 * with IFA_F_NODAD: IPAM has made them unique, and duplicate address detection would keep a container waiting for a
 * second before it can speak.
 *
 * Source: linux/if_addr.h.
 */

import { byteAt } from '../../lib/bytes.ts';
import { addressBits, type Ip, ipFromBytes } from '../../net/ip.ts';
import { type Address, type IfIndex, ifIndex } from '../../net/kernel-objects.ts';
import { AF, familyOfNumber } from './family.ts';
import { type NetlinkMessage, type NetlinkRequest, NetlinkWriter, NLM_F, parseAttributes, u32At } from './message.ts';

export const RTM_ADDRESS = { new: 20, del: 21, get: 22 } as const;

const IFADDRMSG_LENGTH = 8;
const IFA = { address: 1, local: 2 } as const;
const IFA_F_NODAD = 0x02;

/** A dump of all addresses of both families. */
export function encodeAddressesDump(): NetlinkRequest {
  return { type: RTM_ADDRESS.get, flags: NLM_F.dump, body: new Uint8Array(IFADDRMSG_LENGTH) };
}

export function encodeAddressAdd(index: IfIndex, address: Ip, prefixLength: number): NetlinkRequest {
  const body = ifaddrmsg(index, address, prefixLength, address.family === 6 ? IFA_F_NODAD : 0);
  return { type: RTM_ADDRESS.new, flags: NLM_F.create | NLM_F.exclusive, body };
}

export function encodeAddressRemove(index: IfIndex, address: Ip, prefixLength: number): NetlinkRequest {
  return { type: RTM_ADDRESS.del, flags: 0, body: ifaddrmsg(index, address, prefixLength, 0) };
}

/** struct ifaddrmsg: family, prefix length, flags, scope, index; then the address, which is the other end's, too. */
function ifaddrmsg(index: IfIndex, address: Ip, prefixLength: number, flags: number): Uint8Array {
  const writer = new NetlinkWriter().u8(AF[address.family]).u8(prefixLength).u8(flags).u8(0).u32(index);
  return writer.attribute(IFA.local, address.bytes).attribute(IFA.address, address.bytes).finish();
}

/** The address that an RTM_NEWADDR or RTM_DELADDR describes; undefined for other messages, other families and malformed ones. */
export function decodeAddress(message: NetlinkMessage): Address | undefined {
  const attributes = parseAttributes(message.body, IFADDRMSG_LENGTH);
  const isAddress = message.type === RTM_ADDRESS.new || message.type === RTM_ADDRESS.del;
  if (!isAddress || attributes === undefined) return undefined;
  const family = familyOfNumber(byteAt(message.body, 0));
  const prefixLength = byteAt(message.body, 1);
  const bytes = attributes.get(IFA.local) ?? attributes.get(IFA.address);
  if (family === undefined || bytes?.length !== addressBits(family) / 8) return undefined;
  if (prefixLength > addressBits(family)) return undefined;
  return { index: ifIndex(u32At(message.body, 4)), address: ipFromBytes(bytes), prefixLength };
}
