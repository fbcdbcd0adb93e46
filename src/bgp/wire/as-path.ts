/**
 * AS_PATH on the wire, in 16 and in 32 bits.
 *
 * A path is a plain list of AS numbers, the nearest first: AS_SETs are refused (RFC 9774), and confederations are not spoken,
 * so that every segment is an AS_SEQUENCE and where one ends means nothing. A peer that knows only 16 bits is shown AS_TRANS
 * for larger numbers, and the true ones beside it in AS4_PATH; `mergeAs4Path` puts the two together again.
 *
 * RFC 4271 section 4.3 b, RFC 6793 sections 4.2 and 6, RFC 7606 section 7.2, RFC 7607 (no AS 0), RFC 9774. Called by the rows of
 * attributes-table.ts and by `encodeAttributes`.
 */
import type { ByteWriter } from '../../lib/bytes.ts';
import { ByteReader } from '../../lib/bytes.ts';
import { AS_TRANS } from './open.ts';

/** The longest paths of the Internet, with all their prepending, have a few hundred; more is an attack or a mistake. */
const AS_PATH_LENGTH_MAX = 1000;

const AS_SET = 1;
const AS_SEQUENCE = 2;
const AS_CONFED_SEQUENCE = 3;
const AS_CONFED_SET = 4;
/** One byte counts the AS numbers of a segment. */
const SEGMENT_ASNS_MAX = 255;

/** The numbers of the path, or what is wrong with it. */
export function decodeAsPath(value: Uint8Array, asnBytes: 2 | 4): number[] | string {
  return decodeSegments(value, asnBytes, false);
}

/** AS4_PATH: as AS_PATH, but confederation segments, which must not be in it, are left out (RFC 6793 section 6). */
export function decodeAs4Path(value: Uint8Array): number[] | string {
  return decodeSegments(value, 4, true);
}

/** The path as AS_SEQUENCEs; an empty path has none. */
export function encodeAsPath(writer: ByteWriter, path: readonly number[], asnBytes: 2 | 4): void {
  for (let start = 0; start < path.length; start += SEGMENT_ASNS_MAX) {
    const end = Math.min(start + SEGMENT_ASNS_MAX, path.length);
    writer.u8(AS_SEQUENCE).u8(end - start);
    for (let index = start; index < end; index++) writeAsn(writer, path[index] ?? 0, asnBytes);
  }
}

/** How many bytes `encodeAsPath` writes. */
export function asPathBytes(path: readonly number[], asnBytes: 2 | 4): number {
  return Math.ceil(path.length / SEGMENT_ASNS_MAX) * 2 + path.length * asnBytes;
}

/** An AS number in as many bytes; AS_TRANS where it does not fit. */
export function writeAsn(writer: ByteWriter, asn: number, asnBytes: 2 | 4): void {
  if (asnBytes === 4) writer.u32(asn);
  else writer.u16(asn > 0xffff ? AS_TRANS : asn);
}

/** The true path behind a 16-bit one: its head, where it is longer, and then AS4_PATH (RFC 6793 section 4.2.3). */
export function mergeAs4Path(asPath: readonly number[], as4Path: readonly number[]): readonly number[] {
  if (as4Path.length > asPath.length) return asPath;
  return [...asPath.slice(0, asPath.length - as4Path.length), ...as4Path];
}

function decodeSegments(value: Uint8Array, asnBytes: 2 | 4, skipsConfederations: boolean): number[] | string {
  const reader = new ByteReader(value);
  const path: number[] = [];
  while (reader.remaining > 0) {
    const type = reader.u8() ?? 0;
    const count = reader.u8() ?? 0;
    if (type < AS_SET || type > AS_CONFED_SET) return `a segment of unknown type ${type}`;
    if (count === 0) return 'a segment without AS numbers';
    if (reader.remaining < count * asnBytes) return `a segment of ${count} AS numbers that do not fit into it`;
    if (type === AS_SET) return 'an AS_SET';
    const isConfederation = type === AS_CONFED_SEQUENCE || type === AS_CONFED_SET;
    if (isConfederation && !skipsConfederations) return 'a confederation segment';
    for (let index = 0; index < count; index++) {
      const asn = (asnBytes === 2 ? reader.u16() : reader.u32()) ?? 0;
      if (asn === 0) return 'AS 0';
      if (!isConfederation) path.push(asn);
    }
  }
  return path.length > AS_PATH_LENGTH_MAX ? `${path.length} AS numbers, at most ${AS_PATH_LENGTH_MAX} are taken` : path;
}
