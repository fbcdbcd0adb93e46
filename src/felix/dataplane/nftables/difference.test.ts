import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { difference } from './difference.ts';
import type { ActualTable } from './parse.ts';
import type { PrintedTable } from './print.ts';

const HOOK = 'type filter hook input priority 0; policy accept;';
const VERDICT = 'type ifname : verdict;';

/** "a" is a rule whose hash is "a". */
function table(chains: Record<string, string[]>, elements: Record<string, string> = {}): PrintedTable {
  const printed = Object.entries(chains).map(
    ([name, hashes]): [string, PrintedTable['chains'] extends ReadonlyMap<string, infer Chain> ? Chain : never] => [
      name,
      { header: name === 'base' ? HOOK : '', hashes, rules: hashes.map((hash) => `rule-${hash}`) },
    ],
  );
  return {
    chains: new Map(printed),
    maps: new Map([['m', { header: VERDICT, elements: new Map(Object.entries(elements)) }]]),
  };
}

function actual(chains: Record<string, string[]>, elements: Record<string, string> = {}): ActualTable {
  return { ...table(chains, elements), foreign: false };
}

function withHeader(from: ActualTable, name: string, header: string): ActualTable {
  return { ...from, chains: new Map(from.chains).set(name, { header, hashes: [] }) };
}

const DESIRED = table({ base: ['a', 'b'], x: ['c'] }, { dev: 'goto x' });
const SAME = actual({ base: ['a', 'b'], x: ['c'] }, { dev: 'goto x' });
const ANEW = [
  'add table T',
  'delete table T',
  'add table T',
  `add map T m { ${VERDICT} }`,
  `add chain T base { ${HOOK} }`,
  'add chain T x',
  'add rule T base rule-a',
  'add rule T base rule-b',
  'add rule T x rule-c',
  'add element T m { "dev" : goto x }',
];
const REFILL = ['flush chain T base', 'add rule T base rule-a', 'add rule T base rule-b'];

const rows: readonly [string, ActualTable | undefined, number, string[]][] = [
  ['nothing differs', SAME, 0, []],
  ['no table', undefined, 4, ANEW],
  ['something foreign', { ...SAME, foreign: true }, 4, ANEW],
  ['another hook', withHeader(SAME, 'base', HOOK.replace('input', 'output')), 4, ANEW],
  ['a hook lost', withHeader(SAME, 'base', ''), 4, ANEW],
  ['a hook too many', withHeader(SAME, 'x', HOOK), 4, ANEW],
  [
    'a map of another type',
    { ...SAME, maps: new Map([['m', { header: 'type mark : verdict;', elements: new Map() }]]) },
    4,
    ANEW,
  ],
  [
    'a map too many',
    { ...SAME, maps: new Map([...SAME.maps, ['n', { header: VERDICT, elements: new Map() }]]) },
    4,
    ANEW,
  ],
  ['a rule lost', actual({ base: ['b'], x: ['c'] }, { dev: 'goto x' }), 1, REFILL],
  ['the last rule lost', actual({ base: ['a'], x: ['c'] }, { dev: 'goto x' }), 1, REFILL],
  ['a foreign rule inserted', actual({ base: ['a', '', 'b'], x: ['c'] }, { dev: 'goto x' }), 1, REFILL],
  ['a foreign rule appended', actual({ base: ['a', 'b', ''], x: ['c'] }, { dev: 'goto x' }), 1, REFILL],
  ['rules in another order', actual({ base: ['b', 'a'], x: ['c'] }, { dev: 'goto x' }), 1, REFILL],
  ['a chain emptied', actual({ base: ['a', 'b'], x: [] }, { dev: 'goto x' }), 1, ['add rule T x rule-c']],
  ['an element lost', actual({ base: ['a', 'b'], x: ['c'] }), 1, ['add element T m { "dev" : goto x }']],
  [
    'an element and its chain lost',
    actual({ base: ['a', 'b'] }),
    2,
    ['add chain T x', 'add rule T x rule-c', 'add element T m { "dev" : goto x }'],
  ],
  [
    'an element changed',
    actual({ base: ['a', 'b'], x: ['c'] }, { dev: 'drop' }),
    2,
    ['delete element T m { "dev" }', 'add element T m { "dev" : goto x }'],
  ],
  [
    'an element and its chain too many',
    actual({ base: ['a', 'b'], x: ['c'], y: ['d'] }, { dev: 'goto x', old: 'goto y' }),
    2,
    ['delete element T m { "old" }', 'flush chain T y', 'delete chain T y'],
  ],
];

for (const [what, from, changes, lines] of rows) {
  test(`${what}: ${changes} changes`, () => {
    const plan = difference(DESIRED, from);
    assert.deepEqual(plan.script.replaceAll('inet muslin', 'T').split('\n').slice(0, -1), lines);
    assert.equal(plan.changes, changes);
    assert.equal(plan.script.endsWith('\n'), lines.length > 0);
  });
}

/** A table that does what the script says, and refuses what the kernel would: names that are not there, chains in use. */
function run(script: string, from: ActualTable | undefined): ActualTable {
  let here = from !== undefined;
  let chains = new Map(
    [...(from?.chains ?? [])].map(([name, { header, hashes }]) => [name, { header, hashes: [...hashes] }]),
  );
  let maps = new Map(
    [...(from?.maps ?? [])].map(([name, { header, elements }]) => [name, { header, elements: new Map(elements) }]),
  );
  let foreign = from?.foreign ?? false;
  const chain = (name: string) => chains.get(name) ?? assert.fail(`no chain ${name}`);
  const map = (name: string) => maps.get(name) ?? assert.fail(`no map ${name}`);
  for (const line of script.split('\n').slice(0, -1)) {
    const [, verb, kind, name = '', rest = ''] =
      /^(\w+) (\w+) inet muslin ?(\S*) ?(.*)$/.exec(line) ?? assert.fail(line);
    const inner = rest.replace(/^\{ (.*) \}$/, '$1');
    assert(here || line === 'add table inet muslin', `no table for ${line}`);
    const pairs = inner.split(', ').map((pair) => pair.replaceAll('"', '').split(' : '));
    switch (`${verb} ${kind}`) {
      case 'add table':
        here = true;
        break;
      case 'delete table':
        [here, foreign, chains, maps] = [false, false, new Map(), new Map()];
        break;
      case 'add chain':
        assert(!chains.has(name));
        chains.set(name, { header: inner, hashes: [] });
        break;
      case 'add map':
        assert(!maps.has(name));
        maps.set(name, { header: inner, elements: new Map() });
        break;
      case 'flush chain':
        chain(name).hashes.length = 0;
        break;
      case 'add rule':
        chain(name).hashes.push(rest.replace('rule-', ''));
        break;
      case 'delete chain':
        assert.equal(chain(name).hashes.length, 0, `${name} is not empty`);
        for (const { elements } of maps.values())
          assert(![...elements.values()].includes(`goto ${name}`), `${name} in use`);
        chains.delete(name);
        break;
      case 'add element':
        for (const [key = '', verdict = ''] of pairs) {
          if (verdict.startsWith('goto ')) chain(verdict.slice(5));
          assert(!map(name).elements.has(key), `${key} exists`);
          map(name).elements.set(key, verdict);
        }
        break;
      case 'delete element':
        for (const [key = ''] of pairs) assert(map(name).elements.delete(key), `no element ${key}`);
        break;
      default:
        assert.fail(line);
    }
  }
  return { chains, maps, foreign };
}

/** Chains, and elements that lead to some of them. */
const anyTable = fc
  .dictionary(fc.constantFrom('base', 'x', 'y', 'z'), fc.array(fc.constantFrom('', 'a', 'b', 'c'), { maxLength: 4 }))
  .chain((chains) => {
    const verdict = fc.constantFrom('drop', ...Object.keys(chains).map((name) => `goto ${name}`));
    return fc.dictionary(fc.constantFrom('d1', 'd2', 'd3'), verdict).map((elements) => table(chains, elements));
  });
const anyActual = fc.option(
  fc.tuple(anyTable, fc.boolean(), fc.boolean()).map(([printed, foreign, unhooked]): ActualTable => {
    const there = { ...printed, foreign };
    return unhooked && printed.chains.has('base') ? withHeader(there, 'base', '') : there;
  }),
  { nil: undefined },
);

function shape({ chains, maps }: Pick<ActualTable, 'chains' | 'maps'>): unknown {
  return {
    chains: [...chains]
      .map(([name, { header, hashes }]) => [name, header, hashes.map((hash) => hash || 'none')])
      .sort(),
    maps: [...maps].map(([name, { header, elements }]) => [name, header, [...elements].sort()]).sort(),
  };
}

test('whatever is there, the script makes of it what is desired, and then nothing is left to do', () => {
  fc.assert(
    fc.property(anyTable, anyActual, (desired, from) => {
      const plan = difference(desired, from);
      const after = run(plan.script, from);
      assert.deepEqual(shape(after), shape(desired));
      assert.deepEqual(shape(plan.after), shape(desired));
      assert.equal(difference(desired, after).script, '');
      assert.equal(plan.changes === 0, plan.script === '');
    }),
    { numRuns: 1000 },
  );
});
