/**
 * Pods by containerd's CRI on two hosts, as under a kubelet, with the plugin and the agents of a lab.
 *
 * Here the runtime tells the plugin of namespace and name of the pod and of annotations, and calls DEL twice: when the sandbox is
 * stopped, and again, without its namespace, when it is removed.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { run } from '../two-hosts-fixture.ts';
import { ContainerdHost } from './containerd-host.ts';
import type { Pod, Sandbox } from './cri-client.ts';
import { CriClient } from './cri-client.ts';
import { fetchCommand, inParallel, RuntimeLab } from './runtime-lab.ts';

const lab = new RuntimeLab();
const HOSTS = ['host-a', 'host-b'] as const;
const hosts = new Map(HOSTS.map((name) => [name, new ContainerdHost(lab, name, { ownProcesses: true })]));
const clients = new Map<string, CriClient>();

function client(host: string): CriClient {
  const found = clients.get(host);
  assert.ok(found !== undefined);
  return found;
}

/** The sandboxes that are there, with their hosts. */
const sandboxes = new Map<string, string>();

async function start(host: string, pod: Pod): Promise<Sandbox> {
  const sandbox = await client(host).run(pod);
  sandboxes.set(sandbox.id, host);
  return sandbox;
}

async function remove(id: string): Promise<void> {
  const host = sandboxes.get(id) ?? '';
  await client(host).remove(id);
  sandboxes.delete(id);
}

/** Whether a pod gets the web page at an address. */
function gets({ netns }: Sandbox, address: string, port = 80): boolean {
  return run('nsenter', [`--net=${netns}`, 'sh', '-c', fetchCommand(address, port)]).code === 0;
}

describe("containerd's CRI", () => {
  before(async () => {
    await lab.start();
    await Promise.all([...hosts.values()].map((host) => host.start()));
    for (const [name, host] of hosts) {
      host.importSandboxImage();
      clients.set(name, new CriClient(host.socket, host.host.cgroup));
    }
  });
  after(async () => {
    for (const each of clients.values()) each.close();
    await Promise.all([...hosts.values()].map((host) => host.stop()));
    lab.down();
  });
  afterEach(async (context) => {
    lab.dumpAfterFailure(context);
    for (const [id, host] of sandboxes) {
      await client(host).stop(id);
      await remove(id);
    }
  });

  it('finds the network ready, and gives pods addresses that reach each other across hosts', async () => {
    for (const host of HOSTS) assert.deepEqual(await client(host).networkReady(), { ready: true, message: '' });
    const web = await start('host-a', { namespace: 'shop', name: 'web' });
    const cart = await start('host-b', { namespace: 'shop', name: 'cart', labels: { app: 'cart' } });
    assert.ok(gets(cart, web.address));
    assert.ok(gets(web, cart.address));
    const { metadata, spec } = await lab.endpointAt(cart.address);
    assert.equal(metadata.namespace, 'shop');
    assert.equal(spec.pod, 'cart');
    assert.equal(spec.containerID, cart.id);
    assert.equal(metadata.labels?.['app'], 'cart');
  });

  it('maps ports of the host', async () => {
    await start('host-a', { namespace: 'shop', name: 'web', ports: [{ host: 8080, container: 80 }] });
    const other = await start('host-b', { namespace: 'shop', name: 'cart' });
    assert.ok(gets(other, '192.168.100.100', 8080));
  });

  it('detaches at the first DEL, and has nothing against the second', async () => {
    const { id } = await start('host-a', { namespace: 'shop', name: 'web' });
    await client('host-a').stop(id);
    await lab.nothingLeft();
    await remove(id);
  });

  it('runs and removes 30 pods in parallel, of which nothing is left', async () => {
    const pods = Array.from({ length: 30 }, (_, index) => ({
      host: HOSTS[index % 2] ?? 'host-a',
      name: `pod-${index}`,
    }));
    const made: { host: string; sandbox: Sandbox }[] = [];
    await inParallel(pods, 8, async ({ host, name }) => {
      made.push({ host, sandbox: await start(host, { namespace: 'shop', name }) });
    });
    assert.equal(new Set(made.map(({ sandbox }) => sandbox.address)).size, 30);
    await inParallel(made, 8, async ({ host, sandbox }) => {
      await client(host).stop(sandbox.id);
      await remove(sandbox.id);
      assert.ok(!existsSync(sandbox.netns), sandbox.netns);
    });
    await lab.nothingLeft();
  });
});
