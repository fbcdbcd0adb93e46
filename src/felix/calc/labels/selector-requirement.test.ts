import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseSelector } from '../../../model/selector-parser.ts';
import { requirementsOf } from './selector-requirement.ts';

/** "a=1|b" is one requirement: a is 1, or b is there. "-" is one that nothing fulfils. */
const ROWS: readonly (readonly [selector: string, ...requirements: string[]])[] = [
  ['all()'],
  ['global()'],
  ['!all()', '-'],
  ['a == "1"', 'a=1'],
  ['a != "1"'],
  ['!(a != "1")', 'a=1'],
  ['!(a == "1")'],
  ['has(a)', 'a'],
  ['!has(a)'],
  ['!(!has(a))', 'a'],
  ['a in {"2", "1"}', 'a=1|a=2'],
  ['a in {}', '-'],
  ['a not in {"1"}'],
  ['!(a not in {"1"})', 'a=1'],
  ['a contains "1"', 'a'],
  ['a starts with "1"', 'a'],
  ['a ends with "1"', 'a'],
  ['!(a contains "1")'],
  ['a == "1" && b == "2"', 'a=1', 'b=2'],
  ['a == "1" && b != "2"', 'a=1'],
  ['a == "1" || b == "2"', 'a=1|b=2'],
  ['a == "1" || b != "2"'],
  ['a == "1" || !all()', 'a=1'],
  ['!(a != "1" || !has(b))', 'a=1', 'b'],
  ['!(a != "1" && !has(b))', 'a=1|b'],
  ['(has(a) && b == "2") || c == "3"', 'b=2|c=3'],
  ['(b in {"1", "2"} && c == "3") || has(a)', 'c=3|a'],
  ['(a == "1" || b == "2") && has(c)', 'a=1|b=2', 'c'],
];

test('what a selector requires can be read off it', () => {
  for (const [text, ...wanted] of ROWS) {
    const parsed = parseSelector(text);
    assert.ok(parsed.ok, text);
    const printed = requirementsOf(parsed.selector).map((requirement) =>
      requirement.map(({ label, value }) => (value === undefined ? label : `${label}=${value}`)).join('|'),
    );
    assert.deepEqual(
      printed.map((requirement) => requirement || '-'),
      wanted,
      text,
    );
  }
});
