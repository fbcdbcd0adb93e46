/**
 * Several reasons for one thing: which of them holds.
 *
 * A destination can be wanted for more than one reason at once: a container's address that BGP also announces, a block of
 * our own that a peer claims too. Each reason is a candidate with a rank; the lowest rank is in force, the others wait.
 * Because all candidates are kept, the result depends on what is true now and never on the order in which it came.
 *
 * Invariant: `changed` holds the keys whose winner may differ from what was last taken.
 */
export class Candidates<Value> {
  readonly #byKey = new Map<string, Map<string, { readonly rank: number; readonly value: Value }>>();
  readonly #changed = new Set<string>();

  /** Sets what `source` wants under `key`; undefined withdraws it. Between equal ranks the smaller source text wins. */
  set(key: string, source: string, rank: number, value: Value | undefined): void {
    const candidates = this.#byKey.get(key) ?? new Map();
    if (value === undefined) candidates.delete(source);
    else candidates.set(source, { rank, value });
    if (candidates.size === 0) this.#byKey.delete(key);
    else this.#byKey.set(key, candidates);
    this.#changed.add(key);
  }

  winner(key: string): Value | undefined {
    let best: { rank: number; source: string; value: Value } | undefined;
    for (const [source, { rank, value }] of this.#byKey.get(key) ?? []) {
      if (best === undefined || rank < best.rank || (rank === best.rank && source < best.source)) {
        best = { rank, source, value };
      }
    }
    return best?.value;
  }

  /** The winners of all keys that changed since the last call. */
  takeChanges(): Map<string, Value | undefined> {
    const changes = new Map([...this.#changed].map((key) => [key, this.winner(key)] as const));
    this.#changed.clear();
    return changes;
  }
}
