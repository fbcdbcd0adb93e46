/**
 * Prefixes on the wire: a length in bits and as many bytes as these need, with a path identifier before each where several
 * paths to a prefix may be told (RFC 7911).
 *
 * A message is checked once, as a whole, without a value for each prefix; the table then reads the same bytes into its
 * integers. Bits beyond the length have no meaning and are cleared by whoever reads them: a Cidr is always masked.
 * RFC 4271 section 4.3, RFC 4760 section 5, RFC 7606 section 5.3.
 */
import type { ByteWriter } from '../../lib/bytes.ts';
import { byteAt } from '../../lib/bytes.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import { addressBits } from '../../net/ip.ts';

/** Where prefixes stand in the body of an UPDATE. */
export interface NlriRange {
  readonly family: Family;
  readonly start: number;
  readonly end: number;
  /** Four bytes of path identifier stand before each prefix (RFC 7911). */
  readonly pathIds: boolean;
}

const PATH_ID_BYTES = 4;

/** Whether every prefix of the range is complete and not longer than its family allows. */
export function isWellFormed(body: Uint8Array, { family, start, end, pathIds }: NlriRange): boolean {
  const bits = addressBits(family);
  const before = pathIds ? PATH_ID_BYTES : 0;
  let at = start;
  while (at < end) {
    at += before;
    const length = byteAt(body, at);
    if (length > bits) return false;
    at += 1 + ((length + 7) >> 3);
  }
  return at === end;
}

/** The prefixes of a range that is well-formed, for those who want values rather than speed. */
export function prefixesIn(
  body: Uint8Array,
  { family, start, end, pathIds }: NlriRange,
): { readonly prefix: Cidr; readonly pathId: number | undefined }[] {
  const prefixes: { prefix: Cidr; pathId: number | undefined }[] = [];
  for (let at = start; at < end; ) {
    const pathId = pathIds ? u32At(body, at) : undefined;
    if (pathIds) at += PATH_ID_BYTES;
    const length = byteAt(body, at);
    const count = (length + 7) >> 3;
    const bytes = new Uint8Array(addressBits(family) >> 3);
    bytes.set(body.subarray(at + 1, at + 1 + count));
    if (count > 0) bytes[count - 1] = byteAt(bytes, count - 1) & (0xff << (count * 8 - length));
    prefixes.push({ prefix: { address: { family, bytes }, length }, pathId });
    at += 1 + count;
  }
  return prefixes;
}

export function prefixBytes(prefix: Cidr): number {
  return 1 + ((prefix.length + 7) >> 3);
}

export function writePrefix(writer: ByteWriter, prefix: Cidr): void {
  writer.u8(prefix.length).bytes(prefix.address.bytes.subarray(0, (prefix.length + 7) >> 3));
}

function u32At(bytes: Uint8Array, at: number): number {
  const low = (byteAt(bytes, at + 1) << 16) | (byteAt(bytes, at + 2) << 8) | byteAt(bytes, at + 3);
  return byteAt(bytes, at) * 0x1000000 + low;
}
