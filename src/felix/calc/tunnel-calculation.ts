/**
 * The tunnels that this host should have, with all their other ends.
 *
 * Whether a kind of tunnel is wanted, and its address, is told from outside, for both take IPAM and time; until then nothing is said
 * of the kind, and what an earlier process made stays as it is. The other ends follow from the Node resources: for VXLAN all
 * hosts that bear its address, for IPIP all hosts, since it asks for no more than who may send.
 *
 * Linux takes an IPv6 gateway that is "onlink" only where no other device has a route to it, but a default one. As long as the block
 * that it is in is routed in another way, that is so; hence each gateway in the tunnel over IPv6 has a route of its own.
 */
import type { Node } from '../../model/node.ts';
import type { Cidr } from '../../net/cidr.ts';
import { formatCidr, hostPrefix, parseCidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { addressBits, compareIp, formatIp, parseIp } from '../../net/ip.ts';
import type { DesiredRoute } from '../desired/desired.ts';
import type { DesiredTunnel, TunnelKind, TunnelRemote } from '../desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../desired/tunnels.ts';
import type { Candidates } from './candidates.ts';
import type { HostFacts, Hosts } from './hosts.ts';
import { hostAddresses } from './policy/fixed-sets.ts';
import { RANK } from './route-ranks.ts';

/** From FelixConfiguration. */
export interface TunnelSettings {
  readonly vni: number;
  readonly port: number;
  /** Bytes; 0 has it computed from the uplink. */
  readonly mtus: Readonly<Record<TunnelKind, number>>;
  /** Addresses and prefixes of hosts that are no nodes, but send us tunnelled packets. */
  readonly externalNodes: readonly string[];
}

/** Calico's, where no FelixConfiguration is. */
export const TUNNEL_SETTINGS_DEFAULTS: TunnelSettings = {
  vni: 4096,
  port: 4789,
  mtus: { ipip: 0, vxlan: 0, 'vxlan-v6': 0 },
  externalNodes: [],
};

export class TunnelCalculation {
  readonly #node: string;
  readonly #hosts: Hosts;
  readonly #nodes: ReadonlyMap<string, Node>;
  readonly #routes: Candidates<DesiredRoute>;
  /** Of gateways in the tunnel over IPv6, by destination. */
  #gateways = new Set<string>();
  #settings = TUNNEL_SETTINGS_DEFAULTS;
  /** Undefined: wanted no more. */
  readonly #own = new Map<TunnelKind, Ip | undefined>();
  readonly #told = new Map<TunnelKind, string>();
  #mayDiffer = false;

  constructor(node: string, hosts: Hosts, nodes: ReadonlyMap<string, Node>, routes: Candidates<DesiredRoute>) {
    this.#routes = routes;
    this.#node = node;
    this.#hosts = hosts;
    this.#nodes = nodes;
  }

  setSettings(settings: TunnelSettings): void {
    this.#settings = settings;
    this.#mayDiffer = true;
  }

  setOwn(kind: TunnelKind, address: Ip | undefined): void {
    this.#own.set(kind, address);
    this.#mayDiffer = true;
  }

  nodesChanged(): void {
    this.#mayDiffer ||= this.#own.size > 0;
  }

  /** What differs from what was told last; routes to gateways go to the candidates. */
  takeChanges(): Map<TunnelKind, DesiredTunnel | undefined> {
    const changes = new Map<TunnelKind, DesiredTunnel | undefined>();
    if (!this.#mayDiffer) return changes;
    this.#mayDiffer = false;
    for (const kind of TUNNEL_KINDS.filter((each) => this.#own.has(each))) {
      const tunnel = this.#tunnel(kind, this.#own.get(kind));
      const text = tunnel === undefined ? '' : textOf(tunnel);
      if (this.#told.get(kind) === text) continue;
      this.#told.set(kind, text);
      changes.set(kind, tunnel);
      if (kind === 'vxlan-v6') this.#routeToGateways(tunnel?.remotes ?? []);
    }
    return changes;
  }

  #routeToGateways(remotes: readonly TunnelRemote[]): void {
    const { deviceName } = TUNNELS['vxlan-v6'];
    const wanted = new Map(remotes.map((remote) => [formatCidr(hostPrefix(remote.address)), remote]));
    for (const key of this.#gateways) if (!wanted.has(key)) this.#routes.set(key, 'tunnel', RANK.tunnel, undefined);
    for (const [key, { address, node }] of wanted) {
      if (this.#gateways.has(key)) continue;
      const provenance = { origin: `the end of the tunnel at ${node}` };
      const target = { kind: 'device', deviceName } as const;
      this.#routes.set(key, 'tunnel', RANK.tunnel, { destination: hostPrefix(address), target, provenance });
    }
    this.#gateways = new Set(wanted.keys());
  }

  #tunnel(kind: TunnelKind, address: Ip | undefined): DesiredTunnel | undefined {
    const { family } = TUNNELS[kind];
    const self = this.#hosts.get(this.#node);
    const local = self?.ends[family]?.address;
    if (address === undefined || self === undefined || local === undefined) return undefined;
    const { vni, port, mtus } = this.#settings;
    const isIpip = kind === 'ipip';
    return {
      kind,
      local,
      address,
      mtu: mtus[kind],
      vxlan: isIpip ? undefined : { vni, port, mac: self.macs[family] },
      remotes: isIpip ? [] : this.#remotes(kind),
      hosts: isIpip ? this.#senders() : [],
      provenance: { origin: `the IPPools that ask for ${kind}` },
    };
  }

  #remotes(kind: TunnelKind): TunnelRemote[] {
    const { family } = TUNNELS[kind];
    const remote = ({ name, ends, tunnels, macs }: HostFacts): TunnelRemote[] => {
      const [host, address] = [ends[family]?.address, tunnels[kind]];
      if (name === this.#node || host === undefined || address === undefined) return [];
      return [{ node: name, host, address, mac: macs[family] }];
    };
    return [...this.#hosts.all()].flatMap(remote).sort((a, b) => (a.node < b.node ? -1 : 1));
  }

  #senders(): Ip[] {
    const others = [...this.#nodes.values()].filter(({ metadata }) => metadata.name !== this.#node);
    const external = this.#settings.externalNodes.flatMap((text) => parseIp(text) ?? hostOf(parseCidr(text)) ?? []);
    const all = [...others.flatMap(hostAddresses).map(({ address }) => address), ...external];
    const unique = new Map(all.filter(({ family }) => family === 4).map((address) => [formatIp(address), address]));
    return [...unique.values()].sort(compareIp);
  }
}

function hostOf(prefix: Cidr | undefined): Ip | undefined {
  return prefix?.length === addressBits(prefix?.address.family ?? 4) ? prefix.address : undefined;
}

function textOf({ local, address, mtu, vxlan, remotes, hosts }: DesiredTunnel): string {
  return [
    ...[formatIp(local), formatIp(address), mtu, vxlan?.vni, vxlan?.port, vxlan?.mac],
    ...remotes.map(({ host, address: end, mac }) => `${formatIp(host)}=${formatIp(end)}=${mac}`),
    ...hosts.map(formatIp),
  ].join(' ');
}
