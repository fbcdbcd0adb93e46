/**
 * The agent's start: what it cannot start with is said in one message, and a second agent in one place is refused.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { MUSLIN, run } from './two-hosts-fixture.ts';

const directory = mkdtempSync(join(tmpdir(), 'muslin-test-agent-'));
const NAMESPACE = `muslin-test-agent-${process.pid}`;

function configuration(lines: Record<string, string>): string {
  const file = join(directory, 'agent.yaml');
  const whole = { node: 'n1', store: `sqlite://${directory}/store.db`, runDirectory: join(directory, 'run'), ...lines };
  writeFileSync(
    file,
    Object.entries(whole)
      .map(([name, value]) => `${name}: ${value}\n`)
      .join(''),
  );
  return file;
}

describe('the agent', () => {
  after(() => rmSync(directory, { recursive: true, force: true }));

  writeFileSync(join(directory, 'junk.db'), 'this has never been a database, and it is long enough to tell');
  const refusals: { name: string; lines: Record<string, string>; code: number; says: RegExp }[] = [
    { name: 'a field that does not exist', lines: { nod: 'x' }, code: 2, says: /agent\.yaml:4: nod: no such field/ },
    {
      name: 'a name that no node can have',
      lines: { node: 'N_1' },
      code: 2,
      says: /agent\.yaml:1: node: "N_1" is not/,
    },
    {
      name: 'a store that is not one',
      lines: { store: 'foo://x' },
      code: 5,
      says: /"foo:\/\/x" is not a store; write sqlite/,
    },
    {
      name: 'a store in no directory',
      lines: { store: 'sqlite:///nowhere/s.db' },
      code: 5,
      says: /\/nowhere\/s\.db.*does not exist/,
    },
    {
      name: 'a file that is no store',
      lines: { store: `sqlite://${directory}/junk.db` },
      code: 5,
      says: /junk\.db.*not a database/,
    },
  ];
  for (const { name, lines, code, says } of refusals) {
    it(`does not start with ${name}`, () => {
      const outcome = run(MUSLIN, ['node', 'run', '--config', configuration(lines)]);
      assert.equal(outcome.code, code, outcome.stderr);
      assert.match(outcome.stderr, says);
      assert.doesNotMatch(outcome.stderr, /\n\s+at /, 'no stack trace for a user’s mistake');
      assert.ok(!existsSync(join(directory, 'run', 'agent.pid')));
    });
  }

  it('starts without any resource, says what it lacks, refuses a second one beside it, and stops when told', async () => {
    assert.equal(run('ip', ['netns', 'add', NAMESPACE]).code, 0);
    const file = configuration({});
    const inside = ['--net', `/run/netns/${NAMESPACE}`].join('=');
    const agent = spawn('nsenter', [inside, MUSLIN, 'node', 'run', '--config', file], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    try {
      let log = '';
      const started = new Promise<void>((resolve, reject) => {
        agent.stderr?.on('data', (chunk) => {
          log += chunk;
          if (log.includes('in sync')) resolve();
        });
        agent.once('exit', (code) => reject(new Error(`ended with ${code}:\n${log}`)));
      });
      await started;
      const socket = ['--socket', join(directory, 'run', 'agent.sock')];
      const status = run(MUSLIN, ['node', 'status', ...socket]);
      assert.equal(status.code, 0, status.stderr);
      assert.match(status.stdout, /in sync +yes/);
      assert.match(status.stdout, /bgp +not running: there is no Node resource called n1/);
      const second = run(MUSLIN, ['node', 'run', '--config', file]);
      assert.equal(second.code, 2, second.stderr);
      assert.match(second.stderr, /an agent runs here already, with pid \d+/);
      agent.removeAllListeners('exit');
      const ended = new Promise((resolve) => agent.once('exit', resolve));
      process.kill(Number(readFileSync(join(directory, 'run', 'agent.pid'), 'utf8')), 'SIGTERM');
      assert.equal(await ended, 0, log);
      assert.match(log, /"msg":"stopped"/);
      const away = run(MUSLIN, ['node', 'status', ...socket]);
      assert.equal(away.code, 5);
      assert.match(away.stderr, /muslin node run/);
    } finally {
      agent.kill('SIGKILL');
      run('ip', ['netns', 'del', NAMESPACE]);
    }
  });
});
