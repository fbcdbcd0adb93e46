/**
 * The nftables backend on a real kernel: programs at random, applied by listing and by changes, damaged and repaired;
 * what resources at random become; and what the kernel takes each match to mean, by packets on the loopback device and
 * the counters of the rules.
 *
 * Everything is in namespaces of this test's own. That containers reach one another is tested elsewhere.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, describe, test } from 'node:test';
import fc from 'fast-check';
import { Calculation } from '../../src/felix/calc/calculation.ts';
import { FilterBuilder } from '../../src/felix/dataplane/filter/builder.ts';
import type { Chain, FilterProgram, Match, ProgramSet } from '../../src/felix/dataplane/filter/program.ts';
import { NFTABLES_DIALECT } from '../../src/felix/dataplane/filter/program.ts';
import { readCounts, ruleCounts } from '../../src/felix/dataplane/nftables/counts.ts';
import { NFT_TABLE } from '../../src/felix/dataplane/nftables/names.ts';
import { planChanges, planFilter } from '../../src/felix/dataplane/nftables/plan.ts';
import {
  anyProgram,
  changesBetween,
  programOf,
  rule,
} from '../../src/felix/dataplane/nftables/random-program.suite.ts';
import type { FilterPlan } from '../../src/felix/dataplane/nftables/script.ts';
import { removalScript } from '../../src/felix/dataplane/nftables/script.ts';
import type { FilterSettings } from '../../src/felix/desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../src/felix/desired/filter-settings.ts';
import { setId } from '../../src/felix/desired/policy.ts';
import { addNamespace, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { type Nft, nftSupport, openNft, openSpawnedNft } from '../../src/kernel/nft.ts';
import type { AnyResource } from '../../src/model/kinds.ts';
import { resourceTitle } from '../../src/model/resource.ts';
import { cidr } from '../../src/net/cidr.ts';
import { randomWorld } from '../../src/node/filter/random-policies.suite.ts';

const PREFIX = `muslin-test-nft-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

const plain = (name: string, ...rules: Chain['rules']): Chain => ({ table: 'filter', name, hook: undefined, rules });
const jump = (chain: string, ...matches: Match[]) => rule(matches, { kind: 'jump', chain });
const DROP = rule([], { kind: 'drop' });
const ACCEPT = rule([], { kind: 'accept' });

const ADDRESSES: ProgramSet = {
  set: setId('s:a'),
  family: 4,
  part: 'addresses',
  kind: 'nets',
  members: new Set(['10.0.0.1', '10.0.0.2']),
};
const NETS: ProgramSet = { ...ADDRESSES, part: 'prefixes', members: new Set(['10.0.0.0/9', '10.128.0.0/9']) };
const PORTS: ProgramSet = {
  set: setId('n:p'),
  family: 6,
  part: 'all',
  kind: 'ports',
  members: new Set(['fd00::1,tcp:80', 'fd00::1,udp:53', '::102:304,sctp:9']),
};
const inSet = ({ set, family }: ProgramSet, part: 'addresses' | 'prefixes'): Match => ({
  kind: 'set',
  end: 'source',
  family,
  set,
  part,
  is: true,
});

const PROGRAM = programOf(
  [
    { table: 'filter', name: 'cali-INPUT', hook: 'INPUT', rules: [jump('cali-pi-gnp/x'), ACCEPT] },
    { table: 'filter', name: 'cali-FORWARD', hook: 'FORWARD', rules: [jump('cali-from-wl-dispatch')] },
    { table: 'nat', name: 'cali-OUTPUT', hook: 'OUTPUT', rules: [ACCEPT] },
    plain('cali-from-wl-dispatch', rule([], { kind: 'dispatch', direction: 'in', map: 'cali-from-wl' }), DROP),
    plain('cali-pi-gnp/x', rule([inSet(ADDRESSES, 'addresses')], { kind: 'return' }), DROP),
    plain('cali-fw-cali-a', jump('cali-pi-gnp/x', inSet(NETS, 'prefixes')), DROP),
    plain('cali-fw-cali-b', ACCEPT),
  ],
  ['cali-a', 'cali-b'],
  [ADDRESSES, NETS, PORTS],
);

/** One reading, one plan, one transaction. */
function apply(nft: Nft, program: FilterProgram = PROGRAM): FilterPlan {
  const plan = planFilter(program, nft.listTable(NFT_TABLE));
  nft.run(plan.script);
  return plan;
}

interface Listed {
  readonly nftables: readonly Readonly<Record<string, { chain?: string; name?: string; handle?: number }>>[];
}

/** The listing without what differs between two equal tables. */
function contents(nft: Nft): unknown {
  const { nftables } = nft.listTable(NFT_TABLE) as Listed;
  const items = nftables.map((item) =>
    JSON.stringify(item, (key, value: unknown) => {
      if (key === 'handle') return undefined;
      return key === 'elem' && Array.isArray(value) ? value.map((each) => JSON.stringify(each)).sort() : value;
    }),
  );
  // Rules keep their order within a chain; chains come in the order in which they were made.
  return items.sort((a, b) => orderOf(a).localeCompare(orderOf(b)));
}

function orderOf(item: string): string {
  const [kind, body] = Object.entries(JSON.parse(item) as Listed['nftables'][number])[0]!;
  return `${kind} ${body.chain ?? body.name}`;
}

function handleOf(nft: Nft, chain: string, index: number): number {
  const { nftables } = nft.listTable(NFT_TABLE) as Listed;
  return nftables.flatMap((item) => (item['rule']?.chain === chain ? [item['rule'].handle] : []))[index]!;
}

/** Each damages the table; the number is how many things the repair changes, undefined where it makes all anew. */
const DAMAGES: readonly [string, (nft: Nft) => string, number | undefined][] = [
  ['a rule is deleted', (nft) => `delete rule inet muslin cali-INPUT handle ${handleOf(nft, 'cali-INPUT', 0)}`, 1],
  ['a foreign rule is inserted', () => 'insert rule inet muslin cali-FORWARD accept', 1],
  ['a foreign rule is appended', () => 'add rule inet muslin cali-pi-gnp/x drop', 1],
  [
    'a rule is replaced',
    (nft) => `replace rule inet muslin cali-fw-cali-a handle ${handleOf(nft, 'cali-fw-cali-a', 1)} accept`,
    1,
  ],
  ['a chain is flushed', () => 'flush chain inet muslin cali-from-wl-dispatch', 1],
  ['all rules are flushed', () => 'flush table inet muslin', 7],
  ['a map element is deleted', () => 'delete element inet muslin cali-from-wl { "cali-a" }', 1],
  [
    'a map element leads elsewhere',
    () =>
      'delete element inet muslin cali-to-wl { "cali-a" }\nadd element inet muslin cali-to-wl { "cali-a" : accept }',
    2,
  ],
  ['a foreign device is dispatched', () => 'add element inet muslin cali-from-wl { "cali-x" : accept }', 1],
  [
    'an endpoint’s chain is gone',
    () =>
      'delete element inet muslin cali-to-wl { "cali-b" }\ndelete element inet muslin cali-from-wl { "cali-b" }\ndelete chain inet muslin cali-fw-cali-b',
    3,
  ],
  [
    'a foreign chain is called',
    () => 'add chain inet muslin mine\nadd rule inet muslin mine accept\ninsert rule inet muslin cali-INPUT jump mine',
    2,
  ],
  [
    'foreign chains call one another',
    () => 'add chain inet muslin m2\nadd chain inet muslin m1\nadd rule inet muslin m1 jump m2',
    2,
  ],
  [
    'a foreign base chain drops',
    () => 'add chain inet muslin mine { type filter hook forward priority -5; policy drop; }',
    1,
  ],
  ['a member is deleted', () => 'delete element inet muslin cali40s-a { 10.0.0.1 }', 1],
  ['a member is added', () => 'add element inet muslin cali40s-a { 10.0.0.3 }', 1],
  ['a prefix is deleted', () => 'delete element inet muslin cali40s-a-nets { 10.0.0.0/9 }', 1],
  ['a range is added', () => 'add element inet muslin cali40s-a-nets { 11.0.0.1-11.0.0.9 }', 2],
  [
    'a prefix is made wider',
    () =>
      'delete element inet muslin cali40s-a-nets { 10.0.0.0/9, 10.128.0.0/9 }\nadd element inet muslin cali40s-a-nets { 10.0.0.0/8 }',
    3,
  ],
  ['a named port is deleted', () => 'delete element inet muslin cali60n-p { fd00::1 . tcp . 80 }', 1],
  ['a port of another protocol is added', () => 'add element inet muslin cali60n-p { fd00::1 . udplite . 80 }', 3],
  ['a set is flushed', () => 'flush set inet muslin cali60n-p', 3],
  ['a foreign set is made and used', () => FOREIGN_SET, 2],
  ['a foreign map is made', () => 'add map inet muslin m { type mark : verdict; }', undefined],
  [
    'a set is of another type',
    () => 'delete set inet muslin cali60n-p\nadd set inet muslin cali60n-p { type ipv6_addr; }',
    undefined,
  ],
  ['a policy is changed', () => 'chain inet muslin cali-FORWARD { policy drop; }', undefined],
  ['the table is put to sleep', () => 'add table inet muslin { flags dormant; }', undefined],
  [
    'a hook is moved',
    () =>
      'delete chain inet muslin nat-cali-OUTPUT\nadd chain inet muslin nat-cali-OUTPUT { type nat hook output priority 7; }',
    undefined,
  ],
  ['the table is deleted', () => 'delete table inet muslin', undefined],
];

const FOREIGN_SET = 'add set inet muslin s { type ipv4_addr; }\nadd rule inet muslin cali-fw-cali-b ip saddr @s drop';

const FOREIGN = `add table inet other
add chain inet other keep { type filter hook forward priority 5; policy accept; }
add rule inet other keep ip daddr 192.0.2.1 drop comment "cali:not-ours"
`;

for (const [engine, openEngine] of [
  ['libnftables', openNft],
  ['spawned nft', openSpawnedNft],
] as const) {
  describe(`by ${engine}`, { skip }, () => {
    const name = `${PREFIX}${engine.replace(' ', '-')}`;
    let nft: Nft;
    before(() => {
      nft = openEngine(addNamespace(name));
      nft.run(FOREIGN);
      apply(nft);
    });
    after(() => {
      nft?.close();
      removeNamespace(name);
    });

    test('a second application changes nothing', () => {
      const plan = planFilter(PROGRAM, nft.listTable(NFT_TABLE));
      assert.deepEqual([plan.script, plan.changes], ['', 0]);
    });

    for (const [what, damage, changes] of DAMAGES) {
      test(`${what}: repaired`, () => {
        const sound = contents(nft);
        nft.run(`${damage(nft)}\n`);
        const plan = apply(nft);
        assert.notEqual(plan.changes, 0);
        if (changes === undefined) assert.match(plan.script, /^add table inet muslin\ndelete table/);
        else assert.equal(plan.changes, changes, plan.script);
        assert.deepEqual(contents(nft), sound);
        assert.equal(apply(nft).script, '');
      });
    }

    test('from one program at random to the next, by a listing or by the changes alone', () => {
      let current = PROGRAM;
      apply(nft);
      const numRuns = engine === 'libnftables' ? 60 : 15;
      fc.assert(
        fc.property(anyProgram, anyProgram, (byListing, byChanges) => {
          apply(nft, byListing);
          assert.equal(apply(nft, byListing).script, '');
          nft.run(planChanges(changesBetween(byListing, byChanges)).script);
          current = byChanges;
          assert.equal(planFilter(current, nft.listTable(NFT_TABLE)).script, '');
        }),
        { numRuns, endOnFailure: true },
      );
      apply(nft);
    });

    test('a foreign table is left as it is', () => {
      const before = JSON.stringify(nft.listTable('inet other'));
      nft.run(removalScript());
      assert.equal(nft.listTable(NFT_TABLE), undefined);
      nft.run(removalScript());
      apply(nft);
      assert.equal(JSON.stringify(nft.listTable('inet other')), before);
    });

    test('a refused script changes nothing and says why', () => {
      const script = 'add chain inet muslin c\nadd rule inet muslin c jump nowhere\n';
      // libnftables quotes the first line, whichever it was; the words and the code are what counts.
      assert.throws(() => nft.run(script), { name: 'KernelError', code: 'ENOENT', message: /nft: .*No such file/ });
      assert.throws(() => nft.run('frobnicate\n'), { code: 'EINVAL', message: /syntax error/ });
      assert.equal(apply(nft).script, '');
    });

    test('changes to a table that is not as it was are refused', () => {
      nft.run('delete element inet muslin cali40s-a { 10.0.0.1 }\n');
      const fewer = programOf(
        [...PROGRAM.chains.values()],
        ['cali-a', 'cali-b'],
        [{ ...ADDRESSES, members: new Set(['10.0.0.2']) }, NETS, PORTS],
      );
      assert.throws(() => nft.run(planChanges(changesBetween(PROGRAM, fewer)).script), { code: 'ENOENT' });
      assert.equal(apply(nft).changes, 1);
    });

    test('what is only checked changes nothing', () => {
      nft.check('delete table inet muslin\n');
      assert.throws(() => nft.check('delete table inet nowhere\n'), { code: 'ENOENT' });
      assert.equal(apply(nft).script, '');
    });

    test('all that is used is supported here', () => {
      assert.deepEqual(nftSupport(nft), { ok: true });
      assert.equal(nft.listTable('inet muslin-check'), undefined);
    });

    test('what is not supported is said', () => {
      const older: Nft = { ...nft, check: () => nft.check('add rule inet muslin cali-INPUT fib wormhole\n') };
      const support = nftSupport(older);
      assert.match(support.ok ? '' : support.reason, /^nft: .*syntax error.*; nft 1\.0\.1 and Linux 5\.13 or newer/s);
    });

    test('a table or chain that is not there is undefined, not an error', () => {
      assert.equal(nft.listTable('inet nowhere'), undefined);
      assert.equal(nft.listChain(NFT_TABLE, 'nowhere'), undefined);
      assert.equal(nft.listChain('inet nowhere', 'nowhere'), undefined);
    });
  });
}

const SETTINGS: readonly FilterSettings[] = [
  FILTER_SETTINGS_DEFAULTS,
  {
    ...FILTER_SETTINGS_DEFAULTS,
    denyAction: 'reject',
    filterAllowAction: 'return',
    mangleAllowAction: 'return',
    ipip: true,
    vxlan: { port: 4789 },
    floatingIps: true,
    logRate: { count: 5, per: 'minute', burst: 5 },
    failsafeInbound: [{ protocol: 'tcp', port: 22, net: cidr('0.0.0.0/0') }],
    failsafeOutbound: [{ protocol: 'udp', port: 53, net: cidr('fd00::/8') }],
    natOutgoing: { ports: { first: 1024, last: 2048 }, address: undefined, excludeHosts: true, device: 'eth+' },
  },
  {
    ...FILTER_SETTINGS_DEFAULTS,
    endpointToHostAction: 'return',
    sourceSpoofing: true,
    logPrefix: 'a "$x" %k',
    natOutgoing: {
      ports: { first: 1024, last: 2048 },
      address: cidr('192.0.2.1/32').address,
      excludeHosts: false,
      device: undefined,
    },
  },
];
const HOST_DEVICES = [
  { name: 'eth0', addresses: [cidr('192.0.2.2/32').address] },
  { name: 'eth1', addresses: [] },
];

describe('what resources become', { skip }, () => {
  const name = `${PREFIX}worlds`;
  let nft: Nft;
  before(() => {
    nft = openNft(addNamespace(name));
  });
  after(() => {
    nft?.close();
    removeNamespace(name);
  });

  test('random worlds, each reached from the one before it, are taken as they are built', () => {
    const calculation = new Calculation('host-a');
    const builder = new FilterBuilder(NFTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
    nft.run(planFilter(builder.program, undefined).script);
    builder.takeChanges();
    let before: ReadonlyMap<string, AnyResource> = new Map();
    for (let seed = 0; seed < 60; seed++) {
      const world = new Map(randomWorld(seed).map((resource) => [resourceTitle(resource), resource]));
      for (const key of new Set([...before.keys(), ...world.keys()])) update(calculation, key, world.get(key));
      before = world;
      if (seed % 7 === 0) builder.setSettings(SETTINGS[(seed / 7) % SETTINGS.length]!);
      if (seed % 5 === 0) builder.setHostDevices(HOST_DEVICES.slice(0, (seed / 5) % 3));
      const { endpoints, policy } = calculation.takeChanges();
      builder.updateEndpoints(endpoints);
      builder.updatePolicy(policy);
      const { program } = builder;
      nft.run(planChanges(builder.takeChanges()).script);
      assert.equal(planFilter(program, nft.listTable(NFT_TABLE)).script, '', `after world ${seed}`);
    }
  });
});

function update(calculation: Calculation, key: string, resource: AnyResource | undefined): void {
  const [kind, name = ''] = key.split(' ');
  if (kind !== 'WorkloadEndpoint') calculation.updatePolicyResource(key, resource);
  else calculation.updateEndpoint(name, resource?.kind === kind ? resource : undefined);
}

const device = (direction: 'in' | 'out', name: string, prefix: boolean, is = true): Match => ({
  kind: 'device',
  direction,
  name,
  prefix,
  is,
});
const nets = (is: boolean, end: 'source' | 'destination', ...prefixes: string[]): Match => {
  const family = prefixes[0]!.includes(':') ? 6 : 4;
  return { kind: 'nets', end, family, prefixes: prefixes.map(cidr), is };
};
const ports = (is: boolean, protocol: 'tcp' | 'udp', ...ranges: [number, number][]): Match => ({
  kind: 'ports',
  end: 'destination',
  protocol,
  ports: ranges.map(([first, last]) => ({ first, last })),
  is,
});
const states = (is: boolean, ...names: ('new' | 'established' | 'invalid' | 'untracked')[]): Match => ({
  kind: 'conntrack',
  states: names,
  is,
});
const LOCAL_SET: ProgramSet = { ...ADDRESSES, members: new Set(['127.0.0.1']) };
const LOCAL_NETS: ProgramSet = { ...NETS, members: new Set(['127.0.0.0/8']) };
const LOCAL_PORTS: ProgramSet = {
  ...PORTS,
  family: 4,
  members: new Set(['127.0.0.1,udp:53', '127.0.0.2,udp:54', '127.0.0.1,tcp:7']),
};
const lookUp = ({ set, part, family }: ProgramSet, is: boolean, end: 'source' | 'destination' = 'source'): Match => ({
  kind: 'set',
  end,
  family,
  set,
  part,
  is,
});
const lookUpPort = (is: boolean): Match => ({
  kind: 'portSet',
  end: 'destination',
  family: 4,
  set: LOCAL_PORTS.set,
  is,
});

/**
 * From 127.0.0.1 to itself goes UDP to port 53, which is tracked, to port 54, whose destination is translated to
 * 127.0.0.2, and to port 7, which is not tracked. Which of these a match holds for at the output hook.
 */
const MEANINGS: readonly [string, Match[], string][] = [
  ['no match', [], '53 54 7'],
  ['a device', [device('out', 'lo', false)], '53 54 7'],
  ['another device', [device('out', 'l', false)], ''],
  ['not a device', [device('out', 'lo', false, false)], ''],
  ['devices', [device('out', 'l', true)], '53 54 7'],
  ['not devices', [device('out', 'l', true, false)], ''],
  ['not other devices', [device('out', 'cali', true, false)], '53 54 7'],
  ['any device', [device('out', '', true)], '53 54 7'],
  ['a family', [{ kind: 'family', family: 4 }], '53 54 7'],
  ['the other family', [{ kind: 'family', family: 6 }], ''],
  ['a protocol', [{ kind: 'protocol', protocol: 17, is: true }], '53 54 7'],
  ['not a protocol', [{ kind: 'protocol', protocol: 17, is: false }], ''],
  ['everywhere', [nets(true, 'source', '0.0.0.0/0')], '53 54 7'],
  ['nowhere', [nets(false, 'source', '0.0.0.0/0')], ''],
  ['everywhere in the other family', [nets(true, 'source', '::/0')], ''],
  ['outside of a net of the other family', [nets(false, 'source', 'fd00::/8')], ''],
  ['nets inside of others', [nets(true, 'source', '127.0.0.1/32', '127.0.0.0/8', '10.0.0.0/8')], '53 54 7'],
  ['outside of nets', [nets(false, 'source', '127.0.0.0/8', '10.0.0.0/8')], ''],
  ['in a set', [lookUp(LOCAL_SET, true)], '53 54 7'],
  ['not in a set', [lookUp(LOCAL_SET, false)], ''],
  ['in a set of prefixes', [lookUp(LOCAL_NETS, true)], '53 54 7'],
  ['to outside of a set of prefixes', [lookUp(LOCAL_NETS, false, 'destination')], ''],
  ['in a set of ports', [lookUpPort(true)], '53 54'],
  ['not in a set of ports', [lookUpPort(false)], '7'],
  ['ports', [ports(true, 'udp', [1, 9], [5, 20])], '7'],
  ['not ports', [ports(false, 'udp', [54, 54], [1, 9])], '53'],
  ['not a port of another protocol', [ports(false, 'tcp', [1, 9])], ''],
  ['states', [states(true, 'new', 'untracked')], '53 54 7'],
  ['a state', [states(true, 'untracked')], '7'],
  ['not states', [states(false, 'new', 'invalid')], '7'],
  ['not a state', [states(false, 'untracked')], '53 54'],
  ['translated', [{ kind: 'dnat', is: true }], '54'],
  ['not translated', [{ kind: 'dnat', is: false }], '53 7'],
  ['a mark', [{ kind: 'mark', bits: 0x30, is: true }], '7'],
  ['a mark of which a bit is not set', [{ kind: 'mark', bits: 0x70, is: true }], ''],
  ['not a mark', [{ kind: 'mark', bits: 0x10, is: false }], '53 54'],
  ['from this host', [{ kind: 'local', end: 'source', onOutDevice: false, is: true }], '53 54 7'],
  ['not to this host', [{ kind: 'local', end: 'destination', onOutDevice: false, is: false }], ''],
  ['all at once', [ports(true, 'udp', [1, 60]), states(true, 'new'), { kind: 'dnat', is: false }], '53'],
  ['a limit', [{ kind: 'limit', count: 1, per: 'day', burst: 2 }], '53 54'],
];

describe('what the kernel takes matches to mean', { skip }, () => {
  const name = `${PREFIX}meaning`;
  let nft: Nft;
  before(() => {
    nft = openNft(addNamespace(name));
    execFileSync('ip', ['-n', name, 'link', 'set', 'lo', 'up']);
  });
  after(() => {
    nft?.close();
    removeNamespace(name);
  });

  const isUdp = (is: boolean): Match => ({ kind: 'protocol', protocol: 17, is });
  const toPort = (port: number): Match => ports(true, 'udp', [port, port]);
  const watch: Chain = {
    table: 'filter',
    name: 'cali-OUTPUT',
    hook: 'OUTPUT',
    // Nobody listens, so that there are ICMP messages, too.
    rules: [
      rule([isUdp(false)], { kind: 'accept' }),
      ...MEANINGS.map(([title, matches]) => rule(matches, { kind: 'jump', chain: 'cali-nothing' }, title)),
    ],
    hookRules: [rule([isUdp(true)], { kind: 'accept' })],
  };
  const output = { name: 'cali-OUTPUT', hook: 'OUTPUT' } as const;
  const program = programOf(
    [
      watch,
      plain('cali-nothing'),
      {
        table: 'raw',
        ...output,
        rules: [rule([toPort(7)], { kind: 'mark', set: 0x30, clear: 0x40 }), rule([toPort(7)], { kind: 'notrack' })],
      },
      { table: 'nat', ...output, rules: [rule([toPort(54)], { kind: 'dnat', to: cidr('127.0.0.2/32').address })] },
    ],
    [],
    [LOCAL_SET, LOCAL_NETS, LOCAL_PORTS],
  );

  test('each holds for the packets that it should', () => {
    apply(nft, program);
    const seen = MEANINGS.map((): string[] => []);
    let before = counts();
    for (const port of ['53', '54', '7']) {
      execFileSync('ip', ['netns', 'exec', name, 'bash', '-c', `echo x > /dev/udp/127.0.0.1/${port}`]);
      const now = counts();
      for (const [index, ports] of seen.entries()) if (now[index]! > before[index]!) ports.push(port);
      before = now;
    }
    const texts = (hits: readonly string[]) => MEANINGS.map(([title], index) => `${title}: ${hits[index]}`);
    assert.deepEqual(texts(seen.map((each) => each.join(' '))), texts(MEANINGS.map(([, , hits]) => hits)));
  });

  test('the rules at the end of the hook have their counts, and one chain has those of the table', () => {
    const ofTable = ruleCounts(watch, readCounts(nft.listTable(NFT_TABLE, 'counters')));
    assert.equal(ofTable.length, MEANINGS.length + 2);
    assert.equal(ofTable.at(-1)?.packets, 3);
    assert.equal(ofTable.at(-1)?.bytes, 3 * (20 + 8 + 2));
    assert.deepEqual(ruleCounts(watch, readCounts(nft.listChain(NFT_TABLE, 'cali-OUTPUT'))), ofTable);
  });

  function counts(): number[] {
    const [, ...counts] = ruleCounts(watch, readCounts(nft.listChain(NFT_TABLE, 'cali-OUTPUT')));
    return counts.map(({ packets }) => packets);
  }
});
