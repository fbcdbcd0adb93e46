/**
 * A table as an MRT TABLE_DUMP_V2 file (RFC 6396 section 4.3), the one notation in which GoBGP takes many routes at once.
 *
 * One peer stands in the index; each prefix has one entry; AS numbers have four octets. Section 4.3.4 cuts MP_REACH_NLRI down
 * to the next hop, but GoBGP 3.10 refuses that as an unknown family, so here the attribute stands in full.
 */
import type { OriginatedAttributes, Origination, Place } from './daemon.ts';

/** The command `gobgp mrt inject` ends before its last routes, some hundred, have been taken: so these come twice. */
const LOST_MAX = 2_000;

const TABLE_DUMP_V2 = 13;
const PEER_INDEX_TABLE = 1;
const RIB_IPV4_UNICAST = 2;
const RIB_IPV6_UNICAST = 4;
const AS_SEQUENCE = 2;
const ORIGINS = { igp: 0, egp: 1, incomplete: 2 };

export function mrtTableDump(originations: readonly Origination[], place: Place): Buffer {
  const address = addressBytes(place.address);
  // Type 2: an IPv4 address and four octets of AS number.
  const peer = Buffer.concat([Buffer.of(2), address, address, u32(0)]);
  const index = record(PEER_INDEX_TABLE, Buffer.concat([address, u16(0), u16(1), peer]));
  const entries = originations.map((origination, sequence) => entry(origination, sequence, place));
  const again = Array.from({ length: Math.ceil(LOST_MAX / entries.length) }, () => entries).flat();
  return Buffer.concat([index, ...entries, ...again.slice(-LOST_MAX)]);
}

function entry({ prefix, attributes }: Origination, sequence: number, place: Place): Buffer {
  const isIpv6 = prefix.includes(':');
  const [address = '', length = ''] = prefix.split('/');
  const bytes = addressBytes(address).subarray(0, Math.ceil(Number(length) / 8));
  const nlri = Buffer.concat([Buffer.of(Number(length)), bytes]);
  const nextHop = isIpv6
    ? reachable(addressBytes(place.address6), nlri)
    : attribute(0x40, 3, [addressBytes(place.address)]);
  const encoded = encodeAttributes(attributes, nextHop);
  const path = Buffer.concat([u16(0), u32(0), u16(encoded.length), encoded]);
  const body = Buffer.concat([u32(sequence), nlri, u16(1), path]);
  return record(isIpv6 ? RIB_IPV6_UNICAST : RIB_IPV4_UNICAST, body);
}

function record(subtype: number, body: Buffer): Buffer {
  return Buffer.concat([u32(0), u16(TABLE_DUMP_V2), u16(subtype), u32(body.length), body]);
}

function encodeAttributes(attributes: OriginatedAttributes, nextHop: Buffer): Buffer {
  const { asPath, communities, routeTargets, largeCommunities } = attributes;
  const segment = asPath.length === 0 ? [] : [Buffer.of(AS_SEQUENCE, asPath.length), ...asPath.map(u32)];
  return Buffer.concat([
    attribute(0x40, 1, [Buffer.of(ORIGINS[attributes.origin])]),
    attribute(0x40, 2, segment),
    nextHop,
    attribute(0x80, 4, [u32(attributes.med)]),
    attribute(0x40, 5, [u32(attributes.localPreference)]),
    attribute(0xc0, 8, communities.flat().map(u16)),
    attribute(
      0xc0,
      16,
      routeTargets.map(([asn, number]) => Buffer.concat([Buffer.of(0, 2), u16(asn), u32(number)])),
    ),
    attribute(0xc0, 32, largeCommunities.flat().map(u32)),
  ]);
}

/** MP_REACH_NLRI of IPv6 unicast. */
function reachable(nextHop: Buffer, nlri: Buffer): Buffer {
  return attribute(0x80, 14, [Buffer.of(0, 2, 1, nextHop.length), nextHop, Buffer.of(0), nlri]);
}

function attribute(flags: number, type: number, value: readonly Buffer[]): Buffer {
  const bytes = Buffer.concat(value);
  return Buffer.concat([Buffer.of(flags, type, bytes.length), bytes]);
}

/** An IPv4 address in dots, or an IPv6 address with at most one "::". */
function addressBytes(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const groups = (part: string): number[] =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const [head = '', tail = ''] = text.split('::');
  const [first, last] = [groups(head), groups(tail)];
  return Buffer.concat([...first, ...Array<number>(8 - first.length - last.length).fill(0), ...last].map(u16));
}

function u16(value: number): Buffer {
  return Buffer.of(value >>> 8, value & 0xff);
}

function u32(value: number): Buffer {
  return Buffer.concat([u16(value >>> 16), u16(value & 0xffff)]);
}
