/**
 * A BMP collector for tests: reads the stream strictly by RFC 7854 and keeps what it was told, as a table of each peer.
 *
 * Whatever is not as the RFC has it throws: a version, a length, a message of a peer that is not up, an UPDATE that is
 * malformed. Nothing is shared with the encoder but the reader of BGP messages.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { isBgpError } from '../../bgp/wire/errors.ts';
import { prefixesIn } from '../../bgp/wire/nlri.ts';
import type { Open } from '../../bgp/wire/open.ts';
import { decodeOpen } from '../../bgp/wire/open.ts';
import { UpdateDecoder } from '../../bgp/wire/update.ts';
import { ByteReader } from '../../lib/bytes.ts';
import { formatCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import { formatIp, ipFromBytes } from '../../net/ip.ts';

export interface CollectedPeer {
  readonly sent: Open;
  readonly received: Open;
  readonly localAddress: string;
  readonly remotePort: number;
  /** "10.0.0.0/8 1 via 10.0.0.2 path 65001", by prefix and path identifier. */
  readonly routes: Map<string, string>;
  readonly endOfRib: Family[];
}

export class BmpCollector {
  readonly peers = new Map<string, CollectedPeer>();
  /** What came, a line each: "initiation host-a", "up 10.0.0.2", "down 10.0.0.2: 3 6/2". */
  readonly log: string[] = [];
  readonly #events = new EventEmitter();
  readonly #server: Server;
  #socket: Socket | undefined;
  #rest = Buffer.alloc(0);
  failure: Error | undefined;

  constructor() {
    this.#server = createServer((socket) => {
      this.#socket = socket;
      this.#rest = Buffer.alloc(0);
      this.peers.clear();
      this.log.push('connected');
      socket.on('data', (bytes) => {
        if (socket === this.#socket) this.#take(bytes);
      });
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.log.push('closed');
        this.#events.emit('news');
      });
      this.#events.emit('news');
    });
  }

  async listen(): Promise<number> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    const address = this.#server.address();
    assert.ok(typeof address === 'object' && address !== null);
    return address.port;
  }

  get socket(): Socket {
    assert.ok(this.#socket !== undefined, 'nobody has connected');
    return this.#socket;
  }

  /** Resolves once the condition holds. */
  async until(condition: () => boolean): Promise<void> {
    while (!condition()) {
      if (this.failure !== undefined) throw this.failure;
      await once(this.#events, 'news');
    }
  }

  close(): void {
    this.#socket?.destroy();
    this.#server.close();
  }

  #take(bytes: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    try {
      while (this.#rest.length >= 6) {
        assert.equal(this.#rest[0], 3, 'version');
        const length = this.#rest.readUInt32BE(1);
        assert.ok(length >= 6 && length < 70_000, `length ${length}`);
        if (this.#rest.length < length) break;
        this.#message(this.#rest[5]!, new ByteReader(this.#rest.subarray(6, length)));
        this.#rest = this.#rest.subarray(length);
      }
    } catch (error) {
      this.failure = error as Error;
      this.#socket?.destroy();
    }
    this.#events.emit('news');
  }

  #message(type: number, reader: ByteReader): void {
    if (this.log.at(-1) === 'connected') assert.equal(type, 4, 'initiation comes first');
    if (type === 4 || type === 5) {
      const values = informationOf(reader);
      if (type === 4) assert.ok(values.get(1)?.startsWith('muslin '), 'system description');
      this.log.push(type === 4 ? `initiation ${values.get(2)}` : `termination ${values.get(0)}`);
      return;
    }
    const { name, isLegacy } = peerHeader(reader);
    if (type === 3) {
      this.#up(name, reader);
      return;
    }
    const peer = this.peers.get(name);
    assert.ok(peer !== undefined, `a message of type ${type} of ${name}, which is not up`);
    if (type === 0) this.#update(peer, reader, isLegacy);
    else if (type === 1) this.log.push(`statistics ${name}: ${statisticsOf(reader)}`);
    else {
      assert.equal(type, 2, 'type');
      const reason = reader.u8();
      const notification = reason === 1 || reason === 3 ? bgpMessage(reader, 3) : undefined;
      if (reason === 2) assert.equal(reader.take(2)?.length, 2);
      this.peers.delete(name);
      this.log.push(`down ${name}: ${reason}${notification === undefined ? '' : ` ${notification.join('/')}`}`);
    }
    assert.equal(reader.remaining, 0, `bytes left over in a message of type ${type}`);
  }

  #up(name: string, reader: ByteReader): void {
    const localAddress = addressOf(reader, name.includes(':'));
    reader.u16();
    const remotePort = reader.u16()!;
    const [sent, received] = [decodeOpen(bgpMessage(reader, 1)), decodeOpen(bgpMessage(reader, 1))];
    assert.ok(!isBgpError(sent) && !isBgpError(received));
    assert.ok(!this.peers.has(name), `${name} is up already`);
    assert.equal(reader.remaining, 0);
    this.peers.set(name, { sent, received, localAddress, remotePort, routes: new Map(), endOfRib: [] });
    this.log.push(`up ${name}`);
  }

  #update(peer: CollectedPeer, reader: ByteReader, isLegacy: boolean): void {
    const both = (family: Family) =>
      peer.sent.capabilities.addPath.some((each) => each.family === family && each.receive) &&
      peer.received.capabilities.addPath.some((each) => each.family === family && each.send);
    const decoder = new UpdateDecoder({
      asnBytes: isLegacy ? 2 : 4,
      external: peer.sent.asn !== peer.received.asn,
      families: [4, 6],
      peerAsn: peer.received.asn,
      enforceFirstAs: false,
      role: undefined,
      addPathReceive: ([4, 6] as const).filter(both),
      ipv4OverIpv6: true,
    });
    const body = bgpMessage(reader, 2);
    const update = decoder.decode(body);
    assert.ok(!isBgpError(update), 'an UPDATE that resets the session');
    assert.deepEqual(update.problems, []);
    if (update.endOfRib !== undefined) peer.endOfRib.push(update.endOfRib);
    for (const range of update.withdrawn)
      for (const { prefix, pathId } of prefixesIn(body, range)) peer.routes.delete(`${formatCidr(prefix)} ${pathId}`);
    for (const { range, attributes } of update.announced)
      for (const { prefix, pathId } of prefixesIn(body, range))
        peer.routes.set(
          `${formatCidr(prefix)} ${pathId}`,
          `via ${formatIp(attributes.nextHop!)} path ${attributes.asPath.join(' ')}`,
        );
  }
}

function informationOf(reader: ByteReader): Map<number, string> {
  const values = new Map<number, string>();
  while (reader.remaining > 0) {
    const type = reader.u16()!;
    const value = reader.take(reader.u16()!);
    assert.ok(value !== undefined, 'information is longer than its message');
    values.set(type, Buffer.from(value).toString());
  }
  return values;
}

function peerHeader(reader: ByteReader): { readonly name: string; readonly isLegacy: boolean } {
  assert.equal(reader.u8(), 0, 'peer type');
  const flags = reader.u8()!;
  assert.equal(flags & ~0xa0, 0, 'flags');
  assert.deepEqual(Buffer.from(reader.take(8)!), Buffer.alloc(8), 'distinguisher');
  const name = addressOf(reader, (flags & 0x80) !== 0);
  assert.ok(reader.u32()! > 0 && reader.u32()! > 0, 'AS and router identifier');
  assert.ok(Math.abs(reader.u32()! - Date.now() / 1_000) < 60, 'seconds');
  assert.ok(reader.u32()! < 1_000_000, 'microseconds');
  return { name, isLegacy: (flags & 0x20) !== 0 };
}

function addressOf(reader: ByteReader, isIpv6: boolean): string {
  const bytes = reader.take(16)!;
  if (!isIpv6) assert.deepEqual(Buffer.from(bytes.subarray(0, 12)), Buffer.alloc(12));
  return formatIp(ipFromBytes(isIpv6 ? bytes : bytes.subarray(12)));
}

/** The body of a BGP message of this type. */
function bgpMessage(reader: ByteReader, type: number): Uint8Array {
  assert.deepEqual(Buffer.from(reader.take(16)!), Buffer.alloc(16, 0xff), 'marker');
  const length = reader.u16()!;
  assert.equal(reader.u8(), type, 'type of the BGP message');
  const body = reader.take(length - 19);
  assert.ok(body !== undefined, 'a BGP message is longer than what is around it');
  return body;
}

function statisticsOf(reader: ByteReader): string {
  const texts: string[] = [];
  const count = reader.u32()!;
  for (let index = 0; index < count; index++) {
    const type = reader.u16();
    const value = reader.take(reader.u16()!)!;
    assert.ok(value.length === 4 || value.length === 8);
    texts.push(`${type}=${Buffer.from(value).readUInt32BE(value.length - 4)}`);
  }
  return texts.join(' ');
}
