/**
 * What one peer is told: its membership in an update group for each family, and what still waits to be sent to it.
 *
 * A new member is fed the present state in slices, while changes reach it with all other members; each slice is what
 * holds when it is made, so the two may mix in any order. A member that moves to another group is fed the difference,
 * before anything else is settled. A peer that does not read is sent nothing more: it keeps references to the blocks of its group, no copies, up to a
 * bound that ends the session. The bound of its socket is below that.
 *
 * RFC 4724 section 3 (End-of-RIB), RFC 7313 (refresh with begin and end).
 */
import type { Family } from '../../net/ip.ts';
import type { Rib } from '../table/rib.ts';
import type { Block, Former, UpdateGroup } from './update-group.ts';

/** Rows that one slice of feeding looks at: a few milliseconds. */
const ROWS_PER_SLICE = 8_192;
/** What handing on a slice that is encoded already costs, by the same measure. */
const ROWS_OF_SHARED_SLICE = 64;
/** Many times a full table; a peer that is so far behind is better off with a new session. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024;

export type OutboundGroup = UpdateGroup<Outbound>;

interface OutboundWay {
  send(bytes: Uint8Array): void;
  /** The peer has fallen so far behind that the session must end. */
  giveUp(why: string): void;
}

interface Membership {
  readonly group: OutboundGroup;
  /** From which row on the peer is still to be fed; undefined when it has all. */
  next: number | undefined;
  /** By whom it was told before, under other terms; where that was not finished, nobody knows how far. */
  formers: readonly Former<Outbound>[];
  /** Say so when all is sent: our first dump (End-of-RIB), or the end of a refresh. */
  owes: 'endOfRib' | 'endOfRefresh' | undefined;
}

export class Outbound {
  readonly slot: number;
  readonly #ribs: Readonly<Record<Family, Rib>>;
  readonly #way: OutboundWay;
  readonly #memberships = new Map<Family, Membership>();
  #isBlocked = false;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;

  constructor(slot: number, ribs: Readonly<Record<Family, Rib>>, way: OutboundWay) {
    this.slot = slot;
    this.#ribs = ribs;
    this.#way = way;
  }

  get waitingBytes(): number {
    return this.#waitingBytes;
  }

  get groups(): OutboundGroup[] {
    return Array.from(this.#memberships.values(), ({ group }) => group);
  }

  /** Whether it has yet to be fed the difference between two groups, for which nothing must change meanwhile. */
  get isMoving(): boolean {
    for (const { next, formers } of this.#memberships.values())
      if (next !== undefined && formers.length > 0) return true;
    return false;
  }

  /** Whether `step` has something to do. */
  get canStep(): boolean {
    if (this.#isBlocked) return this.isMoving;
    if (this.#waiting.length > 0) return true;
    for (const { next } of this.#memberships.values()) if (next !== undefined) return true;
    return false;
  }

  /** Whether it has yet to be told where a family is complete. */
  get owesSomething(): boolean {
    for (const { owes } of this.#memberships.values()) if (owes !== undefined) return true;
    return false;
  }

  /** How many routes the peer has from us. */
  get sent(): number {
    let sent = 0;
    for (const { group } of this.#memberships.values()) sent += group.sentTo(this.slot);
    return sent;
  }

  /** Families of which it has everything but has not been told so. */
  get owed(): { readonly family: Family; readonly owes: 'endOfRib' | 'endOfRefresh' }[] {
    const owed: { family: Family; owes: 'endOfRib' | 'endOfRefresh' }[] = [];
    if (this.#isBlocked || this.#waiting.length > 0) return owed;
    for (const [family, { next, owes }] of this.#memberships) {
      if (next === undefined && owes !== undefined) owed.push({ family, owes });
    }
    return owed;
  }

  owesEndOfRib(family: Family): boolean {
    return this.#memberships.get(family)?.owes === 'endOfRib';
  }

  paid(family: Family): void {
    const membership = this.#memberships.get(family);
    if (membership !== undefined) membership.owes = undefined;
  }

  group(family: Family): OutboundGroup | undefined {
    return this.#memberships.get(family)?.group;
  }

  /** Becomes a member, in place of what it was in this family before. */
  join(family: Family, group: OutboundGroup): void {
    const before = this.#memberships.get(family);
    if (before?.group === group) return;
    before?.group.members.delete(this);
    group.members.add(this);
    const formers =
      before === undefined ? [] : [...before.formers, { group: before.group, isWhole: before.next === undefined }];
    this.#memberships.set(family, { group, next: 0, formers, owes: before === undefined ? 'endOfRib' : before.owes });
  }

  /** Everything again, from the beginning. */
  refresh(family: Family, owes: 'endOfRefresh' | undefined): void {
    const membership = this.#memberships.get(family);
    if (membership === undefined) return;
    const formers = membership.formers.map(({ group }) => ({ group, isWhole: false }));
    this.#memberships.set(family, { ...membership, next: 0, formers, owes: membership.owes ?? owes });
  }

  leaveAll(): void {
    for (const { group } of this.#memberships.values()) group.members.delete(this);
    this.#memberships.clear();
    this.#waiting = [];
    this.#waitingBytes = 0;
    // Of the connection that is gone nobody will hear that it has drained.
    this.#isBlocked = false;
  }

  deliver(block: Block): void {
    for (const piece of block.piecesFor(this.slot)) this.#send(piece);
  }

  block(): void {
    this.#isBlocked = true;
  }

  unblock(): void {
    this.#isBlocked = false;
  }

  /**
   * Sends what has waited, then a slice of what is to be fed. To a peer that is blocked only a move goes on. Returns how much
   * work it was, in rows.
   */
  step(): number {
    if (this.#waiting.length > 0 && !this.#isBlocked) {
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#waitingBytes = 0;
      for (const piece of waiting) this.#send(piece);
      return waiting.length;
    }
    for (const [family, membership] of this.#memberships) {
      if (membership.next === undefined || (this.#isBlocked && membership.formers.length === 0)) continue;
      return this.#feed(this.#ribs[family], membership, membership.next);
    }
    return 0;
  }

  #feed(rib: Rib, membership: Membership, from: number): number {
    const { group, formers } = membership;
    const rows = rib.prefixes.rows;
    const to = Math.min(from + ROWS_PER_SLICE, rows);
    const isShared = formers.length === 0 && group.hasFed(from);
    if (formers.length === 0) this.deliver(group.feed(from, to));
    else {
      const bytes = group.feedDifference(formers, this.slot, from, to);
      if (bytes.length > 0) this.#send(bytes);
    }
    membership.next = to < rows ? to : undefined;
    if (membership.next === undefined) membership.formers = [];
    return isShared ? ROWS_OF_SHARED_SLICE : to - from;
  }

  #send(bytes: Uint8Array): void {
    if (!this.#isBlocked && this.#waiting.length === 0) this.#way.send(bytes);
    else {
      this.#waiting.push(bytes);
      this.#waitingBytes += bytes.length;
      if (this.#waitingBytes > WAITING_BYTES_MAX)
        this.#way.giveUp(`it does not read: ${this.#waitingBytes} bytes wait for it`);
    }
  }
}
