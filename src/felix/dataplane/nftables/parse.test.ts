import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ListingUnreadable } from './listing.ts';
import { parseListing } from './parse.ts';

const HEADER = 'type filter hook input priority 0; policy accept;';
const base = { name: 'cali-INPUT', type: 'filter', hook: 'input', prio: 0, policy: 'accept' };
const set = { name: 's', type: 'ipv4_addr' };
const map = { name: 'm', type: 'ifname', map: 'verdict' };

/** What is read of a listing, in a few words. */
function summary(...items: object[]): string {
  const table = parseListing({ nftables: [{ metainfo: {} }, ...items] });
  assert(table !== undefined);
  const chains = [...table.chains].map(([name, { header, hashes }]) => `${name}{${header}}[${hashes}]`);
  const maps = [...table.maps].map(([name, { header, elements }]) => {
    const pairs = [...elements].map(([device, verdict]) => `${device}=${verdict}`);
    return `${name}{${header}}[${pairs}]`;
  });
  const sets = [...table.sets].map(
    ([name, { header, members, odd }]) => `${name}{${header}}[${[...members]}]${odd ? ' odd' : ''}`,
  );
  return [...chains, ...maps, ...sets, ...(table.foreign ? ['foreign'] : [])].join(' ');
}

const rule = (chain: string, comment?: string) => ({ rule: { chain, ...(comment && { comment }), expr: [] } });

const rows: readonly [string, object[], string][] = [
  ['an empty table', [{ table: { name: 'muslin' } }], ''],
  ['a table put to sleep', [{ table: { name: 'muslin', flags: 'dormant' } }], 'foreign'],
  ['a base chain', [{ chain: base }], `cali-INPUT{${HEADER}}[]`],
  ['another policy', [{ chain: { ...base, policy: 'drop' } }], `cali-INPUT{${HEADER.replace('accept', 'drop')}}[]`],
  ['another priority', [{ chain: { ...base, prio: -150 } }], `cali-INPUT{${HEADER.replace('0', '-150')}}[]`],
  ['a hook on devices', [{ chain: { ...base, dev: 'eth0' } }], `cali-INPUT{${HEADER} on devices}[]`],
  [
    'rules in their order, ours and others',
    [{ chain: { name: 'c' } }, rule('c', 'cali:abc; words; more'), rule('c'), rule('c', 'hello'), rule('c', 'cali:d')],
    'c{}[abc,,,d]',
  ],
  [
    'verdicts',
    [
      {
        map: {
          ...map,
          elem: [
            ['a', { goto: { target: 'c' } }],
            ['b', { drop: null }],
          ],
        },
      },
    ],
    'm{type ifname : verdict;}[a=goto c,b=drop]',
  ],
  ['a map without elements', [{ map }], 'm{type ifname : verdict;}[]'],
  ['a map of another type', [{ map: { ...map, type: 'mark' } }], 'm{type mark : verdict;}[]'],
  ['a map with a timeout', [{ map: { ...map, timeout: 5 } }], 'm{}[]'],
  [
    'an element that is more than a name',
    [{ map: { ...map, elem: [[{ elem: { val: 'a' } }, { drop: null }]] } }],
    'm{type ifname : verdict;}[=drop] foreign',
  ],
  [
    'a device name that cannot be printed',
    [{ map: { ...map, elem: [['a b', { drop: null }]] } }],
    'm{type ifname : verdict;}[a b=drop] foreign',
  ],
  ['a chain name that cannot be printed', [{ chain: { name: 'a;b' } }], 'a;b{}[] foreign'],
  ['a set', [{ set: { ...set, elem: ['10.0.0.1', '10.0.0.2'] } }], 's{type ipv4_addr;}[10.0.0.1,10.0.0.2]'],
  ['an empty set of intervals', [{ set: { ...set, flags: ['interval'] } }], 's{type ipv4_addr; flags interval;}[]'],
  [
    'a set of concatenations',
    [
      {
        set: {
          name: 's',
          type: ['ipv4_addr', 'inet_proto', 'inet_service'],
          elem: [{ concat: ['10.0.0.1', 'tcp', 80] }],
        },
      },
    ],
    's{type ipv4_addr . inet_proto . inet_service;}[10.0.0.1,tcp:80]',
  ],
  ['a set with a timeout', [{ set: { ...set, timeout: 5 } }], 's{}[]'],
  [
    'a set with elements that we never make',
    [{ set: { ...set, elem: [{ range: ['10.0.0.1', '10.0.0.2'] }] } }],
    's{type ipv4_addr;}[] odd',
  ],
  ['a set whose name cannot be printed', [{ set: { ...set, name: 'a b' } }], 'a b{type ipv4_addr;}[] foreign'],
  ['a kind that is yet to be invented', [{ wormhole: {} }], 'foreign'],
];

for (const [what, items, expected] of rows) {
  test(`reads ${what}`, () => assert.equal(summary(...items), expected));
}

test('no listing is no table', () => assert.equal(parseListing(undefined), undefined));

for (const bad of [null, 'x', [], {}, { nftables: {} }, 7]) {
  test(`${JSON.stringify(bad)} is not a listing`, () => assert.throws(() => parseListing(bad), ListingUnreadable));
}
