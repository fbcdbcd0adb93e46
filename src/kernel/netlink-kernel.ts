/**
 * The real kernel: the Kernel interface over rtnetlink and /proc/sys/net.
 *
 * It holds an open file of its namespace, so it stays with that namespace whatever becomes of the path it was opened
 * by; sockets and sysctl files are opened while the thread is switched into it, for microseconds. The control
 * socket does everything but listening. Refusals come as KernelError: errno's name, what was tried, the kernel's sentence.
 *
 * A veth for a container costs three requests: make the pair (far end in its namespace), read it back, bring it up.
 */
import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import type {
  Address,
  ForwardingEntry,
  IfIndex,
  Link,
  Neighbour,
  NeighbourProxy,
  Route,
} from '../net/kernel-objects.ts';
import { formatRoute, routeKey } from '../net/kernel-objects.ts';
import type { Mac } from '../net/mac.ts';
import { type Kernel, KernelError, type KernelEvent, type VethPair, type VxlanDevice } from './kernel.ts';
import { checkDeviceName, checkSysctlName } from './kernel-names.ts';
import {
  decodeAddress,
  encodeAddressAdd,
  encodeAddressesDump,
  encodeAddressRemove,
  RTM_ADDRESS,
} from './netlink/address.ts';
import {
  decodeLink,
  encodeBridgeAdd,
  encodeIpipAdd,
  encodeLinkArp,
  encodeLinkGet,
  encodeLinkMac,
  encodeLinkMaster,
  encodeLinkMtu,
  encodeLinkRemove,
  encodeLinksDump,
  encodeLinkUp,
  encodeVethAdd,
  encodeVxlanAdd,
  RTM_LINK,
} from './netlink/link.ts';
import type { NetlinkMessage, NetlinkRequest } from './netlink/message.ts';
import {
  decodeForwarding,
  decodeNeighbour,
  decodeNeighbourProxy,
  encodeForwardingDump,
  encodeForwardingPut,
  encodeForwardingRemove,
  encodeNeighbourProxyAdd,
  encodeNeighbourPut,
  encodeNeighbourRemove,
  encodeNeighboursDump,
} from './netlink/neighbour.ts';
import {
  decodeRoute,
  encodeRoutePut,
  encodeRouteRemove,
  encodeRouteRestore,
  encodeRoutesDump,
  RTM_ROUTE,
} from './netlink/route.ts';
import { normalRoute } from './netlink/route-normal-form.ts';
import { type ControlSocket, type EventSocket, openControlSocket, openEventSocket } from './netlink-socket.ts';
import { inOpenNamespace, openNamespace, withFileErrors } from './network-namespace.ts';

/** RTNLGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE. */
const EVENT_GROUPS = [1, 5, 7, 9, 11];

/** Opens the kernel of the namespace at a path, or of the calling thread's own. Throws KernelError. */
export function openKernel(namespacePath?: string): Kernel {
  const namespace = openNamespace(namespacePath);
  try {
    const name = namespacePath ?? "the thread's network namespace";
    return new NetlinkKernel(namespace, name, inOpenNamespace(namespace, name, openControlSocket));
  } catch (error) {
    closeSync(namespace);
    throw error;
  }
}

class NetlinkKernel implements Kernel {
  /** An open file of the namespace. */
  readonly #namespace: number;
  readonly #namespaceName: string;
  readonly #control: ControlSocket;
  #events: EventSocket | undefined;
  #open = true;

  constructor(namespace: number, namespaceName: string, control: ControlSocket) {
    this.#namespace = namespace;
    this.#namespaceName = namespaceName;
    this.#control = control;
  }

  links(): Link[] {
    return this.#dump('links', encodeLinksDump(), decodeLink);
  }

  link(name: string): Link | undefined {
    checkDeviceName(name);
    const answer = absentOn('ENODEV', () => this.#ask(() => `reading link ${name}`, encodeLinkGet(name)));
    return answer?.map(decodeLink).find((link) => link !== undefined);
  }

  addresses(): Address[] {
    return this.#dump('addresses', encodeAddressesDump(), decodeAddress);
  }

  routes(table: number): Route[] {
    return ([4, 6] as const).flatMap((family) => {
      // ENOENT: a table in which there has never been a route.
      return (
        absentOn('ENOENT', () =>
          this.#dump(`routes of table ${table}`, encodeRoutesDump(family, table), decodeRoute),
        ) ?? []
      );
    });
  }

  neighbours(): Neighbour[] {
    return this.#dump('neighbours', encodeNeighboursDump(false), decodeNeighbour);
  }

  neighbourProxies(): NeighbourProxy[] {
    return this.#dump('neighbour proxies', encodeNeighboursDump(true), decodeNeighbourProxy);
  }

  addVeth(pair: VethPair): Link {
    checkDeviceName(pair.name);
    checkDeviceName(pair.peer.name);
    const path = pair.peer.namespacePath;
    const what = (): string => `adding veth ${pair.name} with peer ${pair.peer.name}${path ? ` in ${path}` : ''}`;
    const peerNamespace = path === undefined ? undefined : openNamespace(path);
    try {
      // The kernel would say EINVAL and no more, if the path were no namespace's.
      if (path !== undefined && peerNamespace !== undefined) inOpenNamespace(peerNamespace, path, () => undefined);
      this.#ask(what, encodeVethAdd(pair, peerNamespace));
    } finally {
      if (peerNamespace !== undefined) closeSync(peerNamespace);
    }
    return this.#made(pair.name);
  }

  addBridge(name: string): Link {
    checkDeviceName(name);
    this.#ask(() => `adding bridge ${name}`, encodeBridgeAdd(name));
    return this.#made(name);
  }

  addVxlan(device: VxlanDevice): Link {
    checkDeviceName(device.name);
    this.#ask(() => `adding vxlan ${device.name}`, encodeVxlanAdd(device));
    return this.#made(device.name);
  }

  /** Loading the module makes a tunnel of this name by itself, in every namespace; then ours is refused. */
  addIpip({ name, mtu }: { readonly name: string; readonly mtu: number }): Link {
    checkDeviceName(name);
    const isThere = (): boolean => this.link(name)?.kind === 'ipip';
    if (!isThere()) {
      try {
        this.#ask(() => `adding ipip ${name}`, encodeIpipAdd(name, mtu));
      } catch (error) {
        if (!(error instanceof KernelError && error.code === 'EEXIST' && isThere())) throw error;
      }
    }
    this.setLinkMtu(this.#made(name).index, mtu);
    return this.#made(name);
  }

  setLinkUp(index: IfIndex, up: boolean): void {
    this.#ask(() => `setting link ${index} ${up ? 'up' : 'down'}`, encodeLinkUp(index, up));
  }

  setLinkMaster(index: IfIndex, master: IfIndex): void {
    this.#ask(() => `putting link ${index} into ${master}`, encodeLinkMaster(index, master));
  }

  setLinkMtu(index: IfIndex, mtu: number): void {
    this.#ask(() => `setting the MTU of link ${index} to ${mtu}`, encodeLinkMtu(index, mtu));
  }

  setLinkMac(index: IfIndex, mac: Mac): void {
    this.#ask(() => `setting the MAC address of link ${index} to ${mac}`, encodeLinkMac(index, mac));
  }

  setLinkArp(index: IfIndex, arp: boolean): void {
    this.#ask(() => `setting ARP of link ${index} ${arp ? 'on' : 'off'}`, encodeLinkArp(index, arp));
  }

  removeLink(index: IfIndex): void {
    this.#ask(() => `removing link ${index}`, encodeLinkRemove(index));
  }

  addAddress(index: IfIndex, address: Ip, prefixLength: number): void {
    const what = (): string => `adding ${formatIp(address)}/${prefixLength} to link ${index}`;
    this.#ask(what, encodeAddressAdd(index, address, prefixLength));
  }

  removeAddress(index: IfIndex, address: Ip, prefixLength: number): void {
    const what = (): string => `removing ${formatIp(address)}/${prefixLength} from link ${index}`;
    this.#ask(what, encodeAddressRemove(index, address, prefixLength));
  }

  putRoute(route: Route): void {
    this.#ask(() => `putting route ${describe(route)}`, encodeRoutePut(route));
  }

  /**
   * The kernel's own match is looser than ours (see encodeRouteRemove), so it is asked what it removed; if that is
   * another route than was meant, it is put back as it was.
   */
  removeRoute(route: Route): void {
    const what = (): string => `removing route ${describe(route)}`;
    for (const answer of this.#ask(what, encodeRouteRemove(route))) {
      const removed = decodeRoute(answer);
      if (removed === undefined || isMeant(removed, route)) continue;
      this.#ask(() => `putting back ${describe(removed)}`, encodeRouteRestore(answer));
      throw new KernelError('ESRCH', `${what()}: ESRCH: only ${describe(removed)} is there`);
    }
  }

  putNeighbour(neighbour: Neighbour): void {
    const what = (): string => `putting neighbour ${formatIp(neighbour.address)} of link ${neighbour.index}`;
    this.#ask(what, encodeNeighbourPut(neighbour));
  }

  removeNeighbour(index: IfIndex, address: Ip): void {
    const what = (): string => `removing neighbour ${formatIp(address)} of link ${index}`;
    this.#ask(what, encodeNeighbourRemove(index, address));
  }

  forwardingEntries(): ForwardingEntry[] {
    return this.#dump('forwarding entries', encodeForwardingDump(), decodeForwarding);
  }

  putForwardingEntry(entry: ForwardingEntry): void {
    this.#ask(() => `putting ${entry.mac} of link ${entry.index}`, encodeForwardingPut(entry));
  }

  removeForwardingEntry(entry: ForwardingEntry): void {
    this.#ask(() => `removing ${entry.mac} of link ${entry.index}`, encodeForwardingRemove(entry));
  }

  addNeighbourProxy(index: IfIndex, address: Ip): void {
    this.#ask(() => `proxying ${formatIp(address)} on link ${index}`, encodeNeighbourProxyAdd(index, address));
  }

  readSysctl(name: string): string | undefined {
    const path = sysctlPath(name);
    const read = (): string => withFileErrors(`reading ${path}`, () => readFileSync(path, 'utf8').trimEnd());
    return absentOn('ENOENT', () => this.#inside(read));
  }

  writeSysctl(name: string, value: string): void {
    const path = sysctlPath(name);
    const write = (): void => writeFileSync(path, value, { flag: 'r+' });
    this.#inside(() => withFileErrors(`writing "${value}" to ${path}`, write));
  }

  watch(onEvent: (event: KernelEvent) => void): () => void {
    assert(this.#events === undefined, 'a kernel has one watcher at most');
    const events = this.#inside(() => openEvents(onEvent));
    this.#events = events;
    return () => {
      events.close();
      if (this.#events === events) this.#events = undefined;
    };
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#events?.close();
    this.#control.close();
    closeSync(this.#namespace);
  }

  /** Makes a request; `what` says what is tried, if it comes to saying. */
  #ask(what: () => string, request: NetlinkRequest): NetlinkMessage[] {
    assert(this.#open, 'this kernel was closed');
    return saying(what, () => this.#control.request(request));
  }

  #dump<Value>(what: string, request: NetlinkRequest, decode: (message: NetlinkMessage) => Value | undefined): Value[] {
    assert(this.#open, 'this kernel was closed');
    let values: Value[] = [];
    const restart = (): void => {
      values = [];
    };
    const collect = (message: NetlinkMessage): void => {
      const value = decode(message);
      if (value !== undefined) values.push(value);
    };
    saying(
      () => `reading ${what}`,
      () => this.#control.dump(request, restart, collect),
    );
    return values;
  }

  #inside<Result>(work: () => Result): Result {
    assert(this.#open, 'this kernel was closed');
    return inOpenNamespace(this.#namespace, this.#namespaceName, work);
  }

  #made(name: string): Link {
    const link = this.link(name);
    if (link === undefined) throw new KernelError('ENODEV', `${name} vanished as soon as it was made`);
    return link;
  }
}

function isMeant(removed: Route, route: Route): boolean {
  return (
    routeKey(removed) === routeKey(normalRoute(route)) &&
    removed.protocol === route.protocol &&
    removed.type === route.type
  );
}

function openEvents(onEvent: (event: KernelEvent) => void): EventSocket {
  const onMessage = (message: NetlinkMessage): void => {
    const event = decodeEvent(message);
    if (event !== undefined) onEvent(event);
  };
  return openEventSocket(EVENT_GROUPS, onMessage, () => onEvent({ kind: 'overrun' }));
}

function decodeEvent(message: NetlinkMessage): KernelEvent | undefined {
  const link = decodeLink(message);
  if (link !== undefined) return { kind: 'link', link, removed: message.type === RTM_LINK.del };
  const address = decodeAddress(message);
  if (address !== undefined) return { kind: 'address', address, removed: message.type === RTM_ADDRESS.del };
  const route = decodeRoute(message);
  return route === undefined ? undefined : { kind: 'route', route, removed: message.type === RTM_ROUTE.del };
}

function describe(route: Route): string {
  return `${formatRoute(route, () => undefined)} table ${route.table} metric ${route.metric}`;
}

/** Puts what was tried before what a KernelError says. */
function saying<Result>(what: () => string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw error instanceof KernelError ? new KernelError(error.code, `${what()}: ${error.message}`) : error;
  }
}

/** Undefined instead of a refusal with this code. */
function absentOn<Result>(code: string, work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError && error.code === code) return undefined;
    throw error;
  }
}

function sysctlPath(name: string): string {
  checkSysctlName(name);
  return `/proc/sys/net/${name}`;
}
