/**
 * Address families as the kernel numbers them.
 *
 * Called by the codecs beside this file. Other families (bridge, MPLS, multicast routing) appear in dumps and events as
 * well; `familyOfNumber` answers undefined for them, and the codecs leave their messages alone.
 *
 * Source: linux/socket.h.
 */
import type { Family } from '../../net/ip.ts';

/** AF_INET and AF_INET6. */
export const AF: Readonly<Record<Family, number>> = { 4: 2, 6: 10 };

/** The family of an AF_… number; undefined for those that are not IP. */
export function familyOfNumber(number: number): Family | undefined {
  if (number === AF[4]) return 4;
  return number === AF[6] ? 6 : undefined;
}
