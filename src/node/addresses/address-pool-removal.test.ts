/** Removing a pool while a host is about to take an address from it: at whatever moment it does, no address is left without a pool. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { usageOf } from '../../ipam/usage.ts';
import type { Json } from '../../lib/json.ts';
import { resourceKey } from '../../model/resource-key.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { Store } from '../../store/store.ts';
import { AddressAllocator } from './address-allocator.ts';
import { removePool } from './address-pool-removal.ts';
import { readSurvey } from './address-survey.ts';

const POOL = resourceKey({ kind: 'IPPool', name: 'pool' });

async function storeWithPool(spec: object = {}): Promise<Store> {
  const store = openMemoryStore();
  const pool = { cidr: '10.0.0.0/28', blockSize: 30, ...spec };
  const value: Json = { apiVersion: 'projectcalico.org/v3', kind: 'IPPool', metadata: { name: 'pool' }, spec: pool };
  await store.transact({ expect: [], writes: [{ kind: 'put', key: POOL, value }] });
  return store;
}

const request = (node: string) => ({
  ...{ node, labels: {}, handle: `of-${node}`, families: [4 as const], requestedAddresses: [], requestedPools: [] },
  ...{ use: 'Workload' as const, namespace: undefined, attributes: {} },
});

/** The store with `before` done ahead of its transaction number `at`. */
function interrupted(store: Store, at: number, before: () => Promise<void>): Store & { transactions: number } {
  const view = {
    ...{ transactions: 0, description: 'interrupted', close: async () => {}, watch: store.watch.bind(store) },
    ...{ get: store.get.bind(store), list: store.list.bind(store) },
    transact: async (transaction: Parameters<Store['transact']>[0]) => {
      view.transactions += 1;
      if (view.transactions === at) await before();
      return store.transact(transaction);
    },
  };
  return view;
}

/** A host that has read all that it decides on, and carries its plan out when it is told to. */
async function waitingHost(store: Store, node: string): Promise<{ readonly goOn: () => Promise<boolean> }> {
  const reached = Promise.withResolvers<void>();
  const gate = Promise.withResolvers<void>();
  const view = interrupted(store, 1, async () => {
    reached.resolve();
    await gate.promise;
  });
  const assigned = new AddressAllocator(view).assign(request(node)).then(
    () => true,
    () => false,
  );
  await reached.promise;
  return {
    goOn: () => {
      gate.resolve();
      return assigned;
    },
  };
}

for (const ownsBlock of [true, false]) {
  test(`a host that takes an address meanwhile, from ${ownsBlock ? 'a block of its own' : 'a new block'}, is refused or keeps the pool`, async () => {
    const kinds = new Set<string>();
    for (let at = 1; at <= 4; at++) {
      const store = await storeWithPool();
      for (const node of ownsBlock ? ['a', 'b'] : ['b']) {
        await new AddressAllocator(store).assign(request(node));
        await new AddressAllocator(store).release(`of-${node}`);
      }
      const host = await waitingHost(store, 'a');
      let hasAddress = false;
      const view = interrupted(store, at, async () => {
        hasAddress = await host.goOn();
      });
      const { kind } = await removePool(view, POOL, false);
      if (view.transactions < at) hasAddress = await host.goOn();
      assert.equal(kind, hasAddress ? 'in-use' : 'removed', `at transaction ${at}`);
      const usage = usageOf(await readSurvey(store));
      assert.deepEqual(
        usage.map(({ name, inUse, isDisabled }) => ({ name, inUse, isDisabled })),
        hasAddress ? [{ name: 'pool', inUse: 1, isDisabled: false }] : [],
      );
      kinds.add(kind);
    }
    assert.deepEqual([...kinds].sort(), ['in-use', 'removed'], 'both ends were met');
  });
}

test('a pool that was disabled stays so when it cannot be removed; one that is not there is missing', async () => {
  const store = await storeWithPool();
  await new AddressAllocator(store).assign(request('a'));
  const survey = await readSurvey(store);
  assert.deepEqual(await removePool(store, POOL, false), {
    kind: 'in-use',
    message: '1 of its addresses is in use: 1 in blocks of a',
  });
  assert.deepEqual((await readSurvey(store)).all('IPPool'), survey.all('IPPool'));
  assert.deepEqual(await removePool(store, resourceKey({ kind: 'IPPool', name: 'x' }), false), { kind: 'missing' });
});

test('a pool that cannot be read is removed all the same', async () => {
  const store = await storeWithPool();
  await store.transact({ expect: [], writes: [{ kind: 'put', key: POOL, value: 'broken' }] });
  assert.deepEqual(await removePool(store, POOL, true), { kind: 'removed' });
  assert.deepEqual(await removePool(store, POOL, false), { kind: 'removed' });
  assert.equal(await store.get(POOL), undefined);
});
