/**
 * The main routing table: desired routes against those that were read.
 *
 * A desired route is resolved to a kernel route as soon as its devices allow; until then it waits, and says for what. A route
 * that was read counts where it is ours, and where it stands in the place of a desired one, since the kernel holds only
 * one for a destination, table and metric. All others are foreign and not looked at again.
 *
 * Removals wait for leave: of what the store told until it is in sync, of what was learnt until BGP has converged.
 */
import type { Backoff } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import type { ObjectStatus, Operation } from '../../lib/reconciler.ts';
import { Reconciler } from '../../lib/reconciler.ts';
import { familyOf, formatCidr } from '../../net/cidr.ts';
import type { IfIndex, Route } from '../../net/kernel-objects.ts';
import { ROUTE_TABLE, routeKey, sameRoute } from '../../net/kernel-objects.ts';
import type { DesiredRoute, RouteTarget } from '../desired/desired.ts';
import { isTunnelDevice } from '../desired/tunnels.ts';
import type { InterfaceChanges, Interfaces } from './interfaces.ts';
import type { RouteOwner } from './ownership.ts';
import { routeOwnership } from './ownership.ts';
import { resolveRoute } from './routes.ts';
import type { Unsettled } from './unsettled.ts';
import { pending, unsettledOf } from './unsettled.ts';

export class RouteTable {
  readonly #interfaces: Interfaces;
  readonly #routes: Reconciler<Route>;
  readonly #desired = new Map<string, DesiredRoute>();
  /** The destinations that are wanted out of a device, by its name. */
  readonly #destinations = new Map<string, Set<string>>();
  /** What a desired route waits for, by its destination. */
  readonly #waiting = new Map<string, string>();
  /** All routes of the main table as last read, foreign ones too. */
  readonly #seen = new Map<string, Route>();
  readonly #mayRemove: Record<RouteOwner, boolean> = { local: false, stored: false, learned: false };

  constructor(interfaces: Interfaces, backoff: Backoff, random: Random) {
    this.#interfaces = interfaces;
    this.#routes = new Reconciler<Route>({ backoff, random, equal: sameRoute });
    this.#routes.allowRemovals(); // leave is asked for in #isRemovable, a route at a time
  }

  get size(): number {
    return this.#desired.size;
  }

  allowRemovals(owner: RouteOwner): void {
    this.#mayRemove[owner] = true;
  }

  setDesired(destination: string, route: DesiredRoute | undefined): void {
    this.#noteDevice(destination, false);
    if (route === undefined) this.#desired.delete(destination);
    else this.#desired.set(destination, route);
    this.#noteDevice(destination, true);
    this.#resolve(destination);
  }

  /** Devices or addresses changed: routes that depend on them may lead elsewhere, or nowhere. */
  interfacesChanged({ devices, uplinks }: InterfaceChanges): void {
    if (uplinks) for (const destination of this.#desired.keys()) this.#resolve(destination);
    else
      for (const device of devices)
        for (const destination of this.#destinations.get(device) ?? []) this.#resolve(destination);
  }

  /** A device went down or away and took its IPv4 routes with it, of which the kernel tells nobody. */
  forgetRoutesOf(device: string, index: IfIndex): void {
    for (const destination of this.#destinations.get(device) ?? []) {
      const seen = this.#seen.get(keyOf(destination));
      const lost =
        seen !== undefined && familyOf(seen.destination) === 4 && seen.nextHops.some((hop) => hop.index === index);
      if (lost) this.observeRoute(seen, true);
    }
  }

  /** Takes a complete reading of the table. */
  observe(routes: readonly Route[]): void {
    const keys = new Set(routes.map(routeKey));
    for (const [key, route] of this.#seen) if (!keys.has(key)) this.observeRoute(route, true);
    for (const route of routes) this.observeRoute(route, false);
  }

  observeRoute(route: Route, removed: boolean): void {
    const key = routeKey(route);
    if (removed) this.#seen.delete(key);
    else this.#seen.set(key, route);
    this.#judge(key);
  }

  removals(now: Instant): Operation<Route>[] {
    return this.#routes.operations(now).filter(({ kind, key }) => kind === 'remove' && this.#isRemovable(key));
  }

  /** Routes to add or change, those out of a device before those whose gateways they may lead to; to containers only with `toContainers`. */
  additions(now: Instant, toContainers: boolean): Operation<Route>[] {
    const additions = this.#routes
      .operations(now)
      .filter(
        (operation) => operation.kind !== 'remove' && (toContainers || this.#ownership(operation.desired) !== 'local'),
      );
    return additions.sort((a, b) => Number(hasGateway(a)) - Number(hasGateway(b)));
  }

  report(operation: Operation<Route>, error: string | undefined, now: Instant): void {
    if (error !== undefined) {
      this.#routes.failed(operation, error, now);
      return;
    }
    if (operation.kind === 'remove') this.#seen.delete(operation.key);
    else this.#seen.set(operation.key, operation.desired);
    this.#routes.succeeded(operation);
  }

  nextRetry(): Instant | undefined {
    return this.#routes.nextRetry();
  }

  unsettled(): Unsettled[] {
    const unreachable = [...this.#waiting].filter(
      ([destination]) => this.#desired.get(destination)?.target.kind !== 'device',
    );
    const relevant = this.#routes
      .unsettled()
      .filter(({ key }) => this.#routes.desired(key) !== undefined || this.#isRemovable(key));
    return [
      ...unreachable.map(([destination, reason]) => pending(`route ${destination}`, reason)),
      ...unsettledOf('route', { unsettled: () => relevant }),
    ];
  }

  stateOf(destination: string): [string, ObjectStatus] {
    const key = keyOf(destination);
    const isResolved = this.#routes.desired(key) !== undefined;
    return [`route ${destination}`, isResolved ? this.#routes.status(key) : { state: 'pending' }];
  }

  #resolve(destination: string): void {
    const desired = this.#desired.get(destination);
    const resolution = desired === undefined ? undefined : resolveRoute(desired, this.#interfaces);
    this.#waiting.delete(destination);
    if (resolution !== undefined && 'waitingFor' in resolution) this.#waiting.set(destination, resolution.waitingFor);
    const route = resolution !== undefined && 'route' in resolution ? resolution.route : undefined;
    this.#routes.setDesired(keyOf(destination), route);
    this.#judge(keyOf(destination));
  }

  #judge(key: string): void {
    const seen = this.#seen.get(key);
    const counts =
      seen !== undefined && (this.#routes.desired(key) !== undefined || this.#ownership(seen) !== undefined);
    this.#routes.setActual(key, counts ? seen : undefined);
  }

  #ownership(route: Route): RouteOwner | undefined {
    return routeOwnership(route, this.#deviceNames(route));
  }

  #deviceNames({ nextHops }: Route): string[] {
    return nextHops.flatMap(({ index }) => {
      const link = index === undefined ? undefined : this.#interfaces.linkAt(index);
      return link === undefined ? [] : [link.name];
    });
  }

  #leavesTunnel(seen: Route, destination: string): boolean {
    const wanted = devicesOf(this.#desired.get(destination)?.target);
    return this.#deviceNames(seen).some((name) => isTunnelDevice(name) && !wanted.includes(name));
  }

  /**
   * A route that waits for its device is still wanted: what stands in its place meanwhile is left alone, but for one through a
   * tunnel that it shall not go through any more.
   */
  #isRemovable(key: string): boolean {
    const seen = this.#seen.get(key);
    if (seen === undefined) return false;
    const destination = formatCidr(seen.destination);
    if (this.#waiting.has(destination) && !this.#leavesTunnel(seen, destination)) return false;
    const owner = this.#ownership(seen);
    return owner !== undefined && this.#mayRemove[owner];
  }

  #noteDevice(destination: string, wanted: boolean): void {
    for (const deviceName of devicesOf(this.#desired.get(destination)?.target)) {
      const destinations = this.#destinations.get(deviceName) ?? new Set();
      if (wanted) destinations.add(destination);
      else destinations.delete(destination);
      if (destinations.size === 0) this.#destinations.delete(deviceName);
      else this.#destinations.set(deviceName, destinations);
    }
  }
}

function hasGateway(operation: Operation<Route>): boolean {
  return operation.kind !== 'remove' && operation.desired.nextHops.some(({ gateway }) => gateway !== undefined);
}

/** The devices that a target names; those of other gateways are found by their subnets. */
function devicesOf(target: RouteTarget | undefined): readonly string[] {
  if (target?.kind === 'device') return [target.deviceName];
  return target?.kind === 'gateways' ? target.gateways.flatMap(({ deviceName }) => deviceName ?? []) : [];
}

/** The key of the one route that we want for a destination: main table, no metric. */
function keyOf(destination: string): string {
  return `${destination} table ${ROUTE_TABLE.main} metric 0`;
}
