import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { Delta } from './delta.ts';

/** Equal when alike but for case, so that equality is seen to be the caller's. */
const newDelta = (): Delta<string> => new Delta((a, b) => a.toLowerCase() === b.toLowerCase());

test('keys differ when one side lacks them or the sides are not equal', () => {
  const rows: [desired: string | undefined, actual: string | undefined, differs: boolean][] = [
    ['x', undefined, true],
    [undefined, 'x', true],
    ['x', 'y', true],
    ['x', 'X', false],
    ['', undefined, true],
    [undefined, undefined, false],
  ];
  for (const [desired, actual, differs] of rows) {
    const delta = newDelta();
    delta.setDesired('k', desired);
    delta.setActual('k', actual);
    assert.equal(delta.differing().has('k'), differs, `${desired} and ${actual}`);
    assert.deepEqual([delta.desired('k'), delta.actual('k')], [desired, actual]);
  }
});

test('replacing a side removes what the new one lacks', () => {
  const delta = newDelta();
  delta.replaceDesired(
    new Map([
      ['a', '1'],
      ['b', '2'],
    ]),
  );
  delta.replaceActual(
    new Map([
      ['b', '2'],
      ['c', '3'],
    ]),
  );
  assert.deepEqual([...delta.differing()].sort(), ['a', 'c']);
  delta.replaceDesired(new Map([['b', '9']]));
  assert.deepEqual([...delta.differing()].sort(), ['b', 'c']);
  delta.replaceActual(new Map());
  assert.deepEqual([...delta.differing()], ['b']);
  assert.deepEqual([[...delta.desiredEntries()], [...delta.actualEntries()]], [[['b', '9']], []]);
  assert.equal(delta.desiredSize, 1);
});

test('after any steps, exactly the keys that are not equal differ', () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const value = fc.option(fc.constantFrom('x', 'X', 'y'), { nil: undefined });
  const side = fc.constantFrom('desired' as const, 'actual' as const);
  const whole = fc.dictionary(key, fc.constantFrom('x', 'X', 'y'), { noNullPrototype: true });
  const step = fc.oneof(fc.record({ side, key, value }), fc.record({ side, whole }));
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const delta = newDelta();
      const model = { desired: new Map<string, string>(), actual: new Map<string, string>() };
      for (const one of steps) {
        if ('whole' in one) {
          const entries = new Map(Object.entries(one.whole));
          model[one.side] = entries;
          if (one.side === 'desired') delta.replaceDesired(entries);
          else delta.replaceActual(entries);
        } else {
          if (one.value === undefined) model[one.side].delete(one.key);
          else model[one.side].set(one.key, one.value);
          if (one.side === 'desired') delta.setDesired(one.key, one.value);
          else delta.setActual(one.key, one.value);
        }
      }
      const wanted = ['a', 'b', 'c'].filter(
        (name) => model.desired.get(name)?.toLowerCase() !== model.actual.get(name)?.toLowerCase(),
      );
      assert.deepEqual([...delta.differing()].sort(), wanted);
      assert.equal(delta.desiredSize, model.desired.size);
    }),
  );
});
