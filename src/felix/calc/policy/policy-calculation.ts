/**
 * From policies, profiles and labels to what holds for the endpoints of this host.
 *
 *   policies ──► selectors ─┐                          ┌─► policies in force here, with the sets that they need
 *   endpoints here ─► labels ┴─► who is chosen by what ─┼─► tiers and profiles of each endpoint
 *   endpoints everywhere, network sets ─► sets ─────────┴─► members of the sets
 *   profiles, namespaces ─► labels handed down, rules of profiles
 *
 * A policy that chooses nobody on this host is never resolved and its sets are not asked for; so an endpoint of another
 * host touches the sets alone. Updates only note what may differ; `takeChanges` works that out, compares with what was told
 * last, and tells the rest. What is told is a function of the resources, whatever the order in which they came.
 *
 * Owned by the calculation, which puts an endpoint's policy beside its addresses.
 */
import { sameJson } from '../../../lib/json.ts';
import type { HostEndpoint } from '../../../model/host-endpoint.ts';
import type { AnyResource } from '../../../model/kinds.ts';
import { resourceTitle } from '../../../model/resource.ts';
import type { WorkloadEndpoint } from '../../../model/workload-endpoint.ts';
import { ip } from '../../../net/ip.ts';
import type {
  DesiredHostEndpoint,
  DesiredPolicy,
  DesiredProfile,
  EndpointPolicy,
  PolicyChanges,
  PolicyId,
  SetId,
} from '../../desired/policy.ts';
import { policyId } from '../../desired/policy.ts';
import { LabelIndex } from '../labels/label-index.ts';
import type { SetItem } from '../labels/set-index.ts';
import { SetIndex } from '../labels/set-index.ts';
import { sourceOf } from '../provenance.ts';
import { Tiers } from './endpoint-tiers.ts';
import type { PolicySource } from './policy-source.ts';
import { policySource } from './policy-source.ts';
import { Profiles } from './profiles.ts';
import type { Resolved } from './resolved-rules.ts';
import { resolvePolicy, resolveProfile } from './resolved-rules.ts';
import { hostItem, networkSetItem, workloadItem } from './set-items.ts';

/** An endpoint of this host, as far as policy is concerned. */
interface LocalEndpoint {
  readonly profiles: readonly string[];
  /** Of a device of the host; undefined for a container. */
  readonly host: HostEndpoint | undefined;
}

/** What else than its rules an endpoint's policy depends on. */
const PLACE_FIELDS = ['tier', 'order', 'stage'] as const satisfies readonly (keyof PolicySource)[];

export class PolicyCalculation {
  readonly #node: string;
  readonly #tiers = new Tiers();
  readonly #sources = new Map<PolicyId, PolicySource>();
  readonly #items = new Map<string, SetItem>();
  readonly #locals = new Map<string, LocalEndpoint>();
  /** Which policies choose a local endpoint, and which local endpoints a policy chooses. */
  readonly #choosing = new Map<string, Set<PolicyId>>();
  readonly #chosen = new Map<PolicyId, Set<string>>();

  readonly #sets = new SetIndex();
  readonly #labels = new LabelIndex({
    started: (policy, item) => this.#chooses(policyId(policy), item, true),
    stopped: (policy, item) => this.#chooses(policyId(policy), item, false),
  });
  readonly #profiles = new Profiles({
    labels: (name, labels) => {
      this.#sets.setParent(name, labels);
      this.#labels.setParent(name, labels);
    },
    rulesMayDiffer: (name) => this.#profilesMayDiffer.add(name),
  });

  readonly #policiesMayDiffer = new Set<PolicyId>();
  readonly #profilesMayDiffer = new Set<string>();
  readonly #endpointsMayDiffer = new Set<string>();

  /** What was told last. */
  readonly #policiesInForce = new Map<PolicyId, Resolved<DesiredPolicy>>();
  readonly #profilesInForce = new Map<string, Resolved<DesiredProfile>>();
  readonly #hostEndpoints = new Map<string, DesiredHostEndpoint>();
  readonly #endpointPolicies = new Map<string, EndpointPolicy>();

  constructor(node: string) {
    this.#node = node;
  }

  /** `key` is "KIND name" or "KIND namespace/name". Kinds that are no matter of policy are passed over. */
  updateResource(key: string, resource: AnyResource | undefined): void {
    const [kind = '', name = ''] = key.split(' ');
    switch (
      kind as AnyResource['kind'] // so that a kind misspelt here does not compile; others go to the default
    ) {
      case 'Tier':
        this.#updateTier(name, resource);
        break;
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'KubernetesNetworkPolicy':
      case 'StagedNetworkPolicy':
      case 'StagedGlobalNetworkPolicy':
      case 'StagedKubernetesNetworkPolicy':
        this.#updatePolicy(policyId(key), resource);
        break;
      case 'Profile':
        this.#profiles.updateProfile(name, resource?.kind === 'Profile' ? resource : undefined);
        break;
      case 'Namespace':
        this.#profiles.updateNamespace(name, resource?.kind === 'Namespace' ? resource : undefined);
        break;
      case 'NetworkSet':
      case 'GlobalNetworkSet': {
        const isSet = resource?.kind === 'NetworkSet' || resource?.kind === 'GlobalNetworkSet';
        this.#updateItem(key, isSet ? networkSetItem(resource) : undefined, undefined);
        break;
      }
      case 'HostEndpoint':
        this.#updateHostEndpoint(key, resource?.kind === 'HostEndpoint' ? resource : undefined);
        break;
      default:
    }
  }

  /** A container of any host; `id` is "namespace/name". */
  updateWorkload(id: string, endpoint: WorkloadEndpoint | undefined): void {
    const item = endpoint === undefined ? undefined : workloadItem(endpoint);
    const isLocal = endpoint?.spec.node === this.#node;
    const local = isLocal && item !== undefined ? { profiles: item.parents, host: undefined } : undefined;
    this.#updateItem(workloadKey(id), item, local);
  }

  setFixed(sets: ReadonlyMap<SetId, ReadonlySet<string>>): void {
    for (const [id, members] of sets) this.#sets.setFixed(id, members);
  }

  /** What holds for a container of this host, as of the last `takeChanges`. */
  policyOf(id: string): EndpointPolicy {
    return this.#endpointPolicies.get(workloadKey(id)) ?? { tiers: [], profiles: [] };
  }

  /** Endpoints and sets whose labels matter, and the policies' selectors that local ones are compared with. */
  labelNumbers(): { readonly endpoints: number; readonly selectors: number } {
    return { endpoints: this.#items.size, selectors: this.#sources.size };
  }

  /** Rules of policies and profiles in force here that are left out, with the reason, by title. */
  leftOut(): Map<string, readonly string[]> {
    const all = [...this.#policiesInForce.values(), ...this.#profilesInForce.values()];
    const titled = all.map(({ value, leftOut }) => [value.provenance.origin, leftOut] as const);
    return new Map(titled.filter(([, reasons]) => reasons.length > 0));
  }

  /** What has changed since the last call, and for which containers of this host `policyOf` has. */
  takeChanges(): { readonly changes: PolicyChanges; readonly workloads: readonly string[] } {
    const policies = this.#takePolicies();
    const profiles = this.#takeProfiles();
    const hostEndpoints = new Map<string, DesiredHostEndpoint | undefined>();
    const workloads: string[] = [];
    for (const key of this.#endpointsMayDiffer) {
      const local = this.#locals.get(key);
      const policy = local && this.#endpointPolicy(key, local);
      const before = this.#endpointPolicies.get(key);
      const differs = !sameJson(before, policy);
      if (policy === undefined) this.#endpointPolicies.delete(key);
      else if (differs) this.#endpointPolicies.set(key, policy);
      if (key.startsWith(WORKLOAD)) {
        if (differs) workloads.push(key.slice(WORKLOAD.length));
      } else this.#takeHostEndpoint(key, local?.host, hostEndpoints);
    }
    this.#endpointsMayDiffer.clear();
    return { changes: { sets: this.#sets.takeChanges(), policies, profiles, hostEndpoints }, workloads };
  }

  #updateTier(name: string, resource: AnyResource | undefined): void {
    this.#tiers.update(name, resource?.kind === 'Tier' ? resource : undefined);
    for (const { id, tier } of this.#sources.values()) {
      if (tier !== name) continue;
      this.#policiesMayDiffer.add(id);
      for (const item of this.#chosen.get(id) ?? []) this.#endpointsMayDiffer.add(item);
    }
  }

  #updatePolicy(id: PolicyId, resource: AnyResource | undefined): void {
    const before = this.#sources.get(id);
    const source = resource !== undefined && isPolicy(resource) ? policySource(resource) : undefined;
    if (before === undefined && source === undefined) return;
    if (source === undefined) this.#sources.delete(id);
    else this.#sources.set(id, source);
    this.#policiesMayDiffer.add(id);
    if (!sameJson(before?.selector, source?.selector)) this.#labels.setSelector(id, source?.selector);
    if (before !== undefined && source !== undefined && samePlace(before, source)) return;
    for (const item of this.#chosen.get(id) ?? []) this.#endpointsMayDiffer.add(item);
  }

  #updateHostEndpoint(key: string, endpoint: HostEndpoint | undefined): void {
    const item = endpoint === undefined ? undefined : hostItem(endpoint);
    const isLocal = endpoint?.spec.node === this.#node;
    const local = isLocal && item !== undefined ? { profiles: item.parents, host: endpoint } : undefined;
    this.#updateItem(key, item, local);
  }

  #updateItem(key: string, item: SetItem | undefined, local: LocalEndpoint | undefined): void {
    const before = this.#items.get(key);
    const wasLocal = this.#locals.get(key);
    if (item === undefined) this.#items.delete(key);
    else this.#items.set(key, item);
    if (local === undefined) this.#locals.delete(key);
    else this.#locals.set(key, local);
    this.#profiles.rename(
      { names: before?.parents ?? [], isLocal: wasLocal !== undefined },
      { names: item?.parents ?? [], isLocal: local !== undefined },
    );
    this.#sets.setItem(key, item);
    if (local === undefined && wasLocal === undefined) return;
    this.#labels.setItem(key, local && item);
    this.#endpointsMayDiffer.add(key);
  }

  #chooses(policy: PolicyId, item: string, does: boolean): void {
    change(this.#choosing, item, policy, does);
    change(this.#chosen, policy, item, does);
    this.#policiesMayDiffer.add(policy);
    this.#endpointsMayDiffer.add(item);
  }

  #takePolicies(): Map<PolicyId, DesiredPolicy | undefined> {
    const changes = new Map<PolicyId, DesiredPolicy | undefined>();
    for (const id of this.#policiesMayDiffer) {
      const source = this.#sources.get(id);
      const isActive = source !== undefined && this.#isActive(source);
      const before = this.#policiesInForce.get(id);
      if (isActive && before?.source === source) continue; // somebody more, or somebody less, whom it is for
      const resolved = isActive ? resolvePolicy(source) : undefined;
      this.#replace(this.#policiesInForce, id, before, resolved, changes);
    }
    this.#policiesMayDiffer.clear();
    return changes;
  }

  #takeProfiles(): Map<string, DesiredProfile | undefined> {
    const changes = new Map<string, DesiredProfile | undefined>();
    for (const name of this.#profilesMayDiffer) {
      const source = this.#profiles.active(name);
      const resolved = source && resolveProfile(name, source);
      this.#replace(this.#profilesInForce, name, this.#profilesInForce.get(name), resolved, changes);
    }
    this.#profilesMayDiffer.clear();
    return changes;
  }

  /** Puts rules in the place of those before, which keeps the sets that both need, and tells them if they differ. */
  #replace<Key, Value>(
    told: Map<Key, Resolved<Value>>,
    key: Key,
    before: Resolved<Value> | undefined,
    after: Resolved<Value> | undefined,
    changes: Map<Key, Value | undefined>,
  ): void {
    for (const wish of after?.sets.values() ?? []) this.#sets.want(wish);
    for (const id of before?.sets.keys() ?? []) this.#sets.release(id);
    const isSame = sameJson(before?.value, after?.value);
    if (after === undefined) told.delete(key);
    else told.set(key, isSame && before !== undefined ? { ...after, value: before.value } : after);
    if (!isSame) changes.set(key, after?.value);
  }

  #isActive(source: PolicySource): boolean {
    if (!this.#tiers.has(source.tier)) return false;
    const chosen = this.#chosen.get(source.id) ?? new Set();
    return source.stage === 'normal' ? chosen.size > 0 : [...chosen].some((item) => !item.startsWith(WORKLOAD));
  }

  #endpointPolicy(key: string, { profiles, host }: LocalEndpoint): EndpointPolicy {
    const policies = [...(this.#choosing.get(key) ?? [])].flatMap((id) => this.#sources.get(id) ?? []);
    const applicable = host === undefined ? policies.filter(({ stage }) => stage === 'normal') : policies;
    return { tiers: this.#tiers.ofEndpoint(applicable), profiles };
  }

  #takeHostEndpoint(
    key: string,
    host: HostEndpoint | undefined,
    changes: Map<string, DesiredHostEndpoint | undefined>,
  ): void {
    const name = key.slice(key.indexOf(' ') + 1);
    const policy = this.#endpointPolicies.get(key);
    const after = host && policy && desiredHostEndpoint(host, policy);
    if (sameJson(this.#hostEndpoints.get(name), after)) return;
    if (after === undefined) this.#hostEndpoints.delete(name);
    else this.#hostEndpoints.set(name, after);
    changes.set(name, after);
  }
}

/** Before the ids of containers; other items have their title, which begins with a kind. */
const WORKLOAD = 'WorkloadEndpoint ';

function workloadKey(id: string): string {
  return `${WORKLOAD}${id}`;
}

function isPolicy(resource: AnyResource): resource is Parameters<typeof policySource>[0] {
  return resource.kind.endsWith('NetworkPolicy');
}

/** Whether endpoints ask both at the same place, and for the same directions. */
function samePlace(a: PolicySource, b: PolicySource): boolean {
  const asked = ({ ingress, egress }: PolicySource) => [ingress !== undefined, egress !== undefined];
  return PLACE_FIELDS.every((field) => a[field] === b[field]) && sameJson(asked(a), asked(b));
}

function change<Key, Member>(map: Map<Key, Set<Member>>, key: Key, member: Member, isMember: boolean): void {
  const members = map.get(key) ?? new Set();
  if (isMember) map.set(key, members.add(member));
  else if (members.delete(member) && members.size === 0) map.delete(key);
}

function desiredHostEndpoint(endpoint: HostEndpoint, policy: EndpointPolicy): DesiredHostEndpoint {
  const { metadata, spec } = endpoint;
  return {
    name: metadata.name,
    deviceName: spec.interfaceName,
    expectedAddresses: spec.expectedIPs.map(ip),
    policy,
    provenance: sourceOf(resourceTitle(endpoint), metadata),
  };
}
