/**
 * Router advertisements and solicitations (RFC 4861 sections 4.1, 4.2), as far as they tell two routers of each other.
 *
 * Ours say nothing but that we are here: a router lifetime of 0 means that no host shall send us its packets by default. Of those
 * received only the sender's address is of use. Whether they come from the link (hop limit 255, a link-local sender) is
 * checked by router-socket.ts; here the bytes are, as section 6.1 has it. The kernel writes and checks the checksum.
 */
import { byteAt } from '../lib/bytes.ts';

export const ROUTER_SOLICITATION = 133;
export const ROUTER_ADVERTISEMENT = 134;

const SOLICITATION_LENGTH = 8;
const ADVERTISEMENT_LENGTH = 16;

export type RouterMessageKind = 'solicitation' | 'advertisement';

/** Hop limit, lifetime, reachable time and retransmission timer are all 0: unspecified. */
export function encodeRouterAdvertisement(): Uint8Array {
  return Uint8Array.of(ROUTER_ADVERTISEMENT, ...new Array<number>(ADVERTISEMENT_LENGTH - 1).fill(0));
}

/** Asks the routers of a link to advertise themselves at once. */
export function encodeRouterSolicitation(): Uint8Array {
  return Uint8Array.of(ROUTER_SOLICITATION, ...new Array<number>(SOLICITATION_LENGTH - 1).fill(0));
}

/** What an ICMPv6 message is; undefined for anything else and for what is malformed, which RFC 4861 has us ignore. */
export function routerMessageKind(bytes: Uint8Array): RouterMessageKind | undefined {
  const type = byteAt(bytes, 0);
  if (type !== ROUTER_SOLICITATION && type !== ROUTER_ADVERTISEMENT) return undefined;
  const length = type === ROUTER_SOLICITATION ? SOLICITATION_LENGTH : ADVERTISEMENT_LENGTH;
  if (bytes.length < length || byteAt(bytes, 1) !== 0 || !areOptionsWhole(bytes, length)) return undefined;
  return type === ROUTER_SOLICITATION ? 'solicitation' : 'advertisement';
}

/** Options are a type, a length in units of eight bytes that is not 0, and a value. */
function areOptionsWhole(bytes: Uint8Array, start: number): boolean {
  let offset = start;
  while (offset < bytes.length) {
    const length = byteAt(bytes, offset + 1) * 8;
    if (length === 0 || offset + length > bytes.length) return false;
    offset += length;
  }
  return true;
}
