/**
 * IP addresses as values.
 *
 * One representation for both families: the bytes in network order, four or sixteen. The family follows from the length,
 * so IPv6 cannot be forgotten, and the same code serves both. Text is only for the edge: `parseIp` is strict (dotted
 * quad without leading zeros, RFC 4291 text for IPv6, no zone), `formatIp` prints the canonical form of RFC 5952.
 * An Ip is never changed after it was made, and its text is computed once, since it serves as a map key.
 */
import { assert } from '../lib/assert.ts';
import { byteAt, compareBytes } from '../lib/bytes.ts';

export type Family = 4 | 6;

export interface Ip {
  readonly family: Family;
  readonly bytes: Uint8Array;
}

const texts = new WeakMap<Ip, string>();

/** How many bits an address of the family has. */
export function addressBits(family: Family): 32 | 128 {
  return family === 4 ? 32 : 128;
}

/** An address from its 4 or 16 bytes in network order; the bytes are copied. */
export function ipFromBytes(bytes: Uint8Array): Ip {
  assert(bytes.length === 4 || bytes.length === 16, `an IP address has 4 or 16 bytes, not ${bytes.length}`);
  return { family: bytes.length === 4 ? 4 : 6, bytes: new Uint8Array(bytes) };
}

/** The address that `text` denotes, or undefined when it denotes none. */
export function parseIp(text: string): Ip | undefined {
  const bytes = text.includes(':') ? parseIpv6(text) : parseIpv4(text);
  return bytes === undefined ? undefined : { family: bytes.length === 4 ? 4 : 6, bytes };
}

/** `parseIp` for text that is known to be an address, such as a constant: throws where it is not. */
export function ip(text: string): Ip {
  const parsed = parseIp(text);
  assert(parsed !== undefined, `not an IP address: ${text}`);
  return parsed;
}

/** Canonical text: dotted quad, or RFC 5952. */
export function formatIp(address: Ip): string {
  const known = texts.get(address);
  if (known !== undefined) return known;
  const text = address.family === 4 ? address.bytes.join('.') : formatIpv6(address.bytes);
  texts.set(address, text);
  return text;
}

/** Orders addresses: IPv4 before IPv6, then by value. */
export function compareIp(a: Ip, b: Ip): number {
  return compareBytes(a.bytes, b.bytes);
}

export function sameIp(a: Ip | undefined, b: Ip | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return compareBytes(a.bytes, b.bytes) === 0;
}

/** The address `offset` (a non-negative integer below 2^32) places after `base`; throws beyond the last address. */
export function addressAt(base: Ip, offset: number): Ip {
  const bytes = Uint8Array.from(base.bytes);
  let carry = offset;
  for (let index = bytes.length - 1; index >= 0 && carry > 0; index--) {
    const sum = byteAt(bytes, index) + carry;
    bytes[index] = sum % 256;
    carry = Math.floor(sum / 256);
  }
  assert(carry === 0, `${formatIp(base)} + ${offset} is beyond the last address`);
  return { family: base.family, bytes };
}

/** How many places `address` lies after `base`; undefined unless that is a number in 0 … 2^32 - 1. */
export function offsetOf(base: Ip, address: Ip): number | undefined {
  if (base.family !== address.family) return undefined;
  let offset = 0n;
  for (let index = 0; index < base.bytes.length; index++) {
    offset = offset * 256n + BigInt(byteAt(address.bytes, index)) - BigInt(byteAt(base.bytes, index));
  }
  return offset >= 0n && offset < 2n ** 32n ? Number(offset) : undefined;
}

/** Whether the address means something only together with a device: fe80::/10. */
export function isLinkLocal({ family, bytes }: Ip): boolean {
  return family === 6 && byteAt(bytes, 0) === 0xfe && (byteAt(bytes, 1) & 0xc0) === 0x80;
}

/** The IPv4 address inside an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2); any other address as it is. */
export function unmapIp(address: Ip): Ip {
  return isMapped(address.bytes) ? ipFromBytes(address.bytes.subarray(12)) : address;
}

function isMapped(bytes: Uint8Array): boolean {
  return (
    bytes.length === 16 && bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 255 && bytes[11] === 255
  );
}

function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  const bytes = new Uint8Array(4);
  for (const [index, part] of parts.entries()) {
    if (!/^(0|[1-9][0-9]{0,2})$/.test(part) || Number(part) > 255) return undefined;
    bytes[index] = Number(part);
  }
  return bytes;
}

function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const head = parseGroups(halves[0] ?? '', halves.length === 1);
  const tail = halves.length === 2 ? parseGroups(halves[1] ?? '', true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const missing = 16 - head.length - tail.length;
  if (halves.length === 1 ? missing !== 0 : missing < 2) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...tail]);
}

/** The bytes of colon-separated groups; the last group may be a dotted quad where the text ends with it. */
function parseGroups(text: string, endsAddress: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [index, group] of groups.entries()) {
    if (group.includes('.')) {
      const quad = endsAddress && index === groups.length - 1 ? parseIpv4(group) : undefined;
      if (quad === undefined) return undefined;
      bytes.push(...quad);
    } else {
      if (!/^[0-9a-fA-F]{1,4}$/.test(group)) return undefined;
      const value = Number.parseInt(group, 16);
      bytes.push(value >> 8, value & 0xff);
    }
  }
  return bytes;
}

function formatIpv6(bytes: Uint8Array): string {
  if (isMapped(bytes)) return `::ffff:${bytes.subarray(12).join('.')}`; // RFC 5952 section 5
  const groups = Array.from(
    { length: 8 },
    (_, index) => (byteAt(bytes, index * 2) << 8) | byteAt(bytes, index * 2 + 1),
  );
  const zeros = longestZeroRun(groups);
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(':');
  if (zeros === undefined) return hex(groups);
  return `${hex(groups.slice(0, zeros.start))}::${hex(groups.slice(zeros.start + zeros.length))}`;
}

/** The first of the longest runs of two or more zero groups (RFC 5952 section 4.2). */
function longestZeroRun(groups: readonly number[]): { start: number; length: number } | undefined {
  let best: { start: number; length: number } | undefined;
  let length = 0;
  for (const [index, group] of groups.entries()) {
    length = group === 0 ? length + 1 : 0;
    if (length >= 2 && length > (best?.length ?? 0)) best = { start: index - length + 1, length };
  }
  return best;
}
