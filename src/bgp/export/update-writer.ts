/**
 * UPDATE messages from rows of a prefix table, as few as possible.
 *
 * Routes that go out with the same attributes share messages, each filled up to what the session allows. IPv4 stands in
 * the classic fields unless its next hop is an IPv6 address (RFC 8950), all else in MP_REACH_NLRI and MP_UNREACH_NLRI, first
 * among the attributes; one message carries one kind of field only, which is what every implementation reads well (RFC
 * 7606 section 5.1). All messages of a turn come in one block of memory that is copied once.
 *
 * RFC 4271 section 4.3, RFC 4760 sections 3 and 4, RFC 4724 section 2, RFC 7911 section 3.
 */
import { assert } from '../../lib/assert.ts';
import { ByteWriter, sameBytes } from '../../lib/bytes.ts';
import type { Family, Ip } from '../../net/ip.ts';
import type { PrefixTable } from '../table/prefix-table.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { ATTRIBUTE, encodeAttributes, FLAG_EXTENDED_LENGTH, FLAG_OPTIONAL } from '../wire/attributes.ts';
import { writeAfiSafi } from '../wire/capabilities.ts';
import { HEADER_BYTES, MESSAGE_TYPE } from '../wire/message.ts';

/** Attributes ready to be sent. */
export interface EncodedAttributes {
  /** MP_REACH_NLRI up to its prefixes, without flags and length; undefined where IPv4 stands in the classic field. */
  readonly reachHead: Uint8Array | undefined;
  readonly bytes: Uint8Array;
}

/** The two length fields of an UPDATE. */
const UPDATE_FIXED_BYTES = 4;
/** Flags, type and a length of two bytes. */
const LONG_ATTRIBUTE_HEADER_BYTES = 4;
/** The longest prefix, ::/128, with a path identifier. */
const PREFIX_BYTES_MAX = 21;
const SLAB_BYTES = 64 * 1024;
const SLAB_BYTES_KEPT = 1024 * 1024;
const MARKER_BYTES = 16;

/** Encodes attributes for prefixes of `family`; undefined when no message could hold them and a prefix. */
export function encodeForSending(
  attributes: PathAttributes,
  family: Family,
  asnBytes: 2 | 4,
  messageBytesMax: number,
): EncodedAttributes | undefined {
  const { nextHop, linkLocalNextHop } = attributes;
  assert(nextHop !== undefined, 'a route without next hop is not sent');
  const bytes = encodeAttributes(attributes, { asnBytes });
  const reachHead = family === 4 && nextHop.family === 4 ? undefined : reachHeadOf(family, nextHop, linkLocalNextHop);
  const reachBytes = reachHead === undefined ? 0 : LONG_ATTRIBUTE_HEADER_BYTES + reachHead.length;
  const room = messageBytesMax - HEADER_BYTES - UPDATE_FIXED_BYTES - bytes.length - reachBytes;
  return room < PREFIX_BYTES_MAX ? undefined : { reachHead, bytes };
}

export function sameEncoding(a: EncodedAttributes, b: EncodedAttributes): boolean {
  if (a === b) return true;
  const [left, right] = [a.reachHead, b.reachHead];
  const sameReach = left === right || (left !== undefined && right !== undefined && sameBytes(left, right));
  return sameReach && sameBytes(a.bytes, b.bytes);
}

function reachHeadOf(family: Family, nextHop: Ip, linkLocal: Ip | undefined): Uint8Array {
  const writer = new ByteWriter(40);
  writeAfiSafi(writer, family);
  const isPair = linkLocal !== undefined && nextHop.family === 6;
  writer.u8(nextHop.bytes.length + (isPair ? linkLocal.bytes.length : 0)).bytes(nextHop.bytes);
  if (isPair) writer.bytes(linkLocal.bytes);
  return writer.u8(0).finish();
}

export class UpdateWriter {
  readonly #prefixes: PrefixTable;
  readonly #messageBytesMax: number;
  /** Each prefix has a path identifier before it. */
  readonly #hasPathIds: boolean;
  #slab = new Uint8Array(0);
  #length = 0;

  constructor(prefixes: PrefixTable, messageBytesMax: number, hasPathIds: boolean) {
    this.#prefixes = prefixes;
    this.#messageBytesMax = messageBytesMax;
    this.#hasPathIds = hasPathIds;
  }

  get length(): number {
    return this.#length;
  }

  /** All that was written since the last time, as memory that nobody changes any more. */
  take(): Uint8Array {
    const bytes = this.#slab.slice(0, this.#length);
    this.#length = 0;
    // A full table must not leave its peak behind.
    if (this.#slab.length > SLAB_BYTES_KEPT) this.#slab = new Uint8Array(0);
    return bytes;
  }

  /** Messages that announce the prefixes of `rows`, with their path identifiers where those are agreed on. */
  announce(attributes: EncodedAttributes, rows: readonly number[], pathIds: readonly number[]): void {
    const { reachHead, bytes } = attributes;
    let index = 0;
    while (index < rows.length) {
      const start = this.#begin();
      let reachAt = 0;
      this.#u16(0); // no withdrawn routes
      const attributesAt = this.#length;
      this.#u16(0);
      if (reachHead === undefined) {
        this.#bytes(bytes);
        this.#patch(attributesAt, this.#length - attributesAt - 2);
        index = this.#fill(rows, pathIds, index, start + this.#messageBytesMax);
      } else {
        reachAt = this.#attribute(ATTRIBUTE.mpReach);
        this.#bytes(reachHead);
        index = this.#fill(rows, pathIds, index, start + this.#messageBytesMax - bytes.length);
        this.#patch(reachAt, this.#length - reachAt - 2);
        this.#bytes(bytes);
        this.#patch(attributesAt, this.#length - attributesAt - 2);
      }
      this.#end(start);
    }
  }

  withdraw(rows: readonly number[], pathIds: readonly number[]): void {
    const { family } = this.#prefixes;
    let index = 0;
    while (index < rows.length) {
      const start = this.#begin();
      const fieldAt = this.#length;
      this.#u16(0);
      if (family === 4) {
        index = this.#fill(rows, pathIds, index, start + this.#messageBytesMax - 2);
        this.#patch(fieldAt, this.#length - fieldAt - 2);
        this.#u16(0); // no attributes
      } else {
        const attributesAt = this.#length;
        this.#u16(0);
        const unreachAt = this.#attribute(ATTRIBUTE.mpUnreach);
        this.#bytes(Uint8Array.of(0, 2, 1));
        index = this.#fill(rows, pathIds, index, start + this.#messageBytesMax);
        this.#patch(unreachAt, this.#length - unreachAt - 2);
        this.#patch(attributesAt, this.#length - attributesAt - 2);
      }
      this.#end(start);
    }
  }

  /** As many prefixes as end before `limit`; returns the index of the first one that did not fit. */
  #fill(rows: readonly number[], pathIds: readonly number[], from: number, limit: number): number {
    let index = from;
    for (; index < rows.length && this.#length + PREFIX_BYTES_MAX <= limit; index++) {
      if (this.#hasPathIds) this.#u32(pathIds[index] ?? 0);
      this.#length = this.#prefixes.write(rows[index] ?? 0, this.#slab, this.#length);
    }
    return index;
  }

  /** Begins a message, with room for the largest one. */
  #begin(): number {
    const start = this.#length;
    const needed = start + this.#messageBytesMax;
    if (needed > this.#slab.length) {
      const grown = new Uint8Array(Math.max(this.#slab.length * 2, needed, SLAB_BYTES));
      grown.set(this.#slab.subarray(0, start));
      this.#slab = grown;
    }
    this.#slab.fill(0xff, start, start + MARKER_BYTES);
    this.#slab[start + MARKER_BYTES + 2] = MESSAGE_TYPE.update;
    this.#length = start + HEADER_BYTES;
    return start;
  }

  #end(start: number): void {
    this.#patch(start + MARKER_BYTES, this.#length - start);
  }

  /** The head of an attribute that carries prefixes; returns where its length is to be put. */
  #attribute(type: number): number {
    this.#slab[this.#length++] = FLAG_OPTIONAL | FLAG_EXTENDED_LENGTH;
    this.#slab[this.#length++] = type;
    const lengthAt = this.#length;
    this.#u16(0);
    return lengthAt;
  }

  #bytes(bytes: Uint8Array): void {
    this.#slab.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  #u16(value: number): void {
    this.#slab[this.#length++] = value >>> 8;
    this.#slab[this.#length++] = value;
  }

  #u32(value: number): void {
    this.#u16(value >>> 16);
    this.#u16(value & 0xffff);
  }

  #patch(offset: number, value: number): void {
    this.#slab[offset] = value >>> 8;
    this.#slab[offset + 1] = value;
  }
}

/** The message that says: this was all of the family (RFC 4724 section 2). */
export function encodeEndOfRib(family: Family): Uint8Array {
  const writer = new ByteWriter(32);
  for (let index = 0; index < MARKER_BYTES; index++) writer.u8(0xff);
  if (family === 4) return writer.u16(23).u8(MESSAGE_TYPE.update).u16(0).u16(0).finish();
  writer.u16(30).u8(MESSAGE_TYPE.update).u16(0).u16(7);
  writer
    .u8(FLAG_OPTIONAL | FLAG_EXTENDED_LENGTH)
    .u8(ATTRIBUTE.mpUnreach)
    .u16(3);
  writeAfiSafi(writer, family);
  return writer.finish();
}
