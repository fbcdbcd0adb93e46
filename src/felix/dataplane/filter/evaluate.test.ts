import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { formatIp, ip } from '../../../net/ip.ts';
import { setId } from '../../desired/policy.ts';
import type { Packet } from './evaluate.ts';
import { evaluationOf } from './evaluate.ts';
import type { FilterWorld } from './match.ts';
import type {
  Action,
  Chain,
  DispatchMap,
  DispatchMapName,
  FilterProgram,
  HookName,
  Match,
  ProgramSet,
  Rule,
  TableName,
} from './program.ts';
import { chainKey, setKey } from './program.ts';

/** Containers a (10.0.0.1, fd00::1) and b (10.0.0.2), the host 192.0.2.1 with eth0, and all others behind eth0. */
const DEVICES: Readonly<Record<string, string>> = { '10.0.0.1': 'cali1', 'fd00::1': 'cali1', '10.0.0.2': 'cali2' };
const WORLD: FilterWorld = {
  isLocal: (address, device) => formatIp(address) === '192.0.2.1' && (device === undefined || device === 'eth0'),
  deviceOf: (address) => (formatIp(address).startsWith('10.9.') ? undefined : (DEVICES[formatIp(address)] ?? 'eth0')),
};

const NETS: ProgramSet = {
  set: setId('s:nets'),
  family: 4,
  part: 'all',
  kind: 'nets',
  members: new Set(['10.0.0.1', '172.16.0.0/12', '203.0.113.128/25']),
};
const SETS: readonly ProgramSet[] = [
  NETS,
  { ...NETS, part: 'addresses', members: new Set(['10.0.0.1']) },
  { ...NETS, part: 'prefixes', members: new Set(['172.16.0.0/12', '203.0.113.128/25']) },
  { ...NETS, family: 6, members: new Set(['fd00::1', '2001:db8::/33']) },
  { set: setId('n:http'), family: 4, part: 'all', kind: 'ports', members: new Set(['10.0.0.2,tcp:80']) },
];

function rule(action: Action, ...matches: Match[]): Rule {
  return { matches, action, comment: '', provenance: undefined, origin: undefined };
}

function chain(table: TableName, name: string, hook: HookName | undefined, ...rules: Rule[]): Chain {
  return { table, name, hook, rules };
}

function programOf(chains: readonly Chain[], maps: Partial<Record<DispatchMapName, DispatchMap>> = {}): FilterProgram {
  return {
    chains: new Map(chains.map((chain) => [chainKey(chain), chain])),
    maps: new Map(Object.entries(maps)) as FilterProgram['maps'],
    sets: new Map(SETS.map((set) => [setKey(set), set])),
  };
}

/** TCP from a to b, port 80, unless it is said otherwise. */
function packet(fields: Partial<Packet> = {}): Packet {
  const tcp = { protocol: 6, sourcePort: 40_000, destinationPort: 80, inDevice: 'cali1', outDevice: 'cali2' };
  return { ...tcp, source: ip('10.0.0.1'), destination: ip('10.0.0.2'), ...fields };
}

const DROP: Action = { kind: 'drop' };
const UDP: Partial<Packet> = { protocol: 17 };
const PING: Partial<Packet> = { protocol: 1, icmpType: 8, icmpCode: 0 };
const PING6: Partial<Packet> = {
  ...PING,
  protocol: 58,
  icmpType: 128,
  source: ip('fd00::1'),
  destination: ip('fd00::2'),
};
const IPV6: Partial<Packet> = { source: ip('fd00::1'), destination: ip('fd00::2') };

type Fields<Kind> = Omit<Extract<Match, { kind: Kind }>, 'kind'>;
const device = (fields: Partial<Fields<'device'>>): Match => ({
  ...{ kind: 'device', direction: 'in', name: 'cali1', prefix: false, is: true },
  ...fields,
});
const nets = (is: boolean, ...prefixes: string[]): Match => ({
  ...{ kind: 'nets', end: 'destination', family: 4, is },
  prefixes: prefixes.map(cidr),
});
const set = (fields: Partial<Fields<'set'>> = {}): Match => ({
  ...{ kind: 'set', end: 'destination', family: 4, set: setId('s:nets'), part: 'all', is: true },
  ...fields,
});
const portSet = (is: boolean): Match => ({ kind: 'portSet', end: 'destination', family: 4, set: setId('n:http'), is });
const ports = (is: boolean, ...ranges: [number, number][]): Match => ({
  ...{ kind: 'ports', end: 'destination', protocol: 'tcp', is },
  ports: ranges.map(([first, last]) => ({ first, last })),
});
const icmp = (is: boolean, type: number, code?: number): Match => ({
  ...{ kind: 'icmp', family: 4, is },
  match: { type, code },
});
const to = (text: string): Partial<Packet> => ({ destination: ip(text) });

describe('a match is true of', () => {
  const rows: readonly [string, Match, Partial<Packet>, boolean][] = [
    ['the device it came in by', device({}), {}, true],
    ['no other device', device({ name: 'cali' }), {}, false],
    ['devices that begin so', device({ name: 'cali', prefix: true, direction: 'out' }), {}, true],
    ['all others, turned around', device({ name: 'eth0', is: false }), {}, true],
    ['its family', { kind: 'family', family: 6 }, IPV6, true],
    ['whoever does not say whose turn it is', { kind: 'turn', oneIn: 3 }, {}, true],
    ['none whose turn comes later', { kind: 'turn', oneIn: 3 }, { turn: 1 }, false],
    ['no other family', { kind: 'family', family: 6 }, {}, false],
    ['its protocol', { kind: 'protocol', protocol: 6, is: true }, {}, true],
    ['other protocols, turned around', { kind: 'protocol', protocol: 6, is: false }, UDP, true],
    ['an address in one of the prefixes', nets(true, '10.1.0.0/16', '10.0.0.0/30'), {}, true],
    ['the first address behind a prefix, not', nets(true, '10.0.0.0/31'), {}, false],
    ['every address in /0', nets(true, '0.0.0.0/0'), {}, true],
    ['addresses outside of all, turned around', nets(false, '10.1.0.0/16'), {}, true],
    ['no address of another family, turned around or not', nets(false, '10.1.0.0/16'), IPV6, false],
    ['a member', set(), to('10.0.0.1'), true],
    ['an address in a member', set(), to('172.31.255.255'), true],
    ['an address in a longer member', set(), to('203.0.113.129'), true],
    ['no address beside', set(), to('203.0.113.127'), false],
    ['addresses beside, turned around', set({ is: false }), to('203.0.113.127'), true],
    ['not a prefix, where addresses are asked for', set({ part: 'addresses' }), to('172.16.0.1'), false],
    ['a prefix, where prefixes are asked for', set({ part: 'prefixes' }), to('172.16.0.1'), true],
    ['not an address, where prefixes are asked for', set({ part: 'prefixes' }), to('10.0.0.1'), false],
    ['an IPv6 address in a member', set({ family: 6 }), { ...IPV6, ...to('2001:db8:7fff::1') }, true],
    ['no IPv6 address beside', set({ family: 6 }), { ...IPV6, ...to('2001:db8:8000::1') }, false],
    ['no IPv4 address of an IPv6 set, turned around', set({ family: 6, is: false }), {}, false],
    ['address, protocol and port together', portSet(true), {}, true],
    ['no other port', portSet(true), { destinationPort: 81 }, false],
    ['no other protocol', portSet(true), UDP, false],
    ['what has no ports, turned around', portSet(false), PING, true],
    ['the ends of a range', ports(true, [70, 75], [78, 80]), {}, true],
    ['no port beside a range', ports(true, [81, 90]), {}, false],
    ['a port beside, turned around', ports(false, [81, 90]), {}, true],
    ['no port of another protocol, turned around', ports(false, [81, 90]), UDP, false],
    ['a type, with any code', icmp(true, 8), PING, true],
    ['a type and a code', icmp(true, 8, 0), PING, true],
    ['no other code', icmp(true, 8, 1), PING, false],
    ['other types, turned around', icmp(false, 3), PING, true],
    ['no ICMPv6 for ICMP, turned around', icmp(false, 3), PING6, false],
    ['one of the states', { kind: 'conntrack', states: ['new', 'related'], is: true }, {}, true],
    ['no other state', { kind: 'conntrack', states: ['new'], is: true }, { state: 'established' }, false],
    ['a destination that nobody changed, turned around', { kind: 'dnat', is: false }, {}, true],
    ['no mark at first', { kind: 'mark', bits: 0x10000, is: true }, {}, false],
    ['a mark that is not there, turned around', { kind: 'mark', bits: 0x10000, is: false }, {}, true],
    [
      'an address of the host',
      { kind: 'local', end: 'destination', onOutDevice: false, is: true },
      to('192.0.2.1'),
      true,
    ],
    ['not on that device', { kind: 'local', end: 'destination', onOutDevice: true, is: true }, to('192.0.2.1'), false],
    ['a source of another device', { kind: 'forged' }, { source: ip('10.0.0.2') }, true],
    ['not a source of its own', { kind: 'forged' }, {}, false],
    ['not a link-local source', { kind: 'forged' }, { ...IPV6, source: ip('fe80::1') }, false],
    ['what is within the limit', { kind: 'limit', count: 1, per: 'hour', burst: 1 }, {}, true],
  ];
  for (const [title, match, fields, expected] of rows) {
    test(title, () => {
      const hook: HookName = match.kind === 'forged' ? 'PREROUTING' : 'FORWARD';
      const program = programOf([chain('filter', 'only', hook, rule(DROP, match))]);
      assert.equal(evaluationOf(program, WORLD)(packet(fields)).verdict, expected ? 'drop' : 'accept');
    });
  }
});

test('a device that a hook does not know has no name', () => {
  const hooks: readonly HookName[] = ['PREROUTING', 'INPUT', 'FORWARD', 'OUTPUT', 'POSTROUTING'];
  const known = hooks.map((hook) => {
    const named = (direction: 'in' | 'out') =>
      rule({ kind: 'log', prefix: direction }, device({ direction, name: '', is: false }));
    const program = programOf([chain('mangle', 'only', hook, named('in'), named('out'))]);
    const inDevice = hook === 'OUTPUT' ? undefined : 'cali1';
    const outDevice = hook === 'INPUT' ? undefined : 'cali2';
    return `${hook} ${evaluationOf(program, WORLD)(packet({ inDevice, outDevice })).logs.join(' ')}`;
  });
  assert.deepEqual(known, ['PREROUTING in', 'INPUT in', 'FORWARD in out', 'OUTPUT out', 'POSTROUTING out']);
});

describe('a packet passes the tables', () => {
  const hooks: readonly HookName[] = ['POSTROUTING', 'OUTPUT', 'FORWARD', 'INPUT', 'PREROUTING'];
  const tables: readonly TableName[] = ['filter', 'nat', 'mangle', 'raw'];
  const program = programOf(
    hooks.flatMap((hook) =>
      tables.map((table) =>
        chain(
          table,
          hook,
          hook,
          rule({ kind: 'log', prefix: `${table} ${hook}` }),
          rule({ kind: 'accept' }),
          rule(DROP),
        ),
      ),
    ),
  );
  const all = (hook: HookName) => ['raw', 'mangle', 'nat', 'filter'].map((table) => `${table} ${hook}`);
  const rows: readonly [string, Partial<Packet>, readonly string[]][] = [
    ['forwarded', {}, [...all('PREROUTING'), ...all('FORWARD'), ...all('POSTROUTING')]],
    ['to the host', { outDevice: undefined }, [...all('PREROUTING'), ...all('INPUT')]],
    ['from the host', { inDevice: undefined }, [...all('OUTPUT'), ...all('POSTROUTING')]],
  ];
  for (const [title, fields, expected] of rows) {
    test(title, () => assert.deepEqual(evaluationOf(program, WORLD)(packet(fields)).logs, expected));
    test(`${title}, without nat for a known connection`, () => {
      const { logs } = evaluationOf(program, WORLD)(packet({ ...fields, state: 'established' }));
      assert.deepEqual(
        logs,
        expected.filter((line) => !line.startsWith('nat')),
      );
    });
  }
});

describe('verdicts and jumps', () => {
  const log = (prefix: string) => rule({ kind: 'log', prefix });
  const jump = (name: string, ...matches: Match[]) => rule({ kind: 'jump', chain: name }, ...matches);
  const goto = (name: string) => rule({ kind: 'goto', chain: name });
  const plain = (name: string, ...rules: Rule[]) => chain('filter', name, undefined, ...rules);
  const forward = (...rules: Rule[]) => chain('filter', 'base', 'FORWARD', ...rules);
  const mark = (bits: number, clear = 0) => rule({ kind: 'mark', set: bits, clear });
  const marked = (bits: number, is = true): Match => ({ kind: 'mark', bits, is });
  const rows: readonly [string, readonly Chain[], string, readonly string[]][] = [
    [
      'a chain that ends comes back',
      [forward(jump('a'), log('2'), rule(DROP)), plain('a', log('1'))],
      'drop',
      ['1', '2'],
    ],
    [
      'return comes back behind the jump',
      [forward(jump('a'), log('2')), plain('a', log('1'), rule({ kind: 'return' }), rule(DROP))],
      'accept',
      ['1', '2'],
    ],
    [
      'who is gone to returns for the one that went',
      [forward(jump('a'), log('3')), plain('a', log('1'), goto('b'), rule(DROP)), plain('b', log('2'))],
      'accept',
      ['1', '2', '3'],
    ],
    ['goto from a kernel chain ends it', [forward(goto('a'), rule(DROP)), plain('a', log('1'))], 'accept', ['1']],
    [
      'accept ends all chains of the table',
      [forward(jump('a'), rule(DROP)), plain('a', rule({ kind: 'accept' }))],
      'accept',
      [],
    ],
    [
      'accept leaves other tables their say',
      [chain('mangle', 'm', 'FORWARD', rule({ kind: 'accept' })), forward(rule({ kind: 'reject' }))],
      'reject',
      [],
    ],
    [
      'marks go from chain to chain and hook to hook',
      [
        chain('raw', 'r', 'PREROUTING', mark(0x30000)),
        forward(mark(0, 0x20000), rule(DROP, marked(0x10000), marked(0x20000, false))),
      ],
      'drop',
      [],
    ],
    ['all bits of a mark are asked for', [forward(mark(0x10000), rule(DROP, marked(0x30000)))], 'accept', []],
    ['the highest bit is a bit', [forward(mark(0x80000000), rule(DROP, marked(0x80000000)))], 'drop', []],
    [
      'notrack is seen by later tables',
      [
        chain('raw', 'r', 'PREROUTING', rule({ kind: 'notrack' })),
        forward(rule(DROP, { kind: 'conntrack', states: ['untracked'], is: true })),
      ],
      'drop',
      [],
    ],
    [
      'rules for the end of the kernel chain come last',
      [{ ...forward(jump('a'), log('2')), hookRules: [log('3'), rule(DROP)] }, plain('a', log('1'))],
      'drop',
      ['1', '2', '3'],
    ],
    ['nflog writes its prefix', [forward(rule({ kind: 'nflog', group: 1, prefix: 'n' }))], 'accept', ['n']],
  ];
  for (const [title, chains, verdict, logs] of rows) {
    test(title, () => {
      const outcome = evaluationOf(programOf(chains), WORLD)(packet());
      assert.deepEqual([outcome.verdict, outcome.logs], [verdict, logs]);
    });
  }

  test('a dispatch goes to the chain of the device, or on', () => {
    const dispatch = rule({ kind: 'dispatch', direction: 'in', map: 'cali-from-wl' });
    const chains = [forward(jump('d')), plain('d', dispatch, rule(DROP)), plain('a', log('a'))];
    const evaluation = evaluationOf(programOf(chains, { 'cali-from-wl': new Map([['cali1', 'a']]) }), WORLD);
    assert.deepEqual(evaluation(packet()).logs, ['a']);
    assert.equal(evaluation(packet()).verdict, 'accept');
    assert.equal(evaluation(packet({ inDevice: 'cali2' })).verdict, 'drop');
  });

  test('the outcome names the rule that dropped, and the way there when asked', () => {
    const last = rule(DROP);
    const chains = [forward(rule(DROP, marked(1)), jump('a')), plain('a', log('1'), last)];
    const quiet = evaluationOf(programOf(chains), WORLD)(packet());
    assert.deepEqual([quiet.by, quiet.trace], [last, []]);
    const { trace } = evaluationOf(programOf(chains), WORLD, true)(packet());
    assert.deepEqual(
      trace.map((step) => `${step.chain} ${step.index} ${step.rule.action.kind}`),
      ['filter base 1 jump', 'filter a 0 log', 'filter a 1 drop'],
    );
  });

  test('a chain or a set that is not there is our bug', () => {
    assert.throws(() => evaluationOf(programOf([forward(jump('a'))]), WORLD)(packet()), /filter a/);
    const missing = set({ set: setId('s:missing') });
    assert.throws(() => evaluationOf(programOf([forward(rule(DROP, missing))]), WORLD)(packet()), /s:missing 4 all/);
  });
});

describe('translation', () => {
  const dnat = (to: string, hook: HookName = 'PREROUTING') =>
    chain('nat', 'n', hook, rule({ kind: 'dnat', to: ip(to) }, nets(true, '198.51.100.1/32')), rule(DROP));
  const say = (hook: HookName) =>
    chain(
      'filter',
      hook,
      hook,
      rule({ kind: 'log', prefix: hook }),
      rule(DROP, device({ direction: 'out', name: 'cali2' }), { kind: 'dnat', is: true }),
    );
  const rows: readonly [string, readonly Chain[], Partial<Packet>, string, readonly string[]][] = [
    ['to a container is routed to it', [dnat('10.0.0.2'), say('FORWARD')], { outDevice: 'eth0' }, 'drop', ['FORWARD']],
    ['to the host is for the host', [dnat('192.0.2.1'), say('INPUT'), say('FORWARD')], {}, 'accept', ['INPUT']],
    ['to nowhere is dropped', [dnat('10.9.0.1'), say('FORWARD')], {}, 'drop', []],
    [
      'of what the host sends takes another device',
      [dnat('10.0.0.2', 'OUTPUT'), say('POSTROUTING')],
      { inDevice: undefined, outDevice: 'eth0' },
      'drop',
      ['POSTROUTING'],
    ],
  ];
  for (const [title, chains, fields, verdict, logs] of rows) {
    test(title, () => {
      const outcome = evaluationOf(programOf(chains), WORLD)(packet({ ...to('198.51.100.1'), ...fields }));
      assert.deepEqual([outcome.verdict, outcome.logs], [verdict, logs]);
    });
  }

  test('the outcome has the addresses after it', () => {
    const snat = chain('nat', 'p', 'POSTROUTING', rule({ kind: 'snat', to: ip('192.0.2.1'), ports: undefined }));
    const outcome = evaluationOf(programOf([dnat('10.0.0.2'), snat]), WORLD)(packet(to('198.51.100.1')));
    assert.deepEqual([outcome.source, outcome.destination].map(formatIp), ['192.0.2.1', '10.0.0.2']);
    const masquerade = chain('nat', 'p', 'POSTROUTING', rule({ kind: 'masquerade', ports: undefined }));
    assert.equal(evaluationOf(programOf([masquerade]), WORLD)(packet()).masqueraded, true);
  });
});
