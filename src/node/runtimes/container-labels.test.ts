import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { BoltSource } from './bolt.ts';
import type { Entries } from './bolt-file.suite.ts';
import { boltFile, entries } from './bolt-file.suite.ts';
import { readConsistently } from './container-databases.ts';
import type { LabelLookup } from './container-labels.ts';
import { acceptedLabels, containerdLabels, LABELS_MAX, podmanLabels } from './container-labels.ts';

const ID = 'a'.repeat(64);

function sourceOf(content: Entries): BoltSource {
  const bytes = boltFile(content);
  return (offset, length) => (offset + length > bytes.length ? undefined : bytes.subarray(offset, offset + length));
}

function podman(config: string): Entries {
  return entries({ ctr: entries({ [ID]: entries({ config, state: '{}' }) }) });
}

/** `containers`: "NAMESPACE/ID" and the labels. */
function containerd(containers: Record<string, Record<string, string> | undefined>): Entries {
  const namespaces = new Map<string, Map<string, Entries>>();
  for (const [name, labels] of Object.entries(containers)) {
    const [namespace = '', id = ''] = name.split('/');
    const record = { createdat: 'x', image: 'y', ...(labels && { labels: entries(labels) }) };
    const inside = namespaces.get(namespace) ?? new Map<string, Entries>();
    namespaces.set(namespace, inside.set(id, entries(record)));
  }
  const tree = [...namespaces].map(([name, inside]) => [name, entries({ containers: inside })] as const);
  return entries({ v1: new Map<string, string | Entries>([['version', '3'], ...tree]) });
}

describe('labels from a runtime', () => {
  const rows: [name: string, content: Entries, lookup: LabelLookup, id: string, found: unknown][] = [
    [
      'podman has them in JSON',
      podman('{"labels":{"app":"db","x.y/z":""}}'),
      podmanLabels,
      ID,
      { app: 'db', 'x.y/z': '' },
    ],
    ['podman: a container without any', podman('{"name":"c"}'), podmanLabels, ID, {}],
    ['podman: labels that are null', podman('{"labels":null}'), podmanLabels, ID, {}],
    ['podman: another container', podman('{"labels":{"app":"db"}}'), podmanLabels, 'b'.repeat(64), undefined],
    ['podman: nothing at all', entries({}), podmanLabels, ID, undefined],
    [
      'podman: no JSON',
      podman('{"labels":'),
      podmanLabels,
      ID,
      { damage: 'a container whose record is no JSON object' },
    ],
    ['containerd by ctr', containerd({ 'default/c1': { app: 'db' } }), containerdLabels, 'default-c1', { app: 'db' }],
    [
      'containerd: dashes in both',
      containerd({ 'my-ns/my-c': { app: 'db' } }),
      containerdLabels,
      'my-ns-my-c',
      { app: 'db' },
    ],
    ['containerd: none', containerd({ 'default/c1': undefined }), containerdLabels, 'default-c1', {}],
    ['containerd: another namespace', containerd({ 'a/c1': { app: 'db' } }), containerdLabels, 'default-c1', undefined],
    ['containerd by CRI', containerd({ [`k8s.io/${ID}`]: { app: 'db' } }), containerdLabels, ID, { app: 'db' }],
    ['containerd: an id of one part', containerd({ 'default/c1': { app: 'db' } }), containerdLabels, 'c1', undefined],
    [
      'containerd: two containers that would be called the same',
      containerd({ 'a/b-c': { app: 'db' }, 'a-b/c': { app: 'web' } }),
      containerdLabels,
      'a-b-c',
      {},
    ],
  ];
  for (const [name, content, lookup, id, expected] of rows) {
    it(name, () => {
      const found = readConsistently(sourceOf(content), id, lookup);
      assert.deepEqual(found !== undefined && 'labels' in found ? found.labels : found, expected);
    });
  }

  const refused: [name: string, value: unknown, says: RegExp][] = [
    ['app', 'a b', /^app: "a b" is not a label value/],
    ['app', 'x'.repeat(64), /is not a label value/],
    ['app', 7, /^app: its value is no string$/],
    ['-app', 'db', /^-app: "-app" is not a label/],
    ['', 'db', /is not a label/],
    ['projectcalico.org/namespace', 'prod', /^projectcalico\.org\/namespace: is for the network to set/],
    ['pcsa.projectcalico.org/role', 'admin', /is for the network to set/],
  ];
  for (const [name, value, says] of refused) {
    it(`leaves ${JSON.stringify(name)} = ${JSON.stringify(value)} out, and the others in`, () => {
      const { labels, leftOut } = acceptedLabels([
        [name, value],
        ['role', 'x'],
      ]);
      assert.deepEqual(labels, { role: 'x' });
      assert.equal(leftOut.length, 1);
      assert.match(leftOut[0] ?? '', says);
    });
  }

  it('takes so many and no more', () => {
    const many = Array.from({ length: LABELS_MAX + 5 }, (_, index) => [`label${index}`, 'x'] as const);
    const { labels, leftOut } = acceptedLabels(many);
    assert.equal(Object.keys(labels).length, LABELS_MAX);
    assert.equal(leftOut.length, 5);
    assert.match(leftOut[0] ?? '', /^label64: there are 64 already$/);
  });

  it('reads again when something was written meanwhile, and gives up on a file that never rests', () => {
    const files = ['old', 'new'].map((app, index) =>
      boltFile(podman(`{"labels":{"app":"${app}"}}`), { transaction: 7n + BigInt(index) }),
    );
    let reads = 0;
    // The writer is faster than the first reading: its pages are of one state, the metas at the end of another.
    const source: BoltSource = (offset, length) => files[++reads < 5 ? 0 : 1]?.subarray(offset, offset + length);
    assert.deepEqual(readConsistently(source, ID, podmanLabels), { labels: { app: 'new' }, leftOut: [] });

    let transaction = 7n;
    const restless: BoltSource = (offset, length) => {
      transaction += 1n;
      return boltFile(podman('{"labels":{"app":"db"}}'), { transaction }).subarray(offset, offset + length);
    };
    assert.deepEqual(readConsistently(restless, ID, podmanLabels), {
      damage: 'was written to during each of 16 readings',
    });
  });
});
