/**
 * Edits of a packet filter's table that the kernel can be told directly, as values: chains, members of sets, dispatches.
 *
 * What a container brings with it is of this kind: two chains of plain rules, an entry in each dispatch map, an address in
 * some sets. A plain rule asks for a protocol, the state of a connection or bits of the mark, and counts, logs, marks or
 * decides. All edits of a value are one transaction, in the order of its fields.
 * The contract between felix/dataplane/nftables, which says what changes, and kernel/nft-edits.ts, which carries it out.
 */
import type { SetElementsChange } from './set-element.ts';

export interface TableEdits {
  /** Chains without a hook, made where they are not there; their rules replace what is in them. */
  readonly chains: readonly ChainEdit[];
  /** Of sets that are there. */
  readonly members: readonly SetElementsChange[];
  readonly dispatches: readonly DispatchEdit[];
  /** Chains that nothing leads to any more, but for one another. */
  readonly staleChains: readonly string[];
}

export const NO_EDITS: TableEdits = { chains: [], members: [], dispatches: [], staleChains: [] };

export interface ChainEdit {
  /** Its name in the kernel, as all names here. */
  readonly name: string;
  readonly rules: readonly PlainRule[];
}

export interface PlainRule {
  readonly parts: readonly RulePart[];
  /** At most 127 bytes of ASCII. */
  readonly comment: string;
}

/** A packet goes through a rule's parts in order, and leaves it at the first question whose answer is no. */
export type RulePart =
  /** `protocol` is IP's number. */
  | { readonly kind: 'protocol'; readonly protocol: number; readonly is: boolean }
  /** Whether any of these bits of the connection's state is set. */
  | { readonly kind: 'conntrack'; readonly states: number; readonly is: boolean }
  /** Whether these bits of the mark have this value. */
  | { readonly kind: 'mark'; readonly bits: number; readonly value: number }
  | { readonly kind: 'counter' }
  /** Keeps these bits of the mark, then sets those. */
  | { readonly kind: 'setMark'; readonly keep: number; readonly set: number }
  | { readonly kind: 'log'; readonly group: number; readonly prefix: string; readonly bytes: number }
  | { readonly kind: 'verdict'; readonly verdict: 'accept' | 'drop' | 'return' }
  | { readonly kind: 'jump' | 'goto'; readonly chain: string };

/** In a map from the names of devices to chains to go to. */
export interface DispatchEdit {
  readonly map: string;
  readonly removed: readonly string[];
  /** Device and chain. */
  readonly added: readonly (readonly [device: string, chain: string])[];
}

/** How many things are made, filled, added or removed. */
export function countOfEdits({ chains, members, dispatches, staleChains }: TableEdits): number {
  const inside = [...members, ...dispatches].reduce(
    (sum, { removed, added }) => sum + removed.length + added.length,
    0,
  );
  return chains.length + staleChains.length + inside;
}
