/**
 * Neighbours (ARP and NDP entries), proxy neighbours and forwarding entries: RTM_NEWNEIGH, RTM_DELNEIGH, RTM_GETNEIGH.
 *
 * The body is a struct ndmsg and NDA_… attributes. A proxy entry (NTF_PROXY) is another thing in the same message: an
 * address for which the device answers although nobody has it. The two are dumped apart. Entries of state NUD_NOARP are
 * the kernel's own, made for multicast and for devices without ARP; they are left out. A forwarding entry is the same message
 * again, of family AF_BRIDGE: behind which machine (NDA_DST) a VXLAN device reaches a MAC address.
 *
 * Source: linux/neighbour.h.
 */
import { byteAt } from '../../lib/bytes.ts';
import { addressBits, type Ip, ipFromBytes } from '../../net/ip.ts';
import { type ForwardingEntry, type IfIndex, ifIndex, type Neighbour } from '../../net/kernel-objects.ts';
import { macBytes, macFromBytes } from '../../net/mac.ts';
import { AF, familyOfNumber } from './family.ts';
import {
  type NetlinkMessage,
  type NetlinkRequest,
  NetlinkWriter,
  NLM_F,
  parseAttributes,
  u16At,
  u32At,
} from './message.ts';

const RTM_NEIGHBOUR = { new: 28, del: 29, get: 30 } as const;

const NDMSG_LENGTH = 12;
const NDA = { destination: 1, linkLayerAddress: 2 } as const;
const NTF_SELF = 0x02;
const NTF_PROXY = 0x08;
const AF_BRIDGE = 7;
const NUD = { reachable: 0x02, noArp: 0x40, permanent: 0x80 } as const;
const MAC_LENGTH = 6;

/** A dump of all neighbours of both families, or of all proxy entries. */
export function encodeNeighboursDump(proxies: boolean): NetlinkRequest {
  return { type: RTM_NEIGHBOUR.get, flags: NLM_F.dump, body: ndmsg(0, 0, 0, proxies ? NTF_PROXY : 0).finish() };
}

export function encodeNeighbourPut(neighbour: Neighbour): NetlinkRequest {
  const { index, address, mac, permanent } = neighbour;
  const writer = ndmsg(AF[address.family], index, permanent ? NUD.permanent : NUD.reachable, 0);
  writer.attribute(NDA.destination, address.bytes);
  if (mac !== undefined) writer.attribute(NDA.linkLayerAddress, macBytes(mac));
  return { type: RTM_NEIGHBOUR.new, flags: NLM_F.create | NLM_F.replace, body: writer.finish() };
}

export function encodeNeighbourProxyAdd(index: IfIndex, address: Ip): NetlinkRequest {
  const writer = ndmsg(AF[address.family], index, NUD.permanent, NTF_PROXY);
  writer.attribute(NDA.destination, address.bytes);
  return { type: RTM_NEIGHBOUR.new, flags: NLM_F.create, body: writer.finish() };
}

export function encodeNeighbourRemove(index: IfIndex, address: Ip): NetlinkRequest {
  const writer = ndmsg(AF[address.family], index, 0, 0).attribute(NDA.destination, address.bytes);
  return { type: RTM_NEIGHBOUR.del, flags: 0, body: writer.finish() };
}

/** A dump of the forwarding entries of all bridges and VXLAN devices. */
export function encodeForwardingDump(): NetlinkRequest {
  return { type: RTM_NEIGHBOUR.get, flags: NLM_F.dump, body: ndmsg(AF_BRIDGE, 0, 0, 0).finish() };
}

export function encodeForwardingPut(entry: ForwardingEntry): NetlinkRequest {
  const body = forwarding(entry, NUD.permanent | NUD.noArp);
  return { type: RTM_NEIGHBOUR.new, flags: NLM_F.create | NLM_F.replace, body };
}

export function encodeForwardingRemove(entry: ForwardingEntry): NetlinkRequest {
  return { type: RTM_NEIGHBOUR.del, flags: 0, body: forwarding(entry, 0) };
}

function forwarding({ index, mac, destination }: ForwardingEntry, state: number): Uint8Array {
  const writer = ndmsg(AF_BRIDGE, index, state, NTF_SELF).attribute(NDA.linkLayerAddress, macBytes(mac));
  return writer.attribute(NDA.destination, destination.bytes).finish();
}

/** The entry that an RTM_NEWNEIGH of a VXLAN device describes; undefined for those of bridges, which have no destination. */
export function decodeForwarding(message: NetlinkMessage): ForwardingEntry | undefined {
  const { body } = message;
  const attributes = parseAttributes(body, NDMSG_LENGTH);
  if (message.type !== RTM_NEIGHBOUR.new || attributes === undefined || byteAt(body, 0) !== AF_BRIDGE) return undefined;
  const lladdr = attributes.get(NDA.linkLayerAddress);
  const destination = attributes.get(NDA.destination);
  if (lladdr?.length !== MAC_LENGTH || (destination?.length !== 4 && destination?.length !== 16)) return undefined;
  return { index: ifIndex(u32At(body, 4)), mac: macFromBytes(lladdr), destination: ipFromBytes(destination) };
}

/** The neighbour that an RTM_NEWNEIGH describes; undefined for proxies, the kernel's own entries, and all else. */
export function decodeNeighbour(message: NetlinkMessage): Neighbour | undefined {
  const entry = decodeEntry(message);
  if (entry === undefined || entry.proxy || (entry.state & NUD.noArp) !== 0) return undefined;
  return { index: entry.index, address: entry.address, mac: entry.mac, permanent: (entry.state & NUD.permanent) !== 0 };
}

/** The proxy entry that an RTM_NEWNEIGH describes; undefined for all else. */
export function decodeNeighbourProxy(message: NetlinkMessage): { index: IfIndex; address: Ip } | undefined {
  const entry = decodeEntry(message);
  return entry?.proxy ? { index: entry.index, address: entry.address } : undefined;
}

function decodeEntry(message: NetlinkMessage) {
  const { body } = message;
  const attributes = parseAttributes(body, NDMSG_LENGTH);
  if (message.type !== RTM_NEIGHBOUR.new || attributes === undefined) return undefined;
  const family = familyOfNumber(byteAt(body, 0));
  const destination = attributes.get(NDA.destination);
  if (family === undefined || destination?.length !== addressBits(family) / 8) return undefined;
  const lladdr = attributes.get(NDA.linkLayerAddress);
  return {
    index: ifIndex(u32At(body, 4)),
    address: ipFromBytes(destination),
    mac: lladdr?.length === MAC_LENGTH ? macFromBytes(lladdr) : undefined,
    state: u16At(body, 8),
    proxy: (byteAt(body, 10) & NTF_PROXY) !== 0,
  };
}

/** struct ndmsg: family, padding, index, state, flags, type. */
function ndmsg(family: number, index: number, state: number, flags: number): NetlinkWriter {
  return new NetlinkWriter().u8(family).u8(0).u16(0).u32(index).u16(state).u8(flags).u8(0);
}
