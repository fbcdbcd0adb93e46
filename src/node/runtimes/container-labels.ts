/**
 * The labels of a container, from the record that its runtime keeps: what a lookup in podman's or containerd's database means.
 *
 * Neither podman nor ctr tells the CNI plugin of labels, but both write the container's record before they call it:
 *   podman       ctr / ID / config = {"labels": {…}, …}                        ID is what CNI is told
 *   containerd   v1 / NAMESPACE / containers / ID / labels / NAME = VALUE      CNI is told NAMESPACE-ID by ctr, ID by CRI
 * Labels become those of a WorkloadEndpoint, which policy selects by. What could not be written there by hand (Kubernetes'
 * syntax) is left out and said so, and so are Calico's own names, which are not a container's to choose.
 * Pure: the snapshot is handed in. Called by container-databases.ts.
 */
import { isJsonObject } from '../../lib/json.ts';
import { labelNameProblem, labelValueProblem } from '../../model/metadata.ts';
import type { BoltSnapshot } from './bolt.ts';
import { findBucket, findValue, listValues } from './bolt.ts';
import type { Damage } from './bolt-page.ts';

export interface AcceptedLabels {
  readonly labels: Readonly<Record<string, string>>;
  /** A sentence for each label that was left out. */
  readonly leftOut: readonly string[];
}

/** Looks for a container in a snapshot; undefined when the runtime does not know it. */
export type LabelLookup = (snapshot: BoltSnapshot, containerId: string) => AcceptedLabels | undefined | Damage;

/** Each label is in every host's memory; people set a handful, image builders a dozen more. */
export const LABELS_MAX = 64;
/** containerd's labels are listed up to here, so that we can say that there are too many. */
const LISTED_MAX = 4 * LABELS_MAX;
/** Labels of a pod's sandbox, of any runtime that Kubernetes drives. */
const KUBERNETES_NAMESPACE = 'k8s.io';
/** Calico's own labels say who a container is: its namespace, its service account. */
const RESERVED = /^([^/]*\.)?projectcalico\.org\//;

/** podman's libpod database (`bolt_state.db`). */
export const podmanLabels: LabelLookup = (snapshot, containerId) => {
  const bucket = findBucket(snapshot, ['ctr', containerId]);
  if (bucket === undefined || 'damage' in bucket) return bucket;
  const value = findValue(snapshot, bucket, 'config');
  if (value === undefined || 'damage' in value) return value;
  const record = parseJson(value);
  if (!isJsonObject(record)) return { damage: 'a container whose record is no JSON object' };
  return acceptedLabels(isJsonObject(record.labels) ? Object.entries(record.labels) : []);
};

/** containerd's metadata database (`meta.db`). */
export const containerdLabels: LabelLookup = (snapshot, containerId) => {
  const found: AcceptedLabels[] = [];
  for (const [namespace, id] of containerdNames(containerId)) {
    const container = findBucket(snapshot, ['v1', namespace, 'containers', id]);
    if (container === undefined) continue;
    if ('damage' in container) return container;
    const bucket = findBucket(snapshot, ['v1', namespace, 'containers', id, 'labels']);
    const values = bucket === undefined || 'damage' in bucket ? bucket : listValues(snapshot, bucket, LISTED_MAX);
    if (values !== undefined && 'damage' in values) return values;
    const text = new TextDecoder();
    found.push(acceptedLabels((values ?? []).map(({ key, value }) => [text.decode(key), text.decode(value)])));
  }
  const [only, ...others] = found;
  if (others.length === 0) return only;
  // Both "-" in "a-b-c" may be the one between namespace and id. A wrong label would be worse than none.
  return { labels: {}, leftOut: [`all: ${found.length} containers of containerd may be meant by ${containerId}`] };
};

/** Which containers, by namespace and id, CNI's container id may stand for. */
function containerdNames(containerId: string): [namespace: string, id: string][] {
  const dashes = [...containerId.matchAll(/-/g)].map(({ index }) => index);
  const pairs = dashes.map((at): [string, string] => [containerId.slice(0, at), containerId.slice(at + 1)]);
  return [[KUBERNETES_NAMESPACE, containerId], ...pairs.filter((pair) => !pair.includes(''))];
}

/** What of a container's labels may stand on its WorkloadEndpoint. */
export function acceptedLabels(entries: readonly (readonly [string, unknown])[]): AcceptedLabels {
  const labels = new Map<string, string>();
  const leftOut: string[] = [];
  for (const [name, value] of entries) {
    const problem =
      labelProblem(name, value) ?? (labels.size < LABELS_MAX ? undefined : `there are ${LABELS_MAX} already`);
    if (problem === undefined) labels.set(name, String(value));
    else if (leftOut.length < LABELS_MAX) leftOut.push(`${name.slice(0, 80)}: ${problem}`);
  }
  return { labels: Object.fromEntries(labels), leftOut };
}

function labelProblem(name: string, value: unknown): string | undefined {
  if (typeof value !== 'string') return 'its value is no string';
  if (RESERVED.test(name)) return 'is for the network to set, not for a container';
  return labelNameProblem(name) ?? labelValueProblem(value);
}

function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    return undefined;
  }
}
