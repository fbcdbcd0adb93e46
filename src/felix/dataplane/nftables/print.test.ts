import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setId } from '../../desired/policy.ts';
import type { Chain, HookName, TableName } from '../filter/program.ts';
import { nftChainName, nftSetName } from './names.ts';
import { chainHashes, chainHeader, printChain, programSetHeader } from './print.ts';
import { rule } from './random-program.suite.ts';

const HOOKS: readonly [TableName, HookName, name: string, header: string][] = [
  ['raw', 'PREROUTING', 'raw-cali-PREROUTING', 'type filter hook prerouting priority -300; policy accept;'],
  ['raw', 'OUTPUT', 'raw-cali-OUTPUT', 'type filter hook output priority -300; policy accept;'],
  ['mangle', 'PREROUTING', 'mangle-cali-PREROUTING', 'type filter hook prerouting priority -150; policy accept;'],
  ['mangle', 'POSTROUTING', 'mangle-cali-POSTROUTING', 'type filter hook postrouting priority -150; policy accept;'],
  ['nat', 'PREROUTING', 'cali-PREROUTING', 'type nat hook prerouting priority -100; policy accept;'],
  ['nat', 'OUTPUT', 'nat-cali-OUTPUT', 'type nat hook output priority -100; policy accept;'],
  ['nat', 'POSTROUTING', 'cali-POSTROUTING', 'type nat hook postrouting priority 110; policy accept;'],
  ['filter', 'INPUT', 'cali-INPUT', 'type filter hook input priority 0; policy accept;'],
  ['filter', 'OUTPUT', 'cali-OUTPUT', 'type filter hook output priority 0; policy accept;'],
];

for (const [table, hook, name, header] of HOOKS) {
  test(`${table}'s chain at ${hook} is ${name}`, () => {
    const chain: Chain = { table, name: `cali-${hook}`, hook, rules: [] };
    assert.deepEqual([nftChainName(chain), chainHeader(chain)], [name, header]);
  });
}

test('sets have their names and types', () => {
  const nets = { set: setId('s:a_b-c'), family: 4, kind: 'nets' } as const;
  const ports = { set: setId('n:x'), family: 6, kind: 'ports', part: 'all' } as const;
  const rows = [
    [{ ...nets, part: 'addresses' } as const, 'cali40s-a_b-c', 'type ipv4_addr;'],
    [{ ...nets, part: 'prefixes' } as const, 'cali40s-a_b-c-nets', 'type ipv4_addr; flags interval;'],
    [ports, 'cali60n-x', 'type ipv6_addr . inet_proto . inet_service;'],
  ] as const;
  for (const [set, name, header] of rows) {
    assert.deepEqual([nftSetName(set), programSetHeader(set)], [name, header]);
  }
});

const LOG = rule([], { kind: 'log', prefix: 'x' }, 'Log');
const DROP = rule([], { kind: 'drop' }, 'Drop');
const CHAIN: Chain = { table: 'filter', name: 'cali-FORWARD', hook: 'FORWARD', rules: [LOG], hookRules: [DROP] };

test('the rules of the hook follow, and each bears its hash and for whom it is', () => {
  const { hashes, rules } = printChain(CHAIN);
  assert.deepEqual(rules, [
    `counter log prefix "x" level notice comment "cali:${hashes[0]}; Log (GlobalNetworkPolicy all)"`,
    `counter drop comment "cali:${hashes[1]}; Drop (GlobalNetworkPolicy all)"`,
  ]);
  assert.deepEqual(chainHashes(CHAIN), hashes);
  assert.deepEqual(chainHashes({ ...CHAIN, rules: [LOG, DROP], hookRules: [] }), hashes);
});

test('hashes tell what differs', () => {
  const different: Chain[] = [
    { ...CHAIN, table: 'raw' },
    { ...CHAIN, rules: [DROP], hookRules: [LOG] },
    { ...CHAIN, rules: [{ ...LOG, comment: 'Another' }] },
    { ...CHAIN, rules: [{ ...LOG, provenance: undefined }] },
  ];
  const texts = [CHAIN, ...different].map((chain) => chainHashes(chain).join());
  assert.equal(new Set(texts).size, texts.length);
});

test('a comment never exceeds what the kernel keeps', () => {
  const long = { ...LOG, provenance: { origin: 'x'.repeat(1000) } };
  const [text = ''] = printChain({ ...CHAIN, rules: [long] }).rules;
  assert.equal(/comment "([^"]*)"/.exec(text)?.[1]?.length, 127);
});
