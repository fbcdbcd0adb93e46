import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AssertionFailed, assert as must, unreachable } from './assert.ts';

test('a condition that holds passes, any other throws with the message', () => {
  must(1, 'one is true');
  for (const condition of [false, 0, '', undefined, null]) {
    assert.throws(() => must(condition, 'must hold'), new AssertionFailed('must hold'));
  }
});

test('a case that cannot be throws and shows the value', () => {
  assert.throws(() => unreachable({ kind: 'new' } as never), { name: 'AssertionFailed', message: /"kind":"new"/ });
});
