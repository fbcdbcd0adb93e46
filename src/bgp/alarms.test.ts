import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { instant } from '../lib/clock.ts';
import { Alarms } from './alarms.ts';

test('owners are woken at the earliest time that they have set since they last rang, in any order of calls', () => {
  const step = fc.oneof(
    fc.record({ what: fc.constant('set' as const), owner: fc.nat(8), at: fc.nat(100) }),
    fc.record({ what: fc.constant('remove' as const), owner: fc.nat(8), at: fc.constant(0) }),
    fc.record({ what: fc.constant('take' as const), owner: fc.constant(0), at: fc.nat(100) }),
  );
  fc.assert(
    fc.property(fc.array(step, { maxLength: 100 }), (steps) => {
      const alarms = new Alarms<number>();
      const model = new Map<number, number>();
      for (const { what, owner, at } of steps) {
        if (what === 'set') {
          alarms.set(owner, instant(at));
          model.set(owner, Math.min(at, model.get(owner) ?? at));
        } else if (what === 'remove') {
          alarms.remove(owner);
          model.delete(owner);
        } else {
          const due = [...model].filter(([, time]) => time <= at).map(([name]) => name);
          assert.deepEqual(alarms.takeDue(instant(at)).sort(), due.sort());
          for (const name of due) model.delete(name);
        }
        // It may ring too early, for an alarm that is no more, and never too late.
        for (const time of model.values()) assert.ok(alarms.next !== undefined && alarms.next <= time);
      }
      const rest = alarms.takeDue(instant(1_000));
      assert.deepEqual(rest.sort(), [...model.keys()].sort());
      assert.equal(alarms.next, undefined);
    }),
    { numRuns: 500 },
  );
});

test('an alarm that moves to later costs nothing and rings at its old time', () => {
  const alarms = new Alarms<string>();
  alarms.set('a', instant(10));
  for (let at = 11; at < 1_000; at++) alarms.set('a', instant(at));
  alarms.set('a', undefined);
  assert.deepEqual(alarms.takeDue(instant(9)), []);
  assert.deepEqual(alarms.takeDue(instant(10)), ['a']);
  assert.equal(alarms.next, undefined);
});
