/**
 * The sets of a program: which family and part of each there is, and what is in them.
 *
 * A set of the calculation's holds both families. The kernel has one set for each family, and nftables two: hashed
 * single addresses, and a tree of prefixes. Most of them would be empty, and a rule that looks into an empty set is a
 * rule too many; so a part is there while it has members, and the rules know which parts there are. The IPv4 addresses
 * (all of IPv4, where sets are not split or hold ports) are there even when empty, so that the usual set does not
 * change its rules as containers come and go.
 *
 * An update costs what it changes. Used by builder.ts; who makes rules asks it as `SetLookup`.
 */
import { assert } from '../../../lib/assert.ts';
import type { Family } from '../../../net/ip.ts';
import type { SetChange, SetId, SetKind } from '../../desired/policy.ts';
import type { Dialect, ProgramSet, ProgramSetChange, SetKey, SetPart } from './program.ts';
import { setKey } from './program.ts';

const FAMILIES: readonly Family[] = [4, 6];

export interface SetLookup {
  /** Parts of the set that rules may name; none, where it has no members of the family or does not exist. */
  parts(set: SetId, family: Family): readonly SetPart[];
}

interface PartSet extends ProgramSet {
  readonly members: Set<string>;
}

/** What became of one part since changes were taken. */
interface Pending {
  readonly wasThere: boolean;
  readonly added: Set<string>;
  readonly removed: Set<string>;
}

export class SetParts implements SetLookup {
  #dialect: Dialect;
  readonly #kinds = new Map<SetId, SetKind>();
  readonly #sets = new Map<SetKey, PartSet>();
  readonly #pending = new Map<SetKey, Pending>();

  constructor(dialect: Dialect) {
    this.#dialect = dialect;
  }

  get sets(): ReadonlyMap<SetKey, ProgramSet> {
    return this.#sets;
  }

  parts(set: SetId, family: Family): readonly SetPart[] {
    const kind = this.#kinds.get(set);
    if (kind === undefined) return [];
    return this.#cutsOf(kind).filter((part) => this.#sets.has(setKey({ set, family, part })));
  }

  /** Returns whether a part has appeared or vanished, so that rules which name the set must be made again. */
  update(set: SetId, change: SetChange | undefined): boolean {
    if (change === undefined) return this.#remove(set);
    const known = this.#kinds.get(set);
    assert(
      known === undefined || known === change.kind,
      `set ${set} was of ${known}, and cannot become one of ${change.kind}`,
    );
    const before = this.#keysOf(set);
    this.#kinds.set(set, change.kind);
    if (known === undefined) this.#open(set, 4, this.#basePart(change.kind));
    for (const member of change.removed) this.#removeMember(set, change.kind, member);
    for (const member of change.added) this.#addMember(set, change.kind, member);
    return before !== this.#keysOf(set);
  }

  /** Cuts all sets anew. */
  setDialect(dialect: Dialect): void {
    const contents = [...this.#kinds].map(([set, kind]) => ({ set, kind, added: [...this.#members(set)] }));
    for (const { set } of contents) this.#remove(set);
    this.#dialect = dialect;
    for (const { set, kind, added } of contents) this.update(set, { kind, added, removed: [] });
  }

  /** What differs since it was last asked. */
  takeChanges(): Map<SetKey, ProgramSetChange> {
    const changes = new Map<SetKey, ProgramSetChange>();
    for (const [key, { wasThere, added, removed }] of this.#pending) {
      const now = this.#sets.get(key);
      if (now === undefined) {
        if (wasThere) changes.set(key, { now, added: [], removed: [] });
      } else if (!wasThere) {
        changes.set(key, { now, added: [...now.members], removed: [] });
      } else if (added.size + removed.size > 0) {
        changes.set(key, { now, added: [...added], removed: [...removed] });
      }
    }
    this.#pending.clear();
    return changes;
  }

  #cutsOf(kind: SetKind): readonly SetPart[] {
    return kind === 'nets' && this.#dialect.splitSets ? ['addresses', 'prefixes'] : ['all'];
  }

  #basePart(kind: SetKind): SetPart {
    return kind === 'nets' && this.#dialect.splitSets ? 'addresses' : 'all';
  }

  /** Which parts there are, in text. */
  #keysOf(set: SetId): string {
    return FAMILIES.map((family) => this.parts(set, family).join('+')).join('/');
  }

  *#members(set: SetId): Iterable<string> {
    for (const family of FAMILIES) {
      for (const part of this.parts(set, family)) yield* this.#sets.get(setKey({ set, family, part }))?.members ?? [];
    }
  }

  #remove(set: SetId): boolean {
    for (const family of FAMILIES) {
      for (const part of this.parts(set, family)) {
        const key = setKey({ set, family, part });
        const pending = this.#pendingOf(key);
        for (const member of this.#sets.get(key)?.members ?? []) noteRemoved(pending, member);
        this.#sets.delete(key);
      }
    }
    return this.#kinds.delete(set);
  }

  #addMember(set: SetId, kind: SetKind, member: string): void {
    const { family, part } = this.#placeOf(kind, member);
    const { members } = this.#open(set, family, part);
    if (members.has(member)) return;
    members.add(member);
    const pending = this.#pendingOf(setKey({ set, family, part }));
    if (!pending.removed.delete(member)) pending.added.add(member);
  }

  #removeMember(set: SetId, kind: SetKind, member: string): void {
    const { family, part } = this.#placeOf(kind, member);
    const key = setKey({ set, family, part });
    const members = this.#sets.get(key)?.members;
    if (members?.has(member) !== true) return;
    const pending = this.#pendingOf(key);
    members.delete(member);
    noteRemoved(pending, member);
    if (members.size === 0 && (family !== 4 || part !== this.#basePart(kind))) this.#sets.delete(key);
  }

  #placeOf(kind: SetKind, member: string): { family: Family; part: SetPart } {
    const [address = ''] = member.split(',');
    const family = address.includes(':') ? 6 : 4;
    if (kind === 'ports' || !this.#dialect.splitSets) return { family, part: 'all' };
    return { family, part: member.includes('/') ? 'prefixes' : 'addresses' };
  }

  #open(set: SetId, family: Family, part: SetPart): PartSet {
    const key = setKey({ set, family, part });
    const known = this.#sets.get(key);
    if (known !== undefined) return known;
    const kind = this.#kinds.get(set);
    assert(kind !== undefined, `set ${set} has no kind yet`);
    this.#pendingOf(key);
    const made: PartSet = { set, family, part, kind, members: new Set() };
    this.#sets.set(key, made);
    return made;
  }

  /** Must be asked before the part appears or vanishes. */
  #pendingOf(key: SetKey): Pending {
    const known = this.#pending.get(key);
    if (known !== undefined) return known;
    const made: Pending = { wasThere: this.#sets.has(key), added: new Set(), removed: new Set() };
    this.#pending.set(key, made);
    return made;
  }
}

function noteRemoved(pending: Pending, member: string): void {
  if (!pending.added.delete(member)) pending.removed.add(member);
}
