import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { ip } from '../../../net/ip.ts';
import { setId } from '../../desired/policy.ts';
import type { Action, Match } from '../filter/program.ts';
import { plainText, printRule } from './print-rule.ts';
import { rule } from './random-program.suite.ts';

const ACCEPT: Action = { kind: 'accept' };
const prefixes = (...texts: string[]) => texts.map(cidr);
const tcp = { kind: 'ports', end: 'destination', protocol: 'tcp' } as const;
const set = { kind: 'set', end: 'source', family: 4, set: setId('s:abc') } as const;
const portSet = { kind: 'portSet', end: 'destination', family: 6, set: setId('n:abc') } as const;
const icmp = { kind: 'icmp', family: 4 } as const;
const protocol = (number: number): Match => ({ kind: 'protocol', protocol: number, is: true });
const family = (number: 4 | 6): Match => ({ kind: 'family', family: number });

const MATCHES: readonly [Match, string][] = [
  [{ kind: 'device', direction: 'in', name: 'cali', prefix: true, is: true }, 'iifname "cali*"'],
  [{ kind: 'device', direction: 'out', name: '0eth:1', prefix: false, is: false }, 'oifname != "0eth:1"'],
  [family(6), 'meta nfproto ipv6'],
  [protocol(132), 'meta l4proto 132'],
  [{ kind: 'turn', oneIn: 3 }, 'numgen inc mod 3 0'],
  [{ kind: 'protocol', protocol: 1, is: false }, 'meta l4proto != 1'],
  [{ kind: 'nets', end: 'source', family: 4, prefixes: prefixes('10.0.0.1/32'), is: true }, 'ip saddr 10.0.0.1'],
  [
    { kind: 'nets', end: 'destination', family: 6, prefixes: prefixes('fd00::/8', '::1/128'), is: false },
    'ip6 daddr != { ::1, fd00::/8 }',
  ],
  [
    {
      kind: 'nets',
      end: 'source',
      family: 4,
      prefixes: prefixes('10.1.0.0/16', '10.0.0.0/8', '10.0.0.0/8', '10.2.0.0/32', '11.0.0.0/8'),
      is: true,
    },
    'ip saddr { 10.0.0.0/8, 11.0.0.0/8 }',
  ],
  [
    { kind: 'nets', end: 'source', family: 4, prefixes: prefixes('10.0.0.0/8', '0.0.0.0/0'), is: true },
    'ip saddr 0.0.0.0/0',
  ],
  [{ ...set, part: 'addresses', is: true }, 'ip saddr @cali40s-abc'],
  [{ ...set, end: 'destination', part: 'prefixes', is: false }, 'ip daddr != @cali40s-abc-nets'],
  [{ ...portSet, is: true }, 'ip6 daddr . meta l4proto . th dport @cali60n-abc'],
  [{ ...portSet, end: 'source', is: false }, 'ip6 saddr . meta l4proto . th sport != @cali60n-abc'],
  [{ ...tcp, ports: [{ first: 80, last: 80 }], is: true }, 'tcp dport 80'],
  [{ ...tcp, ports: [{ first: 80, last: 80 }], is: false }, 'tcp dport != 80-80'],
  [
    {
      ...tcp,
      end: 'source',
      protocol: 'sctp',
      ports: [
        { first: 90, last: 99 },
        { first: 80, last: 95 },
        { first: 100, last: 100 },
        { first: 7, last: 7 },
      ],
      is: false,
    },
    'sctp sport != { 7, 80-100 }',
  ],
  [{ ...icmp, match: { type: 8, code: undefined }, is: true }, 'icmp type 8'],
  [{ ...icmp, match: { type: 3, code: 0 }, is: true }, 'icmp type 3 icmp code 0'],
  [{ ...icmp, family: 6, match: { type: 1, code: 4 }, is: false }, 'icmpv6 type . icmpv6 code != { 1 . 4 }'],
  [{ kind: 'conntrack', states: ['established', 'related'], is: true }, 'ct state established,related'],
  [{ kind: 'conntrack', states: ['established', 'new'], is: false }, 'ct state & (established | new) == 0'],
  [{ kind: 'dnat', is: true }, 'ct status dnat'],
  [{ kind: 'mark', bits: 0x30000, is: true }, 'meta mark & 0x30000 == 0x30000'],
  [{ kind: 'mark', bits: 0x80000000, is: false }, 'meta mark & 0x80000000 == 0'],
  [{ kind: 'local', end: 'destination', onOutDevice: false, is: true }, 'fib daddr type local'],
  [{ kind: 'local', end: 'source', onOutDevice: true, is: false }, 'fib saddr . oif type != local'],
  [{ kind: 'forged' }, 'fib saddr . mark . iif oif missing'],
  [{ kind: 'limit', count: 5, per: 'minute', burst: 10 }, 'limit rate 5/minute burst 10 packets'],
];

for (const [match, text] of MATCHES) {
  test(`match: ${text}`, () => {
    assert.deepEqual(printRule(rule([match], ACCEPT), 'filter'), [`${text} counter accept`]);
  });
}

const ACTIONS: readonly [Action, string][] = [
  [{ kind: 'drop' }, 'drop'],
  [{ kind: 'reject' }, 'reject'],
  [{ kind: 'return' }, 'return'],
  [{ kind: 'jump', chain: 'cali-pi-gnp/a' }, 'jump raw-cali-pi-gnp/a'],
  [{ kind: 'goto', chain: 'cali-x' }, 'goto raw-cali-x'],
  [{ kind: 'dispatch', direction: 'out', map: 'cali-to-wl' }, 'oifname vmap @cali-to-wl'],
  [{ kind: 'mark', set: 0x10000, clear: 0 }, 'meta mark set meta mark | 0x10000'],
  [{ kind: 'mark', set: 0, clear: 0x1b0000 }, 'meta mark set meta mark & 0xffe4ffff'],
  [{ kind: 'mark', set: 0x10000, clear: 0x30000 }, 'meta mark set meta mark & 0xfffcffff | 0x10000'],
  [{ kind: 'notrack' }, 'notrack'],
  [{ kind: 'log', prefix: 'a "$b"\\ ü' }, 'log prefix "a ??b?? ?" level notice'],
  [{ kind: 'nflog', group: 2, prefix: 'DPE0|np a/b' }, 'log prefix "DPE0|np a/b" group 2 snaplen 80'],
  [{ kind: 'dnat', to: ip('10.0.0.1') }, 'dnat ip to 10.0.0.1'],
  [{ kind: 'snat', to: ip('fd00::1'), ports: undefined }, 'snat ip6 to fd00::1'],
  [{ kind: 'snat', to: ip('fd00::1'), ports: { first: 9, last: 10 } }, 'snat ip6 to [fd00::1]:9-10 fully-random'],
  [{ kind: 'snat', to: ip('10.0.0.1'), ports: { first: 9, last: 9 } }, 'snat ip to 10.0.0.1:9 fully-random'],
  [{ kind: 'masquerade', ports: undefined }, 'masquerade fully-random'],
  [{ kind: 'masquerade', ports: { first: 1024, last: 65535 } }, 'masquerade to :1024-65535 fully-random'],
];

for (const [action, text] of ACTIONS) {
  test(`action: ${text}`, () => {
    assert.deepEqual(printRule(rule([], action), 'raw'), [`counter ${text}`]);
  });
}

const DNAT: Match = { kind: 'dnat', is: false };

const SEVERAL: readonly [string, Match[], Action, string[]][] = [
  [
    'a connection that may not be there',
    [protocol(6), DNAT, { kind: 'mark', bits: 1, is: true }],
    ACCEPT,
    [
      'meta l4proto 6 ct status & dnat != dnat meta mark & 0x1 == 0x1 counter accept',
      'meta l4proto 6 ct state invalid,untracked meta mark & 0x1 == 0x1 counter accept',
    ],
  ],
  ['two families', [family(4), family(6)], ACCEPT, []],
  ['addresses of two families', [{ ...set, part: 'addresses', is: false }, family(6)], ACCEPT, []],
  ['a translation to the other family', [family(6)], { kind: 'dnat', to: ip('10.0.0.1') }, []],
  ['two protocols', [protocol(6), protocol(17)], ACCEPT, []],
  ['ports of another protocol', [protocol(17), { ...tcp, ports: [{ first: 1, last: 1 }], is: false }], ACCEPT, []],
  ['ICMP in TCP', [protocol(6), { ...icmp, match: { type: 8, code: undefined }, is: false }], ACCEPT, []],
  ['IPv4’s ICMP in IPv6', [family(6), { ...icmp, match: { type: 8, code: undefined }, is: true }], ACCEPT, []],
  ['named ports of a protocol without ports', [protocol(4), { ...portSet, is: true }], ACCEPT, []],
  [
    'no named ports of a protocol without ports',
    [protocol(4), { ...portSet, is: false }],
    ACCEPT,
    ['meta l4proto 4 counter accept'],
  ],
  ['any device', [{ kind: 'device', direction: 'out', name: '', prefix: true, is: true }], ACCEPT, ['counter accept']],
];

for (const [what, matches, action, texts] of SEVERAL) {
  test(`${what}: ${texts.length} rules`, () => {
    assert.deepEqual(printRule(rule(matches, action), 'filter'), texts);
  });
}

test('names that nft would take for its own words are our bug', () => {
  for (const chain of ['', 'a b', 'a;b', '1a', 'ü', 'a'.repeat(129)]) {
    assert.throws(() => printRule(rule([], { kind: 'jump', chain }), 'filter'), { name: 'AssertionFailed' }, chain);
  }
  for (const name of ['a"b', 'a*', 'a b', '$x', 'a\\', 'a'.repeat(16)]) {
    const match: Match = { kind: 'device', direction: 'in', name, prefix: false, is: true };
    assert.throws(() => printRule(rule([match], ACCEPT), 'filter'), { name: 'AssertionFailed' }, name);
  }
});

test('words of people lose what nft would take for its own', () => {
  assert.equal(plainText('"}; flush ruleset\n# é\\ $x ~'), '?}; flush ruleset?# ?? ?x ~');
});
