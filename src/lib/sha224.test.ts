import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha224 } from './sha224.ts';

/** The machine's own. */
function reference(text: string): string {
  return createHash('sha224').update(text, 'utf8').digest('base64url');
}

test('the published example: FIPS 180 has "abc"', () => {
  const digest = Buffer.from(sha224('abc'), 'base64url').toString('hex');
  assert.equal(digest, '23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7');
});

test('texts of every length up to three blocks have the digest that the machine gives them', () => {
  for (let length = 0; length <= 192; length++) {
    const text = 'policy'.repeat(32).slice(0, length);
    assert.equal(sha224(text), reference(text), `${length} bytes`);
  }
});

test('any text has the digest of its UTF-8', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => sha224(text) === reference(text)));
});
