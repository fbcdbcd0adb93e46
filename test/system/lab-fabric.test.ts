/**
 * A fabric that passes only what it has assigned: hosts reach each other through it and in one segment, their containers do not.
 *
 * Without `forwards: assigned` the two containers of one segment do reach each other. The topology is the smallest with both: two hosts in one segment, one behind the router.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { TestLab } from './two-hosts-fixture.ts';

const TOPOLOGY = `
segments: [near, far]
hosts:
  "host-{1..2}":
    links: { eth0: { segment: near, addresses: ["10.0.1.{n}/24", "fd00:1::{n}/64"] } }
    gateways: [10.0.1.254, "fd00:1::fe"]
    blocks: ["172.17.{n}.0/24"]
  host-3:
    links: { eth0: { segment: far, addresses: [10.0.2.3/24, "fd00:2::3/64"] } }
    gateways: [10.0.2.254, "fd00:2::fe"]
    blocks: [172.17.3.0/24]
routers:
  fabric:
    links:
      eth0: { segment: near, addresses: [10.0.1.254/24, "fd00:1::fe/64"] }
      eth1: { segment: far, addresses: [10.0.2.254/24, "fd00:2::fe/64"] }
    forwards: assigned
workloads:
  "w{1..3}": { host: "host-{n}", addresses: ["172.17.{n}.2"] }
resources:
  - apiVersion: projectcalico.org/v3
    kind: IPPool
    metadata: { name: containers }
    spec: { cidr: 172.17.0.0/16, blockSize: 24 }
checks:
  - reach: ["host-{1..3}", fabric]
  - sessions: { on: "host-{1..3}", established: 2 }
  - unreachable: { from: w1, to: w3 }
  - unreachable: { from: w1, to: w2 }
`;

function withTopology(text: string, test: (lab: TestLab) => void): void {
  const lab = new TestLab();
  try {
    writeFileSync(lab.file, `name: ${lab.name}\n${text}`);
    test(lab);
  } finally {
    lab.down();
  }
}

describe('a fabric', () => {
  it('passes packets between hosts, of both families, and none of containers, in one segment or through the router', () => {
    withTopology(TOPOLOGY, (lab) => {
      lab.up();
      const verdicts: { kind: string; verdict: string }[] = JSON.parse(
        lab.muslin('lab', 'check', lab.name, '-o', 'json').stdout,
      );
      assert.equal(verdicts.filter(({ kind }) => kind === 'unreachable').length, 2);
      assert.equal(verdicts.filter(({ kind, verdict }) => kind === 'reach' && verdict === 'pass').length, 24);
      assert.match(lab.rules('near'), /table bridge fabric/);
      lab.inside('host-1', 'ping', '-c', '1', '-W', '5', 'fd00:2::3');
    });
  });

  it('is what drops them: a router leaves the segment alone', () => {
    const text = TOPOLOGY.replace('forwards: assigned', 'forwards: all').replace(
      'unreachable: { from: w1, to: w2 }',
      'reach: [w1, w2]',
    );
    withTopology(text, (lab) => lab.up());
  });
});
