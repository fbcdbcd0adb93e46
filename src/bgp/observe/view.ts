/**
 * Peers and routes as people read them; views.ts says what each field is.
 */
import type { Instant } from '../../lib/clock.ts';
import type { RouterId } from '../../net/asn.ts';
import { formatRouterId } from '../../net/asn.ts';
import { formatIp } from '../../net/ip.ts';
import type { Peer } from '../peer.ts';
import type { SpeakerConfig } from '../peer-config.ts';
import { viewSession } from '../session/session-view.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { ORIGIN_NAMES } from '../wire/attributes.ts';
import { communityTexts } from '../wire/communities.ts';
import type { NeighborView, PeerView, RouteView } from './views.ts';

export function peerView(peer: Peer, now: Instant, config: SpeakerConfig | undefined): PeerView {
  const { description, asn } = peer.config;
  const { state, forMs, lastError, holdTimeSeconds, routerId } = viewSession(now, peer.session);
  const { received, accepted, stale } = peer.inbound;
  return {
    address: peer.name,
    asn: peer.negotiated?.open.asn ?? asn ?? 0,
    description,
    type: typeOf(peer, config),
    state,
    forMs,
    lastError,
    prefixesReceived: received,
    prefixesAccepted: accepted,
    prefixesSent: peer.outbound.sent,
    holdTimeSeconds,
    routerId,
    stale: stale > 0,
  };
}

export function neighborView(peer: Peer, now: Instant, config: SpeakerConfig | undefined): NeighborView {
  const { localAsn, port, passive, password, ttlSecurityHops, families, bfd } = peer.config;
  return {
    ...peerView(peer, now, config),
    ...viewSession(now, peer.session),
    localAsn: localAsn ?? config?.asn ?? 0,
    port,
    passive,
    dynamic: peer.isDynamic,
    md5: password !== undefined,
    ttlSecurityHops,
    families: (peer.negotiated?.families ?? families).map((family) => `IPv${family} unicast`),
    bfd: bfd === undefined ? undefined : `${bfd.intervalMs} ms × ${bfd.multiplier}`,
    treatedAsWithdraw: peer.treatedAsWithdraw,
    attributesDiscarded: peer.attributesDiscarded,
    loops: peer.inbound.loops,
    queuedBytes: peer.outbound.waitingBytes,
  };
}

function typeOf(peer: Peer, config: SpeakerConfig | undefined): string {
  const { reflectorClient, routeServerClient, localAsn, asn } = peer.config;
  const peerAsn = peer.negotiated?.open.asn ?? asn;
  if (peerAsn !== (localAsn ?? config?.asn)) return routeServerClient ? 'route server client' : 'external';
  return reflectorClient ? 'reflector client' : 'internal';
}

type AttributeView = Omit<RouteView, 'prefix' | 'from' | 'pathId' | 'best' | 'multipath' | 'stale'>;

/** The part of a route's view that its attributes tell. */
export function routeView(attributes: PathAttributes): AttributeView {
  const { nextHop, asPath, localPreference, origin, med, originatorId, clusterList } = attributes;
  return {
    nextHop: nextHop === undefined ? '' : formatIp(nextHop),
    asPath: asPath.join(' '),
    localPreference,
    origin: ORIGIN_NAMES[origin],
    med,
    communities: communityTexts(attributes),
    originatorId: originatorId === undefined ? undefined : formatRouterId(originatorId),
    // A cluster identifier is written as an address, too.
    clusterList: clusterList.map((id) => formatRouterId(id as RouterId)),
  };
}
