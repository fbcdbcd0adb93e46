/**
 * The speaker: all peers, the Loc-RIB between them, and what follows from each event.
 *
 * `handle` obeys one event and then settles: every prefix that changed is decided once, the kernel's side is told where
 * gateways changed, and each peer gets one string of UPDATEs. So a chunk of bytes with a thousand announcements is one
 * settling. Nothing a peer sends makes it throw; an assertion means that the shell has broken the contract.
 *
 * It never waits: after our own start it tells peers of our routes at once, but says End-of-RIB only when it knows them all,
 * since that is when peers drop what they kept of our last run (RFC 4724 section 4.1).
 *
 * Called by the transport, which owns sockets and clock (node/bgp-transport.ts), and by tests with a virtual clock.
 */
import { assert, unreachable } from '../lib/assert.ts';
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import type { Cidr } from '../net/cidr.ts';
import { familyOf } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import type {
  ConnectionId,
  PeerConfig,
  PeerView,
  RouteView,
  SpeakerConfig,
  SpeakerEvent,
  SpeakerOutput,
} from './contract.ts';
import { connectionId } from './contract.ts';
import { bgpError } from './errors.ts';
import { originate } from './export.ts';
import { convergenceDeadline, END_OF_RIB_WAIT_MS } from './initial-convergence.ts';
import { LocRib } from './loc-rib.ts';
import { prefixKey } from './nlri.ts';
import type { PeerWorld } from './peer.ts';
import { Peer } from './peer.ts';
import type { Route, Self } from './route.ts';
import { routeView } from './view.ts';

/** A full mesh ends long before; a reflector of a large site has this many clients. */
const PEERS_MAX = 5_000;

const FAMILIES: readonly Family[] = [4, 6];

/** A speaker that does nothing before its first `configure`. `now` is our start, from which restarts are measured. */
export function createSpeaker(options: { readonly random: Random; readonly now: Instant }): Speaker {
  return new Speaker(options);
}

export class Speaker {
  readonly #start: Instant;
  readonly #locRib = new LocRib();
  readonly #world: PeerWorld;
  /** By the address in text. */
  readonly #peers = new Map<string, Peer>();
  readonly #peerOf = new Map<ConnectionId, Peer>();
  readonly #originated = new Map<string, Route>();
  #originAttributes: Readonly<Record<Family, PathAttributes>> = { 4: originate(undefined), 6: originate(undefined) };
  #config: SpeakerConfig | undefined;
  #outputs: SpeakerOutput[] = [];
  #lastConnection = 0;
  #hasAnnounced = false;
  /** Peers may be told that they have all our routes; stays true. */
  #mayEndRib = false;
  #hasConverged = false;

  constructor({ random, now }: { readonly random: Random; readonly now: Instant }) {
    this.#start = now;
    this.#world = {
      random,
      locRib: this.#locRib,
      emit: (output) => this.#emit(output),
      nextConnection: (peer) => this.#nextConnection(peer),
      config: () => this.#configured(),
      isRestarting: (at) => at < after(this.#start, this.#configured().restartTimeSeconds * 1000),
    };
  }

  /** Obeys one event; returns all that is to be done, in order. */
  handle(now: Instant, event: SpeakerEvent): SpeakerOutput[] {
    this.#obey(now, event);
    this.#settle(now);
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  /** When the next `tick` is wanted; undefined for never. */
  nextTimer(): Instant | undefined {
    let next = this.#hasConverged || this.#config === undefined ? undefined : this.#convergenceDeadline();
    if (!this.#mayEndRib) next = earlier(next, this.#endOfRibTime());
    for (const peer of this.#peers.values()) next = earlier(next, peer.nextTimer());
    return next;
  }

  peers(now: Instant): PeerView[] {
    return [...this.#peers.values()].map((peer) => peer.view(now));
  }

  /** Every route that is known, ours included. */
  routes(): RouteView[] {
    const views: RouteView[] = [];
    for (const { routes, best } of this.#locRib.destinations()) {
      for (const route of routes) views.push(routeView(route, route === best, this.#isStale(route)));
    }
    return views;
  }

  #obey(now: Instant, event: SpeakerEvent): void {
    switch (event.kind) {
      case 'configure':
        this.#configure(now, event.config);
        return;
      case 'announce':
        this.#announce(event.prefixes);
        return;
      case 'accepted':
        this.#accept(now, event.connection, event.peerAddress, event.localAddress);
        return;
      case 'connected':
        this.#peerOf.get(event.connection)?.session.connected(now, event.connection, event.localAddress);
        return;
      case 'received':
        this.#peerOf.get(event.connection)?.session.received(now, event.connection, event.bytes);
        return;
      case 'connectFailed':
      case 'closed': {
        const session = this.#peerOf.get(event.connection)?.session;
        this.#peerOf.delete(event.connection);
        if (event.kind === 'closed') session?.closed(now, event.connection, event.reason);
        else session?.connectFailed(now, event.connection, event.reason);
        return;
      }
      case 'tick':
        for (const peer of this.#peers.values()) peer.tick(now);
        return;
      default:
        unreachable(event);
    }
  }

  #configure(now: Instant, config: SpeakerConfig): void {
    const before = this.#config;
    this.#config = config;
    const wanted = this.#wantedPeers(config.peers);
    for (const [address, peer] of [...this.#peers]) {
      if (wanted.has(address)) continue;
      peer.remove(now);
      this.#peers.delete(address);
    }
    const isOther = before !== undefined && (before.asn !== config.asn || before.routerId !== config.routerId);
    for (const [address, peerConfig] of wanted) {
      const peer = this.#peers.get(address);
      if (peer === undefined) {
        this.#peers.set(address, new Peer(now, peerConfig, this.#world));
        continue;
      }
      const needsReset = isOther || !sameSession(peer.config, peerConfig);
      peer.reconfigure(now, peerConfig);
      if (needsReset)
        peer.session.reset(now, bgpError('configurationChange', 'the configuration of the session has changed'));
    }
    const sameNextHops = FAMILIES.every((family) => sameIp(before?.nextHops[family], config.nextHops[family]));
    if (sameNextHops && !isOther) return;
    this.#originAttributes = { 4: originate(config.nextHops[4]), 6: originate(config.nextHops[6]) };
    this.#announcePrefixes([...this.#originated.values()].map((route) => route.prefix));
    this.#locRib.markAll();
    for (const peer of this.#peers.values()) peer.offerAll();
  }

  #wantedPeers(configs: readonly PeerConfig[]): Map<string, PeerConfig> {
    const wanted = new Map(configs.slice(0, PEERS_MAX).map((config) => [formatIp(config.address), config]));
    if (configs.length > PEERS_MAX) {
      const message = `${configs.length} peers are configured, the first ${PEERS_MAX} are taken`;
      this.#emit({ kind: 'notice', peer: undefined, message });
    }
    return wanted;
  }

  #announce(prefixes: readonly Cidr[]): void {
    this.#hasAnnounced = true;
    this.#announcePrefixes(prefixes);
  }

  #announcePrefixes(prefixes: readonly Cidr[]): void {
    const wanted = new Set<string>();
    for (const prefix of prefixes) {
      const key = prefixKey(prefix);
      wanted.add(key);
      const attributes = this.#originAttributes[familyOf(prefix)];
      const previous = this.#originated.get(key);
      if (previous?.attributes === attributes) continue;
      const route: Route = { prefix, key, attributes, source: { kind: 'local' } };
      this.#originated.set(key, route);
      this.#locRib.replace(previous, route);
    }
    for (const [key, route] of [...this.#originated]) {
      if (wanted.has(key)) continue;
      this.#originated.delete(key);
      this.#locRib.replace(route, undefined);
    }
  }

  #accept(now: Instant, connection: ConnectionId, peerAddress: Ip, localAddress: Ip): void {
    assert(connection % 2 === 1, `accepted connection ${connection}: the shell's numbers are odd`);
    const peer = this.#peers.get(formatIp(peerAddress));
    if (peer === undefined) {
      // Without a NOTIFICATION, after which many speakers would wait for a minute: it may be a peer that we hear of soon.
      const message = `connection from ${formatIp(peerAddress)} refused: it is not configured as a peer`;
      this.#emit({ kind: 'notice', peer: undefined, message });
      this.#emit({ kind: 'close', connection, reason: message });
      return;
    }
    this.#peerOf.set(connection, peer);
    peer.session.accepted(now, connection, localAddress);
  }

  /** Draws the consequences of what the event has changed. */
  #settle(now: Instant): void {
    for (const { destination, gatewaysChanged } of this.#locRib.settle(this.#self())) {
      const { prefix, gateways, best } = destination;
      const peer = gateways.length > 0 && best?.source.kind === 'peer' ? best.source.address : undefined;
      if (gatewaysChanged) this.#emit({ kind: 'best', prefix, gateways, peer });
      for (const other of this.#peers.values()) other.offer(destination);
    }
    this.#mayEndRib ||= this.#endOfRibTime() <= now;
    for (const peer of this.#peers.values()) peer.flush(now, this.#mayEndRib);
    if (this.#hasConverged || this.#config === undefined) return;
    const deadline = this.#convergenceDeadline();
    if (deadline !== undefined && deadline > now) return;
    this.#hasConverged = true;
    this.#emit({ kind: 'initialConvergence' });
  }

  #convergenceDeadline(): Instant | undefined {
    return convergenceDeadline(
      this.#start,
      Array.from(this.#peers.values(), (peer) => peer.progress),
    );
  }

  /**
   * When peers may be told that they have all our routes: when our own are known, and, where we pass on those of others,
   * when these are, too. Peers that restart themselves are not waited for, as they would wait for us.
   */
  #endOfRibTime(): Instant {
    if (!this.#hasAnnounced) return after(this.#start, END_OF_RIB_WAIT_MS);
    const own = this.#config?.asn;
    const passesOn = this.#config?.peers.some((peer) => peer.asn !== own) === true;
    if (!passesOn) return this.#start;
    const waitedFor = [...this.#peers.values()].filter((peer) => !peer.isRestarting).map((peer) => peer.progress);
    return convergenceDeadline(this.#start, waitedFor) ?? this.#start;
  }

  #self(): Self {
    if (this.#config === undefined) return { asn: undefined, routerId: undefined, addresses: [] };
    const { asn, routerId, nextHops } = this.#config;
    const addresses = FAMILIES.flatMap((family) => nextHops[family] ?? []);
    return { asn, routerId, addresses };
  }

  #configured(): SpeakerConfig {
    assert(this.#config !== undefined, 'a peer exists only once the speaker is configured');
    return this.#config;
  }

  #nextConnection(peer: Peer): ConnectionId {
    this.#lastConnection += 2;
    const connection = connectionId(this.#lastConnection);
    this.#peerOf.set(connection, peer);
    return connection;
  }

  #emit(output: SpeakerOutput): void {
    if (output.kind === 'close') this.#peerOf.delete(output.connection);
    this.#outputs.push(output);
  }

  #isStale(route: Route): boolean {
    return route.source.kind === 'peer' && this.#peers.get(formatIp(route.source.address))?.isStale(route) === true;
  }
}

/** Whether a session may go on under another configuration of its peer. */
function sameSession(a: PeerConfig, b: PeerConfig): boolean {
  return (
    a.asn === b.asn &&
    a.families.length === b.families.length &&
    a.families.every((family) => b.families.includes(family))
  );
}
