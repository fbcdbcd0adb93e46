import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Labels, Selector } from '../../../model/selector.ts';
import { matches } from '../../../model/selector.ts';
import { parseSelector } from '../../../model/selector-parser.ts';
import type { Labelled } from './label-index.ts';
import { LabelIndex } from './label-index.ts';

function selector(text: string): Selector {
  const parsed = parseSelector(text);
  assert.ok(parsed.ok, text);
  return parsed.selector;
}

/** An index that keeps what it has said, and fails when it says something that was so already. */
function watched() {
  const chosen = new Set<string>();
  const said: string[] = [];
  const index = new LabelIndex({
    started(id, item) {
      assert.ok(!chosen.has(`${id} ${item}`), `${id} chose ${item} already`);
      chosen.add(`${id} ${item}`);
      said.push(`+${id} ${item}`);
    },
    stopped(id, item) {
      assert.ok(chosen.delete(`${id} ${item}`), `${id} did not choose ${item}`);
      said.push(`-${id} ${item}`);
    },
  });
  const take = () => said.splice(0).sort();
  return { index, chosen, take };
}

test('an item starts and stops as its labels change, and nothing is said twice', () => {
  const { index, take } = watched();
  index.setSelector('web', selector('app == "web"'));
  index.setSelector('not-web', selector('app != "web"'));
  index.setItem('a', { labels: {}, parents: [] });
  assert.deepEqual(take(), ['+not-web a']);
  index.setItem('a', { labels: { app: 'web', extra: '1' }, parents: [] });
  assert.deepEqual(take(), ['+web a', '-not-web a']);
  index.setItem('a', { labels: { app: 'web' }, parents: [] });
  assert.deepEqual(take(), []);
  index.setItem('a', undefined);
  index.setItem('a', undefined);
  assert.deepEqual(take(), ['-web a']);
});

test('a new item is asked about with all its labels at once', () => {
  const { index, take } = watched();
  index.setParent('p', { stage: 'test' });
  index.setSelector('bare', selector('!has(app) && !has(stage)'));
  index.setItem('a', { labels: { app: 'web' }, parents: [] });
  index.setItem('b', { labels: {}, parents: ['p'] });
  assert.deepEqual(take(), []);
});

test('a label that nobody had for a while still concerns the selectors that ask for it', () => {
  const { index, take } = watched();
  for (const text of ['!has(a)', 'a != "1"']) index.setSelector(text, selector(text));
  index.setItem('x', { labels: {}, parents: [] });
  take();
  for (let round = 0; round < 2; round++) {
    index.setItem('x', { labels: { a: '1' }, parents: [] });
    assert.deepEqual(take(), ['-!has(a) x', '-a != "1" x']);
    index.setItem('x', { labels: {}, parents: [] });
    assert.deepEqual(take(), ['+!has(a) x', '+a != "1" x']);
  }
});

test('own labels win over those of parents, and the first parent over the second', () => {
  const { index, take } = watched();
  for (const value of ['own', 'first', 'second']) index.setSelector(value, selector(`a == "${value}"`));
  index.setParent('one', { a: 'first' });
  index.setParent('two', { a: 'second' });
  index.setItem('x', { labels: { a: 'own' }, parents: ['one', 'two'] });
  assert.deepEqual(take(), ['+own x']);
  index.setItem('x', { labels: {}, parents: ['one', 'two'] });
  assert.deepEqual(take(), ['+first x', '-own x']);
  index.setParent('one', undefined);
  assert.deepEqual(take(), ['+second x', '-first x']);
  index.setItem('x', { labels: {}, parents: [] });
  index.setParent('two', { a: 'own' });
  assert.deepEqual(take(), ['-second x']);
});

test('an item that is gone inherits nothing, also from parents that it had left before', () => {
  const { index, take } = watched();
  index.setSelector('s', selector('has(a)'));
  index.setItem('x', { labels: {}, parents: ['old', 'new'] });
  index.setItem('x', { labels: {}, parents: ['new'] });
  index.setItem('x', undefined);
  index.setParent('new', { a: '1' });
  index.setParent('old', { a: '1' });
  assert.deepEqual(take(), []);
});

test('a replaced selector says only what differs', () => {
  const { index, take } = watched();
  index.setItem('a', { labels: { app: 'a' }, parents: [] });
  index.setItem('b', { labels: { app: 'b' }, parents: [] });
  index.setSelector('s', selector('app == "a"'));
  take();
  index.setSelector('s', selector('has(app)'));
  assert.deepEqual(take(), ['+s b']);
  index.setSelector('s', selector('app in {"b", "c"}'));
  assert.deepEqual(take(), ['-s a']);
  index.setSelector('s', undefined);
  assert.deepEqual(take(), ['-s b']);
});

test('labels named like members of objects are labels', () => {
  const { index, take } = watched();
  index.setSelector('s', selector('has(constructor) || __proto__ == "x"'));
  index.setItem('a', { labels: {}, parents: [] });
  assert.deepEqual(take(), []);
  index.setParent('p', { constructor: 'x' });
  index.setItem('a', { labels: {}, parents: ['p'] });
  assert.deepEqual(take(), ['+s a']);
});

test('the selectors that choose an item can be asked for', () => {
  const { index } = watched();
  for (const text of ['all()', 'has(a)', 'a == "2"', '!has(b)']) index.setSelector(text, selector(text));
  index.setItem('x', { labels: { a: '1' }, parents: [] });
  assert.deepEqual(index.matching('x').sort(), ['!has(b)', 'all()', 'has(a)']);
  assert.deepEqual(index.matching('y'), []);
});

type Step =
  | { readonly kind: 'item'; readonly id: string; readonly value: Labelled | undefined }
  | { readonly kind: 'parent'; readonly id: string; readonly value: Labels | undefined }
  | { readonly kind: 'selector'; readonly id: string; readonly value: Selector | undefined };

const NAMES = ['a', 'b', 'c'] as const;
const VALUES = ['', 'x', 'y', 'xy'] as const;

const labels: fc.Arbitrary<Labels> = fc.dictionary(fc.constantFrom(...NAMES), fc.constantFrom(...VALUES));
const label = fc.constantFrom(...NAMES);
const value = fc.constantFrom(...VALUES);

const { tree: anySelector } = fc.letrec<{ tree: Selector; leaf: Selector }>((tie) => ({
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.record({ kind: fc.constant('not' as const), operand: tie('tree') }),
    fc.record({
      kind: fc.constantFrom('&&' as const, '||' as const),
      operands: fc.array(tie('tree'), { minLength: 2, maxLength: 3 }),
    }),
  ),
  leaf: fc.oneof(
    fc.record({ kind: fc.constantFrom('all' as const, 'global' as const) }),
    fc.record({ kind: fc.constant('has' as const), label }),
    fc.record({
      kind: fc.constantFrom('==' as const, '!=' as const, 'contains' as const, 'starts with' as const),
      label,
      value,
    }),
    fc.record({
      kind: fc.constantFrom('in' as const, 'not in' as const),
      label,
      values: fc.uniqueArray(value, { maxLength: 3 }),
    }),
  ),
}));

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({
    kind: fc.constant('item' as const),
    id: fc.constantFrom('i1', 'i2', 'i3', 'i4'),
    value: fc.option(fc.record({ labels, parents: fc.array(fc.constantFrom('p1', 'p2', 'p3'), { maxLength: 3 }) }), {
      nil: undefined,
      freq: 4,
    }),
  }),
  fc.record({
    kind: fc.constant('parent' as const),
    id: fc.constantFrom('p1', 'p2'),
    value: fc.option(labels, { nil: undefined, freq: 3 }),
  }),
  fc.record({
    kind: fc.constant('selector' as const),
    id: fc.constantFrom('s1', 's2', 's3', 's4'),
    value: fc.option(anySelector, { nil: undefined, freq: 4 }),
  }),
);

function apply(index: LabelIndex, { kind, id, value }: Step): void {
  if (kind === 'item') index.setItem(id, value);
  else if (kind === 'parent') index.setParent(id, value);
  else index.setSelector(id, value);
}

/** What is chosen, straight from the meaning of the words. */
function naive(state: ReadonlyMap<string, Step>): string[] {
  const steps = [...state.values()];
  const parents = new Map<string, Labels>();
  for (const { kind, id, value } of steps) if (kind === 'parent' && value !== undefined) parents.set(id, value);
  const chosen: string[] = [];
  for (const at of steps) {
    if (at.kind !== 'selector' || at.value === undefined) continue;
    for (const item of steps) {
      if (item.kind !== 'item' || item.value === undefined) continue;
      const all: Record<string, string> = {};
      const layers = [item.value.labels, ...item.value.parents.map((parent) => parents.get(parent) ?? {})];
      for (const layer of layers) for (const [name, text] of Object.entries(layer)) all[name] ??= text;
      if (matches(at.value, all)) chosen.push(`${at.id} ${item.id}`);
    }
  }
  return chosen.sort();
}

test('after any sequence of changes the chosen are those of a recomputation, by whatever way', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), fc.infiniteStream(fc.nat()), (steps, random) => {
      const { index, chosen } = watched();
      const state = new Map<string, Step>();
      for (const at of steps) {
        apply(index, at);
        state.set(`${at.kind} ${at.id}`, at);
        assert.deepEqual([...chosen].sort(), naive(state));
      }
      for (const item of ['i1', 'i2', 'i3', 'i4']) {
        const wanted = naive(state).filter((pair) => pair.endsWith(` ${item}`));
        assert.deepEqual(
          index
            .matching(item)
            .map((id) => `${id} ${item}`)
            .sort(),
          wanted,
        );
      }
      const other = watched();
      const order = [...state.values()].map((at) => ({ at, rank: random.next().value }));
      for (const { at } of order.sort((a, b) => a.rank - b.rank)) apply(other.index, at);
      assert.deepEqual([...other.chosen].sort(), [...chosen].sort());
      for (const { kind, id } of state.values()) apply(index, { kind, id, value: undefined });
      assert.equal(chosen.size, 0);
    }),
    { numRuns: 500 },
  );
});

test('of a hundred selectors those are asked that may choose the item and ask for what changed', () => {
  let asked = 0;
  /** Requires n, which all items have, and app, which tells them apart; says when it is looked at. */
  const counting = (app: string): Selector => ({
    kind: '&&',
    operands: [
      {
        kind: '!=',
        label: 'x',
        get value() {
          asked += 1;
          return 'never';
        },
      },
      { kind: '==', label: 'n', value: 'same' },
      { kind: '==', label: 'app', value: app },
    ],
  });
  const item = (app: number, fields = {}) => ({ labels: { n: 'same', app: `${app}`, ...fields }, parents: [] });
  for (const selectorsFirst of [true, false]) {
    const { index } = watched();
    const numbers = Array.from({ length: 100 }, (_, number) => number);
    const add = {
      items: () => numbers.forEach((number) => void index.setItem(`i${number}`, item(number))),
      selectors: () => numbers.forEach((number) => void index.setSelector(`s${number}`, counting(`${number}`))),
    };
    for (const name of selectorsFirst ? (['selectors', 'items'] as const) : (['items', 'selectors'] as const))
      add[name]();
    const costs = [item(8), item(8, { y: '1' }), item(8, { x: '1' })].map((changed) => {
      asked = 0;
      index.setItem('i7', changed);
      return asked;
    });
    // The one that no longer chooses it and the one that does now. The very first selector, filed when nothing was known,
    // stands under n, so that it is always asked.
    assert.deepEqual(costs, selectorsFirst ? [3, 0, 2] : [2, 0, 1]);
  }
});
