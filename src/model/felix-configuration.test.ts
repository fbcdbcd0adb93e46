/** FelixConfiguration: its names, its parameters by type, and which of several configurations holds. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FelixConfiguration } from './felix-configuration.ts';
import { effectiveFelix } from './felix-configuration.ts';
import { FELIX_PARAMETERS } from './felix-parameters.ts';
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';
import { validateResource } from './validate.ts';

const taken = (spec: object): KindRow => [JSON.stringify(spec), spec, spec];
const becomes = (spec: object, expected: object): KindRow => [JSON.stringify(spec), spec, expected];
const refused = (spec: object, ...problems: string[]): KindRow => [
  JSON.stringify(spec),
  spec,
  problems.map((problem) => `spec.${problem}`),
];

const SSH = { protocol: 'tcp', port: 22 };

const ROWS: readonly KindRow[] = [
  ['nothing set', undefined, {}],
  ['the configuration of a node', { bpfEnabled: false }, { bpfEnabled: false }, 'node.host-a'],
  ['one for chosen nodes', { nodeSelector: 'has(gpu)' }, { nodeSelector: 'has(gpu)' }, 'gpu-hosts'],
  [
    'a name that is neither',
    {},
    [
      'metadata.name: "host-a" is neither "default" (for all nodes) nor "node.NAME" (for one node); under another name it needs spec.nodeSelector',
    ],
    'host-a',
  ],
  [
    'a selector that the name makes useless',
    { nodeSelector: 'all()' },
    ['spec.nodeSelector: has no use in default, whose name says for which nodes it is; choose another name'],
  ],

  taken({ routeRefreshInterval: '1m30s', interfaceRefreshInterval: '0s', iptablesLockProbeInterval: '50ms' }),
  taken({ wireguardEnabled: true, wireguardListeningPort: 51820, wireguardKeepAlive: '25s' }),
  taken({ deviceRouteSourceAddress: '10.0.0.1', deviceRouteSourceAddressIPv6: 'fd00::1', deviceRouteProtocol: 80 }),
  taken({ vxlanPort: 8472, vxlanVNI: 16777215, vxlanMTU: 0, ipipMTU: 1480 }),
  taken({
    routeTableRanges: [
      { min: 10, max: 20 },
      { min: 1000, max: 2000 },
    ],
  }),
  taken({ interfaceExclude: '/^kube/,veth1', interfacePrefix: 'cali,tap', mtuIfacePattern: '^eth.*' }),
  taken({ logActionRateLimit: '10/second', logActionRateLimitBurst: 0, logPrefix: 'policy' }),
  taken({ localSubnetL2Reachability: 'PodsAndLoadBalancers', natOutgoingExclusions: 'IPPoolsAndHostIPs' }),
  taken({ bpfConntrackTimeouts: { tcpEstablished: '1h', tcpFinsSeen: 'Auto' }, bpfLogFilters: { eth0: 'tcp' } }),
  taken({ goGCThreshold: -1, healthTimeoutOverrides: [{ name: 'calc', timeout: '5s' }], debugPort: 0 }),
  taken({ iptablesMarkMask: 0xff000000, nftablesMarkMask: 0xffff }),
  taken({ featureDetectOverride: 'SNATFullyRandom=true,Other=', featureGates: 'BPF=enabled,X=false' }),
  becomes({ defaultEndpointToHostAction: 'ACCEPT' }, { defaultEndpointToHostAction: 'Accept' }),
  becomes({ iptablesBackend: 'nft', chainInsertMode: 'insert' }, { iptablesBackend: 'NFT', chainInsertMode: 'Insert' }),
  becomes(
    { bpfExternalServiceMode: 'dsr', logSeverityScreen: 'DEBUG' },
    { bpfExternalServiceMode: 'DSR', logSeverityScreen: 'Debug' },
  ),
  becomes({ externalNodesList: ['10.0.0.0/24', '10.1.0.1'] }, { externalNodesList: ['10.0.0.0/24', '10.1.0.1/32'] }),
  becomes({ kubeNodePortRanges: ['30000:32767', 8080, '443'] }, { kubeNodePortRanges: ['30000:32767', 8080, 443] }),
  becomes({ natPortRange: '32768:65535', bpfPSNATPorts: '5:5' }, { natPortRange: '32768:65535', bpfPSNATPorts: 5 }),
  becomes({ bpfDSROptoutCIDRs: ['FD00::/8'] }, { bpfDSROptoutCIDRs: ['fd00::/8'] }),

  becomes({ failsafeInboundHostPorts: [] }, { failsafeInboundHostPorts: [] }),
  becomes({ failsafeInboundHostPorts: [{ port: 22 }] }, { failsafeInboundHostPorts: [SSH] }),
  becomes(
    { failsafeInboundHostPorts: [{ protocol: 'UDP', port: 53, net: '' }] },
    { failsafeInboundHostPorts: [{ protocol: 'udp', port: 53 }] },
  ),
  becomes(
    { failsafeOutboundHostPorts: [{ ...SSH, net: 'FD00:0::/8' }] },
    { failsafeOutboundHostPorts: [{ ...SSH, net: 'fd00::/8' }] },
  ),
  becomes(
    { failsafeInboundHostPorts: ['22', 'tcp:22', 'TCP:[10.0.0.0/8]:22', 'tcp:10.0.0.0/8:22', 'sctp:[FD00::/8]:7'] },
    {
      failsafeInboundHostPorts: [
        SSH,
        SSH,
        { ...SSH, net: '10.0.0.0/8' },
        { ...SSH, net: '10.0.0.0/8' },
        { protocol: 'sctp', port: 7, net: 'fd00::/8' },
      ],
    },
  ),
  refused(
    { failsafeInboundHostPorts: ['tcp', 'icmp:22', 'tcp:ssh'] },
    'failsafeInboundHostPorts[0]: "tcp" is not a safe port; write tcp:22, or tcp:[10.0.0.0/8]:22',
    'failsafeInboundHostPorts[1]: "icmp:22" is not a safe port; write tcp:22, or tcp:[10.0.0.0/8]:22',
    'failsafeInboundHostPorts[2]: "tcp:ssh" is not a safe port; write tcp:22, or tcp:[10.0.0.0/8]:22',
  ),
  refused(
    { failsafeInboundHostPorts: ['tcp:65536'] },
    'failsafeInboundHostPorts[0].port: 65536 is too big: at most 65535',
  ),
  refused(
    { failsafeInboundHostPorts: ['tcp:[10.0.0.1/8]:22'] },
    'failsafeInboundHostPorts[0].net: "10.0.0.1/8" has host bits set; write 10.0.0.0/8',
  ),
  refused({ failsafeInboundHostPorts: [{ protocol: 'tcp' }] }, 'failsafeInboundHostPorts[0].port: is required'),
  refused({ failsafeInboundHostPorts: [22] }, 'failsafeInboundHostPorts[0]: must be a mapping, not 22'),
  refused(
    { failsafeOutboundHostPorts: [{ protocol: 'icmp', port: 1 }] },
    'failsafeOutboundHostPorts[0].protocol: "icmp" is not one of tcp, udp, sctp',
  ),
  refused(
    { failsafeOutboundHostPorts: [{ protocol: 'tcp', prot: 1, port: 2 }] },
    'failsafeOutboundHostPorts[0].prot: unknown field; did you mean port?',
  ),

  refused({ routeRefreshIntervall: '90s' }, 'routeRefreshIntervall: unknown field; did you mean routeRefreshInterval?'),
  refused({ bpfenabled: true }, 'bpfenabled: unknown field; did you mean bpfEnabled?'),
  refused({ somethingElse: 1 }, 'somethingElse: unknown field'),
  refused({ routeRefreshInterval: 90 }, "routeRefreshInterval: must be text, not 90; put it in quotes: '90'"),
  refused(
    { netlinkTimeout: '10 s' },
    'netlinkTimeout: "10 s" is not a length of time; write it with units: 120s, 1m30s',
  ),
  refused({ bpfEnabled: 'yes' }, 'bpfEnabled: must be true or false, not "yes"'),
  refused({ iptablesBackend: 'nftables' }, 'iptablesBackend: "nftables" is not one of Auto, Legacy, NFT'),
  refused({ bpfAttachType: 'Nettkit' }, 'bpfAttachType: "Nettkit" is not one of TC, TCX, Netkit; did you mean Netkit?'),
  refused({ wireguardListeningPort: 0 }, 'wireguardListeningPort: 0 is too small: at least 1'),
  refused({ wireguardRoutingRulePriority: 32766 }, 'wireguardRoutingRulePriority: 32766 is too big: at most 32765'),
  refused(
    { wireguardInterfaceName: 'wireguard-device-1' },
    'wireguardInterfaceName: "wireguard-device-1" is not a device name; 1 to 15 letters, digits, "_", "." and "-"',
  ),
  refused({ deviceRouteSourceAddress: 'fd00::1' }, 'deviceRouteSourceAddress: "fd00::1" is IPv6; IPv4 is needed'),
  refused(
    { deviceRouteSourceAddressIPv6: '10.0.0.1' },
    'deviceRouteSourceAddressIPv6: "10.0.0.1" is IPv4; IPv6 is needed',
  ),
  refused({ vxlanMTU: 67 }, 'vxlanMTU: must be 0, to have it computed, or 68 to 65535'),
  refused({ vxlanVNI: 16777216 }, 'vxlanVNI: 16777216 is too big: at most 16777215'),
  refused({ iptablesMarkMask: 0x7f }, 'iptablesMarkMask: has too few bits; at least 8, as in 0xffff0000'),
  refused({ iptablesMarkMask: '0xff000000' }, 'iptablesMarkMask: must be a number, not "0xff000000"'),
  refused({ logActionRateLimit: '10' }, 'logActionRateLimit: "10" is not a rate; write 10/second'),
  refused(
    { natPortRange: '200:100' },
    'natPortRange: "200:100" is not a range of ports; write the lower port first: "100:200"',
  ),
  refused({ natPortRange: '0:100' }, 'natPortRange: "0:100" is not a range of ports; ports are 1 to 65535'),
  refused({ natPortRange: [1, 2] }, 'natPortRange: must be a port, or a range of ports in quotes: "30000:32767"'),
  refused(
    { kubeNodePortRanges: [1, 2, 3, 4, 5, 6, 7, 8] },
    'kubeNodePortRanges: [1,2,3,4,5,6,7,8] is too big: at most 7 items',
  ),
  refused({ externalNodesList: ['fd00::/8'] }, 'externalNodesList[0]: "fd00::/8" is IPv6; IPv4 is needed'),
  refused({ routeTableRanges: [{ min: 2, max: 1 }] }, 'routeTableRanges[0]: has a min that is more than its max'),
  refused({ routeTableRanges: [{ min: 1, max: 65536 }] }, 'routeTableRanges: have more than 65535 tables together'),
  refused({ routeTableRange: { min: 1, max: 251 } }, 'routeTableRange.max: 251 is too big: at most 250'),
  refused(
    { routeTableRange: { min: 1, max: 250 }, routeTableRanges: [] },
    'routeTableRange: is the old form of routeTableRanges; remove it',
  ),
  refused(
    { mtuIfacePattern: '(' },
    'mtuIfacePattern: "(" is not a regular expression; write ^eth.* for devices that begin with eth',
  ),
  refused(
    { interfaceExclude: 'a,,b' },
    'interfaceExclude: "a,,b" is not a list of devices; write kube-ipvs0, or /^kube/,veth1',
  ),
  refused(
    { bpfConntrackTimeouts: { udpTimeout: '60' } },
    'bpfConntrackTimeouts.udpTimeout: "60" is not a time; write 20s, or Auto for the kernel\'s',
  ),
  refused(
    { ipv4NormalRoutePriority: 2147483647 },
    'ipv4NormalRoutePriority: 2147483647 is too big: at most 2147483646',
  ),
  refused({ istioDSCPMark: 64 }, 'istioDSCPMark: 64 is too big: at most 63'),
  refused({ goMaxProcs: -2 }, 'goMaxProcs: -2 is too small: at least -1'),
  refused(
    { openstackRegion: 'x'.repeat(47) },
    `openstackRegion: "${'x'.repeat(47)}" is not a region; at most 46 of a-z, 0-9 and "-"`,
  ),
];

checkRows('FelixConfiguration', ROWS, 'default');

/** What docs and users rely on; the rest is the table's own word. */
const DEFAULTS: Readonly<Record<string, unknown>> = {
  routeRefreshInterval: '90s',
  iptablesRefreshInterval: '180s',
  interfacePrefix: 'cali',
  vxlanPort: 4789,
  vxlanVNI: 4096,
  deviceRouteProtocol: 3,
  defaultEndpointToHostAction: 'Accept',
  ipv4NormalRoutePriority: 1024,
  ipv6ElevatedRoutePriority: 512,
  workloadSourceSpoofing: 'Disabled',
  kubeNodePortRanges: ['30000:32767'],
  natPortRange: undefined,
  vxlanEnabled: undefined,
  prometheusMetricsPort: 9091,
};

test('without configurations every parameter has its built-in value', () => {
  const effective: Readonly<Record<string, unknown>> = effectiveFelix([]);
  for (const [name, value] of Object.entries(DEFAULTS)) assert.deepEqual(effective[name], value, name);
  assert.deepEqual(Object.keys(effective), Object.keys(FELIX_PARAMETERS));
  assert.deepEqual(
    effectiveFelix([])
      .failsafeOutboundHostPorts.map(({ protocol, port }) => `${protocol}:${port}`)
      .join(' '),
    'udp:53 udp:67 tcp:179 tcp:2379 tcp:2380 tcp:5473 tcp:6443 tcp:6666 tcp:6667',
  );
});

test('every built-in value is one that its parameter takes, as it stands', () => {
  for (const [name, parameter] of Object.entries(FELIX_PARAMETERS)) {
    if (parameter.default === undefined) continue;
    const parsed = parameter.type.safeParse(parameter.default);
    assert.ok(parsed.success, name);
    assert.deepEqual(parsed.data, parameter.default, name);
  }
});

test('the names are those that users know, and each is found when misspelt by a letter', () => {
  assert.ok(Object.keys(FELIX_PARAMETERS).length >= 150);
  for (const name of Object.keys(FELIX_PARAMETERS)) {
    const misspelt = `z${name}`;
    const result = validateResource({
      apiVersion: 'projectcalico.org/v3',
      kind: 'FelixConfiguration',
      metadata: { name: 'default' },
      spec: { [misspelt]: true },
    });
    assert.ok(!result.ok);
    assert.equal(result.problems[0]?.message, `unknown field; did you mean ${name}?`);
  }
});

test('configurations lie one over the other, field by field', () => {
  const named = (name: string, spec: FelixConfiguration['spec']): FelixConfiguration => ({
    apiVersion: 'projectcalico.org/v3',
    kind: 'FelixConfiguration',
    metadata: { name },
    spec,
  });
  const layers = [
    named('default', { vxlanPort: 1, vxlanVNI: 1, healthPort: 1 }),
    named('gpu', { nodeSelector: 'has(gpu)', vxlanVNI: 2, healthPort: 2 }),
    undefined,
    named('node.a', { healthPort: 3 }),
  ];
  const { vxlanPort, vxlanVNI, healthPort, vxlanMTU } = effectiveFelix(layers);
  assert.deepEqual(
    { vxlanPort, vxlanVNI, healthPort, vxlanMTU },
    { vxlanPort: 1, vxlanVNI: 2, healthPort: 3, vxlanMTU: 0 },
  );
});
