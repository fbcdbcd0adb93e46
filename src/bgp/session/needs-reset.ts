/**
 * Which changes of a peer's configuration end its session.
 *
 * The rule: what is part of the TCP connection, and what has been said in OPEN, cannot be changed without a new one of
 * these. All else is taken over while the session goes on, by the session (how it dials, how often it says KEEPALIVE) or by
 * the peer (policies, limits, what is done to routes). Being shut down is a state of the session, no reset.
 */
import { sameIp } from '../../net/ip.ts';
import type { PeerConfig } from '../peer-config.ts';

const RESETTING = [
  'device',
  'port',
  'asn',
  'localAsn',
  'password',
  'ttlSecurityHops',
  'holdTimeSeconds',
  'gracefulRestart',
  'restartTimeSeconds',
  'longLivedStaleSeconds',
  'extendedMessages',
  'role',
  'strictRole',
] as const satisfies readonly (keyof PeerConfig)[];

/** The fields whose change ends the session, for people ("families, role"); undefined when it can go on. */
export function needsReset(before: PeerConfig, after: PeerConfig): string | undefined {
  const changed: (keyof PeerConfig)[] = RESETTING.filter((field) => before[field] !== after[field]);
  if (!sameIp(before.address, after.address)) changed.push('address');
  if (!sameIp(before.sourceAddress, after.sourceAddress)) changed.push('sourceAddress');
  if (familiesOf(before) !== familiesOf(after)) changed.push('families');
  if (offeredPaths(before) !== offeredPaths(after)) changed.push('addPath');
  return changed.length === 0 ? undefined : changed.join(', ');
}

function familiesOf({ families }: PeerConfig): string {
  return [...families].sort().join();
}

/** OPEN says whether several paths are sent, not how many. */
function offeredPaths({ addPath }: PeerConfig): string {
  return `${addPath.sendMax > 1} ${addPath.receive}`;
}
