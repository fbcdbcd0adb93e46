/**
 * The sockets on which the speaker is dialled.
 *
 * Addresses and port may change while the speaker runs: what is to be listened on newly is opened first, then the rest is
 * closed, but for what is in its way; if one cannot be opened, nothing has changed. Accepted connections are not touched by it. Each listener has the TCP MD5
 * keys of all peers of its family, set before the speaker knows of the peer and taken away with it. A
 * connection from a peer with TTL security is dropped here if its first packet came from too far away.
 *
 * Connections are accepted in slices, so that thousands which dial at once leave room for reading the first ones.
 */
import { closeSync } from 'node:fs';
import { KernelError } from '../../kernel/kernel.ts';
import type { Poll } from '../../kernel/system-calls.ts';
import { pollReadable } from '../../kernel/system-calls.ts';
import type { AcceptedTcp } from '../../kernel/tcp-socket.ts';
import { acceptTcp, listenTcp, setPassword, setTtlSecurity, synHops } from '../../kernel/tcp-socket.ts';
import type { Log } from '../../lib/log.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, ip, sameIp } from '../../net/ip.ts';
import type { PeerKey, PeerSecurity } from './bgp-peer-security.ts';
import { NO_PEERS } from './bgp-peer-security.ts';

/** Hundreds of hosts dial a reflector that comes back at once; a SYN that finds the queue full waits for seconds. */
const BACKLOG = 4096;
/** About 5 ms of work. */
const ACCEPTS_PER_TURN = 64;
/** How long to leave connections waiting when the process has too many open files. */
const EXHAUSTED_MS = 1_000;
/** What accept() says when there is no room for a connection; it waits and would be told of at once again. */
const EXHAUSTED = new Set(['EMFILE', 'ENFILE', 'ENOBUFS', 'ENOMEM']);
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL']);
const EVERY_ADDRESS: readonly Ip[] = [ip('0.0.0.0'), ip('::')];

/** No addresses: all of this host, of both families. Port 0 lets the kernel choose. */
export interface ListenOn {
  readonly addresses: readonly Ip[];
  readonly port: number;
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

interface Listener {
  readonly fd: number;
  readonly address: Ip;
  readonly port: number;
  /** The keys that the socket has, by prefix. */
  readonly keys: Map<string, PeerKey>;
  poll: Poll | undefined;
}

const isEvery = (address: Ip): boolean => EVERY_ADDRESS.some((every) => sameIp(every, address));
const placeOf = (address: Ip, port: number): string => `${formatIp(address)} ${port}`;

export class BgpListeners {
  readonly #log: Log;
  readonly #onAccepted: (accepted: AcceptedTcp) => void;
  /** By address and port. */
  #listeners = new Map<string, Listener>();
  #security = NO_PEERS;
  #resting: NodeJS.Timeout | undefined;

  constructor(log: Log, onAccepted: (accepted: AcceptedTcp) => void) {
    this.#log = log;
    this.#onAccepted = onAccepted;
  }

  /** Listens there and nowhere else. Throws BgpListenError, and then listens where it did before. */
  listen({ addresses, port }: ListenOn): void {
    const wanted = new Map<string, Listener>();
    const opened: Listener[] = [];
    const places = addresses.length > 0 ? addresses : EVERY_ADDRESS;
    const yielded = this.#makeRoom(places, port);
    try {
      for (const address of places) {
        const place = placeOf(address, port);
        const known = this.#listeners.get(place) ?? wanted.get(place);
        const listener = known ?? this.#open(address, port, addresses.length === 0);
        if (listener === undefined) continue;
        wanted.set(place, listener);
        if (known === undefined) opened.push(listener);
      }
    } catch (error) {
      for (const listener of opened) closeSync(listener.fd);
      this.#reopen(yielded);
      throw error;
    }
    for (const [place, listener] of this.#listeners) if (!wanted.has(place)) this.#close(listener);
    this.#listeners = wanted;
    for (const listener of opened) this.#watch(listener);
  }

  /** Takes over the keys and hop limits of the peers as they are now configured. */
  secure(security: PeerSecurity): void {
    this.#security = security;
    for (const listener of this.#listeners.values()) this.#setKeys(listener);
  }

  close(): void {
    clearTimeout(this.#resting);
    for (const listener of this.#listeners.values()) this.#close(listener);
    this.#listeners.clear();
  }

  /** Closes what listens on every address where now some are wanted, or the other way: the kernel has no room for both. */
  #makeRoom(places: readonly Ip[], port: number): Listener[] {
    const isInTheWay = (old: Listener): boolean =>
      old.port === port &&
      !places.some((address) => sameIp(address, old.address)) &&
      places.some((address) => address.family === old.address.family && (isEvery(address) || isEvery(old.address)));
    const yielded = [...this.#listeners.values()].filter(isInTheWay);
    for (const listener of yielded) {
      this.#close(listener);
      this.#listeners.delete(placeOf(listener.address, port));
    }
    return yielded;
  }

  #reopen(listeners: readonly Listener[]): void {
    for (const { address, port } of listeners) {
      const listener = this.#open(address, port, isEvery(address));
      if (listener === undefined) continue;
      this.#listeners.set(placeOf(address, port), listener);
      this.#watch(listener);
    }
  }

  #open(address: Ip, port: number, isAnyAddress: boolean): Listener | undefined {
    try {
      const listener: Listener = {
        fd: listenTcp(address, port, BACKLOG),
        address,
        port,
        keys: new Map(),
        poll: undefined,
      };
      this.#setKeys(listener);
      return listener;
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      if (isAnyAddress && address.family === 6 && NO_IPV6.has(error.code)) {
        this.#log.warn('this host has no IPv6: BGP listens on IPv4 only', { code: error.code });
        return undefined;
      }
      throw new BgpListenError(error.code, listenMessage(formatIp(address), port, error.code));
    }
  }

  #close(listener: Listener): void {
    listener.poll?.close();
    closeSync(listener.fd);
  }

  #watch(listener: Listener): void {
    listener.poll = pollReadable(listener.fd, () => this.#accept(listener));
  }

  #setKeys({ fd, address, keys }: Listener): void {
    const wanted = this.#security.keys;
    for (const [text, { prefix }] of keys) {
      if (wanted.has(text)) continue;
      setPassword(fd, prefix, undefined);
      keys.delete(text);
    }
    const refused: { readonly peer: string; readonly error: string }[] = [];
    for (const [text, key] of wanted) {
      if (key.prefix.address.family !== address.family || keys.get(text)?.password === key.password) continue;
      try {
        setPassword(fd, key.prefix, key.password);
        keys.set(text, key);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        refused.push({ peer: text, error: keyMessage(error) });
      }
    }
    if (refused.length > 0) {
      const [first] = refused;
      this.#log.error('the TCP MD5 keys of some peers could not be set: they cannot dial us', {
        peers: refused.length,
        first,
      });
    }
  }

  #accept(listener: Listener): void {
    for (let count = 0; count < ACCEPTS_PER_TURN && listener.poll !== undefined; count++) {
      let accepted: AcceptedTcp | undefined;
      try {
        accepted = acceptTcp(listener.fd);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        if (!EXHAUSTED.has(error.code)) continue; // this one connection was gone before we saw it
        this.#log.error('no room for more BGP connections', { error: error.code });
        this.#rest(listener);
        return;
      }
      if (accepted === undefined) return;
      if (this.#isNear(accepted)) this.#onAccepted(accepted);
      else closeSync(accepted.fd);
    }
  }

  /** Applies TTL security to a connection; false when it already came from too far away. */
  #isNear({ fd, peerAddress, device }: AcceptedTcp): boolean {
    const hops = this.#security.protectionOf({ address: peerAddress, device }).ttlSecurityHops;
    if (hops === undefined) return true;
    const peer = formatIp(peerAddress);
    try {
      setTtlSecurity(fd, peerAddress.family, hops);
      const distance = synHops(fd, peerAddress.family);
      if (distance <= hops) return true;
      this.#log.warn('TTL security: a BGP connection came from too far away', { peer, hops: distance, hopsMax: hops });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.#log.warn('TTL security could not be set for a BGP connection', { peer, error: error.message });
    }
    return false;
  }

  /** Stops accepting for a while. */
  #rest(listener: Listener): void {
    listener.poll?.close();
    listener.poll = undefined;
    this.#resting ??= setTimeout(() => {
      this.#resting = undefined;
      for (const known of this.#listeners.values()) if (known.poll === undefined) this.#watch(known);
    }, EXHAUSTED_MS);
  }
}

function keyMessage({ code, message }: KernelError): string {
  if (code !== 'ENOMEM') return message;
  return 'ENOMEM: net.core.optmem_max is too small for so many keys; raise it by about 200 bytes for each';
}

function listenMessage(host: string, port: number, code: string): string {
  const place = `cannot listen for BGP on ${host} port ${port}`;
  if (code === 'EADDRINUSE') return `${place}: another process has it (EADDRINUSE); stop it or choose another port`;
  if (code === 'EACCES') return `${place}: not permitted (EACCES); ports below 1024 need root or CAP_NET_BIND_SERVICE`;
  if (code === 'EADDRNOTAVAIL') return `${place}: no device of this host has the address (EADDRNOTAVAIL)`;
  return `${place}: ${code}`;
}
