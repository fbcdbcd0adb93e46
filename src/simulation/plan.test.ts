import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { after as laterThan } from '../lib/clock.ts';
import { seededRandom } from '../lib/prng.ts';
import type { AnyResource } from '../model/kinds.ts';
import { keyOf } from '../model/resource-key.ts';
import { Cluster } from './cluster.ts';
import { clusterResources } from './cluster-resources.ts';
import { reachOf } from './cluster-state.ts';
import type { Change, Step } from './plan.ts';
import { simulatePlan } from './plan.ts';
import { hostBlock, hostName, sampleCluster } from './sample-clusters.ts';

const HOSTS = 5;
const mesh = sampleCluster({ hosts: HOSTS, shape: { kind: 'mesh' } });

function put(resource: AnyResource): Change {
  return { title: `${resource.kind}/${resource.metadata.name}`, key: keyOf(resource), resource };
}

function gone(resource: AnyResource): Change {
  return { title: `${resource.kind}/${resource.metadata.name}`, key: keyOf(resource), resource: undefined };
}

function made(kind: AnyResource['kind'], name: string, spec: object, labels = {}): AnyResource {
  return { apiVersion: 'projectcalico.org/v3', kind, metadata: { name, labels }, spec } as AnyResource;
}

/** Two of the hosts are to be reflectors, too. */
const REFLECTORS = [0, 1].map(hostName);
const labelled = (name: string, more: object): AnyResource => {
  const node = mesh.find((each) => each.kind === 'Node' && each.metadata.name === name);
  assert.ok(node?.kind === 'Node');
  const bgp = { ...node.spec.bgp, ...more };
  return made('Node', name, { ...node.spec, bgp }, { ...node.metadata.labels, reflector: 'yes' });
};
const peering = made('BGPPeer', 'to-reflectors', {
  nodeSelector: 'all()',
  peerSelector: 'has(reflector)',
  sourceAddress: 'UseNodeIP',
});
const labels = REFLECTORS.map((name) => put(labelled(name, {})));
const clusterIds = REFLECTORS.map((name) => put(labelled(name, { routeReflectorClusterID: '0.0.0.1' })));
const meshOff = put(made('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false }));
const noExport = made('BGPFilter', 'nothing', { exportV4: [{ action: 'Reject' }] });

const FILTERS = Array.from({ length: 64 }, (_, number) => put(made('BGPFilter', `filter-${number}`, {})));

/** One BGPPeer to the reflector that is called so; host 0 is "a", host 1 is "b". */
function peeringWith(reflector: string): AnyResource {
  return made('BGPPeer', 'to-reflector', {
    nodeSelector: 'all()',
    peerSelector: `reflector == "${reflector}"`,
    sourceAddress: 'UseNodeIP',
  });
}

function pointingTo(reflector: string): AnyResource[] {
  const nodes = ['a', 'b'].map((name, number) => {
    const node = labelled(hostName(number), { routeReflectorClusterID: `0.0.0.${number + 1}` });
    return { ...node, metadata: { ...node.metadata, labels: { reflector: name } } };
  });
  return [...nodes, peeringWith(reflector)];
}

interface Row {
  readonly name: string;
  readonly now: readonly AnyResource[];
  readonly steps: readonly (readonly Change[])[];
  /** By step. */
  readonly sessionsLost: readonly number[];
  readonly routesLost: readonly number[];
  readonly unreachable: readonly number[];
  /** Whether somebody is interrupted. */
  readonly interrupts: readonly boolean[];
}

const SAFE = [[put(peering), ...labels], clusterIds, [meshOff]];
const ENDS = HOSTS * (HOSTS - 1);

const ROWS: readonly Row[] = [
  {
    name: 'from a mesh to reflectors, new sessions first',
    now: mesh,
    steps: SAFE,
    sessionsLost: [0, 0, 6], // three hosts without one another
    routesLost: [0, 0, 0],
    unreachable: [0, 0, 0],
    interrupts: [false, false, false],
  },
  {
    name: 'the mesh is taken away before anybody reflects',
    now: mesh,
    steps: [[meshOff, put(peering), ...labels, ...clusterIds]],
    sessionsLost: [6],
    routesLost: [0],
    unreachable: [0],
    interrupts: [true],
  },
  {
    name: 'reflectors leave the mesh before they have other sessions',
    now: mesh,
    steps: [[...clusterIds, put(peering), ...labels]],
    sessionsLost: [0],
    routesLost: [0],
    unreachable: [0],
    interrupts: [true],
  },
  {
    name: 'the mesh is taken away and nothing comes instead',
    now: mesh,
    steps: [[meshOff]],
    sessionsLost: [ENDS],
    routesLost: [ENDS],
    unreachable: [ENDS],
    interrupts: [false],
  },
  {
    name: 'back to the mesh: first the sessions of the mesh, then none of reflectors',
    now: [...mesh, peering, ...[labels, clusterIds, [meshOff]].flat().flatMap(({ resource }) => resource ?? [])],
    steps: [
      [gone(meshOff.resource ?? assert.fail())],
      REFLECTORS.map((name) => put(labelled(name, {}))),
      [gone(peering)],
    ],
    sessionsLost: [0, 0, 0],
    routesLost: [0, 0, 0],
    unreachable: [0, 0, 0],
    interrupts: [false, false, false],
  },
  {
    name: 'hosts go from one reflector to another in one write',
    now: [...mesh, ...pointingTo('a'), made('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false })],
    steps: [[put(peeringWith('b'))]],
    sessionsLost: [(HOSTS - 2) * 2], // the two reflectors have each other before and after
    routesLost: [0],
    unreachable: [0],
    interrupts: [true],
  },
  {
    name: 'so many writes at once that nobody knows which comes first',
    now: mesh,
    steps: [[put(peering), ...labels, ...clusterIds, meshOff, ...FILTERS]],
    sessionsLost: [6],
    routesLost: [0],
    unreachable: [0],
    interrupts: [true],
  },
  {
    name: 'a filter keeps what a node says to itself',
    now: mesh,
    steps: [
      [
        put(noExport),
        put(
          made('BGPPeer', 'quiet', {
            node: hostName(0),
            peerSelector: 'all()',
            filters: ['nothing'],
            sourceAddress: 'UseNodeIP',
          }),
        ),
      ],
    ],
    sessionsLost: [0],
    routesLost: [HOSTS * 2 - 2],
    unreachable: [HOSTS * 2 - 2],
    interrupts: [false],
  },
];

function stepsOf({ steps }: Row): Step[] {
  return steps.map((changes, index) => ({ title: `step ${index + 1}`, changes }));
}

describe('a plan', () => {
  for (const row of ROWS) {
    it(`tells what becomes of sessions and routes: ${row.name}`, () => {
      const { steps } = simulatePlan(row.now, stepsOf(row), 'silent');
      const sums = steps.map(({ nodes, unreachable, interruptions }) => ({
        sessionsLost: nodes.reduce((sum, { sessions }) => sum + sessions.lost.length, 0),
        routesLost: nodes.reduce((sum, { routes }) => sum + routes.lost.length, 0),
        unreachable: [...unreachable.values()].reduce((sum, prefixes) => sum + prefixes.length, 0),
        interrupts: interruptions.length > 0,
      }));
      const { sessionsLost, routesLost, unreachable, interrupts } = row;
      const expected = sums.map((_, step) => ({
        sessionsLost: sessionsLost[step],
        routesLost: routesLost[step],
        unreachable: unreachable[step],
        interrupts: interrupts[step],
      }));
      assert.deepEqual(sums, expected);
    });

    it(`comes to what a cluster comes to that is started so: ${row.name}`, () => {
      const resources = new Map(row.now.map((resource) => [keyOf(resource), resource]));
      const { steps } = simulatePlan(row.now, stepsOf(row), 'silent');
      for (const [index, changes] of row.steps.entries()) {
        apply(resources, changes);
        const fresh = new Cluster({ seed: 7, latencyMs: 3, stopwatch: () => 0, external: 'silent' });
        fresh.apply(clusterResources(resources.values()));
        fresh.settle();
        assert.deepEqual(steps[index]?.after, fresh.state(), `after step ${index + 1}`);
      }
    });

    it(`is never surprised by agents that hear of a change at different times: ${row.name}`, () => {
      const planned = simulatePlan(row.now, stepsOf(row), 'silent').steps;
      const met = new Set<number>();
      for (let seed = 0; seed < 6; seed++) {
        for (const [index, gaps] of liveThrough(row, seed).entries()) {
          const foreseen = new Set(planned[index]?.interruptions.map(({ node, prefix }) => `${node} ${prefix}`));
          for (const gap of gaps)
            assert.ok(foreseen.has(gap), `step ${index + 1}, seed ${seed}: ${gap} was not foreseen`);
          if (gaps.size > 0) met.add(index);
        }
      }
      if (row.steps.some((changes) => changes.length > 64)) return; // in life these come in an order, which may be a good one
      // What the plan warns of does happen.
      assert.deepEqual(
        [...met].sort(),
        row.interrupts.flatMap((interrupts, index) => (interrupts ? [index] : [])),
      );
    });
  }

  for (const asNumber of [64512, 65000]) {
    it(`of an external peer in AS ${asNumber} says what holds when it is silent, and when it passes on`, () => {
      const tor = made('BGPPeer', 'tor', { peerIP: '10.200.0.1', asNumber, sourceAddress: 'UseNodeIP' });
      // An own AS number in the path is a loop, unless that is allowed.
      const patient = { ...tor, spec: { ...tor.spec, numAllowedLocalASNumbers: 1 } } as AnyResource;
      const steps: Step[] = [{ title: 'mesh off', changes: [put(patient), meshOff] }];
      const outcomes = (['silent', 'passing'] as const).map((kind) => simulatePlan(mesh, steps, kind).steps[0]);
      const lost = outcomes.map((step) => step?.nodes.reduce((sum, { routes }) => sum + routes.lost.length, 0));
      assert.deepEqual(lost, [ENDS, 0]);
    });
  }

  it('counts sessions with external peers as up, and a wrong AS number not', () => {
    const right = made('BGPPeer', 'tor', { peerIP: '10.200.0.1', asNumber: 65000, sourceAddress: 'UseNodeIP' });
    const wrong = made('BGPPeer', 'wrong', {
      node: hostName(0),
      peerIP: '10.0.0.2',
      asNumber: 65001,
      sourceAddress: 'UseNodeIP',
    });
    const steps = [right, wrong].map((resource) => ({ title: '', changes: [put(resource)] }));
    const [tor, mismatch] = simulatePlan(mesh, steps, 'silent').steps;
    assert.equal(
      tor?.nodes.reduce((sum, { sessions }) => sum + sessions.gained.length, 0),
      HOSTS,
    );
    assert.deepEqual(
      mismatch?.nodes.map(({ node, sessions }) => [node, sessions.lost.length]),
      [hostName(0), hostName(1)].map((node) => [node, 1]),
    );
    assert.equal(mismatch?.unreachable.get(hostName(0))?.includes(hostBlock(1)), true);
  });
});

function apply(resources: Map<string, AnyResource>, changes: readonly Change[]): void {
  for (const { key, resource } of changes) {
    if (resource === undefined) resources.delete(key);
    else resources.set(key, resource);
  }
}

/**
 * The row as it happens: each agent hears of each write a little later, at its own time, while BGP goes on. By step, which
 * nodes did not get to which prefix for a while, though they do before and after.
 */
function liveThrough({ now, steps }: Row, seed: number): Set<string>[] {
  const random = seededRandom(seed);
  const cluster = new Cluster({ seed, latencyMs: 0.2, stopwatch: () => 0, external: 'silent' });
  const resources = new Map(now.map((resource) => [keyOf(resource), resource]));
  cluster.apply(clusterResources(resources.values()));
  cluster.settle();
  return steps.map((changes) => {
    const before = reachOf(cluster.state());
    const broken = new Set<string>();
    const look = (): void => {
      const reach = reachOf(cluster.state());
      for (const [prefix, nodes] of before) {
        for (const node of nodes) if (reach.get(prefix)?.has(node) !== true) broken.add(`${node} ${prefix}`);
      }
    };
    for (const change of changes) {
      apply(resources, [change]);
      const names = [...cluster.state().nodes.keys()].sort(() => random() - 0.5);
      for (const name of names) {
        cluster.applyOn(name, clusterResources(resources.values()));
        cluster.network.runUntil(laterThan(cluster.network.now, random() * 2));
        look();
      }
      cluster.apply(clusterResources(resources.values()));
      cluster.settle();
      look();
    }
    const after = reachOf(cluster.state());
    return new Set([...broken].filter((gap) => after.get(gap.split(' ')[1] ?? '')?.has(gap.split(' ')[0] ?? '')));
  });
}
