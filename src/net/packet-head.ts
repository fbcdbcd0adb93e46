/**
 * What a packet filter asks of a packet: addresses, protocol, ports, ICMP type, read from the first bytes of an IP packet.
 *
 * The bytes come from the kernel's packet log, cut off anywhere, and were sent by anybody: reading never throws. What is
 * missing or was cut off is undefined; only without both addresses there is no head at all. Of a fragment that is not
 * the first, ports are unknown. IPv6 extension headers are walked over, a few at most.
 *
 * Source: RFC 791, 8200, 9293, 768, 9260, 792, 4443. Called by kernel/nflog-socket.ts.
 */
import { byteAt } from '../lib/bytes.ts';
import type { Family, Ip } from './ip.ts';
import { ipFromBytes } from './ip.ts';

/** Numbers of the IP header's protocol field (IANA). */
export const IP_PROTOCOL = { icmp: 1, tcp: 6, udp: 17, icmpv6: 58, sctp: 132, udpLite: 136 } as const;

export interface PacketHead {
  readonly family: Family;
  /** Of IPv6 the one behind all extension headers; where these were cut off, the last that is known. */
  readonly protocol: number;
  readonly source: Ip;
  readonly destination: Ip;
  /** Of TCP, UDP, UDP-Lite and SCTP. */
  readonly sourcePort: number | undefined;
  readonly destinationPort: number | undefined;
  readonly icmpType: number | undefined;
  readonly icmpCode: number | undefined;
}

const IPV4_HEADER_LENGTH = 20;
const IPV6_HEADER_LENGTH = 40;
/** Of an IPv4 header's word "flags and fragment offset". */
const FRAGMENT_OFFSET_MASK = 0x1fff;
/** Hop-by-hop options, routing, destination options: all begin with the next header and their length in eights, less one. */
const OPTION_HEADERS: ReadonlySet<number> = new Set([0, 43, 60]);
const FRAGMENT_HEADER = 44;
const FRAGMENT_HEADER_LENGTH = 8;
/** RFC 8200 section 4.1 knows each of them once, destination options twice. */
const EXTENSION_HEADERS_MAX = 5;
const WITH_PORTS: ReadonlySet<number> = new Set([
  IP_PROTOCOL.tcp,
  IP_PROTOCOL.udp,
  IP_PROTOCOL.sctp,
  IP_PROTOCOL.udpLite,
]);

/** The head of an IP packet of which these are the first bytes; undefined when they are no IP packet's, or too few. */
export function parsePacketHead(packet: Uint8Array): PacketHead | undefined {
  const version = byteAt(packet, 0) >> 4;
  if (version === 4) return parseIpv4Packet(packet);
  return version === 6 ? parseIpv6Packet(packet) : undefined;
}

function parseIpv4Packet(packet: Uint8Array): PacketHead | undefined {
  const headerLength = (byteAt(packet, 0) & 0xf) * 4;
  if (packet.length < IPV4_HEADER_LENGTH || headerLength < IPV4_HEADER_LENGTH) return undefined;
  const protocol = byteAt(packet, 9);
  const first = (u16(packet, 6) & FRAGMENT_OFFSET_MASK) === 0;
  return {
    family: 4,
    protocol,
    source: ipFromBytes(packet.subarray(12, 16)),
    destination: ipFromBytes(packet.subarray(16, 20)),
    ...transport(protocol, packet.subarray(first ? headerLength : packet.length)),
  };
}

function parseIpv6Packet(packet: Uint8Array): PacketHead | undefined {
  if (packet.length < IPV6_HEADER_LENGTH) return undefined;
  const { protocol, offset } = behindExtensions(packet);
  return {
    family: 6,
    protocol,
    source: ipFromBytes(packet.subarray(8, 24)),
    destination: ipFromBytes(packet.subarray(24, 40)),
    ...transport(protocol, packet.subarray(offset)),
  };
}

function behindExtensions(packet: Uint8Array): { readonly protocol: number; readonly offset: number } {
  let protocol = byteAt(packet, 6);
  let offset = IPV6_HEADER_LENGTH;
  const unknown = (): { readonly protocol: number; readonly offset: number } => ({ protocol, offset: packet.length });
  for (let count = 0; count < EXTENSION_HEADERS_MAX; count++) {
    const isFragment = protocol === FRAGMENT_HEADER;
    if (!isFragment && !OPTION_HEADERS.has(protocol)) break;
    if (packet.length < offset + FRAGMENT_HEADER_LENGTH) return unknown();
    const later = isFragment && u16(packet, offset + 2) >> 3 !== 0;
    const length = isFragment ? FRAGMENT_HEADER_LENGTH : (byteAt(packet, offset + 1) + 1) * 8;
    protocol = byteAt(packet, offset);
    if (later) return unknown();
    offset += length;
  }
  return { protocol, offset };
}

type Transport = Pick<PacketHead, 'sourcePort' | 'destinationPort' | 'icmpType' | 'icmpCode'>;

function transport(protocol: number, bytes: Uint8Array): Transport {
  const ports = WITH_PORTS.has(protocol);
  const icmp = protocol === IP_PROTOCOL.icmp || protocol === IP_PROTOCOL.icmpv6;
  return {
    sourcePort: ports && bytes.length >= 2 ? u16(bytes, 0) : undefined,
    destinationPort: ports && bytes.length >= 4 ? u16(bytes, 2) : undefined,
    icmpType: icmp ? bytes[0] : undefined,
    icmpCode: icmp ? bytes[1] : undefined,
  };
}

function u16(bytes: Uint8Array, offset: number): number {
  return (byteAt(bytes, offset) << 8) | byteAt(bytes, offset + 1);
}
