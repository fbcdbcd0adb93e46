/**
 * The naive evaluator on worlds that people have agreed about: the recipes of the tutorials, and a row for each sentence
 * of the reference. Who may reach whom is written by hand.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseDocuments } from '../../model/documents.ts';
import type { AnyResource } from '../../model/kinds.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { ip } from '../../net/ip.ts';
import type { Flow, HostPort } from './naive-policy.suite.ts';
import { NaivePolicy } from './naive-policy.suite.ts';

const ADDRESSES: Readonly<Record<string, string>> = {
  web: '10.65.0.1',
  api: '10.65.0.2',
  db: '10.65.0.3',
  bank: '10.65.0.4',
  world: '198.51.100.7',
  partner: '203.0.113.9',
};

function pod(name: string, namespace: string, labels: string): string {
  return `
apiVersion: projectcalico.org/v3
kind: WorkloadEndpoint
metadata: { name: ${name}, namespace: ${namespace}, labels: { app: ${name}, ${labels} } }
spec:
  node: host-a
  interfaceName: cali${name}
  serviceAccountName: ${name}
  ipNetworks: ["${ADDRESSES[name]}/32"]
  ports: [{ name: http, protocol: TCP, port: 80 }, { name: query, protocol: UDP, port: 53 }]
`;
}

const WORLD = [
  pod('web', 'shop', 'tier: front'),
  pod('api', 'shop', 'tier: back'),
  pod('db', 'shop', 'tier: back, secret: yes-it-is'),
  pod('bank', 'bank', 'tier: front'),
  'apiVersion: v1\nkind: Namespace\nmetadata: { name: shop, labels: { team: red } }\n',
  'apiVersion: v1\nkind: Namespace\nmetadata: { name: bank, labels: { team: blue } }\n',
].join('---\n');

function read(text: string): AnyResource[] {
  const parsed = parseDocuments(`${WORLD}---\n${text}`, 'world.yaml');
  if (!parsed.ok) assert.fail(parsed.problems.join('\n'));
  return parsed.resources.map(({ resource }) => resource);
}

const PROTOCOLS: Readonly<Record<string, number>> = { tcp: 6, udp: 17, sctp: 132 };

/** "web > db tcp 80", "web > db ping 8": whether both sides allow it. */
function allows(resources: readonly AnyResource[], text: string): boolean {
  const [from = '', to = '', protocol = 'tcp', port = '80'] = text.split(/ > | /);
  const upper =
    protocol === 'ping'
      ? { protocol: 1, icmpType: Number(port), icmpCode: 0 }
      : { protocol: PROTOCOLS[protocol]!, sourcePort: 40_000, destinationPort: Number(port) };
  const flow: Flow = { source: ip(ADDRESSES[from]!), destination: ip(ADDRESSES[to]!), ...upper };
  const naive = new NaivePolicy(resources);
  const find = (name: string): WorkloadEndpoint | undefined =>
    resources.filter((resource) => resource.kind === 'WorkloadEndpoint').find(({ metadata }) => metadata.name === name);
  const [sender, receiver] = [find(from), find(to)];
  const sends = sender === undefined || naive.judge(sender, 'egress', flow).allowed;
  return sends && (receiver === undefined || naive.judge(receiver, 'ingress', flow).allowed);
}

function kubernetes(name: string, spec: string): string {
  return `apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: { name: ${name}, namespace: shop }\nspec: ${spec}\n`;
}

function calico(kind: string, name: string, spec: string): string {
  const namespace = /^(Staged)?NetworkPolicy|^NetworkSet/.test(kind) ? ', namespace: shop' : '';
  return `apiVersion: projectcalico.org/v3\nkind: ${kind}\nmetadata: { name: ${name}${namespace} }\nspec: ${spec}\n`;
}

function set(name: string, labels: string, nets: string): string {
  return `apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: { name: ${name}, labels: { ${labels} } }\nspec: { nets: [${nets}] }\n`;
}

const global = (name: string, spec: string) => calico('GlobalNetworkPolicy', name, spec);
const DENY_ALL = kubernetes('deny', '{ podSelector: {}, policyTypes: [Ingress] }');

interface Row {
  readonly title: string;
  readonly policies: readonly string[];
  readonly allowed: readonly string[];
  readonly denied: readonly string[];
}

const ROWS: readonly Row[] = [
  {
    title: 'what no policy is for is open',
    policies: [],
    allowed: ['web > db', 'world > web', 'web > world udp 53'],
    denied: [],
  },
  {
    title: 'recipe 1: deny all to an application',
    policies: [kubernetes('web-deny', '{ podSelector: { matchLabels: { app: web } }, ingress: [] }')],
    allowed: ['web > api', 'api > db', 'web > world'],
    denied: ['api > web', 'bank > web', 'world > web', 'api > web ping 8'],
  },
  {
    title: 'recipe 2: only some may reach an application',
    policies: [
      kubernetes(
        'db',
        '{ podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ podSelector: { matchLabels: { app: api } } }] }] }',
      ),
    ],
    allowed: ['api > db', 'api > db udp 53', 'db > web'],
    denied: ['web > db', 'bank > db', 'world > db'],
  },
  {
    title: 'recipe 3: deny all in a namespace, then allow to one',
    policies: [DENY_ALL, kubernetes('open', '{ podSelector: { matchLabels: { app: web } }, ingress: [{}] }')],
    allowed: ['api > web', 'world > web ping 8', 'web > bank'],
    denied: ['web > db', 'web > api'],
  },
  {
    title: 'recipe 4: deny other namespaces',
    policies: [kubernetes('own', '{ podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] }')],
    allowed: ['web > db', 'db > bank'],
    denied: ['bank > db', 'world > db'],
  },
  {
    title: 'recipe 5: all namespaces, yet no outsider',
    policies: [kubernetes('pods', '{ podSelector: {}, ingress: [{ from: [{ namespaceSelector: {} }] }] }')],
    allowed: ['web > db', 'bank > db'],
    denied: ['world > db'],
  },
  {
    title: 'recipe 6: pods of a namespace, by both selectors in one peer',
    policies: [
      kubernetes(
        'both',
        '{ podSelector: { matchLabels: { app: db } }, ingress: [{ from: [{ namespaceSelector: { matchLabels: { team: blue } }, podSelector: { matchLabels: { tier: front } } }] }] }',
      ),
    ],
    allowed: ['bank > db'],
    denied: ['web > db', 'api > db'],
  },
  {
    title: 'recipe 7: one port, by number and by name, TCP where no protocol is said',
    policies: [
      kubernetes(
        'ports',
        '{ podSelector: { matchLabels: { app: db } }, ingress: [{ ports: [{ port: 443 }, { port: http }, { protocol: UDP, port: 60, endPort: 62 }] }] }',
      ),
    ],
    allowed: ['web > db tcp 443', 'web > db tcp 80', 'web > db udp 60', 'web > db udp 62'],
    denied: ['web > db udp 443', 'web > db udp 53', 'web > db tcp 8080', 'web > db udp 63', 'web > db ping 8'],
  },
  {
    title: 'recipe 8: egress to a block but for a part of it',
    policies: [
      kubernetes(
        'out',
        '{ podSelector: { matchLabels: { app: web } }, egress: [{ to: [{ ipBlock: { cidr: 198.51.100.0/24, except: [198.51.100.8/29] } }] }], policyTypes: [Egress] }',
      ),
    ],
    allowed: ['web > world', 'api > web', 'api > partner'],
    denied: ['web > partner', 'web > db'],
  },
  {
    title: 'match expressions: a negative one holds where the label is absent',
    policies: [
      kubernetes(
        'words',
        '{ podSelector: { matchExpressions: [{ key: secret, operator: Exists }] }, ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: secret, operator: NotIn, values: [none] }, { key: tier, operator: In, values: [front] }] } }] }] }',
      ),
    ],
    allowed: ['web > db', 'web > api'],
    denied: ['api > db', 'bank > db'],
  },
  {
    title: 'types default: egress rules alone are for egress alone',
    policies: [calico('NetworkPolicy', 'p', '{ egress: [{ action: Allow, destination: { selector: app == "db" } }] }')],
    allowed: ['web > db', 'world > web', 'bank > db'],
    denied: ['web > api', 'web > world'],
  },
  {
    title: 'policies go by order, then name; the first Allow or Deny wins, Log goes on',
    policies: [
      global('late', '{ order: 20, selector: app == "db", ingress: [{ action: Allow }] }'),
      global(
        'b',
        '{ order: 10, selector: app == "db", ingress: [{ action: Allow, source: { selector: app == "api" } }] }',
      ),
      global(
        'a',
        '{ order: 10, selector: app == "db", ingress: [{ action: Log }, { action: Deny, source: { selector: tier == "back" } }] }',
      ),
    ],
    allowed: ['web > db', 'world > db'],
    denied: ['api > db'],
  },
  {
    title: 'no order is after all orders',
    policies: [
      global('a', '{ selector: app == "db", ingress: [{ action: Deny }] }'),
      global(
        'b',
        '{ order: 1e9, selector: app == "db", ingress: [{ action: Allow, source: { selector: app == "web" } }] }',
      ),
    ],
    allowed: ['web > db'],
    denied: ['api > db'],
  },
  {
    title: 'Pass goes to the next tier; what a tier leaves open its default action decides',
    policies: [
      calico('Tier', 'first', '{ order: 1 }'),
      calico('Tier', 'second', '{ order: 2, defaultAction: Pass }'),
      global(
        'one',
        '{ tier: first, selector: app == "db", ingress: [{ action: Pass, source: { selector: tier == "back" } }, { action: Pass, source: { selector: app == "web" } }] }',
      ),
      global(
        'two',
        '{ tier: second, selector: app == "db", ingress: [{ action: Deny, source: { selector: app == "web" } }] }',
      ),
    ],
    allowed: ['api > db', 'api > web'],
    denied: ['web > db', 'bank > db', 'world > db'],
  },
  {
    title: 'a tier of staged policies alone decides nothing',
    policies: [
      calico('StagedGlobalNetworkPolicy', 's', '{ ingress: [{ action: Deny }] }'),
      calico('StagedNetworkPolicy', 's', '{}'),
    ],
    allowed: ['web > db', 'world > db'],
    denied: [],
  },
  {
    title: 'what acts before tracking or DNAT is not for containers',
    policies: [
      global('untracked', '{ doNotTrack: true, applyOnForward: true, ingress: [{ action: Deny }] }'),
      global('early', '{ preDNAT: true, applyOnForward: true, ingress: [{ action: Deny }] }'),
    ],
    allowed: ['web > db'],
    denied: [],
  },
  {
    title: 'a policy in a namespace means its own, unless a namespaceSelector says otherwise',
    policies: [
      calico(
        'NetworkPolicy',
        'p',
        '{ selector: app == "db", ingress: [{ action: Allow, source: { selector: tier == "front" } }, { action: Allow, protocol: UDP, source: { selector: tier == "front", namespaceSelector: team == "blue" } }] }',
      ),
    ],
    allowed: ['web > db', 'bank > db udp 53'],
    denied: ['bank > db', 'world > db'],
  },
  {
    title: 'namespaceSelector: all() is in some namespace, global() in none',
    policies: [
      set('ours', 'kind: ours', '203.0.113.0/24'),
      global(
        'p',
        '{ selector: app == "db", ingress: [{ action: Allow, protocol: TCP, source: { namespaceSelector: all() } }, { action: Allow, protocol: UDP, source: { namespaceSelector: global() } }] }',
      ),
    ],
    allowed: ['web > db', 'bank > db', 'partner > db udp 53'],
    denied: ['web > db udp 53', 'partner > db', 'world > db', 'world > db udp 53'],
  },
  {
    title: 'a selector chooses network sets, too, and notSelector takes away',
    policies: [
      set('ours', 'kind: ours', '203.0.113.0/24, 198.51.100.0/24'),
      set('bad', 'kind: bad', '198.51.100.0/28'),
      global(
        'p',
        '{ selector: app == "db", ingress: [{ action: Allow, source: { selector: kind == "ours", notSelector: kind == "bad" } }] }',
      ),
    ],
    allowed: ['partner > db'],
    denied: ['world > db', 'web > db'],
  },
  {
    title: 'nets and notNets, ports and notPorts',
    policies: [
      global(
        'p',
        '{ selector: app == "db", ingress: [{ action: Allow, protocol: TCP, source: { nets: [10.65.0.0/24], notNets: [10.65.0.2/32] }, destination: { ports: ["80:90", 443], notPorts: [85] } }] }',
      ),
    ],
    allowed: ['web > db tcp 80', 'web > db tcp 90', 'web > db tcp 443'],
    denied: ['web > db tcp 85', 'web > db tcp 91', 'api > db tcp 80', 'web > db udp 80', 'partner > db tcp 80'],
  },
  {
    title: 'named ports: those of the destination, of the protocol that is said, else TCP',
    policies: [
      global(
        'p',
        '{ selector: app == "db", ingress: [{ action: Allow, destination: { ports: [http, query] } }, { action: Allow, protocol: UDP, source: { selector: app == "web" }, destination: { ports: [query] } }] }',
      ),
    ],
    allowed: ['api > db tcp 80', 'web > db udp 53'],
    denied: ['api > db udp 53', 'api > db tcp 53', 'web > db tcp 81'],
  },
  {
    title: 'ICMP by type, and by what it is not',
    policies: [
      global('p', '{ selector: app == "db", ingress: [{ action: Allow, protocol: ICMP, icmp: { type: 8 } }] }'),
      global(
        'q',
        '{ selector: app == "api", ingress: [{ action: Allow, protocol: ICMP, notICMP: { type: 8, code: 0 } }, { action: Allow, notProtocol: ICMP }] }',
      ),
    ],
    allowed: ['web > db ping 8', 'web > api ping 3', 'web > api'],
    denied: ['web > db ping 3', 'web > db', 'web > api ping 8'],
  },
  {
    title: 'service accounts',
    policies: [
      global(
        'p',
        '{ serviceAccountSelector: "!has(nothing)", selector: app == "db", ingress: [{ action: Allow, source: { serviceAccounts: { names: [web, bank] } } }] }',
      ),
    ],
    allowed: ['web > db', 'bank > db'],
    denied: ['api > db', 'world > db'],
  },
  {
    title: 'profiles come after all tiers, and a stored one holds for the implied one',
    policies: [
      calico(
        'Profile',
        'kns.shop',
        '{ ingress: [{ action: Allow, source: { nets: [10.65.0.1/32] } }], egress: [{ action: Allow }] }',
      ),
    ],
    allowed: ['web > db', 'web > bank', 'world > bank'],
    denied: ['api > db', 'world > db'],
  },
  {
    title: 'labels of a profile are inherited, so the namespace of a stored profile has none',
    policies: [
      calico(
        'Profile',
        'kns.shop',
        '{ ingress: [{ action: Allow }], egress: [{ action: Allow }], labelsToApply: { role: seller } }',
      ),
      global(
        'p',
        '{ selector: app == "bank", ingress: [{ action: Allow, protocol: TCP, source: { selector: role == "seller" } }, { action: Allow, protocol: UDP, source: { namespaceSelector: team == "red" } }] }',
      ),
    ],
    allowed: ['web > bank'],
    denied: ['web > bank udp 53', 'world > bank'],
  },
];

for (const { title, policies, allowed, denied } of ROWS) {
  test(title, () => {
    const resources = read(policies.join('---\n'));
    const wrong = [
      ...allowed.filter((text) => !allows(resources, text)).map((text) => `${text} is denied`),
      ...denied.filter((text) => allows(resources, text)).map((text) => `${text} is allowed`),
    ];
    assert.deepEqual(wrong, []);
  });
}

/** The device that rows are about: "in world tcp 22" is for the host itself, "fwd-in" for the container web behind it. */
const ETH0: HostPort = { node: 'host-a', name: 'eth0', addresses: ['192.0.2.10'] };

function passes(resources: readonly AnyResource[], text: string): boolean {
  const [way = '', peer = '', protocol = 'tcp', port = '80'] = text.split(' ');
  const isForwarded = way.startsWith('fwd');
  const [there, here] = [ip(ADDRESSES[peer]!), ip(isForwarded ? ADDRESSES['web']! : '192.0.2.10')];
  const isIngress = way.endsWith('in');
  const [source, destination] = isIngress ? [there, here] : [here, there];
  const flow = {
    source,
    destination,
    protocol: PROTOCOLS[protocol]!,
    sourcePort: 40_000,
    destinationPort: Number(port),
  };
  const direction = isIngress ? 'ingress' : 'egress';
  return new NaivePolicy(resources).judgeAtDevice(ETH0, direction, isForwarded, flow).allowed;
}

const host = (name: string, spec: string) => calico('HostEndpoint', name, `{ node: host-a, ${spec} }`);
const EDGE = host('edge', 'interfaceName: eth0');

const DEVICE_ROWS: readonly Row[] = [
  {
    title: 'a device without a host endpoint is open, and so is one of another host',
    policies: [
      global('deny', '{ types: [Ingress, Egress] }'),
      calico('HostEndpoint', 'b', '{ node: host-b, interfaceName: eth0 }'),
    ],
    allowed: ['in world', 'out world', 'fwd-in world', 'fwd-out world'],
    denied: [],
  },
  {
    title: 'a host endpoint closes the host, and leaves open what it forwards',
    policies: [EDGE],
    allowed: ['fwd-in world', 'fwd-out world'],
    denied: ['in world', 'out world'],
  },
  {
    title: 'a profile opens it',
    policies: [host('edge', 'interfaceName: eth0, profiles: [projectcalico-default-allow]')],
    allowed: ['in world', 'out world'],
    denied: [],
  },
  {
    title: 'a policy is for the host itself, and for what is forwarded only when it says so',
    policies: [
      EDGE,
      global('p', '{ order: 1, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [22] } }] }'),
      global(
        'q',
        '{ order: 2, applyOnForward: true, ingress: [{ action: Allow, protocol: TCP, destination: { ports: [80] } }] }',
      ),
    ],
    allowed: ['in world tcp 22', 'in world tcp 80', 'fwd-in world tcp 80', 'fwd-out world tcp 22'],
    denied: ['in world tcp 443', 'fwd-in world tcp 22', 'out world'],
  },
  {
    title: 'untracked policy comes before all, preDNAT policy next; neither has an end of a tier',
    policies: [
      EDGE,
      global(
        'u',
        '{ doNotTrack: true, applyOnForward: true, order: 9, ingress: [{ action: Allow, protocol: UDP }, { action: Deny, protocol: TCP, destination: { ports: [23] } }] }',
      ),
      global(
        'd',
        '{ preDNAT: true, applyOnForward: true, order: 8, ingress: [{ action: Allow, protocol: TCP, destination: { ports: ["22:23"] } }, { action: Deny, protocol: UDP }] }',
      ),
      global(
        'n',
        '{ order: 1, applyOnForward: true, ingress: [{ action: Deny, source: { nets: [198.51.100.0/24] } }, { action: Allow }], egress: [{ action: Allow, protocol: TCP }] }',
      ),
    ],
    allowed: [
      'in world udp 53',
      'in world tcp 22',
      'fwd-in world tcp 22',
      'fwd-in world udp 53',
      'in partner tcp 80',
      'out world tcp 80',
    ],
    denied: ['in world tcp 23', 'fwd-in partner tcp 23', 'in world tcp 80', 'fwd-in world tcp 80', 'out world udp 53'],
  },
  {
    title: 'the device by name comes before its address, and that before "*"',
    policies: [
      host('a', "interfaceName: '*', profiles: [projectcalico-default-allow]"),
      host('b', 'expectedIPs: [192.0.2.10]'),
      host('c', 'interfaceName: eth1, profiles: [projectcalico-default-allow]'),
    ],
    allowed: [],
    denied: ['in world', 'out world'],
  },
];

for (const { title, policies, allowed, denied } of DEVICE_ROWS) {
  test(`devices: ${title}`, () => {
    const resources = read(policies.join('---\n'));
    const wrong = [
      ...allowed.filter((text) => !passes(resources, text)).map((text) => `${text} is denied`),
      ...denied.filter((text) => passes(resources, text)).map((text) => `${text} is allowed`),
    ];
    assert.deepEqual(wrong, []);
  });
}
