/**
 * One TCP connection to a peer: what is written, how fast it is read, how it ends.
 *
 * Writing. What the speaker sends in one turn is kept and written at its end by `flush`, as one system call, without
 * copying: 500 peers get the same few buffers. A peer that does not read makes the connection blocked, which the speaker is
 * told so that it sends no more; one for which far more waits all the same is given up.
 * Reading. All connections read into one buffer, since the speaker copies what it keeps. When peers send faster than the speaker
 * obeys, reading goes on only in the next turn of the event loop, so that timers and work have their turns between.
 * Ending. `close` lets what was written go out, so that the last NOTIFICATION is not lost to a reset; the peer has a moment
 * to read it.
 */
import { closeSync } from 'node:fs';
import type { OnReadOpts } from 'node:net';
import { Socket } from 'node:net';
import type { ConnectionId } from '../../bgp/contract.ts';
import type { PeerConfig } from '../../bgp/peer-config.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { AcceptedTcp, Protection } from '../../kernel/tcp-socket.ts';
import { dialTcp, localAddressOf, setPassword, setTtlSecurity } from '../../kernel/tcp-socket.ts';
import { monotonicNow } from '../../lib/clock.ts';
import { hostPrefix } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';

/** The kernel holds some megabytes more. A peer this far behind is served again when it has read all of it. */
export const BLOCKED_BYTES = 256 * 1024;
/** Beyond what a turn may add to a blocked connection; more means that somebody does not heed `blocked`. */
export const GIVEN_UP_BYTES = 64 * 1024 * 1024;
/** How long the peer has to read our last message before the connection goes for good. */
const DRAIN_MS = 2_000;
/** As much as the speaker obeys in a few milliseconds. */
const READ_BYTES = 32 * 1024;
/** How long one turn of the event loop reads before timers and work have theirs. */
const READING_MS = 8;

const readBuffer = new Uint8Array(READ_BYTES);

/** What the transport is told. None of it happens before the maker has returned. */
export interface ConnectionListener {
  connected(connection: BgpConnection, localAddress: Ip): void;
  /** A view that is valid during the call. */
  received(connection: BgpConnection, bytes: Uint8Array): void;
  blocked(connection: BgpConnection): void;
  drained(connection: BgpConnection): void;
  /** Not called after `close` or `destroy`. */
  lost(connection: BgpConnection, reason: string, wasConnected: boolean): void;
}

/** When the reading of this turn began; shared by all connections of the process, as the event loop is. */
const reading: { since: number | undefined; readonly paused: Socket[] } = { since: undefined, paused: [] };

function endReading(): void {
  reading.since = undefined;
  for (const socket of reading.paused.splice(0)) socket.resume();
}

/** Whether there is time to read more in this turn. */
function mayReadOn(): boolean {
  if (reading.since !== undefined) return monotonicNow() - reading.since < READING_MS;
  reading.since = monotonicNow();
  setImmediate(endReading);
  return true;
}

/** Takes over a connection that somebody else began. */
export function adoptConnection(
  id: ConnectionId,
  { fd, peerAddress, device }: AcceptedTcp,
  protection: Protection,
  listener: ConnectionListener,
): BgpConnection {
  return new BgpConnection({ id, fd, peer: { address: peerAddress, device }, protection, listener });
}

/** Begins a connection; says `connected` or `lost` later. Throws KernelError when the socket cannot be made. */
export function dialConnection(id: ConnectionId, peer: PeerConfig, listener: ConnectionListener): BgpConnection {
  const fd = dialTcp(peer.address, { ...peer, source: peer.sourceAddress });
  return new BgpConnection({ id, fd, peer, protection: peer, listener, port: peer.port });
}

interface ConnectionParts {
  readonly id: ConnectionId;
  readonly fd: number;
  readonly peer: { readonly address: Ip; readonly device: string | undefined };
  readonly protection: Protection;
  readonly listener: ConnectionListener;
  /** Where to connect to; absent on a connection that is up. */
  readonly port?: number;
}

export class BgpConnection {
  readonly id: ConnectionId;
  readonly peer: { readonly address: Ip; readonly device: string | undefined };
  readonly #fd: number;
  readonly #listener: ConnectionListener;
  readonly #socket: Socket;
  /** Sent in this turn and not yet written. */
  readonly #queue: Uint8Array[] = [];
  #protection: Protection;
  #isConnected: boolean;
  #isBlocked = false;
  /** The speaker does not want to hear of it any more. */
  #isOver = false;

  constructor({ id, fd, peer, protection, listener, port }: ConnectionParts) {
    this.id = id;
    this.peer = peer;
    this.#fd = fd;
    this.#listener = listener;
    this.#protection = protection;
    this.#isConnected = port === undefined;
    const onread: OnReadOpts = { buffer: readBuffer, callback: (length) => this.#read(length) };
    // `drain` is said when all has been written after this much had waited.
    const options = { fd, readable: true, writable: true, writableHighWaterMark: BLOCKED_BYTES, onread };
    this.#socket = closingOnError(fd, () => new Socket(options));
    this.#listen();
    if (port !== undefined) this.#connect(port);
  }

  /** Keeps the bytes until `flush`; true when they are the first of this turn. */
  send(bytes: Uint8Array): boolean {
    return this.#queue.push(bytes) === 1;
  }

  /** Writes what was sent in this turn. */
  flush(): void {
    const queue = this.#queue;
    const socket = this.#socket;
    const [first] = queue;
    if (first === undefined) return;
    if (queue.length === 1) socket.write(first);
    else {
      socket.cork();
      for (const bytes of queue) socket.write(bytes);
      socket.uncork();
    }
    queue.length = 0;
    const waiting = socket.writableLength;
    if (waiting < BLOCKED_BYTES || this.#isOver) return;
    if (waiting > GIVEN_UP_BYTES) this.#lose(`the peer does not read: more than ${GIVEN_UP_BYTES} bytes wait for it`);
    else if (!this.#isBlocked) {
      this.#isBlocked = true;
      this.#listener.blocked(this);
    }
  }

  /** Lets what was sent go out, then closes; bytes that still come are read and dropped. Says when it is gone. */
  close(onGone: () => void): void {
    const socket = this.#socket;
    this.#isOver = true;
    this.flush();
    const timeout = setTimeout(() => socket.destroy(), DRAIN_MS);
    socket.once('close', () => {
      clearTimeout(timeout);
      onGone();
    });
    if (this.#isConnected) socket.end();
    else socket.destroy();
  }

  destroy(): void {
    this.#isOver = true;
    this.#socket.destroy();
  }

  /** Whether bytes can be sent to the peer. */
  get isConnected(): boolean {
    return this.#isConnected;
  }

  /** Changes key and hop limit of the connection that is up. Throws KernelError. */
  protect(protection: Protection): void {
    const { password, ttlSecurityHops } = this.#protection;
    if (this.#socket.destroyed) return;
    this.#protection = protection;
    if (protection.password !== password) setPassword(this.#fd, hostPrefix(this.peer.address), protection.password);
    if (protection.ttlSecurityHops !== ttlSecurityHops) {
      setTtlSecurity(this.#fd, this.peer.address.family, protection.ttlSecurityHops);
    }
  }

  #listen(): void {
    const socket = this.#socket;
    socket.once('end', () => this.#lose('the peer has closed the connection'));
    socket.on('error', (error: NodeJS.ErrnoException) => this.#lose(error.code ?? error.message));
    socket.once('close', () => this.#lose('the connection was closed'));
    socket.on('drain', () => {
      if (!this.#isBlocked || this.#isOver) return;
      this.#isBlocked = false;
      this.#listener.drained(this);
    });
  }

  #connect(port: number): void {
    const { address, device } = this.peer;
    const host = device === undefined || address.family === 4 ? formatIp(address) : `${formatIp(address)}%${device}`;
    this.#socket.connect({ host, port }, () => {
      const localAddress = this.#isOver ? undefined : localAddressOf(this.#fd);
      if (localAddress === undefined) return;
      this.#isConnected = true;
      this.#listener.connected(this, localAddress);
    });
  }

  /** False when reading is to go on in the next turn. */
  #read(length: number): boolean {
    const goesOn = mayReadOn();
    if (!goesOn) reading.paused.push(this.#socket);
    if (!this.#isOver) this.#listener.received(this, readBuffer.subarray(0, length));
    return goesOn;
  }

  #lose(reason: string): void {
    if (this.#isOver) return;
    this.destroy();
    this.#listener.lost(this, reason, this.#isConnected);
  }
}

function closingOnError<Result>(fd: number, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    closeSync(fd);
    if (error instanceof Error && 'code' in error) throw new KernelError(String(error.code), error.message);
    throw error;
  }
}
