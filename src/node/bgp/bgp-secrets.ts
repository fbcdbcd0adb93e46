/**
 * Secrets that resources refer to, read from files: DIRECTORY/NAME/KEY.
 *
 * A resource names its password (`secretKeyRef: {name: tor, key: md5}`) and never holds it; what it is stands in a file that
 * only root and its group may read, put there by whoever sets the host up. What was asked for is looked at again when
 * its folder changes and each 30 s, so that a password can be changed, or come late, without a restart. The text of a
 * secret is in no message.
 */
import type { FSWatcher } from 'node:fs';
import { readFileSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { PASSWORD_BYTES_MAX } from '../../kernel/tcp-socket.ts';
import type { SecretReading, SecretReference } from './bgp-resources.ts';

const REREAD_MS = 30_000;
/** A folder that is being written to makes several events; one look serves all. */
const SETTLE_MS = 50;
/** Bits of a file's mode that let everybody read, write or run it. */
const EVERYBODY = 0o007;
/** Neither "." nor "..", nor anything with a slash. */
const FILE_NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,253}$/;

/** The password in a file, whose last line end does not count, or what is wrong with the file. */
export function readPasswordFile(path: string): SecretReading {
  try {
    const { mode } = statSync(path);
    if ((mode & EVERYBODY) !== 0) {
      return { problem: `${path} is open to everybody (mode ${(mode & 0o777).toString(8)}); chmod 600 it` };
    }
    const bytes = readFileSync(path);
    const secret = bytes.toString('utf8').replace(/\r?\n$/, '');
    const length = Buffer.byteLength(secret);
    if (length === 0) return { problem: `${path} is empty; write the password into it` };
    if (length > PASSWORD_BYTES_MAX) {
      return { problem: `${path} holds ${length} bytes; a TCP MD5 password has at most ${PASSWORD_BYTES_MAX}` };
    }
    return { secret };
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') return { problem: `there is no file ${path}` };
    return { problem: `${path} cannot be read: ${error instanceof Error ? error.message : String(error)}` };
  }
}

export class SecretFiles {
  readonly #directory: string;
  readonly #onChange: () => void;
  /** By path, as it was last given out. */
  readonly #given = new Map<string, SecretReading>();
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #timer: NodeJS.Timeout;
  #settling: NodeJS.Timeout | undefined;

  /** `onChange` is called when something that was read before reads otherwise now. */
  constructor(directory: string, onChange: () => void) {
    this.#directory = directory;
    this.#onChange = onChange;
    this.#timer = setInterval(() => this.#look(), REREAD_MS).unref();
  }

  read({ name, key }: SecretReference): SecretReading {
    for (const part of [name, key]) {
      if (!FILE_NAME.test(part)) return { problem: `${JSON.stringify(part)} cannot be the name of a file` };
    }
    const folder = join(this.#directory, name);
    this.#watch(folder);
    const path = join(folder, key);
    const reading = readPasswordFile(path);
    this.#given.set(path, reading);
    return reading;
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#settling);
    for (const watcher of this.#watchers.values()) watcher.close();
  }

  /** A folder that is not there yet is found by the timer. */
  #watch(folder: string): void {
    if (this.#watchers.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, () => this.#lookSoon());
      watcher.on('error', () => this.#unwatch(folder));
      this.#watchers.set(folder, watcher);
    } catch {
      // Not there, or no more watches to be had: the timer still looks.
    }
  }

  #unwatch(folder: string): void {
    this.#watchers.get(folder)?.close();
    this.#watchers.delete(folder);
  }

  #lookSoon(): void {
    this.#settling ??= setTimeout(() => {
      this.#settling = undefined;
      this.#look();
    }, SETTLE_MS);
  }

  #look(): void {
    const differs = [...this.#given].filter(([path, before]) => !same(before, readPasswordFile(path)));
    if (differs.length === 0) return;
    this.#given.clear(); // who asks again says what is still needed
    this.#onChange();
  }
}

function same(a: SecretReading, b: SecretReading): boolean {
  return 'secret' in a && 'secret' in b ? a.secret === b.secret : JSON.stringify(a) === JSON.stringify(b);
}
