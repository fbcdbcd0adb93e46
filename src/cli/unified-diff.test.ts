import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { unifiedDiff } from './unified-diff.ts';

const numbered = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1}\n`).join('');

test('texts that are the same have no diff', () => {
  assert.equal(unifiedDiff(numbered(9), numbered(9), 'a', 'b'), '');
});

test('a change stands between three lines of what is around it', () => {
  assert.equal(
    unifiedDiff(numbered(9), numbered(9).replace('5', 'five'), 'a', 'b'),
    '--- a\n+++ b\n@@ -2,7 +2,7 @@\n 2\n 3\n 4\n-5\n+five\n 6\n 7\n 8\n',
  );
});

test('changes that are far from each other have hunks of their own', () => {
  const diff = unifiedDiff(numbered(30), numbered(30).replace('2\n', '').replace('29\n', '29\nx\n'), 'a', 'b');
  assert.deepEqual(diff.match(/^@@.*$/gm), ['@@ -1,5 +1,4 @@', '@@ -27,4 +26,5 @@']);
});

test('what is new and what is gone begins at line 0 of the other side', () => {
  assert.equal(unifiedDiff('', 'a\nb\n', '/dev/null', 'b'), '--- /dev/null\n+++ b\n@@ -0,0 +1,2 @@\n+a\n+b\n');
  assert.equal(unifiedDiff('a\n', '', 'a', '/dev/null'), '--- a\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-a\n');
});

const text = fc
  .array(fc.constantFrom('a', 'b', 'c', ''), { maxLength: 40 })
  .map((lines) => lines.map((line) => `${line}\n`).join(''));

test('a diff, carried out, makes the one text of the other', () => {
  fc.assert(
    fc.property(text, text, (before, after) => {
      assert.equal(carriedOut(before, unifiedDiff(before, after, 'a', 'b')), after);
    }),
  );
});

test('texts that are too long to compare are replaced whole', () => {
  const before = 'a\n'.repeat(3000);
  const after = 'b\n'.repeat(3000);
  assert.equal(carriedOut(before, unifiedDiff(before, after, 'a', 'b')), after);
});

/** What `patch` does, strictly: every line must be where the diff says. */
function carriedOut(before: string, diff: string): string {
  const rest = before.split('\n').slice(0, -1);
  const result: string[] = [];
  let at = 0;
  let after = 0;
  for (const line of diff.split('\n').slice(2, -1)) {
    const [, from, count, to, size] = /^@@ -(\d+),(\d+) \+(\d+),(\d+) @@$/.exec(line) ?? [];
    if (from !== undefined) {
      const start = Number(count) === 0 ? Number(from) : Number(from) - 1;
      result.push(...rest.slice(at, start));
      at = start;
      after = result.length;
      assert.equal(Number(size) === 0 ? Number(to) : Number(to) - 1, after);
    } else if (line.startsWith('+')) result.push(line.slice(1));
    else {
      assert.equal(rest[at], line.slice(1));
      if (line.startsWith(' ')) result.push(line.slice(1));
      at += 1;
    }
  }
  return [...result, ...rest.slice(at)].map((line) => `${line}\n`).join('');
}
