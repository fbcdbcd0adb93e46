/**
 * The decision process: which of the routes to one prefix is best.
 *
 * First what may not be used at all is set aside. Then each step, in the order of the RFC, keeps the routes that are best
 * by its measure, until one is left. Eliminating step by step is what makes MED sound: it compares only routes of the
 * same neighbouring AS, so no order over all routes exists that a sort could use.
 * Our own announcements come before everything but age, as we know best what is here. Routes that are equal up to the step
 * where only names are compared serve together (ECMP); AS paths then need the same length, not the same content (RFC 7938
 * section 6.3). Most prefixes have one route: that way must cost nothing.
 *
 * RFC 4271 section 9.1.2, RFC 4456 section 9, RFC 9494 section 4.3.
 */
import type { RouterId } from '../../net/asn.ts';
import { formatRouterId } from '../../net/asn.ts';
import { compareIp } from '../../net/ip.ts';
import { ORIGIN_NAMES } from '../wire/attributes.ts';
import type { AttributeSet } from './attribute-sets.ts';

/** One route to the prefix: its row among the paths, and what the steps look at. */
export interface Candidate {
  readonly path: number;
  readonly set: AttributeSet;
  /** As the peer numbered it (RFC 7911); 0 without. */
  readonly pathId: number;
}

export interface Decision {
  readonly best: Candidate | undefined;
  /** The best one and those that are as good but for their names. */
  readonly equals: readonly Candidate[];
  /** The step that left one route only; '' where there was no choice. */
  readonly decidedBy: string;
}

interface Step {
  readonly name: string;
  /** Lower is better. */
  readonly measure: (candidate: Candidate) => number;
  /** The measure in words, of a candidate, which either has or is it. */
  readonly text: (candidate: Candidate) => string;
  readonly verb: 'has' | 'is';
}

const byNumber = (
  name: string,
  of: (set: AttributeSet) => number,
  text = (set: AttributeSet): string => String(Math.abs(of(set))),
): Step => ({ name, measure: ({ set }) => of(set), text: ({ set }) => text(set), verb: 'has' });

const byRank = (name: string, isBetter: (set: AttributeSet) => boolean, yes: string, no: string): Step => ({
  name,
  measure: ({ set }) => (isBetter(set) ? 0 : 1),
  text: ({ set }) => (isBetter(set) ? yes : no),
  verb: 'is',
});

const MED = 'lowest MED within a neighbouring AS';

const STEPS_OF_MERIT: readonly Step[] = [
  byRank('not long-lived stale', (set) => !set.isLongLivedStale, 'fresh', 'long-lived stale'),
  byRank('locally originated', (set) => set.source.slot === 0, 'our own', 'of a peer'),
  byNumber('highest LOCAL_PREF', (set) => -set.localPreference),
  byNumber('shortest AS_PATH', (set) => set.asPathLength),
  byNumber(
    'lowest ORIGIN',
    (set) => set.origin,
    ({ attributes }) => ORIGIN_NAMES[attributes.origin],
  ),
  byNumber(MED, (set) => set.med),
  byRank('eBGP over iBGP', (set) => set.source.external, 'external', 'internal'),
];

/** The steps below compare names, not merit: they make the choice the same everywhere. */
const STEPS_OF_NAME: readonly Step[] = [
  byNumber(
    'lowest router identifier',
    (set) => set.originator,
    (set) => formatRouterId(set.originator as RouterId), // 0 stands for none
  ),
  byNumber('shortest CLUSTER_LIST', (set) => set.clusterListLength),
];

const NOTHING: Decision = { best: undefined, equals: [], decidedBy: '' };

/** Chooses among the routes to one prefix. */
export function decide(candidates: readonly Candidate[]): Decision {
  let kept = candidates.filter(({ set }) => set.unusable === undefined);
  if (kept.length === 0) return NOTHING;
  let decidedBy = '';
  for (const step of STEPS_OF_MERIT) {
    if (kept.length === 1) break;
    kept = step.name === MED ? keepLowestMed(kept) : keepLowest(kept, step);
    decidedBy = step.name;
  }
  if (kept.length === 1) return { best: kept[0], equals: kept, decidedBy };
  const equals = kept;
  for (const step of STEPS_OF_NAME) {
    kept = keepLowest(kept, step);
    if (kept.length === 1) return { best: kept[0], equals, decidedBy: step.name };
  }
  return { best: lowestAddress(kept), equals, decidedBy: 'lowest peer address' };
}

/** Where `candidate` lost against the best, in words: "shortest AS_PATH (3, the best has 2)". */
export function whyLost(candidates: readonly Candidate[], candidate: Candidate): string {
  let kept = candidates.filter(({ set }) => set.unusable === undefined);
  const { best } = decide(candidates);
  for (const step of [...STEPS_OF_MERIT, ...STEPS_OF_NAME]) {
    kept = step.name === MED ? keepLowestMed(kept) : keepLowest(kept, step);
    if (kept.includes(candidate)) continue;
    const isMed = step.name === MED;
    const rival = isMed ? kept.find(({ set }) => set.neighbour === candidate.set.neighbour) : best;
    const rivalText = rival === undefined ? '?' : step.text(rival);
    return `${step.name} (${step.text(candidate)}, the ${isMed ? 'better one' : 'best'} ${step.verb} ${rivalText})`;
  }
  return 'lowest peer address';
}

/** The best ones in order of preference, at most `count`: what a peer with add-path is sent (RFC 7911). */
export function ranked(candidates: readonly Candidate[], count: number): Candidate[] {
  const chosen: Candidate[] = [];
  let rest = candidates;
  while (chosen.length < count) {
    const { best } = decide(rest);
    if (best === undefined) break;
    chosen.push(best);
    rest = rest.filter((candidate) => candidate !== best);
  }
  return chosen;
}

function keepLowest(candidates: Candidate[], { measure }: Step): Candidate[] {
  let least = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) least = Math.min(least, measure(candidate));
  return candidates.filter((candidate) => measure(candidate) === least);
}

function keepLowestMed(candidates: Candidate[]): Candidate[] {
  return candidates.filter(
    ({ set }) => !candidates.some((other) => other.set.neighbour === set.neighbour && other.set.med < set.med),
  );
}

/** The last resort, which always leaves one: the peer's address, then the number that it gave the path. */
function lowestAddress(candidates: readonly Candidate[]): Candidate | undefined {
  return [...candidates].sort((a, b) => {
    const [left, right] = [a.set.source.address, b.set.source.address];
    const order = left === undefined || right === undefined ? 0 : compareIp(left, right);
    return order || a.pathId - b.pathId || a.path - b.path;
  })[0];
}
