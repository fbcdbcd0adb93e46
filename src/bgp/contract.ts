/**
 * The speaker from outside: what it is told, what it wants done.
 *
 * The speaker is a machine without I/O: `handle(now, event)` returns all that follows from the event, and `nextTimer()`
 * says when it wants a `tick`. It knows no socket (connections are numbers), no resource and no
 * kernel. Malformed bytes from a peer are values inside; nothing a peer sends makes it throw.
 *
 *      shell ── connected, received, closed, tick, configure, announce ──► speaker
 *      shell ◄── connect, send, close, best, session ───────────────────── speaker
 */
import type { Brand } from '../lib/brand.ts';
import type { Asn, RouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';

/**
 * One TCP connection; never used twice. The side that begins it gives the number: the speaker even ones to those it asks
 * for, the shell odd ones to those it accepts.
 */
export type ConnectionId = Brand<number, 'ConnectionId'>;

export function connectionId(value: number): ConnectionId {
  return value as ConnectionId;
}

export interface PeerConfig {
  /** The peer's address: also what tells peers apart. */
  readonly address: Ip;
  readonly port: number;
  readonly asn: Asn;
  /** Never dial; wait for the peer to. Mesh pairs have one such side, so that connections do not collide. */
  readonly passive: boolean;
  readonly families: readonly Family[];
  /** Where it comes from, for people: "mesh, Node host-b". */
  readonly description: string;
}

export interface SpeakerConfig {
  readonly asn: Asn;
  readonly routerId: RouterId;
  /** Our address as next hop for what we announce, a family each; a family without one is not announced. */
  readonly nextHops: Readonly<Partial<Record<Family, Ip>>>;
  readonly peers: readonly PeerConfig[];
  /** Offered hold time in seconds: 0, or 3 and more (RFC 4271 section 4.2). */
  readonly holdTimeSeconds: number;
  /** How long helpers keep our routes while we restart (RFC 4724), 0 … 4095 seconds. */
  readonly restartTimeSeconds: number;
}

export type SpeakerEvent =
  /** The whole configuration anew; only sessions that it concerns are touched. */
  | { readonly kind: 'configure'; readonly config: SpeakerConfig }
  /** The outgoing connection that a `connect` output asked for is up. */
  | { readonly kind: 'connected'; readonly connection: ConnectionId; readonly localAddress: Ip }
  /** The outgoing connection could not be made. */
  | { readonly kind: 'connectFailed'; readonly connection: ConnectionId; readonly reason: string }
  /** Somebody dialled us. */
  | {
      readonly kind: 'accepted';
      readonly connection: ConnectionId;
      readonly peerAddress: Ip;
      readonly localAddress: Ip;
    }
  /** Bytes, cut anywhere. The speaker copies what it keeps. */
  | { readonly kind: 'received'; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  | { readonly kind: 'closed'; readonly connection: ConnectionId; readonly reason: string }
  | { readonly kind: 'tick' }
  /** The complete set of prefixes that we originate, replacing the set before. */
  | { readonly kind: 'announce'; readonly prefixes: readonly Cidr[] };

export type SpeakerOutput =
  /** Dial this address and give the connection this number. */
  | { readonly kind: 'connect'; readonly connection: ConnectionId; readonly address: Ip; readonly port: number }
  | { readonly kind: 'send'; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  /** Close after what was sent has gone out; `reason` is for the log. */
  | { readonly kind: 'close'; readonly connection: ConnectionId; readonly reason: string }
  /** The best way to a prefix changed; no gateways means that there is none any more. */
  | { readonly kind: 'best'; readonly prefix: Cidr; readonly gateways: readonly Ip[]; readonly peer: Ip | undefined }
  /** A session changed state. One line in the log. */
  | {
      readonly kind: 'session';
      readonly peer: Ip;
      readonly from: SessionState;
      readonly to: SessionState;
      readonly reason: string;
    }
  /** Something a person should know: a malformed attribute and what was done about it, a refused connection. */
  | { readonly kind: 'notice'; readonly peer: Ip | undefined; readonly message: string }
  /**
   * Every configured peer has either sent its End-of-RIB, or given no hope of it in time: what is still in the kernel
   * from before our start and not confirmed since may go. Emitted once.
   */
  | { readonly kind: 'initialConvergence' };

export type SessionState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';

/** One peer, as `muslin bgp peers` shows it. */
export interface PeerView {
  readonly address: string;
  readonly asn: number;
  readonly description: string;
  readonly state: SessionState;
  /** Milliseconds spent in this state. */
  readonly forMs: number;
  /** Why it is not established, or what ended the last session; "" when there is nothing to say. */
  readonly lastError: string;
  readonly prefixesReceived: number;
  readonly prefixesSent: number;
  readonly holdTimeSeconds: number | undefined;
  readonly routerId: string | undefined;
  /** Routes are kept though the peer is away: it said that it would restart. */
  readonly stale: boolean;
}

/** One candidate for a prefix, as `muslin bgp routes` shows it. */
export interface RouteView {
  readonly prefix: string;
  /** The peer's address, or "local". */
  readonly from: string;
  readonly nextHop: string;
  readonly best: boolean;
  readonly stale: boolean;
  readonly asPath: string;
  readonly localPreference: number | undefined;
  readonly origin: 'igp' | 'egp' | 'incomplete';
  readonly med: number | undefined;
  readonly communities: readonly string[];
}
