/**
 * What a change of resources does to the routing of a whole cluster, step by step, before anybody makes it.
 *
 * A step is a set of changes. Within a step they come one after the other, as `apply` writes them, and each is looked at
 * twice: what is left while no node can count on another having heard of it (cluster.ts, `momentsSince`), and what holds in
 * the end. A node that reaches a prefix before and after the step, but not in all of these moments, is interrupted: what it has
 * lost is made again only after it was broken.
 *
 * External peers are played twice, as silent and as passing all on: what is lost with both is `lost`, what is lost with one of
 * them only is `uncertain`. The rest of a step is told as it is with those that pass on. Pure; called by cli/bgp-plan.ts.
 */
import type { PeerName } from '../bgp/contract.ts';
import type { AnyResource } from '../model/kinds.ts';
import { keyOf } from '../model/resource-key.ts';
import { Cluster } from './cluster.ts';
import type { ClusterResources } from './cluster-resources.ts';
import { clusterResources } from './cluster-resources.ts';
import type { ClusterState, Reach } from './cluster-state.ts';
import { reachOf } from './cluster-state.ts';
import type { ExternalBehaviour } from './external-peers.ts';
import type { NodeChange } from './state-difference.ts';
import { nodeChanges } from './state-difference.ts';

/** One write of a step. */
export interface Change {
  /** "bgppeer/to-reflectors" */
  readonly title: string;
  readonly key: string;
  /** Undefined where it is deleted. */
  readonly resource: AnyResource | undefined;
}

export interface Step {
  readonly title: string;
  readonly changes: readonly Change[];
}

/** A prefix that a node does not get to for a while, and the write that takes it away. */
export interface Interruption {
  readonly node: string;
  readonly prefix: string;
  readonly cause: string;
}

/** What a step does, with external peers of one kind. */
export interface StepOutcome {
  readonly before: ClusterState;
  readonly after: ClusterState;
  readonly nodes: readonly NodeChange[];
  /** By node, the prefixes that are announced still, and reached no more. */
  readonly unreachable: ReadonlyMap<string, readonly string[]>;
  readonly interruptions: readonly Interruption[];
  readonly updates: number;
  readonly bytes: number;
  /** The longest from a write to the last change that follows from it, on a wire of `LATENCY_MS`. */
  readonly settleMs: number;
}

export interface Outcome {
  readonly steps: readonly StepOutcome[];
  readonly externalPeers: readonly string[];
  readonly problems: readonly string[];
}

/** One way inside of a rack. */
const LATENCY_MS = 0.2;
/** Beyond this many writes a step is taken as one: each costs a look at every session. */
const WRITES_APART_MAX = 64;

export function simulatePlan(now: Iterable<AnyResource>, steps: readonly Step[], external: ExternalBehaviour): Outcome {
  const resources = new Map<string, AnyResource>();
  for (const resource of now) resources.set(keyOf(resource), resource);
  const cluster = new Cluster({ seed: 1, latencyMs: LATENCY_MS, stopwatch: () => 0, external });
  cluster.apply(clusterResources(resources.values()));
  cluster.settle();
  const problems = new Set<string>();
  const outcomes: StepOutcome[] = [];
  let before = cluster.state();
  for (const step of steps) {
    const outcome = takeStep(cluster, before, writesOf(step, resources));
    for (const problem of cluster.problems) problems.add(problem);
    outcomes.push(outcome);
    before = outcome.after;
  }
  return { steps: outcomes, externalPeers: cluster.externalPeers, problems: [...problems] };
}

interface Write {
  readonly title: string;
  readonly resources: ClusterResources;
}

/** The states of the store one after the other; `resources` is taken along. */
function writesOf({ changes }: Step, resources: Map<string, AnyResource>): Write[] {
  const writes: Write[] = [];
  for (const { title, key, resource } of changes) {
    if (resource === undefined) resources.delete(key);
    else resources.set(key, resource);
    if (changes.length <= WRITES_APART_MAX) writes.push({ title, resources: clusterResources(resources.values()) });
  }
  if (changes.length <= WRITES_APART_MAX) return writes;
  const [first] = changes;
  const title = `${first?.title} and ${changes.length - 1} more`;
  return [{ title, resources: clusterResources(resources.values()) }];
}

function takeStep(cluster: Cluster, before: ClusterState, writes: readonly Write[]): StepOutcome {
  const reachBefore = reachOf(before);
  const moments: { readonly cause: string; readonly reach: Reach }[] = [];
  const lost = new Map<string, Set<PeerName>>();
  const cost = { updates: 0, bytes: 0, settleMs: 0 };
  let after = before;
  for (const { title, resources } of writes) {
    const configurations = cluster.configurations();
    const { updates, bytes } = cluster.traffic;
    const wroteAt = cluster.network.now;
    cluster.apply(resources);
    cluster.settle();
    cost.updates += cluster.traffic.updates - updates;
    cost.bytes += cluster.traffic.bytes - bytes;
    cost.settleMs = Math.max(cluster.network.changedAt - wroteAt, cost.settleMs);
    for (const [node, peers] of cluster.takeLost()) lost.set(node, peers.union(lost.get(node) ?? new Set()));
    after = cluster.state();
    moments.push({ cause: title, reach: reachOf(after) });
    for (const state of cluster.momentsSince(configurations)) moments.push({ cause: title, reach: reachOf(state) });
  }
  const reachAfter = reachOf(after);
  return {
    before,
    after,
    nodes: nodeChanges(before, after, lost),
    unreachable: lostReach(reachBefore, reachAfter, after),
    interruptions: interruptionsOf(reachBefore, reachAfter, moments),
    ...cost,
  };
}

/** Prefixes that somebody still announces, and that nodes that are still there reach no more. */
function lostReach(before: Reach, after: Reach, { nodes }: ClusterState): Map<string, string[]> {
  const lost = new Map<string, string[]>();
  for (const [prefix, reaching] of before) {
    const now = after.get(prefix);
    if (now === undefined) continue;
    for (const node of reaching) {
      if (now.has(node) || !nodes.has(node)) continue;
      const list = lost.get(node) ?? [];
      lost.set(node, list);
      list.push(prefix);
    }
  }
  return lost;
}

function interruptionsOf(
  before: Reach,
  after: Reach,
  moments: readonly { readonly cause: string; readonly reach: Reach }[],
): Interruption[] {
  const interruptions: Interruption[] = [];
  for (const [prefix, reaching] of before) {
    for (const node of reaching) {
      if (after.get(prefix)?.has(node) !== true) continue;
      const broken = moments.find(({ reach }) => reach.get(prefix)?.has(node) !== true);
      if (broken !== undefined) interruptions.push({ node, prefix, cause: broken.cause });
    }
  }
  return interruptions;
}
