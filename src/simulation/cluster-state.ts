/**
 * What a simulated cluster looks like when nothing changes any more: per node its sessions and its routes, in text.
 *
 * And what follows from that for packets: whether they get from a node to a block, hop by hop as routers forward them.
 */
import type { PeerName } from '../bgp/contract.ts';
import { cidr, formatCidr, prefixOf } from '../net/cidr.ts';

export interface SessionState {
  /** As the node sees the peer: `client` where it reflects for it. */
  readonly type: 'internal' | 'external' | 'client';
  /** Where it comes from: "mesh, Node host-b". */
  readonly description: string;
  readonly isEstablished: boolean;
}

export interface Route {
  /** Undefined where packets go to no other host. */
  readonly gateways: readonly string[] | undefined;
  /** "via 10.0.0.2", "blackhole". */
  readonly text: string;
}

export interface NodeState {
  readonly addresses: readonly string[];
  readonly sessions: ReadonlyMap<PeerName, SessionState>;
  /** By destination. */
  readonly routes: ReadonlyMap<string, Route>;
  /** The prefixes that it tells others of. */
  readonly announced: readonly string[];
}

export interface ClusterState {
  readonly nodes: ReadonlyMap<string, NodeState>;
}

/** From which nodes packets get to a prefix, by prefix. */
export type Reach = ReadonlyMap<string, ReadonlySet<string>>;

/**
 * Which nodes reach which of the announced prefixes: the route that is most specific leads, by all of its gateways, to a node
 * that announces the prefix, or out of the cluster, where nothing is known and the best is assumed.
 */
export function reachOf({ nodes }: ClusterState): Reach {
  const byAddress = new Map<string, string>();
  for (const [name, { addresses }] of nodes) for (const address of addresses) byAddress.set(address, name);
  const owners = new Map<string, Set<string>>();
  for (const [name, { announced }] of nodes) {
    for (const prefix of announced) owners.set(prefix, (owners.get(prefix) ?? new Set()).add(name));
  }
  const reach = new Map<string, Set<string>>();
  for (const [prefix, own] of owners) {
    const covering = coveringPrefixes(prefix);
    const verdicts = new Map<string, boolean>([...own].map((name) => [name, true]));
    const reaches = (name: string): boolean => {
      const known = verdicts.get(name);
      if (known !== undefined) return known;
      verdicts.set(name, false); // a way that comes back here leads nowhere
      const gateways = routeTo(nodes.get(name), covering)?.gateways ?? [];
      const found =
        gateways.length > 0 &&
        gateways.every((gateway) => {
          const next = byAddress.get(gateway);
          return next === undefined || reaches(next);
        });
      verdicts.set(name, found);
      return found;
    };
    reach.set(prefix, new Set([...nodes.keys()].filter(reaches)));
  }
  return reach;
}

function routeTo(node: NodeState | undefined, covering: readonly string[]): Route | undefined {
  for (const prefix of covering) {
    const route = node?.routes.get(prefix);
    if (route !== undefined) return route;
  }
  return undefined;
}

/** The prefix and all that contain it, the most specific first. */
function coveringPrefixes(text: string): string[] {
  const { address, length } = cidr(text);
  return Array.from({ length: length + 1 }, (_, less) => formatCidr(prefixOf(address, length - less)));
}
