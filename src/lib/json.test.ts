import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { isJsonObject, sameJson } from './json.ts';

test('two JSON values are the same or not, from both sides', () => {
  const rows: [a: unknown, b: unknown, same: boolean][] = [
    [1, 1, true],
    [1, '1', false],
    [null, null, true],
    [null, {}, false],
    [[], {}, false],
    [[], { length: 0 }, false],
    [[1, 2], [1, 2], true],
    [[1, 2], [2, 1], false],
    [[1], [1, 1], false],
    [{ a: 1, b: [{ c: null }] }, { b: [{ c: null }], a: 1 }, true],
    [{ a: 1 }, { a: 1, b: undefined }, true],
    [{ a: 1 }, { a: 1, b: null }, false],
    [{ a: {} }, { a: [] }, false],
    [JSON.parse('{"__proto__": 1}'), {}, false],
    [{ toString: 1 }, {}, false],
  ];
  for (const [a, b, same] of rows) {
    assert.equal(sameJson(a, b), same, `${JSON.stringify(a)} and ${JSON.stringify(b)}`);
    assert.equal(sameJson(b, a), same, `${JSON.stringify(b)} and ${JSON.stringify(a)}`);
  }
});

test('a value is the same as itself after a trip through text', () => {
  fc.assert(fc.property(fc.jsonValue(), (value) => sameJson(value, JSON.parse(JSON.stringify(value)))));
});

test('an object has named members', () => {
  const rows: [value: unknown, is: boolean][] = [
    [{}, true],
    [[], false],
    [null, false],
    ['x', false],
    [undefined, false],
  ];
  for (const [value, is] of rows) assert.equal(isJsonObject(value), is, JSON.stringify(value));
});
