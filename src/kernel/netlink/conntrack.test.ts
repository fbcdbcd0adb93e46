import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CONNTRACK_STATUS } from '../../net/conntrack-entry.ts';
import { ip } from '../../net/ip.ts';
import { decodeConntrackEntry, encodeConntrackDump, encodeConntrackRemove } from './conntrack.ts';
import { checkBears, messageOf } from './golden.suite.ts';
import { parseAttributes } from './message.ts';

/** Of Linux 6.18: `tcp src=10.1.1.1 dst=10.1.1.2 sport=1000 dport=80`, its destination translated to 10.1.1.9, zone 5, mark 7. */
const TRANSLATED =
  'f80000000001220007000000245f0000020000003400018014000180080001000a010101080002000a0101021c0002800500010006000000' +
  '0600020003e8000006000300005000003400028014000180080001000a010109080002000a0101011c000280050001000600000006000200' +
  '005000000600030003e80000060012000005000008000300000001ac080008000000000708000c0003f6b81708000b000000000108000700' +
  '000000633000' +
  '04802c000180050001000300000005000200000000000500030000000000060004000a000000060005000a0000001c001880080001000000' +
  '000008000200000000000800030000000000';
/** Likewise: `icmpv6 src=::1 dst=::1 type=128 code=0 id=24374`. */
const ECHO =
  'e40000000001220007000000245f00000a000000540001802c00018014000300000000000000000000000000000000011400040000000000' +
  '00000000000000000000000124000280050001003a000000060007005f36000005000800800000000500090000000000540002802c000180' +
  '140003000000000000000000000000000000000114000400000000000000000000000000000000012400028005000100' +
  '3a000000060007005f36000005000800810000000500090000000000080003000000018a080008000000000008000c00536c9f0108000b00' +
  '00000001080007000000001d';
/** The original tuple of the first, as conntrack-tools 1.4.7 sends it to have the entry removed. */
const TUPLE = '14000180080001000a010101080002000a0101021c00028005000100060000000600020003e80000060003000050' + '0000';

const hexOf = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('hex');
const ENDS = { icmp: undefined, zone: undefined } as const;

test('an entry is read with both directions, zone, mark and id', () => {
  const entry = decodeConntrackEntry(messageOf(TRANSLATED));
  assert.deepEqual(entry, {
    family: 4,
    original: {
      protocol: 6,
      source: ip('10.1.1.1'),
      destination: ip('10.1.1.2'),
      sourcePort: 1000,
      destinationPort: 80,
      ...ENDS,
    },
    reply: {
      protocol: 6,
      source: ip('10.1.1.9'),
      destination: ip('10.1.1.1'),
      sourcePort: 80,
      destinationPort: 1000,
      ...ENDS,
    },
    status: 0x1ac,
    zone: 5,
    mark: 7,
    id: 66500631,
  });
  const { destinationTranslated, assured, expected, sourceTranslated, dying } = CONNTRACK_STATUS;
  assert.equal(0x1ac & (destinationTranslated | assured), destinationTranslated | assured);
  assert.equal(0x1ac & (expected | sourceTranslated | dying), 0);
});

test('an entry of ICMPv6 is read with type, code and id', () => {
  const entry = decodeConntrackEntry(messageOf(ECHO));
  assert.deepEqual(entry?.original.icmp, { type: 128, code: 0, id: 24374 });
  assert.deepEqual(entry?.reply.icmp, { type: 129, code: 0, id: 24374 });
  assert.deepEqual([entry?.original.sourcePort, entry?.original.destinationPort], [undefined, undefined]);
  assert.deepEqual(entry?.original.source, ip('::1'));
});

test('an entry is removed by its tuple, as conntrack-tools do, and by its id and zone', () => {
  const entry = decodeConntrackEntry(messageOf(TRANSLATED));
  assert.ok(entry !== undefined);
  const { type, flags, body } = encodeConntrackRemove(entry);
  assert.deepEqual([type, flags, hexOf(body.subarray(0, 4))], [0x0102, 0, '02000000']);
  const attributes = [...(parseAttributes(body, 4) ?? [])].map(([number, value]) => [number, hexOf(value)]);
  assert.deepEqual(attributes, [
    [1, TUPLE],
    [12, '03f6b817'],
    [18, '0005'],
  ]);
});

test('what was read is written back the same, of ICMPv6 too', () => {
  const message = messageOf(ECHO);
  const entry = decodeConntrackEntry(message);
  assert.ok(entry !== undefined);
  const [ours, theirs] = [encodeConntrackRemove(entry).body, message.body].map((body) =>
    hexOf(parseAttributes(body, 4)?.get(1)),
  );
  assert.equal(ours, theirs);
});

test('a dump is asked for of both families', () => {
  const { type, flags, body } = encodeConntrackDump();
  assert.deepEqual([type, flags, hexOf(body)], [0x0101, 0x300, '00000000']);
});

test('messages cut off, changed, and of others are no entries, and no exceptions', () => {
  checkBears(decodeConntrackEntry);
  checkBears(decodeConntrackEntry, [TRANSLATED, ECHO]);
});
