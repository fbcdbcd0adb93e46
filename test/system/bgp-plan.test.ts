/**
 * What `muslin bgp plan` says, beside what then happens: four real hosts go from a mesh to reflectors and beyond.
 *
 * Each step is planned, applied, and watched: the hosts come to as many sessions and to exactly the routes that the plan
 * names, and where it says that nobody is interrupted, no kernel has lost a route for a moment.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { TestLab } from './two-hosts-fixture.ts';

const HOSTS = ['host-a', 'host-b', 'host-c', 'host-d'] as const;
const POOL = '172.17.8.0/22';
const HEAD = 'apiVersion: projectcalico.org/v3\n';
const address = (number: number): string => `192.168.100.${100 + number}/24`;

function topology(name: string): string {
  const hosts = HOSTS.map((host, number) => {
    const link = `{ segment: lan, addresses: [${address(number)}] }`;
    return `  ${host}:\n    links: { eth0: ${link} }\n    blocks: [172.17.${8 + number}.0/24]\n`;
  });
  const pool = `{ cidr: ${POOL}, blockSize: 24, ipipMode: Never, vxlanMode: Never, natOutgoing: false }`;
  return `name: ${name}
description: four hosts on one segment
segments: [lan]
hosts:
${hosts.join('')}resources:
  - { apiVersion: projectcalico.org/v3, kind: IPPool, metadata: { name: containers }, spec: ${pool} }
`;
}

function reflector(number: number): string {
  const bgp = `{ ipv4Address: ${address(number)}, routeReflectorClusterID: 0.0.0.1 }`;
  return `---\n${HEAD}kind: Node\nmetadata: { name: ${HOSTS[number]}, labels: { reflector: "yes" } }\nspec: { bgp: ${bgp} }\n`;
}

const labels = (number: number): string => reflector(number).replace(', routeReflectorClusterID: 0.0.0.1', '');
const PEERS = `---\n${HEAD}kind: BGPPeer\nmetadata: { name: to-reflectors }\nspec: { nodeSelector: all(), peerSelector: has(reflector) }\n`;
const MESH_OFF = `---\n${HEAD}kind: BGPConfiguration\nmetadata: { name: default }\nspec: { nodeToNodeMeshEnabled: false }\n`;

interface Detail {
  readonly routesLost: readonly string[];
  readonly routesGained: readonly string[];
}

interface PlannedStep {
  readonly interrupted: number;
  readonly nodes: readonly {
    readonly node: string;
    readonly sessions: { readonly after: number };
    readonly detail: Detail;
  }[];
}

describe('a plan for real hosts', () => {
  const lab = new TestLab();
  let store = '';
  const removals = new Map<string, string[]>();

  before(() => {
    writeFileSync(lab.file, topology(lab.name));
    lab.up();
    store = `/run/muslin/lab/${lab.name}/store.db`;
    for (const host of HOSTS) {
      const lines: string[] = [];
      removals.set(host, lines);
      lab.spawnInside(host, 'ip', 'monitor', 'route').stdout?.on('data', (chunk) => {
        lines.push(
          ...String(chunk)
            .split('\n')
            .filter((line) => line.startsWith('Deleted 172.17.')),
        );
      });
    }
  });
  after(() => lab.down());

  const learned = (host: string): string[] =>
    lab
      .routes(host)
      .filter((line) => line.startsWith('172.17.') && line.includes(' via '))
      .map((line) => line.split(' ')[0] ?? '');

  const established = (host: string): number =>
    lab.host(host).sessions.filter(({ state }) => state === 'Established').length;

  /** Plans a file, applies it, and waits until everything is as planned. */
  async function go(name: string, text: string): Promise<PlannedStep> {
    const file = join(lab.directory, name);
    writeFileSync(file, text);
    const plan = lab.muslin('bgp', 'plan', '-f', file, '--store', store, '-o', 'json', '--node', ...HOSTS);
    assert.ok(plan.code === 0 || plan.code === 10, plan.stderr);
    const [step] = JSON.parse(plan.stdout).steps as PlannedStep[];
    assert.ok(step !== undefined);
    const expected = new Map(
      HOSTS.map((host) => [host, { routes: new Set(learned(host)), sessions: established(host) }]),
    );
    for (const { node, sessions, detail } of step.nodes) {
      const host = expected.get(node as (typeof HOSTS)[number]);
      assert.ok(host !== undefined);
      host.sessions = sessions.after;
      for (const route of detail.routesLost) host.routes.delete(route.split(' ')[0] ?? '');
      for (const route of detail.routesGained) host.routes.add(route.split(' ')[0] ?? '');
    }
    for (const lines of removals.values()) lines.length = 0;
    const verb = name.includes('.delete.') ? 'delete' : 'apply';
    const applied = lab.muslin(verb, '-f', file, '--store', store);
    assert.equal(applied.code, 0, applied.stderr);
    for (const [host, { routes, sessions }] of expected) {
      await lab.eventually(`${host} after ${name}: ${sessions} sessions, routes to ${[...routes].join(' ')}`, () => {
        assert.equal(established(host), sessions);
        assert.deepEqual(new Set(learned(host)), routes);
        return true;
      });
    }
    return step;
  }

  it('holds for a move from a mesh to reflectors, in which nobody loses a route for a moment', async () => {
    const steps = [
      await go('1-peers.yaml', PEERS + labels(0) + labels(1)),
      await go('2-reflect.yaml', reflector(0) + reflector(1)),
      await go('3-mesh-off.yaml', MESH_OFF),
    ];
    assert.deepEqual(
      steps.map(({ interrupted }) => interrupted),
      [0, 0, 0],
    );
    assert.deepEqual(
      steps[2]?.nodes.map(({ node, sessions }) => [node, sessions.after]),
      [
        ['host-c', 2],
        ['host-d', 2],
      ],
    );
    assert.deepEqual(Object.fromEntries(removals), Object.fromEntries(HOSTS.map((host) => [host, []])));
  });

  it('holds for a step that cuts hosts off, route by route', async () => {
    const step = await go('4-peers.delete.yaml', PEERS);
    assert.deepEqual(
      step.nodes.map(({ detail }) => detail.routesLost.length),
      [3, 3, 3, 3],
    );
    assert.deepEqual(learned('host-c'), []);
  });

  it('holds for the way back to a mesh', async () => {
    const plain = [0, 1].map((number) => labels(number).replace(/, labels: \{.*?\}/, '')).join('');
    await go('5-no-reflectors.yaml', plain);
    const step = await go('6-mesh-on.delete.yaml', MESH_OFF);
    assert.deepEqual(
      step.nodes.map(({ sessions }) => sessions.after),
      [3, 3, 3, 3],
    );
  });
});
