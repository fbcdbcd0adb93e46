import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { NftChain, NftTable } from '../../../net/nft-objects.ts';
import { ownTables, sweepScript } from './own-tables.ts';

const table = (family: NftTable['family'], name: string, uses = 0): NftTable => ({ family, name, uses });
const base = (name: string, uses = 0, policy: NftChain['policy'] = 'accept'): NftChain => {
  return { family: 'ip', table: 'filter', name, uses, policy };
};

describe('what is ours in nftables', () => {
  it('is our table and those named after it', () => {
    const all = [
      table('inet', 'muslin'),
      table('inet', 'muslin-cuts'),
      table('inet', 'muslins'),
      table('ip', 'muslin'),
      table('inet', 'filter'),
      table('inet', 'muslin-a b'),
    ];
    assert.deepEqual(ownTables(all), ['inet muslin', 'inet muslin-cuts']);
  });

  const SWEEPS: { title: string; chains: NftChain[]; uses: number; script: string }[] = [
    {
      title: 'a table that is empty goes',
      chains: [base('INPUT'), base('FORWARD')],
      uses: 2,
      script: 'delete chain ip filter INPUT\ndelete chain ip filter FORWARD\ndelete table ip filter\n',
    },
    {
      title: 'a chain with a rule stays, and its table',
      chains: [base('INPUT', 1), base('FORWARD')],
      uses: 2,
      script: 'delete chain ip filter FORWARD\n',
    },
    { title: 'a chain that drops stays', chains: [base('FORWARD', 0, 'drop')], uses: 1, script: '' },
    {
      title: 'a chain that never had a rule of ours stays',
      chains: [base('INPUT'), base('OUTPUT')],
      uses: 2,
      script: 'delete chain ip filter INPUT\n',
    },
    { title: "somebody's own chain stays", chains: [{ ...base('INPUT'), policy: undefined }], uses: 1, script: '' },
    {
      title: 'a chain of another table stays',
      chains: [
        { ...base('INPUT'), table: 'other' },
        { ...base('INPUT'), family: 'ip6' },
      ],
      uses: 0,
      script: '',
    },
    {
      title: 'a table with a set stays',
      chains: [base('INPUT')],
      uses: 2,
      script: 'delete chain ip filter INPUT\n',
    },
  ];
  for (const { title, chains, uses, script } of SWEEPS) {
    it(title, () => {
      assert.equal(sweepScript(table('ip', 'filter', uses), new Set(['INPUT', 'FORWARD']), chains), script);
    });
  }
});
