/**
 * How the connections of each configured peer are protected: TCP MD5 keys and TTL security, as the sockets need them.
 *
 * A key belongs to a peer's address, or to the prefix of a listen range; the kernel takes the longest prefix that fits, and
 * so does `protectionOf`. Pure; computed anew from each configuration, by the transport.
 */
import { peerName } from '../../bgp/contract.ts';
import type { SpeakerConfig } from '../../bgp/peer-config.ts';
import type { Protection } from '../../kernel/tcp-socket.ts';
import type { Cidr } from '../../net/cidr.ts';
import { containsIp, formatCidr, hostPrefix } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';

export interface PeerKey {
  readonly prefix: Cidr;
  readonly password: string;
}

export interface PeerSecurity {
  /** By the text of the prefix. */
  readonly keys: ReadonlyMap<string, PeerKey>;
  /** The protection of whoever dials from the address; none where no peer is configured there. */
  protectionOf(peer: { readonly address: Ip; readonly device: string | undefined }): Protection;
}

const NO_PROTECTION: Protection = { password: undefined, ttlSecurityHops: undefined };
export const NO_PEERS: PeerSecurity = { keys: new Map(), protectionOf: () => NO_PROTECTION };

export function peerSecurity({ peers, listenRanges }: SpeakerConfig): PeerSecurity {
  const keys = new Map<string, PeerKey>();
  const addKey = (prefix: Cidr, password: string | undefined): void => {
    if (password !== undefined) keys.set(formatCidr(prefix), { prefix, password });
  };
  const ranges = [...listenRanges].sort((a, b) => b.range.length - a.range.length);
  // Peers come last: one that is a range's only address has its own key.
  for (const { range, peer } of ranges) addKey(range, peer.password);
  for (const { address, password } of peers) addKey(hostPrefix(address), password);
  const byName = new Map(peers.map((peer) => [peerName(peer), peer]));
  return {
    keys,
    protectionOf: (dialler) => {
      const isOf = (device: string | undefined): boolean => device === undefined || device === dialler.device;
      const range = () => ranges.find(({ range, device }) => isOf(device) && containsIp(range, dialler.address))?.peer;
      return byName.get(peerName(dialler)) ?? range() ?? NO_PROTECTION;
    },
  };
}
