/**
 * A rehearsal before the doors open: the first full table must not pay for the compiler.
 *
 * V8 interprets code until it has seen it run often, then compiles it for the types that it saw. Without a rehearsal the
 * first hundred thousand routes after a start, when all peers send all they have, take three times as long as the next. So
 * a speaker that nobody sees is fed a made-up table from one peer for another, and is thrown away: some tenths of a second
 * and a few MB that the collector takes back. It is the code that runs later, with nothing set up for it.
 */

import type { Instant } from '../lib/clock.ts';
import type { Random } from '../lib/prng.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import type { Ip } from '../net/ip.ts';
import { ip } from '../net/ip.ts';
import { connectionId } from './contract.ts';
import { encodeForSending, UpdateWriter } from './export/update-writer.ts';
import { INTERNAL_PEER, SPEAKER_DEFAULTS } from './peer-config.ts';
import type { Speaker } from './speaker.ts';
import { createSpeaker } from './speaker.ts';
import { PrefixTable } from './table/prefix-table.ts';
import { PLAIN_ATTRIBUTES } from './wire/attributes.ts';
import { NO_CAPABILITIES } from './wire/capabilities.ts';
import { KEEPALIVE, MESSAGE_BYTES_MAX } from './wire/message.ts';
import { encodeOpen } from './wire/open.ts';

const AS = asn(64512);
const SELF = ip('192.0.2.1');
const PEERS = [ip('192.0.2.2'), ip('192.0.2.3')] as const;
/** Prefixes that share attributes, as those of one host or one neighbour do. */
const PREFIXES_PER_SET = 100;
/** Bytes that arrive at once. */
const CHUNK_BYTES = 32 * 1024;

interface Table {
  /** The bytes that all prefixes begin with; two bytes of their own follow. */
  readonly head: readonly number[];
  readonly nextHop: Ip;
  readonly sets: number;
}

const TABLES: readonly Table[] = [
  { head: [10], nextHop: PEERS[0], sets: 300 },
  { head: [0x20, 0x01, 0x0d, 0xb8], nextHop: ip('2001:db8::2'), sets: 100 },
];

/** The compiler's best comes after several thousand calls, most of which a table makes once for each set of attributes. */
const ROUNDS = 4;

/**
 * Has a speaker live through the arrival and the loss of a large table, several times. A full garbage collection soon after would take away
 * much of what the compiler has learnt, with the last objects of the shapes that it was learnt from.
 */
export function warmUp(random: Random, now: Instant): void {
  const peers = PEERS.map((address) => ({ ...INTERNAL_PEER, address, asn: AS, passive: true, reflectorClient: true }));
  const config = { ...SPEAKER_DEFAULTS, asn: AS, routerId: routerIdFromIp(SELF), nextHops: {}, peers, installs: false };
  // Two of them: what has been seen once only is compiled for that one.
  const speakers = [createSpeaker({ random, now }), createSpeaker({ random, now })];
  for (const speaker of speakers) speaker.handle(now, { kind: 'configure', config });
  const tables = TABLES.map(updatesFor);
  for (let round = 0; round < ROUNDS; round++) {
    for (const speaker of speakers) rehearse(speaker, now, round, tables);
  }
}

function rehearse(speaker: Speaker, now: Instant, round: number, tables: readonly Uint8Array[]): void {
  const work = (): void => {
    while (speaker.hasWork()) speaker.handle(now, { kind: 'work' });
  };
  const connections = PEERS.map((_, index) => connectionId(2 * (round * PEERS.length + index) + 1));
  for (const [index, peerAddress] of PEERS.entries()) {
    const connection = connections[index] ?? connectionId(1);
    speaker.handle(now, { kind: 'accepted', connection, peerAddress, localAddress: SELF, device: undefined });
    const capabilities = { ...NO_CAPABILITIES, families: [4, 6] as const, fourOctetAsn: AS };
    const open = encodeOpen({ asn: AS, holdTimeSeconds: 0, routerId: routerIdFromIp(peerAddress), capabilities });
    speaker.handle(now, { kind: 'received', connection, bytes: open });
    speaker.handle(now, { kind: 'received', connection, bytes: KEEPALIVE });
    work();
  }
  const [sender = connectionId(1)] = connections;
  for (const bytes of tables) {
    for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
      speaker.handle(now, { kind: 'received', connection: sender, bytes: bytes.subarray(at, at + CHUNK_BYTES) });
      work();
    }
  }
  for (const connection of connections)
    speaker.handle(now, { kind: 'closed', connection, reason: 'the rehearsal is over' });
  work();
}

function updatesFor({ head, nextHop, sets }: Table): Uint8Array {
  const { family } = nextHop;
  const prefixes = new PrefixTable(family);
  const writer = new UpdateWriter(prefixes, MESSAGE_BYTES_MAX, false);
  const prefix = Uint8Array.from([(head.length + 2) * 8, ...head, 0, 0]);
  for (let set = 0; set < sets; set++) {
    const attributes = { ...PLAIN_ATTRIBUTES, nextHop, localPreference: 100, communities: [set] };
    const encoded = encodeForSending(attributes, family, 4, MESSAGE_BYTES_MAX);
    const rows = Array.from({ length: PREFIXES_PER_SET }, (_, index) => {
      const ordinal = set * PREFIXES_PER_SET + index;
      prefix.set([ordinal >> 8, ordinal], prefix.length - 2);
      return prefixes.add(prefix, 0);
    });
    if (encoded !== undefined) writer.announce(encoded, rows, []);
  }
  return writer.take();
}
