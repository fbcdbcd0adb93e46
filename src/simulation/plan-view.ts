/**
 * A plan as people and programs are shown it: numbers for each step and each node that changes, and in detail the nodes asked for.
 *
 * Stable JSON, whose shape only grows. A session between two nodes counts once in a step's numbers, and once at each of
 * its nodes. Made of two outcomes where there are external peers (plan.ts): what is lost with both kinds is lost, what is
 * lost with one of them is uncertain.
 */
import type { PeerName } from '../bgp/contract.ts';
import type { ClusterState, NodeState } from './cluster-state.ts';
import type { Outcome, Step, StepOutcome } from './plan.ts';
import type { NodeChange, RouteMove } from './state-difference.ts';
import { establishedCount, learned } from './state-difference.ts';

export interface PlanView {
  readonly steps: readonly StepView[];
  /** Peers that are no nodes, whose behaviour is not known. */
  readonly externalPeers: readonly string[];
  /** What is not as a resource's author wants it, a sentence each. */
  readonly problems: readonly string[];
}

interface Counts {
  readonly before: number;
  readonly after: number;
  readonly gained: number;
  readonly lost: number;
}

export interface StepView {
  readonly title: string;
  /** The writes, in their order: "bgppeer/tor", "bgppeer/old deleted". */
  readonly changes: readonly string[];
  readonly sessions: Counts & { readonly reset: number };
  readonly routes: RouteCounts;
  /** How many prefixes nodes reach no more that somebody still announces, summed over the nodes. */
  readonly unreachable: number;
  /** How many prefixes nodes reach before and after, but not all the time. */
  readonly interrupted: number;
  /** The same by the write that takes them away. */
  readonly interruptedBy: readonly { readonly change: string; readonly nodes: number; readonly prefixes: number }[];
  readonly messages: { readonly updates: number; readonly bytes: number; readonly settlesMs: number };
  /** Nodes of which anything changes, by name. */
  readonly nodes: readonly NodeView[];
}

type RouteCounts = Counts & { readonly moved: number; readonly uncertain: number };

export interface NodeView {
  readonly node: string;
  readonly sessions: Counts & { readonly reset: number };
  readonly routes: RouteCounts;
  readonly unreachable: number;
  readonly interrupted: number;
  /** For the nodes that were asked for. */
  readonly detail?: NodeDetail;
}

export interface NodeDetail {
  /** "10.0.0.2 (mesh, Node host-b)" */
  readonly sessionsGained: readonly string[];
  readonly sessionsLost: readonly string[];
  readonly sessionsReset: readonly string[];
  /** "172.17.9.0/26 via 10.0.0.2" */
  readonly routesGained: readonly string[];
  readonly routesLost: readonly string[];
  readonly routesUncertain: readonly string[];
  readonly routesMoved: readonly RouteMove[];
  readonly unreachable: readonly string[];
  readonly interrupted: readonly { readonly prefix: string; readonly change: string }[];
}

/** `passing` is undefined without external peers; `detailed` says of which nodes everything is wanted. */
export function planView(
  steps: readonly Step[],
  silent: Outcome,
  passing: Outcome | undefined,
  detailed: (node: string) => boolean,
): PlanView {
  const main = passing ?? silent;
  const views = steps.flatMap((step, index): StepView[] => {
    const [one, other] = [main.steps[index], silent.steps[index]];
    return one === undefined || other === undefined ? [] : [stepView(step, one, other, detailed)];
  });
  return { steps: views, externalPeers: main.externalPeers, problems: main.problems };
}

/** Whether anything at all would be other than before. */
export function isChange({ steps }: PlanView): boolean {
  return steps.some(({ nodes }) => nodes.length > 0);
}

function stepView(step: Step, main: StepOutcome, silent: StepOutcome, detailed: (node: string) => boolean): StepView {
  const nodes = nodeViews(main, silent, detailed);
  const sum = (count: (node: NodeView) => number): number => nodes.reduce((total, node) => total + count(node), 0);
  const { updates, bytes, settleMs } = main;
  return {
    title: step.title,
    changes: step.changes.map(({ title, resource }) => (resource === undefined ? `${title} deleted` : title)),
    sessions: sessionCounts(main),
    routes: {
      before: routeCount(main.before),
      after: routeCount(main.after),
      gained: sum(({ routes }) => routes.gained),
      lost: sum(({ routes }) => routes.lost),
      moved: sum(({ routes }) => routes.moved),
      uncertain: sum(({ routes }) => routes.uncertain),
    },
    unreachable: sum(({ unreachable }) => unreachable),
    interrupted: sum(({ interrupted }) => interrupted),
    interruptedBy: causes(main),
    messages: { updates, bytes, settlesMs: Math.round(settleMs * 1000) / 1000 },
    nodes,
  };
}

function nodeViews(main: StepOutcome, silent: StepOutcome, detailed: (node: string) => boolean): NodeView[] {
  const changes = new Map(main.nodes.map((change) => [change.node, change]));
  const silentChanges = new Map(silent.nodes.map((change) => [change.node, change]));
  const interrupted = Map.groupBy(main.interruptions, ({ node }) => node);
  const names = new Set([
    ...changes.keys(),
    ...silentChanges.keys(),
    ...main.unreachable.keys(),
    ...interrupted.keys(),
  ]);
  return [...names].sort().map((node) => {
    const change = changes.get(node) ?? unchanged(node, main.before.nodes.get(node));
    const withSilent = new Set(silentChanges.get(node)?.routes.lost);
    const withPassing = new Set(change.routes.lost);
    const lost = [...withPassing.intersection(withSilent)];
    const uncertain = [...withPassing.symmetricDifference(withSilent)];
    // What a silent peer costs in reach is as uncertain as the route that leads there.
    const unreachable = (main.unreachable.get(node) ?? []).filter(
      (prefix) => silent.unreachable.get(node)?.includes(prefix) === true,
    );
    const breaks = interrupted.get(node) ?? [];
    const { sessions, routes } = change;
    const view: NodeView = {
      node,
      sessions: {
        before: sessions.before,
        after: sessions.after,
        gained: sessions.gained.length,
        lost: sessions.lost.length,
        reset: sessions.reset.length,
      },
      routes: {
        before: routes.before,
        after: routes.after,
        gained: routes.gained.length,
        lost: lost.length,
        moved: routes.moved.length,
        uncertain: uncertain.length,
      },
      unreachable: unreachable.length,
      interrupted: breaks.length,
    };
    if (!detailed(node)) return view;
    const [before, after] = [main.before.nodes.get(node), main.after.nodes.get(node)];
    const detail: NodeDetail = {
      sessionsGained: sessions.gained.map((name) => sessionText(name, after)),
      sessionsLost: sessions.lost.map((name) => sessionText(name, before)),
      sessionsReset: sessions.reset.map((name) => sessionText(name, after)),
      routesGained: routes.gained.map((prefix) => routeText(prefix, after)),
      routesLost: lost.map((prefix) => routeText(prefix, before)),
      routesUncertain: uncertain.map((prefix) => routeText(prefix, before)),
      routesMoved: routes.moved,
      unreachable,
      interrupted: breaks.map(({ prefix, cause }) => ({ prefix, change: cause })),
    };
    return { ...view, detail };
  });
}

function unchanged(node: string, state: NodeState | undefined): NodeChange {
  const [sessions, routes] = state === undefined ? [0, 0] : [establishedCount(state), learned(state).size];
  return {
    node,
    sessions: { before: sessions, after: sessions, gained: [], lost: [], reset: [] },
    routes: { before: routes, after: routes, gained: [], lost: [], moved: [] },
  };
}

function sessionText(name: PeerName, state: NodeState | undefined): string {
  const session = state?.sessions.get(name);
  return session === undefined ? name : `${name} (${session.description})`;
}

function routeText(prefix: string, state: NodeState | undefined): string {
  const route = state?.routes.get(prefix);
  return route === undefined ? prefix : `${prefix} ${route.text}`;
}

function causes({ interruptions }: StepOutcome): StepView['interruptedBy'] {
  return [...Map.groupBy(interruptions, ({ cause }) => cause)].map(([change, list]) => ({
    change,
    nodes: new Set(list.map(({ node }) => node)).size,
    prefixes: list.length,
  }));
}

function routeCount({ nodes }: ClusterState): number {
  let count = 0;
  for (const node of nodes.values()) count += learned(node).size;
  return count;
}

/** Of two nodes that have a session, each has an end; of an external peer only ours is known. */
function sessionCounts({ before, after, nodes }: StepOutcome): StepView['sessions'] {
  const known = new Set<string>();
  for (const { nodes: all } of [before, after]) {
    for (const { addresses } of all.values()) for (const address of addresses) known.add(address);
  }
  const weight = (name: PeerName): number => (known.has(name) ? 0.5 : 1);
  const sum = (names: Iterable<PeerName>): number => [...names].reduce((total, name) => total + weight(name), 0);
  const all = ({ nodes: states }: ClusterState): number => {
    let total = 0;
    for (const { sessions } of states.values()) {
      for (const [name, { isEstablished }] of sessions) if (isEstablished) total += weight(name);
    }
    return total;
  };
  const of = (names: (sessions: NodeChange['sessions']) => readonly PeerName[]): number =>
    Math.ceil(nodes.reduce((total, { sessions }) => total + sum(names(sessions)), 0));
  return {
    before: Math.ceil(all(before)),
    after: Math.ceil(all(after)),
    gained: of(({ gained }) => gained),
    lost: of(({ lost }) => lost),
    reset: of(({ reset }) => reset),
  };
}
