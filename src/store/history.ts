/**
 * Watching: how a driver's log of changes becomes a stream of events.
 *
 * A watcher keeps no queue. It holds its place in the log, reads a page from there, hands it out, and sleeps when
 * nothing is left until the driver rings its bell. So a slow reader costs nothing, and one that is too slow finds its
 * place compacted and is told so. Reading and going to sleep happen without a pause in between, so no ring is missed.
 *
 *   log ── readAfter(place) ──► events ── reader ──► … ── nothing left ──► bookmark, sleep ◄── ring() ── a write
 */
import type { Json } from '../lib/json.ts';
import type { Revision, WatchEvent } from './store.ts';
import { StoreError } from './store.ts';

/** One change in the log. Changes are numbered one by one; those of one transaction share their revision. */
export interface Change {
  readonly sequence: number;
  readonly revision: Revision;
  readonly key: string;
  /** JSON text; undefined when the entry was removed. */
  readonly text: string | undefined;
}

export interface Page {
  readonly changes: readonly Change[];
  /** The store's revision when the page was read. */
  readonly revision: Revision;
}

export interface ChangeLog {
  /**
   * The place after all changes up to `revision`. Throws StoreError `compacted` when changes after it are gone, or
   * when the store has never been at that revision.
   */
  placeAfter(revision: Revision): number;
  /** The first changes after a place, at most PAGE_CHANGES_MAX of them. Throws StoreError `compacted` like placeAfter. */
  readAfter(place: number, prefix: string): Page;
}

/** Bounds the memory that one read takes, not the number of events. */
export const PAGE_CHANGES_MAX = 512;

/** Wakes all who sleep. A ring with nobody asleep is lost, which is right: who is awake will look before sleeping. */
export class Bell {
  #sleepers = new Set<() => void>();

  ring(): void {
    const woken = this.#sleepers;
    this.#sleepers = new Set();
    for (const wake of woken) wake();
  }

  /** Resolves at the next ring, or when `signal` aborts. */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted) return resolve();
      const sleepers = this.#sleepers;
      const wake = () => {
        signal.removeEventListener('abort', wake);
        sleepers.delete(wake);
        resolve();
      };
      signal.addEventListener('abort', wake);
      sleepers.add(wake);
    });
  }
}

/** The events of Store.watch. The first bookmark comes as soon as the reader has what was there when it began. */
export async function* watchLog(
  log: ChangeLog,
  bell: Bell,
  prefix: string,
  from: Revision,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent> {
  if (signal.aborted) return;
  let place = log.placeAfter(from);
  let bookmarked: Revision | undefined;
  while (!signal.aborted) {
    const page = log.readAfter(place, prefix);
    for (const change of page.changes) {
      yield eventOf(change);
      if (signal.aborted) return;
      place = change.sequence;
    }
    if (page.changes.length === PAGE_CHANGES_MAX) continue;
    if (bookmarked !== page.revision) {
      bookmarked = page.revision;
      place = log.placeAfter(page.revision);
      yield { kind: 'bookmark', revision: page.revision };
    } else {
      await bell.wait(signal);
    }
  }
}

export function compacted(from: number | undefined, description: string): StoreError {
  const what = from === undefined ? 'the place of this watch' : `revision ${from}`;
  return new StoreError('compacted', `${description}: history no longer reaches back to ${what}; list again`);
}

function eventOf({ key, text, revision }: Change): WatchEvent {
  if (text === undefined) return { kind: 'removed', key, revision };
  return { kind: 'put', entry: { key, value: parseStored(text), revision } };
}

/** JSON text that a driver wrote itself. */
export function parseStored(text: string): Json {
  return JSON.parse(text);
}
