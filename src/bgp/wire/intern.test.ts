import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toHex } from '../../lib/bytes.ts';
import { Interner } from './intern.ts';
import { hex } from './wire.suite.ts';

interface Made {
  readonly text: string;
}

const roomy = { entriesMax: 1000, bytesMax: 100_000 };
const ask = (interner: Interner<Made>, bytes: Uint8Array, length = bytes.length): Made =>
  interner.intern(bytes, length, () => ({ text: toHex(bytes.subarray(0, length)) }));

test('equal bytes have one value, whatever was asked for between', () => {
  const interner = new Interner<Made>(roomy);
  const values = Array.from({ length: 300 }, (_, index) => Uint8Array.of(index >> 8, index, 7));
  const first = values.map((bytes) => ask(interner, bytes));
  assert.deepEqual(
    first.map(({ text }) => text),
    values.map(toHex),
  );
  for (const [index, bytes] of values.entries()) {
    assert.equal(ask(interner, bytes), first[index]);
    assert.equal(ask(interner, bytes.slice()), first[index]);
  }
  assert.equal(interner.size, 300);
});

test('only the first bytes count, and a longer value is another one', () => {
  const interner = new Interner<Made>(roomy);
  const short = ask(interner, hex('0102ff'), 2);
  assert.equal(short.text, '0102');
  assert.equal(ask(interner, hex('0102ee'), 2), short);
  assert.notEqual(ask(interner, hex('0102ff')), short);
  assert.notEqual(ask(interner, hex('01')), short);
  assert.equal(ask(interner, hex('')).text, '');
});

test('what is kept is a copy', () => {
  const interner = new Interner<Made>(roomy);
  const bytes = hex('0102');
  const value = ask(interner, bytes);
  bytes[0] = 9;
  assert.notEqual(ask(interner, bytes), value);
  assert.equal(ask(interner, hex('0102')), value);
});

test('values with the same hash are told apart', () => {
  const [a, b] = collision();
  const interner = new Interner<Made>(roomy);
  const first = ask(interner, a);
  const second = ask(interner, b);
  assert.notEqual(first.text, second.text);
  assert.equal(ask(interner, a), first);
  assert.equal(ask(interner, b), second);
});

test('a full table forgets: by number and by bytes', () => {
  const few = new Interner<Made>({ entriesMax: 4, bytesMax: 1000 });
  for (let index = 0; index < 100; index++) {
    ask(few, Uint8Array.of(index));
    assert.ok(few.size <= 4);
  }
  const small = new Interner<Made>({ entriesMax: 1000, bytesMax: 100 });
  for (let index = 0; index < 100; index++) {
    ask(small, new Uint8Array(30).fill(index));
    assert.ok(small.size <= 3);
  }
  const huge = ask(small, new Uint8Array(500));
  assert.equal(ask(small, new Uint8Array(500)), huge, 'one that is too long for all of it is kept until the next');
});

/** Two strings of four bytes with one FNV-1a hash. */
function collision(): [Uint8Array, Uint8Array] {
  const seen = new Map<number, number>();
  for (let value = 0; ; value++) {
    const bytes = bytesOf(value);
    let hash = 0x811c9dc5;
    for (const byte of bytes) hash = Math.imul(hash ^ byte, 0x01000193);
    const earlier = seen.get(hash);
    if (earlier !== undefined) return [bytesOf(earlier), bytes];
    seen.set(hash, value);
  }
}

function bytesOf(value: number): Uint8Array {
  const spread = Math.imul(value, 0x9e3779b1);
  return Uint8Array.from([24, 16, 8, 0], (shift) => (spread >>> shift) & 0xff);
}
