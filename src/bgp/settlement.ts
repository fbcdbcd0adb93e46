/**
 * Settling: for each prefix that has changed, what is best now, and who is to hear of it.
 *
 * The one place where a changed table becomes words: the groups of peers are told what was best and what is best now, the
 * kernel's side gets the gateways where these changed. A prefix is settled once however often it changed before.
 */
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { compareIp, isLinkLocal, sameIp } from '../net/ip.ts';
import type { Aggregation } from './aggregation.ts';
import type { AttributeSet, AttributeSets } from './attribute-sets.ts';
import type { Gateway } from './contract.ts';
import type { Candidate } from './decide.ts';
import { decide, ranked } from './decide.ts';
import type { OutboundGroup } from './outbound.ts';
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
    const severalPaths = groups.filter(({ terms }) => terms.pathsMax > 1);
    for (const row of rows) {
      const before = rib.exported(row);
      const only = rib.onlySet(row);
      const isEasy = only !== undefined && only.unusable === undefined && severalPaths.length === 0;
      const candidates = isEasy ? [] : rib.candidates(row);
      const decision = isEasy ? undefined : decide(candidates);
      const best = isEasy ? only : decision?.best?.set;
      if (best !== before) {
        for (const group of groups) group.change(row, before, best);
        rib.setExported(row, best);
        if (before !== undefined) released.push(before);
        this.#noteParts(row, before, best);
      }
      for (const group of severalPaths) group.changePaths(row, ranked(candidates, group.terms.pathsMax));
      if (multipathMax !== undefined) this.#install(row, best, decision?.equals, multipathMax);
    }
    for (const group of groups) {
      const block = group.flush();
      if (block !== undefined) for (const member of group.members) member.deliver(block);
    }
    for (const set of released) sets.release(set);
    for (const row of rows) rib.dropIfUnused(row);
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
    const { rib, aggregation } = this.#options;
    const before = this.#ways.get(row) ?? NO_WAY;
    const gateways = best === undefined ? [] : gatewaysOf(best, equals, multipathMax);
    const isOwn = best !== undefined && best.source.slot === 0;
    const discard = isOwn && !aggregation.isEmpty && aggregation.isAggregate(rib.prefixes.prefix(row));
    const way = { gateways, discard, peer: gateways.length > 0 ? best?.source.address : undefined };
    if (sameGateways(before.gateways, gateways) && before.discard === discard) return;
    if (gateways.length > 0 || discard) this.#ways.set(row, way);
    else this.#ways.delete(row);
    this.#options.best(rib.prefixes.prefix(row), way);
  }
}

/** The next hops of the best route and of those as good, ascending; none for a prefix of our own. */
export function gatewaysOf(best: AttributeSet, equals: readonly Candidate[] | undefined, max: number): Gateway[] {
  const gateways: Gateway[] = [];
  const sets = equals === undefined ? [best] : [best, ...equals.map(({ set }) => set)];
  for (const { source, attributes } of sets) {
    const { nextHop } = attributes;
    if (source.slot === 0 || nextHop === undefined) return [];
    const device = isLinkLocal(nextHop) ? source.device : undefined;
    if (gateways.some((known) => sameIp(known.address, nextHop) && known.device === device)) continue;
    if (gateways.length < max) gateways.push({ address: nextHop, device });
  }
  return gateways.sort((a, b) => compareIp(a.address, b.address) || (a.device ?? '').localeCompare(b.device ?? ''));
}

function sameGateways(a: readonly Gateway[], b: readonly Gateway[]): boolean {
  return (
    a.length === b.length &&
    a.every((gateway, index) => sameIp(gateway.address, b[index]?.address) && gateway.device === b[index]?.device)
  );
}
