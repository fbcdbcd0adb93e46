import assert from 'node:assert/strict';
import { test } from 'node:test';
import { backoffMs } from './backoff.ts';

const BACKOFF = { firstMs: 100, maxMs: 5000 };

test('the wait doubles with each failure up to the bound, and jitter takes at most a quarter off', () => {
  const rows: [failures: number, longest: number][] = [
    [0, 100],
    [1, 100],
    [2, 200],
    [3, 400],
    [6, 3200],
    [7, 5000],
    [1000, 5000],
    [Number.MAX_SAFE_INTEGER, 5000],
  ];
  for (const [failures, longest] of rows) {
    assert.equal(
      backoffMs(BACKOFF, failures, () => 0),
      longest * 0.75,
      `${failures} failures, least`,
    );
    assert.equal(
      backoffMs(BACKOFF, failures, () => 0.5),
      longest * 0.875,
      `${failures} failures, middle`,
    );
    const most = backoffMs(BACKOFF, failures, () => 1 - Number.EPSILON);
    assert.ok(most > longest * 0.999 && most <= longest, `${failures} failures, most: ${most}`);
  }
});
