/**
 * What the BGP load generator announces: which client owns which prefix, with which attributes, as bytes.
 *
 * Prefixes are numbers. Number n is owned by client n / prefixes, belongs to attribute set n / perSet, and is written as
 * 20.0.0.0/24 + n or 2a00:0:nnnn:nnnn::/64, so that from a prefix on the wire follows by arithmetic what it must come with.
 * Behind them stand the numbers of single prefixes that are announced one by one. The encoder is the generator's own:
 * what checks the speaker shares no code with it.
 */
export interface Workload {
  readonly family: 4 | 6;
  readonly clients: number;
  /** The first so many clients announce. */
  readonly senders: number;
  /** Of each sender; a multiple of `perSet`. */
  readonly prefixes: number;
  /** How many prefixes in a row share their attributes. */
  readonly perSet: number;
  /** Clients that come when all has settled. */
  readonly late: number;
  /** Prefixes that are announced one at a time after that. */
  readonly pings: number;
  /** Everybody announces as soon as its session is up, and the clock runs from the first connection on. */
  readonly cold: boolean;
}

export const CLIENT_ASN_PATH = [4_200_000_001, 64_900] as const;
export const LOCAL_PREFERENCE = 100;
/** 20.0.0.0/24 as a number of 24 bits. */
export const PREFIX_BASE = 20 << 16;
/** The attribute set of all single prefixes. */
const PING_SET = 0xfff0;
const MESSAGE_BYTES_MAX = 4096;
const HEADER_BYTES = 19;
const HOLD_TIME_SECONDS = 180;
/** RFC 6793. */
const AS_TRANS = 23_456;

export const MESSAGE = { open: 1, update: 2, notification: 3, keepalive: 4 } as const;

export function totalPrefixes({ senders, prefixes }: Workload): number {
  return senders * prefixes;
}

export function ownerOf(workload: Workload, prefix: number): number {
  const total = totalPrefixes(workload);
  return prefix < total ? Math.floor(prefix / workload.prefixes) : (prefix - total) % workload.senders;
}

export function setOf(workload: Workload, prefix: number): number {
  return prefix < totalPrefixes(workload) ? Math.floor(prefix / workload.perSet) : PING_SET;
}

/** The first two bytes of both communities are fixed; the others hold the number of the set. */
export function communitiesOf(set: number): readonly [number, number] {
  return [((65_001 << 16) | (set >>> 16)) >>> 0, ((65_002 << 16) | (set & 0xffff)) >>> 0];
}

/** fd00:254:: and the client's IPv4 address. */
export const NEXT_HOP_IPV6_PREFIX: readonly number[] = [0xfd, 0, 2, 0x54, 0, 0, 0, 0, 0, 0, 0, 0];

export function keepalive(): Buffer {
  return message(MESSAGE.keepalive, []);
}

export function open(asn: number, address: number, family: 4 | 6): Buffer {
  const multiprotocol = [2, 6, 1, 4, ...u16(family === 4 ? 1 : 2), 0, 1];
  const routeRefresh = [2, 2, 2, 0];
  const capabilities = [...multiprotocol, ...routeRefresh, 2, 6, 65, 4, ...u32(asn)];
  const shortAsn = asn > 0xffff ? AS_TRANS : asn;
  const fixed = [4, ...u16(shortAsn), ...u16(HOLD_TIME_SECONDS), ...u32(address), capabilities.length];
  return message(MESSAGE.open, [...fixed, ...capabilities]);
}

/** RFC 4724 section 2. */
export function endOfRib(family: 4 | 6): Buffer {
  return message(MESSAGE.update, family === 4 ? [0, 0, 0, 0] : [0, 0, 0, 6, 0x80, 15, 3, 0, 2, 1]);
}

/** UPDATEs that announce all prefixes from `from` up to `to`, each set in messages of its own. */
export function announcements(
  workload: Workload,
  client: { readonly address: number },
  from: number,
  to: number,
): Buffer {
  const messages: Buffer[] = [];
  for (let at = from; at < to; ) {
    const set = setOf(workload, at);
    let end = at + 1;
    while (end < to && setOf(workload, end) === set) end++;
    messages.push(...announcementsOfSet(workload.family, client.address, set, at, end));
    at = end;
  }
  return Buffer.concat(messages);
}

function announcementsOfSet(family: 4 | 6, address: number, set: number, from: number, to: number): Buffer[] {
  const attributes = [
    ...[0x40, 1, 1, 0],
    ...[0x40, 2, 10, 2, 2, ...CLIENT_ASN_PATH.flatMap(u32)],
    ...(family === 4 ? [0x40, 3, 4, ...u32(address)] : []),
    ...[0x40, 5, 4, ...u32(LOCAL_PREFERENCE)],
    ...[0xc0, 8, 8, ...communitiesOf(set).flatMap(u32)],
  ];
  const nextHop = [...NEXT_HOP_IPV6_PREFIX, ...u32(address)];
  const fixedBytes = HEADER_BYTES + 4 + attributes.length + (family === 4 ? 0 : 4 + 5 + nextHop.length);
  return inMessages(family, fixedBytes, from, to).map((nlri) => {
    if (family === 4) return message(MESSAGE.update, [0, 0, ...u16(attributes.length), ...attributes, ...nlri]);
    const reach = [0, 2, 1, nextHop.length, ...nextHop, 0, ...nlri];
    const all = [...attributes, 0x90, 14, ...u16(reach.length), ...reach];
    return message(MESSAGE.update, [0, 0, ...u16(all.length), ...all]);
  });
}

/** UPDATEs that withdraw all prefixes from `from` up to `to`. */
export function withdrawals({ family }: Workload, from: number, to: number): Buffer {
  const messages = inMessages(family, HEADER_BYTES + 4 + 7, from, to).map((nlri) => {
    if (family === 4) return message(MESSAGE.update, [...u16(nlri.length), ...nlri, 0, 0]);
    const attributes = [0x90, 15, ...u16(nlri.length + 3), 0, 2, 1, ...nlri];
    return message(MESSAGE.update, [0, 0, ...u16(attributes.length), ...attributes]);
  });
  return Buffer.concat(messages);
}

/** Prefixes as NLRI, in pieces that fit beside `fixedBytes` into a message. */
function inMessages(family: 4 | 6, fixedBytes: number, from: number, to: number): number[][] {
  const each = Math.floor((MESSAGE_BYTES_MAX - fixedBytes) / (family === 4 ? 4 : 9));
  const pieces: number[][] = [];
  for (let at = from; at < to; at += each) {
    const nlri: number[] = [];
    for (let prefix = at; prefix < Math.min(at + each, to); prefix++) nlri.push(...nlriOf(family, prefix));
    pieces.push(nlri);
  }
  return pieces;
}

function nlriOf(family: 4 | 6, prefix: number): number[] {
  return family === 4 ? [24, ...u32(PREFIX_BASE + prefix).slice(1)] : [64, 0x2a, 0, 0, 0, ...u32(prefix)];
}

function message(type: number, body: readonly number[]): Buffer {
  return Buffer.from([...Array<number>(16).fill(0xff), ...u16(HEADER_BYTES + body.length), type, ...body]);
}

function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff];
}
