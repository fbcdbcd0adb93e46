/**
 * Which rule of a policy a prefix meets first.
 *
 * Each prefix condition is a box: the prefixes inside a CIDR whose length is in a range. "Equal" is a box of one prefix;
 * "NotIn" and "NotEqual" are all that is outside of a box. Boxes stand in a path-compressed binary trie at their CIDR, so
 * that only those whose CIDR holds the prefix are looked at: as many nodes as the prefix has bits at most, however
 * many rules there are. What is asked by its outside stands in a list, as nearly every prefix is outside of the first one.
 *
 * Rules are numbers, in the order in which they hold. Whether the rule's other conditions hold is asked of a table by
 * the number of the condition, so that one index serves all routes. Nothing is allocated by a look-up.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Cidr } from '../../net/cidr.ts';
import { familyOf } from '../../net/cidr.ts';
import { addressBits } from '../../net/ip.ts';
import type { PrefixCondition } from './policy-rules.ts';

/** The prefixes inside `cidr` that are `lengthMin` to `lengthMax` long, or (`outside`) all others of the family. */
export interface PrefixBox {
  readonly cidr: Cidr;
  readonly lengthMin: number;
  readonly lengthMax: number;
  readonly outside: boolean;
}

/** The box of a condition; undefined for one that every prefix fits, 'never' for one that none does. */
export function boxOf({ cidr, operator, lengthMin, lengthMax }: PrefixCondition): PrefixBox | 'always' | 'never' {
  const single = operator === 'Equal' || operator === 'NotEqual';
  const outside = operator === 'NotEqual' || operator === 'NotIn';
  const longest = single ? cidr.length : addressBits(familyOf(cidr));
  const min = Math.max(cidr.length, lengthMin ?? 0);
  const max = Math.min(longest, lengthMax ?? longest);
  if (min > max) return outside ? 'always' : 'never';
  return { cidr, lengthMin: min, lengthMax: max, outside };
}

interface Entry {
  readonly box: PrefixBox;
  readonly rule: number;
  readonly condition: number;
}

interface TrieNode {
  /** Of which the first `length` bits count, so that a fork borrows the bytes of what is below it. */
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Ascending by rule; none at a mere fork. */
  readonly entries: Entry[];
  /** Where the next bit is 0, and where it is 1. */
  zero: TrieNode | undefined;
  one: TrieNode | undefined;
}

export class PrefixIndex {
  #root: TrieNode | undefined;
  readonly #outsides: Entry[] = [];

  /** Rules are added in ascending order; all boxes are of one family. */
  add(box: PrefixBox, rule: number, condition: number): void {
    const entries = box.outside ? this.#outsides : this.#nodeOf(box.cidr).entries;
    // Of two rules that ask the same, the later one never decides.
    const decided = !box.outside && entries.some((entry) => entry.condition === condition && covers(entry.box, box));
    if (!decided) entries.push({ box, rule, condition });
  }

  /** The first rule below `limit` that the prefix fits and whose condition `holds` (not 0); `limit` where there is none. */
  first(prefix: Cidr, holds: Uint8Array, limit: number): number {
    let first = limit;
    const { bytes } = prefix.address;
    let node = this.#root;
    while (node !== undefined && node.length <= prefix.length) {
      if (node.entries.length > 0) {
        if (commonBits(node.bytes, bytes, node.length) < node.length) break;
        for (const { box, rule, condition } of node.entries) {
          if (rule >= first) break;
          if (holds[condition] === 0 || prefix.length < box.lengthMin || prefix.length > box.lengthMax) continue;
          first = rule;
          break;
        }
      }
      node = isSet(bytes, node.length) ? node.one : node.zero;
    }
    for (const { box, rule, condition } of this.#outsides) {
      if (rule >= first) break;
      if (holds[condition] !== 0 && !isInside(prefix, box)) return rule;
    }
    return first;
  }

  #nodeOf({ address: { bytes }, length }: Cidr): TrieNode {
    this.#root ??= nodeAt(bytes, 0);
    let node = this.#root;
    while (node.length < length) {
      const side = isSet(bytes, node.length) ? 'one' : 'zero';
      const child: TrieNode | undefined = node[side];
      const common = child === undefined ? length : commonBits(child.bytes, bytes, Math.min(child.length, length));
      if (child !== undefined && common === child.length) {
        node = child;
        continue;
      }
      const added = nodeAt(bytes, common);
      if (child !== undefined) added[isSet(child.bytes, common) ? 'one' : 'zero'] = child;
      node[side] = added;
      node = added;
    }
    return node;
  }
}

function nodeAt(bytes: Uint8Array, length: number): TrieNode {
  return { bytes, length, entries: [], zero: undefined, one: undefined };
}

/** Whether of two boxes at one CIDR the first has all prefixes of the second. */
function covers(outer: PrefixBox, inner: PrefixBox): boolean {
  return outer.lengthMin <= inner.lengthMin && outer.lengthMax >= inner.lengthMax;
}

function isInside({ address, length }: Cidr, { cidr, lengthMin, lengthMax }: PrefixBox): boolean {
  if (length < lengthMin || length > lengthMax) return false;
  return commonBits(cidr.address.bytes, address.bytes, cidr.length) === cidr.length;
}

/** Whether the bit at `index` is 1; beyond the last one it is not. */
function isSet(bytes: Uint8Array, index: number): boolean {
  return (byteAt(bytes, index >> 3) & (0x80 >> (index & 7))) !== 0;
}

/** How many leading bits two addresses share, counted up to `limit`. */
function commonBits(a: Uint8Array, b: Uint8Array, limit: number): number {
  for (let bits = 0; bits < limit; bits += 8) {
    const difference = byteAt(a, bits >> 3) ^ byteAt(b, bits >> 3);
    if (difference !== 0) return Math.min(limit, bits + Math.clz32(difference) - 24);
  }
  return limit;
}
