/**
 * Making sure that what was written to a file survives a power cut, for many who wait for it at once.
 *
 * Whoever asks while a sync is running may have written after it began, so the next one is for all of these together. The file
 * is opened for syncing only. Errors are fs's.
 */
import { closeSync, fdatasync, fsyncSync, openSync } from 'node:fs';
import { dirname } from 'node:path';
import { promisify } from 'node:util';

const syncData = promisify(fdatasync);

export class SyncedFile {
  readonly #path: string;
  #file: number | undefined;
  /** The sync that is running, and the one that follows it. */
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  /** Resolves when all that was in the file at the time of the call is safe. */
  async sync(): Promise<void> {
    if (this.#running === undefined) return this.#begin();
    this.#next ??= this.#running.then(ignore, ignore).then(() => {
      this.#next = undefined;
      return this.#begin();
    });
    return this.#next;
  }

  /** Waits for the syncs that were asked for. */
  async close(): Promise<void> {
    await (this.#next ?? this.#running)?.catch(ignore);
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
  }

  /** A file is as safe as its name: that is in the directory, which is synced once. */
  #open(): number {
    const directory = openSync(dirname(this.#path), 'r');
    try {
      fsyncSync(directory);
    } finally {
      closeSync(directory);
    }
    return openSync(this.#path, 'r');
  }

  #begin(): Promise<void> {
    this.#file ??= this.#open();
    const running = syncData(this.#file).finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }
}

function ignore(): undefined {}
