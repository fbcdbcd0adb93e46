import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import type { ChangedDevices } from '../../felix/dataplane/connections.ts';
import { chainKey } from '../../felix/dataplane/filter/program.ts';
import type { DesiredChanges, DesiredEndpoint } from '../../felix/desired/desired.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../felix/desired/filter-settings.ts';
import type { Log } from '../../lib/log.ts';
import { cidr } from '../../net/cidr.ts';
import type { BackendChoice } from './backend-choice.ts';
import { FakeBackend } from './fake-backend.suite.ts';
import { PacketFilter } from './packet-filter.ts';

const NFTABLES: BackendChoice = {
  kind: 'nftables',
  variant: undefined,
  insertMode: 'insert',
  refreshMs: undefined,
  why: 'w',
};
const IPTABLES: BackendChoice = { ...NFTABLES, kind: 'iptables', variant: 'nft' };

function changesOf(...endpoints: readonly DesiredEndpoint[]): DesiredChanges {
  const policy = { sets: new Map(), policies: new Map(), profiles: new Map(), hostEndpoints: new Map() };
  const byId = new Map(endpoints.map((endpoint) => [endpoint.id, endpoint]));
  return {
    endpoints: byId,
    routes: new Map(),
    tunnels: new Map(),
    policy,
    services: new Map(),
    announcements: undefined,
  };
}

function endpoint(name: string, address: string, profiles: readonly string[] = []): DesiredEndpoint {
  return {
    id: `default/${name}`,
    deviceName: `cali${name}`,
    addresses: [cidr(`${address}/32`)],
    policy: { tiers: [], profiles },
    floatingIps: [],
    allowedSources: [],
    provenance: { origin: `WorkloadEndpoint default/${name}` },
  };
}

const A = endpoint('a', '10.0.0.1');

describe('the packet filter', () => {
  let calls: string[] = [];
  let backends: FakeBackend[] = [];
  let leftovers: string[] = [];
  let recorded: string[] = [];
  let applied: ChangedDevices[] = [];
  /** Of the next backends that are opened. */
  let applyFault: string | undefined;
  let changed = 1;
  let filter: PacketFilter;

  const say = (message: string): void => {
    calls.push(`log ${message}`);
  };
  const log: Log = { debug: () => undefined, info: say, warn: say, error: say, child: () => log };
  const open = (identity: string): FakeBackend => {
    const backend = new FakeBackend(identity, calls);
    if (applyFault !== undefined) backend.faults.set('apply', applyFault);
    backend.changed = changed;
    backends.push(backend);
    return backend;
  };

  beforeEach(() => {
    [calls, backends, leftovers, recorded, applied, applyFault, changed] = [[], [], [], [], [], undefined, 1];
    filter = new PacketFilter({
      openBackend: ({ kind, variant }) => open(kind === 'nftables' ? kind : `iptables-${variant}`),
      openLeftovers: () => leftovers.map((identity) => new FakeBackend(identity, calls)),
      onBackends: (identities) => recorded.push(identities.join(' ')),
      onApplied: (devices) => applied.push(devices),
      log,
    });
  });

  const start = (choice = NFTABLES): FakeBackend => {
    filter.configure(choice, FILTER_SETTINGS_DEFAULTS);
    filter.update(changesOf(A));
    filter.apply();
    calls.length = 0;
    applied.length = 0;
    const [backend] = backends;
    assert.ok(backend !== undefined);
    return backend;
  };

  it('does nothing before it is configured, then compares everything once, then applies changes alone', () => {
    filter.apply();
    assert.deepEqual([calls, filter.inForce], [[], false]);
    filter.configure(NFTABLES, FILTER_SETTINGS_DEFAULTS);
    filter.apply();
    filter.apply();
    assert.deepEqual([calls, filter.inForce], [['nftables apply all'], true]);
    filter.update(changesOf(A));
    assert.equal(filter.inForce, false);
    filter.apply();
    assert.match(calls[1] ?? '', /^nftables apply \d chains$/);
    assert.deepEqual(filter.work, { changes: 2, failures: 0, readings: 1 });
  });

  it('reads again after a while, and where the kernel tells all only after a long while', ({ mock }) => {
    let now = 1_000_000;
    mock.method(performance, 'now', () => now);
    filter.configure({ ...NFTABLES, refreshMs: 1_000 }, FILTER_SETTINGS_DEFAULTS);
    const readings = (): number => calls.filter((call) => call === 'nftables apply all').length;
    const waitAndApply = (): void => {
      now += 1_000;
      filter.apply();
    };
    filter.apply();
    waitAndApply();
    assert.equal(readings(), 2);
    const [backend] = backends;
    assert.ok(backend !== undefined);
    backend.watched = true;
    for (let count = 1; count < 20; count++) waitAndApply();
    assert.equal(readings(), 2);
    waitAndApply();
    assert.equal(readings(), 3);
  });

  it('is not in force after a failure, says why once, and compares everything the next time', () => {
    const backend = start();
    backend.faults.set('apply', 'no such table');
    filter.update(changesOf(endpoint('b', '10.0.0.2')));
    filter.apply();
    assert.deepEqual([filter.inForce, filter.error], [false, 'no such table']);
    backend.faults.set('apply', 'no such table');
    filter.apply();
    filter.apply();
    assert.deepEqual([filter.inForce, filter.error], [true, undefined]);
    assert.deepEqual(calls.slice(1), ['log packet filter not applied', 'nftables apply all', 'nftables apply all']);
    assert.deepEqual(filter.work, { changes: 2, failures: 2, readings: 2 });
  });

  it('knows since when a chain is as it is, though it took several tries', ({ mock }) => {
    mock.timers.enable({ apis: ['Date'], now: 1_000 });
    const key = chainKey({ table: 'filter', name: 'cali-tw-calib' });
    const backend = start();
    mock.timers.setTime(5_000);
    backend.faults.set('apply', 'busy');
    filter.update(changesOf(endpoint('b', '10.0.0.2')));
    filter.apply();
    assert.equal(filter.since(key), undefined);
    filter.apply();
    const before = chainKey({ table: 'filter', name: 'cali-tw-calia' });
    assert.deepEqual([filter.since(before), filter.since(key)], [1_000, 5_000]);
  });

  it('tells which devices may be judged otherwise; a container that is new has nothing to be judged', () => {
    start();
    filter.update(changesOf(endpoint('b', '10.0.0.2')));
    filter.apply();
    assert.deepEqual(applied, []);
    filter.update(changesOf({ ...A, policy: { tiers: [], profiles: ['p'] } }));
    filter.apply();
    assert.deepEqual(applied, [new Set(['calia'])]);
  });

  it('tells so as well after a start that found all as it is to be', () => {
    changed = 0;
    const backend = start();
    assert.equal(typeof filter.since(chainKey({ table: 'filter', name: 'cali-tw-calia' })), 'number');
    backend.changed = 1;
    filter.update(changesOf({ ...A, policy: { tiers: [], profiles: ['p'] } }));
    filter.apply();
    assert.deepEqual(applied, [new Set(['calia'])]);
  });

  it('removes the old backend only after the new one is in force, and writes both down before', () => {
    start();
    applyFault = 'no such target';
    filter.configure(IPTABLES, FILTER_SETTINGS_DEFAULTS);
    filter.apply();
    assert.deepEqual(calls, ['iptables-nft apply all', 'log packet filter not applied']);
    assert.deepEqual(recorded, ['nftables', 'iptables-nft nftables']);
    filter.apply();
    assert.deepEqual(calls.slice(2), [
      'iptables-nft apply all',
      'nftables remove',
      'nftables close',
      'log packet filter switched',
    ]);
    assert.equal(recorded.at(-1), 'iptables-nft');
    assert.deepEqual(filter.backend, { title: 'the iptables-nft', why: 'w' });
  });

  it('tries again to remove the old backend at the next change, and has it written down until then', () => {
    const old = start();
    old.faults.set('remove', 'busy');
    filter.configure(IPTABLES, FILTER_SETTINGS_DEFAULTS);
    filter.apply();
    assert.equal(filter.inForce, true);
    assert.equal(recorded.at(-1), 'iptables-nft nftables');
    filter.update(changesOf(endpoint('b', '10.0.0.2')));
    filter.apply();
    assert.equal(recorded.at(-1), 'iptables-nft');
    assert.equal(calls.filter((call) => call === 'nftables remove').length, 2);
  });

  it('removes what an earlier process has left in other backends, and nothing of its own', () => {
    leftovers = ['iptables-nft', 'nftables'];
    filter.configure(NFTABLES, FILTER_SETTINGS_DEFAULTS);
    filter.apply();
    assert.deepEqual(calls, [
      'nftables apply all',
      'iptables-nft remove',
      'iptables-nft close',
      'log packet filter switched',
      'nftables close',
    ]);
    assert.deepEqual(recorded, ['nftables iptables-nft', 'nftables']);
  });

  it('opens the same backend anew for another insert mode, without removing anything', () => {
    start(IPTABLES);
    filter.configure({ ...IPTABLES, insertMode: 'append' }, FILTER_SETTINGS_DEFAULTS);
    filter.apply();
    assert.deepEqual(calls, ['iptables-nft apply all', 'iptables-nft close']);
    assert.equal(filter.inForce, true);
  });

  it('keeps the backend when only settings differ', () => {
    start();
    filter.configure(NFTABLES, { ...FILTER_SETTINGS_DEFAULTS, denyAction: 'reject' });
    assert.equal(filter.inForce, false);
    filter.apply();
    assert.match(calls.join(), /^nftables apply \d+ chains$/);
  });

  it('refuses endpoints that claim one device, says so of each once, and goes on', () => {
    start();
    const twin = { ...endpoint('b', '10.0.0.2'), deviceName: A.deviceName };
    filter.update(changesOf(twin));
    filter.update(changesOf({ ...twin, floatingIps: [] }));
    filter.apply();
    const refused = [A.id, twin.id].filter((id) => filter.refusal(id) !== undefined);
    assert.deepEqual(refused, [A.id, twin.id]);
    assert.equal(filter.inForce, true);
    assert.equal(calls.filter((call) => call.startsWith('log endpoint gets no rules')).length, 2);
  });
});
