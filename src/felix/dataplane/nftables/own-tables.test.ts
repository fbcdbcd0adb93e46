import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ownIptablesChains, ownTables, sweepScript } from './own-tables.ts';

const listing = (...items: object[]) => ({ nftables: [{ metainfo: {} }, ...items] });
const table = (family: string, name: string) => ({ table: { family, name } });
const base = (name: string, policy = 'accept') => {
  return { chain: { family: 'ip', table: 'filter', name, type: 'filter', hook: name.toLowerCase(), prio: 0, policy } };
};
const plain = (name: string) => ({ chain: { family: 'ip', table: 'filter', name } });
const rule = (chain: string) => ({ rule: { family: 'ip', table: 'filter', chain, expr: [] } });

describe('what is ours in nftables', () => {
  it('is our table and those named after it', () => {
    const all = listing(
      table('inet', 'muslin'),
      table('inet', 'muslin-cuts'),
      table('inet', 'muslins'),
      table('ip', 'muslin'),
      table('inet', 'filter'),
      table('inet', 'muslin-a b'),
    );
    assert.deepEqual(ownTables(all), ['inet muslin', 'inet muslin-cuts']);
  });

  it('is, of iptables, chains with our prefix', () => {
    const chains = listing(plain('cali-FORWARD'), plain('DOCKER'), {
      chain: { family: 'inet', table: 'x', name: 'cali-a' },
    });
    assert.deepEqual(ownIptablesChains(chains), ['ip filter cali-FORWARD']);
  });

  const TOUCHED = new Set(['INPUT', 'FORWARD']);
  const SWEEPS: { title: string; items: object[]; script: string }[] = [
    {
      title: 'a table that is empty goes',
      items: [table('ip', 'filter'), base('INPUT'), base('FORWARD')],
      script: 'delete chain ip filter INPUT\ndelete chain ip filter FORWARD\ndelete table ip filter\n',
    },
    {
      title: 'a chain with a rule stays, and its table',
      items: [base('INPUT'), base('FORWARD'), rule('INPUT')],
      script: 'delete chain ip filter FORWARD\n',
    },
    { title: 'a chain that drops stays', items: [base('FORWARD', 'drop')], script: '' },
    {
      title: 'a chain that never had a rule of ours stays',
      items: [base('INPUT'), base('OUTPUT')],
      script: 'delete chain ip filter INPUT\n',
    },
    { title: "somebody's own chain stays", items: [plain('INPUT')], script: '' },
    {
      title: 'a table with a set stays',
      items: [base('INPUT'), { set: { family: 'ip', table: 'filter', name: 's' } }],
      script: 'delete chain ip filter INPUT\n',
    },
  ];
  for (const { title, items, script } of SWEEPS) {
    it(title, () => assert.equal(sweepScript('ip filter', TOUCHED, listing(...items)), script));
  }
});
