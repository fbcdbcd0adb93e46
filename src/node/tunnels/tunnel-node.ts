/**
 * What a host says of its tunnels in its Node resource.
 *
 * Each kind has a field for its address, VXLAN one more for the MAC address of its device. Fields of others stay as they are; a
 * MAC address that somebody has chosen stays when the tunnel goes. Written by the keeper, taken out by a purge.
 */
import { vxlanMacOf } from '../../felix/calc/hosts.ts';
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import type { Node } from '../../model/node.ts';
import { entryOfKind, valueOfResource } from '../../model/resource-entry.ts';
import { resourceKey } from '../../model/resource-key.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, parseIp, sameIp } from '../../net/ip.ts';
import type { Store } from '../../store/store.ts';

/** Each lost attempt is another's success at the same Node. */
const ATTEMPTS_MAX = 20;

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
function withTunnel(node: Node, kind: TunnelKind, address: Ip | undefined): Node {
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

/** The Node as the store has it; undefined where it has none that is valid. */
export async function readNode(store: Store, name: string): Promise<Node | undefined> {
  const entry = await store.get(resourceKey({ kind: 'Node', name }));
  return entry && entryOfKind('Node', entry);
}

/** Writes the tunnel's address into the Node, or takes it out; false when others were faster again and again. Throws StoreError. */
export async function writeTunnel(
  store: Store,
  name: string,
  kind: TunnelKind,
  address: Ip | undefined,
): Promise<boolean> {
  const key = resourceKey({ kind: 'Node', name });
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const entry = await store.get(key);
    const node = entry && entryOfKind('Node', entry);
    if (entry === undefined || node === undefined || sameIp(tunnelOfNode(node, kind), address)) return true;
    const value = valueOfResource(withTunnel(node, kind, address));
    const expect = [{ key, revision: entry.revision }];
    if ((await store.transact({ expect, writes: [{ kind: 'put', key, value }] })).ok) return true;
  }
  return false;
}
