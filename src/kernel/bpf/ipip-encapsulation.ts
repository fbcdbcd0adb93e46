/**
 * The program at the tunnel device's exit: puts an outer IPv4 header before each packet and sends it to the far host.
 *
 * The far host is the gateway of the route that led here; a second lookup finds the way to that host, and the address to
 * send from. The outer header is that of the kernel's own `tunl0` (RFC 2003): TTL and DF are the inner packet's, DSCP is 0, ECN
 * is copied, with congestion told as "capable" (RFC 3168 section 9.1.1). Large packets of segments stay large.
 *
 * A packet with DF that is too long for the way (the route's MTU, or what decapsulation has learnt from a router) is turned
 * into the ICMP message that says so (RFC 1191) and handed to the stack as if it came out of the tunnel. It bears the
 * destination's address as its source, because that is what may come from there, whatever the reverse path filter thinks.
 * Everything that is not IPv4, or has no way, is dropped. The program is also at the entrance of the device's other end, where
 * comes what had to be cut into segments first.
 *
 * Pure. Called by ipip-programs.ts.
 */
import {
  call,
  compute,
  exit,
  jump,
  jumpIf,
  label,
  load,
  r0,
  r1,
  r2,
  r3,
  r4,
  r5,
  r6,
  r7,
  r8,
  r9,
  type Step,
  stack,
  stackAddress,
  store,
  toNetworkOrder,
} from './assembler.ts';
import { ECN, FRAGMENT, HOST, IPV4, IPV4_LENGTH, PATH_MTU_MIN, PROTOCOL, TUNNEL_MAC } from './ipip-layout.ts';
import {
  clear,
  ETHERNET_LENGTH,
  ethernetTo,
  FAMILY_IPV4,
  FUNCTION,
  foldChecksum,
  LOOPBACK,
  lookUp,
  PACKET,
  PROTOCOL_IPV4,
  REDIRECT_INGRESS,
  ROOM,
  ROOM_AFTER_ETHERNET,
  ROUTE,
  ROUTE_FLAG,
  ROUTE_RESULT,
  readPacket,
  VERDICT,
  writePacket,
} from './traffic-program.ts';

/** Places on the stack. */
const LOOKUP = -ROUTE.size;
/** Ethernet, IPv4 and ICMP header of an answer, or the outer header alone. */
const HEADER = LOOKUP - 48;
const INNER = HEADER - 24;
const KEY = INNER - 8;
const QUOTED = KEY - 128;

/** Of a packet that was too long an ICMP message repeats so much, which each such packet has. */
const QUOTED_LENGTH = 128;
const ICMP_LENGTH = 8;
const ICMP_UNREACHABLE = 3;
const ICMP_FRAGMENTATION_NEEDED = 4;
const ICMP_ECHO = { request: 8, reply: 0 } as const;
const UDP_LENGTH = 8;
/** Offset of the byte whose upper half is the length of a TCP header, in words. */
const TCP_LENGTH_OFFSET = 12;
/** Version 4 and a header of five words. */
const VERSION_AND_LENGTH = 0x45;
/** Internetwork control, with which routers send ICMP (RFC 1812 section 4.3.2.5). */
const TRAFFIC_CLASS_CONTROL = 0xc0;
const TTL_DEFAULT = 64;
const LENGTH_MAX = 0xffff;
/** The size of segments that have a size each (GSO_BY_FRAGS). */
const SEGMENTS_UNLIKE = 0xffff;
const EALREADY = -114;

/** The program for the device of that index and the map behind that descriptor. */
export function ipipEncapsulation(tunnelIndex: number, hostsMap: number): Step[] {
  return [
    compute(r6, '=', r1),
    ...readInner(),
    ...findFarHost(tunnelIndex, hostsMap),
    ...measure(),
    ...findWay(tunnelIndex),
    ...checkLearntMtu(),
    label('push'),
    ...buildOuter(),
    ...pushOuter(tunnelIndex),
    label('too long'),
    ...answerTooLong(tunnelIndex),
    label('drop'),
    compute(r0, '=', VERDICT.drop),
    exit(),
  ];
}

/** The inner header comes on to the stack, without its options. */
function readInner(): Step[] {
  return [
    load(4, r1, r6, PACKET.protocol),
    jumpIf(r1, '!=', PROTOCOL_IPV4, 'drop'),
    ...readPacket(r6, ETHERNET_LENGTH, INNER, IPV4_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    load(1, r1, stack, INNER + IPV4.version),
    compute(r1, '&', 0xf0),
    jumpIf(r1, '!=', 0x40, 'drop'),
  ];
}

/** r7 = the far host, r9 = its row or 0. A route whose gateway is an IPv6 address does not lead to a far end of IPIP. */
function findFarHost(tunnelIndex: number, hostsMap: number): Step[] {
  return [
    ...clear(LOOKUP, ROUTE.size),
    store(1, stack, LOOKUP + ROUTE.family, FAMILY_IPV4),
    store(4, stack, LOOKUP + ROUTE.index, tunnelIndex),
    load(4, r1, stack, INNER + IPV4.source),
    store(4, stack, LOOKUP + ROUTE.source, r1),
    load(4, r1, stack, INNER + IPV4.destination),
    store(4, stack, LOOKUP + ROUTE.destination, r1),
    ...lookUpRoute(ROUTE_FLAG.output),
    jumpIf(r0, '==', ROUTE_RESULT.found, 'has gateway'),
    jumpIf(r0, '!=', ROUTE_RESULT.neighbourUnknown, 'drop'),
    label('has gateway'),
    load(1, r1, stack, LOOKUP + ROUTE.family),
    jumpIf(r1, '!=', FAMILY_IPV4, 'drop'),
    load(4, r7, stack, LOOKUP + ROUTE.destination),
    store(4, stack, KEY, r7),
    ...lookUp(hostsMap, KEY),
    compute(r9, '=', r0),
  ];
}

/** r8 = the outer packet's length, or its largest segment's, if it must not be fragmented; else 0. */
function measure(): Step[] {
  return [
    compute(r8, '=', 0),
    load(2, r1, stack, INNER + IPV4.fragment),
    compute(r1, '&', FRAGMENT.dont),
    jumpIf(r1, '==', 0, 'measured'),
    load(4, r8, r6, PACKET.length),
    compute(r8, '+', IPV4_LENGTH - ETHERNET_LENGTH),
    load(4, r1, r6, PACKET.segmentSize),
    jumpIf(r1, '==', 0, 'measured'),
    // Each segment has the headers of the whole; those of SCTP have a length each, and are measured when they are cut.
    compute(r8, '=', 0),
    jumpIf(r1, '==', SEGMENTS_UNLIKE, 'measured'),
    compute(r8, '=', r1),
    compute(r8, '+', IPV4_LENGTH),
    load(1, r2, stack, INNER + IPV4.version),
    compute(r2, '&', 0xf),
    compute(r2, '<<', 2),
    compute(r8, '+', r2),
    load(1, r1, stack, INNER + IPV4.protocol),
    jumpIf(r1, '==', PROTOCOL.tcp, 'segments of TCP'),
    compute(r8, '+', UDP_LENGTH),
    jump('measured'),
    label('segments of TCP'),
    compute(r2, '+', ETHERNET_LENGTH + TCP_LENGTH_OFFSET),
    ...readPacket(r6, r2, KEY, 1),
    jumpIf(r0, '!=', 0, 'drop'),
    load(1, r1, stack, KEY),
    compute(r1, '&', 0xf0),
    compute(r1, '>>', 2),
    compute(r8, '+', r1),
    label('measured'),
  ];
}

/**
 * The lookup's index and source are those of the outer packet. Before Linux 6.7 the kernel does not tell the source by a lookup;
 * then it is in the host's row.
 */
function findWay(tunnelIndex: number): Step[] {
  return [
    ...clear(LOOKUP, ROUTE.size),
    store(1, stack, LOOKUP + ROUTE.family, FAMILY_IPV4),
    store(1, stack, LOOKUP + ROUTE.protocol, PROTOCOL.ipip),
    store(2, stack, LOOKUP + ROUTE.length, r8),
    store(4, stack, LOOKUP + ROUTE.index, LOOPBACK),
    store(4, stack, LOOKUP + ROUTE.destination, r7),
    ...lookUpRoute(ROUTE_FLAG.source),
    jumpIf(r0, '!=', ROUTE_RESULT.invalid, 'looked up'),
    jumpIf(r9, '==', 0, 'drop'),
    ...lookUpRoute(0),
    load(4, r1, r9, HOST.source),
    jumpIf(r1, '==', 0, 'drop'),
    store(4, stack, LOOKUP + ROUTE.source, r1),
    label('looked up'),
    jumpIf(r0, '==', ROUTE_RESULT.found, 'has way'),
    jumpIf(r0, '==', ROUTE_RESULT.neighbourUnknown, 'has way'),
    jumpIf(r0, '!=', ROUTE_RESULT.tooLong, 'drop'),
    // Without a length the kernel compares the packet's own with the device's MTU: then it is for the device to say no.
    jumpIf(r8, '==', 0, 'has way'),
    load(2, r8, stack, LOOKUP + ROUTE.length),
    jump('too long'),
    label('has way'),
    load(4, r1, stack, LOOKUP + ROUTE.index),
    jumpIf(r1, '==', tunnelIndex, 'drop'),
  ];
}

/** What a router has said about the way holds for a while. */
function checkLearntMtu(): Step[] {
  return [
    jumpIf(r8, '==', 0, 'push'),
    jumpIf(r9, '==', 0, 'push'),
    call(FUNCTION.now),
    load(8, r1, r9, HOST.expires),
    jumpIf(r0, '>=', r1, 'push'),
    load(4, r1, r9, HOST.pathMtu),
    jumpIf(r8, '<=', r1, 'push'),
    compute(r8, '=', r1),
    jump('too long'),
  ];
}

function buildOuter(): Step[] {
  return [
    store(1, stack, HEADER + IPV4.version, VERSION_AND_LENGTH),
    load(1, r1, stack, INNER + IPV4.trafficClass),
    compute(r1, '&', ECN.mask),
    jumpIf(r1, '!=', ECN.congested, 'has class'),
    compute(r1, '=', ECN.capable0),
    label('has class'),
    store(1, stack, HEADER + IPV4.trafficClass, r1),
    load(4, r1, r6, PACKET.length),
    compute(r1, '+', IPV4_LENGTH - ETHERNET_LENGTH),
    // Segments together may be longer than the field can say, which is written as 0 (BIG TCP).
    jumpIf(r1, '<=', LENGTH_MAX, 'has length'),
    compute(r1, '=', 0),
    label('has length'),
    toNetworkOrder(r1, 16),
    store(2, stack, HEADER + IPV4.length, r1),
    call(FUNCTION.random),
    store(2, stack, HEADER + IPV4.id, r0),
    load(2, r1, stack, INNER + IPV4.fragment),
    compute(r1, '&', FRAGMENT.dont),
    store(2, stack, HEADER + IPV4.fragment, r1),
    load(1, r1, stack, INNER + IPV4.ttl),
    store(1, stack, HEADER + IPV4.ttl, r1),
    store(1, stack, HEADER + IPV4.protocol, PROTOCOL.ipip),
    store(2, stack, HEADER + IPV4.checksum, 0),
    load(4, r1, stack, LOOKUP + ROUTE.source),
    store(4, stack, HEADER + IPV4.source, r1),
    store(4, stack, HEADER + IPV4.destination, r7),
    ...checksum(HEADER, IPV4_LENGTH, undefined),
    store(2, stack, HEADER + IPV4.checksum, r0),
  ];
}

/**
 * The kernel keeps notes of one tunnel in a packet. One that the container has put into a tunnel already gets room alone; if it is
 * many segments, or segments of SCTP, it goes on to the device's other end, on the way to which it is cut.
 */
function pushOuter(tunnelIndex: number): Step[] {
  const makeRoom = (flags: number): Step[] => [
    compute(r1, '=', r6),
    compute(r2, '=', IPV4_LENGTH),
    compute(r3, '=', ROOM_AFTER_ETHERNET),
    compute(r4, '=', flags),
    call(FUNCTION.adjustRoom),
  ];
  return [
    ...makeRoom(ROOM.outerIpv4 | ROOM.fixedSegments | ROOM.keepChecksum),
    jumpIf(r0, '==', 0, 'has room'),
    load(4, r1, r6, PACKET.segmentSize),
    jumpIf(r1, '==', 0, 'is one'),
    load(4, r1, r6, PACKET.index),
    jumpIf(r1, '!=', tunnelIndex, 'drop'),
    compute(r0, '=', VERDICT.next),
    exit(),
    label('is one'),
    jumpIf(r0, '!=', EALREADY, 'drop'),
    ...makeRoom(ROOM.fixedSegments | ROOM.keepChecksum),
    jumpIf(r0, '!=', 0, 'drop'),
    label('has room'),
    ...writePacket(r6, ETHERNET_LENGTH, HEADER, IPV4_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    load(4, r1, stack, LOOKUP + ROUTE.index),
    compute(r2, '=', 0),
    compute(r3, '=', 0),
    compute(r4, '=', 0),
    call(FUNCTION.redirectToNeighbour),
    exit(),
  ];
}

/** r8 is the MTU of the way. Nothing is said about errors and later fragments (RFC 1122 section 3.2.2). */
function answerTooLong(tunnelIndex: number): Step[] {
  return [
    jumpIf(r8, '>=', PATH_MTU_MIN, 'sound'),
    compute(r8, '=', PATH_MTU_MIN),
    label('sound'),
    compute(r8, '-', IPV4_LENGTH),
    load(2, r1, stack, INNER + IPV4.fragment),
    jumpIf(r1, '&', FRAGMENT.offset, 'drop'),
    load(1, r1, stack, INNER + IPV4.protocol),
    jumpIf(r1, '!=', PROTOCOL.icmp, 'answer'),
    load(1, r2, stack, INNER + IPV4.version),
    compute(r2, '&', 0xf),
    compute(r2, '<<', 2),
    compute(r2, '+', ETHERNET_LENGTH),
    ...readPacket(r6, r2, KEY, 1),
    jumpIf(r0, '!=', 0, 'drop'),
    load(1, r1, stack, KEY),
    jumpIf(r1, '==', ICMP_ECHO.request, 'answer'),
    jumpIf(r1, '!=', ICMP_ECHO.reply, 'drop'),
    label('answer'),
    ...readPacket(r6, ETHERNET_LENGTH, QUOTED, QUOTED_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    ...buildAnswer(),
    compute(r1, '=', r6),
    compute(r2, '=', ETHERNET_LENGTH + QUOTED_LENGTH),
    compute(r3, '=', 0),
    call(FUNCTION.changeTail),
    jumpIf(r0, '!=', 0, 'drop'),
    compute(r1, '=', r6),
    compute(r2, '=', IPV4_LENGTH + ICMP_LENGTH),
    compute(r3, '=', 0),
    call(FUNCTION.changeHead),
    jumpIf(r0, '!=', 0, 'drop'),
    ...writePacket(r6, 0, HEADER, ETHERNET_LENGTH + IPV4_LENGTH + ICMP_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    compute(r1, '=', tunnelIndex),
    compute(r2, '=', REDIRECT_INGRESS),
    call(FUNCTION.redirect),
    exit(),
  ];
}

/** Three headers on the stack, from which what was too long follows; r8 is the MTU that is told. */
function buildAnswer(): Step[] {
  const ip = HEADER + ETHERNET_LENGTH;
  const icmp = ip + IPV4_LENGTH;
  const length = IPV4_LENGTH + ICMP_LENGTH + QUOTED_LENGTH;
  return [
    ...clear(HEADER, 48),
    ...ethernetTo(HEADER, TUNNEL_MAC),
    store(1, stack, ip + IPV4.version, VERSION_AND_LENGTH),
    store(1, stack, ip + IPV4.trafficClass, TRAFFIC_CLASS_CONTROL),
    compute(r1, '=', length),
    toNetworkOrder(r1, 16),
    store(2, stack, ip + IPV4.length, r1),
    store(1, stack, ip + IPV4.ttl, TTL_DEFAULT),
    store(1, stack, ip + IPV4.protocol, PROTOCOL.icmp),
    // In two halves, because the header does not lie at a multiple of four.
    ...copyAddress(ip + IPV4.source, INNER + IPV4.destination),
    ...copyAddress(ip + IPV4.destination, INNER + IPV4.source),
    store(1, stack, icmp, ICMP_UNREACHABLE),
    store(1, stack, icmp + 1, ICMP_FRAGMENTATION_NEEDED),
    toNetworkOrder(r8, 16),
    store(2, stack, icmp + 6, r8),
    ...checksum(ip, IPV4_LENGTH, undefined),
    store(2, stack, ip + IPV4.checksum, r0),
    ...sum(QUOTED, QUOTED_LENGTH, undefined),
    compute(r5, '=', r0),
    ...checksum(icmp, ICMP_LENGTH, r5),
    store(2, stack, icmp + 2, r0),
  ];
}

function copyAddress(to: number, from: number): Step[] {
  return [load(2, r1, stack, from), store(2, stack, to, r1), load(2, r1, stack, from + 2), store(2, stack, to + 2, r1)];
}

/** r0 = the sum of so many bytes on the stack, a multiple of 4, and of `seed`, which is in r5 already. */
function sum(place: number, length: number, seed: typeof r5 | undefined): Step[] {
  return [
    compute(r1, '=', 0),
    compute(r2, '=', 0),
    ...stackAddress(r3, place),
    compute(r4, '=', length),
    ...(seed === undefined ? [compute(r5, '=', 0)] : []),
    call(FUNCTION.checksumDifference),
  ];
}

function checksum(place: number, length: number, seed: typeof r5 | undefined): Step[] {
  return [...sum(place, length, seed), ...foldChecksum()];
}

function lookUpRoute(flags: number): Step[] {
  return [
    compute(r1, '=', r6),
    ...stackAddress(r2, LOOKUP),
    compute(r3, '=', ROUTE.size),
    compute(r4, '=', flags),
    call(FUNCTION.routeLookup),
  ];
}
