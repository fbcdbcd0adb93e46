import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { HookRules, TableWish } from './difference.ts';
import { afterDifference, tableDifference } from './difference.ts';
import type { PrintedChain, PrintedRule } from './print.ts';
import type { OwnRule, SavedTable } from './save.ts';

/** "a" is a rule whose hash is "a", and its text the same; in others' chains "-" is a foreign one. */
function printed(hash: string): PrintedRule {
  return {
    hash,
    text: hash,
    rule: { matches: [], action: { kind: 'drop' }, comment: '', provenance: undefined, origin: undefined },
  };
}

type Rows = Readonly<Record<string, string>>;

function wish(
  chains: Readonly<Record<string, string | undefined>>,
  hooks: Readonly<Record<string, [string, string]>> = {},
): TableWish {
  const own = (text: string): OwnRule[] => [...text].map(printed);
  return {
    chains: new Map(
      Object.entries(chains).map(([name, rules]): [string, PrintedChain | undefined] => [
        name,
        rules === undefined ? undefined : { rules: [...rules].map(printed) },
      ]),
    ),
    hooks: new Map(
      Object.entries(hooks).map(([name, [first, last]]): [string, HookRules] => [
        name,
        { first: own(first), last: own(last) },
      ]),
    ),
  };
}

function saved(chains: Rows, others: Rows = {}): SavedTable {
  return {
    chains: new Map(
      Object.entries(chains).map(([name, rules]) => [name, [...rules].map((hash) => (hash === '-' ? '' : hash))]),
    ),
    others: new Map(
      Object.entries(others).map(([name, rules]) => [
        name,
        [...rules].map((hash) => (hash === '-' ? undefined : { hash, text: hash })),
      ]),
    ),
  };
}

const rows: readonly [string, TableWish, SavedTable, number, string[]][] = [
  ['nothing differs', wish({ x: 'ab' }, { F: ['j', 'e'] }), saved({ x: 'ab' }, { F: 'j--e' }), 0, []],
  ['a chain is new', wish({ x: 'ab' }), saved({}), 1, [':x - [0:0]', '-A x a', '-A x b']],
  ['a chain is new and empty', wish({ x: '' }), saved({}), 1, [':x - [0:0]']],
  ['a chain is empty', wish({ x: 'ab' }), saved({ x: '' }), 1, ['-A x a', '-A x b']],
  ['a rule in the middle', wish({ x: 'abc' }), saved({ x: 'a-c' }), 1, ['-R x 2 b']],
  ['the tail differs', wish({ x: 'abcd' }), saved({ x: 'ae' }), 1, ['-R x 2 b', '-A x c', '-A x d']],
  ['too many', wish({ x: 'a' }), saved({ x: 'a--' }), 1, ['-D x 3', '-D x 2']],
  ['all differ', wish({ x: 'ab' }), saved({ x: 'ba' }), 1, ['-F x', '-A x a', '-A x b']],
  ['chains go', wish({ x: undefined, y: undefined }), saved({ x: 'a', y: '' }), 2, ['-F x', '-F y', '-X x', '-X y']],
  ['a chain that is not there goes', wish({ x: undefined }), saved({}), 0, []],
  ['a jump is missing', wish({}, { F: ['j', ''] }), saved({}, { F: '--' }), 1, ['-I F 1 j']],
  ['a kernel chain is not listed', wish({}, { F: ['j', 'e'] }), saved({}), 1, ['-I F 1 j', '-A F e']],
  ['a jump is behind another', wish({}, { F: ['j', ''] }), saved({}, { F: '-j' }), 1, ['-D F j', '-I F 1 j']],
  ['a jump is doubled', wish({}, { F: ['j', ''] }), saved({}, { F: 'j-j' }), 1, ['-D F j', '-D F j', '-I F 1 j']],
  [
    'another’s came last',
    wish({}, { F: ['', 'de'] }),
    saved({}, { F: 'de-' }),
    1,
    ['-D F d', '-D F e', '-A F d', '-A F e'],
  ],
  ['ours are to go', wish({}, { F: ['', ''] }), saved({}, { F: '-o-' }), 1, ['-D F o']],
  [
    'first and last',
    wish({}, { F: ['j', 'e'] }),
    saved({}, { F: 'ej' }),
    1,
    ['-D F e', '-D F j', '-I F 1 j', '-A F e'],
  ],
];

for (const [what, wanted, actual, changes, lines] of rows) {
  test(`${what}: ${changes} changes`, () => {
    const difference = tableDifference('filter', wanted, actual);
    assert.deepEqual(difference.lines, changes === 0 ? [] : ['*filter', ...lines, 'COMMIT']);
    assert.equal(difference.changes, changes);
  });
}

type Model = Map<string, string[]>;

/** Does what iptables-restore --noflush does, and refuses what it would. */
function restore(lines: readonly string[], chains: Model): void {
  const chain = (name: string) => chains.get(name) ?? assert.fail(`no chain ${name}`);
  for (const line of lines.slice(1, -1)) {
    const [verb = '', name = '', ...words] = line.split(' ');
    const number = Number(words[0]);
    if (verb.startsWith(':')) {
      assert(!chains.has(verb.slice(1)));
      chains.set(verb.slice(1), []);
    } else if (verb === '-A') {
      chain(name).push(words.join(' '));
    } else if (verb === '-F') {
      chain(name).length = 0;
    } else if (verb === '-X') {
      assert.equal(chain(name).length, 0);
      chains.delete(name);
    } else if (verb === '-I') {
      assert(number >= 1 && number <= chain(name).length + 1, line);
      chain(name).splice(number - 1, 0, words.slice(1).join(' '));
    } else if (verb === '-R') {
      assert(number >= 1 && number <= chain(name).length, line);
      chain(name)[number - 1] = words.slice(1).join(' ');
    } else {
      const index = Number.isNaN(number) ? chain(name).indexOf(words.join(' ')) : number - 1;
      assert(verb === '-D' && index >= 0 && index < chain(name).length, line);
      chain(name).splice(index, 1);
    }
  }
}

function model({ chains, others }: SavedTable): Model {
  return new Map([
    ...[...chains].map(([name, hashes]): [string, string[]] => [name, [...hashes]]),
    ...[...others].map(([name, rules]): [string, string[]] => [name, rules.map((own) => own?.hash ?? '-')]),
  ]);
}

/** A hash covers all before it, so rules are what has come so far: "a", "ab", "abc". */
const rules = fc
  .array(fc.constantFrom('a', 'b'), { maxLength: 4 })
  .map((list) => list.map((_, index) => list.slice(0, index + 1).join('')));

test('whatever is there, the lines make of it what is wished, foreign rules keep their order, then nothing is left to do', () => {
  const chainNames = fc.constantFrom('x', 'y', 'z');
  const anyWish = fc.record({
    chains: fc.dictionary(chainNames, rules),
    first: fc.subarray(['j', 'k']),
    last: fc.subarray(['e', 'f']),
  });
  const anySaved = fc.record({
    chains: fc.dictionary(chainNames, rules),
    hook: fc.array(fc.constantFrom('-', '-', 'j', 'k', 'e', 'f', 'o')),
  });
  fc.assert(
    fc.property(anyWish, anySaved, (wanted, there) => {
      const actual: SavedTable = {
        chains: new Map(Object.entries(there.chains)),
        others: new Map([['F', there.hook.map((hash) => (hash === '-' ? undefined : { hash, text: hash }))]]),
      };
      const gone = Object.keys(there.chains).filter((name) => !(name in wanted.chains));
      const target: TableWish = {
        chains: new Map<string, PrintedChain | undefined>([
          ...Object.entries(wanted.chains).map(([name, list]): [string, PrintedChain] => [
            name,
            { rules: list.map(printed) },
          ]),
          ...gone.map((name): [string, undefined] => [name, undefined]),
        ]),
        hooks: new Map([['F', { first: wanted.first.map(printed), last: wanted.last.map(printed) }]]),
      };
      const after = model(actual);
      restore(tableDifference('filter', target, actual).lines, after);
      const foreign = there.hook.filter((hash) => hash === '-');
      const expected = new Map([
        ...Object.entries(wanted.chains),
        ['F', [...wanted.first, ...foreign, ...wanted.last]],
      ]);
      assert.deepEqual(new Map([...after].sort()), new Map([...expected].sort()));
      afterDifference(target, actual);
      assert.deepEqual(new Map([...model(actual)].sort()), new Map([...after].sort()));
      assert.equal(tableDifference('filter', target, actual).changes, 0);
    }),
    { numRuns: 1000 },
  );
});
