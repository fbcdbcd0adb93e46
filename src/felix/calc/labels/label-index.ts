/**
 * Which selectors choose which items, kept true while both change.
 *
 * An item's labels are its own and those of its parents (profiles): its own win, then the first parent's. Each selector is
 * filed under something that it requires (selector-requirement.ts): a label's value, a label's presence, or nothing. So
 * a change of an item asks only the selectors filed under what it had or has, and of these only those that ask for a label
 * that changed; a new selector asks only the items that have what it requires. The listener hears of transitions, each once;
 * it must not call back into the index.
 *
 * Invariant: a selector's `items` are exactly the items whose labels it matches, whatever the order of the calls. Only
 * the place where a selector is filed, hence the cost, depends on what was known when it came.
 */
import type { Labels, Selector } from '../../../model/selector.ts';
import { matches } from '../../../model/selector.ts';
import type { Requirement } from './selector-requirement.ts';
import { labelsAskedFor, requirementsOf } from './selector-requirement.ts';

/** What selectors choose among. */
export interface Labelled {
  readonly labels: Labels;
  /** Names of profiles whose labels it inherits: own labels win, then the first parent's. */
  readonly parents: readonly string[];
}

export interface LabelListener {
  /** The selector chooses the item from now on. */
  started(selector: string, item: string): void;
  stopped(selector: string, item: string): void;
}

interface Item {
  readonly id: string;
  own: Labelled;
  /** With what it inherits; the own ones themselves where that is nothing. */
  labels: Labels;
}

interface FiledSelector {
  readonly id: string;
  readonly selector: Selector;
  /** Undefined: nothing is required, so that it is filed under no label. */
  readonly requirement: Requirement | undefined;
  readonly asksFor: ReadonlySet<string>;
  readonly items: Set<Item>;
}

/** Who has a label's value, and the selectors that are filed under it. */
interface ValueEntry {
  readonly items: Set<Item>;
  readonly selectors: Set<FiledSelector>;
}

interface LabelEntry {
  readonly values: Map<string, ValueEntry>;
  /** Selectors that need the label, whatever its value. */
  readonly selectors: Set<FiledSelector>;
  /** Selectors that ask for the label and require nothing. */
  readonly unfiled: Set<FiledSelector>;
}

export class LabelIndex {
  readonly #listener: LabelListener;
  readonly #items = new Map<string, Item>();
  readonly #selectors = new Map<string, FiledSelector>();
  readonly #labels = new Map<string, LabelEntry>();
  /** Selectors that require nothing. */
  readonly #unfiled = new Set<FiledSelector>();
  readonly #parents = new Map<string, Labels>();
  readonly #children = new Map<string, Set<Item>>();

  constructor(listener: LabelListener) {
    this.#listener = listener;
  }

  /** Adds or replaces a selector; undefined removes it, and it stops choosing whatever it chose. */
  setSelector(id: string, selector: Selector | undefined): void {
    const old = this.#selectors.get(id);
    if (old !== undefined) this.#unfile(old);
    const filed = selector === undefined ? undefined : this.#file(id, selector);
    const before = old?.items ?? new Set();
    const after = filed?.items ?? new Set();
    for (const item of before) if (!after.has(item)) this.#listener.stopped(id, item.id);
    for (const item of after) if (!before.has(item)) this.#listener.started(id, item.id);
  }

  /** Adds or replaces an item; undefined removes it, and nothing chooses it any more. */
  setItem(id: string, own: Labelled | undefined): void {
    const known = this.#items.get(id);
    if (own === undefined) {
      if (known !== undefined) this.#removeItem(known);
      return;
    }
    const item = known ?? { id, own, labels: this.#labelsOf(own) };
    if (known !== undefined) this.#leaveParents(known);
    item.own = own;
    for (const parent of own.parents) setIn(this.#children, parent).add(item);
    if (known === undefined) this.#addItem(item);
    else this.#relabel(item, this.#labelsOf(own));
  }

  /** What a parent hands down; undefined when there is none of that name (any more). */
  setParent(name: string, labels: Labels | undefined): void {
    if (labels === undefined) this.#parents.delete(name);
    else this.#parents.set(name, labels);
    for (const item of this.#children.get(name) ?? []) this.#relabel(item, this.#labelsOf(item.own));
  }

  /** The selectors that choose the item, in no order. */
  matching(id: string): string[] {
    const item = this.#items.get(id);
    if (item === undefined) return [];
    const candidates = new Set(this.#candidates(item.labels));
    return [...candidates].filter(({ items }) => items.has(item)).map((filed) => filed.id);
  }

  #labelsOf({ labels, parents }: Labelled): Labels {
    const inherited = parents.map((parent) => this.#parents.get(parent)).filter((found) => found !== undefined);
    if (inherited.length === 0) return labels;
    const all: Record<string, string> = { ...labels };
    for (const parent of inherited) {
      for (const [label, value] of Object.entries(parent)) if (!Object.hasOwn(all, label)) all[label] = value;
    }
    return all;
  }

  #addItem(item: Item): void {
    this.#items.set(item.id, item);
    for (const [label, value] of Object.entries(item.labels)) this.#valueEntry(label, value).items.add(item);
    for (const filed of this.#candidates(item.labels)) this.#ask(filed, item);
  }

  #removeItem(item: Item): void {
    for (const filed of this.#candidates(item.labels)) {
      if (filed.items.delete(item)) this.#listener.stopped(filed.id, item.id);
    }
    this.#leaveParents(item);
    for (const [label, value] of Object.entries(item.labels)) this.#leaveValue(item, label, value);
    this.#items.delete(item.id);
  }

  #leaveParents(item: Item): void {
    for (const parent of item.own.parents) {
      const children = this.#children.get(parent);
      children?.delete(item);
      if (children?.size === 0) this.#children.delete(parent);
    }
  }

  /** Gives an item labels, and asks again the selectors that this may concern. */
  #relabel(item: Item, labels: Labels): void {
    const before = item.labels;
    const left = Object.entries(before).filter(([label, value]) => valueAt(labels, label) !== value);
    const gained = Object.entries(labels).filter(([label, value]) => valueAt(before, label) !== value);
    item.labels = labels;
    for (const [label, value] of gained) this.#valueEntry(label, value).items.add(item);
    const changed = new Set([...left, ...gained].map(([label]) => label));
    for (const label of changed) {
      for (const filed of this.#labels.get(label)?.unfiled ?? []) this.#ask(filed, item);
    }
    for (const pairs of [Object.entries(before), gained]) {
      for (const filed of this.#filedUnder(pairs)) if (asksForOne(filed, changed)) this.#ask(filed, item);
    }
    for (const [label, value] of left) this.#leaveValue(item, label, value);
  }

  #ask(filed: FiledSelector, item: Item): void {
    const chosen = matches(filed.selector, item.labels);
    if (chosen === filed.items.has(item)) return;
    if (chosen) {
      filed.items.add(item);
      this.#listener.started(filed.id, item.id);
    } else {
      filed.items.delete(item);
      this.#listener.stopped(filed.id, item.id);
    }
  }

  /** All selectors that can match these labels; some may come twice. */
  *#candidates(labels: Labels): Iterable<FiledSelector> {
    yield* this.#unfiled;
    yield* this.#filedUnder(Object.entries(labels));
  }

  *#filedUnder(pairs: readonly (readonly [label: string, value: string])[]): Iterable<FiledSelector> {
    for (const [label, value] of pairs) {
      const entry = this.#labels.get(label);
      if (entry === undefined) continue;
      yield* entry.selectors;
      yield* entry.values.get(value)?.selectors ?? [];
    }
  }

  #file(id: string, selector: Selector): FiledSelector {
    const requirement = this.#cheapest(requirementsOf(selector));
    const filed: FiledSelector = { id, selector, requirement, asksFor: labelsAskedFor(selector), items: new Set() };
    this.#selectors.set(id, filed);
    if (requirement === undefined) {
      this.#unfiled.add(filed);
      for (const label of filed.asksFor) this.#labelEntry(label).unfiled.add(filed);
    }
    for (const { label, value } of requirement ?? []) {
      if (value === undefined) this.#labelEntry(label).selectors.add(filed);
      else this.#valueEntry(label, value).selectors.add(filed);
    }
    for (const item of this.#having(requirement)) if (matches(selector, item.labels)) filed.items.add(item);
    return filed;
  }

  #unfile(filed: FiledSelector): void {
    this.#selectors.delete(filed.id);
    this.#unfiled.delete(filed);
    for (const { label, value } of filed.requirement ?? []) {
      const entry = this.#labels.get(label);
      if (value === undefined) entry?.selectors.delete(filed);
      else entry?.values.get(value)?.selectors.delete(filed);
      this.#dropIfEmpty(label, value);
    }
    for (const label of filed.asksFor) {
      this.#labels.get(label)?.unfiled.delete(filed);
      this.#dropIfEmpty(label, undefined);
    }
  }

  /** Those that fulfil the requirement; some may come twice. */
  *#having(requirement: Requirement | undefined): Iterable<Item> {
    if (requirement === undefined) yield* this.#items.values();
    for (const { label, value } of requirement ?? []) {
      const entry = this.#labels.get(label);
      if (entry === undefined) continue;
      if (value !== undefined) yield* entry.values.get(value)?.items ?? [];
      else for (const { items } of entry.values.values()) yield* items;
    }
  }

  /**
   * The requirement that the fewest items fulfil, and of those the one under which the fewest selectors are filed: where
   * selectors come first, what many of them name is likely to be what many items have.
   */
  #cheapest(requirements: readonly Requirement[]): Requirement | undefined {
    const weighed = requirements.map((requirement) => ({ requirement, ...this.#weigh(requirement) }));
    return weighed.toSorted((a, b) => a.items - b.items || a.selectors - b.selectors)[0]?.requirement;
  }

  #weigh(requirement: Requirement): { readonly items: number; readonly selectors: number } {
    let [items, selectors] = [0, 0];
    for (const { label, value } of requirement) {
      const entry = this.#labels.get(label);
      if (entry === undefined) continue;
      const entries = value === undefined ? entry.values.values() : [entry.values.get(value)];
      for (const at of entries) items += at?.items.size ?? 0;
      selectors += value === undefined ? entry.selectors.size : (entry.values.get(value)?.selectors.size ?? 0);
    }
    return { items, selectors };
  }

  #labelEntry(label: string): LabelEntry {
    const known = this.#labels.get(label);
    if (known !== undefined) return known;
    const entry: LabelEntry = { values: new Map(), selectors: new Set(), unfiled: new Set() };
    this.#labels.set(label, entry);
    return entry;
  }

  #valueEntry(label: string, value: string): ValueEntry {
    const { values } = this.#labelEntry(label);
    const known = values.get(value);
    if (known !== undefined) return known;
    const entry: ValueEntry = { items: new Set(), selectors: new Set() };
    values.set(value, entry);
    return entry;
  }

  #leaveValue(item: Item, label: string, value: string): void {
    this.#labels.get(label)?.values.get(value)?.items.delete(item);
    this.#dropIfEmpty(label, value);
  }

  /** Forgets a value that no item has and no selector needs, and a label of which nothing is left. */
  #dropIfEmpty(label: string, value: string | undefined): void {
    const entry = this.#labels.get(label);
    if (entry === undefined) return;
    const { values, selectors, unfiled } = entry;
    const at = value === undefined ? undefined : values.get(value);
    if (value !== undefined && at?.items.size === 0 && at.selectors.size === 0) values.delete(value);
    if (values.size === 0 && selectors.size === 0 && unfiled.size === 0) this.#labels.delete(label);
  }
}

function asksForOne({ asksFor }: FiledSelector, labels: ReadonlySet<string>): boolean {
  for (const label of labels) if (asksFor.has(label)) return true;
  return false;
}

/** Labels may be named like members of Object.prototype. */
function valueAt(labels: Labels, label: string): string | undefined {
  return Object.hasOwn(labels, label) ? labels[label] : undefined;
}

function setIn<Key, Value>(map: Map<Key, Set<Value>>, key: Key): Set<Value> {
  const known = map.get(key);
  if (known !== undefined) return known;
  const set = new Set<Value>();
  map.set(key, set);
  return set;
}
