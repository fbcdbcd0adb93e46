/**
 * A container whose policy, settings or route cannot be put in force is not let go: after a bounded wait its runtime is told to try
 * again later, and nothing of it is left.
 *
 * The agent is a real one for which /proc/sys/net is read-only, so that what it does to a new device is refused by the kernel.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { MUSLIN, type Outcome, run, TestLab } from './two-hosts-fixture.ts';

const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));
const HOST = 'host-a';
const NETNS = `muslin-test-waits-${process.pid}`;

const lab = new TestLab();
const runDirectory = `/run/muslin/lab/${lab.name}/${HOST}`;
let agent: ChildProcess | undefined;

function call(command: string): Outcome {
  const configuration = {
    ...{ cniVersion: '1.1.0', name: 'test-net', type: 'muslin', ipam: { type: 'muslin' } },
    agentSocket: join(runDirectory, 'cni.sock'),
  };
  const environment = [
    ...[`CNI_COMMAND=${command}`, 'CNI_CONTAINERID=waits1', 'CNI_IFNAME=eth0', 'CNI_PATH=/opt/cni/bin'],
    `CNI_NETNS=/run/netns/${NETNS}`,
  ];
  return run('env', [...environment, PLUGIN], JSON.stringify(configuration));
}

describe('an ADD that cannot be put in force', () => {
  before(async () => {
    lab.up();
    assert.equal(run('ip', ['netns', 'add', NETNS]).code, 0);
    await lab.killAgent(HOST);
    const script =
      'mount --bind /proc/sys/net /proc/sys/net && mount -o remount,ro,bind /proc/sys/net && exec "$0" node run --config "$1"';
    const unshared = ['unshare', '--mount', 'sh', '-c', script, MUSLIN, join(runDirectory, 'agent.yaml')];
    agent = spawn('nsenter', [`--net=${lab.namespace(HOST)}`, ...unshared], { stdio: 'ignore' });
    await lab.eventually('the agent takes containers', () => call('STATUS').code === 0);
  });
  after(async () => {
    if (agent !== undefined && agent.exitCode === null) {
      agent.kill('SIGTERM');
      await once(agent, 'exit');
    }
    run('ip', ['netns', 'del', NETNS]);
    lab.down();
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  it('is "try again later" with what is missing, and leaves nothing', async () => {
    const links = () => lab.inside(HOST, 'ip', '-br', 'link').replaceAll(/ +$/gm, '');
    const before = links();
    const outcome = call('ADD');
    assert.equal(outcome.code, 1, outcome.stdout);
    const { code, msg } = JSON.parse(outcome.stdout);
    assert.equal(code, 11, outcome.stdout);
    assert.match(msg, /^not in force after 10 s: setting ipv4\/conf\/cali\w+\/\w+: .*EROFS.*; try again later$/);
    assert.equal(links(), before);
    assert.ok(!run('ip', ['-n', NETNS, '-br', 'link']).stdout.includes('eth0'));
    const store = ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`];
    assert.doesNotMatch(lab.muslin('get', 'wep', '-A', '-o', 'name', ...store).stdout, /waits1/);
    assert.equal(call('DEL').code, 0);
  });
});
