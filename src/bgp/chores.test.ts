import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Chore, Chores } from './chores.ts';

/** A chore of some slices that notes each of them. */
function chore(name: string, slices: number, log: string[]): Chore {
  let done = 0;
  return () => {
    log.push(`${name}${++done}`);
    return done < slices;
  };
}

test('chores are done a slice at a time, each to its end before the next', () => {
  const chores = new Chores();
  const log: string[] = [];
  chores.step();
  chores.add({}, chore('a', 2, log));
  chores.add({}, chore('b', 1, log));
  for (const expected of ['a1', 'a1 a2', 'a1 a2 b1']) {
    assert.ok(!chores.isEmpty);
    chores.step();
    assert.equal(log.join(' '), expected);
  }
  assert.ok(chores.isEmpty);
});

test('an owner that cannot wait has all of its own done, in their order and from where they are, and no others', () => {
  const chores = new Chores();
  const log: string[] = [];
  const [one, other] = [{}, {}];
  chores.add(one, chore('a', 3, log));
  chores.add(other, chore('b', 2, log));
  chores.add(one, chore('c', 1, log));
  chores.step();
  chores.finish(one);
  chores.finish(one);
  assert.equal(log.join(' '), 'a1 a2 a3 c1');
  chores.step();
  chores.step();
  assert.equal(log.join(' '), 'a1 a2 a3 c1 b1 b2');
  assert.ok(chores.isEmpty);
});
