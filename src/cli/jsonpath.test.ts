import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EXIT_CODE } from './exit-code.ts';
import { fillTemplate, parseTemplate } from './jsonpath.ts';

const VALUE = {
  name: 'a',
  count: 3,
  off: false,
  list: ['x', 'y', 'z'],
  items: [
    { n: 1, labels: { 'k8s.io/x': 'one' } },
    { n: 2, labels: {} },
  ],
  constructor2: null,
};

const FILLED: readonly (readonly [string, string])[] = [
  ['', ''],
  ['plain', 'plain'],
  ['{.name}', 'a'],
  ['{$.name}', 'a'],
  ['<{.name}|{.count}|{.off}>', '<a|3|false>'],
  ['{.list}', '["x","y","z"]'],
  ['{.list[0]}{.list[-1]}', 'xz'],
  ['{.list[*]}', 'x y z'],
  ['{.items[*].n}', '1 2'],
  ["{.items[0].labels['k8s.io/x']}", 'one'],
  ['{.items[*].labels["k8s.io/x"]}', 'one'],
  ['{.items[0].*}', '1 {"k8s.io/x":"one"}'],
  ['{.name}{"\\n"}{\'\\t\'}', 'a\n\t'],
  ['{.nothing}{.list[9]}{.name.deeper}{.list.name}{.toString}', ''],
  ['{.constructor2}', 'null'],
  ['{}', JSON.stringify(VALUE)],
];

for (const [template, text] of FILLED) {
  test(`jsonpath ${template}`, () => assert.equal(fillTemplate(parseTemplate(template), VALUE), text));
}

const WRONG: readonly (readonly [string, RegExp])[] = [
  ['{.name', /at character 7: the closing } is missing/],
  ['a{name}', /at character 3: write \.name/],
  ['{.a[x]}', /at character 4: write/],
  ['{range .items}', /at character 2/],
  ['x'.repeat(5000), /too long/],
];

for (const [template, message] of WRONG) {
  test(`jsonpath refuses ${template.slice(0, 20)}`, () => {
    assert.throws(() => parseTemplate(template), { exitCode: EXIT_CODE.usage, message });
  });
}
