/** Policies, tiers, profiles, network sets, host endpoints and namespaces: their own fields and what joins them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';
import { formatPath } from './problem.ts';
import { KUBERNETES_CORE } from './resource.ts';
import { BUILT_IN_TIERS } from './tier.ts';
import { validateResource } from './validate.ts';

const POLICY = { tier: 'default', order: null, selector: 'all()', types: ['Ingress'], ingress: [], egress: [] };
const GLOBAL = { ...POLICY, doNotTrack: false, preDNAT: false, applyOnForward: false };
const ALLOW = { action: 'Allow' };
const ALLOWED = { action: 'Allow', source: {}, destination: {} };
const ELSEWHERE = 'global() has a meaning only as the namespaceSelector of a source or destination';
const LONG_LABEL = 'a'.repeat(64);

function tierNameMessage(name: string): string {
  const dots = name.includes('.') ? '; no dots, since they end a tier in the name of a policy' : '';
  return `"${name}" is not the name of a tier: 1 to 63 lower-case letters, digits and "-", with a letter or digit at each end${dots}`;
}

checkRows(
  'NetworkPolicy',
  [
    ['nothing is for ingress', undefined, POLICY],
    ['an empty spec', {}, POLICY],
    ['ingress rules', { ingress: [ALLOW] }, { ...POLICY, ingress: [ALLOWED] }],
    ['egress rules', { egress: [ALLOW] }, { ...POLICY, types: ['Egress'], egress: [ALLOWED] }],
    [
      'rules of both directions',
      { ingress: [ALLOW], egress: [ALLOW] },
      { ...POLICY, types: ['Ingress', 'Egress'], ingress: [ALLOWED], egress: [ALLOWED] },
    ],
    [
      'empty types follow from rules',
      { types: [], egress: [ALLOW] },
      { ...POLICY, types: ['Egress'], egress: [ALLOWED] },
    ],
    ['types without rules', { types: ['Ingress', 'Egress'] }, { ...POLICY, types: ['Ingress', 'Egress'] }],
    ['types in their own order', { types: ['Egress', 'Ingress'] }, { ...POLICY, types: ['Egress', 'Ingress'] }],
    [
      'types that leave rules without effect',
      { types: ['Egress'], ingress: [ALLOW] },
      { ...POLICY, types: ['Egress'], ingress: [ALLOWED] },
    ],
    ['a type twice', { types: ['Egress', 'Egress'] }, ['spec.types[1]: "Egress" is there twice; remove one of them']],
    [
      'a type in lower case',
      { types: ['egress'] },
      ['spec.types[0]: "egress" is not one of Ingress, Egress; did you mean Egress?'],
    ],
    ['an order', { order: 10 }, { ...POLICY, order: 10 }],
    ['a fraction', { order: -0.5 }, { ...POLICY, order: -0.5 }],
    ['order null is last', { order: null }, POLICY],
    ['an order as text', { order: '10' }, ['spec.order: must be a number, not "10"']],
    ['a tier', { tier: 'security' }, { ...POLICY, tier: 'security' }],
    ['a tier of the greatest length', { tier: LONG_LABEL.slice(1) }, { ...POLICY, tier: LONG_LABEL.slice(1) }],
    ...['Security', 'a.b', '', '-a', LONG_LABEL].map(
      (tier): KindRow => [`tier ${tier}`, { tier }, [`spec.tier: ${tierNameMessage(tier)}`]],
    ),
    [
      'selectors',
      { selector: 'has(a)', serviceAccountSelector: 'has(b)' },
      { ...POLICY, selector: 'has(a)', serviceAccountSelector: 'has(b)' },
    ],
    ['an empty selector', { selector: '' }, { ...POLICY, selector: '' }],
    ['global()', { selector: 'global()' }, [`spec.selector: "global()": ${ELSEWHERE}`]],
    [
      'global() of accounts',
      { serviceAccountSelector: '!global()' },
      [`spec.serviceAccountSelector: "!global()": ${ELSEWHERE}`],
    ],
    [
      'a selector that is none',
      { selector: 'has(' },
      ['spec.selector: "has(" is not a selector: at character 5: expected a label, has(), all() or "("'],
    ],
    [
      'hints',
      { performanceHints: ['AssumeNeededOnEveryNode'] },
      { ...POLICY, performanceHints: ['AssumeNeededOnEveryNode'] },
    ],
    [
      'hints that are none',
      { performanceHints: ['Fast'] },
      ['spec.performanceHints[0]: "Fast" is not one of AssumeNeededOnEveryNode'],
    ],
    [
      'fields of the global kind',
      { preDNAT: true, namespaceSelector: 'all()', applyOnForward: true },
      ['preDNAT', 'namespaceSelector', 'applyOnForward'].map((field) => `spec.${field}: unknown field`),
    ],
    ['a field of the staged kind', { stagedAction: 'Set' }, ['spec.stagedAction: unknown field']],
  ],
  'x',
);

const FORWARDED = { applyOnForward: true };
const BEFORE = 'acts before routing, so on forwarded packets, too; set applyOnForward to true';
const NEVER = 'packets that leave are never before DNAT (preDNAT is true)';
const SERVICE = { services: { name: 'dns' } };

checkRows(
  'GlobalNetworkPolicy',
  [
    ['nothing', undefined, GLOBAL],
    ['a dotted name, as with a tier before it', {}, GLOBAL, 'security.deny-all'],
    [
      'a name with capitals',
      {},
      [
        'metadata.name: "Deny" is not a name: lower-case letters, digits, "-" and ".", with a letter or digit at each end; write deny',
      ],
      'Deny',
    ],
    ['a selector of namespaces', { namespaceSelector: "a == 'b'" }, { ...GLOBAL, namespaceSelector: "a == 'b'" }],
    ['global() is for rules', { namespaceSelector: 'global()' }, [`spec.namespaceSelector: "global()": ${ELSEWHERE}`]],
    ['forwarded packets', FORWARDED, { ...GLOBAL, ...FORWARDED }],
    [
      'before DNAT',
      { ...FORWARDED, preDNAT: true, ingress: [ALLOW] },
      { ...GLOBAL, ...FORWARDED, preDNAT: true, ingress: [ALLOWED] },
    ],
    [
      'untracked',
      { ...FORWARDED, doNotTrack: true, egress: [ALLOW] },
      { ...GLOBAL, ...FORWARDED, doNotTrack: true, types: ['Egress'], egress: [ALLOWED] },
    ],
    ['before DNAT, not forwarded', { preDNAT: true }, [`spec.preDNAT: ${BEFORE}`]],
    ['untracked, not forwarded', { doNotTrack: true, applyOnForward: false }, [`spec.doNotTrack: ${BEFORE}`]],
    [
      'both',
      { ...FORWARDED, doNotTrack: true, preDNAT: true },
      ['spec.preDNAT: excludes doNotTrack; set one of the two to false'],
    ],
    [
      'before DNAT on the way out',
      { ...FORWARDED, preDNAT: true, egress: [ALLOW] },
      [`spec.egress: must be left out: ${NEVER}`, `spec.types: ["Egress"] must be ["Ingress"]: ${NEVER}`],
    ],
    [
      'before DNAT with the type alone',
      { ...FORWARDED, preDNAT: true, types: ['Ingress', 'Egress'] },
      [`spec.types: ["Ingress","Egress"] must be ["Ingress"]: ${NEVER}`],
    ],
    ['a flag as text', { preDNAT: 'yes' }, ['spec.preDNAT: must be true or false, not "yes"']],
    [
      'a service without namespace',
      { ingress: [{ ...ALLOW, source: SERVICE }] },
      ['spec.ingress[0].source.services.namespace: is required: the policy itself is in no namespace'],
    ],
    ['a misspelt field', { applyOnFoward: true }, ['spec.applyOnFoward: unknown field; did you mean applyOnForward?']],
    [
      'the second rule',
      { egress: [ALLOW, { ...ALLOW, destination: { ports: [1] } }] },
      ['spec.egress[1].destination.ports: port 1 needs a protocol: set protocol to TCP, UDP or SCTP'],
    ],
  ],
  'x',
);

const DELETE = { stagedAction: 'Delete' };
const LEFT_OUT = 'must be left out: stagedAction is Delete, and what is deleted needs no rules';

checkRows(
  'StagedNetworkPolicy',
  [
    ['nothing is set', undefined, { stagedAction: 'Set', ...POLICY }],
    ...['Set', 'Learn', 'Ignore'].map(
      (stagedAction): KindRow => [
        stagedAction,
        { stagedAction, ingress: [ALLOW] },
        { stagedAction, ...POLICY, ingress: [ALLOWED] },
      ],
    ),
    ['a deletion', DELETE, { ...DELETE, ...POLICY, types: [] }],
    ['a deletion in a tier', { ...DELETE, tier: 'security' }, { ...DELETE, ...POLICY, types: [], tier: 'security' }],
    [
      'another action',
      { stagedAction: 'delete' },
      ['spec.stagedAction: "delete" is not one of Set, Delete, Learn, Ignore; did you mean Delete?'],
    ],
    [
      'a deletion with rules',
      { ...DELETE, ingress: [{ action: 'Deny' }] },
      [`spec.ingress: [{"action":"Deny","source":{},"destination":{}}] ${LEFT_OUT}`],
    ],
    ['a deletion with a selector', { ...DELETE, selector: 'has(a)' }, [`spec.selector: "has(a)" ${LEFT_OUT}`]],
    ['a deletion with types', { ...DELETE, types: ['Egress'] }, [`spec.types: ["Egress"] ${LEFT_OUT}`]],
    [
      'a deletion with an order',
      { ...DELETE, order: 1, serviceAccountSelector: '' },
      [`spec.order: 1 ${LEFT_OUT}`, `spec.serviceAccountSelector: "" ${LEFT_OUT}`],
    ],
    [
      'a rule that is wrong',
      { ingress: [{ ...ALLOW, icmp: { type: 1 } }] },
      ['spec.ingress[0].icmp: needs protocol ICMP or ICMPv6'],
    ],
    [
      'a service in the own namespace',
      { ingress: [{ ...ALLOW, source: SERVICE }] },
      { stagedAction: 'Set', ...POLICY, ingress: [{ ...ALLOWED, source: SERVICE }] },
    ],
  ],
  'x',
);

checkRows(
  'StagedGlobalNetworkPolicy',
  [
    ['nothing is set', undefined, { stagedAction: 'Set', ...GLOBAL }],
    ['a deletion', DELETE, { ...DELETE, ...GLOBAL, types: [] }],
    ['a deletion with a flag', { ...DELETE, applyOnForward: true }, [`spec.applyOnForward: true ${LEFT_OUT}`]],
    [
      'a deletion with namespaces',
      { ...DELETE, namespaceSelector: 'has(a)' },
      [`spec.namespaceSelector: "has(a)" ${LEFT_OUT}`],
    ],
    ['hooks', { preDNAT: true }, [`spec.preDNAT: ${BEFORE}`]],
    [
      'a service without namespace',
      { egress: [{ ...ALLOW, destination: SERVICE }] },
      ['spec.egress[0].destination.services.namespace: is required: the policy itself is in no namespace'],
    ],
  ],
  'x',
);

checkRows(
  'Tier',
  [
    ['nothing', undefined, { order: null, defaultAction: 'Deny' }],
    ['an order', { order: 100 }, { order: 100, defaultAction: 'Deny' }],
    ['a fraction', { order: 0.5, defaultAction: 'Pass' }, { order: 0.5, defaultAction: 'Pass' }],
    ['order null', { order: null }, { order: null, defaultAction: 'Deny' }],
    [
      'a default that no tier has',
      { defaultAction: 'Allow' },
      ['spec.defaultAction: "Allow" is not one of Deny, Pass'],
    ],
    ['an order as text', { order: 'first' }, ['spec.order: must be a number, not "first"']],
    ['a field of policies', { selector: 'all()' }, ['spec.selector: unknown field']],
    ['the longest name', {}, { order: null, defaultAction: 'Deny' }, LONG_LABEL.slice(1)],
    ...['a.b', 'A', 'a_b', LONG_LABEL].map(
      (name): KindRow => [`the name ${name}`, {}, [`metadata.name: ${tierNameMessage(name)}`], name],
    ),
    ...[...BUILT_IN_TIERS].map(([name, spec]): KindRow => [`${name} as it is`, spec, spec, name]),
    [
      'another order for a tier that is there',
      { order: 5 },
      ['spec.order: 5 is not what the tier default has; write 1000000'],
      'default',
    ],
    [
      'another default for a tier that is there',
      { order: 1000, defaultAction: 'Deny' },
      ['spec.defaultAction: "Deny" is not what the tier kube-admin has; write Pass'],
      'kube-admin',
    ],
  ],
  'x',
);

const PROFILE = { ingress: [], egress: [], labelsToApply: {} };

checkRows(
  'Profile',
  [
    ['nothing', undefined, PROFILE],
    [
      'rules and labels',
      { ingress: [ALLOW], egress: [{ action: 'Deny' }], labelsToApply: { a: 'b' } },
      { ingress: [ALLOWED], egress: [{ ...ALLOWED, action: 'Deny' }], labelsToApply: { a: 'b' } },
      'kns.default',
    ],
    [
      'labels that are none',
      { labelsToApply: { 'a b': 'c', d: 'e f' } },
      [
        'spec.labelsToApply.a b: "a b" is not a label: at most 63 letters, digits, "-", "_" and ".", with or without a DNS name and "/" before them',
        'spec.labelsToApply.d: "e f" is not a label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit at each end',
      ],
    ],
    ['an order', { order: 1 }, ['spec.order: unknown field']],
    ['types', { types: ['Ingress'] }, ['spec.types: unknown field']],
    [
      'a service without namespace',
      { ingress: [{ ...ALLOW, source: SERVICE }] },
      ['spec.ingress[0].source.services.namespace: is required: the policy itself is in no namespace'],
    ],
    [
      'a rule that is wrong',
      { egress: [{ ...ALLOW, protocol: 'ICMP', ipVersion: 6 }] },
      ['spec.egress[0].ipVersion: 6 does not go with protocol ICMP, which is of IPv4; write 4 or remove it'],
    ],
  ],
  'x',
);

const SETS: readonly KindRow[] = [
  ['nothing', undefined, { nets: [] }],
  [
    'prefixes and addresses of both families',
    { nets: ['10.0.0.0/8', '192.0.2.1', 'FD00::/8'] },
    { nets: ['10.0.0.0/8', '192.0.2.1/32', 'fd00::/8'] },
  ],
  [
    'host bits',
    { nets: ['10.0.0.0/8', '10.0.0.1/24'] },
    ['spec.nets[1]: "10.0.0.1/24" has host bits set; write 10.0.0.0/24'],
  ],
  ['a name', { nets: ['example.org'] }, ['spec.nets[0]: "example.org" is not a prefix; write ADDRESS/LENGTH']],
  ['no list', { nets: '10.0.0.0/8' }, ['spec.nets: must be a list, not "10.0.0.0/8"']],
  ['another field', { cidrs: [] }, ['spec.cidrs: unknown field']],
];
checkRows('NetworkSet', SETS, 'x');
checkRows('GlobalNetworkSet', SETS, 'x');

test('the label of the namespace cannot be given to a set, others can', () => {
  for (const kind of ['NetworkSet', 'GlobalNetworkSet']) {
    const set = (labels: object) =>
      validateResource({ apiVersion: 'projectcalico.org/v3', kind, metadata: { name: 'x', labels } });
    assert.ok(set({ role: 'db', 'projectcalico.org/name': 'y' }).ok);
    const wrong = set({ 'projectcalico.org/namespace': 'prod' });
    assert.deepEqual(wrong.ok || wrong.problems.map(({ path, message }) => `${formatPath(path)}: ${message}`), [
      'metadata.labels.projectcalico.org/namespace: "prod" cannot be set: the system gives this label; remove it, and write metadata.namespace of a NetworkSet',
    ]);
  }
});

const HOST = { node: 'host-a', expectedIPs: [], profiles: [], ports: [] };
const DEVICE =
  'is not a device name; 1 to 15 letters, digits, "_", "." and "-", or "*" for all that are no container\'s';

checkRows(
  'HostEndpoint',
  [
    ['a device', { node: 'host-a', interfaceName: 'eth0' }, { ...HOST, interfaceName: 'eth0' }],
    ['all devices', { node: 'host-a', interfaceName: '*' }, { ...HOST, interfaceName: '*' }],
    [
      'addresses',
      { node: 'host-a', expectedIPs: ['192.0.2.1', 'FD00::1'] },
      { ...HOST, expectedIPs: ['192.0.2.1', 'fd00::1'] },
    ],
    [
      'everything',
      { ...HOST, interfaceName: 'eth0.10', profiles: ['a'], ports: [{ name: 'http', protocol: 'TCP', port: 80 }] },
      { ...HOST, interfaceName: 'eth0.10', profiles: ['a'], ports: [{ name: 'http', protocol: 'TCP', port: 80 }] },
    ],
    ['no spec', undefined, ['spec: is required']],
    ['no node', { interfaceName: 'eth0' }, ['spec.node: is required']],
    [
      'neither device nor address',
      { node: 'a' },
      [
        'spec.interfaceName: is required, unless expectedIPs is given: the name of a device, or "*" for all that are no container\'s',
      ],
    ],
    [
      'a prefix',
      { node: 'a', expectedIPs: ['192.0.2.0/24'] },
      ['spec.expectedIPs[0]: "192.0.2.0/24" is not an IP address; write it without the length'],
    ],
    [
      'too long a device name',
      { node: 'a', interfaceName: 'e'.repeat(16) },
      [`spec.interfaceName: "${'e'.repeat(16)}" ${DEVICE}`],
    ],
    ['a pattern', { node: 'a', interfaceName: 'eth*' }, [`spec.interfaceName: "eth*" ${DEVICE}`]],
    [
      'a port without name',
      { node: 'a', interfaceName: '*', ports: [{ port: 80, protocol: 'TCP' }] },
      ['spec.ports[0].name: is required'],
    ],
    [
      'a port without protocol',
      { node: 'a', interfaceName: '*', ports: [{ port: 80, name: 'http' }] },
      ['spec.ports[0].protocol: is required: TCP, UDP, SCTP, ICMP, ICMPv6, UDPLite, or a number'],
    ],
    [
      'port 0',
      { node: 'a', interfaceName: '*', ports: [{ port: 0, name: 'x', protocol: 'UDP' }] },
      ['spec.ports[0].port: 0 is too small: at least 1'],
    ],
    [
      'a node that has no such name',
      { node: 'A', interfaceName: '*' },
      [
        'spec.node: "A" is not a name: lower-case letters, digits, "-" and ".", with a letter or digit at each end; write a',
      ],
    ],
  ],
  'x',
);

checkRows(
  'Namespace',
  [
    ['nothing', undefined, {}],
    ['what Kubernetes adds', { finalizers: ['kubernetes'] }, { finalizers: ['kubernetes'] }],
    ['another field', { labels: {} }, ['spec.labels: unknown field']],
    ...['a.b', 'A', LONG_LABEL].map(
      (name): KindRow => [
        `the name ${name}`,
        {},
        [
          `metadata.name: "${name}" is not the name of a namespace: 1 to 63 lower-case letters, digits and "-", with a letter or digit at each end`,
        ],
        name,
      ],
    ),
  ],
  'x',
  KUBERNETES_CORE,
);
