/** The allocator over a store: races, retries, and what is written with an assignment. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Assignment } from '../../ipam/assign.ts';
import type { AnyResource } from '../../model/kinds.ts';
import { resourceOfEntry, valueOfResource } from '../../model/resource-entry.ts';
import { keyOf, kindPrefix } from '../../model/resource-key.ts';
import { validateResource } from '../../model/validate.ts';
import { cidr } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { revision, type Store, type Transaction } from '../../store/store.ts';
import { AddressAllocator, AllocationError } from './address-allocator.ts';

async function storeWith(pools: Record<string, object>): Promise<Store> {
  const store = openMemoryStore();
  for (const [name, spec] of Object.entries(pools)) await apply(store, 'IPPool', name, spec);
  return store;
}

async function apply(store: Store, kind: string, name: string, spec: object): Promise<void> {
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name }, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  const write = { kind: 'put', key: keyOf(validated.resource), value: valueOfResource(validated.resource) } as const;
  await store.transact({ expect: [], writes: [write] });
}

async function all(store: Store, kind: AnyResource['kind']): Promise<AnyResource[]> {
  const { entries } = await store.list(kindPrefix(kind));
  return entries.map((entry) => {
    const reading = resourceOfEntry(entry);
    assert.ok(reading.ok, JSON.stringify(reading));
    return reading.resource;
  });
}

const assignment = (node: string, handle: string, changes: Partial<Assignment> = {}): Assignment => ({
  node,
  labels: {},
  handle,
  families: [4],
  requestedAddresses: [],
  requestedPools: [],
  use: 'Workload',
  namespace: undefined,
  attributes: {},
  ...changes,
});

const POOL = { pool: { cidr: '10.0.0.0/24', blockSize: 28 } };

/** A store that counts calls, and lets a test do something just before a transaction. */
function observed(store: Store): Store & { readonly calls: string[]; beforeTransact: () => Promise<void> } {
  const observer = {
    description: 'observed',
    calls: [] as string[],
    beforeTransact: async (): Promise<void> => {},
    get: (key: string) => {
      observer.calls.push(`get ${key}`);
      return store.get(key);
    },
    list: (prefix: string) => {
      observer.calls.push(`list ${prefix}`);
      return store.list(prefix);
    },
    transact: async (transaction: Transaction) => {
      observer.calls.push('transact');
      await observer.beforeTransact();
      return store.transact(transaction);
    },
    watch: (prefix: string, from: Parameters<Store['watch']>[1], signal: AbortSignal) =>
      store.watch(prefix, from, signal),
    close: () => store.close(),
  };
  return observer;
}

test('a container is assigned and released', async () => {
  const store = await storeWith({ ...POOL, six: { cidr: 'fd00::/120' } });
  const allocator = new AddressAllocator(store);
  const addresses = await allocator.assign(assignment('a', 'h', { families: [4, 6] }));
  assert.deepEqual(
    addresses.map((address) => address.family),
    [4, 6],
  );
  assert.equal((await all(store, 'IPAMHandle')).length, 1);
  assert.deepEqual((await allocator.release('h')).map(formatIp), addresses.map(formatIp));
  assert.deepEqual(await all(store, 'IPAMHandle'), []);
  assert.deepEqual(await allocator.release('h'), []);
  assert.equal((await all(store, 'IPAMBlock')).length, 2);
});

test('from the second address on, only the node’s own blocks are read, and one transaction is made', async () => {
  const store = observed(await storeWith(POOL));
  const allocator = new AddressAllocator(store);
  await new AddressAllocator(store).assign(assignment('a-b', 'other'));
  await allocator.claimBlock('a', cidr('10.0.0.16/28'));
  store.calls.length = 0;
  await allocator.claimBlock('a', cidr('10.0.0.16/28'));
  assert.equal(store.calls.includes('transact'), false, 'nothing to write, no transaction');
  store.calls.length = 0;
  await allocator.assign(assignment('a', 'h'));
  assert.deepEqual(store.calls.sort(), [
    'get /resources/IPAMBlock/10-0-0-16-28',
    'get /resources/IPAMConfiguration/default',
    'get /resources/IPAMHandle/h',
    'list /resources/BlockAffinity/a-',
    'list /resources/IPPool/',
    'list /resources/IPReservation/',
    'transact',
  ]);
});

test('hosts that start many containers at once all get addresses of their own', async () => {
  const store = await storeWith(POOL);
  const hosts = ['a', 'b', 'c', 'd'].map((node) => ({ node, allocator: new AddressAllocator(store) }));
  const found = await Promise.all(
    hosts.flatMap(({ node, allocator }) =>
      Array.from({ length: 64 }, (_, index) => allocator.assign(assignment(node, `${node}.${index}`))),
    ),
  );
  assert.equal(new Set(found.flat().map(formatIp)).size, 256);
  await assert.rejects(hosts[0]!.allocator.assign(assignment('a', 'one-more')), (error) => {
    assert.ok(error instanceof AllocationError && error.code === 'exhausted');
    assert.match(error.message, /pool \(10.0.0.0\/24\) has 256 of 256 assigned: . \d+ of \d+ in \d+ blocks/);
    return true;
  });
  await Promise.all(
    hosts.flatMap(({ node, allocator }) =>
      Array.from({ length: 64 }, (_, index) => allocator.release(`${node}.${index}`)),
    ),
  );
  assert.deepEqual(await all(store, 'IPAMHandle'), []);
});

test('whoever is overtaken plans anew on what is there now', async () => {
  const store = observed(await storeWith({ pool: { cidr: '10.0.0.0/31', blockSize: 31 } }));
  const rival = new AddressAllocator(store);
  let overtaken = 0;
  store.beforeTransact = async () => {
    if (overtaken++ > 0) return;
    await rival.assign(assignment('b', 'rival'));
  };
  const addresses = await new AddressAllocator(store).assign(assignment('a', 'h'));
  assert.deepEqual(addresses.map(formatIp), ['10.0.0.1']);
  assert.equal(store.calls.filter((call) => call === 'transact').length, 3);
});

test('a store that conflicts for ever is given up', async () => {
  const store = observed(await storeWith(POOL));
  store.transact = async ({ expect }) => ({ ok: false, conflicts: expect.map(({ key }) => key) });
  await assert.rejects(new AddressAllocator(store).assign(assignment('a', 'h')), {
    code: 'busy',
    message: 'cannot assign addresses to h: other hosts were faster 100 times; try again later',
  });
});

test('what the caller writes with it happens with the assignment or not at all', async () => {
  const store = await storeWith(POOL);
  const allocator = new AddressAllocator(store);
  const also = (addresses: readonly { bytes: Uint8Array }[]): Transaction => ({
    expect: [{ key: '/mine', revision: revision(0) }],
    writes: [{ kind: 'put', key: '/mine', value: addresses.length }],
  });
  await allocator.assign(assignment('a', 'h'), also);
  assert.equal((await store.get('/mine'))?.value, 1);
  await assert.rejects(allocator.assign(assignment('a', 'i'), also), {
    code: 'conflict',
    message: 'cannot assign addresses to i: changed meanwhile: /mine',
  });
  assert.deepEqual(
    (await all(store, 'IPAMHandle')).map(({ metadata }) => metadata.name),
    ['h'],
  );
  const remove: Transaction = { expect: [], writes: [{ kind: 'remove', key: '/mine' }] };
  await allocator.release('h', remove);
  assert.equal(await store.get('/mine'), undefined);
  await store.transact(also([]));
  await allocator.release('h', remove);
  assert.equal(await store.get('/mine'), undefined, 'also when there is nothing to release');
});

test('an error is its caller’s alone: those who wait are served', async () => {
  const allocator = new AddressAllocator(await storeWith(POOL));
  const [bad, good] = await Promise.allSettled([
    allocator.assign(assignment('a', 'h', { families: [6] })),
    allocator.assign(assignment('a', 'i')),
  ]);
  assert.equal(bad?.status, 'rejected');
  assert.equal(good?.status, 'fulfilled');
});

test('blocks are claimed, and tidied unless they are made by hand', async () => {
  const store = await storeWith(POOL);
  const allocator = new AddressAllocator(store);
  const names = async () => (await all(store, 'BlockAffinity')).map(({ metadata }) => metadata.name);
  await allocator.claimBlock('a', cidr('10.0.0.16/28'));
  await allocator.claimBlock('a', cidr('10.0.0.32/28'));
  await allocator.claimBlock('a', cidr('10.0.0.32/28'));
  await assert.rejects(allocator.claimBlock('b', cidr('10.0.0.32/28')), { code: 'block-owned' });
  assert.deepEqual(await names(), ['a-10-0-0-16-28', 'a-10-0-0-32-28']);
  await allocator.releaseEmptyBlocks('a', {});
  assert.deepEqual(await names(), ['a-10-0-0-16-28']);
  assert.deepEqual((await allocator.assign(assignment('a', 'h'))).map(formatIp), ['10.0.0.16']);
  await allocator.claimBlock('a', cidr('10.0.0.32/28'));
  await apply(store, 'IPAMConfiguration', 'default', { strictAffinity: true, autoAllocateBlocks: false });
  await allocator.releaseEmptyBlocks('a', {});
  assert.deepEqual(await names(), ['a-10-0-0-16-28', 'a-10-0-0-32-28']);
});

test('the configuration, the namespace and the time are the store’s and the clock’s, at each call', async () => {
  const store = await storeWith({
    blue: { cidr: '10.0.0.0/30', blockSize: 32, namespaceSelector: 'team == "blue"' },
    rest: { cidr: '10.0.1.0/24', namespaceSelector: 'team != "blue"' },
  });
  const value = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'shop', labels: { team: 'blue' } } };
  await store.transact({ expect: [], writes: [{ kind: 'put', key: '/resources/Namespace/shop', value }] });
  const allocator = new AddressAllocator(store, { now: () => Date.parse('2026-05-01T12:00:00Z') });
  const give = async (handle: string, namespace: string) =>
    (await allocator.assign(assignment('a', handle, { namespace }))).map(formatIp).join();
  assert.match(await give('h0', 'shop'), /^10\.0\.0\./);
  assert.match(await give('h1', 'other'), /^10\.0\.1\./);
  await apply(store, 'IPAMConfiguration', 'default', { strictAffinity: true, maxBlocksPerHost: 3 });
  assert.match(await give('h2', 'shop'), /^10\.0\.0\./);
  await assert.rejects(give('h3', 'shop'), {
    code: 'exhausted',
    message: /a has 3 blocks, and may claim no more than 3/,
  });
  const blocks = (await all(store, 'IPAMBlock')).flatMap((each) =>
    each.kind === 'IPAMBlock' ? each.spec.attributes : [],
  );
  assert.deepEqual(
    new Set(blocks.map(({ secondary }) => secondary['timestamp'])),
    new Set(['2026-05-01T12:00:00.000Z']),
  );
  await store.transact({
    expect: [],
    writes: [{ kind: 'put', key: '/resources/IPAMConfiguration/default', value: 'broken' }],
  });
  await assert.rejects(give('h4', 'shop'), {
    code: 'unreadable',
    message: /is not a valid IPAMConfiguration; apply it/,
  });
});

test('entries that cannot be read are named, or passed over', async () => {
  const store = await storeWith(POOL);
  const put = (key: string) => store.transact({ expect: [], writes: [{ kind: 'put', key, value: 'broken' }] });
  const allocator = new AddressAllocator(store);
  await put('/resources/IPAMHandle/h');
  await assert.rejects(allocator.assign(assignment('a', 'h')), {
    code: 'unreadable',
    message: '/resources/IPAMHandle/h is not a valid IPAMHandle; remove it',
  });
  for (let block = 1; block < 16; block++) await put(`/resources/IPAMBlock/10-0-0-${block * 16}-28`);
  assert.deepEqual((await allocator.assign(assignment('a', 'i'))).map(formatIp), ['10.0.0.0']);
});
