/**
 * Dynamic neighbours: which range, if any, somebody who dials us out of the blue belongs to.
 *
 * The longest prefix wins, so that a part of a range can have terms of its own.
 */
import { containsIp } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { ListenRange, PeerConfig } from './peer-config.ts';

export function rangeFor(
  address: Ip,
  device: string | undefined,
  ranges: readonly ListenRange[],
): ListenRange | undefined {
  let best: ListenRange | undefined;
  for (const range of ranges) {
    if (!containsIp(range.range, address) || (range.device !== undefined && range.device !== device)) continue;
    if (best === undefined || range.range.length > best.range.length) best = range;
  }
  return best;
}

/** The configuration of a peer that has dialled us out of a range. We do not dial it: it may be anybody, and gone. */
export function memberOf(
  { peer, asn }: ListenRange,
  { address, device }: Pick<PeerConfig, 'address' | 'device'>,
): PeerConfig {
  return { ...peer, address, device, asn, passive: true };
}
