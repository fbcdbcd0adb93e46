/**
 * Whether packets to a host go through a tunnel, and through which.
 *
 * The pool of the destination says what is wanted. A tunnel is used only between two hosts that both bear its address, for
 * then the far end receives already. Until it does, another tunnel that both still have carries on, which is how a pool
 * changes from IPIP to VXLAN without losing a packet; where there is none, packets go as they are. To somebody who is no host
 * of ours, such as a switch, nothing is ever sent in a tunnel: there is nobody to unpack it.
 */
import type { IpPool } from '../../model/ip-pool.ts';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, containsIp, familyOf } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { Gateway } from '../desired/desired.ts';
import type { TunnelKind } from '../desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../desired/tunnels.ts';
import type { HostFacts } from './hosts.ts';

/** What a pool asks for. */
export interface PoolMode {
  readonly name: string;
  readonly prefix: Cidr;
  /** Undefined: packets go as they are. */
  readonly tunnel: TunnelKind | undefined;
  readonly crossSubnet: boolean;
}

export interface Way {
  /** Undefined: packets go as they are. */
  readonly tunnel: TunnelKind | undefined;
  /** A sentence's end, for people. */
  readonly reason: string;
}

export function poolMode({ metadata: { name }, spec }: IpPool): PoolMode {
  const prefix = cidr(spec.cidr);
  if (spec.ipipMode !== 'Never') return { name, prefix, tunnel: 'ipip', crossSubnet: spec.ipipMode === 'CrossSubnet' };
  const crossSubnet = spec.vxlanMode === 'CrossSubnet';
  const tunnel = spec.vxlanMode === 'Never' ? undefined : vxlanOf(familyOf(prefix));
  return { name, prefix, tunnel, crossSubnet };
}

/** `host` is reached at `gateway`; undefined when that is no host of the network. */
export function wayTo(
  mode: PoolMode | undefined,
  own: HostFacts | undefined,
  host: HostFacts | undefined,
  gateway: Ip,
): Way {
  if (mode === undefined) return plain('no IPPool has the destination');
  const { tunnel, crossSubnet, name } = mode;
  if (tunnel === undefined) return plain(`IPPool ${name} asks for no tunnel`);
  const { family } = TUNNELS[tunnel];
  const subnet = own?.ends[family]?.subnet;
  const text = formatIp(gateway);
  if (crossSubnet && subnet !== undefined && containsIp(subnet, gateway)) {
    return plain(`IPPool ${name} asks for ${tunnel} across subnets only, and ${text} is in ours`);
  }
  if (host === undefined)
    return plain(`${text} is no host of the network, so that nobody there would unpack ${tunnel}`);
  const wanted = `IPPool ${name} asks for ${tunnel}${crossSubnet ? ' across subnets' : ''}`;
  const isReady = (kind: TunnelKind) => own?.tunnels[kind] !== undefined && host.tunnels[kind] !== undefined;
  if (isReady(tunnel)) return { tunnel, reason: wanted };
  const missing = own?.tunnels[tunnel] === undefined ? 'this host' : host.name;
  const other = TUNNEL_KINDS.find((kind) => TUNNELS[kind].family === family && isReady(kind));
  if (other === undefined) return plain(`${wanted}, and ${missing} does not receive it yet`);
  return { tunnel: other, reason: `${wanted}, and until ${missing} receives that, ${other} goes on` };
}

/** The gateway of a route to `host`: its own address, or its end of the tunnel. */
export function gatewayBy({ tunnel }: Way, host: HostFacts | undefined, gateway: Gateway): Gateway {
  if (tunnel === undefined) return gateway;
  const { deviceName } = TUNNELS[tunnel];
  // IPIP sends to the gateway itself; VXLAN finds the host by the neighbour entry of its tunnel address.
  const address = tunnel === 'ipip' ? gateway.address : (host?.tunnels[tunnel] ?? gateway.address);
  return { address, deviceName };
}

function vxlanOf(family: Family): TunnelKind {
  return family === 4 ? 'vxlan' : 'vxlan-v6';
}

function plain(reason: string): Way {
  return { tunnel: undefined, reason };
}
