/**
 * The transport over real sockets on the loopback device, with a speaker that does what the test says.
 *
 * Nothing is timed: each step waits until an event has come that it waits for.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { connect, createServer, type Server, type Socket, Socket as SocketClass } from 'node:net';
import { test } from 'node:test';
import type { ConnectionId, SpeakerEvent, SpeakerOutput } from '../../bgp/contract.ts';
import { connectionId } from '../../bgp/contract.ts';
import type { PeerConfig } from '../../bgp/peer-config.ts';
import { INTERNAL_PEER } from '../../bgp/peer-config.ts';
import type { Instant } from '../../lib/clock.ts';
import { after, monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { asn } from '../../net/asn.ts';
import { formatIp, type Ip, ip } from '../../net/ip.ts';
import { BLOCKED_BYTES, GIVEN_UP_BYTES } from './bgp-connection.ts';
import { BgpListenError } from './bgp-listeners.ts';
import { type BgpTransport, type SpeakerMachine, startBgpTransport } from './bgp-transport.ts';

const LIMIT = { timeout: 20_000 };
const A = ip('127.0.0.1');
const B = ip('127.0.0.2');
const OUT = connectionId(2);
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

/** Does nothing of its own: keeps what it is told, and answers what the test has put on the list. */
class Puppet implements SpeakerMachine {
  readonly events: SpeakerEvent[] = [];
  readonly arrivals = new EventEmitter();
  /** Given as the answer to the next event. */
  outputs: SpeakerOutput[] = [];
  timer: Instant | undefined;
  workLeft = 0;
  onEvent: (event: SpeakerEvent) => void = () => {};

  handle(_now: Instant, event: SpeakerEvent): SpeakerOutput[] {
    this.events.push(event.kind === 'received' ? { ...event, bytes: event.bytes.slice() } : event);
    if (event.kind === 'work') this.workLeft--;
    this.onEvent(event);
    setImmediate(() => this.arrivals.emit('event'));
    return this.outputs.splice(0);
  }

  nextTimer(): Instant | undefined {
    return this.timer;
  }

  hasWork(): boolean {
    return this.workLeft > 0;
  }

  async until(isSo: () => boolean): Promise<void> {
    while (!isSo()) await once(this.arrivals, 'event');
  }

  /** Waits for an event of the kind, and gives it. */
  async event<Kind extends SpeakerEvent['kind']>(kind: Kind): Promise<Extract<SpeakerEvent, { readonly kind: Kind }>> {
    const isIt = (event: SpeakerEvent): event is Extract<SpeakerEvent, { readonly kind: Kind }> => event.kind === kind;
    await this.until(() => this.events.some(isIt));
    return this.events.find(isIt)!;
  }

  received(): Buffer {
    return Buffer.concat(this.events.flatMap((event) => (event.kind === 'received' ? [event.bytes] : [])));
  }

  kinds(): string[] {
    return this.events.map(({ kind }) => kind);
  }
}

interface Running {
  readonly speaker: Puppet;
  readonly transport: BgpTransport;
  /** Has the speaker answer the next event, a command, with these. */
  readonly order: (...outputs: SpeakerOutput[]) => void;
}

async function start(own: Ip, port: number): Promise<Running> {
  const speaker = new Puppet();
  const listen = { addresses: [own], port };
  const transport = await startBgpTransport({ speaker, listen, log: SILENT, onOutput: () => {} });
  const order = (...outputs: SpeakerOutput[]): void => {
    speaker.outputs.push(...outputs);
    transport.submit({ kind: 'announce', originations: [] });
  };
  return { speaker, transport, order };
}

const peer = (address: Ip, port: number, more: Partial<PeerConfig> = {}): PeerConfig => ({
  ...INTERNAL_PEER,
  address,
  port,
  asn: asn(64512),
  ...more,
});
const send = (connection: ConnectionId, bytes: Uint8Array | string): SpeakerOutput => ({
  kind: 'send',
  connection,
  bytes: Buffer.from(bytes),
});
const closeOutput = (connection: ConnectionId): SpeakerOutput => ({ kind: 'close', connection, reason: 'test' });

async function listenSomewhere(onConnection?: (socket: Socket) => void): Promise<{ server: Server; port: number }> {
  const server = createServer({ pauseOnConnect: true }, onConnection).listen(0, formatIp(A));
  await once(server, 'listening');
  const address = server.address();
  assert.ok(typeof address === 'object' && address !== null);
  return { server, port: address.port };
}

async function freePort(): Promise<number> {
  const { server, port } = await listenSomewhere();
  server.close();
  await once(server, 'close');
  return port;
}

test('a connection: who dialled whom, bytes in order both ways, the last of them before the end', LIMIT, async () => {
  const port = await freePort();
  const a = await start(A, port);
  const b = await start(B, port);
  const source = ip('127.0.0.7');
  a.order({ kind: 'connect', connection: OUT, peer: peer(B, port, { sourceAddress: source }) });
  const accepted = await b.speaker.event('accepted');
  const connected = await a.speaker.event('connected');
  assert.equal(connected.connection, OUT);
  assert.deepEqual([connected.localAddress, accepted.peerAddress, accepted.localAddress].map(formatIp), [
    '127.0.0.7',
    '127.0.0.7',
    '127.0.0.2',
  ]);
  assert.equal(accepted.device, undefined);
  assert.equal(accepted.connection % 2, 1);

  a.order(send(OUT, 'one '), send(OUT, 'two '), send(OUT, 'three'));
  await b.speaker.until(() => b.speaker.received().toString() === 'one two three');
  b.order(send(accepted.connection, 'last words'), closeOutput(accepted.connection));
  const closed = await a.speaker.event('closed');
  assert.equal(a.speaker.received().toString(), 'last words');
  assert.equal(closed.reason, 'the peer has closed the connection');
  assert.ok(!b.speaker.kinds().includes('closed'), 'who closes is not told that it is closed');
  await Promise.all([a, b].map(({ transport }) => transport.close({ sendNotification: false })));
});

test('what is sent in one turn is one write', LIMIT, async (context) => {
  const port = await freePort();
  const { speaker, transport, order } = await start(A, port);
  const client = connect(port, formatIp(A));
  const { connection } = await speaker.event('accepted');
  const single = context.mock.method(SocketClass.prototype, '_write');
  order(...Array.from('abcdefgh', (letter) => send(connection, letter)));
  const [bytes] = await once(client, 'data');
  assert.equal(String(bytes), 'abcdefgh');
  assert.equal(single.mock.callCount(), 0, 'several buffers go to the kernel by _writev');
  client.destroy();
  await speaker.event('closed');
  await transport.close({ sendNotification: false });
});

test('a connection that cannot be made says why', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport, order } = await start(A, port);
  const nowhere = await freePort();
  const cases: readonly (readonly [PeerConfig, RegExp])[] = [
    [peer(A, nowhere), /ECONNREFUSED/],
    [peer(A, port, { sourceAddress: ip('192.0.2.1') }), /EADDRNOTAVAIL/],
    [peer(A, port, { device: 'no-such-device' }), /ENODEV/],
    [peer(A, port, { password: 'x'.repeat(81) }), /has 81 bytes: at most 80/],
  ];
  for (const [index, [config, reason]] of cases.entries()) {
    speaker.events.length = 0;
    order({ kind: 'connect', connection: connectionId(2 * index), peer: config });
    assert.match((await speaker.event('connectFailed')).reason, reason);
  }
  await transport.close({ sendNotification: false });
});

test('a peer that does not read blocks its connection until it has read on', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport, order } = await start(A, port);
  const client = connect(port, formatIp(A)).pause();
  const { connection } = await speaker.event('accepted');
  const chunk = Buffer.alloc(BLOCKED_BYTES / 4, 'x');
  let sent = 0;
  while (!speaker.kinds().includes('blocked')) {
    order(send(connection, chunk));
    sent += chunk.length;
    assert.ok(sent < GIVEN_UP_BYTES);
  }
  assert.ok(!speaker.kinds().includes('drained'));
  order(send(connection, 'the end'));
  let read = 0;
  client.on('data', (bytes) => {
    read += bytes.length;
  });
  client.resume();
  await speaker.event('drained');
  while (read < sent + 'the end'.length) await once(client, 'data');
  assert.equal(speaker.kinds().filter((kind) => kind === 'blocked').length, 1);
  client.destroy();
  await transport.close({ sendNotification: false });
});

test('a connection for which far too much waits is given up', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport, order } = await start(A, port);
  const client = connect(port, formatIp(A)).pause();
  client.on('error', () => {});
  const { connection } = await speaker.event('accepted');
  const chunk = Buffer.alloc(GIVEN_UP_BYTES / 4);
  for (let count = 0; count < 6; count++) order(send(connection, chunk));
  assert.match((await speaker.event('closed')).reason, /the peer does not read: more than [0-9]+ bytes wait for it/);
  client.destroy();
  await transport.close({ sendNotification: false });
});

test('while there is work, ticks come in time and sockets are read between', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport } = await start(A, port);
  const client = connect(port, formatIp(A));
  await speaker.event('accepted');
  let ticks = 0;
  let workSinceDue = 0;
  let workSinceDueMax = 0;
  let readWhileWorking = 0;
  speaker.onEvent = (event) => {
    const now = monotonicNow();
    if (event.kind === 'received' && speaker.workLeft > 0) readWhileWorking++;
    if (event.kind === 'tick') {
      ticks++;
      workSinceDue = 0;
      speaker.timer = after(now, 10);
      client.write('keepalive');
      if (ticks === 20) speaker.workLeft = 0;
    }
    if (event.kind !== 'work') return;
    speaker.workLeft = Math.max(speaker.workLeft, 1);
    if (speaker.timer !== undefined && now >= speaker.timer) workSinceDue++;
    workSinceDueMax = Math.max(workSinceDueMax, workSinceDue);
    while (monotonicNow() < now + 4);
  };
  speaker.timer = monotonicNow();
  speaker.workLeft = 1;
  transport.submit({ kind: 'work' });
  await speaker.until(() => ticks >= 20);
  assert.ok(workSinceDueMax <= 3, `${workSinceDueMax} slices of work while a tick was due`);
  assert.ok(readWhileWorking >= 10, `read ${readWhileWorking} times while there was work`);
  speaker.timer = undefined;
  client.destroy();
  await speaker.event('closed');
  await transport.close({ sendNotification: false });
});

test('while peers send more than can be obeyed, a tick that is due does not wait for all of it', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport } = await start(A, port);
  const clients = Array.from({ length: 8 }, () => connect(port, formatIp(A)));
  const accepted = (): number => speaker.kinds().filter((kind) => kind === 'accepted').length;
  await speaker.until(() => accepted() === clients.length);
  const flood = Buffer.alloc(1024 * 1024, 'x');
  let left = flood.length * clients.length;
  let ticks = 0;
  let readSinceDue = 0;
  let readSinceDueMax = 0;
  speaker.onEvent = (event) => {
    const now = monotonicNow();
    if (event.kind === 'tick') {
      ticks++;
      readSinceDue = 0;
      speaker.timer = left > 0 ? after(now, 10) : undefined;
    }
    if (event.kind !== 'received') return;
    left -= event.bytes.length;
    if (speaker.timer !== undefined && now >= speaker.timer) readSinceDue++;
    readSinceDueMax = Math.max(readSinceDueMax, readSinceDue);
    while (monotonicNow() < now + 2);
  };
  speaker.timer = monotonicNow();
  transport.submit({ kind: 'work' });
  for (const client of clients) client.write(flood);
  await speaker.until(() => left === 0 && speaker.timer === undefined);
  assert.ok(ticks > 5, `${ticks} ticks`);
  // The rest of the turn in which it becomes due, and the reading of the next: each peer once, some oftener at first.
  assert.ok(readSinceDueMax <= clients.length * 3, `${readSinceDueMax} reads while a tick was due`);
  await transport.close({ sendNotification: false });
  for (const client of clients) client.destroy();
});

test('hundreds that dial at once are all accepted', LIMIT, async () => {
  const port = await freePort();
  const { speaker, transport } = await start(A, port);
  const clients = Array.from({ length: 600 }, () => connect(port, formatIp(A)));
  const count = (): number => speaker.kinds().filter((kind) => kind === 'accepted').length;
  await speaker.until(() => count() === clients.length);
  for (const client of clients) client.write('x');
  await speaker.until(() => speaker.received().length === clients.length);
  await transport.close({ sendNotification: false });
  for (const client of clients) client.destroy();
});

test('listening elsewhere leaves connections alone; where it cannot, it listens as before', LIMIT, async () => {
  const [port, other] = [await freePort(), await freePort()];
  const { speaker, transport, order } = await start(A, port);
  const client = connect(port, formatIp(A));
  const { connection } = await speaker.event('accepted');

  const taken = await listenSomewhere();
  assert.throws(
    () => transport.relisten({ addresses: [B, A], port: taken.port }),
    (error) => error instanceof BgpListenError && error.code === 'EADDRINUSE',
  );
  taken.server.close();
  const refused = async (host: Ip, at: number): Promise<unknown> => {
    const [error] = await once(connect(at, formatIp(host)), 'error').catch((reason: unknown) => [reason]);
    return (error as NodeJS.ErrnoException).code;
  };
  const welcome = async (host: Ip, at: number): Promise<void> => {
    const socket = connect(at, formatIp(host));
    await once(socket, 'connect');
    socket.destroy();
  };
  assert.equal(await refused(B, taken.port), 'ECONNREFUSED', 'the half that could be opened is closed again');
  await welcome(A, port);

  transport.relisten({ addresses: [A, B], port: other });
  await welcome(B, other);
  await welcome(A, other);
  assert.equal(await refused(A, port), 'ECONNREFUSED');
  transport.relisten({ addresses: [], port: other });
  await welcome(B, other);
  transport.relisten({ addresses: [B], port: other });
  await welcome(B, other);
  assert.equal(await refused(A, other), 'ECONNREFUSED', 'no longer on every address');
  order(send(connection, 'still here'));
  const [bytes] = await once(client, 'data');
  assert.equal(String(bytes), 'still here');
  client.destroy();
  await transport.close({ sendNotification: false });
});

test('the end of the speaker, with a NOTIFICATION and without', LIMIT, async () => {
  for (const sendNotification of [true, false]) {
    const port = await freePort();
    const { speaker, transport } = await start(A, port);
    const client = connect(port, formatIp(A));
    const chunks: Buffer[] = [];
    client.on('data', (bytes: Buffer) => chunks.push(bytes));
    await speaker.event('accepted');
    const ended = once(client, 'close');
    await transport.close({ sendNotification });
    await ended;
    const text = Buffer.concat(chunks);
    if (sendNotification) {
      assert.deepEqual([...text.subarray(18, 21)], [3, 6, 2]); // NOTIFICATION, cease, administrative shutdown
      assert.match(text.toString(), /muslin is being stopped/);
    } else assert.equal(text.length, 0);
  }
});

test('a port that another process has is one clear error', LIMIT, async () => {
  const { server, port } = await listenSomewhere();
  await assert.rejects(start(A, port), (error) => {
    assert.ok(error instanceof BgpListenError);
    assert.equal(error.code, 'EADDRINUSE');
    assert.match(error.message, new RegExp(`cannot listen for BGP on 127.0.0.1 port ${port}: another process has it`));
    return true;
  });
  server.close();
});

test('an address that no device has is one clear error', LIMIT, async () => {
  await assert.rejects(start(ip('192.0.2.1'), 0), /192\.0\.2\.1 port 0: no device of this host has/);
});
