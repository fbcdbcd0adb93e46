/**
 * The tunnels of this host, as calculation and dataplane speak of them.
 *
 * There are three at most, one of each kind, each with the device that Calico's users know by its name. A tunnel is a device with
 * one address, to everybody: IPIP finds the other end in the route's gateway; VXLAN is told which MAC address is behind which host,
 * and learns nothing. What comes out of it depends on routes alone.
 */
import type { Family, Ip } from '../../net/ip.ts';
import type { Mac } from '../../net/mac.ts';
import type { Provenance } from './provenance.ts';

/** As in the handles under which IPAM holds the tunnels' addresses. */
export type TunnelKind = 'ipip' | 'vxlan' | 'vxlan-v6';

interface TunnelRow {
  readonly deviceName: string;
  /** Of inner and outer packets alike. */
  readonly family: Family;
  /** Bytes around each packet. */
  readonly overhead: number;
}

export const TUNNELS: Readonly<Record<TunnelKind, TunnelRow>> = {
  ipip: { deviceName: 'tunl0', family: 4, overhead: 20 }, // an IPv4 header
  vxlan: { deviceName: 'vxlan.calico', family: 4, overhead: 50 }, // IPv4, UDP, VXLAN and Ethernet headers: 20, 8, 8, 14
  'vxlan-v6': { deviceName: 'vxlan-v6.calico', family: 6, overhead: 70 }, // the same with an IPv6 header of 40
};

export const TUNNEL_KINDS: readonly TunnelKind[] = ['ipip', 'vxlan', 'vxlan-v6'];

/** The other end of the veth pair whose first end serves as IPIP's device where the kernel has none. */
const IPIP_PEER_DEVICE = 'tunl0-peer';

/** Whether a device is a tunnel's: no container's, and none that other hosts are reached by. */
export function isTunnelDevice(name: string): boolean {
  return name === IPIP_PEER_DEVICE || TUNNEL_KINDS.some((kind) => TUNNELS[kind].deviceName === name);
}

/** The other end of a VXLAN tunnel. */
export interface TunnelRemote {
  readonly node: string;
  /** Where the outer packet goes. */
  readonly host: Ip;
  /** The gateway of routes through the tunnel. */
  readonly address: Ip;
  readonly mac: Mac;
}

export interface DesiredTunnel {
  readonly kind: TunnelKind;
  /** This host's own address, which outer packets come from. */
  readonly local: Ip;
  /** The tunnel's own address, from IPAM. */
  readonly address: Ip;
  /** 0: what the uplink leaves. */
  readonly mtu: number;
  /** Undefined for IPIP. */
  readonly vxlan: { readonly vni: number; readonly port: number; readonly mac: Mac } | undefined;
  /** Of VXLAN only. */
  readonly remotes: readonly TunnelRemote[];
  /** All hosts that may send to us through the tunnel. */
  readonly hosts: readonly Ip[];
  readonly provenance: Provenance;
}
