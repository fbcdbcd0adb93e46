/**
 * Heads, sizes, names, forbidden words and dead exports, checked on the whole tree.
 *
 * The rules are in structure/tidy.ts; the exceptions, each with its reason, are here. Each rule is also shown a small
 * tree that breaks it, so that a rule that has gone blind is noticed.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { parseSources } from './structure/source.ts';
import { REPOSITORY, readTree, typescriptOf } from './structure/source-tree.ts';
import * as tidy from './structure/tidy.ts';

/** Files above 600 lines that are one chapter all the same. */
const LONG_FILES: tidy.Exceptions = {};

/** Exports that are there for somebody outside of the tree. */
const ENTRY_POINTS: tidy.Exceptions = {};

/** Tests that may use a timer. */
const TIMERS_IN_TESTS: tidy.Exceptions = {
  'test/system/bgp-daemons/process.ts':
    'asks daemons, which tell nobody, until a condition holds; asking takes their processor',
  'test/system/policy/policy-world.ts':
    'asks Felix until he has in the kernel what he was told; he runs beside the test',
  'test/system/policy/prober.ts': 'looks for packets, of which nobody tells; what should not come cannot be waited for',
  'test/system/tunnel-world.ts': 'looks at the kernel again and again until a condition holds; it tells nobody',
  'test/system/two-hosts-fixture.ts': 'looks at the kernel again and again until a condition holds; it tells nobody',
};

type Rule = (tree: tidy.Tree, excused: tidy.Exceptions) => string[];

const RULES = {
  heads: tidy.heads,
  fileSizes: tidy.fileSizes,
  functionSizes: tidy.functionSizes,
  impurities: tidy.impurities,
  sleeps: tidy.sleeps,
  names: tidy.names,
  deadExports: tidy.deadExports,
  leftovers: tidy.leftovers,
  dependencies: tidy.dependencies,
} satisfies Readonly<Record<string, Rule>>;

type RuleName = keyof typeof RULES;

const EXCUSED: Partial<Readonly<Record<RuleName, tidy.Exceptions>>> = {
  fileSizes: LONG_FILES,
  deadExports: ENTRY_POINTS,
  sleeps: TIMERS_IN_TESTS,
};

function treeOf(files: ReadonlyMap<string, string>): tidy.Tree {
  return { files, sources: parseSources(typescriptOf(files)) };
}

function check(rule: RuleName, tree: tidy.Tree, excused: tidy.Exceptions): string[] {
  const apply: Rule = RULES[rule];
  return apply(tree, excused);
}

describe('the tree is tidy', () => {
  const tree = treeOf(readTree(REPOSITORY));
  for (const rule of Object.keys(RULES) as RuleName[]) {
    test(rule, () => {
      const complaints = check(rule, tree, EXCUSED[rule] ?? {});
      assert.ok(complaints.length === 0, complaints.join('\n'));
    });
  }
});

interface Case {
  readonly title: string;
  readonly rule: RuleName;
  readonly files: Readonly<Record<string, string>>;
  readonly excused?: tidy.Exceptions;
  /** A piece of each complaint, in order; none when the tree is fine. */
  readonly complaints: readonly RegExp[];
}

const lines = (count: number): string => 'const x = 1;\n'.repeat(count);
const head = (count: number): string => `/**\n${' * A line.\n'.repeat(count)} */\n`;
const functionOf = (count: number): string => `function f() {\n${'  g();\n'.repeat(count - 2)}}\n`;
/** So that this file does not contain what it forbids. */
const word = (...pieces: string[]): string => pieces.join('');

const CASES: readonly Case[] = [
  {
    title: 'a file without a head, with one too late, too short or too long',
    rule: 'heads',
    files: {
      'src/lib/a.ts': 'export const a = 1;\n',
      'src/lib/b.ts': `import './a.ts';\n${head(3)}`,
      'src/lib/c.ts': '/** One line. */\nexport const c = 1;\n',
      'src/lib/d.ts': `${head(16)}export const d = 1;\n`,
      'src/lib/e.ts': '// A line.\n// A line.\n// A line.\n',
    },
    complaints: [/a\.ts:1: no head/, /b\.ts:1: no head/, /c\.ts:1: no head/, /d\.ts:1: .*16 lines/, /e\.ts:1: no head/],
  },
  {
    title: 'heads of 1 and 15 lines, after #! too, and plain tests without',
    rule: 'heads',
    files: {
      'src/lib/a.ts': head(1),
      'src/lib/b.ts': head(15),
      'scripts/c.ts': `#!/usr/bin/env node\n${head(5)}`,
      'src/lib/a.test.ts': 'test();\n',
    },
    complaints: [],
  },
  {
    title: 'files over 600 lines want a reason, over 1000 none helps',
    rule: 'fileSizes',
    files: {
      'src/lib/a.ts': lines(600),
      'src/lib/b.ts': lines(601),
      'src/lib/c.ts': lines(1000),
      'src/lib/d.ts': lines(1001),
      'src/lib/e.test.ts': lines(2000),
    },
    excused: { 'src/lib/c.ts': 'a table', 'src/lib/d.ts': 'a table' },
    complaints: [/b\.ts: 601 lines/, /d\.ts: 1001 lines; never/],
  },
  {
    title: 'a reason for a file that has become short is taken off the list',
    rule: 'fileSizes',
    files: { 'src/lib/a.ts': lines(10) },
    excused: { 'src/lib/a.ts': 'was long' },
    complaints: [/src\/lib\/a\.ts: excused for nothing/],
  },
  {
    title: 'functions, methods and arrows over 70 lines',
    rule: 'functionSizes',
    files: {
      'src/lib/a.ts': functionOf(70),
      'src/lib/b.ts': `/** Of docs\n * no count. */\n${functionOf(71)}`,
      'src/lib/c.ts': `class C {\n  method() {\n${'  g();\n'.repeat(70)}}\n}\n`,
      'src/lib/d.ts': `const arrow = () => {\n${'  g();\n'.repeat(70)}};\n`,
      'src/lib/e.test.ts': functionOf(100),
    },
    complaints: [/b\.ts:3: f has 71 lines/, /c\.ts:2: method has 72 lines/, /d\.ts:1: arrow has 72 lines/],
  },
  {
    title: 'clocks, randomness, timers and the process in pure rooms, each with what to use instead',
    rule: 'impurities',
    files: {
      'src/bgp/a.ts': 'const a = Date.now();\nconst b = Math.random();\nconst c = performance.now();\n',
      'src/felix/calc/b.ts': 'setTimeout(f, 1);\nsetInterval(f, 1);\n',
      'src/model/c.ts': 'const home = process.env.HOME;\nconsole.log(home);\nconst now = new Date();\n',
    },
    complaints: [
      /a\.ts:1: Date\.now in the pure room bgp: take `now: Instant`/,
      /a\.ts:2: Math\.random .*Random/,
      /a\.ts:3: performance\.now .*Instant/,
      /b\.ts:1: setTimeout in the pure room felix\/calc: .*nextTimer/,
      /b\.ts:2: setInterval/,
      /c\.ts:1: process/,
      /c\.ts:2: console/,
      /c\.ts:3: new Date\(\)/,
    ],
  },
  {
    title: 'lib/clock.ts, I/O rooms, tests, comments, strings, properties and dates of a given time may',
    rule: 'impurities',
    files: {
      'src/lib/clock.ts': 'const a = Date.now();\n',
      'src/node/loop.ts': 'setTimeout(f, 1);\n',
      'src/bgp/a.test.ts': 'const a = Math.random();\n',
      'src/bgp/b.ts':
        '// Date.now()\nconst a = "Math.random()";\nconst b = x.process;\nconst c = { console: 1 };\nnew Date(5);\n',
    },
    complaints: [],
  },
  {
    title: 'timers in tests, in any dress',
    rule: 'sleeps',
    files: {
      'src/bgp/a.test.ts': 'await new Promise((resolve) => setTimeout(resolve, 100));\n',
      'test/system/b.test.ts': "import { setTimeout as sleep } from 'node:timers/promises';\nawait sleep(1);\n",
      'src/store/c.suite.ts': 'Atomics.wait(a, 0, 0, 100);\n',
      'test/system/d.ts': 'setTimeout(f, 1);\n',
      'src/node/e.ts': 'setTimeout(f, 1);\n',
    },
    excused: { 'test/system/d.ts': 'polls' },
    complaints: [
      /a\.test\.ts:1: setTimeout in a test: wait for the condition/,
      /b\.test\.ts:1: node:timers/,
      /c\.suite\.ts:1: Atomics/,
    ],
  },
  {
    title: 'names that say nothing, and names not in kebab-case',
    rule: 'names',
    files: {
      'src/lib/utils/a.ts': '',
      'src/bgp/peer-helper.ts': '',
      'src/bgp/sessionManager.ts': '',
      'src/common/b.ts': '',
      'test/misc.test.ts': '',
      'src/node/manager.ts': '',
      'src/net/communities.ts': '',
      'docs/design/README.md': '',
    },
    complaints: [/"utils"/, /"helper"/, /kebab-case/, /"common"/, /"misc"/, /"manager"/],
  },
  {
    title: 'exports that nobody imports, whatever they are',
    rule: 'deadExports',
    files: {
      'src/lib/a.ts':
        'export const a = 1;\nexport function b() {}\nexport class C {}\nexport interface D {}\nexport { x as e };\n',
      'src/lib/f.ts': 'export const { g, h: [i] } = a;\n',
      'src/lib/u.ts': 'import { C } from "./a.ts";\nimport { g } from "./f.ts";\n',
    },
    complaints: [/a\.ts:1: a is/, /a\.ts:2: b is/, /a\.ts:4: D is/, /a\.ts:5: e is/, /f\.ts:1: i is/],
  },
  {
    title: 'used by a test, a bench, a re-export, a namespace, a dynamic import, or in a contract',
    rule: 'deadExports',
    files: {
      'src/lib/a.ts': 'export const a = 1;\nexport const b = 1;\nexport const c = 1;\n',
      'src/lib/d.ts': 'export const d = 1;\n',
      'src/lib/e.ts': 'export const e = 1;\n',
      'src/lib/f.ts': 'export type F = 1;\nexport interface G {\n  readonly f: F;\n}\n',
      'src/lib/a.test.ts': "import { a } from './a.ts';\n",
      'bench/a.ts':
        "import { b } from '../src/lib/a.ts';\nimport * as d from '../src/lib/d.ts';\nconst e = await import('../src/lib/e.ts');\n",
      'scripts/a.ts': "export { c } from '../src/lib/a.ts';\nimport type { G } from '../src/lib/f.ts';\n",
    },
    complaints: [],
  },
  {
    title: 'an entry point is excused, and no longer when somebody imports it',
    rule: 'deadExports',
    files: {
      'src/lib/a.ts': 'export const a = 1;\nexport const b = 1;\n',
      'src/lib/c.ts': "import { b } from './a.ts';\n",
    },
    excused: { 'src/lib/a.ts:a': 'for others', 'src/lib/a.ts:b': 'for others' },
    complaints: [/src\/lib\/a\.ts:b: excused for nothing/],
  },
  {
    title: 'marks, focused tests, breakpoints and paths of one machine, in any text file',
    rule: 'leftovers',
    files: {
      'src/lib/a.ts': `// ${word('TO', 'DO')}: later\n// ${word('FIX', 'ME')}\n  ${word('debug', 'ger')};\n`,
      'src/lib/a.test.ts': `${word('test.', 'only')}('x');\n${word('describe.', 'only')}('x');\n`,
      'scripts/b': `# ${word('XX', 'X')} ${word('HA', 'CK')}\ncd ${word('/wo', 'rk/main')}\n`,
      'docs/c.md': `mktemp muslin.XXXXXX in net${word('/wo', 'rk/')}, with a debugger\n`,
    },
    complaints: [
      /a\.ts:1/,
      /a\.ts:2/,
      /a\.ts:3: .*breakpoint/,
      /a\.test\.ts:1/,
      /a\.test\.ts:2/,
      /b:1/,
      /b:2: .*one machine/,
    ],
  },
  {
    title: 'dependencies without a row, rows without a reason, rows without a dependency',
    rule: 'dependencies',
    files: {
      'package.json':
        '{"dependencies": {"a": "1", "b": "1", "c": "1"}, "optionalDependencies": {"d": "1"}, "devDependencies": {"e": "1"}}',
      'docs/dependencies.md': '| Package | Why |\n| --- | --- |\n| `a` | It works. |\n| `b` |  |\n| `f` | It was. |\n',
    },
    complaints: [/no row for c/, /no row for d/, /no reason for b/, /f is not in package\.json/],
  },
];

describe('each rule sees what breaks it', () => {
  for (const { title, rule, files, excused, complaints } of CASES) {
    test(`${rule}: ${title}`, () => {
      const found = check(rule, treeOf(new Map(Object.entries(files))), excused ?? {});
      assert.equal(found.length, complaints.length, found.join('\n'));
      for (const [index, pattern] of complaints.entries()) assert.match(found[index]!, pattern);
    });
  }
});
