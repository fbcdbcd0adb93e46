/**
 * Every prefix of one family that anything is known about, each with a small number, its row.
 *
 * Other tables say "row 17" and keep what they know under that number; nothing holds a prefix as an object. A row is a
 * length and the bits as 32-bit words, one or four; an open-addressing hash table of rows finds them.
 * Rows are used again after `remove`. Prefixes are read from and written to messages in place (RFC 4271 section 4.3): a
 * length in bits, then as many bytes as these need; bits beyond the length are cleared on reading.
 */
import { byteAt } from '../../lib/bytes.ts';
import { IntTable } from '../../lib/int-table.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';

/** A host's own table. */
export const ROWS_DEFAULT = 1024;
const SLOTS_MIN = 1024;
/** Growing places every row anew, so small tables grow in large steps and large ones do not waste memory. */
const SLOTS_LARGE = 1 << 19;
const EMPTY = -1;

/** Eight slots are half a line of the cache. */
const NEIGHBOUR_BITS = 3;
const NEIGHBOUR_MASK = (1 << NEIGHBOUR_BITS) - 1;

/** Field 0 is the length in bits, -1 for a row that is free; then the words. */
const LENGTH = 0;
const WORD = 1;

/** How many bytes the prefix at `offset` takes in a message. */
export function prefixBytesAt(bytes: Uint8Array, offset: number): number {
  return 1 + ((byteAt(bytes, offset) + 7) >> 3);
}

/** The first `bits` bits (0 to 32) of a word. */
function mask(bits: number): number {
  return bits <= 0 ? 0 : bits >= 32 ? -1 : -1 << (32 - bits);
}

/** Up to four bytes as a word, left-aligned; bytes beyond `count` are zero. */
function wordAt(bytes: Uint8Array, offset: number, count: number): number {
  let word = 0;
  if (count > 0) word = byteAt(bytes, offset) << 24;
  if (count > 1) word |= byteAt(bytes, offset + 1) << 16;
  if (count > 2) word |= byteAt(bytes, offset + 2) << 8;
  if (count > 3) word |= byteAt(bytes, offset + 3);
  return word;
}

function mix(hash: number, word: number): number {
  const mixed = Math.imul(hash ^ word, 0x85ebca6b);
  return mixed ^ (mixed >>> 13);
}

export class PrefixTable {
  readonly family: Family;
  readonly #table: IntTable;
  #slots = new Int32Array(SLOTS_MIN).fill(EMPTY);
  #slotMask = SLOTS_MIN - 1;
  #free: number[] = [];
  #rows = 0;
  /** The prefix that was read last. */
  #length = 0;
  #word0 = 0;
  #word1 = 0;
  #word2 = 0;
  #word3 = 0;

  /** `rows` is how many prefixes there is room for from the start. */
  constructor(family: Family, rows = ROWS_DEFAULT) {
    this.family = family;
    this.#table = new IntTable(family === 4 ? 2 : 5, rows);
  }

  /** How many prefixes there are. */
  get size(): number {
    return this.#rows - this.#free.length;
  }

  /** Rows are numbers below this; some of them may be free. */
  get rows(): number {
    return this.#rows;
  }

  isFree(row: number): boolean {
    return this.#table.get(row, LENGTH) === EMPTY;
  }

  length(row: number): number {
    return this.#table.get(row, LENGTH);
  }

  /** The row of the prefix that stands in a message at `offset`; -1 when it is not known. */
  find(bytes: Uint8Array, offset: number): number {
    this.#read(bytes, offset);
    return this.#lookUp();
  }

  /** The row of the prefix in a message at `offset`, a new one where it is not known. */
  add(bytes: Uint8Array, offset: number): number {
    this.#read(bytes, offset);
    const known = this.#lookUp();
    return known >= 0 ? known : this.#insert();
  }

  findPrefix(prefix: Cidr): number {
    this.#readPrefix(prefix);
    return this.#lookUp();
  }

  addPrefix(prefix: Cidr): number {
    this.#readPrefix(prefix);
    const known = this.#lookUp();
    return known >= 0 ? known : this.#insert();
  }

  /** Forgets a prefix; its row will stand for another. */
  remove(row: number): void {
    this.#load(row);
    let hole = this.#slotOf(row);
    this.#table.set(row, LENGTH, EMPTY);
    this.#free.push(row);
    // Rows behind the hole that would no longer be found move up (Knuth 6.4, algorithm R).
    for (let slot = hole; ; ) {
      slot = (slot + 1) & this.#slotMask;
      const other = this.#slots[slot] ?? EMPTY;
      if (other === EMPTY) break;
      this.#load(other);
      const home = this.#hash() & this.#slotMask;
      const distance = (slot - home) & this.#slotMask;
      if (distance < ((slot - hole) & this.#slotMask)) continue;
      this.#slots[hole] = other;
      hole = slot;
    }
    this.#slots[hole] = EMPTY;
  }

  /** Writes the prefix as messages have it; returns the offset behind it. There must be room for 17 bytes. */
  write(row: number, bytes: Uint8Array, offset: number): number {
    const length = this.#table.get(row, LENGTH);
    let at = offset;
    bytes[at++] = length;
    const word = this.#table.get(row, WORD);
    if (length > 0) bytes[at++] = word >>> 24;
    if (length > 8) bytes[at++] = word >>> 16;
    if (length > 16) bytes[at++] = word >>> 8;
    if (length > 24) bytes[at++] = word;
    return length > 32 ? this.#writeLowWords(row, length, bytes, at) : at;
  }

  /** The prefix as a value. */
  prefix(row: number): Cidr {
    const length = this.#table.get(row, LENGTH);
    const bytes = new Uint8Array(this.family === 4 ? 4 : 16);
    for (let index = 0; index < bytes.length; index++) {
      bytes[index] = this.#table.get(row, WORD + (index >> 2)) >>> (24 - 8 * (index & 3));
    }
    return { address: { family: this.family, bytes }, length };
  }

  #writeLowWords(row: number, length: number, bytes: Uint8Array, offset: number): number {
    let at = offset;
    for (let from = 32; from < length; from += 8) {
      const word = this.#table.get(row, WORD + (from >> 5));
      bytes[at++] = word >>> (24 - (from & 31));
    }
    return at;
  }

  #read(bytes: Uint8Array, offset: number): void {
    const length = byteAt(bytes, offset);
    const count = (length + 7) >> 3;
    this.#length = length;
    this.#word0 = wordAt(bytes, offset + 1, count) & mask(length);
    if (this.family === 4) return;
    this.#word1 = wordAt(bytes, offset + 5, count - 4) & mask(length - 32);
    this.#word2 = wordAt(bytes, offset + 9, count - 8) & mask(length - 64);
    this.#word3 = wordAt(bytes, offset + 13, count - 12) & mask(length - 96);
  }

  #readPrefix({ address, length }: Cidr): void {
    const { bytes } = address;
    this.#length = length;
    this.#word0 = wordAt(bytes, 0, 4) & mask(length);
    if (this.family === 4) return;
    this.#word1 = wordAt(bytes, 4, 4) & mask(length - 32);
    this.#word2 = wordAt(bytes, 8, 4) & mask(length - 64);
    this.#word3 = wordAt(bytes, 12, 4) & mask(length - 96);
  }

  #load(row: number): void {
    this.#length = this.#table.get(row, LENGTH);
    this.#word0 = this.#table.get(row, WORD);
    if (this.family === 4) return;
    this.#word1 = this.#table.get(row, WORD + 1);
    this.#word2 = this.#table.get(row, WORD + 2);
    this.#word3 = this.#table.get(row, WORD + 3);
  }

  /**
   * The home slot, before it is cut to the size of the table. Neighbours share a line of the cache: prefixes come in runs,
   * and what costs is not the hash but the memory that is touched. So the last bits are kept as they are, the rest is mixed.
   */
  #hash(): number {
    const length = this.#length;
    const end = length === 0 ? 0 : (length - 1) >> 5;
    const shift = (32 - length) & 31;
    const ending = end === 0 ? this.#word0 : end === 1 ? this.#word1 : end === 2 ? this.#word2 : this.#word3;
    const neighbour = (ending >>> shift) & NEIGHBOUR_MASK;
    const kept = neighbour << shift;
    let hash = mix(Math.imul(length, 0x9e3779b1), end === 0 ? this.#word0 ^ kept : this.#word0);
    if (this.family === 6) {
      hash = mix(hash, end === 1 ? this.#word1 ^ kept : this.#word1);
      hash = mix(hash, end === 2 ? this.#word2 ^ kept : this.#word2);
      hash = mix(hash, end === 3 ? this.#word3 ^ kept : this.#word3);
    }
    hash = Math.imul(hash, 0xc2b2ae35);
    return ((hash ^ (hash >>> 16)) << NEIGHBOUR_BITS) | neighbour;
  }

  #lookUp(): number {
    for (let slot = this.#hash() & this.#slotMask; ; slot = (slot + 1) & this.#slotMask) {
      const row = this.#slots[slot] ?? EMPTY;
      if (row === EMPTY || this.#isAt(row)) return row;
    }
  }

  #isAt(row: number): boolean {
    if (this.#table.get(row, WORD) !== this.#word0 || this.#table.get(row, LENGTH) !== this.#length) return false;
    if (this.family === 4) return true;
    return (
      this.#table.get(row, WORD + 1) === this.#word1 &&
      this.#table.get(row, WORD + 2) === this.#word2 &&
      this.#table.get(row, WORD + 3) === this.#word3
    );
  }

  #slotOf(row: number): number {
    let slot = this.#hash() & this.#slotMask;
    while (this.#slots[slot] !== row) slot = (slot + 1) & this.#slotMask;
    return slot;
  }

  #insert(): number {
    const row = this.#free.pop() ?? this.#rows++;
    this.#table.reserve(row);
    this.#table.set(row, LENGTH, this.#length);
    this.#table.set(row, WORD, this.#word0);
    if (this.family === 6) {
      this.#table.set(row, WORD + 1, this.#word1);
      this.#table.set(row, WORD + 2, this.#word2);
      this.#table.set(row, WORD + 3, this.#word3);
    }
    const slots = this.#slots.length;
    if (this.size * 2 > slots) this.#rehash(slots < SLOTS_LARGE ? slots * 4 : slots * 2);
    else this.#place(row);
    return row;
  }

  /** Puts the row that is loaded into the first empty slot from its home on. */
  #place(row: number): void {
    let slot = this.#hash() & this.#slotMask;
    while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & this.#slotMask;
    this.#slots[slot] = row;
  }

  #rehash(slots: number): void {
    this.#slots.buffer.transfer(0); // given back at once
    this.#slots = new Int32Array(slots).fill(EMPTY);
    this.#slotMask = slots - 1;
    for (let row = 0; row < this.#rows; row++) {
      if (this.isFree(row)) continue;
      this.#load(row);
      this.#place(row);
    }
  }
}
