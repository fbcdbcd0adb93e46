/**
 * Messages on the wire: cutting the byte stream into messages, and the two that are trivial.
 *
 * TCP delivers bytes cut anywhere, so the framer keeps the beginning of a message until the rest has come. It checks
 * each header as soon as it is there, so that a stream out of step is found at once and a peer cannot make us hold more than
 * one message. A frame's body is a view of the bytes received: whoever keeps it copies it.
 *
 * RFC 4271 sections 4.1, 4.4, 4.5 and 6.1. OPEN is in open.ts, UPDATE in update.ts.
 */
import { ByteReader, ByteWriter, byteAt } from '../lib/bytes.ts';
import type { BgpError } from './errors.ts';
import { bgpError } from './errors.ts';

export const HEADER_BYTES = 19;
/** RFC 4271 section 4.1; more only where both sides have agreed on extended messages (RFC 8654), which we do not offer. */
export const MESSAGE_BYTES_MAX = 4096;

export const MESSAGE_TYPE = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

const MARKER_BYTES = 16;

interface MessageRow {
  readonly type: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
}

const MESSAGES: readonly MessageRow[] = [
  { type: MESSAGE_TYPE.open, bytesMin: 29, bytesMax: MESSAGE_BYTES_MAX },
  { type: MESSAGE_TYPE.update, bytesMin: 23, bytesMax: MESSAGE_BYTES_MAX },
  { type: MESSAGE_TYPE.notification, bytesMin: 21, bytesMax: MESSAGE_BYTES_MAX },
  { type: MESSAGE_TYPE.keepalive, bytesMin: 19, bytesMax: 19 },
  // An ORF makes it longer than RFC 2918's 23 bytes (RFC 5291); it is skipped all the same.
  { type: MESSAGE_TYPE.routeRefresh, bytesMin: 23, bytesMax: MESSAGE_BYTES_MAX },
];

export interface Frame {
  readonly type: number;
  /** What follows the header; a view. */
  readonly body: Uint8Array;
}

export interface Notification {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
}

export class MessageFramer {
  #rest: Uint8Array = new Uint8Array(0);

  /** Takes the next bytes of the stream. Frames before an error are still to be obeyed; after it the stream is lost. */
  push(bytes: Uint8Array): { readonly frames: readonly Frame[]; readonly error: BgpError | undefined } {
    const stream = this.#rest.length === 0 ? bytes : join(this.#rest, bytes);
    const frames: Frame[] = [];
    let offset = 0;
    while (stream.length - offset >= HEADER_BYTES) {
      const error = checkHeader(stream, offset);
      if (error !== undefined) return { frames, error };
      const length = lengthAt(stream, offset);
      if (stream.length - offset < length) break;
      const body = stream.subarray(offset + HEADER_BYTES, offset + length);
      frames.push({ type: byteAt(stream, offset + MARKER_BYTES + 2), body });
      offset += length;
    }
    this.#rest = stream.slice(offset);
    return { frames, error: undefined };
  }
}

function lengthAt(stream: Uint8Array, offset: number): number {
  return (byteAt(stream, offset + MARKER_BYTES) << 8) | byteAt(stream, offset + MARKER_BYTES + 1);
}

function checkHeader(stream: Uint8Array, offset: number): BgpError | undefined {
  for (let index = 0; index < MARKER_BYTES; index++) {
    if (byteAt(stream, offset + index) !== 0xff) {
      return bgpError('connectionNotSynchronized', `message marker byte ${index} is not 255`);
    }
  }
  const length = lengthAt(stream, offset);
  const type = byteAt(stream, offset + MARKER_BYTES + 2);
  const row = MESSAGES.find((known) => known.type === type);
  if (row === undefined) {
    return bgpError('badMessageType', `message type ${type}, known are 1 to 5`, Uint8Array.of(type));
  }
  if (length < row.bytesMin || length > row.bytesMax) {
    const why = `message of type ${type} with ${length} bytes, allowed are ${row.bytesMin} to ${row.bytesMax}`;
    return bgpError('badMessageLength', why, Uint8Array.of(length >> 8, length & 0xff));
  }
  return undefined;
}

function join(first: Uint8Array, second: Uint8Array): Uint8Array {
  const joined = new Uint8Array(first.length + second.length);
  joined.set(first);
  joined.set(second, first.length);
  return joined;
}

/** Begins a message: marker, type, and a length that `endMessage` fills in. Returns where the message starts. */
export function beginMessage(writer: ByteWriter, type: number): number {
  const start = writer.length;
  for (let index = 0; index < MARKER_BYTES; index++) writer.u8(0xff);
  writer.u16(0).u8(type);
  return start;
}

export function endMessage(writer: ByteWriter, start: number): void {
  writer.patchU16(start + MARKER_BYTES, writer.length - start);
}

export function encodeMessage(type: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES + body.length);
  const start = beginMessage(writer, type);
  writer.bytes(body);
  endMessage(writer, start);
  return writer.finish();
}

export const KEEPALIVE = encodeMessage(MESSAGE_TYPE.keepalive, new Uint8Array(0));

export function encodeNotification(notification: Notification): Uint8Array {
  const room = MESSAGE_BYTES_MAX - HEADER_BYTES - 2;
  const data = notification.data.subarray(0, room);
  return encodeMessage(MESSAGE_TYPE.notification, Uint8Array.of(notification.code, notification.subcode, ...data));
}

/** The body of a NOTIFICATION; the framer has made sure of its two first bytes. */
export function decodeNotification(body: Uint8Array): Notification {
  const reader = new ByteReader(body);
  const code = reader.u8() ?? 0;
  const subcode = reader.u8() ?? 0;
  return { code, subcode, data: body.slice(2) };
}
