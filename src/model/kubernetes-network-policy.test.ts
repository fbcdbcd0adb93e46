/** Kubernetes' NetworkPolicy, enforced and staged, and how its name is kept apart from Calico's. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stringify } from 'yaml';
import { parseDocuments } from './documents.ts';
import type { KindRow } from './kind-rows.suite.ts';
import { checkRows } from './kind-rows.suite.ts';
import { kindByWord } from './kinds.ts';
import { formatLabelSelector } from './label-selector.ts';
import { formatPath } from './problem.ts';
import { KUBERNETES_NETWORKING } from './resource.ts';
import { valueOfResource } from './resource-entry.ts';
import { keyOf } from './resource-key.ts';
import { validateResource } from './validate.ts';

const POLICY = { podSelector: {}, policyTypes: ['Ingress'], ingress: [], egress: [] };
const WEB = { matchLabels: { app: 'web' } };

/** An ingress rule that is taken, and what has become of it. */
function taken(title: string, rule: object, becomes: object): KindRow {
  return [title, { podSelector: {}, ingress: [rule] }, { ...POLICY, ingress: [{ from: [], ports: [], ...becomes }] }];
}

function refused(title: string, rule: object, ...problems: string[]): KindRow {
  return [title, { podSelector: {}, ingress: [rule] }, problems.map((problem) => `spec.ingress[0]${problem}`)];
}

function expression(title: string, fields: object, ...problems: string[]): KindRow {
  const podSelector = { matchExpressions: [fields] };
  const place = 'spec.podSelector.matchExpressions[0]';
  return [
    title,
    { podSelector },
    problems.length === 0 ? { ...POLICY, podSelector } : problems.map((problem) => `${place}${problem}`),
  ];
}

const NO_PORT = 'is not a port; write a number from 1 to 65535, or a name: up to 15 lower-case letters, digits and "-"';
const LABEL_VALUE = 'is not a label value: at most 63 letters, digits, "-", "_" and ".", a letter or digit at each end';
const block = (cidr: string, ...except: string[]) => ({ from: [{ ipBlock: { cidr, except } }] });

const ROWS: readonly KindRow[] = [
  ['nothing chooses all pods', undefined, POLICY],
  [
    'deny all',
    { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
    { ...POLICY, policyTypes: ['Ingress', 'Egress'] },
  ],
  [
    'egress rules are for both directions',
    { egress: [{}] },
    { ...POLICY, policyTypes: ['Ingress', 'Egress'], egress: [{ to: [], ports: [] }] },
  ],
  ['egress alone', { policyTypes: ['Egress'] }, { ...POLICY, policyTypes: ['Egress'] }],
  ['empty types follow from rules', { policyTypes: [] }, POLICY],
  [
    'a type twice',
    { policyTypes: ['Egress', 'Egress'] },
    ['spec.policyTypes[1]: "Egress" is there twice; remove one of them'],
  ],
  [
    'a type in lower case',
    { policyTypes: ['ingress'] },
    ['spec.policyTypes[0]: "ingress" is not one of Ingress, Egress; did you mean Ingress?'],
  ],
  ['the field of Calico', { types: ['Ingress'] }, ['spec.types: unknown field']],
  ['a selector of Calico', { podSelector: 'all()' }, ['spec.podSelector: must be a mapping, not "all()"']],
  ['labels', { podSelector: WEB }, { ...POLICY, podSelector: WEB }],
  [
    'a label that is none',
    { podSelector: { matchLabels: { app: 'a b' } } },
    [`spec.podSelector.matchLabels.app: "a b" ${LABEL_VALUE}`],
  ],
  [
    'a label that YAML took for a truth',
    { podSelector: { matchLabels: { app: true } } },
    ["spec.podSelector.matchLabels.app: must be text, not true; put it in quotes: 'true'"],
  ],
  [
    'a misspelt field',
    { podSelector: { matchLabel: {} } },
    ['spec.podSelector.matchLabel: unknown field; did you mean matchLabels?'],
  ],

  expression('In', { key: 'a', operator: 'In', values: ['b', 'c'] }),
  expression('NotIn', { key: 'a', operator: 'NotIn', values: [''] }),
  expression('Exists', { key: 'example.org/a', operator: 'Exists' }),
  expression('DoesNotExist', { key: 'a', operator: 'DoesNotExist', values: [] }),
  expression('In without values', { key: 'a', operator: 'In' }, '.values: is required: In needs one value at least'),
  expression(
    'NotIn with no value',
    { key: 'a', operator: 'NotIn', values: [] },
    '.values: is required: NotIn needs one value at least',
  ),
  expression(
    'Exists with values',
    { key: 'a', operator: 'Exists', values: ['b'] },
    '.values: must be left out: Exists takes none',
  ),
  expression(
    'DoesNotExist with values',
    { key: 'a', operator: 'DoesNotExist', values: ['b'] },
    '.values: must be left out: DoesNotExist takes none',
  ),
  expression(
    'another operator',
    { key: 'a', operator: 'Equals' },
    '.operator: "Equals" is not one of In, NotIn, Exists, DoesNotExist',
  ),
  expression('no key', { operator: 'Exists' }, '.key: is required'),
  expression(
    'a key that is none',
    { key: 'a b', operator: 'Exists' },
    '.key: "a b" is not a label: at most 63 letters, digits, "-", "_" and ".", with or without a DNS name and "/" before them',
  ),
  expression(
    'a value that is none',
    { key: 'a', operator: 'In', values: ['b', '-'] },
    `.values[1]: "-" ${LABEL_VALUE}`,
  ),

  taken('a rule for everybody', {}, {}),
  taken('pods', { from: [{ podSelector: WEB }] }, { from: [{ podSelector: WEB }] }),
  taken('all pods of the namespace', { from: [{ podSelector: {} }] }, { from: [{ podSelector: {} }] }),
  taken(
    'pods of namespaces',
    { from: [{ podSelector: {}, namespaceSelector: WEB }] },
    { from: [{ podSelector: {}, namespaceSelector: WEB }] },
  ),
  taken('a block', block('10.0.0.0/8'), block('10.0.0.0/8')),
  taken(
    'a block but for some',
    block('10.0.0.0/8', '10.1.0.0/16', '10.2.0.1/32'),
    block('10.0.0.0/8', '10.1.0.0/16', '10.2.0.1/32'),
  ),
  taken('a block of IPv6', block('FD00::/8', 'FD01::/16'), block('fd00::/8', 'fd01::/16')),
  refused(
    'a peer that is nobody',
    { from: [{}] },
    '.from[0]: chooses nobody; write podSelector, namespaceSelector or ipBlock, or leave out the list for everybody',
  ),
  refused(
    'a block beside pods',
    { from: [{ podSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] },
    '.from[0].ipBlock: cannot stand beside podSelector and namespaceSelector; write two peers',
  ),
  refused(
    'a block beside namespaces',
    { from: [{ namespaceSelector: {}, ipBlock: { cidr: '10.0.0.0/8' } }] },
    '.from[0].ipBlock: cannot stand beside podSelector and namespaceSelector; write two peers',
  ),
  refused(
    'a hole elsewhere',
    block('10.0.0.0/8', '10.1.0.0/16', '11.0.0.0/16'),
    '.from[0].ipBlock.except[1]: "11.0.0.0/16" is not a part of "10.0.0.0/8"; write a longer prefix inside of it',
  ),
  refused(
    'a hole that is all',
    block('10.0.0.0/8', '10.0.0.0/8'),
    '.from[0].ipBlock.except[0]: "10.0.0.0/8" is not a part of "10.0.0.0/8"; write a longer prefix inside of it',
  ),
  refused(
    'a hole around',
    block('10.0.0.0/8', '0.0.0.0/0'),
    '.from[0].ipBlock.except[0]: "0.0.0.0/0" is not a part of "10.0.0.0/8"; write a longer prefix inside of it',
  ),
  refused(
    'a hole of the other family',
    block('0.0.0.0/0', 'fd00::/8'),
    '.from[0].ipBlock.except[0]: "fd00::/8" is not a part of "0.0.0.0/0"; write a longer prefix inside of it',
  ),
  refused('an address', block('10.0.0.1'), '.from[0].ipBlock.cidr: "10.0.0.1" is not a prefix; write 10.0.0.1/32'),
  refused('no block', { from: [{ ipBlock: {} }] }, '.from[0].ipBlock.cidr: is required'),
  refused('the wrong end', { to: [] }, '.to: unknown field'),

  taken(
    'ports',
    { ports: [{ port: 80 }, { protocol: 'UDP', port: 'dns' }] },
    {
      ports: [
        { protocol: 'TCP', port: 80 },
        { protocol: 'UDP', port: 'dns' },
      ],
    },
  ),
  taken('a protocol alone', { ports: [{ protocol: 'SCTP' }] }, { ports: [{ protocol: 'SCTP' }] }),
  taken('any TCP', { ports: [{}] }, { ports: [{ protocol: 'TCP' }] }),
  taken('a range', { ports: [{ port: 80, endPort: 90 }] }, { ports: [{ protocol: 'TCP', port: 80, endPort: 90 }] }),
  taken(
    'a range of one',
    { ports: [{ port: 80, endPort: 80 }] },
    { ports: [{ protocol: 'TCP', port: 80, endPort: 80 }] },
  ),
  refused(
    'another protocol',
    { ports: [{ protocol: 'ICMP' }] },
    '.ports[0].protocol: "ICMP" is not one of TCP, UDP, SCTP',
  ),
  refused(
    'a range backwards',
    { ports: [{ port: 80, endPort: 79 }] },
    '.ports[0].endPort: 79 is less than port 80; write 80 or more',
  ),
  refused(
    'a range from a name',
    { ports: [{ port: 'http', endPort: 90 }] },
    '.ports[0].endPort: 90 ends a range that has no beginning; set port to a number',
  ),
  refused(
    'a range from nowhere',
    { ports: [{ endPort: 90 }] },
    '.ports[0].endPort: 90 ends a range that has no beginning; set port to a number',
  ),
  refused('port 0', { ports: [{ port: 0 }] }, '.ports[0].port: 0 is too small: at least 1'),
  ...['HTTP', 'a--b', '80', 'sixteen-letters-', ''].map((port) =>
    refused(`port "${port}"`, { ports: [{ port }] }, `.ports[0].port: ${JSON.stringify(port)} ${NO_PORT}`),
  ),
];

/** The rows carry Calico's name for the document; the version makes it Kubernetes' kind. */
checkRows('NetworkPolicy', ROWS, 'x', KUBERNETES_NETWORKING);

const DELETE = { stagedAction: 'Delete' };

checkRows(
  'StagedKubernetesNetworkPolicy',
  [
    ['nothing is set', undefined, { stagedAction: 'Set', ...POLICY }],
    [
      'a policy',
      { stagedAction: 'Learn', podSelector: WEB, egress: [{}] },
      {
        stagedAction: 'Learn',
        ...POLICY,
        podSelector: WEB,
        policyTypes: ['Ingress', 'Egress'],
        egress: [{ to: [], ports: [] }],
      },
    ],
    ['a deletion', DELETE, { ...DELETE, ...POLICY, policyTypes: [] }],
    [
      'a deletion with pods',
      { ...DELETE, podSelector: WEB },
      [
        'spec.podSelector: {"matchLabels":{"app":"web"}} must be left out: stagedAction is Delete, and what is deleted needs no rules',
      ],
    ],
    [
      'a deletion with types',
      { ...DELETE, policyTypes: ['Ingress'] },
      ['spec.policyTypes: ["Ingress"] must be left out: stagedAction is Delete, and what is deleted needs no rules'],
    ],
    [
      'a rule that is wrong',
      { egress: [{ to: [{}] }] },
      [
        'spec.egress[0].to[0]: chooses nobody; write podSelector, namespaceSelector or ipBlock, or leave out the list for everybody',
      ],
    ],
    ['a tier', { tier: 'default' }, ['spec.tier: unknown field']],
  ],
  'x',
);

test('two policies of one name and two groups are two resources', () => {
  const text = ['projectcalico.org/v3', KUBERNETES_NETWORKING]
    .map((apiVersion) => stringify({ apiVersion, kind: 'NetworkPolicy', metadata: { name: 'a', namespace: 'n' } }))
    .join('---\n');
  const parsed = parseDocuments(text, 'f.yaml');
  assert.ok(parsed.ok);
  assert.deepEqual(
    parsed.resources.map(({ resource }) => keyOf(resource)),
    ['/resources/NetworkPolicy/n/a', '/resources/KubernetesNetworkPolicy/n/a'],
  );
  const again = parseDocuments(
    parsed.resources.map(({ resource }) => stringify(valueOfResource(resource))).join('---\n'),
    'f.yaml',
  );
  assert.ok(again.ok);
  assert.deepEqual(
    again.resources.map(({ resource }) => resource),
    parsed.resources.map(({ resource }) => resource),
  );
});

test('a list of them is read', () => {
  const policy = { apiVersion: KUBERNETES_NETWORKING, kind: 'NetworkPolicy', metadata: { name: 'a' } };
  const list = { apiVersion: KUBERNETES_NETWORKING, kind: 'NetworkPolicyList', items: [policy] };
  const parsed = parseDocuments(stringify(list), 'f.yaml');
  assert.ok(parsed.ok);
  assert.equal(parsed.resources[0]?.resource.kind, 'KubernetesNetworkPolicy');
});

const ENVELOPES: readonly (readonly [title: string, document: object, problems: readonly (string | RegExp)[]])[] = [
  [
    'an old version',
    { apiVersion: 'extensions/v1beta1', kind: 'NetworkPolicy', spec: { nonsense: 1 } },
    [/^apiVersion: "extensions\/v1beta1" is not known; write projectcalico.org\/v3 or networking.k8s.io\/v1$/],
  ],
  [
    'no version',
    { kind: 'NetworkPolicy' },
    [/^apiVersion: is required: projectcalico.org\/v3 or networking.k8s.io\/v1$/],
  ],
  [
    'our own name',
    { apiVersion: KUBERNETES_NETWORKING, kind: 'KubernetesNetworkPolicy' },
    [
      /^kind: unknown kind "KubernetesNetworkPolicy"; did you mean NetworkPolicy of apiVersion networking.k8s.io\/v1\? /,
    ],
  ],
  [
    "Calico's version for a namespace",
    { apiVersion: 'projectcalico.org/v3', kind: 'Namespace', metadata: { name: 'a' } },
    [/^apiVersion: "projectcalico.org\/v3" is not known; write v1$/],
  ],
  [
    "Kubernetes' version for a kind of Calico",
    { apiVersion: KUBERNETES_NETWORKING, kind: 'Tier', metadata: { name: 'a' } },
    [/^apiVersion: "networking.k8s.io\/v1" is not known; write projectcalico.org\/v3$/],
  ],
];

for (const [title, document, expected] of ENVELOPES) {
  test(`${title}: the error says which version is right`, () => {
    const result = validateResource(document);
    const found = result.ok ? [] : result.problems.map(({ path, message }) => `${formatPath(path)}: ${message}`);
    assert.equal(found.length, expected.length, found.join('\n'));
    for (const [index, wanted] of expected.entries()) assert.match(found[index] ?? '', new RegExp(wanted));
  });
}

test('users call each of the policy kinds by the words of calicoctl', () => {
  const words: Readonly<Record<string, readonly string[]>> = {
    NetworkPolicy: ['np', 'pol', 'policy', 'policies', 'networkpolicy', 'networkpolicies'],
    GlobalNetworkPolicy: ['gnp', 'globalnetworkpolicies'],
    KubernetesNetworkPolicy: ['knp', 'k8snetworkpolicy', 'kubernetesnetworkpolicy'],
    StagedNetworkPolicy: ['snp'],
    StagedGlobalNetworkPolicy: ['sgnp'],
    StagedKubernetesNetworkPolicy: ['sknp'],
    Tier: ['tier', 'tiers'],
    Profile: ['pro', 'profiles'],
    HostEndpoint: ['hep', 'heps'],
    NetworkSet: ['netset', 'netsets'],
    GlobalNetworkSet: ['gns', 'gnetsets'],
    Namespace: ['ns', 'namespaces'],
  };
  for (const [kind, list] of Object.entries(words)) {
    for (const word of list) assert.equal(kindByWord(word)?.kind, kind, word);
  }
});

test('label selectors are printed as kubectl prints them', () => {
  const printed = formatLabelSelector({
    matchLabels: { app: 'web', zone: 'a' },
    matchExpressions: [
      { key: 'tier', operator: 'In', values: ['a', 'b'] },
      { key: 'old', operator: 'NotIn', values: ['x'] },
      { key: 'here', operator: 'Exists' },
      { key: 'gone', operator: 'DoesNotExist' },
    ],
  });
  assert.equal(printed, 'app=web,zone=a,tier in (a,b),old notin (x),here,!gone');
  assert.equal(formatLabelSelector({}), '<none>');
});
