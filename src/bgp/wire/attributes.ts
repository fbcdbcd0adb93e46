/**
 * Path attributes: what a route says about itself, and how that is written.
 *
 * A set of attributes is one immutable value, shared by all routes that came with the same bytes. What we use has a field of
 * its own; the rest that is to be passed on is in `unknown`. Here is the model and the writer. Reading is in
 * attributes-table.ts (a row for each attribute) and attributes-block.ts (all of them together), since only reading
 * meets errors. Equal sets are written as equal bytes: ascending by type, the length in one byte where it fits.
 * MP_REACH_NLRI, which carries prefixes, is written by whoever writes those.
 *
 * RFC 4271 sections 4.3 and 5, RFC 1997, 4360, 4456, 6793, 8092, 9234.
 */
import { ByteWriter } from '../../lib/bytes.ts';
import type { RouterId } from '../../net/asn.ts';
import { routerIdBytes } from '../../net/asn.ts';
import type { Ip } from '../../net/ip.ts';
import { asPathBytes, encodeAsPath, writeAsn } from './as-path.ts';

/** 0 IGP, 1 EGP, 2 INCOMPLETE, as on the wire: lower is preferred. */
export type Origin = 0 | 1 | 2;
export const ORIGIN_NAMES = ['igp', 'egp', 'incomplete'] as const;

export interface Aggregator {
  readonly asn: number;
  readonly address: Ip;
}

export type LargeCommunity = readonly [administrator: number, first: number, second: number];

/** Two halves of 32 bits each: a number of 64 bits would have to be a bigint. */
export type ExtendedCommunity = readonly [high: number, low: number];

/** An attribute that we do not use and pass on. */
export interface UnknownAttribute {
  readonly type: number;
  readonly flags: number;
  readonly value: Uint8Array;
}

/** The attributes of a route. Never changed once made, and shared by all routes that came with the same bytes. */
export interface PathAttributes {
  readonly origin: Origin;
  /** The nearest AS first; empty for a route of our own AS. */
  readonly asPath: readonly number[];
  /** Of NEXT_HOP or of MP_REACH_NLRI; undefined only for our own routes in a family in which we have no address. */
  readonly nextHop: Ip | undefined;
  /** The link-local address beside a global next hop (RFC 2545 section 3); a next hop that is link-local itself has none. */
  readonly linkLocalNextHop: Ip | undefined;
  readonly med: number | undefined;
  readonly localPreference: number | undefined;
  readonly atomicAggregate: boolean;
  readonly aggregator: Aggregator | undefined;
  readonly communities: readonly number[];
  readonly extendedCommunities: readonly ExtendedCommunity[];
  readonly largeCommunities: readonly LargeCommunity[];
  readonly originatorId: RouterId | undefined;
  readonly clusterList: readonly number[];
  /** The AS after which the route may only go down to customers (RFC 9234 section 5). */
  readonly onlyToCustomer: number | undefined;
  /** Ascending by type, one of each. */
  readonly unknown: readonly UnknownAttribute[];
}

/** Attributes of which nothing special is said, as an own route has them; its next hop is filled in on the way out. */
export const PLAIN_ATTRIBUTES: PathAttributes = {
  origin: 0,
  asPath: [],
  nextHop: undefined,
  linkLocalNextHop: undefined,
  med: undefined,
  localPreference: undefined,
  atomicAggregate: false,
  aggregator: undefined,
  communities: [],
  extendedCommunities: [],
  largeCommunities: [],
  originatorId: undefined,
  clusterList: [],
  onlyToCustomer: undefined,
  unknown: [],
};

export const ATTRIBUTE = {
  origin: 1,
  asPath: 2,
  nextHop: 3,
  med: 4,
  localPreference: 5,
  atomicAggregate: 6,
  aggregator: 7,
  communities: 8,
  originatorId: 9,
  clusterList: 10,
  mpReach: 14,
  mpUnreach: 15,
  extendedCommunities: 16,
  as4Path: 17,
  as4Aggregator: 18,
  largeCommunities: 32,
  onlyToCustomer: 35,
} as const;

export const FLAG_OPTIONAL = 0x80;
export const FLAG_TRANSITIVE = 0x40;
export const FLAG_PARTIAL = 0x20;
export const FLAG_EXTENDED_LENGTH = 0x10;

export const WELL_KNOWN = FLAG_TRANSITIVE;
export const OPTIONAL_TRANSITIVE = FLAG_OPTIONAL | FLAG_TRANSITIVE;
export const OPTIONAL_NON_TRANSITIVE = FLAG_OPTIONAL;

/** How a session's two sides write AS numbers: in 4 bytes where both have that capability (RFC 6793). */
export interface AsnWidth {
  readonly asnBytes: 2 | 4;
}

/** Memory to write in, used again by each call: blocks of their own for each would keep the garbage collector busy. */
const scratch = new ByteWriter(4096);

/**
 * The attributes as on the wire, ascending by type, without MP_REACH_NLRI: equal attributes give equal bytes. An IPv6 next hop
 * is not in them, as it travels in MP_REACH_NLRI.
 */
export function encodeAttributes(attributes: PathAttributes, { asnBytes }: AsnWidth): Uint8Array {
  const writer = scratch.clear();
  const pending = attributes.unknown;
  let next = 0;
  /** Begins an attribute, after those of lower type that we only pass on. */
  const begin = (flags: number, type: number, length: number): ByteWriter => {
    for (let other = pending[next]; other !== undefined && other.type < type; other = pending[++next]) {
      writeAttributeHeader(writer, other.flags, other.type, other.value.length);
      writer.bytes(other.value);
    }
    writeAttributeHeader(writer, flags, type, length);
    return writer;
  };
  encodeMandatory(attributes, asnBytes, begin);
  encodeOptional(attributes, asnBytes, begin);
  for (const { type, flags, value } of pending.slice(next)) {
    writeAttributeHeader(writer, flags, type, value.length);
    writer.bytes(value);
  }
  return writer.finish();
}

type Begin = (flags: number, type: number, length: number) => ByteWriter;

/** Types 1 to 7. */
function encodeMandatory(attributes: PathAttributes, asnBytes: 2 | 4, begin: Begin): void {
  const { origin, asPath, nextHop, med, localPreference, atomicAggregate, aggregator } = attributes;
  begin(WELL_KNOWN, ATTRIBUTE.origin, 1).u8(origin);
  encodeAsPath(begin(WELL_KNOWN, ATTRIBUTE.asPath, asPathBytes(asPath, asnBytes)), asPath, asnBytes);
  if (nextHop?.family === 4) begin(WELL_KNOWN, ATTRIBUTE.nextHop, 4).bytes(nextHop.bytes);
  if (med !== undefined) begin(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.med, 4).u32(med);
  if (localPreference !== undefined) begin(WELL_KNOWN, ATTRIBUTE.localPreference, 4).u32(localPreference);
  if (atomicAggregate) begin(WELL_KNOWN, ATTRIBUTE.atomicAggregate, 0);
  if (aggregator !== undefined) {
    const writer = begin(OPTIONAL_TRANSITIVE, ATTRIBUTE.aggregator, asnBytes + 4);
    writeAsn(writer, aggregator.asn, asnBytes);
    writer.bytes(aggregator.address.bytes);
  }
}

/** The types above 7 that have a field. */
function encodeOptional(attributes: PathAttributes, asnBytes: 2 | 4, begin: Begin): void {
  const { communities, originatorId, clusterList, extendedCommunities, largeCommunities, onlyToCustomer } = attributes;
  const words = (flags: number, type: number, values: readonly number[]): void => {
    if (values.length === 0) return;
    const writer = begin(flags, type, values.length * 4);
    for (const value of values) writer.u32(value);
  };
  words(OPTIONAL_TRANSITIVE, ATTRIBUTE.communities, communities);
  if (originatorId !== undefined) {
    begin(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.originatorId, 4).bytes(routerIdBytes(originatorId));
  }
  words(OPTIONAL_NON_TRANSITIVE, ATTRIBUTE.clusterList, clusterList);
  words(OPTIONAL_TRANSITIVE, ATTRIBUTE.extendedCommunities, extendedCommunities.flat());
  if (asnBytes === 2) encodeAs4(attributes, begin);
  words(OPTIONAL_TRANSITIVE, ATTRIBUTE.largeCommunities, largeCommunities.flat());
  if (onlyToCustomer !== undefined) words(OPTIONAL_TRANSITIVE, ATTRIBUTE.onlyToCustomer, [onlyToCustomer]);
}

/** What a peer of 16 bits cannot be told otherwise (RFC 6793 section 4.2.2). */
function encodeAs4({ asPath, aggregator }: PathAttributes, begin: Begin): void {
  if (asPath.some((asn) => asn > 0xffff)) {
    encodeAsPath(begin(OPTIONAL_TRANSITIVE, ATTRIBUTE.as4Path, asPathBytes(asPath, 4)), asPath, 4);
  }
  if (aggregator !== undefined && aggregator.asn > 0xffff) {
    begin(OPTIONAL_TRANSITIVE, ATTRIBUTE.as4Aggregator, 8).u32(aggregator.asn).bytes(aggregator.address.bytes);
  }
}

/** Flags, type and length; the length in two bytes only where one does not hold it. */
export function writeAttributeHeader(writer: ByteWriter, flags: number, type: number, length: number): void {
  if (length > 0xff) {
    writer
      .u8(flags | FLAG_EXTENDED_LENGTH)
      .u8(type)
      .u16(length);
  } else {
    writer
      .u8(flags & ~FLAG_EXTENDED_LENGTH)
      .u8(type)
      .u8(length);
  }
}
