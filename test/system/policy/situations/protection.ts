/**
 * What no container may do, whatever its policy: send from an address that is not its own, tunnel, play router or DHCP server;
 * what a container may do to its host; and that the ways of a packet filter to be set up make no difference.
 */
import type { Situation } from '../situation.ts';
import { calico, changed, felix, globalPolicy } from './cast.ts';

const ALLOWED_SOURCES = {
  annotations: { 'cni.projectcalico.org/allowedSourcePrefixes': '["203.0.113.0/28","2001:db8:1::/48"]' },
};

/** Something of everything, to see that it holds as before. */
const SOME_POLICY =
  calico('Tier', 'first', 'order: 10') +
  globalPolicy(
    'first',
    `tier: first, selector: "app == 'web'", types: [Ingress], ingress: [{ action: Deny, source: { selector: "app == 'dev'" } }, { action: Pass }]`,
  ) +
  globalPolicy(
    'usual',
    `selector: "app == 'web'", types: [Ingress, Egress], ingress: [{ action: Log, protocol: UDP }, { action: Allow, protocol: TCP, destination: { ports: [http, 443] } }], egress: [{ action: Allow, destination: { nets: [10.65.0.0/16] } }]`,
  ) +
  calico('HostEndpoint', 'edge', 'node: host-a, interfaceName: eth1');
const SOME_VERDICTS = [
  'deny *,outside > web',
  'allow *,outside > web tcp/80',
  'allow *,outside > web tcp/443',
  'deny dev > web',
  'deny web > *,outside,host-a',
  'allow web > dev,api,db,mon,guest v4',
  'deny outside > host-a',
  'deny host-a > outside',
  'allow outside > api',
];

/** Parameters come in pairs, one for each way to filter packets. */
function both(name: string, value: string): string {
  return felix(`iptables${name}: ${value}, nftables${name}: ${value}`);
}

export const PROTECTION: readonly Situation[] = [
  {
    name: 'a container sends from its own addresses alone',
    isBeyondNaive: true,
    resources: '',
    expect: [
      'allow web as 10.65.0.1 > api,db,host-a,outside udp/80',
      'allow web as fd65::1 > api,db,host-a,outside udp/80',
      'deny web as 10.65.0.2 > db,dev,host-a,outside udp/80', // a neighbour's
      'deny web as 10.65.1.2 > db,api,host-a,outside udp/80', // one of another host
      'deny web as 192.168.77.1 > db,api,outside udp/80', // its host's
      'deny web as 203.0.113.9 > db,api,host-a,outside udp/80', // anybody's
      'deny web as fd65::2 > db,dev,host-a,outside udp/80',
      'deny web as 2001:db8:99::7 > db,api,host-a,outside udp/80',
      'deny db as 10.65.1.2 > web,guest,host-b udp/80',
      'deny db as fd65:0:0:1::2 > web,guest,host-b udp/80',
      'deny web as 203.0.113.9 > db,host-a ip/253',
      'deny web as 203.0.113.9 > db,host-a icmp/8.0',
    ],
  },
  {
    name: 'a container may send from more prefixes where that is allowed at all',
    resources: changed('web', {}, ALLOWED_SOURCES) + felix('workloadSourceSpoofing: Any'),
    expect: [
      'allow web as 203.0.113.9 > db,api udp/80',
      'allow web as 2001:db8:1::5 > db,api udp/80',
      'deny web as 203.0.113.77 > db,api udp/80',
      'deny api as 203.0.113.9 > db,web udp/80',
    ],
  },
  {
    name: 'and not where it is not',
    resources: changed('web', {}, ALLOWED_SOURCES),
    expect: ['deny web as 203.0.113.9 > db,api udp/80', 'deny web as 2001:db8:1::5 > db,api udp/80'],
  },
  {
    name: 'containers are kept from their own host, which still reaches them',
    resources: felix('defaultEndpointToHostAction: Drop'),
    expect: [
      'deny web,api,dev > host-a',
      'deny db,mon,guest > host-b',
      'allow web,outside,host-b > host-a',
      'deny web > host-a',
      'allow host-a > web,api,dev',
      'allow * > outside',
      'allow web > host-b',
    ],
  },
  {
    name: 'what containers send to their host is left to others to decide',
    resources: felix('defaultEndpointToHostAction: Return'),
    expect: ['allow * > host-a,host-b'],
  },
  {
    name: 'a container sends no tunnelled packets',
    ports: [80, 4789],
    isBeyondNaive: true,
    resources: '',
    expect: [
      'deny web,db > api,mon,host-a,host-b,outside ip/4 v4',
      'deny * > *,host-a,host-b,outside udp/4789',
      'allow outside,host-b > web ip/4 v4',
      'allow outside > web udp/4789',
      'allow web > api,mon,host-a,outside tcp/4789',
    ],
  },
  {
    name: 'unless the operator wants it',
    ports: [80, 4789],
    resources: felix('allowIPIPPacketsFromWorkloads: true, allowVXLANPacketsFromWorkloads: true'),
    expect: ['allow web > api,mon,outside ip/4 v4', 'allow web > api,mon,outside udp/4789'],
  },
  {
    name: 'IPIP to a host from hosts of the network alone',
    resources: felix('ipipEnabled: true'),
    expect: ['allow host-b > host-a ip/4 v4', 'deny outside > host-a ip/4 v4'],
  },
  {
    name: 'IPIP from a host that the operator names',
    resources: felix('ipipEnabled: true, externalNodesList: [10.99.0.2]'),
    expect: ['allow outside,host-b > host-a ip/4 v4', 'deny outside as 198.51.100.7 > host-a ip/4 v4'],
  },
  {
    name: 'VXLAN to a host from hosts alone that speak it',
    ports: [80, 4789],
    resources:
      felix('vxlanEnabled: true') +
      calico('Node', 'host-b', 'bgp: { ipv4Address: 192.168.77.2/24 }, ipv4VXLANTunnelAddr: 10.65.1.250'),
    expect: [
      'deny outside > host-a udp/4789',
      'allow outside > host-a udp/80',
      'allow outside > web udp/4789',
      'allow host-b > host-a',
      'deny host-b > host-a udp/4789 v6',
      'deny * > * udp/4789',
    ],
  },
  {
    name: 'a device that looks like a container’s and is nobody’s',
    isBeyondNaive: true,
    resources: '',
    expect: ['deny stranger > *,outside,host-a,host-b', 'deny *,outside > stranger'],
  },
  {
    name: 'once it is somebody’s it is as others are',
    resources: changed('stranger', {}),
    expect: ['allow stranger > *,outside,host-a,host-b', 'allow *,outside,host-a > stranger'],
  },
  {
    name: 'and when it is nobody’s again, nothing gets through',
    isBeyondNaive: true,
    resources: '',
    expect: ['deny stranger > *,outside,host-a,host-b', 'deny *,outside > stranger'],
  },
  {
    name: 'a container is no router: its advertisements get nowhere',
    isBeyondNaive: true,
    resources: '',
    expect: [
      'deny web > api,db,host-a icmp/134.0 v6',
      'allow web > api,db,host-a icmp/139.0 v6',
      'allow outside > web icmp/134.0 v6',
    ],
  },
  {
    name: 'a container is no DHCP server',
    ports: [68, 80],
    isBeyondNaive: true,
    resources: '',
    expect: [
      'deny web > api,db,host-a udp/68 from 67 v4',
      'deny web > api,db,host-a udp/546 from 547 v6',
      'allow web > api,db,host-a udp/68',
      'allow web > api,db,host-a udp/546 from 546 v6',
      'allow outside > web udp/68 from 67 v4',
    ],
  },
  {
    name: 'an address that is the container’s no more',
    isBeyondNaive: true,
    resources: changed('web', { ipNetworks: ['10.65.0.1/32'] }),
    expect: ['deny web > *,outside v6', 'deny *,outside > web v6'],
  },
  {
    name: 'and is again',
    resources: '',
    expect: ['allow web > *,outside', 'allow *,outside > web'],
  },
  {
    name: 'policy of the usual settings',
    resources: SOME_POLICY,
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, refusing instead of dropping',
    resources: SOME_POLICY + both('FilterDenyAction', 'Reject'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, with others having a say in what is allowed',
    resources: SOME_POLICY + both('FilterAllowAction', 'Return'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, with others having a say before routing, too',
    resources: SOME_POLICY + both('MangleAllowAction', 'Return'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, with other bits of the mark',
    resources: SOME_POLICY + both('MarkMask', '0xff'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, behind what others have in the packet filter',
    resources: SOME_POLICY + felix('chainInsertMode: Append'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, with packets of no known connection let through',
    resources: SOME_POLICY + felix('disableConntrackInvalidCheck: true'),
    expect: SOME_VERDICTS,
  },
  {
    name: 'the same, with what is logged limited',
    resources: SOME_POLICY + felix('logActionRateLimit: 10/second, logPrefix: seen'),
    expect: SOME_VERDICTS,
  },
];
