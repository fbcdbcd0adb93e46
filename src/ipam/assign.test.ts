/** Assigning, claiming and releasing, one request after the other: rows of requests and what comes of them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import { type Assignment, type BlockLimits, blockLimitsOf, planAssign } from './assign.ts';
import { ownerOf } from './block.ts';
import { planClaim, startingPlace } from './claim.ts';
import { planReleaseAddress, planReleaseBlock, planReleaseEmptyBlocks, planReleaseHandle } from './release.ts';
import { blockWith } from './snapshot.ts';
import { World } from './world.suite.ts';

/** Assigns, and says in text what came of it: the addresses, or the error. */
function assign(world: World, changes: Partial<Assignment> = {}, limits: Partial<BlockLimits> = {}): string {
  const assignment: Assignment = {
    node: 'a',
    labels: {},
    handle: 'h',
    families: [4],
    requestedAddresses: [],
    requestedPools: [],
    use: 'Workload',
    namespace: undefined,
    attributes: {},
    ...changes,
  };
  const all = { ...blockLimitsOf(undefined), ...limits };
  const handle = world.handle(assignment.handle);
  const narrow = planAssign(world.snapshot(assignment.node, 'own'), handle, assignment, all);
  const outcome =
    narrow.kind === 'incomplete' ? planAssign(world.snapshot(assignment.node), handle, assignment, all) : narrow;
  if (outcome.kind === 'failed') return `${outcome.code}: ${outcome.message}`;
  assert.equal(outcome.kind, 'planned');
  if (outcome.kind !== 'planned') return '';
  assert.ok(world.commit(outcome.plan));
  world.check();
  return outcome.addresses.map(formatIp).join(' ');
}

function claim(world: World, node: string, text: string): string {
  const outcome = planClaim(world.snapshot(node), node, cidr(text));
  if (outcome.kind === 'failed') return `${outcome.code}: ${outcome.message}`;
  assert.ok(world.commit(outcome.plan));
  world.check();
  return `${outcome.plan.writes.length} writes`;
}

function release(world: World, handleId: string): string {
  const { plan, released } = planReleaseHandle(world.handle(handleId)!, world.snapshot('').blocks);
  assert.ok(world.commit(plan));
  world.check();
  return released.map(formatIp).join(' ');
}

const owners = (world: World) => world.all('IPAMBlock').map((block) => `${block.spec.cidr} ${ownerOf(block) ?? '-'}`);

/** A world with these pools: name to spec. */
function worldWith(pools: Record<string, object>, reserved: readonly string[] = []): World {
  const world = new World();
  for (const [name, spec] of Object.entries(pools)) world.apply('IPPool', name, spec);
  if (reserved.length > 0) world.apply('IPReservation', 'r', { reservedCIDRs: reserved });
  return world;
}

const SMALL = { cidr: '10.0.0.0/30', blockSize: 31 };

test('the first address of a node claims a block; the next ones come from it, in order', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/24', blockSize: 26 } });
  const first = assign(world, { attributes: { pod: 'p' } });
  const [block] = world.all('IPAMBlock');
  assert.equal(block?.spec.cidr, `${first}/26`);
  assert.deepEqual(world.all('BlockAffinity')[0]?.spec, {
    node: 'a',
    cidr: block?.spec.cidr,
    state: 'confirmed',
    deleted: false,
  });
  assert.deepEqual(world.handle('h')?.spec, { handleID: 'h', block: { [`${first}/26`]: 1 }, deleted: false });
  assert.deepEqual(block?.spec.attributes, [{ handle_id: 'h', secondary: { pod: 'p' } }]);
  const last = Number(first.split('.')[3]);
  assert.equal(assign(world, { handle: 'i' }), `10.0.0.${last + 1}`);
  assert.equal(assign(world, { handle: 'j' }), `10.0.0.${last + 2}`);
  assert.equal(world.all('IPAMBlock').length, 1);
});

test('nodes begin to look at places of their own, and go on around the pool', () => {
  const places = ['a', 'b', 'c', 'host-1', 'host-2', 'host-3'].map((node) => startingPlace(node, 64));
  assert.ok(new Set(places).size >= 5, `places ${places}`);
  const world = worldWith({ pool: { cidr: '10.0.0.0/29', blockSize: 31 } });
  const node = ['a', 'b', 'c'].find((each) => startingPlace(each, 4) > 0)!;
  const start = startingPlace(node, 4);
  const found = Array.from({ length: 8 }, (_, index) => assign(world, { node, handle: `h${index}` }));
  const expected = [0, 1, 2, 3].flatMap((step) => {
    const base = ((start + step) % 4) * 2;
    return [`10.0.0.${base}`, `10.0.0.${base + 1}`];
  });
  assert.deepEqual(found, expected);
});

test('a released address is used again only after all others of its block', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
  assert.equal(assign(world, { handle: 'h0' }), '10.0.0.0');
  assert.equal(release(world, 'h0'), '10.0.0.0');
  const order = [1, 2, 3, 4].map((index) => assign(world, { handle: `h${index}` }));
  assert.deepEqual(order, ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.0']);
});

test('dual stack: both families in one plan, or neither', () => {
  const world = worldWith({
    four: { cidr: '10.0.0.0/31', blockSize: 31 },
    six: { cidr: 'fd00::/127', blockSize: 127 },
  });
  assert.equal(assign(world, { families: [6, 4] }), '10.0.0.0 fd00::');
  assert.equal(assign(world, { handle: 'i', families: [4] }), '10.0.0.1');
  assert.match(assign(world, { handle: 'j', families: [4, 6] }), /^exhausted: no IPv4 address/);
  assert.equal(world.handle('j'), undefined);
  assert.equal(assign(world, { handle: 'k', families: [6] }), 'fd00::1');
  assert.equal(release(world, 'h'), '10.0.0.0 fd00::');
});

test('a handle may get more addresses later, and releases them all', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/29', blockSize: 31 } });
  const found = [1, 2, 3].map(() => assign(world, { handle: 'Net_1.c..x-' }));
  assert.equal(world.all('IPAMHandle')[0]?.metadata.name, 'x4exetx5fx1.cx2ex.xx2dx');
  assert.deepEqual(Object.values(world.handle('Net_1.c..x-')?.spec.block ?? {}), [2, 1]);
  assert.deepEqual(release(world, 'Net_1.c..x-').split(' ').sort(), found.sort());
  assert.equal(world.handle('Net_1.c..x-'), undefined);
});

test('when its own blocks are full and none is left to claim, a node borrows, unless affinity is strict', () => {
  const world = worldWith({ pool: SMALL });
  assert.equal(claim(world, 'b', '10.0.0.0/31'), '2 writes');
  assert.equal(claim(world, 'c', '10.0.0.2/31'), '2 writes');
  const strict = assign(world, {}, { strictAffinity: true });
  assert.equal(
    strict,
    'exhausted: no IPv4 address is left for node a: pool (10.0.0.0/30) has 0 of 4 assigned: b 0 of 2 in 1 block, ' +
      'c 0 of 2 in 1 block; affinity is strict: free addresses in the blocks of others cannot be used. ' +
      'Release addresses, or add an IPPool',
  );
  const borrowed = [0, 1, 2, 3].map((index) => assign(world, { handle: `h${index}` }));
  assert.deepEqual([...borrowed].sort(), ['10.0.0.0', '10.0.0.1', '10.0.0.2', '10.0.0.3']);
  assert.deepEqual(owners(world), ['10.0.0.0/31 b', '10.0.0.2/31 c']);
  assert.match(
    assign(world, { handle: 'i' }),
    /has 4 of 4 assigned: b 2 of 2 in 1 block, c 2 of 2 in 1 block\. Release/,
  );
});

test('a node claims no more blocks than it may, of each family', () => {
  const world = worldWith({
    pool: { cidr: '10.0.0.0/24', blockSize: 32 },
    six: { cidr: 'fd00::/120', blockSize: 128 },
  });
  const limits = { blocksMax: 2, strictAffinity: true };
  assign(world, { handle: 'h0' }, limits);
  assign(world, { handle: 'h1' }, limits);
  assert.match(
    assign(world, { handle: 'h2' }, limits),
    /^exhausted: .*pool \(10.0.0.0\/24\) has 2 of 256 assigned: a 2 of 2 in 2 blocks; a has 2 blocks, and may claim no more than 2; affinity is strict/,
  );
  assert.match(assign(world, { handle: 'h3', families: [6] }, limits), /^fd00::/);
});

test('reserved addresses are assigned only when they are asked for', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/30', blockSize: 31 } }, ['10.0.0.0/31', '10.0.0.3/32']);
  assert.equal(assign(world, { handle: 'h0' }), '10.0.0.2');
  assert.match(assign(world, { handle: 'h1' }), /^exhausted: .* has 1 of 4 assigned, some reserved: a 1 of 2/);
  assert.equal(assign(world, { handle: 'h2', requestedAddresses: [ip('10.0.0.3')] }), '10.0.0.3');
  assert.equal(assign(world, { handle: 'h3', requestedAddresses: [ip('10.0.0.0')] }), '10.0.0.0');
  assert.match(assign(world, { handle: 'h4' }), /^exhausted: /);
});

const POOLS = {
  'a-manual': { cidr: '10.1.0.0/24', assignmentMode: 'Manual' },
  'b-off': { cidr: '10.2.0.0/24', disabled: true },
  'c-rack': { cidr: '10.3.0.0/24', nodeSelector: 'rack == "1"' },
  'd-tunnel': { cidr: '10.4.0.0/24', allowedUses: ['Tunnel'] },
  'e-six': { cidr: 'fd00::/112' },
};

const POOL_ROWS: readonly [Partial<Assignment>, RegExp][] = [
  [{ labels: { rack: '1' } }, /^10\.3\.0\./],
  [
    {},
    /^no-pool: no pool has IPv4 addresses for node a: a-manual \(10.1.0.0\/24\) has assignmentMode Manual, and was not asked for; b-off \(10.2.0.0\/24\) is disabled; c-rack \(10.3.0.0\/24\) has nodeSelector rack == "1", not this node; d-tunnel \(10.4.0.0\/24\) has allowedUses Tunnel, not Workload$/,
  ],
  [{ requestedPools: ['a-manual'] }, /^10\.1\.0\./],
  [{ requestedPools: ['10.1.0.0/24', 'fd00::/112'] }, /^10\.1\.0\./],
  [{ requestedPools: ['10.1.0.0/24', 'e-six'], families: [4, 6] }, /^10\.1\.0\.\d+ fd00::/],
  [{ requestedPools: ['a-manual'], families: [4, 6] }, /^10\.1\.0\.\d+ fd00::/],
  [{ requestedPools: ['e-six'], labels: { rack: '1' } }, /^10\.3\.0\./],
  [{ requestedPools: ['f-none'] }, /^no-pool: .*: f-none is no IPv4 pool$/],
  [{ requestedPools: ['b-off'] }, /^no-pool: .*b-off \(10.2.0.0\/24\) is disabled$/],
  [{ requestedPools: ['10.9.0.0/24', 'b-off'] }, /^no-pool: .*is disabled; 10.9.0.0\/24 is no IPv4 pool$/],
  [{ use: 'Tunnel' }, /^10\.4\.0\./],
  [{ requestedPools: ['a-manual', 'c-rack'], labels: { rack: '1' } }, /^10\.1\.0\./],
  [{ requestedPools: ['c-rack', 'a-manual'], labels: { rack: '1' } }, /^10\.3\.0\./],
  [{ families: [6] }, /^fd00::/],
];

test('pools are chosen by state, use, selector and wish', () => {
  for (const [changes, expected] of POOL_ROWS) assert.match(assign(worldWith(POOLS), changes), expected);
  assert.match(assign(new World()), /^no-pool: .*: there is no IPPool of IPv4$/);
});

test('pools choose namespaces by their labels, and by their names', () => {
  const pools = {
    'a-blue': { cidr: '10.1.0.0/24', namespaceSelector: 'team == "blue"' },
    'b-shop': {
      cidr: '10.2.0.0/24',
      namespaceSelector: 'projectcalico.org/name == "shop"',
      nodeSelector: 'rack == "1"',
    },
    'c-named': { cidr: '10.3.0.0/24', namespaceSelector: 'kubernetes.io/metadata.name in {"shop", "store"}' },
  };
  const blue = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'n1', labels: { team: 'blue' } } };
  const rows: [string | undefined, Record<string, string>, RegExp][] = [
    ['n1', {}, /^10\.1\.0\./],
    ['shop', {}, /^10\.3\.0\./],
    ['shop', { rack: '1' }, /^10\.2\.0\./],
    ['store', { rack: '1' }, /^10\.3\.0\./],
    [
      'n2',
      {},
      /^no-pool: .*a-blue \(10.1.0.0\/24\) has namespaceSelector team == "blue", not this namespace; b-shop .* not this node; c-named/,
    ],
    [undefined, {}, /^10\.1\.0\./],
  ];
  for (const [namespace, labels, expected] of rows) {
    const world = worldWith(pools);
    world.write('/resources/Namespace/n1', blue);
    assert.match(assign(world, { namespace, labels }), expected);
  }
});

test('without automatic blocks a node has only those that it was given', () => {
  const world = worldWith({ pool: SMALL });
  const limits = { strictAffinity: true, autoAllocateBlocks: false };
  const wish = { handle: 'w', requestedAddresses: [ip('10.0.0.3')], families: [] };
  assert.match(
    assign(world, {}, limits),
    /^exhausted: .*: pool \(10.0.0.0\/30\) has 0 of 4 assigned; autoAllocateBlocks is false/,
  );
  assert.match(assign(world, wish, limits), /^block-missing: 10.0.0.3 needs block 10.0.0.2\/31, which no node has/);
  assert.equal(claim(world, 'a', '10.0.0.2/31'), '2 writes');
  assert.equal(assign(world, {}, limits), '10.0.0.2');
  assert.equal(assign(world, wish, limits), '10.0.0.3');
});

test('the configuration says how a node takes blocks; without one, as Calico does', () => {
  const rows: [object | undefined, BlockLimits][] = [
    [undefined, { strictAffinity: false, blocksMax: 20, autoAllocateBlocks: true }],
    [{}, { strictAffinity: false, blocksMax: 20, autoAllocateBlocks: true }],
    [{ strictAffinity: true }, { strictAffinity: true, blocksMax: 20, autoAllocateBlocks: true }],
    [
      { strictAffinity: true, maxBlocksPerHost: 2, autoAllocateBlocks: false },
      { strictAffinity: true, blocksMax: 2, autoAllocateBlocks: false },
    ],
  ];
  for (const [spec, expected] of rows) {
    const world = new World();
    if (spec !== undefined) world.apply('IPAMConfiguration', 'default', spec);
    assert.deepEqual(blockLimitsOf(world.get('IPAMConfiguration', 'default')), expected);
  }
});

test('an address freed in a block that is nearly full rests while another block of the node has more', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/27', blockSize: 28 } });
  claim(world, 'a', '10.0.0.0/28');
  claim(world, 'a', '10.0.0.16/28');
  for (let index = 0; index < 16; index++) assign(world, { handle: `h${index}` });
  assert.equal(release(world, 'h8'), '10.0.0.8');
  const next = ['i0', 'i1', 'i2'].map((handle) => assign(world, { handle }));
  assert.equal(next.includes('10.0.0.8'), false, `${next}`);
  assert.equal(new Set(next.map((address) => Number(address.split('.')[3]) >> 4)).size > 1, true, `${next}`);
});

test('an assignment does not happen when its pool has changed since', () => {
  const world = worldWith({ pool: SMALL });
  assign(world);
  const request = {
    node: 'a',
    labels: {},
    handle: 'i',
    families: [4] as const,
    requestedAddresses: [],
    requestedPools: [],
  };
  const outcome = planAssign(
    world.snapshot('a'),
    undefined,
    { ...request, use: 'Workload', namespace: undefined, attributes: {} },
    blockLimitsOf(undefined),
  );
  world.apply('IPPool', 'pool', { ...SMALL, disabled: true });
  assert.equal(outcome.kind === 'planned' && world.commit(outcome.plan), false);
});

test('a requested address is taken where it lies', () => {
  const world = worldWith({ pool: SMALL, off: { cidr: '10.9.0.0/24', disabled: true } });
  const wish = (address: string) => ({ handle: `for-${address}`, requestedAddresses: [ip(address)], families: [] });
  assert.equal(claim(world, 'b', '10.0.0.2/31'), '2 writes');
  assert.equal(assign(world, wish('10.0.0.1')), '10.0.0.1');
  assert.deepEqual(owners(world), ['10.0.0.0/31 a', '10.0.0.2/31 b']);
  const rows: [string, Partial<BlockLimits>, RegExp][] = [
    ['10.0.0.1', {}, /^address-taken: 10.0.0.1 is assigned to handle for-10.0.0.1$/],
    [
      '10.0.0.2',
      { strictAffinity: true },
      /^block-owned: 10.0.0.2 is in block 10.0.0.2\/31 of node b, and affinity is strict; a/,
    ],
    ['10.0.0.2', {}, /^10.0.0.2$/],
    [
      '10.0.0.7',
      {},
      /^address-outside-pools: 10.0.0.7 is in no enabled pool for a Workload: off 10.9.0.0\/24 \(disabled\); pool 10.0.0.0\/30 \(Workload, Tunnel\)$/,
    ],
    ['10.9.0.7', {}, /^address-outside-pools: 10.9.0.7/],
  ];
  for (const [address, limits, expected] of rows) assert.match(assign(world, wish(address), limits), expected);
});

test('a topology may say which node owns which block', () => {
  const world = worldWith({
    pool: { cidr: '10.0.0.0/23', blockSize: 24 },
    off: { cidr: '10.9.0.0/24', disabled: true },
  });
  assert.equal(claim(world, 'a', '10.0.1.0/24'), '2 writes');
  assert.equal(claim(world, 'a', '10.0.1.0/24'), '0 writes');
  assert.equal(assign(world), '10.0.1.0');
  const rows: [string, RegExp][] = [
    ['10.0.1.0/24', /^block-owned: block 10.0.1.0\/24 belongs to node a; b cannot claim it$/],
    ['10.0.0.0/25', /^block-mismatch: block 10.0.0.0\/25 is in IPPool pool \(10.0.0.0\/23\), whose blocks are \/24$/],
    ['10.5.0.0/24', /^no-pool: block 10.5.0.0\/24 is in no IPPool/],
    ['10.9.0.0/26', /^no-pool: block 10.9.0.0\/26 is in IPPool off \(10.9.0.0\/24\), which is disabled$/],
    ['10.0.0.0/24', /^2 writes$/],
  ];
  for (const [block, expected] of rows) assert.match(claim(world, 'b', block), expected);
});

test('a block given up with addresses in use has no owner until it is claimed anew, or goes with its last address', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/29', blockSize: 31 } });
  assert.equal(claim(world, 'a', '10.0.0.0/31'), '2 writes');
  assert.equal(claim(world, 'a', '10.0.0.2/31'), '2 writes');
  assert.equal(assign(world), '10.0.0.0');
  const giveUp = (name: string) => {
    const affinity = world.all('BlockAffinity').find(({ metadata }) => metadata.name.endsWith(name));
    assert.ok(world.commit(planReleaseBlock(world.get('IPAMBlock', name)!, affinity)));
    world.check();
  };
  giveUp('10-0-0-0-31');
  giveUp('10-0-0-2-31');
  assert.deepEqual(owners(world), ['10.0.0.0/31 -']);
  assert.equal(claim(world, 'b', '10.0.0.0/31'), '2 writes');
  assert.deepEqual(owners(world), ['10.0.0.0/31 b']);
  giveUp('10-0-0-0-31');
  assert.equal(release(world, 'h'), '10.0.0.0');
  assert.deepEqual(owners(world), []);
});

test('one address can be released by itself', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/30', blockSize: 30 } });
  assign(world);
  assign(world);
  const releaseOne = (text: string) => {
    const block = blockWith(world.snapshot('a').blocks, ip(text))!;
    const { plan, released } = planReleaseAddress(block, world.handle('h'), ip(text));
    assert.ok(world.commit(plan));
    world.check();
    return released.map(formatIp);
  };
  assert.deepEqual(releaseOne('10.0.0.0'), ['10.0.0.0']);
  assert.deepEqual(releaseOne('10.0.0.0'), []);
  assert.deepEqual(world.handle('h')?.spec.block, { '10.0.0.0/30': 1 });
  assert.deepEqual(releaseOne('10.0.0.1'), ['10.0.0.1']);
  assert.equal(world.handle('h'), undefined);
});

test('empty blocks are given up but for one of each family, and none in a pool that serves the node no more', () => {
  const world = worldWith({
    four: { cidr: '10.0.0.0/29', blockSize: 31 },
    off: { cidr: '10.9.0.0/31', blockSize: 31, nodeSelector: 'rack == "1"' },
    six: { cidr: 'fd00::/126', blockSize: 127 },
  });
  for (const block of ['10.0.0.0/31', '10.0.0.2/31', '10.9.0.0/31', 'fd00::/127', 'fd00::2/127'])
    claim(world, 'a', block);
  claim(world, 'b', '10.0.0.4/31');
  const tidy = (labels: Record<string, string>) => {
    assert.ok(world.commit(planReleaseEmptyBlocks(world.snapshot('a', 'own'), 'a', labels)));
    world.check();
    return owners(world);
  };
  assert.deepEqual(tidy({}), ['10.0.0.0/31 a', '10.0.0.4/31 b', 'fd00::/127 a']);
  assert.equal(assign(world, { requestedAddresses: [ip('10.0.0.3')] }), '10.0.0.3');
  assert.deepEqual(tidy({}), ['10.0.0.2/31 a', '10.0.0.4/31 b', 'fd00::/127 a']);
});

test('a pool that was made anew with another blockSize gets no block over an old one', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/30', blockSize: 31 } });
  assert.equal(claim(world, 'b', '10.0.0.2/31'), '2 writes');
  world.apply('IPPool', 'pool', { cidr: '10.0.0.0/29', blockSize: 30 });
  assert.equal(assign(world), '10.0.0.4');
  assert.match(claim(world, 'a', '10.0.0.0/30'), /^block-mismatch: block 10.0.0.0\/30 overlaps block 10.0.0.2\/31/);
  const wish = { handle: 'i', requestedAddresses: [ip('10.0.0.1')] };
  assert.match(
    assign(world, wish),
    /^block-mismatch: 10.0.0.1 needs block 10.0.0.0\/30, but it overlaps block 10.0.0.2\/31$/,
  );
});

test('what cannot be read is passed over, not overwritten', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/31', blockSize: 32 } });
  world.write('/resources/IPAMBlock/10-0-0-0-32', 'broken');
  assert.equal(assign(world), '10.0.0.1');
  assert.match(
    claim(world, 'a', '10.0.0.0/32'),
    /^block-mismatch: .*cannot be read; remove \/resources\/IPAMBlock\/10-0-0-0-32$/,
  );
  assert.match(
    assign(world, { handle: 'i', requestedAddresses: [ip('10.0.0.0')] }),
    /^block-mismatch: .*cannot be read$/,
  );
});

test('handles that meet in one name are refused, and so are those that make no name', () => {
  const world = worldWith({ pool: SMALL });
  assert.equal(assign(world, { handle: 'a_' }).length > 0, true);
  assert.match(assign(world, { handle: 'ax5fx' }), /^handle-invalid: handle "ax5fx" clashes with handle "a_"/);
  assert.match(assign(world, { handle: 'x'.repeat(254) }), /^handle-invalid: .* 254 characters/);
  assert.match(assign(world, { handle: '' }), /^handle-invalid: .* 0 characters/);
});

test('a claim does not happen when its pool has changed since', () => {
  const world = worldWith({ pool: SMALL });
  const outcome = planClaim(world.snapshot('a'), 'a', cidr('10.0.0.0/31'));
  world.apply('IPPool', 'pool', { ...SMALL, disabled: true });
  assert.equal(outcome.kind === 'planned' && world.commit(outcome.plan), false);
});

test('claims in states that others left are finished or left alone', () => {
  const world = worldWith({ pool: { cidr: '10.0.0.0/30', blockSize: 32 } });
  const affinity = (index: number, state: string) =>
    world.apply('BlockAffinity', `a-10-0-0-${index}-32`, { node: 'a', cidr: `10.0.0.${index}/32`, state });
  const block = (index: number, deleted: boolean) =>
    world.apply('IPAMBlock', `10-0-0-${index}-32`, {
      ...{
        cidr: `10.0.0.${index}/32`,
        affinity: 'host:a',
        allocations: [null],
        unallocated: [0],
        attributes: [],
        deleted,
      },
    });
  affinity(0, 'pendingDeletion');
  block(0, false);
  affinity(1, 'confirmed');
  block(1, true);
  affinity(2, 'pending');
  assert.equal(claim(world, 'a', '10.0.0.2/32'), '2 writes');
  assert.equal(claim(world, 'a', '10.0.0.2/32'), '0 writes');
  assert.equal(assign(world, { handle: 'h1' }), '10.0.0.2');
  affinity(3, 'pending');
  assert.equal(assign(world, { handle: 'h2' }), '10.0.0.3');
  assert.match(assign(world, { handle: 'i' }), /^exhausted: /);
  assert.equal(world.get('BlockAffinity', 'a-10-0-0-3-32')?.spec.state, 'confirmed');
});
