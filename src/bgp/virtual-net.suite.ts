/**
 * Speakers in one process, on a virtual wire and a virtual clock: an hour of BGP in a millisecond.
 *
 * Hosts have one address and one speaker each. Bytes take their time and arrive cut at random places, in order on one
 * connection and, on a net that jitters, in any order on different ones. A connection can be cut. A host can be
 * killed with its connections closed by the kernel, or vanish without a FIN, and can be started again; its `kernel`, the
 * routes that it was told of, outlives it. Everything follows from the seed.
 */
import assert from 'node:assert/strict';
import { after, earlier, type Instant, instant } from '../lib/clock.ts';
import { type Random, seededRandom } from '../lib/prng.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { formatIp, type Ip, ip, sameIp } from '../net/ip.ts';
import {
  type ConnectionId,
  connectionId,
  type Gateway,
  type Origination,
  type SpeakerEvent,
  type SpeakerOutput,
} from './contract.ts';
import type { RouteView } from './observe/views.ts';
import { INTERNAL_PEER, type PeerConfig, SPEAKER_DEFAULTS, type SpeakerConfig } from './peer-config.ts';
import { ACCEPT_ALL } from './policy/policy-rules.ts';
import { createSpeaker, type Speaker } from './speaker.ts';

/** A speaker that asks for a tick in the past for ever would turn the test into an endless loop. */
const STEPS_MAX = 200_000;

export interface Host {
  readonly address: Ip;
  config: SpeakerConfig;
  announced: readonly Origination[];
  speaker: Speaker | undefined;
  /** What `best` outputs have made of the kernel: gateways in text by prefix. */
  readonly kernel: Map<string, string>;
  /** Everything the host's speakers had to say, since the last `clear`. */
  readonly outputs: SpeakerOutput[];
}

interface End {
  readonly host: Host;
  readonly speaker: Speaker | undefined;
  readonly connection: ConnectionId;
}

interface Wire {
  readonly ends: readonly [End, End];
  /** How much longer than others it takes. */
  readonly slownessMs: number;
  /** When what was sent last arrives, by the end that it is for: nothing overtakes it. */
  readonly arrivals: [Instant, Instant];
  isCut: boolean;
}

export function config(
  address: string,
  peers: readonly PeerConfig[],
  more: Partial<SpeakerConfig> = {},
): SpeakerConfig {
  return {
    asn: asn(64512),
    routerId: routerIdFromIp(ip(address)),
    nextHops: { 4: ip(address), 6: ip(`fd00::${address.split('.')[3]}`) },
    ...SPEAKER_DEFAULTS,
    peers,
    ...more,
  };
}

export function peer(address: string, more: Partial<PeerConfig> = {}): PeerConfig {
  return {
    ...INTERNAL_PEER,
    address: ip(address),
    asn: asn(64512),
    importPolicy: ACCEPT_ALL,
    exportPolicy: ACCEPT_ALL,
    ...more,
  };
}

/** Every candidate that a speaker knows. */
export function everyRoute(speaker: Speaker | undefined): readonly RouteView[] {
  const all = { prefix: undefined, match: 'exact', peer: undefined, family: undefined, after: undefined } as const;
  return speaker?.routes({ ...all, limit: 10_000 }).routes ?? [];
}

/** What announces these prefixes. */
export function originations(prefixes: readonly string[]): Origination[] {
  return prefixes.map((text) => ({
    prefix: cidr(text),
    device: undefined,
    communities: [],
    largeCommunities: [],
    localPreference: undefined,
  }));
}

function gatewayText({ address, device }: Gateway): string {
  return device === undefined ? formatIp(address) : `${formatIp(address)}%${device}`;
}

export class VirtualNet {
  now: Instant = instant(0);
  readonly #random: Random;
  readonly #latencyMs: number;
  readonly #jitterMs: number;
  readonly #hosts: Host[] = [];
  #wires: Wire[] = [];
  #queue: { readonly at: Instant; readonly run: () => void }[] = [];
  #lastAccepted = -1;
  /** Addresses from and to which nothing gets through, not even a refusal. */
  readonly silenced = new Set<string>();

  constructor(seed: number, latencyMs = 1, jitterMs = 0) {
    this.#random = seededRandom(seed);
    this.#latencyMs = latencyMs;
    this.#jitterMs = jitterMs;
  }

  host(hostConfig: SpeakerConfig, announced: readonly string[] = []): Host {
    const address = hostConfig.nextHops[4];
    assert.ok(address !== undefined);
    const host: Host = {
      address,
      config: hostConfig,
      announced: originations(announced),
      speaker: undefined,
      kernel: new Map(),
      outputs: [],
    };
    this.#hosts.push(host);
    this.start(host);
    return host;
  }

  /** Starts the host's process. */
  start(host: Host): void {
    this.startUntold(host);
    this.tell(host, { kind: 'announce', originations: host.announced });
  }

  /** Starts the host's process without telling it what to announce. */
  startUntold(host: Host): void {
    host.speaker = createSpeaker({ random: this.#random, now: this.now });
    this.tell(host, { kind: 'configure', config: host.config });
  }

  configure(host: Host, hostConfig: SpeakerConfig): void {
    host.config = hostConfig;
    this.tell(host, { kind: 'configure', config: hostConfig });
  }

  announce(host: Host, prefixes: readonly string[]): void {
    host.announced = originations(prefixes);
    this.tell(host, { kind: 'announce', originations: host.announced });
  }

  /** The process ends; its kernel closes the connections, or, without `fin`, the whole host vanishes. */
  kill(host: Host, { fin }: { readonly fin: boolean }): void {
    const wires = this.#wires.filter((wire) =>
      wire.ends.some((end) => end.host === host && end.speaker === host.speaker),
    );
    for (const wire of wires) {
      if (!fin) wire.isCut = true;
      for (const end of wire.ends) if (end.host !== host && fin) this.#close(wire, end);
    }
    host.speaker = undefined;
  }

  /** Cuts one of the connections, if there are any: each end hears of it, or (`silently`) none. */
  cut({ silently }: { readonly silently: boolean }): void {
    const wire = this.#wires[Math.floor(this.#random() * this.#wires.length)];
    if (wire === undefined) return;
    if (silently) wire.isCut = true;
    else for (const end of wire.ends) this.#close(wire, end);
  }

  tell(host: Host, event: SpeakerEvent): void {
    if (host.speaker === undefined) return;
    for (const output of host.speaker.handle(this.now, event)) this.#obey(host, output);
    // The wire is idle here whenever an event has been obeyed, so the work is done at once.
    for (let steps = 0; host.speaker?.hasWork() === true; steps++) {
      assert.ok(steps < STEPS_MAX, 'a speaker has work without end');
      for (const output of host.speaker.handle(this.now, { kind: 'work' })) this.#obey(host, output);
    }
  }

  /** Lets time pass. */
  run(milliseconds: number): void {
    const end = after(this.now, milliseconds);
    for (let steps = 0; ; steps++) {
      assert.ok(steps < STEPS_MAX, 'a speaker wants to be woken without end');
      const timers = this.#hosts.map((host) => host.speaker?.nextTimer());
      const next = timers.reduce(earlier, this.#queue[0]?.at);
      if (next === undefined || next > end) break;
      this.now = instant(Math.max(next, this.now));
      const due = this.#queue[0];
      if (due !== undefined && due.at <= this.now) {
        this.#queue.shift();
        due.run();
      }
      for (const host of this.#hosts) {
        const timer = host.speaker?.nextTimer();
        if (timer !== undefined && timer <= this.now) this.tell(host, { kind: 'tick' });
      }
    }
    this.now = end;
  }

  state(host: Host, address: string): string | undefined {
    return host.speaker?.peers(this.now).find((view) => view.address === address)?.state;
  }

  #obey(host: Host, output: SpeakerOutput): void {
    host.outputs.push(output);
    switch (output.kind) {
      case 'connect':
        this.#connect(host, output.connection, output.peer.address);
        return;
      case 'send':
        this.#send(host, output.connection, output.bytes);
        return;
      case 'close': {
        const wire = this.#wireOf(host, output.connection);
        const far = wire?.ends.find((end) => end.connection !== output.connection);
        if (wire !== undefined && far !== undefined) this.#close(wire, far);
        return;
      }
      case 'best':
        if (output.gateways.length === 0) host.kernel.delete(formatCidr(output.prefix));
        else host.kernel.set(formatCidr(output.prefix), output.gateways.map(gatewayText).join(' '));
        return;
    }
  }

  #connect(host: Host, connection: ConnectionId, address: Ip): void {
    const { speaker } = host;
    this.#later(() => {
      if (this.silenced.has(formatIp(address)) || this.silenced.has(formatIp(host.address))) return;
      if (host.speaker !== speaker) return;
      const target = this.#hosts.find((candidate) => sameIp(candidate.address, address));
      if (target?.speaker === undefined) {
        this.tell(host, { kind: 'connectFailed', connection, reason: 'ECONNREFUSED' });
        return;
      }
      this.#lastAccepted += 2;
      const accepted = connectionId(this.#lastAccepted);
      const near = { host, speaker, connection };
      const far = { host: target, speaker: target.speaker, connection: accepted };
      const slownessMs = this.#jitter();
      this.#wires.push({ ends: [near, far], slownessMs, arrivals: [this.now, this.now], isCut: false });
      this.tell(host, { kind: 'connected', connection, localAddress: host.address });
      const localAddress = target.address;
      const peerAddress = host.address;
      this.tell(target, { kind: 'accepted', connection: accepted, peerAddress, localAddress, device: undefined });
    });
  }

  #send(host: Host, connection: ConnectionId, bytes: Uint8Array): void {
    const wire = this.#wireOf(host, connection);
    const far = wire?.ends.find((end) => end.connection !== connection);
    if (wire === undefined || far === undefined) return;
    let start = 0;
    while (start < bytes.length) {
      const end = Math.min(bytes.length, start + 1 + Math.floor(this.#random() * 2000));
      const chunk = bytes.slice(start, end);
      const event = { kind: 'received', connection: far.connection, bytes: chunk } as const;
      this.#later(() => this.#deliver(wire, far, event), this.#arrival(wire, far));
      start = end;
    }
  }

  #close(wire: Wire, far: End): void {
    const reason = 'the peer has closed the connection';
    this.#later(
      () => {
        this.#deliver(wire, far, { kind: 'closed', connection: far.connection, reason });
        this.#wires = this.#wires.filter((other) => other !== wire);
      },
      this.#arrival(wire, far),
    );
  }

  #deliver(wire: Wire, far: End, event: SpeakerEvent): void {
    const silent = wire.ends.some((end) => this.silenced.has(formatIp(end.host.address)));
    if (!wire.isCut && !silent && far.host.speaker === far.speaker) this.tell(far.host, event);
  }

  #wireOf(host: Host, connection: ConnectionId): Wire | undefined {
    return this.#wires.find((wire) =>
      wire.ends.some((end) => end.connection === connection && end.host === host && end.speaker === host.speaker),
    );
  }

  #jitter(): number {
    return this.#jitterMs === 0 ? 0 : Math.floor(this.#random() * this.#jitterMs);
  }

  #arrival(wire: Wire, far: End): Instant {
    const side = wire.ends[0] === far ? 0 : 1;
    const at = after(this.now, this.#latencyMs + wire.slownessMs + this.#jitter());
    wire.arrivals[side] = instant(Math.max(at, wire.arrivals[side]));
    return wire.arrivals[side];
  }

  #later(run: () => void, at = after(this.now, this.#latencyMs + this.#jitter())): void {
    let place = this.#queue.length;
    while (place > 0 && (this.#queue[place - 1]?.at ?? 0) > at) place -= 1;
    this.#queue.splice(place, 0, { at, run });
  }
}
