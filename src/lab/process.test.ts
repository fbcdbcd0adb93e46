import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { endProcesses, identify, isAlive } from './process.ts';

test('a process is known by its id and start together, and only then ended', async () => {
  const child = spawn('sleep', ['60']);
  const ended = once(child, 'close');
  const identity = identify(child.pid!)!;
  const other = { pid: identity.pid, startTicks: identity.startTicks + 1 };
  assert.equal(isAlive(identity), true);
  assert.equal(isAlive(other), false);
  await endProcesses([other], 1_000);
  assert.equal(isAlive(identity), true);
  await endProcesses([identity], 1_000);
  assert.equal(isAlive(identity), false);
  assert.deepEqual(await ended, [null, 'SIGTERM']);
});

test('a process that ignores SIGTERM is killed', async () => {
  const child = spawn('sh', ['-c', 'trap "" TERM; echo ready; while :; do sleep 1; done'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(child, 'exit');
  await once(child.stdout, 'data');
  await endProcesses([identify(child.pid!)!], 50);
  assert.deepEqual(await ended, [null, 'SIGKILL']);
});
