/**
 * Six hosts in a full mesh: a host joins, one is cut off and comes back, one leaves, and the routes of all others follow.
 *
 * What is asserted is where the network ends up. How long it took is measured from what the kernel tells and printed, since a
 * busy machine may take its time; docs/labs/mesh-6.md has the numbers of a quiet one.
 */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, afterEach, before, describe, it } from 'node:test';
import { RouteWatch } from './lab-watch.ts';
import { TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('mesh-6');
const HOSTS = ['host-1', 'host-2', 'host-3', 'host-4', 'host-5', 'host-6'];
const TO_3 = '172.17.3.0/24 via 192.168.100.103 dev eth0 proto bird onlink';
const TO_7 = '172.17.7.0/24 via 192.168.100.107 dev eth0 proto bird onlink';

function muslin(...args: string[]): string {
  const outcome = lab.muslin('lab', ...args, '--lab', lab.name);
  assert.equal(outcome.code, 0, `lab ${args.join(' ')}\n${outcome.stdout}${outcome.stderr}`);
  return outcome.stdout;
}

function sessions(): number {
  return JSON.parse(lab.muslin('lab', 'status', lab.name, '-o', 'json').stdout).sessions;
}

/** Milliseconds since 1970 of a line in a host's log. */
function logTime(host: string, which: 'first' | 'last'): number {
  const lines = readFileSync(`/run/muslin/lab/${lab.name}/${host}/agent.log`, 'utf8').trim().split('\n');
  return Date.parse(JSON.parse(lines.at(which === 'first' ? 0 : -1) ?? '').time);
}

function report(what: string, milliseconds: number): void {
  console.log(`measured: ${what} after ${Math.round(milliseconds)} ms`);
}

describe('six hosts in a mesh', () => {
  let watch: RouteWatch;
  before(async () => {
    lab.up();
    watch = await RouteWatch.of(lab, [...HOSTS, 'lan']);
  });
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('have a session for each pair, and check themselves', () => {
    assert.equal(sessions(), 15);
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
    assert.match(outcome.stdout, /pass {2}host-6 has 5 BGP sessions established/);
  });

  it('take in a host that joins: all route its block, and its container reaches theirs', async () => {
    muslin('add-host', 'host-7', '--link', 'eth0=lan:192.168.100.107/24', '--block', '172.17.7.0/24');
    await lab.eventually('all have the route', () => HOSTS.every((host) => lab.routes(host).includes(TO_7)));
    report(
      'all six route a joining host, from the start of its agent',
      (await watch.last(HOSTS, /^172\.17\.7\.0\/24/)) - logTime('host-7', 'first'),
    );
    assert.equal(sessions(), 21);
    assert.equal(lab.host('host-7').sessions.length, 6);
    muslin('attach', 'w7', '--host', 'host-7', '--address', '172.17.7.2');
    lab.inside('w7', 'ping', '-c', '1', '-W', '5', '172.17.1.2');
    lab.inside('w6', 'ping', '-c', '1', '-W', '5', '172.17.7.2');
  });

  it('let a host go that leaves: its container, routes, sessions, Node and block', async () => {
    muslin('remove-host', 'host-7');
    await lab.eventually('nobody has the route', () => HOSTS.every((host) => !lab.routes(host).includes(TO_7)));
    report(
      'nobody routes a host that has left, from the end of its agent',
      (await watch.last(HOSTS, /^Deleted 172\.17\.7\.0\/24/)) - logTime('host-7', 'last'),
    );
    await lab.eventually('its sessions are gone', () => sessions() === 15);
    const store = ['--store', `sqlite:///run/muslin/lab/${lab.name}/store.db`, '-o', 'json'];
    for (const kind of ['nodes', 'ipamblocks', 'blockaffinities', 'workloadendpoints']) {
      const outcome = lab.muslin('get', kind, ...store);
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.match(outcome.stdout, /host-6|172\.17\.6\.0/);
      assert.doesNotMatch(outcome.stdout, /host-7|172\.17\.7\.0/);
    }
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
  });

  it('drop the routes to a host whose cable is pulled, by BFD, and have them again when it is back', async () => {
    const others = HOSTS.filter((host) => host !== 'host-3');
    assert.match(muslin('cut', 'host-3'), /host-3 is cut off: eth0/);
    await lab.eventually('nobody has the route', () => others.every((host) => !lab.routes(host).includes(TO_3)));
    const cut = await watch.last(['lan'], /host-3-eth0.* state DOWN/);
    report('nobody routes a host that is cut off', (await watch.last(others, /^Deleted 172\.17\.3\.0\/24/)) - cut);
    assert.notEqual(lab.tryInside('w1', 'ping', '-c', '1', '-W', '1', '172.17.3.2').code, 0);
    lab.inside('w1', 'ping', '-c', '1', '-W', '5', '172.17.4.2');
    const peers = lab.inside(
      'host-1',
      'sh',
      '-c',
      `"$0" bgp peers --socket /run/muslin/lab/${lab.name}/host-1/agent.sock`,
      `${import.meta.dirname}/../../bin/muslin`,
    );
    assert.match(peers, /192\.168\.100\.103 .*BFD down/);
    muslin('heal', 'host-3');
    await lab.eventually('all have the route again', () => others.every((host) => lab.routes(host).includes(TO_3)));
    const healed = await watch.last(['lan'], /host-3-eth0.* state UP/);
    report('all route a host that is connected again', (await watch.last(others, /^172\.17\.3\.0\/24/)) - healed);
    await lab.eventually('all is as before', () => lab.muslin('lab', 'check', lab.name).code === 0);
  });
});
