/**
 * What of the Loc-RIB a peer is told, and with which attributes.
 *
 * The iBGP rule: what came from one internal peer is not passed on to another, as they all talk to each other. A reflector
 * passes on what concerns its clients, and marks who said it first and which clusters it has passed, so that loops are
 * noticed (RFC 4456 section 8). To an external peer our AS number is put in front, we become the next hop, and what has
 * meaning only inside an AS is left out; a route server does neither (RFC 7947). Policy sees the route as it is in the
 * Loc-RIB; without any, external peers are told nothing (RFC 8212).
 * Split horizon is not here: which member of a group a route came from is the group's business.
 *
 * RFC 4271 sections 5.1 and 9.2, RFC 1997 (well-known communities), RFC 9234 section 5 (OTC), RFC 9494 section 4.3.
 */
import type { RouterId } from '../../net/asn.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { isLinkLocal } from '../../net/ip.ts';
import type { Role } from '../peer-config.ts';
import type { CompiledPolicy, Verdict } from '../policy/policy.ts';
import { DEFAULT_LOCAL_PREFERENCE } from '../policy/policy-rules.ts';
import type { AttributeSet } from '../table/attribute-sets.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { NO_ADVERTISE, NO_EXPORT, NO_EXPORT_SUBCONFED } from '../wire/communities.ts';

/** How routes are changed on their way to a peer; equal for all members of an update group. */
export interface ExportTarget {
  readonly external: boolean;
  /** The AS number that the peer sees us in. */
  readonly ownAsn: number;
  /** Replaced by ours in paths; undefined for no override. */
  readonly overriddenAsn: number | undefined;
  readonly routerId: RouterId;
  readonly clusterId: number;
  readonly reflectorClient: boolean;
  readonly routeServerClient: boolean;
  readonly nextHop: 'auto' | 'self' | 'keep';
  /** Our address as next hop in the group's family; undefined where we have none. */
  readonly ownNextHop: Ip | undefined;
  /** Our own role as both sides understand it (RFC 9234). */
  readonly role: Role | undefined;
  /** The peer understands long-lived stale routes (RFC 9494). */
  readonly takesLongLivedStale: boolean;
  readonly policy: CompiledPolicy | undefined;
}

/** What becomes of a route towards a target. */
export type ExportVerdict =
  | { readonly kind: 'send'; readonly attributes: PathAttributes }
  /** Not sent, and why, in words. */
  | { readonly kind: 'keep'; readonly why: string }
  /** It depends on the prefix; equal objects are given for equal attributes. */
  | { readonly kind: 'byPrefix'; readonly decide: (prefix: Cidr) => Exclude<ExportVerdict, { kind: 'byPrefix' }> };

const keep = (why: string): ExportVerdict & { kind: 'keep' } => ({ kind: 'keep', why });

/** Roles of ours in which the peer is below or beside us on the way to customers: routes get marked for it. */
const MARKING_ROLES: ReadonlySet<Role | undefined> = new Set<Role>(['provider', 'peer', 'route-server']);
/** Roles of ours in which the peer must not get a route that was marked. */
const BOUND_ROLES: ReadonlySet<Role | undefined> = new Set<Role>(['customer', 'peer', 'route-server-client']);

/** Whether and how routes with the attributes of `set` go to `target`. */
export function exportSet(set: AttributeSet, target: ExportTarget): ExportVerdict {
  const obstacle = whyKept(set, target);
  if (obstacle !== undefined) return keep(obstacle);
  if (target.policy === undefined) {
    if (target.external) return keep('an external peer without an export policy is told nothing (RFC 8212)');
    return transform(set, withoutForeignMed(set, target), target);
  }
  const { source, family, device } = set;
  const isRemote = source.slot !== 0;
  const seen = withoutForeignMed(set, target);
  const verdict = target.policy.judge(seen, { family, remote: isRemote, device, external: source.external });
  if (verdict.kind !== 'byPrefix') return afterPolicy(set, verdict, target);
  const known = new Map<PathAttributes | string, Exclude<ExportVerdict, { kind: 'byPrefix' }>>();
  const decide = (prefix: Cidr) => {
    const answer = verdict.decide(prefix);
    const key = answer.kind === 'accept' ? answer.attributes : answer.by;
    let result = known.get(key);
    if (result === undefined) {
      result = afterPolicy(set, answer, target);
      known.set(key, result);
    }
    return result;
  };
  return { kind: 'byPrefix', decide };
}

/**
 * MED speaks to the neighbouring AS alone: what another AS has said goes no further (RFC 4271 section 5.1.4), unlike what
 * our own policy says. So it is gone before policy sees the route.
 */
function withoutForeignMed({ attributes }: AttributeSet, target: ExportTarget): PathAttributes {
  const isOurs = attributes.asPath.length === 0 || attributes.med === undefined;
  return isOurs || !target.external || target.routeServerClient ? attributes : { ...attributes, med: undefined };
}

type Decided = Exclude<ExportVerdict, { kind: 'byPrefix' }>;

function afterPolicy(set: AttributeSet, verdict: Verdict, target: ExportTarget): Decided {
  if (verdict.kind === 'reject') return keep(`rejected by the export policy: ${verdict.by}`);
  return transform(set, verdict.attributes, target);
}

function whyKept({ source, attributes, isLongLivedStale }: AttributeSet, target: ExportTarget): string | undefined {
  const { communities } = attributes;
  const isInternal = source.slot !== 0 && !source.external;
  if (isInternal && !target.external && !source.reflectorClient && !target.reflectorClient) {
    return 'it came from an internal peer, and neither of the two is our reflector client';
  }
  if (communities.includes(NO_ADVERTISE)) return 'it has the community no-advertise';
  if (target.external && communities.includes(NO_EXPORT)) return 'it has the community no-export';
  if (target.external && communities.includes(NO_EXPORT_SUBCONFED)) return 'it has the community no-export-subconfed';
  if (isLongLivedStale && !target.takesLongLivedStale)
    return 'it is stale (LLGR), and the peer does not understand that';
  if (attributes.onlyToCustomer !== undefined && BOUND_ROLES.has(target.role)) {
    return `it is only for customers (OTC), and towards this peer we are ${target.role}`;
  }
  return undefined;
}

function transform(set: AttributeSet, attributes: PathAttributes, target: ExportTarget): Decided {
  const marked =
    attributes.onlyToCustomer === undefined && MARKING_ROLES.has(target.role)
      ? { ...attributes, onlyToCustomer: target.ownAsn }
      : attributes;
  const changed = target.external ? externally(marked, target) : internally(set, marked, target);
  if (changed.nextHop === undefined) return keep('we have no address in its family to be the next hop');
  return { kind: 'send', attributes: changed };
}

function internally({ source }: AttributeSet, attributes: PathAttributes, target: ExportTarget): PathAttributes {
  const isReflected = source.slot !== 0 && !source.external;
  const localPreference = attributes.localPreference ?? DEFAULT_LOCAL_PREFERENCE;
  // An address of one link says nothing on another (RFC 2545 section 3).
  const { nextHop } = attributes;
  const isNobodys = nextHop === undefined || isLinkLocal(nextHop);
  const isSelf = isNobodys || (target.nextHop === 'self' && !isReflected);
  const nextHops = { nextHop: isSelf ? target.ownNextHop : nextHop, linkLocalNextHop: undefined };
  if (!isReflected) return { ...attributes, ...nextHops, localPreference };
  // Nothing else changes, the next hop least of all: the client's packets need not pass through us (RFC 4456 section 10).
  const originatorId = attributes.originatorId ?? source.routerId;
  const clusterList = [target.clusterId, ...attributes.clusterList];
  return { ...attributes, ...nextHops, localPreference, originatorId, clusterList };
}

function externally(attributes: PathAttributes, target: ExportTarget): PathAttributes {
  const inner = { localPreference: undefined, originatorId: undefined, clusterList: [] };
  // A route server's own routes have nobody else to be named.
  if (target.routeServerClient && attributes.nextHop !== undefined) return { ...attributes, ...inner };
  const { overriddenAsn, ownAsn } = target;
  const path = attributes.asPath.map((asn) => (asn === overriddenAsn ? ownAsn : asn));
  const isKept = target.nextHop === 'keep' && attributes.nextHop !== undefined;
  const nextHops = isKept ? {} : { nextHop: target.ownNextHop, linkLocalNextHop: undefined };
  return { ...attributes, ...nextHops, ...inner, asPath: [ownAsn, ...path] };
}
