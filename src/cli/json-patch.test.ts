import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '../lib/json.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { jsonPatch, mergePatch } from './json-patch.ts';

/** RFC 7386, appendix A: target, patch, result. */
const MERGES: readonly (readonly [Json, Json, Json])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

for (const [target, patch, result] of MERGES) {
  test(`merging ${JSON.stringify(patch)} into ${JSON.stringify(target)}`, () => {
    assert.deepEqual(mergePatch(target, patch), result);
  });
}

/** RFC 6902, appendix A, and corners of pointers: target, operations, result. */
const PATCHES: readonly (readonly [Json, Json, Json])[] = [
  [{ foo: 'bar' }, [{ op: 'add', path: '/baz', value: 'qux' }], { foo: 'bar', baz: 'qux' }],
  [{ foo: ['a', 'b'] }, [{ op: 'add', path: '/foo/1', value: 'x' }], { foo: ['a', 'x', 'b'] }],
  [{ foo: ['a'] }, [{ op: 'add', path: '/foo/-', value: ['b'] }], { foo: ['a', ['b']] }],
  [{ a: 1, b: 2 }, [{ op: 'remove', path: '/a' }], { b: 2 }],
  [{ foo: ['a', 'b', 'c'] }, [{ op: 'remove', path: '/foo/1' }], { foo: ['a', 'c'] }],
  [{ a: 1 }, [{ op: 'replace', path: '/a', value: null }], { a: null }],
  [
    { foo: { bar: 'baz', waldo: 'fred' }, qux: {} },
    [{ op: 'move', from: '/foo/waldo', path: '/qux/thud' }],
    { foo: { bar: 'baz' }, qux: { thud: 'fred' } },
  ],
  [{ foo: [1, 2, 3, 4] }, [{ op: 'move', from: '/foo/1', path: '/foo/3' }], { foo: [1, 3, 4, 2] }],
  [{ a: { b: 1 } }, [{ op: 'copy', from: '/a', path: '/c' }], { a: { b: 1 }, c: { b: 1 } }],
  [{ a: ['x'] }, [{ op: 'test', path: '/a/0', value: 'x' }], { a: ['x'] }],
  [{ '/': 9, '~1': 10 }, [{ op: 'remove', path: '/~01' }], { '/': 9 }],
  [{ '/': 9 }, [{ op: 'replace', path: '/~1', value: 8 }], { '/': 8 }],
  [{ '': 1 }, [{ op: 'replace', path: '/', value: 2 }], { '': 2 }],
  [1, [{ op: 'add', path: '', value: 2 }], 2],
  [{ a: 1 }, [], { a: 1 }],
];

for (const [target, operations, result] of PATCHES) {
  test(`patching ${JSON.stringify(target)} with ${JSON.stringify(operations)}`, () => {
    const before = structuredClone(target);
    assert.deepEqual(jsonPatch(target, operations), result);
    assert.deepEqual(target, before, 'the target itself is left alone');
  });
}

const WRONG: readonly (readonly [Json, Json, RegExp])[] = [
  [{}, { op: 'add' }, /a list of operations/],
  [{}, [1], /operation 0 of the patch: must be a mapping/],
  [{}, [{ op: 'ad', path: '/a' }], /op "ad" is not one of .*; did you mean add\?/],
  [{}, [{ op: 'add', path: 'a', value: 1 }], /"path" must be a place such as \/spec\/cidr, not "a"/],
  [{}, [{ op: 'add', path: '/a~2', value: 1 }], /"path" must be/],
  [{}, [{ op: 'move', path: '/a' }], /"from" must be a place .*, not nothing/],
  [{}, [{ op: 'add', path: '/a' }], /"add" needs a "value"/],
  [{}, [{ op: 'remove', path: '' }], /use delete/],
  [{}, [{ op: 'remove', path: '/a' }], /\/a is not there/],
  [{}, [{ op: 'replace', path: '/a', value: 1 }], /\/a is not there/],
  [{}, [{ op: 'remove', path: '/toString' }], /\/toString is not there/],
  [{ foo: 'bar' }, [{ op: 'add', path: '/baz/bat', value: 1 }], /\/baz is not there/],
  [{ a: [1] }, [{ op: 'add', path: '/a/2', value: 1 }], /"2" is not a place in a list of 1/],
  [{ a: [1] }, [{ op: 'remove', path: '/a/-' }], /"-" is not a place/],
  [{ a: [1] }, [{ op: 'replace', path: '/a/01', value: 1 }], /"01" is not a place/],
  [{ a: { b: 1 } }, [{ op: 'move', from: '/a', path: '/a/b' }], /cannot move into itself/],
];

for (const [target, operations, message] of WRONG) {
  test(`refused: ${JSON.stringify(operations)} on ${JSON.stringify(target)}`, () => {
    assert.throws(() => jsonPatch(target, operations), { name: 'CommandError', exitCode: EXIT_CODE.usage, message });
  });
}

test('a test that does not hold is a conflict', () => {
  const patch = [{ op: 'test', path: '/a', value: '1' }];
  assert.throws(
    () => jsonPatch({ a: 1 }, patch),
    (error) =>
      error instanceof CommandError && error.exitCode === EXIT_CODE.conflict && /is 1, not "1"/.test(error.message),
  );
});
