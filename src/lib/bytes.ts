/**
 * Reading and writing network-order bytes without ever running over the end.
 *
 * A reader is a cursor over a slice; it answers undefined when too few bytes are left, so that a parser's "malformed"
 * branch is visible at each read and a peer's bytes can never make us throw. A writer grows as needed and can go back to
 * fill in a length once it is known. Multi-byte numbers are big-endian, as on the wire.
 */
import { assert } from './assert.ts';

export class ByteReader {
  readonly #bytes: Uint8Array;
  #offset: number;
  readonly #end: number;

  constructor(bytes: Uint8Array, start = 0, end = bytes.length) {
    this.#bytes = bytes;
    this.#offset = start;
    this.#end = end;
  }

  get remaining(): number {
    return this.#end - this.#offset;
  }

  get offset(): number {
    return this.#offset;
  }

  u8(): number | undefined {
    if (this.remaining < 1) return undefined;
    const value = this.#bytes[this.#offset];
    this.#offset += 1;
    return value;
  }

  u16(): number | undefined {
    if (this.remaining < 2) return undefined;
    const value = (byteAt(this.#bytes, this.#offset) << 8) | byteAt(this.#bytes, this.#offset + 1);
    this.#offset += 2;
    return value;
  }

  u32(): number | undefined {
    if (this.remaining < 4) return undefined;
    const high = (byteAt(this.#bytes, this.#offset) << 8) | byteAt(this.#bytes, this.#offset + 1);
    const low = (byteAt(this.#bytes, this.#offset + 2) << 8) | byteAt(this.#bytes, this.#offset + 3);
    this.#offset += 4;
    return high * 0x10000 + low;
  }

  /** A view of the next `length` bytes; copy it if it is to outlive the buffer. */
  take(length: number): Uint8Array | undefined {
    if (length < 0 || this.remaining < length) return undefined;
    const slice = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return slice;
  }

  /** A reader over the next `length` bytes, which this one skips. */
  sub(length: number): ByteReader | undefined {
    if (length < 0 || this.remaining < length) return undefined;
    const reader = new ByteReader(this.#bytes, this.#offset, this.#offset + length);
    this.#offset += length;
    return reader;
  }
}

export class ByteWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity = 256) {
    this.#bytes = new Uint8Array(capacity);
  }

  get length(): number {
    return this.#length;
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value & 0xff;
    return this;
  }

  u16(value: number): this {
    return this.u8(value >>> 8).u8(value);
  }

  u32(value: number): this {
    return this.u16((value >>> 16) & 0xffff).u16(value & 0xffff);
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  /** Overwrites two bytes that were written before, for a length that has become known. */
  patchU16(offset: number, value: number): this {
    assert(offset >= 0 && offset + 2 <= this.#length, `patch at ${offset} of ${this.#length} bytes`);
    this.#bytes[offset] = (value >>> 8) & 0xff;
    this.#bytes[offset + 1] = value & 0xff;
    return this;
  }

  /** Begins anew in the same memory. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** The bytes written so far, as a copy of their own. */
  finish(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}

/** The byte at `index`, which the caller knows to be inside. */
export function byteAt(bytes: Uint8Array, index: number): number {
  return bytes[index] ?? 0;
}

/** Whether two byte strings are the same. */
export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return compareBytes(a, b) === 0;
}

/** Orders byte strings as unsigned numbers of the same length, shorter ones first. */
export function compareBytes(a: Uint8Array, b: Uint8Array): number {
  if (a.length !== b.length) return a.length - b.length;
  for (let index = 0; index < a.length; index++) {
    const difference = byteAt(a, index) - byteAt(b, index);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** Lower-case hexadecimal digits, two a byte. */
export function toHex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
