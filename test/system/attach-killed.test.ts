/**
 * An agent that dies in the midst of ADD or DEL, at every step there is: what the runtime's DEL leaves is nothing.
 *
 * The runtime is the plugin, called as by one. After the death of the agent it asks for DEL, every other time while there is no
 * agent at all; then the next agent starts. Whatever a container leaves on the host and in the store has to be gone by then: devices, routes, rules,
 * sets, settings, addresses, records, files that wait. The list of steps ends where the call succeeds.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { resourceOfEntry, valueOfResource } from '../../src/model/resource-entry.ts';
import { openStore } from '../../src/store/open-store.ts';
import { type Outcome, run, TestLab } from './two-hosts-fixture.ts';

const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));
const AGENT = fileURLToPath(new URL('./killed-agent.ts', import.meta.url));
const NETNS = `muslin-test-killed-${process.pid}`;
const HOST = 'host-a';
/** Far more than there are: a call that never succeeds is no reason to go on for ever. */
const STEPS_MAX = 100;

const lab = new TestLab();
const runDirectory = `/run/muslin/lab/${lab.name}/${HOST}`;
let agent: ChildProcess | undefined;

/** Starts an agent that dies at that step of that command. */
async function start(command: string, step: number): Promise<void> {
  const node = [process.execPath, '--disable-warning=ExperimentalWarning', AGENT];
  const args = [join(runDirectory, 'agent.yaml'), command, String(step)];
  agent = spawn('nsenter', [`--net=${lab.namespace(HOST)}`, ...node, ...args], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await lab.eventually('the agent takes containers', () => call('STATUS').code === 0);
}

async function ended(): Promise<void> {
  if (agent === undefined || agent.exitCode !== null || agent.signalCode !== null) return;
  await once(agent, 'exit');
}

async function stop(): Promise<void> {
  agent?.kill('SIGTERM');
  await ended();
  agent = undefined;
}

function call(command: string): Outcome {
  const configuration = {
    ...{ cniVersion: '1.1.0', name: 'test-net', type: 'muslin', ipam: { type: 'muslin' } },
    agentSocket: join(runDirectory, 'cni.sock'),
    labels: { app: 'web' },
  };
  const environment = [
    ...[`CNI_COMMAND=${command}`, 'CNI_CONTAINERID=killed1', 'CNI_IFNAME=eth0', 'CNI_PATH=/opt/cni/bin'],
    `CNI_NETNS=/run/netns/${NETNS}`,
    'CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
  ];
  return run('env', [...environment, PLUGIN], JSON.stringify(configuration));
}

/** Everything on the host and in the store, but for what says when something was, and in which order addresses were freed. */
async function everything(): Promise<string> {
  const store = await openStore(`sqlite:///run/muslin/lab/${lab.name}/store.db`);
  const { entries } = await store.list('/resources/');
  await store.close();
  const stored = entries.map((entry) => {
    const reading = resourceOfEntry(entry);
    assert.ok(reading.ok, entry.key);
    const { resource } = reading;
    if (resource.kind !== 'IPAMBlock') return `${entry.key} ${JSON.stringify(valueOfResource(resource))}`;
    return `${entry.key} ${JSON.stringify({ ...resource.spec, unallocated: resource.spec.unallocated.toSorted() })}`;
  });
  const inside = (...command: string[]) => lab.inside(HOST, ...command).replaceAll(/ +$/gm, '');
  return [
    inside('ip', '-br', 'link'),
    inside('ip', 'route'),
    inside('ip', 'neigh', 'show', 'proxy'),
    sorted(inside('nft', '-s', 'list', 'ruleset')),
    run('ip', ['-n', NETNS, '-br', 'link']).stdout,
    ...stored,
    `waiting: ${readdirSync(join(runDirectory, 'detach'))}`,
  ].join('\n');
}

/** Hash tables list their elements in an order of their own, and chains come in the order in which they were made. */
function sorted(ruleset: string): string {
  return ruleset
    .split(/\n(?=\t(?:chain|map|set) )/)
    .map((part) =>
      part
        .replaceAll(/[{},]/g, ' ')
        .split(/\s*\n\s*|\s{2,}/)
        .filter(Boolean),
    )
    .map((words) => (words[0]?.startsWith('chain') ? words.join('\n') : words.sort().join('\n')))
    .sort()
    .join('\n');
}

describe('an agent that is killed', () => {
  before(async () => {
    lab.up();
    assert.equal(run('ip', ['netns', 'add', NETNS]).code, 0);
    await lab.killAgent(HOST);
    // Once there and back, so that what every container shares is there: profiles, a place for what waits.
    await start('none', 0);
    assert.equal(call('ADD').code, 0);
    assert.equal(call('DEL').code, 0);
    await stop();
  });
  after(async () => {
    await stop();
    run('ip', ['netns', 'del', NETNS]);
    lab.down();
    rmSync(lab.directory, { recursive: true, force: true });
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  it('at any step of ADD leaves nothing after DEL, with an agent or without', async (context) => {
    let baseline: string | undefined;
    let isAttached = false;
    for (let step = 1; !isAttached; step++) {
      assert.ok(step <= STEPS_MAX, `ADD has not succeeded in ${STEPS_MAX} steps`);
      await start('ADD', step);
      if (step > 1 && step % 2 === 1) assert.equal(call('DEL').code, 0, `DEL, with an agent, after step ${step - 1}`);
      baseline = await likeBefore(baseline, step);
      const added = call('ADD');
      isAttached = added.code === 0;
      if (isAttached) context.diagnostic(`${step - 1} steps`);
      else {
        assert.equal(JSON.parse(added.stdout).code, 11, added.stdout);
        await ended();
        assert.equal(agent?.signalCode ?? agent?.exitCode, agentDeath(), 'it has died');
        if (step % 2 === 1) assert.equal(call('DEL').code, 0, `DEL, without an agent, at step ${step}`);
      }
    }
    assert.equal(call('DEL').code, 0);
    await stop();
  });

  it('at any step of DEL has the next one finish it, and the runtime need not ask again', async (context) => {
    let baseline: string | undefined;
    let isDetached = false;
    for (let step = 1; !isDetached; step++) {
      assert.ok(step <= STEPS_MAX, `DEL has not succeeded in ${STEPS_MAX} steps`);
      await start('DEL', step);
      baseline = await likeBefore(baseline, step);
      assert.equal(call('ADD').code, 0);
      assert.equal(call('DEL').code, 0, `DEL at step ${step}`);
      // A step may come after the answer, when Felix follows.
      await lab.eventually('all is done, or the agent has died', async () => {
        isDetached = agent?.exitCode === null && agent.signalCode === null && (await everything()) === baseline;
        return isDetached || agent?.exitCode !== null || agent.signalCode !== null;
      });
      if (isDetached) context.diagnostic(`${step - 1} steps`);
    }
    await stop();
  });
});

/** nsenter ends as its program does: by the same signal. */
function agentDeath(): string {
  return 'SIGKILL';
}

/** Waits until the host is as it was at first: nothing is left of the step before. At first it only has to be at rest. */
async function likeBefore(baseline: string | undefined, step: number): Promise<string> {
  if (baseline === undefined) return settled();
  await lab.eventually(`nothing is left of step ${step - 1}`, async () => {
    assert.equal(await everything(), baseline);
    return true;
  });
  return baseline;
}

/** What the host is like when nothing changes any more. */
async function settled(): Promise<string> {
  let last = '';
  await lab.eventually('the host is at rest', async () => {
    const now = await everything();
    const isSame = now === last;
    last = now;
    return isSame;
  });
  return last;
}
