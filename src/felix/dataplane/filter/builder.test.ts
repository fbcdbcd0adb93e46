import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { cidr } from '../../../net/cidr.ts';
import { ip } from '../../../net/ip.ts';
import type { DesiredEndpoint } from '../../desired/desired.ts';
import type { FilterSettings } from '../../desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../desired/filter-settings.ts';
import type {
  DesiredHostEndpoint,
  DesiredPolicy,
  DesiredProfile,
  DesiredRule,
  EndpointPolicy,
  EndpointTier,
  PolicyChanges,
  PolicyId,
  RuleAction,
  RuleEnd,
  SetChange,
  SetId,
} from '../../desired/policy.ts';
import { ALL_POOLS, MASQUERADED_POOLS, setId } from '../../desired/policy.ts';
import { FilterBuilder } from './builder.ts';
import type { HostDevice } from './host-devices.ts';
import type { Chain, ChainKey, Dialect, FilterProgram, ProgramChanges } from './program.ts';
import { chainKey, IPTABLES_DIALECT, NFTABLES_DIALECT } from './program.ts';
import { chainText } from './rule-text.suite.ts';

const NO_END: RuleEnd = {
  nets: [],
  notNets: [],
  sets: [],
  notSets: [],
  ports: [],
  portSets: [],
  notPorts: [],
  notPortSets: [],
};

function ruleOf(action: RuleAction, asked: Partial<DesiredRule> = {}): DesiredRule {
  return {
    index: 0,
    action,
    family: undefined,
    protocol: undefined,
    notProtocol: undefined,
    icmp: undefined,
    notIcmp: undefined,
    source: NO_END,
    destination: NO_END,
    provenance: { origin: 'test' },
    ...asked,
  };
}

function policyOf(id: string, asked: Partial<DesiredPolicy> = {}): DesiredPolicy {
  const numbered = (rules: readonly DesiredRule[] = []) => rules.map((rule, index) => ({ ...rule, index }));
  return {
    id: id as PolicyId,
    tier: 'default',
    selector: 'all()',
    staged: false,
    stage: 'normal',
    applyOnForward: false,
    provenance: { origin: id },
    ...asked,
    ingress: numbered(asked.ingress),
    egress: numbered(asked.egress),
  };
}

function tierOf(name: string, ids: readonly string[], asked: Partial<EndpointTier> = {}): EndpointTier {
  const policies = ids as readonly PolicyId[];
  return {
    name,
    defaultAction: 'deny',
    ingress: policies,
    egress: policies,
    provenance: { origin: `Tier ${name}` },
    ...asked,
  };
}

function endpointOf(id: string, deviceName: string, asked: Partial<DesiredEndpoint> = {}): DesiredEndpoint {
  return {
    id,
    deviceName,
    addresses: [cidr('10.0.0.1/32')],
    policy: { tiers: [], profiles: ['kns.default'] },
    floatingIps: [],
    allowedSources: [],
    provenance: { origin: `WorkloadEndpoint default/${id}` },
    ...asked,
  };
}

function profileOf(name: string, action: RuleAction = 'allow'): DesiredProfile {
  return { name, ingress: [ruleOf(action)], egress: [ruleOf(action)], provenance: { origin: `Profile ${name}` } };
}

const OTHER_MARKS = { accept: 1, pass: 2, drop: 4, scratch0: 8, scratch1: 16 };

interface State {
  readonly endpoints: readonly DesiredEndpoint[];
  readonly policies: readonly DesiredPolicy[];
  readonly profiles: readonly DesiredProfile[];
  readonly hostEndpoints: readonly DesiredHostEndpoint[];
  readonly sets: ReadonlyMap<SetId, { readonly kind: 'nets' | 'ports'; readonly members: readonly string[] }>;
  readonly hostDevices: readonly HostDevice[];
  readonly settings: FilterSettings;
  readonly dialect: Dialect;
}

const NOTHING: State = {
  endpoints: [],
  policies: [],
  profiles: [],
  hostEndpoints: [],
  sets: new Map(),
  hostDevices: [],
  settings: FILTER_SETTINGS_DEFAULTS,
  dialect: NFTABLES_DIALECT,
};

/** Tells a builder what is different. */
function tell(builder: FilterBuilder, before: State, now: State): void {
  builder.setDialect(now.dialect);
  builder.setSettings(now.settings);
  builder.setHostDevices(now.hostDevices);
  builder.updateEndpoints(difference(before.endpoints, now.endpoints, ({ id }) => id));
  const sets = new Map<SetId, SetChange | undefined>();
  for (const [id, { kind, members }] of now.sets) {
    const had = before.sets.get(id)?.members ?? [];
    const added = members.filter((member) => !had.includes(member));
    const removed = had.filter((member) => !members.includes(member));
    if (!before.sets.has(id) || added.length + removed.length > 0) sets.set(id, { kind, added, removed });
  }
  for (const id of before.sets.keys()) if (!now.sets.has(id)) sets.set(id, undefined);
  builder.updatePolicy({
    sets,
    policies: difference(before.policies, now.policies, ({ id }) => id),
    profiles: difference(before.profiles, now.profiles, ({ name }) => name),
    hostEndpoints: difference(before.hostEndpoints, now.hostEndpoints, ({ name }) => name),
  });
}

function difference<Key, Value>(before: readonly Value[], now: readonly Value[], keyOf: (value: Value) => Key) {
  const changes = new Map<Key, Value | undefined>();
  for (const value of before) changes.set(keyOf(value), undefined);
  for (const value of now)
    if (before.includes(value)) changes.delete(keyOf(value));
    else changes.set(keyOf(value), value);
  return changes;
}

function built(asked: Partial<State>): FilterBuilder {
  const builder = new FilterBuilder(NFTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
  tell(builder, NOTHING, { ...NOTHING, ...asked });
  return builder;
}

function texts({ program }: FilterBuilder, key: ChainKey): string[] | undefined {
  const chain = program.chains.get(key);
  return chain && chainText(chain);
}

const PROTECTIONS = [17, 58, 4].map((number) => `protocol ${number} => jump cali-wl-protection`);

const EGRESS_BEGIN = [
  'ct established,related => accept',
  '* ct invalid => nflog 2 "DXE|invalid connection state"',
  'ct invalid => drop',
  '=> clear accept+pass',
];
const INGRESS_BEGIN = EGRESS_BEGIN.map((line) => line.replace('nflog 2 "DXE', 'nflog 1 "DXI'));
const INGRESS_END = ['* => nflog 1 "DRI|"', '=> drop'];
const PROFILE = ['=> jump cali-pri-kns.default', 'mark accept => return'];
const WEB = 'NetworkPolicy default/web';
const DB = 'NetworkPolicy default/db';
const ALL = 'GlobalNetworkPolicy all';

function withPolicies(policies: readonly DesiredPolicy[], tiers: readonly EndpointTier[]): Partial<State> {
  const policy: EndpointPolicy = { tiers, profiles: ['kns.default'] };
  return { endpoints: [endpointOf('a', 'cali-a', { policy })], policies, profiles: [profileOf('kns.default')] };
}

const chainRows: readonly [string, Partial<State>, ChainKey, string[] | undefined][] = [
  [
    'what a container sends: protections, before connections are asked about, then profiles',
    { endpoints: [endpointOf('a', 'cali-a')], profiles: [profileOf('kns.default')] },
    'filter cali-fw-cali-a',
    [
      ...PROTECTIONS,
      ...EGRESS_BEGIN,
      '=> jump cali-pro-kns.default',
      'mark accept => return',
      '* => nflog 2 "DRE|"',
      '=> drop',
    ],
  ],
  [
    'what a container gets: profiles',
    { endpoints: [endpointOf('a', 'cali-a')], profiles: [profileOf('kns.default')] },
    'filter cali-tw-cali-a',
    [...INGRESS_BEGIN, ...PROFILE, ...INGRESS_END],
  ],
  [
    'a profile that does not exist denies',
    {
      endpoints: [endpointOf('a', 'cali-a', { policy: { tiers: [], profiles: ['kns.default', 'lost', 'ksa'] } })],
      profiles: [profileOf('kns.default'), profileOf('ksa')],
    },
    'filter cali-tw-cali-a',
    [...INGRESS_BEGIN, ...PROFILE, '* => nflog 1 "DRI|lost"', '=> drop'],
  ],
  [
    'others have a say after us: what is allowed returns with the mark',
    {
      endpoints: [endpointOf('a', 'cali-a', { policy: { tiers: [], profiles: [] } })],
      settings: { ...FILTER_SETTINGS_DEFAULTS, filterAllowAction: 'return', dropInvalid: false, denyAction: 'reject' },
    },
    'filter cali-tw-cali-a',
    [
      'ct established,related => set accept',
      'ct established,related => return',
      '=> clear accept+pass',
      '* => nflog 1 "DRI|"',
      '=> reject',
    ],
  ],
  [
    'encapsulation that the operator allows',
    {
      endpoints: [endpointOf('a', 'cali-a', { policy: { tiers: [], profiles: [] } })],
      settings: { ...FILTER_SETTINGS_DEFAULTS, vxlanFromWorkloads: true, ipipFromWorkloads: true },
    },
    'filter cali-fw-cali-a',
    [...PROTECTIONS.slice(0, 2), ...EGRESS_BEGIN, '* => nflog 2 "DRE|"', '=> drop'],
  ],
  [
    'tiers in order, policies of different selectors one by one',
    withPolicies(
      [policyOf(WEB, { selector: 'a' }), policyOf(DB, { selector: 'b' }), policyOf(ALL)],
      [tierOf('sec', [ALL], { defaultAction: 'pass' }), tierOf('default', [WEB, DB])],
    ),
    'filter cali-tw-cali-a',
    [
      ...INGRESS_BEGIN,
      '=> clear pass',
      '!mark pass => jump cali-pi-gnp/all',
      'mark accept => return',
      '=> clear pass',
      '!mark pass => jump cali-pi-np/default/web',
      'mark accept => return',
      '!mark pass => jump cali-pi-np/default/db',
      'mark accept => return',
      '* !mark pass => nflog 1 "DTI|default"',
      '!mark pass => drop',
      ...PROFILE,
      ...INGRESS_END,
    ],
  ],
  [
    'policies of one selector that follow one another share a chain, staged ones between them do not count',
    withPolicies(
      [policyOf(WEB), policyOf('StagedNetworkPolicy default/x', { staged: true, selector: 'x' }), policyOf(DB)],
      [tierOf('default', [WEB, 'StagedNetworkPolicy default/x', DB])],
    ),
    'filter cali-tw-cali-a',
    [
      ...INGRESS_BEGIN,
      '=> clear pass',
      '!mark pass => jump cali-gi-R8aJc9ov5GnHY3PKBm1B',
      'mark accept => return',
      '* !mark pass => nflog 1 "DTI|default"',
      '!mark pass => drop',
      ...PROFILE,
      ...INGRESS_END,
    ],
  ],
  [
    'a tier of staged policies alone has no say',
    withPolicies(
      [policyOf('StagedNetworkPolicy default/x', { staged: true })],
      [tierOf('default', ['StagedNetworkPolicy default/x'])],
    ),
    'filter cali-tw-cali-a',
    [...INGRESS_BEGIN, ...PROFILE, ...INGRESS_END],
  ],
  [
    'a policy that nobody has told of opens nothing',
    withPolicies([], [tierOf('default', [WEB])]),
    'filter cali-tw-cali-a',
    [
      ...INGRESS_BEGIN,
      '=> clear pass',
      '* !mark pass => nflog 1 "DTI|default"',
      '!mark pass => drop',
      ...PROFILE,
      ...INGRESS_END,
    ],
  ],
  [
    'a tier that has a say in the other direction only',
    withPolicies([policyOf(WEB)], [tierOf('default', [WEB], { ingress: [] })]),
    'filter cali-tw-cali-a',
    [...INGRESS_BEGIN, ...PROFILE, ...INGRESS_END],
  ],
  [
    'rules that allow, pass, log and deny',
    withPolicies(
      [
        policyOf(WEB, {
          ingress: [
            ruleOf('log', { protocol: 6 }),
            ruleOf('pass', { protocol: 17 }),
            ruleOf('deny', { protocol: 47 }),
            ruleOf('allow', { notProtocol: 4 }),
          ],
        }),
      ],
      [tierOf('default', [WEB])],
    ),
    'filter cali-pi-np/default/web',
    [
      '* protocol 6 => log "calico-packet: "',
      '* protocol 17 => set pass',
      'mark pass => return',
      '* protocol 47 => nflog 1 "DPI2|NetworkPolicy default/web"',
      'protocol 47 => drop',
      '* !protocol 4 => set accept',
    ],
  ],
  [
    'a rule that became several: marked by each, logged and denied once',
    {
      ...withPolicies(
        [policyOf(WEB, { egress: [ruleOf('deny', { source: { ...NO_END, sets: [setId('s:a')] } }), ruleOf('allow')] })],
        [tierOf('default', [WEB])],
      ),
      sets: new Map([[setId('s:a'), { kind: 'nets', members: ['10.0.0.0/8', 'fd00::1'] }]]),
    },
    'filter cali-po-np/default/web',
    [
      '* src @s:a/4/addresses => set drop',
      '* src @s:a/4/prefixes => set drop',
      '* src @s:a/6/addresses => set drop',
      'mark drop => nflog 2 "DPE0|NetworkPolicy default/web"',
      'mark drop => drop',
      '* => set accept',
    ],
  ],
  [
    'what nobody can match is left out, its return with it',
    withPolicies(
      [
        policyOf(WEB, {
          egress: (['allow', 'deny', 'pass', 'log'] as const).map((action) =>
            ruleOf(action, { source: { ...NO_END, sets: [setId('s:none')] } }),
          ),
        }),
      ],
      [tierOf('default', [WEB])],
    ),
    'filter cali-po-np/default/web',
    [],
  ],
  [
    'a limited log with the names of what logs',
    {
      ...withPolicies([policyOf(WEB, { ingress: [ruleOf('log')] })], [tierOf('default', [WEB])]),
      settings: {
        ...FILTER_SETTINGS_DEFAULTS,
        logPrefix: '%t %n and what follows on this',
        logRate: { count: 5, per: 'minute', burst: 7 },
      },
    },
    'filter cali-pi-np/default/web',
    ['* limit 5/minute burst 7 => log "default default/web and wha: "'],
  ],
  ['a policy that no endpoint has', withPolicies([policyOf(WEB)], []), 'filter cali-pi-np/default/web', undefined],
];

for (const [what, state, key, expected] of chainRows) {
  test(`${key}: ${what}`, () => assert.deepEqual(texts(built(state), key), expected));
}

const SIX = ['a', 'b', 'c', 'd', 'e', 'f'].map((name) => `GlobalNetworkPolicy ${name}`);

test('a group asks after each policy whether it was judged, and returns before the sixth', () => {
  const builder = built(
    withPolicies(
      SIX.map((id) => policyOf(id)),
      [tierOf('default', SIX)],
    ),
  );
  const group = [...builder.program.chains.values()].find(({ name }) => name.startsWith('cali-go-'));
  assert.deepEqual(group && chainText(group), [
    '=> jump cali-po-gnp/a',
    ...['b', 'c', 'd', 'e'].map((name) => `!mark accept | !mark pass => jump cali-po-gnp/${name}`),
    'mark accept => return',
    'mark pass => return',
    '=> jump cali-po-gnp/f',
  ]);
});

test('policies of a host endpoint are in the tables that ask for them', () => {
  const ids = ['n', 'f', 'u', 'd'].map((name) => `GlobalNetworkPolicy ${name}`);
  const policies = [
    policyOf(ids[0]!, { selector: '1' }),
    policyOf(ids[1]!, { selector: '2', applyOnForward: true }),
    policyOf(ids[2]!, { selector: '3', applyOnForward: true, stage: 'untracked' }),
    policyOf(ids[3]!, { selector: '4', applyOnForward: true, stage: 'preDnat' }),
  ];
  const hostEndpoint: DesiredHostEndpoint = {
    name: 'h',
    deviceName: 'eth0',
    expectedAddresses: [],
    policy: { tiers: [tierOf('default', ids)], profiles: [] },
    provenance: { origin: 'HostEndpoint h' },
  };
  const builder = built({ hostEndpoints: [hostEndpoint], policies });
  const made = [...builder.program.chains.keys()].filter((key) => / cali-p[io]-/.test(key));
  assert.deepEqual(made.sort(), [
    'filter cali-pi-gnp/f',
    'filter cali-pi-gnp/n',
    'filter cali-po-gnp/f',
    'filter cali-po-gnp/n',
    'mangle cali-pi-gnp/d',
    'mangle cali-po-gnp/f',
    'mangle cali-po-gnp/n',
    'raw cali-pi-gnp/u',
    'raw cali-po-gnp/u',
  ]);
  const call = (name: string) => [`!mark pass => jump ${name}`, 'mark accept => return'];
  assert.deepEqual(texts(builder, 'raw cali-fh-eth0'), [
    '=> jump cali-failsafe-in',
    '=> clear accept+pass',
    '=> clear pass',
    '!mark pass => jump cali-pi-gnp/u',
    'mark accept => notrack',
    'mark accept => return',
  ]);
  assert.deepEqual(texts(builder, 'mangle cali-fh-eth0')?.slice(3), [
    '=> jump cali-failsafe-in',
    '=> clear accept+pass',
    '=> clear pass',
    ...call('cali-pi-gnp/d'),
  ]);
  assert.deepEqual(texts(builder, 'mangle cali-th-eth0')?.slice(0, 2), [
    'ct established,related => set accept',
    'ct established,related => return',
  ]);
  const end = ['* !mark pass => nflog 1 "DTI|default"', '!mark pass => drop'];
  assert.deepEqual(texts(builder, 'filter cali-fhfw-eth0')?.slice(3), [
    '=> clear accept+pass',
    '=> clear pass',
    ...call('cali-pi-gnp/f'),
    ...end,
  ]);
  const normal = [...call('cali-pi-gnp/n'), ...call('cali-pi-gnp/f'), ...end, ...INGRESS_END];
  assert.deepEqual(texts(builder, 'filter cali-fh-eth0')?.slice(3), [
    '=> jump cali-failsafe-in',
    '=> clear accept+pass',
    '=> clear pass',
    ...normal,
  ]);
});

test('a host endpoint without a policy for it lets everything be forwarded', () => {
  const hostEndpoint: DesiredHostEndpoint = {
    name: 'h',
    deviceName: '*',
    expectedAddresses: [],
    policy: { tiers: [tierOf('default', [ALL])], profiles: [] },
    provenance: { origin: 'HostEndpoint h' },
  };
  const { chains } = built({ hostEndpoints: [hostEndpoint], policies: [policyOf(ALL)] }).program;
  const forward = [...chains.values()].find(({ name }) => name.startsWith('cali-fhfw-'));
  assert.deepEqual(forward && chainText(forward).slice(3), ['=> clear accept+pass', '=> set accept', '=> return']);
});

test('what a long name is cut to does not depend on what else there is, and is not another’s', () => {
  const ids = ['x', 'y'].map((last) => `NetworkPolicy a-rather-long-namespace/with-a-policy-${last}`);
  const builder = built(
    withPolicies([policyOf(ids[0]!, { selector: '1' }), policyOf(ids[1]!)], [tierOf('default', ids)]),
  );
  const names = [...builder.program.chains.values()]
    .map(({ name }) => name)
    .filter((name) => name.startsWith('cali-pi-'));
  assert.equal(new Set(names).size, 2);
  for (const name of names) assert.match(name, /^cali-pi-_[A-Za-z0-9_-]{19}$/);
});

test('other marks are in every chain that names one', () => {
  const state = withPolicies(
    [policyOf(WEB, { ingress: [ruleOf('allow')] }), policyOf(DB)],
    [tierOf('default', [WEB, DB])],
  );
  const settings = { ...FILTER_SETTINGS_DEFAULTS, marks: OTHER_MARKS };
  const builder = built(state);
  assert.ok([...builder.program.chains.values()].some(({ name }) => name.startsWith('cali-gi-')));
  builder.setSettings(settings);
  assert.deepEqual(builder.program, built({ ...state, settings }).program);
});

test('who has a floating address that two claim does not depend on who came first', () => {
  const floatingIps = [{ external: ip('192.0.2.1'), internal: ip('10.0.0.1'), outgoing: false }];
  const endpoints = ['a', 'b'].map((id) => endpointOf(id, `cali-${id}`, { floatingIps }));
  const settings = { ...FILTER_SETTINGS_DEFAULTS, floatingIps: true };
  const turned = built({ endpoints: [...endpoints].reverse(), settings }).program;
  assert.deepEqual(turned, built({ endpoints, settings }).program);
});

const refused: readonly [string, DesiredEndpoint[], string[]][] = [
  ['a device of another name', [endpointOf('x', 'eth7')], ['x: device name "eth7" cannot be policed']],
  ['the bare prefix', [endpointOf('x', 'cali')], ['x: device name "cali" cannot be policed']],
  ['a name too long', [endpointOf('x', 'cali012345678901')], ['x: device name "cali012345678901" cannot be policed']],
  ['text that is not a name', [endpointOf('x', 'cali"; drop')], ['x: device name "cali\\"; drop" cannot be policed']],
  [
    'a device claimed twice',
    [endpointOf('y', 'calix'), endpointOf('x', 'calix')],
    ['x: device calix belongs to several endpoints: x', 'y: device calix belongs to several endpoints: x'],
  ],
];

for (const [what, endpoints, expected] of refused) {
  test(`${what} is refused, and the others are policed`, () => {
    const builder = built({ endpoints: [...endpoints, endpointOf('a', 'cali-a')] });
    const reasons = builder.refusals().map(({ endpointId, reason }) => `${endpointId}: ${reason.split(',')[0]}`);
    assert.deepEqual(reasons, expected);
    assert.deepEqual(
      [...builder.program.maps.values()].map((map) => [...map]),
      [[['cali-a', 'cali-fw-cali-a']], [['cali-a', 'cali-tw-cali-a']]],
    );
  });
}

test('a refused device is policed once it is one endpoint’s', () => {
  const builder = built({ endpoints: [endpointOf('x', 'calix'), endpointOf('y', 'calix')] });
  assert.equal(builder.program.chains.has('filter cali-fw-calix'), false);
  builder.updateEndpoints(new Map([['x', undefined]]));
  assert.equal(builder.program.chains.has('filter cali-fw-calix'), true);
  assert.deepEqual(builder.refusals(), []);
});

const SET = setId('s:a');
const NO_CHANGE: PolicyChanges = {
  sets: new Map(),
  policies: new Map(),
  profiles: new Map(),
  hostEndpoints: new Map(),
};
const USER = policyOf(WEB, { ingress: [ruleOf('allow', { source: { ...NO_END, sets: [SET] } })] });

/** What is told to a builder that has policy WEB (which names SET, of one member) at cali-a; and what changes. */
const changeRows: readonly [string, (builder: FilterBuilder) => void, string[]][] = [
  ['nothing', () => undefined, []],
  [
    'a member',
    (builder) =>
      builder.updatePolicy({
        ...NO_CHANGE,
        sets: new Map([[SET, { kind: 'nets', added: ['10.0.0.2'], removed: [] }]]),
      }),
    ['s:a 4 addresses: +10.0.0.2'],
  ],
  [
    'the last member for another',
    (builder) =>
      builder.updatePolicy({
        ...NO_CHANGE,
        sets: new Map([[SET, { kind: 'nets', added: ['10.0.0.2'], removed: ['10.0.0.1'] }]]),
      }),
    ['s:a 4 addresses: +10.0.0.2 -10.0.0.1'],
  ],
  [
    'a member that goes and comes back',
    (builder) => {
      builder.updatePolicy({
        ...NO_CHANGE,
        sets: new Map([[SET, { kind: 'nets', added: [], removed: ['10.0.0.1'] }]]),
      });
      builder.updatePolicy({
        ...NO_CHANGE,
        sets: new Map([[SET, { kind: 'nets', added: ['10.0.0.1'], removed: [] }]]),
      });
    },
    [],
  ],
  [
    'the first prefix',
    (builder) =>
      builder.updatePolicy({
        ...NO_CHANGE,
        sets: new Map([[SET, { kind: 'nets', added: ['11.0.0.0/8'], removed: [] }]]),
      }),
    ['filter cali-pi-np/default/web', 's:a 4 prefixes: new +11.0.0.0/8'],
  ],
  [
    'a rule of the policy',
    (builder) => builder.updatePolicy({ ...NO_CHANGE, policies: new Map([[USER.id, { ...USER, ingress: [] }]]) }),
    ['filter cali-pi-np/default/web'],
  ],
  [
    'where the policy stands in its file alone',
    (builder) =>
      builder.updatePolicy({
        ...NO_CHANGE,
        policies: new Map([[USER.id, { ...USER, provenance: { origin: WEB, source: 'a.yaml:7' } }]]),
      }),
    [],
  ],
  [
    'the policy to a staged one',
    (builder) => builder.updatePolicy({ ...NO_CHANGE, policies: new Map([[USER.id, { ...USER, staged: true }]]) }),
    [
      '-filter cali-pi-np/default/web',
      '-filter cali-po-np/default/web',
      'filter cali-fw-cali-a',
      'filter cali-tw-cali-a',
    ],
  ],
  [
    'the addresses of the endpoint',
    (builder) => {
      const policy = { tiers: [tierOf('default', [WEB])], profiles: [] };
      const endpoint = endpointOf('a', 'cali-a', { policy, addresses: [cidr('10.0.0.9/32')] });
      builder.updateEndpoints(new Map([['a', endpoint]]));
    },
    [],
  ],
  [
    'the endpoint, for none',
    (builder) => builder.updateEndpoints(new Map([['a', undefined]])),
    [
      '-filter cali-fw-cali-a',
      '-filter cali-pi-np/default/web',
      '-filter cali-po-np/default/web',
      '-filter cali-tw-cali-a',
      'cali-from-wl -cali-a',
      'cali-to-wl -cali-a',
    ],
  ],
  [
    'another endpoint with the same policy',
    (builder) => {
      const policy = { tiers: [tierOf('default', [WEB])], profiles: [] };
      builder.updateEndpoints(new Map([['b', endpointOf('b', 'cali-b', { policy })]]));
    },
    ['cali-from-wl cali-b', 'cali-to-wl cali-b', 'filter cali-fw-cali-b', 'filter cali-tw-cali-b'],
  ],
];

function changesText({ chains, maps, sets }: ProgramChanges): string[] {
  return [
    ...[...chains].map(([key, chain]) => (chain === undefined ? `-${key}` : key)),
    ...[...maps].flatMap(([name, devices]) =>
      [...devices].map(([device, chain]) => `${name} ${chain === undefined ? '-' : ''}${device}`),
    ),
    ...[...sets].map(([key, { now, added, removed }]) => {
      const isNew = now !== undefined && added.length === now.members.size && !key.endsWith('addresses');
      const members = [...added.map((member) => `+${member}`), ...removed.map((member) => `-${member}`)];
      return `${key}: ${[...(isNew ? ['new'] : []), ...members].join(' ')}`;
    }),
  ].sort();
}

for (const [what, change, expected] of changeRows) {
  test(`a change of ${what} changes ${expected.length} things`, () => {
    const builder = built({
      endpoints: [endpointOf('a', 'cali-a', { policy: { tiers: [tierOf('default', [WEB])], profiles: [] } })],
      policies: [USER],
      sets: new Map([[SET, { kind: 'nets', members: ['10.0.0.1'] }]]),
    });
    builder.takeChanges();
    change(builder);
    assert.deepEqual(changesText(builder.takeChanges()), expected);
    assert.deepEqual(changesText(builder.takeChanges()), []);
  });
}

/** A plain copy, as a backend would keep it. */
function copyOf({ chains, maps, sets }: FilterProgram) {
  return {
    chains: new Map(chains),
    maps: new Map([...maps].map(([name, map]) => [name, new Map(map)])),
    sets: new Map([...sets].map(([key, set]) => [key, { ...set, members: new Set(set.members) }])),
  };
}

function apply(program: ReturnType<typeof copyOf>, changes: ProgramChanges): void {
  for (const [key, chain] of changes.chains) {
    if (chain === undefined) assert.equal(program.chains.delete(key), true, `${key} was not there`);
    else program.chains.set(key, chain);
  }
  for (const [name, devices] of changes.maps) {
    for (const [device, chain] of devices) {
      if (chain === undefined) assert.equal(program.maps.get(name)!.delete(device), true, `${name} had no ${device}`);
      else program.maps.get(name)!.set(device, chain);
    }
  }
  for (const [key, { now, added, removed }] of changes.sets) {
    if (now === undefined) {
      assert.equal(program.sets.delete(key), true, `${key} was not there`);
      continue;
    }
    const members = program.sets.get(key)?.members ?? new Set();
    for (const member of removed) assert.equal(members.delete(member), true, `${key} had no ${member}`);
    for (const member of added) assert.equal(members.has(member), false, `${key} had ${member}`);
    program.sets.set(key, { ...now, members: new Set([...members, ...added]) });
  }
}

/** Everything that is named is there, and everything that is there is reached. */
function assertWhole({ chains, maps, sets }: FilterProgram): void {
  const reached = new Set<ChainKey>();
  const visit = (chain: Chain): void => {
    if (reached.has(chainKey(chain))) return;
    reached.add(chainKey(chain));
    for (const { action, matches } of [...chain.rules, ...(chain.hookRules ?? [])]) {
      const targets = 'chain' in action ? [action.chain] : [];
      if (action.kind === 'dispatch') targets.push(...(maps.get(action.map)?.values() ?? []));
      for (const name of targets) {
        const target = chains.get(chainKey({ table: chain.table, name }));
        assert.ok(target, `${chain.table} ${chain.name} leads to ${name}, which is not there`);
        visit(target);
      }
      for (const match of matches) {
        if (match.kind !== 'set' && match.kind !== 'portSet') continue;
        const part = match.kind === 'set' ? match.part : 'all';
        assert.ok(sets.has(`${match.set} ${match.family} ${part}`), `${chain.name} names a set that is not there`);
      }
    }
  };
  for (const chain of chains.values()) if (chain.hook !== undefined) visit(chain);
  const idle = [...chains.keys()].filter((key) => !reached.has(key));
  assert.deepEqual(
    idle.filter((key) => !/ cali-(failsafe|rpf|wl-protection)/.test(key)),
    [],
  );
}

const POLICY_IDS = [
  'NetworkPolicy d/0',
  'NetworkPolicy d/1',
  'GlobalNetworkPolicy 2',
  'GlobalNetworkPolicy 3',
  'KubernetesNetworkPolicy d/4',
];
const SET_IDS = ['s:0', 's:1', 's:2'].map(setId);
const PORT_SET = setId('n:0');
const MEMBERS = ['10.0.0.1', '10.1.0.0/16', 'fd00::1', 'fd01::/64'];

const anySets = fc.subarray([...SET_IDS], { maxLength: 2 });
const anyEnd: fc.Arbitrary<RuleEnd> = fc
  .record({
    sets: anySets,
    notSets: anySets,
    portSets: fc.subarray([PORT_SET]),
    nets: fc.subarray(['10.0.0.0/8', '11.0.0.0/8', 'fd00::/8']),
    notNets: fc.subarray(['10.2.0.0/16', '10.3.0.0/16']),
  })
  .map(({ nets, notNets, ...others }) => ({ ...NO_END, ...others, nets: nets.map(cidr), notNets: notNets.map(cidr) }));
const anyRule: fc.Arbitrary<DesiredRule> = fc
  .record({
    action: fc.constantFrom<RuleAction>('allow', 'deny', 'pass', 'log'),
    protocol: fc.constantFrom(undefined, 6),
    source: anyEnd,
    destination: fc.oneof(fc.constant(NO_END), anyEnd),
  })
  .map(({ action, ...asked }) => ruleOf(action, asked));
const anyRules = fc.array(anyRule, { maxLength: 2 });
const anyPolicy = (id: string) =>
  fc
    .record({
      tier: fc.constantFrom('sec', 'default'),
      selector: fc.constantFrom('a', 'b'),
      staged: fc.boolean(),
      stage: fc.constantFrom<DesiredPolicy['stage']>('normal', 'normal', 'untracked', 'preDnat'),
      applyOnForward: fc.boolean(),
      ingress: anyRules,
      egress: anyRules,
    })
    .map((asked) => policyOf(id, asked));
const anyIds = fc.shuffledSubarray(POLICY_IDS) as fc.Arbitrary<PolicyId[]>;
const anyTier = (name: string) =>
  fc
    .record({ defaultAction: fc.constantFrom('deny' as const, 'pass' as const), ingress: anyIds, egress: anyIds })
    .map((asked) => tierOf(name, [], asked));
const anyEndpointPolicy: fc.Arbitrary<EndpointPolicy> = fc.record({
  tiers: fc.tuple(anyTier('sec'), anyTier('default')).chain((tiers) => fc.subarray(tiers)),
  profiles: fc.shuffledSubarray(['p0', 'p1']),
});
const anyEndpoint = (id: string) =>
  fc
    .record({ device: fc.nat(2), policy: anyEndpointPolicy, isFloating: fc.boolean(), isSpoofing: fc.boolean() })
    .map(({ device, policy, isFloating, isSpoofing }) =>
      endpointOf(id, `cali${device}`, {
        policy,
        floatingIps: isFloating ? [{ external: ip('192.0.2.1'), internal: ip('10.0.0.1'), outgoing: true }] : [],
        allowedSources: isSpoofing ? [cidr('10.9.0.0/16')] : [],
      }),
    );
const HOST = ip('192.0.2.9');
const anyHostEndpoint = (name: string) =>
  fc
    .record({ deviceName: fc.constantFrom('eth0', undefined, '*'), policy: anyEndpointPolicy })
    .map((asked): DesiredHostEndpoint => ({ ...asked, name, expectedAddresses: [HOST], provenance: { origin: name } }));
const anyMembers = fc.subarray(MEMBERS);

type Change = (state: State) => State;

function putInto<Value>(
  list: readonly Value[],
  keyOf: (value: Value) => string,
  key: string,
  value: Value | undefined,
) {
  return [...list.filter((each) => keyOf(each) !== key), ...(value === undefined ? [] : [value])];
}

const maybe = <Value>(arbitrary: fc.Arbitrary<Value>) => fc.option(arbitrary, { nil: undefined, freq: 4 });
const anyChange: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom('a', 'b', 'c', 'd').chain((id) =>
    maybe(anyEndpoint(id)).map(
      (now): Change =>
        (state) => ({ ...state, endpoints: putInto(state.endpoints, (each) => each.id, id, now) }),
    ),
  ),
  fc.constantFrom(...POLICY_IDS).chain((id) =>
    maybe(anyPolicy(id)).map(
      (now): Change =>
        (state) => ({ ...state, policies: putInto(state.policies, (each) => each.id, id, now) }),
    ),
  ),
  fc.constantFrom('p0', 'p1').chain((name) =>
    maybe(fc.constantFrom(profileOf(name), profileOf(name, 'deny'))).map(
      (now): Change =>
        (state) => ({ ...state, profiles: putInto(state.profiles, (each) => each.name, name, now) }),
    ),
  ),
  fc.constantFrom('h0', 'h1').chain((name) =>
    maybe(anyHostEndpoint(name)).map(
      (now): Change =>
        (state) => ({ ...state, hostEndpoints: putInto(state.hostEndpoints, (each) => each.name, name, now) }),
    ),
  ),
  fc.tuple(fc.constantFrom(...SET_IDS, MASQUERADED_POOLS, ALL_POOLS), maybe(anyMembers)).map(
    ([id, members]): Change =>
      (state) => {
        const sets = new Map(state.sets);
        if (members === undefined) sets.delete(id);
        else sets.set(id, { kind: 'nets', members });
        return { ...state, sets };
      },
  ),
  fc.subarray(['10.0.0.1,tcp:80', 'fd00::1,tcp:80']).map(
    (members): Change =>
      (state) => ({
        ...state,
        sets: new Map(state.sets).set(PORT_SET, { kind: 'ports', members }),
      }),
  ),
  fc.constantFrom(NFTABLES_DIALECT, IPTABLES_DIALECT).map(
    (dialect): Change =>
      (state) => ({ ...state, dialect }),
  ),
  fc.subarray(['eth0', 'eth1']).map(
    (names): Change =>
      (state) => ({ ...state, hostDevices: names.map((name) => ({ name, addresses: [HOST] })) }),
  ),
  fc
    .record({
      floatingIps: fc.boolean(),
      sourceSpoofing: fc.boolean(),
      dropInvalid: fc.boolean(),
      ipip: fc.boolean(),
      marks: fc.constantFrom(FILTER_SETTINGS_DEFAULTS.marks, OTHER_MARKS),
    })
    .map(
      (some): Change =>
        (state) => ({
          ...state,
          settings: { ...FILTER_SETTINGS_DEFAULTS, ...some },
        }),
    ),
);

test('whatever the way there, the program is that of a builder which was told all at once; and the changes say so', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(anyChange, fc.boolean()), { minLength: 1, maxLength: 25, size: 'max' }),
      (changes) => {
        const builder = new FilterBuilder(NFTABLES_DIALECT, FILTER_SETTINGS_DEFAULTS);
        const kept = copyOf({
          chains: new Map(),
          maps: new Map([
            ['cali-from-wl', new Map()],
            ['cali-to-wl', new Map()],
          ]),
          sets: new Map(),
        });
        let state = NOTHING;
        for (const [change, isTaken] of changes) {
          const next = change(state);
          tell(builder, state, next);
          state = next;
          assert.deepEqual(builder.program, built(state).program);
          assert.deepEqual(builder.refusals(), built(state).refusals());
          assertWhole(builder.program);
          if (!isTaken) continue;
          apply(kept, builder.takeChanges());
          assert.deepEqual(kept, copyOf(builder.program));
        }
      },
    ),
    { numRuns: 80 },
  );
});
