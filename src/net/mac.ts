/**
 * Ethernet addresses: six bytes, printed as ee:ee:ee:ee:ee:ee.
 *
 * WORKLOAD_HOST_MAC is the address of the host end of every container's veth. It is the same everywhere, so that a
 * container's neighbour entry for its gateway never goes stale, whichever host it runs on (Calico uses the same one).
 */
import { assert } from '../lib/assert.ts';
import type { Brand } from '../lib/brand.ts';

/** Lower-case text with colons: equal addresses are equal strings. */
export type Mac = Brand<string, 'Mac'>;

/** The address that `text` denotes, upper or lower case; undefined when it denotes none. */
export function parseMac(text: string): Mac | undefined {
  return /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(text) ? (text.toLowerCase() as Mac) : undefined;
}

/** The address of six bytes. */
export function macFromBytes(bytes: Uint8Array): Mac {
  assert(bytes.length === 6, `an Ethernet address has 6 bytes, not ${bytes.length}`);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':') as Mac;
}

export function macBytes(mac: Mac): Uint8Array {
  return Uint8Array.from(mac.split(':'), (part) => Number.parseInt(part, 16));
}

export const WORKLOAD_HOST_MAC = 'ee:ee:ee:ee:ee:ee' as Mac;
