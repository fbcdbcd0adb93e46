/**
 * The resources of a cluster as far as routes depend on them, sorted by kind.
 *
 * Policies, profiles and sets are left out: they decide about packets, not about routes. Values keep their identity, so that
 * what is made of them once (policies of sessions, above all) is shared by all nodes.
 */
import { endpointId } from '../felix/calc/local-endpoints.ts';
import type { BgpConfiguration } from '../model/bgp-configuration.ts';
import type { BgpFilter } from '../model/bgp-filter.ts';
import type { BgpPeer } from '../model/bgp-peer.ts';
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { FelixConfiguration } from '../model/felix-configuration.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { AnyResource } from '../model/kinds.ts';
import type { Node } from '../model/node.ts';
import { DEFAULT_NAMESPACE } from '../model/validate.ts';
import type { WorkloadEndpoint } from '../model/workload-endpoint.ts';

export interface ClusterResources {
  readonly nodes: Map<string, Node>;
  readonly configurations: Map<string, BgpConfiguration>;
  readonly peers: Map<string, BgpPeer>;
  readonly filters: Map<string, BgpFilter>;
  readonly pools: Map<string, IpPool>;
  readonly felixConfigurations: Map<string, FelixConfiguration>;
  readonly blocks: Map<string, IpamBlock>;
  readonly affinities: Map<string, BlockAffinity>;
  /** By node, then by "namespace/name". */
  readonly endpoints: Map<string, Map<string, WorkloadEndpoint>>;
}

export function clusterResources(resources: Iterable<AnyResource>): ClusterResources {
  const cluster: ClusterResources = {
    nodes: new Map(),
    configurations: new Map(),
    peers: new Map(),
    filters: new Map(),
    pools: new Map(),
    felixConfigurations: new Map(),
    blocks: new Map(),
    affinities: new Map(),
    endpoints: new Map(),
  };
  for (const resource of resources) take(cluster, resource);
  return cluster;
}

function take(cluster: ClusterResources, resource: AnyResource): void {
  const { name } = resource.metadata;
  switch (resource.kind) {
    case 'Node':
      cluster.nodes.set(name, resource);
      return;
    case 'BGPConfiguration':
      cluster.configurations.set(name, resource);
      return;
    case 'BGPPeer':
      cluster.peers.set(name, resource);
      return;
    case 'BGPFilter':
      cluster.filters.set(name, resource);
      return;
    case 'IPPool':
      cluster.pools.set(name, resource);
      return;
    case 'FelixConfiguration':
      cluster.felixConfigurations.set(name, resource);
      return;
    case 'IPAMBlock':
      cluster.blocks.set(name, resource);
      return;
    case 'BlockAffinity':
      cluster.affinities.set(name, resource);
      return;
    case 'WorkloadEndpoint': {
      const onNode = cluster.endpoints.get(resource.spec.node) ?? new Map<string, WorkloadEndpoint>();
      cluster.endpoints.set(resource.spec.node, onNode);
      onNode.set(endpointId(resource.metadata.namespace ?? DEFAULT_NAMESPACE, name), resource);
      return;
    }
    default:
      return;
  }
}
