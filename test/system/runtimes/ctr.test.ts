/**
 * Real containers by `ctr run --cni` on two hosts, with the plugin and the agents of a lab.
 *
 * ctr tells the plugin nothing but a container's id and its namespace by a process's number, and calls DEL only for a container that
 * it has waited for. What it leaves of others is collected by CNI's GC.
 */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { run } from '../two-hosts-fixture.ts';
import { ContainerdHost } from './containerd-host.ts';
import { conflist, inParallel, NETWORK, PLUGIN_DIRECTORY, RuntimeLab } from './runtime-lab.ts';

const lab = new RuntimeLab();
const a = new ContainerdHost(lab, 'host-a', { ownProcesses: false });
const b = new ContainerdHost(lab, 'host-b', { ownProcesses: false });
const HOSTS = [a, b];

/** Calls the plugin with GC on a host, as a runtime with CNI 1.1 does; `valid` are the containers that it knows. */
function collectGarbage(host: string, valid: readonly string[]): void {
  const [plugin] = JSON.parse(conflist(lab, host)).plugins;
  const attachments = valid.map((containerID) => ({ containerID, ifname: 'eth0' }));
  const input = { ...plugin, cniVersion: '1.1.0', name: NETWORK, 'cni.dev/valid-attachments': attachments };
  const environment = ['CNI_COMMAND=GC', `CNI_PATH=${PLUGIN_DIRECTORY}`];
  const outcome = run('env', [...environment, join(PLUGIN_DIRECTORY, 'muslin')], JSON.stringify(input));
  assert.equal(outcome.code, 0, outcome.stdout);
}

async function containerIds(): Promise<(string | undefined)[]> {
  return (await lab.stored('WorkloadEndpoint')).map(({ spec }) => spec.containerID).toSorted();
}

describe('ctr', () => {
  before(async () => {
    await lab.start();
    await Promise.all(HOSTS.map((host) => host.start()));
  });
  after(async () => {
    await Promise.all(HOSTS.map((host) => host.stop()));
    lab.down();
  });
  afterEach((context) => {
    lab.dumpAfterFailure(context);
    for (const host of HOSTS) {
      host.removeContainers('default');
      collectGarbage(host.host.name, []);
    }
  });

  it('has containers that reach each other across hosts by plain routes', () => {
    const [to, from] = [a.serve('a1'), b.serve('b1')];
    assert.ok(b.reaches('b1', to));
    assert.ok(b.gets('b1', to));
    assert.ok(a.gets('a1', from));
    const inside = a.inside('a1', 'ip', 'route').trim().split('\n');
    assert.deepEqual(
      inside.map((line) => line.trim()),
      ['default via 169.254.1.1 dev eth0', '169.254.1.1 dev eth0 scope link'],
    );
    const routes = lab.routes('host-a');
    assert.ok(routes.includes('172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink'), routes.join('\n'));
  });

  it('gives containers their labels, and policy chooses them by these from their first process on', async () => {
    await lab.withPolicies(async () => {
      const db = a.serve('db', '--label', 'app=db', '--label', 'tier=back');
      const web = b.serve('web', '--label', 'app=web');
      b.serve('other');
      assert.deepEqual((await lab.endpointAt(db)).metadata.labels, {
        app: 'db',
        tier: 'back',
        'projectcalico.org/namespace': 'default',
        'projectcalico.org/orchestrator': 'cni',
      });
      assert.ok(b.gets('web', db));
      assert.ok(!b.gets('other', db, 1));
      assert.ok(b.gets('other', web), 'nothing chooses it');
      const ping = ['ping', '-c', '1', '-W', '2', web];
      assert.equal(a.tryCtr(...a.runArguments('free', ['--rm'], ping)).code, 0);
      assert.equal(a.tryCtr(...a.runArguments('locked', ['--rm', '--label', 'app=locked'], ping)).code, 1);
    });
  });

  it('leaves what it detached and did not wait for, until GC is told what there is', async () => {
    a.serve('gone');
    a.serve('stays');
    b.serve('elsewhere');
    a.ctr('task', 'delete', '--force', 'gone');
    a.ctr('container', 'delete', 'gone');
    collectGarbage('host-a', ['default-stays']);
    assert.deepEqual(await containerIds(), ['default-elsewhere', 'default-stays']);
    assert.ok(b.gets('elsewhere', a.address('stays')), 'what is valid is left alone');
    for (const [host, id] of [
      [a, 'stays'],
      [b, 'elsewhere'],
    ] as const) {
      host.ctr('task', 'delete', '--force', id);
      host.ctr('container', 'delete', id);
      collectGarbage(host.host.name, []);
    }
    await lab.nothingLeft();
  });

  it('runs 50 containers in parallel, of which nothing is left', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `c${index}`);
    const command = ['sh', '-c', "ip -o -4 address show eth0 | grep -E 'inet 172.17.[89].[0-9]+/32 '"];
    await inParallel(names, 8, async (name) => {
      const host = Number(name.slice(1)) % 2 === 0 ? a : b;
      const outcome = await host.ctrBeside(...host.runArguments(name, ['--rm'], command));
      assert.equal(outcome.code, 0, outcome.stderr);
    });
    await lab.nothingLeft();
  });
});
