/**
 * Tells when somebody else has changed a table of nftables in one network namespace.
 *
 * The kernel tells of every transaction to whoever listens, and does not say by whose will a process made it. So
 * our own are known by the ruleset's generation: each transaction raises it by one. If it has risen by exactly one
 * while we ran one, and everything before had been read, then what lies in the socket is our own and is thrown away unread,
 * however much it is, and if it did not fit as well. In any other case it is read like all else, and may well
 * be taken for somebody else's: a reading too many does no harm.
 *
 *   read what others did ─► generation n ─► our transaction ─► generation n+1 ─► throw away ─► still n+1?
 *
 * Events that were lost may have been anything: then it is told, too. Called by node/filter/nftables-backend.ts.
 */
import { closeSync } from 'node:fs';
import { KernelError } from './kernel.ts';
import type { NetlinkMessage } from './netlink/message.ts';
import { decodeGeneration, encodeGenerationGet, isAboutTable, nextGeneration } from './netlink/nftables.ts';
import {
  type ControlSocket,
  joinGroup,
  NETLINK_PROTOCOL,
  NetlinkReceiver,
  openControlSocket,
  openNetlinkSocket,
} from './netlink-socket.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';
import {
  type Poll,
  pollReadable,
  receive,
  SO_RCVBUFFORCE,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  setSocketNumber,
} from './system-calls.ts';

const NFNLGRP_NFTABLES = 7;
/** Some ten thousand rules or members of others, while the event loop is busy. */
const RECEIVE_BUFFER_BYTES = 8 * 1024 * 1024;
/** Datagrams that are read in one turn of the event loop, so that a storm leaves room for other work. */
const READS_PER_TURN = 512;

export interface NftEvents {
  /** Runs what changes the table by our will, in at most one transaction; others' changes are still told. */
  own<Result>(run: () => Result): Result;
  /** Whether all transactions until now are known, so that what was not told did not happen. */
  isComplete(): boolean;
  /** Passes over what has happened until now, for one who is about to read the table anyway. */
  forget(): void;
  close(): void;
}

/**
 * Watches the table `inet NAME` of the namespace at a path, or of the thread's own. `onForeignChange` is told who it was, as far as
 * is known: "nft (process 4711)". Throws KernelError.
 */
export function openNftEvents(
  namespacePath: string | undefined,
  tableName: string,
  onForeignChange: (by: string) => void,
): NftEvents {
  const namespace = openNamespace(namespacePath);
  const opened: number[] = [];
  let control: ControlSocket | undefined;
  try {
    const name = namespacePath ?? "the thread's network namespace";
    return inOpenNamespace(namespace, name, () => {
      const fd = openNetlinkSocket(NETLINK_PROTOCOL.netfilter, SOCK_NONBLOCK);
      opened.push(fd);
      setSocketNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES);
      joinGroup(fd, NFNLGRP_NFTABLES);
      control = openControlSocket(NETLINK_PROTOCOL.netfilter);
      return new TableWatch(fd, control, tableName, onForeignChange);
    });
  } catch (error) {
    for (const fd of opened) closeSync(fd);
    control?.close();
    throw error;
  } finally {
    closeSync(namespace);
  }
}

class TableWatch implements NftEvents {
  readonly #fd: number;
  readonly #control: ControlSocket;
  readonly #tableName: string;
  readonly #onForeignChange: (by: string) => void;
  readonly #receiver: NetlinkReceiver;
  readonly #poll: Poll;
  /** Everything up to this generation has been read. */
  #seen: number;
  /** A transaction that is being read has changed the table. */
  #touched = false;
  #open = true;

  constructor(fd: number, control: ControlSocket, tableName: string, onForeignChange: (by: string) => void) {
    this.#fd = fd;
    this.#control = control;
    this.#tableName = tableName;
    this.#onForeignChange = onForeignChange;
    this.#receiver = new NetlinkReceiver(fd);
    this.#seen = this.#generation();
    this.#poll = pollReadable(fd, () => this.#read(READS_PER_TURN));
  }

  own<Result>(run: () => Result): Result {
    this.#read(Number.POSITIVE_INFINITY);
    const before = this.#generation();
    const allRead = this.#seen === before;
    try {
      return run();
    } finally {
      const after = this.#generation();
      if (allRead && after === nextGeneration(before)) {
        this.#throwAway();
        this.#seen = after;
        // A transaction that came meanwhile may have been thrown away with ours.
        if (this.#generation() !== after) this.#tell('somebody');
      }
    }
  }

  isComplete(): boolean {
    this.#read(Number.POSITIVE_INFINITY);
    return this.#seen === this.#generation();
  }

  forget(): void {
    const before = this.#generation();
    this.#throwAway();
    this.#seen = before;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#poll.close();
    closeSync(this.#fd);
    this.#control.close();
  }

  #tell(by: string): void {
    if (this.#open) this.#onForeignChange(by);
  }

  /** Reads so many datagrams, or all there are. */
  #read(datagramsMax: number): void {
    for (let count = 0; this.#open && count < datagramsMax; count++) {
      const messages = this.#receive();
      if (messages === undefined) return;
      for (const message of messages) this.#judge(message);
    }
  }

  #judge(message: NetlinkMessage): void {
    this.#touched ||= isAboutTable(message, this.#tableName);
    const generation = decodeGeneration(message);
    if (generation === undefined) return;
    this.#seen = generation.id;
    if (this.#touched) this.#tell(generation.by);
    this.#touched = false;
  }

  /** The next datagram's messages; undefined when none waits. */
  #receive(): readonly NetlinkMessage[] | undefined {
    try {
      return this.#receiver.receive();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (error.code === 'EAGAIN') return undefined;
      if (error.code !== 'ENOBUFS' && error.code !== 'EBADMSG') throw error;
      // The kernel drops events until the buffer has been read empty.
      this.forget();
      this.#tell('somebody, in more events than could be read');
      return undefined;
    }
  }

  #throwAway(): void {
    const first = new Uint8Array(1);
    for (;;) {
      try {
        receive(this.#fd, first, 0);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        if (error.code === 'EAGAIN') break;
        if (error.code !== 'ENOBUFS') throw error;
      }
    }
    this.#touched = false;
    // libuv has stopped watching a socket that reported an error.
    this.#poll.restart();
  }

  #generation(): number {
    const [answer] = this.#control.request(encodeGenerationGet());
    const generation = answer === undefined ? undefined : decodeGeneration(answer);
    if (generation === undefined) throw new KernelError('EPROTO', 'the kernel did not tell the generation of nftables');
    return generation.id;
  }
}
