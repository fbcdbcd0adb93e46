/**
 * Two OPENs made into what the session works by, or into the reason why there is none.
 *
 * The same on both sides, as each sees both OPENs. First who the peer is (its AS number, its identifier), then whether
 * there is anything to talk about (families), then what each feature comes to. A feature is used where both have offered
 * it; nothing here depends on time.
 *
 * RFC 4271 sections 4.2 and 6.2, RFC 6286, RFC 5492 section 5, RFC 9234 section 4.2 and the RFCs in negotiated.ts.
 */
import { formatRouterId } from '../../net/asn.ts';
import type { Family, Ip } from '../../net/ip.ts';
import type { PeerConfig, Role } from '../peer-config.ts';
import type { Capabilities } from '../wire/capabilities.ts';
import { multiprotocolValue } from '../wire/capabilities.ts';
import type { BgpError } from '../wire/errors.ts';
import { bgpError } from '../wire/errors.ts';
import { EXTENDED_MESSAGE_BYTES_MAX, MESSAGE_BYTES_MAX } from '../wire/message.ts';
import type { Open } from '../wire/open.ts';
import type { Negotiated } from './negotiated.ts';

/** What the other side of each role is (RFC 9234 section 4.2, table 2). */
const OPPOSITE: Readonly<Record<Role, Role>> = {
  provider: 'customer',
  customer: 'provider',
  'route-server': 'route-server-client',
  'route-server-client': 'route-server',
  peer: 'peer',
};

/** What follows from our OPEN as sent and the peer's, or with which NOTIFICATION the peer's is to be answered. */
export function negotiate(ownOpen: Open, open: Open, config: PeerConfig, localAddress: Ip): Negotiated | BgpError {
  const [own, theirs] = [ownOpen.capabilities, open.capabilities];
  const families = (own.families ?? [4]).filter((family) => (theirs.families ?? [4]).includes(family));
  const error =
    identityError(ownOpen, open, config) ?? familiesError(families, config) ?? roleError(own, theirs, config);
  if (error !== undefined) return error;
  const both = (field: 'routeRefresh' | 'enhancedRouteRefresh' | 'extendedMessages' | 'ipv4OverIpv6'): boolean =>
    own[field] && theirs[field];
  return {
    open,
    ownOpen,
    localAddress,
    holdTimeSeconds: Math.min(ownOpen.holdTimeSeconds, open.holdTimeSeconds),
    families,
    asnBytes: own.fourOctetAsn !== undefined && theirs.fourOctetAsn !== undefined ? 4 : 2,
    messageBytesMax: both('extendedMessages') ? EXTENDED_MESSAGE_BYTES_MAX : MESSAGE_BYTES_MAX,
    routeRefresh: both('routeRefresh'),
    enhancedRouteRefresh: both('enhancedRouteRefresh'),
    addPathSend: addPathFamilies(families, own, theirs),
    addPathReceive: addPathFamilies(families, theirs, own),
    ipv4OverIpv6: both('ipv4OverIpv6') && families.includes(4),
    longLivedStaleSeconds: longLivedStaleSeconds(families, own, theirs, config),
    restartsAfterNotification:
      own.gracefulRestart?.notification === true && theirs.gracefulRestart?.notification === true,
    role: own.role === 'contradictory' ? undefined : own.role,
  };
}

function identityError(own: Open, open: Open, config: PeerConfig): BgpError | undefined {
  const isExpected = config.asn === undefined ? open.asn !== own.asn : open.asn === config.asn;
  if (!isExpected) {
    const configured = config.asn === undefined ? 'any AS but our own' : `AS ${config.asn}`;
    return bgpError('badPeerAs', `the peer is in AS ${open.asn}, configured is ${configured}`);
  }
  if (open.asn === own.asn && open.routerId === own.routerId) {
    return bgpError('badRouterId', `the peer has our own router identifier ${formatRouterId(own.routerId)}`);
  }
  return undefined;
}

/** The data are the capabilities that would have been needed (RFC 5492 section 5). */
function familiesError(common: readonly Family[], { families }: PeerConfig): BgpError | undefined {
  if (common.length > 0) return undefined;
  const wanted = families.map((family) => `IPv${family}`).join(' or ');
  const data = families.flatMap((family) => {
    const value = multiprotocolValue(family);
    return [1, value.length, ...value];
  });
  return bgpError('unsupportedCapability', `the peer does not speak ${wanted} unicast`, Uint8Array.from(data));
}

function roleError(own: Capabilities, theirs: Capabilities, { strictRole }: PeerConfig): BgpError | undefined {
  if (own.role === undefined || own.role === 'contradictory') return undefined;
  const expected = OPPOSITE[own.role];
  if (theirs.role === expected || (theirs.role === undefined && !strictRole)) return undefined;
  const theirRole = theirs.role === undefined ? 'says no role' : `says that its role is ${theirs.role}`;
  return bgpError('roleMismatch', `the peer ${theirRole}; our role is ${own.role}, so its would be ${expected}`);
}

/** Families in which `sender` will send several paths and `receiver` will take them. */
function addPathFamilies(families: readonly Family[], sender: Capabilities, receiver: Capabilities): Family[] {
  return families.filter(
    (family) =>
      sender.addPath.some((row) => row.family === family && row.send) &&
      receiver.addPath.some((row) => row.family === family && row.receive),
  );
}

/** As long as the peer asks, but not longer than we are configured to keep its routes. */
function longLivedStaleSeconds(
  families: readonly Family[],
  own: Capabilities,
  theirs: Capabilities,
  config: PeerConfig,
): Partial<Record<Family, number>> {
  if (own.longLived === undefined || theirs.gracefulRestart === undefined) return {};
  const rows = (theirs.longLived ?? []).filter((row) => families.includes(row.family) && row.staleSeconds > 0);
  return Object.fromEntries(rows.map((row) => [row.family, Math.min(row.staleSeconds, config.longLivedStaleSeconds)]));
}
