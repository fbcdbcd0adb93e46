/**
 * The contract for policy: which rules hold for which endpoint, in numbers and sets instead of labels.
 *
 * The calculation has resolved everything that needs the store: selectors have become sets of addresses, named ports sets
 * of (address, protocol, port), tiers lists of policies in their order. What is left is what a packet filter can do: the
 * first rule that matches decides. Only policies and sets that an endpoint of this host needs are here.
 *
 * Evaluation for one endpoint and one direction: tiers in order; in a tier the policies in order; `allow` and `deny` end
 * it, `pass` goes on with the next tier, `log` goes on with the next rule. Where no rule of a tier matched, though a
 * policy of it that is not staged has a say in this direction, the tier's default action holds. After all tiers come the profiles, and after these
 * the packet is dropped. Staged policies are written down and never enforced.
 */
import type { Brand } from '../../lib/brand.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import type { Provenance } from './provenance.ts';

/**
 * Which set: "s:" and a hash for a selector, "n:" and a hash for a named port with its selector, or one of the names below. At most 25 characters, of those that
 * a kernel's set name may have, so that a family can be put before it.
 */
export type SetId = Brand<string, 'SetId'>;

/** A literal or computed text that is known to be well formed. */
export function setId(text: string): SetId {
  return text as SetId;
}

/** Pools whose containers leave with the host's address. */
export const MASQUERADED_POOLS = setId('masq-ipam-pools');
/** All pools, disabled ones too: traffic between containers is never translated. */
export const ALL_POOLS = setId('network-ip-pools');
/** Addresses of all hosts, and of those in externalNodesList: who may send us IPIP. */
export const ALL_HOSTS = setId('all-hosts-net');
/** Addresses of all hosts that speak VXLAN: who may send us that. */
export const VXLAN_HOSTS = setId('all-vxlan-net');

/**
 * "nets": addresses and prefixes, members in text as "10.0.0.1", "10.0.0.0/8", "fd00::1". No member lies inside of
 * another. "ports": members as "10.0.0.1,tcp:80" (tcp, udp, sctp), the port being the one at that address. Both families in one set.
 */
export type SetKind = 'nets' | 'ports';

/** How a set changed. A set that is new says all its members as added. */
export interface SetChange {
  readonly kind: SetKind;
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

export type RuleAction = 'allow' | 'deny' | 'pass' | 'log';

/** Both ends counted. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** What one end of a packet must be: all conditions that are given must hold, each list is "one of" ("none of" after `not`). Empty lists ask nothing. */
export interface RuleEnd {
  readonly nets: readonly Cidr[];
  readonly notNets: readonly Cidr[];
  /** In each of these. */
  readonly sets: readonly SetId[];
  /** In none of these. */
  readonly notSets: readonly SetId[];
  /** One of these ports, or in one of `portSets`. */
  readonly ports: readonly PortRange[];
  readonly portSets: readonly SetId[];
  readonly notPorts: readonly PortRange[];
  readonly notPortSets: readonly SetId[];
}

/** A type, and a code where it is not any. */
export interface IcmpMatch {
  readonly type: number;
  readonly code: number | undefined;
}

export interface DesiredRule {
  /** Its place in the list of the policy or profile, from 0; rules that cannot be enforced leave gaps. */
  readonly index: number;
  readonly action: RuleAction;
  /** Undefined: both. A rule with prefixes has the family of these. */
  readonly family: Family | undefined;
  /** Numbers of the IP header. Ports are only ever given together with `protocol` 6, 17 or 132, or with port sets. */
  readonly protocol: number | undefined;
  readonly notProtocol: number | undefined;
  readonly icmp: IcmpMatch | undefined;
  readonly notIcmp: IcmpMatch | undefined;
  readonly source: RuleEnd;
  readonly destination: RuleEnd;
  /** Who wrote it, with the line of the rule itself where that is known. */
  readonly provenance: Provenance;
}

/** Which packets at a host endpoint a policy is for. Containers know "normal" alone. */
export type PolicyStage =
  | 'normal'
  /** Before connection tracking, which then does not happen. */
  | 'untracked'
  /** Before addresses are translated. */
  | 'preDnat';

/** "NetworkPolicy ns/name", "GlobalNetworkPolicy name", "KubernetesNetworkPolicy ns/name", and the staged kinds. */
export type PolicyId = Brand<string, 'PolicyId'>;

/** A resource's title, which is known to be one of a policy. */
export function policyId(title: string): PolicyId {
  return title as PolicyId;
}

export interface DesiredPolicy {
  readonly id: PolicyId;
  readonly tier: string;
  /** Canonical text. Policies that stand one after another in a tier with the same selector can share a chain. */
  readonly selector: string;
  readonly staged: boolean;
  readonly stage: PolicyStage;
  /** Whether it has a say in what a host endpoint forwards. */
  readonly applyOnForward: boolean;
  readonly ingress: readonly DesiredRule[];
  readonly egress: readonly DesiredRule[];
  readonly provenance: Provenance;
}

export interface DesiredProfile {
  readonly name: string;
  readonly ingress: readonly DesiredRule[];
  readonly egress: readonly DesiredRule[];
  readonly provenance: Provenance;
}

/** The policies of one tier that choose an endpoint, by direction, in their order. */
export interface EndpointTier {
  readonly name: string;
  readonly defaultAction: 'deny' | 'pass';
  readonly ingress: readonly PolicyId[];
  readonly egress: readonly PolicyId[];
  readonly provenance: Provenance;
}

/** What holds for an endpoint. */
export interface EndpointPolicy {
  /** Tiers without a policy for the endpoint are left out. */
  readonly tiers: readonly EndpointTier[];
  /** In order. One that does not exist denies what reaches it. */
  readonly profiles: readonly string[];
}

/** Devices of the host itself that policy holds for. */
export interface DesiredHostEndpoint {
  readonly name: string;
  /** A device, "*" for all that are no container's; undefined: the devices that have one of the addresses. */
  readonly deviceName: string | undefined;
  readonly expectedAddresses: readonly Ip[];
  readonly policy: EndpointPolicy;
  readonly provenance: Provenance;
}

/** An outside address that leads to a container. */
export interface FloatingIp {
  readonly external: Ip;
  readonly internal: Ip;
  /** Whether the container speaks with it, too, when it speaks to somebody outside of the pools. */
  readonly outgoing: boolean;
}

/** What has changed in policy since the last asking; undefined in a map means that it is there no more. */
export interface PolicyChanges {
  readonly sets: ReadonlyMap<SetId, SetChange | undefined>;
  readonly policies: ReadonlyMap<PolicyId, DesiredPolicy | undefined>;
  readonly profiles: ReadonlyMap<string, DesiredProfile | undefined>;
  readonly hostEndpoints: ReadonlyMap<string, DesiredHostEndpoint | undefined>;
}
