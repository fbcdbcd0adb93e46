import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forwardDrops } from './forward-drops.ts';

const DOCKER = {
  family: 'ip',
  table: 'filter',
  name: 'FORWARD',
  type: 'filter',
  hook: 'forward',
  prio: 0,
  policy: 'drop',
};

for (const [title, chain, warned] of [
  ["Docker's FORWARD", DOCKER, true],
  ['a chain that accepts', { ...DOCKER, policy: 'accept' }, false],
  ['a chain at another hook', { ...DOCKER, hook: 'input' }, false],
  ['a chain without a hook', { family: 'ip', table: 'filter', name: 'DOCKER' }, false],
  ['our own table', { ...DOCKER, family: 'inet', table: 'muslin' }, false],
] as const) {
  test(`${title} is ${warned ? 'warned of' : 'passed over'}`, () => {
    const warnings = forwardDrops({ nftables: [{ metainfo: {} }, { chain }] });
    assert.equal(warnings.length, warned ? 1 : 0);
    if (warned) assert.match(warnings[0] ?? '', /^the chain FORWARD of table ip filter drops/);
  });
}

test('no listing is no warning', () => assert.deepEqual(forwardDrops(undefined), []));
