/**
 * BMP: what a collector is told of our sessions, message by message (RFC 7854, version 3).
 *
 * Only the Adj-RIB-In before policy is told: the UPDATEs of each peer as they came. Every message about a peer begins with the
 * same header. Both OPENs are written anew from what was read of them. Pure: times are arguments, in milliseconds since
 * 1970.
 *
 * RFC 7854 section 4. Called by node/monitoring/bmp-station.ts.
 */
import { ByteWriter } from '../../lib/bytes.ts';
import type { RouterId } from '../../net/asn.ts';
import type { Ip } from '../../net/ip.ts';
import { encodeMessage, MESSAGE_TYPE } from '../wire/message.ts';
import type { Open } from '../wire/open.ts';
import { encodeOpen } from '../wire/open.ts';

const VERSION = 3;
const HEADER_BYTES = 6;
const TYPE = { routeMonitoring: 0, statistics: 1, peerDown: 2, peerUp: 3, initiation: 4, termination: 5 } as const;

/** The one and only routing table (section 4.2). */
const PEER_TYPE_GLOBAL = 0;
const FLAG_IPV6 = 0x80;
/** AS paths have two bytes a number. */
const FLAG_LEGACY_AS_PATH = 0x20;

const INFORMATION = { text: 0, systemDescription: 1, systemName: 2 } as const;
const TERMINATION = { text: 0, reason: 1 } as const;
const TERMINATION_ADMINISTRATIVE = 0;

const PEER_DOWN = {
  localNotification: 1,
  localSilence: 2,
  remoteNotification: 3,
  remoteSilence: 4,
  deconfigured: 5,
} as const;

/** Of whom a message speaks. */
export interface BmpPeer {
  readonly address: Ip;
  readonly asn: number;
  readonly routerId: RouterId;
  /** Of the AS numbers in the UPDATEs of the session. */
  readonly asnBytes: 2 | 4;
}

export type BmpDownReason =
  | {
      readonly kind: 'notification';
      readonly from: 'local' | 'remote';
      readonly code: number;
      readonly subcode: number;
    }
  /** The connection was lost or closed without a word. */
  | { readonly kind: 'silence'; readonly from: 'local' | 'remote' }
  /** The peer is configured no more. */
  | { readonly kind: 'deconfigured' };

/** Section 4.8: what counts up, and what goes up and down. */
export interface BmpStatistics {
  readonly updatesTreatedAsWithdraw: number;
  readonly routesReceived: number;
  /** Of these, what the import policy let through. */
  readonly routesAccepted: number;
}

/** The first message of a connection. */
export function encodeInitiation(systemName: string, systemDescription: string): Uint8Array {
  const body = new ByteWriter(128);
  writeText(body, INFORMATION.systemDescription, systemDescription);
  writeText(body, INFORMATION.systemName, systemName);
  return message(TYPE.initiation, body);
}

/** The last one, when we go of our own will. */
export function encodeTermination(text: string): Uint8Array {
  const body = new ByteWriter(64);
  writeText(body, TERMINATION.text, text);
  body.u16(TERMINATION.reason).u16(2).u16(TERMINATION_ADMINISTRATIVE);
  return message(TYPE.termination, body);
}

/** `remotePort` is the peer's well-known port or 0, `localPort` 0 where it is not known. */
export function encodePeerUp(
  peer: BmpPeer,
  session: {
    readonly since: number;
    readonly localAddress: Ip;
    readonly localPort: number;
    readonly remotePort: number;
    readonly sent: Open;
    readonly received: Open;
  },
): Uint8Array {
  const body = new ByteWriter(256);
  writePeer(body, peer, session.since);
  writeAddress(body, session.localAddress);
  body.u16(session.localPort).u16(session.remotePort);
  body.bytes(encodeOpen(session.sent)).bytes(encodeOpen(session.received));
  return message(TYPE.peerUp, body);
}

export function encodePeerDown(peer: BmpPeer, now: number, reason: BmpDownReason): Uint8Array {
  const body = new ByteWriter(96);
  writePeer(body, peer, now);
  switch (reason.kind) {
    case 'notification': {
      body.u8(reason.from === 'local' ? PEER_DOWN.localNotification : PEER_DOWN.remoteNotification);
      body.bytes(encodeMessage(MESSAGE_TYPE.notification, Uint8Array.of(reason.code, reason.subcode)));
      break;
    }
    case 'silence':
      // A local end without NOTIFICATION has an FSM event beside it; 0 stands for "none that is relevant".
      if (reason.from === 'local') body.u8(PEER_DOWN.localSilence).u16(0);
      else body.u8(PEER_DOWN.remoteSilence);
      break;
    case 'deconfigured':
      body.u8(PEER_DOWN.deconfigured);
  }
  return message(TYPE.peerDown, body);
}

/** An UPDATE of the peer; `body` is what follows the header of the BGP message, and is copied. */
export function encodeRouteMonitoring(peer: BmpPeer, now: number, body: Uint8Array): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES + 64 + body.length);
  writePeer(writer, peer, now);
  writer.bytes(encodeMessage(MESSAGE_TYPE.update, body));
  return message(TYPE.routeMonitoring, writer);
}

const STATISTIC = { routesReceived: 7, routesInTable: 8, updatesTreatedAsWithdraw: 11 } as const;

export function encodeStatistics(peer: BmpPeer, now: number, statistics: BmpStatistics): Uint8Array {
  const body = new ByteWriter(96);
  writePeer(body, peer, now);
  body.u32(3);
  body.u16(STATISTIC.routesReceived).u16(8).u32(0).u32(statistics.routesReceived);
  body.u16(STATISTIC.routesInTable).u16(8).u32(0).u32(statistics.routesAccepted);
  body.u16(STATISTIC.updatesTreatedAsWithdraw).u16(4).u32(statistics.updatesTreatedAsWithdraw);
  return message(TYPE.statistics, body);
}

/** The header of all messages about a peer: 42 bytes. */
function writePeer(writer: ByteWriter, { address, asn, routerId, asnBytes }: BmpPeer, time: number): void {
  const flags = (address.family === 6 ? FLAG_IPV6 : 0) | (asnBytes === 2 ? FLAG_LEGACY_AS_PATH : 0);
  writer.u8(PEER_TYPE_GLOBAL).u8(flags).u32(0).u32(0);
  writeAddress(writer, address);
  writer.u32(asn).u32(routerId);
  writer.u32(Math.floor(time / 1_000)).u32(Math.floor(time % 1_000) * 1_000);
}

/** 16 bytes, an IPv4 address in the last four. */
function writeAddress(writer: ByteWriter, address: Ip): void {
  writer.bytes(new Uint8Array(16 - address.bytes.length)).bytes(address.bytes);
}

function writeText(writer: ByteWriter, type: number, text: string): void {
  const bytes = new TextEncoder().encode(text);
  writer.u16(type).u16(bytes.length).bytes(bytes);
}

function message(type: number, body: ByteWriter): Uint8Array {
  const writer = new ByteWriter(HEADER_BYTES + body.length);
  return writer
    .u8(VERSION)
    .u32(HEADER_BYTES + body.length)
    .u8(type)
    .bytes(body.finish())
    .finish();
}
