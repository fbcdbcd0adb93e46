/**
 * Twenty hosts that assign, release and change pools at once and are killed between any two calls of the store: no address
 * is ever given twice, no block has two owners, and after recovery nothing is leaked. For any store, which must be empty.
 *
 * Every call of the store waits for its turn, which a seeded scheduler gives, so an order of calls is a function of the seed. A host
 * that is killed loses its calls that wait, or the answer to the one that had its turn. Half of the hosts write addresses and
 * endpoints in two steps, or claim blocks in three, as agents of others do. Somebody repairs all the while.
 */
import assert from 'node:assert/strict';
import { LEAK_GRACE_MS } from '../../ipam/check.ts';
import { World } from '../../ipam/world.suite.ts';
import type { Random } from '../../lib/prng.ts';
import { seededRandom } from '../../lib/prng.ts';
import { parseResourceKey, RESOURCES_PREFIX, resourceKey } from '../../model/resource-key.ts';
import { cidr, overlaps } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import type { Json, Store, Transaction, Write } from '../../store/store.ts';
import { revision, StoreError } from '../../store/store.ts';
import { AddressAllocator, AllocationError } from './address-allocator.ts';
import { removePool } from './address-pool-removal.ts';
import { readSurvey, repair } from './address-survey.ts';

const HOSTS = Array.from({ length: 20 }, (_, index) => `h${index}`);
const STEP_MS = 1000;
/** Enough for whatever follows a call's answer to come to its next call; a longer way only makes another order. */
const TICKS = 60;
const POOLS: Readonly<Record<string, Json>> = {
  four: { cidr: '10.0.0.0/26', blockSize: 29 },
  more: { cidr: '10.0.1.0/27', blockSize: 29 },
  six: { cidr: 'fd00::/121', blockSize: 125 },
  /** Comes and goes. */
  spare: { cidr: '10.0.2.0/29', blockSize: 30, assignmentMode: 'Manual' },
};

interface Call {
  readonly host: string;
  readonly run: () => Promise<void>;
}

interface Container {
  readonly host: string;
  readonly handle: string;
  readonly key: string;
  readonly addresses: readonly string[];
}

class Model {
  readonly random: Random;
  readonly store: Store;
  readonly calls: Call[] = [];
  /** What really runs, by handle: survives the death of an agent, as containers do. */
  readonly running = new Map<string, Container>();
  readonly counts = { attached: 0, detached: 0, refused: 0, killed: 0, repaired: 0, removed: 0 };
  readonly #busy = new Set<string>();
  now = Date.parse('2026-05-01T00:00:00Z');
  #handles = 0;

  constructor(store: Store, seed: number) {
    this.store = store;
    this.random = seededRandom(seed);
  }

  pick<Item>(items: readonly Item[]): Item {
    return items[Math.floor(this.random() * items.length)]!;
  }

  /** The store as `host` has it: each call waits for its turn. */
  view(host: string): Store {
    const isAlive = this.life(host);
    const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> =>
      new Promise((resolve, reject) => {
        const run = async () => {
          const [outcome] = await Promise.allSettled([work()]);
          if (!isAlive()) return; // the dead hear no answer
          if (outcome.status === 'fulfilled') resolve(outcome.value);
          else reject(outcome.reason);
        };
        if (isAlive()) this.calls.push({ host, run });
      });
    return {
      ...{ description: host, close: async () => {}, watch: () => assert.fail('nobody watches') },
      get: (key) => inTurn(() => this.store.get(key)),
      list: (prefix) => inTurn(() => this.store.list(prefix)),
      transact: (transaction) =>
        inTurn(() => {
          this.hasWritten = true;
          return this.store.transact(transaction);
        }),
    };
  }

  async run(steps: number): Promise<void> {
    for (const name of Object.keys(POOLS)) await this.makePool(this.store, name);
    for (let step = 0; step < steps; step++) {
      this.now += STEP_MS;
      for (const host of HOSTS) if (!this.#busy.has(host)) this.begin(host, this.action(host, this.view(host)));
      if (!this.#busy.has('admin') && this.random() < 0.1) this.begin('admin', this.administer(this.view('admin')));
      await this.turn();
    }
    // Those who have just been answered come to their next call within a turn's ticks.
    for (let idle = 0; idle < 3; idle++) {
      if (this.calls.length > 0) idle = 0;
      await this.turn(0);
    }
  }

  /** Gives one call its turn, or kills its host before or after it. */
  async turn(killChance = 0.03): Promise<void> {
    for (let tick = 0; tick < TICKS; tick++) await Promise.resolve();
    const [call] = this.calls.splice(Math.floor(this.random() * this.calls.length), 1);
    if (call === undefined) return;
    const fate = this.random();
    if (fate < killChance) this.kill(call.host);
    if (fate < killChance / 2) return;
    const answered = call.run();
    if (fate < killChance) this.kill(call.host);
    await answered;
    if (this.hasWritten) await this.checkBlocks();
    this.hasWritten = false;
  }

  /** Whatever the host was at comes to nothing: its calls have no turn, and their answers no reader. */
  kill(host: string): void {
    this.counts.killed += 1;
    this.#lives.set(host, (this.#lives.get(host) ?? 0) + 1);
    for (let index = this.calls.length - 1; index >= 0; index--) {
      if (this.calls[index]?.host === host) this.calls.splice(index, 1);
    }
    this.#busy.delete(host);
  }

  readonly #lives = new Map<string, number>();

  /** Says whether the host is still in the life in which this was asked for. */
  life(host: string): () => boolean {
    const life = this.#lives.get(host);
    return () => this.#lives.get(host) === life;
  }

  begin(host: string, action: Promise<void>): void {
    this.#busy.add(host);
    const isAlive = this.life(host);
    const end = (error?: unknown) => {
      if (!isAlive()) return;
      this.#busy.delete(host);
      if (error === undefined) return;
      const isRefusal = error instanceof AllocationError || error instanceof StoreError;
      if (!isRefusal) this.failure ??= error;
      this.counts.refused += 1;
    };
    action.then(() => end(), end);
  }

  failure: unknown;
  hasWritten = false;

  async action(host: string, store: Store): Promise<void> {
    const isAlive = this.life(host);
    const own = [...this.running.values()].filter((container) => container.host === host);
    const choice = this.random();
    const isPlain = this.random() < 0.5;
    const allocator = new AddressAllocator(store, { now: () => this.now });
    if (choice < 0.45 || own.length === 0) {
      const handle = `net.${host}.${this.#handles++}`;
      const key = resourceKey({ kind: 'WorkloadEndpoint', namespace: 'default', name: handle.replaceAll('.', '-') });
      const families = this.pick<readonly (4 | 6)[]>([[4], [6], [4, 6]]);
      const requestedPools = this.random() < 0.2 ? ['spare'] : [];
      const request = { node: host, labels: {}, handle, families, requestedAddresses: [], requestedPools };
      const assignment = { ...request, use: 'Workload' as const, namespace: 'default', attributes: { node: host } };
      const put = (addresses: readonly { readonly family: 4 | 6; readonly bytes: Uint8Array }[]): Transaction => ({
        expect: [{ key, revision: revision(0) }],
        writes: [{ kind: 'put', key, value: endpointOf(key, host, addresses.map(formatIp)) }],
      });
      const addresses = isPlain ? await allocator.assign(assignment, put) : await allocator.assign(assignment);
      if (!isPlain) await store.transact(put(addresses));
      if (isAlive()) this.attach({ host, handle, key, addresses: addresses.map(formatIp) });
    } else if (choice < 0.85) {
      const { handle, key } = this.pick(own);
      this.running.delete(handle);
      this.counts.detached += 1;
      const remove: Transaction = { expect: [], writes: [{ kind: 'remove', key }] };
      if (!isPlain) await store.transact(remove);
      await allocator.release(handle, isPlain ? remove : undefined);
    } else if (choice < 0.93) {
      await allocator.releaseEmptyBlocks(host, {});
    } else {
      await this.claimInSteps(host, store);
    }
  }

  attach(container: Container): void {
    this.counts.attached += 1;
    for (const { addresses, handle } of this.running.values()) {
      for (const address of container.addresses)
        assert.ok(!addresses.includes(address), `${address} of ${handle} was given to ${container.handle}`);
    }
    this.running.set(container.handle, container);
  }

  /** Calico's way: claim, block, confirmation. */
  async claimInSteps(host: string, store: Store): Promise<void> {
    const ordinal = Math.floor(this.random() * 8);
    const name = `10-0-0-${ordinal * 8}-29`;
    const blockCidr = `10.0.0.${ordinal * 8}/29`;
    const key = resourceKey({ kind: 'BlockAffinity', name: `${host}-${name}` });
    const affinity = (state: string): Write => ({
      ...{ kind: 'put', key },
      value: document('BlockAffinity', `${host}-${name}`, { node: host, cidr: blockCidr, state, deleted: false }),
    });
    const begun = await store.transact({ expect: [{ key, revision: revision(0) }], writes: [affinity('pending')] });
    if (!begun.ok) return;
    const block = resourceKey({ kind: 'IPAMBlock', name });
    const places = [0, 1, 2, 3, 4, 5, 6, 7];
    const spec = { affinity: `host:${host}`, allocations: places.map(() => null), unallocated: places, attributes: [] };
    const value = document('IPAMBlock', name, { cidr: blockCidr, ...spec, deleted: false });
    const made = await store.transact({
      expect: [{ key: block, revision: revision(0) }],
      writes: [{ kind: 'put', key: block, value }],
    });
    const expect = [{ key, revision: begun.revision }];
    await store.transact({ expect, writes: [made.ok ? affinity('confirmed') : { kind: 'remove', key }] });
  }

  async administer(store: Store): Promise<void> {
    const name = this.random() < 0.5 ? 'spare' : this.pick(Object.keys(POOLS));
    const choice = this.random();
    if (choice < 0.2) {
      this.counts.repaired += (await repair(store, { now: this.now, graceMs: LEAK_GRACE_MS })).done.length;
    } else if (choice < 0.6) {
      const removal = await removePool(store, resourceKey({ kind: 'IPPool', name }), false);
      if (removal.kind === 'removed') this.counts.removed += 1;
    } else await this.makePool(store, name, choice < 0.7);
  }

  async makePool(store: Store, name: string, disabled = false): Promise<void> {
    const key = resourceKey({ kind: 'IPPool', name });
    const value = document('IPPool', name, { ...(POOLS[name] as object), disabled });
    await store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
  }

  /** No two blocks overlap, and whatever runs has its addresses. */
  async checkBlocks(): Promise<void> {
    const { entries } = await this.store.list(`${RESOURCES_PREFIX}IPAMBlock/`);
    const specs = entries.map(({ value }) => (value as unknown as { spec: BlockSpec }).spec);
    const prefixes = specs.map((spec) => cidr(spec.cidr));
    for (const [index, prefix] of prefixes.entries()) {
      for (const other of prefixes.slice(index + 1)) assert.ok(!overlaps(prefix, other), 'blocks overlap');
    }
    const held = specs.flatMap((spec) =>
      spec.allocations.flatMap((index) => (index === null ? [] : [spec.attributes[index]!.handle_id])),
    );
    const counts = Map.groupBy(held, (handle) => handle);
    for (const { handle, addresses } of this.running.values())
      assert.equal(counts.get(handle)?.length, addresses.length, `${handle} runs and has lost an address`);
  }

  /** What is left after all agents are back: the runtime removes endpoints of containers that it does not know. */
  async recover(): Promise<void> {
    const keys = new Set([...this.running.values()].map(({ key }) => key));
    const { entries } = await this.store.list(`${RESOURCES_PREFIX}WorkloadEndpoint/`);
    for (const { key } of entries) {
      if (!keys.has(key)) await this.store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
    }
    this.now += 2 * LEAK_GRACE_MS;
    const leaks = await repair(this.store, { now: this.now, graceMs: LEAK_GRACE_MS });
    this.counts.repaired += leaks.done.length;
    assert.deepEqual(leaks.left, []);
    const world = new World();
    for (const { key, value } of (await this.store.list(RESOURCES_PREFIX)).entries) {
      assert.ok(parseResourceKey(key));
      world.write(key, value);
    }
    world.check();
    const handles = (await readSurvey(this.store)).all('IPAMHandle').map(({ spec }) => spec.handleID);
    assert.deepEqual(handles.sort(), [...this.running.keys()].sort());
  }
}

interface BlockSpec {
  readonly cidr: string;
  readonly allocations: readonly (number | null)[];
  readonly attributes: readonly { readonly handle_id: string }[];
}

function document(kind: string, name: string, spec: Json, namespace?: string): Json {
  const metadata = namespace === undefined ? { name } : { name, namespace };
  return { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
}

function endpointOf(key: string, node: string, addresses: readonly string[]): Json {
  const ipNetworks = addresses.map((address) => `${address}/${address.includes(':') ? 128 : 32}`);
  const spec = { node, interfaceName: 'cali1', ipNetworks };
  return document('WorkloadEndpoint', parseResourceKey(key)!.name, spec, 'default');
}

/** What happened in runs; one in which little happens would prove nothing. */
export type ModelCounts = Model['counts'];

/** One run and its recovery; throws when something does not hold, with the seed that repeats it. */
export async function runAddressModel(store: Store, seed: number, steps: number): Promise<ModelCounts> {
  const model = new Model(store, seed);
  try {
    await model.run(steps);
    if (model.failure !== undefined) throw model.failure;
    await model.recover();
    return model.counts;
  } catch (error) {
    throw new Error(`seed ${seed} fails`, { cause: error });
  }
}
