/**
 * One speaker, and peers that say exactly what a test wants, byte by byte if need be.
 *
 * Where virtual-net.suite.ts shows that two speakers get along, this shows what one does with a peer that misbehaves or
 * that talks in an order no speaker of ours would.
 */
import assert from 'node:assert/strict';
import { after, type Instant, instant } from '../lib/clock.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { type Ip, ip } from '../net/ip.ts';
import { type ConnectionId, connectionId, type SpeakerOutput } from './contract.ts';
import { encodeForSending, UpdateWriter } from './export/update-writer.ts';
import type { SpeakerConfig } from './peer-config.ts';
import { createSpeaker, type Speaker } from './speaker.ts';
import { PrefixTable } from './table/prefix-table.ts';
import { originations } from './virtual-net.suite.ts';
import type { PathAttributes } from './wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';
import { type Capabilities, NO_CAPABILITIES } from './wire/capabilities.ts';
import { isBgpError } from './wire/errors.ts';
import { decodeNotification, KEEPALIVE, MESSAGE_TYPE, MessageFramer } from './wire/message.ts';
import { decodeOpen, encodeOpen, type Open } from './wire/open.ts';

/** Our end of a connection. */
interface ScriptedEnd {
  readonly localAddress?: string | undefined;
  readonly device?: string | undefined;
}

export class ScriptedWorld {
  now: Instant = instant(0);
  readonly speaker: Speaker;
  readonly outputs: SpeakerOutput[] = [];
  #lastAccepted = -1;

  constructor(config: SpeakerConfig, announced: readonly string[] | undefined = []) {
    this.speaker = createSpeaker({ random: () => 0.5, now: this.now });
    this.tell({ kind: 'configure', config });
    if (announced.length > 0) this.tell({ kind: 'announce', originations: originations(announced) });
  }

  tell(event: Parameters<Speaker['handle']>[1]): void {
    this.outputs.push(...this.speaker.handle(this.now, event));
    while (this.speaker.hasWork()) this.outputs.push(...this.speaker.handle(this.now, { kind: 'work' }));
  }

  run(milliseconds: number): void {
    const end = after(this.now, milliseconds);
    for (let next = this.speaker.nextTimer(); next !== undefined && next <= end; next = this.speaker.nextTimer()) {
      this.now = instant(Math.max(next, this.now));
      this.tell({ kind: 'tick' });
    }
    this.now = end;
  }

  /** The peer dials us. */
  accept(address: string, { localAddress = '10.0.0.100', device }: ScriptedEnd = {}): ConnectionId {
    this.#lastAccepted += 2;
    const connection = connectionId(this.#lastAccepted);
    this.tell({
      kind: 'accepted',
      connection,
      peerAddress: ip(address),
      localAddress: ip(localAddress),
      device,
    });
    return connection;
  }

  /** The last connection that the speaker asked for, undefined without. */
  dialled(): ConnectionId | undefined {
    return this.outputs.findLast((output) => output.kind === 'connect')?.connection;
  }

  receive(connection: ConnectionId, ...messages: readonly Uint8Array[]): void {
    const bytes = Uint8Array.from(messages.flatMap((message) => [...message]));
    this.tell({ kind: 'received', connection, bytes });
  }

  /** A session that is up, over a connection that the peer opened. */
  establish(address: string, open: Uint8Array, end: ScriptedEnd = {}): ConnectionId {
    const connection = this.accept(address, end);
    this.receive(connection, open, KEEPALIVE);
    assert.equal(this.state(end.device === undefined ? address : `${address}%${end.device}`), 'Established');
    return connection;
  }

  state(address: string): string | undefined {
    return this.speaker.peers(this.now).find((view) => view.address === address)?.state;
  }

  /** What was sent and closed on a connection, in a word each: "OPEN KEEPALIVE 6/7 closed". */
  said(connection: ConnectionId): string {
    const words: string[] = [];
    const framer = new MessageFramer();
    for (const output of this.outputs) {
      if (output.kind === 'close' && output.connection === connection) words.push('closed');
      if (output.kind !== 'send' || output.connection !== connection) continue;
      for (const { type, body } of framer.push(output.bytes).frames) {
        const { code, subcode } = decodeNotification(body);
        words.push(type === MESSAGE_TYPE.notification ? `${code}/${subcode}` : (NAMES[type] ?? '?'));
      }
    }
    return words.join(' ');
  }

  openOn(connection: ConnectionId): Open {
    const sent = this.outputs.find((output) => output.kind === 'send' && output.connection === connection);
    assert.ok(sent?.kind === 'send');
    const open = decodeOpen(sent.bytes.subarray(19));
    assert.ok(!isBgpError(open));
    return open;
  }

  /** Prefixes with a way to them, as the `best` outputs have it. */
  kernel(): string[] {
    const prefixes = new Set<string>();
    for (const output of this.outputs) {
      if (output.kind !== 'best') continue;
      if (output.gateways.length > 0) prefixes.add(formatCidr(output.prefix));
      else prefixes.delete(formatCidr(output.prefix));
    }
    return [...prefixes].sort();
  }
}

const NAMES: readonly (string | undefined)[] = [undefined, 'OPEN', 'UPDATE', undefined, 'KEEPALIVE', 'ROUTE-REFRESH'];

/** An OPEN; without more it has both families, 32-bit AS numbers, and no graceful restart. */
export function openFrom(id: string, more: Partial<Capabilities> = {}, asNumber = 64512): Uint8Array {
  const capabilities = { ...NO_CAPABILITIES, families: [4, 6] as const, fourOctetAsn: asNumber, ...more };
  return encodeOpen({ asn: asn(asNumber), holdTimeSeconds: 90, routerId: routerIdFromIp(ip(id)), capabilities });
}

/** Graceful restart for both families. */
export function restartCapability(forwardingPreserved = true, restarting = false): Partial<Capabilities> {
  const families = ([4, 6] as const).map((family) => ({ family, forwardingPreserved }));
  return { gracefulRestart: { restarting, notification: false, restartTimeSeconds: 60, families } };
}

/** UPDATEs that announce prefixes with the given next hop. */
export function announce(nextHop: Ip, prefixes: readonly string[], more: Partial<PathAttributes> = {}): Uint8Array {
  const prefixTables = { 4: new PrefixTable(4), 6: new PrefixTable(6) };
  const family = cidr(prefixes[0] ?? '0.0.0.0/0').address.family;
  const attributes = { ...PLAIN_ATTRIBUTES, localPreference: 100, ...more, nextHop };
  const encoded = encodeForSending(attributes, family, 4, 4096);
  assert.ok(encoded !== undefined);
  const table = prefixTables[family];
  const writer = new UpdateWriter(table, 4096, false);
  writer.announce(
    encoded,
    prefixes.map((prefix) => table.addPrefix(cidr(prefix))),
    [],
  );
  return writer.take();
}
