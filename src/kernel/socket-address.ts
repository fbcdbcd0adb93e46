/**
 * C's struct sockaddr_in and sockaddr_in6, as bytes, from and to addresses.
 *
 * A link-local IPv6 address means something on one device only, whose index is its scope (RFC 4007); everywhere else the
 * scope is 0. Family and scope are in the machine's byte order (little-endian here, as netlink-socket.ts asserts), port and
 * address in network order.
 */
import type { Ip } from '../net/ip.ts';
import { ipFromBytes } from '../net/ip.ts';
import { AF_INET, AF_INET6 } from './system-calls.ts';

/** Of the larger of the two, sockaddr_in6. */
export const SOCKET_ADDRESS_LENGTH = 28;
const IPV4_LENGTH = 16;

export interface SocketAddress {
  readonly address: Ip;
  readonly port: number;
  /** The index of a link-local address's device, else 0. */
  readonly scope: number;
}

export function encodeSocketAddress({ address, port, scope }: SocketAddress): Uint8Array {
  const bytes = new Uint8Array(address.family === 4 ? IPV4_LENGTH : SOCKET_ADDRESS_LENGTH);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, address.family === 4 ? AF_INET : AF_INET6, true);
  view.setUint16(2, port);
  bytes.set(address.bytes, address.family === 4 ? 4 : 8);
  if (address.family === 6) view.setUint32(24, scope, true);
  return bytes;
}

/** The address in a sockaddr that the kernel has written; undefined for another family's. */
export function decodeSocketAddress(bytes: Uint8Array): SocketAddress | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const family = view.getUint16(0, true);
  const port = view.getUint16(2);
  if (family === AF_INET) return { address: ipFromBytes(bytes.subarray(4, 8)), port, scope: 0 };
  if (family !== AF_INET6) return undefined;
  return { address: ipFromBytes(bytes.subarray(8, 24)), port, scope: view.getUint32(24, true) };
}
