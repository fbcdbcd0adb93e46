/**
 * The contract between calculation and dataplane: what should be in force on this host.
 *
 * Owned by neither side: `felix/calc` emits these values, `felix/dataplane` makes a kernel obey them. Everything
 * carries its provenance, the resource (and file and line, where it was applied from a file) that asked for it, so that a
 * route or a rule can be explained. Device names, not indexes: whether a device exists is the dataplane's concern.
 */
import type { Cidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { ip } from '../../net/ip.ts';
import type { EndpointPolicy, FloatingIp, PolicyChanges } from './policy.ts';
import type { Provenance } from './provenance.ts';
import type { DesiredTunnel, TunnelKind } from './tunnels.ts';

/** The IPv4 gateway that every container has; no device bears it. */
export const WORKLOAD_GATEWAY = ip('169.254.1.1');

/** A container on this host, with the host end of its veth. */
export interface DesiredEndpoint {
  readonly id: string;
  readonly deviceName: string;
  /** Host prefixes (/32, /128) that are reached through the device and that it may send from. */
  readonly addresses: readonly Cidr[];
  readonly policy: EndpointPolicy;
  readonly floatingIps: readonly FloatingIp[];
  /** Prefixes that it may send from besides its own, where the operator allows that at all. */
  readonly allowedSources: readonly Cidr[];
  readonly provenance: Provenance;
}

/** Where a packet is handed on to. */
export interface Gateway {
  readonly address: Ip;
  /** The device of a link-local gateway, or a tunnel; undefined where the subnets tell it. */
  readonly deviceName: string | undefined;
}

export type RouteTarget =
  /** Link scope, straight out of a local container's device. */
  | { readonly kind: 'device'; readonly deviceName: string }
  /** Through other hosts; several gateways are ECMP. The dataplane finds the device each is on-link at. */
  | {
      readonly kind: 'gateways';
      readonly gateways: readonly Gateway[];
      /** Whether BGP tells the way or the store does; operators see it in `ip route`. */
      readonly protocol: 'bird' | 'felix';
    }
  /** Our own block: what is not assigned must not loop back to the default gateway. */
  | { readonly kind: 'blackhole' };

export interface DesiredRoute {
  readonly destination: Cidr;
  readonly target: RouteTarget;
  readonly provenance: Provenance;
}

/** What the speaker shall tell other hosts: these are reached through me. */
export interface Announcement {
  readonly prefix: Cidr;
  /** The device that packets to a single container leave by; undefined for a block. */
  readonly deviceName: string | undefined;
  readonly provenance: Provenance;
}

/** A way to a BGP peer that is on no subnet of ours. */
export interface PeerRoute {
  readonly peer: Ip;
  readonly gateway: Ip;
  /** Who asked for it: "BGPPeer tor". */
  readonly origin: string;
}

/** An address that stands for several containers, to which connections to it go in turn. */
export interface DesiredService {
  readonly address: Ip;
  /**
   * Of this host's containers, at least one; where it has none, of other hosts': then it is for what containers of this host
   * send, so that their policy sees whom they speak with. All else goes on to a host that has some.
   */
  readonly backends: readonly ServiceBackend[];
  readonly isHere: boolean;
}

export interface ServiceBackend {
  readonly address: Ip;
  readonly provenance: Provenance;
}

/** What has changed since the last asking; undefined in a map means that it shall be there no more. */
export interface DesiredChanges {
  readonly endpoints: ReadonlyMap<string, DesiredEndpoint | undefined>;
  /** By destination in text. */
  readonly routes: ReadonlyMap<string, DesiredRoute | undefined>;
  /** A kind that was never told of is left as it is. */
  readonly tunnels: ReadonlyMap<TunnelKind, DesiredTunnel | undefined>;
  readonly policy: PolicyChanges;
  /** By address in text. */
  readonly services: ReadonlyMap<string, DesiredService | undefined>;
  /** All announcements, when any of them changed. */
  readonly announcements: readonly Announcement[] | undefined;
}
