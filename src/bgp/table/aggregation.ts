/**
 * Aggregates: one prefix announced for the more specific ones that we have.
 *
 * An aggregate is there as long as at least one more specific prefix is in the Loc-RIB, so that it vanishes with what it
 * stands for. Packets that none of these takes are to be discarded, or two routers would hand them to and fro.
 *
 * RFC 4271 section 9.2.2.2, RFC 1930; where the parts came from other ASes, ATOMIC_AGGREGATE and AGGREGATOR say so.
 */
import type { Cidr } from '../../net/cidr.ts';
import { containsCidr } from '../../net/cidr.ts';
import type { Aggregate } from '../peer-config.ts';

interface Active {
  readonly aggregate: Aggregate;
  parts: number;
}

export class Aggregation {
  #active: Active[] = [];

  get isEmpty(): boolean {
    return this.#active.length === 0;
  }

  /** Takes other aggregates; `present` are the prefixes that are in the Loc-RIB now. */
  configure(aggregates: readonly Aggregate[], present: Iterable<Cidr>): void {
    this.#active = aggregates.map((aggregate) => ({ aggregate, parts: 0 }));
    if (this.#active.length === 0) return;
    for (const prefix of present) this.note(prefix, 1);
  }

  /** A prefix has come to the Loc-RIB (1), or has left it (-1). */
  note(prefix: Cidr, by: 1 | -1): void {
    for (const active of this.#active) if (isPart(prefix, active.aggregate)) active.parts += by;
  }

  /** The aggregates that stand for something. */
  present(): Cidr[] {
    return this.#active.filter(({ parts }) => parts > 0).map(({ aggregate }) => aggregate.prefix);
  }
}

/** Whether members of a group are not told of a prefix, because an aggregate stands for it. */
export function isSummarised(prefix: Cidr, aggregates: readonly Aggregate[]): boolean {
  return aggregates.some((aggregate) => aggregate.summaryOnly && isPart(prefix, aggregate));
}

function isPart(prefix: Cidr, { prefix: whole }: Aggregate): boolean {
  return prefix.length > whole.length && containsCidr(whole, prefix);
}
