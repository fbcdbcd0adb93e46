/**
 * Which machines and segments of a topology are drawn above which: the core on top, what hangs on it beneath.
 *
 * Machines and segments are the two kinds of nodes of a graph whose edges are cables. The nodes from which the farthest is
 * nearest are the core, and with it routers that join nothing but core segments. The core is level 0 and a node's level is
 * its distance from it, so levels are by turns machines and segments, and a cable always joins neighbouring levels. Parts that hang together beneath a level are clusters, and are
 * drawn side by side: racks, each with its own switches. Pure; order is that of the topology.
 */
import type { Topology } from '../topology.ts';

export interface GraphNode {
  readonly name: string;
  readonly isSegment: boolean;
  /** Segments of a machine, or machines of a segment; twice where there are two cables. */
  readonly neighbours: readonly string[];
}

/** What hangs together at and beneath a level: the level's own nodes, and the clusters beneath. */
export interface Cluster {
  readonly level: number;
  readonly top: readonly GraphNode[];
  readonly beneath: readonly Cluster[];
}

/** The topology as clusters of level 0, one for each part that is connected. */
export function clustersOf({ segments, hosts, routers }: Topology): Cluster[] {
  // Routers first: where both could be drawn at either side, they stand before the hosts.
  const machines = [...routers, ...hosts].map(({ name, plugs }) => ({ name, plugs }));
  const nodes: GraphNode[] = [
    ...segments.map((name) => ({
      name,
      isSegment: true,
      neighbours: machines.flatMap((machine) =>
        machine.plugs.filter(({ segment }) => segment === name).map(() => machine.name),
      ),
    })),
    ...machines.map(({ name, plugs }) => ({
      name,
      isSegment: false,
      neighbours: plugs.map(({ segment }) => segment),
    })),
  ];
  return connectedParts(nodes).map((part) => {
    const levels = levelsOf(part, new Set(routers.map(({ name }) => name)));
    return clusterOf(part, 0, (node) => levels.get(node.name) ?? 0);
  });
}

function clusterOf(nodes: readonly GraphNode[], level: number, levelOf: (node: GraphNode) => number): Cluster {
  const rest = nodes.filter((node) => levelOf(node) > level);
  return {
    level,
    top: nodes.filter((node) => levelOf(node) === level),
    beneath: connectedParts(rest).map((part) => clusterOf(part, level + 1, levelOf)),
  };
}

function connectedParts(nodes: readonly GraphNode[]): GraphNode[][] {
  const seen = new Set<string>();
  return nodes.flatMap((node) => {
    if (seen.has(node.name)) return [];
    const reached = distancesFrom([node], nodes);
    for (const name of reached.keys()) seen.add(name);
    return [nodes.filter(({ name }) => reached.has(name))];
  });
}

/** Levels of a connected part. Of segments and machines that are equally central, the machines are the core. */
function levelsOf(part: readonly GraphNode[], routers: ReadonlySet<string>): Map<string, number> {
  const reach = part.map((node) => ({ node, farthest: Math.max(...distancesFrom([node], part).values()) }));
  const least = Math.min(...reach.map(({ farthest }) => farthest));
  const central = reach.filter(({ farthest }) => farthest === least).map(({ node }) => node);
  const machines = central.filter(({ isSegment }) => !isSegment);
  const core = distancesFrom(machines.length > 0 ? machines : central, part);
  if (machines.length > 0) return core;
  const above = part.filter(
    ({ name, neighbours }) => routers.has(name) && neighbours.every((segment) => core.get(segment) === 0),
  );
  const levels = [...core].map(([name, level]): [string, number] => [name, level + (above.length > 0 ? 1 : 0)]);
  return new Map([...levels, ...above.map(({ name }): [string, number] => [name, 0])]);
}

/** Cables to the nearest of `starts`, for each node that can be reached by way of `nodes`. */
function distancesFrom(starts: readonly GraphNode[], nodes: readonly GraphNode[]): Map<string, number> {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const distances = new Map(starts.map(({ name }) => [name, 0]));
  for (const [name, distance] of distances) {
    for (const neighbour of byName.get(name)?.neighbours ?? []) {
      if (byName.has(neighbour) && !distances.has(neighbour)) distances.set(neighbour, distance + 1);
    }
  }
  return distances;
}
