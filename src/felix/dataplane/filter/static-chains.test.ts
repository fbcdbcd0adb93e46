import assert from 'node:assert/strict';
import test from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { formatIp, ip } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS as DEFAULTS } from '../../desired/filter-settings.ts';
import type { DesiredHostEndpoint, DesiredRule, RuleEnd, SetChange } from '../../desired/policy.ts';
import { ALL_HOSTS, VXLAN_HOSTS } from '../../desired/policy.ts';
import { FilterBuilder } from './builder.ts';
import type { Packet } from './evaluate.ts';
import { evaluationOf } from './evaluate.ts';
import type { FilterWorld } from './match.ts';
import type { Chain, FilterProgram } from './program.ts';
import { IPTABLES_DIALECT } from './program.ts';
import { chainText, ruleText } from './rule-text.suite.ts';
import type { SetLookup } from './set-parts.ts';
import { allowedSourcesChain, staticChains } from './static-chains.ts';

/** Hosts have addresses of both families. */
const SETS: SetLookup = { parts: () => ['addresses'] };
const NO_SETS: SetLookup = { parts: () => [] };

const TUNNELS: FilterSettings = { ...DEFAULTS, ipip: true, vxlan: { port: 4789 } };

function lines(chain: Chain | undefined): string[] {
  return chain === undefined ? [] : chainText(chain);
}

function chainsOf(settings: FilterSettings, sets = SETS): Map<string, Chain> {
  return new Map(staticChains(settings, sets).map((chain) => [`${chain.table} ${chain.name}`, chain]));
}

/** Felix's chains, rule by rule. */
const DEFAULT_CHAINS: readonly (readonly [name: string, hook: string | undefined, rules: readonly string[]])[] = [
  [
    'raw cali-PREROUTING',
    'PREROUTING',
    [
      '=> clear accept+pass+scratch0+scratch1',
      'in cali+ | forged => goto cali-forged',
      '!in cali+ => jump cali-from-host-endpoint',
      'mark accept => accept',
    ],
  ],
  [
    'raw cali-forged',
    undefined,
    ['=> jump cali-rpf-skip', 'src ::/128 | protocol 58 => accept', '* => nflog 2 "DXE|forged source"', '=> drop'],
  ],
  [
    'raw cali-OUTPUT',
    'OUTPUT',
    ['=> clear accept+pass+scratch0+scratch1', '=> jump cali-to-host-endpoint', 'mark accept => accept'],
  ],
  [
    'mangle cali-PREROUTING',
    'PREROUTING',
    [
      'ct established,related => accept',
      'mark accept => accept',
      '=> jump cali-from-host-endpoint',
      'mark accept => accept',
    ],
  ],
  ['mangle cali-POSTROUTING', 'POSTROUTING', ['dnat | !mark accept => goto cali-to-translated']],
  ['mangle cali-to-translated', undefined, ['=> clear accept+pass+scratch0+scratch1', '=> jump cali-to-host-endpoint']],
  [
    'filter cali-INPUT',
    'INPUT',
    [
      'in cali+ => goto cali-wl-to-host',
      'mark accept => accept',
      '=> clear accept+pass+scratch0+scratch1',
      '=> jump cali-from-host-endpoint',
      'mark accept => accept',
    ],
  ],
  [
    'filter cali-wl-to-host',
    undefined,
    [
      'icmp6 130 => accept',
      'icmp6 131 => accept',
      'icmp6 132 => accept',
      'icmp6 133 => accept',
      'icmp6 135 => accept',
      'icmp6 136 => accept',
      '=> jump cali-from-wl-dispatch',
      '=> accept',
    ],
  ],
  [
    'filter cali-FORWARD',
    'FORWARD',
    [
      '=> clear pass+scratch0+scratch1',
      '!mark accept => jump cali-from-hep-forward',
      'in cali+ => jump cali-from-wl-dispatch',
      'out cali+ => jump cali-to-wl-dispatch',
      '=> jump cali-to-hep-forward',
    ],
  ],
  [
    'filter cali-OUTPUT',
    'OUTPUT',
    [
      'mark accept => accept',
      'out cali+ => return',
      '=> clear accept+pass+scratch0+scratch1',
      '!dnat => jump cali-to-host-endpoint',
      'mark accept => accept',
    ],
  ],
  [
    'filter cali-from-wl-dispatch',
    undefined,
    ['=> dispatch cali-from-wl by in', '* => nflog 2 "DXE|unknown interface"', '=> drop'],
  ],
  [
    'filter cali-to-wl-dispatch',
    undefined,
    ['=> dispatch cali-to-wl by out', '* => nflog 1 "DXI|unknown interface"', '=> drop'],
  ],
  [
    'filter cali-wl-protection',
    undefined,
    [
      '!udp dport 4789 | !udp sport 67,547 => return',
      '* udp dport 4789 => nflog 2 "DXE|VXLAN from a workload"',
      'udp dport 4789 => drop',
      '* protocol 4 => nflog 2 "DXE|IPIP from a workload"',
      'protocol 4 => drop',
      '* icmp6 134 => nflog 2 "DXE|router advertisement"',
      'icmp6 134 => drop',
      '* ip4 | udp sport 67 => nflog 2 "DXE|DHCP server"',
      'ip4 | udp sport 67 => drop',
      '* ip6 | udp sport 547 => nflog 2 "DXE|DHCPv6 server"',
      'ip6 | udp sport 547 => drop',
    ],
  ],
];

for (const [name, hook, rules] of DEFAULT_CHAINS) {
  test(`${name} by default`, () => {
    const chain = chainsOf(DEFAULTS).get(name);
    assert.deepEqual(lines(chain), rules);
    assert.equal(chain?.hook, hook);
  });
}

test('those are all chains, but for the failsafe ones', () => {
  const names = [...chainsOf(DEFAULTS).keys()].filter((name) => !name.includes('failsafe'));
  assert.deepEqual(names.sort(), DEFAULT_CHAINS.map(([name]) => name).sort());
});

test('what came through FORWARD is accepted at its end, and only there', () => {
  for (const [name, chain] of chainsOf(DEFAULTS)) {
    const expected = name === 'filter cali-FORWARD' ? ['mark accept => accept', '=> set accept'] : undefined;
    assert.deepEqual(chain.hookRules?.map(ruleText), expected, name);
  }
});

test('a chain with rules of the hook itself never ends before these', () => {
  for (const { name, rules, hookRules } of staticChains({ ...TUNNELS, filterAllowAction: 'return' }, SETS)) {
    if (hookRules === undefined) continue;
    const ends = rules.filter(({ action }) => action.kind === 'return' || action.kind === 'goto');
    assert.deepEqual(ends.map(ruleText), [], name);
  }
});

/** What a setting changes: lines that are there with it and not by default, and the other way round. */
const CHANGES: readonly (readonly [what: string, Partial<FilterSettings>, added: string[], removed: string[]])[] = [
  [
    'IPIP from known hosts only',
    { ipip: true },
    [
      'filter cali-INPUT 0: protocol 4 | src @all-hosts-net/4/addresses | dst local => accept',
      'filter cali-INPUT 1: * ip4 | protocol 4 => nflog 1 "DXI|IPIP from an unknown host"',
      'filter cali-INPUT 2: ip4 | protocol 4 => drop',
      'filter cali-OUTPUT 2: protocol 4 | dst @all-hosts-net/4/addresses | src local => accept',
    ],
    [],
  ],
  [
    'VXLAN from known hosts only, and not tracked',
    { vxlan: { port: 4000 } },
    [
      'raw cali-PREROUTING 1: udp dport 4000 => notrack',
      'raw cali-OUTPUT 2: udp dport 4000 => notrack',
      'filter cali-INPUT 0: udp dport 4000 | src @all-vxlan-net/4/addresses | dst local => accept',
      'filter cali-INPUT 1: udp dport 4000 | src @all-vxlan-net/6/addresses | dst local => accept',
      'filter cali-INPUT 2: * udp dport 4000 | dst local => nflog 1 "DXI|VXLAN from an unknown host"',
      'filter cali-INPUT 3: udp dport 4000 | dst local => drop',
      'filter cali-OUTPUT 2: udp dport 4000 | dst @all-vxlan-net/4/addresses | src local => accept',
      'filter cali-OUTPUT 3: udp dport 4000 | dst @all-vxlan-net/6/addresses | src local => accept',
    ],
    [],
  ],
  [
    'containers may not reach their host',
    { endpointToHostAction: 'drop' },
    ['filter cali-wl-to-host 7: * => nflog 2 "DXE|workload to its host"', 'filter cali-wl-to-host 8: => drop'],
    ['filter cali-wl-to-host 7: => accept'],
  ],
  [
    'others judge what containers send to their host',
    { endpointToHostAction: 'return' },
    ['filter cali-wl-to-host 7: => return'],
    ['filter cali-wl-to-host 7: => accept'],
  ],
  [
    'what is denied is rejected, where the kernel can do that',
    { denyAction: 'reject' },
    [
      'filter cali-from-wl-dispatch 2: => reject',
      'filter cali-to-wl-dispatch 2: => reject',
      'filter cali-wl-protection 2: udp dport 4789 => reject',
      'filter cali-wl-protection 4: protocol 4 => reject',
      'filter cali-wl-protection 6: icmp6 134 => reject',
      'filter cali-wl-protection 8: ip4 | udp sport 67 => reject',
      'filter cali-wl-protection 10: ip6 | udp sport 547 => reject',
    ],
    [
      'filter cali-from-wl-dispatch 2: => drop',
      'filter cali-to-wl-dispatch 2: => drop',
      'filter cali-wl-protection 2: udp dport 4789 => drop',
      'filter cali-wl-protection 4: protocol 4 => drop',
      'filter cali-wl-protection 6: icmp6 134 => drop',
      'filter cali-wl-protection 8: ip4 | udp sport 67 => drop',
      'filter cali-wl-protection 10: ip6 | udp sport 547 => drop',
    ],
  ],
  [
    'others judge what mangle allowed',
    { mangleAllowAction: 'return' },
    [
      'mangle cali-PREROUTING 0: ct established,related => return',
      'mangle cali-PREROUTING 1: mark accept => return',
      'mangle cali-PREROUTING 3: mark accept => return',
    ],
    [
      'mangle cali-PREROUTING 0: ct established,related => accept',
      'mangle cali-PREROUTING 1: mark accept => accept',
      'mangle cali-PREROUTING 3: mark accept => accept',
    ],
  ],
  [
    'others judge what is allowed; answers to the host are no new errand',
    { filterAllowAction: 'return', endpointToHostAction: 'drop' },
    [
      'filter cali-INPUT 1: mark accept => return',
      'filter cali-INPUT 4: mark accept => return',
      'filter cali-wl-to-host 7: ct established,related => return',
      'filter cali-wl-to-host 8: * => nflog 2 "DXE|workload to its host"',
      'filter cali-wl-to-host 9: => drop',
      'filter cali-OUTPUT 0: mark accept => return',
      'filter cali-OUTPUT 4: mark accept => return',
      'filter cali-FORWARD end 0: mark accept => return',
    ],
    [
      'filter cali-INPUT 1: mark accept => accept',
      'filter cali-INPUT 4: mark accept => accept',
      'filter cali-wl-to-host 7: => accept',
      'filter cali-OUTPUT 0: mark accept => accept',
      'filter cali-OUTPUT 4: mark accept => accept',
      'filter cali-FORWARD end 0: mark accept => accept',
    ],
  ],
];

for (const [what, changed, added, removed] of CHANGES) {
  test(what, () => {
    const before = numbered(DEFAULTS);
    const after = numbered({ ...DEFAULTS, ...changed });
    const texts = (all: Map<string, string[]>) => new Set([...all.values()].flat());
    const unnumbered = (line: string) => line.replace(/ \d+: /, ': ');
    const old = new Set([...texts(before)].map(unnumbered));
    const now = new Set([...texts(after)].map(unnumbered));
    const sorted = (all: Iterable<string>) => [...all].sort();
    assert.deepEqual(sorted([...texts(after)].filter((line) => !old.has(unnumbered(line)))), sorted(added));
    assert.deepEqual(sorted([...texts(before)].filter((line) => !now.has(unnumbered(line)))), sorted(removed));
  });
}

/** By chain: its rules with their places. */
function numbered(settings: FilterSettings): Map<string, string[]> {
  const all = [...chainsOf(settings)].map(([name, chain]): [string, string[]] => [
    name,
    [
      ...lines(chain).map((line, index) => `${name} ${index}: ${line}`),
      ...(chain.hookRules ?? []).map((each, index) => `${name} end ${index}: ${ruleText(each)}`),
    ],
  ]);
  return new Map(all);
}

test('a reject tells a stranger that there is a tunnel, so VXLAN is dropped whatever is asked for', () => {
  const input = lines(chainsOf({ ...TUNNELS, denyAction: 'reject' }).get('filter cali-INPUT'));
  assert.deepEqual(
    input.filter((line) => /reject|drop/.test(line)),
    ['ip4 | protocol 4 => reject', 'udp dport 4789 | dst local => drop'],
  );
});

test('a set that is in several parts is asked in each, and one without members in none', () => {
  const both: SetLookup = {
    parts: (set, family) => (family === 6 ? [] : set === ALL_HOSTS ? ['addresses', 'prefixes'] : ['addresses']),
  };
  assert.deepEqual(lines(chainsOf(TUNNELS, both).get('filter cali-INPUT')).slice(0, 5), [
    'protocol 4 | src @all-hosts-net/4/addresses | dst local => accept',
    'protocol 4 | src @all-hosts-net/4/prefixes | dst local => accept',
    '* ip4 | protocol 4 => nflog 1 "DXI|IPIP from an unknown host"',
    'ip4 | protocol 4 => drop',
    `udp dport 4789 | src @${VXLAN_HOSTS}/4/addresses | dst local => accept`,
  ]);
  assert.deepEqual(lines(chainsOf(TUNNELS, NO_SETS).get('filter cali-INPUT')).slice(0, 4), [
    '* ip4 | protocol 4 => nflog 1 "DXI|IPIP from an unknown host"',
    'ip4 | protocol 4 => drop',
    '* udp dport 4789 | dst local => nflog 1 "DXI|VXLAN from an unknown host"',
    'udp dport 4789 | dst local => drop',
  ]);
});

test('every chain that is jumped to is there, but for those of host endpoints and containers', () => {
  const chains = [...staticChains(TUNNELS, SETS), allowedSourcesChain(TUNNELS, [])];
  const there = new Set(chains.map(({ table, name }) => `${table} ${name}`));
  const missing = chains.flatMap(({ table, rules }) =>
    rules.flatMap(({ action }) => {
      const target = action.kind === 'jump' || action.kind === 'goto' ? `${table} ${action.chain}` : undefined;
      return target === undefined || there.has(target) ? [] : [target];
    }),
  );
  assert.deepEqual([...new Set(missing)].sort(), [
    'filter cali-from-hep-forward',
    'filter cali-from-host-endpoint',
    'filter cali-to-hep-forward',
    'filter cali-to-host-endpoint',
    'mangle cali-from-host-endpoint',
    'mangle cali-to-host-endpoint',
    'raw cali-from-host-endpoint',
    'raw cali-to-host-endpoint',
  ]);
});

test('allowed sources pass only where the operator allows that', () => {
  const endpoints = [endpoint('cali2', ['fd00::/64']), endpoint('cali1', ['10.9.0.0/16', '10.8.0.0/16'])];
  assert.deepEqual(lines(allowedSourcesChain(DEFAULTS, endpoints)), []);
  const chain = allowedSourcesChain({ ...DEFAULTS, sourceSpoofing: true }, endpoints);
  assert.deepEqual(lines(chain), [
    'in cali1 | src 10.8.0.0/16 => accept',
    'in cali1 | src 10.9.0.0/16 => accept',
    'in cali2 | src fd00::/64 => accept',
  ]);
  assert.equal(`${chain.table} ${chain.name}`, 'raw cali-rpf-skip');
});

/** The host is 192.0.2.1 and fe80::1, container a has 10.0.0.1 and fd00::1, b has 10.0.0.2; all others are behind eth0. */
const DEVICES: Readonly<Record<string, string>> = { '10.0.0.1': 'cali1', 'fd00::1': 'cali1', '10.0.0.2': 'cali2' };
const WORLD: FilterWorld = {
  isLocal: (address) => ['192.0.2.1', 'fe80::1', '127.0.0.1'].includes(formatIp(address)),
  deviceOf: (address) => DEVICES[formatIp(address)] ?? 'eth0',
};
const SOLICITATION = { protocol: 58, icmpType: 135 };
const ECHO = { protocol: 1, icmpType: 8 };
const SSH = { protocol: 6, sourcePort: 40_000, destinationPort: 22 };
const VXLAN = { protocol: 17, sourcePort: 40_000, destinationPort: 4789 };
const FAILSAFE = { failsafeInbound: [{ protocol: 'tcp', port: 22, net: undefined }] } as const;

/** A packet as "from → to", each "device address"; "self" instead of a device is the host itself. */
const PACKETS: readonly (readonly [
  what: string,
  verdict: 'accept' | 'drop',
  way: string,
  packet: Omit<Packet, 'source' | 'destination' | 'inDevice' | 'outDevice'>,
  hostEndpoint?: string | undefined,
  settings?: Partial<FilterSettings>,
])[] = [
  ['a host without host endpoints is reached', 'accept', 'eth0 198.51.100.1 → self 192.0.2.1', SSH],
  ['a host without host endpoints forwards', 'accept', 'eth0 198.51.100.1 → eth1 203.0.113.1', SSH],
  ['a container reaches its host', 'accept', 'cali1 10.0.0.1 → self 192.0.2.1', SSH],
  ['or not', 'drop', 'cali1 10.0.0.1 → self 192.0.2.1', SSH, undefined, { endpointToHostAction: 'drop' }],
  ['a host reaches its container', 'accept', 'self 192.0.2.1 → cali1 10.0.0.1', ECHO, '*'],
  ['containers reach each other', 'accept', 'cali1 10.0.0.1 → cali2 10.0.0.2', ECHO, '*'],
  ['a container is not another one', 'drop', 'cali1 10.0.0.2 → self 192.0.2.1', ECHO],
  ['a container is nobody else', 'drop', 'cali1 198.51.100.1 → eth0 203.0.113.1', ECHO],
  ['an unknown container sends nothing', 'drop', 'cali9 10.0.0.9 → eth0 203.0.113.1', ECHO],
  ['an unknown container is sent nothing', 'drop', 'eth0 198.51.100.1 → cali9 10.0.0.9', ECHO],
  [
    'an address is asked for',
    'accept',
    'cali1 :: → self ff02::1:ff00:1',
    SOLICITATION,
    '*',
    { endpointToHostAction: 'drop' },
  ],
  [
    'a neighbour is asked for',
    'accept',
    'cali1 fe80::2 → self fe80::1',
    SOLICITATION,
    '*',
    { endpointToHostAction: 'drop' },
  ],
  ['by its own address', 'accept', 'cali1 fd00::1 → self fe80::1', SOLICITATION, '*', { endpointToHostAction: 'drop' }],
  ['by a forged one', 'drop', 'cali1 fd00::2 → self fe80::1', SOLICITATION],
  ['a host endpoint without policy lets nothing in', 'drop', 'eth0 198.51.100.1 → self 192.0.2.1', SSH, 'eth0'],
  ['nor out', 'drop', 'self 192.0.2.1 → eth0 198.51.100.1', SSH, 'eth0'],
  ['all devices without policy, likewise', 'drop', 'eth0 198.51.100.1 → self 192.0.2.1', SSH, '*'],
  ['but failsafe ports', 'accept', 'eth0 198.51.100.1 → self 192.0.2.1', SSH, '*', FAILSAFE],
  ['and the neighbours that they need', 'accept', 'eth0 fe80::9 → self fe80::1', SOLICITATION, 'eth0', FAILSAFE],
  ['and other devices', 'accept', 'eth1 198.51.100.1 → self 192.0.2.1', SSH, 'eth0'],
  ['the host speaks to itself', 'accept', 'self 127.0.0.1 → lo 127.0.0.1', SSH, '*'],
  ['it forwards', 'accept', 'eth0 198.51.100.1 → cali1 10.0.0.1', SSH, '*'],
  ['VXLAN from a known host', 'accept', 'eth0 192.0.2.2 → self 192.0.2.1', VXLAN, 'eth0', TUNNELS],
  ['VXLAN from anybody else', 'drop', 'eth0 192.0.2.3 → self 192.0.2.1', VXLAN, undefined, TUNNELS],
  ['IPIP from a known host', 'accept', 'eth0 192.0.2.2 → self 192.0.2.1', { protocol: 4 }, 'eth0', TUNNELS],
  ['IPIP from anybody else', 'drop', 'eth0 192.0.2.3 → self 192.0.2.1', { protocol: 4 }, undefined, TUNNELS],
  ['VXLAN to a known host', 'accept', 'self 192.0.2.1 → eth0 192.0.2.2', VXLAN, 'eth0', TUNNELS],
  ['IPIP to a known host', 'accept', 'self 192.0.2.1 → eth0 192.0.2.2', { protocol: 4 }, 'eth0', TUNNELS],
];

for (const [what, verdict, way, packet, hostEndpoint, settings] of PACKETS) {
  test(`${way}${hostEndpoint === undefined ? '' : ` with a host endpoint for ${hostEndpoint}`}: ${what}`, () => {
    const [[inDevice, source], [outDevice, destination]] = way.split(' → ').map((end) => end.split(' ')) as [
      string[],
      string[],
    ];
    const outcome = evaluationOf(
      hostProgram({ ...DEFAULTS, ...settings }, hostEndpoint),
      WORLD,
    )({
      ...packet,
      source: ip(source ?? ''),
      destination: ip(destination ?? ''),
      inDevice: inDevice === 'self' ? undefined : inDevice,
      outDevice: outDevice === 'self' ? undefined : outDevice,
    });
    assert.equal(outcome.verdict, verdict, outcome.by?.comment);
  });
}

/** Containers a and b, which may do what they like, and one host endpoint that nobody has allowed anything. */
function hostProgram(settings: FilterSettings, hostDevice: string | undefined): FilterProgram {
  const builder = new FilterBuilder(IPTABLES_DIALECT, settings);
  const containers = ['cali1', 'cali2'].map((name) => ({
    ...endpoint(name, []),
    policy: { tiers: [], profiles: ['open'] },
  }));
  builder.updateEndpoints(new Map(containers.map((each) => [each.id, each])));
  const anybody: RuleEnd = {
    nets: [],
    notNets: [],
    sets: [],
    notSets: [],
    ports: [],
    portSets: [],
    notPorts: [],
    notPortSets: [],
  };
  const provenance = { origin: 'Profile open' };
  const allow: DesiredRule = {
    index: 0,
    action: 'allow',
    family: undefined,
    protocol: undefined,
    notProtocol: undefined,
    icmp: undefined,
    notIcmp: undefined,
    source: anybody,
    destination: anybody,
    provenance,
  };
  const hosts: SetChange = { kind: 'nets', added: ['192.0.2.2'], removed: [] };
  const policed: DesiredHostEndpoint = {
    name: 'policed',
    deviceName: hostDevice,
    expectedAddresses: [],
    policy: { tiers: [], profiles: [] },
    provenance: { origin: 'HostEndpoint policed' },
  };
  builder.updatePolicy({
    sets: new Map([ALL_HOSTS, VXLAN_HOSTS].map((set) => [set, hosts])),
    policies: new Map(),
    profiles: new Map([['open', { name: 'open', ingress: [allow], egress: [allow], provenance }]]),
    hostEndpoints: new Map([['policed', hostDevice === undefined ? undefined : policed]]),
  });
  return builder.program;
}

function endpoint(deviceName: string, sources: readonly string[]): DesiredEndpoint {
  return {
    id: deviceName,
    deviceName,
    addresses: [],
    policy: { tiers: [], profiles: [] },
    floatingIps: [],
    allowedSources: sources.map(cidr),
    provenance: { origin: `WorkloadEndpoint ${deviceName}` },
  };
}
