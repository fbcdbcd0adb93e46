/**
 * What one peer tells us: from the ranges of its UPDATEs to paths in the tables, through its import policy.
 *
 * It outlives a session where the peer restarts gracefully: its paths then stay in use, marked stale, until the peer has
 * said them again or has said that it is done (RFC 4724 section 4.2), or after that as a last resort (RFC 9494). A path
 * keeps the attributes as they came beside those after policy, so that a changed policy is applied without asking the
 * peer. What concerns all paths of a peer is done in slices, as chores; new words of the peer wait for them.
 */
import type { Family } from '../../net/ip.ts';
import type { Chore, Chores } from '../chores.ts';
import type { AttributesVerdict, CompiledPolicy } from '../policy/policy.ts';
import { LLGR_STALE, NO_LLGR } from '../wire/communities.ts';
import type { NlriRange } from '../wire/nlri.ts';
import type { Update } from '../wire/update.ts';
import type { AttributeSet, AttributeSets, Source } from './attribute-sets.ts';
import { sameTerms } from './attribute-sets.ts';
import { prefixBytesAt } from './prefix-table.ts';
import type { Rib } from './rib.ts';
import { PATH_FLAG } from './rib.ts';

/** Paths looked at in one slice; a slice takes a few milliseconds at most. */
const PATHS_PER_SLICE = 8_192;
const PATH_ID_BYTES = 4;

const FAMILIES: readonly Family[] = [4, 6];

/** What becomes of a path; undefined removes it. */
type Accept = (received: AttributeSet, row: number) => AttributeSet | undefined;

export class Inbound {
  readonly #ribs: Readonly<Record<Family, Rib>>;
  readonly #sets: AttributeSets;
  readonly #chores: Chores;
  #source: Source;
  #policy: CompiledPolicy | undefined;
  #loops = 0;

  constructor(options: {
    readonly ribs: Readonly<Record<Family, Rib>>;
    readonly sets: AttributeSets;
    readonly chores: Chores;
    readonly source: Source;
    readonly policy: CompiledPolicy | undefined;
  }) {
    this.#ribs = options.ribs;
    this.#sets = options.sets;
    this.#chores = options.chores;
    this.#source = options.source;
    this.#policy = options.policy;
  }

  get source(): Source {
    return this.#source;
  }

  get received(): number {
    return this.#count('received');
  }

  get accepted(): number {
    return this.#count('accepted');
  }

  get stale(): number {
    return this.#count('stale');
  }

  /** How many routes came that had been here before, or at our cluster. */
  get loops(): number {
    return this.#loops;
  }

  /** Takes in what an UPDATE says; `body` is what its ranges point into. */
  learn(body: Uint8Array, update: Update): void {
    this.#chores.finish(this);
    for (const range of update.withdrawn) this.#withdraw(body, range);
    for (const { range, attributes } of update.announced) {
      this.#announce(body, range, this.#sets.intern(range.family, this.#source, attributes));
    }
  }

  /** The peer is known under other terms: its routes are judged and passed on anew where these matter. */
  setTerms(source: Source, policy: CompiledPolicy | undefined): void {
    if (sameTerms(source, this.#source) && policy?.key === this.#policy?.key) return;
    this.#chores.finish(this);
    this.#source = source;
    this.#policy = policy;
    this.#visitAll(FAMILIES, (rib, path) => {
      const received = this.#sets.intern(rib.family, source, rib.received(path).attributes);
      rib.replace(path, received, this.#accept(received, rib.prefixOf(path)));
    });
  }

  /**
   * The session is gone, the peer will be back: paths of `families` become stale. Removed are those of other families, and
   * those that were stale already, since a peer that restarts twice in a row has not confirmed them.
   */
  retain(families: readonly Family[]): void {
    this.#visitAll(FAMILIES, (rib, path) => {
      if (!families.includes(rib.family) || rib.hasFlag(path, PATH_FLAG.stale)) rib.removePath(path);
      else rib.setFlags(path, PATH_FLAG.stale);
    });
  }

  /** Stale paths of `families` become the last resort, but for those that are not to be kept so long (RFC 9494). */
  makeLongLived(families: readonly Family[]): void {
    this.#visitAll(families, (rib, path) => {
      if (!rib.hasFlag(path, PATH_FLAG.stale)) return;
      const { attributes } = rib.received(path);
      const accepted = rib.accepted(path);
      if (attributes.communities.includes(NO_LLGR)) rib.removePath(path);
      else if (accepted !== undefined && !accepted.isLongLivedStale) {
        const communities = [...accepted.attributes.communities, LLGR_STALE];
        const aged = this.#sets.intern(rib.family, this.#source, { ...accepted.attributes, communities });
        rib.replace(path, rib.received(path), aged);
      }
    });
  }

  /** Removes what is still stale of `families`. */
  sweepStale(families: readonly Family[]): void {
    this.#chores.finish(this);
    if (this.stale > 0) this.#sweep(families, PATH_FLAG.stale);
  }

  /** The peer begins to say everything of a family again (RFC 7313). */
  beginRefresh(family: Family): void {
    this.#visitAll([family], (rib, path) => {
      rib.setFlags(path, PATH_FLAG.refreshing | (rib.hasFlag(path, PATH_FLAG.stale) ? PATH_FLAG.stale : 0));
    });
  }

  /** It has said everything: what it has not named again goes. */
  endRefresh(family: Family): void {
    this.#sweep([family], PATH_FLAG.refreshing);
  }

  clear(): void {
    this.#visitAll(FAMILIES, (rib, path) => rib.removePath(path));
  }

  #count(of: 'received' | 'accepted' | 'stale'): number {
    const { slot } = this.#source;
    return this.#ribs[4].counts(slot)[of] + this.#ribs[6].counts(slot)[of];
  }

  #withdraw(body: Uint8Array, { family, start, end, pathIds }: NlriRange): void {
    const rib = this.#ribs[family];
    const { slot } = this.#source;
    for (let at = start; at < end; at += prefixBytesAt(body, at)) {
      let pathId = 0;
      if (pathIds) {
        pathId = pathIdAt(body, at);
        at += PATH_ID_BYTES;
      }
      const row = rib.prefixes.find(body, at);
      if (row >= 0) rib.withdraw(row, slot, pathId);
    }
  }

  #announce(body: Uint8Array, { family, start, end, pathIds }: NlriRange, received: AttributeSet): void {
    const rib = this.#ribs[family];
    const { slot } = this.#source;
    this.#sets.retain(received);
    const accept = this.#acceptor(received);
    for (let at = start; at < end; at += prefixBytesAt(body, at)) {
      let pathId = 0;
      if (pathIds) {
        pathId = pathIdAt(body, at);
        at += PATH_ID_BYTES;
      }
      const row = rib.rowAt(body, at);
      if (received.isLoop) this.#loops += 1;
      rib.put(row, slot, pathId, received, typeof accept === 'function' ? accept(received, row) : accept);
    }
    this.#sets.release(received);
  }

  /** The set after policy where it is the same for every prefix, else how to find it. */
  #acceptor(received: AttributeSet): AttributeSet | undefined | Accept {
    if (this.#policy === undefined) return this.#source.external ? undefined : received;
    const verdict = this.#verdict(received, this.#policy);
    if (verdict.kind === 'byPrefix') return (set, row) => this.#accept(set, row);
    return verdict.kind === 'reject' ? undefined : this.#sets.intern(received.family, this.#source, verdict.attributes);
  }

  #accept(received: AttributeSet, row: number): AttributeSet | undefined {
    if (this.#policy === undefined) return this.#source.external ? undefined : received;
    let verdict = this.#verdict(received, this.#policy);
    if (verdict.kind === 'byPrefix') verdict = verdict.decide(this.#ribs[received.family].prefixes.prefix(row));
    if (verdict.kind !== 'accept') return undefined;
    return this.#sets.intern(received.family, this.#source, verdict.attributes);
  }

  #verdict(received: AttributeSet, policy: CompiledPolicy): AttributesVerdict {
    if (received.imported?.policy !== policy) {
      const { external, device } = this.#source;
      const verdict = policy.judge(received.attributes, { family: received.family, remote: true, device, external });
      received.imported = { policy, verdict };
    }
    return received.imported.verdict;
  }

  #sweep(families: readonly Family[], flag: number): void {
    this.#visitAll(families, (rib, path) => {
      if (rib.hasFlag(path, flag)) rib.removePath(path);
    });
  }

  /** Has each path of the peer visited, in slices. */
  #visitAll(families: readonly Family[], visit: (rib: Rib, path: number) => void): void {
    for (const family of families) {
      const rib = this.#ribs[family];
      if (rib.counts(this.#source.slot).received > 0) this.#chores.add(this, this.#chore(rib, visit));
    }
  }

  #chore(rib: Rib, visit: (rib: Rib, path: number) => void): Chore {
    const { slot } = this.#source;
    let next = 0;
    return () => {
      const end = Math.min(next + PATHS_PER_SLICE, rib.paths);
      for (; next < end; next++) {
        if (rib.slotOf(next) === slot && rib.prefixOf(next) >= 0) visit(rib, next);
      }
      return next < rib.paths;
    };
  }
}

function pathIdAt(bytes: Uint8Array, offset: number): number {
  const at = (index: number): number => bytes[offset + index] ?? 0;
  return (at(0) << 24) | (at(1) << 16) | (at(2) << 8) | at(3);
}
