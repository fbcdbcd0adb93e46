import assert from 'node:assert/strict';
import test from 'node:test';
import { ip } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS as DEFAULTS } from '../../desired/filter-settings.ts';
import type { FloatingIp } from '../../desired/policy.ts';
import { natChains } from './nat-chains.ts';
import type { SetPart } from './program.ts';
import { chainText } from './rule-text.suite.ts';
import type { SetLookup } from './set-parts.ts';

/** All sets in one part of each family, as with iptables. */
const WHOLE: SetLookup = { parts: () => ['all'] };

function setsWith(parts: Readonly<Record<4 | 6, readonly SetPart[]>>): SetLookup {
  return { parts: (_set, family) => parts[family] };
}

function chainLines(name: string, settings: FilterSettings, endpoints: readonly DesiredEndpoint[], sets: SetLookup) {
  const chain = natChains(settings, endpoints, [], sets).find((each) => each.name === name);
  return chain === undefined ? [] : chainText(chain);
}

test('hooks', () => {
  assert.deepEqual(
    natChains(DEFAULTS, [], [], WHOLE).map(({ table, name, hook, rules }) => [`${table} ${name}`, hook, rules.length]),
    [
      ['nat cali-PREROUTING', 'PREROUTING', 1],
      ['nat cali-OUTPUT', 'OUTPUT', 1],
      ['nat cali-POSTROUTING', 'POSTROUTING', 2],
      ['nat cali-fip-dnat', undefined, 0],
      ['nat cali-fip-snat', undefined, 0],
      ['nat cali-nat-outgoing', undefined, 2],
    ],
  );
  assert.deepEqual(chainLines('cali-PREROUTING', DEFAULTS, [], WHOLE), ['=> jump cali-fip-dnat']);
  assert.deepEqual(chainLines('cali-OUTPUT', DEFAULTS, [], WHOLE), ['=> jump cali-fip-dnat']);
});

const OUT_4 = 'src @masq-ipam-pools/4/all | !dst @network-ip-pools/4/all';
const OUT_6 = 'src @masq-ipam-pools/6/all | !dst @network-ip-pools/6/all';
const PORTS = { first: 32_768, last: 65_535 };

const OUTGOING: readonly (readonly [
  what: string,
  natOutgoing: Partial<FilterSettings['natOutgoing']>,
  lines: readonly string[],
  sets?: SetLookup,
])[] = [
  ['masquerades in both families', {}, [`${OUT_4} => masquerade`, `${OUT_6} => masquerade`]],
  [
    'a given address is for its family',
    { address: ip('192.0.2.1') },
    [`${OUT_4} => snat 192.0.2.1`, `${OUT_6} => masquerade`],
  ],
  [
    'a range of ports bounds TCP and UDP alone',
    { ports: PORTS, address: ip('192.0.2.1') },
    [
      `${OUT_4} | protocol 6 => snat 192.0.2.1 :32768-65535`,
      `${OUT_4} | protocol 6 => return`,
      `${OUT_4} | protocol 17 => snat 192.0.2.1 :32768-65535`,
      `${OUT_4} | protocol 17 => return`,
      `${OUT_4} => snat 192.0.2.1`,
      `${OUT_6} | protocol 6 => masquerade :32768-65535`,
      `${OUT_6} | protocol 6 => return`,
      `${OUT_6} | protocol 17 => masquerade :32768-65535`,
      `${OUT_6} | protocol 17 => return`,
      `${OUT_6} => masquerade`,
    ],
  ],
  [
    'hosts of the cluster see who sends',
    { excludeHosts: true },
    [`${OUT_4} | !dst @all-hosts-net/4/all => masquerade`, `${OUT_6} | !dst @all-hosts-net/6/all => masquerade`],
  ],
  [
    'by devices that begin so',
    { device: 'eth+' },
    [`${OUT_4} | out eth+ => masquerade`, `${OUT_6} | out eth+ => masquerade`],
  ],
  ['by one device', { device: 'eth0' }, [`${OUT_4} | out eth0 => masquerade`, `${OUT_6} | out eth0 => masquerade`]],
  [
    'a set in two parts: in one of them, and in none',
    { excludeHosts: true },
    ['addresses', 'prefixes'].map(
      (part) =>
        `src @masq-ipam-pools/4/${part} | !dst @network-ip-pools/4/addresses | !dst @network-ip-pools/4/prefixes | ` +
        '!dst @all-hosts-net/4/addresses | !dst @all-hosts-net/4/prefixes => masquerade',
    ),
    setsWith({ 4: ['addresses', 'prefixes'], 6: [] }),
  ],
  ['no pools, no rules', {}, [], setsWith({ 4: [], 6: [] })],
];

for (const [what, natOutgoing, lines, sets = WHOLE] of OUTGOING) {
  test(`out of the pools: ${what}`, () => {
    const settings = { ...DEFAULTS, natOutgoing: { ...DEFAULTS.natOutgoing, ...natOutgoing } };
    assert.deepEqual(chainLines('cali-nat-outgoing', settings, [], sets), lines);
  });
}

test('all pools without members leave a masquerading pool nowhere to spare', () => {
  const sets: SetLookup = { parts: (set) => (set === 'masq-ipam-pools' ? ['all'] : []) };
  assert.deepEqual(chainLines('cali-nat-outgoing', DEFAULTS, [], sets), [
    'src @masq-ipam-pools/4/all | ip4 => masquerade',
    'src @masq-ipam-pools/6/all | ip6 => masquerade',
  ]);
});

const FIRST = ['=> jump cali-fip-snat', '=> jump cali-nat-outgoing'];
const TUNNELS: readonly (readonly [what: string, Partial<FilterSettings>, lines: readonly string[]])[] = [
  ['none', {}, []],
  ['IPIP', { ipip: true }, ['ip4 | out tunl0 | !src local on out device | src local => masquerade']],
  [
    'VXLAN',
    { vxlan: { port: 4789 } },
    [
      'ip4 | out vxlan.calico | !src local on out device | src local | protocol 17 => masquerade :4790-65535',
      'ip4 | out vxlan.calico | !src local on out device | src local => masquerade',
      'ip6 | out vxlan-v6.calico | !src local on out device | src local | protocol 17 => masquerade :4790-65535',
      'ip6 | out vxlan-v6.calico | !src local on out device | src local => masquerade',
    ],
  ],
  [
    'VXLAN at a high port',
    { vxlan: { port: 60_000 } },
    [
      'ip4 | out vxlan.calico | !src local on out device | src local | protocol 17 => masquerade :1024-59999',
      'ip4 | out vxlan.calico | !src local on out device | src local => masquerade',
      'ip6 | out vxlan-v6.calico | !src local on out device | src local | protocol 17 => masquerade :1024-59999',
      'ip6 | out vxlan-v6.calico | !src local on out device | src local => masquerade',
    ],
  ],
];

for (const [what, changed, lines] of TUNNELS) {
  test(`tunnels: ${what}`, () => {
    assert.deepEqual(chainLines('cali-POSTROUTING', { ...DEFAULTS, ...changed }, [], WHOLE), [...FIRST, ...lines]);
  });
}

/** "external internal", with "out" behind it where the container speaks with it. */
const FLOATING: readonly (readonly [
  what: string,
  containers: readonly (readonly string[])[],
  dnat: readonly string[],
  snat: readonly string[],
])[] = [
  [
    'inwards, and to itself',
    [['192.0.2.7 10.0.0.2'], ['2001:db8::7 fd00::2']],
    ['dst 192.0.2.7/32 => dnat 10.0.0.2', 'dst 2001:db8::7/128 => dnat fd00::2'],
    ['src 10.0.0.2/32 | dst 10.0.0.2/32 => snat 192.0.2.7', 'src fd00::2/128 | dst fd00::2/128 => snat 2001:db8::7'],
  ],
  [
    'outwards, if asked',
    [['192.0.2.7 10.0.0.2 out', '2001:db8::7 fd00::2 out'], ['192.0.2.6 10.0.0.3']],
    ['dst 192.0.2.6/32 => dnat 10.0.0.3', 'dst 192.0.2.7/32 => dnat 10.0.0.2', 'dst 2001:db8::7/128 => dnat fd00::2'],
    [
      'src 10.0.0.2/32 | dst 10.0.0.2/32 => snat 192.0.2.7',
      'src 10.0.0.3/32 | dst 10.0.0.3/32 => snat 192.0.2.6',
      'src fd00::2/128 | dst fd00::2/128 => snat 2001:db8::7',
      'src 10.0.0.2/32 | !dst @network-ip-pools/4/all => snat 192.0.2.7',
      'src fd00::2/128 | !dst @network-ip-pools/6/all => snat 2001:db8::7',
    ],
  ],
  [
    'claimed by several: the lowest internal address, as a number, has it',
    [['192.0.2.7 10.0.0.10'], ['192.0.2.7 10.0.0.9']],
    ['dst 192.0.2.7/32 => dnat 10.0.0.9'],
    ['src 10.0.0.9/32 | dst 10.0.0.9/32 => snat 192.0.2.7'],
  ],
  [
    'several for one container: it speaks with the lowest that it may speak with',
    [['192.0.2.8 10.0.0.2 out', '192.0.2.9 10.0.0.2 out', '192.0.2.7 10.0.0.2']],
    ['dst 192.0.2.7/32 => dnat 10.0.0.2', 'dst 192.0.2.8/32 => dnat 10.0.0.2', 'dst 192.0.2.9/32 => dnat 10.0.0.2'],
    [
      'src 10.0.0.2/32 | dst 10.0.0.2/32 => snat 192.0.2.7',
      'src 10.0.0.2/32 | !dst @network-ip-pools/4/all => snat 192.0.2.8',
    ],
  ],
  ['of two families: not at all', [['192.0.2.7 fd00::2 out']], [], []],
];

for (const [what, containers, dnat, snat] of FLOATING) {
  test(`floating addresses: ${what}`, () => {
    const endpoints = containers.map(endpoint);
    const settings = { ...DEFAULTS, floatingIps: true };
    for (const order of [endpoints, endpoints.toReversed()]) {
      assert.deepEqual(chainLines('cali-fip-dnat', settings, order, WHOLE), dnat);
      assert.deepEqual(chainLines('cali-fip-snat', settings, order, WHOLE), snat);
    }
    assert.deepEqual(chainLines('cali-fip-dnat', DEFAULTS, endpoints, WHOLE), []);
  });
}

function endpoint(floating: readonly string[], index: number): DesiredEndpoint {
  return {
    id: `e${index}`,
    deviceName: `cali${index}`,
    addresses: [],
    policy: { tiers: [], profiles: [] },
    floatingIps: floating.map(floatingIp),
    allowedSources: [],
    provenance: { origin: `WorkloadEndpoint e${index}` },
  };
}

function floatingIp(text: string): FloatingIp {
  const [external = '', internal = '', outgoing] = text.split(' ');
  return { external: ip(external), internal: ip(internal), outgoing: outgoing === 'out' };
}
