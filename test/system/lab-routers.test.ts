/**
 * Routers that run a BGP speaker, of muslin or another maker: they come and go with their lab, whatever happens on the way.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MUSLIN, TestLab } from './two-hosts-fixture.ts';

const TOPOLOGY = `
description: a host and three routers
segments: [lan]
hosts:
  host-a: { links: { eth0: { segment: lan, addresses: [10.7.0.1/24] } }, asNumber: 65000, blocks: [172.17.8.0/24] }
routers:
  r-muslin:
    links: { eth0: { segment: lan, addresses: [10.7.0.2/24] } }
    addresses: [10.255.0.2/32]
    runs:
      program: muslin-bgp
      configuration: |
        asNumber: 65001
        routerId: 10.7.0.2
        kernel: { install: true }
        neighbors: [{ address: 10.7.0.1, asNumber: 65000, import: all, export: all }]
  r-bird:
    links: { eth0: { segment: lan, addresses: [10.7.0.3/24] } }
    runs:
      program: bird
      configuration: |
        log stderr all;
        router id 10.7.0.3;
        protocol device {}
        protocol kernel { ipv4 { import none; export where source = RTS_BGP; }; }
        protocol bgp host {
          local 10.7.0.3 as 65002; neighbor 10.7.0.1 as 65000; connect delay time 1; error wait time 1, 2;
          ipv4 { import all; export none; };
        }
  r-frr:
    links: { eth0: { segment: lan, addresses: [10.7.0.4/24] } }
    runs:
      program: frr
      configuration: |
        log stdout informational
        router bgp 65003
         bgp router-id 10.7.0.4
         no bgp ebgp-requires-policy
         neighbor 10.7.0.1 remote-as 65000
         neighbor 10.7.0.1 timers connect 1
resources:
  - apiVersion: projectcalico.org/v3
    kind: IPPool
    metadata: { name: containers }
    spec: { cidr: 172.17.8.0/24, blockSize: 24 }
  - { apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: { name: m }, spec: { peerIP: 10.7.0.2, asNumber: 65001 } }
  - { apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: { name: b }, spec: { peerIP: 10.7.0.3, asNumber: 65002 } }
  - { apiVersion: projectcalico.org/v3, kind: BGPPeer, metadata: { name: f }, spec: { peerIP: 10.7.0.4, asNumber: 65003 } }
checks:
  - sessions: { on: host-a, established: 3 }
  - route: { on: r-muslin, shows: 172.17.8.0/24 via 10.7.0.1 dev eth0 proto bird metric 179 }
  - route: { on: r-bird, shows: 172.17.8.0/24 via 10.7.0.1 dev eth0 proto bird metric 32 }
  - route: { on: r-frr, shows: 172.17.8.0/24 via 10.7.0.1 dev eth0 proto bgp metric 20 }
`;

function routersLab(change: (text: string) => string = (text) => text): TestLab {
  const lab = new TestLab();
  writeFileSync(lab.file, `name: ${lab.name}${change(TOPOLOGY)}`);
  return lab;
}

/** Processes on whose command line the lab's directory stands, and its namespaces. */
function tracesOf({ name }: TestLab): string[] {
  const commandLines = readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map((pid) => `${pid} ${commandLine(pid)}`)
    .filter((line) => line.includes(`/lab/${name}/`));
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  return [...commandLines, ...namespaces.filter((namespace) => namespace.startsWith(`muslin-${name}-`))];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // it has ended meanwhile
  }
}

describe('routers of a lab', () => {
  it('speak BGP in their own programs, are started again, and go without a trace', async () => {
    const lab = routersLab();
    try {
      lab.up();
      assert.match(
        lab.muslin('lab', 'exec', '--lab', lab.name, 'r-muslin', '--', MUSLIN, 'bgp', 'peers').stdout,
        /65000/,
      );
      assert.match(lab.inside('r-muslin', 'ip', '-o', 'address', 'show', 'lo'), / 10\.255\.0\.2\/32 /);
      for (const router of ['r-muslin', 'r-bird', 'r-frr']) {
        await lab.killMachine(router);
        lab.restart(router);
      }
      await lab.eventually('all checks hold', () => lab.muslin('lab', 'check', lab.name).code === 0);
    } finally {
      lab.down();
    }
    assert.deepEqual(tracesOf(lab), []);
  });

  it('are removed by `lab down` after `lab up` was killed', async () => {
    const lab = routersLab();
    try {
      const up = spawn(MUSLIN, ['lab', 'up', lab.file], { stdio: 'ignore' });
      const ended = new Promise((resolve) => up.once('close', resolve));
      const programs = ['bird', 'zebra', 'bfdd', 'bgpd'];
      await lab.eventually('all programs run', () => {
        const traces = tracesOf(lab).join('\n');
        return programs.every((program) => traces.includes(`/${program} -f `));
      });
      up.kill('SIGKILL');
      await ended;
    } finally {
      lab.down();
    }
    assert.deepEqual(tracesOf(lab), []);
  });

  it('with a mistake in what they run say which, and nothing is left', () => {
    const lab = routersLab((text) => text.replace('protocol device {}', 'protocol nonsense {}'));
    try {
      const outcome = lab.muslin('lab', 'up', lab.file);
      assert.notEqual(outcome.code, 0);
      assert.match(outcome.stderr, /what the router r-bird runs has ended/);
      assert.match(outcome.stderr, /bird\.conf:3:\d+ syntax error/);
      assert.deepEqual(tracesOf(lab), []);
    } finally {
      lab.down();
    }
  });
});
