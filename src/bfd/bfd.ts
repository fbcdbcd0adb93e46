/**
 * All BFD sessions of a host: which session a packet is for, and which are coming and going.
 *
 * A packet that repeats our discriminator belongs to its session, wherever it came from; one that knows none yet is told by
 * its sender's address (RFC 5880 section 6.3, RFC 5881 section 3). What came over several hops is never for a session of one
 * link: there the TTL of 255 is all the proof of origin that there is. A session that is watched no more says so for a
 * detection time before it goes. Called by the shell in node/bfd-sockets.ts.
 */
import type { Instant } from '../lib/clock.ts';
import { earlier } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp, sameIp } from '../net/ip.ts';
import type { BfdEvent, BfdOutput, BfdPeer, BfdView } from './contract.ts';
import { decodePacket } from './packet.ts';
import { Session } from './session.ts';

export interface BfdMachine {
  /** Does what the event asks for, and returns all that follows from it. */
  handle(now: Instant, event: BfdEvent): BfdOutput[];
  /** When to call with a `tick`; undefined for never. */
  nextTimer(): Instant | undefined;
  views(now: Instant): BfdView[];
  /** One session; undefined when there is none of that name. */
  view(now: Instant, name: string): BfdView | undefined;
}

/** A machine without sessions; `random` gives jitter and discriminators. */
export function createBfd(options: { readonly random: Random }): BfdMachine {
  return new Sessions(options.random);
}

class Sessions implements BfdMachine {
  readonly #random: Random;
  readonly #byName = new Map<string, Session>();
  readonly #byDiscriminator = new Map<number, Session>();
  readonly #byAddress = new Map<string, Session>();

  constructor(random: Random) {
    this.#random = random;
  }

  handle(now: Instant, event: BfdEvent): BfdOutput[] {
    switch (event.kind) {
      case 'watch':
        return this.#watch(now, event.peer);
      case 'unwatch':
        return this.#unwatch(now, event.name);
      case 'packet':
        return this.#receive(now, event);
      case 'tick':
        return this.#tick(now);
      case 'shutdown':
        return [...this.#byName.values()].flatMap((session) => [...session.end(now), this.#remove(session)]);
    }
  }

  nextTimer(): Instant | undefined {
    let next: Instant | undefined;
    for (const session of this.#byName.values()) next = earlier(next, session.nextTimer());
    return next;
  }

  views(now: Instant): BfdView[] {
    return Array.from(this.#byName.values(), (session) => session.view(now));
  }

  view(now: Instant, name: string): BfdView | undefined {
    return this.#byName.get(name)?.view(now);
  }

  #watch(now: Instant, peer: BfdPeer): BfdOutput[] {
    const known = this.#byName.get(peer.name);
    if (known !== undefined && !known.isEnding && isSamePath(known.peer, peer)) {
      known.reconfigure(now, peer);
      return [];
    }
    const outputs = known === undefined ? [] : [...known.end(now), this.#remove(known)];
    const session = new Session(now, peer, this.#freeDiscriminator(), this.#random);
    this.#byName.set(peer.name, session);
    this.#byDiscriminator.set(session.discriminator, session);
    this.#byAddress.set(addressKey(peer.address, peer.device, peer.multihop), session);
    return [...outputs, { kind: 'open', peer }];
  }

  #unwatch(now: Instant, name: string): BfdOutput[] {
    const session = this.#byName.get(name);
    if (session === undefined) return [];
    const outputs = session.end(now);
    return session.isOver(now) ? [...outputs, this.#remove(session)] : outputs;
  }

  #receive(now: Instant, event: Extract<BfdEvent, { readonly kind: 'packet' }>): BfdOutput[] {
    const packet = decodePacket(event.bytes);
    if ('refused' in packet) return [];
    const session =
      packet.yourDiscriminator === 0
        ? this.#byAddress.get(addressKey(event.from, event.device, event.multihop))
        : this.#byDiscriminator.get(packet.yourDiscriminator);
    if (session === undefined || session.peer.multihop !== event.multihop) return [];
    return session.receive(now, packet);
  }

  #tick(now: Instant): BfdOutput[] {
    const lateMs = Math.max(now - (this.nextTimer() ?? now), 0);
    const outputs: BfdOutput[] = [];
    for (const session of [...this.#byName.values()]) {
      outputs.push(...session.tick(now, lateMs));
      if (session.isOver(now)) outputs.push(this.#remove(session));
    }
    return outputs;
  }

  #remove({ peer, discriminator }: Session): BfdOutput {
    this.#byName.delete(peer.name);
    this.#byDiscriminator.delete(discriminator);
    this.#byAddress.delete(addressKey(peer.address, peer.device, peer.multihop));
    return { kind: 'close', name: peer.name };
  }

  /** Section 6.8.1: not zero, unique on this host, and random, so that nobody off the path can guess it. */
  #freeDiscriminator(): number {
    for (;;) {
      const candidate = Math.floor(this.#random() * 2 ** 32);
      if (candidate !== 0 && !this.#byDiscriminator.has(candidate)) return candidate;
    }
  }
}

function addressKey(address: Ip, device: string | undefined, multihop: boolean): string {
  return `${formatIp(address)}%${device ?? ''}${multihop ? ' multihop' : ''}`;
}

function isSamePath(a: BfdPeer, b: BfdPeer): boolean {
  return (
    sameIp(a.address, b.address) &&
    sameIp(a.localAddress, b.localAddress) &&
    a.device === b.device &&
    a.multihop === b.multihop
  );
}
