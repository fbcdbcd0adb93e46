/**
 * Which peers are told the same: the terms of a session, and a key that is equal for equal terms.
 *
 * Everything that decides what a peer is told, and in which bytes, is part of the key, and nothing else is: each needless
 * difference costs another encoding of the whole table. So the peer's AS number counts only where paths are changed for it,
 * and our own address only where we are the next hop.
 */
import type { Family, Ip } from '../../net/ip.ts';
import { formatIp, isLinkLocal } from '../../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from '../peer-config.ts';
import { compilePolicy } from '../policy/policy.ts';
import type { Negotiated } from '../session/negotiated.ts';
import { isSummarised } from '../table/aggregation.ts';
import type { Rib } from '../table/rib.ts';
import type { ExportTarget } from './export.ts';
import type { GroupTerms } from './update-group.ts';

export interface KeyedTerms {
  readonly key: string;
  readonly terms: GroupTerms;
}

export function groupTermsOf(config: SpeakerConfig, peer: PeerConfig, negotiated: Negotiated, rib: Rib): KeyedTerms {
  const { family } = rib;
  const { asnBytes, messageBytesMax } = negotiated;
  const pathsMax = negotiated.addPathSend.includes(family) ? peer.addPath.sendMax : 1;
  const target = exportTarget(config, peer, negotiated, family);
  const { aggregates } = config;
  const isSuppressed = (row: number): boolean =>
    aggregates.length > 0 && isSummarised(rib.prefixes.prefix(row), aggregates);
  const terms = { family, asnBytes, messageBytesMax, pathsMax, target, isSuppressed };
  const key = JSON.stringify([
    family,
    asnBytes,
    messageBytesMax,
    pathsMax,
    { ...target, ownNextHop: target.ownNextHop && formatIp(target.ownNextHop), policy: target.policy?.key },
    aggregates.map(({ prefix, summaryOnly }) => [formatIp(prefix.address), prefix.length, summaryOnly]),
  ]);
  return { key, terms };
}

function exportTarget(config: SpeakerConfig, peer: PeerConfig, negotiated: Negotiated, family: Family): ExportTarget {
  const ownAsn = peer.localAsn ?? config.asn;
  const peerAsn = negotiated.open.asn;
  return {
    external: peerAsn !== ownAsn,
    ownAsn,
    overriddenAsn: peer.asOverride ? peerAsn : undefined,
    routerId: config.routerId,
    clusterId: config.clusterId ?? config.routerId,
    reflectorClient: peer.reflectorClient,
    routeServerClient: peer.routeServerClient,
    nextHop: peer.nextHop,
    ownNextHop: ownNextHop(config, peer, negotiated, family),
    role: negotiated.role,
    takesLongLivedStale: negotiated.open.capabilities.longLived !== undefined,
    policy: peer.exportPolicy && compilePolicy(peer.exportPolicy),
  };
}

/**
 * Where the peer is to send packets for us: our own end of a session that is link-local or has that configured, else the
 * configured address, else our end.
 */
function ownNextHop(
  { nextHops }: SpeakerConfig,
  { localNextHop }: PeerConfig,
  { localAddress, ipv4OverIpv6 }: Negotiated,
  family: Family,
): Ip | undefined {
  const canBeEnd = localAddress.family === family || (family === 4 && ipv4OverIpv6);
  if (canBeEnd && (localNextHop || isLinkLocal(localAddress))) return localAddress;
  return nextHops[family] ?? (canBeEnd ? localAddress : undefined);
}
