import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../lib/bytes.ts';
import type { ControlPacket, SessionState } from './packet.ts';
import { decodePacket, diagnosticText, encodePacket } from './packet.ts';

const PACKET: ControlPacket = {
  state: 'Up',
  diagnostic: 3,
  poll: true,
  final: false,
  controlPlaneIndependent: true,
  demand: false,
  multiplier: 3,
  myDiscriminator: 0x01020304,
  yourDiscriminator: 0xfffefdfc,
  desiredMinTxUs: 300_000,
  requiredMinRxUs: 250_000,
};
const HEX = '23e8031801020304fffefdfc000493e00003d09000000000';

/** The bytes of PACKET with some changed: pairs of place and value. */
function bytes(...changes: readonly (readonly [number, number])[]): Uint8Array {
  const changed = encodePacket(PACKET);
  for (const [place, value] of changes) changed[place] = value;
  return changed;
}

test('RFC 5880 section 4.1: a packet is written and read as drawn there', () => {
  assert.equal(toHex(encodePacket(PACKET)), HEX);
  assert.deepEqual(decodePacket(encodePacket(PACKET)), PACKET);
});

test('what is written is read again', () => {
  const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const packet = fc.record(
    {
      state: fc.constantFrom<SessionState>('AdminDown', 'Down', 'Init', 'Up'),
      diagnostic: fc.integer({ min: 0, max: 31 }),
      poll: fc.boolean(),
      final: fc.boolean(),
      controlPlaneIndependent: fc.boolean(),
      demand: fc.boolean(),
      multiplier: fc.integer({ min: 1, max: 255 }),
      myDiscriminator: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      yourDiscriminator: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
      desiredMinTxUs: u32,
      requiredMinRxUs: u32,
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(packet, (value) => assert.deepEqual(decodePacket(encodePacket(value)), value)));
});

const NO_DISCRIMINATOR = [8, 9, 10, 11].map((place) => [place, 0] as const);

const REFUSED: readonly (readonly [string, Uint8Array, RegExp])[] = [
  ['version 0', bytes([0, 0x03]), /version 0 instead of 1/],
  ['version 2', bytes([0, 0x43]), /version 2/],
  ['length below the minimum', bytes([3, 23]), /length field of 23/],
  ['length beyond the datagram', bytes([3, 25]), /25 in 24 bytes/],
  ['multiplier 0', bytes([2, 0]), /multiplier of 0/],
  ['multipoint bit', bytes([1, 0xe9]), /multipoint/],
  ['my discriminator 0', bytes([4, 0], [5, 0], [6, 0], [7, 0]), /discriminator of 0/],
  ['Up without your discriminator', bytes(...NO_DISCRIMINATOR), /Up without/],
  ['Init without your discriminator', bytes([1, 0x80], ...NO_DISCRIMINATOR), /Init without/],
  ['authentication, not configured', bytes([1, 0xec]), /authenticated/],
];

for (const [title, datagram, why] of REFUSED) {
  test(`RFC 5880 section 6.8.6: refused: ${title}`, () => {
    const packet = decodePacket(datagram);
    assert.ok('refused' in packet);
    assert.match(packet.refused, why);
  });
}

test('RFC 5880 section 6.8.6: Down and AdminDown need no your discriminator; trailing bytes are ignored', () => {
  for (const flags of [0x40, 0x00]) assert.ok('state' in decodePacket(bytes([1, flags], ...NO_DISCRIMINATOR)));
  assert.deepEqual(decodePacket(Uint8Array.from([...encodePacket(PACKET), 1, 2])), PACKET);
});

test('every truncation is refused, and no bytes throw', () => {
  const whole = encodePacket(PACKET);
  for (let length = 0; length < whole.length; length++) {
    assert.ok('refused' in decodePacket(whole.subarray(0, length)), `${length} bytes`);
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), (random) => void decodePacket(random)));
});

test('diagnostics in words', () => {
  assert.equal(diagnosticText(1), 'control detection time expired');
  assert.equal(diagnosticText(8), 'reverse concatenated path down');
  assert.equal(diagnosticText(23), 'diagnostic 23');
});
