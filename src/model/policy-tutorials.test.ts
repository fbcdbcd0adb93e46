/**
 * The classic policies of tutorials, in testdata/: each is read, and what is printed of it reads as the same.
 *
 * The whole way that `get -o yaml | apply -f -` goes, without a store: document, resource, stored value, text, resource.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { parseDocuments } from './documents.ts';
import { kindByWord } from './kinds.ts';
import { resourceTitle } from './resource.ts';
import { resourceOfEntry, valueOfResource } from './resource-entry.ts';
import { keyOf } from './resource-key.ts';

const TUTORIALS: Readonly<Record<string, readonly string[]>> = {
  'allow-dns-egress.yaml': ['GlobalNetworkPolicy allow-dns'],
  'allow-from-namespace.yaml': ['Namespace operators', 'NetworkPolicy shop/database'],
  'default-deny.yaml': ['GlobalNetworkPolicy default-deny'],
  'deny-egress-metadata.yaml': ['GlobalNetworkPolicy deny-metadata'],
  'deny-list.yaml': ['GlobalNetworkSet unwanted', 'GlobalNetworkPolicy drop-unwanted', 'NetworkSet shop/partners'],
  'host-endpoint.yaml': [
    'HostEndpoint host-a-eth0',
    'HostEndpoint host-a-all',
    'GlobalNetworkPolicy edge-ingress',
    'GlobalNetworkPolicy edge-node-ports',
  ],
  'kubernetes-allow-from-frontend.yaml': ['KubernetesNetworkPolicy shop/backend'],
  'kubernetes-deny-all.yaml': ['KubernetesNetworkPolicy shop/deny-all'],
  'kubernetes-ip-block.yaml': ['KubernetesNetworkPolicy default/out-to-the-world'],
  'profile.yaml': ['Profile kns.shop'],
  'staged-preview.yaml': [
    'StagedGlobalNetworkPolicy default-deny',
    'StagedNetworkPolicy shop/database',
    'StagedKubernetesNetworkPolicy shop/web',
  ],
  'tiered-security.yaml': [
    'Tier security',
    'GlobalNetworkPolicy security.quarantine',
    'GlobalNetworkPolicy security.pass-to-teams',
  ],
};

const FOLDER = join(import.meta.dirname, 'testdata');

test('each tutorial in the folder is in the table', () => {
  assert.deepEqual(readdirSync(FOLDER).sort(), Object.keys(TUTORIALS));
});

function read(text: string, file: string) {
  const parsed = parseDocuments(text, file);
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.join('\n'));
  return parsed.resources.map(({ resource }) => resource);
}

for (const [file, titles] of Object.entries(TUTORIALS)) {
  test(`${file} is read, and read again from what was printed`, () => {
    const resources = read(readFileSync(join(FOLDER, file), 'utf8'), file);
    assert.deepEqual(resources.map(resourceTitle), titles);
    const printed = resources.map((resource) => stringify(valueOfResource(resource))).join('---\n');
    assert.deepEqual(read(printed, file), resources);
    for (const resource of resources) {
      const reading = resourceOfEntry({ key: keyOf(resource), value: valueOfResource(resource), revision: 7 });
      assert.ok(reading.ok, JSON.stringify(reading));
      assert.deepEqual(reading.resource.spec, resource.spec);
      for (const column of kindByWord(resource.kind)?.columns ?? []) {
        assert.doesNotMatch(column.cell(resource), /undefined|\[object/, column.title);
      }
    }
  });
}

test('the tables have the columns of calicoctl', () => {
  const cells = (file: string) =>
    read(readFileSync(join(FOLDER, file), 'utf8'), file).map((resource) =>
      (kindByWord(resource.kind)?.columns ?? []).map(({ title, cell, wide }) =>
        [`${title}${wide ? '*' : ''}`, cell(resource)].join('='),
      ),
    );
  assert.deepEqual(cells('tiered-security.yaml')[0], ['NAME=security', 'ORDER=100', 'DEFAULTACTION=Pass']);
  assert.deepEqual(cells('tiered-security.yaml')[1], [
    'NAME=security.quarantine',
    'TIER=security',
    'ORDER*=1',
    'SELECTOR*=quarantine == "true"',
  ]);
  assert.deepEqual(cells('staged-preview.yaml')[1], [
    'NAME=database',
    'TIER=default',
    'ORDER*=',
    'SELECTOR*=all()',
    'STAGEDACTION*=Delete',
  ]);
  assert.deepEqual(cells('host-endpoint.yaml')[0], [
    'NAME=host-a-eth0',
    'NODE=host-a',
    'INTERFACE*=eth0',
    'IPS*=192.0.2.10,2001:db8::10',
    'PROFILES*=',
  ]);
  assert.deepEqual(cells('kubernetes-ip-block.yaml')[0], [
    'NAME=out-to-the-world',
    'POD-SELECTOR=!offline',
    'TYPES*=Egress',
  ]);
});
