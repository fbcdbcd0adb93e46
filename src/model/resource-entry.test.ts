/** Keys, names, and resources on their way into the store and back. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { formatCidr, prefixOf } from '../net/cidr.ts';
import { ipFromBytes } from '../net/ip.ts';
import type { IpPool } from './ip-pool.ts';
import { entryOfKind, resourceOfEntry, valueOfResource, withIdentity } from './resource-entry.ts';
import { blockAffinityName, cidrName, kindPrefix, parseResourceKey, resourceKey } from './resource-key.ts';
import { validateResource } from './validate.ts';

function pool(): IpPool {
  const validated = validateResource({
    apiVersion: 'projectcalico.org/v3',
    kind: 'IPPool',
    metadata: { name: 'p', labels: { a: 'b' }, resourceVersion: '7' },
    spec: { cidr: '10.0.0.0/16' },
  });
  assert.ok(validated.ok && validated.resource.kind === 'IPPool');
  return validated.resource;
}

test('keys read back as what they were made of', () => {
  const ids = [
    { id: { kind: 'IPPool', name: 'p' }, key: '/resources/IPPool/p' },
    {
      id: { kind: 'WorkloadEndpoint', namespace: 'default', name: 'a.b' },
      key: '/resources/WorkloadEndpoint/default/a.b',
    },
  ];
  for (const { id, key } of ids) {
    assert.equal(resourceKey(id), key);
    assert.deepEqual(parseResourceKey(key), id);
  }
  for (const key of [
    '/',
    '/other/IPPool/p',
    '/resources/IPPool',
    '/resources/IPPool/',
    '/resources/a/b/c/d',
    '/resources//b',
  ]) {
    assert.equal(parseResourceKey(key), undefined, key);
  }
  assert.equal(kindPrefix('IPPool'), '/resources/IPPool/');
  assert.equal(kindPrefix('WorkloadEndpoint', 'x'), '/resources/WorkloadEndpoint/x/');
});

test('blocks are named after their cidr', () => {
  assert.equal(cidrName('172.17.8.0/24'), '172-17-8-0-24');
  assert.equal(cidrName('fd00::/122'), 'fd00---122');
  assert.equal(blockAffinityName('host-a', '172.17.8.0/24'), 'host-a-172-17-8-0-24');
});

test('no two prefixes share a name', () => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 4, maxLength: 4 }),
    fc.uint8Array({ minLength: 16, maxLength: 16 }),
  );
  const prefix = fc
    .tuple(bytes, fc.nat(128))
    .map(([raw, length]) => formatCidr(prefixOf(ipFromBytes(raw), length % (raw.length * 8 + 1))));
  fc.assert(
    fc.property(prefix, prefix, (a, b) => (a === b) === (cidrName(a) === cidrName(b))),
    { numRuns: 2000 },
  );
});

test('a resource comes back from its entry with the revision as resourceVersion', () => {
  const created = withIdentity(pool(), 'some-uid', '2026-01-02T03:04:05Z');
  const value = valueOfResource(created);
  assert.doesNotMatch(JSON.stringify(value), /resourceVersion/);
  const entry = { key: '/resources/IPPool/p', value: JSON.parse(JSON.stringify(value)), revision: 12 };
  const reading = resourceOfEntry(entry);
  assert.ok(reading.ok);
  assert.deepEqual(reading.resource, { ...created, metadata: { ...created.metadata, resourceVersion: '12' } });
  assert.equal(entryOfKind('IPPool', entry)?.spec.blockSize, 26);
  assert.equal(entryOfKind('Node', entry), undefined);
});

test('an entry that is no resource, or another one, is a problem that names it', () => {
  const value = valueOfResource(pool());
  const rows = [
    {
      entry: { key: '/resources/IPPool/q', value, revision: 1 },
      problem: /^\/resources\/IPPool\/q: holds \/resources\/IPPool\/p$/,
    },
    {
      entry: { key: '/resources/IPPool/p', value: { kind: 'IPPool' }, revision: 1 },
      problem: /^\/resources\/IPPool\/p: .*is required/,
    },
    { entry: { key: '/resources/IPPool/p', value: 7, revision: 1 }, problem: /must be a resource, not 7/ },
  ];
  for (const { entry, problem } of rows) {
    const reading = resourceOfEntry(entry);
    assert.ok(!reading.ok);
    assert.match(reading.problem, problem);
    assert.equal(entryOfKind('IPPool', entry), undefined);
  }
});
