/**
 * The registry of kinds: a row each. To add a kind is to add its file and its row.
 *
 * The words by which users call a kind (`ippool`, `ippools`, `ipp`, any case) are all found here, so documents, store and
 * command line agree on them.
 */
import type { BgpConfiguration } from './bgp-configuration.ts';
import { bgpConfigurationKind } from './bgp-configuration.ts';
import type { BgpFilter } from './bgp-filter.ts';
import { bgpFilterKind } from './bgp-filter.ts';
import type { BgpPeer } from './bgp-peer.ts';
import { bgpPeerKind } from './bgp-peer.ts';
import type { BlockAffinity } from './block-affinity.ts';
import { blockAffinityKind } from './block-affinity.ts';
import type { CalicoNodeStatus } from './calico-node-status.ts';
import { calicoNodeStatusKind } from './calico-node-status.ts';
import type { ClusterInformation } from './cluster-information.ts';
import { clusterInformationKind } from './cluster-information.ts';
import type { FelixConfiguration } from './felix-configuration.ts';
import { felixConfigurationKind } from './felix-configuration.ts';
import type { GlobalNetworkPolicy } from './global-network-policy.ts';
import { globalNetworkPolicyKind } from './global-network-policy.ts';
import type { HostEndpoint } from './host-endpoint.ts';
import { hostEndpointKind } from './host-endpoint.ts';
import type { IpPool } from './ip-pool.ts';
import { ipPoolKind } from './ip-pool.ts';
import type { IpReservation } from './ip-reservation.ts';
import { ipReservationKind } from './ip-reservation.ts';
import type { IpamBlock } from './ipam-block.ts';
import { ipamBlockKind } from './ipam-block.ts';
import type { IpamConfiguration } from './ipam-configuration.ts';
import { ipamConfigurationKind } from './ipam-configuration.ts';
import type { IpamHandle } from './ipam-handle.ts';
import { ipamHandleKind } from './ipam-handle.ts';
import type { Kind } from './kind.ts';
import type { KubeControllersConfiguration } from './kube-controllers-configuration.ts';
import { kubeControllersConfigurationKind } from './kube-controllers-configuration.ts';
import type { KubernetesNetworkPolicy } from './kubernetes-network-policy.ts';
import { kubernetesNetworkPolicyKind } from './kubernetes-network-policy.ts';
import type { Namespace } from './namespace.ts';
import { namespaceKind } from './namespace.ts';
import { suggestion } from './near-miss.ts';
import type { NetworkPolicy } from './network-policy.ts';
import { networkPolicyKind } from './network-policy.ts';
import type { GlobalNetworkSet, NetworkSet } from './network-set.ts';
import { globalNetworkSetKind, networkSetKind } from './network-set.ts';
import type { Node } from './node.ts';
import { nodeKind } from './node.ts';
import type { Profile } from './profile.ts';
import { profileKind } from './profile.ts';
import type { StagedGlobalNetworkPolicy } from './staged-global-network-policy.ts';
import { stagedGlobalNetworkPolicyKind } from './staged-global-network-policy.ts';
import type { StagedKubernetesNetworkPolicy } from './staged-kubernetes-network-policy.ts';
import { stagedKubernetesNetworkPolicyKind } from './staged-kubernetes-network-policy.ts';
import type { StagedNetworkPolicy } from './staged-network-policy.ts';
import { stagedNetworkPolicyKind } from './staged-network-policy.ts';
import type { Tier } from './tier.ts';
import { tierKind } from './tier.ts';
import type { WorkloadEndpoint } from './workload-endpoint.ts';
import { workloadEndpointKind } from './workload-endpoint.ts';

/** A resource of whatever kind; `kind` tells which. */
export type AnyResource =
  | BgpConfiguration
  | BgpFilter
  | BgpPeer
  | BlockAffinity
  | CalicoNodeStatus
  | ClusterInformation
  | FelixConfiguration
  | GlobalNetworkPolicy
  | GlobalNetworkSet
  | HostEndpoint
  | IpamBlock
  | IpamConfiguration
  | IpamHandle
  | IpPool
  | IpReservation
  | KubeControllersConfiguration
  | KubernetesNetworkPolicy
  | Namespace
  | NetworkPolicy
  | NetworkSet
  | Node
  | Profile
  | StagedGlobalNetworkPolicy
  | StagedKubernetesNetworkPolicy
  | StagedNetworkPolicy
  | Tier
  | WorkloadEndpoint;

export type KindName = AnyResource['kind'];

/** In the order in which a whole network is best applied: what others refer to comes first. */
export const KINDS: readonly Kind[] = [
  nodeKind,
  clusterInformationKind,
  bgpConfigurationKind,
  felixConfigurationKind,
  ipamConfigurationKind,
  kubeControllersConfigurationKind,
  bgpFilterKind,
  bgpPeerKind,
  ipPoolKind,
  ipReservationKind,
  calicoNodeStatusKind,
  namespaceKind,
  profileKind,
  networkSetKind,
  globalNetworkSetKind,
  hostEndpointKind,
  tierKind,
  networkPolicyKind,
  globalNetworkPolicyKind,
  kubernetesNetworkPolicyKind,
  stagedNetworkPolicyKind,
  stagedGlobalNetworkPolicyKind,
  stagedKubernetesNetworkPolicyKind,
  workloadEndpointKind,
  ipamBlockKind,
  blockAffinityKind,
  ipamHandleKind,
];

const byKind = new Map(KINDS.map((kind) => [kind.kind, kind]));
const byWord = new Map(KINDS.flatMap((kind) => wordsOf(kind).map((word) => [word, kind] as const)));

function wordsOf(kind: Kind): string[] {
  return [kind.kind.toLowerCase(), kind.plural, ...kind.shortNames];
}

/** The kinds with exactly this name in a document's `kind:`; where there are several, their `apiVersion` tells. */
export function kindsNamed(documentKind: string): readonly Kind[] {
  return KINDS.filter((kind) => kind.documentKind === documentKind);
}

/** The resource as documents and the store spell it, which is what `validateResource` reads. */
export function documentOf(resource: AnyResource): Readonly<Record<string, unknown>> {
  return { ...resource, kind: byKind.get(resource.kind)?.documentKind ?? resource.kind };
}

/** The kind that a user means by a word: its name, plural or a short name, in any case. */
export function kindByWord(word: string): Kind | undefined {
  return byWord.get(word.toLowerCase());
}

/** Says that there is no kind of that name, which there are, and which was probably meant. */
export function unknownKindMessage(word: string): string {
  const names = KINDS.map((kind) => kind.kind);
  const near = kindByWord(word);
  const hint = near === undefined ? suggestion(word, [...names, ...byWord.keys()]) : `; did you mean ${spelt(near)}?`;
  return `unknown kind "${word}"${hint} (known kinds: ${names.join(', ')})`;
}

/** How a document says that it is of this kind, as far as its name alone does not. */
function spelt({ kind, documentKind, apiVersion }: Kind): string {
  return kind === documentKind ? kind : `${documentKind} of apiVersion ${apiVersion}`;
}
