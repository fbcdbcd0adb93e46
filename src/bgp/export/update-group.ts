/**
 * Peers that are told the same: what changes is encoded once for all of them.
 *
 * A group is peers of one family under equal terms of export. For each attribute set it works out once whether and how
 * routes with it go out; for each changed prefix it is told what was best before and what is best now, and from these two
 * follows what to say, so that there is no table of what was said. The messages of a turn are one block of memory, which
 * every member is handed as it is, less the part with its own routes: split horizon costs two slices.
 * The source of a route that is best now must lose what it had from us; the source of one that is no longer best gets the
 * new one with all others.
 *
 *      change(row, before, now) ... change(...) ──► flush() ──► Block ──► piecesFor(member)
 */
import type { Family } from '../../net/ip.ts';
import type { AttributeSet } from '../table/attribute-sets.ts';
import { ranked } from '../table/decide.ts';
import type { Rib } from '../table/rib.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import type { ExportTarget, ExportVerdict } from './export.ts';
import { exportSet } from './export.ts';
import type { EncodedAttributes } from './update-writer.ts';
import { encodeForSending, sameEncoding, UpdateWriter } from './update-writer.ts';

/** The terms under which a group's members are told routes, beside what is done to attributes. */
export interface GroupTerms {
  readonly family: Family;
  readonly asnBytes: 2 | 4;
  readonly messageBytesMax: number;
  /** How many paths to a prefix they are sent; more than 1 with path identifiers (RFC 7911). */
  readonly pathsMax: number;
  readonly target: ExportTarget;
  /** Prefixes that an aggregate of ours stands for. */
  readonly isSuppressed: (row: number) => boolean;
}

/** Routes that go out alike: one source, one string of attributes. */
export interface Outgoing {
  readonly slot: number;
  readonly encoded: EncodedAttributes;
  readonly rows: number[];
  readonly pathIds: number[];
}

type SetVerdict =
  | { readonly kind: 'send'; readonly outgoing: Outgoing }
  | { readonly kind: 'keep' }
  | {
      readonly kind: 'byPrefix';
      readonly slot: number;
      readonly verdict: ExportVerdict & { kind: 'byPrefix' };
      /** Equal attributes give one object, which is how a change is told from none. */
      readonly outgoing: Map<PathAttributes, Outgoing | undefined>;
    };

/** What a member was told before it came; whether it had been told all of that. */
export interface Former<Member> {
  readonly group: UpdateGroup<Member>;
  readonly isWhole: boolean;
}

/** Rows with the path identifier of each. */
interface Rows {
  readonly rows: number[];
  readonly pathIds: number[];
}

interface Part {
  readonly start: number;
  readonly end: number;
}

const NOTHING: ReadonlyMap<number, Outgoing> = new Map();
const KEEP: SetVerdict = { kind: 'keep' };

/** One turn's messages for a group: the same memory for all members. */
export class Block {
  readonly bytes: Uint8Array;
  /** Parts that the peer of a slot is not to get: its own routes. */
  readonly #withheld: ReadonlyMap<number, readonly Part[]>;
  readonly #private: ReadonlyMap<number, Uint8Array>;

  constructor(
    bytes: Uint8Array,
    withheld: ReadonlyMap<number, readonly Part[]>,
    privately: ReadonlyMap<number, Uint8Array>,
  ) {
    this.bytes = bytes;
    this.#withheld = withheld;
    this.#private = privately;
  }

  /** What the peer of a slot gets of it, in order. */
  piecesFor(slot: number): Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const own = this.#private.get(slot);
    if (own !== undefined) pieces.push(own);
    const withheld = this.#withheld.get(slot);
    if (withheld === undefined) {
      if (this.bytes.length > 0) pieces.push(this.bytes);
      return pieces;
    }
    let from = 0;
    for (const { start, end } of withheld) {
      if (start > from) pieces.push(this.bytes.subarray(from, start));
      from = end;
    }
    if (from < this.bytes.length) pieces.push(this.bytes.subarray(from));
    return pieces;
  }
}

export class UpdateGroup<Member> {
  readonly key: string;
  readonly terms: GroupTerms;
  readonly members = new Set<Member>();
  readonly #rib: Rib;
  readonly #writer: UpdateWriter;
  /** By the number of the attribute set. */
  #verdicts: (SetVerdict | undefined)[] = [];
  #dirty: Outgoing[] = [];
  /** Rows (and path identifiers) to be withdrawn from all but the slot that they came from. */
  #withdrawn = new Map<number, Rows>();
  /** Rows to be withdrawn from the one slot from which they come now. */
  #reclaimed = new Map<number, Rows>();
  /** With several paths a prefix: what was sent, by row and path identifier. */
  readonly #sentPaths = new Map<number, ReadonlyMap<number, Outgoing>>();
  #sent = 0;
  readonly #sentFrom: number[] = [];
  #unsendable = 0;
  /** Blocks of the present state, for members that join at the same time. */
  #feedBlocks = new Map<number, Block>();

  constructor(key: string, terms: GroupTerms, rib: Rib) {
    this.key = key;
    this.terms = terms;
    this.#rib = rib;
    this.#writer = new UpdateWriter(rib.prefixes, terms.messageBytesMax, terms.pathsMax > 1);
    for (let row = 0; row < rib.prefixes.rows; row++) {
      const set = terms.pathsMax > 1 ? undefined : rib.exported(row);
      if (set !== undefined) this.#count(this.#outgoing(set, row), 1);
    }
  }

  /** How many routes the peer of a slot has from us. */
  sentTo(slot: number): number {
    return this.#sent - (this.#sentFrom[slot] ?? 0);
  }

  /** How many attribute sets no message could hold, since the last asking: their routes were kept back. */
  takeUnsendable(): number {
    const count = this.#unsendable;
    this.#unsendable = 0;
    return count;
  }

  /** The number stands for another set from now on. */
  forgetSet(id: number): void {
    this.#verdicts[id] = undefined;
  }

  /** What was best for a prefix, and is now; undefined for nothing. */
  change(row: number, before: AttributeSet | undefined, now: AttributeSet | undefined): void {
    if (this.terms.pathsMax > 1) return;
    const old = before === undefined ? undefined : this.#outgoing(before, row);
    const next = now === undefined ? undefined : this.#outgoing(now, row);
    if (old === next || isSameToAll(old, next)) return;
    this.#count(old, -1);
    this.#count(next, 1);
    this.#say(row, 0, old, next);
  }

  /** The same for a group with several paths to a prefix: the best ones now, in order. */
  changePaths(row: number, paths: readonly { readonly path: number; readonly set: AttributeSet }[]): void {
    const before = this.#sentPaths.get(row) ?? NOTHING;
    const now = this.#notePaths(row, before, paths);
    for (const [pathId, old] of before) if (!now.has(pathId)) this.#say(row, pathId, old, undefined);
    for (const [pathId, next] of now) {
      const old = before.get(pathId);
      if (old !== next && !isSameToAll(old, next)) this.#say(row, pathId, old, next);
    }
  }

  #notePaths(
    row: number,
    before: ReadonlyMap<number, Outgoing>,
    paths: readonly { readonly path: number; readonly set: AttributeSet }[],
  ): ReadonlyMap<number, Outgoing> {
    const now = new Map<number, Outgoing>();
    for (const { path, set } of paths.slice(0, this.terms.pathsMax)) {
      const outgoing = this.#outgoing(set, row);
      // A path keeps its number as long as it lives, and its number is unique among all; 0 is none (RFC 7911 section 3).
      if (outgoing !== undefined) now.set(path + 1, outgoing);
    }
    for (const old of before.values()) this.#count(old, -1);
    for (const next of now.values()) this.#count(next, 1);
    if (now.size > 0) this.#sentPaths.set(row, now);
    else this.#sentPaths.delete(row);
    return now;
  }

  /** The messages for all changes since the last time; undefined when there are none. */
  flush(): Block | undefined {
    if (this.#dirty.length === 0 && this.#withdrawn.size === 0 && this.#reclaimed.size === 0) return undefined;
    this.#feedBlocks.clear();
    const writer = this.#writer;
    const privately = new Map<number, Uint8Array>();
    for (const [slot, { rows, pathIds }] of this.#reclaimed) {
      writer.withdraw(rows, pathIds);
      privately.set(slot, writer.take());
    }
    this.#reclaimed.clear();
    const withheld = new Map<number, Part[]>();
    for (const [slot, { rows, pathIds }] of this.#withdrawn) {
      const start = writer.length;
      writer.withdraw(rows, pathIds);
      withhold(withheld, slot, start, writer.length);
    }
    this.#withdrawn.clear();
    this.#writeDirty(withheld);
    return new Block(writer.take(), withheld, privately);
  }

  /** Whether the slice that begins with a row has been made for another member already. */
  hasFed(from: number): boolean {
    return this.#feedBlocks.has(from);
  }

  /**
   * The state of the rows from `from` to `to` as a new member is to learn it. What is pending is not part of it: that
   * comes with the next flush. Members that join in the same state share the block.
   */
  feed(from: number, to: number): Block {
    const known = this.#feedBlocks.get(from);
    if (known !== undefined) return known;
    const pending = this.#setAside();
    for (let row = from; row < to; row++) {
      for (const [pathId, outgoing] of this.#toTell(row)) this.#say(row, pathId, undefined, outgoing);
    }
    const withheld = new Map<number, Part[]>();
    this.#writeDirty(withheld);
    const block = new Block(this.#writer.take(), withheld, new Map());
    this.#feedBlocks.set(from, block);
    this.#restore(pending);
    return block;
  }

  /**
   * What the member of a slot that was told by other groups until now must hear of the rows from `from` to `to` to be told
   * by this one. Where it is not known how much it has heard, all is said, and too much taken back. Nothing is settled
   * between the move and the last slice, so that what the former groups tell now is what they have told.
   */
  feedDifference(formers: readonly Former<Member>[], slot: number, from: number, to: number): Uint8Array {
    const withdrawn: Rows = { rows: [], pathIds: [] };
    const announced = new Map<EncodedAttributes, Rows>();
    const [first] = formers;
    const sure = formers.length === 1 && first?.isWhole === true ? first.group : undefined;
    for (let row = from; row < to; row++) {
      const now = this.#toTell(row);
      for (const { group } of formers) {
        for (const [pathId, old] of group.#told(row)) {
          if (old.slot !== slot && !now.has(pathId)) push(withdrawn, row, pathId);
        }
      }
      for (const [pathId, { slot: source, encoded }] of now) {
        const old = sure === undefined ? undefined : sure.#told(row).get(pathId)?.encoded;
        if (source === slot || (old !== undefined && sameEncoding(old, encoded))) continue;
        const same = announced.get(encoded) ?? { rows: [], pathIds: [] };
        announced.set(encoded, same);
        push(same, row, pathId);
      }
    }
    this.#writer.withdraw(withdrawn.rows, withdrawn.pathIds);
    for (const [encoded, { rows, pathIds }] of announced) this.#writer.announce(encoded, rows, pathIds);
    return this.#writer.take();
  }

  /** Whether and how a route goes out, for people. */
  explain(set: AttributeSet, row: number): Exclude<ExportVerdict, { kind: 'byPrefix' }> {
    if (this.terms.isSuppressed(row)) return { kind: 'keep', why: 'an aggregate of ours stands for it' };
    const general = exportSet(set, this.terms.target);
    const verdict = general.kind === 'byPrefix' ? general.decide(this.#rib.prefixes.prefix(row)) : general;
    if (verdict.kind === 'keep') return verdict;
    const { family, asnBytes, messageBytesMax } = this.terms;
    const isSendable = encodeForSending(verdict.attributes, family, asnBytes, messageBytesMax) !== undefined;
    return isSendable
      ? verdict
      : { kind: 'keep', why: `its attributes are too long for a message of ${messageBytesMax} bytes` };
  }

  #outgoing(set: AttributeSet, row: number): Outgoing | undefined {
    const verdict = this.#verdicts[set.id] ?? this.#judge(set);
    if (verdict.kind === 'keep' || this.terms.isSuppressed(row)) return undefined;
    if (verdict.kind === 'send') return verdict.outgoing;
    const decided = verdict.verdict.decide(this.#rib.prefixes.prefix(row));
    if (decided.kind !== 'send') return undefined;
    const { slot, outgoing } = verdict;
    if (!outgoing.has(decided.attributes)) outgoing.set(decided.attributes, this.#encode(slot, decided.attributes));
    return outgoing.get(decided.attributes);
  }

  #judge(set: AttributeSet): SetVerdict {
    const verdict = exportSet(set, this.terms.target);
    let answer: SetVerdict = KEEP;
    const { slot } = set.source;
    if (verdict.kind === 'byPrefix') answer = { kind: 'byPrefix', slot, verdict, outgoing: new Map() };
    else if (verdict.kind === 'send') {
      const outgoing = this.#encode(slot, verdict.attributes);
      if (outgoing !== undefined) answer = { kind: 'send', outgoing };
    }
    this.#verdicts[set.id] = answer;
    return answer;
  }

  #encode(slot: number, attributes: PathAttributes): Outgoing | undefined {
    const { family, asnBytes, messageBytesMax } = this.terms;
    const encoded = encodeForSending(attributes, family, asnBytes, messageBytesMax);
    if (encoded !== undefined) return { slot, encoded, rows: [], pathIds: [] };
    this.#unsendable += 1;
    return undefined;
  }

  #say(row: number, pathId: number, old: Outgoing | undefined, next: Outgoing | undefined): void {
    if (next === undefined) {
      if (old !== undefined) note(this.#withdrawn, old.slot, row, pathId);
      return;
    }
    if (next.rows.length === 0) this.#dirty.push(next);
    next.rows.push(row);
    if (this.terms.pathsMax > 1) next.pathIds.push(pathId);
    if (old !== undefined && old.slot !== next.slot) note(this.#reclaimed, next.slot, row, pathId);
  }

  #writeDirty(withheld: Map<number, Part[]>): void {
    const dirty = this.#dirty.sort((a, b) => a.slot - b.slot);
    this.#dirty = [];
    for (const { slot, encoded, rows, pathIds } of dirty) {
      const start = this.#writer.length;
      this.#writer.announce(encoded, rows, pathIds);
      withhold(withheld, slot, start, this.#writer.length);
      rows.length = 0;
      pathIds.length = 0;
    }
  }

  /** Takes what waits for the next flush out of the way; `restore` puts it back. */
  #setAside(): { outgoing: Outgoing; rows: number[]; pathIds: number[] }[] {
    const pending = this.#dirty.map((outgoing) => ({
      outgoing,
      rows: outgoing.rows.splice(0),
      pathIds: outgoing.pathIds.splice(0),
    }));
    this.#dirty = [];
    return pending;
  }

  #restore(pending: readonly { outgoing: Outgoing; rows: number[]; pathIds: number[] }[]): void {
    for (const { outgoing, rows, pathIds } of pending) {
      for (const row of rows) outgoing.rows.push(row);
      for (const pathId of pathIds) outgoing.pathIds.push(pathId);
      this.#dirty.push(outgoing);
    }
  }

  #count(outgoing: Outgoing | undefined, by: 1 | -1): void {
    if (outgoing === undefined) return;
    this.#sent += by;
    this.#sentFrom[outgoing.slot] = (this.#sentFrom[outgoing.slot] ?? 0) + by;
  }

  /** What members have been told of a prefix, by path identifier; 0 where there are none. */
  #told(row: number): ReadonlyMap<number, Outgoing> {
    if (this.terms.pathsMax > 1) return this.#sentPaths.get(row) ?? NOTHING;
    const set = this.#rib.exported(row);
    const outgoing = set === undefined ? undefined : this.#outgoing(set, row);
    return outgoing === undefined ? NOTHING : new Map([[0, outgoing]]);
  }

  /** The same for a member that is about to be told; of several paths it may be the first time that somebody asks. */
  #toTell(row: number): ReadonlyMap<number, Outgoing> {
    const { pathsMax } = this.terms;
    if (pathsMax === 1 || this.#sentPaths.has(row) || this.#rib.prefixes.isFree(row)) return this.#told(row);
    return this.#notePaths(row, NOTHING, ranked(this.#rib.candidates(row), pathsMax));
  }
}

/** Whether nobody has to be told of the difference; who is not told of one because it is its own is not told of the other. */
function isSameToAll(old: Outgoing | undefined, next: Outgoing | undefined): boolean {
  return old !== undefined && old.slot === next?.slot && sameEncoding(old.encoded, next.encoded);
}

function withhold(withheld: Map<number, Part[]>, slot: number, start: number, end: number): void {
  if (start === end || slot === 0) return;
  const parts = withheld.get(slot);
  const last = parts?.at(-1);
  if (parts === undefined) withheld.set(slot, [{ start, end }]);
  else if (last?.end === start) parts[parts.length - 1] = { start: last.start, end };
  else parts.push({ start, end });
}

function note(lists: Map<number, Rows>, slot: number, row: number, pathId: number): void {
  const list = lists.get(slot) ?? { rows: [], pathIds: [] };
  lists.set(slot, list);
  push(list, row, pathId);
}

function push({ rows, pathIds }: Rows, row: number, pathId: number): void {
  rows.push(row);
  pathIds.push(pathId);
}
