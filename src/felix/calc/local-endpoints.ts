/**
 * Which containers are here, and how the host reaches them.
 *
 * A WorkloadEndpoint of this node becomes an endpoint of the dataplane and a link-scope route for each of its
 * addresses. One of another node is of no concern here: its host announces it. What policy holds for it, and
 * which outside addresses lead to it, the calculation puts beside it.
 */
import { ALLOWED_SOURCES_ANNOTATION } from '../../model/metadata.ts';
import { resourceTitle } from '../../model/resource.ts';
import { DEFAULT_NAMESPACE } from '../../model/validate.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, formatCidr, parseCidr } from '../../net/cidr.ts';
import type { DesiredEndpoint } from '../desired/desired.ts';
import type { Provenance } from '../desired/provenance.ts';
import { textsOfJson } from './policy/annotation-json.ts';
import { sourceOf } from './provenance.ts';

/** An endpoint as its own resource has it. */
export type LocalEndpoint = Omit<DesiredEndpoint, 'policy' | 'floatingIps'>;

/** The endpoint that a resource asks for on `node`; undefined when it lives elsewhere. */
export function localEndpoint(resource: WorkloadEndpoint, node: string): LocalEndpoint | undefined {
  const { spec } = resource;
  if (spec.node !== node) return undefined;
  const provenance: Provenance = sourceOf(resourceTitle(resource), resource.metadata);
  return {
    id: endpointId(resource.metadata.namespace ?? DEFAULT_NAMESPACE, resource.metadata.name),
    deviceName: spec.interfaceName,
    addresses: spec.ipNetworks.map(cidr),
    allowedSources: allowedSources(resource),
    provenance,
  };
}

/** What tells endpoints apart: "namespace/name". */
export function endpointId(namespace: string, name: string): string {
  return `${namespace}/${name}`;
}

/** Prefixes of the resource and of its annotation, each once. */
function allowedSources({ metadata, spec }: WorkloadEndpoint): Cidr[] {
  const annotated = textsOfJson(metadata.annotations?.[ALLOWED_SOURCES_ANNOTATION]);
  const prefixes = [...(spec.allowSpoofedSourcePrefixes ?? []), ...annotated].flatMap((text) => parseCidr(text) ?? []);
  return [...new Map(prefixes.map((prefix) => [formatCidr(prefix), prefix])).values()];
}
