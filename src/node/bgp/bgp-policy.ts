/**
 * From BGPFilters, pools and BGPConfiguration to what a session takes in and sends out.
 *
 * The filters of a session are tried in their order, rule by rule. What no rule fits is taken in; it is sent where it is in
 * an IPPool or an advertised service range, with the communities of all prefixAdvertisements around it, but never where the
 * pool has disableBGPExport. `disabled` only keeps new containers out of a pool: those that it has must be reached. All this
 * is Calico's calico_export_to_bgp_peers, but for what it refuses of kernel routes: only what Felix announces is our own.
 *
 * A priority is the kernel's metric, where less is better. BGP carries 2147483647 minus it in LOCAL_PREF, so that the better
 * route wins there too; an own route without LOCAL_PREF has the configured normal priority (1024 if nothing is said).
 * `peerType` is the kind of the session itself, in both directions.
 *
 * A filter that is named and does not exist may be the one that would have refused: nothing passes, and each refusal says so.
 * (Calico leaves such a name out, and so lets everything pass while a filter is being replaced.)
 */

import type { Community, Policy, PolicyOperation, PolicyRule, PrefixCondition } from '../../bgp/policy/policy-rules.ts';
import { ACCEPT_ALL, DEFAULT_LOCAL_PREFERENCE, REJECT_ALL } from '../../bgp/policy/policy-rules.ts';
import { parseCommunity } from '../../bgp/wire/communities.ts';
import { assert } from '../../lib/assert.ts';
import type { EffectiveBgp } from '../../model/bgp-configuration.ts';
import type { BgpFilter, BgpFilterSpec } from '../../model/bgp-filter.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { resourceTitle } from '../../model/resource.ts';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, compareCidr, containsCidr, familyOf, formatCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';

/** The filters of one session, in the order in which its BGPPeer names them. */
export interface SessionFilters {
  readonly filters: readonly BgpFilter[];
  /** Names of filters that do not exist. */
  readonly missing: readonly string[];
  /** Whether the session is with another AS. */
  readonly external: boolean;
}

type FilterRule = NonNullable<BgpFilterSpec['importV4']>[number];
type Direction = 'import' | 'export';

/** Both directions of the mesh, inside and across ASes, and of a few BGPPeers, which are worked off one after the other. */
const RECENT_MAX = 16;

/** LOCAL_PREF and the priority that it carries add up to this. */
const PRIORITY_COMPLEMENT = 2_147_483_647;

/** The same object for the same resources, as long as it is one of the last that were asked for. */
export function importPolicyFor(session: SessionFilters): Policy {
  return shared(['import', session.external, ...session.filters, ...session.missing], () => {
    return refusal(session.missing) ?? { ...ACCEPT_ALL, rules: filterRules(session, 'import') };
  });
}

/** `pools` are all of the network; `configuration` is that of this node. The same object for the same resources, too. */
export function exportPolicyFor({
  pools,
  configuration,
  ...session
}: SessionFilters & { readonly pools: readonly IpPool[]; readonly configuration: EffectiveBgp }): Policy {
  const parts = ['export', session.external, configuration, ...session.filters, ...session.missing, ...pools];
  return shared(parts, () => {
    const rules = [...filterRules(session, 'export', configuration), ...ownExportRules(pools, configuration)];
    return refusal(session.missing) ?? { ...REJECT_ALL, rules };
  });
}

/** The policies made last, the latest first. */
const recent: { readonly parts: readonly unknown[]; readonly policy: Policy }[] = [];

/** Thousands of sessions have the same filters, and what is one object is made and compiled once for all of them. */
function shared(parts: readonly unknown[], make: () => Policy): Policy {
  const known = recent.find(
    (one) => one.parts.length === parts.length && one.parts.every((part, n) => part === parts[n]),
  );
  if (known !== undefined) return known.policy;
  const policy = make();
  recent.unshift({ parts, policy });
  recent.length = Math.min(recent.length, RECENT_MAX);
  return policy;
}

/** Why nothing passes while filters are missing; undefined where none is. */
export function missingFiltersProblem(missing: readonly string[]): string | undefined {
  if (missing.length === 0) return undefined;
  const names = missing.map((name) => `BGPFilter ${name}`).join(' and ');
  return `no route passes: there is no ${names}; create it, or take its name out of the BGPPeer's filters`;
}

function refusal(missing: readonly string[]): Policy | undefined {
  const problem = missingFiltersProblem(missing);
  if (problem === undefined) return undefined;
  return { ...REJECT_ALL, rules: [{ name: problem, action: 'reject', operations: [] }] };
}

/** The rules of a session's filters; `configuration` tells the priority of own routes, which are only ever sent. */
function filterRules(session: SessionFilters, direction: Direction, configuration?: EffectiveBgp): PolicyRule[] {
  const lists = [
    { family: 4, list: `${direction}V4`, normalPriority: configuration?.ipv4NormalRoutePriority },
    { family: 6, list: `${direction}V6`, normalPriority: configuration?.ipv6NormalRoutePriority },
  ] as const;
  return session.filters.flatMap((filter) =>
    lists.flatMap(({ family, list, normalPriority }) =>
      (filter.spec[list] ?? [])
        .map((rule, place) => ({ rule, name: `${resourceTitle(filter)}, ${list}[${place}]` }))
        .filter(({ rule }) => rule.peerType === undefined || (rule.peerType === 'eBGP') === session.external)
        .flatMap(({ rule, name }) => policyRules(rule, name, family, normalPriority)),
    ),
  );
}

/** One rule, or two where it asks for the priority that own routes have without saying so. */
function policyRules(rule: FilterRule, name: string, family: Family, normalPriority: number | undefined): PolicyRule[] {
  const prefix = prefixCondition(rule);
  const community = rule.communities?.values[0];
  const common: PolicyRule = {
    name,
    family,
    ...(prefix && { prefix }),
    ...(rule.source && { source: 'remote' }),
    ...(rule.interface !== undefined && { device: rule.interface }),
    ...(community !== undefined && { community: communityOf(community) }),
    ...(rule.asPathPrefix && { asPathPrefix: rule.asPathPrefix }),
    action: rule.action === 'Accept' ? 'accept' : 'reject',
    operations: rule.operations?.flatMap(policyOperations) ?? [],
  };
  if (rule.priority === undefined) return [common];
  const written: PolicyRule = { ...common, localPreference: PRIORITY_COMPLEMENT - rule.priority };
  if (rule.priority !== normalPriority || rule.source !== undefined) return [written];
  return [written, { ...common, source: 'local', localPreference: DEFAULT_LOCAL_PREFERENCE }];
}

function prefixCondition({ cidr: text, matchOperator, prefixLength }: FilterRule): PrefixCondition | undefined {
  if (text === undefined || matchOperator === undefined) return undefined;
  return { cidr: cidr(text), operator: matchOperator, lengthMin: prefixLength?.min, lengthMax: prefixLength?.max };
}

function policyOperations({
  addCommunity,
  prependASPath,
  setPriority,
}: NonNullable<FilterRule['operations']>[number]): PolicyOperation[] {
  return [
    ...(addCommunity ? [adding(communityOf(addCommunity.value))] : []),
    ...(prependASPath ? [{ kind: 'prependAsPath', asns: prependASPath.prefix } as const] : []),
    ...(setPriority ? [{ kind: 'setLocalPreference', value: PRIORITY_COMPLEMENT - setPriority.value } as const] : []),
  ];
}

function adding(community: Community): PolicyOperation {
  return { kind: 'addCommunity', community };
}

function communityOf(text: string): Community {
  const community = parseCommunity(text);
  assert(community !== undefined, `not a community, though the resource was checked: ${text}`);
  return community;
}

/** A prefix inside of which the same holds, but for smaller regions in it. */
interface Region {
  readonly cidr: Cidr;
  /** What lets routes out; undefined where nothing does. */
  acceptedBy: string | undefined;
  /** As they are written, names resolved. */
  readonly communities: Set<string>;
}

/** What is sent where no filter decides: pools and service ranges, with the communities of what they are in. */
function ownExportRules(pools: readonly IpPool[], configuration: EffectiveBgp): PolicyRule[] {
  const quiet = pools.filter(({ spec }) => spec.disableBGPExport);
  const refused = quiet.map((pool) =>
    inside(cidr(pool.spec.cidr), `${resourceTitle(pool)}, disableBGPExport`, 'reject'),
  );
  // Reversed, what is inside of another comes before it.
  const accepted = exportRegions(pools, configuration)
    .reverse()
    .flatMap((region) => {
      if (region.acceptedBy === undefined) return [];
      // A name that this node's own list of communities has taken away stands for nothing.
      const communities = [...region.communities].flatMap((text) => parseCommunity(text) ?? []);
      return [{ ...inside(region.cidr, region.acceptedBy, 'accept'), operations: communities.map(adding) }];
    });
  return [...refused, ...accepted];
}

function inside(prefix: Cidr, name: string, action: PolicyRule['action']): PolicyRule {
  const condition = { cidr: prefix, operator: 'In', lengthMin: undefined, lengthMax: undefined } as const;
  return { name, family: familyOf(prefix), prefix: condition, action, operations: [] };
}

/** Each region with all that it has from those around it; an outer one comes before what is in it. */
function exportRegions(pools: readonly IpPool[], configuration: EffectiveBgp): Region[] {
  const regions = new Map<string, Region>();
  const regionAt = (text: string): Region => {
    const prefix = cidr(text);
    const key = formatCidr(prefix);
    const region = regions.get(key) ?? { cidr: prefix, acceptedBy: undefined, communities: new Set() };
    regions.set(key, region);
    return region;
  };
  for (const pool of pools) if (!pool.spec.disableBGPExport) regionAt(pool.spec.cidr).acceptedBy = resourceTitle(pool);
  for (const field of ['serviceClusterIPs', 'serviceExternalIPs', 'serviceLoadBalancerIPs'] as const) {
    for (const range of configuration[field] ?? []) regionAt(range.cidr).acceptedBy ??= `BGPConfiguration, ${field}`;
  }
  const values = new Map(configuration.communities?.map(({ name, value }) => [name, value]));
  for (const { cidr: text, communities } of configuration.prefixAdvertisements ?? []) {
    const region = regionAt(text);
    for (const community of communities) region.communities.add(values.get(community) ?? community);
  }
  const ordered = [...regions.values()].sort((a, b) => compareCidr(a.cidr, b.cidr));
  const around: Region[] = [];
  for (const region of ordered) {
    let outer = around.at(-1);
    while (outer !== undefined && !containsCidr(outer.cidr, region.cidr)) {
      around.pop();
      outer = around.at(-1);
    }
    region.acceptedBy ??= outer?.acceptedBy;
    for (const community of outer?.communities ?? []) region.communities.add(community);
    around.push(region);
  }
  return ordered;
}
