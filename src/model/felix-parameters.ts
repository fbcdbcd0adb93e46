/**
 * The parameters of FelixConfiguration: one table, a row each, with the type and the value that holds where nobody sets it.
 *
 * The names, types and values are Calico's, so that its configurations apply unchanged. A row says what a value may be, not
 * that muslin makes use of it: parameters of data paths that muslin does not have (iptables, BPF, Windows, OpenStack, Go)
 * are read, checked and kept. A row without a value is a parameter whose absence has a meaning of its own, mostly
 * "as the pools or the kernel say".
 */
import { z } from 'zod';
import { routePriorityField } from './bgp-fields.ts';
import type { SafePort } from './felix-fields.ts';
import {
  hostField,
  listField,
  markMaskField,
  patternField,
  portRangeField,
  regexField,
  routeTableRangeField,
  routeTableRangesField,
  safePortField,
  wordField,
} from './felix-fields.ts';
import {
  addressField,
  cidrField,
  durationField,
  interfaceNameField,
  mapping,
  portField,
  selectorField,
} from './fields.ts';

interface Parameter<Type extends z.ZodType, Default> {
  readonly type: Type;
  readonly default: Default;
}

/** A parameter that always has a value. */
function row<Type extends z.ZodType, const Default extends z.infer<Type>>(
  type: Type,
  value: Default,
): Parameter<Type, Default> {
  return { type, default: value };
}

/** A parameter that may be unset. */
function unset<Type extends z.ZodType>(type: Type): Parameter<Type, undefined> {
  return { type, default: undefined };
}

const bool = z.boolean();
const text = z.string();
const duration = durationField();
const port = portField();
const portOrNone = z.int().min(0).max(65535);
const range = (min: number, max: number) => z.int().min(min).max(max);
const INT32_MAX = 0x7fffffff;
const count = range(0, INT32_MAX);
const size = range(1, INT32_MAX);
/** −1 is "no limit" or "as Go has it". */
const countOrNone = range(-1, INT32_MAX);
/** 0 has the MTU computed from the devices; 68 is the least that IPv4 allows (RFC 791). */
const mtu = range(0, 65_535).refine(
  (value) => value === 0 || value >= 68,
  'must be 0, to have it computed, or 68 to 65535',
);
const onOff = wordField(['Enabled', 'Disabled']);
const severity = wordField(['Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal', 'None']);
const allow = wordField(['Accept', 'Return']);
const deny = wordField(['Drop', 'Reject']);
const host = hostField();
const regex = regexField();
const safePorts = listField(safePortField());
/** Prefixes, or bare addresses; Calico has no IPv6 here. */
const externalNodes = z
  .string()
  .transform((net) => (net.includes('/') ? net : `${net}/32`))
  .pipe(cidrField(4));
const deviceNames = listField(patternField(/^[A-Za-z0-9_.+-]{1,15}$/, 'is not a device; write docker0, or docker+'));
const interfacePrefixes = patternField(
  /^[A-Za-z0-9_-]{1,15}(,[A-Za-z0-9_-]{1,15})*$/,
  'is not a list of beginnings of device names; write cali, or cali,tap',
);
/** Names and regular expressions between slashes, with commas between them. */
const interfaceExclusions = patternField(
  /^([A-Za-z0-9_.-]{1,15}|\/[^,/]+\/)(,([A-Za-z0-9_.-]{1,15}|\/[^,/]+\/))*$/,
  'is not a list of devices; write kube-ipvs0, or /^kube/,veth1',
);
const overrides = patternField(
  /^([\w-]+=(true|false|),)*([\w-]+=(true|false|))?$/,
  'is not a list of features; write Name=true,OtherName=false',
);
const gates = patternField(
  /^([\w-]+=[^=,]+,)*([\w-]+=[^=,]+)?$/,
  'is not a list of features; write Name=value,Other=value',
);
const rate = patternField(/^[1-9]\d{0,3}\/(second|minute|hour|day)$/, 'is not a rate; write 10/second');
/** "openstack-region-" and the region are together one DNS label of 63 characters. */
const region = patternField(/^[a-z0-9]([-a-z0-9]{0,44}[a-z0-9])?$/, 'is not a region; at most 46 of a-z, 0-9 and "-"');
const timeout = patternField(
  /^(([0-9]+(\.[0-9]+)?(us|ms|s|m|h))+|Auto)$/,
  "is not a time; write 20s, or Auto for the kernel's",
);
const goldmane = patternField(/^[^\s:/]+:\d{1,5}$|^unix:\S+$/, 'is not a server; write HOST:PORT');

const conntrackTimeouts = mapping({
  creationGracePeriod: timeout.exactOptional(),
  tcpSynSent: timeout.exactOptional(),
  tcpEstablished: timeout.exactOptional(),
  tcpFinsSeen: timeout.exactOptional(),
  tcpResetSeen: timeout.exactOptional(),
  udpTimeout: timeout.exactOptional(),
  genericTimeout: timeout.exactOptional(),
  icmpTimeout: timeout.exactOptional(),
});

const tcp = (...ports: readonly number[]): SafePort[] => ports.map((port) => ({ protocol: 'tcp', port }));
const udp = (...ports: readonly number[]): SafePort[] => ports.map((port) => ({ protocol: 'udp', port }));
/** BGP, etcd, Typha, the Kubernetes API, and etcd as Calico's own installations run it. */
const CONTROL_PLANE_PORTS = [179, 2379, 2380, 5473, 6443, 6666, 6667];

export const FELIX_PARAMETERS = {
  /** Which nodes a configuration is for that is named neither "default" nor "node.NAME". */
  nodeSelector: unset(selectorField()),

  // How often the kernel is read again.
  routeRefreshInterval: row(duration, '90s'),
  interfaceRefreshInterval: row(duration, '90s'),
  iptablesRefreshInterval: row(duration, '180s'),
  nftablesRefreshInterval: row(duration, '180s'),
  ipsetsRefreshInterval: row(duration, '90s'),
  xdpRefreshInterval: row(duration, '90s'),
  iptablesPostWriteCheckInterval: row(duration, '5s'),
  iptablesLockProbeInterval: row(duration, '50ms'),
  iptablesLockTimeout: row(duration, '0s'),
  iptablesLockFilePath: row(text, '/run/xtables.lock'),
  netlinkTimeout: row(duration, '10s'),
  dataplaneWatchdogTimeout: row(duration, '90s'),

  // The packet filter, by iptables or nftables.
  iptablesBackend: row(wordField(['Auto', 'Legacy', 'NFT']), 'Auto'),
  chainInsertMode: row(wordField(['Insert', 'Append']), 'Insert'),
  // Felix' own default is Drop, that of all of Calico's manifests Accept; what people know is the latter.
  defaultEndpointToHostAction: row(wordField(['Drop', 'Accept', 'Return']), 'Accept'),
  iptablesFilterAllowAction: row(allow, 'Accept'),
  iptablesMangleAllowAction: row(allow, 'Accept'),
  iptablesFilterDenyAction: row(deny, 'Drop'),
  iptablesMarkMask: row(markMaskField(), 0xffff0000),
  iptablesNATOutgoingInterfaceFilter: unset(
    patternField(/^[A-Za-z0-9_.+-]{1,15}$/, 'is not a device; write eth0, or eth+'),
  ),
  maxIpsetSize: row(size, 1_048_576),
  logPrefix: row(text, 'calico-packet'),
  logActionRateLimit: unset(rate),
  logActionRateLimitBurst: row(range(0, 9999), 5),
  disableConntrackInvalidCheck: row(bool, false),
  featureDetectOverride: unset(overrides),
  featureGates: unset(gates),
  nftablesMode: row(wordField(['Auto', 'Enabled', 'Disabled']), 'Auto'),
  nftablesFilterAllowAction: row(allow, 'Accept'),
  nftablesMangleAllowAction: row(allow, 'Accept'),
  nftablesFilterDenyAction: row(deny, 'Drop'),
  nftablesMarkMask: row(markMaskField(), 0xffff0000),
  nftablesFlowTableOffload: row(onOff, 'Disabled'),
  genericXDPEnabled: row(bool, false),
  xdpEnabled: row(bool, true),
  sidecarAccelerationEnabled: row(bool, false),
  policySyncPathPrefix: unset(text),

  // Devices and routes.
  interfacePrefix: row(interfacePrefixes, 'cali'),
  interfaceExclude: row(interfaceExclusions, 'kube-ipvs0'),
  mtuIfacePattern: row(regex, '^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan).*)'),
  requireMTUFile: row(bool, false),
  deviceRouteSourceAddress: unset(addressField(4)),
  deviceRouteSourceAddressIPv6: unset(addressField(6)),
  deviceRouteProtocol: row(range(0, 255), 3),
  removeExternalRoutes: row(bool, true),
  routeTableRanges: row(routeTableRangesField(), [{ min: 1, max: 250 }]),
  routeTableRange: unset(routeTableRangeField(250)),
  routeSource: row(wordField(['CalicoIPAM', 'WorkloadIPs']), 'CalicoIPAM'),
  routeSyncDisabled: row(bool, false),
  // Unset: BGP programs them where it is spoken at all, so that one configuration serves both kinds of networks.
  programClusterRoutes: unset(wordField(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly'])),
  ipForwarding: row(onOff, 'Enabled'),
  ipv6Support: row(bool, true),
  ipv4NormalRoutePriority: row(routePriorityField(), 1024),
  ipv6NormalRoutePriority: row(routePriorityField(), 1024),
  ipv4ElevatedRoutePriority: row(routePriorityField(), 512),
  ipv6ElevatedRoutePriority: row(routePriorityField(), 512),
  localSubnetL2Reachability: row(wordField(['Disabled', 'PodsAndLoadBalancers']), 'Disabled'),
  localSubnetL2ReachabilityRefreshInterval: row(duration, '120s'),

  // Tunnels.
  vxlanEnabled: unset(bool),
  vxlanPort: row(port, 4789),
  vxlanVNI: row(range(1, 0xffffff), 4096),
  vxlanMTU: row(mtu, 0),
  vxlanMTUV6: row(mtu, 0),
  ipipEnabled: unset(bool),
  ipipMTU: row(mtu, 0),
  allowVXLANPacketsFromWorkloads: row(bool, false),
  allowIPIPPacketsFromWorkloads: row(bool, false),
  externalNodesList: row(listField(externalNodes), []),
  wireguardEnabled: row(bool, false),
  wireguardEnabledV6: row(bool, false),
  wireguardListeningPort: row(port, 51_820),
  wireguardListeningPortV6: row(port, 51_821),
  wireguardRoutingRulePriority: row(range(1, 32_765), 99),
  wireguardInterfaceName: row(interfaceNameField(), 'wireguard.cali'),
  wireguardInterfaceNameV6: row(interfaceNameField(), 'wg-v6.cali'),
  wireguardMTU: row(mtu, 0),
  wireguardMTUV6: row(mtu, 0),
  wireguardHostEncryptionEnabled: row(bool, false),
  wireguardKeepAlive: row(duration, '0s'),
  wireguardThreadingEnabled: row(bool, false),

  // Translation of addresses.
  natPortRange: unset(portRangeField()),
  natOutgoingAddress: unset(addressField(4)),
  natOutgoingExclusions: row(wordField(['IPPoolsOnly', 'IPPoolsAndHostIPs']), 'IPPoolsOnly'),
  kubeNodePortRanges: row(listField(portRangeField(), 7), ['30000:32767']),
  floatingIPs: row(onOff, 'Disabled'),

  // What keeps hosts reachable, and containers honest.
  failsafeInboundHostPorts: row(safePorts, [...tcp(22), ...udp(68), ...tcp(...CONTROL_PLANE_PORTS)]),
  failsafeOutboundHostPorts: row(safePorts, [...udp(53, 67), ...tcp(...CONTROL_PLANE_PORTS)]),
  workloadSourceSpoofing: row(wordField(['Disabled', 'Any']), 'Disabled'),
  serviceLoopPrevention: row(wordField(['Drop', 'Reject', 'Disabled']), 'Drop'),

  // What Felix says of itself.
  logSeverityFile: row(severity, 'Info'),
  logSeverityScreen: row(severity, 'Info'),
  logSeveritySys: row(severity, 'Info'),
  logFilePath: row(text, '/var/log/calico/felix.log'),
  logDebugFilenameRegex: unset(regex),
  healthEnabled: row(bool, false),
  healthHost: row(host, 'localhost'),
  healthPort: row(portOrNone, 9099),
  healthTimeoutOverrides: row(listField(mapping({ name: text, timeout: duration })), []),
  prometheusMetricsEnabled: row(bool, false),
  prometheusMetricsHost: unset(host),
  prometheusMetricsPort: row(portOrNone, 9091),
  prometheusMetricsCAFile: unset(text),
  prometheusMetricsCertFile: unset(text),
  prometheusMetricsKeyFile: unset(text),
  prometheusMetricsClientAuth: row(
    wordField(['RequireAndVerifyClientCert', 'RequireAnyClientCert', 'VerifyClientCertIfGiven', 'NoClientCert']),
    'RequireAndVerifyClientCert',
  ),
  prometheusGoMetricsEnabled: row(bool, true),
  prometheusProcessMetricsEnabled: row(bool, true),
  prometheusWireGuardMetricsEnabled: row(bool, true),
  flowLogsFlushInterval: row(duration, '300s'),
  flowLogsGoldmaneServer: unset(goldmane),
  flowLogsLocalReporter: row(onOff, 'Disabled'),
  flowLogsPolicyEvaluationMode: row(wordField(['None', 'Continuous']), 'Continuous'),
  flowLogsCollectorDebugTrace: row(bool, false),
  reportingInterval: row(duration, '30s'),
  reportingTTL: row(duration, '90s'),
  endpointReportingEnabled: row(bool, false),
  endpointReportingDelay: row(duration, '1s'),
  endpointStatusPathPrefix: unset(text),
  usageReportingEnabled: row(bool, true),
  usageReportingInitialDelay: row(duration, '300s'),
  usageReportingInterval: row(duration, '86400s'),

  // Go's run time, and aids for Felix's developers.
  goGCThreshold: row(countOrNone, 40),
  goMemoryLimitMB: row(countOrNone, -1),
  goMaxProcs: row(countOrNone, -1),
  debugHost: row(host, 'localhost'),
  debugPort: unset(portOrNone),
  debugMemoryProfilePath: unset(text),
  debugDisableLogDropping: row(bool, false),
  debugSimulateCalcGraphHangAfter: row(duration, '0s'),
  debugSimulateDataplaneHangAfter: row(duration, '0s'),
  debugSimulateDataplaneApplyDelay: row(duration, '0s'),
  useInternalDataplaneDriver: row(bool, true),
  dataplaneDriver: row(text, 'calico-iptables-plugin'),

  // The BPF data path.
  bpfEnabled: row(bool, false),
  bpfAttachType: row(wordField(['TC', 'TCX', 'Netkit']), 'Netkit'),
  bpfConnectTimeLoadBalancing: row(wordField(['TCP', 'Enabled', 'Disabled']), 'TCP'),
  bpfConnectTimeLoadBalancingEnabled: unset(bool),
  bpfHostNetworkedNATWithoutCTLB: row(onOff, 'Enabled'),
  bpfExternalServiceMode: row(wordField(['Tunnel', 'DSR']), 'Tunnel'),
  bpfDSROptoutCIDRs: row(listField(cidrField()), []),
  bpfDataIfacePattern: row(
    regex,
    '^((en|wl|ww|sl|ib)[Pcopsvx].*|(eth|wlan|wwan|bond).*|tunl0$|vxlan.calico$|vxlan-v6.calico$|wireguard.cali$|wg-v6.cali$|egress.calico$)',
  ),
  bpfL3IfacePattern: unset(regex),
  bpfEnforceRPF: row(wordField(['Disabled', 'Strict', 'Loose']), 'Loose'),
  bpfExtToServiceConnmark: row(range(0, 0xffffffff), 0),
  bpfMapSizeConntrack: row(size, 512_000),
  bpfMapSizePerCPUConntrack: row(count, 0),
  bpfMapSizeNATFrontend: row(size, 65_536),
  bpfMapSizeNATBackend: row(size, 262_144),
  bpfMapSizeNATAffinity: row(size, 65_536),
  bpfMapSizeRoute: row(size, 262_144),
  bpfMapSizeIPSets: row(size, 1_048_576),
  bpfMapSizeIfState: row(size, 1000),
  bpfConntrackTimeouts: row(conntrackTimeouts, {}),
  bpfPSNATPorts: row(portRangeField(), '20000:29999'),
  bpfKubeProxyMinSyncPeriod: row(duration, '1s'),
  bpfKubeProxyIptablesCleanupEnabled: row(bool, true),
  bpfKubeProxyEndpointSlicesEnabled: row(bool, true),
  bpfMaglevMaxServices: row(size, 100),
  bpfMaglevMaxEndpointsPerService: row(size, 100),
  bpfRedirectToPeer: row(wordField(['Enabled', 'Disabled', 'L2Only']), 'Enabled'),
  bpfHostConntrackBypass: row(bool, true),
  bpfDisableUnprivileged: row(bool, true),
  bpfPolicyDebugEnabled: row(bool, true),
  bpfForceTrackPacketsFromIfaces: row(deviceNames, ['docker+']),
  bpfDisableGROForIfaces: unset(regex),
  bpfExcludeCIDRsFromNAT: row(listField(cidrField()), []),
  bpfExportBufferSizeMB: row(size, 1),
  bpfProfiling: row(onOff, 'Disabled'),
  bpfLogLevel: row(wordField(['Off', 'Info', 'Debug']), 'Off'),
  bpfLogFilters: unset(z.record(z.string(), z.string())),
  bpfCTLBLogFilter: unset(wordField(['all'])),
  istioAmbientMode: row(onOff, 'Disabled'),
  istioDSCPMark: row(range(0, 63), 23),

  // Other platforms.
  windowsManageFirewallRules: row(onOff, 'Disabled'),
  metadataAddr: row(host, '127.0.0.1'),
  metadataPort: row(portOrNone, 8775),
  openstackRegion: unset(region),
  awsSrcDstCheck: row(wordField(['DoNothing', 'Enable', 'Disable']), 'DoNothing'),
};
