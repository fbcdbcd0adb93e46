/**
 * What people and programs are shown of the speaker: stable JSON, and the rows of the tables that are made from it.
 *
 * All values are plain texts and numbers, so that a view can cross the control socket as it is. A field that does not apply
 * is undefined (absent in JSON). Passwords are never part of a view.
 */
import type { Instant } from '../../lib/clock.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import type { PeerName, SessionState } from '../contract.ts';
import type { PathAttributes } from '../wire/attributes.ts';

/** One peer, as `muslin bgp peers` shows it. */
export interface PeerView {
  /** Its name: the address, with %device for a link-local one. */
  readonly address: string;
  readonly asn: number;
  readonly description: string;
  /** "internal", "reflector client", "external", "route server client". */
  readonly type: string;
  readonly state: SessionState;
  /** Milliseconds spent in this state. */
  readonly forMs: number;
  /** Why it is not established, or what ended the last session; "" when there is nothing to say. */
  readonly lastError: string;
  readonly prefixesReceived: number;
  /** Of these, how many the import policy let through. */
  readonly prefixesAccepted: number;
  readonly prefixesSent: number;
  readonly holdTimeSeconds: number | undefined;
  readonly routerId: string | undefined;
  /** Routes are kept though the peer is away: it said that it would restart. */
  readonly stale: boolean;
}

export interface MessageCounts {
  readonly opens: number;
  readonly updates: number;
  readonly notifications: number;
  readonly keepalives: number;
  readonly refreshes: number;
  readonly bytes: number;
}

export interface NotificationView {
  readonly direction: 'sent' | 'received';
  readonly code: number;
  readonly subcode: number;
  /** In words: "cease: administrative shutdown (6/2): moving to the new rack". */
  readonly text: string;
  readonly agoMs: number;
}

export interface SessionLogEntry {
  readonly agoMs: number;
  /** "OpenConfirm → Established: KEEPALIVE", or a notice. */
  readonly text: string;
}

/** Everything about one peer: `muslin bgp neighbor`. */
export interface NeighborView extends PeerView {
  readonly localAddress: string | undefined;
  readonly localAsn: number;
  readonly port: number;
  readonly passive: boolean;
  readonly dynamic: boolean;
  readonly md5: boolean;
  readonly ttlSecurityHops: number | undefined;
  readonly keepaliveSeconds: number | undefined;
  readonly families: readonly string[];
  /** Names of capabilities that we sent, that the peer sent. */
  readonly capabilitiesSent: readonly string[];
  readonly capabilitiesReceived: readonly string[];
  readonly established: number;
  /** How often an Established session was lost. */
  readonly flaps: number;
  readonly sent: MessageCounts;
  readonly received: MessageCounts;
  readonly lastNotification: NotificationView | undefined;
  readonly log: readonly SessionLogEntry[];
  readonly bfd: string | undefined;
  /** UPDATEs of which something was malformed, and what was done about it. */
  readonly treatedAsWithdraw: number;
  readonly attributesDiscarded: number;
  /** Routes not used because our own AS, router or cluster identifier was in them. */
  readonly loops: number;
  readonly queuedBytes: number;
}

/** One candidate for a prefix, as `muslin bgp routes` shows it. */
export interface RouteView {
  readonly prefix: string;
  /** The peer's name, or "local". */
  readonly from: string;
  /** The path identifier that the peer gave it (RFC 7911). */
  readonly pathId: number | undefined;
  readonly nextHop: string;
  readonly best: boolean;
  /** Used beside the best one (ECMP). */
  readonly multipath: boolean;
  readonly stale: boolean;
  readonly asPath: string;
  readonly localPreference: number | undefined;
  readonly origin: 'igp' | 'egp' | 'incomplete';
  readonly med: number | undefined;
  /** RFC 1997, 4360 and 8092, in their usual notations. */
  readonly communities: readonly string[];
  readonly originatorId: string | undefined;
  readonly clusterList: readonly string[];
}

/** Why a candidate was not chosen, or was: `muslin bgp explain`. */
export interface CandidateView extends RouteView {
  /** "best"; "equal, used beside the best (ECMP)"; "lost at: shortest AS_PATH (3, the best has 2)"; "not usable: …"; "rejected by …". */
  readonly verdict: string;
}

export interface ExplanationView {
  readonly prefix: string;
  /** In the order of the decision; the best one first. */
  readonly candidates: readonly CandidateView[];
  /** The step that chose: "highest LOCAL_PREF", "the only candidate". */
  readonly decidedBy: string;
  readonly gateways: readonly string[];
  /** For each Established peer: sent, or why not. */
  readonly advertised: readonly { readonly peer: string; readonly verdict: string }[];
}

/**
 * What the speaker answers of itself. Questions that could have long answers are answered a page at a time, so that no
 * reader holds up the loop.
 */
export interface SpeakerViews {
  peers(now: Instant): readonly PeerView[];
  /** Undefined when there is no such peer; so for the others that are asked by name. */
  neighbor(now: Instant, name: PeerName): NeighborView | undefined;
  /** Every candidate, those that we originate among them. */
  routes(filter: RouteFilter): RoutePage;
  /** What the peer has sent, before the import policy; `best` and `multipath` as in `routes`. */
  received(name: PeerName, filter: RouteFilter): RoutePage | undefined;
  /** What the peer is sent, with the attributes that it gets. */
  advertised(name: PeerName, filter: RouteFilter): RoutePage | undefined;
  /** Exactly this prefix; undefined when there is no candidate. */
  explain(prefix: Cidr): ExplanationView | undefined;
  /** The same as values, for dumps: all candidates, or (`received`) what one peer has sent before the import policy. */
  dump(question: DumpQuestion): DumpPage;
  /** How large the tables are. */
  sizes(): TableSizes;
}

export interface RouteFilter {
  readonly prefix: Cidr | undefined;
  /**
   * How `prefix` is meant: itself; itself and what it contains; itself and what contains it; or the one longest prefix
   * that contains it, where packets to an address would go.
   */
  readonly match: 'exact' | 'longer' | 'covering' | 'longest';
  /** Only candidates from this peer ("local" for our own). */
  readonly peer: PeerName | 'local' | undefined;
  readonly family: Family | undefined;
  /** `next` of the page before; undefined for the first page. A cursor that makes no sense begins anew. */
  readonly after: string | undefined;
  /** At most so many prefixes are looked at, and answered with all their candidates; 1 or more. */
  readonly limit: number;
}

export interface RoutePage {
  /** The candidates of one prefix stand together, the best one first. May be empty though a page follows. */
  readonly routes: readonly RouteView[];
  /** Where the next page begins, a text of the speaker's own making; undefined after the last page. */
  readonly next: string | undefined;
}

export interface DumpQuestion {
  /** Only what this peer has sent, as it came; undefined for all candidates with the attributes that they compete with. */
  readonly received: PeerName | undefined;
  readonly after: string | undefined;
  readonly limit: number;
}

export interface DumpPage {
  readonly entries: readonly DumpEntry[];
  readonly next: string | undefined;
}

/** One prefix with all of its paths. */
export interface DumpEntry {
  readonly prefix: Cidr;
  readonly paths: readonly DumpPath[];
}

export interface DumpPath {
  /** Undefined for our own. */
  readonly peer: PeerName | undefined;
  /** RFC 7911; undefined where the session has none. */
  readonly pathId: number | undefined;
  readonly attributes: PathAttributes;
}

export interface TableSizes {
  /** Prefixes with at least one candidate. */
  readonly prefixes: number;
  /** Candidates of all peers, after the import policy, and our own. */
  readonly paths: number;
  /** Different sets of path attributes in memory. */
  readonly attributeSets: number;
}
