/**
 * The packet filter in iptables and ipset: chains "cali-…" in the kernel's tables, sets "cali40…" and "cali60…".
 *
 * A change is several inputs, one after the other: sets, then each family's tables, each a transaction, then what sets lose.
 * The order is such that no packet is let through in between that neither the old nor the new program would let through.
 */
import type { ChainKey, FilterProgram, ProgramChanges } from '../../felix/dataplane/filter/program.ts';
import { chainKey } from '../../felix/dataplane/filter/program.ts';
import type { IptablesListing } from '../../felix/dataplane/iptables/plan.ts';
import { IptablesPlanner, removalPlan } from '../../felix/dataplane/iptables/plan.ts';
import { SaveUnreadable } from '../../felix/dataplane/iptables/save.ts';
import type { Iptables } from '../../kernel/iptables.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { FilterBackend, RuleCount } from './filter-backend.ts';

const FAMILIES = [4, 6] as const;

/** Takes `iptables` over. */
export function iptablesBackend(iptables: Iptables, insertMode: 'insert' | 'append'): FilterBackend {
  const planner = new IptablesPlanner({ families: FAMILIES, insertMode });
  const listing = (): IptablesListing => ({
    rules: { 4: iptables.save(4), 6: iptables.save(6) },
    sets: iptables.saveSets(),
  });
  const apply = (program: FilterProgram, changes: ProgramChanges | undefined): number => {
    try {
      const plan = planner.plan(program, changes, changes === undefined ? listing() : undefined);
      iptables.run(plan.steps);
      planner.applied();
      return plan.changes;
    } catch (error) {
      planner.failed();
      throw worldError(error);
    }
  };
  return {
    identity: `iptables-${iptables.variant}`,
    title: `iptables, ${iptables.variant} variant (${iptables.version})`,
    apply,
    isWatched: () => false,
    warnings: () => [], // an accept of ours ends the kernel's chain, so no policy of it is asked
    counts: (program, keys) => countsOf(planner, iptables, program, keys),
    watch: () => undefined, // the old interface tells nobody, and the tables are shared with everybody
    remove: (inForce) => {
      try {
        const there = listing();
        // Both variants use the same sets.
        const sets = inForce.startsWith('iptables-') ? '' : there.sets;
        iptables.run(removalPlan({ ...there, sets }).steps);
      } catch (error) {
        throw worldError(error);
      }
    },
    close: () => iptables.close(),
  };
}

/** Both families together. */
function countsOf(
  planner: IptablesPlanner,
  iptables: Iptables,
  program: FilterProgram,
  keys: ReadonlySet<ChainKey> | undefined,
): Map<ChainKey, readonly RuleCount[]> {
  const counted = new Map<unknown, { packets: number; bytes: number }>();
  for (const family of FAMILIES) {
    for (const { rule, packets, bytes } of planner.countedRules(family, iptables.saveWithCounters(family))) {
      const before = counted.get(rule) ?? { packets: 0, bytes: 0 };
      counted.set(rule, { packets: before.packets + packets, bytes: before.bytes + bytes });
    }
  }
  const chains = [...program.chains.values()].filter((chain) => keys?.has(chainKey(chain)) ?? true);
  return new Map(
    chains.map((chain) => [chainKey(chain), chain.rules.map((rule) => counted.get(rule) ?? { packets: 0, bytes: 0 })]),
  );
}

/** A listing that makes no sense is a fault of the programs that print it. */
function worldError(error: unknown): unknown {
  return error instanceof SaveUnreadable ? new KernelError('EPROTO', error.message) : error;
}
