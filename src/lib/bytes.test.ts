import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { AssertionFailed } from './assert.ts';
import { ByteReader, ByteWriter, byteAt, compareBytes, sameBytes, toHex } from './bytes.ts';

const bytes = (...values: number[]): Uint8Array => Uint8Array.from(values);

test('numbers are big-endian and unsigned', () => {
  const reader = new ByteReader(bytes(0xfe, 0xff, 0xfe, 0xff, 0xfe, 0xfd, 0xfc));
  assert.deepEqual([reader.u8(), reader.u16(), reader.u32()], [0xfe, 0xfffe, 0xfffefdfc]);
  assert.deepEqual([reader.offset, reader.remaining], [7, 0]);
});

test('a read beyond the end answers undefined and moves nothing', () => {
  type Read = (reader: ByteReader) => unknown;
  const rows: [name: string, read: Read, needed: number][] = [
    ['u8', (reader) => reader.u8(), 1],
    ['u16', (reader) => reader.u16(), 2],
    ['u32', (reader) => reader.u32(), 4],
    ['take', (reader) => reader.take(5), 5],
    ['sub', (reader) => reader.sub(5), 5],
    ['take of a negative length', (reader) => reader.take(-1), 1],
    ['sub of a negative length', (reader) => reader.sub(-1), 1],
  ];
  for (const [name, read, needed] of rows) {
    for (let length = 0; length < needed; length++) {
      const reader = new ByteReader(new Uint8Array(length));
      assert.equal(read(reader), undefined, `${name} of ${length}`);
      assert.equal(reader.offset, 0, `${name} of ${length}`);
    }
  }
});

test('a reader over a part sees that part only, and the outer one goes on behind it', () => {
  const outer = new ByteReader(bytes(1, 2, 3, 4, 5), 1, 4);
  const inner = outer.sub(2)!;
  assert.deepEqual([inner.u8(), inner.u8(), inner.u8()], [2, 3, undefined]);
  assert.deepEqual([outer.sub(0)?.remaining, outer.sub(1)?.u8(), outer.u8()], [0, 4, undefined]);
});

test('taken bytes are a view, what a writer finishes is a copy', () => {
  const source = bytes(1, 2, 3);
  const taken = new ByteReader(source).take(2)!;
  source[0] = 9;
  assert.deepEqual([...taken], [9, 2]);
  const writer = new ByteWriter(1).u8(1);
  const finished = writer.finish();
  writer.u8(2).patchU16(0, 0xffff);
  assert.deepEqual([...finished], [1]);
});

test('a patch overwrites two written bytes, and never what is not yet written', () => {
  const writer = new ByteWriter(2).u16(0).u8(7);
  assert.equal(toHex(writer.patchU16(0, 0xabcd).finish()), 'abcd07');
  for (const offset of [-1, 2, 3]) assert.throws(() => writer.patchU16(offset, 1), AssertionFailed);
});

test('what was written is what is read, whatever the capacity', () => {
  const item = fc.oneof(
    fc.record({ kind: fc.constant('u8' as const), value: fc.integer({ min: 0, max: 0xff }) }),
    fc.record({ kind: fc.constant('u16' as const), value: fc.integer({ min: 0, max: 0xffff }) }),
    fc.record({ kind: fc.constant('u32' as const), value: fc.integer({ min: 0, max: 0xffffffff }) }),
    fc.record({ kind: fc.constant('bytes' as const), value: fc.uint8Array({ maxLength: 20 }) }),
  );
  fc.assert(
    fc.property(fc.array(item), fc.integer({ min: 0, max: 16 }), (items, capacity) => {
      const writer = new ByteWriter(capacity);
      for (const { kind, value } of items) {
        if (kind === 'bytes') writer.bytes(value);
        else writer[kind](value);
      }
      const written = writer.finish();
      assert.equal(written.length, writer.length);
      const reader = new ByteReader(written);
      for (const { kind, value } of items) {
        if (kind === 'bytes') assert.deepEqual(reader.take(value.length), value);
        else assert.equal(reader[kind](), value);
      }
      assert.equal(reader.remaining, 0);
    }),
  );
});

test('byte strings are ordered by length, then as unsigned numbers', () => {
  const ordered = [bytes(), bytes(0), bytes(0x7f), bytes(0x80), bytes(0xff), bytes(0, 0), bytes(0, 1), bytes(1, 0)];
  for (const [i, a] of ordered.entries()) {
    for (const [j, b] of ordered.entries()) {
      assert.equal(Math.sign(compareBytes(a, b)), Math.sign(i - j), `${toHex(a)} and ${toHex(b)}`);
      assert.equal(sameBytes(a, b), i === j);
    }
  }
});

test('digits are two a byte; a byte outside is 0', () => {
  assert.equal(toHex(bytes(0, 10, 255)), '000aff');
  assert.deepEqual([byteAt(bytes(5), 0), byteAt(bytes(5), 1)], [5, 0]);
});
