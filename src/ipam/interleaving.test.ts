/**
 * Hosts that assign and release at once, each deciding on a snapshot that may be old: whatever the order, compare-and-swap
 * lets no address be given twice, no block have two owners, and nothing leak. A failure prints its seed; IPAM_SEED repeats it.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../lib/prng.ts';
import { formatIp } from '../net/ip.ts';
import { type Assignment, planAssign } from './assign.ts';
import type { Plan } from './plan.ts';
import { planReleaseEmptyBlocks, planReleaseHandle } from './release.ts';
import { World } from './world.suite.ts';

const SEEDS = 12;
const STEPS = 250;
const NODES = ['a', 'b', 'c', 'd'];
const LIMITS = { strictAffinity: false, blocksMax: 3, autoAllocateBlocks: true };

/** What a host has planned and not yet carried out; `done` is called when it has been. */
interface Pending {
  readonly plan: Plan;
  readonly done: () => void;
}

function run(seed: number): { readonly commits: number; readonly conflicts: number; readonly exhausted: number } {
  const random = seededRandom(seed);
  const pick = <Item>(items: readonly Item[]): Item => items[Math.floor(random() * items.length)]!;
  const world = new World();
  world.apply('IPPool', 'four', { cidr: '10.0.0.0/28', blockSize: 30 });
  world.apply('IPPool', 'six', { cidr: 'fd00::/125', blockSize: 127 });
  world.apply('IPReservation', 'r', { reservedCIDRs: ['10.0.0.5/32'] });
  /** Who has which address, by what the hosts were told. */
  const model = new Map<string, string>();
  const pending = new Map<string, Pending>();
  const counts = { commits: 0, conflicts: 0, exhausted: 0 };
  let handles = 0;

  const plan = (node: string): Pending | undefined => {
    const action = random();
    if (action < 0.55 || model.size === 0) {
      const handle = random() < 0.8 ? `h${handles++}` : `shared${Math.floor(random() * 3)}`;
      const families = pick<readonly (4 | 6)[]>([[4], [6], [4, 6]]);
      const assignment: Assignment = {
        ...{
          node,
          labels: {},
          handle,
          families,
          requestedAddresses: [],
          requestedPools: [],
          use: 'Workload' as const,
          namespace: undefined,
        },
        attributes: { node },
      };
      const coverage = random() < 0.5 ? 'own' : 'all';
      const narrow = planAssign(world.snapshot(node, coverage), world.handle(handle), assignment, LIMITS);
      const outcome =
        narrow.kind === 'incomplete'
          ? planAssign(world.snapshot(node), world.handle(handle), assignment, LIMITS)
          : narrow;
      if (outcome.kind !== 'planned') {
        assert.ok(outcome.kind === 'failed' && outcome.code === 'exhausted', JSON.stringify(outcome));
        counts.exhausted += 1;
        return undefined;
      }
      const take = () => {
        for (const address of outcome.addresses.map(formatIp)) {
          assert.ok(!model.has(address), `${address} was ${model.get(address)}'s, and was given to ${handle}`);
          assert.notEqual(address, '10.0.0.5', 'reserved');
          model.set(address, handle);
        }
      };
      return { plan: outcome.plan, done: take };
    }
    if (action < 0.9) {
      const handle = pick([...model.values()]);
      const { plan, released } = planReleaseHandle(world.handle(handle)!, world.snapshot(node).blocks);
      const giveBack = () => {
        const had = [...model].filter(([, holder]) => holder === handle).map(([address]) => address);
        assert.deepEqual(released.map(formatIp).sort(), had.sort());
        for (const address of had) model.delete(address);
      };
      return { plan, done: giveBack };
    }
    return { plan: planReleaseEmptyBlocks(world.snapshot(node, 'own'), node, {}), done: () => {} };
  };

  for (let step = 0; step < STEPS; step++) {
    const node = pick(NODES);
    const waiting = pending.get(node);
    if (waiting === undefined) {
      const planned = plan(node);
      if (planned !== undefined) pending.set(node, planned);
      continue;
    }
    pending.delete(node);
    if (!world.commit(waiting.plan)) {
      counts.conflicts += 1;
      continue;
    }
    counts.commits += 1;
    waiting.done();
    world.check();
  }

  const total = world
    .all('IPAMBlock')
    .flatMap((block) => block.spec.allocations.filter((index) => index !== null)).length;
  assert.equal(total, model.size, 'what blocks hold is what the hosts were told');
  for (const handle of new Set(model.values())) {
    assert.ok(world.commit(planReleaseHandle(world.handle(handle)!, world.snapshot('').blocks).plan));
  }
  world.check();
  assert.deepEqual(world.all('IPAMHandle'), []);
  return counts;
}

test('hosts on stale snapshots never get the same address or block, and leak nothing', () => {
  const seed = Number(process.env.IPAM_SEED ?? 1);
  const sum = { commits: 0, conflicts: 0, exhausted: 0 };
  for (let each = seed; each < seed + SEEDS; each++) {
    try {
      const counts = run(each);
      sum.commits += counts.commits;
      sum.conflicts += counts.conflicts;
      sum.exhausted += counts.exhausted;
    } catch (error) {
      throw new Error(`IPAM_SEED=${each} fails`, { cause: error });
    }
  }
  // A run without conflicts and shortages would prove nothing.
  assert.ok(sum.commits > 600 && sum.conflicts > 100 && sum.exhausted > 10, JSON.stringify(sum));
});
