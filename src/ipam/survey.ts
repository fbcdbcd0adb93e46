/**
 * All that the store says about addresses, read at one moment: what check, repair, show and explain look at.
 *
 * The store lists many kinds at one revision, so a survey is consistent without a lock: what does not fit together in it did
 * not fit together in the store. Whoever carries a repair out tells the survey of it, and can go on with the next one.
 * Entries that are no valid resources are known by key, so that nothing is concluded from their absence.
 */
import type { IpPool } from '../model/ip-pool.ts';
import type { IpamBlock } from '../model/ipam-block.ts';
import type { AnyResource } from '../model/kinds.ts';
import { cidrName, keyOf, kindPrefix, resourceKey } from '../model/resource-key.ts';
import type { WorkloadEndpoint } from '../model/workload-endpoint.ts';
import { addressIn, cidr, containsIp } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Holder } from './block.ts';
import { blockPrefix, holderAt, SINCE_ATTRIBUTE } from './block.ts';
import { handleKey } from './handle.ts';
import { poolPrefix } from './pools.ts';

/** The kinds that a survey has. */
export const SURVEYED_KINDS = [
  'IPPool',
  'IPReservation',
  'IPAMConfiguration',
  'IPAMBlock',
  'BlockAffinity',
  'IPAMHandle',
  'WorkloadEndpoint',
] as const;

type SurveyedKind = (typeof SURVEYED_KINDS)[number];
type OfKind<Kind extends SurveyedKind> = Extract<AnyResource, { readonly kind: Kind }>;

export class Survey {
  readonly #resources = new Map<string, Map<string, AnyResource>>();
  /** Keys of entries that are no valid resources. */
  readonly unreadable: ReadonlySet<string>;

  constructor(resources: Iterable<AnyResource>, unreadable: Iterable<string>) {
    for (const kind of SURVEYED_KINDS) this.#resources.set(kind, new Map());
    for (const resource of resources) this.put(resource);
    this.unreadable = new Set(unreadable);
  }

  /** The store has this now. */
  put(resource: AnyResource): void {
    this.#resources.get(resource.kind)?.set(keyOf(resource), resource);
  }

  /** The store has nothing under this key any more. */
  remove(key: string): void {
    for (const resources of this.#resources.values()) resources.delete(key);
  }

  all<Kind extends SurveyedKind>(kind: Kind): OfKind<Kind>[] {
    // `put` files resources by their kind, which the compiler does not see.
    return [...(this.#resources.get(kind)?.values() ?? [])] as OfKind<Kind>[];
  }

  block(cidrText: string): IpamBlock | undefined {
    return this.#at('IPAMBlock', resourceKey({ kind: 'IPAMBlock', name: cidrName(cidrText) }));
  }

  affinity(key: string): OfKind<'BlockAffinity'> | undefined {
    return this.#at('BlockAffinity', key);
  }

  handle(handleId: string): OfKind<'IPAMHandle'> | undefined {
    return this.#at('IPAMHandle', handleKey(handleId));
  }

  /** Whether an entry of this kind could not be read. */
  hasUnreadable(kind: SurveyedKind): boolean {
    return [...this.unreadable].some((key) => key.startsWith(kindPrefix(kind)));
  }

  #at<Kind extends SurveyedKind>(kind: Kind, key: string): OfKind<Kind> | undefined {
    return this.#resources.get(kind)?.get(key) as OfKind<Kind> | undefined; // as in `all`
  }
}

/** An address that somebody has. */
export interface Allocation {
  readonly address: Ip;
  /** The address as text. */
  readonly text: string;
  readonly block: IpamBlock;
  readonly holder: Holder;
}

/** All assigned addresses, block by block. */
export function allocationsOf(blocks: readonly IpamBlock[]): Allocation[] {
  return blocks.flatMap((block) => {
    const prefix = blockPrefix(block);
    return block.spec.allocations.flatMap((_, ordinal) => {
      const holder = holderAt(block, ordinal);
      if (holder === undefined) return [];
      const address = addressIn(prefix, ordinal);
      return [{ address, text: formatIp(address), block, holder }];
    });
  });
}

/** Since when a holder has its address, in milliseconds since 1970; undefined when nobody wrote it down. */
export function sinceOf({ secondary }: Holder): number | undefined {
  const time = Date.parse(secondary[SINCE_ATTRIBUTE] ?? '');
  return Number.isNaN(time) ? undefined : time;
}

/** Addresses as text, and the endpoints that use each; there should be one. */
export function endpointsByAddress(survey: Survey): Map<string, WorkloadEndpoint[]> {
  const users = new Map<string, WorkloadEndpoint[]>();
  for (const endpoint of survey.all('WorkloadEndpoint')) {
    for (const address of endpoint.spec.ipNetworks.map((network) => formatIp(cidr(network).address))) {
      users.set(address, [...(users.get(address) ?? []), endpoint]);
    }
  }
  return users;
}

/** The pool that an address lies in. */
export function poolWith(survey: Survey, address: Ip): IpPool | undefined {
  return survey.all('IPPool').find((pool) => containsIp(poolPrefix(pool), address));
}
