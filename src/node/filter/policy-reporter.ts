/**
 * The loop that keeps this node's policy report in the store up to date.
 *
 * A change of what is in force is told within a second of it, and then no more for ten. What rules have met is counted once in
 * `reportingInterval` of FelixConfiguration, and told if anything was; 0 switches reports off. A node on which nothing
 * happens writes nothing. A store that is away is tried again: the report is made from what is true by then.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Instant } from '../../lib/clock.ts';
import { instant, monotonicNow, wallClockNow } from '../../lib/clock.ts';
import { sameJson } from '../../lib/json.ts';
import type { Log } from '../../lib/log.ts';
import type { Json, Store } from '../../store/store.ts';
import { STATUS_PREFIX } from '../../store/store.ts';
import type { PolicyView } from '../control-api.ts';
import type { PolicyReport } from './policy-report.ts';
import { policyReport, standing } from './policy-report.ts';

export interface ReporterOptions {
  readonly store: Store;
  readonly node: string;
  /** Undefined while there is nothing to report: the store has not been read yet. Counters are read only for `withHits`. */
  readonly views: (withHits: boolean) => readonly PolicyView[] | undefined;
  /** Rules that are left out, by policy. */
  readonly leftOut: () => ReadonlyMap<string, readonly string[]>;
  readonly intervalMs: () => number;
  readonly log: Log;
}

/** How soon a change is seen; looking costs some microseconds for each policy. */
const LOOK_MS = 1_000;
/** A thousand nodes that all change write a hundred times a second. */
const SPACING_MS = 10_000;

export class PolicyReporter {
  readonly #options: ReporterOptions;
  #last: PolicyReport | undefined;
  #writtenAt: Instant | undefined;
  #countedAt = instant(0);

  constructor(options: ReporterOptions) {
    this.#options = options;
  }

  /** Resolves after `signal` has aborted. The report stays where it is: the next process goes on from it. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.look(monotonicNow());
      await pause(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  /** Writes a report if it is time for one. */
  async look(now: Instant): Promise<void> {
    const { store, node, intervalMs, log } = this.#options;
    if (intervalMs() === 0) return;
    if (this.#writtenAt !== undefined && now - this.#writtenAt < SPACING_MS) return;
    const state = this.#report(false);
    if (state === undefined) return;
    const differs = this.#last === undefined || !sameJson(standing(state), standing(this.#last));
    if (!differs && now - this.#countedAt < intervalMs()) return;
    const report = this.#report(true) ?? state;
    this.#countedAt = now;
    if (!differs && sameJson(report.policies, this.#last?.policies)) return;
    this.#writtenAt = now;
    try {
      const value = report as unknown as Json; // a report is JSON; its interface has no index signature
      await store.transact({ expect: [], writes: [{ kind: 'put', key: `${STATUS_PREFIX}${node}`, value }] });
      this.#last = report;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      log.warn('policy report not written, trying again', { reason });
    }
  }

  #report(withHits: boolean): PolicyReport | undefined {
    const { node, views, leftOut } = this.#options;
    const seen = views(withHits);
    if (seen === undefined) return undefined;
    const at = new Date(wallClockNow()).toISOString();
    return policyReport({ node, pid: process.pid, at }, seen, leftOut());
  }
}
