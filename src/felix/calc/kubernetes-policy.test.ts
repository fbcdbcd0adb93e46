import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { parse } from 'yaml';
import { parseSelector } from '../../model/selector-parser.ts';
import { validateResource } from '../../model/validate.ts';
import { convertKubernetesPolicy } from './kubernetes-policy.ts';

/** A valid spec, as it is written. */
function convert(spec: object) {
  const metadata = { name: 'p', namespace: 'shop' };
  const document = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec };
  const result = validateResource(document);
  assert.ok(result.ok, JSON.stringify(result));
  assert.ok(result.resource.kind === 'KubernetesNetworkPolicy');
  return convertKubernetesPolicy(result.resource.spec);
}

function selectorFor(podSelector: object): string {
  return convert({ podSelector }).spec.selector;
}

const SELECTORS: readonly (readonly [title: string, podSelector: object, selector: string])[] = [
  ['an empty one chooses all', {}, 'all()'],
  ['empty labels choose all', { matchLabels: {} }, 'all()'],
  ['empty lists choose all', { matchLabels: {}, matchExpressions: [] }, 'all()'],
  ['a label', { matchLabels: { app: 'web' } }, 'app == "web"'],
  ['an empty value', { matchLabels: { app: '' } }, 'app == ""'],
  ['a label with a prefix', { matchLabels: { 'app.kubernetes.io/name': 'web' } }, 'app.kubernetes.io/name == "web"'],
  ['labels go by name', { matchLabels: { tier: 'a', app: 'b' } }, '(app == "b" && tier == "a")'],
  ['a label named like an operator', { matchLabels: { in: 'x', has: 'y' } }, '(has == "y" && in == "x")'],
  ['In', { matchExpressions: [{ key: 'a', operator: 'In', values: ['y', 'x'] }] }, 'a in {"x", "y"}'],
  ['In with one value', { matchExpressions: [{ key: 'a', operator: 'In', values: ['x'] }] }, 'a in {"x"}'],
  ['In with a value twice', { matchExpressions: [{ key: 'a', operator: 'In', values: ['x', 'x'] }] }, 'a in {"x"}'],
  ['NotIn', { matchExpressions: [{ key: 'a', operator: 'NotIn', values: ['y', 'x'] }] }, 'a not in {"x", "y"}'],
  ['Exists', { matchExpressions: [{ key: 'a', operator: 'Exists' }] }, 'has(a)'],
  ['DoesNotExist', { matchExpressions: [{ key: 'a', operator: 'DoesNotExist' }] }, '!has(a)'],
  [
    'all expressions must hold',
    {
      matchExpressions: [
        { key: 'b', operator: 'Exists' },
        { key: 'a', operator: 'NotIn', values: [''] },
      ],
    },
    '(has(b) && a not in {""})',
  ],
  [
    'labels and expressions',
    { matchLabels: { a: '1' }, matchExpressions: [{ key: 'a', operator: 'DoesNotExist' }] },
    '(a == "1" && !has(a))',
  ],
];

test('label selectors become selectors of the same meaning', () => {
  for (const [title, podSelector, selector] of SELECTORS) {
    assert.equal(selectorFor(podSelector), selector, title);
    assert.ok(parseSelector(selector).ok, title);
  }
});

/** The directions that remain, and how many rules in each. */
const DIRECTIONS: readonly (readonly [title: string, spec: object, types: string, ingress: number, egress: number])[] =
  [
    ['nothing said', {}, 'Ingress', 0, 0],
    ['deny all ingress', { podSelector: {}, policyTypes: ['Ingress'], ingress: [] }, 'Ingress', 0, 0],
    ['deny all egress', { podSelector: {}, policyTypes: ['Egress'] }, 'Egress', 0, 0],
    ['deny all', { policyTypes: ['Ingress', 'Egress'] }, 'Ingress,Egress', 0, 0],
    ['types in the order they are written', { policyTypes: ['Egress', 'Ingress'] }, 'Egress,Ingress', 0, 0],
    ['ingress rules alone', { ingress: [{}] }, 'Ingress', 1, 0],
    ['egress rules imply both directions', { egress: [{}] }, 'Ingress,Egress', 0, 1],
    ['both have rules', { ingress: [{}, {}], egress: [{}] }, 'Ingress,Egress', 2, 1],
    ['egress rules without a say', { policyTypes: ['Ingress'], ingress: [{}], egress: [{}] }, 'Ingress', 1, 0],
    ['ingress rules without a say', { policyTypes: ['Egress'], ingress: [{}], egress: [{}] }, 'Egress', 0, 1],
  ];

test('a policy has a say in the directions of its policyTypes, and rules in no other', () => {
  for (const [title, spec, types, ingress, egress] of DIRECTIONS) {
    const { spec: converted } = convert(spec);
    const found = [converted.types.join(), converted.ingress.length, converted.egress.length];
    assert.deepEqual(found, [types, ingress, egress], title);
  }
});

test('all of them are in the default tier, at order 1000', () => {
  const { tier, order } = convert({}).spec;
  assert.deepEqual({ tier, order }, { tier: 'default', order: 1000 });
});

const WEB = { matchLabels: { app: 'web' } };
const TEST = { matchLabels: { stage: 'test' } };
const block = (cidr: string, ...except: string[]) => ({ ipBlock: { cidr, except } });

/** What a peer is besides what its selector asks: a container. */
const POD = 'has(projectcalico.org/orchestrator)';
const podWith = (selector: string) => `(${POD} && ${selector})`;

/** Peers, and what each becomes. */
const PEERS: readonly (readonly [title: string, peers: readonly object[], ...ends: object[]])[] = [
  ['nobody named is everybody', [], {}],
  ['pods of the same namespace', [{ podSelector: WEB }], { selector: podWith('app == "web"') }],
  ['all pods of the same namespace', [{ podSelector: {} }], { selector: POD }],
  ['a namespace', [{ namespaceSelector: TEST }], { selector: POD, namespaceSelector: 'stage == "test"' }],
  ['all namespaces', [{ namespaceSelector: {} }], { selector: POD, namespaceSelector: 'all()' }],
  [
    'pods of a namespace',
    [{ namespaceSelector: TEST, podSelector: WEB }],
    { selector: podWith('app == "web"'), namespaceSelector: 'stage == "test"' },
  ],
  [
    'pods of all namespaces',
    [{ namespaceSelector: {}, podSelector: WEB }],
    { selector: podWith('app == "web"'), namespaceSelector: 'all()' },
  ],
  [
    'all pods of a namespace',
    [{ namespaceSelector: TEST, podSelector: {} }],
    { selector: POD, namespaceSelector: 'stage == "test"' },
  ],
  ['all pods', [{ namespaceSelector: {}, podSelector: {} }], { selector: POD, namespaceSelector: 'all()' }],
  [
    'a namespace by its name',
    [{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'shop' } } }],
    { selector: POD, namespaceSelector: 'kubernetes.io/metadata.name == "shop"' },
  ],
  [
    'a namespace that is not',
    [{ namespaceSelector: { matchExpressions: [{ key: 'stage', operator: 'NotIn', values: ['test'] }] } }],
    { selector: POD, namespaceSelector: 'stage not in {"test"}' },
  ],
  ['a prefix', [block('10.0.0.0/8')], { nets: ['10.0.0.0/8'] }],
  [
    'a prefix with holes',
    [block('10.0.0.0/8', '10.1.0.0/16', '10.2.0.0/16')],
    { nets: ['10.0.0.0/8'], notNets: ['10.1.0.0/16', '10.2.0.0/16'] },
  ],
  ['every IPv4 address', [block('0.0.0.0/0')], { nets: ['0.0.0.0/0'] }],
  ['an IPv6 prefix', [block('fd00::/8', 'fd00:1::/32')], { nets: ['fd00::/8'], notNets: ['fd00:1::/32'] }],
  ['every IPv6 address', [block('::/0')], { nets: ['::/0'] }],
  ['one address', [block('192.0.2.1/32')], { nets: ['192.0.2.1/32'] }],
  [
    'each of several has its own rule, in order',
    [block('10.0.0.0/8'), { podSelector: WEB }, block('fd00::/8')],
    { nets: ['10.0.0.0/8'] },
    { selector: podWith('app == "web"') },
    { nets: ['fd00::/8'] },
  ],
];

test('each peer is one end of a rule: the source of what comes in, the destination of what goes out', () => {
  for (const [title, peers, ...ends] of PEERS) {
    const { ingress, egress } = convert({ ingress: [{ from: peers }], egress: [{ to: peers }] }).spec;
    assert.deepEqual(
      ingress,
      ends.map((source) => ({ action: 'Allow', source, destination: {} })),
      title,
    );
    assert.deepEqual(
      egress,
      ends.map((destination) => ({ action: 'Allow', source: {}, destination })),
      title,
    );
  }
});

/** Ports, and "PROTOCOL port,port" of each rule; "" is a rule for all protocols. */
const PORTS: readonly (readonly [title: string, ports: readonly object[], ...matches: string[]])[] = [
  ['none named are all', [], ''],
  ['TCP where no protocol is given', [{ port: 80 }], 'TCP 80'],
  ['nothing given is all of TCP', [{}], 'TCP'],
  ['a protocol alone is all of its ports', [{ protocol: 'UDP' }], 'UDP'],
  ['SCTP', [{ protocol: 'SCTP', port: 7777 }], 'SCTP 7777'],
  ['a range', [{ port: 8000, endPort: 8080 }], 'TCP 8000:8080'],
  ['a range of one', [{ port: 8000, endPort: 8000 }], 'TCP 8000'],
  ['all ports as a range', [{ protocol: 'UDP', port: 1, endPort: 65535 }], 'UDP 1:65535'],
  ['a name', [{ port: 'http' }], 'TCP http'],
  ['a name of UDP', [{ protocol: 'UDP', port: 'dns' }], 'UDP dns'],
  ['several of a protocol are one rule', [{ port: 443 }, { port: 80 }], 'TCP 80,443'],
  ['a port twice', [{ port: 80 }, { port: 80 }], 'TCP 80'],
  ['a name twice', [{ port: 'http' }, { port: 'http' }], 'TCP http'],
  ['names after numbers', [{ port: 'web' }, { port: 80 }, { port: 'admin' }], 'TCP 80,admin,web'],
  ['neighbours join', [{ port: 81 }, { port: 80 }, { port: 82 }], 'TCP 80:82'],
  ['a gap stays', [{ port: 80 }, { port: 82 }], 'TCP 80,82'],
  [
    'ranges that overlap join',
    [
      { port: 15, endPort: 30 },
      { port: 10, endPort: 20 },
    ],
    'TCP 10:30',
  ],
  [
    'ranges that meet join',
    [
      { port: 10, endPort: 20 },
      { port: 21, endPort: 30 },
    ],
    'TCP 10:30',
  ],
  ['a range inside of another', [{ port: 10, endPort: 30 }, { port: 15, endPort: 20 }, { port: 29 }], 'TCP 10:30'],
  ['all of a protocol swallows its ports', [{ port: 80 }, { protocol: 'TCP' }, { port: 'web' }], 'TCP'],
  ['one rule per protocol', [{ protocol: 'UDP', port: 53 }, { port: 53 }], 'UDP 53', 'TCP 53'],
  [
    'protocols do not join',
    [{ port: 80 }, { protocol: 'UDP', port: 81 }, { port: 81 }, { protocol: 'UDP' }],
    'TCP 80:81',
    'UDP',
  ],
  [
    'all three',
    [
      { protocol: 'SCTP', port: 1 },
      { protocol: 'TCP', port: 2 },
      { protocol: 'UDP', port: 3 },
    ],
    'SCTP 1',
    'TCP 2',
    'UDP 3',
  ],
];

test('ports are those of the receiver, joined for each protocol', () => {
  for (const [title, ports, ...matches] of PORTS) {
    const { ingress, egress } = convert({ ingress: [{ ports }], egress: [{ ports }] }).spec;
    for (const rules of [ingress, egress]) {
      const printed = rules.map(({ protocol = '', source, destination }) => {
        assert.deepEqual(source, {}, title);
        return [protocol, ...(destination.ports ? [destination.ports.join()] : [])].join(' ');
      });
      assert.deepEqual(printed, matches, title);
    }
  }
});

test('a rule becomes one for each peer with each protocol, and each knows where it came from', () => {
  const ports = [{ port: 80 }, { protocol: 'UDP', port: 53 }, { port: 443 }];
  const { spec, ingressOrigins, egressOrigins } = convert({
    ingress: [{ from: [{ podSelector: WEB }, block('10.0.0.0/8')], ports }, {}, { from: [{ podSelector: {} }] }],
    egress: [{ to: [block('10.0.0.0/8', '10.9.0.0/16')], ports }],
  });
  const [tcp, udp] = [
    { protocol: 'TCP', destination: { ports: [80, 443] } },
    { protocol: 'UDP', destination: { ports: [53] } },
  ];
  const [web, net] = [{ source: { selector: podWith('app == "web"') } }, { source: { nets: ['10.0.0.0/8'] } }];
  const wanted = [
    { ...web, ...tcp },
    { ...web, ...udp },
    { ...net, ...tcp },
    { ...net, ...udp },
    { source: {}, destination: {} },
    { source: { selector: POD }, destination: {} },
  ];
  assert.deepEqual(
    spec.ingress,
    wanted.map((rule) => ({ action: 'Allow', ...rule })),
  );
  assert.deepEqual({ ingressOrigins, egressOrigins }, { ingressOrigins: [0, 0, 0, 0, 1, 2], egressOrigins: [0, 0] });
  assert.deepEqual(spec.egress[0], {
    action: 'Allow',
    protocol: 'TCP',
    source: {},
    destination: { nets: ['10.0.0.0/8'], notNets: ['10.9.0.0/16'], ports: [80, 443] },
  });
});

test('ports joined are the ports that were there', () => {
  const port = fc.record({
    protocol: fc.constantFrom('TCP', 'UDP'),
    port: fc.integer({ min: 1, max: 40 }),
    length: fc.integer({ min: 0, max: 8 }),
  });
  fc.assert(
    fc.property(fc.array(port, { minLength: 1, maxLength: 12 }), (list) => {
      const ports = list.map(({ protocol, port, length }) => ({ protocol, port, endPort: port + length }));
      const open = new Set(
        ports.flatMap(({ protocol, port, endPort }) =>
          Array.from({ length: endPort - port + 1 }, (_, offset) => `${protocol} ${port + offset}`),
        ),
      );
      const { ingress } = convert({ ingress: [{ ports }] }).spec;
      const found = ingress.flatMap(({ protocol, destination }) =>
        (destination.ports ?? []).flatMap((text) => {
          const [first = 0, last = first] = String(text).split(':').map(Number);
          return Array.from({ length: last - first + 1 }, (_, offset) => `${protocol} ${first + offset}`);
        }),
      );
      assert.deepEqual(found.toSorted(), [...open].sort());
    }),
  );
});

test('a policy from a tutorial', () => {
  const file = new URL('../../model/testdata/kubernetes-allow-from-frontend.yaml', import.meta.url);
  const { selector, types, ingress } = convert(parse(readFileSync(file, 'utf8')).spec).spec;
  assert.deepEqual({ selector, types }, { selector: 'app == "backend"', types: ['Ingress'] });
  const destination = { ports: [8080] };
  assert.deepEqual(ingress, [
    { action: 'Allow', protocol: 'TCP', source: { selector: podWith('app == "frontend"') }, destination },
    {
      action: 'Allow',
      protocol: 'TCP',
      source: { selector: podWith('app == "frontend"'), namespaceSelector: 'stage in {"canary", "test"}' },
      destination,
    },
  ]);
});
