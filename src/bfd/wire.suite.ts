/**
 * A BFD machine under a virtual clock: one against packets that a test writes, or two across a wire that can lose them.
 *
 * `Alone` drives one machine and keeps what it says; `Pair` joins two. Time moves only in `run`, from timer to timer, so an
 * hour of packets takes milliseconds. Used by the tests beside this file.
 */
import type { Instant } from '../lib/clock.ts';
import { after, earlier, instant } from '../lib/clock.ts';
import { seededRandom } from '../lib/prng.ts';
import { ip } from '../net/ip.ts';
import type { BfdMachine } from './bfd.ts';
import { createBfd } from './bfd.ts';
import type { BfdEvent, BfdOutput, BfdPeer, BfdView } from './contract.ts';
import type { ControlPacket } from './packet.ts';
import { decodePacket, encodePacket } from './packet.ts';

export const PEER: BfdPeer = {
  name: 'peer',
  address: ip('10.0.0.2'),
  localAddress: ip('10.0.0.1'),
  device: undefined,
  multihop: false,
  intervalMs: 300,
  multiplier: 3,
};

export type Sent = ControlPacket & { readonly at: number; readonly name: string };

/** What a scripted peer says unless a test says otherwise: it is Down, has discriminator 77, and takes 300 ms. */
const SAYS: ControlPacket = {
  state: 'Down',
  diagnostic: 0,
  poll: false,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  multiplier: 3,
  myDiscriminator: 77,
  yourDiscriminator: 0,
  desiredMinTxUs: 300_000,
  requiredMinRxUs: 300_000,
};

export class Alone {
  readonly machine: BfdMachine;
  now: Instant = instant(1_000);
  readonly sent: Sent[] = [];
  readonly outputs: BfdOutput[] = [];
  /** Called with each packet that leaves. */
  onSend: (packet: Sent, bytes: Uint8Array) => void = () => undefined;

  constructor(seed = 1) {
    this.machine = createBfd({ random: seededRandom(seed) });
  }

  do(event: BfdEvent): BfdOutput[] {
    const outputs = this.machine.handle(this.now, event);
    for (const output of outputs) {
      this.outputs.push(output);
      if (output.kind !== 'send') continue;
      const packet = decodePacket(output.bytes);
      if ('refused' in packet) throw new Error(`we send what we would refuse: ${packet.refused}`);
      const sent = { ...packet, at: this.now, name: output.name };
      this.sent.push(sent);
      this.onSend(sent, output.bytes);
    }
    return outputs;
  }

  /** The peer says something; by default with our discriminator in it as soon as it could know it. */
  hears(packet: Partial<ControlPacket>, where: Partial<Extract<BfdEvent, { kind: 'packet' }>> = {}): BfdOutput[] {
    const yourDiscriminator = packet.state === 'Down' ? 0 : (this.view()?.localDiscriminator ?? 0);
    const bytes = encodePacket({ ...SAYS, yourDiscriminator, ...packet });
    return this.do({ kind: 'packet', bytes, from: PEER.address, device: undefined, multihop: false, ...where });
  }

  /** Lets time pass, ticking exactly when asked to. */
  run(milliseconds: number): void {
    const end = after(this.now, milliseconds);
    for (;;) {
      const next = this.machine.nextTimer();
      if (next === undefined || next > end) break;
      if (next > this.now) this.now = next;
      this.do({ kind: 'tick' });
    }
    this.now = end;
  }

  /** Lets time pass during which nothing runs, and then ticks once. */
  stall(milliseconds: number): void {
    this.now = after(this.now, milliseconds);
    this.do({ kind: 'tick' });
  }

  view(name = PEER.name): BfdView | undefined {
    return this.machine.view(this.now, name);
  }

  get downs(): string[] {
    return this.outputs.flatMap((output) => (output.kind === 'down' ? [output.reason] : []));
  }

  /** A session that is Up with a scripted peer, whose poll has been answered. */
  static up(peer: BfdPeer = PEER, seed = 1): Alone {
    const alone = new Alone(seed);
    alone.do({ kind: 'watch', peer });
    alone.hears({ state: 'Down' }, { multihop: peer.multihop });
    alone.hears({ state: 'Init' }, { multihop: peer.multihop });
    alone.hears({ state: 'Up', final: true }, { multihop: peer.multihop });
    return alone;
  }
}

/** Two machines that watch each other; packets take a millisecond. */
export class Pair {
  readonly ends: readonly [Alone, Alone];
  readonly #travelling: { readonly at: Instant; readonly to: 0 | 1; readonly bytes: Uint8Array }[] = [];
  /** Whether a packet towards this end is lost. */
  loses: (to: 0 | 1) => boolean = () => false;

  constructor(seed: number, change: Partial<BfdPeer> = {}, changeOther: Partial<BfdPeer> = {}) {
    this.ends = [new Alone(seed), new Alone(seed + 1)];
    for (const [index, end] of this.ends.entries()) {
      const to = index === 0 ? 1 : 0;
      end.onSend = (_, bytes) => {
        if (!this.loses(to)) this.#travelling.push({ at: after(end.now, 1), to, bytes });
      };
    }
    this.ends[0].do({ kind: 'watch', peer: { ...PEER, ...change } });
    const peer = { ...PEER, address: PEER.localAddress, localAddress: PEER.address };
    this.ends[1].do({ kind: 'watch', peer: { ...peer, ...changeOther } });
  }

  run(milliseconds: number): void {
    const end = after(this.ends[0].now, milliseconds);
    for (;;) {
      const timers = this.ends.map(({ machine }) => machine.nextTimer());
      const next = [...timers, this.#travelling[0]?.at].reduce(earlier);
      if (next === undefined || next > end) break;
      for (const each of this.ends) if (next > each.now) each.now = next;
      this.#arrive(next);
      for (const each of this.ends) {
        const timer = each.machine.nextTimer();
        if (timer !== undefined && timer <= each.now) each.do({ kind: 'tick' });
      }
    }
    for (const each of this.ends) each.now = end;
  }

  get states(): (string | undefined)[] {
    return this.ends.map((end) => end.machine.views(end.now)[0]?.state);
  }

  #arrive(now: Instant): void {
    for (let first = this.#travelling[0]; first !== undefined && first.at <= now; first = this.#travelling[0]) {
      this.#travelling.shift();
      const from = first.to === 0 ? PEER.address : PEER.localAddress;
      this.ends[first.to].do({ kind: 'packet', bytes: first.bytes, from, device: undefined, multihop: false });
    }
  }
}
