/** What a check finds in worlds that somebody has broken, and what becomes of them by repair. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { check, LEAK_GRACE_MS } from './check.ts';
import { World } from './world.suite.ts';

const NOW = Date.parse('2026-05-01T12:00:00Z');
const OLD = '2026-05-01T11:00:00.000Z';
const YOUNG = '2026-05-01T11:55:00.000Z';
const TIME = { now: NOW, graceMs: LEAK_GRACE_MS };

/** Writes a block of four addresses: each ordinal's handle, with its time behind an @. */
function block(world: World, cidr: string, owner: string | null, holders: readonly (string | null)[] = []): void {
  const held = [0, 1, 2, 3].map((ordinal) => holders[ordinal] ?? null);
  const kept = held.filter((each) => each !== null);
  world.apply('IPAMBlock', cidr.replaceAll(/[./]/g, '-'), {
    cidr,
    affinity: owner === null ? null : `host:${owner}`,
    allocations: held.map((each) => (each === null ? null : kept.indexOf(each))),
    unallocated: held.flatMap((each, ordinal) => (each === null ? [ordinal] : [])),
    attributes: kept.map((each) => {
      const [handle, timestamp] = each.split('@');
      return { handle_id: handle, secondary: timestamp === undefined ? {} : { timestamp } };
    }),
  });
}

function claim(world: World, node: string, cidr: string, state = 'confirmed'): void {
  world.apply('BlockAffinity', `${node}-${cidr.replaceAll(/[./]/g, '-')}`, { node, cidr, state });
}

function handle(world: World, handleID: string, counts: Record<string, number>): void {
  world.apply('IPAMHandle', handleID, { handleID, block: counts });
}

function endpoint(world: World, name: string, ...addresses: string[]): void {
  const ipNetworks = addresses.map((address) => `${address}/32`);
  world.apply('WorkloadEndpoint', name, { node: 'a', interfaceName: `cali${name}`, ipNetworks });
}

interface Row {
  readonly title: string;
  readonly broken: (world: World) => void;
  /** Code, subject and remedy of each finding, as one text. */
  readonly found: readonly RegExp[];
  /** Findings that are left after repair; none when it is not given. */
  readonly left?: readonly RegExp[];
  /** Whether the whole fits together after repair; else only what is written in `left` is known. */
  readonly untidy?: true;
}

const ROWS: readonly Row[] = [
  { title: 'nothing is wrong', broken: () => {}, found: [] },
  {
    title: 'a leak that is old is released',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'a', [`x@${OLD}`, null, `x@${OLD}`]);
      claim(world, 'a', '10.0.0.4/30');
      handle(world, 'x', { '10.0.0.4/30': 2 });
    },
    found: [/^leak 10.0.0.4 10.0.0.6: assigned 60 min ago to handle x, .* releases 10.0.0.4, 10.0.0.6$/],
  },
  {
    title: 'leaks that are young, or of unknown age, or half in use, are left',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'a', [`x@${YOUNG}`, 'y', `z@${OLD}`, `z@${OLD}`]);
      claim(world, 'a', '10.0.0.4/30');
      for (const [id, count] of [
        ['x', 1],
        ['y', 1],
        ['z', 2],
      ] as const)
        handle(world, id, { '10.0.0.4/30': count });
      endpoint(world, 'z', '10.0.0.7');
    },
    found: [
      /^leak 10.0.0.4: .*nothing before it is 15 min old/,
      /^leak 10.0.0.5: .*its age is not known/,
      /^leak 10.0.0.6: .*other addresses/,
    ],
    left: [/^leak 10.0.0.4/, /^leak 10.0.0.5/, /^leak 10.0.0.6/],
  },
  {
    title: 'nothing is taken for leaked while an endpoint cannot be read, nor is what belongs to no container',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'a', [`x@${OLD}`, `vxlan-tunnel-addr-a@${OLD}`]);
      claim(world, 'a', '10.0.0.4/30');
      handle(world, 'x', { '10.0.0.4/30': 1 });
      handle(world, 'vxlan-tunnel-addr-a', { '10.0.0.4/30': 1 });
      world.write('/resources/WorkloadEndpoint/default/w', 'broken');
    },
    found: [
      /^unreadable \/resources\/WorkloadEndpoint\/default\/w:/,
      /^leak 10.0.0.4: .*nothing, while there are endpoints/,
    ],
    left: [/^unreadable/, /^leak/],
  },
  {
    title: 'handles are made to count what blocks hold, and then a leak behind them is released, too',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'a', ['more', 'more', 'none', `leaked@${OLD}`]);
      claim(world, 'a', '10.0.0.4/30');
      handle(world, 'more', { '10.0.0.4/30': 1, '10.0.0.8/30': 1 });
      handle(world, 'gone', { '10.0.0.8/30': 1 });
      endpoint(world, 'm', '10.0.0.4', '10.0.0.5');
      endpoint(world, 'n', '10.0.0.6');
    },
    found: [
      /^handle-without-allocation gone: .*removes the record$/,
      /^handle-miscounted more: .*counts 1 in 10.0.0.4\/30, 1 in 10.0.0.8\/30, and blocks have 2 in 10.0.0.4\/30.*writes the counts/,
      /^allocation-without-handle none: .*writes the handle's record/,
      /^allocation-without-handle leaked: /,
      /^leak 10.0.0.7: .*releases 10.0.0.7$/,
    ],
  },
  {
    title: 'nothing is concluded from a block that cannot be read',
    broken: (world) => {
      world.write('/resources/IPAMBlock/10-0-0-4-30', 'broken');
      claim(world, 'a', '10.0.0.4/30');
      handle(world, 'x', { '10.0.0.4/30': 1 });
      endpoint(world, 'x', '10.0.0.4');
    },
    found: [/^unreadable \/resources\/IPAMBlock\/10-0-0-4-30: /],
    left: [/^unreadable/],
    untidy: true,
  },
  {
    title: 'an endpoint whose address is free is told of; one outside of all pools is not',
    broken: (world) => {
      endpoint(world, 'x', '10.0.0.9');
      endpoint(world, 'y', '10.9.0.9');
    },
    found: [/^endpoint-without-allocation 10.0.0.9: endpoint default\/x of node a has it/],
    left: [/^endpoint-without-allocation 10.0.0.9/],
  },
  {
    title: 'two endpoints with one address',
    broken: (world) => {
      endpoint(world, 'x', '10.0.0.0');
    },
    found: [
      /^address-twice 10.0.0.0: assigned to endpoint default\/used of node a and to endpoint default\/x of node a.*remove all of these/,
    ],
    left: [/^address-twice/],
  },
  {
    title: 'blocks outside of pools are given up when they are empty',
    broken: (world) => {
      block(world, '10.9.0.0/30', 'a');
      claim(world, 'a', '10.9.0.0/30');
      block(world, '10.9.0.4/30', 'a', ['x']);
      claim(world, 'a', '10.9.0.4/30');
      handle(world, 'x', { '10.9.0.4/30': 1 });
      endpoint(world, 'x', '10.9.0.4');
    },
    found: [
      /^block-outside-pools 10.9.0.0\/30: no IPPool contains block 10.9.0.0\/30 of node a.*gives the block up/,
      /^block-outside-pools 10.9.0.4\/30: .*make an IPPool that contains 10.9.0.4\/30 again, or remove the containers that have its 1 address in use/,
    ],
    left: [/^block-outside-pools 10.9.0.4/],
  },
  {
    title: 'blocks that overlap',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'b', ['x']);
      claim(world, 'b', '10.0.0.4/30');
      handle(world, 'x', { '10.0.0.4/30': 1 });
      endpoint(world, 'x', '10.0.0.4');
      world.apply('IPAMBlock', '10-0-0-4-31', {
        ...{ cidr: '10.0.0.4/31', affinity: 'host:a', allocations: [null, null], unallocated: [0, 1], attributes: [] },
      });
      claim(world, 'a', '10.0.0.4/31');
    },
    found: [
      /^blocks-overlap 10.0.0.4\/31: block 10.0.0.4\/31 of node a overlaps block 10.0.0.4\/30 of node b.*gives up block 10.0.0.4\/31/,
    ],
  },
  {
    title: 'an address that two blocks have assigned',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'b', ['x']);
      claim(world, 'b', '10.0.0.4/30');
      handle(world, 'x', { '10.0.0.4/30': 1 });
      endpoint(world, 'x', '10.0.0.4');
      world.apply('IPAMBlock', '10-0-0-4-31', {
        ...{ cidr: '10.0.0.4/31', affinity: 'host:a', allocations: [0, null], unallocated: [1] },
        attributes: [{ handle_id: 'y', secondary: {} }],
      });
      claim(world, 'a', '10.0.0.4/31');
      handle(world, 'y', { '10.0.0.4/31': 1 });
    },
    found: [
      /^blocks-overlap 10.0.0.4\/31: .*both are in use/,
      /^address-twice 10.0.0.4: assigned to handle x in block 10.0.0.4\/30 and to handle y in block 10.0.0.4\/31/,
    ],
    left: [/^blocks-overlap/, /^address-twice/],
    untidy: true,
  },
  {
    title: 'blocks without a claim, with a foreign one, with none at all',
    broken: (world) => {
      block(world, '10.0.0.4/30', 'b', ['x']);
      handle(world, 'x', { '10.0.0.4/30': 1 });
      endpoint(world, 'x', '10.0.0.4');
      claim(world, 'c', '10.0.0.4/30');
      block(world, '10.0.0.8/30', 'b');
      block(world, '10.0.0.12/30', null);
    },
    found: [
      /^block-abandoned 10.0.0.12\/30: .*removes the block$/,
      /^block-without-affinity 10.0.0.4\/30: .*writes the claim of node b$/,
      /^block-without-affinity 10.0.0.8\/30: .*gives the block up: it is empty$/,
      /^affinity-foreign 10.0.0.4\/30: node c has a claim \(confirmed\) to block 10.0.0.4\/30 of node b.*removes the claim of node c$/,
    ],
  },
  {
    title: 'claims that were begun or ended half',
    broken: (world) => {
      claim(world, 'b', '10.0.0.4/30', 'pending');
      block(world, '10.0.0.8/30', 'b');
      claim(world, 'b', '10.0.0.8/30', 'pending');
      block(world, '10.0.0.12/30', 'b', ['x']);
      claim(world, 'b', '10.0.0.12/30', 'pendingDeletion');
      handle(world, 'x', { '10.0.0.12/30': 1 });
      endpoint(world, 'x', '10.0.0.12');
    },
    found: [
      /^affinity-unfinished 10.0.0.12\/30: .*gives the block up; its addresses/,
      /^affinity-without-block 10.0.0.4\/30: node b has a claim \(pending\) .*removes the claim$/,
      /^affinity-unfinished 10.0.0.8\/30: .*confirms the claim/,
    ],
  },
];

function texts(world: World): string[] {
  return check(world.survey(), TIME).map(({ finding }) => {
    assert.equal(
      finding.isRepairable,
      !/nothing|remove all|both are|make an IPPool|start the|write it anew/.test(finding.remedy),
    );
    return `${finding.code} ${finding.subject}: ${finding.cause}; ${finding.remedy}`;
  });
}

function assertTexts(actual: readonly string[], expected: readonly RegExp[]): void {
  assert.equal(actual.length, expected.length, actual.join('\n'));
  for (const [index, pattern] of expected.entries()) assert.match(actual[index] ?? '', pattern);
}

for (const { title, broken, found, left = [], untidy } of ROWS) {
  test(title, () => {
    const world = new World();
    world.apply('IPPool', 'pool', { cidr: '10.0.0.0/24', blockSize: 30 });
    block(world, '10.0.0.0/30', 'a', ['used']);
    claim(world, 'a', '10.0.0.0/30');
    handle(world, 'used', { '10.0.0.0/30': 1 });
    endpoint(world, 'used', '10.0.0.0');
    broken(world);
    assertTexts(texts(world), found);
    for (let pass = 0; pass < 3; pass++) {
      for (const { repair } of check(world.survey(), TIME)) {
        const plan = repair?.(world.survey());
        if (plan !== undefined) assert.ok(world.commit(plan));
      }
    }
    assertTexts(texts(world), left);
    if (untidy === undefined) world.check();
  });
}

test('a claim that was begun a moment ago is somebody’s work in progress', () => {
  const world = new World();
  world.apply('IPPool', 'pool', { cidr: '10.0.0.0/24', blockSize: 30 });
  const begun = (creationTimestamp: string) => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'BlockAffinity',
    metadata: { name: 'b-10-0-0-4-30', creationTimestamp },
    spec: { node: 'b', cidr: '10.0.0.4/30', state: 'pending', deleted: false },
  });
  world.write('/resources/BlockAffinity/b-10-0-0-4-30', begun(YOUNG));
  assert.deepEqual(texts(world), []);
  world.write('/resources/BlockAffinity/b-10-0-0-4-30', begun(OLD));
  assert.equal(texts(world).length, 1);
});
