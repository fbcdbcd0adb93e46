/**
 * Devices of hosts: host-a's way to the outside (eth1), its way to host-b (eth0), all of its devices, and host-b's one.
 *
 * As soon as a host endpoint is there, what the host itself sends and takes by it is denied unless policy, a profile or a
 * failsafe port allows it, and what the host forwards is allowed unless policy that applies to that denies it. Failsafe
 * ports are 22 by TCP and 68 by UDP inwards, 53 by UDP outwards, and others that are not probed.
 */
import type { Situation } from '../situation.ts';
import { calico, felix, globalPolicy, hostEndpoint, tier } from './cast.ts';

export const EDGE = hostEndpoint('edge', 'node: host-a, interfaceName: eth1');
export const OPEN_EDGE = hostEndpoint(
  'edge',
  'node: host-a, interfaceName: eth1, profiles: [projectcalico-default-allow]',
);
export const PORTS = [22, 53, 80];

/** A policy for the edge. */
export function atEdge(spec: string, name = 'at-edge'): string {
  return globalPolicy(name, `selector: "side == 'edge'", ${spec}`);
}

/** What is left of a host behind a closed edge: failsafe ports; and nobody else is concerned. */
export const CLOSED_EDGE = [
  'deny outside > host-a',
  'allow outside > host-a tcp/22',
  'deny host-a > outside',
  'allow host-a > outside udp/53',
];
export const OTHERS_OPEN = [
  'allow host-b > host-a,outside',
  'allow host-a > host-b,*',
  'allow outside > *,host-b',
  'allow * > outside,host-a,host-b',
];

export const HOST_ENDPOINTS: readonly Situation[] = [
  {
    name: 'a device by its name: the host is closed but for failsafe ports, and what it forwards is not concerned',
    resources: EDGE,
    ports: PORTS,
    expect: [...CLOSED_EDGE, ...OTHERS_OPEN],
  },
  {
    name: 'a port of UDP that is failsafe inwards',
    resources: EDGE,
    ports: [68, 80],
    expect: ['deny outside > host-a', 'allow outside > host-a udp/68', 'deny host-a > outside'],
  },
  {
    name: 'a device by one of its addresses',
    resources: hostEndpoint('edge', 'node: host-a, expectedIPs: [10.99.0.1]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, ...OTHERS_OPEN],
  },
  {
    name: 'a host endpoint of another host',
    resources: hostEndpoint('edge', 'node: host-c, interfaceName: eth1'),
    expect: ['allow outside > host-a', 'allow host-a > outside'],
  },
  {
    name: 'all devices of a host but those of containers',
    resources: hostEndpoint('all', 'node: host-a, interfaceName: "*"'),
    ports: PORTS,
    expect: [
      ...CLOSED_EDGE,
      'deny host-b > host-a',
      'allow host-b > host-a tcp/22',
      'deny host-a > host-b',
      'allow host-a > host-b udp/53',
      'allow web,api,dev > host-a',
      'deny db,mon,guest > host-a',
      'allow db,mon,guest > host-a tcp/22',
      'allow host-a > web,api,dev',
      'allow outside > *,host-b',
    ],
  },
  {
    name: 'a named device beside all others: it follows its own endpoint',
    resources:
      hostEndpoint('all', 'node: host-a, interfaceName: "*"') +
      hostEndpoint(
        'inner',
        'node: host-a, interfaceName: eth0, profiles: [projectcalico-default-allow]',
        'side: inner',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, ...OTHERS_OPEN],
  },
  {
    name: 'the profile that allows everything',
    resources: OPEN_EDGE,
    ports: PORTS,
    expect: ['allow outside > host-a', 'allow host-a > outside', ...OTHERS_OPEN],
  },
  {
    name: 'a profile of rules',
    resources:
      calico('Profile', 'tcp-in', 'ingress: [{ action: Allow, protocol: TCP }]') +
      hostEndpoint('edge', 'node: host-a, interfaceName: eth1, profiles: [tcp-in]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a tcp'],
  },
  {
    name: 'a policy for what comes in',
    resources: EDGE + atEdge('ingress: [{ action: Allow, protocol: UDP, destination: { ports: [80] } }]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a udp/80', ...OTHERS_OPEN],
  },
  {
    name: 'a policy for what goes out, with its answers',
    resources:
      EDGE +
      atEdge(
        'egress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }, { action: Allow, protocol: ICMP }]',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow host-a > outside tcp/80', 'allow host-a > outside icmp v4'],
  },
  {
    name: 'rules of one family alone',
    resources:
      EDGE +
      atEdge(
        'types: [Ingress, Egress], ingress: [{ action: Allow, ipVersion: 6 }], egress: [{ action: Allow, ipVersion: 4 }]',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a v6', 'allow host-a > outside v4'],
  },
  {
    name: 'who is a container is seen, when containers of another host come by the device',
    resources:
      hostEndpoint('inner', 'node: host-a, interfaceName: eth0', 'side: inner') +
      globalPolicy(
        'inner',
        `selector: "side == 'inner'", types: [Ingress, Egress], ingress: [{ action: Allow, source: { selector: "app == 'db'" } }], egress: [{ action: Allow }]`,
      ),
    expect: [
      'deny db,mon,guest,host-b > host-a',
      'allow db > host-a',
      'allow host-a > host-b',
      'allow outside > host-a',
    ],
  },
  {
    name: 'failsafe ports hold against a policy that denies them',
    resources:
      OPEN_EDGE + atEdge('order: 1, types: [Ingress, Egress], ingress: [{ action: Deny }], egress: [{ action: Deny }]'),
    ports: PORTS,
    expect: CLOSED_EDGE,
  },
  {
    name: 'other failsafe ports',
    resources:
      EDGE +
      felix(
        'failsafeInboundHostPorts: [{ protocol: udp, port: 80 }], failsafeOutboundHostPorts: [{ protocol: tcp, port: 22 }]',
      ),
    ports: PORTS,
    expect: [
      'deny outside > host-a',
      'allow outside > host-a udp/80',
      'deny host-a > outside',
      'allow host-a > outside tcp/22',
    ],
  },
  {
    name: 'failsafe ports for some networks',
    resources: EDGE + felix('failsafeInboundHostPorts: [{ protocol: tcp, port: 22, net: 198.51.100.0/24 }]'),
    ports: PORTS,
    expect: [
      'deny outside > host-a',
      'deny host-a > outside',
      'allow host-a > outside udp/53',
      'allow outside as 198.51.100.7 > host-a tcp/22',
      'deny outside as 203.0.113.9 > host-a tcp/22',
    ],
  },
  {
    name: 'no failsafe ports at all',
    resources: EDGE + felix('failsafeInboundHostPorts: [], failsafeOutboundHostPorts: []'),
    ports: PORTS,
    expect: ['deny outside > host-a', 'deny host-a > outside'],
  },
  {
    name: 'tiers: what passes the first is decided by the second',
    resources:
      EDGE +
      tier('first', 'order: 10') +
      atEdge('tier: first, ingress: [{ action: Pass, protocol: TCP }]', 'one') +
      atEdge(
        'order: 1, ingress: [{ action: Allow, destination: { ports: [80] }, protocol: TCP }, { action: Allow, protocol: UDP }]',
        'two',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a tcp/80'],
  },
  {
    name: 'the host endpoint goes, and the host is as open as before',
    resources: '',
    ports: PORTS,
    expect: ['allow outside > host-a', 'allow host-a > outside', ...OTHERS_OPEN],
  },
];
