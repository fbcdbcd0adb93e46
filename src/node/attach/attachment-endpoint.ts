/**
 * The WorkloadEndpoint of an attachment: made of what the runtime's call says, and read back as the attachment that it is of.
 *
 * Labels come from the network's configuration, the call and the runtime's own database; ours about namespace and
 * orchestrator win over all of them, since policy relies on these. Annotations remember what GC needs to know.
 */
import { randomUUID } from 'node:crypto';
import type { NetworkConfiguration } from '../../cni/network-configuration.ts';
import type { AttachmentId, CniRequest } from '../../cni/request.ts';
import { wallClockNow } from '../../lib/clock.ts';
import { API_VERSION } from '../../model/resource.ts';
import { withIdentity } from '../../model/resource-entry.ts';
import { DEFAULT_NAMESPACE } from '../../model/validate.ts';
import type { WorkloadEndpoint, WorkloadEndpointSpec } from '../../model/workload-endpoint.ts';
import { formatCidr, hostPrefix } from '../../net/cidr.ts';
import { formatIp, type Ip } from '../../net/ip.ts';
import type { Mac } from '../../net/mac.ts';
import { DEVICE_ATTRIBUTE } from '../addresses/address-garbage.ts';
import type { ContainerLabels } from '../runtimes/container-databases.ts';
import { guestMacOf, type Identity, workloadOf } from './attachment-names.ts';

/** Which of a node's endpoints belong to a network, for GC. */
const NETWORK_ANNOTATION = 'cni.muslin.io/network';
/** Which runtime's database knew the container when it was attached. */
const RUNTIME_ANNOTATION = 'cni.muslin.io/runtime';
const ORCHESTRATOR = 'cni';

export type AddRequest = Extract<CniRequest, { readonly command: 'ADD' }>;

/** Of what an endpoint is: the other way round. */
export interface EndpointOrigin extends AttachmentId {
  /** Undefined where the endpoint does not say. */
  readonly networkName: string | undefined;
  readonly runtime: string | undefined;
  readonly device: string;
}

/** The endpoint to be stored. `runtime` is what the runtime's database says of the container. */
export function endpointOf(
  node: string,
  request: AddRequest,
  identity: Identity,
  runtime: ContainerLabels,
  addresses: readonly Ip[],
): WorkloadEndpoint {
  const { configuration, networkName, pod } = request;
  const { namespace } = identity;
  const mac = macOf(request);
  const resource: WorkloadEndpoint = {
    apiVersion: API_VERSION,
    kind: 'WorkloadEndpoint',
    metadata: {
      name: identity.name,
      namespace,
      labels: {
        ...configuration.labels,
        ...runtime.labels, // of this very container, so more than what is said of its network
        'projectcalico.org/namespace': namespace,
        'projectcalico.org/orchestrator': ORCHESTRATOR,
      },
      annotations: {
        ...configuration.annotations,
        [NETWORK_ANNOTATION]: networkName,
        ...(runtime.source && { [RUNTIME_ANNOTATION]: runtime.source }),
      },
    },
    spec: {
      orchestrator: ORCHESTRATOR,
      node,
      containerID: request.containerId,
      workload: workloadOf(request.containerId),
      ...(pod && { pod: pod.name }),
      endpoint: request.interfaceName,
      ipNetworks: addresses.map((address) => formatCidr(hostPrefix(address))),
      interfaceName: identity.device,
      ...(mac && { mac }),
      ...extras(configuration, addresses),
    },
  };
  return withIdentity(resource, randomUUID(), new Date(wallClockNow()).toISOString());
}

/** Undefined for an endpoint that was not made here. */
export function originOf({ metadata, spec }: WorkloadEndpoint): EndpointOrigin | undefined {
  const { orchestrator, containerID: containerId, endpoint: interfaceName, interfaceName: device } = spec;
  if (orchestrator !== ORCHESTRATOR || containerId === undefined || interfaceName === undefined) return undefined;
  if (device === undefined) return undefined;
  const { [NETWORK_ANNOTATION]: networkName, [RUNTIME_ANNOTATION]: runtime } = metadata.annotations ?? {};
  return { containerId, interfaceName, device, networkName, runtime };
}

/** What is written beside its addresses about who holds them. */
export function holderAttributes(node: string, { pod }: AddRequest, { device }: Identity): Record<string, string> {
  const ofPod = pod === undefined ? {} : { pod: pod.name, namespace: pod.namespace ?? DEFAULT_NAMESPACE };
  return { node, [DEVICE_ATTRIBUTE]: device, ...ofPod };
}

/** The MAC that is known before the kernel has chosen one; a virtual machine's is always. */
export function macOf(request: AddRequest): Mac | undefined {
  const { mac, tap } = request.configuration;
  return mac ?? (tap ? guestMacOf(request) : undefined);
}

/** Floating addresses, each in front of the own address of its family, and what else may be sent from. */
function extras(
  { floatingAddresses, allowedSources }: NetworkConfiguration,
  addresses: readonly Ip[],
): Pick<WorkloadEndpointSpec, 'ipNATs' | 'allowSpoofedSourcePrefixes'> {
  const ipNATs = floatingAddresses.flatMap((external) => {
    const internal = addresses.find(({ family }) => family === external.family);
    return internal === undefined ? [] : { internalIP: formatIp(internal), externalIP: formatIp(external) };
  });
  return {
    ...(ipNATs.length > 0 && { ipNATs }),
    ...(allowedSources.length > 0 && { allowSpoofedSourcePrefixes: allowedSources.map(formatCidr) }),
  };
}
