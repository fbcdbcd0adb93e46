/**
 * What a host says of its tunnels in its Node resource.
 *
 * Each kind has a field for its address, VXLAN one more for the MAC address of its device. Fields of others stay as they are; a
 * MAC address that somebody has chosen stays when the tunnel goes.
 */
import { vxlanMacOf } from '../../felix/calc/hosts.ts';
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import type { Node } from '../../model/node.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, parseIp } from '../../net/ip.ts';

/** The address of a tunnel that the Node bears. */
export function tunnelOfNode({ spec }: Node, kind: TunnelKind): Ip | undefined {
  const text = {
    ipip: spec.bgp?.ipv4IPIPTunnelAddr,
    vxlan: spec.ipv4VXLANTunnelAddr,
    'vxlan-v6': spec.ipv6VXLANTunnelAddr,
  }[kind];
  return text === undefined ? undefined : parseIp(text);
}

/** The Node with the tunnel's address, or without. */
export function withTunnel(node: Node, kind: TunnelKind, address: Ip | undefined): Node {
  const { spec, metadata } = node;
  const text = address && formatIp(address);
  if (kind === 'ipip') {
    const { ipv4IPIPTunnelAddr: _, ...rest } = spec.bgp ?? {};
    const bgp = text === undefined ? rest : { ...rest, ipv4IPIPTunnelAddr: text };
    const { bgp: __, ...others } = spec;
    return { ...node, spec: Object.keys(bgp).length === 0 ? others : { ...others, bgp } };
  }
  const isFour = kind === 'vxlan';
  const [addressField, macField] = isFour
    ? (['ipv4VXLANTunnelAddr', 'vxlanTunnelMACAddr'] as const)
    : (['ipv6VXLANTunnelAddr', 'vxlanTunnelMACAddrV6'] as const);
  const own = vxlanMacOf(metadata.name, isFour ? 4 : 6);
  const { [addressField]: _, [macField]: mac = own, ...rest } = spec;
  if (text !== undefined) return { ...node, spec: { ...rest, [addressField]: text, [macField]: mac } };
  return { ...node, spec: mac === own ? rest : { ...rest, [macField]: mac } };
}
