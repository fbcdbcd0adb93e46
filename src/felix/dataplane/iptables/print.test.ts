import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { ip } from '../../../net/ip.ts';
import { setId } from '../../desired/policy.ts';
import type { Action, Chain, Match, Rule, TableName } from '../filter/program.ts';
import { printChain } from './print.ts';

const DROP = { kind: 'drop' } as const;

function chainOf(table: TableName, ...rules: Rule[]): Chain {
  return { table, name: 'cali-x', hook: undefined, rules };
}

function rule(action: Action, ...matches: Match[]): Rule {
  return { matches, action, comment: '', provenance: undefined, origin: undefined };
}

/** The rule for both families without its hash, "-" where there is none; once if they are equal. */
function print(table: TableName, each: Rule): string {
  const chain = chainOf(table, each);
  const [four, six] = ([4, 6] as const).map((family) => {
    const [printed] = printChain(chain, family).rules;
    return printed?.text.replace(/^-m comment --comment "cali:[\w-]{11}" /, '') ?? '-';
  });
  return four === six ? (four ?? '') : `${four} | ${six}`;
}

function nets(end: 'source' | 'destination', text: string, is = true): Match {
  const prefixes = text.split(' ').map(cidr);
  return { kind: 'nets', end, family: prefixes[0]!.address.family, prefixes, is };
}

function protocol(number: number, is = true): Match {
  return { kind: 'protocol', protocol: number, is };
}

function ports(name: 'tcp' | 'udp' | 'sctp', first: number, last: number, is = true): Match {
  return { kind: 'ports', end: 'destination', protocol: name, ports: [{ first, last }], is };
}

function device(direction: 'in' | 'out', name: string, prefix: boolean, is = true): Match {
  return { kind: 'device', direction, name, prefix, is };
}

const S = setId('s:abc');
const IN_SET: Match = { kind: 'set', end: 'source', family: 4, set: S, part: 'all', is: true };

const matches: readonly [readonly Match[], string][] = [
  [[], ''],
  [[device('in', 'cali', true)], '-i cali+'],
  [[device('out', 'eth0.5', false, false)], '! -o eth0.5'],
  [[{ kind: 'family', family: 4 }], ' | -'],
  [[{ kind: 'family', family: 6 }], '- | '],
  [[protocol(4)], '-p 4'],
  [[{ kind: 'turn', oneIn: 3 }], '-m statistic --mode nth --every 3 --packet 0'],
  [[protocol(6, false)], '! -p 6'],
  [[protocol(6), protocol(17, false)], '-p 6'],
  [[protocol(6), protocol(6, false)], '-'],
  [[protocol(6), ports('udp', 1, 1)], '-'],
  [[nets('source', '10.0.0.0/8')], '-s 10.0.0.0/8 | -'],
  [[nets('destination', 'fd00::/8', false)], '- | ! -d fd00::/8'],
  [[nets('source', '0.0.0.0/0')], ' | -'],
  [[nets('source', '::/0', false)], '-'],
  [[nets('source', '10.0.0.0/8'), nets('destination', '10.0.0.0/8')], '-s 10.0.0.0/8 -d 10.0.0.0/8 | -'],
  [
    [nets('source', '10.0.0.0/8'), nets('source', '10.1.0.0/16 10.2.3.4/32', false)],
    '-s 10.0.0.0/8 -m iprange ! --src-range 10.1.0.0-10.1.255.255 -m iprange ! --src-range 10.2.3.4-10.2.3.4 | -',
  ],
  [
    [nets('destination', 'fd00::/8'), nets('destination', 'fd80::/9')],
    '- | -d fd00::/8 -m iprange --dst-range fd80::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff',
  ],
  [[IN_SET], '-m set --match-set cali40s:abc src | -'],
  [[{ ...IN_SET, family: 6, end: 'destination', is: false }], '- | -m set ! --match-set cali60s:abc dst'],
  [
    [{ kind: 'portSet', end: 'destination', family: 4, set: S, is: true }],
    '-m set --match-set cali40s:abc dst,dst | -',
  ],
  [[{ kind: 'portSet', end: 'source', family: 6, set: S, is: false }], '- | -m set ! --match-set cali60s:abc src,src'],
  [[ports('tcp', 80, 80)], '-p 6 -m multiport --dports 80'],
  [[ports('sctp', 80, 90, false)], '-p 132 -m multiport ! --dports 80:90'],
  [[{ kind: 'icmp', family: 4, match: { type: 8, code: undefined }, is: true }], '-p 1 -m icmp --icmp-type 8 | -'],
  [[{ kind: 'icmp', family: 6, match: { type: 1, code: 4 }, is: false }], '- | -p 58 -m icmp6 ! --icmpv6-type 1/4'],
  [[{ kind: 'conntrack', states: ['related', 'established'], is: true }], '-m conntrack --ctstate RELATED,ESTABLISHED'],
  [[{ kind: 'conntrack', states: ['invalid'], is: false }], '-m conntrack ! --ctstate INVALID'],
  [[{ kind: 'dnat', is: false }], '-m conntrack ! --ctstate DNAT'],
  [[{ kind: 'mark', bits: 0x80000000, is: true }], '-m mark --mark 0x80000000/0x80000000'],
  [[{ kind: 'mark', bits: 0x10000, is: false }], '-m mark --mark 0x0/0x10000'],
  [[{ kind: 'local', end: 'destination', onOutDevice: false, is: true }], '-m addrtype --dst-type LOCAL'],
  [
    [{ kind: 'local', end: 'source', onOutDevice: true, is: false }],
    '-m addrtype ! --src-type LOCAL --limit-iface-out',
  ],
  [[{ kind: 'forged' }], '-m rpfilter --validmark --invert'],
  [[{ kind: 'limit', count: 5, per: 'minute', burst: 7 }], '-m limit --limit 5/minute --limit-burst 7'],
  // Options stand first, whatever came first: multiport is refused while the protocol is not known.
  [[ports('udp', 53, 53), device('in', 'cali', true)], '-i cali+ -p 17 -m multiport --dports 53'],
];

for (const [list, words] of matches) {
  test(`matches: ${words || 'none'}`, () => {
    const expected = words
      .split(' | ')
      .map((each) => (each === '-' ? '-' : `${each} -j DROP`.trim()))
      .join(' | ');
    assert.equal(print('filter', rule(DROP, ...list)), expected);
  });
}

const RANGE = { first: 1024, last: 65535 };

const actions: readonly [TableName, Action, string][] = [
  ['filter', { kind: 'accept' }, '-j ACCEPT'],
  ['filter', { kind: 'return' }, '-j RETURN'],
  ['filter', { kind: 'reject' }, '-j REJECT'],
  ['raw', { kind: 'reject' }, '-j DROP'],
  ['mangle', { kind: 'reject' }, '-j DROP'],
  ['filter', { kind: 'jump', chain: 'cali-pi-np/a/b' }, '-j cali-pi-np/a/b'],
  ['filter', { kind: 'goto', chain: 'cali-fw-calia1' }, '-g cali-fw-calia1'],
  ['mangle', { kind: 'mark', set: 0x10000, clear: 0 }, '-j MARK --set-xmark 0x10000/0x10000'],
  ['mangle', { kind: 'mark', set: 0, clear: 0x1b0000 }, '-j MARK --set-xmark 0x0/0x1b0000'],
  ['mangle', { kind: 'mark', set: 0x80000000, clear: 1 }, '-j MARK --set-xmark 0x80000000/0x80000001'],
  ['raw', { kind: 'notrack' }, '-j NOTRACK'],
  ['filter', { kind: 'log', prefix: 'calico-packet: ' }, '-j LOG --log-prefix "calico-packet: " --log-level 5'],
  [
    'filter',
    { kind: 'nflog', group: 1, prefix: 'DPI0|a "b"\n' },
    '-j NFLOG --nflog-group 1 --nflog-prefix "DPI0|a ?b??" --nflog-size 80',
  ],
  ['nat', { kind: 'dnat', to: ip('10.0.0.1') }, '-j DNAT --to-destination 10.0.0.1 | -'],
  ['nat', { kind: 'snat', to: ip('fd00::1'), ports: undefined }, '- | -j SNAT --to-source fd00::1 --random-fully'],
  [
    'nat',
    { kind: 'snat', to: ip('fd00::1'), ports: RANGE },
    '- | -j SNAT --to-source [fd00::1]:1024-65535 --random-fully',
  ],
  [
    'nat',
    { kind: 'snat', to: ip('10.0.0.1'), ports: RANGE },
    '-j SNAT --to-source 10.0.0.1:1024-65535 --random-fully | -',
  ],
  ['nat', { kind: 'masquerade', ports: undefined }, '-j MASQUERADE --random-fully'],
  ['nat', { kind: 'masquerade', ports: RANGE }, '-j MASQUERADE --to-ports 1024-65535 --random-fully'],
];

for (const [table, action, words] of actions) {
  test(`action: ${table} ${words}`, () => assert.equal(print(table, rule(action)), words));
}

test('a rule bears its hash and words for people, in which nothing ends the word', () => {
  const each = { ...rule(DROP), comment: 'It\'s "so"\\', provenance: { origin: 'Policy \n-A é' } };
  const [printed] = printChain(chainOf('filter', each), 4).rules;
  const words = `It's ?so?? (Policy ?-A ?)`;
  assert.equal(printed?.text, `-m comment --comment "cali:${printed?.hash}" -m comment --comment "${words}" -j DROP`);
});

test('nothing is longer than the kernel keeps', () => {
  const long = 'x'.repeat(1000);
  const each: Rule = { ...rule({ kind: 'nflog', group: 1, prefix: long }), comment: long };
  const log: Rule = rule({ kind: 'log', prefix: long });
  const lengths = printChain(chainOf('filter', each, log), 4).rules.flatMap(({ text }) =>
    [...text.matchAll(/"(x*)"/g)].map(([, words]) => words!.length),
  );
  assert.deepEqual(lengths, [255, 63, 29]);
});

const unsayable: readonly [string, Rule, RegExp][] = [
  ['two devices', rule(DROP, device('in', 'a', false), device('in', 'b', false, false)), /one device/],
  ['two prefixes of which one', rule(DROP, nets('source', '10.0.0.0/8 11.0.0.0/8')), /one prefix/],
  ['two other protocols', rule(DROP, protocol(6, false), protocol(17, false)), /exclude one protocol/],
  ['a part of a set', rule(DROP, { ...IN_SET, part: 'addresses' } as Match), /one part/],
  ['16 ports', rule(DROP, { ...ports('tcp', 1, 1), ports: Array(8).fill({ first: 1, last: 2 }) } as Match), /15 ports/],
  ['a device that is an option', rule(DROP, device('in', '-x', false)), /not a device/],
  ['a device that is a prefix', rule(DROP, device('in', 'eth+', false)), /not a device/],
  ['a chain of two words', rule({ kind: 'jump', chain: 'cali-x -j ACCEPT' }), /not a name of a chain/],
  ['a chain with too long a name', rule({ kind: 'jump', chain: 'cali-'.padEnd(29, 'x') }), /not a name of a chain/],
];

for (const [what, each, message] of unsayable) {
  test(`${what}: an assertion`, () => assert.throws(() => print('filter', each), { name: 'AssertionFailed', message }));
}

test('the hash of a rule is another after another rule, in another chain, with other words', () => {
  const hashOf = (...rules: Rule[]) => printChain(chainOf('filter', ...rules), 4).rules.at(-1)?.hash;
  const other = rule({ kind: 'accept' });
  const hashes = [hashOf(rule(DROP)), hashOf(other, rule(DROP)), hashOf({ ...rule(DROP), comment: 'x' })];
  hashes.push(printChain({ ...chainOf('filter', rule(DROP)), name: 'cali-y' }, 4).rules[0]?.hash);
  assert.equal(new Set(hashes).size, 4);
});
