/**
 * Names of chains, which are Calico's, since people know and grep for them.
 *
 * What people name (policies, profiles) is put behind a prefix of ours; where that is too long for a kernel, or has
 * characters that a backend would mistake, a hash of it stands there instead. Two policies in one chain would be one
 * policy for the other's endpoints, so the hash is one that nobody can make collide.
 */
import { assert } from '../../../lib/assert.ts';
import { sha224 } from '../../../lib/sha224.ts';
import type { DesiredPolicy, PolicyId } from '../../desired/policy.ts';

export type PolicyDirection = 'ingress' | 'egress';

/** XT_EXTENSION_MAXNAMELEN is 29 with the final zero. */
const CHAIN_NAME_MAX = 28;
/** Never begins with the mark of a hash. */
const PLAIN = /^[A-Za-z0-9][A-Za-z0-9_./-]*$/;

const POLICY_PREFIX = { ingress: 'cali-pi-', egress: 'cali-po-' } as const;
const GROUP_PREFIX = { ingress: 'cali-gi-', egress: 'cali-go-' } as const;
const PROFILE_PREFIX = { ingress: 'cali-pri-', egress: 'cali-pro-' } as const;
const DERIVED = [POLICY_PREFIX, GROUP_PREFIX, PROFILE_PREFIX].flatMap(({ ingress, egress }) => [ingress, egress]);

/** As `calicoctl` abbreviates them. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ['GlobalNetworkPolicy', 'gnp'],
  ['NetworkPolicy', 'np'],
  ['KubernetesNetworkPolicy', 'knp'],
]);

/** By policy: each of the endpoints that it is for asks. */
const policyNames = new WeakMap<DesiredPolicy, Readonly<Record<PolicyDirection, string>>>();

/** "cali-pi-np/default/web". The policy is enforced, not staged. */
export function policyChainName(policy: DesiredPolicy, direction: PolicyDirection): string {
  let names = policyNames.get(policy);
  if (names === undefined) {
    const name = shortName(policy.id);
    names = { ingress: chainName(POLICY_PREFIX.ingress, name), egress: chainName(POLICY_PREFIX.egress, name) };
    policyNames.set(policy, names);
  }
  return names[direction];
}

export function profileChainName(profile: string, direction: PolicyDirection): string {
  return chainName(PROFILE_PREFIX[direction], profile);
}

/** From what is in the group, so that endpoints with the same policies share it. */
export function groupChainName(contents: string, direction: PolicyDirection): string {
  return `${GROUP_PREFIX[direction]}${sha224(contents)}`.slice(0, CHAIN_NAME_MAX);
}

export function fromWorkloadChainName(deviceName: string): string {
  return `cali-fw-${deviceName}`;
}

export function toWorkloadChainName(deviceName: string): string {
  return `cali-tw-${deviceName}`;
}

/** Of the service with this address: "cali-svc-203.0.113.10". */
export function serviceChainName(address: string): string {
  return chainName('cali-svc-', address);
}

/** The device of a container's own chain; undefined for any other. */
export function deviceOfChain(name: string): string | undefined {
  return /^cali-[ft]w-(.+)$/.exec(name)?.[1];
}

/** Whether the chain is a policy's, a group's or a profile's: there because others jump to it. */
export function isDerivedName(name: string): boolean {
  return DERIVED.some((prefix) => name.startsWith(prefix));
}

/** "np/default/web" of "NetworkPolicy default/web". */
function shortName(id: PolicyId): string {
  const [kind = '', name] = id.split(' ');
  const short = KINDS.get(kind);
  assert(short !== undefined && name !== undefined, `policy id ${id}: must be one of an enforced kind, and a name`);
  return `${short}/${name}`;
}

function chainName(prefix: string, name: string): string {
  const plain = prefix + name;
  if (plain.length <= CHAIN_NAME_MAX && PLAIN.test(name)) return plain;
  return `${prefix}_${sha224(name)}`.slice(0, CHAIN_NAME_MAX);
}
