/**
 * Path attributes: one table with a row for each attribute that we understand.
 *
 * A row says how the attribute is flagged, read, written, and what is done when it is malformed; to learn a new attribute
 * is to add a row and a field. What a malformed attribute causes is a closed set (`Treatment`). Unknown attributes that are
 * optional and transitive are kept as they came and passed on with the Partial bit; other unknown ones are dropped, or
 * withdraw the routes where they claim to be well known.
 * An AS path is a plain list: AS_SET is withdrawn on sight (RFC 9774), and confederations are not spoken.
 *
 * RFC 4271 sections 4.3 and 5, RFC 7606 sections 3 and 7, RFC 1997, RFC 4456, RFC 6793, RFC 8092.
 */
import { ByteReader, ByteWriter, byteAt } from '../lib/bytes.ts';
import type { RouterId } from '../net/asn.ts';
import { routerIdBytes, routerIdFromBytes } from '../net/asn.ts';
import type { Ip } from '../net/ip.ts';
import { ipFromBytes } from '../net/ip.ts';
import { AS_TRANS } from './open.ts';

/** What a malformed attribute or message causes, from mild to strong; of several the strongest holds (RFC 7606). */
export type Treatment = 'discard-attribute' | 'treat-as-withdraw' | 'reset-session';

/** 0 IGP, 1 EGP, 2 INCOMPLETE, as on the wire: lower is preferred. */
export type Origin = 0 | 1 | 2;

export interface Aggregator {
  readonly asn: number;
  readonly address: Ip;
}

export type LargeCommunity = readonly [administrator: number, first: number, second: number];

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
  readonly med: number | undefined;
  readonly localPreference: number | undefined;
  readonly atomicAggregate: boolean;
  readonly aggregator: Aggregator | undefined;
  readonly communities: readonly number[];
  readonly largeCommunities: readonly LargeCommunity[];
  readonly originatorId: RouterId | undefined;
  readonly clusterList: readonly number[];
  readonly unknown: readonly UnknownAttribute[];
}

/** Attributes while they are read one by one. */
export type AttributeDraft = {
  -readonly [Name in keyof PathAttributes]?: PathAttributes[Name];
} & { as4Path?: readonly number[] };

/** How a session's two sides have agreed to write attributes, and how far they trust each other. */
export interface AttributeContext {
  /** 4 where both sides have the four-octet AS capability. */
  readonly asnBytes: 2 | 4;
  /** An eBGP session. */
  readonly external: boolean;
}

export const ATTRIBUTE = { nextHop: 3, mpReach: 14, mpUnreach: 15 } as const;

export const FLAG_OPTIONAL = 0x80;
export const FLAG_TRANSITIVE = 0x40;
export const FLAG_PARTIAL = 0x20;
export const FLAG_EXTENDED_LENGTH = 0x10;

const WELL_KNOWN = FLAG_TRANSITIVE;
const OPTIONAL_TRANSITIVE = FLAG_OPTIONAL | FLAG_TRANSITIVE;
const OPTIONAL_NON_TRANSITIVE = FLAG_OPTIONAL;

const AS_SEQUENCE = 2;
/** One byte counts the AS numbers of a segment. */
const SEGMENT_ASNS_MAX = 255;

export interface AttributeRow {
  readonly type: number;
  readonly name: string;
  /** The Optional and Transitive bits that it must have. */
  readonly flags: number;
  readonly whenMalformed: Exclude<Treatment, 'reset-session'>;
  /** Without meaning between ASes: dropped when it comes by eBGP. */
  readonly internalOnly?: true;
  /** Puts the value into the draft; false when it is malformed. */
  readonly decode: (value: Uint8Array, draft: AttributeDraft, context: AttributeContext) => boolean;
  /** The value to send; undefined when there is none. */
  readonly encode: (attributes: PathAttributes, context: AttributeContext) => Uint8Array | undefined;
}

/** In ascending order of type, which is the order in which they are sent. */
const ATTRIBUTES: readonly AttributeRow[] = [
  {
    type: 1,
    name: 'ORIGIN',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const origin = byteAt(value, 0);
      if (value.length !== 1 || (origin !== 0 && origin !== 1 && origin !== 2)) return false;
      draft.origin = origin;
      return true;
    },
    encode: ({ origin }) => Uint8Array.of(origin),
  },
  {
    type: 2,
    name: 'AS_PATH',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft, { asnBytes }) => {
      const asPath = decodeAsPath(value, asnBytes);
      if (asPath !== undefined) draft.asPath = asPath;
      return asPath !== undefined;
    },
    encode: ({ asPath }, { asnBytes }) => encodeAsPath(asPath, asnBytes),
  },
  {
    type: ATTRIBUTE.nextHop,
    name: 'NEXT_HOP',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      if (value.length !== 4) return false;
      draft.nextHop = ipFromBytes(value);
      return true;
    },
    // An IPv6 next hop travels in MP_REACH_NLRI.
    encode: ({ nextHop }) => (nextHop?.family === 4 ? nextHop.bytes : undefined),
  },
  {
    type: 4,
    name: 'MULTI_EXIT_DISC',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const med = decodeU32(value);
      if (med !== undefined) draft.med = med;
      return med !== undefined;
    },
    encode: ({ med }) => encodeU32s(med),
  },
  {
    type: 5,
    name: 'LOCAL_PREF',
    flags: WELL_KNOWN,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      const localPreference = decodeU32(value);
      if (localPreference !== undefined) draft.localPreference = localPreference;
      return localPreference !== undefined;
    },
    encode: ({ localPreference }) => encodeU32s(localPreference),
  },
  {
    type: 6,
    name: 'ATOMIC_AGGREGATE',
    flags: WELL_KNOWN,
    whenMalformed: 'discard-attribute',
    decode: (value, draft) => {
      if (value.length !== 0) return false;
      draft.atomicAggregate = true;
      return true;
    },
    encode: ({ atomicAggregate }) => (atomicAggregate ? new Uint8Array(0) : undefined),
  },
  {
    type: 7,
    name: 'AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    decode: (value, draft, { asnBytes }) => {
      const asn = decodeAsn(value, asnBytes);
      if (value.length !== asnBytes + 4 || asn === 0) return false;
      draft.aggregator = { asn, address: ipFromBytes(value.subarray(asnBytes)) };
      return true;
    },
    encode: ({ aggregator }, { asnBytes }) => {
      if (aggregator === undefined) return undefined;
      const writer = new ByteWriter(8);
      writeAsn(writer, aggregator.asn, asnBytes);
      return writer.bytes(aggregator.address.bytes).finish();
    },
  },
  {
    type: 8,
    name: 'COMMUNITIES',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const communities = decodeU32s(value, 4);
      if (communities !== undefined) draft.communities = communities;
      return communities !== undefined;
    },
    encode: ({ communities }) => encodeU32s(...communities),
  },
  {
    type: 9,
    name: 'ORIGINATOR_ID',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      const originatorId = value.length === 4 ? routerIdFromBytes(value) : undefined;
      if (originatorId !== undefined) draft.originatorId = originatorId;
      return originatorId !== undefined;
    },
    encode: ({ originatorId }) => (originatorId === undefined ? undefined : routerIdBytes(originatorId)),
  },
  {
    type: 10,
    name: 'CLUSTER_LIST',
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    internalOnly: true,
    decode: (value, draft) => {
      const clusterList = decodeU32s(value, 4);
      if (clusterList !== undefined) draft.clusterList = clusterList;
      return clusterList !== undefined;
    },
    encode: ({ clusterList }) => encodeU32s(...clusterList),
  },
  reachability(ATTRIBUTE.mpReach, 'MP_REACH_NLRI'),
  reachability(ATTRIBUTE.mpUnreach, 'MP_UNREACH_NLRI'),
  {
    type: 17,
    name: 'AS4_PATH',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    decode: (value, draft, { asnBytes }) => {
      const as4Path = asnBytes === 2 ? decodeAsPath(value, 4) : undefined;
      if (as4Path !== undefined) draft.as4Path = as4Path;
      return as4Path !== undefined;
    },
    encode: ({ asPath }, { asnBytes }) =>
      asnBytes === 2 && asPath.some((asn) => asn > 0xffff) ? encodeAsPath(asPath, 4) : undefined,
  },
  {
    type: 18,
    name: 'AS4_AGGREGATOR',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'discard-attribute',
    decode: (value, draft, { asnBytes }) => {
      const asn = decodeAsn(value, 4);
      if (asnBytes === 4 || value.length !== 8 || asn === 0) return false;
      // Speaks only for an aggregator that could not be named in 16 bits (RFC 6793 section 4.2.3).
      if (draft.aggregator?.asn === AS_TRANS) draft.aggregator = { asn, address: ipFromBytes(value.subarray(4)) };
      return true;
    },
    encode: ({ aggregator }, { asnBytes }) =>
      asnBytes === 2 && aggregator !== undefined && aggregator.asn > 0xffff
        ? new ByteWriter(8).u32(aggregator.asn).bytes(aggregator.address.bytes).finish()
        : undefined,
  },
  {
    type: 32,
    name: 'LARGE_COMMUNITY',
    flags: OPTIONAL_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: (value, draft) => {
      const words = decodeU32s(value, 12);
      if (words === undefined) return false;
      draft.largeCommunities = Array.from({ length: words.length / 3 }, (_, index) => {
        const at = (place: number): number => words[index * 3 + place] ?? 0;
        return [at(0), at(1), at(2)] as const;
      });
      return true;
    },
    encode: ({ largeCommunities }) => encodeU32s(...largeCommunities.flat()),
  },
];

const rowsByType = new Map(ATTRIBUTES.map((row) => [row.type, row]));

export function attributeRow(type: number): AttributeRow | undefined {
  return rowsByType.get(type);
}

/** The attributes as on the wire, ascending by type, without MP_REACH_NLRI: equal attributes give equal bytes. */
export function encodeAttributes(attributes: PathAttributes, context: AttributeContext): Uint8Array {
  const encoded = [...attributes.unknown];
  for (const row of ATTRIBUTES) {
    const value = row.encode(attributes, context);
    if (value !== undefined) encoded.push({ type: row.type, flags: row.flags, value });
  }
  encoded.sort((a, b) => a.type - b.type);
  const writer = new ByteWriter(64);
  for (const { type, flags, value } of encoded) {
    writeAttributeHeader(writer, flags, type, value.length);
    writer.bytes(value);
  }
  return writer.finish();
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

/** A row for an attribute that carries prefixes: update.ts reads and writes these itself. */
function reachability(type: number, name: string): AttributeRow {
  return {
    type,
    name,
    flags: OPTIONAL_NON_TRANSITIVE,
    whenMalformed: 'treat-as-withdraw',
    decode: () => true,
    encode: () => undefined,
  };
}

function decodeU32(value: Uint8Array): number | undefined {
  return value.length === 4 ? new ByteReader(value).u32() : undefined;
}

/** Numbers of 32 bits; undefined when there are none or the length is no multiple of `unitBytes`. */
function decodeU32s(value: Uint8Array, unitBytes: number): number[] | undefined {
  if (value.length === 0 || value.length % unitBytes !== 0) return undefined;
  const reader = new ByteReader(value);
  return Array.from({ length: value.length / 4 }, () => reader.u32() ?? 0);
}

function encodeU32s(...values: readonly (number | undefined)[]): Uint8Array | undefined {
  const writer = new ByteWriter(values.length * 4);
  for (const value of values) if (value !== undefined) writer.u32(value);
  return writer.length === 0 ? undefined : writer.finish();
}

function decodeAsn(value: Uint8Array, asnBytes: 2 | 4): number {
  const reader = new ByteReader(value);
  return (asnBytes === 2 ? reader.u16() : reader.u32()) ?? 0;
}

function writeAsn(writer: ByteWriter, asn: number, asnBytes: 2 | 4): void {
  if (asnBytes === 4) writer.u32(asn);
  else writer.u16(asn > 0xffff ? AS_TRANS : asn);
}

function decodeAsPath(value: Uint8Array, asnBytes: 2 | 4): number[] | undefined {
  const reader = new ByteReader(value);
  const path: number[] = [];
  while (reader.remaining > 0) {
    const type = reader.u8();
    const count = reader.u8() ?? 0;
    if (type !== AS_SEQUENCE || count === 0 || reader.remaining < count * asnBytes) return undefined;
    for (let index = 0; index < count; index++) {
      const asn = asnBytes === 2 ? reader.u16() : reader.u32();
      if (asn === undefined || asn === 0) return undefined; // AS 0 by RFC 7607
      path.push(asn);
    }
  }
  return path;
}

function encodeAsPath(path: readonly number[], asnBytes: 2 | 4): Uint8Array {
  const writer = new ByteWriter(2 + path.length * asnBytes);
  for (let start = 0; start < path.length; start += SEGMENT_ASNS_MAX) {
    const segment = path.slice(start, start + SEGMENT_ASNS_MAX);
    writer.u8(AS_SEQUENCE).u8(segment.length);
    for (const asn of segment) writeAsn(writer, asn, asnBytes);
  }
  return writer.finish();
}
