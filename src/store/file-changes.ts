/**
 * Hearing that another process has written a file, without asking all the time.
 *
 * The directory is watched (inotify), because SQLite's companions of the file come and go. A write to the WAL is heard
 * before its transaction can be seen: the fsync lies between. So each of our writers touches the file's times after it has
 * committed, which is heard too, and is the signal that counts. A slow poll catches writers that did not (another
 * program, or ours killed right after the commit), and a faster one serves where inotify has no watches left.
 */
import type { FSWatcher } from 'node:fs';
import { utimesSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';

const SAFETY_POLL_MS = 1000;

/** Without inotify: as fast as the promise that writes are seen within 50 ms asks. */
const FALLBACK_POLL_MS = 40;

export class FileChanges {
  readonly #path: string;
  readonly #onChange: () => void;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;

  /** `onChange` is called for each sign of a change, and often without one; it must be cheap. */
  constructor(path: string, onChange: () => void) {
    this.#path = path;
    this.#onChange = onChange;
  }

  start(): void {
    const name = basename(this.#path);
    try {
      this.#watcher = watch(dirname(this.#path), (_, changed) => {
        if (changed === null || changed.startsWith(name)) this.#onChange();
      });
      this.#watcher.on('error', () => this.#pollOnly());
      this.#poll(SAFETY_POLL_MS);
    } catch {
      this.#pollOnly(); // ENOSPC, EMFILE: fs.inotify.max_user_watches or max_user_instances is used up
    }
  }

  stop(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    clearInterval(this.#timer);
  }

  #pollOnly(): void {
    this.stop();
    this.#poll(FALLBACK_POLL_MS);
  }

  #poll(milliseconds: number): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(this.#onChange, milliseconds);
  }
}

/** Tells those who watch `path` in other processes that it has changed. */
export function announceChange(path: string, milliseconds: number): void {
  try {
    utimesSync(path, milliseconds / 1000, milliseconds / 1000);
  } catch {
    // Somebody else's file: the others hear of the change by their poll.
  }
}
