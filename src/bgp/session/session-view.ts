/**
 * What people are shown of a session; the peer adds what it knows itself.
 */
import type { Instant } from '../../lib/clock.ts';
import { formatRouterId } from '../../net/asn.ts';
import { formatIp } from '../../net/ip.ts';
import type { NeighborView } from '../observe/views.ts';
import { capabilityNames } from '../wire/capabilities.ts';
import { keepaliveSecondsOf } from './connection.ts';
import type { Session } from './session.ts';

type SessionView = Pick<
  NeighborView,
  | 'state'
  | 'forMs'
  | 'lastError'
  | 'holdTimeSeconds'
  | 'keepaliveSeconds'
  | 'routerId'
  | 'localAddress'
  | 'capabilitiesSent'
  | 'capabilitiesReceived'
  | 'established'
  | 'flaps'
  | 'sent'
  | 'received'
  | 'lastNotification'
  | 'log'
>;

export function viewSession(now: Instant, session: Session): SessionView {
  const { state, since, lastError, negotiated, log, config } = session;
  const { established, flaps, sent, received } = log;
  return {
    state,
    forMs: Math.round(now - since),
    lastError,
    holdTimeSeconds: negotiated?.holdTimeSeconds,
    keepaliveSeconds: keepaliveSecondsOf(negotiated?.holdTimeSeconds ?? 0, config.keepaliveSeconds),
    routerId: negotiated === undefined ? undefined : formatRouterId(negotiated.open.routerId),
    localAddress: negotiated === undefined ? undefined : formatIp(negotiated.localAddress),
    capabilitiesSent: negotiated === undefined ? [] : capabilityNames(negotiated.ownOpen.capabilities),
    capabilitiesReceived: negotiated === undefined ? [] : capabilityNames(negotiated.open.capabilities),
    established,
    flaps,
    sent,
    received,
    lastNotification: log.lastNotification(now),
    log: log.entries(now),
  };
}
