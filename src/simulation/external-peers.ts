/**
 * Stand-ins for peers that are no nodes: a switch, a router, somebody else's speaker.
 *
 * Nobody has told us how such a peer is configured, so it mirrors the sessions that nodes have with it. It is one of two
 * extremes: `silent` takes all and says nothing, `passing` hands on to each what it hears of the others, as a reflector inside
 * an AS and as a router between two. What holds with both of them holds with whatever the peer does with the nodes' routes;
 * routes that it brings from elsewhere are in neither.
 */
import type { PeerConfig, SpeakerConfig } from '../bgp/peer-config.ts';
import { INTERNAL_PEER, SPEAKER_DEFAULTS } from '../bgp/peer-config.ts';
import { ACCEPT_ALL, REJECT_ALL } from '../bgp/policy/policy-rules.ts';
import type { Asn } from '../net/asn.ts';
import { routerId, routerIdFromIp } from '../net/asn.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';

/** What external peers are taken to do. */
export type ExternalBehaviour = 'silent' | 'passing';

/** One node's session with the peer, as the node has it. */
export interface ExternalSession {
  readonly nodeAddress: Ip;
  /** The number that the node shows the peer. */
  readonly nodeAsn: Asn;
  readonly peer: PeerConfig;
}

/** The speaker of an external peer; undefined where no session says which AS it is in. */
export function externalSpeaker(
  sessions: readonly ExternalSession[],
  behaviour: ExternalBehaviour,
): SpeakerConfig | undefined {
  const first = sessions.find(({ peer }) => peer.asn !== undefined)?.peer;
  if (first?.asn === undefined) return undefined;
  const { address, asn } = first;
  const peers = sessions.map(({ nodeAddress, nodeAsn, peer }): PeerConfig => {
    const isInternal = nodeAsn === asn;
    return {
      ...INTERNAL_PEER,
      address: nodeAddress,
      asn: nodeAsn,
      families: peer.families,
      sourceAddress: peer.address,
      password: peer.password,
      passive: !peer.passive,
      reflectorClient: isInternal && behaviour === 'passing',
      importPolicy: ACCEPT_ALL,
      exportPolicy: behaviour === 'passing' ? ACCEPT_ALL : REJECT_ALL,
    };
  });
  return {
    ...SPEAKER_DEFAULTS,
    asn,
    routerId: address.family === 4 ? routerIdFromIp(address) : routerId(hashed(formatIp(address))),
    nextHops: { [address.family]: address },
    peers,
  };
}

/** FNV-1a; never 0, which is no router identifier. */
function hashed(text: string): number {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return Math.max(hash, 1);
}
