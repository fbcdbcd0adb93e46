/**
 * The speaker from outside: what it is told, what it wants done.
 *
 * The speaker is a machine without I/O: `handle(now, event)` returns all that follows from the event, `nextTimer()` says when
 * it wants a `tick`, and while `hasWork()` holds it wants `work` as soon as everything that lies ready has been read: routes
 * are decided and sent there, in slices that never take long. It knows no socket (connections are numbers), no resource
 * and no kernel. Malformed bytes from a peer are values inside; nothing a peer sends makes it throw.
 *
 *      shell ── connected, received, closed, tick, work, configure, announce ──► speaker
 *      shell ◄── connect, send, close, best, session, bfd ────────────────────── speaker
 */
import type { Brand } from '../lib/brand.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import type { Negotiated } from './session/negotiated.ts';

/**
 * One TCP connection; never used twice. The side that begins it gives the number: the speaker even ones to those it asks
 * for, the shell odd ones to those it accepts.
 */
export type ConnectionId = Brand<number, 'ConnectionId'>;

export function connectionId(value: number): ConnectionId {
  return value as ConnectionId;
}

/** A peer by its address, and by its device where the address is link-local: "10.0.0.1", "fe80::1%eth0". */
export type PeerName = Brand<string, 'PeerName'>;

export function peerName({ address, device }: { readonly address: Ip; readonly device: string | undefined }): PeerName {
  return (device === undefined ? formatIp(address) : `${formatIp(address)}%${device}`) as PeerName;
}

/** A prefix that we originate. */
export interface Origination {
  readonly prefix: Cidr;
  /** The device that packets to it leave by, for policy; undefined for a block. */
  readonly device: string | undefined;
  readonly communities: readonly number[];
  readonly largeCommunities: readonly (readonly [number, number, number])[];
  /** Undefined for the default of 100. */
  readonly localPreference: number | undefined;
}

/** Where packets to a prefix go. */
export interface Gateway {
  readonly address: Ip;
  /** The device of a link-local gateway; undefined where the subnets tell it. */
  readonly device: string | undefined;
}

/** What an operator may do to a session; `communication` is sent along (RFC 9003). */
export type PeerCommand =
  | { readonly kind: 'reset'; readonly communication: string }
  /** Asks the peer for all its routes again (RFC 2918). */
  | { readonly kind: 'refreshIn' }
  /** Sends it all of ours again. */
  | { readonly kind: 'refreshOut' };

export type SpeakerEvent =
  /** The whole configuration anew; only sessions that it concerns are touched. */
  | { readonly kind: 'configure'; readonly config: SpeakerConfig }
  /** The outgoing connection that a `connect` output asked for is up. */
  | { readonly kind: 'connected'; readonly connection: ConnectionId; readonly localAddress: Ip }
  /** The outgoing connection could not be made; the reason is the system's code where it has one, such as ECONNREFUSED. */
  | { readonly kind: 'connectFailed'; readonly connection: ConnectionId; readonly reason: string }
  /** Somebody dialled us; `device` is that of a link-local address. */
  | {
      readonly kind: 'accepted';
      readonly connection: ConnectionId;
      readonly peerAddress: Ip;
      readonly localAddress: Ip;
      readonly device: string | undefined;
    }
  /** Bytes, cut anywhere. The speaker copies what it keeps. */
  | { readonly kind: 'received'; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  | { readonly kind: 'closed'; readonly connection: ConnectionId; readonly reason: string }
  /** The peer reads too slowly: no more UPDATEs for now. */
  | { readonly kind: 'blocked'; readonly connection: ConnectionId }
  /** It has read on. */
  | { readonly kind: 'drained'; readonly connection: ConnectionId }
  | { readonly kind: 'tick' }
  | { readonly kind: 'work' }
  /** The complete set of prefixes that we originate, replacing the set before. */
  | { readonly kind: 'announce'; readonly originations: readonly Origination[] }
  /** BFD has noticed that packets no longer get to the peer. */
  | { readonly kind: 'bfdDown'; readonly peer: PeerName; readonly reason: string }
  | { readonly kind: 'command'; readonly peer: PeerName; readonly command: PeerCommand };

export type SpeakerOutput =
  /** Dial this peer and give the connection this number. */
  | { readonly kind: 'connect'; readonly connection: ConnectionId; readonly peer: PeerConfig }
  /** The bytes are not changed any more, and may be shared by several connections. */
  | { readonly kind: 'send'; readonly connection: ConnectionId; readonly bytes: Uint8Array }
  /** Close after what was sent has gone out; `reason` is for the log. */
  | { readonly kind: 'close'; readonly connection: ConnectionId; readonly reason: string }
  /** The best way to a prefix changed; no gateways means that there is none any more. */
  | {
      readonly kind: 'best';
      readonly prefix: Cidr;
      readonly gateways: readonly Gateway[];
      /** An aggregate of ours: packets that no more specific route takes are to be discarded. */
      readonly discard: boolean;
      readonly peer: Ip | undefined;
    }
  /** A session changed state. One line in the log. */
  | {
      readonly kind: 'session';
      readonly peer: PeerName;
      readonly from: SessionState;
      readonly to: SessionState;
      readonly reason: string;
    }
  /** Watch the path to this peer, or (undefined) watch it no more. */
  | {
      readonly kind: 'bfd';
      readonly peer: PeerConfig;
      readonly watch: { readonly localAddress: Ip } | undefined;
    }
  /** Something a person should know: a malformed attribute and what was done about it, a refused connection. */
  | { readonly kind: 'notice'; readonly peer: PeerName | undefined; readonly message: string }
  /** For a collector (RFC 7854), only while the configuration `monitors`; once it does, an `up` for each Established peer. */
  | { readonly kind: 'monitor'; readonly peer: PeerName; readonly event: MonitorEvent }
  /**
   * Every configured peer has either sent its End-of-RIB, or given no hope of it in time: what is still in the kernel
   * from before our start and not confirmed since may go. Emitted once.
   */
  | { readonly kind: 'initialConvergence' };

export type MonitorEvent =
  | { readonly kind: 'up'; readonly negotiated: Negotiated; readonly config: PeerConfig }
  /** The body of an UPDATE as it came, before any policy. */
  | { readonly kind: 'update'; readonly body: Uint8Array }
  | { readonly kind: 'down'; readonly reason: string };

export type SessionState = 'Idle' | 'Connect' | 'Active' | 'OpenSent' | 'OpenConfirm' | 'Established';
