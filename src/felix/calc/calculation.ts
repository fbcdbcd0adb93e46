/**
 * From the state of the store and of BGP to what should be in force on this host.
 *
 * The calculation is told one key at a time, `(resource, or its absence)`, in any order: its output is a function of what is true
 * now. It reads no clock and never fails; a resource that makes no sense yet (an endpoint without a device) asks for nothing.
 *
 *   policies, profiles, sets, labels ─► policy calculation ─► policy, beside the endpoints
 *   WorkloadEndpoint ─► local endpoint ─► endpoint, device routes ─┐
 *   floating addresses ─► endpoint, device routes ─────────────────┤
 *   services, addresses of several containers ─► device routes ────┤
 *   IPAMBlock, BlockAffinity ─► own blocks ─► blackholes ──────────┼─► routes (lowest rank wins)
 *   BGP best paths, others' blocks, Node, IPPool ─► cluster routes ┤
 *   ways to peers ─► gateway routes ───────────────────────────────┘
 *   Node, own tunnels' addresses ─► tunnels
 *   own blocks, borrowed and floating addresses, services, IPPool ─► announcements
 * The node agent calls `update…` as events come and `takeChanges` once a pass.
 */
import { sameJson } from '../../lib/json.ts';
import { setOrDelete } from '../../lib/set-or-delete.ts';
import type { BlockAffinity } from '../../model/block-affinity.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import type { AnyResource } from '../../model/kinds.ts';
import { NO_SERVICES_LABEL } from '../../model/metadata.ts';
import type { Node } from '../../model/node.ts';
import { resourceTitle } from '../../model/resource.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import type { Cidr } from '../../net/cidr.ts';
import { containsCidr, containsIp, familyOf, formatCidr, hostPrefix, parseCidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { addressBits, formatIp, ip, sameIp } from '../../net/ip.ts';
import type {
  Announcement,
  DesiredChanges,
  DesiredEndpoint,
  DesiredRoute,
  DesiredService,
  Gateway,
  PeerRoute,
} from '../desired/desired.ts';
import { WORKLOAD_GATEWAY } from '../desired/desired.ts';
import type { Provenance } from '../desired/provenance.ts';
import type { TunnelKind } from '../desired/tunnels.ts';
import type { CalculationSettings } from './calculation-settings.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from './calculation-settings.ts';
import { Candidates } from './candidates.ts';
import { ClusterRoutes } from './cluster-routes.ts';
import { Hosts } from './hosts.ts';
import type { LocalEndpoint } from './local-endpoints.ts';
import { localEndpoint } from './local-endpoints.ts';
import { fixedSets } from './policy/fixed-sets.ts';
import type { FloatingIps } from './policy/floating-ips.ts';
import { FloatingIpClaims, NO_FLOATING_IPS } from './policy/floating-ips.ts';
import { PolicyCalculation } from './policy/policy-calculation.ts';
import type { PlacedService, ServiceStanding } from './policy/services.ts';
import { Services } from './policy/services.ts';
import { sourceOf } from './provenance.ts';
import { RANK } from './route-ranks.ts';
import { TunnelCalculation } from './tunnel-calculation.ts';

export class Calculation {
  readonly #node: string;
  readonly #policy: PolicyCalculation;
  readonly #local = new Map<string, LocalEndpoint>();
  readonly #floatingIps = new FloatingIpClaims();
  readonly #services: Services;
  /** By address in text, as they were last told. */
  readonly #placedServices = new Map<string, PlacedService>();
  /** Endpoints as they were last told, and those that may differ from that. */
  readonly #endpoints = new Map<string, DesiredEndpoint>();
  readonly #endpointsMayDiffer = new Set<string>();
  readonly #pools = new Map<string, IpPool>();
  readonly #nodes = new Map<string, Node>();
  #settings = CALCULATION_SETTINGS_DEFAULTS;
  #fixedSetsMayDiffer = true;
  readonly #blocks = new Map<string, IpamBlock>();
  /** State of our own affinities by block. */
  readonly #affinities = new Map<string, BlockAffinity>();
  /** The destination of each block's blackhole, as it was last asked for. */
  /** Of blocks that are ours for certain, by name. */
  readonly #ownPrefixes = new Map<string, Cidr>();
  readonly #blackholes = new Map<string, string>();
  readonly #routes = new Candidates<DesiredRoute>();
  readonly #hosts = new Hosts();
  readonly #clusterRoutes: ClusterRoutes;
  readonly #tunnels: TunnelCalculation;
  /** Aggregates of BGP's, by prefix. */
  readonly #discarded = new Set<string>();
  /** The outside addresses that each endpoint here has a route for. */
  readonly #floatingRoutes = new Map<string, readonly Cidr[]>();
  #peerRoutes: ReadonlyMap<string, PeerRoute> = new Map();
  /** What was last told; undefined until something was: that there is nothing to announce must be told once, too. */
  #announced: ReadonlySet<string> | undefined;
  #announcementsMayDiffer = true;

  constructor(node: string) {
    this.#node = node;
    this.#policy = new PolicyCalculation(node);
    this.#clusterRoutes = new ClusterRoutes(node, this.#hosts, this.#routes);
    this.#tunnels = new TunnelCalculation(node, this.#hosts, this.#nodes, this.#routes);
    this.#services = new Services(node);
    this.#routes.set(formatCidr(hostPrefix(WORKLOAD_GATEWAY)), 'gateway', RANK.device, gatewayRoute());
  }

  setSettings(settings: CalculationSettings): void {
    const floatingIpsDiffer = settings.floatingIps !== this.#settings.floatingIps;
    this.#settings = settings;
    this.#fixedSetsMayDiffer = true;
    this.#clusterRoutes.setPrograms(settings.programClusterRoutes);
    this.#tunnels.setSettings({ ...settings.tunnels, externalNodes: settings.externalNodes });
    this.#announcementsMayDiffer = true;
    if (floatingIpsDiffer) for (const id of this.#floatingIps.claimants()) this.#updateFloatingRoutes(id);
  }

  /**
   * Tiers, policies of all kinds, profiles, namespaces, network sets and host endpoints; others are passed over. `key` is
   * "KIND name" or "KIND namespace/name".
   */
  updatePolicyResource(key: string, resource: AnyResource | undefined): void {
    this.#policy.updateResource(key, resource);
  }

  /** How much is compared with how much. */
  labelNumbers(): { readonly endpoints: number; readonly selectors: number } {
    return this.#policy.labelNumbers();
  }

  /** Rules of what is in force here that are left out because they cannot be enforced as they are meant, by title. */
  rulesLeftOut(): ReadonlyMap<string, readonly string[]> {
    return this.#policy.leftOut();
  }

  /** A container of any host: those elsewhere are members of sets. */
  updateEndpoint(id: string, resource: WorkloadEndpoint | undefined): void {
    this.#policy.updateWorkload(id, resource);
    this.#services.update(id, resource);
    for (const concerned of this.#floatingIps.update(id, resource)) this.#updateFloatingRoutes(concerned);
    const before = this.#local.get(id);
    const endpoint = resource === undefined ? undefined : localEndpoint(resource, this.#node);
    if (sameJson(before, endpoint)) return;
    if (endpoint === undefined) this.#local.delete(id);
    else this.#local.set(id, endpoint);
    this.#endpointsMayDiffer.add(id);
    // What lies in our own blocks is announced with them.
    const addresses = [...(before?.addresses ?? []), ...(endpoint?.addresses ?? [])];
    const isInOwnBlock = (address: Cidr) => [...this.#ownPrefixes.values()].some((own) => containsCidr(own, address));
    this.#announcementsMayDiffer ||= !addresses.every(isInOwnBlock);
    this.#setDeviceRoutes(id, RANK.device, before?.addresses ?? [], endpoint?.addresses ?? [], endpoint);
    this.#updateFloatingRoutes(id);
  }

  updatePool(name: string, pool: IpPool | undefined): void {
    if (pool === undefined) this.#pools.delete(name);
    else this.#pools.set(name, pool);
    this.#clusterRoutes.updatePool(name, pool);
    this.#announcementsMayDiffer = true;
    this.#fixedSetsMayDiffer = true;
    const forServices = [...this.#pools.values()].filter(({ spec }) => spec.allowedUses.includes('LoadBalancer'));
    this.#services.setPools(forServices.flatMap(({ spec }) => parseCidr(spec.cidr) ?? []));
  }

  /** A host of the network, this one too. */
  updateNode(name: string, node: Node | undefined): void {
    if (node === undefined) this.#nodes.delete(name);
    else this.#nodes.set(name, node);
    this.#fixedSetsMayDiffer = true;
    this.#announcementsMayDiffer ||= name === this.#node; // it may be told to announce no services
    this.#tunnels.nodesChanged();
    const changed = this.#hosts.update(name, node);
    if (changed === undefined) return;
    this.#clusterRoutes.hostChanged(changed);
  }

  /** Our end of a kind of tunnel; undefined once it is wanted no more. */
  setTunnel(kind: TunnelKind, address: Ip | undefined): void {
    this.#tunnels.setOwn(kind, address);
  }

  updateBlock(name: string, block: IpamBlock | undefined): void {
    const before = this.#blocks.get(name);
    if (block === undefined) this.#blocks.delete(name);
    else this.#blocks.set(name, block);
    this.#clusterRoutes.updateBlock(name, block);
    // With each container a block has other addresses assigned, which is of no concern here.
    if (before !== undefined && block !== undefined && isSameOwned(before, block)) return;
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
    this.#clusterRoutes.updateLearned(prefix, way === 'discard' ? [] : way, { origin });
    const key = formatCidr(prefix);
    if (way !== 'discard' && !this.#discarded.delete(key)) return;
    const route: DesiredRoute = { destination: prefix, target: { kind: 'blackhole' }, provenance: { origin } };
    if (way === 'discard') this.#discarded.add(key);
    this.#routes.set(key, 'bgp aggregate', RANK.learned, way === 'discard' ? route : undefined);
  }

  /** All ways to peers that resources ask for, in the place of those before. */
  updatePeerRoutes(routes: readonly PeerRoute[]): void {
    const before = this.#peerRoutes;
    this.#peerRoutes = new Map(routes.map((route) => [formatCidr(hostPrefix(route.peer)), route]));
    for (const key of before.keys()) {
      if (!this.#peerRoutes.has(key)) this.#routes.set(key, 'peer', RANK.peer, undefined);
    }
    for (const [key, { peer, gateway, origin }] of this.#peerRoutes) {
      const target = {
        kind: 'gateways',
        gateways: [{ address: gateway, deviceName: undefined }],
        protocol: 'bird',
      } as const;
      const same = sameIp(before.get(key)?.gateway, gateway);
      const route = { destination: hostPrefix(peer), target, provenance: { origin } };
      if (!same) this.#routes.set(key, 'peer', RANK.peer, route);
    }
  }

  /** What has changed since the last call. */
  takeChanges(): DesiredChanges {
    this.#takeFixedSets();
    this.#clusterRoutes.settle();
    const { changes: policy, workloads } = this.#policy.takeChanges();
    for (const id of workloads) this.#endpointsMayDiffer.add(id);
    const endpoints = this.#takeEndpoints();
    const services = this.#takeServices();
    const tunnels = this.#tunnels.takeChanges(); // which brings routes, too
    return {
      endpoints,
      policy,
      services,
      routes: this.#routes.takeChanges(),
      tunnels,
      announcements: this.#takeAnnouncements(),
    };
  }

  /** The services that an endpoint of this host asks to be part of. */
  servicesOf(id: string): ServiceStanding[] {
    return this.#services.of(id).map((size) => {
      return { ...size, state: size.isInPool ? this.#announcing(size.address) : 'in no pool' };
    });
  }

  #takeServices(): Map<string, DesiredService | undefined> {
    const changes = new Map<string, DesiredService | undefined>();
    for (const [address, placed] of this.#services.takeChanges()) {
      if (sameJson(this.#placedServices.get(address), placed)) continue;
      setOrDelete(this.#placedServices, address, placed);
      changes.set(address, placed?.service);
      this.#announcementsMayDiffer = true;
      this.#setServiceRoute(address, placed);
    }
    return changes;
  }

  /** What the host itself sends to a service is translated on its way out, and must have a way out to begin with. */
  #setServiceRoute(address: string, placed: PlacedService | undefined): void {
    const destination = hostPrefix(ip(address));
    const { deviceName, service } = placed ?? {};
    const [backend] = service?.backends ?? [];
    const route: DesiredRoute | undefined =
      deviceName === undefined || backend === undefined
        ? undefined
        : { destination, target: { kind: 'device', deviceName }, provenance: backend.provenance };
    this.#routes.set(formatCidr(destination), `service ${address}`, RANK.floating, route);
  }

  /** Whether a service is announced that has a container here. */
  #announcing(address: Ip): 'announced' | 'in no range' | 'excluded node' {
    if (!this.#settings.serviceRanges.some((range) => containsIp(range, address))) return 'in no range';
    const { labels = {} } = this.#nodes.get(this.#node)?.metadata ?? {};
    return NO_SERVICES_LABEL in labels ? 'excluded node' : 'announced';
  }

  #takeFixedSets(): void {
    if (!this.#fixedSetsMayDiffer) return;
    this.#fixedSetsMayDiffer = false;
    const { externalNodes } = this.#settings;
    this.#policy.setFixed(fixedSets({ pools: this.#pools.values(), nodes: this.#nodes.values(), externalNodes }));
  }

  #takeEndpoints(): Map<string, DesiredEndpoint | undefined> {
    const changes = new Map<string, DesiredEndpoint | undefined>();
    for (const id of this.#endpointsMayDiffer) {
      const local = this.#local.get(id);
      const { floatingIps } = this.#floatingIpsOf(id);
      const endpoint = local && { ...local, policy: this.#policy.policyOf(id), floatingIps };
      if (sameJson(this.#endpoints.get(id), endpoint)) continue;
      if (endpoint === undefined) this.#endpoints.delete(id);
      else this.#endpoints.set(id, endpoint);
      changes.set(id, endpoint);
    }
    this.#endpointsMayDiffer.clear();
    return changes;
  }

  #floatingIpsOf(id: string): FloatingIps {
    return this.#settings.floatingIps ? this.#floatingIps.of(id) : NO_FLOATING_IPS;
  }

  /** The outside addresses that lead to an endpoint may be others, or lead to another device. */
  #updateFloatingRoutes(id: string): void {
    const local = this.#local.get(id);
    const before = this.#floatingRoutes.get(id) ?? [];
    const after =
      local === undefined ? [] : this.#floatingIpsOf(id).floatingIps.map((each) => hostPrefix(each.external));
    if (before.length === 0 && after.length === 0) return;
    if (after.length === 0) this.#floatingRoutes.delete(id);
    else this.#floatingRoutes.set(id, after);
    this.#setDeviceRoutes(id, RANK.floating, before, after, local);
    this.#endpointsMayDiffer.add(id);
    this.#announcementsMayDiffer = true;
  }

  /** Routes out of an endpoint's device, in the place of those before; the endpoint is there when it has any. */
  #setDeviceRoutes(
    id: string,
    rank: typeof RANK.device | typeof RANK.floating,
    before: readonly Cidr[],
    after: readonly Cidr[],
    endpoint: LocalEndpoint | undefined,
  ): void {
    const source = rank === RANK.device ? id : `floating ${id}`;
    const wanted = new Set(after.map(formatCidr));
    for (const destination of before) {
      if (!wanted.has(formatCidr(destination))) this.#routes.set(formatCidr(destination), source, rank, undefined);
    }
    if (endpoint === undefined) return;
    const { deviceName, provenance } = endpoint;
    for (const destination of after) {
      const target = { kind: 'device', deviceName } as const;
      this.#routes.set(formatCidr(destination), source, rank, { destination, target, provenance });
    }
  }

  #updateBlackhole(name: string): void {
    this.#announcementsMayDiffer = true;
    const own = this.#ownBlock(this.#blocks.get(name));
    if (own === undefined) this.#ownPrefixes.delete(name);
    else this.#ownPrefixes.set(name, own.prefix);
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
    const announced = new Set(
      announcements.map(({ prefix, deviceName = '' }) => `${formatCidr(prefix)} ${deviceName}`),
    );
    const before = this.#announced;
    this.#announced = announced;
    const same = before?.size === announced.size && announced.isSubsetOf(before);
    return same ? undefined : announcements;
  }

  /** Our blocks, and single addresses that we hold in other hosts' blocks; only what a pool lets out, or an endpoint asks for; services. */
  #announcements(): Announcement[] {
    const blocks = [...this.#blocks.values()].flatMap((block) => this.#ownBlock(block) ?? []);
    const ofEndpoints = [...this.#local.values()].flatMap(({ id, addresses, deviceName, provenance }) => {
      const floating = this.#floatingRoutes.get(id) ?? [];
      const isForced = this.#floatingIpsOf(id).announce;
      return [
        ...addresses.map((prefix) => ({ prefix, deviceName, provenance, isForced: false })),
        ...floating.map((prefix) => ({ prefix, deviceName, provenance, isForced })),
      ];
    });
    const single = [...ofEndpoints, ...this.#tunnelAddresses()];
    const inBlock = (prefix: Cidr) => blocks.some((block) => containsCidr(block.prefix, prefix));
    const exported = [...this.#pools.values()]
      .filter((pool) => !pool.spec.disableBGPExport)
      .map((pool) => pool.spec.cidr);
    const pools = exported.flatMap((text) => parseCidr(text) ?? []);
    const isExported = (prefix: Cidr) => pools.some((pool) => containsCidr(pool, prefix));
    const allowed = single.filter(({ prefix, isForced }) => isForced || (isExported(prefix) && !inBlock(prefix)));
    const announcements: Announcement[] = [
      ...blocks.filter(({ prefix }) => isExported(prefix)),
      ...allowed.map(({ prefix, deviceName, provenance }) => ({ prefix, deviceName, provenance })),
      ...this.#serviceAnnouncements(),
    ];
    return [...new Map(announcements.map((each) => [formatCidr(each.prefix), each])).values()];
  }

  #serviceAnnouncements(): Announcement[] {
    return [...this.#placedServices.values()].flatMap(({ service, deviceName }) => {
      const [backend] = service.backends;
      if (backend === undefined || deviceName === undefined) return [];
      if (this.#announcing(service.address) !== 'announced') return [];
      return [{ prefix: hostPrefix(service.address), deviceName, provenance: backend.provenance }];
    });
  }

  /** Our ends of tunnels: what the host itself sends through them bears these addresses, and is answered to them. */
  #tunnelAddresses(): { prefix: Cidr; deviceName: undefined; provenance: Provenance; isForced: boolean }[] {
    const own = this.#hosts.get(this.#node);
    const addresses = Object.values(own?.tunnels ?? {}).filter((address) => address !== undefined);
    const provenance = { origin: `Node ${this.#node}` };
    return addresses.map((address) => ({
      prefix: hostPrefix(address),
      deviceName: undefined,
      provenance,
      isForced: false,
    }));
  }
}

function isSameOwned(before: IpamBlock, after: IpamBlock): boolean {
  const [a, b] = [before.spec, after.spec];
  return a.cidr === b.cidr && a.affinity === b.affinity && a.deleted === b.deleted;
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
