import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Chain, Rule } from '../filter/program.ts';
import { dispatchTree } from './dispatch-tree.ts';

const about = { comment: 'c', provenance: undefined, origin: undefined };
const UNKNOWN: Rule = { matches: [], action: { kind: 'drop' }, ...about };
const DISPATCH: Chain = {
  table: 'filter',
  name: 'd',
  hook: undefined,
  rules: [
    { matches: [], action: { kind: 'dispatch', direction: 'out', map: 'cali-to-wl' }, ...about },
    { ...UNKNOWN, action: { kind: 'log', prefix: 'unknown' } },
    UNKNOWN,
  ],
};

function tree(...names: string[]): Chain[] {
  return dispatchTree(DISPATCH, new Map(names.map((name) => [name, `tw-${name}`])));
}

/** "d: cali1→tw-cali1 calia+→d-a log drop". */
function describeChain({ name, rules }: Chain): string {
  const words = rules.map(({ matches: [match], action }) => {
    if (match?.kind !== 'device') return action.kind;
    assert(action.kind === 'goto' && match.is && match.direction === 'out');
    return `${match.name}${match.prefix ? '+' : ''}→${action.chain}`;
  });
  return `${name}: ${words.join(' ')}`;
}

const rows: readonly [string[], string[]][] = [
  [[], ['d: log drop']],
  [['cali1'], ['d: cali1→tw-cali1 log drop']],
  [['cali1', 'cali2'], ['d: cali1→tw-cali1 cali2→tw-cali2 log drop']],
  [
    ['calib2', 'calia1', 'calib1'],
    ['d: calia1→tw-calia1 calib+→d-b log drop', 'd-b: calib1→tw-calib1 calib2→tw-calib2 log drop'],
  ],
  // One name is the beginning of the others.
  [
    ['cali', 'calia1', 'calia2'],
    ['d: cali→tw-cali calia+→d-a log drop', 'd-a: calia1→tw-calia1 calia2→tw-calia2 log drop'],
  ],
  [['cali', 'calib'], ['d: cali→tw-cali calib→tw-calib log drop']],
];

for (const [names, chains] of rows) {
  test(`a tree of ${names.join(', ') || 'nothing'}`, () => assert.deepEqual(tree(...names).map(describeChain), chains));
}

/** Where a packet of the device ends: a chain that is no part of the tree, or the verdict of the rules that follow. */
function follow(chains: readonly Chain[], device: string): string[] {
  let chain: Chain | undefined = chains[0];
  const met: string[] = [];
  for (let index = 0; chain !== undefined && index < chain.rules.length; index++) {
    const { matches, action } = chain.rules[index]!;
    const [match] = matches;
    if (match?.kind === 'device' && !(match.prefix ? device.startsWith(match.name) : device === match.name)) continue;
    if (action.kind !== 'goto') {
      met.push(action.kind);
      continue;
    }
    const target: string = action.chain;
    chain = chains.find(({ name }) => name === target);
    if (chain === undefined) return [...met, target];
    index = -1;
  }
  return met;
}

test('each device comes to its chain, and every other to the rules that follow', () => {
  const name = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), minLength: 1, maxLength: 4 });
  fc.assert(
    fc.property(fc.uniqueArray(name), fc.array(name), (known, asked) => {
      const chains = tree(...known);
      for (const device of [...known, ...asked]) {
        const expected = known.includes(device) ? [`tw-${device}`] : ['log', 'drop'];
        assert.deepEqual(follow(chains, device), expected);
      }
    }),
  );
});
