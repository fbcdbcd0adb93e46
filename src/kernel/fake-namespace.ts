/**
 * One network namespace of the fake kernel: its links, addresses, routes, neighbours, and what becomes of one when
 * another goes.
 *
 * Which routes are accepted and which survive is said in fake-routing.ts. Called by fake-kernel.ts, which opens it.
 */
import { addressBits, formatIp, type Ip, ip, sameIp } from '../net/ip.ts';
import type {
  Address,
  ForwardingEntry,
  IfIndex,
  Link,
  Neighbour,
  NeighbourProxy,
  Route,
  VxlanAttributes,
} from '../net/kernel-objects.ts';
import { ifIndex, routeKey } from '../net/kernel-objects.ts';
import { type Mac, macBytes, macFromBytes } from '../net/mac.ts';
import { acceptedRoute, connectedRoute, type RoutingState, survivesLoss, withoutRemovedHops } from './fake-routing.ts';
import { FakeSysctl } from './fake-sysctl.ts';
import { KernelError, type KernelEvent, type VethPair, type VxlanDevice } from './kernel.ts';
import { checkDeviceName } from './kernel-names.ts';
import { LOOPBACK_INDEX, normalRoute } from './netlink/route-normal-form.ts';

interface FakeLink {
  readonly index: IfIndex;
  readonly name: string;
  mac: Mac;
  mtu: number;
  up: boolean;
  readonly kind: string | undefined;
  master: IfIndex | undefined;
  peer: { readonly namespace: FakeNamespace; readonly link: FakeLink } | undefined;
  vxlan: VxlanAttributes | undefined;
}

const MTU_LIMITS = { min: 68, max: 65535 } as const;
const MTU_DEFAULT = 1500;
const LOOPBACK_MTU = 65536;
/** The lowest bit of an Ethernet address's first byte: a group, not a device. */
const MAC_GROUP_BIT = 0x01;

export class FakeNamespace {
  readonly watchers = new Set<(event: KernelEvent) => void>();
  readonly sysctl = new FakeSysctl();
  readonly neighbours = new Map<string, Neighbour>();
  readonly proxies = new Map<string, NeighbourProxy>();
  readonly forwardingEntries = new Map<string, ForwardingEntry>();
  addresses: Address[] = [];
  routes: Route[] = [];
  readonly #links = new Map<IfIndex, FakeLink>();
  #lastIndex = 0;
  readonly #hasIpip: boolean;

  constructor(hasIpip: boolean) {
    this.#hasIpip = hasIpip;
    this.#insert('lo', macFromBytes(new Uint8Array(6)), LOOPBACK_MTU, undefined);
  }

  links(): Link[] {
    return [...this.#links.values()].map((link) => this.#shown(link));
  }

  link(name: string): Link | undefined {
    checkDeviceName(name);
    return this.links().find((link) => link.name === name);
  }

  addVeth(pair: VethPair, peerNamespace: FakeNamespace): Link {
    const { name, mac, mtu = MTU_DEFAULT, peer } = pair;
    this.#checkNew(name, mac, mtu);
    peerNamespace.#checkNew(peer.name, peer.mac, mtu);
    if (peerNamespace === this && peer.name === name) throw new KernelError('EEXIST', `adding veth ${name}: EEXIST`);
    const far = peerNamespace.#insert(peer.name, peer.mac, mtu, 'veth');
    const near = this.#insert(name, mac, mtu, 'veth');
    near.peer = { namespace: peerNamespace, link: far };
    far.peer = { namespace: this, link: near };
    peerNamespace.#tellLink(far);
    this.#tellLink(near);
    return this.#shown(near);
  }

  addBridge(name: string): Link {
    this.#checkNew(name, undefined, MTU_DEFAULT);
    const link = this.#insert(name, undefined, MTU_DEFAULT, 'bridge');
    this.#tellLink(link);
    return this.#shown(link);
  }

  addVxlan({ name, vni, port, local, parent, mac, mtu }: VxlanDevice): Link {
    this.#checkNew(name, mac, mtu);
    if (parent !== undefined) this.#linkAt(parent);
    // Networks over IPv4 and over IPv6 are apart.
    const isTwin = ({ vxlan }: FakeLink): boolean =>
      vxlan?.vni === vni && vxlan.port === port && vxlan.local?.family === local.family;
    if ([...this.#links.values()].some(isTwin)) {
      throw new KernelError(
        'EEXIST',
        `adding vxlan ${name}: EEXIST: A VXLAN device with the specified VNI already exists`,
      );
    }
    const link = this.#insert(name, mac, mtu, 'vxlan');
    link.vxlan = { vni, port, local, parent, learning: false };
    this.#tellLink(link);
    return this.#shown(link);
  }

  addIpip({ name, mtu }: { readonly name: string; readonly mtu: number }): Link {
    if (!this.#hasIpip) throw new KernelError('EOPNOTSUPP', `adding ipip ${name}: EOPNOTSUPP: Unknown device type`);
    const known = this.link(name);
    if (known?.kind === 'ipip') {
      this.setLinkMtu(known.index, mtu);
      return { ...known, mtu };
    }
    this.#checkNew(name, undefined, mtu);
    const link = this.#insert(name, undefined, mtu, 'ipip');
    this.#tellLink(link);
    return this.#shown(link);
  }

  setLinkUp(index: IfIndex, up: boolean): void {
    const link = this.#linkAt(index);
    if (link.up === up) return;
    link.up = up;
    this.#tellLink(link);
    if (link.peer !== undefined) link.peer.namespace.#tellLink(link.peer.link);
    if (!up) {
      this.#loseDevice(index);
      return;
    }
    for (const address of this.addresses) if (address.index === index) this.#connect(address);
    if (index !== LOOPBACK_INDEX) return;
    for (const [text, prefixLength] of [['127.0.0.1', 8] as const, ['::1', 128] as const]) {
      const address = ip(text);
      const known = this.addresses.some((own) => own.index === index && sameIp(own.address, address));
      if (!known) this.addAddress({ index, address, prefixLength });
    }
  }

  setLinkMaster(index: IfIndex, master: IfIndex): void {
    const link = this.#linkAt(index);
    const bridge = this.#links.get(master);
    if (bridge === undefined) throw new KernelError('EINVAL', `putting link ${index} into ${master}: EINVAL`);
    if (bridge.kind !== 'bridge') throw new KernelError('EOPNOTSUPP', `link ${master} is no bridge: EOPNOTSUPP`);
    link.master = master;
    this.#tellLink(link);
  }

  setLinkMtu(index: IfIndex, mtu: number): void {
    const link = this.#linkAt(index);
    checkMtu(link.name, mtu);
    link.mtu = mtu;
    this.#tellLink(link);
  }

  setLinkMac(index: IfIndex, mac: Mac): void {
    const link = this.#linkAt(index);
    link.mac = mac;
    this.#tellLink(link);
  }

  /** What a device without ARP does otherwise is seen in packets only. */
  setLinkArp(index: IfIndex, _arp: boolean): void {
    this.#linkAt(index);
  }

  removeLink(index: IfIndex): void {
    const link = this.#linkAt(index);
    if (index === LOOPBACK_INDEX) throw new KernelError('EOPNOTSUPP', `removing link ${index}: EOPNOTSUPP`);
    this.#vanish(link);
    if (link.peer !== undefined) link.peer.namespace.#vanish(link.peer.link);
  }

  /** All but lo; the far ends of veths go too. */
  removeLinks(): void {
    for (const { index } of this.links()) {
      if (index !== LOOPBACK_INDEX && this.#links.has(index)) this.removeLink(index);
    }
  }

  addAddress(address: Address): void {
    const what = `adding ${formatIp(address.address)}/${address.prefixLength} to link ${address.index}`;
    const link = this.#linkAt(address.index);
    const { family } = address.address;
    if (address.prefixLength > addressBits(family)) throw new KernelError('EINVAL', `${what}: Invalid prefix length`);
    const twin = this.addresses.find((known) => {
      const same = known.index === address.index && sameIp(known.address, address.address);
      // IPv4 tells addresses of a device apart by their prefix length, too.
      return same && (family === 6 || known.prefixLength === address.prefixLength);
    });
    if (twin !== undefined) throw new KernelError('EEXIST', `${what}: EEXIST: Address already assigned`);
    this.addresses.push(address);
    this.#tell({ kind: 'address', address, removed: false });
    if (link.up) this.#connect(address);
  }

  removeAddress({ index, address, prefixLength }: Address): void {
    this.#linkAt(index);
    const isMeant = (known: Address): boolean =>
      known.index === index && sameIp(known.address, address) && known.prefixLength === prefixLength;
    const found = this.addresses.find(isMeant);
    const what = `removing ${formatIp(address)}/${prefixLength} from link ${index}`;
    if (found === undefined) throw new KernelError('EADDRNOTAVAIL', `${what}: EADDRNOTAVAIL: Address not found`);
    this.addresses = this.addresses.filter((known) => known !== found);
    this.#tell({ kind: 'address', address: found, removed: true });
    const connected = connectedRoute(found);
    const isOthers = (known: Address): boolean => {
      const route = connectedRoute(known);
      return known.index === index && route !== undefined && connected !== undefined && sameKey(route, connected);
    };
    if (connected === undefined || this.addresses.some(isOthers)) return;
    const gone = this.routes.filter(
      (route) => sameKey(route, connected) && route.nextHops.some((hop) => hop.index === index),
    );
    this.routes = this.routes.filter((route) => !gone.includes(route));
    for (const route of gone) this.#tell({ kind: 'route', route, removed: true });
  }

  putRoute(asked: Route): void {
    const route = acceptedRoute(this.#routing(), asked);
    const place = this.routes.findIndex((known) => routeKey(known) === routeKey(route));
    if (place < 0) this.routes.push(route);
    else this.routes[place] = route;
    this.#tell({ kind: 'route', route, removed: false });
  }

  removeRoute(asked: Route): void {
    const wanted = normalRoute(asked);
    const place = this.routes.findIndex(
      (known) =>
        routeKey(known) === routeKey(wanted) && known.protocol === wanted.protocol && known.type === wanted.type,
    );
    const [route] = place < 0 ? [] : this.routes.splice(place, 1);
    if (route === undefined) throw new KernelError('ESRCH', `removing route ${routeKey(wanted)}: ESRCH`);
    this.#tell({ kind: 'route', route, removed: true });
  }

  putNeighbour(neighbour: Neighbour): void {
    this.#linkAt(neighbour.index);
    if (neighbour.mac === undefined) throw new KernelError('EINVAL', 'putting neighbour: No link layer address given');
    this.neighbours.set(`${neighbour.index} ${formatIp(neighbour.address)}`, neighbour);
  }

  removeNeighbour(index: IfIndex, address: Ip): void {
    this.#linkAt(index);
    if (this.neighbours.delete(`${index} ${formatIp(address)}`)) return;
    throw new KernelError('ENOENT', `removing neighbour ${formatIp(address)} of link ${index}: ENOENT`);
  }

  putForwardingEntry(entry: ForwardingEntry): void {
    this.#linkAt(entry.index);
    this.forwardingEntries.set(`${entry.index} ${entry.mac}`, entry);
  }

  removeForwardingEntry({ index, mac }: ForwardingEntry): void {
    this.#linkAt(index);
    if (this.forwardingEntries.delete(`${index} ${mac}`)) return;
    throw new KernelError('ENOENT', `removing ${mac} of link ${index}: ENOENT`);
  }

  addNeighbourProxy(proxy: NeighbourProxy): void {
    this.#linkAt(proxy.index);
    this.proxies.set(`${proxy.index} ${formatIp(proxy.address)}`, proxy);
  }

  #insert(name: string, mac: Mac | undefined, mtu: number, kind: string | undefined): FakeLink {
    const index = ifIndex(++this.#lastIndex);
    const link: FakeLink = {
      index,
      name,
      // Locally administered, and as the real kernel's random ones, different for each device of a namespace.
      mac: mac ?? macFromBytes(Uint8Array.of(2, 0, 0, 0, index >> 8, index & 0xff)),
      mtu,
      up: false,
      kind,
      master: undefined,
      peer: undefined,
      vxlan: undefined,
    };
    this.#links.set(index, link);
    this.sysctl.addDevice(name);
    return link;
  }

  #linkAt(index: IfIndex): FakeLink {
    const link = this.#links.get(index);
    if (link === undefined) throw new KernelError('ENODEV', `link ${index}: ENODEV`);
    return link;
  }

  #checkNew(name: string, mac: Mac | undefined, mtu: number): void {
    checkDeviceName(name);
    checkMtu(name, mtu);
    if (this.link(name) !== undefined) throw new KernelError('EEXIST', `adding ${name}: EEXIST`);
    if (mac !== undefined && ((macBytes(mac)[0] ?? 0) & MAC_GROUP_BIT) !== 0) {
      throw new KernelError('EADDRNOTAVAIL', `adding ${name}: ${mac} is a group's address: EADDRNOTAVAIL`);
    }
  }

  #shown(link: FakeLink): Link {
    const { index, name, mac, mtu, up, kind, vxlan } = link;
    return { index, name, mac, mtu, up, carrier: this.#carrier(link), kind, ...(vxlan && { vxlan }) };
  }

  #carrier(link: FakeLink): boolean {
    if (!link.up) return false;
    if (link.kind === 'veth') return link.peer?.link.up ?? false;
    const ports = [...this.#links.values()].filter((port) => port.master === link.index);
    return ports.length === 0 || ports.some((port) => this.#carrier(port));
  }

  #routing(): RoutingState {
    return { links: this.#links, addresses: this.addresses, routes: this.routes };
  }

  #connect(address: Address): void {
    const route = connectedRoute(address);
    if (route === undefined) return;
    const twin = this.routes.some(
      (known) => routeKey(known) === routeKey(route) && known.nextHops.some((hop) => hop.index === address.index),
    );
    if (twin) return;
    this.routes.push(route);
    this.#tell({ kind: 'route', route, removed: false });
  }

  /** A device went down, or was removed: what hung on it goes. Only IPv6 says which routes these were. */
  #loseDevice(index: IfIndex): void {
    const lost = (entry: { readonly index: IfIndex }): boolean => entry.index === index;
    const state = this.#routing();
    const gone = this.routes.filter((route) => !survivesLoss(state, route, index));
    this.routes = this.routes.filter((route) => !gone.includes(route)).map((route) => withoutRemovedHops(state, route));
    for (const route of gone) {
      if (route.destination.address.family === 6) this.#tell({ kind: 'route', route, removed: true });
    }
    const kept = this.addresses.filter(
      (address) => !lost(address) || (address.address.family === 4 && this.#links.has(index)),
    );
    for (const address of this.addresses) {
      if (!kept.includes(address)) this.#tell({ kind: 'address', address, removed: true });
    }
    this.addresses = kept;
    for (const entries of [this.neighbours, this.proxies, this.forwardingEntries]) {
      for (const [key, entry] of entries) if (lost(entry)) entries.delete(key);
    }
  }

  #vanish(link: FakeLink): void {
    this.#links.delete(link.index);
    this.sysctl.removeDevice(link.name);
    this.#loseDevice(link.index);
    this.#tell({ kind: 'link', link: this.#shown(link), removed: true });
  }

  #tellLink(link: FakeLink): void {
    this.#tell({ kind: 'link', link: this.#shown(link), removed: false });
  }

  #tell(event: KernelEvent): void {
    for (const watcher of this.watchers) {
      queueMicrotask(() => {
        if (this.watchers.has(watcher)) watcher(event);
      });
    }
  }
}

function sameKey(a: Route, b: Route): boolean {
  return routeKey(a) === routeKey(b);
}

function checkMtu(name: string, mtu: number): void {
  if (mtu >= MTU_LIMITS.min && mtu <= MTU_LIMITS.max) return;
  throw new KernelError('EINVAL', `an MTU of ${mtu} for ${name}: ${MTU_LIMITS.min} to ${MTU_LIMITS.max} is possible`);
}
