/**
 * Netlink framing: messages, and the attributes inside them.
 *
 * A datagram holds messages, each a header of 16 bytes and a body; a body is a fixed struct and then attributes (length,
 * type, value), which may nest. Everything starts at a multiple of four and is in the byte order of the machine:
 * little-endian here, as on every machine that muslin runs on (netlink-socket.ts checks). Reading never throws: what is
 * cut off or malformed is a value. Unknown message types and unknown attributes are kept, for whoever knows them.
 *
 * Source: linux/netlink.h; RFC 3549 for the ideas. Called by the codecs beside this file and by netlink-socket.ts.
 */
import { byteAt } from '../../lib/bytes.ts';

/** nlmsg_type of the messages that every netlink protocol has. */
export const NLMSG = { noop: 1, error: 2, done: 3, overrun: 4 } as const;

/** nlmsg_flags. Some bits mean one thing in a GET (dump), another in a NEW (replace …), another in an ack (capped …). */
export const NLM_F = {
  request: 0x1,
  multi: 0x2,
  ack: 0x4,
  echo: 0x8,
  /** The dump was torn by a change while it was being read: read it anew. */
  dumpInterrupted: 0x10,
  dump: 0x300,
  replace: 0x100,
  exclusive: 0x200,
  create: 0x400,
  append: 0x800,
  /** In an NLMSG_ERROR: the request that it repeats is its header only. */
  capped: 0x100,
  /** In an NLMSG_ERROR: attributes follow (the extended ack). */
  ackAttributes: 0x200,
} as const;

const HEADER_LENGTH = 16;
const ATTRIBUTE_HEADER_LENGTH = 4;
/** nla_len has 16 bits. */
const ATTRIBUTE_LENGTH_MAX = 0xffff;
/** NLA_F_NESTED and NLA_F_NET_BYTEORDER are flags in the upper bits of nla_type. */
const ATTRIBUTE_TYPE_MASK = 0x3fff;

/** What is asked of the kernel; the socket adds sequence number and NLM_F_REQUEST. */
export interface NetlinkRequest {
  readonly type: number;
  readonly flags: number;
  readonly body: Uint8Array;
}

export interface NetlinkMessage {
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** A view into the datagram: copy it if it is to outlive the receive buffer. */
  readonly body: Uint8Array;
}

/** The values by attribute type, as views; of repeated attributes the last counts, as in the kernel. */
export type Attributes = ReadonlyMap<number, Uint8Array>;

/** The next multiple of four. */
export function aligned(length: number): number {
  return (length + 3) & ~3;
}

/** The two bytes at `offset`, which the caller knows to be inside. */
export function u16At(bytes: Uint8Array, offset: number): number {
  return byteAt(bytes, offset) | (byteAt(bytes, offset + 1) << 8);
}

/** The four bytes at `offset`, which the caller knows to be inside, as an unsigned number. */
export function u32At(bytes: Uint8Array, offset: number): number {
  return (u16At(bytes, offset) | (u16At(bytes, offset + 2) << 16)) >>> 0;
}

/** The number in an attribute of four bytes; undefined when there is none or it has another length. */
export function u32Of(value: Uint8Array | undefined): number | undefined {
  return value?.length === 4 ? u32At(value, 0) : undefined;
}

/** The text in an attribute, up to its first NUL. */
export function textOf(value: Uint8Array | undefined): string | undefined {
  if (value === undefined) return undefined;
  const end = value.indexOf(0);
  return new TextDecoder().decode(end < 0 ? value : value.subarray(0, end));
}

/** The bytes of a request, ready to be sent. */
export function encodeMessage(request: NetlinkRequest, sequence: number): Uint8Array {
  const writer = new NetlinkWriter(HEADER_LENGTH + request.body.length);
  writer
    .u32(HEADER_LENGTH + request.body.length)
    .u16(request.type)
    .u16(request.flags | NLM_F.request);
  return writer.u32(sequence).u32(0).bytes(request.body).finish();
}

/**
 * The messages of a datagram, up to the first malformed one. `malformed` says what is wrong with that one and where;
 * it is undefined for a sound datagram.
 */
export function parseMessages(datagram: Uint8Array): { messages: NetlinkMessage[]; malformed: string | undefined } {
  const messages: NetlinkMessage[] = [];
  let offset = 0;
  while (offset < datagram.length) {
    const remaining = datagram.length - offset;
    if (remaining < HEADER_LENGTH) {
      return { messages, malformed: `${remaining} bytes at ${offset}, too few for a message's header` };
    }
    const length = u32At(datagram, offset);
    if (length < HEADER_LENGTH || length > remaining) {
      return { messages, malformed: `message at ${offset} of length ${length}, not in 16 … ${remaining}` };
    }
    messages.push({
      type: u16At(datagram, offset + 4),
      flags: u16At(datagram, offset + 6),
      sequence: u32At(datagram, offset + 8),
      portId: u32At(datagram, offset + 12),
      body: datagram.subarray(offset + HEADER_LENGTH, offset + length),
    });
    offset += Math.ceil(length / 4) * 4;
  }
  return { messages, malformed: undefined };
}

/** The attributes of a body from `start` on; undefined when one of them is malformed. */
export function parseAttributes(body: Uint8Array, start = 0): Attributes | undefined {
  if (start > body.length) return undefined;
  const attributes = new Map<number, Uint8Array>();
  let offset = start;
  while (offset < body.length) {
    const remaining = body.length - offset;
    if (remaining < ATTRIBUTE_HEADER_LENGTH) return undefined;
    const length = u16At(body, offset);
    if (length < ATTRIBUTE_HEADER_LENGTH || length > remaining) return undefined;
    const value = body.subarray(offset + ATTRIBUTE_HEADER_LENGTH, offset + length);
    attributes.set(u16At(body, offset + 2) & ATTRIBUTE_TYPE_MASK, value);
    offset += aligned(length);
  }
  return attributes;
}

const ENCODER = new TextEncoder();
/** More than most bodies have. */
const CAPACITY = 1024;
/** A batch of elements is larger, and rare. */
const SPARE_MAX = 64 * 1024;
/** What the last writer wrote in: making a buffer takes longer than filling it. */
let spare: Uint8Array | undefined;

/** Writes bodies: little-endian numbers, and attributes padded to a multiple of four. */
export class NetlinkWriter {
  #bytes: Uint8Array;
  #length = 0;

  constructor(capacity?: number) {
    this.#bytes = capacity === undefined ? (spare ?? new Uint8Array(CAPACITY)) : new Uint8Array(capacity);
    if (capacity === undefined) spare = undefined; // whoever writes at the same time has its own
  }

  u8(value: number): this {
    this.#reserve(1);
    this.#bytes[this.#length++] = value & 0xff;
    return this;
  }

  u16(value: number): this {
    return this.u8(value).u8(value >>> 8);
  }

  u32(value: number): this {
    return this.u16(value & 0xffff).u16(value >>> 16);
  }

  bytes(value: Uint8Array): this {
    this.#reserve(value.length);
    this.#bytes.set(value, this.#length);
    this.#length += value.length;
    return this;
  }

  attribute(type: number, value: Uint8Array): this {
    return this.nested(type, () => this.bytes(value));
  }

  attributeU32(type: number, value: number): this {
    return this.nested(type, () => this.u32(value));
  }

  /** Text with the NUL that ends it. */
  attributeText(type: number, text: string): this {
    return this.nested(type, () => this.bytes(ENCODER.encode(text)).u8(0));
  }

  /** An attribute whose value is what `write` writes. */
  nested(type: number, write: () => void): this {
    const start = this.#length;
    this.u16(0).u16(type);
    write();
    const length = this.#length - start;
    if (length > ATTRIBUTE_LENGTH_MAX)
      throw new RangeError(`netlink attribute ${type} of ${length} bytes: 65535 at most`);
    this.patchU16(start, length);
    return this.pad();
  }

  /** Zeros up to the next multiple of four. */
  pad(): this {
    while (this.#length % 4 !== 0) this.u8(0);
    return this;
  }

  get length(): number {
    return this.#length;
  }

  /** Overwrites two bytes that were written before, for a length that has become known. */
  patchU16(offset: number, value: number): void {
    this.#bytes[offset] = value & 0xff;
    this.#bytes[offset + 1] = (value >>> 8) & 0xff;
  }

  /** The bytes written so far, as a copy of their own. */
  finish(): Uint8Array {
    const written = this.#bytes.slice(0, this.#length);
    if (this.#bytes.length <= SPARE_MAX) spare = this.#bytes;
    this.#bytes = written; // which grows if somebody writes on
    return written;
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = grown;
  }
}
