/**
 * Messages on the wire: cutting the byte stream into messages, and the two that are trivial.
 *
 * TCP delivers bytes cut anywhere. A message that lies complete in what has come is handed on as a view of it; only the
 * one that a chunk ends in the middle of is copied, and the rest of it gathered. Each header is checked as soon as it is
 * there, so that a stream out of step is found at once and a peer cannot make us hold more than one message. Whoever keeps
 * a body copies it.
 *
 * RFC 4271 sections 4.1, 4.4, 4.5 and 6.1, RFC 8654. OPEN is in open.ts, UPDATE in update.ts.
 */
import { ByteReader, byteAt } from '../../lib/bytes.ts';
import type { BgpError } from './errors.ts';
import { bgpError } from './errors.ts';

export const HEADER_BYTES = 19;
/** RFC 4271 section 4.1. */
export const MESSAGE_BYTES_MAX = 4096;
/** Where both sides have agreed on extended messages (RFC 8654 section 4), for all but OPEN and KEEPALIVE. */
export const EXTENDED_MESSAGE_BYTES_MAX = 65535;

export const MESSAGE_TYPE = { open: 1, update: 2, notification: 3, keepalive: 4, routeRefresh: 5 } as const;

const MARKER_BYTES = 16;

interface MessageRow {
  readonly bytesMin: number;
  /** Undefined where the negotiated maximum holds. */
  readonly bytesMax: number | undefined;
}

/** By type; there is no type 0. */
const MESSAGES: readonly (MessageRow | undefined)[] = [
  undefined,
  { bytesMin: 29, bytesMax: MESSAGE_BYTES_MAX },
  { bytesMin: 23, bytesMax: undefined },
  { bytesMin: 21, bytesMax: undefined },
  { bytesMin: 19, bytesMax: 19 },
  // Other lengths than 23 are the refresh's own error (RFC 7313 section 5).
  { bytesMin: HEADER_BYTES, bytesMax: undefined },
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
  /**
   * The longest message allowed from now on. It is in time to set this once the peer's OPEN has been obeyed: longer ones
   * can only follow the KEEPALIVE with which we answer it, so they are in no chunk together with the OPEN.
   */
  messageBytesMax = MESSAGE_BYTES_MAX;
  /** The beginning of a message, in room for all of it once its length is known. */
  #partial: Uint8Array = new Uint8Array(HEADER_BYTES);
  #partialBytes = 0;

  /** Takes the next bytes of the stream. Frames before an error are still to be obeyed; after it the stream is lost. */
  push(bytes: Uint8Array): { readonly frames: readonly Frame[]; readonly error: BgpError | undefined } {
    const frames: Frame[] = [];
    let offset = 0;
    if (this.#partialBytes > 0) {
      offset = this.#complete(bytes);
      const length = this.#partialLength();
      if (typeof length === 'object') return { frames, error: length };
      if (length === undefined || this.#partialBytes < length) return { frames, error: undefined };
      frames.push(frameAt(this.#partial, 0, length));
      this.#partial = new Uint8Array(HEADER_BYTES); // the frame is a view of the old one
      this.#partialBytes = 0;
    }
    while (bytes.length - offset >= HEADER_BYTES) {
      const error = checkHeader(bytes, offset, this.messageBytesMax);
      if (error !== undefined) return { frames, error };
      const length = lengthAt(bytes, offset);
      if (bytes.length - offset < length) break;
      frames.push(frameAt(bytes, offset, length));
      offset += length;
    }
    if (offset < bytes.length) {
      offset += this.#gather(bytes, offset, HEADER_BYTES);
      const length = this.#partialLength();
      if (typeof length === 'number') this.#gather(bytes, offset, length);
    }
    return { frames, error: undefined };
  }

  /** Adds what belongs to the message that has begun; returns how much that was. */
  #complete(bytes: Uint8Array): number {
    const offset = this.#gather(bytes, 0, HEADER_BYTES);
    const length = this.#partialLength();
    return typeof length === 'number' ? offset + this.#gather(bytes, offset, length) : offset;
  }

  /** The length of the message that has begun, what is wrong with its header, or undefined while that is not complete. */
  #partialLength(): number | BgpError | undefined {
    if (this.#partialBytes < HEADER_BYTES) return undefined;
    return checkHeader(this.#partial, 0, this.messageBytesMax) ?? lengthAt(this.#partial, 0);
  }

  /** Copies from `offset` on until `wanted` bytes are there; returns how many it took. */
  #gather(bytes: Uint8Array, offset: number, wanted: number): number {
    const count = Math.min(wanted - this.#partialBytes, bytes.length - offset);
    if (count <= 0) return 0;
    if (this.#partial.length < wanted) {
      const grown = new Uint8Array(wanted);
      grown.set(this.#partial.subarray(0, this.#partialBytes));
      this.#partial = grown;
    }
    this.#partial.set(bytes.subarray(offset, offset + count), this.#partialBytes);
    this.#partialBytes += count;
    return count;
  }
}

function frameAt(stream: Uint8Array, offset: number, length: number): Frame {
  const body = stream.subarray(offset + HEADER_BYTES, offset + length);
  return { type: byteAt(stream, offset + MARKER_BYTES + 2), body };
}

/** The length that the header at `offset` states. */
export function lengthAt(stream: Uint8Array, offset: number): number {
  return (byteAt(stream, offset + MARKER_BYTES) << 8) | byteAt(stream, offset + MARKER_BYTES + 1);
}

function checkHeader(stream: Uint8Array, offset: number, messageBytesMax: number): BgpError | undefined {
  for (let index = 0; index < MARKER_BYTES; index++) {
    if (stream[offset + index] !== 0xff) {
      return bgpError('connectionNotSynchronized', `message marker byte ${index} is not 255`);
    }
  }
  const length = lengthAt(stream, offset);
  const type = byteAt(stream, offset + MARKER_BYTES + 2);
  const row = MESSAGES[type];
  const bytesMin = row?.bytesMin ?? HEADER_BYTES;
  const bytesMax = row?.bytesMax ?? messageBytesMax;
  if (length < bytesMin || length > bytesMax) {
    const why = `message of type ${type} with ${length} bytes, allowed are ${bytesMin} to ${bytesMax}`;
    return bgpError('badMessageLength', why, Uint8Array.of(length >> 8, length & 0xff));
  }
  if (row !== undefined) return undefined;
  return bgpError('badMessageType', `message type ${type}, known are 1 to 5`, Uint8Array.of(type));
}

/** A whole message; the body fits. */
export function encodeMessage(type: number, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_BYTES + body.length);
  message.fill(0xff, 0, MARKER_BYTES);
  message[MARKER_BYTES] = message.length >> 8;
  message[MARKER_BYTES + 1] = message.length & 0xff;
  message[MARKER_BYTES + 2] = type;
  message.set(body, HEADER_BYTES);
  return message;
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
