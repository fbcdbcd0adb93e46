/**
 * BFD for BGP: watches the paths to peers, and says when one is dead (RFC 5882).
 *
 *      watch, unwatch ──► thread (bfd-worker.ts) ──► down ──► onDown
 *
 * The sessions live in a thread of their own, started with the first of them; this file knows whom to watch and what was
 * last seen. A session that was never Up says nothing, and a peer that ends BFD (AdminDown) neither, so BFD alone never
 * keeps BGP from working. Called by bgp.ts.
 */
import { once } from 'node:events';
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { BfdPeer, BfdView } from '../bfd/contract.ts';
import type { PeerName } from '../bgp/contract.ts';
import { peerName } from '../bgp/contract.ts';
import type { PeerConfig } from '../bgp/peer-config.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Ip } from '../net/ip.ts';
import type { BfdCommand, BfdReport } from './bfd-sockets.ts';

export interface BfdOptions {
  readonly log: Log;
  /** Packets no longer get to a peer that is watched, though they did. */
  readonly onDown: (peer: PeerName, reason: string) => void;
}

export interface Bfd {
  /** Watches the path from our address to the peer, at the pace of its `bfd`; without one as `unwatch`. */
  watch(peer: PeerConfig, localAddress: Ip): void;
  unwatch(peer: PeerName): void;
  /** What was seen last, at most about a second ago. */
  sessions(): BfdView[];
  /** Tells all peers that our silence will mean nothing. */
  close(): Promise<void>;
}

/** Nothing is opened before the first `watch`, whose calling thread's network namespace is the one that is used. */
export function startBfd(options: BfdOptions): Bfd {
  return new Watcher(options);
}

/** What the thread makes it forgets at once; with V8's default it would touch 3 MB more, and never give them back. */
const YOUNG_SPACE_MB = 1;
/** How long the thread may take to say goodbye to all peers. */
const CLOSE_MS = 2_000;

interface Seen {
  readonly view: BfdView;
  readonly at: number;
}

class Watcher implements Bfd {
  readonly #log: Log;
  readonly #onDown: BfdOptions['onDown'];
  readonly #watched = new Set<PeerName>();
  readonly #seen = new Map<string, Seen>();
  #worker: Worker | undefined;

  constructor({ log, onDown }: BfdOptions) {
    this.#log = log;
    this.#onDown = onDown;
  }

  watch(peer: PeerConfig, localAddress: Ip): void {
    const name = peerName(peer);
    if (peer.bfd === undefined) {
      this.unwatch(name);
      return;
    }
    const { address, device } = peer;
    this.#watched.add(name);
    this.#tell({ kind: 'watch', peer: { name, address, localAddress, device, ...peer.bfd } satisfies BfdPeer });
  }

  unwatch(peer: PeerName): void {
    if (this.#watched.delete(peer)) this.#tell({ kind: 'unwatch', name: peer });
  }

  sessions(): BfdView[] {
    const now = monotonicNow();
    return Array.from(this.#seen.values(), ({ view, at }) => ({ ...view, forMs: view.forMs + now - at }));
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    if (worker === undefined) return;
    this.#worker = undefined;
    this.#watched.clear();
    const ended = once(worker, 'exit');
    worker.postMessage({ kind: 'stop' } satisfies BfdCommand);
    const timeout = setTimeout(() => void worker.terminate(), CLOSE_MS);
    await ended;
    clearTimeout(timeout);
  }

  #tell(command: BfdCommand): void {
    this.#worker ??= this.#start();
    this.#worker.postMessage(command);
  }

  #start(): Worker {
    // Beside this file, as source or, in the bundle, as JavaScript.
    const file = new URL(`./bfd-worker${extname(import.meta.filename)}`, import.meta.url);
    // Its sockets are file descriptors from libc, of which Node knows only that it is asked to close them.
    const worker = new Worker(file, {
      name: 'bfd',
      trackUnmanagedFds: false,
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_SPACE_MB },
    });
    // Nobody listens to its 'error': what is thrown in the thread is a bug of ours, and ends the process as here.
    worker.on('message', (report: BfdReport) => this.#hear(report));
    return worker;
  }

  #hear(report: BfdReport): void {
    switch (report.kind) {
      case 'state': {
        const { name, from, to, reason, view } = report;
        this.#log.info('BFD session', { peer: name, from, to, reason });
        if (view !== undefined) this.#seen.set(name, { view, at: monotonicNow() });
        return;
      }
      case 'down':
        // It may have crossed our unwatch; the name is one that we have given.
        for (const peer of this.#watched) if (peer === report.name) this.#onDown(peer, report.reason);
        return;
      case 'close':
        this.#seen.delete(report.name);
        return;
      case 'views': {
        const at = monotonicNow();
        this.#seen.clear();
        for (const view of report.views) this.#seen.set(view.peer, { view, at });
        return;
      }
      case 'trouble':
        if (report.message === undefined) this.#log.info('BFD works again', { where: report.where });
        else this.#log.warn('BFD has trouble', { where: report.where, error: report.message });
        return;
    }
  }
}
