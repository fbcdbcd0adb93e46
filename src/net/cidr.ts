/**
 * Prefixes: an address and how many of its leading bits count.
 *
 * A Cidr in the core is always masked: the bits beyond the length are zero, so that equal prefixes are equal values and
 * their text can be a map key. `parseCidr` therefore refuses host bits; where a host's address with its subnet is
 * meant ("192.168.100.100/24"), `parseInterfaceAddress` keeps both halves.
 */
import { assert } from '../lib/assert.ts';
import { byteAt } from '../lib/bytes.ts';
import type { Family, Ip } from './ip.ts';
import { addressAt, addressBits, compareIp, formatIp, offsetOf, parseIp, sameIp } from './ip.ts';

export interface Cidr {
  readonly address: Ip;
  readonly length: number;
}

/** A host's own address together with the subnet that it stands in. */
export interface InterfaceAddress {
  readonly address: Ip;
  readonly subnet: Cidr;
}

/** The prefix that `text` ("10.0.0.0/8") denotes; undefined when malformed or when host bits are set. */
export function parseCidr(text: string): Cidr | undefined {
  const parsed = parseInterfaceAddress(text);
  return parsed !== undefined && sameIp(parsed.address, parsed.subnet.address) ? parsed.subnet : undefined;
}

/** `parseCidr` for text that is known to be a prefix, such as a constant: throws where it is not. */
export function cidr(text: string): Cidr {
  const parsed = parseCidr(text);
  assert(parsed !== undefined, `not a prefix: ${text}`);
  return parsed;
}

/** Reads "192.168.100.100/24": the address, and the subnet that the length makes of it. */
export function parseInterfaceAddress(text: string): InterfaceAddress | undefined {
  const match = /^([^/]+)\/(0|[1-9][0-9]{0,2})$/.exec(text);
  const address = parseIp(match?.[1] ?? '');
  const length = Number(match?.[2]);
  if (address === undefined || length > addressBits(address.family)) return undefined;
  return { address, subnet: prefixOf(address, length) };
}

/** The prefix of the given length around an address: its host bits are cleared. */
export function prefixOf(address: Ip, length: number): Cidr {
  assert(length >= 0 && length <= addressBits(address.family), `prefix length ${length} for IPv${address.family}`);
  const bytes = Uint8Array.from(address.bytes);
  for (let index = 0; index < bytes.length; index++) {
    const kept = Math.min(Math.max(length - index * 8, 0), 8);
    bytes[index] = byteAt(bytes, index) & ((0xff << (8 - kept)) & 0xff);
  }
  return { address: { family: address.family, bytes }, length };
}

/** The prefix that holds one address only: /32 or /128. */
export function hostPrefix(address: Ip): Cidr {
  return { address, length: addressBits(address.family) };
}

/** "10.0.0.0/8"; canonical, hence a map key. */
export function formatCidr(prefix: Cidr): string {
  return `${formatIp(prefix.address)}/${prefix.length}`;
}

export function sameCidr(a: Cidr, b: Cidr): boolean {
  return a.length === b.length && sameIp(a.address, b.address);
}

/** Orders prefixes by family, address, then length: a prefix comes before what it contains. */
export function compareCidr(a: Cidr, b: Cidr): number {
  return compareIp(a.address, b.address) || a.length - b.length;
}

export function containsIp(prefix: Cidr, address: Ip): boolean {
  return prefix.address.family === address.family && sameIp(prefixOf(address, prefix.length).address, prefix.address);
}

/** Whether every address of `inner` is in `outer` (a prefix contains itself). */
export function containsCidr(outer: Cidr, inner: Cidr): boolean {
  return inner.length >= outer.length && containsIp(outer, inner.address);
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return containsCidr(a, b) || containsCidr(b, a);
}

export function familyOf(prefix: Cidr): Family {
  return prefix.address.family;
}

/** How many prefixes of `length` a prefix holds; at most 2^32 are counted. */
export function countOf(prefix: Cidr, length: number): number {
  return length < prefix.length ? 0 : 2 ** Math.min(length - prefix.length, 32);
}

/** The `index`-th prefix of `length` inside `prefix`; throws where there is none. */
export function subPrefix(prefix: Cidr, length: number, index: number): Cidr {
  const exists = length <= addressBits(familyOf(prefix)) && index >= 0 && index < countOf(prefix, length);
  assert(exists, `no ${index}th /${length} in ${formatCidr(prefix)}`);
  const bytes = Uint8Array.from(prefix.address.bytes);
  const shifted = BigInt(index) << BigInt(addressBits(familyOf(prefix)) - length);
  for (let place = 0; place < bytes.length; place++) {
    const bits = Number((shifted >> BigInt((bytes.length - 1 - place) * 8)) & 0xffn);
    bytes[place] = byteAt(bytes, place) | bits;
  }
  return { address: { family: familyOf(prefix), bytes }, length };
}

/** The address at `ordinal` in the prefix; throws where the prefix is smaller. */
export function addressIn(prefix: Cidr, ordinal: number): Ip {
  const size = 2 ** (addressBits(familyOf(prefix)) - prefix.length);
  assert(ordinal >= 0 && ordinal < size, `no ${ordinal}th address in ${formatCidr(prefix)}`);
  return addressAt(prefix.address, ordinal);
}

/** Where an address stands in the prefix; undefined when it is outside. */
export function ordinalOf(prefix: Cidr, address: Ip): number | undefined {
  return containsIp(prefix, address) ? offsetOf(prefix.address, address) : undefined;
}
