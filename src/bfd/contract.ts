/**
 * BFD from outside: what it is told, what it wants done, what it shows.
 *
 * `createBfd` (bfd.ts) is a machine without I/O: `handle(now, event)` returns all that follows from the event, `nextTimer()` says
 * when it wants a `tick`. Before each tick the shell hands over every packet that lies ready: otherwise a busy machine
 * would take a living peer for dead.
 *
 *      shell ── watch, unwatch, packet, tick, shutdown ──► BFD
 *      shell ◄── open, send, close, state, down ────────── BFD
 */
import type { Ip } from '../net/ip.ts';
import type { SessionState } from './packet.ts';

/** A path to watch: between our address and the peer's. */
export interface BfdPeer {
  /** What the caller calls it: unique. */
  readonly name: string;
  readonly address: Ip;
  readonly localAddress: Ip;
  /** The device that the path must use, for link-local addresses; undefined leaves it to the routes. */
  readonly device: string | undefined;
  /** RFC 5883 instead of RFC 5881. */
  readonly multihop: boolean;
  /** Both how often we want to send and how often we take packets, in milliseconds. */
  readonly intervalMs: number;
  /** After how many packets that we miss the peer is to believe that the path is dead, 1 … 255. */
  readonly multiplier: number;
}

export type BfdEvent =
  /** Watch this peer, or go on to watch it with other intervals. */
  | { readonly kind: 'watch'; readonly peer: BfdPeer }
  | { readonly kind: 'unwatch'; readonly name: string }
  /** A datagram whose TTL was right for its port. `device` is that of a link-local sender. */
  | {
      readonly kind: 'packet';
      readonly bytes: Uint8Array;
      readonly from: Ip;
      readonly device: string | undefined;
      readonly multihop: boolean;
    }
  | { readonly kind: 'tick' }
  /** We are being stopped: tell all peers that their silence means nothing, then forget them. */
  | { readonly kind: 'shutdown' };

export type BfdOutput =
  /** From now on packets are sent for this peer. */
  | { readonly kind: 'open'; readonly peer: BfdPeer }
  | { readonly kind: 'send'; readonly name: string; readonly bytes: Uint8Array }
  | { readonly kind: 'close'; readonly name: string }
  /** One line in the log. */
  | {
      readonly kind: 'state';
      readonly name: string;
      readonly from: SessionState;
      readonly to: SessionState;
      readonly reason: string;
    }
  /** Packets do not get to the peer and back any more, though they did: whoever depends on the path must let it go. */
  | { readonly kind: 'down'; readonly name: string; readonly reason: string };

/** One session, for people and programs; plain texts and numbers. */
export interface BfdView {
  readonly peer: string;
  readonly localAddress: string;
  readonly multihop: boolean;
  readonly state: SessionState;
  /** Milliseconds spent in this state. */
  readonly forMs: number;
  readonly remoteState: SessionState;
  /** Why the session last left Up, in the words of RFC 5880, as we and as the peer see it. */
  readonly diagnostic: string;
  readonly remoteDiagnostic: string;
  readonly localDiscriminator: number;
  /** 0 while unknown. */
  readonly remoteDiscriminator: number;
  /** How often we send, before jitter. */
  readonly sendIntervalMs: number;
  /** Silence for so long is death; undefined before the peer has spoken. */
  readonly detectionMs: number | undefined;
  /** The peer's BFD outlives its control plane (the C bit, RFC 5882 section 4.3.1). */
  readonly controlPlaneIndependent: boolean;
  readonly packetsSent: number;
  readonly packetsReceived: number;
  /** How often the session was lost. */
  readonly flaps: number;
}
