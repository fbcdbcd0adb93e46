/**
 * Profiles: stored ones, and those that exist without being written.
 *
 * Every namespace has the profile `kns.NAMESPACE`, which hands its labels down to what is in it and allows everything; so
 * what no policy is for is open, as in Kubernetes. `projectcalico-default-allow` allows everything, too, and hands down
 * nothing. A stored profile of such a name holds instead.
 *
 * Labels are handed to the indexes only for profiles that something names, rules only for those that something on this
 * host names; so names are counted, and a profile that nobody names any more leaves nothing behind.
 */
import { sameJson } from '../../../lib/json.ts';
import type { Namespace } from '../../../model/namespace.ts';
import type { PolicyRule } from '../../../model/policy-rule.ts';
import type { Profile } from '../../../model/profile.ts';
import { resourceTitle } from '../../../model/resource.ts';
import type { Labels } from '../../../model/selector.ts';
import type { Provenance } from '../../desired/provenance.ts';
import { sourceOf } from '../provenance.ts';
import { NAMESPACE_PREFIX } from './rule-selectors.ts';

const OF_NAMESPACE = 'kns.';
const DEFAULT_ALLOW = 'projectcalico-default-allow';

/** By which a namespaceSelector names one namespace: Calico's label, and the one that Kubernetes' API server gives. */
const NAMESPACE_NAME_LABELS = ['projectcalico.org/name', 'kubernetes.io/metadata.name'];

const ALLOW_ALL: readonly PolicyRule[] = [{ action: 'Allow', source: {}, destination: {} }];

/** A profile, wherever it comes from. */
export interface ProfileSource {
  readonly ingress: readonly PolicyRule[];
  readonly egress: readonly PolicyRule[];
  readonly labels: Labels;
  readonly provenance: Provenance;
}

/** The profile by which things in a namespace inherit its labels. */
export function namespaceProfile(namespace: string): string {
  return `${OF_NAMESPACE}${namespace}`;
}

export interface ProfilesListener {
  /** What a profile hands down; undefined where it does not exist, or nothing names it any more. */
  labels(name: string, labels: Labels | undefined): void;
  /** The rules of a profile may differ, or whether something on this host names it. */
  rulesMayDiffer(name: string): void;
}

/** The names that an item has for its profiles, in its order. */
interface NamedBy {
  readonly names: readonly string[];
  readonly isLocal: boolean;
}

interface Named {
  /** How many items name it, and how many of these are on this host. */
  all: number;
  local: number;
  labels: Labels | undefined;
}

export class Profiles {
  readonly #listener: ProfilesListener;
  readonly #stored = new Map<string, Profile>();
  readonly #namespaces = new Map<string, Namespace>();
  readonly #named = new Map<string, Named>();

  constructor(listener: ProfilesListener) {
    this.#listener = listener;
  }

  updateProfile(name: string, profile: Profile | undefined): void {
    if (profile === undefined) this.#stored.delete(name);
    else this.#stored.set(name, profile);
    this.#changed(name);
  }

  updateNamespace(name: string, namespace: Namespace | undefined): void {
    if (namespace === undefined) this.#namespaces.delete(name);
    else this.#namespaces.set(name, namespace);
    this.#changed(namespaceProfile(name));
  }

  /** Counts the names that an item has now instead of those that it had. */
  rename(before: NamedBy, after: NamedBy): void {
    if (sameJson(before, after)) return;
    for (const name of after.names) this.#count(name, 1, after.isLocal);
    for (const name of before.names) this.#count(name, -1, before.isLocal);
  }

  /** The profile that something on this host names; undefined where nothing does, or it does not exist. */
  active(name: string): ProfileSource | undefined {
    return (this.#named.get(name)?.local ?? 0) === 0 ? undefined : this.#find(name);
  }

  #count(name: string, difference: 1 | -1, isLocal: boolean): void {
    const known = this.#named.get(name);
    const named = known ?? { all: 0, local: 0, labels: undefined };
    const wasLocal = named.local > 0;
    named.all += difference;
    if (isLocal) named.local += difference;
    this.#named.set(name, named);
    if (known === undefined) this.#handDown(name, named);
    if (wasLocal !== named.local > 0) this.#listener.rulesMayDiffer(name);
    if (named.all > 0) return;
    this.#named.delete(name);
    if (named.labels !== undefined) this.#listener.labels(name, undefined);
  }

  #changed(name: string): void {
    const named = this.#named.get(name);
    if (named === undefined) return;
    this.#handDown(name, named);
    if (named.local > 0) this.#listener.rulesMayDiffer(name);
  }

  #handDown(name: string, named: Named): void {
    const labels = this.#find(name)?.labels;
    if (sameJson(labels, named.labels)) return;
    named.labels = labels;
    this.#listener.labels(name, labels);
  }

  #find(name: string): ProfileSource | undefined {
    const stored = this.#stored.get(name);
    if (stored !== undefined) {
      const { ingress, egress, labelsToApply } = stored.spec;
      const provenance = sourceOf(resourceTitle(stored), stored.metadata);
      return { ingress, egress, labels: labelsToApply, provenance };
    }
    const open = { ingress: ALLOW_ALL, egress: ALLOW_ALL };
    if (name === DEFAULT_ALLOW) return { ...open, labels: {}, provenance: { origin: `Profile ${name}` } };
    if (!name.startsWith(OF_NAMESPACE)) return undefined;
    const namespace = name.slice(OF_NAMESPACE.length);
    const resource = this.#namespaces.get(namespace);
    const title = `Namespace ${namespace}`;
    const provenance = resource === undefined ? { origin: title } : sourceOf(title, resource.metadata);
    return { ...open, labels: namespaceLabels(namespace, resource), provenance };
  }
}

function namespaceLabels(name: string, resource: Namespace | undefined): Labels {
  const labels: Record<string, string> = { ...resource?.metadata.labels };
  for (const label of NAMESPACE_NAME_LABELS) labels[label] = name;
  return Object.fromEntries(Object.entries(labels).map(([label, value]) => [`${NAMESPACE_PREFIX}${label}`, value]));
}
