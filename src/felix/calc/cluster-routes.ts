/**
 * Routes to other hosts' containers: from what BGP tells, and from the store.
 *
 *   IPAMBlock of another host, addresses lent by a block ─► route from the store, where Felix programs its pool ─┐
 *   BGP's best path ──────────────────────────────────────► learned route ───────────────────────────────────────┴─► lowest rank
 *
 * Both kinds go through a tunnel where the destination's pool says so; of several gateways each is judged by itself. Pools with
 * VXLAN are always Felix's, so that it needs no BGP; who programs the others is an operator's choice. Where the store's route could
 * not be used (the tunnel is not ready, and the host is on no subnet of ours) there is none, so that what BGP knows may hold.
 *
 * Only what may differ is computed again: routes to a host whose addresses changed, or all when our own or a pool did.
 */
import type { EffectiveFelix } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { IpamBlock } from '../../model/ipam-block.ts';
import { resourceTitle } from '../../model/resource.ts';
import type { Cidr } from '../../net/cidr.ts';
import { addressIn, cidr, containsCidr, containsIp, familyOf, formatCidr, hostPrefix } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { DesiredRoute, Gateway } from '../desired/desired.ts';
import type { Provenance } from '../desired/provenance.ts';
import type { Candidates } from './candidates.ts';
import type { PoolMode, Way } from './encapsulation.ts';
import { gatewayBy, poolMode, wayTo } from './encapsulation.ts';
import type { HostFacts, Hosts } from './hosts.ts';
import { sourceOf } from './provenance.ts';
import { RANK } from './route-ranks.ts';

/** What the store says of the way to a destination: it is at this host. */
interface StoredPlace {
  readonly destination: Cidr;
  readonly node: string;
  readonly provenance: Provenance;
}

interface LearnedWay {
  readonly prefix: Cidr;
  readonly gateways: readonly Gateway[];
  readonly provenance: Provenance;
}

/** Which routes follow from the store: of pools with IPIP, of those without a tunnel, of both, of neither. */
export type ProgramClusterRoutes = NonNullable<EffectiveFelix['programClusterRoutes']>;

const HOST_AFFINITY = 'host:';

export class ClusterRoutes {
  readonly #node: string;
  readonly #hosts: Hosts;
  readonly #routes: Candidates<DesiredRoute>;
  readonly #pools = new Map<string, PoolMode>();
  #programs: ProgramClusterRoutes = 'Disabled';
  /** By block, what lies where; of a block of our own what it has lent. */
  readonly #stored = new Map<string, readonly StoredPlace[]>();
  readonly #learned = new Map<string, LearnedWay>();
  /** Names of blocks with something at a host, prefixes learned by way of an address. */
  readonly #blocksOfHost = new Map<string, Set<string>>();
  readonly #learnedBy = new Map<string, Set<string>>();
  /** What was last asked for under a key and source. */
  readonly #asked = new Map<string, string>();
  #allMayDiffer = false;

  constructor(node: string, hosts: Hosts, routes: Candidates<DesiredRoute>) {
    this.#node = node;
    this.#hosts = hosts;
    this.#routes = routes;
  }

  setPrograms(programs: ProgramClusterRoutes): void {
    this.#allMayDiffer ||= programs !== this.#programs;
    this.#programs = programs;
  }

  updatePool(name: string, pool: IpPool | undefined): void {
    if (pool === undefined) this.#pools.delete(name);
    else this.#pools.set(name, poolMode(pool));
    this.#allMayDiffer = true;
  }

  /** `changed`: what a host was and is. */
  hostChanged(changed: readonly HostFacts[]): void {
    if (changed.some(({ name }) => name === this.#node)) {
      this.#allMayDiffer = true;
      return;
    }
    for (const { name, ends } of changed) {
      for (const block of this.#blocksOfHost.get(name) ?? []) this.#resolveBlock(block);
      for (const end of [ends[4], ends[6]]) {
        const prefixes = end === undefined ? undefined : this.#learnedBy.get(formatIp(end.address));
        for (const prefix of prefixes ?? []) this.#resolveLearned(prefix);
      }
    }
  }

  updateBlock(name: string, block: IpamBlock | undefined): void {
    const before = this.#stored.get(name) ?? [];
    const after = block === undefined ? [] : placesOf(block, this.#node);
    if (samePlaces(before, after)) return;
    for (const { node } of before) note(this.#blocksOfHost, node, name, false);
    for (const { node } of after) note(this.#blocksOfHost, node, name, true);
    const kept = new Set(after.map(({ destination }) => formatCidr(destination)));
    for (const { destination } of before) {
      if (!kept.has(formatCidr(destination)))
        this.#ask(formatCidr(destination), storedBy(name), RANK.stored, undefined);
    }
    if (after.length === 0) this.#stored.delete(name);
    else this.#stored.set(name, after);
    this.#resolveBlock(name);
  }

  /** No gateways: the prefix is learned no more. */
  updateLearned(prefix: Cidr, gateways: readonly Gateway[], provenance: Provenance): void {
    const key = formatCidr(prefix);
    for (const { address } of this.#learned.get(key)?.gateways ?? []) {
      note(this.#learnedBy, formatIp(address), key, false);
    }
    if (gateways.length === 0) this.#learned.delete(key);
    else this.#learned.set(key, { prefix, gateways, provenance });
    for (const { address } of gateways) note(this.#learnedBy, formatIp(address), key, true);
    this.#resolveLearned(key);
  }

  /** Brings the routes up to date with all that was told. */
  settle(): void {
    if (!this.#allMayDiffer) return;
    this.#allMayDiffer = false;
    for (const name of this.#stored.keys()) this.#resolveBlock(name);
    for (const key of this.#learned.keys()) this.#resolveLearned(key);
  }

  #resolveBlock(name: string): void {
    for (const place of this.#stored.get(name) ?? []) {
      const key = formatCidr(place.destination);
      this.#ask(key, storedBy(name), RANK.stored, this.#storedRoute(place));
    }
  }

  #storedRoute({ destination, node, provenance }: StoredPlace): DesiredRoute | undefined {
    const mode = this.#poolOf(destination);
    const host = this.#hosts.get(node);
    const family = familyOf(destination);
    const end = host?.ends[family];
    if (mode === undefined || host === undefined || end === undefined || !isProgrammed(mode, this.#programs)) {
      return undefined;
    }
    const own = this.#hosts.get(this.#node);
    const way = wayTo(mode, own, host, end.address);
    const subnet = own?.ends[family]?.subnet;
    const isNear = subnet !== undefined && containsIp(subnet, end.address);
    if (way.tunnel === undefined && mode.tunnel !== undefined && !isNear) return undefined;
    const gateway = gatewayBy(way, host, { address: end.address, deviceName: undefined });
    const origin = `${provenance.origin} of ${node}: ${way.reason}`;
    return {
      destination,
      target: { kind: 'gateways', gateways: [gateway], protocol: 'felix' },
      provenance: { ...provenance, origin },
    };
  }

  #resolveLearned(key: string): void {
    const learned = this.#learned.get(key);
    this.#ask(key, 'bgp', RANK.learned, learned === undefined ? undefined : this.#learnedRoute(learned));
  }

  #learnedRoute({ prefix, gateways, provenance }: LearnedWay): DesiredRoute {
    const mode = this.#poolOf(prefix);
    const own = this.#hosts.get(this.#node);
    const ways = gateways.map((gateway): { readonly way: Way; readonly gateway: Gateway } => {
      // Of another family, or link-local on a device: not the address of a host's tunnel end.
      const isHost = gateway.deviceName === undefined && gateway.address.family === prefix.address.family;
      const host = isHost ? this.#hosts.at(gateway.address) : undefined;
      const way = wayTo(mode, own, host, gateway.address);
      return { way, gateway: gatewayBy(way, host, gateway) };
    });
    const reasons = mode?.tunnel === undefined ? [] : [...new Set(ways.map(({ way }) => way.reason))];
    const origin = [provenance.origin, ...reasons].join(': ');
    return {
      destination: prefix,
      target: { kind: 'gateways', gateways: ways.map(({ gateway }) => gateway), protocol: 'bird' },
      provenance: { ...provenance, origin },
    };
  }

  /** Pools do not overlap; the shortest prefix wins where they do all the same, as long as somebody has not put it right. */
  #poolOf(destination: Cidr): PoolMode | undefined {
    let found: PoolMode | undefined;
    for (const mode of this.#pools.values()) {
      if (!containsCidr(mode.prefix, destination)) continue;
      const isBetter = found === undefined || mode.prefix.length < found.prefix.length;
      const isTie = found?.prefix.length === mode.prefix.length && mode.name < found.name;
      if (isBetter || isTie) found = mode;
    }
    return found;
  }

  /** Sets a candidate, unless it is the one that is there: a thousand routes need not move because a label did. */
  #ask(key: string, source: string, rank: number, route: DesiredRoute | undefined): void {
    const id = `${key} ${source}`;
    const text = route === undefined ? undefined : textOfRoute(route);
    if (this.#asked.get(id) === text) return;
    if (text === undefined) this.#asked.delete(id);
    else this.#asked.set(id, text);
    this.#routes.set(key, source, rank, route);
  }
}

function isProgrammed({ tunnel }: PoolMode, programs: ProgramClusterRoutes): boolean {
  if (tunnel === undefined) return programs === 'Enabled' || programs === 'EnabledNoEncapOnly';
  return tunnel !== 'ipip' || programs === 'Enabled' || programs === 'EnabledIPIPOnly';
}

/** Where a block and what it has lent are, but for what is here. */
function placesOf(block: IpamBlock, ownNode: string): StoredPlace[] {
  const { spec } = block;
  if (spec.deleted) return [];
  const owner = spec.affinity?.startsWith(HOST_AFFINITY) ? spec.affinity.slice(HOST_AFFINITY.length) : undefined;
  const prefix = cidr(spec.cidr);
  const provenance = sourceOf(resourceTitle(block), block.metadata);
  const lent = lentAddresses(block, owner).map(({ address, node }) => ({ destination: hostPrefix(address), node }));
  const whole = owner === undefined ? [] : [{ destination: prefix, node: owner }];
  // A block of one address that is lent is where its borrower is.
  const places = new Map([...whole, ...lent].map((place) => [formatCidr(place.destination), place]));
  return [...places.values()].filter(({ node }) => node !== ownNode).map((place) => ({ ...place, provenance }));
}

/** Addresses that another node has than the one that the block belongs to. */
function lentAddresses({ spec }: IpamBlock, owner: string | undefined): { address: Ip; node: string }[] {
  const borrowers = spec.attributes.map(({ secondary }) => secondary['node']);
  if (borrowers.every((node) => node === undefined || node === owner)) return [];
  const prefix = cidr(spec.cidr);
  return spec.allocations.flatMap((index, ordinal) => {
    const node = index === null ? undefined : borrowers[index];
    return node === undefined || node === owner ? [] : [{ address: addressIn(prefix, ordinal), node }];
  });
}

function samePlaces(a: readonly StoredPlace[], b: readonly StoredPlace[]): boolean {
  const text = ({ destination, node }: StoredPlace) => `${formatCidr(destination)} ${node}`;
  return a.length === b.length && a.every((place, index) => text(place) === text(b[index] ?? place));
}

function storedBy(block: string): string {
  return `stored ${block}`;
}

function textOfRoute({ target, provenance }: DesiredRoute): string {
  const gateways = target.kind === 'gateways' ? target.gateways : [];
  const hops = gateways.map(({ address, deviceName = '' }) => `${formatIp(address)}%${deviceName}`);
  return `${hops.join()} ${provenance.origin} ${provenance.source ?? ''}`;
}

function note(index: Map<string, Set<string>>, key: string, value: string, present: boolean): void {
  const values = index.get(key) ?? new Set();
  if (present) values.add(value);
  else values.delete(value);
  if (values.size === 0) index.delete(key);
  else index.set(key, values);
}
