/**
 * What the agent says over its control socket: the contract between agent, CLI and lab.
 *
 * HTTP with JSON on a Unix socket that only root can open (`curl --unix-socket /run/muslin/agent.sock http://agent/status`):
 *
 *   GET /status                       AgentStatus; of the agent only
 *   GET /livez, /readyz               200 while the loop turns; 200 when in sync with store and kernel, else 503
 *   GET /drops, /denials              of the agent only, as the next two: DropBatch a line, without end; DenialView[]
 *   GET /endpoints, /endpoints/NAME   EndpointSummary[], EndpointView
 *   GET /policies                     PolicyView[]
 *   GET /bgp/status, /bgp/peers, …    BgpStatus, PeerView[]; /bgp/peers/PEER: NeighborView
 *   GET /bgp/routes?prefix=…          RoutePage, by RouteQuestion; /bgp/received/PEER and /bgp/advertised/PEER likewise
 *   GET /bgp/explain?prefix=…         ExplanationView; GET /bgp/dump: the table as MRT (RFC 6396)
 *   POST /bgp/peers/PEER?command=…    reset (with communication=…), refreshIn, refreshOut
 *
 * A refusal has an error status and `{"error": …}`. Fields are only ever added; `-o json` prints the objects as they are.
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
import type { RuleOrigin } from '../felix/dataplane/filter/program.ts';
import type { Cidr } from '../net/cidr.ts';

export interface AgentStatus {
  readonly node: string;
  readonly version: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly store: string;
  readonly felix: FelixStatus;
  readonly bgp: BgpStatus;
  /** What is not muslin's doing and yet will be felt, in sentences. */
  readonly warnings: readonly string[];
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
  readonly tunnels: readonly TunnelView[];
  /** Endpoints whose container is gone or not there yet; they do not keep the host from being in sync. */
  readonly withoutDevice: readonly ObjectState[];
  /** Which of the kernel's packet filters is in force, and why that one. */
  readonly filter: { readonly title: string; readonly why: string };
}

/** A tunnel of this host to other hosts. */
export interface TunnelView {
  readonly device: string;
  /** "kernel ipip", "eBPF programs", "kernel vxlan"; "" while it is not there. */
  readonly madeBy: string;
  readonly address: string;
  /** Where outer packets come from. */
  readonly local: string;
  /** Null while it is not there. */
  readonly mtu: number | null;
  /** How many others it takes packets from (IPIP), or sends to (VXLAN). */
  readonly hosts: number;
  /** Whether others may send. */
  readonly receives: boolean;
}

/** A container of this host, and whether what is to hold for it is in force. */
export interface EndpointSummary {
  /** The WorkloadEndpoint, as its resource is called: "default/host--a-cni-0123456789ab-eth0". */
  readonly name: string;
  /** What people call it, the pod or the container: "default/a1". */
  readonly workload: string;
  readonly device: string;
  readonly addresses: readonly string[];
  readonly inForce: boolean;
  /** What is missing; "" when in force. */
  readonly pending: string;
  /** Policies that choose it; staged ones are not counted. */
  readonly policies: number;
}

export interface EndpointView extends EndpointSummary {
  /** Since when its own chains are as they are, RFC 3339; at most as long as the agent runs. */
  readonly since: string | undefined;
  readonly floatingIps: readonly { readonly external: string; readonly internal: string; readonly outgoing: boolean }[];
  readonly services: readonly ServiceView[];
  readonly profiles: readonly string[];
  /** Staged policies that would choose it. */
  readonly staged: readonly string[];
  /** In the order in which a packet meets them. */
  readonly ingress: readonly RuleView[];
  readonly egress: readonly RuleView[];
}

/** An address that a container answers together with others. */
export interface ServiceView {
  readonly address: string;
  /** How many containers of this host, and of all. */
  readonly here: number;
  readonly everywhere: number;
  readonly state: 'announced' | 'in no pool' | 'in no range' | 'excluded node';
}

/** A rule as the kernel has it, under the name of who asked for it. */
export interface RuleView {
  readonly owner: RuleOrigin;
  readonly action: 'allow' | 'deny' | 'pass' | 'log';
  readonly file: string | undefined;
  readonly chain: string;
  /** Whether other endpoints of the host use the chain as well, so that their packets are counted, too. */
  readonly shared: boolean;
  /** undefined where the counters could not be read. */
  readonly packets: number | undefined;
  readonly bytes: number | undefined;
}

/** A rule that has denied packets. */
export interface DenialView {
  readonly owner: RuleOrigin;
  readonly file: string | undefined;
  readonly chain: string;
  /** What people call the container whose own rule it is; undefined for a rule that several containers or devices share. */
  readonly workload: string | undefined;
  readonly packets: number;
  readonly bytes: number;
}

/** A policy that is in use on this host. */
export interface PolicyView {
  /** "NetworkPolicy shop/db" */
  readonly policy: string;
  readonly tier: string;
  readonly staged: boolean;
  readonly selector: string;
  /** How many endpoints of this host it chooses. */
  readonly endpoints: number;
  /** The revision of the resource that is in force; undefined while it is not. */
  readonly revision: string | undefined;
  readonly since: string | undefined;
  /** Why it is not in force; "" when it is. */
  readonly error: string;
  readonly file: string | undefined;
  readonly ingress: readonly RuleHits[];
  readonly egress: readonly RuleHits[];
}

/** How often a rule of a resource has decided, on this host, since its chain was last changed. */
export interface RuleHits {
  readonly action: string;
  readonly file: string | undefined;
  readonly packets: number | undefined;
}

/** Policy as the control socket shows it. */
export interface PolicyControl {
  endpoints(): readonly EndpointSummary[];
  /** By its name, its workload's, the name in that alone, its device, or an address; several when a name is not enough. */
  endpoint(name: string): EndpointView | readonly EndpointSummary[];
  /** Most packets first. */
  denials(): readonly DenialView[];
  policies(): readonly PolicyView[];
  /** Calls back until the returned function is called; undefined when too many watch already. */
  watchDrops(listener: (drops: readonly DropView[], lost: number) => void): (() => void) | undefined;
}

/** A packet that policy or a protection denied. What the packet did not tell is absent. */
export interface DropView {
  /** When it came in, RFC 3339. */
  readonly time: string | undefined;
  readonly family: 4 | 6 | undefined;
  /** The IP header's number. */
  readonly protocol: number | undefined;
  readonly source: string | undefined;
  readonly sourcePort: number | undefined;
  readonly destination: string | undefined;
  readonly destinationPort: number | undefined;
  /** The containers that have these addresses: "default/a1". */
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly inDevice: string | undefined;
  readonly outDevice: string | undefined;
  /** Whose verdict it was; absent when the rule is there no more. */
  readonly rule: RuleOrigin | undefined;
  /** Who asked for the rule: "NetworkPolicy shop/db". */
  readonly origin: string | undefined;
  /** "shop.yaml:12" */
  readonly file: string | undefined;
  /** What the kernel's rule calls itself. */
  readonly prefix: string;
}

/** A line of GET /drops: some packets, and how many there were besides that nobody will see. */
export interface DropBatch {
  readonly drops: readonly DropView[];
  readonly lost: number;
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
