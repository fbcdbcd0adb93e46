/**
 * Real containers by podman on two hosts, with the plugin and the agents of a lab, as docs/runtimes.md tells users to.
 *
 * Each test removes its containers. What they must not leave behind is compared as a whole: the kernels, the store, the
 * namespaces, libcni's cache.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { PodmanHost } from './podman-host.ts';
import { fetchCommand, inParallel, RuntimeLab } from './runtime-lab.ts';

const lab = new RuntimeLab();
const a = new PodmanHost(lab, 'host-a');
const b = new PodmanHost(lab, 'host-b');
const HOSTS = [a, b];
const ADDRESS_A = '192.168.100.100';
/** How long to wait for what must not come; what may come is waited for longer. */
const DENIED = { seconds: 1 };

/** Whether a host itself gets the web page. */
function hostGets(host: string, address: string, port: number, seconds = 10): boolean {
  return lab.tryInside(host, 'sh', '-c', fetchCommand(address, port, seconds)).code === 0;
}

function cached(): string[] {
  return HOSTS.flatMap(({ host }) => {
    const results = host.run('sh', '-c', 'mkdir -p /var/lib/cni/results && ls /var/lib/cni/results');
    return results === '' ? [] : results.split('\n');
  });
}

describe('podman', () => {
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
    for (const host of HOSTS) host.podman('rm', '--force', '--all', '--time', '0');
  });

  it('has containers that reach each other, on a host and across hosts, by plain routes', () => {
    const addresses = { a1: a.serve('a1'), a2: a.serve('a2'), b1: b.serve('b1') };
    for (const [host, from] of [
      [a, 'a1'],
      [b, 'b1'],
    ] as const) {
      for (const to of Object.values(addresses)) {
        host.podman('exec', from, 'ping', '-c', '1', '-W', '10', to);
        assert.ok(host.gets(from, to), `${from} to ${to}`);
      }
    }
    const inside = a
      .podman('exec', 'a1', 'ip', 'route')
      .split('\n')
      .map((line) => line.trim());
    assert.deepEqual(inside, ['default via 169.254.1.1 dev eth0', '169.254.1.1 dev eth0 scope link']);
    assert.match(a.podman('exec', 'a1', 'ip', '-o', 'address', 'show', 'eth0'), new RegExp(`inet ${addresses.a1}/32 `));
    const routes = lab.routes('host-a');
    assert.ok(routes.includes('172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink'), routes.join('\n'));
    for (const address of [addresses.a1, addresses.a2]) {
      assert.ok(
        routes.some((line) => new RegExp(`^${address} dev cali\\w{11} scope link$`).test(line)),
        address,
      );
    }
  });

  it('gives containers their labels, and policy chooses them by these', async () => {
    await lab.withPolicies(async () => {
      const unfit = ['not a label=x', 'projectcalico.org/namespace=kube-system'].flatMap((label) => ['--label', label]);
      const db = a.serve('db', '--label', 'app=db', ...unfit);
      const web = b.serve('web', '--label', 'app=web');
      b.serve('other', '--label', 'app=other');
      a.serve('near-web', '--label', 'app=web');
      a.serve('near-other');
      assert.deepEqual((await lab.endpointAt(db)).metadata.labels, {
        app: 'db',
        'projectcalico.org/namespace': 'default',
        'projectcalico.org/orchestrator': 'cni',
      });
      assert.ok(b.gets('web', db));
      assert.ok(a.gets('near-web', db));
      assert.ok(!b.gets('other', db, DENIED));
      assert.ok(!a.gets('near-other', db, DENIED));
      assert.ok(b.gets('other', web), 'nothing chooses it');
      assert.ok(a.gets('db', web), 'only what comes in is chosen');
    });
  });

  it('has policy in force before the first process of a container runs', async () => {
    await lab.withPolicies(() => {
      const ping = ['ping', '-c', '1', '-W', '2', b.serve('b1')];
      assert.equal(a.tryPodman(...a.runArguments(['--rm'], ping)).code, 0);
      assert.equal(a.tryPodman(...a.runArguments(['--rm', '--label', 'app=locked'], ping)).code, 1);
    });
  });

  it('publishes ports: to the other host, its containers, and the host itself; policy holds there as well', async () => {
    const db = a.serve('db', '--publish', '8080:80', '--label', 'app=db');
    b.serve('web', '--label', 'app=web');
    const reached = () => ({
      otherHost: hostGets('host-b', ADDRESS_A, 8080, 2),
      sameHost: hostGets('host-a', ADDRESS_A, 8080),
      loopback: hostGets('host-a', '127.0.0.1', 8080),
      container: b.gets('web', ADDRESS_A, { port: 8080 }),
    });
    assert.deepEqual(reached(), { otherHost: true, sameHost: true, loopback: true, container: true });
    await lab.withPolicies(async () => {
      await lab.eventually('policy is in force', () => !hostGets('host-b', ADDRESS_A, 8080, 1));
      // A host always reaches its own containers, as with Calico.
      assert.deepEqual(reached(), { otherHost: false, sameHost: true, loopback: true, container: true });
    });
    a.podman('rm', '--force', '--time', '0', 'db');
    assert.ok(!hostGets('host-b', ADDRESS_A, 8080, 1));
    await lab.eventually('no rule is left of it', () => {
      const tables = [
        ['inet', 'muslin'],
        ['ip', 'nat'],
      ];
      return tables.every((table) => !lab.inside('host-a', 'nft', 'list', 'table', ...table).includes(db));
    });
  });

  it('gives an address and a MAC that were asked for, and says so when it cannot', () => {
    const options = ['--ip', '172.17.8.77', '--mac-address', '02:00:00:00:00:77'];
    assert.equal(a.serve('fixed', ...options), '172.17.8.77');
    assert.match(a.podman('exec', 'fixed', 'ip', 'link', 'show', 'eth0'), /link\/ether 02:00:00:00:00:77/);
    b.serve('b1');
    assert.ok(b.gets('b1', '172.17.8.77'));
    const refusals: [address: string, says: RegExp][] = [
      ['172.17.8.77', /172\.17\.8\.77/],
      ['10.9.9.9', /10\.9\.9\.9 is in no enabled pool/],
    ];
    for (const [address, says] of refusals) {
      const outcome = a.tryPodman(...a.runArguments(['--detach', '--name', 'refused', '--ip', address]));
      assert.notEqual(outcome.code, 0);
      assert.match(outcome.stderr, says);
      a.podman('rm', '--force', 'refused');
    }
  });

  it('keeps up with containers that are restarted, stopped, started, killed and removed', async () => {
    b.serve('peer');
    const peerOnly = await lab.inStore();
    a.serve('c', '--publish', '8081:80');
    const steps: [name: string, present: boolean, step: () => unknown][] = [
      ['restart', true, () => a.podman('restart', '--time', '0', 'c')],
      ['stop', false, () => a.podman('stop', '--time', '0', 'c')],
      ['start', true, () => a.podman('start', 'c')],
      ['kill -9', false, () => a.host.run('sh', '-c', `kill -9 ${a.inspect('c', '.State.Pid')}`)],
      ['start again', true, () => a.podman('start', 'c')],
      ['rm -f', false, () => a.podman('rm', '--force', '--time', '0', 'c')],
    ];
    for (const [name, present, step] of steps) {
      step();
      if (present) assert.ok(b.gets('peer', a.address('c')), name);
      else {
        await lab.eventually(`nothing is left after ${name}`, async () => {
          assert.deepEqual(await lab.inStore(), peerOnly);
          return true;
        });
      }
    }
    b.podman('rm', '--force', '--time', '0', 'peer');
    await lab.nothingLeft();
  });

  it('forwards on while an agent is killed and started again', async () => {
    const to = b.serve('b1');
    a.serve('a1');
    const netns = `--net=${a.inspect('a1', '.NetworkSettings.SandboxKey')}`;
    const pings = a.host.runBeside('nsenter', netns, 'ping', '-i', '0.02', '-c', '150', '-W', '10', to);
    await lab.killAgent('host-a');
    assert.ok(a.gets('a1', to), 'with no agent');
    lab.restart('host-a');
    assert.match((await pings).stdout, / 150 received, 0% packet loss/);
    a.serve('a2');
    assert.ok(a.gets('a2', to), 'a container of the new agent');
  });

  it('starts and removes 50 containers in parallel, of which nothing is left', async () => {
    const names = Array.from({ length: 50 }, (_, index) => `c${index}`);
    const hostOf = (name: string) => (Number(name.slice(1)) % 2 === 0 ? a : b);
    await inParallel(names, 8, (name) =>
      hostOf(name).podmanBeside(
        ...hostOf(name).runArguments(['--detach', '--name', name, '--label', `number=${name}`]),
      ),
    );
    const endpoints = await lab.stored('WorkloadEndpoint');
    const numbers = endpoints.map(({ metadata }) => metadata.labels?.['number']);
    assert.deepEqual(numbers.toSorted(), names.toSorted(), 'each has the labels of its own');
    assert.equal(new Set(endpoints.flatMap(({ spec }) => spec.ipNetworks)).size, 50);
    assert.equal(cached().length, 50);
    const namespaces = names.map((name) => hostOf(name).inspect(name, '.NetworkSettings.SandboxKey'));
    for (const path of namespaces) assert.ok(existsSync(path), path);
    await inParallel(names, 8, (name) => hostOf(name).podmanBeside('rm', '--force', '--time', '0', name));
    await lab.nothingLeft();
    assert.deepEqual(cached(), []);
    for (const path of namespaces) assert.ok(!existsSync(path), path);
  });
});
