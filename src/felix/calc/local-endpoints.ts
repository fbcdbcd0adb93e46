/**
 * Which containers are here, and how the host reaches them.
 *
 * A WorkloadEndpoint of this node becomes an endpoint of the dataplane and a link-scope route for each of its
 * addresses. One of another node is of no concern: its host announces it.
 */

import { resourceTitle } from '../../model/resource.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { cidr } from '../../net/cidr.ts';
import type { DesiredEndpoint, Provenance } from '../desired/desired.ts';
import { sourceOf } from './provenance.ts';

/** The endpoint that a resource asks for on `node`; undefined when it lives elsewhere. */
export function localEndpoint(resource: WorkloadEndpoint, node: string): DesiredEndpoint | undefined {
  const { spec } = resource;
  if (spec.node !== node) return undefined;
  const provenance: Provenance = sourceOf(resourceTitle(resource), resource.metadata);
  return {
    id: endpointId(resource.metadata.namespace ?? 'default', resource.metadata.name),
    deviceName: spec.interfaceName,
    addresses: spec.ipNetworks.map(cidr),
    provenance,
  };
}

/** What tells endpoints apart: "namespace/name". */
export function endpointId(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}
