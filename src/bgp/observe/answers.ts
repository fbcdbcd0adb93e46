/**
 * What the speaker tells of itself: the views, made from the tables when somebody asks.
 *
 * Long answers come in pages: a cursor is the family and the row where the next page begins. Rows do not move, so a
 * page that is asked for later may miss what has come or show what has changed, and never repeats or loops.
 */
import type { Instant } from '../../lib/clock.ts';
import type { Cidr } from '../../net/cidr.ts';
import { containsCidr, formatCidr, prefixOf, sameCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { Gateway, PeerName } from '../contract.ts';
import type { Peer } from '../peer.ts';
import type { SpeakerConfig } from '../peer-config.ts';
import type { AttributeSet, AttributeSets } from '../table/attribute-sets.ts';
import type { Candidate, Decision } from '../table/decide.ts';
import { decide, ranked, whyLost } from '../table/decide.ts';
import type { Rib } from '../table/rib.ts';
import { PATH_FLAG } from '../table/rib.ts';
import { gatewaysOf, pointsTo } from '../table/settlement.ts';
import { neighborView, peerView, routeView } from './view.ts';
import type {
  CandidateView,
  DumpEntry,
  DumpPage,
  DumpPath,
  DumpQuestion,
  ExplanationView,
  NeighborView,
  PeerView,
  RouteFilter,
  RoutePage,
  RouteView,
  TableSizes,
} from './views.ts';

/** What the tables hold; the answers only read. */
export interface AnswerSources {
  readonly ribs: Readonly<Record<Family, Rib>>;
  readonly sets: AttributeSets;
  readonly peers: ReadonlyMap<PeerName, Peer>;
  readonly peerAt: (slot: number) => Peer | undefined;
  readonly config: () => SpeakerConfig | undefined;
}

/** One path as it is shown. */
interface Shown {
  readonly path: number;
  readonly attributes: AttributeSet;
}

const FAMILIES: readonly Family[] = [4, 6];
/** Rows that hold nothing or do not match cost little, but not nothing. */
const ROWS_PER_PAGE = 50_000;

export class Answers {
  readonly #from: AnswerSources;

  constructor(from: AnswerSources) {
    this.#from = from;
  }

  peers(now: Instant): PeerView[] {
    return Array.from(this.#from.peers.values(), (peer) => peerView(peer, now, this.#from.config()));
  }

  neighbor(now: Instant, name: PeerName): NeighborView | undefined {
    const peer = this.#from.peers.get(name);
    return peer && neighborView(peer, now, this.#from.config());
  }

  routes(filter: RouteFilter): RoutePage {
    return this.#page(filter, (rib, row) => this.#candidateViews(rib, row, filter.peer));
  }

  received(name: PeerName, filter: RouteFilter): RoutePage | undefined {
    const peer = this.#from.peers.get(name);
    if (peer === undefined) return undefined;
    return this.#page(filter, (rib, row) => {
      const decision = decide(rib.candidates(row));
      return this.#pathsOf(rib, row)
        .filter((path) => rib.slotOf(path) === peer.slot)
        .map((path) => this.#view(rib, row, { path, attributes: rib.received(path) }, decision));
    });
  }

  advertised(name: PeerName, filter: RouteFilter): RoutePage | undefined {
    const peer = this.#from.peers.get(name);
    if (peer === undefined) return undefined;
    return this.#page(filter, (rib, row) => this.#advertisedViews(peer, rib, row));
  }

  explain(prefix: Cidr): ExplanationView | undefined {
    const rib = this.#from.ribs[prefix.address.family];
    const row = rib.prefixes.findPrefix(prefix);
    if (row < 0 || rib.firstPath(row) < 0) return undefined;
    const candidates = rib.candidates(row);
    const decision = decide(candidates);
    const views = this.#pathsOf(rib, row).map((path): CandidateView => {
      const candidate = candidates.find((other) => other.path === path);
      const shown = { path, attributes: candidate?.set ?? rib.received(path) };
      return {
        ...this.#view(rib, row, shown, decision),
        verdict: this.#verdict(rib, path, candidate, candidates, decision),
      };
    });
    const gateways = this.#gateways(decision);
    return {
      prefix: formatCidr(rib.prefixes.prefix(row)),
      candidates: bestFirst(views),
      decidedBy: decision.best === undefined ? 'no candidate may be used' : decision.decidedBy || 'the only candidate',
      gateways: gateways.map(({ address, device }) => formatIp(address) + (device === undefined ? '' : `%${device}`)),
      advertised: this.#advertisements(rib, row),
    };
  }

  dump({ received, after, limit }: DumpQuestion): DumpPage {
    const slot = received === undefined ? undefined : this.#from.peers.get(received)?.slot;
    if (received !== undefined && slot === undefined) return { entries: [], next: undefined };
    const entries: DumpEntry[] = [];
    const next = this.#eachRow(after, limit, undefined, (rib, row) => {
      const paths = this.#pathsOf(rib, row).flatMap((path) => this.#dumpPath(rib, path, slot) ?? []);
      if (paths.length > 0) entries.push({ prefix: rib.prefixes.prefix(row), paths });
      return paths.length > 0;
    });
    return { entries, next };
  }

  sizes(): TableSizes {
    const { ribs, sets } = this.#from;
    return {
      prefixes: ribs[4].prefixes.size + ribs[6].prefixes.size,
      paths: ribs[4].pathCount + ribs[6].pathCount,
      attributeSets: sets.size,
    };
  }

  /** Every prefix that has a best route. */
  exportedPrefixes(family: Family): Cidr[] {
    const rib = this.#from.ribs[family];
    const prefixes: Cidr[] = [];
    for (let row = 0; row < rib.prefixes.rows; row++) {
      if (rib.exported(row) !== undefined) prefixes.push(rib.prefixes.prefix(row));
    }
    return prefixes;
  }

  #page(filter: RouteFilter, viewsOf: (rib: Rib, row: number) => readonly RouteView[]): RoutePage {
    const routes: RouteView[] = [];
    const visit = (rib: Rib, row: number): boolean => {
      const views = viewsOf(rib, row);
      routes.push(...bestFirst(views));
      return views.length > 0;
    };
    const { prefix } = filter;
    if (prefix !== undefined && filter.match !== 'longer') {
      const rib = this.#from.ribs[prefix.address.family];
      for (const row of ownAndShorter(rib, prefix, filter.match)) {
        if (visit(rib, row) && filter.match === 'longest') break;
      }
      return { routes, next: undefined };
    }
    const family = prefix?.address.family ?? filter.family;
    const next = this.#eachRow(filter.after, filter.limit, family, (rib, row) => {
      if (prefix !== undefined && !containsCidr(prefix, rib.prefixes.prefix(row))) return false;
      return visit(rib, row);
    });
    return { routes, next };
  }

  /** Visits rows until `limit` of them had something to show; returns where the next page begins. */
  #eachRow(
    after: string | undefined,
    limit: number,
    only: Family | undefined,
    visit: (rib: Rib, row: number) => boolean,
  ): string | undefined {
    const [, familyText, rowText] = /^([46])\/(\d+)$/.exec(after ?? '') ?? [];
    let shown = 0;
    let looked = 0;
    for (const family of FAMILIES) {
      if (only !== undefined && only !== family) continue;
      if (familyText === '6' && family === 4) continue;
      const rib = this.#from.ribs[family];
      const start = familyText === String(family) ? Number(rowText) : 0;
      for (let row = start; row < rib.prefixes.rows; row++) {
        if (shown >= limit || looked >= ROWS_PER_PAGE) return `${family}/${row}`;
        looked += 1;
        if (!rib.prefixes.isFree(row) && visit(rib, row)) shown += 1;
      }
    }
    return undefined;
  }

  #pathsOf(rib: Rib, row: number): number[] {
    const paths: number[] = [];
    for (let path = rib.firstPath(row); path >= 0; path = rib.nextPath(path)) paths.push(path);
    return paths;
  }

  #candidateViews(rib: Rib, row: number, peer: RouteFilter['peer']): RouteView[] {
    const candidates = rib.candidates(row);
    const decision = decide(candidates);
    return candidates
      .filter(({ set }) => peer === undefined || set.source.name === peer)
      .map(({ path, set }) => this.#view(rib, row, { path, attributes: set }, decision));
  }

  #advertisedViews(peer: Peer, rib: Rib, row: number): RouteView[] {
    const group = peer.outbound.group(rib.family);
    if (group === undefined) return [];
    const candidates = rib.candidates(row);
    return ranked(candidates, group.terms.pathsMax).flatMap(({ path, set }) => {
      if (set.source.slot === peer.slot) return [];
      const verdict = group.explain(set, row);
      if (verdict.kind === 'keep') return [];
      const view = this.#view(rib, row, { path, attributes: set }, decide(candidates));
      const pathId = group.terms.pathsMax > 1 ? path + 1 : undefined;
      return [{ ...view, ...routeView(verdict.attributes), pathId }];
    });
  }

  #advertisements(rib: Rib, row: number): { peer: string; verdict: string }[] {
    const best = rib.exported(row);
    const answers: { peer: string; verdict: string }[] = [];
    for (const peer of this.#from.peers.values()) {
      const group = peer.outbound.group(rib.family);
      if (group === undefined) continue;
      const paths = group.terms.pathsMax > 1 ? this.#advertisedViews(peer, rib, row).length : 0;
      let verdict = 'not sent: there is no best route';
      if (paths > 0) verdict = paths === 1 ? 'sent: 1 path' : `sent: ${paths} paths`;
      else if (best?.source.slot === peer.slot) verdict = 'not sent: the best route is its own';
      else if (best !== undefined) {
        const answer = group.explain(best, row);
        verdict = answer.kind === 'send' ? 'sent' : `not sent: ${answer.why}`;
      }
      answers.push({ peer: peer.name, verdict });
    }
    return answers;
  }

  #view(rib: Rib, row: number, { path, attributes }: Shown, decision: Decision): RouteView {
    const { source } = attributes;
    const hasPathIds = this.#from.peerAt(source.slot)?.negotiated?.addPathReceive.includes(rib.family) === true;
    return {
      prefix: formatCidr(rib.prefixes.prefix(row)),
      from: source.name,
      pathId: hasPathIds ? rib.pathId(path) >>> 0 : undefined,
      best: decision.best?.path === path,
      multipath: this.#servesBeside(path, decision),
      stale: rib.hasFlag(path, PATH_FLAG.stale),
      ...routeView(attributes.attributes),
    };
  }

  #gateways({ best, equals }: Decision): Gateway[] {
    return best === undefined ? [] : gatewaysOf(best.set, equals, this.#from.config()?.multipathMax ?? 1);
  }

  /** Whether a path is not the best one, but as good, and packets go its way, too. */
  #servesBeside(path: number, decision: Decision): boolean {
    if (decision.best?.path === path) return false;
    const equal = decision.equals.find((candidate) => candidate.path === path);
    return equal !== undefined && pointsTo(equal.set, this.#gateways(decision));
  }

  #verdict(
    rib: Rib,
    path: number,
    candidate: Candidate | undefined,
    candidates: readonly Candidate[],
    decision: Decision,
  ): string {
    if (candidate === undefined) return this.#whyRejected(rib, path);
    if (candidate.set.unusable !== undefined) return `not usable: ${candidate.set.unusable}`;
    if (decision.best === candidate) return 'best';
    if (this.#servesBeside(path, decision)) return 'equal, used beside the best (ECMP)';
    return `lost at: ${whyLost(candidates, candidate)}`;
  }

  #whyRejected(rib: Rib, path: number): string {
    const { imported } = rib.received(path);
    if (imported === undefined)
      return 'rejected: an external peer without an import policy tells us nothing (RFC 8212)';
    let { verdict } = imported;
    if (verdict.kind === 'byPrefix') verdict = verdict.decide(rib.prefixes.prefix(rib.prefixOf(path)));
    return verdict.kind === 'reject'
      ? `rejected by the import policy: ${verdict.by}`
      : 'the import policy is being applied';
  }

  #dumpPath(rib: Rib, path: number, slot: number | undefined): DumpPath | undefined {
    const received = rib.received(path);
    const shown = slot === undefined ? rib.accepted(path) : received;
    if (shown === undefined || (slot !== undefined && received.source.slot !== slot)) return undefined;
    const peer = this.#from.peerAt(received.source.slot);
    const hasPathIds = peer?.negotiated?.addPathReceive.includes(rib.family) === true;
    return { peer: peer?.name, pathId: hasPathIds ? rib.pathId(path) >>> 0 : undefined, attributes: shown.attributes };
  }
}

/** The rows of a prefix itself and of those that contain it, the longest first. */
function* ownAndShorter(rib: Rib, prefix: Cidr, match: RouteFilter['match']): Iterable<number> {
  const shortest = match === 'exact' ? prefix.length : 0;
  for (let length = prefix.length; length >= shortest; length--) {
    const shorter = prefixOf(prefix.address, length);
    const row = rib.prefixes.findPrefix(shorter);
    if (row >= 0 && sameCidr(rib.prefixes.prefix(row), shorter)) yield row;
  }
}

function bestFirst<View extends RouteView>(views: readonly View[]): View[] {
  const rank = ({ best, multipath }: RouteView): number => (best ? 0 : multipath ? 1 : 2);
  return [...views].sort((a, b) => rank(a) - rank(b));
}
