/**
 * Two states of a cluster beside each other: per node the sessions and routes that come, go, and change.
 *
 * Only nodes with a difference have an entry. Sessions are compared by peer: one that is there before and after, but was
 * lost in between, is a reset.
 */
import type { PeerName } from '../bgp/contract.ts';
import type { ClusterState, NodeState, Route, SessionState } from './cluster-state.ts';

export interface RouteMove {
  readonly prefix: string;
  readonly before: string;
  readonly after: string;
}

export interface NodeChange {
  readonly node: string;
  readonly sessions: {
    readonly before: number;
    readonly after: number;
    readonly gained: readonly PeerName[];
    readonly lost: readonly PeerName[];
    readonly reset: readonly PeerName[];
  };
  readonly routes: {
    readonly before: number;
    readonly after: number;
    readonly gained: readonly string[];
    readonly lost: readonly string[];
    readonly moved: readonly RouteMove[];
  };
}

const NO_NODE: NodeState = { addresses: [], sessions: new Map(), routes: new Map(), announced: [] };

/** `lost` is who was lost in between, by node. */
export function nodeChanges(
  before: ClusterState,
  after: ClusterState,
  lost: ReadonlyMap<string, ReadonlySet<PeerName>>,
): NodeChange[] {
  const names = new Set([...before.nodes.keys(), ...after.nodes.keys()]);
  return [...names].sort().flatMap((node) => {
    const one = before.nodes.get(node) ?? NO_NODE;
    const other = after.nodes.get(node) ?? NO_NODE;
    const sessions = sessionChanges(one, other, lost.get(node) ?? new Set());
    const routes = routeChanges(learned(one), learned(other));
    const lists = [sessions.gained, sessions.lost, sessions.reset, routes.gained, routes.lost, routes.moved];
    return lists.every((list) => list.length === 0) ? [] : [{ node, sessions, routes }];
  });
}

/** Routes to other hosts; the node's own containers are not BGP's concern. */
export function learned({ routes }: NodeState): Map<string, Route> {
  return new Map([...routes].filter(([, { gateways }]) => gateways !== undefined));
}

export function establishedCount({ sessions }: NodeState): number {
  let count = 0;
  for (const { isEstablished } of sessions.values()) if (isEstablished) count += 1;
  return count;
}

function sessionChanges(one: NodeState, other: NodeState, lost: ReadonlySet<PeerName>): NodeChange['sessions'] {
  const isUp = (session: SessionState | undefined): boolean => session?.isEstablished === true;
  const names = [...new Set([...one.sessions.keys(), ...other.sessions.keys()])];
  const wasUp = (name: PeerName): boolean => isUp(one.sessions.get(name));
  const staysUp = (name: PeerName): boolean => isUp(other.sessions.get(name));
  return {
    before: establishedCount(one),
    after: establishedCount(other),
    gained: names.filter((name) => !wasUp(name) && staysUp(name)),
    lost: names.filter((name) => wasUp(name) && !staysUp(name)),
    reset: names.filter((name) => wasUp(name) && staysUp(name) && lost.has(name)),
  };
}

function routeChanges(one: ReadonlyMap<string, Route>, other: ReadonlyMap<string, Route>): NodeChange['routes'] {
  const moved: RouteMove[] = [];
  for (const [prefix, { text }] of one) {
    const now = other.get(prefix);
    if (now !== undefined && now.text !== text) moved.push({ prefix, before: text, after: now.text });
  }
  return {
    before: one.size,
    after: other.size,
    gained: [...other.keys()].filter((prefix) => !one.has(prefix)),
    lost: [...one.keys()].filter((prefix) => !other.has(prefix)),
    moved,
  };
}
