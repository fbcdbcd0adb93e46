import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readTopology } from './read-topology.ts';
import { establishedSessions } from './session-count.ts';

const TOPOLOGY = readTopology(
  'net.yaml',
  `name: net
segments: [lan]
hosts:
  a: { links: { eth0: { segment: lan, addresses: [10.0.0.1/24, "fd00::1/64"] } } }
  b: { links: { eth0: { segment: lan, addresses: [10.0.0.2/24, "fd00::2/64"] } } }
routers:
  r: { links: { eth0: { segment: lan, addresses: [10.0.0.9/24] } } }`,
);

const up = (address: string) => ({ address, state: 'Established' });

const ROWS: readonly { title: string; ends: readonly { address: string; state: string }[]; count: number }[] = [
  { title: 'none', ends: [], count: 0 },
  { title: 'two hosts tell of one session', ends: [up('10.0.0.2'), up('10.0.0.1')], count: 1 },
  { title: 'a router tells nothing', ends: [up('10.0.0.9'), up('10.0.0.9')], count: 2 },
  { title: 'both kinds', ends: [up('fd00::2'), up('10.0.0.9'), up('fd00::1'), up('10.0.0.9')], count: 3 },
  { title: 'link-local ends are of hosts', ends: [up('fe80::1%eth0'), up('fe80::2%eth0')], count: 1 },
  { title: 'what is not established does not count', ends: [{ address: '10.0.0.9', state: 'Active' }], count: 0 },
];

for (const { title, ends, count } of ROWS) {
  test(`sessions: ${title}`, () => assert.equal(establishedSessions(TOPOLOGY, ends), count));
}
