/**
 * Our side of the negotiation: the OPEN that a peer is sent, from its configuration and ours.
 *
 * What we can always do is always offered: route refresh, four-octet AS numbers. What changes how a session works is
 * offered as configured. A role is a matter between autonomous systems, so an internal peer is told none. IPv6 next hops for
 * IPv4 prefixes are offered only over IPv6, where they make sense.
 *
 * RFC 4271 section 4.2, RFC 5492 section 3, RFC 4724 section 3, RFC 8538 section 2, RFC 9494 section 3.1, RFC 9234 section 4.
 */
import type { Family } from '../../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from '../peer-config.ts';
import type { Capabilities, GracefulRestart, LongLived } from '../wire/capabilities.ts';
import { LONG_LIVED_SECONDS_MAX, NO_CAPABILITIES, RESTART_SECONDS_MAX } from '../wire/capabilities.ts';
import type { Open } from '../wire/open.ts';

/** How far we are with a restart of our own. */
export interface OwnRestart {
  /** We have just been started, and would have the peer keep our routes (the R bit). */
  readonly restarting: boolean;
  /** Families whose packets were forwarded all the while (the F bit). */
  readonly forwardingKept: readonly Family[];
}

export function ownOpenFor(peer: PeerConfig, speaker: SpeakerConfig, restart: OwnRestart): Open {
  const { families } = peer;
  const asn = peer.localAsn ?? speaker.asn;
  const { sendMax, receive } = peer.addPath;
  const capabilities: Capabilities = {
    ...NO_CAPABILITIES,
    families,
    fourOctetAsn: asn,
    routeRefresh: true,
    enhancedRouteRefresh: true,
    extendedMessages: peer.extendedMessages,
    ipv4OverIpv6: peer.address.family === 6 && families.includes(4),
    gracefulRestart: gracefulRestartOf(peer, speaker, restart),
    addPath: families.map((family) => ({ family, send: sendMax > 1, receive })),
    longLived: longLivedOf(peer, restart),
    role: peer.asn === asn ? undefined : peer.role,
  };
  const holdTimeSeconds = peer.holdTimeSeconds ?? speaker.holdTimeSeconds;
  return { asn, holdTimeSeconds, routerId: speaker.routerId, capabilities };
}

/** A helper's capability names no family: its own routes are not to be kept (RFC 4724 section 3). */
function gracefulRestartOf(
  peer: PeerConfig,
  speaker: SpeakerConfig,
  { restarting, forwardingKept }: OwnRestart,
): GracefulRestart | undefined {
  if (peer.gracefulRestart === 'off') return undefined;
  if (peer.gracefulRestart === 'helper') return { restarting, notification: true, restartTimeSeconds: 0, families: [] };
  const restartTimeSeconds = Math.min(peer.restartTimeSeconds ?? speaker.restartTimeSeconds, RESTART_SECONDS_MAX);
  const families = peer.families.map((family) => ({ family, forwardingPreserved: forwardingKept.includes(family) }));
  return { restarting, notification: true, restartTimeSeconds, families };
}

/** Means nothing without graceful restart (RFC 9494 section 3.1), so it is not sent without. */
function longLivedOf(peer: PeerConfig, { forwardingKept }: OwnRestart): readonly LongLived[] | undefined {
  if (peer.gracefulRestart === 'off' || peer.longLivedStaleSeconds === 0) return undefined;
  if (peer.gracefulRestart === 'helper') return [];
  const staleSeconds = Math.min(peer.longLivedStaleSeconds, LONG_LIVED_SECONDS_MAX);
  return peer.families.map((family) => ({
    family,
    forwardingPreserved: forwardingKept.includes(family),
    staleSeconds,
  }));
}

/** How much of our capabilities a peer is sent. */
export type Reticence = 'all' | 'needed' | 'none';

/**
 * The OPEN for a peer that has refused an earlier one: with only the capabilities without which the session would be
 * another one (families, AS number), or, for a peer that knows no capabilities, with none.
 */
export function reticentOpen(open: Open, reticence: Reticence): Open {
  if (reticence === 'all') return open;
  if (reticence === 'none') return { ...open, capabilities: NO_CAPABILITIES };
  const { families, fourOctetAsn } = open.capabilities;
  return { ...open, capabilities: { ...NO_CAPABILITIES, families, fourOctetAsn } };
}
