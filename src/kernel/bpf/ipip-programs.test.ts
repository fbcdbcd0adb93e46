import assert from 'node:assert/strict';
import { it } from 'node:test';
import { tellsSource } from './ipip-programs.ts';

const rows: [string, boolean][] = [
  ['6.18.44', true],
  ['6.7.0-rc1', true],
  ['6.6.58-lts', false],
  ['6.1.0-57-amd64', false],
  ['5.15.0', false],
  ['7.0', true],
];
for (const [release, tells] of rows) {
  it(`Linux ${release} ${tells ? 'tells programs' : 'does not tell programs'} the source address`, () => {
    assert.equal(tellsSource(release), tells);
  });
}
