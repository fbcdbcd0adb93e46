/**
 * Translated addresses: containers that leave with their host's, and outside addresses that lead to containers.
 *
 * 10.99.0.1 is host-a's address at the outside; host-b's containers leave host-b with 192.168.77.2. Between containers
 * nothing is translated, so that policy at the other end sees who sends, and policy sees containers behind floating addresses.
 */
import type { Situation } from '../situation.ts';
import { calico, changed, felix, globalPolicy, hostEndpoint } from './cast.ts';

const POOL_4 = calico('IPPool', 'four', 'cidr: 10.65.0.0/16, natOutgoing: true');
const POOL_6 =
  calico('IPPool', 'six', 'cidr: "fd65::/64", natOutgoing: true') +
  calico('IPPool', 'six-b', 'cidr: "fd65:0:0:1::/64", natOutgoing: true');
const POOLS = POOL_4 + POOL_6;
const BETWEEN = [
  'allow web > db,api,dev,host-a udp/80 seen as 10.65.0.1',
  'allow db > web,mon,host-b udp/80 seen as 10.65.1.1',
  'allow web > db udp/80 seen as [fd65::1]',
];

export const NAT_OUTGOING: readonly Situation[] = [
  {
    name: 'containers of a pool leave with the address of their host',
    resources: POOLS,
    expect: [
      'allow web > outside udp/80 seen as 10.99.0.1',
      'allow web > outside udp/80 seen as [fd99::1]',
      'allow db > outside udp/80 seen as 192.168.77.2',
      'allow db > outside udp/80 seen as [fd77::2]',
      'allow web > host-b udp/80 seen as 192.168.77.1',
      'allow * > outside,198.51.100.7',
      ...BETWEEN,
    ],
  },
  {
    name: 'and without that with their own',
    resources: calico('IPPool', 'four', 'cidr: 10.65.0.0/16'),
    expect: [
      'allow web > outside,host-b udp/80 seen as 10.65.0.1',
      'allow db > outside udp/80 seen as 10.65.1.1',
      ...BETWEEN,
    ],
  },
  {
    name: 'another pool, though disabled, is no outside',
    resources: POOL_4 + calico('IPPool', 'old', 'cidr: 203.0.113.0/24, disabled: true'),
    expect: ['allow web > 203.0.113.9 udp/80 seen as 10.65.0.1', 'allow web > 198.51.100.7 udp/80 seen as 10.99.0.1'],
  },
  {
    name: 'a pool that asks for it, and one that does not',
    resources:
      calico('IPPool', 'a', 'cidr: 10.65.0.0/24, natOutgoing: true') + calico('IPPool', 'b', 'cidr: 10.65.1.0/24'),
    expect: ['allow web > outside udp/80 seen as 10.99.0.1', 'allow db > outside udp/80 seen as 10.65.1.1', ...BETWEEN],
  },
  {
    name: 'a pool of few: who is in none keeps its address, and is the outside to the others',
    resources: calico('IPPool', 'few', 'cidr: 10.65.0.2/31, blockSize: 32, natOutgoing: true'),
    expect: [
      'allow api > outside udp/80 seen as 10.99.0.1',
      'allow web > outside udp/80 seen as 10.65.0.1',
      'allow api > db udp/80 seen as 192.168.77.1',
      'allow api > dev udp/80 seen as 10.65.0.2',
    ],
  },
  {
    name: 'an address of the operator’s choice',
    resources: POOLS + felix('natOutgoingAddress: 10.99.0.77', ['host-a']),
    expect: [
      'allow web > outside udp/80 seen as 10.99.0.77',
      'allow web > outside udp/80 seen as [fd99::1]',
      'allow db > outside udp/80 seen as 192.168.77.2',
      ...BETWEEN,
    ],
  },
  {
    name: 'ports of the operator’s choice',
    resources: POOLS + felix('natPortRange: "4000:4100"'),
    expect: [
      'allow web > outside udp/80 seen as 10.99.0.1:4000-4100',
      'allow web > outside udp/80 seen as [fd99::1]:4000-4100',
      'allow * > outside',
      ...BETWEEN,
    ],
  },
  {
    name: 'an address and ports of the operator’s choice',
    resources: POOLS + felix('natPortRange: "4200:4300", natOutgoingAddress: 10.99.0.77', ['host-a']),
    expect: ['allow web > outside udp/80 seen as 10.99.0.77:4200-4300'],
  },
  {
    name: 'hosts are no outside, if the operator says so',
    resources: POOLS + felix('natOutgoingExclusions: IPPoolsAndHostIPs'),
    expect: ['allow web > host-b udp/80 seen as 10.65.0.1', 'allow web > outside udp/80 seen as 10.99.0.1'],
  },
  {
    name: 'only what leaves by one device, of this host or the next',
    resources: POOLS + felix('iptablesNATOutgoingInterfaceFilter: eth1'),
    expect: [
      'allow web > host-b udp/80 seen as 10.65.0.1',
      'allow web > outside udp/80 seen as 10.99.0.1',
      'allow db > outside udp/80 seen as 10.99.0.1',
    ],
  },
  {
    name: 'policy sees who sends before that',
    resources:
      POOLS +
      globalPolicy(
        'out',
        `selector: "app == 'web'", egress: [{ action: Allow, source: { nets: [10.65.0.1/32] }, destination: { nets: [198.51.100.0/24] } }]`,
      ),
    expect: ['deny web > *,outside', 'allow web > 198.51.100.7', 'allow web > 198.51.100.7 udp/80 seen as 10.99.0.1'],
  },
];

const ENABLED = felix('floatingIPs: Enabled');
const WEB_NATS = {
  ipNATs: [
    { internalIP: '10.65.0.1', externalIP: '192.0.2.10' },
    { internalIP: 'fd65::1', externalIP: '2001:db8:f::10' },
  ],
};
const WEB_FLOATING = ENABLED + changed('web', WEB_NATS);
const FLOATING = '192.0.2.10,2001:db8:f::10';
const OUTGOING = { annotations: { 'muslin.io/floating-ip-outgoing': 'true' } };

export const FLOATING_IPS: readonly Situation[] = [
  {
    name: 'floating addresses lead to their container, from everywhere',
    resources: WEB_FLOATING,
    expect: [
      `allow outside,api,db,host-a,host-b > ${FLOATING}`,
      'allow outside > 192.0.2.10 udp/80 seen as 10.99.0.2',
      'allow db > 192.0.2.10 udp/80 seen as 10.65.1.1',
      'allow outside > 2001:db8:f::10 udp/80 seen as [fd99::2]',
    ],
  },
  {
    name: 'they lead nowhere where the operator did not enable them',
    resources: changed('web', WEB_NATS),
    expect: [`deny outside,api,db,host-a > ${FLOATING}`],
  },
  {
    name: 'by an annotation instead of a field',
    resources:
      ENABLED +
      changed('web', {}, { annotations: { 'cni.projectcalico.org/floatingIPs': '["192.0.2.10", "2001:db8:f::10"]' } }),
    expect: [`allow outside,api,db > ${FLOATING}`],
  },
  {
    name: 'the container itself by its floating address, and sees it',
    resources: WEB_FLOATING,
    expect: [
      `allow web > ${FLOATING}`,
      'allow web > 192.0.2.10 udp/80 seen as 192.0.2.10',
      'allow web > 2001:db8:f::10 udp/80 seen as [2001:db8:f::10]',
    ],
  },
  {
    name: 'a container of the other host',
    resources:
      ENABLED +
      changed('db', {
        ipNATs: [
          { internalIP: '10.65.1.1', externalIP: '192.0.2.130' },
          { internalIP: 'fd65:0:0:1::1', externalIP: '2001:db8:f:0:8000::10' },
        ],
      }),
    expect: [
      'allow outside,web,mon,host-a,host-b,db > 192.0.2.130,2001:db8:f:0:8000::10',
      'allow outside > 192.0.2.130 udp/80 seen as 10.99.0.2',
    ],
  },
  {
    name: 'two addresses for one container',
    resources:
      ENABLED +
      changed('web', {
        ipNATs: [
          { internalIP: '10.65.0.1', externalIP: '192.0.2.10' },
          { internalIP: '10.65.0.1', externalIP: '192.0.2.11' },
        ],
      }),
    expect: ['allow outside,api > 192.0.2.10,192.0.2.11'],
  },
  {
    name: 'policy at the container is for whoever comes by the floating address, too',
    resources:
      WEB_FLOATING +
      globalPolicy(
        'to-web',
        `selector: "app == 'web'", ingress: [{ action: Allow, source: { selector: "app == 'api'" }, protocol: TCP, destination: { ports: [http] } }]`,
      ),
    expect: [
      'deny *,outside > web',
      'allow api > web tcp/80',
      `deny db,guest,outside > ${FLOATING}`,
      `deny api > ${FLOATING}`,
      `allow api > ${FLOATING} tcp/80`,
    ],
  },
  {
    name: 'the sender’s policy sees the container behind it',
    resources:
      WEB_FLOATING +
      globalPolicy(
        'from-api',
        `selector: "app == 'api'", egress: [{ action: Allow, destination: { selector: "app == 'web'" } }]`,
      ),
    expect: ['deny api > *,outside', `allow api > web,${FLOATING}`],
  },
  {
    name: 'and not the floating address',
    resources:
      WEB_FLOATING +
      globalPolicy(
        'from-api',
        `selector: "app == 'api'", egress: [{ action: Allow, destination: { nets: [192.0.2.10/32] } }]`,
      ),
    expect: [`deny api > *,outside,${FLOATING}`],
  },
  {
    name: 'unless it is asked before translation, at the host’s device',
    resources:
      WEB_FLOATING +
      hostEndpoint('edge', 'node: host-a, interfaceName: eth1') +
      globalPolicy(
        'pre',
        `selector: "side == 'edge'", preDNAT: true, applyOnForward: true, ingress: [{ action: Deny, destination: { nets: [192.0.2.10/32] } }]`,
      ),
    expect: [
      'deny outside > 192.0.2.10,host-a',
      'deny host-a > outside',
      'allow outside > 2001:db8:f::10,web',
      'allow api > 192.0.2.10',
    ],
  },
  {
    name: 'a container speaks with its own address or its host’s',
    resources: WEB_FLOATING + POOLS,
    expect: ['allow web > outside udp/80 seen as 10.99.0.1', ...BETWEEN],
  },
  {
    name: 'or, if it asks for that, with its floating one; never within the pools',
    resources: ENABLED + POOLS + changed('web', WEB_NATS, OUTGOING),
    expect: [
      'allow web > outside udp/80 seen as 192.0.2.10',
      'allow web > outside udp/80 seen as [2001:db8:f::10]',
      'allow api > outside udp/80 seen as 10.99.0.1',
      'allow web > outside',
      ...BETWEEN,
    ],
  },
  {
    name: 'of two containers that claim one address the lower has it: here it is the other that takes nothing',
    resources:
      WEB_FLOATING +
      changed('api', { ipNATs: [{ internalIP: '10.65.0.2', externalIP: '192.0.2.10' }] }) +
      globalPolicy('closed', `selector: "app == 'api'", types: [Ingress]`),
    expect: ['deny *,outside > api', 'allow outside,db > 192.0.2.10'],
  },
  {
    name: 'and here it is itself',
    resources:
      WEB_FLOATING +
      changed('api', { ipNATs: [{ internalIP: '10.65.0.2', externalIP: '192.0.2.10' }] }) +
      globalPolicy('closed', `selector: "app == 'web'", types: [Ingress]`),
    expect: ['deny *,outside > web', 'deny outside,db > 192.0.2.10'],
  },
  {
    name: 'the first of them goes, and the other has it',
    resources:
      ENABLED +
      changed('api', { ipNATs: [{ internalIP: '10.65.0.2', externalIP: '192.0.2.10' }] }) +
      globalPolicy('closed', `selector: "app == 'web'", types: [Ingress]`),
    expect: ['deny *,outside > web', 'allow outside,db > 192.0.2.10'],
  },
];
