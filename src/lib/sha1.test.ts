import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import fc from 'fast-check';
import { sha1 } from './sha1.ts';

function hex(text: string): string {
  return Buffer.from(sha1(text)).toString('hex');
}

/** The machine's own. */
function reference(text: string): string {
  return createHash('sha1').update(text, 'utf8').digest('hex');
}

test('the published example: FIPS 180 has "abc"', () => {
  assert.equal(hex('abc'), 'a9993e364706816aba3e25717850c26c9cd0d89d');
});

test('texts of every length up to three blocks have the digest that the machine gives them', () => {
  for (let length = 0; length <= 192; length++) {
    const text = 'policy'.repeat(32).slice(0, length);
    assert.equal(hex(text), reference(text), `${length} bytes`);
  }
});

test('any text has the digest of its UTF-8', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 300 }), (text) => hex(text) === reference(text)));
});
