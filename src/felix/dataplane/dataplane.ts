/**
 * Making one host's kernel obey: desired state in, readings in, operations out, in the order in which they are safe.
 *
 * The dataplane makes no system call. It holds, for each kind of kernel object, what is desired and what was last read,
 * and answers with what is left to do; the shell carries it out and reports each result. A second reading after all
 * succeeded gives no operations: a restart changes nothing.
 *
 * Apply order, and why:
 *   1. settings          a device is set up before it may carry a packet
 *   2. route removals    nothing is sent any more to what is about to lose its rules
 *   3. packet filter     (by the shell, from `endpoints()`; see filter/) rules are in force before a route leads to them
 *   4. tunnels           devices and what they have to be told; they receive now
 *   5. proxies, links up a container's first packet finds its gateway and its rules in place
 *   6. routes            the last: now packets may come
 *   7. tunnel removals   devices that no route leads to any more
 * Steps 4 to 6 wait for step 3 as far as containers and tunnels are concerned: without the filter in force no device comes up.
 */
import { unreachable } from '../../lib/assert.ts';
import type { Backoff } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import { earlier } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import type { Operation, Reconciler } from '../../lib/reconciler.ts';
import { familyOf, formatCidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import type { Address, ForwardingEntry, Link, Neighbour, NeighbourProxy, Route } from '../../net/kernel-objects.ts';
import type { DesiredChanges, DesiredEndpoint } from '../desired/desired.ts';
import type { TunnelKind } from '../desired/tunnels.ts';
import type { LinkUp } from './devices.ts';
import { Devices } from './devices.ts';
import type { InterfaceChanges } from './interfaces.ts';
import { Interfaces } from './interfaces.ts';
import { isWorkloadDevice } from './ownership.ts';
import { RouteTable } from './route-table.ts';
import type { TunnelOperation } from './tunnels.ts';
import { Tunnels } from './tunnels.ts';
import type { Unsettled } from './unsettled.ts';
import { pending } from './unsettled.ts';

/** Everything that the dataplane wants to know of the kernel, read at one time. */
export interface Reading {
  readonly links: readonly Link[];
  readonly addresses: readonly Address[];
  readonly routes: readonly Route[];
  readonly proxies: readonly NeighbourProxy[];
  /** By name, for each name of `settingNames()` that exists. */
  readonly settings: ReadonlyMap<string, string>;
}

export type KernelOperation =
  | { readonly kind: 'setting'; readonly operation: Operation<string> }
  | { readonly kind: 'route'; readonly operation: Operation<Route> }
  | { readonly kind: 'proxy'; readonly operation: Operation<NeighbourProxy> }
  | { readonly kind: 'linkUp'; readonly operation: Operation<LinkUp> }
  | TunnelOperation;

/** A kernel that refuses once usually refuses for good until something changes; the bound is what an operator will wait. */
const RETRY: Backoff = { firstMs: 100, maxMs: 10_000 };

export class Dataplane {
  readonly interfaces = new Interfaces();
  readonly #devices: Devices;
  readonly #routes: RouteTable;
  readonly #tunnels: Tunnels;
  readonly #endpoints = new Map<string, DesiredEndpoint>();

  constructor(random: Random) {
    this.#devices = new Devices(this.interfaces, RETRY, random);
    this.#routes = new RouteTable(this.interfaces, RETRY, random);
    const { settings } = this.#devices;
    this.#tunnels = new Tunnels({
      ...{ interfaces: this.interfaces, backoff: RETRY, random },
      setSetting: (name, value) => {
        settings.setDesired(name, value);
        if (value === undefined) settings.setActual(name, undefined); // it goes with its device
      },
    });
  }

  /** This host routes IPv6 as well, between containers and others. Gives whether that is new: then other settings matter. */
  routeIpv6(): boolean {
    return this.#devices.routeIpv6();
  }

  /**
   * Takes what is desired now. Gives true when other settings matter from now on: a host routes IPv6 once it has a route, even if
   * no address, as where no link is numbered.
   */
  update(changes: DesiredChanges): boolean {
    for (const [id, endpoint] of changes.endpoints) {
      const before = this.#endpoints.get(id);
      if (before !== undefined) this.#devices.claim(before, false);
      if (endpoint === undefined) this.#endpoints.delete(id);
      else {
        this.#endpoints.set(id, endpoint);
        this.#devices.claim(endpoint, true);
      }
    }
    let hasIpv6 = false;
    for (const [destination, route] of changes.routes) {
      this.#routes.setDesired(destination, route);
      hasIpv6 ||= route !== undefined && familyOf(route.destination) === 6;
    }
    for (const [kind, tunnel] of changes.tunnels) this.#tunnels.setDesired(kind, tunnel);
    return hasIpv6 && this.routeIpv6();
  }

  /** The names of all settings whose values a reading is to contain. */
  settingNames(): string[] {
    return this.#devices.settingNames();
  }

  /** Takes a complete reading. Which settings matter depends on the devices: tell of these first. */
  observe(reading: Reading): void {
    this.observeInterfaces(reading.links, reading.addresses);
    this.#devices.observe(reading.settings, reading.proxies);
    this.#routes.observe(reading.routes);
    this.#tunnels.observeRoutes(reading.routes);
  }

  /** Whether tunnels' tables are to be read now and then, and whether at once. */
  get tunnelTables(): { readonly exist: boolean; readonly areNeeded: boolean } {
    return { exist: this.#tunnels.hasTables, areNeeded: this.#tunnels.needsTables };
  }

  /** Takes a complete reading of what VXLAN devices have been told. */
  observeTunnelTables(neighbours: readonly Neighbour[], forwarding: readonly ForwardingEntry[]): void {
    this.#tunnels.observeTables(neighbours, forwarding);
  }

  observeInterfaces(links: readonly Link[], addresses: readonly Address[]): void {
    const before = new Map(this.endpoints().map(({ deviceName }) => [deviceName, this.interfaces.link(deviceName)]));
    this.#interfacesChanged(this.interfaces.replace(links, addresses), before);
    this.#tunnels.interfacesChanged();
  }

  /**
   * A device came, changed or went. Gives true when routes may have gone with it that only a full reading can tell: those
   * by which other hosts are reached.
   */
  observeLink(link: Link, removed: boolean): boolean {
    const before = this.interfaces.linkAt(link.index);
    const changes = removed ? this.interfaces.removeLink(link) : this.interfaces.putLink(link);
    const isLost = before?.up === true && (removed || !link.up);
    if (isLost && isWorkloadDevice(before.name)) this.#routes.forgetRoutesOf(before.name, before.index);
    this.#interfacesChanged(changes, new Map([[link.name, before]]));
    if (!isWorkloadDevice(link.name)) this.#tunnels.interfacesChanged(); // an MTU is no change to routes
    return isLost && !isWorkloadDevice(before.name);
  }

  /** An address came or went. Gives true when routes may have gone with it that only a full reading can tell. */
  observeAddress(address: Address, removed: boolean): boolean {
    const changes = removed ? this.interfaces.removeAddress(address) : this.interfaces.putAddress(address);
    this.#interfacesChanged(changes, new Map());
    if (changes.uplinks) this.#tunnels.interfacesChanged();
    return removed && changes.uplinks;
  }

  observeRoute(route: Route, removed: boolean): void {
    this.#routes.observeRoute(route, removed);
  }

  /** From now on, what is ours and not desired may go. */
  allowRemovals(owner: 'store' | 'learned'): void {
    const owners = owner === 'store' ? (['local', 'stored'] as const) : (['learned'] as const);
    for (const each of owners) this.#routes.allowRemovals(each);
  }

  /** What is to be done before the packet filter is brought up to date. */
  operationsBeforeFilter(now: Instant): KernelOperation[] {
    return [
      ...this.#devices.operations(now).settings.map((operation) => ({ kind: 'setting', operation }) as const),
      ...this.#routes.removals(now).map((operation) => ({ kind: 'route', operation }) as const),
    ];
  }

  /** What is to be done after it; `filterInForce` says whether containers may be let on the network. */
  operationsAfterFilter(now: Instant, filterInForce: boolean): KernelOperation[] {
    const { proxies, links } = this.#devices.operations(now);
    const tunnels = filterInForce ? this.#tunnels.operations(now) : [];
    // What depends on the number of a device is asked for once it has one.
    if (tunnels.some(({ kind }) => kind === 'tunnel')) return tunnels;
    const routes = this.#routes
      .additions(now, filterInForce)
      .map((operation) => ({ kind: 'route', operation }) as const);
    if (!filterInForce) return routes;
    return [
      ...tunnels,
      ...proxies.map((operation) => ({ kind: 'proxy', operation }) as const),
      ...links.map((operation) => ({ kind: 'linkUp', operation }) as const),
      ...routes,
      ...(routes.length === 0 ? this.#tunnels.removals(now) : []),
    ];
  }

  /** The result of an operation that was carried out: `error` undefined means that it succeeded. */
  report(done: KernelOperation, error: string | undefined, now: Instant): void {
    switch (done.kind) {
      case 'setting':
        settle(this.#devices.settings, done.operation, error, now);
        break;
      case 'proxy':
        settle(this.#devices.proxies, done.operation, error, now);
        break;
      case 'linkUp':
        settle(this.#devices.links, done.operation, error, now);
        if (error === undefined) this.#noteUp(done.operation.key);
        break;
      case 'route':
        this.#routes.report(done.operation, error, now);
        break;
      case 'tunnel':
        settle(this.#tunnels.devices, done.operation, error, now);
        break;
      case 'tunnelAddress':
        settle(this.#tunnels.addresses, done.operation, error, now);
        if (error === undefined) this.#noteAddress(done.operation);
        break;
      case 'neighbour':
        settle(this.#tunnels.neighbours, done.operation, error, now);
        break;
      case 'forwarding':
        settle(this.#tunnels.forwarding, done.operation, error, now);
        break;
      case 'ipipPrograms':
        settle(this.#tunnels.programs, done.operation, error, now);
        break;
      default:
        unreachable(done);
    }
  }

  nextRetry(): Instant | undefined {
    return [this.#devices, this.#routes, this.#tunnels].map((each) => each.nextRetry()).reduce(earlier, undefined);
  }

  endpoint(id: string): DesiredEndpoint | undefined {
    return this.#endpoints.get(id);
  }

  endpoints(): DesiredEndpoint[] {
    return [...this.#endpoints.values()];
  }

  /** How many routes are desired on this host. */
  get routeCount(): number {
    return this.#routes.size;
  }

  /** What is not yet as desired though it could be, in words. */
  unsettled(): Unsettled[] {
    return [...this.#devices.unsettled(), ...this.#tunnels.unsettled(), ...this.#routes.unsettled()];
  }

  /** By kind, the address of each tunnel that receives. */
  tunnelsReady(): ReadonlyMap<TunnelKind, Ip> {
    return this.#tunnels.ready();
  }

  /** The tunnels that are wanted, with the link of each. */
  tunnels(): ReturnType<Tunnels['views']> {
    return this.#tunnels.views();
  }

  /**
   * Endpoints whose device is not there: their container has died, or is just being made. Nothing is wrong with this
   * host because of them; they are taken up when the device comes, and go with their resource.
   */
  endpointsWithoutDevice(): Unsettled[] {
    return this.endpoints()
      .filter(({ deviceName }) => this.interfaces.link(deviceName) === undefined)
      .map(({ deviceName, id }) => pending(`endpoint ${id}`, `device ${deviceName} does not exist`));
  }

  /** Undefined once the endpoint's device and routes are in the kernel as desired; else what is missing. */
  endpointPending(id: string): string | undefined {
    const endpoint = this.#endpoints.get(id);
    if (endpoint === undefined) return 'the endpoint is not known to the dataplane yet';
    const link = this.interfaces.link(endpoint.deviceName);
    if (link === undefined) return `device ${endpoint.deviceName} does not exist`;
    const routes = endpoint.addresses.map((address) => this.#routes.stateOf(formatCidr(address)));
    const open = [...this.#devices.statesOf(endpoint, link), ...routes].find(([, status]) => status.state !== 'done');
    if (open === undefined) return undefined;
    return `${open[0]}: ${open[1].state === 'error' ? open[1].error : 'not applied yet'}`;
  }

  /** A device that we brought up is up, though the kernel has not told us yet: its routes may follow at once. */
  #noteUp(name: string): void {
    const link = this.interfaces.link(name);
    if (link === undefined) return;
    this.#interfacesChanged(this.interfaces.putLink({ ...link, up: true }), new Map([[name, link]]));
  }

  /** Nor has it told us of an address of ours. */
  #noteAddress(operation: Operation<Address>): void {
    if (operation.kind === 'remove') this.observeAddress(operation.actual, true);
    else this.observeAddress(operation.desired, false);
  }

  #interfacesChanged(changes: InterfaceChanges, before: ReadonlyMap<string, Link | undefined>): void {
    for (const device of changes.devices) this.#devices.deviceChanged(device, before.get(device));
    this.#routes.interfacesChanged(changes);
  }
}

function settle<Value>(
  reconciler: Reconciler<Value>,
  operation: Operation<Value>,
  error: string | undefined,
  now: Instant,
): void {
  if (error === undefined) reconciler.succeeded(operation);
  else reconciler.failed(operation, error, now);
}
