/**
 * Which pools a request may be served from.
 *
 * A pool serves when it is enabled, allows the use, has the family, and selects the node and the namespace. Pools that the
 * request names (by name or CIDR) are then taken in its order, and no others; a request that names none gets every pool whose
 * assignment is Automatic. When nothing is left, the answer says of each pool why not, for that is what the user will ask next.
 */
import type { IpPool } from '../model/ip-pool.ts';
import type { Labels } from '../model/selector.ts';
import { matches } from '../model/selector.ts';
import { parseSelector } from '../model/selector-parser.ts';
import type { Cidr } from '../net/cidr.ts';
import { cidr, familyOf, formatCidr, parseCidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import type { Failure, Snapshot } from './snapshot.ts';
import { failed } from './snapshot.ts';

export type PoolUse = 'Workload' | 'Tunnel';

/** Kubernetes gives every namespace this label, and Calico this one; both say its name. */
const NAMESPACE_NAME_LABELS = ['kubernetes.io/metadata.name', 'projectcalico.org/name'];

export interface PoolWish {
  readonly family: Family;
  readonly node: string;
  readonly labels: Labels;
  readonly use: PoolUse;
  /** The container's, by its labels; undefined for what is in no namespace, for which namespaceSelectors do not count. */
  readonly namespaceLabels: Labels | undefined;
  /** Names or CIDRs. Those of the other family do not count; when there are no others, any pool will do. */
  readonly requestedPools: readonly string[];
}

export function poolPrefix(pool: IpPool): Cidr {
  return cidr(pool.spec.cidr);
}

/** The pools to take an address from, in order, at least one; or why there is none. */
export function choosePools(
  pools: readonly IpPool[],
  wish: PoolWish,
): { readonly kind: 'chosen'; readonly pools: readonly IpPool[] } | Failure {
  const { family, node } = wish;
  const ofFamily = pools.filter((pool) => familyOf(poolPrefix(pool)) === family);
  const ofOther = pools.filter((pool) => familyOf(poolPrefix(pool)) !== family);
  const requested = wish.requestedPools.filter(
    (text) => (parseCidr(text)?.address.family ?? family) === family && !ofOther.some((pool) => isNamed(pool, text)),
  );
  const named = requested.flatMap((text) => ofFamily.find((pool) => isNamed(pool, text)) ?? []);
  const candidates = requested.length > 0 ? [...new Set(named)] : ofFamily;
  const usable = candidates.filter((pool) => refusal(pool, wish, requested.length > 0) === undefined);
  if (usable.length > 0) return { kind: 'chosen', pools: usable };

  const reasons = candidates.map((pool) => {
    return `${pool.metadata.name} (${pool.spec.cidr}) ${refusal(pool, wish, requested.length > 0)}`;
  });
  const unknown = requested
    .filter((text) => !ofFamily.some((pool) => isNamed(pool, text)))
    .map((text) => `${text} is no IPv${family} pool`);
  const why = [...reasons, ...unknown].join('; ') || `there is no IPPool of IPv${family}`;
  return failed('no-pool', `no pool has IPv${family} addresses for node ${node}: ${why}`);
}

function isNamed(pool: IpPool, text: string): boolean {
  const prefix = parseCidr(text);
  return pool.metadata.name === text || (prefix !== undefined && pool.spec.cidr === formatCidr(prefix));
}

/** Why a pool may not serve, as the rest of a sentence about it; undefined when it may. */
function refusal(pool: IpPool, wish: PoolWish, isRequested: boolean): string | undefined {
  const { disabled, allowedUses, assignmentMode, nodeSelector, namespaceSelector } = pool.spec;
  if (disabled) return 'is disabled';
  if (!allowedUses.includes(wish.use)) return `has allowedUses ${allowedUses.join(', ')}, not ${wish.use}`;
  if (!isRequested && assignmentMode === 'Manual') return 'has assignmentMode Manual, and was not asked for';
  if (!selects(nodeSelector, wish.labels)) return `has nodeSelector ${nodeSelector}, not this node`;
  if (namespaceSelector !== undefined && wish.namespaceLabels !== undefined) {
    if (!selects(namespaceSelector, wish.namespaceLabels))
      return `has namespaceSelector ${namespaceSelector}, not this namespace`;
  }
  return undefined;
}

/** Whether an address that a tunnel has from the pool may stay with it: also when the pool gives out no more. */
export function keepsTunnelAddress({ spec }: IpPool, labels: Labels): boolean {
  return spec.allowedUses.includes('Tunnel') && selects(spec.nodeSelector, labels);
}

function selects(selectorText: string, labels: Labels): boolean {
  const selector = parseSelector(selectorText);
  return selector.ok && matches(selector.selector, labels);
}

/** What namespaceSelectors see of a namespace: its own labels, and its name. */
export function namespaceLabels(snapshot: Pick<Snapshot, 'namespaces'>, namespace: string): Labels {
  const named = Object.fromEntries(NAMESPACE_NAME_LABELS.map((label) => [label, namespace]));
  return { ...named, ...snapshot.namespaces.get(namespace) };
}
