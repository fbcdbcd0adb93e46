import assert from 'node:assert/strict';
import { test } from 'node:test';
import { durationText } from './view.ts';

const ROWS: readonly [milliseconds: number, text: string][] = [
  [0, '0s'],
  [999, '0s'],
  [45_000, '45s'],
  [60_000, '1m0s'],
  [3_600_000 + 12 * 60_000 + 7_000, '1h12m'],
  [3 * 86_400_000, '3d0h'],
];

test('a duration is told in its two largest units', () => {
  for (const [milliseconds, text] of ROWS) assert.equal(durationText(milliseconds), text);
});
