/**
 * One session, an owner that writes down what it is told, and a peer that says what a test wants, byte by byte if need be.
 *
 * Time is virtual: `run` lives through it, tick by tick.
 */
import assert from 'node:assert/strict';
import { after, type Instant, instant } from '../../lib/clock.ts';
import { asn, routerId, routerIdFromIp } from '../../net/asn.ts';
import { ip } from '../../net/ip.ts';
import { type ConnectionId, connectionId, type SpeakerOutput } from '../contract.ts';
import { INTERNAL_PEER, type PeerConfig, SPEAKER_DEFAULTS, type SpeakerConfig } from '../peer-config.ts';
import { type Capabilities, type GracefulRestart, NO_CAPABILITIES } from '../wire/capabilities.ts';
import type { BgpError } from '../wire/errors.ts';
import { isBgpError } from '../wire/errors.ts';
import { decodeNotification, KEEPALIVE, MESSAGE_TYPE, MessageFramer } from '../wire/message.ts';
import { decodeOpen, encodeOpen, type Open } from '../wire/open.ts';
import type { Refresh } from '../wire/route-refresh.ts';
import type { Negotiated } from './negotiated.ts';
import { type OwnRestart, ownOpenFor } from './own-open.ts';
import { Session, type SessionOwner } from './session.ts';

export const OURS = '10.0.0.100';
/** Identifiers of a peer, below and above ours. */
export const LOW = '1.0.0.1';
export const HIGH = '200.0.0.1';
const PEER = ip('10.0.0.2');

export const SPEAKER: SpeakerConfig = {
  ...SPEAKER_DEFAULTS,
  asn: asn(64512),
  routerId: routerIdFromIp(ip(OURS)),
  nextHops: { 4: ip(OURS) },
  peers: [],
};

/** A peer of our AS that dials us, unless told otherwise. */
export function peerConfig(more: Partial<PeerConfig> = {}): PeerConfig {
  return { ...INTERNAL_PEER, address: PEER, asn: asn(64512), passive: true, ...more };
}

/** An OPEN; without more it has both families, 32-bit AS numbers and route refresh, and no graceful restart. */
export function openFrom(id: string, more: Partial<Capabilities> = {}, asNumber = 64512, holdTimeSeconds = 90): Open {
  const capabilities: Capabilities = {
    ...NO_CAPABILITIES,
    families: [4, 6],
    fourOctetAsn: asNumber,
    routeRefresh: true,
    ...more,
  };
  return { asn: asn(asNumber), holdTimeSeconds, routerId: routerId(routerIdFromIp(ip(id))), capabilities };
}

/** Graceful restart for both families. */
export function restart(more: Partial<GracefulRestart> = {}): GracefulRestart {
  const families = ([4, 6] as const).map((family) => ({ family, forwardingPreserved: true }));
  return { restarting: false, notification: false, restartTimeSeconds: 60, families, ...more };
}

const NAMES: readonly (string | undefined)[] = [undefined, 'OPEN', 'UPDATE', undefined, 'KEEPALIVE', 'ROUTE-REFRESH'];

export class SessionRig implements SessionOwner {
  now: Instant = instant(0);
  readonly session: Session;
  readonly outputs: SpeakerOutput[] = [];
  readonly updates: Uint8Array[] = [];
  readonly refreshes: Refresh[] = [];
  readonly downs: { readonly recoverable: boolean; readonly reason: string }[] = [];
  negotiated: Negotiated | undefined;
  ownRestart: OwnRestart = { restarting: false, forwardingKept: [4, 6] };
  updateError: BgpError | undefined;
  #lastAccepted = -1;
  #lastDialled = 0;

  constructor(config: PeerConfig = peerConfig(), random = () => 0.5) {
    this.session = new Session(this.now, config, this, random);
    this.session.start(this.now);
  }

  unanswered(): void {}

  emit(output: SpeakerOutput): void {
    this.outputs.push(output);
  }

  nextConnection(): ConnectionId {
    this.#lastDialled += 2;
    return connectionId(this.#lastDialled);
  }

  ownOpen(): Open {
    return ownOpenFor(this.session.config, SPEAKER, this.ownRestart);
  }

  established(_now: Instant, negotiated: Negotiated): void {
    this.negotiated = negotiated;
  }

  update(_now: Instant, body: Uint8Array): BgpError | undefined {
    this.updates.push(body.slice());
    return this.updateError;
  }

  refresh(_now: Instant, refresh: Refresh): void {
    this.refreshes.push(refresh);
  }

  down(_now: Instant, end: { readonly recoverable: boolean; readonly reason: string }): void {
    this.downs.push(end);
    this.negotiated = undefined;
  }

  run(milliseconds: number): void {
    const end = after(this.now, milliseconds);
    for (let next = this.session.nextTimer(); next !== undefined && next <= end; next = this.session.nextTimer()) {
      this.now = instant(Math.max(next, this.now));
      this.session.tick(this.now);
      const again = this.session.nextTimer();
      assert.ok(again === undefined || again > this.now, `after a tick at ${this.now} it wants another at ${again}`);
    }
    this.now = end;
  }

  /** The peer dials us. */
  accept(): ConnectionId {
    this.#lastAccepted += 2;
    const connection = connectionId(this.#lastAccepted);
    this.session.accepted(this.now, connection, ip(OURS));
    return connection;
  }

  /** Waits for a dial, and lets it get through. */
  connect(): ConnectionId {
    const before = this.dials();
    for (let tries = 0; this.dials() === before; tries++) {
      assert.ok(tries < 1000, 'never dials');
      this.run(100);
    }
    const connection = connectionId(this.#lastDialled);
    this.session.connected(this.now, connection, ip(OURS));
    return connection;
  }

  dials(): number {
    return this.outputs.filter((output) => output.kind === 'connect').length;
  }

  receive(connection: ConnectionId, ...messages: readonly (Uint8Array | Open)[]): void {
    const bytes = messages.flatMap((message) => [...(message instanceof Uint8Array ? message : encodeOpen(message))]);
    this.session.received(this.now, connection, Uint8Array.from(bytes));
  }

  /** A session that is up, over a connection that the peer opened. */
  establish(open: Open = openFrom(LOW)): ConnectionId {
    const connection = this.accept();
    this.receive(connection, open, KEEPALIVE);
    assert.equal(this.session.state, 'Established', this.session.lastError);
    return connection;
  }

  /** What was sent and closed on a connection, in a word each: "OPEN KEEPALIVE 6/7 closed". */
  said(connection: ConnectionId): string {
    const words: string[] = [];
    for (const output of this.outputs) {
      if (output.kind === 'close' && output.connection === connection) words.push('closed');
      if (output.kind !== 'send' || output.connection !== connection) continue;
      for (const { type, body } of new MessageFramer().push(output.bytes).frames) {
        const { code, subcode } = decodeNotification(body);
        words.push(type === MESSAGE_TYPE.notification ? `${code}/${subcode}` : (NAMES[type] ?? '?'));
      }
    }
    return words.join(' ');
  }

  /** The body of the last message sent, whatever it was. */
  lastBody(): Uint8Array {
    const sent = this.outputs.findLast((output) => output.kind === 'send');
    assert.ok(sent?.kind === 'send', 'nothing was sent');
    return sent.bytes.subarray(19);
  }

  openOn(connection: ConnectionId): Open {
    const sent = this.outputs.find((output) => output.kind === 'send' && output.connection === connection);
    assert.ok(sent?.kind === 'send');
    const open = decodeOpen(sent.bytes.subarray(19));
    assert.ok(!isBgpError(open));
    return open;
  }
}
