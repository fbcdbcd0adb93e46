/**
 * One value for equal bytes: what makes a flood of UPDATEs cheap.
 *
 * A hundred thousand prefixes come with a few hundred different attribute sets. The bytes of a set are looked up before
 * anything is parsed; only a miss parses and allocates. The table forgets everything when it is full, which costs some
 * sharing and no correctness: a peer that sends ever new sets cannot make us hold more than `limit` of them beyond its routes.
 */
import { byteAt, sameBytes } from '../lib/bytes.ts';

interface Entry<Value> {
  readonly bytes: Uint8Array;
  readonly value: Value;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export class Interner<Value> {
  readonly #limit: number;
  readonly #chains = new Map<number, Entry<Value>[]>();
  #size = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#size;
  }

  /** The value for `bytes`, from `make` where they are new. The bytes are copied when they are kept. */
  intern(bytes: Uint8Array, make: () => Value): Value {
    const hash = fnv1a(bytes);
    const known = this.#chains.get(hash)?.find((entry) => sameBytes(entry.bytes, bytes));
    if (known !== undefined) return known.value;
    if (this.#size >= this.#limit) {
      this.#chains.clear();
      this.#size = 0;
    }
    const entry = { bytes: bytes.slice(), value: make() };
    const chain = this.#chains.get(hash);
    if (chain === undefined) this.#chains.set(hash, [entry]);
    else chain.push(entry);
    this.#size += 1;
    return entry.value;
  }
}

function fnv1a(bytes: Uint8Array): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < bytes.length; index++) hash = Math.imul(hash ^ byteAt(bytes, index), FNV_PRIME);
  return hash >>> 0;
}
