/**
 * The speaker: all peers, the tables between them, and what follows from each event.
 *
 * An event is obeyed at once: sessions change state, paths are put into the tables and mark their prefixes. What follows
 * for others is `work`, done when everything that lies ready has been read, in slices: prefixes are settled once, update
 * groups write their messages, new peers are fed. So a flood of small UPDATEs costs little more than one large one, and no
 * slice keeps a KEEPALIVE waiting. Nothing a peer sends makes it throw; an assertion means that the shell has broken
 * the contract.
 *
 * It never waits: after our own start it tells peers of our routes at once, but says End-of-RIB only when it knows them all,
 * since that is when peers drop what they kept of our last run (RFC 4724 section 4.1).
 *
 * Called by the transport, which owns sockets and clock (node/bgp/bgp-transport.ts), and by tests with a virtual clock.
 */
import { assert, unreachable } from '../lib/assert.ts';
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import { sameJson } from '../lib/json.ts';
import type { Random } from '../lib/prng.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import { Alarms } from './alarms.ts';
import { Chores } from './chores.ts';
import type { ConnectionId, PeerName, SpeakerEvent, SpeakerOutput } from './contract.ts';
import { connectionId, peerName } from './contract.ts';
import { groupTermsOf } from './export/group-terms.ts';
import type { OutboundGroup } from './export/outbound.ts';
import { UpdateGroup } from './export/update-group.ts';
import type { PeerProgress } from './initial-convergence.ts';
import { convergenceDeadline, END_OF_RIB_WAIT_MS } from './initial-convergence.ts';
import { memberOf, rangeFor } from './listen-ranges.ts';
import { NoticeLimit } from './notice-limit.ts';
import { Answers } from './observe/answers.ts';
import type {
  DumpPage,
  DumpQuestion,
  ExplanationView,
  NeighborView,
  PeerView,
  RouteFilter,
  RoutePage,
  SpeakerViews,
  TableSizes,
} from './observe/views.ts';
import type { PeerWorld } from './peer.ts';
import { Peer } from './peer.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import type { Negotiated } from './session/negotiated.ts';
import { Aggregation } from './table/aggregation.ts';
import { AttributeSets } from './table/attribute-sets.ts';
import { Originations } from './table/originations.ts';
import { Rib } from './table/rib.ts';
import { Settlement } from './table/settlement.ts';
import type { Self } from './table/usability.ts';
import { judgeUsability } from './table/usability.ts';
import { bgpError } from './wire/errors.ts';
import type { Open } from './wire/open.ts';

/** A full mesh ends long before; a reflector of a large site has this many clients. */
const PEERS_MAX = 10_000;
/** Prefixes settled in one slice: a few milliseconds. */
const ROWS_PER_SLICE = 8_192;

const FAMILIES: readonly Family[] = [4, 6];

export interface SpeakerOptions {
  readonly random: Random;
  /** Our start, from which restarts are measured. */
  readonly now: Instant;
  /** How many prefixes of each family there is room for from the start; tables grow beyond it. */
  readonly rows?: number;
}

/** A speaker that does nothing before its first `configure`. */
export function createSpeaker(options: SpeakerOptions): Speaker {
  return new Speaker(options);
}

export class Speaker implements SpeakerViews {
  readonly #start: Instant;
  readonly #random: Random;
  #now: Instant;
  #config: SpeakerConfig | undefined;
  #self: Self | undefined;
  #outputs: SpeakerOutput[] = [];

  readonly #groups = new Map<string, OutboundGroup>();
  readonly #sets = new AttributeSets(
    (set) => judgeUsability(set, this.#self),
    (id) => this.#forgetSet(id),
  );
  readonly #ribs: Readonly<Record<Family, Rib>>;
  readonly #aggregation = new Aggregation();
  readonly #originations: Originations;
  readonly #settlements: Readonly<Record<Family, Settlement>>;
  readonly #chores = new Chores();
  readonly #alarms = new Alarms<Peer>();
  readonly #notices = new NoticeLimit();

  readonly #peers = new Map<PeerName, Peer>();
  readonly #peerOf = new Map<ConnectionId, Peer>();
  readonly #bySlot: (Peer | undefined)[] = [undefined];
  readonly #freeSlots: number[] = [];
  /** Peers that have joined, moved or fallen behind: they may have something to be sent or said. */
  readonly #behind = new Set<Peer>();
  readonly #answers: Answers;
  /** One for all peers: a mesh has thousands of them in one process. */
  readonly #world: PeerWorld;

  #lastConnection = 0;
  #hasAnnounced = false;
  /** Peers may be told that they have all our routes; stays true. */
  #mayEndRib = false;
  #hasConverged = false;
  /** Until when peers are waited for, before each of the two; worked out anew when a peer has progressed. */
  #endOfRibAt: Instant | undefined;
  #convergenceAt: Instant | undefined;
  #hasProgressed = false;

  constructor({ random, now, rows }: SpeakerOptions) {
    this.#ribs = { 4: new Rib(4, this.#sets, rows), 6: new Rib(6, this.#sets, rows) };
    this.#originations = new Originations(this.#ribs, this.#sets);
    this.#settlements = { 4: this.#settlement(4), 6: this.#settlement(6) };
    this.#start = now;
    this.#now = now;
    this.#random = random;
    this.#world = this.#worldOfPeers();
    this.#answers = new Answers({
      ribs: this.#ribs,
      sets: this.#sets,
      peers: this.#peers,
      peerAt: (slot) => this.#bySlot[slot],
      config: () => this.#config,
    });
  }

  /** Obeys one event; returns all that is to be done, in order. */
  handle(now: Instant, event: SpeakerEvent): SpeakerOutput[] {
    this.#now = now;
    this.#obey(now, event);
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }

  /** Whether `work` is wanted, once everything that lies ready has been read. */
  hasWork(): boolean {
    if (this.#config === undefined) return false;
    return this.#hasProgressed || !this.#chores.isEmpty || this.#behind.size > 0 || this.#hasMarked();
  }

  /** When the next `tick` is wanted; undefined for never. */
  nextTimer(): Instant | undefined {
    let next = this.#alarms.next;
    if (!this.#hasConverged) next = earlier(next, this.#convergenceAt);
    if (!this.#mayEndRib) next = earlier(next, this.#endOfRibAt);
    return next;
  }

  peers(now: Instant): readonly PeerView[] {
    return this.#answers.peers(now);
  }

  neighbor(now: Instant, name: PeerName): NeighborView | undefined {
    return this.#answers.neighbor(now, name);
  }

  routes(filter: RouteFilter): RoutePage {
    return this.#answers.routes(filter);
  }

  received(name: PeerName, filter: RouteFilter): RoutePage | undefined {
    return this.#answers.received(name, filter);
  }

  advertised(name: PeerName, filter: RouteFilter): RoutePage | undefined {
    return this.#answers.advertised(name, filter);
  }

  explain(prefix: Cidr): ExplanationView | undefined {
    return this.#answers.explain(prefix);
  }

  dump(question: DumpQuestion): DumpPage {
    return this.#answers.dump(question);
  }

  sizes(): TableSizes {
    return this.#answers.sizes();
  }

  #obey(now: Instant, event: SpeakerEvent): void {
    switch (event.kind) {
      case 'configure':
        this.#configure(now, event.config);
        this.#hasProgressed = true;
        break;
      case 'announce':
        this.#hasAnnounced = true;
        this.#hasProgressed = true;
        this.#originations.announce(event.originations);
        break;
      case 'accepted':
        this.#accept(now, event);
        break;
      case 'work':
        this.#work(now);
        break;
      case 'tick':
        for (const peer of this.#alarms.takeDue(now)) this.#touch(peer, () => peer.tick(now));
        this.#noteConvergence(now);
        break;
      case 'bfdDown':
        this.#touch(this.#peers.get(event.peer), (peer) => peer.bfdDown(now, event.reason));
        break;
      case 'command':
        this.#touch(this.#peers.get(event.peer), (peer) => peer.command(now, event.command));
        break;
      case 'connected':
      case 'connectFailed':
      case 'received':
      case 'closed':
      case 'blocked':
      case 'drained':
        this.#obeyConnection(now, event);
        break;
      default:
        unreachable(event);
    }
  }

  #obeyConnection(now: Instant, event: SpeakerEvent & { readonly connection: ConnectionId }): void {
    this.#touch(this.#peerOf.get(event.connection), ({ session, outbound }) => {
      const { connection } = event;
      switch (event.kind) {
        case 'received':
          session.received(now, connection, event.bytes);
          return;
        case 'connected':
          session.connected(now, connection, event.localAddress);
          return;
        case 'blocked':
          outbound.block();
          session.blocked(now, connection);
          return;
        case 'drained':
          outbound.unblock();
          session.drained(now, connection);
          return;
        case 'closed':
          this.#peerOf.delete(connection);
          session.closed(now, connection, event.reason);
          return;
        case 'connectFailed':
          this.#peerOf.delete(connection);
          session.connectFailed(now, connection, event.reason);
          return;
      }
    });
  }

  /** Has something done with a peer, and draws the consequences for its alarm, its place in line, and its existence. */
  #touch(peer: Peer | undefined, act: (peer: Peer) => void): void {
    if (peer === undefined) return;
    act(peer);
    this.#alarms.set(peer, peer.nextTimer());
    if (peer.outbound.canStep || peer.outbound.owesSomething) this.#behind.add(peer);
    if (peer.isOver) this.#forgetPeer(peer);
  }

  #configure(now: Instant, config: SpeakerConfig): void {
    const before = this.#config;
    this.#config = config;
    const { asn, routerId, nextHops } = config;
    const addresses = FAMILIES.flatMap((family) => nextHops[family] ?? []);
    this.#self = { asn, routerId, clusterId: config.clusterId ?? routerId, addresses };
    const wanted = this.#wantedPeers(config.peers);
    for (const [name, peer] of [...this.#peers]) {
      // One that came out of a range and has a configuration of its own now begins anew as what it is.
      const isWanted =
        wanted.has(name) !== peer.isDynamic && (!peer.isDynamic || this.#rangeOf(peer.config) !== undefined);
      if (isWanted) continue;
      peer.remove(now);
      this.#forgetPeer(peer);
    }
    const isOther = before !== undefined && (before.asn !== asn || before.routerId !== routerId);
    for (const [name, peerConfig] of wanted) {
      const peer = this.#peers.get(name);
      if (peer === undefined) this.#addPeer(now, peerConfig, false);
      else this.#touch(peer, () => peer.reconfigure(now, peerConfig));
    }
    for (const peer of this.#peers.values()) {
      const range = peer.isDynamic ? this.#rangeOf(peer.config) : undefined;
      if (range !== undefined) this.#touch(peer, () => peer.reconfigure(now, memberOf(range, peer.config)));
      if (config.monitors && before?.monitors !== true) peer.monitorUp();
      const why = bgpError('configurationChange', 'our own AS number or router identifier has changed');
      if (isOther) this.#touch(peer, () => peer.session.reset(now, why));
    }
    if (before === undefined || !sameIdentity(before, config)) this.#identityChanged(before === undefined);
  }

  /** What makes routes usable, and how they are passed on, may be different now. */
  #identityChanged(isFirst: boolean): void {
    const config = this.#configured();
    this.#sets.judgeAll();
    const present = FAMILIES.flatMap((family) => this.#answers.exportedPrefixes(family));
    this.#aggregation.configure(config.aggregates, present);
    this.#originations.aggregate(this.#aggregation.present(), config);
    for (const family of FAMILIES) this.#ribs[family].markAll();
    if (!isFirst) for (const peer of this.#peers.values()) this.#touch(peer, () => peer.applyTerms());
  }

  #wantedPeers(configs: readonly PeerConfig[]): Map<PeerName, PeerConfig> {
    const wanted = new Map(configs.slice(0, PEERS_MAX).map((config) => [peerName(config), config]));
    if (configs.length > PEERS_MAX) {
      const message = `${configs.length} peers are configured, the first ${PEERS_MAX} are taken`;
      this.#emit({ kind: 'notice', peer: undefined, message });
    }
    return wanted;
  }

  #addPeer(now: Instant, config: PeerConfig, isDynamic: boolean): Peer {
    const slot = this.#freeSlots.pop() ?? this.#bySlot.length;
    const peer = new Peer(now, slot, config, isDynamic, this.#world);
    this.#peers.set(peer.name, peer);
    this.#bySlot[slot] = peer;
    this.#hasProgressed = true;
    this.#alarms.set(peer, peer.nextTimer());
    return peer;
  }

  #worldOfPeers(): PeerWorld {
    let lastOpen: Open | undefined;
    return {
      random: this.#random,
      ribs: this.#ribs,
      sets: this.#sets,
      chores: this.#chores,
      now: () => this.#now,
      emit: (output) => this.#emit(output),
      nextConnection: (owner) => this.#nextConnection(owner),
      config: () => this.#configured(),
      isRestarting: (at) => at < after(this.#start, this.#configured().restartTimeSeconds * 1000),
      sharedOpen: (open) => {
        if (lastOpen === undefined || !sameJson(lastOpen, open)) lastOpen = open;
        return lastOpen;
      },
      groupFor: (owner, negotiated, family) => this.#groupFor(owner, negotiated, family),
      groupsLeft: (groups) => this.#groupsLeft(groups),
      progressed: () => {
        this.#hasProgressed = true;
      },
    };
  }

  #forgetPeer(peer: Peer): void {
    this.#chores.finish(peer.inbound);
    this.#alarms.remove(peer);
    this.#behind.delete(peer);
    if (this.#peers.get(peer.name) === peer) this.#peers.delete(peer.name);
    this.#bySlot[peer.slot] = undefined;
    this.#hasProgressed = true;
    this.#freeSlots.push(peer.slot);
  }

  #accept(now: Instant, event: SpeakerEvent & { readonly kind: 'accepted' }): void {
    const { connection, peerAddress, localAddress, device } = event;
    assert(connection % 2 === 1, `accepted connection ${connection}: the shell's numbers are odd`);
    const peer = this.#peers.get(peerName({ address: peerAddress, device })) ?? this.#welcome(now, peerAddress, device);
    if (typeof peer === 'string') {
      // Without a NOTIFICATION, after which many speakers would wait for a minute: it may be a peer that we hear of soon.
      const message = `connection from ${formatIp(peerAddress)} refused: ${peer}`;
      this.#emit({ kind: 'notice', peer: undefined, message });
      this.#emit({ kind: 'close', connection, reason: message });
      return;
    }
    this.#peerOf.set(connection, peer);
    this.#touch(peer, () => peer.session.accepted(now, connection, localAddress));
  }

  /** A peer for somebody who is not configured by name, or why there is none. */
  #welcome(now: Instant, address: Ip, device: string | undefined): Peer | string {
    const range = this.#rangeOf({ address, device });
    if (range === undefined) return 'it is not configured as a peer';
    let count = 0;
    for (const peer of this.#peers.values()) if (peer.isDynamic && this.#rangeOf(peer.config) === range) count += 1;
    if (count >= range.peersMax) return `its range has ${range.peersMax} peers already`;
    return this.#addPeer(now, memberOf(range, { address, device }), true);
  }

  #rangeOf(peer: { readonly address: Ip; readonly device: string | undefined }): ReturnType<typeof rangeFor> {
    return rangeFor(peer.address, peer.device, this.#config?.listenRanges ?? []);
  }

  /** One slice of what follows from the events so far. */
  #work(now: Instant): void {
    if (!this.#chores.isEmpty) {
      this.#chores.step();
      for (const peer of this.#peers.values()) if (peer.isOver) this.#forgetPeer(peer);
    }
    const config = this.#config;
    if (config === undefined) return;
    const multipathMax = config.installs ? config.multipathMax : undefined;
    const isMoving = this.#isMoving();
    for (const family of FAMILIES) {
      if (this.#ribs[family].hasMarked && !isMoving)
        this.#settlements[family].settle(ROWS_PER_SLICE, this.#groupsOf(family), multipathMax);
    }
    if (!this.#aggregation.isEmpty) this.#originations.aggregate(this.#aggregation.present(), config);
    if (this.#hasProgressed) {
      this.#hasProgressed = false;
      // Both look at every peer; once they have passed nobody asks for them any more.
      if (!this.#mayEndRib) this.#endOfRibAt = this.#endOfRibTime();
      if (!this.#hasConverged) this.#convergenceAt = this.#convergenceDeadline() ?? now;
    }
    this.#noteConvergence(now);
    let rows = 0;
    const unsaid: Peer[] = [];
    // What is not settled yet is part of what peers are to be told before the end.
    const isAllSettled = !this.#hasMarked();
    for (const peer of this.#behind) {
      if (rows >= ROWS_PER_SLICE) break;
      // Those that are not done yet go to the end of the line.
      this.#behind.delete(peer);
      if (peer.outbound.canStep) rows += peer.outbound.step();
      if (isAllSettled) peer.sayEnds(now, this.#mayEndRib);
      else if (peer.outbound.owesSomething) unsaid.push(peer);
      if (peer.outbound.canStep) this.#behind.add(peer);
      this.#alarms.set(peer, peer.nextTimer());
      if (peer.isOver) this.#forgetPeer(peer);
    }
    for (const peer of unsaid) this.#behind.add(peer);
    this.#noteUnsendable(now);
  }

  /** Says what peers are not told because no message holds it. */
  #noteUnsendable(now: Instant): void {
    for (const group of this.#groups.values()) {
      const count = group.takeUnsendable();
      if (count === 0) continue;
      const names = Array.from(group.members, (member) => this.#bySlot[member.slot]?.name ?? '').join(', ');
      const sets = count === 1 ? 'a set of attributes is' : `${count} sets of attributes are`;
      const what = `${sets} too long for a message of ${group.terms.messageBytesMax} bytes`;
      const message = this.#notices.admit(now, `${what}: such routes are not sent to ${names}`);
      if (message !== undefined) this.#emit({ kind: 'notice', peer: undefined, message });
    }
  }

  /** Whether a peer has yet to be told the difference between what it was told and what it is to be told. */
  #isMoving(): boolean {
    for (const { outbound } of this.#behind) if (outbound.isMoving) return true;
    return false;
  }

  #groupsOf(family: Family): OutboundGroup[] {
    return [...this.#groups.values()].filter(({ terms }) => terms.family === family);
  }

  #groupFor(peer: Peer, negotiated: Negotiated, family: Family): OutboundGroup {
    const { key, terms } = groupTermsOf(this.#configured(), peer.config, negotiated, this.#ribs[family]);
    let group = this.#groups.get(key);
    if (group === undefined) {
      group = new UpdateGroup(key, terms, this.#ribs[family]);
      this.#groups.set(key, group);
    }
    return group;
  }

  #groupsLeft(groups: readonly OutboundGroup[]): void {
    for (const group of groups) if (group.members.size === 0) this.#groups.delete(group.key);
  }

  #forgetSet(id: number): void {
    for (const group of this.#groups.values()) group.forgetSet(id);
  }

  #settlement(family: Family): Settlement {
    return new Settlement({
      rib: this.#ribs[family],
      sets: this.#sets,
      aggregation: this.#aggregation,
      best: (prefix, way) => this.#emit({ kind: 'best', prefix, ...way }),
    });
  }

  /** Notes what follows once enough is known after our start, or enough time has passed. */
  #noteConvergence(now: Instant): void {
    if (!this.#mayEndRib && this.#endOfRibAt !== undefined && this.#endOfRibAt <= now) {
      this.#mayEndRib = true;
      for (const peer of this.#peers.values()) if (peer.outbound.owesSomething) this.#behind.add(peer);
    }
    const isOver = this.#convergenceAt !== undefined && this.#convergenceAt <= now && !this.#hasMarked();
    if (this.#hasConverged || !isOver) return;
    this.#hasConverged = true;
    this.#emit({ kind: 'initialConvergence' });
  }

  #hasMarked(): boolean {
    return this.#ribs[4].hasMarked || this.#ribs[6].hasMarked;
  }

  #convergenceDeadline(): Instant | undefined {
    const known = Array.from(this.#peers.values(), (peer) => peer.progress);
    return convergenceDeadline(this.#start, [...known, ...this.#toCome()]);
  }

  /**
   * When peers may be told that they have all our routes: when our own are known, and, where we pass on those of others,
   * when these are, too. Peers that restart themselves are not waited for, as they would wait for us.
   */
  #endOfRibTime(): Instant {
    if (!this.#hasAnnounced) return after(this.#start, END_OF_RIB_WAIT_MS);
    const { asn, listenRanges, peersToCome } = this.#configured();
    const peers = [...this.#peers.values()];
    const passesOn =
      listenRanges.length > 0 ||
      peersToCome > 0 ||
      peers.some(({ config }) => config.asn !== asn || config.reflectorClient);
    if (!passesOn) return this.#start;
    const waitedFor = peers.filter((peer) => !peer.isRestarting).map((peer) => peer.progress);
    return convergenceDeadline(this.#start, [...waitedFor, ...this.#toCome()]) ?? this.#start;
  }

  /** How far the peers are whom we are yet to hear of. */
  #toCome(): PeerProgress[] {
    return Array.from({ length: this.#config?.peersToCome ?? 0 }, () => ({ kind: 'down' }));
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
    // A session may end in the midst of work for others, and still has to be woken for its next try.
    const peer = output.kind === 'session' ? this.#peers.get(output.peer) : undefined;
    if (peer !== undefined) this.#behind.add(peer);
    this.#outputs.push(output);
  }
}

/** Whether all routes are judged and passed on as before. */
function sameIdentity(a: SpeakerConfig, b: SpeakerConfig): boolean {
  return (
    a.asn === b.asn &&
    a.routerId === b.routerId &&
    a.clusterId === b.clusterId &&
    a.installs === b.installs &&
    a.multipathMax === b.multipathMax &&
    FAMILIES.every((family) => sameIp(a.nextHops[family], b.nextHops[family])) &&
    JSON.stringify(a.aggregates, bytesAsText) === JSON.stringify(b.aggregates, bytesAsText)
  );
}

function bytesAsText(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? value.join() : value;
}
