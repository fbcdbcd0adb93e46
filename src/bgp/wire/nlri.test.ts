import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ByteWriter } from '../../lib/bytes.ts';
import { cidr, formatCidr, prefixOf } from '../../net/cidr.ts';
import { type Family, ipFromBytes } from '../../net/ip.ts';
import { isWellFormed, type NlriRange, prefixBytes, prefixesIn, writePrefix } from './nlri.ts';
import { hex } from './wire.suite.ts';

const whole = (bytes: Uint8Array, family: Family, pathIds = false): NlriRange => ({
  family,
  start: 0,
  end: bytes.length,
  pathIds,
});

const ROWS: [title: string, family: Family, bytes: string, wellFormed: boolean, pathIds?: boolean][] = [
  ['nothing', 4, '', true],
  ['0.0.0.0/0', 4, '00', true],
  ['a /32', 4, '20 0a000001', true],
  ['a /33', 4, '21 0a00000100', false],
  ['an IPv6 /128', 6, `80 ${'fd'.repeat(16)}`, true],
  ['an IPv6 /129', 6, `81 ${'fd'.repeat(17)}`, false],
  ['length 255', 6, `ff ${'fd'.repeat(32)}`, false],
  ['one byte too few', 4, '18 0a00', false],
  ['a length alone', 4, '08', false],
  ['a path identifier', 4, '00000001 08 0a', true, true],
  ['a path identifier cut short', 4, '000001', false, true],
  ['a path identifier alone', 4, '00000001', false, true],
];
for (const [title, family, text, wellFormed, pathIds] of ROWS) {
  test(`RFC 7606 5.3: ${title}: ${wellFormed ? 'well-formed' : 'not well-formed'}`, () => {
    const bytes = hex(text);
    assert.equal(isWellFormed(bytes, whole(bytes, family, pathIds)), wellFormed);
    // What stands behind the range must not make up for what is missing in it.
    const longer = Uint8Array.of(...bytes, ...new Uint8Array(20));
    assert.equal(isWellFormed(longer, { ...whole(bytes, family, pathIds) }), wellFormed);
  });
}

test('RFC 4271 4.3: what is written is read again, and host bits mean nothing', () => {
  const prefix = fc.constantFrom<Family>(4, 6).chain((family) => {
    const size = family === 4 ? 4 : 16;
    const address = fc.uint8Array({ minLength: size, maxLength: size });
    return fc
      .tuple(address, fc.integer({ min: 0, max: size * 8 }))
      .map(([bytes, length]) => ({ family, bytes, length }));
  });
  fc.assert(
    fc.property(prefix, ({ family, bytes, length }) => {
      const masked = prefixOf(ipFromBytes(bytes), length);
      const writer = new ByteWriter();
      writePrefix(writer, masked);
      const written = writer.finish();
      assert.equal(written.length, prefixBytes(masked));
      assert.deepEqual(prefixesIn(written, whole(written, family)), [{ prefix: masked, pathId: undefined }]);
      const dirty = Uint8Array.of(length, ...bytes.slice(0, (length + 7) >> 3));
      assert.deepEqual(prefixesIn(dirty, whole(dirty, family)), [{ prefix: masked, pathId: undefined }]);
    }),
  );
});

test('RFC 7911 3: each prefix has its path identifier', () => {
  const bytes = hex('ffffffff 08 0a 00000002 18 ac1109');
  const read = prefixesIn(bytes, whole(bytes, 4, true)).map(({ prefix, pathId }) => [formatCidr(prefix), pathId]);
  assert.deepEqual(read, [
    ['10.0.0.0/8', 0xffffffff],
    [formatCidr(cidr('172.17.9.0/24')), 2],
  ]);
});
