/**
 * Detaching when something is away: the store, the container's namespace, the runtime itself.
 *
 * The runtime is the plugin, called as by one. A store that is away is one that another process keeps locked. What nobody detaches
 * is found by the agent, here with a grace time of a second instead of a quarter of an hour.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { type Outcome, run, TestLab } from './two-hosts-fixture.ts';

const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));
const HOST = 'host-a';
const NETNS = `muslin-test-later-${process.pid}`;

const lab = new TestLab();
const runDirectory = `/run/muslin/lab/${lab.name}/${HOST}`;

function call(command: string, container: string, network = 'test-net'): Outcome {
  const configuration = {
    ...{ cniVersion: '1.0.0', name: network, type: 'muslin', ipam: { type: 'muslin' } },
    agentSocket: join(runDirectory, 'cni.sock'),
  };
  const environment = [
    ...[`CNI_COMMAND=${command}`, `CNI_CONTAINERID=${container}`, 'CNI_IFNAME=eth0', 'CNI_PATH=/opt/cni/bin'],
    `CNI_NETNS=/run/netns/${NETNS}-${container}`,
  ];
  return run('env', [...environment, PLUGIN], JSON.stringify(configuration));
}

function attach(container: string): { readonly address: string; readonly device: string } {
  assert.equal(run('ip', ['netns', 'add', `${NETNS}-${container}`]).code, 0);
  const added = call('ADD', container);
  assert.equal(added.code, 0, added.stdout);
  const { ips, interfaces } = JSON.parse(added.stdout);
  return { address: ips[0].address, device: interfaces[0].name };
}

const isThere = (device: string) => lab.tryInside(HOST, 'ip', 'link', 'show', device).code === 0;
const endpoints = () =>
  lab.muslin('lab', 'exec', HOST, '--lab', lab.name, '--', 'muslin', 'get', 'wep', '-A', '-o', 'json');
const isKnown = (container: string) => endpoints().stdout.includes(`"containerID": "${container}"`);
const waiting = () => readdirSync(join(runDirectory, 'detach'));

describe('detaching', () => {
  before(() => lab.up());
  after(() => {
    for (const name of readdirSync('/run/netns')) if (name.startsWith(NETNS)) run('ip', ['netns', 'del', name]);
    lab.down();
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  it('is taken on while the store is away, and finished when it is back', async () => {
    const { device, address } = attach('away');
    const { device: other } = attach('stays');
    assert.ok(isKnown('away'), endpoints().stdout);
    const locked = new DatabaseSync(`/run/muslin/lab/${lab.name}/store.db`);
    try {
      locked.exec('BEGIN EXCLUSIVE');
      const outcome = call('DEL', 'away');
      assert.deepEqual([outcome.code, outcome.stdout], [0, '']);
      assert.equal(isThere(device), false, 'the interface is gone at once');
      assert.equal(waiting().length, 1);
      assert.equal(call('DEL', 'stays', 'other-net').code, 0, 'of a network that the container is not in');
      assert.equal(isThere(other), true, 'which leaves it alone, now');
      assert.equal(call('DEL', 'away').code, 0, 'asked again');
      const again = call('ADD', 'away');
      assert.equal(JSON.parse(again.stdout).code, 11, 'what cannot be finished cannot be made anew either');
    } finally {
      locked.close();
    }
    await lab.eventually('all of it is gone', () => waiting().length === 0 && !isKnown('away'));
    await lab.eventually(
      'its route, too',
      () =>
        !lab
          .routes(HOST)
          .join()
          .includes(`${address.slice(0, -3)} dev`),
    );
    assert.ok(isThere(other) && isKnown('stays'), 'and later');
    assert.equal(call('ADD', 'away').code, 0, 'and it can be attached again');
    assert.equal(call('DEL', 'away').code, 0);
  });

  it('of an older sandbox leaves a newer one of the same name alone', () => {
    attach('old');
    const { device } = attach('new');
    assert.equal(call('DEL', 'old').code, 0);
    assert.equal(isThere(device), true);
    assert.equal(isKnown('new'), true);
    assert.equal(call('DEL', 'new').code, 0);
  });

  it('makes room by itself when a container comes again after its device has gone without a word', async () => {
    const before = attach('again');
    assert.equal(run('ip', ['netns', 'del', `${NETNS}-again`]).code, 0);
    await lab.eventually('its device is gone', () => !isThere(before.device));
    const { device } = attach('again');
    assert.equal(device, before.device);
    assert.equal(call('DEL', 'again').code, 0);
    assert.equal(isKnown('again'), false);
  });

  it('happens by itself for a container that is gone without a word, after the grace time', async () => {
    const { address } = attach('gone');
    const { device } = attach('remains');
    assert.equal(run('ip', ['netns', 'del', `${NETNS}-gone`]).code, 0);
    const file = join(lab.directory, 'grace.yaml');
    writeFileSync(
      file,
      `apiVersion: projectcalico.org/v3
kind: KubeControllersConfiguration
metadata: { name: default }
spec: { controllers: { node: { leakGracePeriod: 1s } } }
`,
    );
    const applied = lab.muslin('apply', '-f', file, '--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`);
    assert.equal(applied.code, 0, applied.stderr);
    lab.restart(HOST); // or the change would be noticed minutes later
    await lab.eventually('the endpoint is gone', () => !isKnown('gone'));
    const free = () =>
      lab.muslin('ipam', 'explain', address.slice(0, -3), '--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`);
    await lab.eventually('the address is free', () => !free().stdout.includes('test-net.gone'));
    assert.match(
      readFileSync(lab.host(HOST).logFile, 'utf8'),
      /"container":"gone","reason":"its device cali\w+ is gone, .*container is gone without a word/,
    );
    assert.equal(isKnown('remains'), true);
    assert.equal(isThere(device), true);
    assert.equal(existsSync(`/run/netns/${NETNS}-remains`), true);
  });
});
