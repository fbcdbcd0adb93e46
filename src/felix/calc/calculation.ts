/**
 * From the state of the store and of BGP to what should be in force on this host.
 *
 * The calculation is told one key at a time, `(resource, or its absence)`, and may be told in any order, twice, or late:
 * its output is a function of what is true now. It reads no clock, awaits nothing and never fails; a resource that
 * makes no sense yet (an endpoint without a device) asks for nothing.
 *
 *   WorkloadEndpoint ─► local endpoint ─► endpoint, device routes ─┐
 *   IPAMBlock, BlockAffinity ─► own blocks ─► blackholes ──────────┼─► routes (lowest rank wins)
 *   BGP best paths, ways to peers ─► gateway routes ───────────────┘
 *   own blocks, borrowed addresses, IPPool ─► announcements
 *
 * The node agent calls `update…` as events come and `takeChanges` once a pass.
 */
import type { BlockAffinity } from '../../model/block-affinity.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import { resourceTitle } from '../../model/resource.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import type { Cidr } from '../../net/cidr.ts';
import { containsCidr, familyOf, formatCidr, hostPrefix, parseCidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { addressBits, formatIp, sameIp } from '../../net/ip.ts';
import type {
  Announcement,
  DesiredChanges,
  DesiredEndpoint,
  DesiredRoute,
  Gateway,
  PeerRoute,
  RouteTarget,
} from '../desired/desired.ts';
import { WORKLOAD_GATEWAY } from '../desired/desired.ts';
import { Candidates } from './candidates.ts';
import { localEndpoint } from './local-endpoints.ts';
import { sourceOf } from './provenance.ts';

/**
 * Whose route holds when several want one destination: a container that is here beats any hearsay, and so does the way to a
 * peer that somebody wrote down, since what a peer says of the way to itself may lead back to it.
 */
const RANK = { device: 0, peer: 1, gateways: 2, blackhole: 3 } as const;

export class Calculation {
  readonly #node: string;
  readonly #endpoints = new Map<string, DesiredEndpoint>();
  readonly #changedEndpoints = new Set<string>();
  readonly #pools = new Map<string, IpPool>();
  readonly #blocks = new Map<string, IpamBlock>();
  /** State of our own affinities by block. */
  readonly #affinities = new Map<string, BlockAffinity>();
  /** The destination of each block's blackhole, as it was last asked for. */
  readonly #blackholes = new Map<string, string>();
  readonly #routes = new Candidates<DesiredRoute>();
  #peerRoutes: ReadonlyMap<string, PeerRoute> = new Map();
  /** What was last told; undefined until something was: that there is nothing to announce must be told once, too. */
  #announced: ReadonlySet<string> | undefined;
  #announcementsMayDiffer = true;

  constructor(node: string) {
    this.#node = node;
    this.#routes.set(formatCidr(hostPrefix(WORKLOAD_GATEWAY)), 'gateway', RANK.device, gatewayRoute());
  }

  updateEndpoint(id: string, resource: WorkloadEndpoint | undefined): void {
    const before = this.#endpoints.get(id);
    const endpoint = resource === undefined ? undefined : localEndpoint(resource, this.#node);
    if (before === undefined && endpoint === undefined) return;
    if (endpoint === undefined) this.#endpoints.delete(id);
    else this.#endpoints.set(id, endpoint);
    this.#changedEndpoints.add(id);
    this.#announcementsMayDiffer = true;
    const wanted = new Set((endpoint?.addresses ?? []).map(formatCidr));
    for (const address of before?.addresses ?? []) {
      if (!wanted.has(formatCidr(address))) this.#routes.set(formatCidr(address), id, RANK.device, undefined);
    }
    for (const destination of endpoint?.addresses ?? []) {
      const { deviceName, provenance } = endpoint as DesiredEndpoint; // addresses come from an endpoint that is there
      const target = { kind: 'device', deviceName } as const;
      this.#routes.set(formatCidr(destination), id, RANK.device, { destination, target, provenance });
    }
  }

  updatePool(name: string, pool: IpPool | undefined): void {
    if (pool === undefined) this.#pools.delete(name);
    else this.#pools.set(name, pool);
    this.#announcementsMayDiffer = true;
  }

  updateBlock(name: string, block: IpamBlock | undefined): void {
    if (block === undefined) this.#blocks.delete(name);
    else this.#blocks.set(name, block);
    this.#updateBlackhole(name);
  }

  updateAffinity(name: string, affinity: BlockAffinity | undefined): void {
    const before = this.#affinities.get(name);
    if (affinity === undefined || affinity.spec.node !== this.#node) this.#affinities.delete(name);
    else this.#affinities.set(name, affinity);
    if (before === undefined && !this.#affinities.has(name)) return;
    for (const block of this.#blocks.keys()) this.#updateBlackhole(block);
  }

  /**
   * The gateways of the best paths to a prefix by BGP; none when there is no path any more. An aggregate has none either:
   * what no more specific route takes is discarded.
   */
  updateLearned(prefix: Cidr, way: readonly Gateway[] | 'discard', peer: Ip | undefined): void {
    const origin = peer === undefined ? 'BGP' : `BGP peer ${formatIp(peer)}`;
    const target: RouteTarget = way === 'discard' ? { kind: 'blackhole' } : { kind: 'gateways', gateways: way };
    const route: DesiredRoute = { destination: prefix, target, provenance: { origin } };
    this.#routes.set(formatCidr(prefix), 'bgp', RANK.gateways, way.length === 0 ? undefined : route);
  }

  /** All ways to peers that resources ask for, in the place of those before. */
  updatePeerRoutes(routes: readonly PeerRoute[]): void {
    const before = this.#peerRoutes;
    this.#peerRoutes = new Map(routes.map((route) => [formatCidr(hostPrefix(route.peer)), route]));
    for (const key of before.keys()) {
      if (!this.#peerRoutes.has(key)) this.#routes.set(key, 'peer', RANK.peer, undefined);
    }
    for (const [key, { peer, gateway, origin }] of this.#peerRoutes) {
      const target = { kind: 'gateways', gateways: [{ address: gateway, deviceName: undefined }] } as const;
      const same = sameIp(before.get(key)?.gateway, gateway);
      const route = { destination: hostPrefix(peer), target, provenance: { origin } };
      if (!same) this.#routes.set(key, 'peer', RANK.peer, route);
    }
  }

  /** What has changed since the last call. */
  takeChanges(): DesiredChanges {
    const endpoints = new Map([...this.#changedEndpoints].map((id) => [id, this.#endpoints.get(id)] as const));
    this.#changedEndpoints.clear();
    return { endpoints, routes: this.#routes.takeChanges(), announcements: this.#takeAnnouncements() };
  }

  #updateBlackhole(name: string): void {
    this.#announcementsMayDiffer = true;
    const own = this.#ownBlock(this.#blocks.get(name));
    // A block of one address has no unassigned rest that could loop.
    const wanted = own !== undefined && own.prefix.length < addressBits(familyOf(own.prefix));
    const before = this.#blackholes.get(name);
    if (before !== undefined && (!wanted || formatCidr(own.prefix) !== before)) {
      this.#routes.set(before, `block ${name}`, RANK.blackhole, undefined);
      this.#blackholes.delete(name);
    }
    if (!wanted) return;
    const route: DesiredRoute = { destination: own.prefix, target: { kind: 'blackhole' }, provenance: own.provenance };
    this.#routes.set(formatCidr(own.prefix), `block ${name}`, RANK.blackhole, route);
    this.#blackholes.set(name, formatCidr(own.prefix));
  }

  /** A block that is ours for certain: a pending claim may still be lost to another host. */
  #ownBlock(block: IpamBlock | undefined): Announcement | undefined {
    if (block === undefined || block.spec.deleted || block.spec.affinity !== `host:${this.#node}`) return undefined;
    const affinity = [...this.#affinities.values()].find(({ spec }) => spec.cidr === block.spec.cidr);
    const prefix = parseCidr(block.spec.cidr);
    if (prefix === undefined || (affinity !== undefined && affinity.spec.state !== 'confirmed')) return undefined;
    return { prefix, deviceName: undefined, provenance: sourceOf(resourceTitle(block), block.metadata) };
  }

  #takeAnnouncements(): readonly Announcement[] | undefined {
    if (!this.#announcementsMayDiffer) return undefined;
    this.#announcementsMayDiffer = false;
    const announcements = this.#announcements();
    const announced = new Set(announcements.map(({ prefix }) => formatCidr(prefix)));
    const before = this.#announced;
    this.#announced = announced;
    const same = before?.size === announced.size && announced.isSubsetOf(before);
    return same ? undefined : announcements;
  }

  /** Our blocks, and single addresses that we hold in other hosts' blocks; only what a pool lets out. */
  #announcements(): Announcement[] {
    const blocks = [...this.#blocks.values()].flatMap((block) => this.#ownBlock(block) ?? []);
    const inBlock = (prefix: Cidr) => blocks.some((block) => containsCidr(block.prefix, prefix));
    const borrowed = [...this.#endpoints.values()].flatMap(({ addresses, deviceName, provenance }) =>
      addresses.filter((prefix) => !inBlock(prefix)).map((prefix) => ({ prefix, deviceName, provenance })),
    );
    const exported = [...this.#pools.values()]
      .filter((pool) => !pool.spec.disableBGPExport)
      .map((pool) => pool.spec.cidr);
    const pools = exported.flatMap((text) => parseCidr(text) ?? []);
    return [...blocks, ...borrowed].filter(({ prefix }) => pools.some((pool) => containsCidr(pool, prefix)));
  }
}

/**
 * A kernel answers a container's ARP for its gateway only when it knows a way to that address which does not lead back
 * to the container. Usually the default route is that way; hosts without one would stay silent. Loopback is a
 * way that every host has, and nothing is ever sent along it.
 */
function gatewayRoute(): DesiredRoute {
  return {
    destination: hostPrefix(WORKLOAD_GATEWAY),
    target: { kind: 'device', deviceName: 'lo' },
    provenance: { origin: 'the gateway of every container' },
  };
}
