/**
 * `muslin attach` and `detach` against a live agent: namespaces, processes and virtual machines that are reached, that policy
 * holds for, and of which nothing is left afterwards; and the MTU that they get.
 */
import assert from 'node:assert/strict';
import type { ChildProcess } from 'node:child_process';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readlinkSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { DEFAULT_NETWORK } from '../../src/cli/attach-request.ts';
import type { AttachmentView } from '../../src/cli/attachment-view.ts';
import { resourceTitle } from '../../src/model/resource.ts';
import { resourceOfEntry } from '../../src/model/resource-entry.ts';
import { askCni } from '../../src/node/attach/cni-client.ts';
import { openStore } from '../../src/store/open-store.ts';
import { FrameMachine } from './frame-machine.ts';
import type { Outcome } from './two-hosts-fixture.ts';
import { run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('two-hosts-dual-stack');
const PLACE = `/run/muslin/lab/${lab.name}`;
const NETNS = `muslin-test-command-${process.pid}`;
/** One that goes while it is attached. */
const SHORT_LIVED = `${NETNS}-short`;
const GATEWAY = '169.254.1.1';
const GATEWAY_6 = 'fe80::ecee:eeff:feee:eeee';
const HOST_MAC = 'ee:ee:ee:ee:ee:ee';
const conflict = 4;

function muslin(...words: string[]): Outcome {
  return lab.muslin(...words, '--socket', `${PLACE}/host-a/agent.sock`);
}

function attach(...words: string[]): AttachmentView {
  const outcome = muslin('attach', ...words, '-o', 'json');
  assert.equal(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout);
}

function detach(name: string, ...words: string[]): string {
  const outcome = muslin('detach', '--name', name, ...words);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome.stdout;
}

/** The attachment's address of a family. */
function addressOf({ addresses }: AttachmentView, family: 4 | 6): string {
  return addresses.find(({ address }) => address.includes(':') === (family === 6))?.address ?? '';
}

/** All that an attachment makes: endpoints, addresses that are held, devices, routes. */
async function traces(): Promise<string> {
  const store = await openStore(`sqlite://${PLACE}/store.db`);
  const { entries } = await store.list('/resources/');
  await store.close();
  const resources = entries.flatMap((entry) => {
    const reading = resourceOfEntry(entry);
    return reading.ok ? reading.resource : [];
  });
  const stored = resources.flatMap((resource) => {
    if (resource.kind === 'WorkloadEndpoint' || resource.kind === 'IPAMHandle') return resourceTitle(resource);
    return resource.kind === 'IPAMBlock' ? resource.spec.allocations.filter((each) => each !== null).length : [];
  });
  const devices = JSON.parse(lab.inside('host-a', 'ip', '-j', 'link')).map(({ ifname }: { ifname: string }) => ifname);
  return [...stored, ...devices, ...lab.routes('host-a')].join('\n');
}

function apply(name: string, text: string): void {
  const file = join(lab.directory, name);
  writeFileSync(file, text);
  const outcome = lab.muslin('apply', '-f', file, '--store', `sqlite://${PLACE}/store.db`);
  assert.equal(outcome.code, 0, outcome.stderr);
}

/** A ping from inside of an entity, while this process goes on: it may be what is pinged. */
async function ping(entity: string, address: string): Promise<boolean> {
  const [code] = await once(lab.spawnInside(entity, 'ping', '-c', '1', '-W', '2', address), 'close');
  return code === 0;
}

function startedNamespace(): ChildProcess {
  return spawn('unshare', ['--net', 'sleep', 'infinity'], { stdio: 'ignore' });
}

/** Runs a command ($3 and on) in a container of the machine's own /usr, in the namespace $2; what it writes to /run goes with it. */
const NSPAWN = `
directory=$1 netns=$2
shift 2
touch "$directory/netns"
mount --bind "/run/netns/$netns" "$directory/netns"
mount -t tmpfs none /run
exec systemd-nspawn --quiet --register=no --keep-unit --as-pid2 --console=pipe --directory="$directory/root" \
  --bind-ro=/usr --network-namespace-path="$directory/netns" "$@"
`;

const DENY = `apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: deny, namespace: machines }
spec: { selector: role == 'closed', types: [Ingress], ingress: [] }
`;

function pool(vxlanMode: string): string {
  const spec = `{ cidr: 172.17.8.0/23, blockSize: 24, vxlanMode: ${vxlanMode} }`;
  return `apiVersion: projectcalico.org/v3\nkind: IPPool\nmetadata: { name: containers-ipv4 }\nspec: ${spec}\n`;
}

describe('muslin attach', () => {
  before(() => {
    lab.up();
    assert.equal(run('ip', ['netns', 'add', NETNS]).code, 0);
  });
  after(() => {
    for (const netns of [NETNS, SHORT_LIVED]) run('ip', ['netns', 'del', netns]);
    lab.down();
  });
  afterEach((context) => lab.dumpAfterFailure(context));

  it('connects a namespace by its name, once, and detaches it when it is gone', async () => {
    const earlier = await traces();
    const netns = SHORT_LIVED;
    assert.equal(run('ip', ['netns', 'add', netns]).code, 0);
    const view = attach('--name', 'web', '--netns', netns, '--ipv6', '--label', 'role=web');
    assert.equal(view.netns, `/run/netns/${netns}`);
    const inside = (...command: string[]) => run('ip', ['netns', 'exec', netns, ...command]);
    for (const target of ['172.17.9.2', 'fd00:17:9::2'])
      assert.equal(inside('ping', '-c', '1', '-W', '10', target).code, 0, target);
    for (const family of [4, 6] as const) assert.ok(await ping('b1', addressOf(view, family)));

    for (const more of [[], ['-n', 'shop']]) {
      const again = muslin('attach', '--name', 'web', '--netns', NETNS, ...more);
      assert.equal(again.code, conflict);
      assert.equal(again.stderr, 'muslin: web: eth0 is attached already; to detach it: muslin detach --name web\n');
    }
    const other = muslin('attach', '--name', 'web2', '--netns', netns);
    assert.equal(other.code, conflict);
    assert.match(other.stderr, /^muslin: eth0 exists already in .*; --interface would give it another one\n$/);
    assert.ok(await ping('b1', addressOf(view, 4)), 'the first one is unharmed');
    const second = attach('--name', 'web', '--netns', netns, '--interface', 'eth1');
    assert.notEqual(second.device, view.device);
    assert.match(detach('web', '--interface', 'eth1'), /^web: eth1 is detached/);

    assert.equal(run('ip', ['netns', 'del', netns]).code, 0);
    await lab.eventually('the device has gone with its namespace', async () => !(await traces()).includes(view.device));
    const addresses = `${addressOf(view, 4)}, ${addressOf(view, 6)}`;
    assert.equal(detach('web'), `web: eth0 is detached; ${addresses} free again\n`);
    assert.equal(await traces(), earlier);
    assert.equal(detach('web'), 'web: eth0 was not attached to this host; nothing is left of it\n');
    assert.equal(attach('--name', 'web', '--netns', NETNS, '--network', 'backend').network, 'backend');
    const kept = muslin('detach', '--name', 'web');
    assert.equal(kept.code, conflict);
    assert.match(kept.stderr, /web: eth0 is still attached; if its network is not muslin-attach, write --network/);
    assert.match(detach('web', '--network', 'backend'), /^web: eth0 is detached/);
    assert.equal(await traces(), earlier);
  });

  it('attaches a name anew whose device has gone', async () => {
    const earlier = await traces();
    assert.equal(run('ip', ['netns', 'add', SHORT_LIVED]).code, 0);
    const { device } = attach('--name', 'web', '--netns', SHORT_LIVED);
    assert.equal(run('ip', ['netns', 'del', SHORT_LIVED]).code, 0);
    await lab.eventually('the device has gone with its namespace', async () => !(await traces()).includes(device));
    const again = attach('--name', 'web', '--netns', NETNS);
    assert.equal(again.device, device);
    assert.ok(await ping('b1', addressOf(again, 4)));
    detach('web');
    assert.equal(await traces(), earlier, 'the address of the first one is free, too');
  });

  it('connects the namespace of a process', async () => {
    const earlier = await traces();
    const child = startedNamespace();
    try {
      const own = readlinkSync('/proc/self/ns/net');
      await lab.eventually('it has a namespace', () => readlinkSync(`/proc/${child.pid}/ns/net`) !== own);
      const view = attach(
        '--name',
        'job.1',
        '--pid',
        String(child.pid),
        '--ip',
        '172.17.8.77',
        '--mac',
        '02:00:00:00:00:07',
      );
      assert.deepEqual(view.addresses, [{ address: '172.17.8.77', gateway: GATEWAY }]);
      assert.equal(view.mac, '02:00:00:00:00:07');
      assert.equal(
        run('nsenter', [`--net=/proc/${child.pid}/ns/net`, 'ping', '-c', '1', '-W', '10', '172.17.9.2']).code,
        0,
      );
    } finally {
      child.kill('SIGKILL');
    }
    detach('job.1');
    assert.equal(await traces(), earlier);
  });

  it('connects a container of systemd-nspawn', async () => {
    const earlier = await traces();
    const view = attach('--name', 'machine', '--netns', NETNS);
    const address = addressOf(view, 4);
    const root = join(lab.directory, 'root');
    mkdirSync(join(root, 'usr'), { recursive: true });
    for (const name of ['bin', 'lib', 'lib64']) symlinkSync(join('usr', name), join(root, name));
    const command = ['sh', '-c', `ip -o address show eth0 | grep ${address}/32 && ping -c 1 -W 10 172.17.9.2`];
    const outcome = run('unshare', ['--mount', 'sh', '-eu', '-c', NSPAWN, 'sh', lab.directory, NETNS, ...command]);
    assert.equal(outcome.code, 0, `${outcome.stdout}${outcome.stderr}`);
    detach('machine');
    assert.equal(await traces(), earlier);
  });

  const REFUSED: readonly [words: readonly string[], code: number, says: RegExp][] = [
    [['--netns', '/etc/hostname'], 1, /^muslin: \/etc\/hostname is not a network namespace\n$/],
    [
      ['--netns', lab.namespace('host-a')],
      1,
      /^muslin: \/.* is the host's own network namespace; a container has another one\n$/,
    ],
    [['--netns', NETNS, '--ip', '10.9.9.9'], 1, /^muslin: .*10\.9\.9\.9 is in no enabled pool.*172\.17\.8\.0\/23/],
    [['--netns', NETNS, '--ip', '172.17.8.2'], conflict, /^muslin: .*172\.17\.8\.2/],
    [['--netns', NETNS, '--pool', 'nopool'], 1, /^muslin: .*nopool is no IPv4 pool/],
    [['--tap', '--interface', 'lo', '--pool', 'nopool'], 1, /nopool is no IPv4 pool/],
  ];
  it('refuses what cannot be, each with one line, and leaves nothing', async () => {
    const earlier = await traces();
    for (const [words, code, says] of REFUSED) {
      const outcome = muslin('attach', '--name', 'wrong', ...words);
      assert.match(outcome.stderr, says);
      assert.equal(outcome.code, code, outcome.stderr);
      assert.equal(outcome.stderr.split('\n').length, 2, outcome.stderr);
    }
    assert.equal(await traces(), earlier);
  });

  it('gives a container the MTU that fits through uplink and tunnels, unless it is told another', async () => {
    const mtus = (...words: string[]): string => {
      const view = attach('--name', 'sized', '--netns', NETNS, ...words);
      const links = [
        run('ip', ['-n', NETNS, '-j', 'link', 'show', 'eth0']).stdout,
        lab.inside('host-a', 'ip', '-j', 'link', 'show', view.device),
      ];
      detach('sized');
      return [view.mtu, ...links.map((text) => JSON.parse(text)[0].mtu)].join(' ');
    };
    const uplink = (mtu: number) => lab.inside('host-a', 'ip', 'link', 'set', 'eth0', 'mtu', String(mtu));
    assert.equal(mtus(), '1500 1500 1500');
    assert.equal(mtus('--mtu', '1400'), '1400 1400 1400');
    apply('pool.yaml', pool('Always'));
    await lab.eventually('VXLAN has its share', () => mtus() === '1450 1450 1450');
    uplink(9000);
    await lab.eventually('a larger uplink leaves more', () => mtus() === '8950 8950 8950');
    apply('pool.yaml', pool('Never'));
    await lab.eventually('without VXLAN all of it', () => mtus() === '9000 9000 9000');
    uplink(1500);
    await lab.eventually('as before', () => mtus() === '1500 1500 1500');
  });

  it('connects a virtual machine by a tap device, which outlives machine and agent', async () => {
    const earlier = await traces();
    const view = attach('--name', 'vm1', '--tap', '--ipv6', '-n', 'machines');
    const addresses = view.addresses.map(({ address }) => address);
    const route = `${addressOf(view, 4)} dev ${view.device} scope link`;
    assert.ok(lab.routes('host-a').includes(`${route} linkdown`), 'there is no machine yet');
    const device = () => JSON.parse(lab.inside('host-a', 'ip', '-d', '-j', 'link', 'show', view.device))[0];
    assert.equal(device().address, HOST_MAC);
    const { ifindex } = device();
    assert.ok(lab.host('host-a').inSync);

    const start = () => new FrameMachine(lab.namespace('host-a'), view.device, view.mac, addresses);
    let machine = start();
    try {
      const speaks = async () => {
        await lab.eventually('the gateway answers', () => {
          for (const gateway of [GATEWAY, GATEWAY_6]) machine.ask(gateway);
          return [GATEWAY, GATEWAY_6].every((gateway) => machine.neighbours.get(gateway) === HOST_MAC);
        });
        await lab.eventually('containers of both hosts answer', () => {
          for (const target of ['172.17.8.2', '172.17.9.2']) machine.ping(target, GATEWAY);
          for (const target of ['fd00:17:8::2', 'fd00:17:9::2']) machine.ping(target, GATEWAY_6);
          return new Set(machine.echoReplies).size === 4;
        });
        for (const address of addresses)
          for (const entity of ['a1', 'b1', 'host-a'])
            assert.ok(await ping(entity, address), `${entity} to ${address}`);
      };
      await speaks();
      assert.ok(lab.routes('host-a').includes(route));

      machine.close();
      await lab.eventually('the machine is off', () => lab.routes('host-a').includes(`${route} linkdown`));
      assert.ok(lab.host('host-a').inSync);
      machine = start();
      await speaks();

      await lab.killAgent('host-a');
      lab.restart('host-a');
      await speaks();
      assert.equal(device().ifindex, ifindex, 'the device is the same');
    } finally {
      machine.close();
    }
    assert.match(detach('vm1'), /^vm1: eth0 is detached/);
    assert.equal(await traces(), earlier);
  });

  it('has policy in force for a virtual machine before attach returns, and CHECK knows its device', async () => {
    const earlier = await traces();
    apply('deny.yaml', DENY);
    const view = attach(
      '--name',
      'vm2',
      '--tap',
      '-n',
      'machines',
      '--label',
      'role=closed',
      '--mac',
      '02:00:00:00:00:07',
    );
    assert.equal(view.mac, '02:00:00:00:00:07');
    const address = addressOf(view, 4);
    const machine = new FrameMachine(lab.namespace('host-a'), view.device, view.mac, [address]);
    const check = () => {
      const values = {
        COMMAND: 'CHECK',
        CONTAINERID: 'vm2',
        IFNAME: 'eth0',
        NETNS: '/proc/thread-self/ns/net',
        NETNS_OVERRIDE: '1',
        PATH: '/',
      };
      const environment = new Map(Object.entries(values).map(([name, value]) => [`CNI_${name}`, value]));
      const previous = { ips: [{ address: `${address}/32` }] };
      const network = { cniVersion: '1.1.0', name: DEFAULT_NETWORK, type: 'muslin', tap: true, prevResult: previous };
      return askCni(`${PLACE}/host-a/cni.sock`, environment, network);
    };
    try {
      assert.ok(!(await ping('b1', address)), 'denied from the first packet on');
      assert.equal(machine.echoRequests.length, 0);
      await lab.eventually('the machine itself may send', () => {
        machine.ask(GATEWAY);
        if (machine.neighbours.has(GATEWAY)) machine.ping('172.17.9.2', GATEWAY);
        return machine.echoReplies.length > 0;
      });
      await check();
      const remove = ['delete', 'networkpolicy', 'deny', '-n', 'machines', '--store', `sqlite://${PLACE}/store.db`];
      assert.equal(lab.muslin(...remove).code, 0);
      await lab.eventually('without the policy it is reached', () => ping('b1', address));
      assert.ok(machine.echoRequests.includes('172.17.9.2'));
      lab.inside('host-a', 'ip', 'link', 'del', view.device);
      await assert.rejects(check(), new RegExp(`vm2: device ${view.device} does not exist`));
    } finally {
      machine.close();
    }
    detach('vm2');
    assert.equal(await traces(), earlier);
  });
});
