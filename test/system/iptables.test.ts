/**
 * The iptables backend on a real kernel, in both variants and both families: written, read back, changed, damaged and
 * repaired beside other people's rules, and removed.
 *
 * No packets are sent here, except one to count; what rules mean to packets is the matter of the policy tests. Everything
 * is in namespaces of this test's own.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { after, before, describe, test } from 'node:test';
import type {
  Action,
  Chain,
  ChainKey,
  FilterProgram,
  HookName,
  Match,
  ProgramChanges,
  ProgramSet,
  Rule,
  TableName,
} from '../../src/felix/dataplane/filter/program.ts';
import { chainKey, setKey } from '../../src/felix/dataplane/filter/program.ts';
import type { IptablesListing, IptablesPlan } from '../../src/felix/dataplane/iptables/plan.ts';
import { IptablesPlanner, removalPlan } from '../../src/felix/dataplane/iptables/plan.ts';
import { countForeignRules, parseSave } from '../../src/felix/dataplane/iptables/save.ts';
import { setId } from '../../src/felix/desired/policy.ts';
import type { Iptables, IptablesVariant } from '../../src/kernel/iptables.ts';
import { openIptables } from '../../src/kernel/iptables.ts';
import { addNamespace, namespacePath, removeNamespace } from '../../src/kernel/network-namespace.ts';
import { cidr } from '../../src/net/cidr.ts';
import { ip } from '../../src/net/ip.ts';

const PREFIX = `muslin-test-iptables-${process.pid}-`;
const skip = process.getuid?.() === 0 ? false : 'needs root for network namespaces';

const NETS = setId('s:nets');
const PORTS = setId('n:ports');

function rule(action: Action, ...matches: Match[]): Rule {
  return {
    matches,
    action,
    comment: 'Why "it" is \\ there',
    provenance: { origin: 'Policy a\n/b' },
    origin: undefined,
  };
}

function chain(table: TableName, name: string, ...rules: Rule[]): Chain {
  return { table, name, hook: undefined, rules };
}

function hooked(table: TableName, hook: HookName, ...rules: Rule[]): Chain {
  return { table, name: `cali-${hook}`, hook, rules };
}

function programSet(set: ProgramSet['set'], kind: ProgramSet['kind'], family: 4 | 6, ...members: string[]): ProgramSet {
  return { set, kind, family, part: 'all', members: new Set(members) };
}

function programOf(chains: readonly Chain[], sets: readonly ProgramSet[], devices: readonly string[]): FilterProgram {
  return {
    chains: new Map(chains.map((each) => [chainKey(each), each])),
    maps: new Map([['cali-from-wl', new Map(devices.map((name) => [name, `cali-fw-${name}`]))]]),
    sets: new Map(sets.map((each) => [setKey(each), each])),
  };
}

const ACCEPT = { kind: 'accept' } as const;
const DROP = { kind: 'drop' } as const;
const BOTH_WAYS = [true, false] as const;

/** Every kind of match, both ways round. */
const MATCHES: readonly Match[] = [
  ...BOTH_WAYS.flatMap((is): Match[] => [
    { kind: 'device', direction: 'in', name: 'cali', prefix: true, is },
    { kind: 'device', direction: 'out', name: 'eth0.5', prefix: false, is },
    { kind: 'protocol', protocol: 6, is },
    { kind: 'protocol', protocol: 253, is },
    { kind: 'nets', end: 'source', family: 4, prefixes: [cidr('10.1.0.0/16')], is },
    { kind: 'nets', end: 'destination', family: 6, prefixes: [cidr('fd00:1::/32')], is },
    { kind: 'nets', end: 'source', family: 4, prefixes: [cidr('0.0.0.0/0')], is },
    { kind: 'set', end: 'source', family: 4, set: NETS, part: 'all', is },
    { kind: 'set', end: 'destination', family: 6, set: NETS, part: 'all', is },
    { kind: 'portSet', end: 'destination', family: 4, set: PORTS, is },
    { kind: 'portSet', end: 'source', family: 6, set: PORTS, is },
    { kind: 'ports', end: 'source', protocol: 'udp', ports: [{ first: 53, last: 53 }], is },
    { kind: 'ports', end: 'destination', protocol: 'sctp', ports: portRanges(), is },
    { kind: 'icmp', family: 4, match: { type: 8, code: undefined }, is },
    { kind: 'icmp', family: 4, match: { type: 3, code: 1 }, is },
    { kind: 'icmp', family: 6, match: { type: 128, code: 0 }, is },
    { kind: 'conntrack', states: ['new', 'established', 'related'], is },
    { kind: 'conntrack', states: ['invalid'], is },
    { kind: 'conntrack', states: ['untracked'], is },
    { kind: 'dnat', is },
    { kind: 'mark', bits: 0x80000000, is },
    { kind: 'local', end: 'source', onOutDevice: true, is },
    { kind: 'local', end: 'destination', onOutDevice: false, is },
  ]),
  { kind: 'family', family: 4 },
  { kind: 'family', family: 6 },
  { kind: 'limit', count: 5, per: 'minute', burst: 7 },
];

/** As many as one rule takes. */
function portRanges(): { first: number; last: number }[] {
  const ranges = Array.from({ length: 7 }, (_, index) => ({ first: index * 10 + 1, last: index * 10 + 5 }));
  return [...ranges, { first: 65535, last: 65535 }];
}

/** Several matches that iptables would not take as they stand. */
const TOGETHER: readonly (readonly Match[])[] = [
  [
    { kind: 'nets', end: 'source', family: 4, prefixes: [cidr('10.0.0.0/8')], is: true },
    { kind: 'nets', end: 'source', family: 4, prefixes: [cidr('10.1.0.0/16'), cidr('10.2.0.0/16')], is: false },
  ],
  [
    { kind: 'protocol', protocol: 6, is: true },
    { kind: 'protocol', protocol: 17, is: false },
    { kind: 'ports', end: 'source', protocol: 'tcp', ports: [{ first: 1, last: 9 }], is: false },
    { kind: 'ports', end: 'destination', protocol: 'tcp', ports: [{ first: 80, last: 80 }], is: true },
  ],
];

const LONG = 'x'.repeat(300);

/** Every kind of action, where the kernel takes it. */
const ACTIONS: Readonly<Record<TableName, readonly Action[]>> = {
  raw: [{ kind: 'notrack' }, { kind: 'reject' }, ACCEPT],
  mangle: [
    { kind: 'mark', set: 0x80010000, clear: 0x60000 },
    { kind: 'mark', set: 0, clear: 0x1b0000 },
    { kind: 'return' },
  ],
  nat: [
    { kind: 'dnat', to: ip('10.1.2.3') },
    { kind: 'dnat', to: ip('fd00::5') },
  ],
  filter: [
    { kind: 'drop' },
    { kind: 'reject' },
    { kind: 'jump', chain: 'cali-pi-gnp/a' },
    { kind: 'goto', chain: 'cali-pi-gnp/a' },
    { kind: 'log', prefix: 'calico-packet: ' },
    { kind: 'log', prefix: LONG },
    { kind: 'nflog', group: 1, prefix: 'DPI0|GlobalNetworkPolicy "a"' },
    { kind: 'nflog', group: 2, prefix: LONG },
  ],
};

const PORTS_TO = { first: 4790, last: 65535 };
const TCP: Match = { kind: 'protocol', protocol: 6, is: true };
const MARKED: Match = { kind: 'mark', bits: 0x10000, is: true };

const DISPATCH = chain(
  'filter',
  'cali-from-wl-dispatch',
  rule({ kind: 'dispatch', direction: 'in', map: 'cali-from-wl' }),
  rule({ kind: 'log', prefix: 'unknown' }),
  rule(DROP),
);
const DEVICES = ['calia1', 'calia2', 'calib1'];

function endpointChain(device: string): Chain {
  return chain(
    'filter',
    `cali-fw-${device}`,
    rule({ kind: 'jump', chain: 'cali-pi-gnp/a' }),
    rule(ACCEPT, MARKED),
    rule(DROP),
  );
}

const POLICY = chain(
  'filter',
  'cali-pi-gnp/a',
  ...[80, 81, 82, 83].map((port) =>
    rule(
      { kind: 'return' },
      { kind: 'ports', end: 'destination', protocol: 'tcp', ports: [{ first: port, last: port }], is: true },
    ),
  ),
);

const CHAINS: readonly Chain[] = [
  hooked('raw', 'PREROUTING', rule({ kind: 'jump', chain: 'cali-all' }), rule(DROP, { kind: 'forged' })),
  hooked('raw', 'OUTPUT'),
  hooked('mangle', 'PREROUTING'),
  hooked('mangle', 'POSTROUTING'),
  hooked('nat', 'PREROUTING', rule({ kind: 'jump', chain: 'cali-all' })),
  hooked('nat', 'POSTROUTING', rule({ kind: 'jump', chain: 'cali-sources' })),
  hooked('nat', 'OUTPUT'),
  hooked('filter', 'INPUT'),
  {
    ...hooked(
      'filter',
      'FORWARD',
      rule({ kind: 'jump', chain: 'cali-every-match' }),
      rule({ kind: 'jump', chain: 'cali-from-wl-dispatch' }),
    ),
    hookRules: [rule(ACCEPT, MARKED), rule({ kind: 'mark', set: 0x10000, clear: 0 })],
  },
  hooked('filter', 'OUTPUT', rule({ kind: 'jump', chain: 'cali-all' })),
  ...(['raw', 'mangle', 'nat', 'filter'] as const).map((table) =>
    chain(table, 'cali-all', ...ACTIONS[table].map((action) => rule(action))),
  ),
  chain(
    'nat',
    'cali-sources',
    rule({ kind: 'snat', to: ip('10.1.2.3'), ports: undefined }),
    rule({ kind: 'snat', to: ip('fd00::5'), ports: undefined }),
    rule({ kind: 'masquerade', ports: undefined }),
    rule({ kind: 'masquerade', ports: PORTS_TO }, TCP),
    rule({ kind: 'snat', to: ip('10.1.2.3'), ports: PORTS_TO }, TCP),
    rule({ kind: 'snat', to: ip('fd00::5'), ports: PORTS_TO }, TCP),
  ),
  chain(
    'filter',
    'cali-every-match',
    ...[...MATCHES.map((match) => [match]), ...TOGETHER].map((matches) => rule(ACCEPT, ...matches)),
  ),
  POLICY,
  DISPATCH,
  ...DEVICES.map(endpointChain),
];

const SETS: readonly ProgramSet[] = [
  programSet(NETS, 'nets', 4, '10.0.0.1', '10.8.0.0/16', '192.168.0.0/24'),
  programSet(NETS, 'nets', 6, '::/0'),
  programSet(PORTS, 'ports', 4, '10.0.0.1,tcp:80', '10.0.0.1,udp:53', '10.0.0.1,sctp:9'),
  programSet(PORTS, 'ports', 6, 'fd00::1,tcp:80', '::ffff:1.2.3.4,udp:53', '::102:304,udp:53'),
];

const PROGRAM = programOf(CHAINS, SETS, DEVICES);

/** As Docker, firewalld and a person leave them, for both families. */
const FOREIGN = `*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A POSTROUTING ! -o docker0 -j MASQUERADE
-A DOCKER -i docker0 -j RETURN
COMMIT
*filter
:INPUT DROP [0:0]
:DOCKER-USER - [0:0]
:DOCKER - [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m comment --comment "not -j cali-INPUT, nor --comment \\"cali:x\\"" -j ACCEPT
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A DOCKER-USER -m set --match-set others src -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`;
const FOREIGN_SETS =
  'create others hash:ip family FAMILY\nadd others ADDRESS\ncreate cali-like hash:ip family FAMILY\n';

function open(name: string, variant: IptablesVariant): Iptables {
  return openIptables({ namespacePath: namespacePath(name), variant, countForeignRules });
}

function listing(tables: Iptables): IptablesListing {
  return { rules: { 4: tables.save(4), 6: tables.save(6) }, sets: tables.saveSets() };
}

/** What is not ours, line by line; without `rules` only what is always there. */
function rest(tables: Iptables, rules = true): string[] {
  const lines = ([4, 6] as const).flatMap((family) =>
    tables
      .save(family)
      .split('\n')
      .map((line) => `${family} ${line}`),
  );
  const sets = tables
    .saveSets()
    .split('\n')
    .map((line) => line.replace(/ hashsize.*/, ''));
  return [...lines, ...(rules ? sets : [''])]
    .filter(
      (line) =>
        !/^[46] (#|COMMIT|$)|^[46] (:|-A )cali-|^[46] .*("cali:| -[jg] cali-)|^\w+ cali[46]/.test(line) ||
        /not -j/.test(line),
    )
    .map((line) => line.replace(/ \[\d+:\d+\]/, ''))
    .sort();
}

/** All that is ours, by table and chain. */
function parseOurs(tables: Iptables): unknown[] {
  return ([4, 6] as const)
    .flatMap((family) =>
      [...parseSave(tables.save(family))].flatMap(([table, { chains, others }]) => [
        ...[...chains].map(([name, hashes]) => [family, table, name, ...hashes].join(' ')),
        ...[...others].flatMap(([name, rules]) =>
          rules.flatMap((own) => (own === undefined ? [] : `${family} ${table} ${name} ${own.text}`)),
        ),
      ]),
    )
    .sort();
}

type Damage = (tables: Iptables) => Parameters<Iptables['run']>[0];

function filter(...lines: string[]): Damage {
  const input = `*filter\n${lines.map((line) => `${line}\n`).join('')}COMMIT\n`;
  return () => (['iptables-restore', 'ip6tables-restore'] as const).map((program) => ({ program, input }));
}

function ipset(...lines: string[]): Damage {
  return () => [{ program: 'ipset', input: lines.map((line) => `${line}\n`).join('') }];
}

/** The rules of a chain that name sets, deleted, so that the set can be changed for another. */
function without(name: string, ...lines: string[]): Damage {
  return (tables) => [...filter(`-F ${name}`)(tables), ...ipset(...lines)(tables)];
}

const DAMAGES: readonly [string, Damage][] = [
  ['a rule is deleted', filter('-D cali-pi-gnp/a 2')],
  ['the last rule is deleted', filter('-D cali-pi-gnp/a 4')],
  ['a foreign rule is inserted', filter('-I cali-pi-gnp/a 3 -j ACCEPT')],
  ['a foreign rule is appended', filter('-A cali-pi-gnp/a -j ACCEPT')],
  ['a rule is replaced', filter('-R cali-pi-gnp/a 1 -j ACCEPT')],
  ['a chain is flushed', filter('-F cali-from-wl-dispatch')],
  [
    'a chain is deleted',
    filter('-F cali-from-wl-dispatch', '-F cali-from-wl-dispatch-a', '-X cali-from-wl-dispatch-a'),
  ],
  [
    'a chain of nobody’s is there',
    filter(':cali-old - [0:0]', ':cali-older - [0:0]', '-A cali-old -j cali-older', '-A cali-older -j DROP'),
  ],
  [
    'a foreign rule leads to a chain of nobody’s',
    filter(':cali-old - [0:0]', '-I DOCKER-USER -j cali-old', '-A INPUT -g cali-old'),
  ],
  ['a jump is lost', (tables) => removed(tables, / -j cali-FORWARD$/)],
  ['the rules at the end are lost', (tables) => removed(tables, /^-A FORWARD .*"cali:.*(ACCEPT|MARK .*)$/)],
  ['a jump is moved', (tables) => moved(tables, 'INPUT')],
  [
    'a jump is doubled',
    (tables) =>
      ownJump(tables, 'OUTPUT').map(({ program, spec }) => ({
        program,
        input: `*filter\n-A OUTPUT ${spec}\nCOMMIT\n`,
      })),
  ],
  ['a jump without a comment is there', filter('-A OUTPUT -p tcp -j cali-OUTPUT')],
  [
    'a rule of Calico’s is there',
    filter(
      '-A FORWARD -m comment --comment "cali:S93hcgKJrXEqnTfs" -m comment --comment "Policy explicitly accepted packet." -j ACCEPT',
    ),
  ],
  ['a rule is put before ours', filter('-D FORWARD -j DOCKER-USER', '-I FORWARD -j DOCKER-USER')],
  [
    'members are deleted and added',
    ipset('del cali40s:nets 10.0.0.1', 'add cali40s:nets 10.0.0.9', 'del cali60s:nets 8000::/1'),
  ],
  ['a port is deleted', ipset('del cali60n:ports fd00::1,tcp:80', 'add cali60n:ports fd00::1,tcp:81')],
  ['a set is flushed', ipset('flush cali40n:ports')],
  ['a prefix is excluded', ipset('add cali40s:nets 10.8.1.0/24 nomatch')],
  [
    'a set of nobody’s is there',
    ipset('create cali40s:old hash:net', 'create cali4t0 hash:net', 'add cali4t0 1.2.3.4'),
  ],
  ['a set is smaller', without('cali-every-match', 'destroy cali40s:nets', 'create cali40s:nets hash:net maxelem 10')],
  [
    'a set forgets',
    without(
      'cali-every-match',
      'destroy cali40s:nets',
      'create cali40s:nets hash:net timeout 600',
      'add cali40s:nets 10.0.0.1',
    ),
  ],
  ['a set is of another type', without('cali-every-match', 'destroy cali40s:nets', 'create cali40s:nets hash:ip,port')],
  [
    'a set is of another family',
    without('cali-every-match', 'destroy cali60s:nets', 'create cali60s:nets hash:net family inet'),
  ],
  [
    'a set of another type is in use',
    (tables) => [
      ...without(
        'cali-every-match',
        'destroy cali40n:ports',
        'create cali40n:ports hash:net',
        'add cali40n:ports 1.2.3.4',
      )(tables),
      {
        program: 'iptables-restore',
        input: '*filter\n-A cali-pi-gnp/a -m set --match-set cali40n:ports src -j ACCEPT\nCOMMIT\n',
      },
      {
        program: 'iptables-restore',
        input: '*nat\n-A cali-all -m set ! --match-set cali40n:ports src -j ACCEPT\nCOMMIT\n',
      },
    ],
  ],
  ['all is gone', (tables) => removalPlan(listing(tables)).steps],
];

const RESTORE = { 4: 'iptables-restore', 6: 'ip6tables-restore' } as const;

function ownJump(tables: Iptables, hook: HookName): { program: (typeof RESTORE)[4 | 6]; spec: string }[] {
  return ([4, 6] as const).map((family) => {
    const line = tables
      .save(family)
      .split('*filter')[1]!
      .split('\n')
      .find((each) => each.endsWith(` -j cali-${hook}`))!;
    return { program: RESTORE[family], spec: line.slice(`-A ${hook} `.length) };
  });
}

function moved(tables: Iptables, hook: HookName): ReturnType<Damage> {
  return ownJump(tables, hook).map(({ program, spec }) => ({
    program,
    input: `*filter\n-D ${hook} ${spec}\n-A ${hook} ${spec}\nCOMMIT\n`,
  }));
}

function removed(tables: Iptables, pattern: RegExp): ReturnType<Damage> {
  return ([4, 6] as const).map((family) => {
    const lines = tables
      .save(family)
      .split('*filter')[1]!
      .split('COMMIT')[0]!
      .split('\n')
      .filter((line) => pattern.test(line));
    return {
      program: RESTORE[family],
      input: `*filter\n${lines.map((line) => `-D${line.slice(2)}\n`).join('')}COMMIT\n`,
    };
  });
}

const MORE_DEVICES = [...DEVICES, 'calia3', 'calib2'];
const WITH_MORE = programOf([...CHAINS, endpointChain('calia3'), endpointChain('calib2')], SETS, MORE_DEVICES);
const OTHER_POLICY = { ...POLICY, rules: [...POLICY.rules.slice(0, 2), ...POLICY.rules.slice(3), rule(DROP)] };
const WITH_POLICY = programOf([...CHAINS.filter((each) => each !== POLICY), OTHER_POLICY], SETS, DEVICES);
const MANY = Array.from({ length: 1000 }, (_, index) => `10.20.${index >> 8}.${index & 255}`);
const SET = setId('s:new');
const USER = chain(
  'filter',
  'cali-po-user',
  rule(DROP, { kind: 'set', end: 'source', family: 4, set: SET, part: 'all', is: true }),
);

function withNewSet(...members: string[]): FilterProgram {
  return programOf([...CHAINS, USER], [...SETS, programSet(SET, 'nets', 4, ...members)], DEVICES);
}

const BOTH_RESTORES = ['iptables-restore', 'ip6tables-restore'];

/** One after the other; the programs that run. */
const STEPS: readonly [string, FilterProgram, readonly string[]][] = [
  ['containers come', WITH_MORE, BOTH_RESTORES],
  ['containers go', PROGRAM, BOTH_RESTORES],
  ['a policy changes', WITH_POLICY, BOTH_RESTORES],
  ['and back', PROGRAM, BOTH_RESTORES],
  ['a set comes, with a rule for one family', withNewSet('0.0.0.0/0'), ['ipset', ...BOTH_RESTORES]],
  ['half of all stays', withNewSet('0.0.0.0/1'), ['ipset', 'ipset']],
  ['members come', withNewSet('1.2.3.4', '5.0.0.0/8'), ['ipset', 'ipset']],
  ['members go', withNewSet('1.2.3.4'), ['ipset']],
  ['many come', withNewSet('1.2.3.4', ...MANY), ['ipset']],
  ['one of many goes', withNewSet(...MANY), ['ipset']],
  ['all are replaced at once', withNewSet('1.2.3.4'), ['ipset']],
  ['the set goes, and its rule', PROGRAM, [...BOTH_RESTORES, 'ipset']],
  ['nothing changes', PROGRAM, []],
  [
    'a hook goes',
    programOf(
      CHAINS.filter(({ table }) => table !== 'mangle'),
      SETS,
      DEVICES,
    ),
    BOTH_RESTORES,
  ],
  ['a hook comes', PROGRAM, BOTH_RESTORES],
  ['all containers go', programOf(CHAINS, SETS, []), BOTH_RESTORES],
  ['and come', PROGRAM, BOTH_RESTORES],
];

function changesBetween(from: FilterProgram, to: FilterProgram): ProgramChanges {
  const keys = <Key>(a: ReadonlyMap<Key, unknown>, b: ReadonlyMap<Key, unknown>) =>
    [...new Set([...a.keys(), ...b.keys()])].filter((key) => a.get(key) !== b.get(key));
  const maps = new Map(
    [...to.maps].map(([name, map]) => {
      const before = from.maps.get(name) ?? new Map<string, string>();
      return [name, new Map(keys(before, map).map((device) => [device, map.get(device)]))] as const;
    }),
  );
  return {
    chains: new Map(keys(from.chains, to.chains).map((key: ChainKey) => [key, to.chains.get(key)])),
    maps: new Map([...maps].filter(([, map]) => map.size > 0)),
    sets: new Map(
      keys(from.sets, to.sets).map((key) => {
        const before = from.sets.get(key)?.members ?? new Set<string>();
        const now = to.sets.get(key);
        const members = now?.members ?? new Set<string>();
        const added = [...members].filter((member) => !before.has(member));
        return [key, { now, added, removed: [...before].filter((member) => !members.has(member)) }];
      }),
    ),
  };
}

for (const variant of ['legacy', 'nft'] as const) {
  describe(`iptables-${variant}`, { skip }, () => {
    const name = PREFIX + variant;
    let tables: Iptables;
    let planner: IptablesPlanner;
    before(() => {
      addNamespace(name);
      tables = open(name, variant);
      planner = new IptablesPlanner({ families: [4, 6], insertMode: 'insert' });
    });
    after(() => {
      tables?.close();
      removeNamespace(name);
    });

    const carryOut = (plan: IptablesPlan): IptablesPlan => {
      tables.run(plan.steps);
      planner.applied();
      return plan;
    };
    const repair = () => carryOut(planner.plan(PROGRAM, undefined, listing(tables)));
    const assertNothingToDo = (program: FilterProgram = PROGRAM) =>
      assert.deepEqual(
        new IptablesPlanner({ families: [4, 6], insertMode: 'insert' }).plan(program, undefined, listing(tables)),
        {
          steps: [],
          changes: 0,
        },
      );

    test('where nothing of ours is, nothing is removed', () => {
      assert.deepEqual(removalPlan(listing(tables)), { steps: [], changes: 0 });
    });

    test('a program with everything in it is written, and then there is nothing to do', () => {
      repair();
      assertNothingToDo();
    });

    test('what is removed leaves nothing', () => {
      tables.run(removalPlan(listing(tables)).steps);
      assert.deepEqual(rest(tables), rest(tables, false));
      assert.deepEqual([parseOurs(tables), tables.saveSets()], [[], '']);
    });

    test('beside other people’s rules ours stand first, their own as before', () => {
      tables.run([
        { program: 'ipset', input: FOREIGN_SETS.replaceAll('FAMILY', 'inet').replace('ADDRESS', '10.0.0.1') },
        { program: 'iptables-restore', input: FOREIGN },
        { program: 'ip6tables-restore', input: FOREIGN.replace(/.*--match-set.*\n/, '') },
      ]);
      const theirs = rest(tables);
      repair();
      assertNothingToDo();
      assert.deepEqual(rest(tables), theirs);
      for (const family of [4, 6] as const) {
        const lines = tables.save(family).split('\n');
        const forward = lines
          .filter((line) => line.startsWith('-A FORWARD '))
          .map((line) => line.replace(/^.* -j /, ''));
        assert.deepEqual(
          [forward[0], ...forward.slice(-2)],
          ['cali-FORWARD', 'ACCEPT', 'MARK --set-xmark 0x10000/0x10000'],
        );
        assert.match(lines.filter((line) => line.startsWith('-A POSTROUTING ')).at(-1)!, /-j cali-POSTROUTING$/);
      }
    });

    for (const [what, damage] of DAMAGES) {
      test(`${what}: repaired`, () => {
        const theirs = rest(tables);
        const ours = parseOurs(tables);
        tables.run(damage(tables));
        assert.notEqual(planner.plan(PROGRAM, undefined, listing(tables)).changes, 0, 'no damage was done');
        repair();
        assertNothingToDo();
        assert.deepEqual(rest(tables), theirs);
        assert.deepEqual(parseOurs(tables), ours);
      });
    }

    test('the program changes, from plan to plan without a listing', () => {
      repair();
      let last: FilterProgram = PROGRAM;
      for (const [what, next, inputs] of STEPS) {
        const plan = carryOut(planner.plan(next, changesBetween(last, next), undefined));
        assert.deepEqual(
          plan.steps.map(({ program }) => program),
          inputs,
          what,
        );
        assertNothingToDo(next);
        last = next;
      }
    });

    test('a refused input says the program’s words and the line, and a table is as it was', () => {
      repair();
      const input = `*filter\n-A FORWARD -j ACCEPT\n-A FORWARD -m set --match-set nowhere src -j ACCEPT\nCOMMIT\n`;
      assert.throws(() => tables.run([{ program: 'iptables-restore', input }]), {
        name: 'KernelError',
        code: 'ENOENT',
        message:
          /iptables-\w+-restore: .*Set nowhere doesn't exist.*; the line was: -A FORWARD -m set --match-set nowhere/,
      });
      assert.throws(() => tables.run([{ program: 'ipset', input: 'add nowhere 10.0.0.1\n' }]), {
        code: 'ENOENT',
        message: /ipset: .*does not exist; the line was: add nowhere 10\.0\.0\.1/,
      });
      assertNothingToDo();
    });

    test('packets are counted by the rule of the program', () => {
      repair();
      const namespace = ['netns', 'exec', name];
      execFileSync('ip', [...namespace, 'ip', 'link', 'set', 'lo', 'up']);
      execFileSync('ip', [...namespace, 'bash', '-c', 'echo x > /dev/udp/127.0.0.1/9 || true']);
      const counted = planner.countedRules(4, tables.saveWithCounters(4)).filter(({ packets }) => packets > 0);
      const where = counted.map(({ table, chain: name, packets, bytes }) => `${table} ${name} ${packets} ${bytes}`);
      // 20 bytes of IPv4, 8 of UDP, 2 of text; the kernel's chain leads to ours, whose first rule drops.
      const chains = ['filter OUTPUT', 'filter cali-OUTPUT', 'filter cali-all', 'nat OUTPUT', 'raw OUTPUT'];
      assert.deepEqual(
        where.sort(),
        chains.map((each) => `${each} 1 30`),
      );
      const dropped = counted.find((each) => each.chain === 'cali-all');
      assert.equal(dropped?.rule, PROGRAM.chains.get('filter cali-all')?.rules[0]);
    });

    test('a set that somebody’s rule names is left, and removed once it is free', () => {
      const named = 'DOCKER-USER -m set --match-set cali40s:new src -j DROP';
      const used = withNewSet('1.2.3.4');
      carryOut(planner.plan(used, undefined, listing(tables)));
      tables.run([{ program: 'iptables-restore', input: `*filter\n-A ${named}\nCOMMIT\n` }]);
      carryOut(planner.plan(PROGRAM, changesBetween(used, PROGRAM), undefined));
      // Emptied, so that it holds the right members should it be wanted again.
      assert.match(tables.saveSets(), /^create cali40s:new /m);
      assert.doesNotMatch(tables.saveSets(), /^add cali40s:new /m);
      tables.run([{ program: 'iptables-restore', input: `*filter\n-D ${named}\nCOMMIT\n` }]);
      repair();
      assertNothingToDo();
    });

    test('jumps are moved behind everybody’s where the operator wishes so', () => {
      const theirs = rest(tables);
      const appending = new IptablesPlanner({ families: [4, 6], insertMode: 'append' });
      tables.run(appending.plan(PROGRAM, undefined, listing(tables)).steps);
      assert.equal(appending.plan(PROGRAM, undefined, listing(tables)).changes, 0);
      assert.match(
        tables
          .save(4)
          .split('\n')
          .filter((line) => line.startsWith('-A INPUT '))
          .at(-1)!,
        /-j cali-INPUT$/,
      );
      assert.deepEqual(rest(tables), theirs);
    });

    test('removal leaves exactly what others have', () => {
      const theirs = rest(tables);
      tables.run(removalPlan(listing(tables)).steps);
      assert.deepEqual(rest(tables), theirs);
      assert.deepEqual([parseOurs(tables), /^\w+ cali[46]/m.test(tables.saveSets())], [[], false]);
    });

    test('the variant in which others have rules is chosen, and the choice explained', () => {
      const chosen = openIptables({ namespacePath: namespacePath(name), variant: 'auto', countForeignRules });
      assert.equal(chosen.variant, variant);
      assert.match(
        chosen.reason,
        variant === 'nft' ? / 0 rules in iptables-legacy and 19 / : / 19 rules in iptables-legacy and 0 /,
      );
      assert.match(chosen.version, /^iptables 1\.\d+\.\d+, ipset \d+\.\d+$/);
      chosen.close();
    });
  });
}

describe('what iptables cannot do here is said', { skip }, () => {
  const name = `${PREFIX}refused`;
  const directory = mkdtempSync(`${tmpdir()}/${PREFIX}`);
  const path = process.env['PATH'];
  before(() => addNamespace(name));
  after(() => {
    process.env['PATH'] = path;
    rmSync(directory, { recursive: true });
    removeNamespace(name);
  });

  test('a table that nft has made its own', () => {
    const table = 'table ip filter { chain x { numgen random mod 2 vmap { 0: accept, 1: drop }; }; }';
    execFileSync('ip', ['netns', 'exec', name, 'nft', table]);
    const tables = open(name, 'nft');
    assert.throws(() => tables.save(4), { code: 'EOPNOTSUPP', message: /filter' is incompatible.*choose nftables/ });
    tables.close();
  });

  for (const [program, words, message] of [
    ['ipset', 'ipset v6.20, protocol version: 6', /ipset 6\.20 is too old: 6\.38 or newer/],
    ['iptables-nft-restore', 'iptables v1.8.2 (nf_tables)', /iptables 1\.8\.2 is too old: 1\.8\.3 or newer/],
    ['ipset', 'what?', /ipset 0 is too old/],
  ] as const) {
    test(`${program} says "${words}"`, () => {
      writeFileSync(`${directory}/${program}`, `#!/bin/sh\necho '${words}'\n`, { mode: 0o755 });
      process.env['PATH'] = `${directory}:${path}`;
      assert.throws(() => open(name, 'nft'), { name: 'KernelError', code: 'EOPNOTSUPP', message });
      rmSync(`${directory}/${program}`);
      open(name, 'nft').close();
    });
  }
});
