/**
 * Prefixes on the wire: a length in bits and as many bytes as these need.
 *
 * Bits beyond the length have no meaning in a message, so they are cleared on reading: a Cidr is always masked.
 * RFC 4271 section 4.3, RFC 4760 section 5.
 */
import type { ByteReader, ByteWriter } from '../lib/bytes.ts';
import { byteAt } from '../lib/bytes.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { addressBits } from '../net/ip.ts';

/** All prefixes in `reader`; undefined when one is too long for the family or runs over the end. */
export function decodePrefixes(reader: ByteReader, family: Family): Cidr[] | undefined {
  const bits = addressBits(family);
  const prefixes: Cidr[] = [];
  while (reader.remaining > 0) {
    const length = reader.u8() ?? 0;
    if (length > bits) return undefined;
    const significant = reader.take((length + 7) >> 3);
    if (significant === undefined) return undefined;
    const bytes = new Uint8Array(bits >> 3);
    bytes.set(significant);
    const last = significant.length - 1;
    if (last >= 0) bytes[last] = byteAt(bytes, last) & (0xff << (significant.length * 8 - length));
    prefixes.push({ address: { family, bytes }, length });
  }
  return prefixes;
}

export function prefixBytes(prefix: Cidr): number {
  return 1 + ((prefix.length + 7) >> 3);
}

export function writePrefix(writer: ByteWriter, prefix: Cidr): void {
  writer.u8(prefix.length).bytes(prefix.address.bytes.subarray(0, (prefix.length + 7) >> 3));
}

/** A map key that equal prefixes share; shorter and cheaper than their text. */
export function prefixKey(prefix: Cidr): string {
  return String.fromCharCode(prefix.length, ...prefix.address.bytes);
}
