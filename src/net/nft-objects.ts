/**
 * Tables and chains of nftables as values, as far as it takes to tell whose they are and whether anything is in them.
 *
 * The contract between the kernel room, which reads them, and the dataplane, which knows what is ours.
 */
export type NftFamily = 'inet' | 'ip' | 'ip6';

export interface NftTable {
  readonly family: NftFamily;
  readonly name: string;
  /** How many chains, sets and other objects are in it. */
  readonly uses: number;
}

export interface NftChain {
  readonly family: NftFamily;
  readonly table: string;
  readonly name: string;
  /** Rules that are in it or lead to it. */
  readonly uses: number;
  /** What a base chain does with packets that no rule of it decides; undefined for a chain that hangs at no hook. */
  readonly policy: 'accept' | 'drop' | undefined;
}
