/**
 * What BGP on a node is made from, and what is made of it: types only, between those who translate.
 *
 * The resource feed fills BgpResources; speaker-configuration.ts makes a BgpSetup of it, with peer-sessions.ts and bgp-peers.ts.
 */
import type { PeerConfig, SpeakerConfig } from '../../bgp/peer-config.ts';
import type { PeerRoute } from '../../felix/desired/desired.ts';
import type { BgpConfiguration, EffectiveBgp } from '../../model/bgp-configuration.ts';
import type { BgpFilter } from '../../model/bgp-filter.ts';
import type { BgpPeer } from '../../model/bgp-peer.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { Node } from '../../model/node.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import type { Asn } from '../../net/asn.ts';
import type { InterfaceAddress } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';

export interface BgpResources {
  readonly nodes: ReadonlyMap<string, Node>;
  readonly configurations: ReadonlyMap<string, BgpConfiguration>;
  readonly peers: ReadonlyMap<string, BgpPeer>;
  readonly filters: ReadonlyMap<string, BgpFilter>;
  readonly pools: ReadonlyMap<string, IpPool>;
  /** Those on this node, of whatever namespace. */
  readonly endpoints: ReadonlyMap<string, WorkloadEndpoint>;
}

export interface SecretReference {
  readonly name: string;
  readonly key: string;
}

/** A secret, or why there is none. */
export type SecretReading = { readonly secret: string } | { readonly problem: string };

export type SecretReader = (reference: SecretReference) => SecretReading;

export interface NodeAddresses {
  readonly 4?: InterfaceAddress;
  readonly 6?: InterfaceAddress;
}

/** The node that we are. */
export interface Self {
  readonly node: Node;
  readonly addresses: NodeAddresses;
  readonly settings: EffectiveBgp;
  readonly asn: Asn;
}

/** A peer that is known only by the device it is on; its link-local address shows itself (unnumbered.ts). */
export interface UnnumberedPeer {
  readonly device: string;
  /** Undefined for any but our own: then it is the peer that dials. */
  readonly asn: Asn | undefined;
  readonly peer: Omit<PeerConfig, 'address' | 'asn'>;
}

/** A session that a resource asks for, with all that is wrong with it; none where something essential is missing. */
export interface WantedSession {
  /** "BGPPeer tor", "mesh". */
  readonly origin: string;
  /** Written by hand, so that its author wants to know when it is not what holds. */
  readonly explicit: boolean;
  readonly config: PeerConfig | undefined;
  /** The way to the peer, where its resource tells one (reachableBy). */
  readonly route: PeerRoute | undefined;
  readonly problems: readonly string[];
}

export interface BgpSetup {
  readonly speaker: SpeakerConfig;
  /** Peers whose address shows itself. */
  readonly unnumbered: readonly UnnumberedPeer[];
  /** No addresses: all of this host. */
  readonly listen: { readonly addresses: readonly Ip[]; readonly port: number };
  readonly peerRoutes: readonly PeerRoute[];
  /** What is not as its author wants it, a sentence each; for the status. */
  readonly problems: readonly string[];
}
