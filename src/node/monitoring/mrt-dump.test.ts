/** A table as MRT, read by bgpdump, which is not ours; and what becomes of a reader that is slow or goes away. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import type { PeerName } from '../../bgp/contract.ts';
import type { DumpEntry } from '../../bgp/observe/views.ts';
import type { PathAttributes } from '../../bgp/wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../../bgp/wire/attributes.ts';
import { routerIdFromIp } from '../../net/asn.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import { fakeBgp, peerView } from '../bgp/bgp-control.suite.ts';
import { writeMrtDump } from './mrt-dump.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-mrt-'));
after(() => rmSync(directory, { recursive: true, force: true }));

const PLAIN: PathAttributes = PLAIN_ATTRIBUTES;

const PEER = '10.0.0.2' as PeerName;
const PEER6 = 'fe80::1%eth0' as PeerName;
const STRANGER = '10.9.9.9' as PeerName;

const FULL: PathAttributes = {
  ...PLAIN,
  origin: 2,
  asPath: [64513, 4_200_000_001],
  nextHop: ip('10.0.0.2'),
  med: 7,
  localPreference: 200,
  atomicAggregate: true,
  aggregator: { asn: 4_200_000_001, address: ip('10.0.0.9') },
  communities: [(64512 << 16) >>> 0, ((64512 << 16) | 77) >>> 0],
  largeCommunities: [[64512, 1, 2]],
  originatorId: routerIdFromIp(ip('10.0.0.7')),
  clusterList: [0x0a000008],
};
const SIX: PathAttributes = { ...PLAIN, asPath: [64513], nextHop: ip('2001:db8::2'), linkLocalNextHop: ip('fe80::1') };

const path = (peer: PeerName | undefined, attributes: PathAttributes, pathId?: number) => ({
  peer,
  pathId,
  attributes,
});

const ENTRIES: readonly DumpEntry[] = [
  { prefix: cidr('10.1.0.0/16'), paths: [path(PEER, FULL), path(undefined, PLAIN)] },
  { prefix: cidr('10.2.128.0/17'), paths: [path(STRANGER, FULL)] },
  { prefix: cidr('2001:db8:1::/48'), paths: [path(PEER6, SIX), path(undefined, PLAIN)] },
  { prefix: cidr('0.0.0.0/0'), paths: [path(PEER, { ...PLAIN, asPath: [64513], nextHop: ip('10.0.0.2') })] },
];

const bgp = (entries: readonly DumpEntry[], pageSize = 2) =>
  fakeBgp({
    peers: [peerView(PEER, { asn: 64513 }), peerView(PEER6, { asn: 4_200_000_001, routerId: undefined })],
    entries,
    pageSize,
  });

/** The lines of `bgpdump -m`, without the time, and with what it complains of. */
function read(file: Buffer): string[] {
  const place = join(directory, 'table.mrt');
  writeFileSync(place, file);
  const text = execFileSync('bgpdump', ['-m', '-v', place], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  return text
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/^TABLE_DUMP2\|\d+\|B\|/, ''));
}

async function dump(entries: readonly DumpEntry[], pageSize?: number): Promise<Buffer> {
  const output = new PassThrough();
  const [file] = await Promise.all([buffer(output), writeMrtDump(bgp(entries, pageSize), output)]);
  return file;
}

test('bgpdump reads every prefix, path and attribute; a peer that came later is left out', async () => {
  assert.deepEqual(read(await dump(ENTRIES)), [
    '10.0.0.2|64513|10.1.0.0/16|64513 4200000001|INCOMPLETE|10.0.0.2|200|7|64512:0 64512:77|AG|4200000001 10.0.0.9|',
    '0.0.0.0|64512|10.1.0.0/16||IGP|0.0.0.0|0|0||NAG||',
    'fe80::1|4200000001|2001:db8:1::/48|64513|IGP|2001:db8::2|0|0||NAG||',
    '0.0.0.0|64512|2001:db8:1::/48||IGP|::|0|0||NAG||',
    '10.0.0.2|64513|0.0.0.0/0|64513|IGP|10.0.0.2|0|0||NAG||',
  ]);
});

test('several paths of one peer keep their identifiers (RFC 8050)', async () => {
  const two = [path(PEER, FULL, 1), path(PEER, { ...FULL, asPath: [65000] }, 0xfffffffe)];
  const file = await dump([{ prefix: cidr('10.1.0.0/16'), paths: two }]);
  const record = file.subarray(12 + file.readUInt32BE(8));
  assert.deepEqual([record.readUInt16BE(4), record.readUInt16BE(6)], [13, 8]);
  // Sequence, length and bytes of the prefix, number of paths; then place of the peer, time, identifier, attributes.
  const paths = record.subarray(12 + 4 + 3 + 2);
  const second = paths.subarray(12 + paths.readUInt16BE(10));
  assert.deepEqual([paths.readUInt32BE(6), second.readUInt32BE(6)], [1, 0xfffffffe]);
});

test('of MP_REACH_NLRI only the next hop is written, with its link-local address beside it (RFC 6396 section 4.3.4)', async () => {
  const file = await dump([{ prefix: cidr('2001:db8:1::/48'), paths: [path(PEER6, SIX)] }]);
  const nextHops = [SIX.nextHop!, SIX.linkLocalNextHop!]
    .map(({ bytes }) => Buffer.from(bytes).toString('hex'))
    .join('');
  assert.ok(file.toString('hex').endsWith(`800e2120${nextHops}`));
});

test('a table without routes and a speaker that does not run yet are still a file', async () => {
  const empty = { ...bgp([]), status: () => ({ ...bgp([]).status(), asn: undefined, routerId: undefined }) };
  const output = new PassThrough();
  const [file] = await Promise.all([buffer(output), writeMrtDump(empty, output)]);
  assert.deepEqual(read(file), ['']);
});

const MANY = Array.from({ length: 2_000 }, (_, index): DumpEntry => {
  return { prefix: cidr(`10.${index >> 8}.${index & 255}.0/24`), paths: [path(PEER, FULL)] };
});

test('a page is only made when the reader has taken the one before', async () => {
  const source = bgp(MANY, 500);
  const output = new PassThrough({ highWaterMark: 1_000 });
  const writing = writeMrtDump(source, output);
  await new Promise(setImmediate);
  await new Promise(setImmediate);
  assert.equal(source.pages, 1);
  const [file] = await Promise.all([buffer(output), writing]);
  assert.equal(source.pages, 4);
  assert.equal(read(file).length, 2_000);
});

test('a reader that goes away ends the dump', async () => {
  const source = bgp(MANY, 500);
  const output = new PassThrough({ highWaterMark: 1_000 });
  const writing = writeMrtDump(source, output);
  output.destroy();
  await writing;
  assert.ok(source.pages <= 2);
});
