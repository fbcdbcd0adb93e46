/** What was read once is not judged again, and what was written is known without being read. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { IpPool } from '../model/ip-pool.ts';
import { valueOfResource } from '../model/resource-entry.ts';
import { resourceKey } from '../model/resource-key.ts';
import { revision } from '../store/store.ts';
import { EntryReader } from './entry-reader.ts';

const KEY = resourceKey({ kind: 'IPPool', name: 'a' });
const POOL = {
  ...{ apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'a' } },
  spec: { cidr: '10.0.0.0/24' },
};

const entryAt = (number: number, value: unknown = POOL) => ({ key: KEY, value, revision: number });

describe('reading entries', () => {
  it('gives the same resource for the same revision, and reads another one anew', () => {
    const reader = new EntryReader();
    const first = reader.ofKind('IPPool', entryAt(1));
    assert.equal(first?.metadata.resourceVersion, '1');
    assert.equal(reader.ofKind('IPPool', entryAt(1)), first);
    const second = reader.ofKind('IPPool', entryAt(2, { ...POOL, spec: { cidr: '10.1.0.0/24' } }));
    assert.equal(second?.spec.cidr, '10.1.0.0/24');
    assert.equal(reader.ofKind('Node', entryAt(2)), undefined);
  });

  it('remembers what is wrong with an entry, too, and says which of several it is', () => {
    const reader = new EntryReader();
    const broken = entryAt(1, { ...POOL, spec: {} });
    assert.equal(reader.read(broken).ok, false);
    assert.deepEqual(reader.allOfKind('IPPool', [broken, { ...entryAt(1), key: '/other' }]), {
      ...{ resources: [], unreadable: [broken.key, '/other'] },
    });
  });

  it('takes what was written for read, as reading it would give it', () => {
    const reader = new EntryReader();
    const made = new EntryReader().ofKind('IPPool', entryAt(7)) as IpPool;
    const value = valueOfResource({ ...made, spec: { ...made.spec, disabled: true } });
    reader.wrote([{ kind: 'put', key: KEY, value }], revision(8));
    // Were it judged, this entry would be refused.
    const known = reader.ofKind('IPPool', entryAt(8, 'nonsense'));
    assert.deepEqual(known, new EntryReader().ofKind('IPPool', entryAt(8, value)));
    reader.wrote([{ kind: 'remove', key: KEY }], revision(9));
    assert.equal(reader.ofKind('IPPool', entryAt(8, 'nonsense')), undefined);
  });

  it('forgets what was not asked for longest', () => {
    const reader = new EntryReader();
    const first = reader.read(entryAt(1));
    for (let number = 0; number < 2_050; number++) reader.read({ key: `/k/${number}`, value: null, revision: 1 });
    assert.notEqual(reader.read(entryAt(1)), first);
  });
});
