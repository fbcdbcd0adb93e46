/**
 * Two hosts, a real kernel and real BGP, as a user sees them.
 *
 * The lab is brought up once; each test leaves it as it found it. What is claimed here is what the README claims: the exact
 * routes, a gateway that answers though no device has it, a restart that nobody notices, and repair of what was broken.
 */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { MUSLIN, run, TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab();
const TO_B = '172.17.9.0/24 via 192.168.100.101 dev eth0 proto bird onlink';

/** What a restart must not change: routes of both families, rules, devices and their settings. */
function kernelState(host: string): Record<string, string> {
  return {
    routes: lab.inside(host, 'ip', 'route', 'show', 'table', 'all'),
    routes6: lab.inside(host, 'ip', '-6', 'route', 'show', 'table', 'all'),
    proxies: lab.routes(host, 'neigh', 'show', 'proxy').join('\n'), // the kernel lists them in no order
    links: lab.inside(host, 'ip', '-d', 'link'),
    rules: lab.rules(host),
    forwarding: lab.inside(
      host,
      'sysctl',
      '-a',
      '--pattern',
      '^net.ipv[46].conf.(all|cali.*)\\.(forwarding|rp_filter|accept_ra)$',
    ),
  };
}

/** Sends pings until told to stop, and gives how many were sent and answered. */
function startPings(from: string, to: string): { stop(): Promise<{ sent: number; received: number }> } {
  const ping = lab.spawnInside(from, 'ping', '-i', '0.02', '-W', '1', to);
  let output = '';
  ping.stdout?.on('data', (chunk) => {
    output += chunk;
  });
  const ended = new Promise((resolve) => ping.once('close', resolve));
  return {
    stop: async () => {
      ping.kill('SIGINT'); // then it prints its statistics
      await ended;
      const match = /(\d+) packets transmitted, (\d+) received/.exec(output);
      assert.ok(match, output);
      return { sent: Number(match[1]), received: Number(match[2]) };
    },
  };
}

/** The host's end of a container's veth. */
function deviceOf(host: string, address: string): string {
  const match = new RegExp(`^${address} dev (cali\\w+) scope link$`).exec(
    lab.routes(host).find((line) => line.startsWith(`${address} `)) ?? '',
  );
  assert.ok(match?.[1], `no route to ${address} on ${host}:\n${lab.routes(host).join('\n')}`);
  return match[1];
}

async function sessionsEstablished(): Promise<void> {
  await lab.eventually('both sessions are established', () => {
    const states = lab.status().hosts.map(({ sessions }) => sessions.map(({ state }) => state).join());
    return states.every((state) => state === 'Established');
  });
}

describe('two hosts', () => {
  before(() => lab.up());
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('route to each other by BGP, and to their own containers by device', () => {
    assert.ok(lab.routes('host-a').includes(TO_B), lab.routes('host-a').join('\n'));
    assert.ok(lab.routes('host-b').includes('172.17.8.0/24 via 192.168.100.100 dev eth0 proto bird onlink'));
    assert.ok(lab.routes('host-a').includes('blackhole 172.17.8.0/24 proto bird'));
    deviceOf('host-a', '172.17.8.2');
    deviceOf('host-b', '172.17.9.3');
  });

  it('give a container two link-local routes and one neighbour, and no device has the gateway', () => {
    assert.deepEqual(lab.routes('a1'), ['169.254.1.1 dev eth0 scope link', 'default via 169.254.1.1 dev eth0']);
    assert.match(lab.inside('a1', 'ip', 'neigh', 'show', '169.254.1.1'), /lladdr ee:ee:ee:ee:ee:ee/);
    assert.match(lab.inside('a1', 'ip', '-4', '-o', 'addr', 'show', 'eth0'), /172\.17\.8\.2\/32/);
    for (const host of ['host-a', 'host-b']) assert.ok(!lab.inside(host, 'ip', 'addr').includes('169.254.1.1'));
    assert.match(lab.inside('host-a', 'ip', 'link', 'show', deviceOf('host-a', '172.17.8.2')), /ee:ee:ee:ee:ee:ee/);
  });

  it('answer for the gateway by themselves, without a default route on the host', () => {
    assert.equal(lab.inside('host-a', 'ip', 'route', 'show', 'default'), '');
    lab.inside('a1', 'ip', 'neigh', 'del', '169.254.1.1', 'dev', 'eth0');
    lab.inside('a1', 'ping', '-c', '1', '-W', '5', '172.17.9.2');
    assert.match(lab.inside('a1', 'ip', 'neigh', 'show', '169.254.1.1'), /lladdr ee:ee:ee:ee:ee:ee/);
    assert.doesNotMatch(lab.inside('a1', 'ip', 'neigh', 'show', '169.254.1.1'), /PERMANENT/);
  });

  it('let every container reach every other, and none forge its address', () => {
    const containers = { a1: '172.17.8.2', a2: '172.17.8.3', b1: '172.17.9.2', b2: '172.17.9.3' };
    for (const from of Object.keys(containers)) {
      for (const to of Object.values(containers)) lab.inside(from, 'ping', '-c', '1', '-W', '5', to);
    }
    lab.inside('a1', 'ip', 'addr', 'add', '172.17.8.77/32', 'dev', 'eth0');
    assert.notEqual(lab.tryInside('a1', 'ping', '-c', '1', '-W', '1', '-I', '172.17.8.77', '172.17.9.2').code, 0);
    lab.inside('a1', 'ip', 'addr', 'del', '172.17.8.77/32', 'dev', 'eth0');
  });

  it('forward on while an agent is killed and started again: nothing changes, no ping is lost', async () => {
    await sessionsEstablished();
    const earlier = { a: kernelState('host-a'), b: kernelState('host-b') };
    const monitor = lab.spawnInside('host-b', 'ip', 'monitor', 'route');
    let changes = '';
    monitor.stdout?.on('data', (chunk) => {
      changes += chunk;
    });
    const pings = [startPings('a1', '172.17.9.2'), startPings('b2', '172.17.8.3')];
    await lab.killAgent('host-a');
    await lab.eventually('host-b has noticed, and keeps the routes', () => {
      const peers = lab.muslin(
        'bgp',
        'peers',
        '-o',
        'json',
        '--socket',
        `/run/muslin/lab/${lab.name}/host-b/agent.sock`,
      );
      const [peer] = JSON.parse(peers.stdout) as { state: string; stale: boolean }[];
      return peer?.state !== 'Established' && peer?.stale === true;
    });
    lab.restart('host-a');
    await sessionsEstablished();
    for (const ping of pings) {
      const { sent, received } = await ping.stop();
      assert.ok(sent > 10, `only ${sent} pings`);
      assert.equal(received, sent);
    }
    monitor.kill();
    assert.equal(changes, '', 'no route of the other host came or went');
    assert.deepEqual({ a: kernelState('host-a'), b: kernelState('host-b') }, earlier);
  });

  it('repair at the start what was broken meanwhile, and leave alone what is not theirs', async () => {
    const earlier = kernelState('host-a');
    const device = deviceOf('host-a', '172.17.8.3');
    await lab.killAgent('host-a');
    const wrong = [
      'ip route del 172.17.8.2',
      'ip route replace 172.17.9.0/24 via 192.168.100.7 dev eth0 onlink',
      `ip route add 172.17.8.99 dev ${device}`,
      'ip route add 172.17.44.0/24 via 192.168.100.101 dev eth0 proto bird onlink',
      'sysctl -w net.ipv4.ip_forward=0',
      `ip neigh del proxy 169.254.1.1 dev ${device}`,
      `nft delete element inet muslin cali-from-wl { ${device} }`,
      'nft flush chain inet muslin cali-FORWARD',
    ];
    const foreign = [
      'ip route add 10.99.0.0/16 via 192.168.100.101 dev eth0',
      'ip route add 10.98.0.0/16 via 192.168.100.101 dev eth0 proto static metric 7',
      'ip route add 172.17.9.0/24 via 192.168.100.101 dev eth0 metric 50',
      'ip route add 172.17.45.0/24 via 192.168.100.101 dev eth0 proto bird table 77',
      'nft add table inet others',
      'nft add chain inet others theirs',
      'nft add rule inet others theirs counter drop',
    ];
    for (const command of [...wrong, ...foreign]) lab.inside('host-a', 'sh', '-c', command);
    const foreignState = () => [
      ...lab.routes('host-a').filter((line) => /^10\.|metric 50/.test(line)),
      ...lab.routes('host-a', 'route', 'show', 'table', '77'),
      lab.inside('host-a', 'nft', 'list', 'table', 'inet', 'others'),
    ];
    const theirs = foreignState();
    assert.equal(theirs.length, 5);
    lab.restart('host-a');
    await sessionsEstablished();
    await lab.eventually(
      'what was learnt and not confirmed is gone',
      () => !lab.routes('host-a').join().includes('172.17.44'),
    );
    assert.deepEqual(foreignState(), theirs);
    for (const command of [
      'ip route del 10.99.0.0/16',
      'ip route del 10.98.0.0/16',
      'ip route del 172.17.9.0/24 metric 50',
      'ip route flush table 77',
      'nft delete table inet others',
    ]) {
      lab.inside('host-a', 'sh', '-c', command);
    }
    assert.deepEqual(kernelState('host-a'), earlier);
  });

  it('put a route back that somebody removes, and remove one that somebody adds on a container, while running', async () => {
    const device = deviceOf('host-a', '172.17.8.2');
    lab.inside('host-a', 'ip', 'route', 'del', '172.17.9.0/24');
    lab.inside('host-a', 'ip', 'route', 'add', '172.17.8.98', 'dev', device);
    await lab.eventually('the routes are right again', () => {
      const routes = lab.routes('host-a');
      return routes.includes(TO_B) && !routes.some((line) => line.startsWith('172.17.8.98'));
    });
  });

  it('take containers on and let them go, with the address that IPAM gives', async () => {
    const attached = lab.muslin('lab', 'attach', 'a3', '--host', 'host-a', '--lab', lab.name);
    assert.equal(attached.code, 0, attached.stderr);
    lab.inside('a3', 'ping', '-c', '1', '-W', '5', '172.17.9.2');
    assert.match(lab.inside('a3', 'ip', '-4', '-o', 'addr', 'show', 'eth0'), /172\.17\.8\.4\/32/);
    assert.equal(lab.muslin('lab', 'detach', 'a3', '--lab', lab.name).code, 0);
    await lab.eventually(
      'its route is gone',
      () => !lab.routes('host-a').some((line) => line.startsWith('172.17.8.4 ')),
    );
    assert.ok(!existsSync(lab.namespace('a3')));
  });

  it('follow when a pool is no longer exported, and back', async () => {
    const store = ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`];
    const pool = run(MUSLIN, ['get', 'ippool', 'containers', '-o', 'yaml', ...store]);
    assert.equal(pool.code, 0, pool.stderr);
    const shown = pool.stdout.replace(/ *resourceVersion: .*\n/, ''); // it would be stale the second time
    const hidden = shown.replace('disableBGPExport: false', 'disableBGPExport: true');
    assert.match(hidden, /disableBGPExport: true/);
    assert.equal(run(MUSLIN, ['apply', '-f', '-', ...store], hidden).code, 0);
    await lab.eventually('host-a loses the route', () => !lab.routes('host-a').includes(TO_B));
    assert.equal(run(MUSLIN, ['apply', '-f', '-', ...store], shown).code, 0);
    await lab.eventually('host-a has it again', () => lab.routes('host-a').includes(TO_B));
  });

  it('check themselves', () => {
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
  });
});
