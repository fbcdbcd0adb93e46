/**
 * A packet filter as data: what the rules are, and for whose sake, before any backend's syntax.
 *
 * A program is chains of rules and maps that dispatch by device. It is built in one place (build.ts) and only printed by
 * the backends, so two of them cannot differ in what they enforce, and explaining a dropped packet reads the same values
 * that the kernel was given. The address family is a property of a match, never a second program.
 *
 * Verdicts mean what they mean in netfilter: `drop` is final; `accept` ends the hook that the packet is in, for this program
 * only, other programs at the same hook still have their say; `return` goes back behind the last jump; a chain that ends
 * returns; a hooked chain that ends accepts. The last is not an option: what no rule of ours judged is not ours to drop.
 *
 * Invariants: a chain never changes once it was made, so backends may remember what they made of it; names of chains and of maps are unique; each chain and map that is named by a rule or an entry exists;
 * every list of values in a match has at least one value.
 */
import type { Cidr } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import type { Provenance } from '../../desired/desired.ts';

export type ConntrackState = 'established' | 'related' | 'invalid';

/** The way past the host: the device that a packet came in by, or the one that it goes out by. */
export type Direction = 'in' | 'out';

export type Match =
  | { readonly kind: 'devicePrefix'; readonly direction: Direction; readonly prefix: string }
  | { readonly kind: 'family'; readonly family: Family }
  /** True only of packets of the prefixes' family (all have the same one), also where `inside` is false. */
  | { readonly kind: 'source'; readonly inside: boolean; readonly prefixes: readonly Cidr[] }
  | { readonly kind: 'conntrack'; readonly states: readonly ConntrackState[] }
  /** An IP protocol number, of either family. */
  | { readonly kind: 'protocol'; readonly protocol: number }
  | { readonly kind: 'destinationPort'; readonly protocol: 'tcp' | 'udp'; readonly port: number }
  | { readonly kind: 'icmpv6Type'; readonly types: readonly number[] };

export type Action =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  | { readonly kind: 'jump'; readonly chain: string }
  /** A jump that is not come back from: where the target returns, the caller's caller goes on. */
  | { readonly kind: 'goto'; readonly chain: string }
  /** Goes to the chain that the map has for the packet's device; on with the next rule where it has none. */
  | { readonly kind: 'dispatch'; readonly direction: Direction; readonly map: DispatchMapName };

export interface Rule {
  /** All must be true; a rule without matches is for every packet. */
  readonly matches: readonly Match[];
  readonly action: Action;
  /** A few words for people, which go to the kernel with the rule. */
  readonly comment: string;
  /** Undefined: the rule is there whatever the resources say. */
  readonly provenance: Provenance | undefined;
}

export interface Hook {
  readonly point: 'input' | 'forward' | 'output';
  /** Netfilter's: smaller is earlier, 0 is where filters stand. */
  readonly priority: number;
}

export interface Chain {
  readonly name: string;
  /** Where packets come into the program; undefined for a chain that is only jumped to. */
  readonly hook: Hook | undefined;
  readonly rules: readonly Rule[];
}

type DispatchMapName = 'cali-from-wl' | 'cali-to-wl';

export interface DispatchMap {
  readonly name: DispatchMapName;
  /** Device name to chain name. */
  readonly entries: ReadonlyMap<string, string>;
}

/** An endpoint that gets no chains: its device is unknown to the dispatch, and no route may lead to it. */
export interface Refusal {
  readonly endpointId: string;
  /** What is wrong, and what would be right. */
  readonly reason: string;
}

export interface FilterProgram {
  readonly chains: readonly Chain[];
  readonly maps: readonly DispatchMap[];
  readonly refusals: readonly Refusal[];
}
