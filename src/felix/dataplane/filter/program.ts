/**
 * A packet filter as data: what the rules are, and for whose sake, before any backend's syntax.
 *
 * A program is chains of rules in four tables, maps that dispatch by device, and sets of addresses. It is built in one
 * place (builder.ts) and only printed by the backends, so two of them cannot differ in what they enforce; deciding what
 * a packet would meet (evaluate.ts) reads the same values that the kernel was given.
 *
 * Tables are hooks at a stage, in the order in which a packet meets them: raw before connection tracking, mangle, nat,
 * filter. Verdicts mean what they mean in netfilter: `drop` is final; `accept` ends the table at this hook; `return` goes back behind the last jump; a chain that ends returns; a
 * kernel chain that ends accepts.
 *
 * Invariants: a chain never changes once it was made, so backends may remember what they made of it; each chain, map and set that a rule names is there; every list in a match
 * has at least one value; the values of one match are of one family.
 */
import type { Cidr } from '../../../net/cidr.ts';
import type { Family, Ip } from '../../../net/ip.ts';
import type { IcmpMatch, PortRange, SetId, SetKind } from '../../desired/policy.ts';
import type { Provenance } from '../../desired/provenance.ts';

export type TableName = 'raw' | 'mangle' | 'nat' | 'filter';

/** The kernel chains that ours are hung into, which are named as `Chain.hook`. */
export type HookName = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING';

export type ConntrackState = 'new' | 'established' | 'related' | 'invalid' | 'untracked';

/** The way past the host: the device that a packet came in by, or the one that it goes out by. */
export type Direction = 'in' | 'out';

export type End = 'source' | 'destination';

/** Which members of a set: a backend that keeps single addresses and prefixes apart looks into two sets. */
export type SetPart = 'all' | 'addresses' | 'prefixes';

/** `is` false turns a match around: true of every packet, of the family if one is named, that is not so. */
export type Match =
  | {
      readonly kind: 'device';
      readonly direction: Direction;
      readonly name: string;
      readonly prefix: boolean;
      readonly is: boolean;
    }
  | { readonly kind: 'family'; readonly family: Family }
  | { readonly kind: 'protocol'; readonly protocol: number; readonly is: boolean }
  | {
      readonly kind: 'nets';
      readonly end: End;
      readonly family: Family;
      readonly prefixes: readonly Cidr[];
      readonly is: boolean;
    }
  | {
      readonly kind: 'set';
      readonly end: End;
      readonly family: Family;
      readonly set: SetId;
      readonly part: SetPart;
      readonly is: boolean;
    }
  /** Address, protocol and port of that end are together in a "ports" set. */
  | { readonly kind: 'portSet'; readonly end: End; readonly family: Family; readonly set: SetId; readonly is: boolean }
  | {
      readonly kind: 'ports';
      readonly end: End;
      readonly protocol: 'tcp' | 'udp' | 'sctp';
      readonly ports: readonly PortRange[];
      readonly is: boolean;
    }
  | { readonly kind: 'icmp'; readonly family: Family; readonly match: IcmpMatch; readonly is: boolean }
  | { readonly kind: 'conntrack'; readonly states: readonly ConntrackState[]; readonly is: boolean }
  /** Whether the destination of the packet's connection was translated. */
  | { readonly kind: 'dnat'; readonly is: boolean }
  /** All of the bits are set; with `is` false: none of them (only single bits are ever asked so). */
  | { readonly kind: 'mark'; readonly bits: number; readonly is: boolean }
  /** The end is an address of this host; `onOutDevice`: of the device that the packet leaves by. */
  | { readonly kind: 'local'; readonly end: End; readonly onOutDevice: boolean; readonly is: boolean }
  /** An answer to the source would not leave by the device that the packet came in by. */
  | { readonly kind: 'forged' }
  /** Every `oneIn`-th packet that asks, in turn. */
  | { readonly kind: 'turn'; readonly oneIn: number }
  | {
      readonly kind: 'limit';
      readonly count: number;
      readonly per: 'second' | 'minute' | 'hour' | 'day';
      readonly burst: number;
    };

export type Action =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'reject' }
  | { readonly kind: 'return' }
  | { readonly kind: 'jump'; readonly chain: string }
  /** A jump that is not come back from: where the target returns, the caller's caller goes on. */
  | { readonly kind: 'goto'; readonly chain: string }
  /**
   * Goes to the chain that the map has for the packet's device; on with the next rule where it has none. Stands first in its chain, and a backend without maps may make
   * a tree of chains of it, each of which ends with the rules that follow here.
   */
  | { readonly kind: 'dispatch'; readonly direction: Direction; readonly map: DispatchMapName }
  | { readonly kind: 'mark'; readonly set: number; readonly clear: number }
  | { readonly kind: 'notrack' }
  /** A line in the kernel's log. */
  | { readonly kind: 'log'; readonly prefix: string }
  /** The packet's head to whoever listens at the group. */
  | { readonly kind: 'nflog'; readonly group: number; readonly prefix: string }
  | { readonly kind: 'dnat'; readonly to: Ip }
  | { readonly kind: 'snat'; readonly to: Ip; readonly ports: PortRange | undefined }
  | { readonly kind: 'masquerade'; readonly ports: PortRange | undefined };

/** Whose verdict a rule carries: for logs, counters and explanations. */
export interface RuleOrigin {
  readonly kind: 'policy' | 'profile' | 'tier-end' | 'no-profile' | 'protection';
  /** Id of the policy, name of the profile or tier; for a protection what it protects from. */
  readonly name: string;
  readonly tier: string | undefined;
  readonly direction: 'ingress' | 'egress' | undefined;
  /** Index in the resource's list, from 0; undefined where no rule of a list is meant. */
  readonly index: number | undefined;
}

export interface Rule {
  /** All must be true; a rule without matches is for every packet. */
  readonly matches: readonly Match[];
  readonly action: Action;
  /** A few words for people, which go to the kernel with the rule. */
  readonly comment: string;
  /** Undefined: the rule is there whatever the resources say. */
  readonly provenance: Provenance | undefined;
  /** Of the rule that first tells that a packet is judged so: of several that one resource's rule became, the one to count by. */
  readonly origin: RuleOrigin | undefined;
}

export interface Chain {
  readonly table: TableName;
  readonly name: string;
  /** The kernel chain that leads here; undefined for a chain that is only jumped to. */
  readonly hook: HookName | undefined;
  readonly rules: readonly Rule[];
  /**
   * Rules for the end of the kernel chain itself, for what has passed this chain and, in iptables, everybody else's rules
   * there, too: so iptables appends them to the hook, wherever it puts the jump. In nftables, where nobody else is in our
   * base chain, they follow on `rules`. Only in a chain with a hook, none of whose own `rules` returns or goes to another chain.
   */
  readonly hookRules?: readonly Rule[];
}

/** Tells chains apart: "filter cali-FORWARD". */
export type ChainKey = `${TableName} ${string}`;

export function chainKey({ table, name }: Pick<Chain, 'table' | 'name'>): ChainKey {
  return `${table} ${name}`;
}

export type DispatchMapName = 'cali-from-wl' | 'cali-to-wl';

/** Device name to the name of a chain in the filter table. */
export type DispatchMap = ReadonlyMap<string, string>;

/** Tells sets apart: "s:abc 4 addresses". A "ports" set has the part "all". */
export type SetKey = `${SetId} ${Family} ${SetPart}`;

export function setKey({ set, family, part }: { set: SetId; family: Family; part: SetPart }): SetKey {
  return `${set} ${family} ${part}`;
}

/**
 * A set as the kernel has it: one family, one part. Members as felix/desired/policy.ts has them. The IPv4
 * addresses ("all", where they are not split) of each set are always there, the rest while it has members; a rule never names a set that is not there.
 */
export interface ProgramSet {
  readonly set: SetId;
  readonly family: Family;
  readonly part: SetPart;
  readonly kind: SetKind;
  readonly members: ReadonlySet<string>;
}

/** An endpoint that gets no chains: its device is unknown to the dispatch, and no route may lead to it. */
export interface Refusal {
  readonly endpointId: string;
  /** What is wrong, and what would be right. */
  readonly reason: string;
}

/** The whole of it, as it is now; a living view of the builder's. */
export interface FilterProgram {
  readonly chains: ReadonlyMap<ChainKey, Chain>;
  readonly maps: ReadonlyMap<DispatchMapName, DispatchMap>;
  readonly sets: ReadonlyMap<SetKey, ProgramSet>;
}

/** What differs from what the program was when changes were last taken. */
export interface ProgramChanges {
  /** Undefined: gone. */
  readonly chains: ReadonlyMap<ChainKey, Chain | undefined>;
  /** By map and device: the chain; undefined: gone. */
  readonly maps: ReadonlyMap<DispatchMapName, ReadonlyMap<string, string | undefined>>;
  readonly sets: ReadonlyMap<SetKey, ProgramSetChange>;
}

export interface ProgramSetChange {
  /** As it is now; undefined: gone. */
  readonly now: ProgramSet | undefined;
  /** Of a set that is new: all its members. */
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** What a backend's rules can say, which decides how a resource's rule is cut into rules. */
export interface Dialect {
  /** Single addresses and prefixes of a "nets" set are kept in two sets; else `part` is always "all". */
  readonly splitSets: boolean;
  /** How many prefixes one match can list. */
  readonly netsMax: number;
  /** How many ports one match can list; a range counts as two. */
  readonly portsMax: number;
}

export const NFTABLES_DIALECT: Dialect = { splitSets: true, netsMax: 65_536, portsMax: 65_536 };
/** `-s` takes one prefix, `-m multiport` 15 ports. */
export const IPTABLES_DIALECT: Dialect = { splitSets: false, netsMax: 1, portsMax: 15 };
