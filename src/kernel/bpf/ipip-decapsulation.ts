/**
 * The program at each uplink's entrance: takes the outer header off packets of the tunnel.
 *
 * Only packets of protocol 4 from a known host, to an address of this host, and whole: all others go on as if the program were
 * not there, and the stack answers that it does not know the protocol. An outer packet that comes in fragments is therefore
 * not taken up; encapsulation does not make such, and what routers may cut (packets without DF) fits each known way or is lost.
 * ECN is put together as RFC 6040 section 4.2 says: congestion outside is told inside, or the packet dropped where it cannot.
 * Then the packet comes out of the tunnel's device.
 *
 * It also hears routers that say "too long" about packets of the tunnel (RFC 1191), since the kernel would not know whom to
 * tell: the MTU is written into the far host's row, which encapsulation looks at. The message goes on to the stack.
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
import {
  ECN,
  FRAGMENT,
  HOST,
  IPV4,
  IPV4_LENGTH,
  PATH_MTU_MIN,
  PATH_MTU_SECONDS,
  PROTOCOL,
  TUNNEL_MAC,
} from './ipip-layout.ts';
import {
  clear,
  ETHERNET_LENGTH,
  ethernetTo,
  FAMILY_IPV4,
  FUNCTION,
  LOOPBACK,
  lookUp,
  PACKET,
  PACKET_HOST,
  PROTOCOL_IPV4,
  REDIRECT_INGRESS,
  ROOM,
  ROOM_AFTER_ETHERNET,
  ROUTE,
  ROUTE_RESULT,
  readPacket,
  VERDICT,
  writePacket,
} from './traffic-program.ts';

/** Places on the stack. */
const LOOKUP = -ROUTE.size;
const OUTER = LOOKUP - 24;
/** The inner header, or an ICMP message with the header that it quotes. */
const INNER = OUTER - 32;
const KEY = INNER - 8;
const ETHERNET = KEY - 16;

const ICMP_LENGTH = 8;
const ICMP_MTU = 6;
/** Type 3, code 4, as the two bytes lie in a register. */
const ICMP_FRAGMENTATION_NEEDED = 0x0403;
const NANOSECONDS = 1_000_000_000;
/** The first bytes that must lie in one piece for a first look: Ethernet and IPv4 header. */
const FIRST_LOOK = ETHERNET_LENGTH + IPV4_LENGTH;

/** The program that leads to the device of that index, with the map behind that descriptor. */
export function ipipDecapsulation(tunnelIndex: number, hostsMap: number): Step[] {
  return [
    compute(r6, '=', r1),
    ...passOthers(),
    ...readOuter(),
    ...learnPathMtu(hostsMap),
    label('tunnel'),
    ...checkSender(hostsMap),
    ...combineCongestion(),
    ...strip(tunnelIndex),
    label('drop'),
    compute(r0, '=', VERDICT.drop),
    exit(),
    label('pass'),
    compute(r0, '=', VERDICT.next),
    exit(),
  ];
}

/** All of the uplink's traffic comes here, so what is neither IPIP nor ICMP goes on after a dozen instructions. */
function passOthers(): Step[] {
  return [
    load(4, r1, r6, PACKET.protocol),
    jumpIf(r1, '!=', PROTOCOL_IPV4, 'pass'),
    load(4, r7, r6, PACKET.data),
    load(4, r8, r6, PACKET.dataEnd),
    compute(r1, '=', r7),
    compute(r1, '+', FIRST_LOOK),
    jumpIf(r1, '>', r8, 'second look'),
    load(1, r1, r7, ETHERNET_LENGTH + IPV4.protocol),
    jumpIf(r1, '==', PROTOCOL.ipip, 'second look'),
    jumpIf(r1, '!=', PROTOCOL.icmp, 'pass'),
    label('second look'),
  ];
}

/** The outer header on the stack, r9 = where what is in it begins. */
function readOuter(): Step[] {
  return [
    ...readPacket(r6, ETHERNET_LENGTH, OUTER, IPV4_LENGTH),
    jumpIf(r0, '!=', 0, 'pass'),
    load(2, r1, stack, OUTER + IPV4.fragment),
    jumpIf(r1, '&', FRAGMENT.anyPart, 'pass'),
    load(1, r9, stack, OUTER + IPV4.version),
    compute(r9, '&', 0xf),
    compute(r9, '<<', 2),
    jumpIf(r9, '<', IPV4_LENGTH, 'pass'),
    compute(r9, '+', ETHERNET_LENGTH),
  ];
}

function learnPathMtu(hostsMap: number): Step[] {
  const quoted = INNER + ICMP_LENGTH;
  return [
    load(1, r1, stack, OUTER + IPV4.protocol),
    jumpIf(r1, '==', PROTOCOL.ipip, 'tunnel'),
    jumpIf(r1, '!=', PROTOCOL.icmp, 'pass'),
    ...readPacket(r6, r9, INNER, ICMP_LENGTH + IPV4_LENGTH),
    jumpIf(r0, '!=', 0, 'pass'),
    load(2, r1, stack, INNER),
    jumpIf(r1, '!=', ICMP_FRAGMENTATION_NEEDED, 'pass'),
    load(1, r1, stack, quoted + IPV4.protocol),
    jumpIf(r1, '!=', PROTOCOL.ipip, 'pass'),
    // What is quoted must have been sent by whom the message is for.
    load(4, r1, stack, quoted + IPV4.source),
    load(4, r2, stack, OUTER + IPV4.destination),
    jumpIf(r1, '!=', r2, 'pass'),
    load(4, r1, stack, quoted + IPV4.destination),
    store(4, stack, KEY, r1),
    ...lookUp(hostsMap, KEY),
    jumpIf(r0, '==', 0, 'pass'),
    compute(r7, '=', r0),
    ...passUnlessForUs(),
    load(2, r8, stack, INNER + ICMP_MTU),
    toNetworkOrder(r8, 16),
    jumpIf(r8, '==', 0, 'pass'), // a router from before RFC 1191
    jumpIf(r8, '>=', PATH_MTU_MIN, 'believed'),
    compute(r8, '=', PATH_MTU_MIN),
    label('believed'),
    call(FUNCTION.now),
    load(8, r1, r7, HOST.expires),
    jumpIf(r0, '>=', r1, 'learn'),
    load(4, r1, r7, HOST.pathMtu),
    jumpIf(r1, '<=', r8, 'pass'), // a smaller one holds still
    label('learn'),
    store(4, r7, HOST.pathMtu, r8),
    compute(r1, '=', PATH_MTU_SECONDS),
    compute(r1, '*', NANOSECONDS),
    compute(r0, '+', r1),
    store(8, r7, HOST.expires, r0),
    jump('pass'),
  ];
}

function checkSender(hostsMap: number): Step[] {
  return [
    load(4, r1, r6, PACKET.type),
    jumpIf(r1, '!=', PACKET_HOST, 'pass'),
    load(4, r1, stack, OUTER + IPV4.source),
    store(4, stack, KEY, r1),
    ...lookUp(hostsMap, KEY),
    jumpIf(r0, '==', 0, 'pass'),
    ...passUnlessForUs(),
    ...readPacket(r6, r9, INNER, IPV4_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    load(1, r1, stack, INNER + IPV4.version),
    compute(r1, '&', 0xf0),
    jumpIf(r1, '!=', 0x40, 'drop'),
  ];
}

/** For an address of this host a lookup says that it is not to be forwarded. */
function passUnlessForUs(): Step[] {
  return [
    ...clear(LOOKUP, ROUTE.size),
    store(1, stack, LOOKUP + ROUTE.family, FAMILY_IPV4),
    store(4, stack, LOOKUP + ROUTE.index, LOOPBACK),
    load(4, r1, stack, OUTER + IPV4.destination),
    store(4, stack, LOOKUP + ROUTE.destination, r1),
    compute(r1, '=', r6),
    ...stackAddress(r2, LOOKUP),
    compute(r3, '=', ROUTE.size),
    compute(r4, '=', 0),
    call(FUNCTION.routeLookup),
    jumpIf(r0, '!=', ROUTE_RESULT.notForwarded, 'pass'),
  ];
}

function combineCongestion(): Step[] {
  return [
    load(1, r1, stack, OUTER + IPV4.trafficClass),
    compute(r1, '&', ECN.mask),
    load(1, r2, stack, INNER + IPV4.trafficClass),
    compute(r2, '&', ECN.mask),
    jumpIf(r1, '==', ECN.congested, 'congested'),
    jumpIf(r1, '!=', ECN.capable1, 'strip'),
    jumpIf(r2, '!=', ECN.capable0, 'strip'),
    jump('rewrite'),
    label('congested'),
    jumpIf(r2, '==', ECN.congested, 'strip'),
    jumpIf(r2, '==', ECN.none, 'drop'),
    label('rewrite'),
    // The inner header's first two bytes, with the traffic class in the upper one; the checksum follows.
    load(2, r3, stack, INNER),
    compute(r4, '=', r3),
    compute(r4, '&', 0xffff ^ (ECN.mask << 8)),
    compute(r1, '<<', 8),
    compute(r4, '|', r1),
    store(2, stack, INNER, r4),
    compute(r1, '=', r6),
    compute(r2, '=', r9),
    compute(r2, '+', IPV4.checksum),
    compute(r5, '=', 2), // of so many bytes
    call(FUNCTION.replaceHeaderChecksum),
    jumpIf(r0, '!=', 0, 'drop'),
    ...writePacket(r6, r9, INNER, 2),
    jumpIf(r0, '!=', 0, 'drop'),
    label('strip'),
  ];
}

function strip(tunnelIndex: number): Step[] {
  return [
    compute(r2, '=', ETHERNET_LENGTH),
    compute(r2, '-', r9),
    compute(r1, '=', r6),
    compute(r3, '=', ROOM_AFTER_ETHERNET),
    compute(r4, '=', ROOM.fixedSegments | ROOM.keepChecksum),
    call(FUNCTION.adjustRoom),
    jumpIf(r0, '!=', 0, 'drop'),
    ...ethernetTo(ETHERNET, TUNNEL_MAC),
    ...writePacket(r6, 0, ETHERNET, ETHERNET_LENGTH),
    jumpIf(r0, '!=', 0, 'drop'),
    compute(r1, '=', tunnelIndex),
    compute(r2, '=', REDIRECT_INGRESS),
    call(FUNCTION.redirect),
    exit(),
  ];
}
