/**
 * One BFD session: its state, its intervals, its timers (RFC 5880 sections 6.2, 6.5 and 6.8).
 *
 *              received:  Down         AdminDown    Init         Up          silence
 *      Down              → Init         –            → Up         –           forget the peer
 *      Init               –            → Down        → Up         → Up        → Down
 *      Up                → Down        → Down         –            –          → Down
 *
 * We are active, use neither demand mode nor echo, and honour demand mode of the peer. While not Up a packet leaves each
 * second (section 6.8.3); a change of state leaves at once. An interval that would make the peer's or our own detection
 * fire is used only when a poll has told the peer (section 6.8.3). Called by bfd.ts, which finds the session of a packet.
 */
import type { Instant } from '../lib/clock.ts';
import { after, earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { formatIp } from '../net/ip.ts';
import type { BfdOutput, BfdPeer, BfdView } from './contract.ts';
import type { ControlPacket, SessionState } from './packet.ts';
import { DIAGNOSTIC, diagnosticText, encodePacket } from './packet.ts';

/** Section 6.8.3: a session that is not Up sends at most once a second. */
const SLOW_INTERVAL_US = 1_000_000;
const US_PER_MS = 1_000;
/** A peer that wants a packet an hour is not waited for when we end: ten packets at the slow pace tell it, or it is gone. */
const FAREWELL_MS_MAX = 10_000;

/** What the peer said last; at first, and after its silence, what section 6.8.1 begins with. */
interface Remote {
  readonly state: SessionState;
  readonly diagnostic: number;
  readonly discriminator: number;
  readonly desiredMinTxUs: number;
  readonly requiredMinRxUs: number;
  readonly multiplier: number;
  readonly demand: boolean;
  readonly controlPlaneIndependent: boolean;
}

const UNHEARD: Remote = {
  state: 'Down',
  diagnostic: DIAGNOSTIC.none,
  discriminator: 0,
  desiredMinTxUs: 0,
  requiredMinRxUs: 1,
  multiplier: 0,
  demand: false,
  controlPlaneIndependent: false,
};

interface Intervals {
  readonly desiredMinTxUs: number;
  readonly requiredMinRxUs: number;
}

export class Session {
  #peer: BfdPeer;
  readonly discriminator: number;
  readonly #random: Random;
  #state: SessionState = 'Down';
  #since: Instant;
  #diagnostic: number = DIAGNOSTIC.none;
  #remote: Remote = UNHEARD;
  /** What our packets say. */
  #announced: Intervals;
  /** What our timers use; they differ while the peer must not be surprised. */
  #used: Intervals;
  /** `again`: the announced intervals have changed since the poll began, so that its end says nothing of them. */
  #poll: 'none' | 'going' | 'again' = 'none';
  #sentAt: Instant | undefined;
  #sendAt: Instant | undefined;
  /** The interval that `sendAt` was reckoned with. */
  #scheduledMs: number | undefined;
  #heardAt: Instant | undefined;
  /** How long the silence may be after a stall of our own, whatever was heard when. */
  #spareUntil: Instant | undefined;
  #endAt: Instant | undefined;
  #packetsSent = 0;
  #packetsReceived = 0;
  #flaps = 0;

  constructor(now: Instant, peer: BfdPeer, discriminator: number, random: Random) {
    this.#peer = peer;
    this.discriminator = discriminator;
    this.#random = random;
    this.#since = now;
    this.#announced = this.#wantedIntervals();
    this.#used = this.#announced;
    this.#sendAt = now;
  }

  get peer(): BfdPeer {
    return this.#peer;
  }

  /** Whether it is watched no more. */
  get isEnding(): boolean {
    return this.#endAt !== undefined;
  }

  /** Whether an administratively ended session has told its peer for long enough (section 6.8.16). */
  isOver(now: Instant): boolean {
    return this.#endAt !== undefined && this.#endAt <= now;
  }

  nextTimer(): Instant | undefined {
    return earlier(earlier(this.#sendAt, this.#detectAt()), this.#endAt);
  }

  /** Takes over other intervals; the rest of `peer` must be as it was. */
  reconfigure(now: Instant, peer: BfdPeer): void {
    this.#peer = peer;
    this.#setIntervals(now);
  }

  /** A packet for this session (section 6.8.6, from where the session is known). */
  receive(now: Instant, packet: ControlPacket): BfdOutput[] {
    this.#packetsReceived += 1;
    this.#remote = {
      state: packet.state,
      diagnostic: packet.diagnostic,
      discriminator: packet.myDiscriminator,
      desiredMinTxUs: packet.desiredMinTxUs,
      requiredMinRxUs: packet.requiredMinRxUs,
      multiplier: packet.multiplier,
      demand: packet.demand,
      controlPlaneIndependent: packet.controlPlaneIndependent,
    };
    if (packet.final) this.#endPoll();
    this.#schedule(now);
    if (this.#state === 'AdminDown') return [];
    this.#heardAt = now;
    this.#spareUntil = undefined;
    const outputs = this.#hear(now, packet.state);
    // The answer to a poll tells a change of state as well.
    if (packet.poll) return [...outputs, this.#packet({ final: true })];
    return outputs.length === 0 ? [] : [...outputs, ...this.#tellChange(now)];
  }

  /**
   * What has come due. `lateMs` is by how much the tick is late: when our process stood still for longer than a packet of
   * the peer takes, its packets may be lost with the machine's time, so it gets one more detection time, once.
   */
  tick(now: Instant, lateMs: number): BfdOutput[] {
    const detectionMs = this.#detectionMs();
    if (
      detectionMs !== undefined &&
      lateMs * this.#remote.multiplier >= detectionMs &&
      this.#spareUntil === undefined
    ) {
      this.#spareUntil = after(now, detectionMs);
    }
    const detectAt = this.#detectAt();
    const outputs = detectAt !== undefined && detectAt <= now ? this.#expire(now) : [];
    if (this.#sendAt !== undefined && this.#sendAt <= now) outputs.push(this.#sendPeriodic(now));
    return outputs;
  }

  /** Ends the session: the peer is told that our silence will mean nothing. */
  end(now: Instant): BfdOutput[] {
    if (this.#state === 'AdminDown') return [];
    if (this.#state === 'Down') {
      this.#endAt = now;
      return [];
    }
    const outputs = this.#change(now, 'AdminDown', DIAGNOSTIC.administrativelyDown, 'watched no more');
    this.#heardAt = undefined;
    this.#endAt = after(now, Math.min(this.#peer.multiplier * this.#sendIntervalMs(), FAREWELL_MS_MAX));
    return [...outputs, ...this.#tellChange(now)];
  }

  view(now: Instant): BfdView {
    return {
      peer: this.#peer.name,
      localAddress: formatIp(this.#peer.localAddress),
      multihop: this.#peer.multihop,
      state: this.#state,
      forMs: now - this.#since,
      remoteState: this.#remote.state,
      diagnostic: diagnosticText(this.#diagnostic),
      remoteDiagnostic: diagnosticText(this.#remote.diagnostic),
      localDiscriminator: this.discriminator,
      remoteDiscriminator: this.#remote.discriminator,
      sendIntervalMs: this.#sendIntervalMs(),
      detectionMs: this.#detectionMs(),
      controlPlaneIndependent: this.#remote.controlPlaneIndependent,
      packetsSent: this.#packetsSent,
      packetsReceived: this.#packetsReceived,
      flaps: this.#flaps,
    };
  }

  /** The state machine of section 6.8.6. */
  #hear(now: Instant, theirs: SessionState): BfdOutput[] {
    const { neighbourSignalledDown, none } = DIAGNOSTIC;
    if (theirs === 'AdminDown') {
      if (this.#state === 'Down') return [];
      return this.#change(now, 'Down', neighbourSignalledDown, 'the peer has ended BFD (AdminDown)');
    }
    switch (this.#state) {
      case 'AdminDown':
        return [];
      case 'Down':
        if (theirs === 'Down') return this.#change(now, 'Init', none, 'the peer sends packets');
        if (theirs === 'Init') return this.#change(now, 'Up', none, 'packets go both ways');
        return [];
      case 'Init':
        return theirs === 'Down' ? [] : this.#change(now, 'Up', none, 'packets go both ways');
      case 'Up': {
        if (theirs !== 'Down') return [];
        const reason = `the peer says that the path is down: ${diagnosticText(this.#remote.diagnostic)}`;
        return this.#change(now, 'Down', neighbourSignalledDown, reason);
      }
    }
  }

  /** Silence for the detection time (section 6.8.4); what the peer said holds no more (section 6.8.1). */
  #expire(now: Instant): BfdOutput[] {
    const reason = `nothing was heard from the peer for ${Math.round(this.#detectionMs() ?? 0)} ms`;
    this.#remote = UNHEARD;
    this.#heardAt = undefined;
    this.#spareUntil = undefined;
    if (this.#state === 'Up' || this.#state === 'Init') {
      const outputs = this.#change(now, 'Down', DIAGNOSTIC.detectionTimeExpired, reason);
      return [...outputs, ...this.#tellChange(now)];
    }
    this.#schedule(now);
    return [];
  }

  #change(now: Instant, to: SessionState, diagnostic: number, reason: string): BfdOutput[] {
    const { name } = this.#peer;
    const from = this.#state;
    this.#state = to;
    this.#since = now;
    this.#diagnostic = diagnostic;
    this.#setIntervals(now);
    const outputs: BfdOutput[] = [{ kind: 'state', name, from, to, reason }];
    if (from === 'Up' && to === 'Down') {
      this.#flaps += 1;
      // RFC 5882 section 3.2: a peer that has ended BFD says nothing about the path.
      if (this.#remote.state !== 'AdminDown') outputs.push({ kind: 'down', name, reason });
    }
    return outputs;
  }

  /** A change of state does not wait for the next periodic packet (section 6.8.7). */
  #tellChange(now: Instant): BfdOutput[] {
    return this.#remote.requiredMinRxUs === 0 ? [] : [this.#sendPeriodic(now)];
  }

  #wantedIntervals(): Intervals {
    const us = this.#peer.intervalMs * US_PER_MS;
    return { desiredMinTxUs: this.#state === 'Up' ? us : Math.max(us, SLOW_INTERVAL_US), requiredMinRxUs: us };
  }

  /** Section 6.8.3: what is announced changes at once and begins a poll; what is used may have to wait for its end. */
  #setIntervals(now: Instant): void {
    const wanted = this.#wantedIntervals();
    const { desiredMinTxUs, requiredMinRxUs } = this.#announced;
    const isUp = this.#state === 'Up';
    if (wanted.desiredMinTxUs !== desiredMinTxUs || wanted.requiredMinRxUs !== requiredMinRxUs) {
      this.#announced = wanted;
      this.#poll = this.#poll === 'none' ? 'going' : 'again';
    }
    this.#used = {
      desiredMinTxUs: isUp ? Math.min(this.#used.desiredMinTxUs, wanted.desiredMinTxUs) : wanted.desiredMinTxUs,
      requiredMinRxUs: isUp ? Math.max(this.#used.requiredMinRxUs, wanted.requiredMinRxUs) : wanted.requiredMinRxUs,
    };
    this.#schedule(now);
  }

  #endPoll(): void {
    if (this.#poll === 'going') this.#used = this.#announced;
    this.#poll = this.#poll === 'again' ? 'going' : 'none';
  }

  #sendIntervalMs(): number {
    return Math.max(this.#used.desiredMinTxUs, this.#remote.requiredMinRxUs) / US_PER_MS;
  }

  #detectionMs(): number | undefined {
    const { multiplier, desiredMinTxUs } = this.#remote;
    if (multiplier === 0) return undefined;
    return (multiplier * Math.max(this.#used.requiredMinRxUs, desiredMinTxUs)) / US_PER_MS;
  }

  #detectAt(): Instant | undefined {
    const detectionMs = this.#detectionMs();
    if (this.#heardAt === undefined || detectionMs === undefined) return undefined;
    const at = after(this.#heardAt, detectionMs);
    return this.#spareUntil !== undefined && this.#spareUntil > at ? this.#spareUntil : at;
  }

  /** Whether packets leave periodically (section 6.8.7). */
  #sendsPeriodically(): boolean {
    const { requiredMinRxUs, demand, state } = this.#remote;
    const isDemanded = demand && this.#state === 'Up' && state === 'Up' && this.#poll === 'none';
    return requiredMinRxUs !== 0 && !isDemanded;
  }

  /** When the next periodic packet leaves, if the intervals are what they are now. */
  #schedule(now: Instant): void {
    if (!this.#sendsPeriodically()) {
      this.#sendAt = undefined;
      return;
    }
    if (this.#sentAt === undefined) {
      this.#sendAt = now;
      return;
    }
    const intervalMs = this.#sendIntervalMs();
    if (this.#sendAt !== undefined && this.#scheduledMs === intervalMs) return;
    this.#scheduledMs = intervalMs;
    // Section 6.8.7: a quarter at random, so that the packets of a network do not fall into step; and at least a tenth
    // where a single lost packet is death.
    const share = this.#peer.multiplier === 1 ? 0.1 + 0.15 * this.#random() : 0.25 * this.#random();
    const at = after(this.#sentAt, intervalMs * (1 - share));
    this.#sendAt = at > now ? at : now;
  }

  #sendPeriodic(now: Instant): BfdOutput {
    this.#sentAt = now;
    this.#sendAt = undefined;
    this.#schedule(now);
    return this.#packet({ final: false });
  }

  #packet({ final }: { readonly final: boolean }): BfdOutput {
    this.#packetsSent += 1;
    const bytes = encodePacket({
      ...this.#announced,
      state: this.#state,
      diagnostic: this.#diagnostic,
      poll: !final && this.#poll !== 'none',
      final,
      // Our sessions live in the process that speaks BGP: when it goes they go.
      controlPlaneIndependent: false,
      demand: false,
      multiplier: this.#peer.multiplier,
      myDiscriminator: this.discriminator,
      yourDiscriminator: this.#remote.discriminator,
    });
    return { kind: 'send', name: this.#peer.name, bytes };
  }
}
