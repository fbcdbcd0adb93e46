/**
 * The MTU that containers get: what fits into the uplink once every encapsulation that may be put around it has its share.
 *
 * A container talks to all others by one device, so the narrowest way counts for it, whichever pool its own address is of.
 * Disabled pools count: no new container gets an address of them, but those that have one are still reached as before. A
 * tunnel's MTU that FelixConfiguration sets stands in place of the computed one; `ipipEnabled` and `vxlanEnabled` overrule what
 * the pools say, as in Calico. What is in force when a container is attached stays with it. Called by node/resource-feed.ts.
 */
import { isWorkloadDevice } from '../../felix/dataplane/ownership.ts';
import { isTunnelDevice } from '../../felix/desired/tunnels.ts';
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { cidr, familyOf } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { sameIp } from '../../net/ip.ts';
import type { Address, Link } from '../../net/kernel-objects.ts';

/** Where the uplink is not known (yet): the smallest among the usual clouds, which Calico takes as well. */
const UPLINK_MTU_FALLBACK = 1460;
const LOOPBACK = 'lo';

export interface MtuFacts {
  /** Of the device by which the node reaches others; undefined while it has none. */
  readonly uplinkMtu: number | undefined;
  readonly pools: Iterable<IpPool>;
  readonly felix: EffectiveFelix;
}

interface Encapsulation {
  /** Bytes around each packet. */
  readonly overhead: number;
  /** The tunnel's MTU as configured; 0 has it computed. */
  readonly configuredMtu: (felix: EffectiveFelix) => number;
  readonly isUsed: (pools: readonly IpPool[], felix: EffectiveFelix) => boolean;
}

const ENCAPSULATIONS: readonly Encapsulation[] = [
  {
    overhead: 20, // an IPv4 header
    configuredMtu: ({ ipipMTU }) => ipipMTU,
    isUsed: (pools, { ipipEnabled }) => ipipEnabled ?? pools.some(({ spec }) => spec.ipipMode !== 'Never'),
  },
  {
    overhead: 50, // IPv4, UDP, VXLAN and Ethernet headers: 20, 8, 8, 14
    configuredMtu: ({ vxlanMTU }) => vxlanMTU,
    isUsed: (pools, { vxlanEnabled }) => vxlanEnabled ?? hasVxlan(pools, 4),
  },
  {
    overhead: 70, // the same with an IPv6 header of 40
    configuredMtu: ({ vxlanMTUV6 }) => vxlanMTUV6,
    isUsed: (pools, { vxlanEnabled }) => vxlanEnabled !== false && hasVxlan(pools, 6),
  },
  {
    overhead: 60, // IPv4, UDP and WireGuard: 20, 8, 32
    configuredMtu: ({ wireguardMTU }) => wireguardMTU,
    isUsed: (_, { wireguardEnabled }) => wireguardEnabled,
  },
  {
    overhead: 80, // the same with an IPv6 header
    configuredMtu: ({ wireguardMTUV6 }) => wireguardMTUV6,
    isUsed: (_, { wireguardEnabledV6 }) => wireguardEnabledV6,
  },
];

/** In bytes, as of the container's interface and of the host's end alike. */
export function workloadMtu(facts: MtuFacts): number {
  const pools = [...facts.pools];
  const uplinkMtu = facts.uplinkMtu ?? UPLINK_MTU_FALLBACK;
  const used = ENCAPSULATIONS.filter(({ isUsed }) => isUsed(pools, facts.felix));
  const tunnels = used.map(({ configuredMtu, overhead }) => configuredMtu(facts.felix) || uplinkMtu - overhead);
  return Math.min(uplinkMtu, ...tunnels);
}

/**
 * What containers send to others leaves by the device that has the node's address (two, with one address each). Where the node
 * has none, or has it on lo, it may leave by any link: then the narrowest counts. Undefined where nothing leads away.
 */
export function uplinkMtu(
  own: readonly (Ip | undefined)[],
  links: readonly Link[],
  addresses: readonly Address[],
): number | undefined {
  const ways = links.filter(({ name }) => name !== LOOPBACK && !isWorkloadDevice(name) && !isTunnelDevice(name));
  const named = ways.filter((link) =>
    addresses.some(({ index, address }) => index === link.index && own.some((each) => sameIp(each, address))),
  );
  const uplinks = named.length > 0 ? named : ways.filter(({ up }) => up);
  return uplinks.length === 0 ? undefined : Math.min(...uplinks.map(({ mtu }) => mtu));
}

function hasVxlan(pools: readonly IpPool[], family: Family): boolean {
  return pools.some(({ spec }) => spec.vxlanMode !== 'Never' && familyOf(cidr(spec.cidr)) === family);
}
