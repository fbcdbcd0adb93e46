/**
 * The speaker's shell: its sockets and its clock.
 *
 *      sockets ──► events ──► speaker.handle() ──► connect, send, close ──► sockets
 *                    ▲              │
 *        timer, submit()            └─► best, session, notice, initialConvergence ──► onOutput
 *
 * It decides nothing about BGP. Events are obeyed one after another, also those that onOutput submits while one is being
 * obeyed. A connection that the speaker closes is half-closed and drained, so that its last NOTIFICATION is not lost to a
 * reset; one whose peer does not read is given up before it fills the memory. The timer's tick waits for one turn of the
 * event loop, so that bytes that lay ready while we were busy are read before a hold timer is believed to have run out.
 */
import type { Server, Socket } from 'node:net';
import { connect, createServer } from 'node:net';
import type { ConnectionId, SpeakerEvent, SpeakerOutput } from '../bgp/contract.ts';
import { connectionId } from '../bgp/contract.ts';
import { bgpError, shutdownData } from '../bgp/errors.ts';
import { encodeNotification } from '../bgp/message.ts';
import type { Speaker } from '../bgp/speaker.ts';
import type { Instant } from '../lib/clock.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp, ip, parseIp, unmapIp } from '../net/ip.ts';

/** Hundreds of hosts dial a reflector that comes back at once; a SYN that finds the queue full waits for seconds. */
const BACKLOG = 4096;
/** Many times a full table of a container network; a peer with more unread is not alive. */
const QUEUED_BYTES_MAX = 16 * 1024 * 1024;
/** How long the peer has to read our last message before the connection goes for good. */
const DRAIN_MS = 2_000;
/** The longest wait that setTimeout takes. */
const TIMEOUT_MS_MAX = 2 ** 31 - 1;
const EVERY_ADDRESS: readonly Ip[] = [ip('0.0.0.0'), ip('::')];

/** Outputs that are not about sockets. */
export type SpeakerReport = Exclude<SpeakerOutput, { readonly kind: 'connect' | 'send' | 'close' }>;

export interface BgpTransportOptions {
  readonly speaker: Speaker;
  /** No addresses: all of this host, of both families. Port 0 lets the kernel choose. */
  readonly listen: { readonly addresses: readonly Ip[]; readonly port: number };
  /** The address from which to dial a peer; undefined leaves it to the kernel. */
  readonly sourceFor: (peer: Ip) => Ip | undefined;
  /** Gets a line for each change of a session and each notice; routes are not logged. */
  readonly log: Log;
  readonly onOutput: (report: SpeakerReport) => void;
}

export interface BgpTransport {
  /** Hands an event to the speaker and does what follows. */
  submit(event: SpeakerEvent): void;
  /**
   * Closes everything. Without a NOTIFICATION peers keep our routes and wait for us (graceful restart), which is what a
   * stop for an upgrade wants; with one they drop them.
   */
  close(options: { readonly sendNotification: boolean }): Promise<void>;
}

/** The world's error: the speaker's port could not be opened. */
export class BgpListenError extends Error {
  override readonly name = 'BgpListenError';
  /** As the system calls it, such as EADDRINUSE. */
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Opens the listening sockets and sets the speaker going. Rejects with BgpListenError. */
export async function startBgpTransport(options: BgpTransportOptions): Promise<BgpTransport> {
  const transport = new Transport(options);
  await transport.listen();
  return transport;
}

class Transport implements BgpTransport {
  readonly #options: BgpTransportOptions;
  readonly #sockets = new Map<ConnectionId, Socket>();
  readonly #draining = new Set<Socket>();
  readonly #servers: Server[] = [];
  readonly #events: SpeakerEvent[] = [];
  #isObeying = false;
  #isClosed = false;
  #lastAccepted = -1;
  #timer: { readonly at: Instant; readonly handle: NodeJS.Timeout } | undefined;

  constructor(options: BgpTransportOptions) {
    this.#options = options;
  }

  async listen(): Promise<void> {
    const { addresses, port } = this.#options.listen;
    try {
      for (const address of addresses.length > 0 ? addresses : EVERY_ADDRESS) await this.#listenOn(address, port);
    } catch (error) {
      await this.close({ sendNotification: false });
      throw error;
    }
  }

  submit(event: SpeakerEvent): void {
    if (this.#isClosed) return;
    this.#events.push(event);
    if (this.#isObeying) return;
    this.#isObeying = true;
    try {
      for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) {
        for (const output of this.#options.speaker.handle(monotonicNow(), next)) this.#obey(output);
      }
    } finally {
      this.#isObeying = false;
    }
    this.#setTimer();
  }

  async close({ sendNotification }: { readonly sendNotification: boolean }): Promise<void> {
    this.#isClosed = true;
    clearTimeout(this.#timer?.handle);
    for (const server of this.#servers) server.close();
    const shutdown = bgpError('administrativeShutdown', '', shutdownData('muslin is being stopped'));
    for (const [connection, socket] of [...this.#sockets]) {
      if (sendNotification && !socket.connecting) {
        socket.write(encodeNotification(shutdown));
        this.#close(connection);
      } else socket.destroy();
    }
    this.#sockets.clear();
    const gone = [...this.#draining].map((socket) => new Promise((resolve) => socket.once('close', resolve)));
    await Promise.all(gone);
  }

  #listenOn(address: Ip, port: number): Promise<void> {
    const { log } = this.#options;
    const server = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    const host = formatIp(address);
    return new Promise((resolve, reject) => {
      server.once('error', (error: NodeJS.ErrnoException) => {
        const code = error.code ?? 'unknown';
        if (host === '::' && this.#options.listen.addresses.length === 0 && NO_IPV6.has(code)) {
          log.warn('this host has no IPv6: BGP listens on IPv4 only', { code });
          resolve();
        } else reject(new BgpListenError(code, listenMessage(host, port, code)));
      });
      server.listen({ host, port, backlog: BACKLOG, ipv6Only: address.family === 6 }, () => {
        server.on('error', (error) => log.error('the BGP listener failed', { address: host, error: error.message }));
        this.#servers.push(server);
        resolve();
      });
    });
  }

  #obey(output: SpeakerOutput): void {
    const { log, onOutput } = this.#options;
    switch (output.kind) {
      case 'connect':
        this.#dial(output.connection, output.address, output.port);
        return;
      case 'send':
        this.#send(output.connection, output.bytes);
        return;
      case 'close':
        this.#close(output.connection);
        return;
      case 'session':
        log.info('BGP session', {
          peer: formatIp(output.peer),
          from: output.from,
          to: output.to,
          reason: output.reason,
        });
        break;
      case 'notice':
        log.warn('BGP notice', { peer: output.peer && formatIp(output.peer), message: output.message });
        break;
    }
    onOutput(output);
  }

  #accept(socket: Socket): void {
    const peerAddress = addressOf(socket.remoteAddress);
    const localAddress = addressOf(socket.localAddress);
    if (this.#isClosed || peerAddress === undefined || localAddress === undefined) {
      socket.destroy(); // it was gone before we saw it
      return;
    }
    this.#lastAccepted += 2;
    const connection = connectionId(this.#lastAccepted);
    this.#adopt(connection, socket);
    this.submit({ kind: 'accepted', connection, peerAddress, localAddress });
  }

  #dial(connection: ConnectionId, address: Ip, port: number): void {
    const source = this.#options.sourceFor(address);
    const socket = connect({
      host: formatIp(address),
      port,
      noDelay: true,
      ...(source !== undefined && { localAddress: formatIp(source) }),
    });
    this.#adopt(connection, socket);
    socket.once('connect', () => {
      const localAddress = addressOf(socket.localAddress);
      if (!this.#sockets.has(connection) || localAddress === undefined) return;
      this.submit({ kind: 'connected', connection, localAddress });
    });
  }

  #adopt(connection: ConnectionId, socket: Socket): void {
    this.#sockets.set(connection, socket);
    let wasConnected = !socket.connecting;
    socket.once('connect', () => {
      wasConnected = true;
    });
    const lost = (reason: string): void => {
      if (this.#sockets.get(connection) !== socket) return; // the speaker has closed it itself
      this.#sockets.delete(connection);
      socket.destroy();
      this.submit({ kind: wasConnected ? 'closed' : 'connectFailed', connection, reason });
    };
    socket.on('data', (bytes) => {
      if (this.#sockets.get(connection) === socket) this.submit({ kind: 'received', connection, bytes });
    });
    socket.once('end', () => lost('the peer has closed the connection'));
    socket.once('error', (error: NodeJS.ErrnoException) => lost(error.code ?? error.message));
    socket.once('close', () => {
      this.#draining.delete(socket);
      lost('the connection was closed');
    });
  }

  #send(connection: ConnectionId, bytes: Uint8Array): void {
    const socket = this.#sockets.get(connection);
    if (socket === undefined) return;
    if (socket.writableLength + bytes.length > QUEUED_BYTES_MAX) {
      this.#sockets.delete(connection);
      socket.destroy();
      const reason = `the peer does not read: more than ${QUEUED_BYTES_MAX} bytes wait for it`;
      this.submit({ kind: 'closed', connection, reason });
      return;
    }
    socket.write(bytes);
  }

  /** Lets what was written go out, then closes; bytes that still come are read and dropped. */
  #close(connection: ConnectionId): void {
    const socket = this.#sockets.get(connection);
    if (socket === undefined) return;
    this.#sockets.delete(connection);
    if (socket.connecting) {
      socket.destroy();
      return;
    }
    this.#draining.add(socket);
    socket.end();
    socket.resume();
    const timeout = setTimeout(() => socket.destroy(), DRAIN_MS);
    socket.once('close', () => clearTimeout(timeout));
  }

  #setTimer(): void {
    const next = this.#options.speaker.nextTimer();
    if (this.#isClosed || next === undefined) return;
    // A timer that rings too early costs an idle tick; setting it anew with each message would cost more.
    if (this.#timer !== undefined && this.#timer.at <= next) return;
    clearTimeout(this.#timer?.handle);
    const delay = Math.min(Math.max(Math.ceil(next - monotonicNow()), 0), TIMEOUT_MS_MAX);
    const ring = (): void => {
      this.#timer = undefined;
      setImmediate(() => this.submit({ kind: 'tick' }));
    };
    this.#timer = { at: next, handle: setTimeout(ring, delay) };
  }
}

const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL']);

function listenMessage(host: string, port: number, code: string): string {
  const place = `cannot listen for BGP on ${host} port ${port}`;
  if (code === 'EADDRINUSE') return `${place}: another process has it (EADDRINUSE); stop it or choose another port`;
  if (code === 'EACCES') return `${place}: not permitted (EACCES); ports below 1024 need root or CAP_NET_BIND_SERVICE`;
  if (code === 'EADDRNOTAVAIL') return `${place}: no device of this host has the address (EADDRNOTAVAIL)`;
  return `${place}: ${code}`;
}

/** A socket's address as a value; undefined when the socket is gone. A zone is left out. */
function addressOf(text: string | undefined): Ip | undefined {
  const address = parseIp((text ?? '').replace(/%.*$/, ''));
  return address === undefined ? undefined : unmapIp(address);
}
