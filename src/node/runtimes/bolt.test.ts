import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../lib/prng.ts';
import type { BoltSource } from './bolt.ts';
import { findBucket, findValue, listValues, openSnapshot } from './bolt.ts';
import type { Entries, Shape } from './bolt-file.suite.ts';
import { boltFile, entries } from './bolt-file.suite.ts';
import { fnv64a } from './bolt-page.ts';

const text = new TextDecoder();

function sourceOf(bytes: Uint8Array): BoltSource {
  return (offset, length) => (offset + length > bytes.length ? undefined : bytes.subarray(offset, offset + length));
}

/** What a path of buckets and a key lead to, as text; a damage as "damage: …". */
function lookUp(bytes: Uint8Array, path: readonly string[], key: string): string | undefined {
  const snapshot = openSnapshot(sourceOf(bytes));
  if ('damage' in snapshot) return `damage: ${snapshot.damage}`;
  const bucket = findBucket(snapshot, path);
  if (bucket === undefined) return undefined;
  const value = 'damage' in bucket ? bucket : findValue(snapshot, bucket, key);
  if (value === undefined) return undefined;
  return 'damage' in value ? `damage: ${value.damage}` : text.decode(value);
}

/** The values of a bucket; a damage as one value. */
function listOf(bytes: Uint8Array, path: readonly string[], max: number): string[] {
  const snapshot = openSnapshot(sourceOf(bytes));
  if ('damage' in snapshot) return [`damage: ${snapshot.damage}`];
  const bucket = findBucket(snapshot, path);
  if (bucket === undefined) return [];
  const values = 'damage' in bucket ? bucket : listValues(snapshot, bucket, max);
  if ('damage' in values) return [`damage: ${values.damage}`];
  return values.map(({ key, value }) => `${text.decode(key)}=${text.decode(value)}`);
}

function numbered(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`key${index}`, `value ${index}`]));
}

const CONTENT = entries({
  ctr: entries({ aa: entries({ config: '{"a":1}', state: 'x' }), bb: entries(numbered(40)) }),
  empty: entries({}),
  other: entries({ long: 'L'.repeat(20_000), short: 's', nested: entries({ deeper: entries({ end: 'here' }) }) }),
  plain: 'no bucket',
});

const SHAPES: Record<string, Shape> = {
  'one page a bucket': { perPage: 100, inlineMax: 0 },
  'trees of several levels': { perPage: 2, inlineMax: 0 },
  'inline buckets': { perPage: 3, inlineMax: 100 },
  'pages of 16 KiB': { pageSize: 16384 },
};

describe('reading a bbolt file', () => {
  for (const [name, shape] of Object.entries(SHAPES)) {
    const bytes = boltFile(CONTENT, shape);
    const rows: [path: string, key: string, value: string | undefined][] = [
      ['ctr/aa', 'config', '{"a":1}'],
      ['ctr/aa', 'state', 'x'],
      ['ctr/aa', 'confi', undefined],
      ['ctr/aa', 'config ', undefined],
      ['ctr/aa', '', undefined],
      ['ctr/aa', '~', undefined],
      ...Object.entries(numbered(40)).map(([key, value]): [string, string, string] => ['ctr/bb', key, value]),
      ['ctr/cc', 'config', undefined],
      ['empty', 'config', undefined],
      ['plain', 'config', undefined],
      ['other', 'long', 'L'.repeat(20_000)],
      ['other', 'short', 's'],
      ['other', 'nested', undefined],
      ['other/nested/deeper', 'end', 'here'],
    ];
    it(`finds what is there, and nothing else: ${name}`, () => {
      for (const [path, key, value] of rows) assert.equal(lookUp(bytes, path.split('/'), key), value, `${path} ${key}`);
    });
    it(`lists values in the order of their keys, up to a number: ${name}`, () => {
      const all = Object.entries(numbered(40))
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, value]) => `${key}=${value}`);
      assert.deepEqual(listOf(bytes, ['ctr', 'bb'], 100), all);
      assert.deepEqual(listOf(bytes, ['ctr', 'bb'], 40), all);
      assert.deepEqual(listOf(bytes, ['ctr', 'bb'], 7), all.slice(0, 7));
      assert.deepEqual(listOf(bytes, ['empty'], 7), []);
      assert.deepEqual(listOf(bytes, ['ctr'], 7), [], 'buckets are not values');
    });
  }

  it('takes the newer of two metas, and the other one when that is broken', () => {
    for (const transaction of [8n, 9n]) {
      const bytes = boltFile(entries({ a: entries({ k: 'new' }) }), {
        transaction,
        before: entries({ a: entries({ k: 'old' }) }),
      });
      assert.equal(lookUp(bytes, ['a'], 'k'), 'new');
      const newer = Number(transaction % 2n) * 4096;
      breakAt(bytes, newer + 16 + 30);
      assert.equal(lookUp(bytes, ['a'], 'k'), 'old');
      breakAt(bytes, 4096 - newer + 16 + 30);
      assert.equal(lookUp(bytes, ['a'], 'k'), 'damage: a meta whose checksum is wrong');
    }
  });

  it('says what is wrong', () => {
    const whole = boltFile(CONTENT);
    const foreign = new Uint8Array(8192);
    assert.equal(lookUp(new Uint8Array(), ['a'], 'k'), 'damage: the file ends before its first two pages');
    assert.equal(lookUp(foreign, ['a'], 'k'), 'damage: no bbolt file: its magic number is missing');
    assert.match(lookUp(whole.subarray(0, 4 * 4096), ['ctr'], 'k') ?? '', /^damage: the file ends before page \d+$/);
  });

  it('says so of a value that ends beyond its page', () => {
    const bytes = boltFile(entries({ a: entries({ k: 'v' }) }), { inlineMax: 0 });
    const firstElement = 4 * 4096 + 16;
    new DataView(bytes.buffer).setUint32(firstElement + 12, 5000, true);
    assert.equal(lookUp(bytes, ['a'], 'k'), 'damage: a key or value beyond its page');
  });

  // The vectors of draft-eastlake-fnv.
  for (const [input, hash] of [
    ['', 0xcbf29ce484222325n],
    ['a', 0xaf63dc4c8601ec8cn],
    ['foobar', 0x85944171f73967e8n],
  ] as const) {
    it(`hashes ${JSON.stringify(input)} as everybody does`, () => {
      assert.equal(fnv64a(new TextEncoder().encode(input)), hash);
    });
  }

  it('ends where pages lead in a circle', () => {
    const bytes = boltFile(entries({ deep: entries(numbered(40)) }), { perPage: 2 });
    const pages = bytes.length / 4096;
    const view = new DataView(bytes.buffer);
    for (let page = 4; page < pages; page++) {
      const [at, isBranch] = [page * 4096, view.getUint16(page * 4096 + 8, true) === 1];
      if (!isBranch) continue;
      for (let index = 0; index < view.getUint16(at + 10, true); index++) {
        view.setBigUint64(at + 16 + 16 * index + 8, BigInt(page), true);
      }
    }
    assert.match(lookUp(bytes, ['deep'], 'key1') ?? '', /^damage: a tree of more than 32 levels$/);
    assert.match(listOf(bytes, ['deep'], 64).join(), /^damage: a bucket with more pages than values$/);
    for (let page = 4; page < pages; page++) view.setUint16(page * 4096 + 10, 1, true);
    assert.match(listOf(bytes, ['deep'], 64).join(), /^damage: a bucket with more pages than values$/);
  });

  it('never throws, whichever byte the file ends at', () => {
    const bytes = boltFile(SMALL);
    for (let length = 0; length < bytes.length; length++) {
      const value = lookUp(bytes.subarray(0, length), ['ctr', 'aa'], 'config') ?? '';
      assert.ok(value === '{}' || value.startsWith('damage: '), `${length}: ${value}`);
      listOf(bytes.subarray(0, length), ['ctr', 'bb'], 64);
    }
  });

  it('never throws or loops, whatever bytes are changed', () => {
    const bytes = boltFile(SMALL, { perPage: 2, inlineMax: 2 });
    const random = seededRandom(20);
    let damaged = 0;
    for (let round = 0; round < 4000; round++) {
      const changed = bytes.slice();
      for (let change = 0; change <= round % 5; change++) {
        // Most of a page is empty; what matters is at its beginning.
        const at = Math.floor(random() * (bytes.length / 4096)) * 4096 + Math.floor(random() * 160);
        changed[at] = Math.floor(random() * 256);
      }
      const value = lookUp(changed, ['ctr', 'aa'], 'config');
      const list = listOf(changed, ['ctr', 'bb'], 64);
      assert.ok(list.length <= 64);
      if ([value, ...list].some((each) => each?.startsWith('damage: '))) damaged++;
    }
    assert.ok(damaged > 400, `only ${damaged} of the changes were noticed`);
  });
});

const SMALL: Entries = entries({ ctr: entries({ aa: entries({ config: '{}' }), bb: entries(numbered(9)) }) });

function breakAt(bytes: Uint8Array, index: number): void {
  bytes[index] = (bytes[index] ?? 0) ^ 1;
}
