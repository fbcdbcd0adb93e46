/**
 * Settling: for each prefix that has changed, what is best now, and who is to hear of it.
 *
 * The one place where a changed table becomes words: the groups of peers are told what was best and what is best now, the
 * kernel's side gets the gateways where these changed. A prefix is settled once however often it changed before.
 */
import type { Cidr } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { compareIp, isLinkLocal, sameIp } from '../../net/ip.ts';
import type { Gateway } from '../contract.ts';
import type { OutboundGroup } from '../export/outbound.ts';
import type { Aggregation } from './aggregation.ts';
import type { AttributeSet, AttributeSets } from './attribute-sets.ts';
import { LOCAL_SLOT } from './attribute-sets.ts';
import type { Candidate } from './decide.ts';
import { decide, ranked } from './decide.ts';
import { AGGREGATED } from './originations.ts';
import type { Rib } from './rib.ts';

/** Where packets to a prefix go, as the kernel's side was told. */
export interface Way {
  readonly gateways: readonly Gateway[];
  readonly discard: boolean;
  readonly peer: Ip | undefined;
}

const NO_WAY: Way = { gateways: [], discard: false, peer: undefined };

export interface SettlementOptions {
  readonly rib: Rib;
  readonly sets: AttributeSets;
  readonly aggregation: Aggregation;
  readonly best: (prefix: Cidr, way: Way) => void;
}

export class Settlement {
  readonly #options: SettlementOptions;
  /** By row; only prefixes that have a way. */
  readonly #ways = new Map<number, Way>();

  constructor(options: SettlementOptions) {
    this.#options = options;
  }

  /**
   * Settles up to `count` prefixes that have changed. `multipathMax` is how many gateways a prefix may have; undefined
   * where nobody installs routes.
   */
  settle(count: number, groups: readonly OutboundGroup[], multipathMax: number | undefined): void {
    const { rib, sets } = this.#options;
    const rows = rib.takeMarked(count);
    const released: AttributeSet[] = [];
    const lost: number[] = [];
    const severalPaths = groups.filter(({ terms }) => terms.pathsMax > 1);
    for (const row of rows) {
      const before = rib.exported(row);
      const only = rib.onlySet(row);
      const isEasy = only !== undefined && only.unusable === undefined && severalPaths.length === 0;
      const candidates = isEasy ? [] : rib.candidates(row);
      const decision = isEasy ? undefined : decide(candidates);
      const best = isEasy ? only : decision?.best?.set;
      if (best === undefined) lost.push(row);
      if (best !== before) {
        for (const group of groups) group.change(row, before, best);
        rib.setExported(row, best);
        if (before !== undefined) released.push(before);
        this.#noteParts(row, before, best);
      }
      for (const group of severalPaths) group.changePaths(row, ranked(candidates, group.terms.pathsMax));
      if (multipathMax === undefined) this.#ways.delete(row);
      else this.#install(row, best, decision?.equals, multipathMax);
    }
    for (const group of groups) {
      const block = group.flush();
      if (block !== undefined) for (const member of group.members) member.deliver(block);
    }
    for (const set of released) sets.release(set);
    for (const row of lost) rib.dropIfUnused(row);
  }

  #noteParts(row: number, before: AttributeSet | undefined, best: AttributeSet | undefined): void {
    const { aggregation, rib } = this.#options;
    if (aggregation.isEmpty || (before === undefined) === (best === undefined)) return;
    aggregation.note(rib.prefixes.prefix(row), best === undefined ? -1 : 1);
  }

  #install(
    row: number,
    best: AttributeSet | undefined,
    equals: readonly Candidate[] | undefined,
    multipathMax: number,
  ): void {
    const { rib } = this.#options;
    const before = this.#ways.get(row) ?? NO_WAY;
    const gateways = best === undefined ? [] : gatewaysOf(best, equals, multipathMax);
    const discard = best?.source.slot === LOCAL_SLOT && rib.findPath(row, LOCAL_SLOT, AGGREGATED) >= 0;
    const way = { gateways, discard, peer: gateways.length > 0 ? best?.source.address : undefined };
    if (sameGateways(before.gateways, gateways) && before.discard === discard) return;
    if (gateways.length > 0 || discard) this.#ways.set(row, way);
    else this.#ways.delete(row);
    this.#options.best(rib.prefixes.prefix(row), way);
  }
}

/**
 * The next hops of the best route and of those as good, ascending; none for a prefix of our own. Where there are more than
 * `max`, the best one's and the lowest ones, so that the choice does not depend on the order in which routes came.
 */
export function gatewaysOf(best: AttributeSet, equals: readonly Candidate[] | undefined, max: number): Gateway[] {
  const first = gatewayOf(best);
  if (first === undefined) return [];
  if (equals === undefined || equals.length < 2 || max < 2) return [first];
  const others: Gateway[] = [];
  for (const { set } of equals) {
    const gateway = gatewayOf(set);
    if (gateway === undefined) return [];
    if (![first, ...others].some((known) => sameGateway(known, gateway))) others.push(gateway);
  }
  return [first, ...others.sort(compareGateways).slice(0, max - 1)].sort(compareGateways);
}

/** Where routes with these attributes point to; undefined for our own. */
function gatewayOf({ source, attributes: { nextHop } }: AttributeSet): Gateway | undefined {
  if (source.slot === 0 || nextHop === undefined) return undefined;
  return { address: nextHop, device: isLinkLocal(nextHop) ? source.device : undefined };
}

/** Whether routes with these attributes point to one of the gateways. */
export function pointsTo(set: AttributeSet, gateways: readonly Gateway[]): boolean {
  const own = gatewayOf(set);
  return own !== undefined && gateways.some((gateway) => sameGateway(gateway, own));
}

/** By device where there is one: a link-local address says nothing by itself, and is another one after the next start. */
function compareGateways(a: Gateway, b: Gateway): number {
  const [left, right] = [a.device ?? '', b.device ?? ''];
  return (left < right ? -1 : Number(left > right)) || compareIp(a.address, b.address);
}

function sameGateway(a: Gateway, b: Gateway): boolean {
  return sameIp(a.address, b.address) && a.device === b.device;
}

function sameGateways(a: readonly Gateway[], b: readonly Gateway[]): boolean {
  return (
    a.length === b.length &&
    a.every((gateway, index) => sameIp(gateway.address, b[index]?.address) && gateway.device === b[index]?.device)
  );
}
