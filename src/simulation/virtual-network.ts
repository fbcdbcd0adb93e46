/**
 * Speakers of a whole cluster in one process, on a virtual wire and a virtual clock.
 *
 * The speakers are those of production (bgp/speaker.ts); only sockets and time are made up. A member lives in turns as an
 * agent does: it reads what has arrived, ticks if a timer is due, does one slice of work, and writes what it has to say. Bytes
 * take `latencyMs` to the other end and arrive in order. What a turn costs is asked of `stopwatch`: with one that stands still a
 * member is infinitely fast, and everything follows from seed and input; with a real one each member is as fast as this
 * machine is, and all of them run side by side, as hosts do.
 *
 * Not made up here: what lies between hosts. Every address is reached from everywhere, unless its member has `vanish`ed.
 */

import type { ConnectionId, Origination, PeerName, SpeakerEvent, SpeakerOutput } from '../bgp/contract.ts';
import { connectionId, peerName } from '../bgp/contract.ts';
import type { PeerConfig, SpeakerConfig } from '../bgp/peer-config.ts';
import type { Speaker } from '../bgp/speaker.ts';
import { createSpeaker } from '../bgp/speaker.ts';
import { assert } from '../lib/assert.ts';
import type { Instant } from '../lib/clock.ts';
import { after, earlier, instant } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { seededRandom } from '../lib/prng.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import { TurnQueue } from './turn-queue.ts';

type Best = Extract<SpeakerOutput, { readonly kind: 'best' }>;

/** RFC 4271 section 4.1: 16 bytes of marker, two of length, one of type. */
const HEADER_BYTES = 19;
const LENGTH_AT = 16;
const TYPE_AT = 18;
const UPDATE = 2;
const KEEPALIVE = 4;

/** After the last thing that a timer can still bring about (routes kept as stale go after 600 s) nothing changes by itself. */
const PATIENCE_MS = 700_000;
/** How often to look whether routes are still kept as stale, which takes a look at every session. */
const STALE_LOOK_MS = 1_000;
/** As long as an agent reads before work has its turn (node/bgp/bgp-connection.ts). */
const READING_MS = 8;

export interface VirtualNetworkOptions {
  readonly seed: number;
  readonly latencyMs: number;
  /** Milliseconds of processor time so far; one that stands still makes all members infinitely fast. */
  readonly stopwatch: () => number;
}

/** What went over the wire, keepalives aside. */
export interface Traffic {
  updates: number;
  /** OPEN, NOTIFICATION, ROUTE-REFRESH. */
  others: number;
  keepalives: number;
  bytes: number;
}

interface Arrival {
  readonly at: Instant;
  readonly event: SpeakerEvent;
}

interface End {
  readonly member: Member;
  readonly connection: ConnectionId;
  readonly life: number;
}

/** One connection, as one of its ends has it. */
interface Wire {
  /** Undefined once the other end has closed it. */
  far: End | undefined;
}

/** One speaker with its place in the network. */
export class Member {
  readonly name: string;
  readonly speaker: Speaker;
  /** Sessions that are Established, by peer. */
  readonly established = new Set<PeerName>();
  /** Sessions that were lost since somebody last cleared this. */
  readonly lost = new Set<PeerName>();
  config: SpeakerConfig | undefined;
  /** Receives UPDATEs, or counts them only: see `VirtualNetwork.add`. */
  readonly listens: boolean;
  readonly onBest: (best: Best) => void;
  readonly wires = new Map<ConnectionId, Wire>();
  readonly peers = new Map<PeerName, PeerConfig>();
  readonly watched = new Map<string, PeerConfig>();
  inbox: Arrival[] = [];
  /** The first of the inbox that was not read yet. */
  next = 0;
  turnAt: Instant | undefined;
  busyUntil: Instant;
  /** Milliseconds that its turns have taken. */
  busyMs = 0;
  addresses: readonly Ip[] = [];
  isAway = false;
  /** Grows with each end; what was sent to an earlier life is lost. */
  life = 0;

  constructor(options: {
    readonly name: string;
    readonly speaker: Speaker;
    readonly listens: boolean;
    readonly now: Instant;
    readonly onBest: (best: Best) => void;
  }) {
    this.name = options.name;
    this.speaker = options.speaker;
    this.listens = options.listens;
    this.onBest = options.onBest;
    this.busyUntil = options.now;
  }
}

export class VirtualNetwork {
  readonly #options: VirtualNetworkOptions;
  readonly #random: Random;
  readonly #byAddress = new Map<string, Member>();
  readonly #members = new Set<Member>();
  readonly #turns = new TurnQueue<Member>();
  readonly traffic: Traffic = { updates: 0, others: 0, keepalives: 0, bytes: 0 };
  #now: Instant = instant(0);
  #lastAccepted = -1;
  /** When routes or sessions last changed anywhere. */
  #changedAt: Instant = instant(0);
  /** Arrivals that nobody has read yet and that may change something. */
  #pending = 0;
  /** Members that want another turn at once. */
  readonly #working = new Set<Member>();
  #establishedEnds = 0;
  #sessionWasLost = false;
  #nextStaleLook: Instant = instant(0);

  constructor(options: VirtualNetworkOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
  }

  get now(): Instant {
    return this.#now;
  }

  /** When routes or sessions last changed. */
  get changedAt(): Instant {
    return this.#changedAt;
  }

  /** Ends of sessions that are Established. */
  get establishedEnds(): number {
    return this.#establishedEnds;
  }

  /**
   * A speaker that is not configured yet. One that does not `listen` speaks like all others, but UPDATEs for it are counted and
   * dropped on arrival: where thousands are told the same, some of them will do to see what becomes of it.
   */
  add(name: string, options: { readonly listens?: boolean; readonly onBest?: (best: Best) => void } = {}): Member {
    const { listens = true, onBest = () => undefined } = options;
    const speaker = createSpeaker({ random: this.#random, now: this.#now });
    const member = new Member({ name, speaker, listens, now: this.#now, onBest });
    this.#members.add(member);
    return member;
  }

  /** `addresses` is where it can be dialled. */
  configure(member: Member, config: SpeakerConfig, addresses: readonly Ip[]): void {
    for (const address of member.addresses) this.#byAddress.delete(formatIp(address));
    member.addresses = addresses;
    for (const address of addresses) this.#byAddress.set(formatIp(address), member);
    member.config = config;
    member.peers.clear();
    for (const peer of config.peers) member.peers.set(peerName(peer), peer);
    this.tell(member, { kind: 'configure', config });
  }

  announce(member: Member, originations: readonly Origination[]): void {
    this.tell(member, { kind: 'announce', originations });
  }

  /** Has an event arrive now. */
  tell(member: Member, event: SpeakerEvent): void {
    this.#arrive(member, this.#now, event);
  }

  /** The process ends as it does for good, without a word: its kernel closes the connections. */
  stop(member: Member): void {
    for (const wire of member.wires.values()) this.#closeFar(member, wire, this.#now);
    this.#end(member);
  }

  /** The host is gone with all its connections, and nobody is told; who watches the path to it notices. */
  vanish(member: Member): void {
    this.#end(member);
    const addresses = new Set(member.addresses.map(formatIp));
    for (const other of this.#members) {
      for (const [address, { bfd, ...peer }] of other.watched) {
        if (bfd === undefined || !addresses.has(address)) continue;
        const at = after(this.#now, bfd.intervalMs * bfd.multiplier);
        this.#arrive(other, at, { kind: 'bfdDown', peer: peerName(peer), reason: 'no packets from the peer' });
      }
    }
  }

  /** Lets time pass until `end`. */
  runUntil(end: Instant): void {
    for (let at = this.#turns.nextAt; at !== undefined && at <= end; at = this.#turns.nextAt) this.#turn();
    this.#now = instant(Math.max(this.#now, end));
  }

  /**
   * Lets time pass until nothing changes any more by itself: nothing is on its way, all sessions are up of which both ends are
   * configured, and no routes are kept for a peer that is away. Where that does not come about, until no timer can bring it about.
   */
  settle(): void {
    const expected = this.#expectedEnds();
    const deadline = after(this.#now, PATIENCE_MS);
    while (!this.#isSettled(expected)) {
      const at = this.#turns.nextAt;
      if (at === undefined || at > deadline) break;
      this.#turn();
    }
  }

  #isSettled(expected: number): boolean {
    if (this.#pending > 0 || this.#working.size > 0 || this.#establishedEnds < expected) return false;
    if (!this.#sessionWasLost) return true;
    if (this.#now < this.#nextStaleLook) return false;
    this.#nextStaleLook = after(this.#now, STALE_LOOK_MS);
    this.#sessionWasLost = this.#hasStale();
    return !this.#sessionWasLost;
  }

  #hasStale(): boolean {
    for (const { speaker, isAway } of this.#members) {
      if (!isAway && speaker.peers(this.#now).some(({ stale }) => stale)) return true;
    }
    return false;
  }

  /** Ends of sessions that are configured at both ends. */
  #expectedEnds(): number {
    let count = 0;
    for (const member of this.#members) {
      if (member.isAway) continue;
      for (const peer of member.peers.values()) {
        const other = this.#byAddress.get(formatIp(peer.address));
        const own = peer.sourceAddress ?? ownAddress(member, peer.address);
        if (other === undefined || other.isAway || own === undefined || peer.shutdown !== undefined) continue;
        const theirs = other.peers.get(peerName({ address: own, device: undefined }));
        if (theirs !== undefined && theirs.shutdown === undefined) count += 1;
      }
    }
    return count;
  }

  #end(member: Member): void {
    member.isAway = true;
    member.life += 1;
    member.wires.clear();
    this.#establishedEnds -= member.established.size;
    member.established.clear();
    this.#working.delete(member);
    for (let index = member.next; index < member.inbox.length; index++) this.#unpend(member.inbox[index]?.event);
    member.inbox = [];
    member.next = 0;
    member.turnAt = undefined;
  }

  /** The next turn of whoever is first. */
  #turn(): void {
    const turn = this.#turns.take();
    if (turn === undefined) return;
    const { owner: member, at } = turn;
    if (member.turnAt !== at) return; // it has had an earlier one
    member.turnAt = undefined;
    this.#now = instant(Math.max(this.#now, at));
    this.#live(member, this.#now);
    this.#schedule(member);
  }

  #live(member: Member, start: Instant): void {
    const { stopwatch } = this.#options;
    const began = stopwatch();
    const now = (): Instant => after(start, stopwatch() - began);
    const outputs: SpeakerOutput[] = [];
    const { speaker } = member;
    const obey = (event: SpeakerEvent): void => {
      for (const output of speaker.handle(now(), event)) outputs.push(output);
    };
    for (;;) {
      const arrival = member.inbox[member.next];
      if (arrival === undefined || arrival.at > start || stopwatch() - began > READING_MS) break;
      member.next += 1;
      const { event } = arrival;
      this.#unpend(event);
      if (event.kind === 'closed') member.wires.delete(event.connection);
      if (isHeard(member, event)) obey(event);
    }
    if (member.next === member.inbox.length) {
      member.inbox = [];
      member.next = 0;
    }
    const timer = speaker.nextTimer();
    if (timer !== undefined && timer <= start) obey({ kind: 'tick' });
    if (speaker.hasWork()) obey({ kind: 'work' });
    const spent = stopwatch() - began;
    member.busyMs += spent;
    member.busyUntil = after(start, spent);
    for (const output of outputs) this.#obey(member, member.busyUntil, output);
  }

  #schedule(member: Member): void {
    if (member.isAway) return;
    const { speaker, busyUntil } = member;
    let at = earlier(member.inbox[member.next]?.at, speaker.nextTimer());
    if (speaker.hasWork()) {
      this.#working.add(member);
      at = busyUntil;
    } else this.#working.delete(member);
    if (at === undefined) return;
    at = instant(Math.max(at, busyUntil));
    if (member.turnAt !== undefined && member.turnAt <= at) return;
    member.turnAt = at;
    this.#turns.put(member, at);
  }

  #obey(member: Member, at: Instant, output: SpeakerOutput): void {
    switch (output.kind) {
      case 'connect':
        this.#connect(member, at, output.connection, output.peer);
        return;
      case 'send':
        this.#send(member, at, output.connection, output.bytes);
        return;
      case 'close': {
        const wire = member.wires.get(output.connection);
        member.wires.delete(output.connection);
        if (wire !== undefined) this.#closeFar(member, wire, at);
        return;
      }
      case 'best':
        this.#changedAt = at;
        member.onBest(output);
        return;
      case 'session':
        this.#noteSession(member, at, output);
        return;
      case 'bfd':
        if (output.watch === undefined) member.watched.delete(formatIp(output.peer.address));
        else member.watched.set(formatIp(output.peer.address), output.peer);
        return;
      case 'notice':
      case 'monitor':
      case 'initialConvergence':
        return;
    }
  }

  #noteSession(member: Member, at: Instant, { peer, from, to }: Extract<SpeakerOutput, { kind: 'session' }>): void {
    if (to === 'Established') {
      member.established.add(peer);
      this.#establishedEnds += 1;
    } else if (from === 'Established') {
      member.established.delete(peer);
      member.lost.add(peer);
      this.#establishedEnds -= 1;
      this.#sessionWasLost = true;
    } else return;
    this.#changedAt = at;
  }

  /** TCP takes a round trip until the one who dials knows, and half of another until the one who is dialled does. */
  #connect(member: Member, at: Instant, connection: ConnectionId, peer: PeerConfig): void {
    const { latencyMs } = this.#options;
    const back = after(at, 2 * latencyMs);
    const target = this.#byAddress.get(formatIp(peer.address));
    const localAddress = peer.sourceAddress ?? ownAddress(member, peer.address);
    if (target?.isAway === true) return; // nobody answers; the session gives up by itself
    if (target === undefined || localAddress === undefined || target === member) {
      this.#arrive(member, back, { kind: 'connectFailed', connection, reason: 'ECONNREFUSED' });
      return;
    }
    const theirs = target.peers.get(peerName({ address: localAddress, device: undefined }));
    if (theirs?.password !== peer.password) return; // TCP MD5: what has another signature is dropped without a word
    this.#lastAccepted += 2;
    const accepted = connectionId(this.#lastAccepted);
    const near = { member, connection, life: member.life };
    const far = { member: target, connection: accepted, life: target.life };
    member.wires.set(connection, { far });
    target.wires.set(accepted, { far: near });
    this.#arrive(member, back, { kind: 'connected', connection, localAddress });
    const event = { peerAddress: localAddress, localAddress: peer.address, device: undefined } as const;
    this.#arrive(target, after(back, latencyMs), { kind: 'accepted', connection: accepted, ...event });
  }

  #send(member: Member, at: Instant, connection: ConnectionId, bytes: Uint8Array): void {
    const far = member.wires.get(connection)?.far;
    if (far === undefined || far.life !== far.member.life) return;
    this.#count(bytes, at);
    this.#arrive(far.member, after(at, this.#options.latencyMs), {
      kind: 'received',
      connection: far.connection,
      bytes,
    });
  }

  #closeFar(member: Member, wire: Wire, at: Instant): void {
    const { far } = wire;
    if (far === undefined || far.life !== far.member.life) return;
    const back = far.member.wires.get(far.connection);
    if (back === undefined) return;
    // What is under way still arrives, but nothing goes back any more.
    back.far = undefined;
    const reason = 'the peer has closed the connection';
    const { connection } = far;
    assert(far.member !== member, 'a connection has two ends');
    this.#arrive(far.member, after(at, this.#options.latencyMs), { kind: 'closed', connection, reason });
  }

  #count(bytes: Uint8Array, at: Instant): void {
    const { traffic } = this;
    traffic.bytes += bytes.length;
    for (let offset = 0; offset + HEADER_BYTES <= bytes.length; ) {
      const type = bytes[offset + TYPE_AT];
      if (type === UPDATE) {
        traffic.updates += 1;
        this.#changedAt = at;
      } else if (type === KEEPALIVE) traffic.keepalives += 1;
      else traffic.others += 1;
      const length = ((bytes[offset + LENGTH_AT] ?? 0) << 8) | (bytes[offset + LENGTH_AT + 1] ?? 0);
      offset += Math.max(length, HEADER_BYTES);
    }
  }

  #arrive(member: Member, at: Instant, event: SpeakerEvent): void {
    if (member.isAway) return;
    if (mayChange(event)) this.#pending += 1;
    const { inbox } = member;
    let place = inbox.length;
    while (place > member.next && (inbox[place - 1]?.at ?? 0) > at) place -= 1;
    if (place === inbox.length) inbox.push({ at, event });
    else inbox.splice(place, 0, { at, event });
    this.#schedule(member);
  }

  #unpend(event: SpeakerEvent | undefined): void {
    if (event !== undefined && mayChange(event)) this.#pending -= 1;
  }
}

/** A lone KEEPALIVE in the midst of a session changes nothing. */
function mayChange(event: SpeakerEvent): boolean {
  return event.kind !== 'received' || event.bytes.length !== HEADER_BYTES || event.bytes[TYPE_AT] !== KEEPALIVE;
}

function isHeard(member: Member, event: SpeakerEvent): boolean {
  return member.listens || event.kind !== 'received' || event.bytes[TYPE_AT] !== UPDATE;
}

function ownAddress(member: Member, towards: Ip): Ip | undefined {
  return member.addresses.find(({ family }) => family === towards.family);
}
