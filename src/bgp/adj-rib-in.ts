/**
 * The Adj-RIB-In: what one peer has told us, over all its sessions.
 *
 * It outlives a session where the peer restarts gracefully: its routes then stay in use, marked stale, until the peer has
 * said them again or has said that it is done (RFC 4724 section 4.2). Each method that takes routes away returns them, so
 * that the caller can take them out of the Loc-RIB as well.
 */
import type { Cidr } from '../net/cidr.ts';
import { familyOf } from '../net/cidr.ts';
import type { Family } from '../net/ip.ts';
import { prefixKey } from './nlri.ts';
import type { Route } from './route.ts';

export class AdjRibIn {
  readonly #routes = new Map<string, Route>();
  readonly #stale = new Set<string>();

  get size(): number {
    return this.#routes.size;
  }

  get staleSize(): number {
    return this.#stale.size;
  }

  isStale(route: Route): boolean {
    return this.#stale.has(route.key);
  }

  /** Keeps `route`, fresh; returns the route that it replaces. */
  put(route: Route): Route | undefined {
    const previous = this.#routes.get(route.key);
    this.#routes.set(route.key, route);
    this.#stale.delete(route.key);
    return previous;
  }

  get(key: string): Route | undefined {
    return this.#routes.get(key);
  }

  withdraw(prefix: Cidr): Route | undefined {
    return this.#remove(prefixKey(prefix));
  }

  /**
   * The session is gone, the peer will be back: routes of `families` become stale. Removed are those of other families,
   * and those that were stale already, since a peer that restarts twice in a row has not confirmed them.
   */
  retain(families: readonly Family[]): Route[] {
    const removed = this.#removeWhere((route) => !families.includes(familyOf(route.prefix)) || this.isStale(route));
    for (const key of this.#routes.keys()) this.#stale.add(key);
    return removed;
  }

  /** Removes what is still stale of a family. */
  sweep(family: Family): Route[] {
    if (this.#stale.size === 0) return [];
    return this.#removeWhere((route) => this.isStale(route) && familyOf(route.prefix) === family);
  }

  clear(): Route[] {
    return this.#removeWhere(() => true);
  }

  #removeWhere(matches: (route: Route) => boolean): Route[] {
    const removed = [...this.#routes.values()].filter(matches);
    for (const route of removed) this.#remove(route.key);
    return removed;
  }

  #remove(key: string): Route | undefined {
    const route = this.#routes.get(key);
    this.#routes.delete(key);
    this.#stale.delete(key);
    return route;
  }
}
