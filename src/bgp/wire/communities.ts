/**
 * Communities in words: the notations in which people write them, and the values that stand for something by themselves.
 *
 * - standard (RFC 1997): `64512:100`, each half up to 65535, or the name of a well-known one, `no-export`;
 * - large (RFC 8092): `64512:1:2`, each part up to 4294967295;
 * - extended (RFC 4360): `rt:` (route target) or `soo:` (site of origin), then an AS number or an IPv4 address, then a
 *   number: `rt:64512:100`, `rt:4200000000:100`, `soo:10.0.0.1:100`; any other as `generic:0x` and 16 digits. An AS number
 *   below 65536 that is nevertheless carried in 32 bits (RFC 5668) is written with a dot: `rt:0.64512:100`.
 * What `format…` writes, `parseCommunity` reads to the same value. Called by policy, views, and for its constants by export.
 */
import { ByteReader, ByteWriter } from '../../lib/bytes.ts';
import { parseAsn } from '../../net/asn.ts';
import { formatIp, ipFromBytes, parseIp } from '../../net/ip.ts';
import type { Community } from '../policy/policy-rules.ts';
import type { ExtendedCommunity, LargeCommunity, PathAttributes } from './attributes.ts';

/** RFC 1997: not to external peers; not to anybody; not to peers of another AS even in a confederation. */
export const NO_EXPORT = 0xffffff01;
export const NO_ADVERTISE = 0xffffff02;
export const NO_EXPORT_SUBCONFED = 0xffffff03;
/** RFC 9494: kept as a last resort; not to be kept as one. */
export const LLGR_STALE = 0xffff0006;
export const NO_LLGR = 0xffff0007;

/** Their names in IANA's registry, in lower case. */
const WELL_KNOWN: readonly (readonly [name: string, value: number])[] = [
  ['graceful-shutdown', 0xffff0000], // RFC 8326
  ['llgr-stale', LLGR_STALE],
  ['no-llgr', NO_LLGR],
  ['blackhole', 0xffff029a], // RFC 7999
  ['no-export', NO_EXPORT],
  ['no-advertise', NO_ADVERTISE],
  ['no-export-subconfed', NO_EXPORT_SUBCONFED],
];
const valueByName = new Map(WELL_KNOWN);
const nameByValue = new Map(WELL_KNOWN.map(([name, value]) => [value, name]));

/** How the first six of the eight bytes are read, by their first (RFC 4360 section 3, RFC 5668). */
const TWO_OCTET_AS = 0;
const IPV4_ADDRESS = 1;
const FOUR_OCTET_AS = 2;
/** The second byte. */
const SUBTYPES: readonly (readonly [name: string, subtype: number])[] = [
  ['rt', 2],
  ['soo', 3],
];

const U16_MAX = 0xffff;
const U32_MAX = 0xffffffff;

/** Reads any of the notations; undefined when the text is none of them. */
export function parseCommunity(text: string): Community | undefined {
  const named = valueByName.get(text);
  if (named !== undefined) return { kind: 'standard', value: named };
  const parts = text.split(':');
  const [first = '', second = '', third = ''] = parts;
  if (first === 'generic' && parts.length === 2) return parseGeneric(second);
  const subtype = SUBTYPES.find(([name]) => name === first)?.[1];
  if (subtype !== undefined && parts.length === 3) return parseExtended(subtype, second, third);
  const numbers = parts.map((part) => parseNumber(part, parts.length === 2 ? U16_MAX : U32_MAX));
  const [a, b, c] = numbers;
  if (a === undefined || b === undefined) return undefined;
  if (numbers.length === 2) return { kind: 'standard', value: a * 0x10000 + b };
  return numbers.length === 3 && c !== undefined ? { kind: 'large', value: [a, b, c] } : undefined;
}

export function formatCommunity(value: number): string {
  return nameByValue.get(value) ?? `${value >>> 16}:${value & U16_MAX}`;
}

export function formatLargeCommunity(value: LargeCommunity): string {
  return value.join(':');
}

export function formatExtendedCommunity([high, low]: ExtendedCommunity): string {
  const name = SUBTYPES.find(([, subtype]) => subtype === ((high >>> 16) & 0xff))?.[0];
  const bytes = new ByteWriter(8).u32(high).u32(low).finish();
  const lowHalf = low & U16_MAX;
  if (name !== undefined) {
    const asn = new ByteReader(bytes, 2).u32() ?? 0;
    switch (high >>> 24) {
      case TWO_OCTET_AS:
        if ((high & U16_MAX) !== 0) return `${name}:${high & U16_MAX}:${low}`;
        break;
      case IPV4_ADDRESS:
        return `${name}:${formatIp(ipFromBytes(bytes.subarray(2, 6)))}:${lowHalf}`;
      case FOUR_OCTET_AS:
        if (asn !== 0) return `${name}:${asn > U16_MAX ? asn : `0.${asn}`}:${lowHalf}`;
        break;
    }
  }
  return `generic:0x${[high, low].map((half) => half.toString(16).padStart(8, '0')).join('')}`;
}

/** All communities of a route, as people write them. */
export function communityTexts(
  attributes: Pick<PathAttributes, 'communities' | 'extendedCommunities' | 'largeCommunities'>,
): string[] {
  return [
    ...attributes.communities.map(formatCommunity),
    ...attributes.extendedCommunities.map(formatExtendedCommunity),
    ...attributes.largeCommunities.map(formatLargeCommunity),
  ];
}

function parseGeneric(digits: string): Community | undefined {
  const match = /^0x([0-9a-f]{8})([0-9a-f]{8})$/i.exec(digits);
  if (match === null) return undefined;
  return { kind: 'extended', high: Number.parseInt(match[1] ?? '', 16), low: Number.parseInt(match[2] ?? '', 16) };
}

function parseExtended(subtype: number, administrator: string, text: string): Community | undefined {
  const address = parseIp(administrator);
  const asn = parseAsn(administrator);
  const isLong = address !== undefined || administrator.includes('.') || (asn ?? 0) > U16_MAX;
  const assigned = parseNumber(text, isLong ? U16_MAX : U32_MAX);
  if (assigned === undefined) return undefined;
  const writer = new ByteWriter(8);
  if (address !== undefined) {
    if (address.family !== 4) return undefined;
    writer.u8(IPV4_ADDRESS).u8(subtype).bytes(address.bytes).u16(assigned);
  } else if (asn === undefined) {
    return undefined;
  } else if (isLong) {
    writer.u8(FOUR_OCTET_AS).u8(subtype).u32(asn).u16(assigned);
  } else writer.u8(TWO_OCTET_AS).u8(subtype).u16(asn).u32(assigned);
  const reader = new ByteReader(writer.finish());
  return { kind: 'extended', high: reader.u32() ?? 0, low: reader.u32() ?? 0 };
}

function parseNumber(text: string, max: number): number | undefined {
  return /^\d{1,10}$/.test(text) && Number(text) <= max ? Number(text) : undefined;
}
