/**
 * One value for equal bytes: what makes a flood of UPDATEs cheap.
 *
 * A hundred thousand prefixes come with a few hundred different attribute sets. The bytes of a set are compared with those
 * that were asked for last, then looked up by their hash; only a miss parses and allocates. The table forgets everything
 * when it is full, in number or in bytes, which costs some sharing and no correctness: a peer that sends ever new sets
 * cannot make us hold more than the limits, beyond its routes.
 */
import { byteAt } from '../../lib/bytes.ts';

interface Entry<Value> {
  readonly bytes: Uint8Array;
  readonly value: Value;
  /** The next entry with the same hash. */
  readonly next: Entry<Value> | undefined;
}

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export class Interner<Value> {
  readonly #entriesMax: number;
  readonly #bytesMax: number;
  /** Made with the second entry: most decoders of a mesh know one set for ever. */
  #byHash: Map<number, Entry<Value>> | undefined;
  #last: Entry<Value> | undefined;
  #size = 0;
  #bytes = 0;

  constructor({ entriesMax, bytesMax }: { readonly entriesMax: number; readonly bytesMax: number }) {
    this.#entriesMax = entriesMax;
    this.#bytesMax = bytesMax;
  }

  get size(): number {
    return this.#size;
  }

  /** The value for the first `length` bytes, from `make` where they are new. A copy of the bytes is kept. */
  intern(bytes: Uint8Array, length: number, make: () => Value): Value {
    const last = this.#last;
    if (last !== undefined && startsWith(bytes, length, last.bytes)) return last.value;
    const hash = fnv1a(bytes, length);
    const first = this.#byHash?.get(hash);
    for (let entry = first; entry !== undefined; entry = entry.next) {
      if (startsWith(bytes, length, entry.bytes)) {
        this.#last = entry;
        return entry.value;
      }
    }
    return this.#add(bytes.slice(0, length), hash, make);
  }

  #add(bytes: Uint8Array, hash: number, make: () => Value): Value {
    if (this.#size >= this.#entriesMax || this.#bytes + bytes.length > this.#bytesMax) {
      this.#byHash = undefined;
      this.#last = undefined;
      this.#size = 0;
      this.#bytes = 0;
    }
    const value = make();
    const before = this.#last;
    if (this.#byHash === undefined && before !== undefined)
      this.#byHash = new Map([[fnv1a(before.bytes, before.bytes.length), before]]);
    const entry: Entry<Value> = { bytes, value, next: this.#byHash?.get(hash) };
    this.#byHash?.set(hash, entry);
    this.#last = entry;
    this.#size += 1;
    this.#bytes += bytes.length;
    return entry.value;
  }
}

/** Whether the first `length` bytes are exactly `wanted`. */
function startsWith(bytes: Uint8Array, length: number, wanted: Uint8Array): boolean {
  if (length !== wanted.length) return false;
  for (let index = 0; index < length; index++) if (bytes[index] !== wanted[index]) return false;
  return true;
}

function fnv1a(bytes: Uint8Array, length: number): number {
  let hash = FNV_OFFSET;
  for (let index = 0; index < length; index++) hash = Math.imul(hash ^ byteAt(bytes, index), FNV_PRIME);
  return hash >>> 0;
}
