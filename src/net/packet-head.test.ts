import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import { formatIp } from './ip.ts';
import { parsePacketHead } from './packet-head.ts';

const bytesOf = (hex: string): Uint8Array =>
  Uint8Array.from(hex.replaceAll(' ', '').match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

const V4 = (protocol: string, fragment = '0000') => `4500001e0002${fragment}40${protocol}0000 0a010101 0a010102`;
const V4_OPTIONS = '4600001e000200004006 0000 0a010101 0a010102 01010101';
const V6 = (next: string) =>
  `6000000000${next.length === 2 ? '00' : ''}${next}40 fd000000000000000000000000000001 fd000000000000000000000000000002`;

const UNKNOWN = [undefined, undefined, undefined, undefined] as const;

/** What it is, its bytes, protocol, source port, destination port, ICMP type and code. */
const ROWS: readonly (readonly [string, string, number, ...(readonly (number | undefined)[])])[] = [
  ['TCP', `${V4('06')} 03e80050`, 6, 1000, 80, undefined, undefined],
  ['TCP behind options', `${V4_OPTIONS} 03e80050`, 6, 1000, 80, undefined, undefined],
  ['UDP', `${V4('11')} ffff0035`, 17, 65535, 53, undefined, undefined],
  ['SCTP', `${V4('84')} 03e80050`, 132, 1000, 80, undefined, undefined],
  ['ICMP', `${V4('01')} 0301`, 1, undefined, undefined, 3, 1],
  ['TCP, cut off behind the source port', `${V4('06')} 03e8`, 6, 1000, undefined, undefined, undefined],
  ['TCP, cut off before its ports', V4('06'), 6, ...UNKNOWN],
  ['a first fragment', `${V4('11', '2000')} ffff0035`, 17, 65535, 53, undefined, undefined],
  ['a later fragment', `${V4('11', '2001')} ffff0035`, 17, ...UNKNOWN],
  ['IPIP', `${V4('04')} ffff0035`, 4, ...UNKNOWN],
  ['UDP over IPv6', `${V6('11')} ffff0035`, 17, 65535, 53, undefined, undefined],
  ['ICMPv6', `${V6('3a')} 8000`, 58, undefined, undefined, 128, 0],
  ['behind hop-by-hop options', `${V6('00')} 3a00050200000100 8300`, 58, undefined, undefined, 131, 0],
  ['behind a routing header of 16 bytes', `${V6('2b')} 0601000000000000 0000000000000000 03e80050`, 6, 1000, 80],
  ['a first fragment of IPv6', `${V6('2c')} 1100000100000001 ffff0035`, 17, 65535, 53],
  ['a later fragment of IPv6', `${V6('2c')} 1100000900000001 ffff0035`, 17, ...UNKNOWN],
  ['an extension that is cut off', `${V6('00')} 3a000502`, 0, ...UNKNOWN],
  ['options that say to be longer than the packet', `${V6('00')} 3aff050200000100 8300`, 58, ...UNKNOWN],
];

describe('the head of', () => {
  for (const [what, hex, protocol, ...rest] of ROWS) {
    test(what, () => {
      const head = parsePacketHead(bytesOf(hex));
      assert.ok(head !== undefined);
      const { sourcePort, destinationPort, icmpType, icmpCode } = head;
      const expected = [...rest, ...UNKNOWN].slice(0, 4);
      assert.deepEqual([head.protocol, sourcePort, destinationPort, icmpType, icmpCode], [protocol, ...expected]);
      const ends = head.family === 4 ? ['10.1.1.1', '10.1.1.2'] : ['fd00::1', 'fd00::2'];
      assert.deepEqual([formatIp(head.source), formatIp(head.destination)], ends);
    });
  }
});

test('each packet may be cut off anywhere', () => {
  for (const [what, hex] of ROWS) {
    const whole = bytesOf(hex);
    for (let length = 0; length <= whole.length; length++) {
      const head = parsePacketHead(whole.subarray(0, length));
      const addresses = whole[0] === undefined || whole[0] >> 4 === 6 ? 40 : 20;
      assert.equal(head !== undefined, length >= addresses, `${what} cut off at ${length}`);
    }
  }
});

test('any bytes are borne', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 120 }), fc.constantFrom(0x45, 0x40, 0x4f, 0x60, 0x00), (bytes, first) => {
      if (bytes.length > 0) bytes[0] = first;
      parsePacketHead(bytes);
    }),
  );
});
