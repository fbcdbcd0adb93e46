/**
 * Other people's changes of our table are told, our own and those of other tables are not; and a living Felix repairs them.
 *
 * That something is not told is seen by a foreign change after it, which is the first that is told. Everything is in
 * namespaces of this test's own.
 */
import assert from 'node:assert/strict';
import { after, before, beforeEach, describe, test } from 'node:test';
import { addNamespace, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { type Nft, openNft, openSpawnedNft } from '../../src/kernel/nft.ts';
import { type NftEdits, openNftEdits } from '../../src/kernel/nft-edits.ts';
import { type NftEvents, openNftEvents } from '../../src/kernel/nft-events.ts';
import { ip } from '../../src/net/ip.ts';
import type { SetElement } from '../../src/net/set-element.ts';
import { NO_EDITS } from '../../src/net/table-edit.ts';
import { inShell, kernelState, stateDifference } from './policy/kernel-state.ts';
import { PolicyWorld, type TestWorkload } from './policy/policy-world.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';
const NAME = `muslin-test-nftevents-${process.pid}`;
const PATIENCE_MS = 30_000;

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!condition()) {
    assert.ok(performance.now() < deadline, 'the condition does not come');
    await turn();
  }
}

const TABLES = ['muslin', 'other']
  .map(
    (name) => `add table inet ${name}
delete table inet ${name}
add table inet ${name}
add chain inet ${name} c
add rule inet ${name} c counter accept
add set inet ${name} s { type ipv4_addr; }
add set inet ${name} t { type ipv4_addr; }
add set inet ${name} u { type ipv4_addr; }
add element inet ${name} s { 10.0.0.1, 10.0.0.2 }
`,
  )
  .join('');

/** Large enough that the kernel's notice of it does not fit a listener's buffer. */
const FLOOD: readonly SetElement[] = Array.from({ length: 100_000 }, (_, index) => ({
  kind: 'address',
  address: ip(`10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`),
}));

describe('events of a table', { skip }, () => {
  let own: Nft;
  let foreign: Nft;
  let spawned: Nft;
  let edits: NftEdits;
  let events: NftEvents;
  let told: string[] = [];

  before(() => {
    const path = addNamespace(NAME);
    [own, foreign, spawned, edits] = [openNft(path), openNft(path), openSpawnedNft(path), openNftEdits(path)];
    events = openNftEvents(path, 'muslin', (by) => told.push(by));
  });

  after(() => {
    for (const each of [own, foreign, spawned, edits, events]) each?.close();
    removeNamespace(NAME);
  });

  beforeEach(() => {
    own.run(TABLES);
    events.forget();
    told = [];
  });

  const FOREIGN: readonly (readonly [what: string, script: string])[] = [
    ['a rule', 'add rule inet muslin c drop\n'],
    ['a member', 'add element inet muslin s { 10.0.0.3 }\n'],
    ['a member removed', 'delete element inet muslin s { 10.0.0.1 }\n'],
    ['a chain emptied', 'flush chain inet muslin c\n'],
    ['a set emptied', 'flush set inet muslin s\n'],
    ['a new chain', 'add chain inet muslin d\n'],
    ['a new set', 'add set inet muslin v { type ipv6_addr; }\n'],
    ['the table gone', 'delete table inet muslin\n'],
    ['all rules gone', 'flush ruleset\n'],
  ];
  for (const [what, script] of FOREIGN) {
    test(`somebody else's change is told: ${what}`, async () => {
      spawned.run(script);
      await until(() => told.length > 0);
      assert.match(told.join(), /^nft \(process \d+\)$/);
    });
  }

  const OURS: readonly (readonly [what: string, change: () => void])[] = [
    ['another table', () => foreign.run('flush chain inet other c\nadd rule inet other c drop\n')],
    ['a table of this name of another family', () => foreign.run('add table ip muslin\nadd chain ip muslin c\n')],
    ['our own, by the library', () => events.own(() => own.run('add rule inet muslin c drop\n'))],
    ['our own, by the program', () => events.own(() => spawned.run('add rule inet muslin c drop\n'))],
    [
      'our own, by netlink',
      () =>
        events.own(() => edits.change('muslin', { ...NO_EDITS, members: [{ set: 't', removed: [], added: FLOOD }] })),
    ],
    ['our own that is refused', () => events.own(() => assert.throws(() => own.run('delete set inet muslin x\n')))],
    ['our own listing', () => events.own(() => own.listTable('inet muslin'))],
  ];
  for (const [what, change] of OURS) {
    test(`not told: ${what}`, async () => {
      change();
      spawned.run('add element inet muslin s { 10.0.0.9 }\n');
      await until(() => told.length > 0);
      assert.match(told.join(), /^nft \(process \d+\)$/);
      assert.ok(events.isComplete(), 'all of it is known');
    });
  }

  /** Fills three sets, each in a transaction of its own. */
  const fill = (table: string): void => {
    for (const set of ['s', 't', 'u'])
      edits.change(table, { ...NO_EDITS, members: [{ set, removed: [], added: FLOOD }] });
  };

  test('our own change is not told, even if there is more of it than a listener can hold', async () => {
    fill('muslin');
    events.forget();
    const others: string[] = [];
    const listener = openNftEvents(`/run/netns/${NAME}`, 'muslin', (by) => others.push(by));
    events.own(() => own.run('flush set inet muslin s\nflush set inet muslin t\nflush set inet muslin u\n'));
    await until(() => others.length > 0);
    listener.close();
    assert.deepEqual(others, ['somebody, in more events than could be read']);
    assert.deepEqual(told, []);
    spawned.run('add element inet muslin s { 10.0.0.9 }\n');
    await until(() => told.length > 0);
    assert.match(told.join(), /^nft /);
  });

  test('events of others that could not be read are told', async () => {
    for (let times = 0; times < 2; times++) {
      fill('other');
      foreign.run('flush set inet other s\nflush set inet other t\nflush set inet other u\n');
    }
    await until(() => told.length > 0);
    assert.deepEqual(told, ['somebody, in more events than could be read']);
    spawned.run('add element inet muslin s { 10.0.0.9 }\n');
    await until(() => told.length > 1);
  });

  test('a change of others before, during or behind our own is told', async () => {
    foreign.run('add element inet muslin s { 10.0.0.7 }\n');
    events.own(() => own.run('add rule inet muslin c drop\n'));
    await until(() => told.length === 1);
    events.own(() => {
      own.run('add rule inet muslin c drop\n');
      spawned.run('add element inet muslin s { 10.0.0.8 }\n');
    });
    await until(() => told.some((by) => by.startsWith('nft ')));
  });
});

const WORKLOADS: readonly TestWorkload[] = [
  { name: 'web', host: 'host-a', labels: { app: 'web' }, addresses: ['10.65.0.1', 'fd65::1'] },
  { name: 'db', host: 'host-b', labels: { app: 'db' }, addresses: ['10.65.1.1', 'fd65:0:0:1::1'] },
];
const policyFor = (...sources: string[]): object => ({
  apiVersion: 'projectcalico.org/v3',
  kind: 'GlobalNetworkPolicy',
  metadata: { name: 'callers' },
  spec: {
    selector: 'all()',
    ingress: [{ action: 'Allow', source: { selector: `app in {${sources.map((each) => `'${each}'`).join(', ')}}` } }],
  },
});

const DAMAGES: readonly (readonly [what: string, command: string])[] = [
  ['a foreign rule', 'nft insert rule inet muslin cali-FORWARD accept'],
  ['a chain emptied', 'nft flush chain inet muslin cali-tw-caliweb'],
  [
    'a set emptied',
    'for set in $(nft list sets | sed -n "s/.*set \\(cali40s[^ ]*\\) {/\\1/p"); do nft flush set inet muslin $set; done',
  ],
  ['a container taken out of the dispatch', 'nft delete element inet muslin cali-to-wl "{ caliweb }"'],
  ['a chain more', 'nft add chain inet muslin mine'],
  ['the table gone', 'nft delete table inet muslin'],
  ['everything gone', 'nft flush ruleset'],
];
/** Damage is repaired within this. */
const REPAIR_MS = 1_000;

describe('Felix repairs what others do to its table', { skip }, () => {
  let world: PolicyWorld;

  before(async () => {
    world = await PolicyWorld.open('events', 'nftables', WORKLOADS);
    await world.apply([policyFor('web', 'db')]);
  });
  after(() => world?.close());

  /** Milliseconds until the kernel is as it was, once it is damaged. */
  const repaired = async (host: 'host-a' | 'host-b', command: string): Promise<number> => {
    const namespace = world.namespace(host);
    const good = kernelState(namespace, 'nftables');
    inShell(namespace, command);
    const start = performance.now();
    assert.notDeepEqual(stateDifference(good, kernelState(namespace, 'nftables')), [], 'it is no damage');
    await until(() => stateDifference(good, kernelState(namespace, 'nftables')).length === 0);
    return performance.now() - start;
  };

  for (const [what, command] of DAMAGES) {
    test(`${what}, within a second`, async (context) => {
      const took = await repaired('host-a', command);
      context.diagnostic(`${took.toFixed(0)} ms, with the looking`);
      assert.ok(took < REPAIR_MS, `${took} ms`);
    });
  }

  test('one who goes on and on is waited for, while policy goes on at once', async () => {
    const times: number[] = [];
    while ((times.at(-1) ?? 0) < 2 * REPAIR_MS) {
      times.push(await repaired('host-b', 'nft insert rule inet muslin cali-FORWARD accept'));
      assert.ok(times.length < 15, `${times}`);
    }
    assert.ok(times.length >= 10, `${times}`);
    const namespace = world.namespace('host-b');
    inShell(namespace, 'nft insert rule inet muslin cali-FORWARD accept');
    const damaged = kernelState(namespace, 'nftables');
    await until(() => !world.host('host-b').felix.status().inSync);
    const start = performance.now();
    const settled = world.apply([policyFor('web')]);
    await until(() => stateDifference(damaged, kernelState(namespace, 'nftables')).length > 0);
    assert.ok(performance.now() - start < REPAIR_MS);
    const left = inShell(namespace, 'nft -a list chain inet muslin cali-FORWARD');
    assert.match(
      left.split('\n').find((line) => line.includes('# handle') && !line.includes('chain')) ?? '',
      /^\s+accept /,
    );
    await settled;
  });
});
