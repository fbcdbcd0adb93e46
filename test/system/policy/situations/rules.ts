/**
 * What a rule can ask of a packet: protocol, ICMP's type and code, family, prefixes and ports, and the negations of these.
 *
 * All that a rule asks must hold. A rule that asks for prefixes is for packets of their family.
 */
import type { Situation } from '../situation.ts';
import { calico, changed, globalPolicy } from './cast.ts';

/** Only what one of these rules allows reaches web. */
function toWeb(...rules: string[]): string {
  return globalPolicy('to-web', `selector: "app == 'web'", types: [Ingress], ingress: [${rules.join(', ')}]`);
}

const allow = (match: string) => `{ action: Allow, ${match} }`;
const deny = (match: string) => `{ action: Deny, ${match} }`;
const REST = '{ action: Allow }';
/** More slots than one rule of iptables has. */
const MANY_PORTS = '1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, "78:80", "440:442"';

export const RULES: readonly Situation[] = [
  {
    name: 'a protocol by its name',
    resources: toWeb(allow('protocol: TCP')),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp'],
  },
  {
    name: 'a protocol by its number',
    resources: toWeb(allow('protocol: 17')),
    expect: ['deny *,outside > web', 'allow *,outside > web udp'],
  },
  {
    name: 'a protocol that has no name',
    resources: toWeb(allow('protocol: 253')),
    expect: ['deny *,outside > web', 'allow db,outside > web ip/253'],
  },
  {
    name: 'a protocol that has no name is denied as others are',
    resources: toWeb(allow('protocol: TCP')),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp', 'deny db,outside > web ip/253'],
  },
  {
    name: 'every protocol but one',
    resources: toWeb(allow('notProtocol: TCP')),
    expect: ['deny *,outside > web tcp', 'allow db > web ip/253'],
  },
  {
    name: 'every protocol but ICMP, which ICMPv6 is not',
    resources: toWeb(allow('notProtocol: ICMP')),
    expect: ['deny *,outside > web icmp v4'],
  },
  {
    name: 'every protocol but ICMPv6',
    resources: toWeb(allow('notProtocol: ICMPv6')),
    expect: ['deny *,outside > web icmp v6'],
  },
  {
    name: 'ICMP is of one family',
    resources: toWeb(allow('protocol: ICMP')),
    expect: ['deny *,outside > web', 'allow *,outside > web icmp v4'],
  },
  {
    name: 'ICMPv6 is of the other',
    resources: toWeb(allow('protocol: ICMPv6')),
    expect: ['deny *,outside > web', 'allow *,outside > web icmp v6'],
  },
  {
    name: 'a type of ICMP',
    resources: toWeb(allow('protocol: ICMP, icmp: { type: 8 }')),
    expect: [
      'deny *,outside > web',
      'allow *,outside > web icmp v4',
      'allow db > web icmp/8.3 v4',
      'deny db > web icmp/13.0 v4',
    ],
  },
  {
    name: 'a type and code of ICMP',
    resources: toWeb(allow('protocol: ICMP, icmp: { type: 8, code: 0 }')),
    expect: ['deny *,outside > web', 'allow *,outside > web icmp v4', 'deny db > web icmp/8.3 v4'],
  },
  {
    name: 'every type of ICMP but one',
    resources: toWeb(allow('protocol: ICMP, notICMP: { type: 8 }')),
    expect: ['deny *,outside > web', 'allow db > web icmp/13.0 v4', 'deny db > web icmp/8.3 v4'],
  },
  {
    name: 'every type and code of ICMP but one',
    resources: toWeb(allow('protocol: ICMP, notICMP: { type: 8, code: 3 }')),
    expect: [
      'deny *,outside > web',
      'allow *,outside > web icmp v4',
      'deny db > web icmp/8.3 v4',
      'allow db > web icmp/13.0 v4',
    ],
  },
  {
    name: 'a type of ICMPv6',
    resources: toWeb(allow('protocol: ICMPv6, icmp: { type: 128 }')),
    expect: ['deny *,outside > web', 'allow *,outside > web icmp v6', 'deny db > web icmp/139.0 v6'],
  },
  {
    name: 'a type and code of ICMPv6',
    resources: toWeb(allow('protocol: ICMPv6, icmp: { type: 139, code: 1 }')),
    expect: ['deny *,outside > web', 'allow db > web icmp/139.1 v6', 'deny db > web icmp/139.0 v6'],
  },
  {
    name: 'every type of ICMPv6 but one',
    resources: toWeb(allow('protocol: ICMPv6, notICMP: { type: 128 }')),
    expect: ['deny *,outside > web', 'allow db > web icmp/139.0 v6'],
  },
  { name: 'IPv4 alone', resources: toWeb(allow('ipVersion: 4')), expect: ['deny *,outside > web v6'] },
  {
    name: 'IPv6 alone, and one protocol of it',
    resources: toWeb(allow('ipVersion: 6, protocol: UDP')),
    expect: ['deny *,outside > web', 'allow *,outside > web udp v6'],
  },
  {
    name: 'prefixes of senders',
    resources: toWeb(allow('source: { nets: [10.65.1.0/31, 198.51.100.7/32] }')),
    expect: [
      'deny *,outside > web',
      'allow db > web v4',
      'allow outside as 198.51.100.7 > web',
      'deny outside as 203.0.113.9 > web',
    ],
  },
  {
    name: 'prefixes of IPv6',
    resources: toWeb(allow('source: { nets: ["fd65:0:0:1::/64", "2001:db8:99::/48"] }')),
    expect: ['deny *,outside > web', 'allow db,mon,guest > web v6', 'allow outside as 2001:db8:99::7 > web'],
  },
  {
    name: 'everything but some prefixes is of their family',
    resources: toWeb(allow('source: { notNets: [10.65.1.0/24, 203.0.113.0/24] }')),
    expect: [
      'deny *,outside > web v6',
      'deny db,mon,guest > web',
      'deny outside as 203.0.113.9 > web',
      'allow outside as 198.51.100.7 > web',
    ],
  },
  {
    name: 'a prefix without a part of it',
    resources: toWeb(allow('source: { nets: [10.65.0.0/16], notNets: [10.65.1.0/24] }')),
    expect: ['deny *,outside > web', 'allow api,dev > web v4'],
  },
  {
    name: 'a denied prefix leaves the other family alone',
    resources: toWeb(deny('source: { nets: [10.65.0.0/16] }'), REST),
    expect: ['deny * > web v4'],
  },
  {
    name: 'all of IPv4, and all of IPv6, as prefixes',
    resources: toWeb(
      allow('protocol: TCP, source: { nets: [0.0.0.0/0] }'),
      allow('protocol: UDP, source: { nets: ["::/0"] }'),
    ),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp v4', 'allow *,outside > web udp v6'],
  },
  {
    name: 'prefixes of receivers',
    resources: globalPolicy(
      'out',
      `selector: "app == 'web'", egress: [{ action: Deny, destination: { nets: [169.254.169.254/32, 10.65.1.0/24] } }, ${REST}]`,
    ),
    expect: ['deny web > 169.254.169.254', 'deny web > db,mon,guest v4', 'allow web > 198.51.100.7'],
  },
  {
    name: 'ports, ranges of them, and names',
    resources: toWeb(allow('protocol: TCP, destination: { ports: [22, "440:450", http] }')),
    ports: [22, 80, 81, 443],
    expect: ['deny *,outside > web', ...[22, 80, 443].map((port) => `allow *,outside > web tcp/${port}`)],
  },
  {
    name: 'more ports than a rule of the packet filter can have',
    resources: toWeb(allow(`protocol: TCP, destination: { ports: [${MANY_PORTS}] }`)),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/80'],
  },
  {
    name: 'every port but some, of one protocol',
    resources: toWeb(allow('protocol: TCP, destination: { notPorts: [80, "440:450"] }')),
    ports: [80, 81, 443],
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/81'],
  },
  {
    name: 'every port but more than a rule can have',
    resources: toWeb(allow(`protocol: TCP, destination: { notPorts: [${MANY_PORTS}] }`)),
    ports: [80, 81, 443],
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/443', 'allow *,outside > web tcp/81'],
  },
  {
    name: 'a range without a port of it',
    resources: toWeb(allow('protocol: UDP, destination: { ports: ["80:443"], notPorts: [81] }')),
    ports: [80, 81, 443],
    expect: ['deny *,outside > web', 'allow *,outside > web udp/80', 'allow *,outside > web udp/443'],
  },
  {
    name: 'every port but a named one',
    resources: toWeb(allow('protocol: TCP, destination: { notPorts: [http] }')),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/443'],
  },
  {
    name: 'the port that the sender sends from',
    resources: toWeb(allow('protocol: UDP, source: { ports: ["4000:4010", 5000] }')),
    expect: [
      'deny *,outside > web',
      'allow db > web udp/80 from 4005',
      'allow db > web udp/443 from 5000',
      'deny db > web udp/80 from 4011',
    ],
  },
  {
    name: 'every port of the sender but some',
    resources: toWeb(allow('protocol: UDP, source: { notPorts: [4005] }')),
    expect: ['deny *,outside > web', 'allow *,outside > web udp', 'deny db > web udp/80 from 4005'],
  },
  {
    name: 'many prefixes and many ports in one rule: some of each',
    resources: toWeb(
      allow(
        `protocol: TCP, source: { nets: [10.65.1.1/32, 10.65.0.2/32, 10.99.0.0/16] }, destination: { ports: [${MANY_PORTS}, http] }`,
      ),
    ),
    ports: [80, 81, 443],
    expect: ['deny *,outside > web', 'allow db,api,outside > web tcp/80 v4'],
  },
  {
    name: 'many prefixes at both ends, with exceptions',
    resources: globalPolicy(
      'both',
      `types: [Ingress], ingress: [{ action: Allow, source: { nets: [10.65.0.1/32, 10.65.0.2/32, 10.65.1.0/24], notNets: [10.65.1.2/32, 10.65.1.3/32] }, destination: { nets: [10.65.1.0/24, 10.65.0.1/32], notNets: [10.65.1.3/32] } }]`,
    ),
    expect: ['deny *,outside > *', 'allow web,api,db > web,db,mon v4'],
  },
  {
    name: 'one name, another number at each endpoint, in one policy for all',
    resources: globalPolicy(
      'http',
      `types: [Ingress], ingress: [${allow('protocol: TCP, destination: { ports: [http] }')}]`,
    ),
    ports: [80, 443, 8080],
    expect: [
      'deny *,outside > *',
      'allow *,outside > web tcp/80',
      'allow *,outside > api tcp/8080',
      'allow *,outside > mon tcp/443',
    ],
  },
  {
    name: 'a named port moves, and the policy follows',
    resources:
      changed('web', { ports: [{ name: 'http', protocol: 'TCP', port: 8080 }] }) +
      toWeb(allow('protocol: TCP, destination: { ports: [http] }')),
    ports: [80, 8080],
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/8080'],
  },
  {
    name: 'a named port only of whom a selector chooses',
    resources: globalPolicy(
      'out',
      `selector: "app == 'guest'", egress: [${allow(`protocol: TCP, destination: { selector: "app == 'api'", ports: [http, 5978] }`)}]`,
    ),
    ports: [80, 443, 5978, 8080],
    expect: ['deny guest > *,outside', 'allow guest > api tcp/8080', 'allow guest > api tcp/5978'],
  },
  {
    name: 'rules of both protocols, the later one for less',
    resources: toWeb(
      deny('protocol: TCP, destination: { ports: [443] }'),
      allow('protocol: TCP'),
      allow('protocol: UDP, destination: { ports: [443] }'),
    ),
    expect: ['deny *,outside > web', 'allow *,outside > web tcp/80', 'allow *,outside > web udp/443'],
  },
  {
    name: 'a selector, a prefix and a port in one rule',
    resources: toWeb(
      allow(
        `protocol: TCP, source: { selector: "env == 'prod'", nets: [10.65.1.0/24] }, destination: { ports: [443] }`,
      ),
    ),
    expect: ['deny *,outside > web', 'allow db,mon > web tcp/443 v4'],
  },
  {
    name: 'the same rules in a policy of a namespace',
    resources: calico(
      'NetworkPolicy',
      'shop/to-web',
      `selector: "app == 'web'", ingress: [${allow('protocol: TCP, source: { notNets: [10.65.1.0/24] }, destination: { notPorts: [443] }')}]`,
    ),
    expect: ['deny *,outside > web', 'allow api,dev,outside > web tcp/80 v4'],
  },
];
