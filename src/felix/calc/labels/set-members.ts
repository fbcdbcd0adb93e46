/**
 * What one set holds: members with a count of who contributes them, and what the dataplane is to be told of it.
 *
 * Two endpoints may have one address, so a member goes when its last contributor does. A kernel's set of prefixes may not
 * hold a prefix inside of another, so such a member is kept here and told to nobody until the outer one goes. Most sets
 * hold addresses alone, where nothing is inside of anything: the tree that finds nested members is there only while
 * the set has a prefix. Of each member that is touched it is remembered whether it had been told; the net change follows.
 */
import { assert } from '../../../lib/assert.ts';
import type { SetKind } from '../../desired/policy.ts';
import { PrefixTree } from './prefix-tree.ts';

export class SetMembers {
  readonly kind: SetKind;
  readonly #contributors = new Map<string, number>();
  /** All members, while some are prefixes of more than one address. */
  #tree: PrefixTree | undefined;
  #networks = 0;
  /** Members touched since the last telling, and whether they were in what was told. */
  #touched = new Map<string, boolean>();

  constructor(kind: SetKind) {
    this.kind = kind;
  }

  /** Members, hidden ones too. */
  all(): Iterable<string> {
    return this.#contributors.keys();
  }

  has(member: string): boolean {
    return this.#contributors.has(member);
  }

  /** One more contributor has the member. */
  add(member: string): void {
    const contributors = this.#contributors.get(member) ?? 0;
    if (contributors === 0) this.#enter(member);
    this.#contributors.set(member, contributors + 1);
  }

  /** One contributor less has it; throws where there was none. */
  remove(member: string): void {
    const contributors = this.#contributors.get(member) ?? 0;
    assert(contributors > 0, `${member} is removed from a set that does not hold it`);
    if (contributors > 1) this.#contributors.set(member, contributors - 1);
    else this.#leave(member);
  }

  /** What is to be told now, apart from what was told before. */
  takeChange(): { readonly kind: SetKind; readonly added: string[]; readonly removed: string[] } {
    const change = { kind: this.kind, added: [] as string[], removed: [] as string[] };
    for (const [member, wasTold] of this.#touched) {
      if (this.#isVisible(member) !== wasTold) (wasTold ? change.removed : change.added).push(member);
    }
    this.#touched = new Map();
    return change;
  }

  #enter(member: string): void {
    this.#touch(member, false);
    if (isNetwork(this.kind, member)) {
      this.#networks += 1;
      this.#tree ??= treeOf(this.all());
      for (const inner of this.#outermostWithin(this.#tree, member)) this.#touch(inner, true);
    }
    this.#tree?.add(member);
  }

  #leave(member: string): void {
    this.#touch(member, this.#isVisible(member));
    this.#contributors.delete(member);
    this.#tree?.remove(member);
    if (this.#tree === undefined || !isNetwork(this.kind, member)) return;
    for (const inner of this.#outermostWithin(this.#tree, member)) this.#touch(inner, false);
    this.#networks -= 1;
    if (this.#networks === 0) this.#tree = undefined;
  }

  /** Those that the prefix hides when it is there: none when it is hidden itself. */
  #outermostWithin(tree: PrefixTree, member: string): string[] {
    return tree.isCovered(member) ? [] : tree.outermostWithin(member);
  }

  #touch(member: string, wasTold: boolean): void {
    if (!this.#touched.has(member)) this.#touched.set(member, wasTold);
  }

  #isVisible(member: string): boolean {
    return this.#contributors.has(member) && this.#tree?.isCovered(member) !== true;
  }
}

function isNetwork(kind: SetKind, member: string): boolean {
  return kind === 'nets' && member.includes('/');
}

function treeOf(members: Iterable<string>): PrefixTree {
  const tree = new PrefixTree();
  for (const member of members) tree.add(member);
  return tree;
}
