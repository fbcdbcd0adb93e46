/**
 * The sets that no selector gives: pools and hosts.
 *
 * Masquerading and tunnels go by them. A pool that is disabled gives out no more addresses, but those that it gave
 * are still in use, so it counts like any other. Told whole, whenever one of the few resources behind them changes.
 */
import type { IpPool } from '../../../model/ip-pool.ts';
import type { Node } from '../../../model/node.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { hostPrefix, parseCidr, parseInterfaceAddress } from '../../../net/cidr.ts';
import { parseIp } from '../../../net/ip.ts';
import type { SetId } from '../../desired/policy.ts';
import { ALL_HOSTS, ALL_POOLS, MASQUERADED_POOLS, VXLAN_HOSTS } from '../../desired/policy.ts';
import { memberOf } from './set-items.ts';

/** What the sets are made of. */
export interface FixedSetSources {
  readonly pools: Iterable<IpPool>;
  readonly nodes: Iterable<Node>;
  /** Addresses and prefixes of hosts that are no nodes, but send tunnelled packets. */
  readonly externalNodes: readonly string[];
}

/** The members of each set, in text. */
export function fixedSets({ pools, nodes, externalNodes }: FixedSetSources): Map<SetId, Set<string>> {
  const [allPools, allNodes] = [[...pools], [...nodes]];
  const external = externalNodes.flatMap((text) => prefixOfText(text) ?? []);
  const cidrsOf = (list: readonly IpPool[]) => list.flatMap(({ spec }) => parseCidr(spec.cidr) ?? []);
  return new Map([
    [ALL_POOLS, members(cidrsOf(allPools))],
    [MASQUERADED_POOLS, members(cidrsOf(allPools.filter(({ spec }) => spec.natOutgoing)))],
    [ALL_HOSTS, members([...allNodes.flatMap(hostAddresses), ...external])],
    // A host may send as soon as it has heard that we receive; that it does so we may hear later.
    [VXLAN_HOSTS, members([...allNodes.flatMap(hostAddresses), ...external])],
  ]);
}

/** The addresses that a host is reached at by other hosts; one that only the outside knows it by is none of them. */
export function hostAddresses({ spec }: Node): Cidr[] {
  const others = (spec.addresses ?? []).filter(({ type }) => type !== 'ExternalIP').map(({ address }) => address);
  return [spec.bgp?.ipv4Address, spec.bgp?.ipv6Address, ...others].flatMap((text) => addressOf(text) ?? []);
}

/** A host's address, with or without the length of its subnet. */
function addressOf(text: string | undefined): Cidr | undefined {
  const address = text === undefined ? undefined : (parseIp(text) ?? parseInterfaceAddress(text)?.address);
  return address && hostPrefix(address);
}

function prefixOfText(text: string): Cidr | undefined {
  return parseCidr(text) ?? addressOf(text);
}

function members(prefixes: readonly Cidr[]): Set<string> {
  return new Set(prefixes.map(memberOf));
}
