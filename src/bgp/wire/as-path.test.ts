import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ByteWriter, toHex } from '../../lib/bytes.ts';
import { asPathBytes, decodeAs4Path, decodeAsPath, encodeAsPath, mergeAs4Path } from './as-path.ts';
import { hex } from './wire.suite.ts';

function encoded(path: readonly number[], asnBytes: 2 | 4): Uint8Array {
  const writer = new ByteWriter();
  encodeAsPath(writer, path, asnBytes);
  return writer.finish();
}

test('RFC 4271 4.3 b: paths are written in segments of at most 255 numbers, and read as one list', () => {
  for (const length of [0, 1, 254, 255, 256, 510, 511, 1000]) {
    const path = Array.from({ length }, (_, index) => index + 1);
    for (const asnBytes of [2, 4] as const) {
      const bytes = encoded(path, asnBytes);
      assert.equal(bytes.length, asPathBytes(path, asnBytes));
      assert.equal(bytes.length, length * asnBytes + 2 * Math.ceil(length / 255));
      assert.deepEqual(decodeAsPath(bytes, asnBytes), path);
    }
  }
});

test('RFC 6793 4.2.2: a number that does not fit is written as AS_TRANS', () => {
  assert.equal(toHex(encoded([65535, 65536, 1], 2)), '0203ffff5ba00001');
  assert.equal(toHex(encoded([65535, 65536, 1], 4)), '02030000ffff0001000000000001');
});

test('what is wrong with a path is said in words', () => {
  assert.equal(decodeAsPath(hex('07 01 0001'), 2), 'a segment of unknown type 7');
  assert.equal(decodeAsPath(hex('02 00'), 2), 'a segment without AS numbers');
  assert.equal(decodeAsPath(hex('02 03 0001 0002'), 2), 'a segment of 3 AS numbers that do not fit into it');
  assert.equal(decodeAsPath(hex('01 01 0001'), 2), 'an AS_SET');
  assert.equal(decodeAsPath(hex('03 01 0001'), 2), 'a confederation segment');
  assert.equal(decodeAsPath(hex('02 01 0000'), 2), 'AS 0');
  const long = '02 fb'.concat('0001'.repeat(251)).repeat(4);
  assert.equal(decodeAsPath(hex(long), 2), '1004 AS numbers, at most 1000 are taken');
});

test('RFC 6793 6: confederation segments in AS4_PATH are left out, but must be whole', () => {
  assert.deepEqual(decodeAs4Path(hex('03 01 00000009 02 01 00010000 04 01 00000008')), [65536]);
  assert.equal(decodeAs4Path(hex('03 02 00000009')), 'a segment of 2 AS numbers that do not fit into it');
});

test('RFC 6793 4.2.3: AS4_PATH replaces the tail of AS_PATH, unless it is the longer one', () => {
  assert.deepEqual(mergeAs4Path([1, 2, 3], [70000, 70001]), [1, 70000, 70001]);
  assert.deepEqual(mergeAs4Path([2, 3], [70000, 70001]), [70000, 70001]);
  assert.deepEqual(mergeAs4Path([3], [70000, 70001]), [3]);
  assert.deepEqual(mergeAs4Path([3], []), [3]);
});
