import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import fc from 'fast-check';
import type { Cidr } from '../../net/cidr.ts';
import { cidr, containsCidr, familyOf, formatCidr, prefixOf, sameCidr } from '../../net/cidr.ts';
import { addressBits, ip, ipFromBytes } from '../../net/ip.ts';
import type { PathAttributes } from '../wire/attributes.ts';
import { PLAIN_ATTRIBUTES } from '../wire/attributes.ts';
import type { PolicySource, Verdict } from './policy.ts';
import { compilePolicy } from './policy.ts';
import type { Community, Policy, PolicyOperation, PolicyRule, PrefixCondition } from './policy-rules.ts';

const PLAIN: PathAttributes = { ...PLAIN_ATTRIBUTES, nextHop: ip('192.168.100.100') };
const LOCAL: PolicySource = { family: 4, remote: false, device: undefined, external: false };
const INTERNAL: PolicySource = { ...LOCAL, remote: true };
const EXTERNAL: PolicySource = { ...INTERNAL, external: true };

const STANDARD: Community = { kind: 'standard', value: 0xfc000064 };
const EXTENDED: Community = { kind: 'extended', high: 0x0002fc00, low: 100 };
const LARGE: Community = { kind: 'large', value: [64512, 1, 2] };
const WITH_ALL: PathAttributes = {
  ...PLAIN,
  communities: [1, STANDARD.value],
  extendedCommunities: [[EXTENDED.high, EXTENDED.low]],
  largeCommunities: [LARGE.value],
};

const rule = (fields: Partial<PolicyRule> = {}): PolicyRule => ({
  name: 'the rule',
  action: 'accept',
  operations: [],
  ...fields,
});
const accepting = (...rules: readonly PolicyRule[]): Policy => ({ rules, otherwise: 'reject' });
const named = (prefix: string, condition: Partial<PrefixCondition> = {}, rest: Partial<PolicyRule> = {}): PolicyRule =>
  rule({
    name: prefix,
    prefix: { cidr: cidr(prefix), operator: 'In', lengthMin: undefined, lengthMax: undefined, ...condition },
    ...rest,
  });

function sourceFor(prefix: Cidr, source: PolicySource): PolicySource {
  return { ...source, family: familyOf(prefix) };
}

function verdict(policy: Policy, prefix: Cidr, attributes = PLAIN, source: PolicySource = INTERNAL): Verdict {
  const judged = compilePolicy(policy).judge(attributes, sourceFor(prefix, source));
  return judged.kind === 'byPrefix' ? judged.decide(prefix) : judged;
}

type Row = readonly [title: string, fits: boolean, condition: Partial<PolicyRule>, PathAttributes, PolicySource];

const CONDITIONS: readonly Row[] = [
  ['no condition fits every route', true, {}, PLAIN, LOCAL],
  ['source remote fits what an internal peer told', true, { source: 'remote' }, PLAIN, INTERNAL],
  ['source remote does not fit our own', false, { source: 'remote' }, PLAIN, LOCAL],
  ['source local fits our own', true, { source: 'local' }, PLAIN, LOCAL],
  ['source local does not fit what a peer told', false, { source: 'local' }, PLAIN, EXTERNAL],
  ['a device fits by its name', true, { device: 'eth0' }, PLAIN, { ...LOCAL, device: 'eth0' }],
  ['a device does not fit a longer name', false, { device: 'eth0' }, PLAIN, { ...LOCAL, device: 'eth01' }],
  [
    'a device does not fit a name with something before it',
    false,
    { device: 'eth0' },
    PLAIN,
    { ...LOCAL, device: 'veth0' },
  ],
  ['a device does not fit a route without one', false, { device: '*' }, PLAIN, LOCAL],
  ['* at the end', true, { device: 'cali*' }, PLAIN, { ...LOCAL, device: 'cali12ab' }],
  ['* stands for nothing, too', true, { device: 'cali*' }, PLAIN, { ...LOCAL, device: 'cali' }],
  ['* at the beginning', true, { device: '*.calico' }, PLAIN, { ...LOCAL, device: 'vxlan.calico' }],
  ['. stands for itself', false, { device: '*.calico' }, PLAIN, { ...LOCAL, device: 'vxlan-calico' }],
  ['* in the middle', true, { device: 'e*0' }, PLAIN, { ...LOCAL, device: 'eth0.100' }],
  ['peerType external fits eBGP', true, { peerType: 'external' }, PLAIN, EXTERNAL],
  ['peerType external does not fit iBGP', false, { peerType: 'external' }, PLAIN, INTERNAL],
  ['peerType internal fits iBGP', true, { peerType: 'internal' }, PLAIN, INTERNAL],
  ['peerType fits no route of our own', false, { peerType: 'internal' }, PLAIN, LOCAL],
  ['a community that the route has (RFC 1997)', true, { community: STANDARD }, WITH_ALL, INTERNAL],
  ['an extended community that it has (RFC 4360)', true, { community: EXTENDED }, WITH_ALL, INTERNAL],
  ['a large community that it has (RFC 8092)', true, { community: LARGE }, WITH_ALL, INTERNAL],
  ['a community that it has not', false, { community: STANDARD }, PLAIN, INTERNAL],
  [
    'an extended community with another lower half',
    false,
    { community: { ...EXTENDED, low: 101 } },
    WITH_ALL,
    INTERNAL,
  ],
  ['an extended community with another upper half', false, { community: { ...EXTENDED, high: 1 } }, WITH_ALL, INTERNAL],
  [
    'a large community of which it has two parts',
    false,
    { community: { kind: 'large', value: [64512, 1, 3] } },
    WITH_ALL,
    INTERNAL,
  ],
  ['a path that begins so', true, { asPathPrefix: [7, 8] }, { ...PLAIN, asPath: [7, 8, 9] }, EXTERNAL],
  ['a path that is just so', true, { asPathPrefix: [7, 8] }, { ...PLAIN, asPath: [7, 8] }, EXTERNAL],
  ['a path that begins otherwise', false, { asPathPrefix: [7, 8] }, { ...PLAIN, asPath: [8, 7, 8] }, EXTERNAL],
  ['a path that is too short', false, { asPathPrefix: [7, 8] }, { ...PLAIN, asPath: [7] }, EXTERNAL],
  ['a LOCAL_PREF', true, { localPreference: 200 }, { ...PLAIN, localPreference: 200 }, INTERNAL],
  ['another LOCAL_PREF', false, { localPreference: 200 }, { ...PLAIN, localPreference: 100 }, INTERNAL],
  ['no LOCAL_PREF is 100', true, { localPreference: 100 }, PLAIN, EXTERNAL],
  ['the family of the rule', false, { family: 6 }, PLAIN, INTERNAL],
  ['all of several hold', true, { source: 'remote', community: LARGE }, WITH_ALL, INTERNAL],
  ['one of several does not', false, { source: 'local', community: LARGE }, WITH_ALL, INTERNAL],
];

describe('conditions on attributes are judged without a prefix', () => {
  for (const [title, fits, condition, attributes, source] of CONDITIONS) {
    test(title, () => {
      const judged = compilePolicy(accepting(rule(condition))).judge(attributes, source);
      assert.deepEqual(judged, fits ? { kind: 'accept', attributes } : { kind: 'reject', by: 'no rule fits' });
    });
  }
});

const PREFIXES: readonly (readonly [
  PrefixCondition['operator'],
  string,
  [min?: number | undefined, max?: number | undefined],
  fit: string,
  not: string,
])[] = [
  ['Equal', '10.0.0.0/8', [], '10.0.0.0/8', '10.0.0.0/9 10.0.0.0/7 11.0.0.0/8'],
  ['NotEqual', '10.0.0.0/8', [], '10.0.0.0/9 0.0.0.0/0 11.0.0.0/8', '10.0.0.0/8'],
  ['In', '10.0.0.0/8', [], '10.0.0.0/8 10.255.0.0/16 10.1.2.3/32', '8.0.0.0/6 11.0.0.0/8 0.0.0.0/0'],
  ['NotIn', '10.0.0.0/8', [], '8.0.0.0/6 11.0.0.0/8 0.0.0.0/0', '10.0.0.0/8 10.1.2.3/32'],
  ['In', '0.0.0.0/0', [], '0.0.0.0/0 255.255.255.255/32', ''],
  ['In', '0.0.0.0/0', [25, undefined], '10.0.0.0/25 10.0.0.1/32', '10.0.0.0/24 0.0.0.0/0'],
  ['In', '10.0.0.0/8', [16, 24], '10.1.0.0/16 10.1.2.0/24', '10.0.0.0/15 10.1.2.0/25 11.1.0.0/16'],
  ['NotIn', '10.0.0.0/8', [16, 24], '10.0.0.0/15 10.1.2.0/25 11.1.0.0/16', '10.1.0.0/16 10.1.2.0/24'],
  ['In', '10.0.0.0/8', [undefined, 9], '10.0.0.0/8 10.128.0.0/9', '10.0.0.0/10 10.0.0.0/7'],
  ['In', '10.0.0.0/8', [undefined, 7], '', '10.0.0.0/8 8.0.0.0/7'],
  ['NotIn', '10.0.0.0/8', [undefined, 7], '10.0.0.0/8 8.0.0.0/7', ''],
  ['Equal', '10.0.0.0/8', [8, 8], '10.0.0.0/8', '10.0.0.0/9'],
  ['Equal', '10.0.0.0/8', [9, undefined], '', '10.0.0.0/8 10.0.0.0/9'],
  ['NotEqual', '10.0.0.0/8', [9, undefined], '10.0.0.0/8 10.0.0.0/9', ''],
  ['In', '10.1.2.3/32', [], '10.1.2.3/32', '10.1.2.2/32 10.1.2.2/31'],
  ['In', 'fd00::/8', [64, 64], 'fd00:1:2:3::/64', 'fd00::/63 fd00::1/128 fe00::/64'],
  ['Equal', 'fd00::1/128', [], 'fd00::1/128', 'fd00::/128 fd00::/127'],
  ['NotIn', 'fd00::/8', [], '::/0 fe80::/64', 'fd00::/8 fd00::1/128'],
  // A condition speaks of its own family.
  ['NotIn', 'fd00::/8', [], '', '10.0.0.0/8'],
  ['NotEqual', '10.0.0.0/8', [], '', 'fd00::/8'],
];

describe('CIDR operators', () => {
  for (const [operator, text, [lengthMin, lengthMax], fit, not] of PREFIXES) {
    for (const [prefix, fits] of [
      ...fit.split(' ').map((prefix) => [prefix, true] as const),
      ...not.split(' ').map((prefix) => [prefix, false] as const),
    ]) {
      if (prefix === '') continue;
      const range = `${lengthMin ?? ''}…${lengthMax ?? ''}`;
      test(`${prefix} is ${fits ? '' : 'not '}${operator} ${text} ${range}`, () => {
        const policy = accepting(named(text, { operator, lengthMin, lengthMax }));
        assert.equal(verdict(policy, cidr(prefix)).kind, fits ? 'accept' : 'reject');
      });
    }
  }
});

describe('order', () => {
  const prefix = cidr('10.1.0.0/16');
  const reject = (text: string, rest: Partial<PolicyRule> = {}) => named(text, {}, { action: 'reject', ...rest });
  const ORDERS: Readonly<Record<string, readonly [by: string, ...rules: readonly PolicyRule[]]>> = {
    'the first of two prefixes decides, the wider one': ['10.0.0.0/8', reject('10.0.0.0/8'), named('10.1.0.0/16')],
    'the first of two prefixes decides, the narrower one': [
      '10.1.0.0/16',
      reject('10.1.0.0/16'),
      named('10.0.0.0/8'),
      rule(),
    ],
    'a rule without prefix before one with': ['any', rule({ name: 'any', action: 'reject' }), named('10.0.0.0/8')],
    'a rule without prefix after one that does not fit': [
      'any',
      named('11.0.0.0/8'),
      rule({ name: 'any', action: 'reject' }),
      rule(),
    ],
    'a rule whose other conditions do not hold is passed over': [
      '10.0.0.0/8',
      named('10.0.0.0/8', {}, { community: STANDARD }),
      rule({ community: STANDARD }),
      reject('10.0.0.0/8'),
    ],
    'the first of two equal conditions with different actions': [
      '10.0.0.0/8',
      reject('10.0.0.0/8'),
      named('10.0.0.0/8'),
    ],
    'a wider range of lengths behind a narrower one': [
      '10.0.0.0/8',
      named('10.0.0.0/8', { lengthMin: 17 }),
      named('10.0.0.0/8', { lengthMax: 15 }),
      reject('10.0.0.0/8', { prefix: { cidr: cidr('10.0.0.0/8'), operator: 'In', lengthMin: 16, lengthMax: 24 } }),
    ],
    'otherwise, where nothing fits': ['no rule fits', named('11.0.0.0/8'), rule({ source: 'local' })],
    'what is outside, before a prefix that fits': [
      '11.0.0.0/8',
      named('11.0.0.0/8', { operator: 'NotIn' }, { action: 'reject' }),
      named('10.0.0.0/8'),
    ],
    'what is outside, behind a prefix that fits': [
      '10.0.0.0/8',
      reject('10.0.0.0/8'),
      named('11.0.0.0/8', { operator: 'NotIn' }),
    ],
  };
  for (const [title, [by, ...rules]] of Object.entries(ORDERS)) {
    test(title, () => assert.deepEqual(verdict(accepting(...rules), prefix), { kind: 'reject', by }));
  }

  test('otherwise accepts as it is', () => {
    assert.deepEqual(verdict({ rules: [], otherwise: 'accept' }, prefix), { kind: 'accept', attributes: PLAIN });
  });
});

describe('the prefix is asked only where it can still matter', () => {
  const inside = named('10.0.0.0/8');
  const KINDS: Readonly<Record<string, readonly [kind: string, ...rules: readonly PolicyRule[]]>> = {
    'a prefix rule': ['byPrefix', inside],
    'behind a rule that fits all': ['accept', rule(), inside],
    'under a condition that does not hold': ['reject', named('10.0.0.0/8', {}, { source: 'local' })],
    'that no prefix fits': ['reject', named('10.0.0.0/8', { lengthMax: 7 })],
    'that every prefix fits': ['accept', named('10.0.0.0/8', { lengthMax: 7, operator: 'NotIn' })],
    'of the other family': ['reject', named('fd00::/8')],
    'for the other family': ['reject', { ...inside, family: 6 }],
  };
  for (const [title, [kind, ...rules]] of Object.entries(KINDS)) {
    test(title, () => assert.equal(compilePolicy(accepting(...rules)).judge(PLAIN, INTERNAL).kind, kind));
  }
});

const CHANGES: readonly (readonly [string, PathAttributes, readonly PolicyOperation[], Partial<PathAttributes>])[] = [
  ['a community is added behind the others', WITH_ALL, [adding(2)], { communities: [1, STANDARD.value, 2] }],
  ['a community is added once', PLAIN, [adding(2), adding(2)], { communities: [2] }],
  [
    'an extended community is added',
    PLAIN,
    [{ kind: 'addCommunity', community: EXTENDED }],
    { extendedCommunities: [[EXTENDED.high, EXTENDED.low]] },
  ],
  [
    'a large community is added',
    PLAIN,
    [{ kind: 'addCommunity', community: LARGE }],
    { largeCommunities: [LARGE.value] },
  ],
  ['a community is removed', WITH_ALL, [{ kind: 'removeCommunity', community: STANDARD }], { communities: [1] }],
  [
    'an extended community is removed',
    {
      ...PLAIN,
      extendedCommunities: [
        [EXTENDED.high, EXTENDED.low],
        [1, EXTENDED.low],
      ],
    },
    [{ kind: 'removeCommunity', community: EXTENDED }],
    { extendedCommunities: [[1, EXTENDED.low]] },
  ],
  ['a large community is removed', WITH_ALL, [{ kind: 'removeCommunity', community: LARGE }], { largeCommunities: [] }],
  [
    'numbers are put before the path as they are written',
    { ...PLAIN, asPath: [9] },
    [{ kind: 'prependAsPath', asns: [7, 8] }],
    { asPath: [7, 8, 9] },
  ],
  [
    'operations apply in their order',
    PLAIN,
    [
      { kind: 'prependAsPath', asns: [8] },
      { kind: 'prependAsPath', asns: [7] },
      { kind: 'setMed', value: 1 },
      { kind: 'setMed', value: 2 },
    ],
    { asPath: [7, 8], med: 2 },
  ],
  ['LOCAL_PREF is set', PLAIN, [{ kind: 'setLocalPreference', value: 7 }], { localPreference: 7 }],
  ['MED is set to 0', PLAIN, [{ kind: 'setMed', value: 0 }], { med: 0 }],
];

function adding(value: number): PolicyOperation {
  return { kind: 'addCommunity', community: { kind: 'standard', value } };
}

describe('operations', () => {
  for (const [title, before, operations, after] of CHANGES) {
    test(title, () => {
      const judged = compilePolicy(accepting(rule({ operations }))).judge(before, INTERNAL);
      assert.deepEqual(judged, { kind: 'accept', attributes: { ...before, ...after } });
    });
  }

  test('the same object comes back where nothing changes', () => {
    const operations: PolicyOperation[] = [
      { kind: 'addCommunity', community: STANDARD },
      { kind: 'addCommunity', community: EXTENDED },
      { kind: 'addCommunity', community: LARGE },
      { kind: 'removeCommunity', community: { kind: 'standard', value: 5 } },
      { kind: 'prependAsPath', asns: [] },
      { kind: 'setMed', value: 5 },
    ];
    const attributes = { ...WITH_ALL, med: 5 };
    const judged = compilePolicy(accepting(rule({ operations }))).judge(attributes, INTERNAL);
    assert.ok(judged.kind === 'accept' && judged.attributes === attributes);
  });

  test('equal operations make one object of one input, by prefix and over several judgements', () => {
    const operations = [adding(2)];
    const policy = accepting(
      named('10.0.0.0/8', {}, { operations }),
      named('11.0.0.0/8', {}, { operations: [adding(2)] }),
    );
    const verdicts = [cidr('10.0.0.0/8'), cidr('10.1.0.0/16'), cidr('11.0.0.0/8')].map((prefix) =>
      verdict(policy, prefix),
    );
    const [first] = verdicts.map((verdict) => verdict.kind === 'accept' && verdict.attributes);
    assert.deepEqual(first, { ...PLAIN, communities: [2] });
    for (const verdict of verdicts) assert.ok(verdict.kind === 'accept' && verdict.attributes === first);
  });
});

describe('key', () => {
  const one = accepting(named('10.0.0.0/8', { lengthMax: 24 }, { operations: [adding(2)], community: LARGE }));
  const changed = (fields: Partial<PolicyRule>): Policy => accepting({ ...one.rules[0]!, ...fields });
  const prefix = one.rules[0]!.prefix!;
  const KEYS: readonly (readonly [title: string, same: boolean, Policy])[] = [
    ['names do not count', true, changed({ name: 'another' })],
    [
      'nor does the order in which fields are written',
      true,
      accepting(Object.fromEntries(Object.entries(one.rules[0]!).reverse()) as unknown as PolicyRule),
    ],
    ['otherwise counts', false, { ...one, otherwise: 'accept' }],
    ['the action counts', false, changed({ action: 'reject' })],
    ['the family counts', false, changed({ family: 4 })],
    ['the operator counts', false, changed({ prefix: { ...prefix, operator: 'NotIn' } })],
    ['lengths count', false, changed({ prefix: { ...prefix, lengthMin: 24, lengthMax: undefined } })],
    ['the prefix counts', false, changed({ prefix: { ...prefix, cidr: cidr('10.0.0.0/9') } })],
    ['the community counts', false, changed({ community: STANDARD })],
    ['the other conditions count', false, changed({ source: 'remote' })],
    ['operations count', false, changed({ operations: [adding(3)] })],
    ['the order of rules counts', false, accepting(...one.rules, rule())],
  ];
  for (const [title, same, policy] of KEYS) {
    test(title, () => assert.equal(compilePolicy(policy).key === compilePolicy(one).key, same));
  }

  test('a policy is compiled once', () => assert.equal(compilePolicy(one), compilePolicy(one)));
});

/** What the rules say, tried one by one as they are written. */
function naive({ rules, otherwise }: Policy, prefix: Cidr, attributes: PathAttributes, source: PolicySource): string {
  const inside = ({ cidr, operator, lengthMin = 0, lengthMax = 128 }: PrefixCondition): boolean => {
    const fits = operator === 'Equal' || operator === 'NotEqual' ? sameCidr(cidr, prefix) : containsCidr(cidr, prefix);
    const found = fits && prefix.length >= lengthMin && prefix.length <= lengthMax;
    return operator === 'Equal' || operator === 'In' ? found : !found;
  };
  const first = rules.find(
    (rule) =>
      (rule.family === undefined || rule.family === familyOf(prefix)) &&
      (rule.prefix === undefined || (familyOf(rule.prefix.cidr) === familyOf(prefix) && inside(rule.prefix))) &&
      (rule.source === undefined || rule.source === (source.remote ? 'remote' : 'local')) &&
      (rule.device === undefined || rule.device === source.device) &&
      (rule.peerType === undefined ||
        (source.remote && rule.peerType === (source.external ? 'external' : 'internal'))) &&
      (rule.community?.kind !== 'standard' || attributes.communities.includes(rule.community.value)) &&
      (rule.asPathPrefix === undefined || `${attributes.asPath},`.startsWith(`${rule.asPathPrefix},`)) &&
      (rule.localPreference === undefined || rule.localPreference === (attributes.localPreference ?? 100)),
  );
  const action = first?.action ?? otherwise;
  if (action === 'reject') return `reject by ${first?.name ?? 'no rule fits'}`;
  const meds = first?.operations.map((operation) => (operation.kind === 'setMed' ? operation.value : 0)) ?? [];
  return `accept, med ${meds.at(-1)}`;
}

/** Few values, so that prefixes and conditions often meet. */
const arbitraryPrefix = fc
  .tuple(fc.constantFrom(4, 4, 4, 6), fc.integer({ min: 0, max: 15 }), fc.nat(), fc.integer({ min: 0, max: 7 }))
  .map(([family, high, seed, length]) => {
    const bytes = new Uint8Array(addressBits(family === 4 ? 4 : 6) / 8).fill(seed % 3 === 0 ? 0 : 0xff);
    bytes[0] = high << 4;
    return prefixOf(ipFromBytes(bytes), [0, 1, 2, 3, 4, 9, 24, addressBits(family === 4 ? 4 : 6)][length]!);
  });
const arbitraryRule: fc.Arbitrary<PolicyRule> = fc.record(
  {
    name: fc.uuid(),
    action: fc.constantFrom('accept', 'reject'),
    operations: fc.array(fc.record({ kind: fc.constant('setMed' as const), value: fc.nat(3) }), { maxLength: 2 }),
    family: fc.constantFrom(4, 6),
    prefix: fc.record({
      cidr: arbitraryPrefix,
      operator: fc.constantFrom('Equal', 'NotEqual', 'In', 'In', 'In', 'NotIn'),
      lengthMin: fc.constantFrom(undefined, undefined, 2, 4, 25),
      lengthMax: fc.constantFrom(undefined, undefined, 3, 9, 24, 32),
    }),
    source: fc.constantFrom('remote', 'local'),
    device: fc.constantFrom('a', 'b'),
    peerType: fc.constantFrom('external', 'internal'),
    community: fc.record({ kind: fc.constant('standard' as const), value: fc.nat(1) }),
    asPathPrefix: fc.array(fc.integer({ min: 1, max: 2 }), { minLength: 1, maxLength: 2 }),
    localPreference: fc.constantFrom(100, 200),
  },
  { requiredKeys: ['name', 'action', 'operations'] },
);
/** Of the conditions beside the prefix most rules have none, or nothing would ever fit. */
const arbitraryRules = fc.array(
  fc.tuple(arbitraryRule, fc.nat(2)).map(([rule, kept]) => {
    if (kept === 0) return rule;
    const { name, action, operations, prefix, community } = rule;
    const mild = { name, action, operations, ...(kept === 1 && community && { community }) };
    return prefix === undefined ? mild : { ...mild, prefix };
  }),
  { maxLength: 12 },
);
const arbitraryAttributes = fc
  .record({
    communities: fc.array(fc.nat(1), { maxLength: 2 }),
    asPath: fc.array(fc.integer({ min: 1, max: 2 }), { maxLength: 3 }),
    localPreference: fc.constantFrom(undefined, 100, 200),
  })
  .map((fields): PathAttributes => ({ ...PLAIN, ...fields }));
const arbitrarySource = fc.constantFrom<PolicySource>(LOCAL, { ...LOCAL, device: 'a' }, INTERNAL, EXTERNAL);

test('random policies say of random routes what trying rule by rule says', () => {
  const property = fc.property(
    fc.record({ rules: arbitraryRules, otherwise: fc.constantFrom('accept', 'reject') }),
    arbitraryAttributes,
    arbitrarySource,
    fc.array(arbitraryPrefix, { minLength: 1, maxLength: 8 }),
    (policy: Policy, attributes, source, prefixes) => {
      for (const prefix of prefixes) {
        const found = verdict(policy, prefix, attributes, source);
        const text = found.kind === 'accept' ? `accept, med ${found.attributes.med}` : `reject by ${found.by}`;
        assert.equal(text, naive(policy, prefix, attributes, source), formatCidr(prefix));
      }
    },
  );
  fc.assert(property, { numRuns: 2_000 });
});
