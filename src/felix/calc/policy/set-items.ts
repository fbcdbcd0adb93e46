/**
 * What selectors choose among: containers, devices of hosts and network sets, each with labels, addresses and named ports.
 *
 * The system adds labels that say where something belongs; they win over any that a user gave the same name, since
 * policies trust them. Things in a namespace inherit its labels by the profile of that name.
 */
import type { HostEndpoint } from '../../../model/host-endpoint.ts';
import type { GlobalNetworkSet, NetworkSet } from '../../../model/network-set.ts';
import { protocolNumber } from '../../../model/protocol.ts';
import { DEFAULT_NAMESPACE } from '../../../model/validate.ts';
import type { WorkloadEndpoint } from '../../../model/workload-endpoint.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { cidr, familyOf, formatCidr } from '../../../net/cidr.ts';
import { addressBits, formatIp } from '../../../net/ip.ts';
import type { SetItem } from '../labels/set-index.ts';
import { namespaceProfile } from './profiles.ts';
import { NAMESPACE_LABEL, ORCHESTRATOR_LABEL, SERVICE_ACCOUNT_LABEL } from './rule-selectors.ts';

/** As sets write it: an address without its length. */
export function memberOf(prefix: Cidr): string {
  return prefix.length === addressBits(familyOf(prefix)) ? formatIp(prefix.address) : formatCidr(prefix);
}

/**
 * The profiles of a container. One that names none, as the agent writes them, has that of its namespace, which allows
 * everything unless somebody stores another of that name: a container that no policy is for is as open as in Kubernetes.
 * One that names an empty list has none, and what no policy decides is dropped.
 */
function workloadProfiles({ metadata, spec }: WorkloadEndpoint): readonly string[] {
  return spec.profiles ?? [namespaceProfile(metadata.namespace ?? DEFAULT_NAMESPACE)];
}

/** Of a container that says none: the label is always there, since it is by which a container is told from a network set. */
const UNNAMED_ORCHESTRATOR = 'cni';

export function workloadItem(endpoint: WorkloadEndpoint): SetItem {
  const { metadata, spec } = endpoint;
  return {
    labels: {
      ...metadata.labels,
      [NAMESPACE_LABEL]: metadata.namespace ?? DEFAULT_NAMESPACE,
      [ORCHESTRATOR_LABEL]: spec.orchestrator || UNNAMED_ORCHESTRATOR,
      ...(spec.serviceAccountName && { [SERVICE_ACCOUNT_LABEL]: spec.serviceAccountName }),
    },
    parents: workloadProfiles(endpoint),
    nets: spec.ipNetworks.map((network) => memberOf(cidr(network))),
    ports: (spec.ports ?? []).flatMap(({ name, protocol, port }) =>
      name === undefined ? [] : [{ name, protocol: protocolNumber(protocol), port }],
    ),
  };
}

export function hostItem({ metadata, spec }: HostEndpoint): SetItem {
  return {
    labels: metadata.labels ?? {},
    parents: spec.profiles,
    nets: spec.expectedIPs,
    ports: spec.ports.map(({ name, protocol, port }) => ({ name, protocol: protocolNumber(protocol), port })),
  };
}

export function networkSetItem({ metadata, spec }: NetworkSet | GlobalNetworkSet): SetItem {
  const { namespace } = metadata;
  return {
    labels: namespace === undefined ? (metadata.labels ?? {}) : { ...metadata.labels, [NAMESPACE_LABEL]: namespace },
    parents: namespace === undefined ? [] : [namespaceProfile(namespace)],
    nets: spec.nets.map((net) => memberOf(cidr(net))),
    ports: [],
  };
}
