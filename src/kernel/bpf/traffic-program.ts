/**
 * What programs on a device's traffic are handed, and may call: names for the kernel's numbers and layouts.
 *
 * A program of this kind (BPF_PROG_TYPE_SCHED_CLS) gets a packet's struct __sk_buff in r1, may call the functions below, and
 * says what becomes of the packet. The same verdicts hold for both ways to attach it, tc and TCX.
 *
 * Source: linux/bpf.h, linux/pkt_cls.h. Called by ipip-encapsulation.ts and ipip-decapsulation.ts.
 */
import { type Mac, macBytes } from '../../net/mac.ts';
import {
  call,
  compute,
  loadMap,
  type Register,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
  type Step,
  stack,
  stackAddress,
  store,
} from './assembler.ts';

/** Offsets in struct __sk_buff. `data` and `dataEnd` are addresses, the rest numbers of 4 bytes. */
export const PACKET = { length: 0, type: 4, protocol: 16, index: 40, data: 76, dataEnd: 80, segmentSize: 176 } as const;

/** `next` lets the other programs of the device have their say, and then the stack. */
export const VERDICT = { next: -1, drop: 2 } as const;

/** Of `PACKET.type`: addressed to this machine. */
export const PACKET_HOST = 0;
/** ETH_P_IP as it lies in a little-endian register when read from network order. */
export const PROTOCOL_IPV4 = 0x0008;
export const ETHERNET_LENGTH = 14;
const ETHERNET_TYPE_IPV4 = 0x0800;

export const FUNCTION = {
  mapLookup: 1,
  now: 5,
  random: 7,
  storeBytes: 9,
  replaceHeaderChecksum: 10,
  redirect: 23,
  loadBytes: 26,
  checksumDifference: 28,
  changeTail: 38,
  changeHead: 43,
  adjustRoom: 50,
  routeLookup: 69,
  redirectToNeighbour: 152,
} as const;

/** For `redirect`: as if the packet had come in there. */
export const REDIRECT_INGRESS = 1;

/** For `adjustRoom`: between Ethernet and IP header; segments keep their size; an IPv4 header comes before; checksums are kept. */
export const ROOM_AFTER_ETHERNET = 1;
export const ROOM = { fixedSegments: 1 << 0, outerIpv4: 1 << 1, keepChecksum: 1 << 5 } as const;

/** struct bpf_fib_lookup, which asks for a route and bears the answer. */
export const ROUTE = {
  size: 64,
  family: 0,
  protocol: 1,
  /** In: the packet's length, checked unless 0; out: the MTU. */
  length: 6,
  index: 8,
  source: 16,
  destination: 32,
} as const;
export const ROUTE_FLAG = { output: 2, source: 16 } as const;
/** What a lookup gives: a route to forward by, whether or not the neighbour's MAC is known. */
export const ROUTE_RESULT = { found: 0, notForwarded: 4, neighbourUnknown: 7, tooLong: 8, invalid: -22 } as const;
export const FAMILY_IPV4 = 2;
/** With the index of `lo` a route is looked up as for a packet of the host's own. */
export const LOOPBACK = 1;

/** Copies `length` bytes of the packet from `offset` on to the stack; r0 is 0 when there were that many. */
export function readPacket(packet: Register, offset: Register | number, place: number, length: number): Step[] {
  return [
    compute(r1, '=', packet),
    compute(r2, '=', offset),
    ...stackAddress(r3, place),
    compute(r4, '=', length),
    call(FUNCTION.loadBytes),
  ];
}

/** Copies `length` bytes of the stack into the packet, from `offset` on; r0 is 0 when it is that long. */
export function writePacket(packet: Register, offset: Register | number, place: number, length: number): Step[] {
  return [
    compute(r1, '=', packet),
    compute(r2, '=', offset),
    ...stackAddress(r3, place),
    compute(r4, '=', length),
    compute(r5, '=', 0),
    call(FUNCTION.storeBytes),
  ];
}

/** Writes the Ethernet header of an IPv4 packet to `mac`, from nobody, on to the stack. */
export function ethernetTo(place: number, mac: Mac): Step[] {
  return [
    ...[...macBytes(mac), ...new Uint8Array(6)].map((byte, index) => store(1, stack, place + index, byte)),
    store(1, stack, place + 12, ETHERNET_TYPE_IPV4 >> 8),
    store(1, stack, place + 13, ETHERNET_TYPE_IPV4 & 0xff),
  ];
}

/** r0 = the address of the value of the key on the stack, or 0. */
export function lookUp(map: number, keyPlace: number): Step[] {
  return [loadMap(r1, map), ...stackAddress(r2, keyPlace), call(FUNCTION.mapLookup)];
}

/** Clears `length` bytes of the stack, a multiple of 8. */
export function clear(place: number, length: number): Step[] {
  return Array.from({ length: length / 8 }, (_, index) => store(8, stack, place + index * 8, 0));
}

/** r0 = the ones' complement of the 16-bit sum of the number in r0 (RFC 1071), as it lies in memory. */
export function foldChecksum(): Step[] {
  const fold = [compute(r1, '=', r0), compute(r1, '>>', 16), compute(r0, '&', 0xffff), compute(r0, '+', r1)];
  // The sum has 32 bits, the first fold leaves 17, the second 16 and a bit, the third 16.
  return [...fold, ...fold, ...fold, compute(r0, '^', 0xffff)];
}
