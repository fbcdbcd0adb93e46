/**
 * How often the rules of a program were met, from a listing of the table or of one chain with its counters.
 *
 * A rule is found by its hash, so the counts of a chain that somebody has changed meanwhile are those of the rules that are
 * still ours. A rule that is two nft rules counts what both have met. Used for "never hit" and for `muslin endpoint describe`.
 */
import type { Chain } from '../filter/program.ts';
import type { JsonObject } from './listing.ts';
import { hashIn, isObject, itemsOf, text } from './listing.ts';
import { nftChainName } from './names.ts';
import { chainHashes, nftRuleCounts } from './print.ts';

export interface RuleCount {
  readonly packets: number;
  readonly bytes: number;
}

/** By nft's name of the chain and the rule's hash. */
export type ListedCounts = ReadonlyMap<string, ReadonlyMap<string, RuleCount>>;

const NOTHING: RuleCount = { packets: 0, bytes: 0 };

/** Reads the JSON of a listing with counters; no listing is no counts. Throws ListingUnreadable. */
export function readCounts(listed: unknown): ListedCounts {
  const chains = new Map<string, Map<string, RuleCount>>();
  if (listed === undefined) return chains;
  for (const [kind, body] of itemsOf(listed)) {
    if (kind !== 'rule') continue;
    const name = text(body['chain']);
    const counts = chains.get(name) ?? new Map<string, RuleCount>();
    chains.set(name, counts.set(hashIn(body), counterOf(body)));
  }
  return chains;
}

/** The counts of a chain's `rules`, then of its `hookRules`, in their order; zero for those that are not there. */
export function ruleCounts(chain: Chain, listed: ListedCounts): readonly RuleCount[] {
  const counts = listed.get(nftChainName(chain));
  const hashes = chainHashes(chain);
  let next = 0;
  return nftRuleCounts(chain).map((length) => {
    const own = hashes.slice(next, next + length).map((hash) => counts?.get(hash) ?? NOTHING);
    next += length;
    return own.reduce(
      (sum, { packets, bytes }) => ({ packets: sum.packets + packets, bytes: sum.bytes + bytes }),
      NOTHING,
    );
  });
}

function counterOf(rule: JsonObject): RuleCount {
  const expressions = Array.isArray(rule['expr']) ? rule['expr'] : [];
  for (const expression of expressions) {
    const counter = isObject(expression) ? expression['counter'] : undefined;
    if (isObject(counter)) return { packets: Number(counter['packets']), bytes: Number(counter['bytes']) };
  }
  return NOTHING;
}
