import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after, earlier, instant, monotonicNow, wallClockNow } from './clock.ts';

test('the earlier of two wake-up times, where undefined is never', () => {
  const soon = instant(1);
  const late = after(soon, 5);
  assert.equal(late, 6);
  assert.equal(earlier(soon, late), soon);
  assert.equal(earlier(late, soon), soon);
  assert.equal(earlier(undefined, late), late);
  assert.equal(earlier(late, undefined), late);
  assert.equal(earlier(undefined, undefined), undefined);
});

test('the monotonic clock never goes back, and the wall clock is of this century', () => {
  const first = monotonicNow();
  assert.ok(monotonicNow() >= first);
  assert.equal(Math.floor(new Date(wallClockNow()).getUTCFullYear() / 100), 20);
});
