/**
 * Links: RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK.
 *
 * The body is a struct ifinfomsg and IFLA_… attributes. A veth pair is made in one request, both ends named and
 * addressed, the far end straight in its namespace (IFLA_NET_NS_FD inside the peer's nest): moving it there later would
 * cost the kernel 17 ms. The peer cannot be brought up in the same request (IFF_UP in its nest is refused).
 *
 * Source: linux/if_link.h, linux/veth.h, net/if.h.
 */
import { byteAt } from '../../lib/bytes.ts';
import { ipFromBytes } from '../../net/ip.ts';
import type { IfIndex, Link, VxlanAttributes } from '../../net/kernel-objects.ts';
import { ifIndex } from '../../net/kernel-objects.ts';
import { type Mac, macBytes, macFromBytes } from '../../net/mac.ts';
import type { VethPair, VxlanDevice } from '../kernel.ts';
import {
  type NetlinkMessage,
  type NetlinkRequest,
  NetlinkWriter,
  NLM_F,
  parseAttributes,
  textOf,
  u32At,
  u32Of,
} from './message.ts';

export const RTM_LINK = { new: 16, del: 17, get: 18 } as const;

const AF_UNSPEC = 0;
const IFINFOMSG_LENGTH = 16;
const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
const IFF_LOWER_UP = 0x10000;
const IFLA = { address: 1, name: 3, mtu: 4, master: 10, linkInfo: 18, namespaceFd: 28 } as const;
const IFLA_INFO = { kind: 1, payload: 2 } as const;
const VETH_INFO_PEER = 1;
const IFLA_VXLAN = { id: 1, link: 3, local: 4, learning: 7, port: 15, local6: 17 } as const;
const IFLA_IPTUN = { ttl: 4, pathMtuDiscovery: 10 } as const;
const MAC_LENGTH = 6;

/** A dump of all links. */
export function encodeLinksDump(): NetlinkRequest {
  return { type: RTM_LINK.get, flags: NLM_F.dump, body: ifinfomsg(0).finish() };
}

/** One link by its name. */
export function encodeLinkGet(name: string): NetlinkRequest {
  return { type: RTM_LINK.get, flags: 0, body: ifinfomsg(0).attributeText(IFLA.name, name).finish() };
}

/** A veth pair; `peerNamespace` is an open file descriptor of the far end's namespace, undefined for the same one. */
export function encodeVethAdd(pair: VethPair, peerNamespace: number | undefined): NetlinkRequest {
  const writer = ifinfomsg(0);
  device(writer, pair.name, pair.mac, pair.mtu);
  writer.nested(IFLA.linkInfo, () => {
    writer.attributeText(IFLA_INFO.kind, 'veth');
    writer.nested(IFLA_INFO.payload, () =>
      writer.nested(VETH_INFO_PEER, () => {
        header(writer, 0, 0, 0);
        device(writer, pair.peer.name, pair.peer.mac, pair.mtu);
        if (peerNamespace !== undefined) writer.attributeU32(IFLA.namespaceFd, peerNamespace);
      }),
    );
  });
  return { type: RTM_LINK.new, flags: NLM_F.create | NLM_F.exclusive, body: writer.finish() };
}

export function encodeBridgeAdd(name: string): NetlinkRequest {
  const writer = ifinfomsg(0).attributeText(IFLA.name, name);
  writer.nested(IFLA.linkInfo, () => writer.attributeText(IFLA_INFO.kind, 'bridge'));
  return { type: RTM_LINK.new, flags: NLM_F.create | NLM_F.exclusive, body: writer.finish() };
}

export function encodeVxlanAdd({ name, vni, port, local, parent, mac, mtu }: VxlanDevice): NetlinkRequest {
  const writer = ifinfomsg(0);
  device(writer, name, mac, mtu);
  writer.nested(IFLA.linkInfo, () => {
    writer.attributeText(IFLA_INFO.kind, 'vxlan');
    writer.nested(IFLA_INFO.payload, () => {
      writer.attributeU32(IFLA_VXLAN.id, vni);
      if (parent !== undefined) writer.attributeU32(IFLA_VXLAN.link, parent);
      writer.attribute(local.family === 4 ? IFLA_VXLAN.local : IFLA_VXLAN.local6, local.bytes);
      writer.attribute(IFLA_VXLAN.learning, Uint8Array.of(0));
      // In network byte order, unlike all others.
      writer.attribute(IFLA_VXLAN.port, Uint8Array.of(port >> 8, port & 0xff));
    });
  });
  return { type: RTM_LINK.new, flags: NLM_F.create | NLM_F.exclusive, body: writer.finish() };
}

/** From anybody to anybody; the outer header takes its lifetime and "do not fragment" from the inner one. */
export function encodeIpipAdd(name: string, mtu: number): NetlinkRequest {
  const writer = ifinfomsg(0);
  device(writer, name, undefined, mtu);
  writer.nested(IFLA.linkInfo, () => {
    writer.attributeText(IFLA_INFO.kind, 'ipip');
    writer.nested(IFLA_INFO.payload, () => {
      writer.attribute(IFLA_IPTUN.ttl, Uint8Array.of(0));
      writer.attribute(IFLA_IPTUN.pathMtuDiscovery, Uint8Array.of(0));
    });
  });
  return { type: RTM_LINK.new, flags: NLM_F.create | NLM_F.exclusive, body: writer.finish() };
}

export function encodeLinkUp(index: IfIndex, up: boolean): NetlinkRequest {
  const body = header(new NetlinkWriter(), index, up ? IFF_UP : 0, IFF_UP).finish();
  return { type: RTM_LINK.new, flags: 0, body };
}

export function encodeLinkMaster(index: IfIndex, master: IfIndex): NetlinkRequest {
  return { type: RTM_LINK.new, flags: 0, body: ifinfomsg(index).attributeU32(IFLA.master, master).finish() };
}

export function encodeLinkMtu(index: IfIndex, mtu: number): NetlinkRequest {
  return { type: RTM_LINK.new, flags: 0, body: ifinfomsg(index).attributeU32(IFLA.mtu, mtu).finish() };
}

export function encodeLinkMac(index: IfIndex, mac: Mac): NetlinkRequest {
  return { type: RTM_LINK.new, flags: 0, body: ifinfomsg(index).attribute(IFLA.address, macBytes(mac)).finish() };
}

export function encodeLinkArp(index: IfIndex, arp: boolean): NetlinkRequest {
  const body = header(new NetlinkWriter(), index, arp ? 0 : IFF_NOARP, IFF_NOARP).finish();
  return { type: RTM_LINK.new, flags: 0, body };
}

export function encodeLinkRemove(index: IfIndex): NetlinkRequest {
  return { type: RTM_LINK.del, flags: 0, body: ifinfomsg(index).finish() };
}

/** The link that an RTM_NEWLINK or RTM_DELLINK describes; undefined for other messages and malformed ones. */
export function decodeLink(message: NetlinkMessage): Link | undefined {
  const attributes = parseAttributes(message.body, IFINFOMSG_LENGTH);
  const name = textOf(attributes?.get(IFLA.name));
  if (message.type !== RTM_LINK.new && message.type !== RTM_LINK.del) return undefined;
  // A bridge tells of its ports in the same messages, under its own family: a port that leaves it is still a device.
  if (attributes === undefined || name === undefined || byteAt(message.body, 0) !== AF_UNSPEC) return undefined;
  const flags = u32At(message.body, 8);
  const address = attributes.get(IFLA.address);
  const linkInfo = attributes.get(IFLA.linkInfo);
  const information = linkInfo === undefined ? undefined : parseAttributes(linkInfo);
  const kind = textOf(information?.get(IFLA_INFO.kind));
  const vxlan = kind === 'vxlan' ? decodeVxlan(information?.get(IFLA_INFO.payload)) : undefined;
  return {
    index: ifIndex(u32At(message.body, 4)),
    name,
    mac: address?.length === MAC_LENGTH ? macFromBytes(address) : undefined,
    mtu: u32Of(attributes.get(IFLA.mtu)) ?? 0,
    up: (flags & IFF_UP) !== 0,
    // The kernel sets it only while the device is up.
    carrier: (flags & IFF_LOWER_UP) !== 0,
    kind,
    ...(vxlan && { vxlan }),
  };
}

function decodeVxlan(payload: Uint8Array | undefined): VxlanAttributes | undefined {
  const attributes = payload === undefined ? undefined : parseAttributes(payload);
  const vni = u32Of(attributes?.get(IFLA_VXLAN.id));
  const port = attributes?.get(IFLA_VXLAN.port);
  if (attributes === undefined || vni === undefined || port?.length !== 2) return undefined;
  const parent = u32Of(attributes.get(IFLA_VXLAN.link)) ?? 0;
  const local = [attributes.get(IFLA_VXLAN.local), attributes.get(IFLA_VXLAN.local6)].find(
    (bytes) => bytes?.length === 4 || bytes?.length === 16,
  );
  return {
    vni,
    port: byteAt(port, 0) * 256 + byteAt(port, 1),
    local: local === undefined ? undefined : ipFromBytes(local),
    parent: parent === 0 ? undefined : ifIndex(parent),
    learning: byteAt(attributes.get(IFLA_VXLAN.learning) ?? Uint8Array.of(0), 0) !== 0,
  };
}

function device(writer: NetlinkWriter, name: string, mac: Mac | undefined, mtu: number | undefined): void {
  writer.attributeText(IFLA.name, name);
  if (mac !== undefined) writer.attribute(IFLA.address, macBytes(mac));
  if (mtu !== undefined) writer.attributeU32(IFLA.mtu, mtu);
}

function ifinfomsg(index: number): NetlinkWriter {
  return header(new NetlinkWriter(), index, 0, 0);
}

/** struct ifinfomsg: family, padding, device type, index, flags, and which of the flags are to be changed. */
function header(writer: NetlinkWriter, index: number, flags: number, change: number): NetlinkWriter {
  return writer.u8(0).u8(0).u16(0).u32(index).u32(flags).u32(change);
}
