import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Community } from '../policy/policy-rules.ts';
import {
  communityTexts,
  formatCommunity,
  formatExtendedCommunity,
  formatLargeCommunity,
  LLGR_STALE,
  NO_ADVERTISE,
  NO_EXPORT,
  NO_EXPORT_SUBCONFED,
  NO_LLGR,
  parseCommunity,
} from './communities.ts';

const standard = (value: number): Community => ({ kind: 'standard', value });
const extended = (high: number, low: number): Community => ({ kind: 'extended', high, low });

/** Read and written in these words. */
const ROWS: [title: string, text: string, value: Community][] = [
  ['RFC 1997: two halves', '64512:100', standard(0xfc000064)],
  ['RFC 1997: zeros', '0:0', standard(0)],
  ['RFC 1997: NO_EXPORT', 'no-export', standard(0xffffff01)],
  ['RFC 1997: NO_ADVERTISE', 'no-advertise', standard(0xffffff02)],
  ['RFC 1997: NO_EXPORT_SUBCONFED', 'no-export-subconfed', standard(0xffffff03)],
  ['RFC 8326: GRACEFUL_SHUTDOWN', 'graceful-shutdown', standard(0xffff0000)],
  ['RFC 9494: LLGR_STALE', 'llgr-stale', standard(0xffff0006)],
  ['RFC 9494: NO_LLGR', 'no-llgr', standard(0xffff0007)],
  ['RFC 7999: BLACKHOLE', 'blackhole', standard(0xffff029a)],
  ['RFC 1997: a reserved one without a name', '65535:65535', standard(0xffffffff)],
  ['RFC 8092: three parts', '4200000000:1:4294967295', { kind: 'large', value: [4200000000, 1, 4294967295] }],
  ['RFC 4360: route target of a 16-bit AS', 'rt:64512:4294967295', extended(0x0002fc00, 0xffffffff)],
  ['RFC 4360: site of origin', 'soo:64512:100', extended(0x0003fc00, 100)],
  ['RFC 4360: route target of an address', 'rt:10.0.0.1:65535', extended(0x01020a00, 0x0001ffff)],
  ['RFC 5668: route target of a 32-bit AS', 'rt:4200000000:100', extended(0x0202fa56, 0xea000064)],
  ['RFC 5668: a small AS in 32 bits', 'rt:0.64512:100', extended(0x02020000, 0xfc000064)],
  ['RFC 4360: anything else', 'generic:0x4004fc00deadbeef', extended(0x4004fc00, 0xdeadbeef)],
  ['RFC 7607: a route target of AS 0 has no shorter words', 'generic:0x0002000000000001', extended(0x00020000, 1)],
];

function format(value: Community): string {
  switch (value.kind) {
    case 'standard':
      return formatCommunity(value.value);
    case 'large':
      return formatLargeCommunity(value.value);
    case 'extended':
      return formatExtendedCommunity([value.high, value.low]);
  }
}

for (const [title, text, value] of ROWS) {
  test(`${title}: ${text}`, () => {
    assert.deepEqual(parseCommunity(text), value);
    assert.equal(format(value), text);
  });
}

test('other spellings of the same', () => {
  assert.deepEqual(parseCommunity('65535:65281'), standard(NO_EXPORT));
  assert.deepEqual(parseCommunity('65535:65282'), standard(NO_ADVERTISE));
  assert.deepEqual(parseCommunity('65535:65283'), standard(NO_EXPORT_SUBCONFED));
  assert.deepEqual(parseCommunity('65535:6'), standard(LLGR_STALE));
  assert.deepEqual(parseCommunity('65535:7'), standard(NO_LLGR));
  assert.deepEqual(parseCommunity('rt:1.10:100'), parseCommunity('rt:65546:100'));
  assert.deepEqual(parseCommunity('generic:0x0002FC0000000064'), parseCommunity('rt:64512:100'));
});

const WRONG = [
  '',
  '1',
  '1:',
  ':1',
  '1:2:3:4',
  '65536:1',
  '1:65536',
  '-1:1',
  '1:1 ',
  '0x1:1',
  '1:2:4294967296',
  'no-such-thing',
  'NO-EXPORT',
  'rt:1',
  'rt:0:1',
  'rt:1:2:3',
  'rt:65536:65536',
  'rt:10.0.0.1:65536',
  'rt:0.1:65536',
  'rt:1:4294967296',
  'rt:fd00:1',
  'rt:::1',
  'so:1:1',
  'generic:1',
  'generic:0x1',
  'generic:0x0002fc00000000641',
];
for (const text of WRONG) {
  test(`no community: ${JSON.stringify(text)}`, () => assert.equal(parseCommunity(text), undefined));
}

test('what is written is read again as the same value, whatever the value', () => {
  const u32 = fc.integer({ min: 0, max: 0xffffffff });
  // Types and subtypes that have words of their own would seldom come up by themselves.
  const high = fc.oneof(u32, fc.constantFrom(0x00020000, 0x00030001, 0x01020a00, 0x02020000, 0x02030001, 0x02050001));
  const community: fc.Arbitrary<Community> = fc.oneof(
    u32.map(standard),
    fc.tuple(high, u32).map(([first, second]) => extended(first, second)),
    fc.tuple(u32, u32, u32).map((value): Community => ({ kind: 'large', value })),
  );
  fc.assert(fc.property(community, (value) => assert.deepEqual(parseCommunity(format(value)), value)));
});

test('a route shows standard, extended and large ones, in this order', () => {
  const attributes = {
    communities: [0xfc000064, NO_EXPORT],
    extendedCommunities: [[0x0002fc00, 7]],
    largeCommunities: [[1, 2, 3]],
  } as const;
  assert.deepEqual(communityTexts(attributes), ['64512:100', 'no-export', 'rt:64512:7', '1:2:3']);
});
