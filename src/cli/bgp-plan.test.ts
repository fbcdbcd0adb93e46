import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { documentOf } from '../model/kinds.ts';
import { valueOfResource } from '../model/resource-entry.ts';
import { keyOf } from '../model/resource-key.ts';
import type { ClusterShape } from '../simulation/sample-clusters.ts';
import { sampleCluster } from '../simulation/sample-clusters.ts';
import type { Bench } from './command-bench.suite.ts';
import { bench, run } from './command-bench.suite.ts';
import { EXIT_CODE } from './exit-code.ts';

const HEAD = 'apiVersion: projectcalico.org/v3\n';
const PEERS = `---\n${HEAD}kind: BGPPeer\nmetadata: { name: to-reflectors }\nspec: { nodeSelector: all(), peerSelector: has(reflector) }\n`;
const MESH_OFF = `---\n${HEAD}kind: BGPConfiguration\nmetadata: { name: default }\nspec: { nodeToNodeMeshEnabled: false }\n`;

function reflector(number: number, clusterId: string): string {
  const bgp = `ipv4Address: 10.0.0.${number + 1}/8${clusterId}`;
  return `---\n${HEAD}kind: Node\nmetadata: { name: host-000${number}, labels: { role: host, part: "0", reflector: "yes" } }\nspec: { bgp: { ${bgp} } }\n`;
}

const LABELS = reflector(0, '') + reflector(1, '');
const CLUSTER = ', routeReflectorClusterID: 0.0.0.1';
const REFLECT = reflector(0, CLUSTER) + reflector(1, CLUSTER);

async function filled(hosts: number, shape: ClusterShape = { kind: 'mesh' }): Promise<Bench> {
  const made = bench();
  await made.withStore(async (store) => {
    for (const resource of sampleCluster({ hosts, shape })) {
      const put = { kind: 'put', key: keyOf(resource), value: valueOfResource(resource) } as const;
      await store.transact({ expect: [], writes: [put] });
    }
  });
  return made;
}

/** Numbers and names out of the lines that matter, without their blanks. */
function lines(stdout: string): string[] {
  return stdout.split('\n').flatMap((line) => (line.trim() === '' ? [] : [line.trim().replaceAll(/ +/g, ' ')]));
}

describe('muslin bgp plan', () => {
  it('says that nothing changes, and ends with 0', async () => {
    const { run: muslin, file } = await filled(3);
    const labels = file('labels.yaml', reflector(0, ''));
    const { stdout, exitCode } = await muslin('bgp', 'plan', '-f', labels);
    assert.equal(exitCode, EXIT_CODE.ok);
    assert.deepEqual(lines(stdout), [`${labels}: node/host-0000`, 'no session and no route changes']);
  });

  it('shows each step of a move to reflectors that loses nothing', async () => {
    const { run: muslin, file } = await filled(6);
    const steps = [file('1-peers.yaml', PEERS + LABELS), file('2-reflect.yaml', REFLECT), file('3-off.yaml', MESH_OFF)];
    const { stdout, exitCode } = await muslin('bgp', 'plan', '--steps', '-f', ...steps);
    assert.equal(exitCode, EXIT_CODE.different);
    assert.deepEqual(lines(stdout), [
      `step 1: ${steps[0]}: bgppeer/to-reflectors, node/host-0000, node/host-0001`,
      'no session and no route changes',
      `step 2: ${steps[1]}: node/host-0000, node/host-0001`,
      'no session and no route changes',
      `step 3: ${steps[2]}: bgpconfiguration/default`,
      'sessions 15 -> 9: 0 gained, 6 lost, 0 reset',
      'routes 30 -> 30: 0 gained, 0 lost, 0 moved to other next hops',
      'NODE SESSIONS + - RESET ROUTES + - MOVED INTERRUPTED CUT OFF',
      'host-0002 and 3 more 5 -> 2 - 3 - 5 - - - - -',
    ]);
  });

  it('warns of a step that breaks before it makes, and names the write that does', async () => {
    const { run: muslin, file } = await filled(6);
    const all = file('all.yaml', MESH_OFF + PEERS + REFLECT);
    const { stdout } = await muslin('bgp', 'plan', '-f', all);
    assert.match(stdout, /WARNING {3}bgpconfiguration\/default takes away what 6 nodes need until something new is up/);
    assert.match(stdout, /routes {4}30 -> 30: 0 gained, 0 lost/);
  });

  it('names those that are cut off, and shows one in detail', async () => {
    const { run: muslin, file } = await filled(3);
    const off = file('off.yaml', MESH_OFF);
    const { stdout } = await muslin('bgp', 'plan', '-f', off, '--node', 'host-0001');
    assert.match(stdout, /DANGER {4}3 nodes no longer reach what others have: 6 ways lost/);
    assert.match(stdout, /session lost {4}10\.0\.0\.1 \(mesh, Node host-0000\)/);
    assert.match(stdout, /route lost {6}172\.16\.0\.0\/26 via 10\.0\.0\.1/);
    assert.match(stdout, /cut off from {4}172\.16\.0\.0\/26/);
  });

  it('takes what is there from files, and deletes by the name of a file or by --delete', async () => {
    const { file } = bench();
    const text = [...sampleCluster({ hosts: 4, shape: { kind: 'reflectors', pairs: 1 } })]
      .map((resource) => `---\n${JSON.stringify(documentOf(resource))}\n`)
      .join('');
    const from = file('now.yaml', text);
    const peers = `---\n${HEAD}kind: BGPPeer\nmetadata: { name: part-0 }\nspec: { nodeSelector: all(), peerSelector: all() }\n`;
    const [marked, plain] = [file('gone.delete.yaml', peers), file('gone.yaml', peers)];
    for (const words of [[marked], [plain, '--delete']]) {
      const { stdout, exitCode } = await run(['bgp', 'plan', '--from', from, '-f', ...words]);
      assert.equal(exitCode, EXIT_CODE.different, stdout);
      assert.match(stdout, /bgppeer\/part-0 deleted/);
      assert.match(stdout, /sessions {2}9 -> 1: 0 gained, 8 lost/);
    }
  });

  it('says in JSON what it says in the table', async () => {
    const { run: muslin, file } = await filled(3);
    const { stdout } = await muslin(
      'bgp',
      'plan',
      '-f',
      file('off.yaml', MESH_OFF),
      '-o',
      'json',
      '--node',
      'host-0000',
    );
    const { steps, externalPeers, problems } = JSON.parse(stdout);
    assert.deepEqual([externalPeers, problems, steps.length], [[], [], 1]);
    const [{ sessions, routes, unreachable, interrupted, nodes, changes }] = steps;
    assert.deepEqual(changes, ['bgpconfiguration/default']);
    assert.deepEqual(sessions, { before: 3, after: 0, gained: 0, lost: 3, reset: 0 });
    assert.deepEqual(routes, { before: 6, after: 0, gained: 0, lost: 6, moved: 0, uncertain: 0 });
    assert.deepEqual([unreachable, interrupted], [6, 0]);
    assert.deepEqual(
      nodes.map(({ node, detail }: { node: string; detail: object | undefined }) => [node, detail !== undefined]),
      [
        ['host-0000', true],
        ['host-0001', false],
        ['host-0002', false],
      ],
    );
  });

  it('calls uncertain what an external peer may or may not pass on', async () => {
    const { run: muslin, file } = await filled(3);
    const tor = `---\n${HEAD}kind: BGPPeer\nmetadata: { name: tor }\nspec: { peerIP: 10.200.0.1, asNumber: 64512 }\n`;
    const { stdout } = await muslin('bgp', 'plan', '-f', file('tor.yaml', tor + MESH_OFF));
    assert.match(stdout, /routes {4}6 -> 6: 0 gained, 0 lost, 0 moved to other next hops, 6 uncertain/);
    assert.match(stdout, /note: 10\.200\.0\.1: no node/);
    assert.doesNotMatch(stdout, /DANGER/);
  });

  const REFUSALS: readonly (readonly [
    name: string,
    words: (bench: Bench) => string[],
    code: number,
    message: RegExp,
  ])[] = [
    [
      'a node that there is not',
      ({ file }) => ['-f', file('o.yaml', MESH_OFF), '--node', 'nobody'],
      EXIT_CODE.notFound,
      /no Node nobody/,
    ],
    [
      'what apply refuses',
      ({ file }) => ['-f', file('b.yaml', MESH_OFF.replace('false', 'maybe'))],
      EXIT_CODE.usage,
      /nodeToNodeMeshEnabled/,
    ],
    [
      'to delete what is not there',
      ({ file }) => ['--delete', '-f', file('m.yaml', MESH_OFF)],
      EXIT_CODE.notFound,
      /is not there to be deleted/,
    ],
    ['a file that is not there', () => ['-f', '/nowhere.yaml'], EXIT_CODE.usage, /no such file/],
  ];
  for (const [name, words, code, message] of REFUSALS) {
    it(`refuses ${name}`, async () => {
      const made = await filled(2);
      const { stderr, exitCode } = await made.run('bgp', 'plan', ...words(made));
      assert.match(stderr, message);
      assert.equal(exitCode, code);
    });
  }
});
