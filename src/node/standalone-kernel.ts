/**
 * Routes of a speaker that runs alone, in the kernel: what is best goes in, what is gone goes out.
 *
 * Ours are, in the table that was configured, the routes with protocol bird and our metric; others are not touched, and at the
 * end only ours are removed. A process that starts finds what one before it left: these count as there, are put anew
 * where they differ, and go when BGP has converged without them (RFC 4724). Writing is cut into slices, so that a full
 * table never holds up the sessions. A device that goes takes its routes along without a word, so all is read again then.
 */
import type { Gateway } from '../bgp/contract.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelError } from '../kernel/kernel.ts';
import type { Backoff } from '../lib/backoff.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { Operation } from '../lib/reconciler.ts';
import { Reconciler } from '../lib/reconciler.ts';
import type { Cidr } from '../net/cidr.ts';
import { formatCidr } from '../net/cidr.ts';
import { sameIp } from '../net/ip.ts';
import type { NextHop, Route } from '../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE } from '../net/kernel-objects.ts';

/** About 5 ms of netlink. */
const SLICE_OPERATIONS = 500;
const RETRY: Backoff = { firstMs: 200, maxMs: 10_000 };
/** Devices come and go in bursts; one reading serves a burst. */
const READING_DELAY_MS = 200;

export interface RouteMark {
  readonly table: number;
  readonly metric: number;
}

export class KernelRoutes {
  readonly #kernel: Kernel;
  readonly #mark: RouteMark;
  readonly #log: Log;
  readonly #routes: Reconciler<Route>;
  readonly #stopWatching: () => void;
  #timer: NodeJS.Timeout | undefined;
  #reading: NodeJS.Timeout | undefined;
  #isScheduled = false;
  /** Operations that were due at the last look and have not had their turn. */
  #due: Operation<Route>[] = [];

  constructor(options: {
    readonly kernel: Kernel;
    readonly mark: RouteMark;
    readonly log: Log;
    readonly random: Random;
  }) {
    this.#kernel = options.kernel;
    this.#mark = options.mark;
    this.#log = options.log;
    this.#routes = new Reconciler<Route>({ equal: sameForwarding, backoff: RETRY, random: options.random });
    this.#stopWatching = options.kernel.watch((event) => {
      if (event.kind === 'link' || event.kind === 'overrun') this.#readSoon();
      else if (event.kind === 'route' && event.removed && this.#isOurs(event.route)) this.#lost(event.route);
    });
    this.#read();
  }

  /** The gateways of the best paths to a prefix; none when there is none, or when packets to it are to be discarded. */
  best(prefix: Cidr, gateways: readonly Gateway[], discard: boolean): void {
    const isWanted = discard || gateways.length > 0;
    this.#routes.setDesired(formatCidr(prefix), isWanted ? this.#route(prefix, gateways) : undefined);
    this.#schedule();
  }

  /** Nothing more is coming for what an earlier process left. */
  converged(): void {
    this.#routes.allowRemovals();
    this.#schedule();
  }

  /** Stops; removes our routes, unless peers are to find us forwarding while we are away. */
  close({ keep }: { readonly keep: boolean }): void {
    this.#stopWatching();
    clearTimeout(this.#timer);
    clearTimeout(this.#reading);
    if (keep) return;
    for (const route of this.#kernel.routes(this.#mark.table)) {
      if (this.#isOurs(route)) this.#attempt(() => removeRoute(this.#kernel, route));
    }
  }

  #isOurs({ table, metric, protocol }: Route): boolean {
    return table === this.#mark.table && metric === this.#mark.metric && protocol === ROUTE_PROTOCOL.bird;
  }

  #route(destination: Cidr, gateways: readonly Gateway[]): Route {
    return {
      destination,
      type: gateways.length === 0 ? 'blackhole' : 'unicast',
      nextHops: gateways.map((gateway) => this.#nextHop(gateway)),
      protocol: ROUTE_PROTOCOL.bird,
      scope: ROUTE_SCOPE.universe,
      ...this.#mark,
      source: undefined,
    };
  }

  /** The kernel finds the device of a global gateway itself; a link-local one means nothing without its device. */
  #nextHop({ address, device }: Gateway): NextHop {
    const index = device === undefined ? undefined : this.#kernel.link(device)?.index;
    return { gateway: address, index, onlink: index !== undefined };
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => this.#pass());
  }

  #pass(): void {
    this.#isScheduled = false;
    if (this.#due.length === 0) this.#due = this.#routes.operations(monotonicNow());
    for (const operation of this.#due.splice(-SLICE_OPERATIONS)) {
      const wanted = operation.kind === 'remove' ? undefined : operation.desired;
      if (this.#routes.desired(operation.key) === wanted) this.#carryOut(operation); // else it is due anew
    }
    if (this.#due.length > 0 || this.#routes.operations(monotonicNow()).length > 0) {
      this.#schedule();
      return;
    }
    clearTimeout(this.#timer);
    const retry = this.#routes.nextRetry();
    if (retry !== undefined) this.#timer = setTimeout(() => this.#schedule(), Math.max(retry - monotonicNow(), 0));
  }

  #carryOut(operation: Operation<Route>): void {
    const error = this.#attempt(() => {
      if (operation.kind === 'remove') removeRoute(this.#kernel, operation.actual);
      else this.#kernel.putRoute(operation.desired);
    });
    if (error === undefined) this.#routes.succeeded(operation);
    else {
      this.#routes.failed(operation, error, monotonicNow());
      this.#log.warn('kernel refused', { change: operation.kind, object: `route ${operation.key}`, error });
    }
  }

  /** What the kernel says against it; undefined when it was done. */
  #attempt(work: () => void): string | undefined {
    try {
      work();
      return undefined;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      return error.message;
    }
  }

  #lost(route: Route): void {
    this.#routes.setActual(formatCidr(route.destination), undefined);
    this.#schedule();
  }

  #readSoon(): void {
    this.#reading ??= setTimeout(() => {
      this.#reading = undefined;
      this.#read();
    }, READING_DELAY_MS);
  }

  #read(): void {
    const ours = this.#kernel.routes(this.#mark.table).filter((route) => this.#isOurs(route));
    this.#routes.replaceActual(new Map(ours.map((route) => [formatCidr(route.destination), route])));
    this.#schedule();
  }
}

/** That a route has gone by itself, with its device, is as good. */
function removeRoute(kernel: Kernel, route: Route): void {
  try {
    kernel.removeRoute(route);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ESRCH') throw error;
  }
}

/** Alike as far as we said: a device that we left to the kernel is whichever it chose. */
function sameForwarding(a: Route, b: Route): boolean {
  const sameHop = (one: NextHop, other: NextHop): boolean =>
    sameIp(one.gateway, other.gateway) &&
    (one.index === undefined || other.index === undefined || one.index === other.index);
  return (
    a.type === b.type &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((hop) => b.nextHops.some((other) => sameHop(hop, other)))
  );
}
