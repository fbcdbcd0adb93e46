/**
 * What the agent says over its control socket: the contract between agent, CLI and lab.
 *
 * HTTP with JSON on a Unix socket that only root can open (`curl --unix-socket /run/muslin/agent.sock http://agent/status`):
 *
 *   GET /status                       AgentStatus; of the agent only
 *   GET /livez, /readyz               200 while the loop turns; 200 when in sync with store and kernel, else 503
 *   GET /bgp/status                   BgpStatus
 *   GET /bgp/peers, /bgp/peers/PEER   PeerView[], NeighborView
 *   GET /bgp/routes?prefix=…          RoutePage, by RouteQuestion; /bgp/received/PEER and /bgp/advertised/PEER likewise
 *   GET /bgp/explain?prefix=…         ExplanationView
 *   GET /bgp/dump                     the table as MRT (RFC 6396)
 *   POST /bgp/peers/PEER?command=…    reset (with communication=…), refreshIn, refreshOut
 *
 * What is refused has an error status and `{"error": …}`. Fields are only ever added; `-o json` prints these objects as they are.
 */
import type { PeerCommand, PeerName } from '../bgp/contract.ts';
import type {
  DumpPage,
  DumpQuestion,
  ExplanationView,
  NeighborView,
  PeerView,
  RouteFilter,
  RoutePage,
  TableSizes,
} from '../bgp/observe/views.ts';
import type { Cidr } from '../net/cidr.ts';

export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly store: string;
  readonly felix: FelixStatus;
  readonly bgp: BgpStatus;
}

export interface FelixStatus {
  /** True when the store has been read and every desired object is in the kernel. */
  readonly inSync: boolean;
  /** Why not; empty when in sync. */
  readonly reasons: readonly string[];
  readonly endpoints: number;
  readonly routes: number;
  /** Objects that differ from what is desired, each with its error where a try has failed. */
  readonly unsettled: readonly ObjectState[];
  /** Endpoints whose container is gone or not there yet; they do not keep the host from being in sync. */
  readonly withoutDevice: readonly ObjectState[];
}

/** Whether what runs here does what it is there for. */
export interface Readiness {
  readonly ready: boolean;
  /** Why not; empty when ready. */
  readonly reasons: readonly string[];
}

export interface ObjectState {
  readonly object: string;
  readonly state: 'pending' | 'error';
  readonly error: string;
}

export interface BgpStatus {
  /** Why nothing is spoken: no Node resource yet, the port is taken. "" when the speaker runs. */
  readonly problem: string;
  /** What is not as its resource wants it though the speaker runs: a filter or a password that is not there. */
  readonly problems: readonly string[];
  readonly asn: number | undefined;
  readonly routerId: string | undefined;
  readonly peers: readonly PeerView[];
  readonly announced: number;
  readonly learned: number;
}

/** Parameters of a question for routes, as texts: RouteFilter before it is read. */
export interface RouteQuestion {
  /** A prefix, or an address, by which the longest prefix around it is meant. */
  readonly prefix?: string;
  readonly match?: RouteFilter['match'];
  readonly peer?: string;
  readonly family?: '4' | '6';
  readonly after?: string;
  /** How many prefixes are looked at; ROUTES_PAGE_MAX at most, which is the default. */
  readonly limit?: string;
}

export const MATCHES: readonly RouteFilter['match'][] = ['exact', 'longer', 'covering', 'longest'];

/** A page of a thousand prefixes takes a few milliseconds to make: keepalives and packets are not kept waiting. */
export const ROUTES_PAGE_MAX = 1_000;

/**
 * A speaker as the control socket shows it: the agent's, or that of `muslin bgp run`. The methods are those of SpeakerViews
 * with the clock inside, and `command`, which is carried out and answered at once.
 */
export interface BgpControl {
  status(): BgpStatus;
  peers(): readonly PeerView[];
  neighbor(name: PeerName): NeighborView | undefined;
  routes(filter: RouteFilter): RoutePage;
  received(name: PeerName, filter: RouteFilter): RoutePage | undefined;
  advertised(name: PeerName, filter: RouteFilter): RoutePage | undefined;
  explain(prefix: Cidr): ExplanationView | undefined;
  dump(question: DumpQuestion): DumpPage;
  sizes(): TableSizes;
  /** Submits the command to the speaker; the peer is one of `peers()`. */
  command(peer: PeerName, command: PeerCommand): void;
}

export const DEFAULT_RUN_DIRECTORY = '/run/muslin';
export const CONTROL_SOCKET_NAME = 'agent.sock';
export const CNI_SOCKET_NAME = 'cni.sock';
