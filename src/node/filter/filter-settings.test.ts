import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FilterSettings } from '../../felix/desired/filter-settings.ts';
import type { FelixConfigurationSpec } from '../../model/felix-configuration.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import { validateResource } from '../../model/validate.ts';
import { cidr } from '../../net/cidr.ts';
import { ip } from '../../net/ip.ts';
import { felixOnNode } from '../felix-layers.ts';
import type { BackendKind } from './backend-choice.ts';
import { filterSettings } from './filter-settings.ts';

function resource(kind: string, spec: object, annotations: Record<string, string> = {}) {
  const metadata = { name: 'default', annotations };
  const validated = validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata, spec });
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource;
}

function settings(
  spec: FelixConfigurationSpec,
  backend: BackendKind = 'nftables',
  pools: readonly object[] = [],
  annotations: Record<string, string> = {},
): FilterSettings {
  const configuration = resource('FelixConfiguration', spec, annotations);
  assert.ok(configuration.kind === 'FelixConfiguration');
  const onNode = felixOnNode('host-a', undefined, new Map([['default', configuration]]));
  const used = pools.map((pool) => resource('IPPool', { cidr: '10.0.0.0/16', ...pool }) as IpPool);
  return filterSettings(onNode, used, backend);
}

const IPIP = { ipipMode: 'Always' };
const VXLAN = { vxlanMode: 'CrossSubnet' };

const ROWS: readonly (readonly [string, FilterSettings, Partial<FilterSettings>])[] = [
  [
    'without a word: the defaults',
    settings({}),
    {
      ...{ endpointToHostAction: 'accept', filterAllowAction: 'accept', denyAction: 'drop', dropInvalid: true },
      ...{ logRate: undefined, ipip: false, vxlan: undefined, floatingIps: false, insertMode: 'insert' },
      ...{ sourceSpoofing: false, cutConnections: true },
      natOutgoing: { ports: undefined, address: undefined, excludeHosts: false, device: undefined },
    },
  ],
  [
    'five bits of the mask, the lowest first',
    settings({ nftablesMarkMask: 0x8000_07f1 }),
    { marks: { accept: 1, pass: 0x10, drop: 0x20, scratch0: 0x40, scratch1: 0x80 } },
  ],
  [
    'five bits that lie apart',
    settings({ iptablesMarkMask: 0xf100_000f }, 'iptables'),
    { marks: { accept: 1, pass: 2, drop: 4, scratch0: 8, scratch1: 0x100_0000 } },
  ],
  [
    'the parameters of nftables count in nftables',
    settings({ nftablesFilterAllowAction: 'Return', iptablesFilterDenyAction: 'Reject' }),
    { filterAllowAction: 'return', denyAction: 'drop' },
  ],
  [
    'the parameters of iptables count in iptables',
    settings({ nftablesFilterAllowAction: 'Return', iptablesFilterDenyAction: 'Reject' }, 'iptables'),
    { filterAllowAction: 'accept', denyAction: 'reject' },
  ],
  ['a pool with IPIP', settings({}, 'nftables', [{}, IPIP]), { ipip: true, vxlan: undefined }],
  ['a pool with VXLAN', settings({ vxlanPort: 4790 }, 'nftables', [VXLAN]), { ipip: false, vxlan: { port: 4790 } }],
  [
    'tunnels switched off and on by name',
    settings({ ipipEnabled: false, vxlanEnabled: true }, 'nftables', [IPIP]),
    { ipip: false, vxlan: { port: 4789 } },
  ],
  [
    'a rate of logging',
    settings({ logActionRateLimit: '10/minute', logActionRateLimitBurst: 7 }),
    { logRate: { count: 10, per: 'minute', burst: 7 } },
  ],
  [
    'NAT',
    settings({
      ...{ natPortRange: '1000:2000', natOutgoingAddress: '192.0.2.1', natOutgoingExclusions: 'IPPoolsAndHostIPs' },
      iptablesNATOutgoingInterfaceFilter: 'eth0',
    }),
    {
      natOutgoing: {
        ...{ ports: { first: 1000, last: 2000 }, address: ip('192.0.2.1'), excludeHosts: true, device: 'eth0' },
      },
    },
  ],
  [
    'ports that are always open',
    settings({ failsafeInboundHostPorts: [{ protocol: 'tcp', port: 22, net: '10.0.0.0/8' }] }),
    { failsafeInbound: [{ protocol: 'tcp', port: 22, net: cidr('10.0.0.0/8') }] },
  ],
  [
    'connections outlive policy where somebody wants that',
    settings({}, 'nftables', [], { 'muslin.io/cut-connections': 'false' }),
    { cutConnections: false },
  ],
  ['spoofing', settings({ workloadSourceSpoofing: 'Any' }), { sourceSpoofing: true }],
  ['appending', settings({ chainInsertMode: 'Append' }), { insertMode: 'append' }],
];

for (const [title, made, expected] of ROWS) {
  test(`settings: ${title}`, () => {
    const shown = Object.fromEntries(Object.keys(expected).map((name) => [name, made[name as keyof FilterSettings]]));
    assert.deepEqual(shown, expected);
  });
}
