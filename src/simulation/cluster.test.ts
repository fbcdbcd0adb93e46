import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Cluster } from './cluster.ts';
import { clusterResources } from './cluster-resources.ts';
import { reachOf } from './cluster-state.ts';
import type { ClusterShape } from './sample-clusters.ts';
import { hostBlock, hostName, sampleCluster } from './sample-clusters.ts';
import { establishedCount } from './state-difference.ts';

const HOSTS = 12;

interface Expectation {
  readonly shape: ClusterShape;
  readonly sessions: number;
  /** Where a host's packets to another host's block go first. */
  readonly gateway: (from: number, to: number) => string;
}

const hostAddress = (number: number): string => `10.0.0.${number + 1}`;

const EXPECTATIONS: readonly Expectation[] = [
  { shape: { kind: 'mesh' }, sessions: (HOSTS * (HOSTS - 1)) / 2, gateway: (_, to) => hostAddress(to) },
  {
    shape: { kind: 'reflectors', pairs: 2 },
    sessions: HOSTS * 2 + (4 * 3) / 2,
    gateway: (_, to) => hostAddress(to),
  },
  {
    shape: { kind: 'racks', hostsPerRack: 4 },
    sessions: HOSTS + (3 * 2) / 2,
    gateway: (from, to) =>
      Math.floor(from / 4) === Math.floor(to / 4) ? hostAddress(to) : `10.128.0.${Math.floor(from / 4) + 1}`,
  },
];

function started(shape: ClusterShape): Cluster {
  const cluster = new Cluster({ seed: 1, latencyMs: 0.2, stopwatch: () => 0, external: 'silent' });
  cluster.apply(clusterResources(sampleCluster({ hosts: HOSTS, shape, containers: 1 })));
  cluster.settle();
  return cluster;
}

for (const { shape, sessions, gateway } of EXPECTATIONS) {
  test(`a cluster converges to the sessions and routes that its shape has: ${shape.kind}`, () => {
    const cluster = started(shape);
    const state = cluster.state();
    const ends = [...state.nodes.values()].reduce((sum, node) => sum + establishedCount(node), 0);
    assert.equal(ends, 2 * sessions);
    assert.deepEqual(cluster.problems, []);
    for (let from = 0; from < HOSTS; from++) {
      for (let to = 0; to < HOSTS; to++) {
        const route = state.nodes.get(hostName(from))?.routes.get(hostBlock(to))?.text;
        assert.equal(route, from === to ? 'blackhole' : `via ${gateway(from, to)}`, `${hostName(from)} to ${to}`);
      }
    }
  });

  test(`the same resources give the same run: ${shape.kind}`, () => {
    const [one, other] = [started(shape), started(shape)];
    assert.deepEqual(one.state(), other.state());
    assert.deepEqual(one.traffic, other.traffic);
    assert.equal(one.network.changedAt, other.network.changedAt);
  });

  test(`every host reaches every block, hop by hop: ${shape.kind}`, () => {
    const reach = reachOf(started(shape).state());
    for (let to = 0; to < HOSTS; to++) {
      for (let from = 0; from < HOSTS; from++)
        assert.ok(reach.get(hostBlock(to))?.has(hostName(from)), `${from} to ${to}`);
    }
  });
}

test('a host that vanishes is noticed by those that watch it, and its block is gone', () => {
  const cluster = started({ kind: 'mesh' });
  const member = cluster.member(hostName(3));
  assert.ok(member !== undefined);
  const { now } = cluster.network;
  cluster.network.vanish(member);
  cluster.settle();
  assert.equal(cluster.state().nodes.get(hostName(0))?.routes.get(hostBlock(3)), undefined);
  const tookMs = cluster.network.changedAt - now;
  assert.ok(tookMs >= 900 && tookMs < 1_000, `noticed after ${tookMs} ms; BFD takes 900`);
});

test('a reflector that vanishes costs no route, as the other one of its pair is there', () => {
  const cluster = started({ kind: 'reflectors', pairs: 2 });
  const member = cluster.member('reflector-0');
  assert.ok(member !== undefined);
  const before = cluster.state().nodes.get(hostName(0))?.routes;
  cluster.network.vanish(member);
  cluster.settle();
  assert.deepEqual(cluster.state().nodes.get(hostName(0))?.routes, before);
  assert.equal(establishedCount(cluster.state().nodes.get(hostName(0)) ?? assert.fail()), 1);
});
