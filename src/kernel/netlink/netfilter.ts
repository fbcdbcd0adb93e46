/**
 * What all of netfilter's messages have in common: struct nfgenmsg, and numbers in network order.
 *
 * A message's type is the subsystem in the upper byte and the subsystem's own number in the lower. The body begins with
 * family, version 0 and a number of 16 bits (the group, for logged packets); then attributes. Unlike in rtnetlink, the
 * numbers in attributes are big-endian.
 *
 * Source: linux/netfilter/nfnetlink.h. Called by conntrack.ts, nflog.ts and nftables.ts beside this file.
 */
import { byteAt } from '../../lib/bytes.ts';
import { NetlinkWriter } from './message.ts';

export const NFNL_SUBSYSTEM = { conntrack: 1, log: 4, nftables: 10 } as const;

/** struct nfgenmsg: what attributes come behind. */
export const NFGENMSG_LENGTH = 4;

/** NLA_F_NESTED: a container of attributes says so; conntrack insists. */
const NESTED_FLAG = 0x8000;

export function netfilterType(subsystem: number, message: number): number {
  return (subsystem << 8) | message;
}

/** A body that begins with struct nfgenmsg. */
export function nfgenmsg(family: number, resource: number): NetlinkWriter {
  return new NetlinkWriter().u8(family).u8(0).bytes(be16(resource));
}

/** An attribute that holds attributes. */
export function nestAttributes(writer: NetlinkWriter, type: number, write: () => void): void {
  writer.nested(type | NESTED_FLAG, write);
}

export function be16(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value);
}

export function be32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value);
}

/** The number in an attribute of one byte; undefined when there is none or it has another length. */
export function u8Of(value: Uint8Array | undefined): number | undefined {
  return value?.length === 1 ? byteAt(value, 0) : undefined;
}

/** Likewise of two bytes in network order. */
export function be16Of(value: Uint8Array | undefined): number | undefined {
  return value?.length === 2 ? (byteAt(value, 0) << 8) | byteAt(value, 1) : undefined;
}

/** Likewise of four. */
export function be32Of(value: Uint8Array | undefined): number | undefined {
  return value?.length === 4 ? be32At(value, 0) : undefined;
}

/** The four bytes at `offset`, which the caller knows to be inside. */
export function be32At(bytes: Uint8Array, offset: number): number {
  const high = (byteAt(bytes, offset) << 8) | byteAt(bytes, offset + 1);
  return high * 0x10000 + ((byteAt(bytes, offset + 2) << 8) | byteAt(bytes, offset + 3));
}
