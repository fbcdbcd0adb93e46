/** Files of resources: what is read, and where the errors are said to be. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { parseDocuments, withSource } from './documents.ts';
import { KINDS } from './kinds.ts';
import { RULE_LINES_ANNOTATION } from './metadata.ts';
import { validateLeniently } from './validate.ts';

const HEAD = 'apiVersion: projectcalico.org/v3\n';

function pool(name: string, cidr: string): string {
  return `${HEAD}kind: IPPool\nmetadata:\n  name: ${name}\nspec:\n  cidr: ${cidr}\n`;
}

function sourcesOf(text: string): string[] {
  const parsed = parseDocuments(text, 'f.yaml');
  assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.join('\n'));
  return parsed.resources.map(({ resource, source }) => `${source} ${resource.metadata.name}`);
}

const READ: readonly (readonly [string, string, readonly string[]])[] = [
  ['one document', pool('a', '10.0.0.0/16'), ['f.yaml:1 a']],
  ['several documents', `${pool('a', '10.0.0.0/16')}---\n${pool('b', '10.1.0.0/16')}`, ['f.yaml:1 a', 'f.yaml:8 b']],
  ['empty documents', `---\n# nothing\n---\n${pool('a', '10.0.0.0/16')}---\n`, ['f.yaml:4 a']],
  ['nothing', '', []],
  ['JSON', '{\n\t"apiVersion": "projectcalico.org/v3",\n\t"kind": "Node", "metadata": {"name": "a"}}', ['f.yaml:1 a']],
  [
    'a list',
    `kind: List\napiVersion: v1\nitems:\n- ${HEAD}  kind: Node\n  metadata: {name: a}\n- ${HEAD}  kind: Node\n  metadata: {name: b}\n`,
    ['f.yaml:4 a', 'f.yaml:7 b'],
  ],
  ['a list of a kind', `kind: NodeList\nitems:\n- ${HEAD}  kind: Node\n  metadata: {name: a}\n`, ['f.yaml:3 a']],
  ['an empty list', 'kind: IPPoolList\nitems: []\n', []],
  ['an anchor', `${HEAD}kind: Node\nmetadata: {name: a, labels: &l {x: y}, annotations: *l}\n`, ['f.yaml:1 a']],
  ['a status', `${HEAD}kind: Node\nmetadata: {name: a}\nstatus: {podCIDRs: [x]}\n`, ['f.yaml:1 a']],
];

for (const [title, text, expected] of READ) {
  test(`${title} is read`, () => assert.deepEqual(sourcesOf(text), expected));
}

const WRONG: readonly (readonly [string, string, readonly (string | RegExp)[]])[] = [
  ['a value', pool('a', '10.0.0.1/8'), ['f.yaml:6:9: spec.cidr: "10.0.0.1/8" has host bits set; write 10.0.0.0/8']],
  [
    'errors of all documents, in their order',
    `${pool('a', 'x')}  natOutgoin: true\n---\n${HEAD}kind: Node\nmetadata: {}\n---\n${pool('B', '10.0.0.0/16')}`,
    [
      'f.yaml:6:9: spec.cidr: "x" is not a prefix; write ADDRESS/LENGTH',
      'f.yaml:7:3: spec.natOutgoin: unknown field; did you mean natOutgoing?',
      'f.yaml:11:1: metadata.name: is required',
      /^f.yaml:16:9: metadata.name: "B" is not a name/,
    ],
  ],
  [
    'a list item',
    `kind: List\nitems:\n- ${pool('a', '10.0.0.0/33').replaceAll('\n', '\n  ')}`,
    ['f.yaml:8:11: items[0].spec.cidr: "10.0.0.0/33" is not a prefix; its length must be 0 to 32'],
  ],
  [
    'a key twice',
    'kind: Node\nkind: IPPool\n',
    ['f.yaml:2:1: this key is in the mapping twice; remove one of the two'],
  ],
  ['broken YAML', 'kind: [Node\n', [/^f.yaml:2:1: Flow sequence/]],
  ['a tab', 'kind:\n\tx: 1\n', [/^f.yaml:2:1: Tabs are not allowed/]],
  [
    'the same object twice',
    `${pool('a', '10.0.0.0/16')}---\n${pool('a', '10.0.0.0/16')}`,
    ['f.yaml:8: IPPool a is already at f.yaml:1'],
  ],
  [
    'a kind in the wrong case',
    `${HEAD}kind: ippool\n`,
    [/^f.yaml:2:7: kind: unknown kind "ippool"; did you mean IPPool\? \(known kinds: /],
  ],
  ['no kind', `${HEAD}`, ['f.yaml:1:1: kind: is required, as text: IPPool, Node …']],
  [
    'another version',
    pool('a', '10.0.0.0/16').replace('v3', 'v1'),
    ['f.yaml:1:13: apiVersion: "projectcalico.org/v1" is not known; write projectcalico.org/v3'],
  ],
  ['no mapping', '- a\n', ['f.yaml:1:1: must be a resource, not ["a"]']],
  [
    'a field at the top',
    `${pool('a', '10.0.0.0/16')}specs: {}\n`,
    ['f.yaml:7:1: specs: unknown field; did you mean spec?'],
  ],
  ['__proto__', `${pool('a', '10.0.0.0/16')}  __proto__: {x: 1}\n`, ['f.yaml:7:3: spec.__proto__: unknown field']],
  ['nesting', '['.repeat(100_000), ['f.yaml:1:66: is nested more than 64 levels deep']],
  [
    'nesting of blocks',
    Array.from({ length: 70 }, (_, depth) => `${' '.repeat(depth)}a:`).join('\n'),
    ['f.yaml:66:66: is nested more than 64 levels deep'],
  ],
  [
    'an alias bomb',
    `a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c,*c,*c,*c,*c,*c]\n`,
    ['f.yaml:1:1: has aliases that stand for more than 100 values'],
  ],
  ['too long a text', '#'.repeat(8 * 1024 * 1024 + 1), [/^f.yaml:1:1: is 8388609 characters long; at most 8388608/]],
  [
    'too many resources',
    `kind: List\nitems: [${'{},'.repeat(10_001)}]`,
    ['f.yaml: more than 10000 resources; split the file'],
  ],
];

for (const [title, text, expected] of WRONG) {
  test(`${title}: the error says where and what`, () => {
    const parsed = parseDocuments(text, 'f.yaml');
    assert.ok(!parsed.ok);
    assert.equal(parsed.problems.length, expected.length, parsed.problems.slice(0, 10).join('\n'));
    for (const [index, wanted] of expected.entries()) {
      if (typeof wanted === 'string') assert.equal(parsed.problems[index], wanted);
      else assert.match(parsed.problems[index]!, wanted);
    }
  });
}

/** Text, what is warned of, and the specs that are left; or the problems that stay. */
const LENIENT: readonly (readonly [string, string, readonly string[], object[] | readonly string[]])[] = [
  ['nothing unknown', pool('a', '10.0.0.0/16'), [], [{ cidr: '10.0.0.0/16' }]],
  [
    'unknown fields at every level',
    `${pool('a', '10.0.0.0/16').replace('name: a', 'name: a\n  lables: {x: y}')}  natOutgoin: true\nstats: {}\n`,
    [
      'f.yaml:5:3: metadata.lables: unknown field; did you mean labels?; left out',
      'f.yaml:8:3: spec.natOutgoin: unknown field; did you mean natOutgoing?; left out',
      'f.yaml:9:1: stats: unknown field; did you mean status?; left out',
    ],
    [{ cidr: '10.0.0.0/16', natOutgoing: false }],
  ],
  [
    'unknown fields in lists, and in several resources',
    `${HEAD}kind: BGPFilter\nmetadata: {name: a}\nspec: {importV4: [{action: Accept}, {action: Reject, log: 1}]}\n---\n${pool('b', '10.0.0.0/16')}  x: 1\n`,
    ['f.yaml:4:54: spec.importV4[1].log: unknown field; left out', 'f.yaml:12:3: spec.x: unknown field; left out'],
    [{ importV4: [{ action: 'Accept' }, { action: 'Reject' }] }, { cidr: '10.0.0.0/16' }],
  ],
  [
    'what joins fields is still a rule',
    `${HEAD}kind: BGPPeer\nmetadata: {name: a}\nspec: {peerIp: 10.0.0.1}\n`,
    [],
    ['f.yaml:4:7: spec: names no peer; set one of peerIP, peerSelector, localWorkloadSelector'],
  ],
  [
    'wrong values stay errors',
    `${pool('a', 'x')}  y: 1\n`,
    [],
    ['f.yaml:6:9: spec.cidr: "x" is not a prefix; write ADDRESS/LENGTH'],
  ],
  [
    'an unknown kind stays an error',
    `${HEAD}kind: BGPPeers\n`,
    [],
    ['f.yaml:2:7: kind: unknown kind "BGPPeers"; did you mean BGPPeer?'],
  ],
];

for (const [title, text, warnings, expected] of LENIENT) {
  test(`read leniently: ${title}`, () => {
    const parsed = parseDocuments(text, 'f.yaml', { lenient: true });
    if (!parsed.ok) {
      assert.deepEqual(
        parsed.problems.map((problem) => problem.replace(/ \(known kinds: .*/, '')),
        expected,
      );
      return;
    }
    assert.deepEqual(parsed.warnings, warnings);
    assert.equal(parsed.resources.length, expected.length);
    for (const [index, spec] of expected.entries())
      assert.partialDeepStrictEqual(parsed.resources[index]!.resource.spec, spec);
    assert.equal(parseDocuments(text, 'f.yaml').ok, warnings.length === 0);
  });
}

test('only the first hundred problems are told', () => {
  const parsed = parseDocuments(`kind: List\nitems: [${'{},'.repeat(300)}]`, 'f.yaml');
  assert.ok(!parsed.ok);
  assert.equal(parsed.problems.length, 101);
  assert.equal(parsed.problems.at(-1), 'and 200 more');
});

test('the source of a resource is recorded in its annotations, beside what is there', () => {
  const parsed = parseDocuments(
    `# a comment\n${HEAD}kind: Node\nmetadata: {name: a, annotations: {x: y}}\n`,
    'dir/f.yaml',
  );
  assert.ok(parsed.ok);
  const [only] = parsed.resources;
  assert.deepEqual(withSource(only!).metadata.annotations, { x: 'y', 'muslin.io/source': 'dir/f.yaml:2' });
});

/** Words that make up real specs, so that random ones get past the first level. */
const WORDS =
  `name cidr importV4 exportV6 action Accept operations addCommunity value 64512:1 prefixLength min max peerIP
10.0.0.1 asNumber node nodeSelector all() password secretKeyRef key filters failsafeInboundHostPorts tcp:22 protocol tcp port net
routeTableRanges bpfConntrackTimeouts healthTimeoutOverrides externalNodesList communities values controllers hostEndpoint
templates labels bgp addresses ingress egress source destination ports rules 10.0.0.0/8 classes __proto__ constructor`.split(
    /\s+/,
  );

test('any spec of any kind is read or refused: nothing throws, and leniency leaves no unknown field', () => {
  const word = fc.constantFrom(...WORDS);
  const { spec } = fc.letrec<{ spec: unknown }>((tie) => ({
    spec: fc.oneof(
      { depthSize: 'medium' },
      word,
      fc.integer({ min: -1, max: 70_000 }),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie('spec'), { maxLength: 3 }),
      fc.dictionary(word, tie('spec'), { maxKeys: 4 }),
    ),
  }));
  fc.assert(
    fc.property(fc.constantFrom(...KINDS), spec, ({ apiVersion, documentKind, nameProblem }, spec) => {
      const name = nameProblem('default') === undefined ? 'default' : 'a';
      const { validated } = validateLeniently({ apiVersion, kind: documentKind, metadata: { name }, spec });
      if (!validated.ok) assert.ok(validated.problems.every(({ onName }) => onName !== true));
    }),
    { numRuns: 2000, seed: 1 },
  );
});

test('very many unknown fields are told of, or left out, in the time of one reading', () => {
  const fields = Array.from({ length: 5_000 }, (_, index) => `  routeRefreshInterva${index}: 1\n`).join('');
  const text = `${HEAD}kind: FelixConfiguration\nmetadata: {name: default}\nspec:\n${fields}`;
  const strict = parseDocuments(text, 'f.yaml');
  assert.ok(!strict.ok);
  assert.match(strict.problems[0]!, /did you mean routeRefreshInterval\?$/);
  assert.equal(strict.problems.at(-1), 'and 4900 more');
  const lenient = parseDocuments(text, 'f.yaml', { lenient: true });
  assert.ok(lenient.ok);
  assert.deepEqual(lenient.resources[0]?.resource.spec, {});
  assert.equal(lenient.warnings.length, 101);
});

const POLICY = `${HEAD}kind: GlobalNetworkPolicy
metadata: {name: a}
spec:
  ingress:
  - action: Deny

  # why
  -
    action: Allow
    protocol: TCP
  egress: [{action: Deny}, {action: Pass}]
`;

const RULE_LINES: readonly (readonly [string, string, string | undefined])[] = [
  ['in YAML', POLICY, '{"ingress":[6,10],"egress":[12,12]}'],
  ['behind another document', `${pool('b', '10.0.0.0/16')}---\n${POLICY}`, '{"ingress":[13,17],"egress":[19,19]}'],
  [
    'in a list',
    `kind: List\nitems:\n- ${POLICY.replaceAll('\n', '\n  ').trimEnd()}\n`,
    '{"ingress":[8,12],"egress":[14,14]}',
  ],
  [
    'of an anchor, where it stands written',
    `${HEAD}kind: GlobalNetworkPolicy\nmetadata: {name: a}\nspec:\n  ingress:\n  - &r {action: Deny}\n  - *r\n`,
    '{"ingress":[6,7]}',
  ],
  ['of an empty list', `${HEAD}kind: GlobalNetworkPolicy\nmetadata: {name: a}\nspec: {ingress: []}\n`, undefined],
  ['of what has none', pool('a', '10.0.0.0/16'), undefined],
];

for (const [title, text, expected] of RULE_LINES) {
  test(`lines of rules ${title}`, () => {
    const parsed = parseDocuments(text, 'f.yaml');
    assert.ok(parsed.ok, parsed.ok ? '' : parsed.problems.join('\n'));
    const annotations = withSource(parsed.resources.at(-1)!).metadata.annotations;
    assert.equal(annotations?.[RULE_LINES_ANNOTATION], expected);
  });
}

test('lines of rules are those of this reading, whatever the text says of an earlier one', () => {
  const stale = POLICY.replace('{name: a}', `{name: a, annotations: {${RULE_LINES_ANNOTATION}: '{"ingress":[1]}'}}`);
  const parsed = parseDocuments(stale, 'f.yaml');
  assert.ok(parsed.ok);
  const annotations = withSource(parsed.resources[0]!).metadata.annotations;
  assert.equal(annotations?.[RULE_LINES_ANNOTATION], '{"ingress":[6,10],"egress":[12,12]}');
});
