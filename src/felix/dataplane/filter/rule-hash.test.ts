import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chainedHashes } from './rule-hash.ts';

/** FNV-1a as its authors write it. */
function reference(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const character of text) hash = BigInt.asUintN(64, (hash ^ BigInt(character.charCodeAt(0))) * 0x100000001b3n);
  return hash;
}

/** Of 66 bits, the first two always zero. */
function number(hash: string): bigint {
  return Buffer.from(`A${hash}`, 'base64url').reduce((value, byte) => value * 256n + BigInt(byte), 0n);
}

test('the reference gives the published value of "foobar"', () => {
  assert.equal(reference('foobar'), 0x85944171f73967e8n);
});

test('a hash is FNV-1a of the chain’s name and all rules up to its own', () => {
  const ascii = fc.string({ unit: 'binary-ascii' });
  fc.assert(
    fc.property(ascii, fc.array(ascii), (name, rules) => {
      const expected = rules.map((_, index) => reference([name, ...rules.slice(0, index + 1)].join('\n')));
      assert.deepEqual(chainedHashes(name, rules).map(number), expected);
    }),
  );
});

test('one changed rule changes all hashes below it and none above', () => {
  const before = chainedHashes('cali-fw-x', ['a', 'b', 'c', 'd']);
  const after = chainedHashes('cali-fw-x', ['a', 'B', 'c', 'd']);
  assert.deepEqual(
    before.map((hash, index) => hash === after[index]),
    [true, false, false, false],
  );
  assert.notDeepEqual(chainedHashes('cali-fw-y', ['a']), chainedHashes('cali-fw-x', ['a']));
});
