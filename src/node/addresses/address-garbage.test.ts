/** The agent's rounds: what is released, when, and what is left alone. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LEAK_GRACE_MS } from '../../ipam/check.ts';
import type { Json } from '../../lib/json.ts';
import type { Log, LogData } from '../../lib/log.ts';
import { resourceKey } from '../../model/resource-key.ts';
import { cidr } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import { openMemoryStore } from '../../store/memory.ts';
import { AddressAllocator } from './address-allocator.ts';
import { AddressGarbage, DEVICE_ATTRIBUTE } from './address-garbage.ts';
import { readSurvey } from './address-survey.ts';

const MINUTE = 60_000;

class Host {
  readonly store = openMemoryStore();
  readonly devices = new Set<string>();
  readonly released: LogData[] = [];
  now = Date.parse('2026-05-01T12:00:00Z');
  readonly allocator = new AddressAllocator(this.store, { now: () => this.now });
  readonly garbage: AddressGarbage;

  constructor() {
    const none = () => {};
    const log: Log = {
      debug: none,
      info: none,
      error: none,
      warn: (_, data) => this.released.push(data!),
      child: () => log,
    };
    const hasDevice = (name: string) => this.devices.has(name);
    this.garbage = new AddressGarbage({
      ...{ node: 'a', store: this.store, allocator: this.allocator, labels: () => ({}), hasDevice, log },
    });
  }

  async put(kind: string, name: string, spec: Json, namespace?: string): Promise<void> {
    const metadata = namespace === undefined ? { name } : { name, namespace };
    const value = { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
    await this.store.transact({
      expect: [],
      writes: [{ kind: 'put', key: resourceKey({ kind, ...metadata }), value }],
    });
  }

  /** Assigns an address; with `parts` "endpoint" and "device" there. */
  async attach(handle: string, parts: readonly ('endpoint' | 'device')[], node = 'a'): Promise<void> {
    const request = { node, labels: {}, handle, families: [4 as const], requestedAddresses: [], requestedPools: [] };
    const attributes = { node, [DEVICE_ATTRIBUTE]: `cali${handle}` };
    const [address] = await this.allocator.assign({ ...request, use: 'Workload', namespace: undefined, attributes });
    const ipNetworks = [`${formatIp(address!)}/32`];
    if (parts.includes('endpoint'))
      await this.put('WorkloadEndpoint', handle, { node, interfaceName: `cali${handle}`, ipNetworks }, 'default');
    if (parts.includes('device')) this.devices.add(`cali${handle}`);
  }

  /** Rounds at these minutes from now. */
  async rounds(...minutes: readonly number[]): Promise<void> {
    const start = this.now;
    for (const minute of minutes) {
      this.now = start + minute * MINUTE;
      await this.garbage.collect(this.now, LEAK_GRACE_MS);
    }
  }

  async handles(): Promise<string> {
    const handles = (await readSurvey(this.store)).all('IPAMHandle').map(({ spec }) => spec.handleID);
    return handles.sort().join(' ');
  }
}

async function hostWithPool(): Promise<Host> {
  const host = new Host();
  await host.put('IPPool', 'pool', { cidr: '10.0.0.0/24', blockSize: 28 });
  return host;
}

test('what has neither endpoint nor device for a grace time is released, with its reason', async () => {
  const host = await hostWithPool();
  await host.attach('whole', ['endpoint', 'device']);
  await host.attach('wired', ['device']);
  await host.attach('known', ['endpoint']);
  await host.attach('lost', []);
  await host.attach('elsewhere', [], 'b');
  await host.rounds(0, 8, 14);
  assert.equal(await host.handles(), 'elsewhere known lost whole wired');
  await host.rounds(1);
  assert.equal(await host.handles(), 'elsewhere known whole wired');
  assert.equal(host.released.length, 1);
  assert.deepEqual(host.released[0]?.['handle'], 'lost');
  assert.match(
    String(host.released[0]?.['reason']),
    /^assigned 15 min ago to handle lost on node a, and no WorkloadEndpoint has it/,
  );
  host.devices.delete('caliwired');
  await host.rounds(8, 16, 24);
  assert.equal(await host.handles(), 'elsewhere known whole');
});

test('a suspect whose device or endpoint comes back begins anew', async () => {
  const host = await hostWithPool();
  await host.attach('x', []);
  await host.rounds(0, 10);
  host.devices.add('calix');
  await host.rounds(2);
  host.devices.clear();
  await host.rounds(2, 10, 16);
  assert.equal(await host.handles(), 'x');
  await host.rounds(2);
  assert.equal(await host.handles(), '');
});

test('a healthy node reads its own blocks only', async () => {
  const host = await hostWithPool();
  await host.attach('x', ['endpoint', 'device']);
  const lists: string[] = [];
  const { list } = host.store;
  host.store.list = (prefix) => {
    lists.push(prefix);
    return list.call(host.store, prefix);
  };
  await host.rounds(0, 8, 16, 24);
  assert.deepEqual(new Set(lists), new Set(['/resources/BlockAffinity/a-']));
});

test('blocks that stay empty are given up, but for one', async () => {
  const host = await hostWithPool();
  const blocks = async () => (await readSurvey(host.store)).all('IPAMBlock').map(({ spec }) => spec.cidr);
  for (const block of ['10.0.0.0/28', '10.0.0.16/28', '10.0.0.32/28'])
    await host.allocator.claimBlock('a', cidr(block));
  await host.allocator.claimBlock('a-b', cidr('10.0.0.48/28'));
  await host.rounds(0, 8);
  assert.equal((await blocks()).length, 4);
  await host.rounds(LEAK_GRACE_MS / MINUTE);
  assert.deepEqual(await blocks(), ['10.0.0.0/28', '10.0.0.48/28']);
});
