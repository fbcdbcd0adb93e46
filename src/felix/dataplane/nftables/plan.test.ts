import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { setId } from '../../desired/policy.ts';
import type { Chain, ProgramSet } from '../filter/program.ts';
import { chainKey, setKey } from '../filter/program.ts';
import type { Model } from './nft-model.suite.ts';
import { listModel, runModel } from './nft-model.suite.ts';
import { planChanges, planFilter } from './plan.ts';
import { anyProgram, changesBetween, programOf, rule } from './random-program.suite.ts';
import { removalScript } from './script.ts';

const HOOK = 'type filter hook input priority 0; policy accept;';
const VERDICT = 'type ifname : verdict;';

const SET: ProgramSet = {
  set: setId('s:a'),
  family: 4,
  part: 'addresses',
  kind: 'nets',
  members: new Set(['10.0.0.1', '10.0.0.2']),
};
const DROP = rule([], { kind: 'drop' });
const BASE: Chain = { table: 'filter', name: 'cali-INPUT', hook: 'INPUT', rules: [DROP, DROP] };
const X: Chain = { table: 'filter', name: 'cali-fw-x', hook: undefined, rules: [DROP] };
const PROGRAM = programOf([BASE, X], ['x'], [SET]);
const ANEW = planFilter(PROGRAM, undefined);
const SOUND = runModel(ANEW.script, undefined);
const ANEW_LINES = [
  'add table T',
  'delete table T',
  'add table T',
  `add map T cali-from-wl { ${VERDICT} }`,
  `add map T cali-to-wl { ${VERDICT} }`,
  'add set T cali40s-a { type ipv4_addr; }',
  `add chain T cali-INPUT { ${HOOK} }`,
  'add chain T cali-fw-x',
  'add rule T cali-INPUT …',
  'add rule T cali-INPUT …',
  'add rule T cali-fw-x …',
  'add element T cali40s-a { 10.0.0.1, 10.0.0.2 }',
  'add element T cali-from-wl { "x" : goto cali-fw-x }',
  'add element T cali-to-wl { "x" : goto cali-fw-x }',
];
const ANEW_CHANGES = 9;
const REFILL = ['flush chain T cali-INPUT', 'add rule T cali-INPUT …', 'add rule T cali-INPUT …'];

/** The script with the table's name and what the rules say left out. */
function lines(script: string): string[] {
  assert.equal(script.endsWith('\n'), script !== '');
  return script
    .replaceAll('inet muslin', 'T')
    .replaceAll(/^(add rule T \S+) .*$/gm, '$1 …')
    .split('\n')
    .slice(0, -1);
}

const list = (model: Model = SOUND): { nftables: object[] } => listModel(model);
const ruleOf = (chain: string, comment = 'x') => `add rule inet muslin ${chain} drop comment "${comment}"\n`;
/** The listing after somebody's commands. */
const after = (script: string) => list(runModel(script, SOUND));
const listing = (change: (model: { -readonly [Key in keyof Model]: Map<string, never> }) => void) => {
  const copy = runModel('add table inet muslin\n', SOUND);
  change(copy as never);
  return list(copy);
};
const hashesOf = (chain: string) => SOUND.chains.get(chain)!.rules.map((text) => /comment "(.*)"/.exec(text)![1]!);
const [first = '', second = ''] = hashesOf('cali-INPUT');
const refilledWith = (...comments: string[]) =>
  after(`flush chain inet muslin cali-INPUT\n${comments.map((comment) => ruleOf('cali-INPUT', comment)).join('')}`);

const rows: readonly [string, unknown, number, readonly string[]][] = [
  ['nothing differs', list(), 0, []],
  ['no table', undefined, ANEW_CHANGES, ANEW_LINES],
  ['something foreign', { nftables: [...list().nftables, { counter: { name: 'c' } }] }, ANEW_CHANGES, ANEW_LINES],
  [
    'another hook',
    listing(({ chains }) => chains.set('cali-INPUT', { header: HOOK.replace('input', 'output'), rules: [] } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  [
    'a hook lost',
    listing(({ chains }) => chains.set('cali-INPUT', { header: '', rules: [] } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  [
    'a hook too many',
    listing(({ chains }) => chains.set('cali-fw-x', { header: HOOK, rules: [] } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  [
    'a map of another type',
    listing(({ maps }) => maps.set('cali-to-wl', { header: 'type mark : verdict;', elements: new Map() } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  [
    'a map too many',
    listing(({ maps }) => maps.set('mine', { header: VERDICT, elements: new Map() } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  [
    'a set of another type',
    listing(({ sets }) => sets.set('cali40s-a', { header: 'type ipv6_addr;', elements: [] } as never)),
    ANEW_CHANGES,
    ANEW_LINES,
  ],
  ['a set too many', after('add set inet muslin mine { type mark; }\n'), 1, ['delete set T mine']],
  ['the first rule lost', refilledWith(second), 1, REFILL],
  ['the last rule lost', refilledWith(first), 1, REFILL],
  ['a foreign rule inserted', refilledWith('mine', first, second), 1, REFILL],
  ['a foreign rule appended', refilledWith(first, second, 'mine'), 1, REFILL],
  ['rules in another order', refilledWith(second, first), 1, REFILL],
  ['a chain emptied', after('flush chain inet muslin cali-fw-x\n'), 1, ['add rule T cali-fw-x …']],
  [
    'a dispatch lost',
    after('delete element inet muslin cali-to-wl { "x" }\n'),
    1,
    ['add element T cali-to-wl { "x" : goto cali-fw-x }'],
  ],
  [
    'a dispatch led elsewhere',
    after(
      'delete element inet muslin cali-to-wl { "x" }\nadd element inet muslin cali-to-wl { "x" : goto cali-INPUT }\n',
    ),
    2,
    ['delete element T cali-to-wl { "x" }', 'add element T cali-to-wl { "x" : goto cali-fw-x }'],
  ],
  [
    'a dispatch and its chain too many',
    after(`add chain inet muslin y\n${ruleOf('y')}add element inet muslin cali-from-wl { "old" : goto y }\n`),
    2,
    ['delete element T cali-from-wl { "old" }', 'flush chain T y', 'delete chain T y'],
  ],
  [
    'a member lost, one too many',
    after('delete element inet muslin cali40s-a { 10.0.0.1 }\nadd element inet muslin cali40s-a { 10.0.0.9 }\n'),
    2,
    ['delete element T cali40s-a { 10.0.0.9 }', 'add element T cali40s-a { 10.0.0.1 }'],
  ],
  [
    'a member that is none of ours',
    JSON.parse(JSON.stringify(list()).replace('"10.0.0.2"', '{"range":["10.0.0.2","10.0.0.7"]}')),
    2,
    ['flush set T cali40s-a', 'add element T cali40s-a { 10.0.0.1, 10.0.0.2 }'],
  ],
];

for (const [what, from, changes, expected] of rows) {
  test(`${what}: ${changes} changes`, () => {
    const plan = planFilter(PROGRAM, from);
    assert.deepEqual(lines(plan.script), expected);
    assert.equal(plan.changes, changes);
  });
}

test('whatever was there, the script makes of it what is desired, and then nothing is left to do', () => {
  fc.assert(
    fc.property(fc.option(anyProgram, { nil: undefined }), anyProgram, (before, program) => {
      const there = before && runModel(planFilter(before, undefined).script, undefined);
      const plan = planFilter(program, there && listModel(there));
      const result = runModel(plan.script, there);
      assert.deepEqual(shape(result), shape(runModel(planFilter(program, undefined).script, undefined)));
      assert.equal(planFilter(program, listModel(result)).script, '');
      assert.equal(plan.changes === 0, plan.script === '');
    }),
    { numRuns: 300 },
  );
});

test('going by the changes alone leads to the same', () => {
  fc.assert(
    fc.property(anyProgram, anyProgram, (before, program) => {
      const there = runModel(planFilter(before, undefined).script, undefined);
      const result = runModel(planChanges(changesBetween(before, program)).script, there);
      assert.deepEqual(shape(result), shape(runModel(planFilter(program, undefined).script, undefined)));
      assert.equal(planFilter(program, listModel(result)).script, '');
    }),
    { numRuns: 300 },
  );
});

function shape({ chains, sets, maps }: Model): unknown {
  return {
    chains: [...chains].sort(),
    sets: [...sets].map(([name, { header, elements }]) => [name, header, elements.toSorted()]).sort(),
    maps: [...maps].map(([name, { header, elements }]) => [name, header, [...elements].sort()]).sort(),
  };
}

test('no changes are no script', () => {
  assert.deepEqual(planChanges(changesBetween(PROGRAM, PROGRAM)), { script: '', changes: 0 });
});

test('one member more is one line', () => {
  const now = { ...SET, members: new Set([...SET.members, '10.0.0.3']) };
  const plan = planChanges({
    chains: new Map(),
    maps: new Map(),
    sets: new Map([[setKey(SET), { now, added: ['10.0.0.3'], removed: [] }]]),
  });
  assert.deepEqual(plan, { script: 'add element inet muslin cali40s-a { 10.0.0.3 }\n', changes: 1 });
});

test('many members are lines of some thousands', () => {
  const members = new Set(Array.from({ length: 10_000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`));
  const { script } = planFilter(programOf([], [], [{ ...SET, members }]), undefined);
  const lengths = [...script.matchAll(/^add element .*$/gm)].map(([line]) => line.split(',').length);
  assert.deepEqual(lengths, [4000, 4000, 2000]);
});

test('what goes is gone by its key', () => {
  const raw: Chain = { ...X, table: 'raw' };
  const plan = planChanges({
    chains: new Map([[chainKey(raw), undefined]]),
    maps: new Map(),
    sets: new Map([[setKey({ ...SET, family: 6, part: 'prefixes' }), { now: undefined, added: [], removed: [] }]]),
  });
  assert.deepEqual(lines(plan.script), [
    'flush chain T raw-cali-fw-x',
    'delete chain T raw-cali-fw-x',
    'delete set T cali60s-a-nets',
  ]);
});

test('the removal takes the table away, be it there or not', () => {
  assert.deepEqual(lines(removalScript()), ['add table T { flags dormant; }', 'delete table T']);
});
