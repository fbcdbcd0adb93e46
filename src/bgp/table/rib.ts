/**
 * The routes of one family: for each prefix the paths to it, from every source, and which prefixes have changed.
 *
 * The Adj-RIBs-In and the Loc-RIB in one: a path is a row of columns (which prefix, which source, the attributes as they
 * came, the attributes after the import policy), and the paths of a prefix are a list. Changes only mark their prefix;
 * whoever settles decides once for each marked prefix, however often it changed, so that what follows depends on the
 * routes that there are and not on the order in which they came.
 * `exported` is the set that was best when the prefix was last settled: what peers have been told, each in its own way.
 */
import { IntTable } from '../../lib/int-table.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import type { AttributeSet, AttributeSets } from './attribute-sets.ts';
import type { Candidate } from './decide.ts';
import { PrefixTable, ROWS_DEFAULT } from './prefix-table.ts';

const NONE = -1;

/**
 * Fields of a prefix: its first path, with 1 added (0 is none), and the set that was exported, likewise, doubled, with 1 added
 * while the prefix is marked.
 */
const ROW = { head: 0, exported: 1, fields: 2 } as const;
/** Fields of a path; the prefix is -1 for a path that is free, sets are -1 for none; the slot is followed by the flags. */
const PATH = { next: 0, prefix: 1, slotAndFlags: 2, received: 3, accepted: 4, fields: 5 } as const;
const MARK = 1;
const FLAG_BITS = 2;
const FLAG_MASK = (1 << FLAG_BITS) - 1;

/** Kept while the peer restarts gracefully (RFC 4724), or not said again since a refresh has begun (RFC 7313). */
export const PATH_FLAG = { stale: 1, refreshing: 2 } as const;

/** How many paths a source has, how many of them its policy let through, and how many are stale. */
export interface PathCounts {
  received: number;
  accepted: number;
  stale: number;
}

export class Rib {
  readonly family: Family;
  readonly prefixes: PrefixTable;
  readonly #sets: AttributeSets;

  readonly #rows: IntTable;
  #marked: number[] = [];
  readonly #table: IntTable;
  /** By path; undefined as long as no path has an identifier. */
  #pathIds: IntTable | undefined;
  readonly #freePaths: number[] = [];
  #paths = 0;
  readonly #counts: (PathCounts | undefined)[] = [];

  /** `rows` is how many prefixes and paths there is room for from the start. */
  constructor(family: Family, sets: AttributeSets, rows = ROWS_DEFAULT) {
    this.family = family;
    this.prefixes = new PrefixTable(family, rows);
    this.#rows = new IntTable(ROW.fields, rows);
    this.#table = new IntTable(PATH.fields, rows);
    this.#sets = sets;
  }

  /** Paths are numbers below this; some of them may be free. */
  get paths(): number {
    return this.#paths;
  }

  get pathCount(): number {
    return this.#paths - this.#freePaths.length;
  }

  get hasMarked(): boolean {
    return this.#marked.length > 0;
  }

  counts(slot: number): PathCounts {
    let counts = this.#counts[slot];
    if (counts === undefined) {
      counts = { received: 0, accepted: 0, stale: 0 };
      this.#counts[slot] = counts;
    }
    return counts;
  }

  firstPath(row: number): number {
    return this.#head(row);
  }

  nextPath(path: number): number {
    return this.#table.get(path, PATH.next);
  }

  /** The prefix of a path; -1 for a path that is free. */
  prefixOf(path: number): number {
    return this.#table.get(path, PATH.prefix);
  }

  slotOf(path: number): number {
    return this.#table.get(path, PATH.slotAndFlags) >>> FLAG_BITS;
  }

  pathId(path: number): number {
    return this.#pathIds?.get(path, 0) ?? 0;
  }

  received(path: number): AttributeSet {
    return this.#sets.get(this.#table.get(path, PATH.received));
  }

  /** The attributes after the import policy; undefined where it rejects the route. */
  accepted(path: number): AttributeSet | undefined {
    const id = this.#table.get(path, PATH.accepted);
    return id === NONE ? undefined : this.#sets.get(id);
  }

  hasFlag(path: number, flag: number): boolean {
    return (this.#table.get(path, PATH.slotAndFlags) & flag) !== 0;
  }

  /** Gives a path exactly these flags, a sum of PATH_FLAG. */
  setFlags(path: number, flags: number): void {
    const slotAndFlags = this.#table.get(path, PATH.slotAndFlags);
    const before = slotAndFlags & FLAG_MASK;
    if (before === flags) return;
    this.#table.set(path, PATH.slotAndFlags, slotAndFlags - before + flags);
    this.counts(this.slotOf(path)).stale += (flags & PATH_FLAG.stale) - (before & PATH_FLAG.stale);
  }

  /** Everything that may be chosen from; routes that a policy rejected are not among them. */
  candidates(row: number): Candidate[] {
    const candidates: Candidate[] = [];
    for (let path = this.#head(row); path !== NONE; path = this.#table.get(path, PATH.next)) {
      const set = this.accepted(path);
      if (set !== undefined) candidates.push({ path, set, pathId: this.pathId(path) });
    }
    return candidates;
  }

  /** The set of the only path to a prefix; undefined where there are none or several. */
  onlySet(row: number): AttributeSet | undefined {
    const path = this.#head(row);
    return path === NONE || this.#table.get(path, PATH.next) !== NONE ? undefined : this.accepted(path);
  }

  findPath(row: number, slot: number, pathId: number): number {
    let path = this.#head(row);
    while (path !== NONE && (this.slotOf(path) !== slot || this.pathId(path) !== pathId)) {
      path = this.#table.get(path, PATH.next);
    }
    return path;
  }

  /** A source says this of a prefix, in place of what it said before. The path is fresh afterwards. */
  put(row: number, slot: number, pathId: number, received: AttributeSet, accepted: AttributeSet | undefined): void {
    const path = this.findPath(row, slot, pathId);
    if (path === NONE) {
      this.#addPath(row, slot, pathId, received, accepted);
      return;
    }
    this.setFlags(path, 0);
    this.replace(path, received, accepted);
  }

  /** Puts other attributes to a path; its flags stay. */
  replace(path: number, received: AttributeSet, accepted: AttributeSet | undefined): void {
    const receivedBefore = this.#table.get(path, PATH.received);
    const acceptedBefore = this.#table.get(path, PATH.accepted);
    const acceptedId = accepted === undefined ? NONE : accepted.id;
    if (receivedBefore !== received.id) {
      this.#sets.retain(received);
      this.#table.set(path, PATH.received, received.id);
    }
    if (acceptedBefore !== acceptedId) {
      if (accepted !== undefined) this.#sets.retain(accepted);
      this.#table.set(path, PATH.accepted, acceptedId);
      const counts = this.counts(this.slotOf(path));
      counts.accepted += (acceptedId === NONE ? 0 : 1) - (acceptedBefore === NONE ? 0 : 1);
      this.mark(this.#table.get(path, PATH.prefix));
    }
    // Only now, as policy may have made of the new attributes those that came before.
    if (receivedBefore !== received.id && receivedBefore !== NONE) this.#sets.release(this.#sets.get(receivedBefore));
    if (acceptedBefore !== acceptedId && acceptedBefore !== NONE) this.#sets.release(this.#sets.get(acceptedBefore));
  }

  /** The source takes back what it said; nothing happens where it said nothing. */
  withdraw(row: number, slot: number, pathId: number): void {
    const path = this.findPath(row, slot, pathId);
    if (path !== NONE) this.removePath(path);
  }

  removePath(path: number): void {
    const row = this.#table.get(path, PATH.prefix);
    const next = this.#table.get(path, PATH.next);
    if (this.#head(row) === path) this.#rows.set(row, ROW.head, next + 1);
    else {
      let before = this.#head(row);
      while (this.#table.get(before, PATH.next) !== path) before = this.#table.get(before, PATH.next);
      this.#table.set(before, PATH.next, next);
    }
    const counts = this.counts(this.slotOf(path));
    this.setFlags(path, 0);
    counts.received -= 1;
    this.#sets.release(this.received(path));
    const accepted = this.accepted(path);
    if (accepted !== undefined) {
      counts.accepted -= 1;
      this.#sets.release(accepted);
    }
    this.#table.set(path, PATH.received, NONE);
    this.#table.set(path, PATH.accepted, NONE);
    this.#table.set(path, PATH.prefix, NONE);
    this.#freePaths.push(path);
    this.mark(row);
  }

  mark(row: number): void {
    const exported = this.#rows.get(row, ROW.exported);
    if ((exported & MARK) !== 0) return;
    this.#rows.set(row, ROW.exported, exported | MARK);
    this.#marked.push(row);
  }

  markAll(): void {
    for (let row = 0; row < this.prefixes.rows; row++) if (!this.prefixes.isFree(row)) this.mark(row);
  }

  /** Up to `count` of the prefixes that have changed, in the order of their change; they are no longer marked. */
  takeMarked(count: number): number[] {
    const taken = count >= this.#marked.length ? this.#marked : this.#marked.splice(0, count);
    if (taken === this.#marked) this.#marked = [];
    for (const row of taken) this.#rows.set(row, ROW.exported, this.#rows.get(row, ROW.exported) & ~MARK);
    return taken;
  }

  exported(row: number): AttributeSet | undefined {
    const id = this.#exportedId(row);
    return id === NONE ? undefined : this.#sets.get(id);
  }

  /** Notes what peers are told from now on. The caller releases the set that it was before, once it is done with it. */
  setExported(row: number, set: AttributeSet | undefined): void {
    if (set !== undefined) this.#sets.retain(set);
    const mark = this.#rows.get(row, ROW.exported) & MARK;
    this.#rows.set(row, ROW.exported, mark | (set === undefined ? 0 : (set.id + 1) * 2));
  }

  /** Forgets a prefix to which there are no paths and of which peers know nothing. */
  dropIfUnused(row: number): void {
    const isUsed = this.#head(row) !== NONE || this.#rows.get(row, ROW.exported) !== 0;
    if (!isUsed && !this.prefixes.isFree(row)) this.prefixes.remove(row);
  }

  #head(row: number): number {
    return this.#rows.get(row, ROW.head) - 1;
  }

  #exportedId(row: number): number {
    return (this.#rows.get(row, ROW.exported) >> 1) - 1;
  }

  #addPath(
    row: number,
    slot: number,
    pathId: number,
    received: AttributeSet,
    accepted: AttributeSet | undefined,
  ): void {
    const path = this.#freePaths.pop() ?? this.#paths++;
    const table = this.#table;
    table.reserve(path);
    table.set(path, PATH.next, this.#head(row));
    table.set(path, PATH.prefix, row);
    table.set(path, PATH.slotAndFlags, slot << FLAG_BITS);
    if (pathId !== 0 || this.#pathIds !== undefined) this.#setPathId(path, pathId);
    table.set(path, PATH.received, received.id);
    table.set(path, PATH.accepted, accepted === undefined ? NONE : accepted.id);
    this.#rows.set(row, ROW.head, path + 1);
    this.#sets.retain(received);
    const counts = this.counts(slot);
    counts.received += 1;
    if (accepted === undefined) return;
    this.#sets.retain(accepted);
    counts.accepted += 1;
    this.mark(row);
  }

  /** Most tables never see a path identifier, and need no room for any. */
  #setPathId(path: number, pathId: number): void {
    this.#pathIds ??= new IntTable(1, this.#paths);
    this.#pathIds.reserve(path);
    this.#pathIds.set(path, 0, pathId);
  }

  /** The row of a prefix in a message, a new one where it is not known. */
  rowAt(bytes: Uint8Array, offset: number): number {
    const row = this.prefixes.add(bytes, offset);
    this.#rows.reserve(row);
    return row;
  }

  rowOf(prefix: Cidr): number {
    const row = this.prefixes.addPrefix(prefix);
    this.#rows.reserve(row);
    return row;
  }
}
