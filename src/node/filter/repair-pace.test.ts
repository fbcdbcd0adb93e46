import assert from 'node:assert/strict';
import { test } from 'node:test';
import { after, instant } from '../../lib/clock.ts';
import { RepairPace } from './repair-pace.ts';

const START = instant(1_000_000);

/** How long each of so many changes waits, when each comes as soon as the one before is repaired. */
function waits(pace: RepairPace, count: number, repairMs: number): number[] {
  let now = START;
  return Array.from({ length: count }, () => {
    const begin = pace.mayBegin(now);
    const wait = begin - now;
    now = after(begin, repairMs);
    pace.repaired(begin, now);
    return wait;
  });
}

test('the first repairs begin at once, those of a fight wait longer and longer, to a bound', () => {
  assert.deepEqual(
    waits(new RepairPace(), 19, 0),
    [...Array<number>(10).fill(0), 1, 2, 4, 8, 16, 32, 60, 60, 60].map((seconds, index) =>
      index < 10 ? 0 : seconds * 1_000,
    ),
  );
});

test('a repair that takes long is made at once, and then not for four times as long', () => {
  assert.deepEqual(waits(new RepairPace(), 4, 3_000), [0, 12_000, 12_000, 12_000]);
});

test('after a quiet minute a fight is forgotten', () => {
  const pace = new RepairPace();
  waits(pace, 30, 0);
  const later = after(START, 3_600_000);
  assert.equal(pace.mayBegin(later), later);
  pace.repaired(later, later);
  assert.equal(pace.mayBegin(later), later);
});
