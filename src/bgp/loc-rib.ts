/**
 * The Loc-RIB: all routes to each prefix, from all peers and from ourselves, and which is best.
 *
 * Changes only mark their prefix; `settle` decides once for each marked prefix, however often it changed. So a withdrawal
 * and an announcement that come together are one change, and what follows depends on the routes that there are, not on
 * the order in which they came.
 */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { sameIp } from '../net/ip.ts';
import { decide } from './decide.ts';
import type { Route, Self } from './route.ts';

export interface Destination {
  readonly prefix: Cidr;
  readonly key: string;
  /** Every route to the prefix, usable or not. */
  readonly routes: readonly Route[];
  readonly best: Route | undefined;
  readonly gateways: readonly Ip[];
}

export interface DestinationChange {
  readonly destination: Destination;
  readonly gatewaysChanged: boolean;
}

const NO_GATEWAYS: readonly Ip[] = [];

export class LocRib {
  readonly #destinations = new Map<string, Destination>();
  readonly #marked = new Set<string>();

  destinations(): IterableIterator<Destination> {
    return this.#destinations.values();
  }

  /** Puts `next` in the place of `previous`, which is what the same source said of the same prefix before. */
  replace(previous: Route | undefined, next: Route | undefined): void {
    const route = next ?? previous;
    if (route === undefined || previous === next) return;
    const { key, prefix } = route;
    const known = this.#destinations.get(key) ?? { prefix, key, routes: [], best: undefined, gateways: NO_GATEWAYS };
    const others = previous === undefined ? known.routes : known.routes.filter((candidate) => candidate !== previous);
    this.#destinations.set(key, { ...known, routes: next === undefined ? others : [...others, next] });
    this.#marked.add(key);
  }

  /** What makes a route usable has changed: everything is to be decided anew. */
  markAll(): void {
    for (const key of this.#destinations.keys()) this.#marked.add(key);
  }

  /** Decides for all marked prefixes; says which got another best route or other gateways. */
  settle(self: Self): DestinationChange[] {
    const changes: DestinationChange[] = [];
    for (const key of this.#marked) {
      const before = this.#destinations.get(key);
      if (before === undefined) continue;
      const { best, gateways } = decide(before.routes, self);
      const destination = { ...before, best, gateways };
      if (before.routes.length === 0) this.#destinations.delete(key);
      else this.#destinations.set(key, destination);
      const gatewaysChanged = !sameGateways(before.gateways, gateways);
      if (gatewaysChanged || best !== before.best) changes.push({ destination, gatewaysChanged });
    }
    this.#marked.clear();
    return changes;
  }
}

function sameGateways(a: readonly Ip[], b: readonly Ip[]): boolean {
  return a.length === b.length && a.every((gateway, index) => sameIp(gateway, b[index]));
}
