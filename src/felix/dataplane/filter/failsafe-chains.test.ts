import assert from 'node:assert/strict';
import test from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS as DEFAULTS } from '../../desired/filter-settings.ts';
import type { FailsafeTable } from './failsafe-chains.ts';
import { failsafeChains } from './failsafe-chains.ts';
import { ruleText } from './rule-text.suite.ts';

const SETTINGS: FilterSettings = {
  ...DEFAULTS,
  failsafeInbound: [
    { protocol: 'tcp', port: 22, net: undefined },
    { protocol: 'udp', port: 68, net: cidr('10.0.0.0/8') },
  ],
  failsafeOutbound: [{ protocol: 'sctp', port: 179, net: cidr('fd00::/8') }],
};

const PORTS_IN = ['tcp dport 22 => accept', 'src 10.0.0.0/8 | udp dport 68 => accept'];
const PORTS_OUT = ['dst fd00::/8 | sctp dport 179 => accept'];
/** Who asks whom, and the answers' way. */
const ROWS: readonly (readonly [table: FailsafeTable, into: readonly string[], out: readonly string[]])[] = [
  ['filter', PORTS_IN, PORTS_OUT],
  ['mangle', PORTS_IN, PORTS_OUT],
  [
    'raw',
    [...PORTS_IN, 'src fd00::/8 | sctp sport 179 => accept'],
    [...PORTS_OUT, 'tcp sport 22 => accept', 'dst 10.0.0.0/8 | udp sport 68 => accept'],
  ],
];

for (const [table, into, out] of ROWS) {
  test(`failsafe ports in ${table}`, () => {
    const chains = failsafeChains(SETTINGS, table);
    assert.deepEqual(
      chains.map(({ name, hook, rules }) => [
        name,
        hook,
        rules.map(ruleText).filter((line) => !line.startsWith('icmp6')),
      ]),
      [
        ['cali-failsafe-in', undefined, into],
        ['cali-failsafe-out', undefined, out],
      ],
    );
  });
}

test('over IPv6 a host is found and finds its router, even without failsafe ports', () => {
  for (const { rules } of failsafeChains(DEFAULTS, 'filter')) {
    const types = [130, 131, 132, 133, 134, 135, 136, 143];
    assert.deepEqual(
      rules.map(ruleText),
      types.map((type) => `icmp6 ${type} => accept`),
    );
  }
});
