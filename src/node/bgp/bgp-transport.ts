/**
 * The speaker's shell: its sockets and its clock.
 *
 *      sockets ──► events ──► speaker.handle() ──► connect, send, close ──► sockets
 *                    ▲              │
 *        clock, submit()            └─► best, session, bfd, monitor, … ──► onOutput
 *
 * It decides nothing about BGP. Events are obeyed one after another, also those that onOutput submits while one is being
 * obeyed; what they send is written when all of them have been. From the `configure` event that passes through, the
 * transport learns the peers' keys and hop limits, and sets them before the speaker sees it: then no peer is dialled
 * without its key. Connections that outlive the event get the new key, too, so that a session survives a change of password
 * which both ends make within the hold time.
 *
 * bgp-listeners.ts, bgp-connection.ts and bgp-clock.ts are its parts.
 */
import type { ConnectionId, SpeakerEvent, SpeakerOutput } from '../../bgp/contract.ts';
import { connectionId, peerName } from '../../bgp/contract.ts';
import type { PeerConfig, SpeakerConfig } from '../../bgp/peer-config.ts';
import { bgpError, shutdownData } from '../../bgp/wire/errors.ts';
import { encodeNotification } from '../../bgp/wire/message.ts';
import { KernelError } from '../../kernel/kernel.ts';
import type { AcceptedTcp } from '../../kernel/tcp-socket.ts';
import type { Instant } from '../../lib/clock.ts';
import { monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { BgpClock } from './bgp-clock.ts';
import type { BgpConnection, ConnectionListener } from './bgp-connection.ts';
import { adoptConnection, dialConnection } from './bgp-connection.ts';
import type { ListenOn } from './bgp-listeners.ts';
import { BgpListeners } from './bgp-listeners.ts';
import { NO_PEERS, peerSecurity } from './bgp-peer-security.ts';

/** What the transport needs of a speaker. */
export interface SpeakerMachine {
  handle(now: Instant, event: SpeakerEvent): readonly SpeakerOutput[];
  /** When it wants a `tick`. */
  nextTimer(): Instant | undefined;
  /** Whether it wants `work`. */
  hasWork(): boolean;
}

/** Outputs that are not about sockets. */
export type SpeakerReport = Exclude<SpeakerOutput, { readonly kind: 'connect' | 'send' | 'close' }>;

export interface BgpTransportOptions {
  readonly speaker: SpeakerMachine;
  readonly listen: ListenOn;
  /** Gets a line for each change of a session and each notice; routes are not logged. */
  readonly log: Log;
  readonly onOutput: (report: SpeakerReport) => void;
}

export interface BgpTransport {
  /** Hands an event to the speaker and does what follows. */
  submit(event: SpeakerEvent): void;
  /**
   * Listens there and nowhere else from now on; connections that are up are not touched. Throws BgpListenError, and then
   * listens where it did before.
   */
  relisten(listen: ListenOn): void;
  /**
   * Closes everything. Without a NOTIFICATION peers keep our routes and wait for us (graceful restart), which is what a
   * stop for an upgrade wants; with one they drop them.
   */
  close(options: { readonly sendNotification: boolean }): Promise<void>;
}

/** Opens the listening sockets and sets the speaker going. Rejects with BgpListenError. */
export async function startBgpTransport(options: BgpTransportOptions): Promise<BgpTransport> {
  const transport = new Transport(options);
  transport.relisten(options.listen);
  return transport;
}

class Transport implements BgpTransport, ConnectionListener {
  readonly #options: BgpTransportOptions;
  readonly #listeners: BgpListeners;
  readonly #clock: BgpClock;
  readonly #connections = new Map<ConnectionId, BgpConnection>();
  /** Closed by the speaker, but the peer has not read all yet. */
  readonly #draining = new Set<Promise<void>>();
  readonly #events: SpeakerEvent[] = [];
  /** Connections to which something was sent in this turn. */
  readonly #unwritten: BgpConnection[] = [];
  #security = NO_PEERS;
  #isObeying = false;
  #isClosed = false;
  #lastAccepted = -1;

  constructor(options: BgpTransportOptions) {
    this.#options = options;
    this.#listeners = new BgpListeners(options.log, (accepted) => this.#accept(accepted));
    this.#clock = new BgpClock(
      () => this.submit({ kind: 'tick' }),
      () => this.submit({ kind: 'work' }),
    );
  }

  submit(event: SpeakerEvent): void {
    if (this.#isClosed) return;
    this.#events.push(event);
    if (this.#isObeying) return;
    this.#isObeying = true;
    try {
      do {
        for (let next = this.#events.shift(); next !== undefined; next = this.#events.shift()) this.#handle(next);
        for (const connection of this.#unwritten) connection.flush();
        this.#unwritten.length = 0;
      } while (this.#events.length > 0); // writing has shown that a connection is blocked or lost
    } finally {
      this.#isObeying = false;
    }
    if (this.#isClosed) return;
    const { speaker } = this.#options;
    if (speaker.hasWork()) this.#clock.workSoon();
    this.#clock.tickAt(speaker.nextTimer());
  }

  relisten(listen: ListenOn): void {
    this.#listeners.listen(listen);
  }

  async close({ sendNotification }: { readonly sendNotification: boolean }): Promise<void> {
    this.#isClosed = true;
    this.#clock.stop();
    this.#listeners.close();
    const shutdown = encodeNotification(
      bgpError('administrativeShutdown', '', shutdownData('muslin is being stopped')),
    );
    for (const connection of [...this.#connections.values()]) {
      if (sendNotification && connection.isConnected) {
        connection.send(shutdown);
        this.#close(connection.id);
      } else connection.destroy();
    }
    this.#connections.clear();
    await Promise.all(this.#draining);
  }

  connected({ id }: BgpConnection, localAddress: PeerConfig['address']): void {
    this.submit({ kind: 'connected', connection: id, localAddress });
  }

  received({ id }: BgpConnection, bytes: Uint8Array): void {
    this.submit({ kind: 'received', connection: id, bytes });
  }

  blocked({ id }: BgpConnection): void {
    this.submit({ kind: 'blocked', connection: id });
  }

  drained({ id }: BgpConnection): void {
    this.submit({ kind: 'drained', connection: id });
  }

  lost({ id }: BgpConnection, reason: string, wasConnected: boolean): void {
    this.#connections.delete(id);
    this.submit({ kind: wasConnected ? 'closed' : 'connectFailed', connection: id, reason });
  }

  #handle(event: SpeakerEvent): void {
    if (event.kind === 'configure') this.#learnPeers(event.config);
    for (const output of this.#options.speaker.handle(monotonicNow(), event)) this.#obey(output);
    if (event.kind === 'configure') this.#protectConnections();
  }

  #learnPeers(config: SpeakerConfig): void {
    this.#security = peerSecurity(config);
    this.#listeners.secure(this.#security);
  }

  #protectConnections(): void {
    for (const connection of this.#connections.values()) {
      try {
        connection.protect(this.#security.protectionOf(connection.peer));
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        const peer = peerName(connection.peer);
        this.#options.log.error('the protection of a BGP connection could not be changed', {
          peer,
          error: error.message,
        });
      }
    }
  }

  #obey(output: SpeakerOutput): void {
    const { log, onOutput } = this.#options;
    switch (output.kind) {
      case 'send': {
        const connection = this.#connections.get(output.connection);
        if (connection?.send(output.bytes)) this.#unwritten.push(connection);
        return;
      }
      case 'connect':
        this.#dial(output.connection, output.peer);
        return;
      case 'close':
        this.#close(output.connection);
        return;
      case 'session': {
        const { peer, from, to, reason } = output;
        log.info('BGP session', { peer, from, to, reason });
        break;
      }
      case 'notice':
        log.warn('BGP notice', { peer: output.peer, message: output.message });
        break;
    }
    onOutput(output);
  }

  #accept(accepted: AcceptedTcp): void {
    const { peerAddress, localAddress, device } = accepted;
    this.#lastAccepted += 2;
    const connection = connectionId(this.#lastAccepted);
    const protection = this.#security.protectionOf({ address: peerAddress, device });
    try {
      this.#connections.set(connection, adoptConnection(connection, accepted, protection, this));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#options.log.error('a BGP connection could not be taken over', { error: error.message });
      return;
    }
    this.submit({ kind: 'accepted', connection, peerAddress, localAddress, device });
  }

  #dial(connection: ConnectionId, peer: PeerConfig): void {
    try {
      this.#connections.set(connection, dialConnection(connection, peer, this));
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.submit({ kind: 'connectFailed', connection, reason: error.message });
    }
  }

  #close(id: ConnectionId): void {
    const connection = this.#connections.get(id);
    if (connection === undefined) return;
    this.#connections.delete(id);
    const gone = new Promise<void>((resolve) => connection.close(resolve)).then(() => {
      this.#draining.delete(gone);
    });
    this.#draining.add(gone);
  }
}
