/**
 * Two and three speakers on a net that delays, splits, overtakes and cuts, while prefixes, processes and configurations
 * come and go: once there is peace, every session is up and every table is what it should be.
 *
 * The seed is printed; MUSLIN_FUZZ_SEED=… runs it again.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '../lib/prng.ts';
import { formatIp } from '../net/ip.ts';
import type { PeerConfig } from './peer-config.ts';
import { config, everyRoute, type Host, peer, VirtualNet } from './virtual-net.suite.ts';

const SEED = Number(process.env.MUSLIN_FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31));
const ROUNDS = Number(process.env.MUSLIN_FUZZ_ROUNDS ?? 10_000);

/** Short, so that a run needs few keepalives; a connection that was cut in silence is noticed after this. */
const HOLD_SECONDS = 9;
/** The hold time, then waits between tries, of which some are long where a session was refused. */
const PEACE_MS = 45_000;
/** A connection that was cut in silence before its OPEN came is given up after 240 s (RFC 4271 section 8.2.2). */
const LONG_PEACE_MS = 300_000;

const ADDRESSES = ['10.0.0.1', '10.0.0.2', '10.0.0.3'];

interface Scene {
  readonly net: VirtualNet;
  readonly hosts: Host[];
  readonly below: (limit: number) => number;
}

function prefixesOf(index: number, below: Scene['below']): string[] {
  const own = [0, 1, 2, 3].filter(() => below(2) === 0);
  const shared = below(4) === 0 ? ['172.30.0.0/16'] : [];
  return [...own.flatMap((part) => [`172.17.${index * 8 + part}.0/24`, `fd17:${index}:${part}::/64`]), ...shared];
}

function scene(seed: number): Scene {
  const random: Random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const net = new VirtualNet(seed, 1 + below(3) * 20, [0, 5, 300, 1_000][below(4)]);
  const addresses = ADDRESSES.slice(0, 2 + below(2));
  const gracefulRestart = below(2) === 0 ? 'full' : 'off';
  const passiveBelow = below(3);
  const hosts = addresses.map((address, index) => {
    const peers = addresses.flatMap((other, place): PeerConfig[] => {
      // Of a pair both may dial, or only the one before the other.
      const passive = passiveBelow > 0 && place < index;
      return place === index ? [] : [peer(other, { passive, gracefulRestart, connectRetrySeconds: 2 })];
    });
    return net.host(config(address, peers, { holdTimeSeconds: HOLD_SECONDS }), prefixesOf(index, below));
  });
  return { net, hosts, below };
}

/** Something happens. */
function disturb({ net, hosts, below }: Scene): void {
  const index = below(hosts.length);
  const host = hosts[index];
  assert.ok(host !== undefined);
  switch (below(6)) {
    case 0:
    case 1:
      net.announce(host, prefixesOf(index, below));
      return;
    case 2:
      net.cut({ silently: below(3) === 0 });
      return;
    case 3:
      net.kill(host, { fin: below(3) > 0 });
      return;
    case 4:
      start(net, host);
      return;
    default: {
      const { peers } = host.config;
      const description = below(2) === 0 ? 'renamed' : '';
      const families = below(2) === 0 ? ([4, 6] as const) : ([4] as const);
      const changed = peers.map((one, place) => (place === 0 ? { ...one, description, families } : one));
      net.configure(host, { ...host.config, peers: changed });
    }
  }
}

function start(net: VirtualNet, host: Host): void {
  if (host.speaker !== undefined) return;
  // What a process has left in the kernel is Felix's to remove.
  host.kernel.clear();
  net.start(host);
}

function live(seed: number): void {
  const { net, hosts, below } = scene(seed);
  for (let count = below(8); count > 0; count--) {
    net.run(below(10) === 0 ? below(10_000) : below(200));
    disturb({ net, hosts, below });
  }
  for (const host of hosts) {
    start(net, host);
    const peers = host.config.peers.map((one) => ({ ...one, families: [4, 6] as const }));
    net.configure(host, { ...host.config, peers });
  }
  net.run(PEACE_MS);
  const isUp = hosts.every((host) => host.speaker?.peers(net.now).every(({ state }) => state === 'Established'));
  if (!isUp) net.run(LONG_PEACE_MS);
  for (const host of hosts) assertConverged(net, host, hosts);
}

function assertConverged(net: VirtualNet, host: Host, hosts: readonly Host[]): void {
  const others = hosts.filter((other) => other !== host);
  const own = new Set(host.announced.map(({ prefix }) => JSON.stringify([...prefix.address.bytes, prefix.length])));
  const expected = new Map<string, string[]>();
  let routes = own.size;
  for (const other of others) {
    assert.equal(net.state(host, formatIp(other.address)), 'Established', `${formatIp(host.address)} to another`);
    routes += other.announced.length;
    for (const { prefix } of other.announced) {
      const key = JSON.stringify([...prefix.address.bytes, prefix.length]);
      const { family } = prefix.address;
      const gateway = other.config.nextHops[family];
      assert.ok(gateway !== undefined);
      if (!own.has(key)) expected.set(key, [...(expected.get(key) ?? []), formatIp(gateway)].sort());
    }
  }
  assert.equal(everyRoute(host.speaker).length, routes, 'candidates');
  assert.deepEqual([...host.kernel.values()].sort(), [...expected.values()].map((hops) => hops.join(' ')).sort());
  assert.ok(
    everyRoute(host.speaker).every(({ stale }) => !stale),
    'nothing is stale',
  );
}

test(`two and three speakers find to each other whatever happens (MUSLIN_FUZZ_SEED=${SEED})`, () => {
  for (let round = 0; round < ROUNDS; round++) {
    const seed = (SEED + round) >>> 0;
    try {
      live(seed);
    } catch (error) {
      throw new Error(`MUSLIN_FUZZ_SEED=${seed}`, { cause: error });
    }
  }
});
