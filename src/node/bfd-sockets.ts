/**
 * The shell of BFD: sockets, clock and timer around the machine in src/bfd, as it runs in a thread of its own.
 *
 *      commands ──► machine ──► open, send, close ──► sockets
 *      sockets, timer ──► machine ──► state, down ──► reports
 *
 * A loaded machine must not make a living peer look dead: before time is believed to have passed, every packet that waits is
 * read, with calls that do not wait. What cannot be opened or sent is reported once and tried again; the session is Down
 * meanwhile, which holds nobody back. Called by bfd-worker.ts.
 */

import type { BfdMachine } from '../bfd/bfd.ts';
import { createBfd } from '../bfd/bfd.ts';
import type { BfdEvent, BfdOutput, BfdPeer, BfdView } from '../bfd/contract.ts';
import type { BfdReceiver, BfdSender } from '../kernel/bfd-socket.ts';
import { openBfdReceiver, openBfdSender } from '../kernel/bfd-socket.ts';
import { TTL_MAX } from '../kernel/ip-socket.ts';
import { KernelError } from '../kernel/kernel.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Family } from '../net/ip.ts';

export type BfdCommand = Extract<BfdEvent, { readonly kind: 'watch' | 'unwatch' }> | { readonly kind: 'stop' };

export type BfdReport =
  | (Extract<BfdOutput, { readonly kind: 'state' }> & { readonly view: BfdView | undefined })
  | Extract<BfdOutput, { readonly kind: 'down' | 'close' }>
  /** All sessions, once a second, for their counts. */
  | { readonly kind: 'views'; readonly views: readonly BfdView[] }
  /** A socket could not be opened, or a packet not be sent; undefined: it works again. */
  | { readonly kind: 'trouble'; readonly where: string; readonly message: string | undefined };

/** RFC 5881 section 4, RFC 5883 section 5. */
const SINGLE_HOP_PORT = 3784;
const MULTIHOP_PORT = 4784;
const SOURCE_PORTS = { first: 49_152, last: 65_535 };
/**
 * RFC 5883 leaves the bound to us: 15 routers, more than are on any path inside of a data centre, for a peer that begins
 * with 64, as BIRD does. It proves little: across routers, who can send with the peer's address is believed.
 */
const MULTIHOP_TTL_MIN = 64 - 15;
/** Of 16,384 ports most are free; when so many at random are not, something is wrong. */
const PORT_ATTEMPTS = 64;
/** Read from one socket before time goes on: a flood must not stop our own packets. */
const PACKETS_PER_TURN = 4_096;
const VIEWS_MS = 1_000;
/** How soon a port that another process holds is tried again. */
const REOPEN_MS = 5_000;
/** The longest wait that setTimeout takes. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;

export interface BfdSockets {
  /** Does what is asked; nothing more happens after `stop`. */
  obey(command: BfdCommand): void;
}

/** Sockets are opened with the first peer, in the namespace that the thread is in. */
export function startBfdSockets(report: (report: BfdReport) => void): BfdSockets {
  return new Shell(report);
}

/** A session's sender: its source port stays the same when its socket must be opened again. */
interface Sending {
  readonly peer: BfdPeer;
  sourcePort: number | undefined;
  sender: BfdSender | undefined;
}

interface Receiving {
  readonly family: Family;
  readonly multihop: boolean;
  receiver: BfdReceiver | undefined;
}

class Shell implements BfdSockets {
  readonly #report: (report: BfdReport) => void;
  readonly #bfd: BfdMachine = createBfd({ random: Math.random });
  readonly #sending = new Map<string, Sending>();
  readonly #receiving = new Map<string, Receiving>();
  readonly #troubles = new Map<string, string>();
  #timer: NodeJS.Timeout | undefined;
  #reopen: NodeJS.Timeout | undefined;
  readonly #views: NodeJS.Timeout;

  constructor(report: (report: BfdReport) => void) {
    this.#report = report;
    this.#views = setInterval(() => report({ kind: 'views', views: this.#bfd.views(monotonicNow()) }), VIEWS_MS);
  }

  obey(command: BfdCommand): void {
    if (command.kind === 'stop') {
      this.#submit({ kind: 'shutdown' });
      this.#close();
      return;
    }
    if (command.kind === 'watch') this.#listenFor(command.peer);
    this.#submit(command);
    this.#setTimer();
  }

  #close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#reopen);
    clearInterval(this.#views);
    for (const { receiver } of this.#receiving.values()) receiver?.close();
  }

  #submit(event: BfdEvent): void {
    const now = monotonicNow();
    for (const output of this.#bfd.handle(now, event)) {
      switch (output.kind) {
        case 'open':
          this.#sending.set(output.peer.name, { peer: output.peer, sourcePort: undefined, sender: undefined });
          break;
        case 'send':
          this.#send(output.name, output.bytes);
          break;
        case 'close':
          this.#sending.get(output.name)?.sender?.close();
          this.#sending.delete(output.name);
          this.#troubles.delete(output.name);
          this.#report(output);
          break;
        case 'state':
          this.#report({ ...output, view: this.#bfd.view(now, output.name) });
          break;
        case 'down':
          this.#report(output);
          break;
      }
    }
  }

  #setTimer(): void {
    clearTimeout(this.#timer);
    const next = this.#bfd.nextTimer();
    if (next === undefined) return;
    const delay = Math.min(Math.max(Math.ceil(next - monotonicNow()), 0), TIMEOUT_MS_MAX);
    this.#timer = setTimeout(() => {
      for (const receiving of this.#receiving.values()) this.#read(receiving);
      this.#submit({ kind: 'tick' });
      this.#setTimer();
    }, delay);
  }

  #listenFor({ address, multihop }: BfdPeer): void {
    const where = `IPv${address.family} port ${multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT}`;
    if (this.#receiving.has(where)) return;
    this.#receiving.set(where, { family: address.family, multihop, receiver: undefined });
    this.#openReceivers();
  }

  /** Opens the receivers that are not open; tries again later where that fails. */
  #openReceivers(): void {
    clearTimeout(this.#reopen);
    for (const [where, receiving] of this.#receiving) {
      if (receiving.receiver !== undefined) continue;
      const { family, multihop } = receiving;
      const port = multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
      const onReadable = (): void => {
        this.#read(receiving);
        this.#setTimer();
      };
      this.#settle(
        where,
        troubleOf(() => {
          const ttlMin = multihop ? MULTIHOP_TTL_MIN : TTL_MAX;
          receiving.receiver = openBfdReceiver({ family, port, ttlMin }, onReadable);
        }),
      );
      if (receiving.receiver === undefined) this.#reopen = setTimeout(() => this.#openReceivers(), REOPEN_MS);
    }
  }

  #read({ receiver, multihop }: Receiving): void {
    for (let count = 0; count < PACKETS_PER_TURN; count++) {
      const datagram = receiver?.receive();
      if (datagram === undefined) return;
      this.#submit({ kind: 'packet', ...datagram, multihop });
    }
  }

  #send(name: string, bytes: Uint8Array): void {
    const sending = this.#sending.get(name);
    if (sending === undefined) return;
    const trouble = troubleOf(() => {
      sending.sender ??= this.#openSender(sending);
      sending.sender.send(bytes);
    });
    this.#settle(name, trouble);
    if (trouble === undefined) return;
    // Its device or address may have gone and come back, which an open socket does not notice.
    sending.sender?.close();
    sending.sender = undefined;
  }

  /** RFC 5881 section 4: the source port is in the dynamic range, and no other session has it. */
  #openSender(sending: Sending): BfdSender {
    const { address, localAddress, device, multihop } = sending.peer;
    const port = multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
    for (let attempt = 1; ; attempt++) {
      const sourcePort = sending.sourcePort ?? this.#freePort();
      try {
        const sender = openBfdSender({ localAddress, sourcePort, address, port, device });
        sending.sourcePort = sourcePort;
        return sender;
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'EADDRINUSE' || attempt === PORT_ATTEMPTS) throw error;
        sending.sourcePort = undefined;
      }
    }
  }

  #freePort(): number {
    const { first, last } = SOURCE_PORTS;
    const taken = new Set(Array.from(this.#sending.values(), ({ sourcePort }) => sourcePort));
    for (let attempt = 1; ; attempt++) {
      const port = first + Math.floor(Math.random() * (last - first + 1));
      if (!taken.has(port) || attempt === PORT_ATTEMPTS) return port;
    }
  }

  /** Reports a trouble when it begins, when it becomes another one, and when it ends. */
  #settle(where: string, message: string | undefined): void {
    if (this.#troubles.get(where) === message) return;
    if (message === undefined) this.#troubles.delete(where);
    else this.#troubles.set(where, message);
    this.#report({ kind: 'trouble', where, message });
  }
}

/** What the world had against `work`; undefined when it was done. */
function troubleOf(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof KernelError) return error.message;
    throw error;
  }
}
