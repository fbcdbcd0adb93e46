/** Selectors: what they match, how they are printed, where they are wrong. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Labels, Selector } from './selector.ts';
import { matches, printSelector } from './selector.ts';
import { parseSelector, SELECTOR_LENGTH_MAX } from './selector-parser.ts';

function selector(text: string): Selector {
  const parsed = parseSelector(text);
  assert.ok(parsed.ok, parsed.ok ? '' : `${text}: ${parsed.offset}: ${parsed.message}`);
  return parsed.selector;
}

const LABELS: Labels = { a: 'b', role: 'web-front', in: 'x', has: 'y', 'k8s.io/app': '', empty: '' };

const MATCHING: readonly (readonly [string, boolean])[] = [
  ['', true],
  [' \t', true],
  ['all()', true],
  ['all( )', true],
  ['!all()', false],
  ['global()', true],
  ['has(a)', true],
  ['has( a )', true],
  ['has(z)', false],
  ['has(empty)', true],
  ['!has(z)', true],
  ['!!has(a)', true],
  ['!!!has(a)', false],
  ['! !has(a)', true],
  ['a == "b"', true],
  ["a=='b'", true],
  ["a == 'B'", false],
  ["z == ''", false],
  ["empty == ''", true],
  ["a != 'b'", false],
  ["a != 'c'", true],
  ["z != 'c'", true],
  ["a in {'b','c'}", true],
  ["a in {'b','c',}", true],
  ['a in {}', false],
  ['z in {}', false],
  ['a not in {}', true],
  ["z not in {'b'}", true],
  ["a not in {'b'}", false],
  ["a notin {'b'}", false],
  ["a not\t in {'c'}", true],
  ["a in{'b'}", true],
  ["role contains 'b-f'", true],
  ["z contains ''", false],
  ["role contains ''", true],
  ["role starts with 'web'", true],
  ["role startswith 'web'", true],
  ["role starts  with'web'", true],
  ["role ends with 'front'", true],
  ["role endswith 'web'", false],
  ["in in {'x'}", true],
  ["has == 'y'", true],
  ["in == 'x' && has == 'y'", true],
  ["k8s.io/app == ''", true],
  ["a == 'b' || a == 'c' && a == 'd'", true],
  ["(a == 'b' || a == 'c') && a == 'd'", false],
  ["!a == 'c'", true],
  ["!(a == 'b' || has(z))", false],
  ['has(constructor)', false],
  ["constructor != 'x'", true],
  ["__proto__ == ''", false],
  ["toString starts with 'f'", false],
  ["a == 'b'&&has(in)||has(z)", true],
];

for (const [text, expected] of MATCHING) {
  test(`${JSON.stringify(text)} ${expected ? 'matches' : 'does not match'}`, () => {
    assert.equal(matches(selector(text), LABELS), expected);
  });
}

const CANONICAL: readonly (readonly [string, string])[] = [
  ['', 'all()'],
  ['  has( a)', 'has(a)'],
  ["a=='b'", 'a == "b"'],
  ['a == \'with "quotes"\'', 'a == \'with "quotes"\''],
  ["a in {'c','b','c',}", 'a in {"b", "c"}'],
  ["a notin {'c'}", 'a not in {"c"}'],
  ["a startswith 'x'", 'a starts with "x"'],
  ["a endswith 'x'", 'a ends with "x"'],
  ['!!!has(a)', '!has(a)'],
  ['((has(a)))', 'has(a)'],
  ['has(a)&&has(b)||has(c)', '((has(a) && has(b)) || has(c))'],
  ['!(has(a) && has(b))', '!(has(a) && has(b))'],
  ['!(!has(a))', '!!has(a)'],
];

for (const [text, expected] of CANONICAL) {
  test(`${JSON.stringify(text)} is ${expected}`, () => assert.equal(printSelector(selector(text)), expected));
}

/** The text with a mark where the error is, and what the message says. */
const WRONG: readonly (readonly [string, RegExp])[] = [
  ['a^', /expected an operator after the label "a"/],
  ["a ^= 'b'", /equality is written "=="/],
  ['a == ^b', /expected a value in quotes/],
  ["a == ^'b", /no closing quote/],
  ["a == 'b' ^& has(c)", /expected "&&", "\|\|" or the end/],
  ["a == 'b' && ^", /expected a label, has\(\), all\(\) or "\("/],
  ["^&& a == 'b'", /expected a label/],
  ['has ^(a)', /expected an operator after the label "has"/],
  ['has(^)', /expected a label/],
  ['has(a ^b)', /expected "\)"/],
  ['all(^x)', /all\(\) takes nothing/],
  ['all ^()', /expected an operator after the label "all"/],
  ["(a == 'b'^", /close the parenthesis/],
  ["a == 'b'^)", /or the end/],
  ["a in ^'b'", /expected "\{"/],
  ["a in {'b' ^'c'}", /expected "\}" to end the set/],
  ['a in {^,}', /expected a value in quotes/],
  ["a in {'b',,^}".replace(',,^', ',^,'), /expected a value in quotes/],
  ["a in {'b'^", /to end the set/],
  ["a starts ^'b'".replace('starts ^', '^starts '), /expected an operator/],
  ['a ^has(b)', /expected an operator/],
  ['^\u00a0has(a)', /expected a label/],
  ['has(a)^\n', /or the end/],
  [`${'('.repeat(65)}^has(a)`, /more than 64 parentheses/],
  [`^${'a'.repeat(513)} == 'b'`, /longer than 512/],
  [`${'a'.repeat(SELECTOR_LENGTH_MAX)}^a`, /longer than 8192 characters/],
];

for (const [marked, message] of WRONG) {
  test(`${JSON.stringify(marked).slice(0, 60)} is wrong at the mark`, () => {
    const parsed = parseSelector(marked.replace('^', ''));
    assert.ok(!parsed.ok);
    assert.equal(parsed.offset, marked.indexOf('^'));
    assert.match(parsed.message, message);
  });
}

const label = fc.stringMatching(/^[A-Za-z0-9_./-]{1,8}$/);
const value = fc.stringMatching(/^[^"]{0,6}$/);
const generated: fc.Arbitrary<Selector> = fc.letrec<{ selector: Selector }>((tie) => ({
  selector: fc.oneof(
    { depthSize: 'small' },
    fc.constant<Selector>({ kind: 'all' }),
    fc.constant<Selector>({ kind: 'global' }),
    label.map((label): Selector => ({ kind: 'has', label })),
    fc
      .tuple(
        fc.constantFrom(
          '==' as const,
          '!=' as const,
          'contains' as const,
          'starts with' as const,
          'ends with' as const,
        ),
        label,
        value,
      )
      .map(([kind, label, value]): Selector => ({ kind, label, value })),
    fc
      .tuple(fc.constantFrom('in' as const, 'not in' as const), label, fc.uniqueArray(value, { maxLength: 4 }))
      .map(([kind, label, values]): Selector => ({ kind, label, values: values.sort() })),
    // A negation of a negation is never parsed as such.
    tie('selector').map((operand): Selector => (operand.kind === 'not' ? operand : { kind: 'not', operand })),
    fc
      .tuple(fc.constantFrom('&&' as const, '||' as const), fc.array(tie('selector'), { minLength: 2, maxLength: 3 }))
      .map(([kind, operands]): Selector => ({ kind, operands })),
  ),
})).selector;

test('what is printed parses to the same selector', () => {
  fc.assert(
    fc.property(generated, (tree) => assert.deepEqual(selector(printSelector(tree)), tree)),
    { numRuns: 2000 },
  );
});

test('printing is a fixed point, and means the same', () => {
  const labels = fc.dictionary(label, value, { maxKeys: 4 });
  fc.assert(
    fc.property(generated, labels, (tree, some) => {
      const again = selector(printSelector(tree));
      assert.equal(printSelector(again), printSelector(tree));
      assert.equal(matches(again, some), matches(tree, some));
    }),
  );
});

test('no text makes the parser throw', () => {
  const pieces = fc.constantFrom(
    'a',
    'in',
    'not',
    ' ',
    '\t',
    '(',
    ')',
    '{',
    '}',
    "'",
    '"',
    '==',
    '!=',
    '!',
    '&&',
    '||',
    ',',
    'has(',
    'all()',
    'é',
  );
  fc.assert(
    fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
      const text = parts.join('');
      const parsed = parseSelector(text);
      if (!parsed.ok) assert.ok(parsed.offset >= 0 && parsed.offset <= text.length);
      else assert.deepEqual(selector(printSelector(parsed.selector)), normalised(parsed.selector));
    }),
    { numRuns: 3000 },
  );
});

/** A text can hold a negated parenthesis around a negation, which printing joins to one row of "!". */
function normalised(tree: Selector): Selector {
  if (tree.kind === 'not') {
    const operand = normalised(tree.operand);
    return operand.kind === 'not' ? operand.operand : { kind: 'not', operand };
  }
  if (tree.kind === '&&' || tree.kind === '||') return { ...tree, operands: tree.operands.map(normalised) };
  return tree;
}
