/**
 * What the two programs of the IPIP tunnel and the process that loads them agree upon: the map of known hosts, names, headers.
 *
 * The map has a row per far end, by its IPv4 address in network order. The process writes the key and the source address;
 * the program on the uplinks writes what it learns about the path, which the process leaves alone. So everything that the
 * tunnel needs to know is in the kernel and outlives the process.
 */

import { assert } from '../../lib/assert.ts';
import { type Mac, parseMac } from '../../net/mac.ts';

/** Names in the kernel, by which a fresh process knows what is ours; 15 characters at most. */
export const PROGRAM_NAME = { encapsulation: 'muslin_ipip_out', decapsulation: 'muslin_ipip_in' } as const;
export const HOSTS_MAP_NAME = 'muslin_hosts';

/** More hosts than a BGP mesh of a cluster has; rows are allocated as they are written. */
export const HOSTS_MAX = 65_536;
export const HOST_KEY_LENGTH = 4;
/**
 * A row: the address to send from (network order, 0 where the kernel finds it by the route), the learnt MTU of the path
 * there, and until when it holds (nanoseconds of the machine's uptime).
 */
export const HOST = { length: 16, source: 0, pathMtu: 4, expires: 8 } as const;

/** How long a learnt MTU holds, and the smallest that is believed: net.ipv4.route.mtu_expires and min_pmtu. */
export const PATH_MTU_SECONDS = 600;
export const PATH_MTU_MIN = 552;

/**
 * The MAC of the tunnel's device, written into packets that come out of the tunnel, so that they count as this host's own
 * whichever uplink they came by. Locally administered, and on no wire.
 */
export const TUNNEL_MAC = macOf('6e:69:70:69:70:01');

export const IPV4_LENGTH = 20;
/** Offsets in an IPv4 header (RFC 791), and in the numbers that one loads from there, bytes in the order of the wire. */
export const IPV4 = {
  version: 0,
  trafficClass: 1,
  length: 2,
  id: 4,
  fragment: 6,
  ttl: 8,
  protocol: 9,
  checksum: 10,
  source: 12,
  destination: 16,
} as const;
export const FRAGMENT = { dont: 0x0040, offset: 0xff1f, anyPart: 0xff3f } as const;
export const PROTOCOL = { icmp: 1, ipip: 4, tcp: 6 } as const;
/** The lower two bits of the traffic class (RFC 3168). */
export const ECN = { mask: 3, none: 0, capable1: 1, capable0: 2, congested: 3 } as const;

function macOf(text: string): Mac {
  const mac = parseMac(text);
  assert(mac !== undefined, `not a MAC address: ${text}`);
  return mac;
}
