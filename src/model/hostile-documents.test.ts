/**
 * Documents that somebody has broken, on purpose or not: a clear error or resources, in bounded time, never an exception.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { isJsonObject } from '../lib/json.ts';
import { parseDocuments } from './documents.ts';
import { formatPath, type Path } from './problem.ts';

const POOL = `\
apiVersion: projectcalico.org/v3
kind: IPPool
metadata:
  name: a
  labels: {rack: "r1"}
  annotations: {note: 'x # y'}
spec:
  cidr: 10.0.0.0/16
  blockSize: 26
  ipipMode: Never
  natOutgoing: true
  nodeSelector: all()
  allowedUses: [Workload, Tunnel]
`;

const SAMPLE = `${POOL}---
apiVersion: projectcalico.org/v3
kind: Node
metadata: {name: host-a}
spec:
  bgp:
    ipv4Address: 192.168.100.100/24
    asNumber: 64512
`;

/** Every error is one line that says where. */
function problemsOf(text: string): readonly string[] {
  const parsed = parseDocuments(text, 'f.yaml');
  if (parsed.ok) return [];
  assert.ok(parsed.problems.length > 0);
  for (const problem of parsed.problems) assert.match(problem, /^(f\.yaml(:\d+)*: .+|and \d+ more)$/);
  return parsed.problems;
}

const JSON_SAMPLE = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: [parse(POOL)] });

for (const [title, sample] of [
  ['YAML', SAMPLE],
  ['JSON', JSON_SAMPLE],
] as const) {
  test(`${title} that is cut off anywhere is an error or resources`, () => {
    assert.deepEqual(problemsOf(sample), []);
    for (let length = 0; length < sample.length; length++) problemsOf(sample.slice(0, length));
  });

  test(`${title} with any character replaced, doubled or left out is an error or resources`, () => {
    for (let at = 0; at < sample.length; at++) {
      for (const put of [
        '',
        '\u0000',
        '\t',
        '*',
        '&',
        '{',
        ']',
        '"',
        '\n',
        '\ud800',
        '\ufeff',
        sample.charAt(at).repeat(2),
      ]) {
        problemsOf(sample.slice(0, at) + put + sample.slice(at + 1));
      }
    }
  });
}

/** Values of every type; what a field takes of these is left out by `isRight`. */
const WRONG: readonly unknown[] = [null, true, 17, -1.5, 'no such thing', [], ['x'], {}, { x: 1 }];

function scalarPaths(value: unknown, path: Path = []): Path[] {
  if (Array.isArray(value)) return value.flatMap((item: unknown, index) => scalarPaths(item, [...path, index]));
  if (!isJsonObject(value)) return [path];
  return Object.entries(value).flatMap(([name, member]) => scalarPaths(member, [...path, name]));
}

function withValueAt(value: unknown, [step, ...rest]: Path, put: unknown): unknown {
  if (step === undefined) return put;
  if (Array.isArray(value))
    return value.map((item: unknown, at) => (at === step ? withValueAt(item, rest, put) : item));
  assert.ok(isJsonObject(value));
  return { ...value, [step]: withValueAt(value[step], rest, put) };
}

/** What these fields take although the sample has another value there. */
const RIGHT: Readonly<Record<string, (put: unknown) => boolean>> = {
  'metadata.annotations.note': (put) => typeof put === 'string',
  'spec.natOutgoing': (put) => put === true,
  'spec.bgp.asNumber': (put) => put === 17,
};

for (const document of SAMPLE.split('---\n')) {
  const sample: unknown = parse(document);
  for (const path of scalarPaths(sample)) {
    test(`a wrong value of any type at ${formatPath(path)} is an error that names it`, () => {
      for (const put of WRONG) {
        if (RIGHT[formatPath(path)]?.(put) === true) continue;
        const problems = problemsOf(JSON.stringify(withValueAt(sample, path, put)));
        assert.ok(
          problems.some((problem) => problem.includes(` ${formatPath(path)}`)),
          `${JSON.stringify(put)}: ${problems.join('\n')}`,
        );
      }
    });
  }
}

/** Text, and the beginning of what is said of it; undefined where it is right. */
const ODD: readonly (readonly [string, string, RegExp | undefined])[] = [
  ['a byte order mark', `\ufeff${POOL}`, undefined],
  ['CRLF', POOL.replaceAll('\n', '\r\n'), undefined],
  ['a tab as indentation', POOL.replace('  name', '\tname'), /^f\.yaml:4:1: Tabs are not allowed/],
  ['tabs elsewhere', POOL.replaceAll(': ', ':\t'), undefined],
  [
    'a NUL byte in a name',
    POOL.replace('name: a', 'name: a\u0000b'),
    /^f\.yaml:4:9: metadata\.name: "a\\u0000b" is not a name/,
  ],
  ['a NUL byte at the end', `${POOL}\u0000`, /^f\.yaml:14:1: /],
  [
    'a name that is too long',
    POOL.replace('name: a', `name: ${'a'.repeat(254)}`),
    /metadata\.name: is 254 characters long; at most 253/,
  ],
  ['a key twice', POOL.replace('  name: a', '  name: a\n  name: b'), /^f\.yaml:5:3: this key is in the mapping twice/],
  ['a key twice in two spellings', POOL.replace('  name: a', '  name: a\n  "name": b'), /^f\.yaml:5:3: this key is/],
  ['a key that is a list', POOL.replace('rack:', '[1, 2]:'), /^f\.yaml:5:12: a key must be one word/],
  ['an alias to nothing', POOL.replace('name: a', 'name: *b'), /^f\.yaml:4:9: "\*b" stands for nothing/],
  [
    'an alias before its anchor',
    POOL.replace('name: a', 'name: *b').replace('"r1"', '&b r1'),
    /"\*b" stands for nothing/,
  ],
  [
    'an alias to itself',
    POOL.replace('name: a', 'name: &x [*x]'),
    /^f\.yaml:4:13: "\*x" stands for what it is a part of/,
  ],
  ['a number without an end', POOL.replace('26', '.inf'), /spec\.blockSize: must be a number, not Infinity/],
  ['bytes', POOL.replace('name: a', 'name: !!binary QUJD'), /metadata\.name: "QUJD" is not a name/],
  ['a set', POOL.replace('{rack: "r1"}', '!!set {a}'), /metadata\.labels\.a: must be text, not null/],
  ['a date of YAML 1.1', `%YAML 1.1\n---\n${POOL.replace('"r1"', '2001-01-01')}`, undefined],
];

for (const [title, text, expected] of ODD) {
  test(`${title}: ${expected === undefined ? 'is read' : 'is an error that says where'}`, () => {
    const problems = problemsOf(text);
    if (expected === undefined) assert.deepEqual(problems, []);
    else assert.match(problems[0] ?? '', expected);
  });
}

/** What grows with the square of its size, or with its depth, in parsers that do not watch out. */
const HEAVY: readonly (readonly [string, string])[] = [
  ['open brackets', '['.repeat(100_000)],
  ['brackets', '['.repeat(50_000) + ']'.repeat(50_000)],
  ['mappings', '{a: '.repeat(50_000)],
  ['lists on one line', '- '.repeat(50_000)],
  ['blocks', Array.from({ length: 2_000 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n')],
  ['complex keys', '? '.repeat(20_000)],
  ['many keys', Array.from({ length: 30_000 }, (_, n) => `k${n}: v`).join('\n')],
  ['many equal keys', 'k: v\n'.repeat(30_000)],
  ['many documents', '---\na\n'.repeat(30_000)],
  ['many empty documents', '---\n'.repeat(100_000)],
  ['many errors', '{]'.repeat(10_000)],
  ['quotes', '"'.repeat(30_000)],
  ['anchors', '&a '.repeat(10_000)],
  ['tabs', '\t'.repeat(100_000)],
  ['colons', ':'.repeat(100_000)],
  ['question marks', '?\n'.repeat(30_000)],
  ['exclamation marks', '!'.repeat(100_000)],
  ['directives', '%\n'.repeat(10_000)],
  ['a dotted name', POOL.replace('name: a', `name: ${'a.'.repeat(20_000)}!`)],
  [
    'an alias bomb',
    `a: &a [x]\n${Array.from({ length: 30 }, (_, n) => `b${n}: &b${n} [*${n === 0 ? 'a' : `b${n - 1}`},*${n === 0 ? 'a' : `b${n - 1}`}]\n`).join('')}`,
  ],
];

for (const [title, text] of HEAVY) {
  test(`${title}: an answer, soon`, () => {
    const start = performance.now();
    problemsOf(text);
    // Each takes well under a second; what grows with the square takes minutes.
    assert.ok(performance.now() - start < 10_000, `${performance.now() - start} ms`);
  });
}

test('a hundred megabytes are refused before they are parsed', () => {
  const start = performance.now();
  assert.match(problemsOf('a: b\n'.repeat(20_000_000))[0] ?? '', /is 100000000 characters long; at most 8388608/);
  assert.ok(performance.now() - start < 5_000);
});
