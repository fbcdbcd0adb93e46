import assert from 'node:assert/strict';
import { beforeEach, describe, test } from 'node:test';
import fc from 'fast-check';
import { instant } from './clock.ts';
import { type Operation, Reconciler } from './reconciler.ts';

const FIRST_MS = 100;
const MAX_MS = 1000;

/** Without jitter: waits of 75, 150, 300, 600, 750 ms. */
function newReconciler(): Reconciler<string> {
  return new Reconciler({
    equal: (a, b) => a.normalize() === b.normalize(), // fails loudly when it is asked about nothing
    backoff: { firstMs: FIRST_MS, maxMs: MAX_MS },
    random: () => 0,
  });
}

/** "add a=1", "change a=1→2", "remove a=1". */
function say(operation: Operation<string>): string {
  switch (operation.kind) {
    case 'add':
      return `add ${operation.key}=${operation.desired}`;
    case 'change':
      return `change ${operation.key}=${operation.actual}→${operation.desired}`;
    case 'remove':
      return `remove ${operation.key}=${operation.actual}`;
  }
}

describe('a reconciler', () => {
  let reconciler: Reconciler<string>;
  beforeEach(() => {
    reconciler = newReconciler();
  });
  const due = (now = 0): string[] => reconciler.operations(instant(now)).map(say).sort();
  const failAt = (now: number): void => {
    for (const operation of reconciler.operations(instant(now))) reconciler.failed(operation, 'EBUSY', instant(now));
  };

  test('adds, changes and removes, and leaves alone what is right', () => {
    reconciler.replaceActual(
      new Map([
        ['right', '1'],
        ['wrong', '1'],
        ['stale', '1'],
      ]),
    );
    reconciler.replaceDesired(
      new Map([
        ['right', '1'],
        ['wrong', '2'],
        ['new', '3'],
      ]),
    );
    reconciler.allowRemovals();
    assert.deepEqual(due(), ['add new=3', 'change wrong=1→2', 'remove stale=1']);
    for (const operation of reconciler.operations(instant(0))) reconciler.succeeded(operation);
    assert.deepEqual([due(), reconciler.unsettled(), reconciler.nextRetry()], [[], [], undefined]);
  });

  test('removes nothing, and does not count it as unsettled, before removals are allowed', () => {
    reconciler.setActual('stale', '1');
    assert.deepEqual([due(), reconciler.unsettled()], [[], []]);
    reconciler.allowRemovals();
    assert.deepEqual(due(), ['remove stale=1']);
    assert.deepEqual(reconciler.unsettled(), [{ key: 'stale', status: { state: 'pending' } }]);
  });

  test('a failure waits longer each time and holds up nothing else', () => {
    reconciler.setDesired('bad', '1');
    failAt(0);
    reconciler.setDesired('good', '1');
    assert.deepEqual(due(74), ['add good=1']);
    assert.equal(reconciler.nextRetry(), 75);
    assert.deepEqual(due(75), ['add bad=1', 'add good=1']);
    reconciler.setDesired('good', undefined);
    failAt(75);
    assert.equal(reconciler.nextRetry(), 75 + 150);
    assert.deepEqual(reconciler.status('bad'), { state: 'error', error: 'EBUSY', failures: 2 });
  });

  const afterFailure: [title: string, step: (r: Reconciler<string>) => void, dueAtOnce: string[]][] = [
    ['saying the same again does not end the wait', (r) => r.setDesired('a', '1'), []],
    ['nor does saying everything again', (r) => r.replaceDesired(new Map([['a', '1']])), []],
    ['nor reading the same again', (r) => r.replaceActual(new Map()), []],
    ['a new value does', (r) => r.setDesired('a', '2'), ['add a=2']],
    ['wanting it no more leaves nothing to do', (r) => r.setDesired('a', undefined), []],
    [
      'wanting it anew starts afresh',
      (r) => {
        r.setDesired('a', undefined);
        r.setDesired('a', '1');
      },
      ['add a=1'],
    ],
    [
      'what another hand put right and took away again is tried at once',
      (r) => {
        r.setActual('a', '1');
        r.setActual('a', undefined);
      },
      ['add a=1'],
    ],
    [
      'and so after complete readings',
      (r) => {
        r.replaceActual(new Map([['a', '1']]));
        r.replaceActual(new Map());
      },
      ['add a=1'],
    ],
  ];
  for (const [title, step, dueAtOnce] of afterFailure) {
    test(`after a failure, ${title}`, () => {
      reconciler.setDesired('a', '1');
      failAt(0);
      step(reconciler);
      assert.deepEqual(due(0), dueAtOnce);
    });
  }

  test('a change of mind while the operation runs leaves the difference to do', () => {
    reconciler.setDesired('a', '1');
    const [operation] = reconciler.operations(instant(0));
    reconciler.setDesired('a', '2');
    reconciler.succeeded(operation!);
    assert.deepEqual(due(), ['change a=1→2']);
  });

  test('settled objects are done', () => {
    reconciler.setDesired('a', '1');
    assert.deepEqual(reconciler.status('a'), { state: 'pending' });
    reconciler.setActual('a', '1');
    assert.deepEqual(reconciler.status('a'), { state: 'done' });
    assert.deepEqual([reconciler.desired('a'), [...reconciler.desiredEntries()]], ['1', [['a', '1']]]);
  });
});

test('whatever happens, a world that lets operations succeed becomes what is desired', () => {
  const key = fc.constantFrom('a', 'b', 'c');
  const value = fc.option(fc.constantFrom('1', '2'), { nil: undefined });
  const step = fc.oneof(
    fc.record({ kind: fc.constantFrom('desire' as const, 'meddle' as const), key, value }),
    fc.record({ kind: fc.constantFrom('apply' as const, 'fail' as const, 'read' as const) }),
  );
  fc.assert(
    fc.property(fc.array(step), (steps) => {
      const reconciler = newReconciler();
      reconciler.allowRemovals();
      const world = new Map<string, string>();
      const desired = new Map<string, string>();
      const put = (map: Map<string, string>, name: string, to: string | undefined): void => {
        if (to === undefined) map.delete(name);
        else map.set(name, to);
      };
      let now = 0;
      const apply = (succeeds: boolean): void => {
        now += 10;
        for (const operation of reconciler.operations(instant(now))) {
          if (!succeeds) reconciler.failed(operation, 'EBUSY', instant(now));
          else {
            put(world, operation.key, operation.kind === 'remove' ? undefined : operation.desired);
            reconciler.succeeded(operation);
          }
        }
      };
      for (const one of steps) {
        if (one.kind === 'desire') {
          put(desired, one.key, one.value);
          reconciler.setDesired(one.key, one.value);
        } else if (one.kind === 'meddle') put(world, one.key, one.value);
        else if (one.kind === 'read') reconciler.replaceActual(world);
        else apply(one.kind === 'apply');
      }
      reconciler.replaceActual(world);
      now = Math.max(now, reconciler.nextRetry() ?? 0) + MAX_MS;
      apply(true);
      assert.deepEqual([...world].sort(), [...desired].sort());
      assert.deepEqual(reconciler.unsettled(), []);
    }),
  );
});
