import assert from 'node:assert/strict';
import { test } from 'node:test';
import { formatIp } from '../net/ip.ts';
import { withHost, withoutHost } from './edit-topology.ts';
import { readTopology } from './read-topology.ts';

const TEXT = `# what it shows
name: net
segments: [lan]
hosts:
  "h{1..3}": { links: { eth0: { segment: lan, addresses: ["10.0.0.{n}/24"] } } }
workloads:
  "w{1..3}": { host: "h{n}" }
checks:
  - reach: ["w{1..3}"]
  - sessions: { on: "h{1..3}", established: 2 }
  - unreachable: { from: w1, to: w2 }
`;

test('a host joins', () => {
  const text = withHost(TEXT, 'h4', { links: { eth0: { segment: 'lan', addresses: ['10.0.0.4/24'] } } });
  assert.match(text, /^# what it shows\n/);
  const { hosts } = readTopology('net.yaml', text);
  assert.deepEqual(
    hosts.map(
      ({ name, plugs }) => `${name} ${plugs.flatMap((plug) => plug.addresses.map(({ address }) => formatIp(address)))}`,
    ),
    ['h1 10.0.0.1', 'h2 10.0.0.2', 'h3 10.0.0.3', 'h4 10.0.0.4'],
  );
});

test('a host leaves with its workloads and what is said of them', () => {
  const { hosts, workloads, checks } = readTopology('net.yaml', withoutHost(TEXT, 'h2', ['w2']));
  assert.deepEqual(
    [...hosts, ...workloads].map(({ name }) => name),
    ['h1', 'h3', 'w1', 'w3'],
  );
  assert.deepEqual(checks, [
    { kind: 'reach', among: ['w1', 'w3'] },
    { kind: 'sessions', on: 'h1', established: 2 },
    { kind: 'sessions', on: 'h3', established: 2 },
  ]);
});
