/**
 * Detachments that could not be finished when the runtime asked for them: the store was away, or the agent itself.
 *
 * A runtime asks once, and then forgets the container; so DEL is taken on whatever happens, and what it could not do is done
 * as soon as it can be. Each is a file in the run directory, the request as the plugin sends it (cni/frame.ts): the plugin
 * writes it where no agent answers, the agent where the store does not. A file goes only when its work is done, so neither a
 * kill nor a crash loses one; a reboot does, and takes the devices with it, by which attachment-garbage.ts finds the rest.
 *
 * An attachment that comes again under the same names is not to be met by the DEL of its predecessor: ADD has `settle` finish
 * that first. Files that are no requests are removed, with a warning.
 */
import {
  type FSWatcher,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  watch,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { CNI_ERROR } from '../../cni/cni-error.ts';
import { encodeRequest, RequestFrameDecoder } from '../../cni/frame.ts';
import type { AttachmentId } from '../../cni/request.ts';
import { parseRequest } from '../../cni/request.ts';
import type { Backoff } from '../../lib/backoff.ts';
import { backoffMs } from '../../lib/backoff.ts';
import { wallClockNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import { isStoreTrouble, Refusal } from './cni-refusal.ts';

export interface Detachment extends AttachmentId {
  readonly networkName: string;
}

/** In the run directory, beside the sockets; shim.c knows it, too. */
export const DETACH_DIRECTORY_NAME = 'detach';
/** What is being written has another ending until it is whole. */
const ENDING = '.request';
/** A host has some hundreds of containers; so many that wait mean that nothing is ever finished. */
const PENDING_MAX = 10_000;
const RETRY: Backoff = { firstMs: 200, maxMs: 10_000 };

interface Pending {
  readonly detachment: Detachment;
  readonly files: readonly string[];
}

export class DetachQueue {
  readonly #directory: string;
  readonly #detach: (detachment: Detachment) => Promise<void>;
  readonly #log: Log;
  readonly #random: Random;
  readonly #pending = new Map<string, Pending>();
  #timer: NodeJS.Timeout | undefined;
  #working: Promise<void> | undefined;
  #failures = 0;
  #written = 0;
  #closed = false;

  constructor(options: {
    readonly runDirectory: string;
    /** Rejects with what `isStoreTrouble` says is for later, or with what nobody can help. */
    readonly detach: (detachment: Detachment) => Promise<void>;
    readonly log: Log;
    readonly random: Random;
  }) {
    this.#directory = join(options.runDirectory, DETACH_DIRECTORY_NAME);
    this.#detach = options.detach;
    this.#log = options.log;
    this.#random = options.random;
  }

  /** Takes up what is there, and whatever comes; to be called before the first ADD. Gives what ends it. */
  start(): () => Promise<void> {
    mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
    const watcher = this.#watch();
    this.#take();
    return async () => {
      this.#closed = true;
      watcher?.close();
      clearTimeout(this.#timer);
      await this.#working;
    };
  }

  get length(): number {
    return this.#pending.size;
  }

  /** Takes on a detachment. Throws Refusal when there are too many, or it cannot be written down. */
  add(detachment: Detachment, reason: string): void {
    if (this.#pending.size >= PENDING_MAX)
      throw new Refusal(CNI_ERROR.tryAgainLater, `${PENDING_MAX} detachments wait already: ${reason}`);
    const { containerId, interfaceName, networkName } = detachment;
    const environment = new Map([
      ['CNI_COMMAND', 'DEL'],
      ['CNI_CONTAINERID', containerId],
      ['CNI_IFNAME', interfaceName],
      ['CNI_PATH', '/'],
    ]);
    const input = JSON.stringify({ cniVersion: '1.0.0', name: networkName });
    this.#written += 1;
    const name = `${wallClockNow()}-agent-${process.pid}-${this.#written}`;
    try {
      writeFileSync(join(this.#directory, `${name}.new`), encodeRequest({ environment, input }), { mode: 0o600 });
      renameSync(join(this.#directory, `${name}.new`), join(this.#directory, `${name}${ENDING}`));
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Refusal(CNI_ERROR.tryAgainLater, `${reason}; nor can it be noted for later: ${why}`);
    }
    this.#log.warn('container detached, the rest will be done later', { container: containerId, reason });
    this.#note(detachment, [`${name}${ENDING}`]);
    this.#wake();
  }

  /** Finishes what waits of this attachment, before it is made anew. Rejects as `detach` does. */
  async settle(attachment: AttachmentId): Promise<void> {
    this.#take();
    for (const [key, pending] of [...this.#pending]) {
      const { containerId, interfaceName } = pending.detachment;
      if (containerId !== attachment.containerId || interfaceName !== attachment.interfaceName) continue;
      await this.#finish(key, pending);
    }
  }

  /** Where the machine has no watches left, what the plugin leaves is found with the next ADD, or by the next agent. */
  #watch(): FSWatcher | undefined {
    const warn = (error: unknown) =>
      this.#log.warn('not told of new detachments', { reason: error instanceof Error ? error.message : String(error) });
    try {
      return watch(this.#directory, () => this.#take()).on('error', warn);
    } catch (error) {
      warn(error);
      return undefined;
    }
  }

  /** Reads files that are new. */
  #take(): void {
    const known = new Set([...this.#pending.values()].flatMap(({ files }) => files));
    for (const name of this.#files()) {
      if (known.has(name)) continue;
      const detachment = readDetachment(join(this.#directory, name));
      if (detachment !== undefined) this.#note(detachment, [name]);
      else {
        this.#log.warn('not a detachment, removed', { file: join(this.#directory, name) });
        rmSync(join(this.#directory, name), { force: true });
      }
    }
    if (this.#pending.size > 0) this.#wake();
  }

  #files(): string[] {
    try {
      return readdirSync(this.#directory)
        .filter((name) => name.endsWith(ENDING))
        .sort();
    } catch (error) {
      this.#log.warn('detachments cannot be read', { reason: error instanceof Error ? error.message : String(error) });
      return [];
    }
  }

  #note(detachment: Detachment, files: readonly string[]): void {
    const { containerId, interfaceName, networkName } = detachment;
    const key = `${networkName} ${containerId} ${interfaceName}`;
    const before = this.#pending.get(key)?.files ?? [];
    this.#pending.set(key, { detachment, files: [...before, ...files] });
  }

  #wake(): void {
    if (this.#closed || this.#timer !== undefined || this.#working !== undefined) return;
    const waitMs = this.#failures === 0 ? 0 : backoffMs(RETRY, this.#failures, this.#random);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#working = this.#work().finally(() => {
        this.#working = undefined;
        if (this.#pending.size > 0) this.#wake();
      });
    }, waitMs);
  }

  async #work(): Promise<void> {
    try {
      for (const [key, pending] of [...this.#pending]) {
        if (this.#closed) return;
        await this.#finish(key, pending);
      }
      this.#failures = 0;
    } catch (error) {
      if (!isStoreTrouble(error)) this.#log.warn('a detachment fails again', { reason: String(error) });
      this.#failures += 1;
    }
  }

  async #finish(key: string, pending: Pending): Promise<void> {
    await this.#detach(pending.detachment);
    for (const name of pending.files) rmSync(join(this.#directory, name), { force: true });
    // Who asked again meanwhile has a file of its own.
    if (this.#pending.get(key) === pending) this.#pending.delete(key);
  }
}

function readDetachment(path: string): Detachment | undefined {
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(path);
  } catch {
    return undefined;
  }
  const state = new RequestFrameDecoder().push(bytes);
  if (state.kind !== 'complete') return undefined;
  const parsed = parseRequest(state.frame);
  if (!parsed.ok || parsed.request.command !== 'DEL') return undefined;
  const { containerId, interfaceName, networkName } = parsed.request;
  return { containerId, interfaceName, networkName };
}
