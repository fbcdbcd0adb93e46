/**
 * The Adj-RIB-Out: what one peer has been told, and what it is still to be told.
 *
 * For each prefix there is one pending state, not a queue of messages: a prefix that changes ten times before the next
 * sending is sent once, and one that came back to what the peer knows is not sent at all.
 * Attributes are encoded once for each set, not for each prefix.
 */
import type { Cidr } from '../net/cidr.ts';
import type { AttributeContext, PathAttributes } from './attributes.ts';
import { encodeAttributes } from './attributes.ts';
import type { ExportSelf, ExportTarget } from './export.ts';
import { exportRoute } from './export.ts';
import type { OutgoingChange, OutgoingSet } from './pack-updates.ts';
import { fitsMessage, packUpdates, sameOutgoingSet } from './pack-updates.ts';
import type { Route } from './route.ts';

export class AdjRibOut {
  readonly #target: ExportTarget;
  readonly #context: AttributeContext;
  readonly #advertised = new Map<string, OutgoingSet>();
  readonly #pending = new Map<string, OutgoingChange>();
  /** By the attributes of the Loc-RIB; a set belongs to one source, so nothing else decides what becomes of it. */
  #sets = new WeakMap<PathAttributes, OutgoingSet | undefined>();
  #unsendable = 0;

  constructor(target: ExportTarget, context: AttributeContext) {
    this.#target = target;
    this.#context = context;
  }

  /** How many prefixes the peer has from us. */
  get size(): number {
    return this.#advertised.size;
  }

  /** Attribute sets that no message can hold, since the last asking: their routes were kept back. */
  takeUnsendable(): number {
    const count = this.#unsendable;
    this.#unsendable = 0;
    return count;
  }

  /** What we are has changed: every route must be offered again. */
  forgetSets(): void {
    this.#sets = new WeakMap();
  }

  /** The best route to a prefix is now `best`; undefined when there is none, or none for this peer. */
  offer(key: string, prefix: Cidr, best: Route | undefined, self: ExportSelf): void {
    const set = best === undefined ? undefined : this.#outgoing(best, self);
    if (sameOutgoingSet(set, this.#advertised.get(key))) this.#pending.delete(key);
    else this.#pending.set(key, { prefix, set });
  }

  /** The UPDATE messages for all that is pending, in one byte string; the peer knows it from now on. */
  take(): Uint8Array | undefined {
    if (this.#pending.size === 0) return undefined;
    for (const [key, { set }] of this.#pending) {
      if (set === undefined) this.#advertised.delete(key);
      else this.#advertised.set(key, set);
    }
    const bytes = packUpdates(this.#pending.values());
    this.#pending.clear();
    return bytes;
  }

  #outgoing(route: Route, self: ExportSelf): OutgoingSet | undefined {
    if (this.#sets.has(route.attributes)) return this.#sets.get(route.attributes);
    const set = this.#encode(route, self);
    this.#sets.set(route.attributes, set);
    return set;
  }

  #encode(route: Route, self: ExportSelf): OutgoingSet | undefined {
    const attributes = exportRoute(route, this.#target, self);
    if (attributes?.nextHop === undefined) return undefined;
    const set = { bytes: encodeAttributes(attributes, this.#context), nextHop: attributes.nextHop };
    if (fitsMessage(set)) return set;
    this.#unsendable += 1;
    return undefined;
  }
}
