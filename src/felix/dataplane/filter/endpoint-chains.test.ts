import assert from 'node:assert/strict';
import { test } from 'node:test';
import { cidr } from '../../../net/cidr.ts';
import { formatIp, ip } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../desired/filter-settings.ts';
import type { DesiredProfile, DesiredRule, RuleEnd } from '../../desired/policy.ts';
import { FilterBuilder } from './builder.ts';
import type { Packet } from './evaluate.ts';
import { evaluationOf } from './evaluate.ts';
import type { FilterWorld } from './match.ts';
import { IPTABLES_DIALECT, NFTABLES_DIALECT } from './program.ts';

/** Containers that may do everything, so that what stops their packets is protection. */
const ENDPOINTS = [
  endpoint('a', 'cali-a', '172.17.8.2/32'),
  endpoint('b', 'cali-b', '172.17.8.3/32', '172.17.8.4/32', 'fd00::3/128'),
];

/** The host is 10.0.0.100 with eth0; everything else is behind that. */
const DEVICES = new Map(
  ENDPOINTS.flatMap(({ deviceName, addresses }) => addresses.map(({ address }) => [formatIp(address), deviceName])),
);
const WORLD: FilterWorld = {
  isLocal: (address) => formatIp(address) === '10.0.0.100',
  deviceOf: (address) => DEVICES.get(formatIp(address)) ?? 'eth0',
};

function endpoint(id: string, deviceName: string, ...addresses: string[]): DesiredEndpoint {
  return {
    id,
    deviceName,
    addresses: addresses.map(cidr),
    policy: { tiers: [], profiles: ['open'] },
    floatingIps: [],
    allowedSources: [],
    provenance: { origin: `WorkloadEndpoint default/${id}` },
  };
}

function openProfile(): DesiredProfile {
  const any: RuleEnd = {
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
    source: any,
    destination: any,
    provenance,
  };
  return { name: 'open', ingress: [allow], egress: [allow], provenance };
}

function evaluationIn(dialect: typeof NFTABLES_DIALECT) {
  const builder = new FilterBuilder(dialect, FILTER_SETTINGS_DEFAULTS);
  builder.updateEndpoints(new Map(ENDPOINTS.map((each) => [each.id, each])));
  const profiles = new Map([['open', openProfile()]]);
  builder.updatePolicy({ sets: new Map(), policies: new Map(), profiles, hostEndpoints: new Map() });
  return evaluationOf(builder.program, WORLD);
}

interface Short extends Partial<Omit<Packet, 'source' | 'destination' | 'inDevice' | 'outDevice'>> {
  readonly from?: string;
  readonly to?: string;
  readonly source: string;
}

function packet({ from, to, source, ...others }: Short): Packet {
  const destination = ip(source.includes(':') ? '2001:db8::9' : '203.0.113.9');
  return { protocol: 6, ...others, source: ip(source), destination, inDevice: from, outDevice: to };
}

const A = { from: 'cali-a', source: '172.17.8.2' } as const;
const B6 = { from: 'cali-b', source: 'fd00::3' } as const;
const OUT = { to: 'eth0' } as const;
const FORGED = 'drop: Protection: forged source';
const UNKNOWN = 'drop: Protection: unknown interface';
const VXLAN = { protocol: 17, destinationPort: 4789 } as const;

/** What, the packet, what becomes of it and by which rule. */
const rows: readonly [string, Short, string][] = [
  ['from its own address', { ...A, ...OUT }, 'accept'],
  ['from a second address', { from: 'cali-b', ...OUT, source: '172.17.8.4' }, 'accept'],
  ['from its IPv6 address', { ...B6, ...OUT }, 'accept'],
  ['a neighbour’s address', { ...A, ...OUT, source: '172.17.8.3' }, FORGED],
  ['a neighbour’s IPv6 address', { from: 'cali-b', ...OUT, source: 'fd00::2' }, FORGED],
  ['IPv6 without an IPv6 address', { ...A, ...OUT, source: 'fd00::3' }, FORGED],
  ['forged into an established connection', { ...A, ...OUT, source: '172.17.8.3', state: 'established' }, FORGED],
  ['forged towards the host', { ...A, source: '10.9.9.9' }, FORGED],
  ['to the host', A, 'accept'],
  ['a known connection to the host', { ...A, state: 'established' }, 'accept'],
  ['between two containers', { ...A, to: 'cali-b' }, 'accept'],
  ['to an unknown container', { ...A, to: 'cali-x' }, UNKNOWN],
  ['from an unknown container', { from: 'cali-x', to: 'cali-a', source: '172.17.8.9' }, FORGED],
  [
    'established towards an unknown container',
    { from: 'eth0', to: 'cali-x', source: '10.0.0.1', state: 'established' },
    UNKNOWN,
  ],
  ['from outside', { from: 'eth0', to: 'cali-a', source: '10.0.0.1' }, 'accept'],
  [
    'invalid from outside',
    { from: 'eth0', to: 'cali-a', source: '10.0.0.1', state: 'invalid' },
    'drop: Protection: invalid connection state',
  ],
  ['invalid from a container', { ...A, state: 'invalid' }, 'drop: Protection: invalid connection state'],
  ['invalid between others', { from: 'eth0', to: 'eth1', source: '10.0.0.1', state: 'invalid' }, 'accept'],
  ['invalid from outside to the host', { from: 'eth0', source: '10.0.0.1', state: 'invalid' }, 'accept'],
  ['from the host to a container', { to: 'cali-a', source: '10.0.0.100' }, 'accept'],
  ['from the host to an unknown container', { to: 'cali-x', source: '10.0.0.100' }, 'accept'],
  ['IPIP', { ...A, ...OUT, protocol: 4 }, 'drop: Protection: IPIP from a workload'],
  [
    'IPIP that is an answer',
    { ...A, ...OUT, protocol: 4, state: 'established' },
    'drop: Protection: IPIP from a workload',
  ],
  [
    'VXLAN to the host, as an answer',
    { ...A, ...VXLAN, state: 'established' },
    'drop: Protection: VXLAN from a workload',
  ],
  ['VXLAN over IPv6', { ...B6, ...OUT, ...VXLAN }, 'drop: Protection: VXLAN from a workload'],
  ['TCP to port 4789', { ...A, destinationPort: 4789 }, 'accept'],
  ['neighbour solicitation', { ...B6, protocol: 58, icmpType: 135, icmpCode: 0 }, 'accept'],
  ['solicitation from another’s address', { ...B6, source: 'fd00::2', protocol: 58, icmpType: 135 }, FORGED],
  ['router advertisement', { ...B6, protocol: 58, icmpType: 134 }, 'drop: Protection: router advertisement'],
  [
    'router advertisement to another',
    { ...B6, to: 'cali-a', protocol: 58, icmpType: 134 },
    'drop: Protection: router advertisement',
  ],
  [
    'a DHCP server',
    { ...A, to: 'cali-b', protocol: 17, sourcePort: 67, destinationPort: 68 },
    'drop: Protection: DHCP server',
  ],
  ['a DHCP client', { ...A, protocol: 17, sourcePort: 68, destinationPort: 67 }, 'accept'],
  ['a DHCPv6 server', { ...B6, ...OUT, protocol: 17, sourcePort: 547 }, 'drop: Protection: DHCPv6 server'],
  ['port 547 of IPv4', { ...A, ...OUT, protocol: 17, sourcePort: 547 }, 'accept'],
];

for (const [what, short, expected] of rows) {
  test(`${what}: ${expected}`, () => {
    for (const dialect of [NFTABLES_DIALECT, IPTABLES_DIALECT]) {
      const { verdict, by, logs } = evaluationIn(dialect)(packet(short));
      assert.equal(verdict === 'accept' ? verdict : `${verdict}: ${by?.comment}`, expected);
      assert.equal(logs.length, verdict === 'accept' ? 0 : 1, 'a denied packet is logged, once');
    }
  });
}
