/**
 * What a speaker must tell each of its peers, worked out from the RFCs in the simplest way: no tables kept up to date, no
 * groups, no sets; for each prefix all candidates, the best of them, and what becomes of it towards a peer.
 *
 * It shares with the speaker only values (PathAttributes, PeerConfig, Policy), none of its code. Long-lived stale routes,
 * roles and unnumbered peers are not part of it.
 *
 * RFC 4271 sections 5 and 9, RFC 4456, RFC 7911, RFC 7947, RFC 8212.
 */
import type { RouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import { cidr, containsCidr, formatCidr } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { compareIp, formatIp, sameIp } from '../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import type { Policy } from './policy/policy-rules.ts';
import type { PathAttributes } from './wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';

const NO_EXPORT = 0xffffff01;
const NO_ADVERTISE = 0xffffff02;

/** A peer as the model sees it: what it is, and what it has said. */
export interface ModelPeer {
  readonly config: PeerConfig;
  readonly routerId: RouterId;
  readonly asn: number;
  readonly families: readonly Family[];
  readonly sendsPaths: boolean;
  readonly takesPaths: boolean;
  /** By prefix and path identifier, "10.0.0.0/8 0". */
  readonly said: ReadonlyMap<string, PathAttributes>;
}

interface Candidate {
  readonly peer: ModelPeer | undefined;
  readonly pathId: number;
  readonly attributes: PathAttributes;
}

export function prefixOfKey(key: string): string {
  return key.slice(0, key.indexOf(' '));
}

/** Attributes in one notation, for comparison. */
export function textOf(attributes: PathAttributes): string {
  const { nextHop, linkLocalNextHop, aggregator, unknown, ...rest } = attributes;
  return JSON.stringify({
    ...rest,
    communities: [...attributes.communities].sort(),
    nextHop: nextHop && formatIp(nextHop),
    linkLocalNextHop: linkLocalNextHop && formatIp(linkLocalNextHop),
    aggregator: aggregator && [aggregator.asn, formatIp(aggregator.address)],
    unknown: unknown.map(({ type, value }) => [type, ...value]),
  });
}

export class Model {
  readonly config: SpeakerConfig;
  /** By prefix; those that may be used. */
  readonly #candidates = new Map<string, Candidate[]>();

  constructor(config: SpeakerConfig, peers: readonly ModelPeer[], own: ReadonlyMap<string, PathAttributes>) {
    this.config = config;
    for (const [prefix, attributes] of own) this.#add(prefix, { peer: undefined, pathId: 0, attributes });
    for (const peer of peers) this.#take(peer);
    this.#aggregate();
  }

  /** Gateways by prefix, in text; "discard" for an aggregate. */
  ways(): Map<string, string> {
    const ways = new Map<string, string>();
    for (const [prefix, candidates] of this.#candidates) {
      const best = bestOf(candidates);
      if (best === undefined) continue;
      if (best.peer === undefined) {
        if (this.#isActive(prefix)) ways.set(prefix, 'discard');
        continue;
      }
      const hops = equalsOf(candidates).flatMap(({ attributes }) => attributes.nextHop ?? []);
      ways.set(prefix, [...new Set(hops.sort(compareIp).map(formatIp))].join(' '));
    }
    return ways;
  }

  /** What the peer must have: by prefix the attributes of each path, in text. */
  table(peer: ModelPeer): Map<string, string[]> {
    const table = new Map<string, string[]>();
    for (const [prefix, candidates] of this.#candidates) {
      const value = cidr(prefix);
      if (!peer.families.includes(value.address.family) || this.#isSummarised(value)) continue;
      let rest = candidates;
      const paths: string[] = [];
      for (let count = peer.takesPaths ? peer.config.addPath.sendMax : 1; count > 0; count--) {
        const best = bestOf(rest);
        rest = rest.filter((candidate) => candidate !== best);
        const sent = best && best.peer !== peer ? this.#export(best, value, peer) : undefined;
        if (sent !== undefined) paths.push(textOf(sent));
      }
      if (paths.length > 0) table.set(prefix, paths.sort());
    }
    return table;
  }

  #add(prefix: string, candidate: Candidate): void {
    const known = this.#candidates.get(prefix) ?? [];
    this.#candidates.set(prefix, [...known, candidate]);
  }

  #take(peer: ModelPeer): void {
    const external = this.#isExternal(peer);
    for (const [key, said] of peer.said) {
      const prefix = prefixOfKey(key);
      const attributes = judged(peer.config.importPolicy, said, cidr(prefix), { external, remote: true });
      const isLoop =
        attributes !== undefined &&
        (attributes.asPath.filter((asn) => asn === this.config.asn).length > peer.config.allowedOwnAsns ||
          attributes.originatorId === this.config.routerId ||
          attributes.clusterList.includes(this.#clusterId()));
      const isOurs = Object.values(this.config.nextHops).some((own) => sameIp(own, attributes?.nextHop));
      if (attributes === undefined || isLoop || isOurs) continue;
      this.#add(prefix, { peer, pathId: peer.sendsPaths ? Number(key.split(' ')[1]) : 0, attributes });
    }
  }

  #aggregate(): void {
    // An aggregate may be a part of another.
    const inward = [...this.config.aggregates].sort((a, b) => b.prefix.length - a.prefix.length);
    for (const { prefix } of inward) {
      const isThere = [...this.#candidates.keys()].some((other) => isPart(cidr(other), prefix));
      if (!isThere) continue;
      const address = { family: 4, bytes: routerIdBytesOf(this.config.routerId) } as const;
      const aggregator = { asn: this.config.asn, address };
      const attributes = { ...PLAIN, atomicAggregate: true, aggregator };
      this.#add(formatCidr(prefix), { peer: undefined, pathId: 1, attributes });
    }
  }

  #isActive(prefix: string): boolean {
    return this.config.aggregates.some((aggregate) => formatCidr(aggregate.prefix) === prefix)
      ? this.#candidates.get(prefix)?.some(({ peer, pathId }) => peer === undefined && pathId === 1) === true
      : false;
  }

  #isSummarised(prefix: Cidr): boolean {
    return this.config.aggregates.some(({ prefix: whole, summaryOnly }) => summaryOnly && isPart(prefix, whole));
  }

  #isExternal({ asn, config }: ModelPeer): boolean {
    return asn !== (config.localAsn ?? this.config.asn);
  }

  #clusterId(): number {
    return this.config.clusterId ?? this.config.routerId;
  }

  #export({ peer: from, attributes }: Candidate, prefix: Cidr, to: ModelPeer): PathAttributes | undefined {
    const [external, fromExternal] = [this.#isExternal(to), from !== undefined && this.#isExternal(from)];
    const isInternal = from !== undefined && !fromExternal;
    if (isInternal && !external && !from.config.reflectorClient && !to.config.reflectorClient) return undefined;
    if (attributes.communities.includes(NO_ADVERTISE)) return undefined;
    if (external && attributes.communities.includes(NO_EXPORT)) return undefined;
    const source = { external: fromExternal, remote: from !== undefined };
    const { exportPolicy } = to.config;
    // What another AS said of itself goes no further; what our policy says does.
    const isForeign = external && !to.config.routeServerClient && attributes.asPath.length > 0;
    const seen = isForeign ? { ...attributes, med: undefined } : attributes;
    if (exportPolicy === undefined && external) return undefined;
    const route = exportPolicy === undefined ? seen : judged(exportPolicy, seen, prefix, source);
    if (route === undefined) return undefined;
    const own = this.config.nextHops[prefix.address.family];
    const hidden = { localPreference: undefined, originatorId: undefined, clusterList: [] };
    if (external) {
      if (to.config.routeServerClient && route.nextHop !== undefined) return { ...route, ...hidden };
      const ownAsn = to.config.localAsn ?? this.config.asn;
      const path = route.asPath.map((asn) => (to.config.asOverride && asn === to.asn ? ownAsn : asn));
      const nextHop = to.config.nextHop === 'keep' ? (route.nextHop ?? own) : own;
      return withHop({ ...route, ...hidden, asPath: [ownAsn, ...path] }, nextHop);
    }
    const localPreference = route.localPreference ?? 100;
    if (isInternal) {
      const clusterList = [this.#clusterId(), ...route.clusterList];
      const originatorId = route.originatorId ?? from.routerId;
      return { ...route, localPreference, originatorId, clusterList };
    }
    const nextHop = to.config.nextHop === 'self' ? own : (route.nextHop ?? own);
    return withHop({ ...route, localPreference }, nextHop);
  }
}

function withHop(attributes: PathAttributes, nextHop: PathAttributes['nextHop']): PathAttributes | undefined {
  return nextHop === undefined ? undefined : { ...attributes, nextHop };
}

const PLAIN: PathAttributes = PLAIN_ATTRIBUTES;

/** The steps of the decision, lower is better; MED is a step of its own kind. */
const MERIT: readonly (((candidate: Candidate) => number) | 'med')[] = [
  ({ peer }) => (peer === undefined ? 0 : 1),
  ({ attributes }) => -(attributes.localPreference ?? 100),
  ({ attributes }) => attributes.asPath.length,
  ({ attributes }) => attributes.origin,
  'med',
  ({ peer }) => (peer !== undefined && peer.asn !== 64512 ? 0 : 1),
];
const NAMES: readonly ((candidate: Candidate) => number)[] = [
  ({ peer, attributes }) => attributes.originatorId ?? peer?.routerId ?? 0,
  ({ attributes }) => attributes.clusterList.length,
  ({ peer }) => peer?.config.address.bytes.reduce((sum, byte) => sum * 256 + byte, 0) ?? 0,
  ({ pathId }) => pathId,
];

function equalsOf(candidates: readonly Candidate[]): readonly Candidate[] {
  return MERIT.reduce((kept, step) => (step === 'med' ? lowestMed(kept) : lowest(kept, step)), candidates);
}

function bestOf(candidates: readonly Candidate[]): Candidate | undefined {
  return NAMES.reduce(lowest, equalsOf(candidates))[0];
}

function lowest(candidates: readonly Candidate[], measure: (candidate: Candidate) => number): readonly Candidate[] {
  const least = Math.min(...candidates.map(measure));
  return candidates.filter((candidate) => measure(candidate) === least);
}

function lowestMed(candidates: readonly Candidate[]): readonly Candidate[] {
  const med = ({ attributes }: Candidate): number => attributes.med ?? 0;
  const neighbour = ({ attributes }: Candidate): number => attributes.asPath[0] ?? 0;
  return candidates.filter(
    (candidate) =>
      !candidates.some((other) => neighbour(other) === neighbour(candidate) && med(other) < med(candidate)),
  );
}

/** The route after the policy, undefined where it is rejected; without a policy external peers have no routes. */
function judged(
  policy: Policy | undefined,
  attributes: PathAttributes,
  prefix: Cidr,
  source: { readonly external: boolean; readonly remote: boolean },
): PathAttributes | undefined {
  if (policy === undefined) return source.external ? undefined : attributes;
  for (const rule of policy.rules) {
    const { family, community, asPathPrefix, localPreference, peerType } = rule;
    if (family !== undefined && family !== prefix.address.family) continue;
    if (rule.prefix !== undefined && !fitsPrefix(prefix, rule.prefix)) continue;
    if (rule.source !== undefined && (rule.source === 'remote') !== source.remote) continue;
    if (peerType !== undefined && !(source.remote && source.external === (peerType === 'external'))) continue;
    if (community?.kind === 'standard' && !attributes.communities.includes(community.value)) continue;
    if (asPathPrefix?.some((asn, index) => attributes.asPath[index] !== asn)) continue;
    if (localPreference !== undefined && (attributes.localPreference ?? 100) !== localPreference) continue;
    if (rule.action === 'reject') return undefined;
    let changed = attributes;
    for (const operation of rule.operations) {
      if (operation.kind === 'setMed') changed = { ...changed, med: operation.value };
      if (operation.kind === 'setLocalPreference') changed = { ...changed, localPreference: operation.value };
      if (operation.kind === 'prependAsPath') changed = { ...changed, asPath: [...operation.asns, ...changed.asPath] };
      if (operation.kind === 'addCommunity' && operation.community.kind === 'standard') {
        const communities = new Set([...changed.communities, operation.community.value]);
        changed = { ...changed, communities: [...communities] };
      }
    }
    return changed;
  }
  return policy.otherwise === 'accept' ? attributes : undefined;
}

function fitsPrefix(prefix: Cidr, condition: NonNullable<Policy['rules'][number]['prefix']>): boolean {
  const { operator, lengthMin = 0, lengthMax = 128 } = condition;
  const isSingle = operator === 'Equal' || operator === 'NotEqual';
  if (prefix.address.family !== condition.cidr.address.family) return false;
  const isIn =
    containsCidr(condition.cidr, prefix) &&
    (!isSingle || prefix.length === condition.cidr.length) &&
    prefix.length >= lengthMin &&
    prefix.length <= lengthMax;
  return operator === 'In' || operator === 'Equal' ? isIn : !isIn;
}

function isPart(prefix: Cidr, whole: Cidr): boolean {
  const isOneFamily = prefix.address.family === whole.address.family;
  return isOneFamily && prefix.length > whole.length && containsCidr(whole, prefix);
}

function routerIdBytesOf(routerId: number): Uint8Array {
  return Uint8Array.of(routerId >>> 24, routerId >>> 16, routerId >>> 8, routerId);
}
