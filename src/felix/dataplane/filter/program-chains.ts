/**
 * The chains of a program as they come and go, and what has become of them since it was last asked.
 *
 * Chains have owners ("static", a device, the host's endpoints), each of which puts all of its chains at once; those of
 * policies, groups and profiles have none: they are there as long as a chain jumps to them. So a policy that no
 * endpoint here needs costs the kernel nothing, and none is lacking. A chain that is put again with the same contents
 * stays the very chain that it was, and is no change.
 */
import { isDerivedName } from './chain-names.ts';
import type { Chain, ChainKey } from './program.ts';
import { chainKey } from './program.ts';
import { sameValue } from './same-value.ts';

export class ProgramChains {
  readonly #chains = new Map<ChainKey, Chain>();
  readonly #owned = new Map<string, readonly ChainKey[]>();
  /** How many rules lead to a derived chain. */
  readonly #references = new Map<ChainKey, number>();
  /** Derived chains whose first reference came or whose last one went, to be looked at by `settle`. */
  readonly #unsettled = new Set<ChainKey>();
  /** What was there when changes were last taken. */
  readonly #told = new Map<ChainKey, Chain | undefined>();

  get chains(): ReadonlyMap<ChainKey, Chain> {
    return this.#chains;
  }

  /** All chains of that owner, instead of those that it had. */
  replaceOwned(owner: string, chains: readonly Chain[]): void {
    const before = this.#owned.get(owner) ?? [];
    const keys = new Set(chains.map(chainKey));
    for (const chain of chains) this.#put(chainKey(chain), chain);
    for (const key of before) if (!keys.has(key)) this.#put(key, undefined);
    if (chains.length === 0) this.#owned.delete(owner);
    else this.#owned.set(owner, [...keys]);
  }

  /** A derived chain that is there, made again. */
  replaceDerived(chain: Chain): void {
    if (this.#chains.has(chainKey(chain))) this.#put(chainKey(chain), chain);
  }

  /** Makes the derived chains that are jumped to, and takes away those that are not any more, whose names it returns. */
  settle(derive: (key: ChainKey) => Chain): ReadonlySet<string> {
    const gone = new Set<string>();
    for (const key of this.#unsettled) {
      // Making or removing one may unsettle others, which then come later in this very loop.
      this.#unsettled.delete(key);
      const chain = this.#chains.get(key);
      if (this.#references.has(key)) {
        if (chain === undefined) this.#put(key, derive(key));
      } else if (chain !== undefined) {
        this.#put(key, undefined);
        gone.add(chain.name);
      }
    }
    return gone;
  }

  /** What differs since it was last asked; undefined: gone. */
  takeChanges(): Map<ChainKey, Chain | undefined> {
    const changes = new Map<ChainKey, Chain | undefined>();
    for (const [key, told] of this.#told) {
      const now = this.#chains.get(key);
      if (now !== told) changes.set(key, now);
    }
    this.#told.clear();
    return changes;
  }

  #put(key: ChainKey, chain: Chain | undefined): void {
    const before = this.#chains.get(key);
    if (sameValue(before, chain)) return;
    if (!this.#told.has(key)) this.#told.set(key, before);
    if (chain === undefined) this.#chains.delete(key);
    else this.#chains.set(key, chain);
    if (chain !== undefined) for (const target of derivedTargets(chain)) this.#count(target, 1);
    if (before !== undefined) for (const target of derivedTargets(before)) this.#count(target, -1);
  }

  #count(key: ChainKey, difference: 1 | -1): void {
    const before = this.#references.get(key) ?? 0;
    const now = before + difference;
    if (now === 0) this.#references.delete(key);
    else this.#references.set(key, now);
    if (before === 0 || now === 0) this.#unsettled.add(key);
  }
}

/** A rule leads to chains of its own table alone. */
function derivedTargets({ table, rules, hookRules = [] }: Chain): ChainKey[] {
  return [...rules, ...hookRules].flatMap(({ action }) =>
    (action.kind === 'jump' || action.kind === 'goto') && isDerivedName(action.chain)
      ? [chainKey({ table, name: action.chain })]
      : [],
  );
}
