import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { toHex } from '../../lib/bytes.ts';
import { bytesOf, KERNEL_SAYS, messageOf } from './golden.suite.ts';
import { encodeMessage, NetlinkWriter, parseAttributes, parseMessages, textOf, u32Of } from './message.ts';

const attributesOf = fc.uniqueArray(fc.tuple(fc.integer({ min: 0, max: 0x3fff }), fc.uint8Array({ maxLength: 40 })), {
  selector: ([type]) => type,
});

function bodyOf(attributes: readonly (readonly [number, Uint8Array])[]): Uint8Array {
  const writer = new NetlinkWriter();
  for (const [type, value] of attributes) writer.attribute(type, value);
  return writer.finish();
}

describe('messages', () => {
  it('are written with their header, in little-endian order', () => {
    const bytes = encodeMessage({ type: 0x18, flags: 0x504, body: Uint8Array.of(1, 2, 3, 4) }, 0x01020304);
    assert.equal(toHex(bytes), '14000000 1800 0505 04030201 00000000 01020304'.replaceAll(' ', ''));
  });

  it('are read one after the other, unknown types too', () => {
    const { messages, malformed } = parseMessages(
      bytesOf(`${KERNEL_SAYS.proxy}14000000ff7f0200670000003b46000000000000`),
    );
    assert.equal(malformed, undefined);
    assert.deepEqual(
      messages.map(({ type, flags, sequence, portId, body }) => [type, flags, sequence, portId, body.length]),
      [
        [28, 2, 0x6c, 0x463b, 20],
        [0x7fff, 2, 0x67, 0x463b, 4],
      ],
    );
  });

  it('a datagram cut off anywhere gives the messages before the cut, and says where it is', () => {
    const hexes = [KERNEL_SAYS.address4, KERNEL_SAYS.proxy, KERNEL_SAYS.dumpDone];
    const datagram = bytesOf(hexes.join(''));
    const ends = hexes.map((_, index) => hexes.slice(0, index + 1).join('').length / 2);
    for (let length = 0; length <= datagram.length; length++) {
      const { messages, malformed } = parseMessages(datagram.subarray(0, length));
      assert.equal(messages.length, ends.filter((end) => end <= length).length, `cut at ${length}`);
      assert.equal(malformed === undefined, length === 0 || ends.includes(length), `cut at ${length}: ${malformed}`);
    }
  });

  it('a length that cannot be is named', () => {
    const rows: [string, RegExp][] = [
      ['0f000000180000000000000000000000', /message at 0 of length 15/],
      ['00000000180000000000000000000000', /message at 0 of length 0/],
      ['ffffffff180000000000000000000000', /message at 0 of length 4294967295/],
      ['11000000180000000000000000000000', /message at 0 of length 17/],
    ];
    for (const [hex, text] of rows) assert.match(parseMessages(bytesOf(hex)).malformed ?? '', text);
  });

  it('whatever the bytes are, reading ends and never throws', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const { messages } = parseMessages(bytes);
        assert.ok(messages.length <= bytes.length / 16);
        parseAttributes(bytes);
      }),
    );
  });
});

describe('attributes', () => {
  it('are read as they were written, those nobody knows too', () => {
    fc.assert(
      fc.property(attributesOf, (attributes) => {
        const body = bodyOf(attributes);
        assert.equal(body.length % 4, 0);
        const parsed = parseAttributes(body);
        assert.deepEqual(
          [...(parsed ?? [])].map(([type, value]) => [type, [...value]]),
          attributes.map(([type, value]) => [type, [...value]]),
        );
      }),
    );
  });

  it('may nest', () => {
    fc.assert(
      fc.property(attributesOf, (attributes) => {
        const writer = new NetlinkWriter();
        writer.u32(7).nested(18, () => {
          for (const [type, value] of attributes) writer.attribute(type, value);
        });
        const inner = parseAttributes(writer.finish(), 4)?.get(18);
        assert.deepEqual(parseAttributes(inner ?? new Uint8Array())?.size, attributes.length);
      }),
    );
  });

  it('have numbers and texts', () => {
    const writer = new NetlinkWriter(1).attributeU32(4, 0xfedcba98).attributeText(3, 'cali1');
    assert.equal(toHex(writer.finish()), '08000400 98badcfe 0a000300 63616c693100 0000'.replaceAll(' ', ''));
    const attributes = parseAttributes(writer.finish());
    assert.equal(u32Of(attributes?.get(4)), 0xfedcba98);
    assert.equal(textOf(attributes?.get(3)), 'cali1');
    assert.equal(textOf(Uint8Array.of(97, 98)), 'ab');
    assert.deepEqual(
      [u32Of(attributes?.get(3)), u32Of(undefined), textOf(undefined)],
      [undefined, undefined, undefined],
    );
  });

  it('of one type: the last counts; flags in the type are put aside', () => {
    const attributes = parseAttributes(bytesOf('05000180 01000000 05000140 02000000'));
    assert.deepEqual([...(attributes ?? [])], [[1, Uint8Array.of(2)]]);
  });

  it('cut off anywhere but between two, there are none', () => {
    const { body } = messageOf(KERNEL_SAYS.address4);
    const whole = [8, 16, 24, 36, 44, body.length];
    for (let length = 8; length <= body.length; length++) {
      // The padding after the last one may be missing.
      const sound = whole.includes(length) || length === 34 || length === 35;
      assert.equal(parseAttributes(body.subarray(0, length), 8) !== undefined, sound, `cut at ${length}`);
    }
    assert.equal(parseAttributes(body, body.length + 1), undefined);
  });

  it('too long for their length field are our own mistake', () => {
    assert.doesNotThrow(() => new NetlinkWriter().attribute(1, new Uint8Array(0xffff - 4)));
    assert.throws(() => new NetlinkWriter().attribute(1, new Uint8Array(0xffff - 3)), RangeError);
  });
});
