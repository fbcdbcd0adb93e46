/**
 * Which routes may not be used at all, whatever their merits.
 *
 * A route that has been here before would loop: our AS number is in its path more often than we allow, we are its
 * originator, or our cluster is in its list (RFC 4456 section 8). And its next hop must be the address of another host.
 * Such routes are kept and shown, as "why is it not used" is what people ask.
 *
 * RFC 4271 sections 5.1.3, 9.1.2 and 9.1.2.1.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Ip } from '../../net/ip.ts';
import { isLinkLocal, sameIp } from '../../net/ip.ts';
import type { AttributeSet } from './attribute-sets.ts';

/** Who we are, as far as it matters for judging routes. */
export interface Self {
  readonly asn: number;
  readonly routerId: number;
  readonly clusterId: number;
  /** Addresses of ours: a route through one of them would loop. */
  readonly addresses: readonly Ip[];
}

/** Notes on a set whether routes with it may be used; before we are configured, none may. */
export function judgeUsability(set: AttributeSet, self: Self | undefined): void {
  const loop = self === undefined ? undefined : whyLoop(set, self);
  set.isLoop = loop !== undefined;
  set.unusable = self === undefined ? 'we are not configured' : (loop ?? whyNoNextHop(set, self));
}

function whyLoop({ source, attributes }: AttributeSet, { asn, routerId, clusterId }: Self): string | undefined {
  if (source.slot === 0) return undefined;
  let ownAsns = 0;
  let last = asn;
  for (const hop of attributes.asPath) {
    if (hop !== asn && hop !== source.localAsn) continue;
    ownAsns += 1;
    last = hop;
  }
  if (ownAsns > source.allowedOwnAsns) return `AS_PATH contains our own AS ${last}`;
  if (attributes.originatorId === routerId) return 'it originates from ourselves (ORIGINATOR_ID)';
  if (attributes.clusterList.includes(clusterId)) return 'it has passed through our own cluster (CLUSTER_LIST)';
  return undefined;
}

function whyNoNextHop({ source, attributes }: AttributeSet, { addresses }: Self): string | undefined {
  if (source.slot === 0) return undefined;
  const { nextHop } = attributes;
  if (nextHop === undefined || !isHost(nextHop)) return 'the next hop is not an address of a host';
  if (isLinkLocal(nextHop) && source.device === undefined) {
    return 'the next hop is a link-local address, and the peer is on no device of its own';
  }
  if (sameIp(nextHop, source.localAddress) || addresses.some((own) => sameIp(own, nextHop))) {
    return 'the next hop is an address of our own';
  }
  return undefined;
}

/** Not "this host", loopback or multicast. */
function isHost({ family, bytes }: Ip): boolean {
  const first = byteAt(bytes, 0);
  if (family === 4) return first !== 0 && first !== 127 && first < 224;
  const isLow = bytes.subarray(0, 15).every((byte) => byte === 0); // ::, ::1 and their like
  return !isLow && first !== 0xff;
}
