/**
 * Node: a host of the network, with its addresses and its place in BGP.
 *
 * The agent writes its own node when it starts; users label nodes for selectors and may set addresses and AS numbers
 * themselves. `bgp.ipv4Address` carries the subnet ("192.168.100.100/24"), from which "another subnet" is decided for
 * cross-subnet tunnels. A node without `bgp.asNumber` is in the AS of the default BGPConfiguration.
 */
import { z } from 'zod';
import { addressField, asnField, interfaceAddressField, macField, mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';

/** A dotted quad that is not an address of anything: the cluster identifier of RFC 4456. */
const clusterId = addressField(4);

const bgp = mapping({
  asNumber: asnField().exactOptional(),
  ipv4Address: interfaceAddressField(4).exactOptional(),
  ipv6Address: interfaceAddressField(6).exactOptional(),
  ipv4IPIPTunnelAddr: addressField(4).exactOptional(),
  routeReflectorClusterID: clusterId.exactOptional(),
});

const spec = mapping({
  bgp: bgp.exactOptional(),
  ipv4VXLANTunnelAddr: addressField(4).exactOptional(),
  vxlanTunnelMACAddr: macField().exactOptional(),
  ipv6VXLANTunnelAddr: addressField(6).exactOptional(),
  vxlanTunnelMACAddrV6: macField().exactOptional(),
  wireguard: mapping({
    interfaceIPv4Address: addressField(4).exactOptional(),
    interfaceIPv6Address: addressField(6).exactOptional(),
  }).exactOptional(),
  addresses: z
    .array(
      mapping({
        address: z.union([interfaceAddressField(4), interfaceAddressField(6)], {
          error: 'is not an IP address; write ADDRESS or ADDRESS/LENGTH',
        }),
        type: z.enum(['CalicoNodeIP', 'InternalIP', 'ExternalIP']).exactOptional(),
      }),
    )
    .readonly()
    .exactOptional(),
  interfaces: z
    .array(mapping({ name: z.string(), addresses: z.array(z.string()).readonly().exactOptional() }))
    .readonly()
    .exactOptional(),
  orchRefs: z
    .array(mapping({ orchestrator: z.string(), nodeName: z.string().exactOptional() }))
    .readonly()
    .exactOptional(),
});

export type NodeSpec = Readonly<z.infer<typeof spec>>;
export type Node = Resource<'Node', NodeSpec>;

function check({ spec }: Node): Problem[] {
  if (spec.bgp === undefined || Object.keys(spec.bgp).length > 0) return [];
  return [{ path: ['spec', 'bgp'], message: 'is empty; set ipv4Address or ipv6Address in it, or remove it' }];
}

export const nodeKind = kindOf<'Node', NodeSpec>({
  kind: 'Node',
  plural: 'nodes',
  shortNames: ['no'],
  namespaced: false,
  spec: spec.default({}),
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    {
      title: 'ASN',
      cell: ({ spec }) => (spec.bgp?.asNumber === undefined ? '(default)' : String(spec.bgp.asNumber)),
      wide: true,
    },
    { title: 'IPV4', cell: ({ spec }) => spec.bgp?.ipv4Address ?? '', wide: true },
    { title: 'IPV6', cell: ({ spec }) => spec.bgp?.ipv6Address ?? '', wide: true },
  ],
});
