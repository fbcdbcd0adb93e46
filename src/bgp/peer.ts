/**
 * One peer: its session, what it tells us, what we tell it, and the care for it while it restarts.
 *
 *      session ── UPDATE ──► decoder ──► Inbound ──► Rib (shared) ──► update group ──► Outbound ──► session
 *
 * When the connection to a peer with graceful restart is lost, its routes stay in use, marked stale: the peer's kernel most
 * likely still forwards. They go when the peer has finished its End-of-RIB without naming them again, when it comes back
 * and says that it did not forward meanwhile, when its kernel does not even refuse our connections, or when it does not come
 * back in time; where both have agreed on it, they
 * are then kept for longer, as a last resort.
 *
 * RFC 4724 section 4.2 (the receiving speaker), RFC 8538, RFC 9494 section 4, RFC 2918, RFC 7313.
 */
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import type { Family } from '../net/ip.ts';
import type { Chores } from './chores.ts';
import type { ConnectionId, PeerCommand, PeerName, SpeakerOutput } from './contract.ts';
import { peerName } from './contract.ts';
import type { OutboundGroup } from './export/outbound.ts';
import { Outbound } from './export/outbound.ts';
import { encodeEndOfRib } from './export/update-writer.ts';
import type { PeerProgress } from './initial-convergence.ts';
import { END_OF_RIB_WAIT_MS } from './initial-convergence.ts';
import { NoticeLimit } from './notice-limit.ts';
import type { PeerConfig, SpeakerConfig } from './peer-config.ts';
import { compilePolicy } from './policy/policy.ts';
import { needsReset } from './session/needs-reset.ts';
import type { Negotiated } from './session/negotiated.ts';
import { ownOpenFor } from './session/own-open.ts';
import type { SessionOwner } from './session/session.ts';
import { Session } from './session/session.ts';
import type { AttributeSets, Source } from './table/attribute-sets.ts';
import { Inbound } from './table/inbound.ts';
import type { Rib } from './table/rib.ts';
import { multiprotocolValue } from './wire/capabilities.ts';
import type { BgpError } from './wire/errors.ts';
import { bgpError, isBgpError, shutdownData } from './wire/errors.ts';
import type { Open } from './wire/open.ts';
import type { Refresh } from './wire/route-refresh.ts';
import { UpdateDecoder } from './wire/update.ts';

/** Longer than any restart of a daemon; a peer may ask for up to 4095 s, in which nobody would trust its routes. */
const STALE_MS_MAX = 600_000;

/** What a peer needs of the speaker. */
export interface PeerWorld {
  readonly random: Random;
  readonly ribs: Readonly<Record<Family, Rib>>;
  readonly sets: AttributeSets;
  readonly chores: Chores;
  emit(output: SpeakerOutput): void;
  nextConnection(peer: Peer): ConnectionId;
  config(): SpeakerConfig;
  /** Whether we have just been started, and would have peers keep our routes. */
  isRestarting(now: Instant): boolean;
  /** The same value for equal OPENs of ours: all of a mesh are sent one. */
  sharedOpen(open: Open): Open;
  /** The time of the event that is being obeyed. */
  now(): Instant;
  /** The group of all peers that are told the same as this one. */
  groupFor(peer: Peer, negotiated: Negotiated, family: Family): OutboundGroup;
  /** The peer has left its groups. */
  groupsLeft(groups: readonly OutboundGroup[]): void;
  /** The peer is further with telling us all it has, or has lost what it was. */
  progressed(): void;
}

/** What lives as long as one Established session. */
interface Live {
  readonly negotiated: Negotiated;
  readonly decoder: UpdateDecoder;
  /** Families whose End-of-RIB has not come yet. */
  awaitedEnds: readonly Family[];
}

export class Peer implements SessionOwner {
  readonly name: PeerName;
  /** Not configured by name: it has dialled us out of a listen range. */
  readonly isDynamic: boolean;
  readonly session: Session;
  readonly inbound: Inbound;
  readonly outbound: Outbound;
  #config: PeerConfig;
  readonly #world: PeerWorld;
  readonly #notices = new NoticeLimit();
  #live: Live | undefined;
  /** When what is stale goes, or becomes the last resort. */
  #staleUntil: { readonly at: Instant; readonly longLived: Readonly<Partial<Record<Family, number>>> } | undefined;
  #everEstablished = false;
  #progress: PeerProgress = { kind: 'down' };
  #isWatched = false;
  #treatedAsWithdraw = 0;
  #attributesDiscarded = 0;

  constructor(now: Instant, slot: number, config: PeerConfig, isDynamic: boolean, world: PeerWorld) {
    this.name = peerName(config);
    this.isDynamic = isDynamic;
    this.#config = config;
    this.#world = world;
    const { ribs, sets, chores } = world;
    this.inbound = new Inbound({ ribs, sets, chores, source: this.#source(slot), policy: undefined });
    this.outbound = new Outbound(slot, ribs, {
      send: (bytes) => this.session.send(world.now(), bytes),
      giveUp: (why) => this.session.reset(world.now(), bgpError('outOfResources', why)),
    });
    this.session = new Session(now, config, this, world.random);
    this.session.start(now);
  }

  get slot(): number {
    return this.outbound.slot;
  }

  get config(): PeerConfig {
    return this.#config;
  }

  get negotiated(): Negotiated | undefined {
    return this.#live?.negotiated;
  }

  /** How far the peer has come in telling us all it has, since our start. */
  get progress(): PeerProgress {
    return this.#progress;
  }

  get treatedAsWithdraw(): number {
    return this.#treatedAsWithdraw;
  }

  get attributesDiscarded(): number {
    return this.#attributesDiscarded;
  }

  /** Whether the peer itself has just started and waits for others, so that waiting for it could go on for ever. */
  get isRestarting(): boolean {
    return this.#live?.negotiated.open.capabilities.gracefulRestart?.restarting === true;
  }

  /** Whether nothing is left of a peer that nobody has configured. */
  get isOver(): boolean {
    const { state } = this.session;
    return this.isDynamic && (state === 'Idle' || state === 'Active') && this.inbound.received === 0;
  }

  /** Takes another configuration: by a reset where that cannot be avoided, else without a word to the peer. */
  reconfigure(now: Instant, config: PeerConfig): void {
    const cause = needsReset(this.#config, config);
    this.#config = config;
    this.session.reconfigure(now, config);
    if (cause !== undefined) this.session.reset(now, bgpError('configurationChange', `changed: ${cause}`));
    else this.applyTerms();
  }

  /** How routes from and to the peer are treated may have changed; the session goes on. */
  applyTerms(): void {
    const live = this.#live;
    if (live === undefined) return;
    this.#setInboundTerms();
    const before = this.outbound.groups;
    for (const family of live.negotiated.families) {
      this.outbound.join(family, this.#world.groupFor(this, live.negotiated, family));
    }
    this.#world.groupsLeft(before);
    this.#watch();
  }

  /** The peer is no longer configured: it is told so, and its routes go at once. */
  remove(now: Instant): void {
    this.session.stop(now, bgpError('peerDeconfigured', 'the peer is no longer configured'));
    this.inbound.clear();
  }

  command(now: Instant, command: PeerCommand): void {
    switch (command.kind) {
      case 'reset':
        this.session.reset(
          now,
          bgpError('administrativeReset', 'reset by command', shutdownData(command.communication)),
        );
        return;
      case 'refreshIn':
        for (const family of this.#live?.negotiated.families ?? []) {
          const isUnderstood = this.session.sendRefresh(now, family, 'request');
          if (!isUnderstood) this.#notice(now, `it cannot be asked for IPv${family} again: it has no route refresh`);
        }
        return;
      case 'refreshOut':
        for (const family of this.#live?.negotiated.families ?? []) this.#sendAllAgain(now, family);
        return;
    }
  }

  bfdDown(now: Instant, reason: string): void {
    if (this.#live !== undefined) this.session.reset(now, bgpError('bfdDown', reason));
  }

  nextTimer(): Instant | undefined {
    return earlier(this.session.nextTimer(), this.#staleUntil?.at);
  }

  tick(now: Instant): void {
    this.session.tick(now);
    if (this.#staleUntil === undefined || this.#staleUntil.at > now) return;
    const { longLived } = this.#staleUntil;
    const seconds = Math.max(0, ...Object.values(longLived));
    const kept = ([4, 6] as const).filter((family) => (longLived[family] ?? 0) > 0);
    this.inbound.sweepStale(([4, 6] as const).filter((family) => !kept.includes(family)));
    if (kept.length > 0 && this.inbound.stale > 0) {
      this.#notice(now, `${this.inbound.stale} stale routes are kept as a last resort for ${seconds} s (LLGR)`);
      this.inbound.makeLongLived(kept);
      this.#staleUntil = { at: after(now, seconds * 1000), longLived: {} };
      return;
    }
    const { stale } = this.inbound;
    if (stale > 0) this.#notice(now, `${stale} stale routes were dropped: the peer has not confirmed them in time`);
    this.#sweepStale([4, 6]);
  }

  /** Says where a family is complete, if `mayEndRib` also that it is all we have. */
  sayEnds(now: Instant, mayEndRib: boolean): void {
    for (const { family, owes } of this.outbound.owed) {
      if (owes === 'endOfRefresh') this.session.sendRefresh(now, family, 'end');
      else if (mayEndRib) this.session.send(now, encodeEndOfRib(family));
      else continue;
      this.outbound.paid(family);
    }
  }

  emit(output: SpeakerOutput): void {
    this.#world.emit(output);
  }

  nextConnection(): ConnectionId {
    return this.#world.nextConnection(this);
  }

  ownOpen(now: Instant): Open {
    const restarting = !this.#everEstablished && this.#world.isRestarting(now);
    // The forwarding state is always kept: it is the kernel's, which does not end with this process or a connection.
    const { families: forwardingKept } = this.#config;
    return this.#world.sharedOpen(ownOpenFor(this.#config, this.#world.config(), { restarting, forwardingKept }));
  }

  established(now: Instant, negotiated: Negotiated): void {
    const { open, families } = negotiated;
    const { enforceFirstAs } = this.#config;
    const external = this.#isExternal(open.asn);
    const { asnBytes, addPathReceive, ipv4OverIpv6, role } = negotiated;
    const decoder = new UpdateDecoder({
      asnBytes,
      external,
      peerAsn: open.asn,
      enforceFirstAs,
      role,
      families,
      addPathReceive,
      ipv4OverIpv6,
    });
    this.#live = { negotiated, decoder, awaitedEnds: families };
    this.#everEstablished = true;
    this.#setInboundTerms();
    const restart = open.capabilities.gracefulRestart;
    if (this.#progress.kind !== 'complete') {
      this.#progressTo({ kind: 'sending', establishedAt: now, sendsEndOfRib: restart !== undefined });
    }
    const preserved = restart?.families.filter((row) => row.forwardingPreserved).map((row) => row.family) ?? [];
    this.#sweepStale(([4, 6] as const).filter((family) => !preserved.includes(family) || !families.includes(family)));
    if (this.inbound.stale > 0) this.#staleUntil = { at: after(now, END_OF_RIB_WAIT_MS), longLived: {} };
    for (const family of families) this.outbound.join(family, this.#world.groupFor(this, negotiated, family));
    this.#watch();
    this.monitorUp();
  }

  /** Tells a collector of the session, if there is one. */
  monitorUp(): void {
    if (this.#live !== undefined) {
      this.#monitor({ kind: 'up', negotiated: this.#live.negotiated, config: this.#config });
    }
  }

  update(now: Instant, body: Uint8Array): BgpError | undefined {
    const live = this.#live;
    if (live === undefined) return undefined;
    const update = live.decoder.decode(body);
    if (isBgpError(update)) return update;
    if (update.problems.length > 0) {
      if (update.treatedAsWithdraw) this.#treatedAsWithdraw += 1;
      if (update.attributesDiscarded) this.#attributesDiscarded += 1;
      this.#notice(now, `malformed UPDATE: ${update.problems.join('; ')}`);
    }
    this.inbound.learn(body, update);
    if (this.#world.config().monitors) this.#monitor({ kind: 'update', body: body.slice() });
    if (update.endOfRib !== undefined) this.#endOfRib(live, update.endOfRib);
    const { prefixesMax } = this.#config;
    if (this.inbound.received <= prefixesMax) return undefined;
    const family = update.announced[0]?.range.family ?? 4;
    const data = [...multiprotocolValue(family)];
    data.splice(2, 1); // the NOTIFICATION has AFI and SAFI without the capability's reserved byte (RFC 4486 section 4)
    data.push(...[24, 16, 8, 0].map((shift) => (prefixesMax >>> shift) & 0xff));
    return bgpError('maximumPrefixes', `more than ${prefixesMax} prefixes`, Uint8Array.from(data));
  }

  refresh(now: Instant, { family, kind }: Refresh): void {
    if (kind === 'request') this.#sendAllAgain(now, family);
    else if (kind === 'begin' && this.#awaitsEnd(family)) {
      this.#notice(now, `a refresh of IPv${family} that begins before its End-of-RIB was passed over (RFC 7313)`);
    } else if (kind === 'begin') this.inbound.beginRefresh(family);
    else this.inbound.endRefresh(family);
  }

  down(now: Instant, { recoverable, reason }: { readonly recoverable: boolean; readonly reason: string }): void {
    const live = this.#live;
    this.#live = undefined;
    if (this.#progress.kind !== 'complete') this.#progressTo({ kind: 'down' });
    const groups = this.outbound.groups;
    this.outbound.leaveAll();
    this.#world.groupsLeft(groups);
    this.#watch();
    this.#monitor({ kind: 'down', reason });
    const restart = live?.negotiated.open.capabilities.gracefulRestart;
    const longLived = live?.negotiated.longLivedStaleSeconds ?? {};
    const kept = restart?.families
      .map((row) => row.family)
      .filter((family) => live?.negotiated.families.includes(family));
    const restartMs = (restart?.restartTimeSeconds ?? 0) * 1000;
    const isKept = restartMs > 0 || Object.keys(longLived).length > 0;
    if (!recoverable || kept === undefined || kept.length === 0 || !isKept || this.#config.gracefulRestart === 'off') {
      this.#staleUntil = undefined;
      this.inbound.clear();
      return;
    }
    const { received } = this.inbound;
    this.inbound.retain(kept);
    if (received === 0) return;
    this.#staleUntil = { at: after(now, Math.min(restartMs, STALE_MS_MAX)), longLived };
    this.#notice(now, `${received} routes are kept while the peer restarts`);
  }

  /**
   * A restarting process leaves a kernel behind that forwards, and that refuses connections. Where the path is to be watched,
   * silence means that it has gone after the process: BFD, which ended with the session, cannot say so any more.
   */
  unanswered(now: Instant): void {
    const { stale } = this.inbound;
    if (this.#live !== undefined || this.#staleUntil === undefined || this.#config.bfd === undefined) return;
    if (stale > 0) this.#notice(now, `${stale} stale routes were dropped: the peer does not answer at all`);
    this.#staleUntil = undefined;
    this.inbound.clear();
  }

  #progressTo(progress: PeerProgress): void {
    this.#progress = progress;
    this.#world.progressed();
  }

  #source(slot: number): Source {
    const { address, device, reflectorClient, allowedOwnAsns, localAsn } = this.#config;
    const negotiated = this.#live?.negotiated;
    return {
      slot,
      name: this.name,
      address,
      device,
      external: negotiated === undefined || this.#isExternal(negotiated.open.asn),
      routerId: negotiated?.open.routerId,
      localAddress: negotiated?.localAddress,
      reflectorClient,
      allowedOwnAsns,
      localAsn,
    };
  }

  #setInboundTerms(): void {
    const { importPolicy } = this.#config;
    this.inbound.setTerms(this.#source(this.slot), importPolicy && compilePolicy(importPolicy));
  }

  /** By the AS number that we show the peer, where that is another than our own. */
  #isExternal(peerAsn: number): boolean {
    return peerAsn !== (this.#config.localAsn ?? this.#world.config().asn);
  }

  #endOfRib(live: Live, family: Family): void {
    this.#sweepStale([family]);
    live.awaitedEnds = live.awaitedEnds.filter((awaited) => awaited !== family);
    if (live.awaitedEnds.length === 0) this.#progressTo({ kind: 'complete' });
  }

  #sweepStale(families: readonly Family[]): void {
    if (this.#staleUntil === undefined) return;
    this.inbound.sweepStale(families);
    if (families.length === 2) this.#staleUntil = undefined;
  }

  /** Whether the peer will say End-of-RIB, and has not yet. */
  #awaitsEnd(family: Family): boolean {
    const { negotiated, awaitedEnds } = this.#live ?? {};
    return negotiated?.open.capabilities.gracefulRestart !== undefined && awaitedEnds?.includes(family) === true;
  }

  #sendAllAgain(now: Instant, family: Family): void {
    // Before our End-of-RIB a begin would be passed over, and what follows is our first dump still.
    const isEnclosed = !this.outbound.owesEndOfRib(family) && this.session.sendRefresh(now, family, 'begin');
    this.outbound.refresh(family, isEnclosed ? 'endOfRefresh' : undefined);
  }

  /** Has the path to the peer watched while its session is up. */
  #watch(): void {
    const { bfd } = this.#config;
    const localAddress = this.#live?.negotiated.localAddress;
    const watch = bfd === undefined || localAddress === undefined ? undefined : { localAddress };
    if (watch === undefined && !this.#isWatched) return;
    this.#isWatched = watch !== undefined;
    this.#world.emit({ kind: 'bfd', peer: this.#config, watch });
  }

  #monitor(event: (SpeakerOutput & { kind: 'monitor' })['event']): void {
    if (this.#world.config().monitors) this.#world.emit({ kind: 'monitor', peer: this.name, event });
  }

  #notice(now: Instant, message: string): void {
    const text = this.#notices.admit(now, message);
    if (text === undefined) return;
    this.session.log.note(now, text);
    this.#world.emit({ kind: 'notice', peer: this.name, message: text });
  }
}
