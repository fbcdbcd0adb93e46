/**
 * Autonomous system numbers (RFC 6793: 32 bits) and BGP identifiers (RFC 6286: any non-zero 32 bits).
 *
 * AS 0 is never valid (RFC 7607). Text is plain ("64512") or dotted ("1.10", RFC 5396); it is printed plain.
 */
import { assert } from '../lib/assert.ts';
import type { Brand } from '../lib/brand.ts';
import { byteAt } from '../lib/bytes.ts';
import type { Ip } from './ip.ts';

export type Asn = Brand<number, 'Asn'>;

export type RouterId = Brand<number, 'RouterId'>;

export function asn(value: number): Asn {
  assert(Number.isInteger(value) && value > 0 && value < 2 ** 32, `not an AS number: ${value}`);
  return value as Asn;
}

/** Reads "64512" or "1.10"; undefined when it is not a number in 1 … 4294967295. */
export function parseAsn(text: string): Asn | undefined {
  const dotted = /^(\d{1,5})\.(\d{1,5})$/.exec(text);
  const halves = dotted ? [Number(dotted[1]), Number(dotted[2])] : [0, 0];
  if (halves.some((half) => half > 0xffff)) return undefined;
  const value = dotted ? (halves[0] ?? 0) * 0x10000 + (halves[1] ?? 0) : /^\d{1,10}$/.test(text) ? Number(text) : 0;
  return value > 0 && value < 2 ** 32 ? (value as Asn) : undefined;
}

export function routerId(value: number): RouterId {
  assert(Number.isInteger(value) && value > 0 && value < 2 ** 32, `not a router identifier: ${value}`);
  return value as RouterId;
}

/** The identifier that is written like an IPv4 address. */
export function routerIdFromIp(address: Ip): RouterId {
  assert(address.family === 4, 'a router identifier is written as an IPv4 address');
  return routerId(address.bytes.reduce((value, byte) => value * 256 + byte, 0));
}

export function formatRouterId(id: RouterId): string {
  return [24, 16, 8, 0].map((shift) => (id >>> shift) & 0xff).join('.');
}

export function routerIdBytes(id: RouterId): Uint8Array {
  return Uint8Array.of(id >>> 24, id >>> 16, id >>> 8, id);
}

/** The identifier in four bytes; undefined when they are all zero. */
export function routerIdFromBytes(bytes: Uint8Array): RouterId | undefined {
  const value = [0, 1, 2, 3].reduce((sum, index) => sum * 256 + byteAt(bytes, index), 0);
  return value === 0 ? undefined : (value as RouterId);
}
