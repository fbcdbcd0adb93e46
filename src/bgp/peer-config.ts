/**
 * What the speaker is configured with: who we are, whom we talk to and how.
 *
 * Plain values; where they come from (resources, a file) is the shell's business. A change of a field either resets the
 * session or is taken over softly; `needs-reset.ts` says which. `INTERNAL_PEER` has what most peers share, so that a
 * configuration names only what is special about a peer.
 */
import type { Asn, RouterId } from '../net/asn.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { Policy } from './policy/policy-rules.ts';

/** Our place towards the peer (RFC 9234 section 3). */
export type Role = 'provider' | 'customer' | 'peer' | 'route-server' | 'route-server-client';

/** Bidirectional Forwarding Detection (RFC 5880): how often to send, how many may be missing. */
export interface BfdConfig {
  readonly intervalMs: number;
  readonly multiplier: number;
  /** The peer is behind routers: RFC 5883 instead of RFC 5881, which only believes what comes straight from the link. */
  readonly multihop: boolean;
}

export interface PeerConfig {
  /** With `device`, what tells peers apart. */
  readonly address: Ip;
  /** The device that a link-local address is on; undefined for all other addresses. */
  readonly device: string | undefined;
  readonly port: number;
  /** The peer's AS number; undefined for any but our own, which its OPEN then tells. */
  readonly asn: Asn | undefined;
  /** The AS number that we show this peer in place of our own; undefined for our own. */
  readonly localAsn: Asn | undefined;
  /** Never dial; wait for the peer to. Mesh pairs have one such side, so that connections do not collide. */
  readonly passive: boolean;
  readonly families: readonly Family[];
  /** Where it comes from, for people: "mesh, Node host-b". */
  readonly description: string;
  /** The address to dial from; undefined leaves it to the kernel. */
  readonly sourceAddress: Ip | undefined;
  /** TCP MD5 key (RFC 2385). A secret: never in a log or a view. */
  readonly password: string | undefined;
  /** How many hops away the peer may be, with TTL security (RFC 5082); undefined without. */
  readonly ttlSecurityHops: number | undefined;

  /** Offered hold time in seconds, 0 or 3 and more; undefined for the speaker's. */
  readonly holdTimeSeconds: number | undefined;
  /** Seconds between keepalives; undefined for a third of the hold time. */
  readonly keepaliveSeconds: number | undefined;
  /** The longest wait between two tries to connect, in seconds. */
  readonly connectRetrySeconds: number;
  /** How long to wait for the peer's OPEN before we send ours (RFC 4271 section 8.1.1), in seconds; 0 for not at all. */
  readonly delayOpenSeconds: number;
  /** Kept down by its operator, who says why (RFC 9003); undefined for a peer in use. */
  readonly shutdown: string | undefined;
  readonly bfd: BfdConfig | undefined;

  /** Restarting and helping, helping only, or neither (RFC 4724). */
  readonly gracefulRestart: 'full' | 'helper' | 'off';
  /** How long this peer is to keep our routes while we restart, in seconds; undefined for the speaker's. */
  readonly restartTimeSeconds: number | undefined;
  /** How long its routes are kept as a last resort after graceful restart has ended (RFC 9494), in seconds; 0 for not at all. */
  readonly longLivedStaleSeconds: number;
  /** How many paths to a prefix it is sent (1: only the best), and whether we take several from it (RFC 7911). */
  readonly addPath: { readonly sendMax: number; readonly receive: boolean };
  readonly extendedMessages: boolean;
  readonly role: Role | undefined;
  /** Refuse a peer that does not say its role. */
  readonly strictRole: boolean;

  /** An internal peer that we reflect routes to and from (RFC 4456). */
  readonly reflectorClient: boolean;
  /** An external peer to whom we are transparent: path, next hop and MED stay as they are (RFC 7947). */
  readonly routeServerClient: boolean;
  /** By the rules of RFC 4271 section 5.1.3; always our address; or always as it came. */
  readonly nextHop: 'auto' | 'self' | 'keep';
  /** Where we are the next hop, it is our end of this session rather than the speaker's address: on a link of its own. */
  readonly localNextHop: boolean;
  /** How often our own AS number may be in the path of a route from this peer. */
  readonly allowedOwnAsns: number;
  /** Towards this peer its own AS number in a path is replaced by ours. */
  readonly asOverride: boolean;
  /** An external peer's paths must begin with its AS number. */
  readonly enforceFirstAs: boolean;
  /** Undefined: all is accepted from internal peers, nothing from external ones (RFC 8212). */
  readonly importPolicy: Policy | undefined;
  readonly exportPolicy: Policy | undefined;
  /** More prefixes than this end the session (RFC 4486 section 4). */
  readonly prefixesMax: number;
}

/** Far above a container network of thousands of hosts, far below what would exhaust memory. */
const PREFIXES_MAX_DEFAULT = 1_000_000;
export const BGP_PORT = 179;

/** What a peer of our own AS has if nothing else is said. */
export const INTERNAL_PEER: Omit<PeerConfig, 'address' | 'asn'> = {
  device: undefined,
  port: BGP_PORT,
  localAsn: undefined,
  passive: false,
  families: [4, 6],
  description: '',
  sourceAddress: undefined,
  password: undefined,
  ttlSecurityHops: undefined,
  holdTimeSeconds: undefined,
  keepaliveSeconds: undefined,
  connectRetrySeconds: 5,
  delayOpenSeconds: 0,
  shutdown: undefined,
  bfd: undefined,
  gracefulRestart: 'full',
  restartTimeSeconds: undefined,
  longLivedStaleSeconds: 0,
  addPath: { sendMax: 1, receive: false },
  extendedMessages: true,
  role: undefined,
  strictRole: false,
  reflectorClient: false,
  routeServerClient: false,
  nextHop: 'auto',
  localNextHop: false,
  allowedOwnAsns: 0,
  asOverride: false,
  enforceFirstAs: true,
  importPolicy: undefined,
  exportPolicy: undefined,
  prefixesMax: PREFIXES_MAX_DEFAULT,
};

/** Peers that need not be named one by one: whoever dials us from the range. */
export interface ListenRange {
  readonly range: Cidr;
  /** The device that link-local peers must come from; undefined for any. */
  readonly device: string | undefined;
  /** A number, or any number but our own (undefined). */
  readonly asn: Asn | undefined;
  /** At most so many peers at a time. */
  readonly peersMax: number;
  readonly peer: Omit<PeerConfig, 'address' | 'asn'>;
}

/** A prefix that we announce for more specific ones of our own table. */
export interface Aggregate {
  readonly prefix: Cidr;
  /** Keep the more specific ones to ourselves. */
  readonly summaryOnly: boolean;
}

export interface SpeakerConfig {
  readonly asn: Asn;
  readonly routerId: RouterId;
  /** Of a reflector; undefined for the router identifier. */
  readonly clusterId: number | undefined;
  /** Our address as next hop for what we announce, a family each; a family without one is not announced. */
  readonly nextHops: Readonly<Partial<Record<Family, Ip>>>;
  readonly peers: readonly PeerConfig[];
  readonly listenRanges: readonly ListenRange[];
  /** Further peers whose address is not known yet; after a start they are waited for like the others. */
  readonly peersToCome: number;
  readonly aggregates: readonly Aggregate[];
  /** Offered hold time in seconds: 0, or 3 and more (RFC 4271 section 4.2). */
  readonly holdTimeSeconds: number;
  /** How long helpers keep our routes while we restart (RFC 4724), 0 … 4095 seconds. */
  readonly restartTimeSeconds: number;
  /** How many equal ways to a prefix the kernel is given at most; 1 for one. */
  readonly multipathMax: number;
  /** Whether anybody wants `best` outputs: a pure reflector installs nothing. */
  readonly installs: boolean;
  /** Whether a collector wants `monitor` outputs. */
  readonly monitors: boolean;
}

/** What most speakers share. */
export const SPEAKER_DEFAULTS: Omit<SpeakerConfig, 'asn' | 'routerId' | 'nextHops' | 'peers'> = {
  clusterId: undefined,
  listenRanges: [],
  peersToCome: 0,
  aggregates: [],
  holdTimeSeconds: 90,
  restartTimeSeconds: 120,
  multipathMax: 64,
  installs: true,
  monitors: false,
};
