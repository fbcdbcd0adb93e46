/**
 * A running network moves from the mesh to route reflectors, by the files that ship with it, and no ping is lost on the way.
 *
 * Make before break: reflectors, then sessions with them beside the mesh, then, when all routes are there twice, the mesh goes.
 * Every two containers ping each other fifty times a second throughout, and through the death of one reflector too.
 */
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { PingWatch } from './lab-watch.ts';
import { TestLab } from './two-hosts-fixture.ts';

const lab = new TestLab('route-reflector');
const HOSTS = ['host-1', 'host-2', 'host-3', 'host-4', 'host-5', 'host-6'];
const REFLECTORS = ['rr-1', 'rr-2'];
const WORKLOADS = Object.fromEntries(HOSTS.map((_, index) => [`w${index + 1}`, `172.17.${index + 1}.2`]));
/** At fifty a second: that many answers from each pair are pings during a while, not before it. */
const PINGS_MIN = 25;

interface Peer {
  readonly address: string;
  readonly state: string;
  readonly description: string;
  readonly prefixesReceived: number;
}

function peersOf(host: string): Peer[] {
  const socket = `/run/muslin/lab/${lab.name}/${host}/agent.sock`;
  const outcome = lab.muslin('bgp', 'peers', '-o', 'json', '--socket', socket);
  assert.equal(outcome.code, 0, outcome.stderr);
  return JSON.parse(outcome.stdout);
}

/** Established sessions of each host, and of each reflector. */
async function sessionsBecome(ofHost: number, ofReflector: number): Promise<void> {
  const wanted = [
    ...HOSTS.map((host) => [host, ofHost] as const),
    ...REFLECTORS.map((rr) => [rr, ofReflector] as const),
  ];
  for (const [name, count] of wanted) {
    await lab.eventually(`${name} has ${count} sessions and no other`, () => {
      const peers = peersOf(name);
      return peers.length === count && peers.every(({ state }) => state === 'Established');
    });
  }
}

/** Total sessions as `lab status` counts them. */
function sessions(): number {
  return JSON.parse(lab.muslin('lab', 'status', lab.name, '-o', 'json').stdout).sessions;
}

function bgpRoutes(): string[] {
  return HOSTS.flatMap((host) =>
    lab
      .routes(host)
      .filter((line) => line.includes(' via '))
      .map((line) => `${host} ${line}`),
  );
}

describe('six hosts and two reflectors', () => {
  before(() => lab.up());
  after(() => lab.down());
  afterEach((context) => lab.dumpAfterFailure(context));

  it('move from 28 sessions of a mesh to 13 with reflectors, without a lost ping or another route', async () => {
    await sessionsBecome(7, 7);
    assert.equal(sessions(), 28);
    const routes = bgpRoutes();
    assert.equal(routes.length, 30);
    const pings = new PingWatch(lab, WORKLOADS);
    const pingedOn = async () => {
      const before = pings.fewest();
      await lab.eventually('all pairs ping on', () => pings.fewest() >= before + PINGS_MIN);
    };
    await pingedOn();

    lab.apply('route-reflector/1-reflectors.yaml');
    await sessionsBecome(5, 0);
    lab.apply('route-reflector/2-sessions.yaml');
    await sessionsBecome(7, 7);
    for (const host of HOSTS) {
      await lab.eventually(`${host} has the routes of the five others from both reflectors`, () => {
        const reflected = peersOf(host).filter(({ description }) => description.includes('BGPPeer reflectors'));
        return reflected.length === 2 && reflected.every(({ prefixesReceived }) => prefixesReceived >= 5);
      });
    }
    assert.equal(sessions(), 28);
    await pingedOn();
    lab.apply('route-reflector/3-mesh-off.yaml');
    await sessionsBecome(2, 7);
    assert.equal(sessions(), 13);
    await pingedOn();
    const counts = await pings.stop();

    assert.equal(counts.length, 15);
    assert.deepEqual(
      counts.filter(({ lost }) => lost.length > 0),
      [],
    );
    assert.deepEqual(bgpRoutes(), routes);
    console.log(`measured: ${counts.reduce((sum, { answered }) => sum + answered, 0)} pings, none lost`);
    const outcome = lab.muslin('lab', 'check', lab.name);
    assert.equal(outcome.code, 0, outcome.stdout);
  });

  it('lose no ping and no route when a reflector dies', async () => {
    const routes = bgpRoutes();
    const pings = new PingWatch(lab, WORKLOADS);
    await lab.eventually('all pairs ping', () => pings.fewest() >= PINGS_MIN);
    await lab.killAgent('rr-1');
    for (const host of HOSTS) {
      await lab.eventually(`${host} has one reflector left`, () => {
        const states = peersOf(host).map(({ address, state }) => `${address} ${state === 'Established'}`);
        return states.sort().join() === '192.168.100.201 false,192.168.100.202 true';
      });
    }
    const before = pings.fewest();
    await lab.eventually('all pairs ping on', () => pings.fewest() >= before + PINGS_MIN);
    const counts = await pings.stop();
    assert.deepEqual(
      counts.filter(({ lost }) => lost.length > 0),
      [],
    );
    assert.deepEqual(bgpRoutes(), routes);
    lab.restart('rr-1');
    await sessionsBecome(2, 7);
  });
});
