/**
 * The life of a tunnel over a store in memory and a virtual clock; Felix is a list of what it was told.
 *
 * A rig's `settle` is what feed and Felix do: the keeper is told of the Node and the pools as the store has them, Felix brings up
 * what it was told, and that goes on until nothing changes any more.
 */
import assert from 'node:assert/strict';
import { describe, it, test } from 'node:test';
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import { check } from '../../ipam/check.ts';
import { instant } from '../../lib/clock.ts';
import { seededRandom } from '../../lib/prng.ts';
import { effectiveFelix } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { entryOfKind, valueOfResource } from '../../model/resource-entry.ts';
import { keyOf, kindPrefix, resourceKey } from '../../model/resource-key.ts';
import { validateResource } from '../../model/validate.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, ip } from '../../net/ip.ts';
import { openMemoryStore } from '../../store/memory.ts';
import type { Store } from '../../store/store.ts';
import { StoreError } from '../../store/store.ts';
import { AddressAllocator } from '../addresses/address-allocator.ts';
import { readSurvey } from '../addresses/address-survey.ts';
import { nodeAddresses } from '../bgp/peer-sessions.ts';
import { TunnelKeeper } from './tunnel-keeper.ts';
import { GRACE_MS, neededTunnels, TunnelGrace } from './tunnel-wishes.ts';

const LOG = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined } as const;
const log = { ...LOG, child: () => log };

class Rig {
  readonly store: Store = openMemoryStore();
  readonly allocator = new AddressAllocator(this.store);
  /** What Felix was told, and what it has brought up. */
  readonly told = new Map<TunnelKind, Ip | undefined>();
  /** Whether devices come up. */
  isAble = true;
  /** All that happened, in order. */
  readonly events: string[] = [];
  now = instant(0);
  isAway = false;
  keeper = this.#keeper();

  static async with(pools: Readonly<Record<string, object>>): Promise<Rig> {
    const rig = new Rig();
    await rig.apply('Node', 'host-a', { bgp: { ipv4Address: '192.168.100.100/24', ipv6Address: 'fd00:100::1/64' } });
    for (const [name, spec] of Object.entries(pools)) await rig.pool(name, spec);
    return rig;
  }

  /** A new process, which knows nothing; what is in the kernel stays. */
  restart(): void {
    this.told.clear();
    this.events.length = 0;
    this.keeper = this.#keeper();
  }

  async pool(name: string, spec: object): Promise<void> {
    await this.apply('IPPool', name, { cidr: '172.17.0.0/16', blockSize: 24, ...spec });
  }

  async apply(kind: string, name: string, spec: object, labels = {}): Promise<void> {
    const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name, labels }, spec });
    assert.ok(validated.ok, JSON.stringify(validated));
    const write = { kind: 'put', key: keyOf(validated.resource), value: valueOfResource(validated.resource) } as const;
    await this.store.transact({ expect: [], writes: [write] });
  }

  async settle(): Promise<void> {
    for (let round = 0; round < 10; round++) {
      const before = this.events.length;
      const { revision } = await this.store.list('/');
      const node = await this.node();
      const pools = await this.#pools();
      const felix = effectiveFelix([]);
      const addresses = node === undefined ? {} : nodeAddresses(node);
      this.keeper.configure({ node, needed: neededTunnels({ pools, felix, addresses }) });
      const up = [...this.told].flatMap(([kind, address]) => (address === undefined ? [] : [[kind, address] as const]));
      this.keeper.setReady(new Map(this.isAble ? up : []));
      await this.keeper.look();
      const isSame = (await this.store.list('/')).revision === revision;
      if (isSame && this.events.length === before) return;
    }
    throw new Error(`does not settle: ${this.events.join('; ')}`);
  }

  async node() {
    const entry = await this.store.get(resourceKey({ kind: 'Node', name: 'host-a' }));
    return entry && entryOfKind('Node', entry);
  }

  /** The tunnels' fields of the Node. */
  async borne(): Promise<string> {
    const { bgp, ...spec } = (await this.node())?.spec ?? {};
    const { ipv4IPIPTunnelAddr: ipip = '-' } = bgp ?? {};
    const macs = [spec.vxlanTunnelMACAddr, spec.vxlanTunnelMACAddrV6].map((mac) => (mac === undefined ? '' : ' mac'));
    return `ipip ${ipip} vxlan ${spec.ipv4VXLANTunnelAddr ?? '-'}${macs[0]} vxlan-v6 ${spec.ipv6VXLANTunnelAddr ?? '-'}${macs[1]}`;
  }

  /** What IPAM has, by handle. */
  async held(): Promise<string[]> {
    const survey = await readSurvey(this.store);
    const handles = survey.all('IPAMHandle').map(({ spec }) => spec.handleID);
    const lines = handles.map(async (handle) => {
      const addresses = await this.allocator.addressesOf(handle);
      return `${handle} ${addresses.map(formatIp).join()}`;
    });
    return (await Promise.all(lines)).sort();
  }

  #keeper(): TunnelKeeper {
    const { store } = this;
    const away = (): void => {
      if (this.isAway) throw new StoreError('unavailable', 'the store is away');
    };
    const observed: Store = {
      ...store,
      get: async (key) => {
        away();
        return store.get(key);
      },
      transact: async (transaction) => {
        away();
        const result = await store.transact(transaction);
        if (result.ok) this.events.push(`Node says ${await this.borne()}`);
        return result;
      },
    };
    return new TunnelKeeper({
      ...{
        node: 'host-a',
        store: observed,
        allocator: this.allocator,
        log,
        random: seededRandom(1),
        now: () => this.now,
      },
      setTunnel: (kind, address) => {
        this.told.set(kind, address);
        this.events.push(`${kind} ${address === undefined ? 'none' : formatIp(address)}`);
      },
      onClosed: () => this.events.push('closed'),
    });
  }

  async #pools(): Promise<IpPool[]> {
    const { entries } = await this.store.list(kindPrefix('IPPool'));
    return entries.flatMap((entry) => entryOfKind('IPPool', entry) ?? []);
  }
}

const IPIP = { ipipMode: 'Always' };
const VXLAN = { vxlanMode: 'CrossSubnet' };
const NEVER = {};
const SIX = { cidr: 'fd00:17::/112', blockSize: 122, vxlanMode: 'Always' };

describe('a host’s tunnels', () => {
  const rows: [string, Record<string, object>, string, string[]][] = [
    ['none where no pool asks', { pool: NEVER }, 'ipip - vxlan - vxlan-v6 -', []],
    ['IPIP', { pool: IPIP }, 'ipip 172.17.133.0 vxlan - vxlan-v6 -', ['ipip-tunnel-addr-host-a 172.17.133.0']],
    ['VXLAN', { pool: VXLAN }, 'ipip - vxlan 172.17.133.0 mac vxlan-v6 -', ['vxlan-tunnel-addr-host-a 172.17.133.0']],
    [
      'VXLAN over IPv6',
      { pool: NEVER, six: SIX },
      'ipip - vxlan - vxlan-v6 fd00:17::a140 mac',
      ['vxlan-v6-tunnel-addr-host-a fd00:17::a140'],
    ],
    [
      'both, each from its own pool',
      { a: { ...VXLAN, cidr: '10.0.0.0/24', blockSize: 26 }, b: IPIP },
      'ipip 172.17.133.0 vxlan 10.0.0.64 mac vxlan-v6 -',
      ['ipip-tunnel-addr-host-a 172.17.133.0', 'vxlan-tunnel-addr-host-a 10.0.0.64'],
    ],
  ];
  for (const [name, pools, borne, held] of rows) {
    it(name, async () => {
      const rig = await Rig.with(pools);
      await rig.settle();
      assert.equal(await rig.borne(), borne);
      assert.deepEqual(await rig.held(), held); // which block a host begins with follows from its name
      assert.deepEqual(rig.keeper.problems(), []);
      const survey = await readSurvey(rig.store);
      const findings = check(survey, { now: Date.now() + 86_400_000, graceMs: 1 });
      assert.deepEqual(
        findings.map(({ finding }) => finding.cause),
        [],
      );
    });
  }

  it('bear an address only once they receive by it', async () => {
    const rig = await Rig.with({ pool: IPIP });
    rig.isAble = false;
    await rig.settle();
    assert.match(await rig.borne(), /^ipip - /);
    rig.isAble = true;
    await rig.settle();
    assert.match(await rig.borne(), /^ipip 172\.17\./);
  });

  it('are the same after a restart, and nothing is written', async () => {
    const rig = await Rig.with({ pool: IPIP, six: SIX });
    await rig.settle();
    const before = [await rig.borne(), ...(await rig.held())];
    const { revision } = await rig.store.list('/');
    rig.restart();
    await rig.settle();
    assert.deepEqual([await rig.borne(), ...(await rig.held())], before);
    assert.equal((await rig.store.list('/')).revision, revision);
  });

  it('stay for a grace time, and then go in the order in which nobody loses a packet', async () => {
    const rig = await Rig.with({ pool: IPIP });
    await rig.settle();
    await rig.pool('pool', VXLAN);
    await rig.settle();
    assert.match(await rig.borne(), /^ipip 172\S+ vxlan 172/, 'both, while the others change');
    assert.ok(rig.keeper.receiving().has('ipip'));
    rig.now = instant(GRACE_MS - 1);
    await rig.settle();
    assert.match(await rig.borne(), /^ipip 172/);
    rig.events.length = 0;
    rig.now = instant(GRACE_MS + 1);
    await rig.settle();
    assert.match(rig.events[0] ?? '', /^Node says ipip - vxlan 172/);
    assert.deepEqual(rig.events.slice(1, 3), ['ipip none', 'closed']);
    assert.deepEqual(
      (await rig.held()).map((line) => line.split(' ')[0]),
      ['vxlan-tunnel-addr-host-a'],
    );
    assert.ok(!rig.keeper.receiving().has('ipip'));
  });

  it('that come back within it are the same', async () => {
    const rig = await Rig.with({ pool: IPIP });
    await rig.settle();
    const before = await rig.borne();
    await rig.pool('pool', NEVER);
    await rig.settle();
    rig.now = instant(GRACE_MS / 2);
    await rig.pool('pool', IPIP);
    await rig.settle();
    rig.now = instant(GRACE_MS * 2);
    await rig.settle();
    assert.equal(await rig.borne(), before);
    await rig.pool('pool', NEVER);
    await rig.settle();
    assert.equal(await rig.borne(), before, 'the time begins anew');
  });

  it('that were given up while the agent was away are kept for the grace time, and then given up', async () => {
    const rig = await Rig.with({ pool: VXLAN });
    await rig.settle();
    await rig.pool('pool', NEVER);
    rig.restart();
    await rig.settle();
    assert.match(await rig.borne(), /vxlan 172/);
    assert.ok(rig.told.get('vxlan') !== undefined);
    rig.now = instant(GRACE_MS + 1);
    await rig.settle();
    assert.match(await rig.borne(), /vxlan - vxlan-v6 -$/);
    assert.deepEqual(await rig.held(), []);
  });

  const moves: [string, (rig: Rig) => Promise<void>][] = [
    [
      'its pool is another one',
      async (rig) => {
        await rig.pool('pool', NEVER);
        await rig.pool('other', { ...VXLAN, cidr: '10.0.0.0/24', blockSize: 26 });
      },
    ],
    [
      'its pool does not choose the node any more',
      async (rig) => {
        await rig.pool('pool', { ...VXLAN, nodeSelector: 'has(gpu)' });
        await rig.pool('other', { ...VXLAN, cidr: '10.0.0.0/24', blockSize: 26 });
      },
    ],
    [
      'its pool is not for tunnels any more',
      async (rig) => {
        await rig.pool('pool', { ...VXLAN, allowedUses: ['Workload'] });
        await rig.pool('other', { ...VXLAN, cidr: '10.0.0.0/24', blockSize: 26 });
      },
    ],
  ];
  for (const [name, move] of moves) {
    it(`get another address when ${name}`, async () => {
      const rig = await Rig.with({ pool: VXLAN });
      await rig.settle();
      assert.match(await rig.borne(), /vxlan 172\.17/);
      await move(rig);
      await rig.settle();
      assert.match(await rig.borne(), /vxlan 10\.0\.0\.\d+ mac/);
      assert.match((await rig.held()).join(), /^vxlan-tunnel-addr-host-a 10\.0\.0\.\d+$/, 'the old one is released');
    });
  }

  it('keep their address in a pool that is disabled', async () => {
    const rig = await Rig.with({ pool: VXLAN });
    await rig.settle();
    const before = await rig.borne();
    await rig.pool('pool', { ...VXLAN, disabled: true });
    rig.restart();
    await rig.settle();
    assert.equal(await rig.borne(), before);
  });

  it('without a pool to take an address from are a problem with a reason', async () => {
    const rig = await Rig.with({ pool: { ...IPIP, allowedUses: ['Workload'] } });
    await rig.settle();
    assert.match(rig.keeper.problems().join(), /tunnel tunl0: .*allowedUses Workload, not Tunnel/);
    assert.equal(rig.told.get('ipip'), undefined);
    await rig.pool('pool', IPIP);
    await rig.settle();
    assert.deepEqual(rig.keeper.problems(), []);
    assert.match(await rig.borne(), /^ipip 172/);
  });

  it('are written again when somebody takes them out of the Node, and a MAC address of somebody’s stays', async () => {
    const rig = await Rig.with({ pool: VXLAN });
    await rig.settle();
    const before = await rig.borne();
    const bgp = { ipv4Address: '192.168.100.100/24' };
    await rig.apply('Node', 'host-a', { bgp, vxlanTunnelMACAddr: '66:01:02:03:04:05' });
    await rig.settle();
    assert.equal(await rig.borne(), before);
    await rig.pool('pool', NEVER);
    await rig.settle();
    rig.now = instant(GRACE_MS + 1);
    await rig.settle();
    assert.deepEqual((await rig.node())?.spec, { bgp, vxlanTunnelMACAddr: '66:01:02:03:04:05' });
  });

  it('get another address when somebody has released theirs', async () => {
    const rig = await Rig.with({ pool: VXLAN });
    await rig.settle();
    await rig.allocator.release('vxlan-tunnel-addr-host-a');
    rig.now = instant(GRACE_MS + 1);
    await rig.settle();
    assert.equal((await rig.held()).length, 1);
    const held = (await rig.held())[0]?.split(' ')[1] ?? '';
    assert.ok((await rig.borne()).includes(held));
  });

  it('wait for a store that is away, and go on', async () => {
    const rig = await Rig.with({ pool: IPIP });
    rig.isAway = true;
    await rig.settle();
    assert.match(rig.keeper.problems().join(), /the store is away/);
    rig.isAway = false;
    await rig.settle();
    assert.deepEqual(rig.keeper.problems(), []);
    assert.match(await rig.borne(), /^ipip 172/);
  });

  it('are not given up because the Node is not there', async () => {
    const rig = await Rig.with({ pool: IPIP });
    await rig.settle();
    const held = await rig.held();
    const key = resourceKey({ kind: 'Node', name: 'host-a' });
    await rig.store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
    rig.now = instant(GRACE_MS * 2);
    await rig.settle();
    assert.deepEqual(await rig.held(), held);
  });
});

test('which tunnels are needed: pools, switches, and addresses of the host', () => {
  const pool = (spec: object): IpPool => {
    const validated = validateResource({
      apiVersion: 'projectcalico.org/v3',
      kind: 'IPPool',
      metadata: { name: 'pool' },
      spec: { cidr: '172.17.0.0/16', ...spec },
    });
    assert.ok(validated.ok && validated.resource.kind === 'IPPool', JSON.stringify(validated));
    return validated.resource;
  };
  const both = { 4: { address: ip('10.0.0.1'), subnet: { address: ip('10.0.0.0'), length: 24 } }, 6: SIX_END };
  const { 4: four } = both;
  const rows: [object[], object, object, string][] = [
    [[], {}, both, ''],
    [[IPIP], {}, both, 'ipip'],
    [[IPIP], {}, { 6: SIX_END }, ''],
    [[IPIP], { ipipEnabled: false }, both, ''],
    [[VXLAN, SIX], {}, both, 'vxlan,vxlan-v6'],
    [[VXLAN, SIX], {}, { 4: four }, 'vxlan'],
    [[VXLAN, SIX], { vxlanEnabled: false }, both, ''],
    [[NEVER], { vxlanEnabled: true, ipipEnabled: true }, both, ''],
    [[{ ...IPIP, disabled: true }], {}, both, 'ipip'],
  ];
  for (const [pools, spec, addresses, expected] of rows) {
    const felix = { ...effectiveFelix([]), ...spec };
    const needed = neededTunnels({ pools: pools.map(pool), felix, addresses });
    assert.equal([...needed.keys()].join(), expected, JSON.stringify([pools, spec]));
  }
});

const SIX_END = { address: ip('fd00::1'), subnet: { address: ip('fd00::'), length: 64 } };

test('a grace time is counted from when the last pool let go, by the clock that is handed in', () => {
  const grace = new TunnelGrace();
  const at = (ms: number, needed: TunnelKind[], receiving: TunnelKind[]) =>
    [...grace.update(instant(ms), new Set(needed), new Set(receiving))].join();
  assert.equal(at(0, ['ipip'], []), 'ipip');
  assert.equal(at(5, [], []), '', 'what never received need not be kept');
  assert.equal(at(10, ['ipip'], ['ipip']), 'ipip');
  assert.equal(at(20, ['vxlan'], ['ipip']), 'vxlan,ipip');
  assert.equal(grace.nextTimer(instant(20)), instant(20 + GRACE_MS));
  assert.equal(at(19 + GRACE_MS, ['vxlan'], ['ipip', 'vxlan']), 'vxlan,ipip');
  assert.equal(at(20 + GRACE_MS, ['vxlan'], ['ipip', 'vxlan']), 'vxlan');
  assert.equal(grace.nextTimer(instant(20 + GRACE_MS)), undefined);
});
