import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTopology } from '../lab/read-topology.ts';
import { firstSteps } from './lab-up.ts';

const ROWS: readonly (readonly [title: string, hosts: Readonly<Record<string, string>>, look: string])[] = [
  ['hosts with IPv4', { h1: '10.0.0.1/24', h2: '10.0.0.2/24' }, 'h1 -- ip route'],
  ['hosts with both', { h1: '10.0.0.1/24, "fd00::1/64"' }, 'h1 -- ip route'],
  ['hosts without IPv4', { h1: '"fd00::1/64"', h2: '"fd00::2/64"' }, 'h1 -- ip -6 route'],
  ['a first host without IPv4', { h1: '"fd00::1/64"', h2: '10.0.0.2/24' }, 'h2 -- ip route'],
];

for (const [title, hosts, look] of ROWS) {
  test(`what to look at first shows routes, of ${title}`, () => {
    const lines = Object.entries(hosts).map(
      ([name, addresses]) => `  ${name}: { links: { eth0: { segment: lan, addresses: [${addresses}] } } }\n`,
    );
    const text = `name: net\nsegments: [lan]\nhosts:\n${lines.join('')}`;
    assert.equal(
      firstSteps(readTopology('net.yaml', text)),
      `  muslin lab status net\n  muslin lab exec ${look}\n  muslin lab down net\n`,
    );
  });
}
