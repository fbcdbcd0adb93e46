/**
 * Tunnels in the kernel: devices, their addresses, and what VXLAN has to be told of the other ends.
 *
 *   device       of each kind of tunnel; made, made anew, set up, removed
 *   address      the tunnel's own, and no other one
 *   neighbour    gateway of a route ─► MAC address of the other end, permanent
 *   forwarding   that MAC address ─► the host that it is behind
 *   programs     where IPIP's device is ours: devices on which tunnelled packets come in, and hosts that may send them
 *
 * Each is an object of its own, with its own state and error. What the desired state has never told of is left as it is, so that a
 * tunnel outlives a restart until it is known whether it is still wanted. A device goes last, when no route leads to it.
 */
import type { Backoff } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import { earlier } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import type { Operation } from '../../lib/reconciler.ts';
import { Reconciler } from '../../lib/reconciler.ts';
import { containsIp, prefixOf } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, isLinkLocal, sameIp } from '../../net/ip.ts';
import type { Address, ForwardingEntry, IfIndex, Link, Neighbour, Route } from '../../net/kernel-objects.ts';
import type { DesiredTunnel, TunnelKind } from '../desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../desired/tunnels.ts';
import type { Interfaces } from './interfaces.ts';
import type { TunnelDevice } from './tunnel-device.ts';
import { actualDevice, desiredDevice, isUplink, sameDevice, tunnelPrefixLength } from './tunnel-device.ts';
import type { Unsettled } from './unsettled.ts';
import { pending, unsettledOf } from './unsettled.ts';

/** What the programs that make IPIP are told. */
export interface IpipEnds {
  readonly mtu: number;
  readonly uplinks: readonly IfIndex[];
  readonly hosts: readonly Ip[];
}

export type TunnelOperation =
  | { readonly kind: 'tunnel'; readonly operation: Operation<TunnelDevice> }
  | { readonly kind: 'tunnelAddress'; readonly operation: Operation<Address> }
  | { readonly kind: 'neighbour'; readonly operation: Operation<Neighbour> }
  | { readonly kind: 'forwarding'; readonly operation: Operation<ForwardingEntry> }
  | { readonly kind: 'ipipPrograms'; readonly operation: Operation<IpipEnds> };

/** How the kernel's own device for IPIP calls itself. */
const KERNEL_IPIP = 'ipip';

export class Tunnels {
  readonly devices: Reconciler<TunnelDevice>;
  readonly addresses: Reconciler<Address>;
  readonly neighbours: Reconciler<Neighbour>;
  readonly forwarding: Reconciler<ForwardingEntry>;
  readonly programs: Reconciler<IpipEnds>;
  readonly #interfaces: Interfaces;
  readonly #setSetting: (name: string, value: string | undefined) => void;
  /** Undefined for what is wanted no more; kinds that were never told of are not in it. */
  readonly #desired = new Map<TunnelKind, DesiredTunnel | undefined>();
  readonly #waiting = new Map<TunnelKind, string>();
  /** Kinds that have been wanted by this process: it knows that their device is its own, whatever made it. */
  readonly #wasWanted = new Set<TunnelKind>();
  /** The devices by which routes lead to other hosts, as last read. */
  #gatewayDevices: ReadonlySet<IfIndex> = new Set();
  /** The links of VXLAN tunnels, and those of which tables have been read. */
  #tableLinks = '';
  #tablesReadFor = '';

  constructor(options: {
    readonly interfaces: Interfaces;
    /** Asks for a kernel setting, or for none any more. */
    readonly setSetting: (name: string, value: string | undefined) => void;
    readonly backoff: Backoff;
    readonly random: Random;
  }) {
    const { interfaces, setSetting, backoff, random } = options;
    this.#interfaces = interfaces;
    this.#setSetting = setSetting;
    const common = { backoff, random };
    this.devices = new Reconciler<TunnelDevice>({ ...common, equal: sameDevice });
    this.addresses = new Reconciler<Address>({ ...common, equal: () => true });
    this.neighbours = new Reconciler<Neighbour>({
      ...common,
      equal: (a, b) => a.mac === b.mac && a.permanent === b.permanent,
    });
    this.forwarding = new Reconciler<ForwardingEntry>({
      ...common,
      equal: (a, b) => sameIp(a.destination, b.destination),
    });
    this.programs = new Reconciler<IpipEnds>({ ...common, equal: sameEnds });
    // Nothing is asked for before the store has been read, and of what it does not tell nothing is touched.
    for (const each of this.#all()) each.allowRemovals();
  }

  /** Whether there are tables that have to be read now and then. */
  get hasTables(): boolean {
    return this.#tableLinks !== '';
  }

  /** Whether they have to be read now: until then nothing is written into them. */
  get needsTables(): boolean {
    return this.#tableLinks !== this.#tablesReadFor;
  }

  setDesired(kind: TunnelKind, tunnel: DesiredTunnel | undefined): void {
    this.#desired.set(kind, tunnel);
    if (tunnel !== undefined) this.#wasWanted.add(kind);
    this.interfacesChanged();
    this.#resolveEntries();
  }

  /** A device or address that is no container's came, changed or went. */
  interfacesChanged(): void {
    for (const kind of this.#desired.keys()) this.#resolveDevice(kind);
    this.#resolveAddresses();
    this.#resolvePrograms();
    const links = this.#vxlanLinks().join();
    if (this.#tableLinks === links) return;
    this.#tableLinks = links;
    this.#tablesReadFor = '';
    this.neighbours.replaceActual(new Map());
    this.forwarding.replaceActual(new Map());
    this.#resolveEntries();
  }

  /** Takes a complete reading of all routes. What the programs were told is told again, since nobody can read it. */
  observeRoutes(routes: readonly Route[]): void {
    const hops = routes.flatMap(({ nextHops }) => nextHops.filter(({ gateway }) => gateway !== undefined));
    this.#gatewayDevices = new Set(hops.flatMap(({ index }) => index ?? []));
    this.programs.replaceActual(new Map());
    this.#resolvePrograms();
  }

  /** Takes a complete reading of neighbours and forwarding entries. */
  observeTables(neighbours: readonly Neighbour[], forwarding: readonly ForwardingEntry[]): void {
    const own = new Set(this.#vxlanLinks());
    this.#tablesReadFor = this.#tableLinks;
    // An entry without a MAC address is a question that nobody has answered.
    const known = neighbours.filter(({ index, mac }) => own.has(index) && mac !== undefined);
    this.neighbours.replaceActual(new Map(known.map((each) => [neighbourKey(each), each])));
    const entries = forwarding.filter(({ index }) => own.has(index));
    this.forwarding.replaceActual(new Map(entries.map((each) => [forwardingKey(each), each])));
  }

  /** What makes tunnels and keeps them, before routes lead there: devices alone, while one of them has to change. */
  operations(now: Instant): TunnelOperation[] {
    const devices = this.devices.operations(now).filter(({ kind }) => kind !== 'remove');
    if (devices.length > 0) return devices.map((operation) => ({ kind: 'tunnel', operation }) as const);
    // With a device's last address its routes would go.
    const addresses = this.addresses
      .operations(now)
      .sort((a, b) => Number(a.kind === 'remove') - Number(b.kind === 'remove'));
    const [forwarding, neighbours] = this.needsTables
      ? [[], []]
      : [this.forwarding.operations(now), this.neighbours.operations(now)];
    return [
      ...addresses.map((operation) => ({ kind: 'tunnelAddress', operation }) as const),
      ...forwarding.map((operation) => ({ kind: 'forwarding', operation }) as const),
      ...neighbours.map((operation) => ({ kind: 'neighbour', operation }) as const),
      ...this.programs.operations(now).map((operation) => ({ kind: 'ipipPrograms', operation }) as const),
    ];
  }

  /** Devices that are wanted no more: after routes have left them. */
  removals(now: Instant): TunnelOperation[] {
    const devices = this.devices.operations(now).filter(({ kind }) => kind === 'remove');
    return devices.map((operation) => ({ kind: 'tunnel', operation }) as const);
  }

  nextRetry(): Instant | undefined {
    return this.#all()
      .map((each) => each.nextRetry())
      .reduce(earlier, undefined);
  }

  unsettled(): Unsettled[] {
    const waiting = [...this.#waiting].map(([kind, reason]) => pending(`device ${TUNNELS[kind].deviceName}`, reason));
    return [
      ...waiting,
      ...unsettledOf('device', this.devices),
      ...unsettledOf('tunnel address', this.addresses),
      ...unsettledOf('forwarding entry', this.forwarding),
      ...unsettledOf('neighbour', this.neighbours),
      ...unsettledOf('IPIP programs', this.programs),
    ];
  }

  /** The tunnels that receive: device and address are in force, and so are the programs. By kind, the address. */
  ready(): Map<TunnelKind, Ip> {
    const ready = this.#wanted().filter(({ kind, address }) => {
      const { deviceName } = TUNNELS[kind];
      const link = this.#link(kind);
      if (link?.up !== true || this.#waiting.has(kind)) return false;
      if (this.devices.status(deviceName).state !== 'done') return false;
      const own = addressKey({ index: link.index, address, prefixLength: tunnelPrefixLength(kind) });
      return this.addresses.status(own).state === 'done' && this.programs.status(deviceName).state === 'done';
    });
    return new Map(ready.map(({ kind, address }) => [kind, address]));
  }

  /** The tunnels that are wanted, with the link of each. */
  views(): { readonly tunnel: DesiredTunnel; readonly link: Link | undefined }[] {
    return this.#wanted().map((tunnel) => ({ tunnel, link: this.#link(tunnel.kind) }));
  }

  #wanted(): DesiredTunnel[] {
    return TUNNEL_KINDS.flatMap((kind) => this.#desired.get(kind) ?? []);
  }

  #link(kind: TunnelKind): Link | undefined {
    return this.#interfaces.link(TUNNELS[kind].deviceName);
  }

  #vxlanLinks(): IfIndex[] {
    return this.#wanted().flatMap(({ kind, vxlan }) => (vxlan && this.#link(kind)?.index) ?? []);
  }

  #resolveDevice(kind: TunnelKind): void {
    const { deviceName: name } = TUNNELS[kind];
    const tunnel = this.#desired.get(kind);
    const link = this.#link(kind);
    const resolved = tunnel && desiredDevice(tunnel, this.#interfaces);
    this.#waiting.delete(kind);
    if (typeof resolved === 'string') this.#waiting.set(kind, resolved);
    // What waits for its uplink is still wanted: the device stays as it is meanwhile.
    const isJudged = typeof resolved !== 'string';
    this.devices.setDesired(name, isJudged ? resolved : undefined);
    const counts = isJudged && link !== undefined && (resolved !== undefined || this.#isRemovable(kind, link));
    this.devices.setActual(name, counts ? actualDevice(kind, link) : undefined);
    // Packets come by the tunnel whose answers go without it while a pool's mode changes; 2 is "by any device".
    const setting = `ipv4/conf/${name}/rp_filter`;
    this.#setSetting(setting, tunnel !== undefined && link !== undefined ? '2' : undefined);
  }

  /** The kernel's own device for IPIP is there from the start and for ever: it counts only while it is as we have set it up. */
  #isRemovable(kind: TunnelKind, link: Link): boolean {
    return link.kind !== KERNEL_IPIP || (link.up && this.#wasWanted.has(kind));
  }

  #resolveAddresses(): void {
    const desired = new Map<string, Address>();
    const actual = new Map<string, Address>();
    for (const kind of this.#desired.keys()) {
      const link = this.#link(kind);
      const tunnel = this.#desired.get(kind);
      if (link === undefined) continue;
      if (tunnel !== undefined) {
        const { index } = link;
        const own = { index, address: tunnel.address, prefixLength: tunnelPrefixLength(kind) };
        desired.set(addressKey(own), own);
      } else if (link.kind !== KERNEL_IPIP || !this.#wasWanted.has(kind)) continue; // they go with the device, or are not ours
      for (const each of this.#interfaces.addresses()) {
        if (each.index === link.index && !isLinkLocal(each.address)) actual.set(addressKey(each), each);
      }
    }
    this.addresses.replaceDesired(desired);
    this.addresses.replaceActual(actual);
  }

  #resolvePrograms(): void {
    const { deviceName } = TUNNELS.ipip;
    const tunnel = this.#desired.get('ipip');
    const link = this.#link('ipip');
    const isServed = tunnel !== undefined && link !== undefined && link.kind !== KERNEL_IPIP;
    const ends = isServed ? { mtu: link.mtu, uplinks: this.#uplinks(tunnel), hosts: tunnel.hosts } : undefined;
    this.programs.setDesired(deviceName, ends);
    if (!isServed) this.programs.setActual(deviceName, undefined);
  }

  /** Where tunnelled packets may come in: where our own address is, where other hosts are, and where gateways of any route are. */
  #uplinks({ local, hosts }: DesiredTunnel): IfIndex[] {
    const near = [...this.#interfaces.addresses()].filter(({ address, prefixLength }) => {
      if (address.family !== local.family) return false;
      const subnet = prefixOf(address, prefixLength);
      return sameIp(address, local) || hosts.some((host) => containsIp(subnet, host));
    });
    const indexes = new Set([...near.map(({ index }) => index), ...this.#gatewayDevices]);
    const links = [...indexes].flatMap((index) => this.#interfaces.linkAt(index) ?? []);
    return links
      .filter(isUplink)
      .map(({ index }) => index)
      .sort((a, b) => a - b);
  }

  #resolveEntries(): void {
    const neighbours = new Map<string, Neighbour>();
    const forwarding = new Map<string, ForwardingEntry>();
    for (const { kind, remotes } of this.#wanted()) {
      const index = this.#link(kind)?.index;
      if (index === undefined) continue;
      for (const { address, mac, host } of remotes) {
        const neighbour = { index, address, mac, permanent: true };
        neighbours.set(neighbourKey(neighbour), neighbour);
        const entry = { index, mac, destination: host };
        forwarding.set(forwardingKey(entry), entry);
      }
    }
    this.neighbours.replaceDesired(neighbours);
    this.forwarding.replaceDesired(forwarding);
  }

  #all() {
    return [this.devices, this.addresses, this.neighbours, this.forwarding, this.programs];
  }
}

function addressKey({ index, address, prefixLength }: Address): string {
  return `${index} ${formatIp(address)}/${prefixLength}`;
}

function neighbourKey({ index, address }: Neighbour): string {
  return `${index} ${formatIp(address)}`;
}

function forwardingKey({ index, mac }: ForwardingEntry): string {
  return `${index} ${mac}`;
}

function sameEnds(a: IpipEnds, b: IpipEnds): boolean {
  const text = ({ mtu, uplinks, hosts }: IpipEnds) => `${mtu} ${uplinks.join()} ${hosts.map(formatIp).join()}`;
  return text(a) === text(b);
}
