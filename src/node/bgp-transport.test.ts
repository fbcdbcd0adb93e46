/**
 * Two speakers over real sockets on the loopback device, and a port that cannot be had.
 *
 * Nothing is timed: each step waits until the speakers have said what it waits for.
 */
import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { test } from 'node:test';
import type { PeerView } from '../bgp/contract.ts';
import { createSpeaker, type Speaker } from '../bgp/speaker.ts';
import { monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { seededRandom } from '../lib/prng.ts';
import { asn, routerIdFromIp } from '../net/asn.ts';
import { cidr, formatCidr } from '../net/cidr.ts';
import { formatIp, type Ip, ip } from '../net/ip.ts';
import { BgpListenError, type BgpTransport, startBgpTransport } from './bgp-transport.ts';

const LIMIT = { timeout: 20_000 };
const A = ip('127.0.0.1');
const B = ip('127.0.0.2');
const SILENT: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => SILENT };

interface Running {
  readonly speaker: Speaker;
  readonly transport: BgpTransport;
  readonly kernel: Map<string, string>;
  readonly reports: EventEmitter;
}

async function start(
  own: Ip,
  other: Ip,
  port: number,
  passive: boolean,
  announced: readonly string[],
): Promise<Running> {
  const speaker = createSpeaker({ random: seededRandom(1), now: monotonicNow() });
  const kernel = new Map<string, string>();
  const reports = new EventEmitter();
  const transport = await startBgpTransport({
    speaker,
    listen: { addresses: [own], port },
    sourceFor: () => own,
    log: SILENT,
    onOutput: (output) => {
      if (output.kind === 'best') {
        const prefix = formatCidr(output.prefix);
        if (output.gateways.length === 0) kernel.delete(prefix);
        else kernel.set(prefix, output.gateways.map(formatIp).join(' '));
      }
      setImmediate(() => reports.emit('report')); // after the speaker has settled
    },
  });
  transport.submit({ kind: 'announce', prefixes: announced.map(cidr) });
  transport.submit({
    kind: 'configure',
    config: {
      asn: asn(64512),
      routerId: routerIdFromIp(own),
      nextHops: { 4: ip(own === A ? '10.0.0.1' : '10.0.0.2') },
      peers: [{ address: other, port, asn: asn(64512), passive, families: [4], description: '' }],
      holdTimeSeconds: 90,
      restartTimeSeconds: 60,
    },
  });
  return { speaker, transport, kernel, reports };
}

async function until(running: Running, isSo: (running: Running) => boolean): Promise<void> {
  while (!isSo(running)) await once(running.reports, 'report');
}

const peerOf = ({ speaker }: Running): PeerView | undefined => speaker.peers(monotonicNow())[0];

async function listenSomewhere(): Promise<{ server: Server; port: number }> {
  const server = createServer().listen(0, formatIp(A));
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

test('two speakers meet over TCP, exchange routes, and part with or without a NOTIFICATION', LIMIT, async () => {
  const port = await freePort();
  const a = await start(A, B, port, false, ['172.17.8.0/24']);
  let b = await start(B, A, port, true, ['172.17.9.0/24']);
  await Promise.all([until(a, ({ kernel }) => kernel.size === 1), until(b, ({ kernel }) => kernel.size === 1)]);
  assert.deepEqual(
    [...a.kernel, ...b.kernel],
    [
      ['172.17.9.0/24', '10.0.0.2'],
      ['172.17.8.0/24', '10.0.0.1'],
    ],
  );

  await b.transport.close({ sendNotification: false });
  await until(a, (running) => peerOf(running)?.stale === true);
  assert.equal(a.kernel.size, 1);

  b = await start(B, A, port, true, ['172.17.9.0/24']);
  await until(a, (running) => peerOf(running)?.state === 'Established' && peerOf(running)?.stale === false);
  await b.transport.close({ sendNotification: true });
  await until(a, ({ kernel }) => kernel.size === 0);
  assert.match(peerOf(a)?.lastError ?? '', /administrative shutdown \(6\/2\): muslin is being stopped/);
  await a.transport.close({ sendNotification: false });
});

test('a port that another process has is one clear error', LIMIT, async () => {
  const { server, port } = await listenSomewhere();
  await assert.rejects(start(A, B, port, false, []), (error) => {
    assert.ok(error instanceof BgpListenError);
    assert.equal(error.code, 'EADDRINUSE');
    assert.match(error.message, new RegExp(`cannot listen for BGP on 127.0.0.1 port ${port}: another process has it`));
    return true;
  });
  server.close();
});

test('an address that no device has is one clear error', LIMIT, async () => {
  await assert.rejects(start(ip('192.0.2.1'), B, 0, false, []), /192\.0\.2\.1 port 0: no device of this host has/);
});
