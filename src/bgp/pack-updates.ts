/**
 * From changed routes to UPDATE messages, as few as possible.
 *
 * Routes that go out with the same attributes share messages, each filled up to the 4096 bytes of RFC 4271. IPv4 stands in
 * the classic fields, IPv6 in MP_REACH_NLRI and MP_UNREACH_NLRI, and one message carries one kind of field only, which is
 * what every implementation reads well (RFC 7606 section 5.1). Withdrawals come first, since they free the receiver of what is
 * wrong. All messages come as one byte string, for one write to the socket.
 *
 * RFC 4271 section 4.3, RFC 4760 sections 3 and 4, RFC 4724 section 2.
 */
import { assert } from '../lib/assert.ts';
import { ByteWriter, sameBytes } from '../lib/bytes.ts';
import type { Cidr } from '../net/cidr.ts';
import { familyOf } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { sameIp } from '../net/ip.ts';
import { ATTRIBUTE, FLAG_OPTIONAL, writeAttributeHeader } from './attributes.ts';
import { writeAfiSafi } from './capabilities.ts';
import { beginMessage, endMessage, HEADER_BYTES, MESSAGE_BYTES_MAX, MESSAGE_TYPE } from './message.ts';
import { prefixBytes, writePrefix } from './nlri.ts';

/** Attributes ready to be sent: without MP_REACH_NLRI, whose next hop stands beside them. */
export interface OutgoingSet {
  readonly bytes: Uint8Array;
  readonly nextHop: Ip;
}

export interface OutgoingChange {
  readonly prefix: Cidr;
  /** What is announced; undefined withdraws. */
  readonly set: OutgoingSet | undefined;
}

/** The two length fields of an UPDATE. */
const UPDATE_FIXED_BYTES = 4;
const ROOM = MESSAGE_BYTES_MAX - HEADER_BYTES - UPDATE_FIXED_BYTES;
/** Flags, type and a length of two bytes. */
const LONG_ATTRIBUTE_HEADER_BYTES = 4;
const AFI_SAFI_BYTES = 3;
/** The longest prefix, ::/128. */
const PREFIX_BYTES_MAX = 17;

export function sameOutgoingSet(a: OutgoingSet | undefined, b: OutgoingSet | undefined): boolean {
  if (a === b) return true;
  return a !== undefined && b !== undefined && sameBytes(a.bytes, b.bytes) && sameIp(a.nextHop, b.nextHop);
}

/** Whether one message can hold the attributes and at least one prefix; otherwise the route cannot be sent. */
export function fitsMessage(set: OutgoingSet): boolean {
  return reachRoom(set) >= PREFIX_BYTES_MAX;
}

/** The messages for all changes, in one byte string; empty when there are none. Each set must fit a message. */
export function packUpdates(changes: Iterable<OutgoingChange>): Uint8Array {
  const withdrawn: Record<Family, Cidr[]> = { 4: [], 6: [] };
  const announced = new Map<OutgoingSet, Cidr[]>();
  for (const { prefix, set } of changes) {
    const prefixes = set === undefined ? withdrawn[familyOf(prefix)] : announced.get(set);
    if (prefixes !== undefined) prefixes.push(prefix);
    else if (set !== undefined) announced.set(set, [prefix]);
  }
  const writer = new ByteWriter(1024);
  for (const family of [4, 6] as const) {
    const room = family === 4 ? ROOM : ROOM - LONG_ATTRIBUTE_HEADER_BYTES - AFI_SAFI_BYTES;
    for (const chunk of chunks(withdrawn[family], room)) writeWithdrawal(writer, family, chunk);
  }
  for (const [set, prefixes] of announced) {
    assert(fitsMessage(set), `attributes of ${set.bytes.length} bytes leave no room for a prefix`);
    for (const chunk of chunks(prefixes, reachRoom(set))) writeAnnouncement(writer, set, chunk);
  }
  return writer.finish();
}

/** The message that says: this was all of the family (RFC 4724 section 2). */
export function encodeEndOfRib(family: Family): Uint8Array {
  const writer = new ByteWriter(32);
  writeWithdrawal(writer, family, { prefixes: [], bytes: 0 });
  return writer.finish();
}

function reachRoom(set: OutgoingSet): number {
  const room = ROOM - set.bytes.length;
  if (set.nextHop.family === 4) return room;
  return room - LONG_ATTRIBUTE_HEADER_BYTES - AFI_SAFI_BYTES - 2 - set.nextHop.bytes.length;
}

interface Chunk {
  readonly prefixes: readonly Cidr[];
  readonly bytes: number;
}

function* chunks(prefixes: readonly Cidr[], room: number): Iterable<Chunk> {
  let start = 0;
  let bytes = 0;
  for (const [index, prefix] of prefixes.entries()) {
    const more = prefixBytes(prefix);
    if (bytes + more > room) {
      yield { prefixes: prefixes.slice(start, index), bytes };
      start = index;
      bytes = 0;
    }
    bytes += more;
  }
  if (bytes > 0) yield { prefixes: prefixes.slice(start), bytes };
}

function writeWithdrawal(writer: ByteWriter, family: Family, chunk: Chunk): void {
  const start = beginMessage(writer, MESSAGE_TYPE.update);
  if (family === 4) {
    writer.u16(chunk.bytes);
    for (const prefix of chunk.prefixes) writePrefix(writer, prefix);
    writer.u16(0);
  } else {
    const valueBytes = AFI_SAFI_BYTES + chunk.bytes;
    writer.u16(0);
    const lengthAt = writer.length;
    writer.u16(0);
    writeAttributeHeader(writer, FLAG_OPTIONAL, ATTRIBUTE.mpUnreach, valueBytes);
    writeAfiSafi(writer, family);
    for (const prefix of chunk.prefixes) writePrefix(writer, prefix);
    writer.patchU16(lengthAt, writer.length - lengthAt - 2);
  }
  endMessage(writer, start);
}

function writeAnnouncement(writer: ByteWriter, set: OutgoingSet, chunk: Chunk): void {
  const start = beginMessage(writer, MESSAGE_TYPE.update);
  const { family, bytes: nextHop } = set.nextHop;
  writer.u16(0);
  const lengthAt = writer.length;
  writer.u16(0);
  if (family === 6) {
    const valueBytes = AFI_SAFI_BYTES + 2 + nextHop.length + chunk.bytes;
    writeAttributeHeader(writer, FLAG_OPTIONAL, ATTRIBUTE.mpReach, valueBytes);
    writeAfiSafi(writer, family);
    writer.u8(nextHop.length).bytes(nextHop).u8(0);
    for (const prefix of chunk.prefixes) writePrefix(writer, prefix);
  }
  writer.bytes(set.bytes).patchU16(lengthAt, writer.length - lengthAt - 2);
  if (family === 4) for (const prefix of chunk.prefixes) writePrefix(writer, prefix);
  endMessage(writer, start);
}
