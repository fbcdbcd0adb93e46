/**
 * The packet filter in force: the program that the endpoints ask for, kept equal to what the kernel has.
 *
 * The table is listed only when there is reason to distrust it (at start, at each full reading, after a failure); between,
 * what was last applied is taken to be there. Each change is one nftables transaction: it happens whole or not at all.
 * While the last try has failed the filter is not in force, and Felix brings no device up.
 */
import { buildFilterProgram } from '../felix/dataplane/filter/build.ts';
import type { Refusal } from '../felix/dataplane/filter/program.ts';
import type { FilterPlan } from '../felix/dataplane/nftables/difference.ts';
import { ListingUnreadable } from '../felix/dataplane/nftables/parse.ts';
import { planFilter, planFilterAfter } from '../felix/dataplane/nftables/plan.ts';
import { NFT_TABLE } from '../felix/dataplane/nftables/print.ts';
import type { DesiredEndpoint } from '../felix/desired/desired.ts';
import { KernelError } from '../kernel/kernel.ts';
import type { Nft } from '../kernel/nft.ts';
import type { Log } from '../lib/log.ts';

export class PacketFilter {
  readonly #nft: Nft;
  readonly #log: Log;
  #program = buildFilterProgram([]);
  /** The plan that was carried out last, while nothing gives reason to doubt that it holds. */
  #last: FilterPlan | undefined;
  #dirty = true;
  #error: string | undefined;

  constructor(nft: Nft, log: Log) {
    this.#nft = nft;
    this.#log = log;
  }

  /** Whether the kernel has exactly the rules that were asked for last. */
  get inForce(): boolean {
    return !this.#dirty;
  }

  /** Why it is not in force, after a try has failed. */
  get error(): string | undefined {
    return this.#error;
  }

  setEndpoints(endpoints: readonly DesiredEndpoint[]): void {
    this.#program = buildFilterProgram(endpoints);
    this.#dirty = true;
    for (const { endpointId, reason } of this.#program.refusals) {
      this.#log.warn('endpoint gets no rules, so its packets are dropped', { endpoint: endpointId, reason });
    }
  }

  /** Endpoints that get no rules. */
  refusals(): readonly Refusal[] {
    return this.#program.refusals;
  }

  /** Why an endpoint gets no rules; undefined when it does. */
  refusal(endpointId: string): string | undefined {
    return this.#program.refusals.find((refusal) => refusal.endpointId === endpointId)?.reason;
  }

  /** Somebody may have changed the table: list it before the next plan. */
  distrust(): void {
    this.#last = undefined;
    this.#dirty = true;
  }

  /** Brings the kernel's rules up to date; a refusal is kept in `error` and tried again by the next call. */
  apply(): void {
    if (!this.#dirty) return;
    try {
      const plan = this.#last === undefined ? this.#planAnew() : planFilterAfter(this.#last, this.#program);
      this.#nft.run(plan.script);
      if (plan.changes > 0) this.#log.debug('packet filter changed', { changes: plan.changes });
      this.#last = plan;
      this.#dirty = false;
      this.#error = undefined;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#last = undefined;
      if (this.#error !== error.message) this.#log.error('packet filter not applied', { error: error.message });
      this.#error = error.message;
    }
  }

  /** A table that makes no sense is treated like none: it is made anew. */
  #planAnew(): FilterPlan {
    try {
      return planFilter(this.#program, this.#nft.listTable(NFT_TABLE));
    } catch (error) {
      if (!(error instanceof ListingUnreadable)) throw error;
      this.#log.warn('packet filter cannot be read, making it anew', { error: error.message });
      return planFilter(this.#program, undefined);
    }
  }

  close(): void {
    this.#nft.close();
  }
}
