/**
 * Prefixes as a tree of bits, to ask which lie inside of which.
 *
 * A path-compressed binary tree per family: a node stands for a prefix that is a member, or for one where the paths of two
 * members part. A node's words may have more bits than its length counts; they are never looked at, so that a parting
 * shares the words of a member. Asking costs at most one step per bit, in practice one per doubling of the members.
 * Members are texts, "10.0.0.1" or "10.0.0.0/8", and it is for the caller that equal prefixes have equal texts.
 */
import { assert } from '../../../lib/assert.ts';
import { byteAt } from '../../../lib/bytes.ts';
import { addressBits, parseIp } from '../../../net/ip.ts';

const WORD_BITS = 32;

interface Node {
  /** Of the address, 32 bits each, signed. */
  readonly words: readonly number[];
  readonly length: number;
  /** Of the member; undefined where paths only part. */
  text: string | undefined;
  zero: Node | undefined;
  one: Node | undefined;
}

export class PrefixTree {
  readonly #root4: Node = leaf([0], 0, undefined);
  readonly #root6: Node = leaf([0, 0, 0, 0], 0, undefined);

  add(text: string): void {
    const { words, length } = read(text);
    let node = this.#rootOf(words);
    while (node.length < length) {
      const side = bitAt(words, node.length);
      const child = childOf(node, side);
      if (child === undefined) {
        setChild(node, side, leaf(words, length, text));
        return;
      }
      const common = Math.min(commonBits(words, child.words), length, child.length);
      if (common === child.length) {
        node = child;
        continue;
      }
      const parting = leaf(words, common, undefined);
      setChild(parting, bitAt(child.words, common), child);
      setChild(node, side, parting);
      node = parting;
    }
    node.text = text;
  }

  /** Takes a member away; throws where there is none. */
  remove(text: string): void {
    const { words, length } = read(text);
    const path = [this.#rootOf(words)];
    let node = path[0];
    while (node !== undefined && node.length < length) {
      node = childOf(node, bitAt(words, node.length));
      if (node !== undefined) path.push(node);
    }
    assert(node?.text === text, `${text} is no member of the tree`);
    node.text = undefined;
    // What is neither a member nor a parting any more is skipped by its parent; the root stays.
    for (let depth = path.length - 1; depth > 0; depth--) {
      const [above, at] = [path[depth - 1], path[depth]];
      if (above === undefined || at === undefined || at.text !== undefined || (at.zero && at.one)) return;
      setChild(above, above.zero === at ? 0 : 1, at.zero ?? at.one);
    }
  }

  /** Whether the prefix, which need not be a member, lies inside of a member other than itself. */
  isCovered(text: string): boolean {
    const { words, length } = read(text);
    let node: Node | undefined = this.#rootOf(words);
    while (node !== undefined && node.length < length && commonBits(words, node.words) >= node.length) {
      if (node.text !== undefined) return true;
      node = childOf(node, bitAt(words, node.length));
    }
    return false;
  }

  /** Members inside of the prefix, without itself and without those that lie inside of another one of these. */
  outermostWithin(text: string): string[] {
    const { words, length } = read(text);
    let node: Node | undefined = this.#rootOf(words);
    while (node !== undefined && node.length < length) node = childOf(node, bitAt(words, node.length));
    const found: string[] = [];
    if (node === undefined || commonBits(words, node.words) < length) return found;
    if (node.length > length) collectOutermost(node, found);
    else for (const child of [node.zero, node.one]) if (child !== undefined) collectOutermost(child, found);
    return found;
  }

  #rootOf(words: readonly number[]): Node {
    return words.length === 1 ? this.#root4 : this.#root6;
  }
}

function collectOutermost(node: Node, found: string[]): void {
  if (node.text !== undefined) found.push(node.text);
  else for (const child of [node.zero, node.one]) if (child !== undefined) collectOutermost(child, found);
}

function leaf(words: readonly number[], length: number, text: string | undefined): Node {
  return { words, length, text, zero: undefined, one: undefined };
}

function childOf(node: Node, side: number): Node | undefined {
  return side === 0 ? node.zero : node.one;
}

function setChild(node: Node, side: number, child: Node | undefined): void {
  if (side === 0) node.zero = child;
  else node.one = child;
}

function read(text: string): { readonly words: readonly number[]; readonly length: number } {
  const slash = text.indexOf('/');
  const address = parseIp(slash < 0 ? text : text.slice(0, slash));
  assert(address !== undefined, `not an address or prefix: ${text}`);
  const { bytes, family } = address;
  const words: number[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const [high, low] = [
      (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1),
      (byteAt(bytes, at + 2) << 8) | byteAt(bytes, at + 3),
    ];
    words.push((high << 16) | low);
  }
  return { words, length: slash < 0 ? addressBits(family) : Number(text.slice(slash + 1)) };
}

/** How many leading bits two addresses of a family share. */
function commonBits(a: readonly number[], b: readonly number[]): number {
  for (let index = 0; index < a.length; index++) {
    const difference = wordAt(a, index) ^ wordAt(b, index);
    if (difference !== 0) return index * WORD_BITS + Math.clz32(difference);
  }
  return a.length * WORD_BITS;
}

function bitAt(words: readonly number[], place: number): number {
  return (wordAt(words, place >>> 5) >>> (WORD_BITS - 1 - (place & (WORD_BITS - 1)))) & 1;
}

function wordAt(words: readonly number[], index: number): number {
  return words[index] ?? 0;
}
