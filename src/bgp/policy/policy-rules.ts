/**
 * Policy as data: which routes a session takes in and sends out, and what is changed on them.
 *
 * The first rule whose conditions all hold decides; where none fits, `otherwise` does. Operations change the routes that
 * their rule accepts, in their order. `policy.ts` evaluates; the shell makes policies from BGPFilter resources or a file.
 */
import type { Cidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';

/** RFC 1997 (a number of 32 bits), RFC 4360 (two such halves), RFC 8092 (three). */
export type Community =
  | { readonly kind: 'standard'; readonly value: number }
  | { readonly kind: 'extended'; readonly high: number; readonly low: number }
  | { readonly kind: 'large'; readonly value: readonly [administrator: number, first: number, second: number] };

export interface PrefixCondition {
  readonly cidr: Cidr;
  readonly operator: 'Equal' | 'NotEqual' | 'In' | 'NotIn';
  readonly lengthMin: number | undefined;
  readonly lengthMax: number | undefined;
}

export type PolicyOperation =
  | { readonly kind: 'addCommunity'; readonly community: Community }
  | { readonly kind: 'removeCommunity'; readonly community: Community }
  | { readonly kind: 'prependAsPath'; readonly asns: readonly number[] }
  | { readonly kind: 'setLocalPreference'; readonly value: number }
  | { readonly kind: 'setMed'; readonly value: number };

/** An absent condition holds for every route. */
export interface PolicyRule {
  /** Where it is written, for people: "BGPFilter no-default, importV4[2]". */
  readonly name: string;
  readonly family?: Family;
  readonly prefix?: PrefixCondition;
  /** Learnt from a peer, or our own. */
  readonly source?: 'remote' | 'local';
  /** The device that an own route points to; `*` stands for any characters. */
  readonly device?: string;
  /** The kind of session that a remote route came by. */
  readonly peerType?: 'external' | 'internal';
  readonly community?: Community;
  /** The path begins with these numbers, nearest first. */
  readonly asPathPrefix?: readonly number[];
  readonly localPreference?: number;
  readonly action: 'accept' | 'reject';
  readonly operations: readonly PolicyOperation[];
}

export interface Policy {
  readonly rules: readonly PolicyRule[];
  readonly otherwise: 'accept' | 'reject';
}

/** LOCAL_PREF of a route that has none, where a rule asks (RFC 4271 leaves it open; everybody uses 100). */
export const DEFAULT_LOCAL_PREFERENCE = 100;

export const ACCEPT_ALL: Policy = { rules: [], otherwise: 'accept' };
export const REJECT_ALL: Policy = { rules: [], otherwise: 'reject' };
