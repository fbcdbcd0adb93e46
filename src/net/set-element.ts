/**
 * Elements of a packet filter's sets, as values: what comes into a set that is there, and what leaves it.
 *
 * A set holds elements of one kind and one family: single addresses, prefixes (an interval set), or an address with
 * protocol and port. The contract between felix/dataplane/nftables, which says what changes, and
 * kernel/nft-elements.ts, which carries it out.
 */
import type { Cidr } from './cidr.ts';
import type { Ip } from './ip.ts';

export type SetElement =
  | { readonly kind: 'address'; readonly address: Ip }
  | { readonly kind: 'prefix'; readonly prefix: Cidr }
  /** `protocol` is IP's number. */
  | { readonly kind: 'port'; readonly address: Ip; readonly protocol: number; readonly port: number };

/** What leaves goes before what comes, since a prefix may come that contains it. */
export interface SetElementsChange {
  /** The set's name in the kernel. */
  readonly set: string;
  readonly removed: readonly SetElement[];
  readonly added: readonly SetElement[];
}
