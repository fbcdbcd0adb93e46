/**
 * What does not fit together in a survey of all addresses, with causes and, where it is safe, repairs.
 *
 * Blocks hold the truth about who has an address. Handles must count what blocks hold; an endpoint must have its addresses;
 * and what no endpoint has is a leak, since an agent writes addresses and endpoint at once. A leak is repaired only when it
 * is older than a grace time, when no other address of its handle is in use, and when it is known since when: somebody who
 * writes the two one after the other may be between them. Addresses that two have are never touched: which of the
 * two must go, a person has to say. Called by the commands, by repair, and by the agent's collection of leaks.
 */
import type { BlockAffinity } from '../model/block-affinity.ts';
import type { IpamHandle } from '../model/ipam-handle.ts';
import { cidrName, resourceKey } from '../model/resource-key.ts';
import type { WorkloadEndpoint } from '../model/workload-endpoint.ts';
import { formatCidr, prefixOf } from '../net/cidr.ts';
import { ip } from '../net/ip.ts';
import { ordinalsOf } from './block.ts';
import { checkBlocks } from './check-blocks.ts';
import type { Found } from './finding.ts';
import { repairable, unrepairable } from './finding.ts';
import { handleKey, newHandle } from './handle.ts';
import type { Plan } from './plan.ts';
import { Draft } from './plan.ts';
import { planReleaseHandle } from './release.ts';
import type { Allocation, Survey } from './survey.ts';
import { allocationsOf, endpointsByAddress, poolWith, sinceOf } from './survey.ts';

/** Calico's: longer than any runtime takes to start or stop a container. */
export const LEAK_GRACE_MS = 15 * 60_000;

/** Handles of what is no container, as Calico names them: tunnel devices, load balancers, what Windows keeps for itself. */
const OTHER_HANDLES = /^((ipip|vxlan|vxlan-v6|wireguard|wireguard-v6)-tunnel-addr-|lb-|windows-reserved-ipam-handle)/;

const NOTHING: Plan = { expect: [], writes: [] };

/** When the check takes place, in milliseconds since 1970, and how old something must be to be given up. */
export interface CheckTime {
  readonly now: number;
  readonly graceMs: number;
}

/** All findings: first what repairs stand on, blocks and handles, then who uses the addresses. */
export function check(survey: Survey, time: CheckTime): Found[] {
  const allocations = allocationsOf(survey.all('IPAMBlock'));
  const isOld = ({ metadata }: BlockAffinity) => {
    const created = Date.parse(metadata.creationTimestamp ?? '');
    return Number.isNaN(created) || time.now - created >= time.graceMs;
  };
  return [
    ...[...survey.unreadable].map(unreadableEntry),
    ...checkBlocks(survey, isOld),
    ...checkHandles(survey, allocations),
    ...checkTwice(survey, allocations),
    ...checkLeaks(survey, allocations, time),
    ...checkEndpoints(survey, allocations),
  ];
}

function unreadableEntry(key: string): Found {
  const cause = 'the entry is no valid resource: another version or another hand has written it';
  const remedy = 'write it anew, or remove it; until then nothing is concluded from what may be in it';
  return unrepairable({ code: 'unreadable', subject: key, cause, remedy });
}

function checkHandles(survey: Survey, allocations: readonly Allocation[]): Found[] {
  const held = new Map<string, Map<string, number>>();
  for (const { holder, block } of allocations) {
    const counts = held.get(holder.handleId) ?? new Map<string, number>();
    held.set(holder.handleId, counts.set(block.spec.cidr, (counts.get(block.spec.cidr) ?? 0) + 1));
  }
  const found: Found[] = [];
  for (const handle of survey.all('IPAMHandle')) {
    const { handleID, block } = handle.spec;
    // What a block has that cannot be read is not known.
    const keys = Object.keys(block).map((text) => resourceKey({ kind: 'IPAMBlock', name: cidrName(text) }));
    if (keys.some((key) => survey.unreadable.has(key))) continue;
    const counts = held.get(handleID);
    if (counts === undefined) {
      const cause = `the handle's record counts addresses in ${Object.keys(block).join(', ') || 'no block'}, and no block has any of it`;
      const what = { code: 'handle-without-allocation', subject: handleID, cause } as const;
      found.push(repairable({ ...what, remedy: 'removes the record' }, recounted(handleID)));
    } else if (!countsEqual(counts, block)) {
      const cause = `the handle's record counts ${countsText(Object.entries(block))}, and blocks have ${countsText(counts)}`;
      const what = { code: 'handle-miscounted', subject: handleID, cause } as const;
      found.push(repairable({ ...what, remedy: 'writes the counts anew' }, recounted(handleID)));
    }
  }
  for (const [handleId, counts] of held) {
    if (survey.handle(handleId) !== undefined || survey.unreadable.has(handleKey(handleId))) continue;
    const cause = `blocks have ${countsText(counts)} for the handle, which has no record: they would not be released with it`;
    const what = { code: 'allocation-without-handle', subject: handleId, cause } as const;
    found.push(repairable({ ...what, remedy: "writes the handle's record" }, recounted(handleId)));
  }
  return found;
}

/** Makes the record of a handle what blocks hold. */
function recounted(handleId: string): (survey: Survey) => Plan {
  return (survey) => {
    const draft = new Draft();
    const counts: Record<string, number> = {};
    const record = survey.handle(handleId);
    for (const block of survey.all('IPAMBlock')) {
      const count = ordinalsOf(block, handleId).length;
      if (count > 0) counts[block.spec.cidr] = count;
      if (count > 0 || block.spec.cidr in (record?.spec.block ?? {})) draft.rely(block);
    }
    const base = record ?? newHandle(handleId);
    const after: IpamHandle = { ...base, spec: { ...base.spec, block: counts } };
    if (Object.keys(counts).length > 0) draft.put(after);
    else if (record === undefined) return NOTHING;
    else draft.remove(record);
    return draft.finish();
  };
}

function countsEqual(counts: ReadonlyMap<string, number>, recorded: Readonly<Record<string, number>>): boolean {
  return counts.size === Object.keys(recorded).length && [...counts].every(([text, count]) => recorded[text] === count);
}

function countsText(counts: Iterable<readonly [string, number]>): string {
  return [...counts].map(([text, count]) => `${count} in ${text}`).join(', ');
}

function checkTwice(survey: Survey, allocations: readonly Allocation[]): Found[] {
  const holders = new Map<string, string[]>();
  for (const { text, holder, block } of allocations) {
    holders.set(text, [...(holders.get(text) ?? []), `handle ${holder.handleId} in block ${block.spec.cidr}`]);
  }
  const twice = [...holders].filter(([, whose]) => whose.length > 1);
  const shared = [...endpointsByAddress(survey)].filter(([, users]) => users.length > 1);
  const found = [...twice, ...shared.map(([text, users]) => [text, users.map(endpointTitle)] as const)];
  return found.map(([subject, whose]) => {
    const remedy = 'remove all of these containers but one; an address of two is answered by whoever is nearer';
    return unrepairable({ code: 'address-twice', subject, cause: `assigned to ${whose.join(' and to ')}`, remedy });
  });
}

function checkLeaks(survey: Survey, allocations: readonly Allocation[], time: CheckTime): Found[] {
  const users = endpointsByAddress(survey);
  const byHandle = Map.groupBy(allocations, ({ holder }) => holder.handleId);
  const found: Found[] = [];
  for (const [handleId, own] of byHandle) {
    const unused = own.filter(({ text }) => !users.has(text));
    if (unused.length === 0 || OTHER_HANDLES.test(handleId)) continue;
    const addresses = unused.map(({ text }) => text);
    const times = own.map(({ holder }) => sinceOf(holder));
    const known = times.filter((since) => since !== undefined);
    const since = known.length === times.length ? Math.max(...known) : undefined;
    const obstacle = leakObstacle(survey, { own, unused, since }, time);
    const node = own[0]?.holder.secondary['node'];
    const when = since === undefined ? 'at an unknown time' : `${ageText(time.now - since)} ago`;
    const where = node === undefined ? '' : ` on node ${node}`;
    const lack = `no WorkloadEndpoint has ${addresses.length === 1 ? 'it' : 'them'}`;
    // Of a young one it cannot be said yet.
    const fault = obstacle === undefined ? ': whoever removed the endpoint did not release it' : '';
    const cause = `assigned ${when} to handle ${handleId}${where}, and ${lack}${fault}`;
    found.push({
      finding: {
        ...{ code: 'leak', subject: addresses.join(' '), cause, isRepairable: obstacle === undefined },
        remedy: obstacle ?? `releases ${addresses.join(', ')}`,
        leak: { handle: handleId, addresses, since: since === undefined ? null : new Date(since).toISOString() },
      },
      repair: obstacle === undefined ? releasing(handleId) : undefined,
    });
  }
  return found;
}

/** Why a leak is not released by itself, with what can be done; undefined when it can be. */
function leakObstacle(
  survey: Survey,
  leak: {
    readonly own: readonly Allocation[];
    readonly unused: readonly Allocation[];
    readonly since: number | undefined;
  },
  { now, graceMs }: CheckTime,
): string | undefined {
  const release = `muslin ipam release ${leak.unused.map(({ text }) => `--ip ${text}`).join(' ')}`;
  if (survey.hasUnreadable('WorkloadEndpoint')) return 'nothing, while there are endpoints that cannot be read';
  if (leak.unused.length < leak.own.length)
    return `nothing by itself, for other addresses of the handle are in use; if you know better: ${release}`;
  if (leak.since === undefined) return `nothing by itself, for its age is not known; once you are sure: ${release}`;
  if (now - leak.since < graceMs)
    return `nothing before it is ${ageText(graceMs)} old: its container may be starting or stopping; check again then`;
  return undefined;
}

function releasing(handleId: string): (survey: Survey) => Plan {
  return (survey) => {
    const handle = survey.handle(handleId);
    if (handle === undefined) return NOTHING;
    const blocks = Object.keys(handle.spec.block).flatMap((text) => survey.block(text) ?? []);
    return planReleaseHandle(handle, new Map(blocks.map((block) => [block.spec.cidr, block]))).plan;
  };
}

/** Endpoints with an address of a pool that is not theirs by any block: it can be given to somebody else. */
function checkEndpoints(survey: Survey, allocations: readonly Allocation[]): Found[] {
  const assigned = new Set(allocations.map(({ text }) => text));
  return [...endpointsByAddress(survey)].flatMap(([text, users]) => {
    const pool = poolWith(survey, ip(text));
    if (assigned.has(text) || pool === undefined) return [];
    const blockText = formatCidr(prefixOf(ip(text), pool.spec.blockSize));
    if (survey.unreadable.has(resourceKey({ kind: 'IPAMBlock', name: cidrName(blockText) }))) return [];
    const cause = `${users.map(endpointTitle).join(' and ')} has it, and in IPAM it is free: it was released under a running container, or the endpoint was written by hand`;
    const remedy = 'start the container anew, or delete the endpoint if its container is gone';
    return [unrepairable({ code: 'endpoint-without-allocation', subject: text, cause, remedy })];
  });
}

/** "endpoint default/a1 of node host-a". */
export function endpointTitle({ metadata, spec }: WorkloadEndpoint): string {
  return `endpoint ${metadata.namespace ?? ''}/${metadata.name} of node ${spec.node}`;
}

/** "15 min", "3 h", "12 d": how long ago, in the largest unit. */
function ageText(milliseconds: number): string {
  const minutes = Math.max(0, Math.floor(milliseconds / 60_000));
  if (minutes < 120) return `${minutes} min`;
  return minutes < 48 * 60 ? `${Math.floor(minutes / 60)} h` : `${Math.floor(minutes / 60 / 24)} d`;
}
