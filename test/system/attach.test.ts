/**
 * The CNI plugin against a live agent: what it answers, and that a failed ADD leaves nothing behind.
 *
 * The plugin is executed as a runtime does it, environment and stdin, in namespaces that the test makes. After each
 * refusal the host has the same devices, the store the same endpoints and handles, as before.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { resourceTitle } from '../../src/model/resource.ts';
import { resourceOfEntry } from '../../src/model/resource-entry.ts';
import { openStore } from '../../src/store/open-store.ts';
import type { Outcome } from './two-hosts-fixture.ts';
import { MUSLIN, run, TestLab } from './two-hosts-fixture.ts';

const PLUGIN = fileURLToPath(new URL('../../build/cni/muslin', import.meta.url));
const lab = new TestLab();
const NETNS = `muslin-test-attach-${process.pid}`;

interface Call {
  readonly command?: string;
  readonly container?: string;
  readonly netns?: string;
  readonly interfaceName?: string;
  readonly configuration?: object | string;
  readonly args?: string;
}

function call(request: Call): Outcome {
  const { environment, input } = callOf(request);
  return run('env', [...environment, PLUGIN], input);
}

/** As `call`, while others are on their way. */
async function callAside(request: Call): Promise<Outcome> {
  const { environment, input } = callOf(request);
  const child = spawn('env', [...environment, PLUGIN], { stdio: ['pipe', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  child.stdin.end(input);
  const chunks = await child.stdout.setEncoding('utf8').toArray();
  const [code] = await ended;
  return { code: Number(code), stdout: chunks.join(''), stderr: '' };
}

function callOf({
  command = 'ADD',
  container = 'test1',
  netns = `/run/netns/${NETNS}`,
  interfaceName = 'eth0',
  configuration = {},
  args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=cart',
}: Call): { readonly environment: readonly string[]; readonly input: string } {
  const agentSocket = `/run/muslin/lab/${lab.name}/host-a/cni.sock`;
  const whole = { cniVersion: '1.0.0', name: 'test-net', type: 'muslin', agentSocket, ipam: { type: 'muslin' } };
  const input = typeof configuration === 'string' ? configuration : JSON.stringify({ ...whole, ...configuration });
  const environment = [
    `CNI_COMMAND=${command}`,
    `CNI_CONTAINERID=${container}`,
    `CNI_NETNS=${netns}`,
    `CNI_IFNAME=${interfaceName}`,
    'CNI_PATH=/opt/cni/bin',
    `CNI_ARGS=${args}`,
  ];
  return { environment, input };
}

/** Everything that an ADD makes, on the host and in the store. */
async function traces(): Promise<string> {
  const devices = lab.inside('host-a', 'ip', '-br', 'link').replaceAll(/ +$/gm, '');
  return [devices, lab.inside('host-a', 'ip', 'route'), ...(await stored())].join('\n');
}

async function stored(): Promise<string[]> {
  const store = await openStore(`sqlite:///run/muslin/lab/${lab.name}/store.db`);
  const { entries } = await store.list('/resources/');
  await store.close();
  return entries
    .flatMap((entry) => {
      const reading = resourceOfEntry(entry);
      assert.ok(reading.ok, entry.key);
      return reading.resource;
    })
    .filter(({ kind }) => ['WorkloadEndpoint', 'IPAMHandle', 'IPAMBlock'].includes(kind))
    .map((resource) => {
      // A block remembers in which order its addresses were freed; who has which is what counts.
      const allocations = resource.kind === 'IPAMBlock' ? resource.spec.allocations : [];
      const used = allocations.flatMap((attribute, ordinal) => (attribute === null ? [] : [ordinal]));
      return `${resourceTitle(resource)} ${used}`;
    });
}

describe('the CNI plugin', () => {
  before(() => {
    lab.up();
    assert.equal(run('ip', ['netns', 'add', NETNS]).code, 0);
  });
  after(() => {
    run('ip', ['netns', 'del', NETNS]);
    lab.down();
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  const REFUSALS: { name: string; call: Call; code: number; says: RegExp }[] = [
    {
      name: 'a namespace that does not exist',
      call: { netns: '/run/netns/nowhere' },
      code: 999,
      says: /\/run\/netns\/nowhere/,
    },
    {
      name: 'a path that is no namespace',
      call: { netns: '/etc/hostname' },
      code: 999,
      says: /\/etc\/hostname.*not a network namespace/,
    },
    { name: 'an interface that is there already', call: { interfaceName: 'lo' }, code: 999, says: /lo exists already/ },
    {
      name: 'an interface name over 15 characters',
      call: { interfaceName: 'eth0123456789abcd' },
      code: 4,
      says: /CNI_IFNAME: "eth0123456789abcd" cannot name an interface: 1 to 15 printable/,
    },
    {
      name: 'an address outside all pools',
      call: { configuration: { runtimeConfig: { ips: ['10.1.1.1/32'] } } },
      code: 999,
      says: /10\.1\.1\.1 is in no enabled pool.*172\.17\.8\.0\/23/,
    },
    {
      name: 'an address that is taken',
      call: { configuration: { runtimeConfig: { ips: ['172.17.8.2/32'] } } },
      code: 999,
      says: /172\.17\.8\.2/,
    },
    {
      name: 'a pool that does not exist',
      call: { configuration: { ipam: { type: 'muslin', ipv4_pools: ['nopool'] } } },
      code: 999,
      says: /nopool/,
    },
    {
      name: 'IPv6 where no pool has it',
      call: { configuration: { ipam: { type: 'muslin', assign_ipv6: 'true' } } },
      code: 999,
      says: /IPv6/,
    },
    {
      name: 'a configuration that is not JSON',
      call: { configuration: '{"cniVersion": "1.0.0", ' },
      code: 6,
      says: /JSON/,
    },
    {
      name: 'a version that nobody speaks',
      call: { configuration: { cniVersion: '9.9.9' } },
      code: 1,
      says: /9\.9\.9/,
    },
    {
      name: 'an MTU that cannot be',
      call: { configuration: { mtu: 12 } },
      code: 7,
      says: /mtu: 12 is not a number from 1280 to 65535/,
    },
    {
      name: 'a configuration over 1 MiB',
      call: { configuration: { filler: 'x'.repeat(1 << 20) } },
      code: 6,
      says: /the network configuration is too long at most 1 MiB/,
    },
    {
      name: 'arguments that go on and on',
      call: { args: `${'x'.repeat(100_000)}=1` },
      code: 4,
      says: /^CNI_ARGS: x{200} is not known; IgnoreUnknown=1 would let it pass $/,
    },
    {
      name: 'arguments that are none',
      call: { args: ';;;=;x' },
      code: 4,
      says: /CNI_ARGS: "=" is not KEY=VALUE/,
    },
    {
      name: 'a label that cannot be',
      call: { configuration: { labels: { app: 'a b' } } },
      code: 7,
      says: /labels: app: "a b" is not a label value/,
    },
    {
      name: 'a namespace in which a pod may not be',
      call: { args: 'K8S_POD_NAMESPACE=../x;K8S_POD_NAME=cart' },
      code: 4,
      says: /K8S_POD_NAMESPACE: "\.\.\/x"/,
    },
    {
      name: 'the namespace of the host itself',
      call: { netns: `/run/netns/muslin-${lab.name}-host-a`, interfaceName: 'eth7' },
      code: 8,
      says: /CNI_NETNS: .*-host-a is the host's own network namespace; a container has another one/,
    },
    { name: 'a command that does not exist', call: { command: 'FROB' }, code: 4, says: /CNI_COMMAND: "FROB"/ },
  ];
  for (const { name, call: request, code, says } of REFUSALS) {
    it(`refuses ${name}, and nothing is left`, async () => {
      const earlier = await traces();
      const socket = `"agentSocket": "/run/muslin/lab/${lab.name}/host-a/cni.sock"`;
      const configuration =
        typeof request.configuration === 'string'
          ? `{${socket}, ${request.configuration.slice(1)}`
          : request.configuration;
      const outcome = call(configuration === undefined ? request : { ...request, configuration });
      assert.equal(outcome.code, 1, outcome.stdout);
      const answer = JSON.parse(outcome.stdout);
      assert.equal(answer.code, code, outcome.stdout);
      assert.match(`${answer.msg} ${answer.details}`, says);
      assert.equal(await traces(), earlier);
      assert.ok(!run('ip', ['-n', NETNS, '-br', 'link']).stdout.includes('eth0'));
    });
  }

  it('refuses the same ADD at the same moment, and the first one is unharmed', async () => {
    const earlier = await traces();
    const all = await Promise.all(Array.from({ length: 6 }, () => callAside({ container: 'twice' })));
    const [good, bad] = [all.filter(({ code }) => code === 0), all.filter(({ code }) => code !== 0)];
    assert.equal(good.length, 1, JSON.stringify(all));
    // Who comes while it is being done may try again; who comes after it hears that it is done.
    for (const { stdout } of bad)
      assert.match(stdout, /being attached at this moment; try again later|is attached already|exists already/);
    const result = JSON.parse(good[0]!.stdout);
    assert.equal(call({ command: 'CHECK', container: 'twice', configuration: { prevResult: result } }).code, 0);
    assert.equal(call({ command: 'DEL', container: 'twice' }).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });

  it('attaches, checks, refuses a second time, detaches, and detaches what is gone', async () => {
    const earlier = await traces();
    const added = call({});
    assert.equal(added.code, 0, added.stdout);
    const result = JSON.parse(added.stdout);
    const [{ address }] = result.ips;
    assert.match(address, /^172\.17\.8\.\d+\/32$/);
    assert.match(result.interfaces[0].name, /^cali/);
    assert.deepEqual(result.routes, [{ dst: '0.0.0.0/0', gw: '169.254.1.1' }]);
    assert.equal(call({ command: 'CHECK', configuration: { prevResult: result } }).code, 0);
    assert.ok((await stored()).includes('WorkloadEndpoint shop/host--a-cni-test1-eth0 '));

    const again = call({});
    assert.equal(JSON.parse(again.stdout).code, 999);
    assert.equal(
      call({ command: 'CHECK', configuration: { prevResult: result } }).code,
      0,
      'the first one is unharmed',
    );

    assert.equal(call({ command: 'DEL' }).code, 0);
    await lab.eventually(
      'its route is gone',
      () =>
        !lab
          .routes('host-a')
          .join()
          .includes(`${address.slice(0, -3)} dev`),
    );
    assert.equal(await traces(), earlier);
    assert.equal(call({ command: 'DEL' }).code, 0);
    assert.equal(call({ command: 'DEL', netns: '' }).code, 0);
    assert.notEqual(call({ command: 'CHECK', configuration: { prevResult: result } }).code, 0);
  });

  it('says of an exhausted pool which it is, how full, and by whom', async () => {
    const pool = {
      ...{ apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'tiny' } },
      spec: { cidr: '10.91.0.0/30', blockSize: 30, assignmentMode: 'Manual' },
    };
    const store = ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`];
    assert.equal(run(MUSLIN, ['apply', '-f', '-', ...store], JSON.stringify(pool)).code, 0);
    const configuration = { ipam: { type: 'muslin', ipv4_pools: ['tiny'] } };
    const names = ['eth0', 'eth1', 'eth2', 'eth3'];
    const earlier = await traces();
    for (const interfaceName of names) assert.equal(call({ interfaceName, configuration }).code, 0, interfaceName);
    const full = await traces();
    const refused = JSON.parse(call({ interfaceName: 'eth4', configuration }).stdout);
    assert.equal(refused.code, 999);
    assert.match(
      refused.msg,
      /^no IPv4 address is left for node host-a: tiny \(10\.91\.0\.0\/30\) has 4 of 4 assigned: /,
    );
    assert.match(refused.msg, /: host-a 4 of 4 in 1 block\. Release addresses, or add an IPPool$/);
    assert.equal(await traces(), full);
    const taken = { ...configuration, runtimeConfig: { ips: ['10.91.0.2'] } };
    assert.match(JSON.parse(call({ interfaceName: 'eth4', configuration: taken }).stdout).msg, /10\.91\.0\.2.*cart/);
    assert.equal(await traces(), full);
    for (const interfaceName of names) assert.equal(call({ command: 'DEL', interfaceName }).code, 0);
    assert.equal(run(MUSLIN, ['delete', 'ippool', 'tiny', ...store]).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });

  it('attaches anew a container whose interface somebody has removed, and forgets what was', async () => {
    const earlier = await traces();
    assert.equal(call({}).code, 0);
    assert.equal(run('ip', ['-n', NETNS, 'link', 'del', 'eth0']).code, 0);
    const added = call({});
    assert.equal(added.code, 0, added.stdout);
    const check = { command: 'CHECK', configuration: { prevResult: JSON.parse(added.stdout) } };
    assert.equal(call(check).stdout, '');
    assert.equal((await stored()).filter((line) => line.startsWith('WorkloadEndpoint shop/')).length, 1);
    assert.equal(call({ command: 'DEL' }).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });

  const ODD: readonly Call[] = [
    { container: 'Web_1' },
    { container: 'web.-' },
    { container: 'a'.repeat(100), interfaceName: '012345678901234' },
    { interfaceName: 'eth0!' },
    { interfaceName: '-' },
    { args: 'IgnoreUnknown=1;K8S_POD_NAME=Wéb_1 ' },
  ];
  for (const odd of ODD) {
    it(`attaches and detaches what CNI allows, however odd: ${JSON.stringify(odd)}`, async () => {
      const earlier = await traces();
      const added = call(odd);
      assert.equal(added.code, 0, added.stdout);
      const configuration = { prevResult: JSON.parse(added.stdout) };
      assert.ok((await stored()).length > 0, 'and what it has stored can be read');
      assert.equal(call({ ...odd, command: 'CHECK', configuration }).stdout, '');
      assert.equal(call({ ...odd, command: 'DEL' }).code, 0);
      await lab.eventually('nothing is left', async () => (await traces()) === earlier);
    });
  }

  it('removes by DEL what an agent that was killed during the container’s life left, with the namespace gone', async () => {
    const earlier = await traces();
    const netns = `${NETNS}b`;
    assert.equal(run('ip', ['netns', 'add', netns]).code, 0);
    assert.equal(call({ container: 'test2', netns: `/run/netns/${netns}` }).code, 0);
    await lab.killAgent('host-a');
    assert.equal(run('ip', ['netns', 'del', netns]).code, 0);
    const away = call({ command: 'DEL', container: 'test2', netns: '' });
    assert.deepEqual([away.code, away.stdout], [0, ''], 'without the agent it is left for the one that comes');
    lab.restart('host-a');
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
    assert.equal(call({ command: 'DEL', container: 'test2', netns: '' }).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });

  it('gives a second interface routes of its own, and leaves those of the first alone', async () => {
    const earlier = await traces();
    const routesIn = () => run('ip', ['-n', NETNS, 'route']).stdout.replaceAll(/ +$/gm, '');
    const first = call({});
    assert.equal(first.code, 0, first.stdout);
    const plain = 'default via 169.254.1.1 dev eth0\n169.254.1.1 dev eth0 scope link\n';
    assert.equal(routesIn(), plain);
    const second = call({ interfaceName: 'eth1' });
    assert.equal(second.code, 0, second.stdout);
    assert.match(
      routesIn(),
      /^default via 169\.254\.1\.1 dev eth0$.*^default via 169\.254\.1\.1 dev eth1 metric \d+$/ms,
    );
    const check = { interfaceName: 'eth1', configuration: { prevResult: JSON.parse(second.stdout) } };
    assert.equal(call({ command: 'CHECK', ...check }).code, 0);
    assert.equal(call({ command: 'DEL', interfaceName: 'eth1' }).code, 0);
    assert.equal(routesIn(), plain);
    assert.equal(call({ command: 'CHECK', configuration: { prevResult: JSON.parse(first.stdout) } }).code, 0);
    assert.equal(call({ command: 'DEL' }).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });

  it('collects what the runtime does not name (GC), and says that it is ready (STATUS)', async () => {
    const earlier = await traces();
    const newest = { cniVersion: '1.1.0' };
    assert.equal(call({ command: 'STATUS', configuration: newest }).code, 0);
    assert.equal(call({ container: 'kept' }).code, 0);
    assert.equal(call({ container: 'forgotten', interfaceName: 'eth1' }).code, 0);
    const endpoints = async () => (await stored()).filter((line) => line.startsWith('WorkloadEndpoint shop/'));
    assert.equal((await endpoints()).length, 2);
    const valid = { ...newest, 'cni.dev/valid-attachments': [{ containerID: 'kept', ifname: 'eth0' }] };
    assert.equal(call({ command: 'GC', configuration: { ...valid, name: 'others' } }).code, 0);
    assert.equal((await endpoints()).length, 2, 'of another network nothing goes');
    assert.equal(call({ command: 'GC', configuration: newest }).code, 0);
    assert.equal((await endpoints()).length, 2, 'without a list nothing goes');
    const collected = call({ command: 'GC', configuration: valid });
    assert.equal(collected.code, 0, collected.stdout);
    assert.deepEqual(await endpoints(), ['WorkloadEndpoint shop/host--a-cni-kept-eth0 ']);
    assert.match(run('ip', ['-n', NETNS, '-br', 'link']).stdout, /eth0/);
    assert.doesNotMatch(run('ip', ['-n', NETNS, '-br', 'link']).stdout, /eth1/);
    assert.equal(call({ command: 'DEL', container: 'kept' }).code, 0);
    await lab.eventually('nothing is left', async () => (await traces()) === earlier);
  });
});
