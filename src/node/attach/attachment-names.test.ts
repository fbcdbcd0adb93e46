/** Ids and interfaces as CNI allows them, against names that a resource may have. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { nameProblem } from '../../model/fields.ts';
import { endpointNameOf } from './attachment-names.ts';

const HEX = 'ab'.repeat(32);

const ROWS: readonly [containerId: string, interfaceName: string, name: RegExp][] = [
  [HEX, 'eth0', /^host--a-cni-abababababab-eth0$/],
  ['web-1', 'eth0', /^host--a-cni-web--1-eth0$/],
  ['web.1', 'eth0.100', /^host--a-cni-web\.1-eth0\.100$/],
  ...['web_1', 'Web.1', 'web.', 'web.-1', `a${'_'.repeat(99)}`].map((containerId): [string, string, RegExp] => [
    containerId,
    'eth0',
    /^host--a-cni-[0-9a-f]{40}$/,
  ]),
  ...['é', 'eth0!', '_', '-', '@'].map((interfaceName): [string, string, RegExp] => [
    'web',
    interfaceName,
    /^host--a-cni-[0-9a-f]{40}$/,
  ]),
];

test('an endpoint has a name that a resource may have, and its own', () => {
  const names = ROWS.map(([containerId, interfaceName]) => endpointNameOf('host-a', { containerId, interfaceName }));
  for (const [index, [containerId, interfaceName, expected]] of ROWS.entries()) {
    const name = names[index] ?? '';
    assert.match(name, expected, `${containerId} ${interfaceName}`);
    assert.equal(nameProblem(name), undefined, name);
  }
  assert.equal(new Set(names).size, ROWS.length);
});
