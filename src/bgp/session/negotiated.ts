/**
 * What the two ends of a session have agreed on: the session works it out from both OPENs, the peer lives by it.
 *
 * RFC 5492 (capabilities) and the RFCs that define each of them.
 */
import type { Family, Ip } from '../../net/ip.ts';
import type { Role } from '../peer-config.ts';
import type { Open } from '../wire/open.ts';

export interface Negotiated {
  /** The peer's OPEN. */
  readonly open: Open;
  /** Ours, as it was sent on this connection. */
  readonly ownOpen: Open;
  /** Our own end of the connection. */
  readonly localAddress: Ip;
  readonly holdTimeSeconds: number;
  /** Spoken by both; never empty. */
  readonly families: readonly Family[];
  /** 4 where both have the four-octet AS capability (RFC 6793). */
  readonly asnBytes: 2 | 4;
  /** 4096, or 65535 where both have RFC 8654. */
  readonly messageBytesMax: number;
  readonly routeRefresh: boolean;
  /** RFC 7313. */
  readonly enhancedRouteRefresh: boolean;
  /** Families in which we may send, and may receive, several paths (RFC 7911). */
  readonly addPathSend: readonly Family[];
  readonly addPathReceive: readonly Family[];
  /** IPv4 prefixes may have IPv6 next hops (RFC 8950). */
  readonly ipv4OverIpv6: boolean;
  /** How long the peer wants its routes kept as a last resort, in seconds, by family (RFC 9494); absent for not. */
  readonly longLivedStaleSeconds: Readonly<Partial<Record<Family, number>>>;
  /** Graceful restart also covers NOTIFICATION and hold timer expiry (RFC 8538). */
  readonly restartsAfterNotification: boolean;
  /** Our own role; a peer that says none is taken at ours (RFC 9234 section 4.2). Undefined without, and inside an AS. */
  readonly role: Role | undefined;
}
