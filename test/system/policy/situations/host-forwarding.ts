/**
 * Policies of devices of hosts beyond what the host itself sends and takes: for what it forwards (applyOnForward), before
 * connections are looked at (doNotTrack), before addresses are translated (preDNAT), and for all endpoints of the network.
 *
 * Who is allowed by one of the early stages is not asked by the later ones of the device; containers still have their say.
 */
import type { Situation } from '../situation.ts';
import { calico, felix, globalPolicy, hostEndpoint, networkSet } from './cast.ts';
import { atEdge, CLOSED_EDGE, EDGE, OPEN_EDGE, OTHERS_OPEN, PORTS } from './host-endpoints.ts';

/** More than a rule of iptables has room for; 80 is among them. */
const SOME_PORTS = '1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31, 80';

export const HOST_FORWARDING: readonly Situation[] = [
  {
    name: 'a policy that denies all has no say in what is forwarded',
    resources: OPEN_EDGE + atEdge('types: [Ingress, Egress]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, ...OTHERS_OPEN],
  },
  {
    name: 'unless it applies to that: inwards',
    resources:
      EDGE + atEdge('applyOnForward: true, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'deny outside > *,host-b', 'allow outside > *,host-b,host-a tcp/80', 'allow * > outside'],
  },
  {
    name: 'outwards',
    resources:
      OPEN_EDGE +
      atEdge(
        'applyOnForward: true, egress: [{ action: Deny, destination: { nets: [198.51.100.0/24] } }, { action: Allow }]',
      ),
    expect: [
      'deny *,host-a,host-b > 198.51.100.7',
      'allow *,host-a,host-b > 203.0.113.9,outside',
      'allow outside > *,host-a',
    ],
  },
  {
    name: 'for containers: a policy of the device and one of the container must both agree',
    resources:
      OPEN_EDGE +
      atEdge('applyOnForward: true, types: [Ingress], ingress: [{ action: Allow, protocol: TCP }]') +
      globalPolicy(
        'to-web',
        `selector: "app == 'web'", ingress: [{ action: Allow, destination: { ports: [80] }, protocol: TCP }, { action: Allow, protocol: UDP }]`,
      ),
    ports: [80, 443],
    expect: [
      'deny outside > *,host-a',
      'allow outside > *,host-a tcp',
      'deny outside > web tcp/443',
      'deny * > web',
      'allow * > web udp',
      'allow * > web tcp/80',
    ],
  },
  {
    name: 'at the device of another host, for what comes through it',
    resources:
      hostEndpoint('b', 'node: host-b, interfaceName: eth0, profiles: [projectcalico-default-allow]', 'side: b') +
      globalPolicy(
        'b',
        `selector: "side == 'b'", applyOnForward: true, ingress: [{ action: Allow, source: { selector: "app == 'api'" } }]`,
      ),
    expect: [
      'deny web,dev,outside,host-a > db,mon,guest,host-b',
      'allow api > host-b',
      'allow db,mon,guest,host-b > *,outside',
    ],
  },
  {
    name: 'before addresses are translated: who is denied there reaches nobody behind the device',
    resources:
      OPEN_EDGE +
      atEdge('preDNAT: true, applyOnForward: true, ingress: [{ action: Deny, source: { nets: [203.0.113.0/24] } }]'),
    expect: [
      'allow outside > *,host-a',
      'deny outside as 203.0.113.9 > *,host-a,host-b',
      'allow outside as 198.51.100.7 > *,host-a',
    ],
  },
  {
    name: 'who is allowed there is not asked again; who is not mentioned is',
    resources:
      EDGE +
      atEdge(
        'preDNAT: true, applyOnForward: true, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }]',
        'pre',
      ) +
      atEdge(
        'applyOnForward: true, ingress: [{ action: Allow, protocol: UDP, destination: { ports: [80] } }]',
        'normal',
      ),
    ports: PORTS,
    expect: [
      'deny outside > *,host-a,host-b',
      ...['tcp/80', 'udp/80'].map((port) => `allow outside > *,host-a,host-b ${port}`),
      'allow outside > host-a tcp/22',
    ],
  },
  {
    name: 'without connections: both directions have rules of their own',
    resources:
      EDGE +
      atEdge(
        'doNotTrack: true, applyOnForward: true, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }], egress: [{ action: Allow, protocol: TCP, source: { ports: [80] } }]',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a tcp/80'],
  },
  {
    name: 'without connections and without a rule for the answers: packets come in, and nothing goes back',
    resources:
      EDGE +
      atEdge(
        'doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{ action: Allow, destination: { ports: [80] }, protocol: TCP }, { action: Allow, destination: { ports: [80] }, protocol: UDP }]',
      ),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a udp/80'],
  },
  {
    name: 'who is denied before connections are looked at reaches nobody',
    resources:
      OPEN_EDGE +
      atEdge(
        'doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{ action: Deny, source: { nets: [203.0.113.0/24] } }, { action: Deny, source: { nets: ["2001:db8:99::/64"] } }]',
      ),
    expect: [
      'allow outside > *,host-a',
      'deny outside as 203.0.113.9 > *,host-a',
      'deny outside as 2001:db8:99::7 > *,host-a',
      'allow outside as 198.51.100.7 > *',
    ],
  },
  {
    name: 'denied by default for the whole network: containers, and hosts with an endpoint',
    resources: OPEN_EDGE + globalPolicy('closed', 'types: [Ingress, Egress]'),
    ports: PORTS,
    expect: [
      ...CLOSED_EDGE,
      'deny *,outside > *',
      'deny * > outside,host-a,host-b',
      'allow host-b > host-a',
      'allow host-a > web',
    ],
  },
  {
    name: 'a host as the other side of a rule',
    resources:
      hostEndpoint(
        'b',
        'node: host-b, expectedIPs: [192.168.77.2, "fd77::2"], profiles: [projectcalico-default-allow]',
        'side: b',
      ) +
      globalPolicy(
        'to-web',
        `selector: "app == 'web'", ingress: [{ action: Allow, source: { selector: "side == 'b'" } }]`,
      ),
    expect: ['deny *,outside > web', 'allow host-b,host-a > web'],
  },
  {
    name: 'a named port of a host',
    resources:
      hostEndpoint(
        'edge',
        'node: host-a, interfaceName: eth1, expectedIPs: [192.168.77.1], ports: [{ name: page, protocol: TCP, port: 80 }]',
      ) + atEdge('ingress: [{ action: Allow, protocol: TCP, destination: { ports: [page] } }]'),
    ports: PORTS,
    expect: [...CLOSED_EDGE, 'allow outside > host-a tcp/80 v4'],
  },
  {
    name: 'a staged policy at a device',
    resources:
      OPEN_EDGE +
      calico(
        'StagedGlobalNetworkPolicy',
        'staged',
        `selector: "side == 'edge'", types: [Ingress, Egress], applyOnForward: true`,
      ),
    expect: ['allow outside > host-a,*', 'allow host-a > outside'],
  },
  {
    name: 'refusing instead of dropping: where packets cannot be refused they are dropped',
    resources:
      OPEN_EDGE +
      felix('iptablesFilterDenyAction: Reject, nftablesFilterDenyAction: Reject') +
      atEdge(
        'doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{ action: Deny, source: { nets: [203.0.113.0/24] } }]',
        'raw',
      ) +
      atEdge(
        'preDNAT: true, applyOnForward: true, ingress: [{ action: Log, protocol: UDP }, { action: Deny, protocol: UDP }]',
        'mangle',
      ) +
      atEdge('applyOnForward: true, types: [Ingress], ingress: [{ action: Allow, protocol: TCP }]', 'filter'),
    expect: [
      'deny outside > *,host-a',
      'allow outside > *,host-a tcp',
      'deny outside as 203.0.113.9 > *,host-a tcp/80',
      'allow outside as 198.51.100.7 > *,host-a tcp/80',
    ],
  },
  {
    name: 'selectors, many prefixes and many ports before translation',
    resources:
      OPEN_EDGE +
      networkSet('far', 'far: "yes"', '203.0.113.0/24, "2001:db8:99::/64"') +
      atEdge(
        `preDNAT: true, applyOnForward: true, ingress: [{ action: Deny, protocol: TCP, source: { selector: has(far) }, destination: { selector: "app == 'web'", ports: [${SOME_PORTS}] } }, { action: Deny, protocol: UDP, source: { nets: [10.99.0.2/32, 192.0.2.1/32, 192.0.2.2/32] }, destination: { nets: [10.65.0.1/32, 10.65.0.2/32], ports: [${SOME_PORTS}] } }]`,
      ),
    ports: [80, 443],
    expect: [
      'allow outside > *,host-a',
      'deny outside > web,api udp/80 v4',
      'deny outside as 203.0.113.9 > web tcp/80',
      'deny outside as 2001:db8:99::7 > web tcp/80',
      'allow outside as 203.0.113.9 > web tcp/443',
      'allow outside as 203.0.113.9 > api tcp/80',
    ],
  },
  {
    name: 'selectors, many prefixes and many ports before connections',
    resources:
      OPEN_EDGE +
      networkSet('far', 'far: "yes"', '203.0.113.0/24, "2001:db8:99::/64"') +
      atEdge(
        `doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{ action: Deny, protocol: TCP, source: { selector: has(far) }, destination: { selector: "app == 'web'", ports: [${SOME_PORTS}] } }, { action: Deny, protocol: UDP, source: { nets: [10.99.0.2/32, 192.0.2.1/32, 192.0.2.2/32] }, destination: { nets: [10.65.0.1/32, 10.65.0.2/32], ports: [${SOME_PORTS}] } }]`,
      ),
    ports: [80, 443],
    expect: [
      'allow outside > *,host-a',
      'deny outside > web,api udp/80 v4',
      'deny outside as 203.0.113.9 > web tcp/80',
      'deny outside as 2001:db8:99::7 > web tcp/80',
      'allow outside as 203.0.113.9 > web tcp/443',
      'allow outside as 203.0.113.9 > api tcp/80',
    ],
  },
  {
    name: 'several policies without connections, one after another with one selector',
    resources:
      EDGE +
      [53, 80, 443]
        .map((port) =>
          atEdge(
            `order: ${port}, doNotTrack: true, applyOnForward: true, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [${port}] } }], egress: [{ action: Allow, protocol: TCP, source: { ports: [${port}] } }]`,
            `open-${port}`,
          ),
        )
        .join(''),
    ports: [53, 80, 443, 8080],
    expect: [
      'deny outside > host-a',
      ...[53, 80, 443].map((port) => `allow outside > host-a tcp/${port}`),
      'deny host-a > outside',
      'allow host-a > outside udp/53',
    ],
  },
];
