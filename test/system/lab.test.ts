/**
 * Labs come and go without a trace, whatever happens on the way; and what is wrong with a topology is said before anything is built.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { MUSLIN, TestLab } from './two-hosts-fixture.ts';

/** Everything that a lab leaves on the machine: namespaces, its directory, its agents. */
function tracesOf(lab: TestLab): string[] {
  const namespaces = existsSync('/run/netns') ? readdirSync('/run/netns') : [];
  const agents = readdirSync('/proc').filter(
    (pid) => /^\d+$/.test(pid) && commandLine(pid).includes(`/lab/${lab.name}/`),
  );
  return [
    ...namespaces.filter((name) => name.startsWith(`muslin-${lab.name}-`)),
    ...(existsSync(`/run/muslin/lab/${lab.name}`) ? [`/run/muslin/lab/${lab.name}`] : []),
    ...agents.map((pid) => `process ${pid}: ${commandLine(pid)}`),
  ];
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
  } catch {
    return ''; // it has ended meanwhile
  }
}

/** Runs `lab up`, and sends it a signal once some of its namespaces are there. */
async function interruptUp(lab: TestLab, signal: NodeJS.Signals): Promise<number | null> {
  const up = spawn(MUSLIN, ['lab', 'up', lab.file], { stdio: 'ignore' });
  const ended = new Promise<number | null>((resolve) => up.once('close', (code) => resolve(code)));
  await lab.eventually('the lab is being built', () => tracesOf(lab).some((trace) => trace.includes('host-b')));
  up.kill(signal);
  return ended;
}

describe('a lab', () => {
  it('with IPv6 beside IPv4 comes up, routes both, and goes without a trace', () => {
    const lab = new TestLab('two-hosts-dual-stack');
    try {
      lab.up();
      const bird = lab.routes('host-a', '-6', 'route').filter((line) => line.includes('proto bird'));
      assert.ok(
        bird.some((line) => / via fd[0-9a-f:]+ dev eth0 .*onlink/.test(line)),
        bird.join('\n'),
      );
      assert.ok(
        lab
          .routes('a1', '-6', 'route')
          .some((line) => line.startsWith('default via fe80::ecee:eeff:feee:eeee dev eth0')),
      );
      assert.match(
        lab.inside('a1', 'ip', '-6', 'neigh'),
        /fe80::ecee:eeff:feee:eeee dev eth0 lladdr ee:ee:ee:ee:ee:ee/,
      );
      const outcome = lab.muslin('lab', 'check', lab.name);
      assert.equal(outcome.code, 0, outcome.stdout);
      const twice = lab.muslin('lab', 'up', lab.file);
      assert.equal(twice.code, 4, twice.stderr);
      assert.match(twice.stderr, /is up already.*lab down/);
    } finally {
      lab.down();
    }
    assert.deepEqual(tracesOf(lab), []);
  });

  it('cleans up when it is interrupted', async () => {
    const lab = new TestLab();
    try {
      assert.notEqual(await interruptUp(lab, 'SIGINT'), 0);
      await lab.eventually('nothing is left', () => tracesOf(lab).length === 0);
    } finally {
      lab.down();
    }
  });

  it('is removed by `lab down` after `lab up` was killed half-way', async () => {
    const lab = new TestLab();
    try {
      await interruptUp(lab, 'SIGKILL');
      assert.notDeepEqual(tracesOf(lab), []);
    } finally {
      lab.down();
    }
    await lab.eventually('nothing is left', () => tracesOf(lab).length === 0);
  });

  it('that does not converge says why, and leaves nothing', () => {
    const lab = new TestLab();
    try {
      const text = readFileSync(lab.file, 'utf8');
      writeFileSync(lab.file, `${text}  - route: { on: host-a, shows: 10.255.0.0/16 via 192.168.100.101 dev eth0 }\n`);
      const outcome = lab.muslin('lab', 'up', lab.file, '--timeout', '12');
      assert.equal(outcome.code, 124, outcome.stdout + outcome.stderr);
      assert.match(outcome.stderr, /host-a shows route 10\.255\.0\.0\/16/);
      assert.deepEqual(tracesOf(lab), []);
    } finally {
      lab.down();
    }
  });

  const mistakes: { name: string; change: (text: string) => string; says: RegExp }[] = [
    {
      name: 'a host on a segment that is not there',
      change: (text) => text.replace('segment: lan', 'segment: lam'),
      says: /topology\.yaml:\d+:\d+: hosts\.host-a\.links\.eth0\.segment: .*"lam".*lan/,
    },
    {
      name: 'a workload on a host that is not there',
      change: (text) => text.replace('a1: { host: host-a', 'a1: { host: host-z'),
      says: /topology\.yaml:\d+:\d+: workloads\.a1\.host: .*"host-z"/,
    },
    {
      name: 'a misspelt key',
      change: (text) => text.replace('workloads:', 'worklaods:'),
      says: /topology\.yaml:\d+:\d+: .*worklaods.*workloads/,
    },
    {
      name: 'a pool with host bits',
      change: (text) => text.replace('cidr: 172.17.8.0/23', 'cidr: 172.17.8.1/23'),
      says: /topology\.yaml:\d+:\d+: .*172\.17\.8\.1\/23.*172\.17\.8\.0\/23/,
    },
    { name: 'text that is no YAML', change: () => 'hosts: [', says: /topology\.yaml:1:\d+: / },
  ];
  for (const { name, change, says } of mistakes) {
    it(`is not begun with ${name}`, () => {
      const lab = new TestLab();
      try {
        const text = readFileSync(lab.file, 'utf8');
        assert.notEqual(change(text), text);
        writeFileSync(lab.file, change(text));
        const outcome = lab.muslin('lab', 'up', lab.file);
        assert.equal(outcome.code, 2, outcome.stdout + outcome.stderr);
        assert.match(outcome.stderr, says);
        assert.doesNotMatch(outcome.stderr, /\n\s+at /, 'no stack trace for a user’s mistake');
        assert.deepEqual(tracesOf(lab), []);
      } finally {
        lab.down();
      }
    });
  }
});
