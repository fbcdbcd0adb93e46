/**
 * The numbers of Felix for the metrics page, taken from its parts when somebody asks.
 *
 * Counting rules of a large program takes a millisecond; reading the kernel's counters is the dear part.
 */
import type { FilterProgram } from '../../felix/dataplane/filter/program.ts';
import type { DenialView } from '../control-api.ts';
import type { Felix } from '../felix.ts';
import type { PacketFilter } from '../filter/packet-filter.ts';
import type { ResourceFeed } from '../resource-feed.ts';
import type { FelixNumbers } from './felix-metrics.ts';

/** A page has to stay a page: those with the most packets. */
const DENIED_MAX = 1_000;

export function felixNumbers(parts: {
  readonly felix: Felix;
  readonly feed: ResourceFeed;
  readonly filter: PacketFilter;
  readonly denials: readonly DenialView[];
}): FelixNumbers {
  const { felix, feed, filter, denials } = parts;
  const sets = [...filter.program.sets.values()];
  const state = felix.storeState();
  return {
    endpoints: felix.endpoints().length,
    policies: filter.policies.size,
    selectors: new Set(sets.map(({ set }) => set)).size,
    cluster: feed.clusterNumbers(),
    labelIndex: felix.calculation.labelNumbers(),
    updates: feed.updates,
    store: state.ready ? 'in sync' : feed.resyncs === 0 ? 'not read' : 'away',
    resyncs: feed.resyncs,
    passes: felix.work,
    filter: { kind: filter.backendKind, tables: tablesOf(filter.program), sets: sets.length, ...filter.work },
    denied: deniedBy(denials).slice(0, DENIED_MAX),
  };
}

function tablesOf({ chains }: FilterProgram): FelixNumbers['filter']['tables'] {
  const tables = new Map<string, { chains: number; rules: number }>();
  for (const { table, rules } of chains.values()) {
    const before = tables.get(table) ?? { chains: 0, rules: 0 };
    tables.set(table, { chains: before.chains + 1, rules: before.rules + rules.length });
  }
  return [...tables].map(([table, counted]) => ({ table, ...counted }));
}

/** `denials` are in order of their packets. */
export function deniedBy(denials: readonly DenialView[]): FelixNumbers['denied'][number][] {
  const denied = new Map<string, FelixNumbers['denied'][number]>();
  for (const { owner, packets } of denials) {
    const policy = owner.kind === 'policy' ? owner.name : `${owner.kind} ${owner.name}`.trim();
    const labels = { tier: owner.tier ?? '', policy, direction: owner.direction ?? '' };
    const key = JSON.stringify(labels);
    denied.set(key, { ...labels, packets: (denied.get(key)?.packets ?? 0) + packets });
  }
  return [...denied.values()];
}
