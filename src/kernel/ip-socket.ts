/**
 * What sockets of TCP, UDP and ICMPv6 have in common: IP's options under each family's names, and filters for the TTL.
 *
 * A packet that has crossed a router has a smaller TTL than it began with, so what comes with 255 comes from the link. The
 * filters are classic BPF and run in the kernel, before anything of a packet gets here.
 * Source: linux/in.h, linux/in6.h, linux/filter.h, man 7 ip, man 7 ipv6.
 */
import { closeSync } from 'node:fs';
import type { Family } from '../net/ip.ts';

export const IPPROTO_IP = 0;
export const IPPROTO_IPV6 = 41;
export const IPV6_V6ONLY = 26;

/** The same options under each family's names: IP_TTL/IPV6_UNICAST_HOPS, IP_MINTTL/IPV6_MINHOPCOUNT, IP_TOS/IPV6_TCLASS. */
export const IP_OPTIONS: Readonly<
  Record<
    Family,
    { readonly level: number; readonly ttl: number; readonly ttlMin: number; readonly trafficClass: number }
  >
> = {
  4: { level: IPPROTO_IP, ttl: 2, ttlMin: 21, trafficClass: 1 },
  6: { level: IPPROTO_IPV6, ttl: 16, ttlMin: 73, trafficClass: 67 },
};

/** Where the TTL or hop limit stands in the header. */
export const TTL_OFFSET: Readonly<Record<Family, number>> = { 4: 8, 6: 7 };

/** The greatest TTL there is: what we send with, and what a packet from the same link still has. */
export const TTL_MAX = 255;
/** CS6, network control (RFC 4594 section 3.2), in the upper six bits: routing goes before what it routes. */
export const CLASS_SELECTOR_6 = 0xc0;

/** Does something with a new descriptor, and closes it when that fails. */
export function closingOnError<Result>(fd: number, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Instructions of classic BPF: load a byte, jump unless it is at least so much, and return how much of the packet passes. */
const BPF = { loadByte: 0x30, jumpIfAtLeast: 0x35, pass: 0x06 };
/** From here offsets count from the IP header, wherever the packet begins for the socket (SKF_NET_OFF). */
const FROM_IP_HEADER = -0x100000;
const WHOLE_PACKET = 0xffff;

/** Lets packets pass whose TTL or hop limit is `ttlMin` or more. */
export function ttlFilter(family: Family, ttlMin: number): Uint8Array {
  return program([
    [BPF.loadByte, 0, 0, FROM_IP_HEADER + TTL_OFFSET[family]],
    [BPF.jumpIfAtLeast, 0, 1, ttlMin],
    [BPF.pass, 0, 0, WHOLE_PACKET],
    [BPF.pass, 0, 0, 0],
  ]);
}

export const NOTHING_PASSES = program([[BPF.pass, 0, 0, 0]]);

/** struct sock_filter: the code, where to jump if true and if false, and a value. */
function program(instructions: readonly (readonly [number, number, number, number])[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, ifTrue, ifFalse, value]] of instructions.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setInt32(index * 8 + 4, value, true);
  }
  return bytes;
}
