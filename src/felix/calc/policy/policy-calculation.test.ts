/**
 * Policy as lists of states: the same resources give the same policy, whatever the order in which they come.
 *
 * A case is a set of resources and the lines that must follow from them, of those that it is `about`: all others it leaves
 * to other cases. Containers are a … d of namespace default, on host-a unless told otherwise.
 */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { seededRandom } from '../../../lib/prng.ts';
import { Calculation } from '../calculation.ts';
import { CALCULATION_SETTINGS_DEFAULTS } from '../calculation-settings.ts';
import type { Step } from '../states.suite.ts';
import { toldInVain, WAYS } from '../states.suite.ts';
import type { Fact } from './policy-states.suite.ts';
import { Collected, fact, tell } from './policy-states.suite.ts';

interface Case {
  readonly name: string;
  readonly facts: readonly Fact[];
  /** Beginnings of lines; by default policies, sets of selectors, and what applies to endpoints but profiles. */
  readonly about?: readonly string[];
  readonly expected: readonly string[];
}

const DEFAULT_ABOUT = ['policy ', 'set [', 'set s:', 'set n:', 'endpoint '];

function workload(name: string, address: string, labels: Record<string, string> = {}, more: object = {}): Fact {
  const spec = { node: 'host-a', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], ...more };
  return fact('WorkloadEndpoint', name.includes('/') ? name : `default/${name}`, spec, { labels });
}
const a = workload('a', '10.0.0.1', { app: 'web' });
const b = workload('b', '10.0.0.2', { app: 'db' });
const remote = workload('c', '10.0.0.3', { app: 'db' }, { node: 'host-b' });
const shop = fact('WorkloadEndpoint', 'shop/d', {
  node: 'host-b',
  interfaceName: 'calid',
  ipNetworks: ['10.0.0.4/32'],
});

const np = (name: string, spec: object, meta = {}) => fact('NetworkPolicy', name, spec, meta);
const gnp = (name: string, spec: object, meta = {}) => fact('GlobalNetworkPolicy', name, spec, meta);
const knp = (name: string, spec: object, meta = {}) => fact('NetworkPolicy', name, spec, meta, 'networking.k8s.io/v1');
const host = (name: string, spec: object, labels = {}) =>
  fact('HostEndpoint', name, { node: 'host-a', ...spec }, { labels });
const eth0 = host('h', { interfaceName: 'eth0', expectedIPs: ['192.0.2.1'] }, { role: 'host' });
const namespace = (name: string, labels: Record<string, string>) => fact('Namespace', name, {}, { labels }, 'v1');
const tier = (name: string, spec: object) => fact('Tier', name, spec);
const settings = (floatingIps: boolean, ...externalNodes: string[]): Fact => ({
  settings: { ...CALCULATION_SETTINGS_DEFAULTS, floatingIps, externalNodes },
});
const pool = (name: string, cidr: string, more = {}) => fact('IPPool', name, { cidr, ...more });

/** A policy of one rule for everybody: its line, with what the rule becomes. */
const OF_ALL = 'policy GlobalNetworkPolicy p for all()';
const CHOSEN = 'endpoint default/a tier 0: default deny in GlobalNetworkPolicy p';
const ruleCase = (name: string, rule: object, line: string | undefined, ...sets: string[]): Case => ({
  name: `rule: ${name}`,
  facts: [a, remote, shop, gnp('p', { ingress: [{ action: 'Allow', ...rule }] })],
  expected: [
    CHOSEN,
    OF_ALL,
    ...(line === undefined ? [] : [`policy GlobalNetworkPolicy p in 0: ${line}`]),
    ...sets.map((set) => `set ${set}`),
  ],
});
const ownRuleCase = (name: string, rule: object, line: string, ...sets: string[]): Case => ({
  name: `rule in a namespace: ${name}`,
  facts: [a, remote, shop, np('default/p', { ingress: [{ action: 'Allow', ...rule }] })],
  expected: [
    'endpoint default/a tier 0: default deny in NetworkPolicy default/p',
    'policy NetworkPolicy default/p for projectcalico.org/namespace == "default"',
    `policy NetworkPolicy default/p in 0: ${line}`,
    ...sets.map((set) => `set ${set}`),
  ],
});

const RULES: readonly Case[] = [
  ruleCase('anything', {}, 'allow from any to any'),
  ruleCase('deny', { action: 'Deny' }, 'deny from any to any'),
  ruleCase('pass', { action: 'Pass' }, 'pass from any to any'),
  ruleCase('log', { action: 'Log' }, 'log from any to any'),
  ruleCase('a protocol by name', { protocol: 'SCTP' }, 'allow proto 132 from any to any'),
  ruleCase('a protocol by number, and not one', { notProtocol: 47 }, 'allow not proto 47 from any to any'),
  ruleCase('a family', { ipVersion: 6 }, 'allow v6 from any to any'),
  ruleCase(
    'ICMP with type and code',
    { protocol: 'ICMP', icmp: { type: 8, code: 0 } },
    'allow v4 proto 1 icmp 8/0 from any to any',
  ),
  ruleCase(
    'ICMPv6 but one type',
    { protocol: 'ICMPv6', notICMP: { type: 128 } },
    'allow v6 proto 58 not icmp 128/any from any to any',
  ),
  ruleCase('ICMP of no type in particular', { protocol: 'ICMP', icmp: {} }, 'allow v4 proto 1 from any to any'),
  ruleCase(
    'prefixes give the family',
    { source: { nets: ['10.0.0.0/8', '192.0.2.1'], notNets: ['10.1.0.0/16'] } },
    'allow v4 from 10.0.0.0/8 192.0.2.1/32 !10.1.0.0/16 to any',
  ),
  ruleCase(
    'prefixes of a family that the rule is not for',
    { ipVersion: 6, source: { nets: ['10.0.0.0/8'] } },
    undefined,
  ),
  ruleCase(
    'prefixes to avoid, of a family that the rule is not for',
    { ipVersion: 4, destination: { notNets: ['fd00::/8'] } },
    undefined,
  ),
  ruleCase(
    'ports and ranges',
    { protocol: 'TCP', destination: { ports: [80, '8000:8080'], notPorts: [8001] }, source: { ports: ['1024:65535'] } },
    'allow proto 6 from :1024-65535 to :80 :8000-8080 !:8001',
  ),
  ruleCase(
    'a selector',
    { source: { selector: 'app == "db"' } },
    'allow from [app == "db"] to any',
    '[app == "db"]: 10.0.0.3',
  ),
  ruleCase(
    'everybody known',
    { source: { selector: 'all()' } },
    'allow from [all()] to any',
    '[all()]: 10.0.0.1 10.0.0.3 10.0.0.4',
  ),
  ruleCase(
    'a selector, and not another, without a namespace of its own',
    { source: { selector: 'has(app)', notSelector: 'app == "db"' } },
    'allow from [has(app)] ![app == "db"] to any',
    '[app == "db"]: 10.0.0.3',
    '[has(app)]: 10.0.0.1 10.0.0.3',
  ),
  ruleCase(
    'not a selector alone',
    { destination: { notSelector: 'app == "db"' } },
    'allow from any to ![app == "db"]',
    '[app == "db"]: 10.0.0.3',
  ),
  ruleCase(
    'namespaces by label',
    { source: { namespaceSelector: 'projectcalico.org/name == "shop"' } },
    'allow from [pcns.projectcalico.org/name == "shop"] to any',
    '[pcns.projectcalico.org/name == "shop"]: 10.0.0.4',
  ),
  ruleCase(
    'all namespaces',
    { source: { namespaceSelector: 'all()', selector: 'app == "web"' } },
    'allow from [has(projectcalico.org/namespace) && app == "web"] to any',
    '[has(projectcalico.org/namespace) && app == "web"]: 10.0.0.1',
  ),
  ruleCase(
    'no namespace',
    { source: { namespaceSelector: 'global()' } },
    'allow from [!has(projectcalico.org/namespace)] to any',
    '[!has(projectcalico.org/namespace)]: ',
  ),
  ruleCase(
    'namespaces by negation and by several labels',
    { source: { namespaceSelector: '!(a == "1" || b in {"2"})' } },
    'allow from [!(pcns.a == "1" || pcns.b in {"2"})] to any',
    '[!(pcns.a == "1" || pcns.b in {"2"})]: 10.0.0.1 10.0.0.3 10.0.0.4',
  ),
  ruleCase(
    'service accounts by name and label',
    { source: { serviceAccounts: { names: ['web', 'api'], selector: 'team == "a"' } } },
    'allow from [projectcalico.org/serviceaccount in {"api", "web"} && pcsa.team == "a"] to any',
    '[projectcalico.org/serviceaccount in {"api", "web"} && pcsa.team == "a"]: ',
  ),
  ruleCase(
    'the name of a port without a protocol is one of TCP',
    { source: { ports: ['http'] } },
    'allow proto 6 from :[all() | tcp http] to any',
    '[all() | tcp http]: ',
  ),
  ruleCase(
    'a service is nobody, for no services are known',
    { protocol: 'TCP', source: { services: { name: 'x', namespace: 'y' } } },
    undefined,
  ),
  ruleCase('HTTP cannot be seen, so it is not allowed', { protocol: 'TCP', http: { methods: ['GET'] } }, undefined),
  ownRuleCase(
    'a selector is for its own namespace',
    { source: { selector: 'app == "db"' } },
    'allow from [projectcalico.org/namespace == "default" && app == "db"] to any',
    '[projectcalico.org/namespace == "default" && app == "db"]: 10.0.0.3',
  ),
  ownRuleCase(
    'all() is all of its own namespace',
    { source: { selector: 'all()' } },
    'allow from [projectcalico.org/namespace == "default"] to any',
    '[projectcalico.org/namespace == "default"]: 10.0.0.1 10.0.0.3',
  ),
  ownRuleCase(
    'not a selector is for its own namespace, too',
    { source: { notSelector: 'app == "db"' } },
    'allow from [projectcalico.org/namespace == "default"] ![app == "db"] to any',
    '[app == "db"]: 10.0.0.3',
    '[projectcalico.org/namespace == "default"]: 10.0.0.1 10.0.0.3',
  ),
  ownRuleCase(
    'a namespaceSelector leads out of it',
    { source: { namespaceSelector: 'all()' } },
    'allow from [has(projectcalico.org/namespace)] to any',
    '[has(projectcalico.org/namespace)]: 10.0.0.1 10.0.0.3 10.0.0.4',
  ),
  ownRuleCase('prefixes are anywhere', { source: { nets: ['10.0.0.0/8'] } }, 'allow v4 from 10.0.0.0/8 to any'),
  {
    name: 'rules: named ports, of a selector and of anybody, and not',
    facts: [
      workload(
        'a',
        '10.0.0.1',
        { app: 'web' },
        {
          ports: [
            { name: 'http', protocol: 'TCP', port: 8080 },
            { name: 'http', protocol: 'UDP', port: 99 },
            { name: 'dns', protocol: 17, port: 53 },
          ],
        },
      ),
      gnp('p', {
        ingress: [
          { action: 'Allow', protocol: 'TCP', destination: { selector: 'app == "web"', ports: [80, 'http'] } },
          { action: 'Allow', protocol: 'UDP', destination: { ports: ['dns'], notPorts: ['http'] } },
          { action: 'Allow', destination: { ports: ['http'] } },
        ],
      }),
    ],
    expected: [
      CHOSEN,
      OF_ALL,
      'policy GlobalNetworkPolicy p in 0: allow proto 6 from any to [app == "web"] :80 :[app == "web" | tcp http]',
      'policy GlobalNetworkPolicy p in 1: allow proto 17 from any to :[all() | udp dns] !:[all() | udp http]',
      'policy GlobalNetworkPolicy p in 2: allow proto 6 from any to :[all() | tcp http]',
      'set [all() | tcp http]: 10.0.0.1,tcp:8080',
      'set [all() | udp dns]: 10.0.0.1,udp:53',
      'set [all() | udp http]: 10.0.0.1,udp:99',
      'set [app == "web" | tcp http]: 10.0.0.1,tcp:8080',
      'set [app == "web"]: 10.0.0.1',
    ],
  },
  {
    name: 'rules keep their order when one between them is left out',
    facts: [
      a,
      gnp('p', {
        ingress: [
          { action: 'Deny', protocol: 'UDP' },
          { action: 'Allow', protocol: 'TCP', http: { methods: ['GET'] } },
          { action: 'Allow', protocol: 'TCP' },
        ],
      }),
    ],
    expected: [
      CHOSEN,
      OF_ALL,
      'policy GlobalNetworkPolicy p in 0: deny proto 17 from any to any',
      'policy GlobalNetworkPolicy p in 1: allow proto 6 from any to any',
    ],
  },
  {
    name: 'equal selectors of several rules and policies are one set',
    facts: [
      a,
      b,
      gnp('p', { ingress: [{ action: 'Allow', source: { selector: 'app=="db"' } }] }),
      gnp('q', { egress: [{ action: 'Allow', destination: { selector: "app == 'db'" } }] }),
    ],
    about: ['set [', 'set s:'],
    expected: ['set [app == "db"]: 10.0.0.2'],
  },
];

const ACTIVE: readonly Case[] = [
  {
    name: 'an endpoint without policies',
    facts: [a],
    about: ['endpoint ', 'policy '],
    expected: ['endpoint default/a profiles: kns.default'],
  },
  {
    name: 'a policy that chooses nobody here costs nothing',
    facts: [
      remote,
      gnp('p', { selector: 'app == "db"', ingress: [{ action: 'Allow', source: { selector: 'all()' } }] }),
    ],
    expected: [],
  },
  {
    name: 'a policy of another namespace',
    facts: [a, np('shop/p', { ingress: [{ action: 'Allow' }] })],
    expected: [],
  },
  {
    name: 'a policy chooses by namespaceSelector, whose labels come from the namespace',
    facts: [
      a,
      namespace('default', { env: 'prod' }),
      gnp('p', { selector: 'app == "web"', namespaceSelector: 'env == "prod"' }),
      gnp('q', { namespaceSelector: 'env == "test"' }),
    ],
    expected: [CHOSEN, 'policy GlobalNetworkPolicy p for (pcns.env == "prod" && app == "web")'],
  },
  {
    name: 'a policy chooses by service account, whose labels come from a profile',
    facts: [
      workload('a', '10.0.0.1', {}, { serviceAccountName: 'web', profiles: ['kns.default', 'ksa.default.web'] }),
      fact('Profile', 'ksa.default.web', { labelsToApply: { 'pcsa.team': 'a' } }),
      np('default/p', { serviceAccountSelector: 'team == "a"' }),
      np('default/q', { serviceAccountSelector: 'team == "b"' }),
      np('default/r', { selector: 'projectcalico.org/serviceaccount == "web"' }),
    ],
    about: ['endpoint '],
    expected: [
      'endpoint default/a profiles: kns.default,ksa.default.web',
      'endpoint default/a tier 0: default deny in NetworkPolicy default/p,NetworkPolicy default/r',
    ],
  },
  {
    name: 'a policy of an orchestrator',
    facts: [
      workload('a', '10.0.0.1', {}, { orchestrator: 'cni' }),
      gnp('p', { selector: 'projectcalico.org/orchestrator == "cni"' }),
    ],
    expected: [CHOSEN, 'policy GlobalNetworkPolicy p for projectcalico.org/orchestrator == "cni"'],
  },
  {
    name: 'a label that only the system gives cannot be claimed',
    facts: [
      workload('a', '10.0.0.1', { 'projectcalico.org/namespace': 'shop' }),
      np('shop/p', {}),
      np('default/q', {}),
    ],
    about: ['endpoint '],
    expected: [
      'endpoint default/a profiles: kns.default',
      'endpoint default/a tier 0: default deny in NetworkPolicy default/q',
    ],
  },
  {
    name: 'policies of the tier go by order, then name; those without order are last',
    facts: [
      a,
      gnp('c', {}),
      gnp('b', { order: 20 }),
      gnp('a', { order: 20 }),
      gnp('z', { order: -1.5 }),
      gnp('y', { order: 3 }),
    ],
    about: ['endpoint default/a tier'],
    expected: [
      `endpoint default/a tier 0: default deny in ${['z', 'y', 'a', 'b', 'c'].map((name) => `GlobalNetworkPolicy ${name}`).join()}`,
    ],
  },
  {
    name: 'directions by types',
    facts: [
      a,
      gnp('in', { ingress: [{ action: 'Allow' }] }),
      gnp('out', { egress: [{ action: 'Allow' }] }),
      gnp('both', { types: ['Ingress', 'Egress'] }),
      gnp('stated', { types: ['Egress'], ingress: [{ action: 'Allow', source: { selector: 'all()' } }] }),
    ],
    expected: [
      'endpoint default/a tier 0: default deny in GlobalNetworkPolicy both,GlobalNetworkPolicy in out GlobalNetworkPolicy both,GlobalNetworkPolicy out,GlobalNetworkPolicy stated',
      'policy GlobalNetworkPolicy both for all()',
      'policy GlobalNetworkPolicy in for all()',
      'policy GlobalNetworkPolicy in in 0: allow from any to any',
      'policy GlobalNetworkPolicy out for all()',
      'policy GlobalNetworkPolicy out out 0: allow from any to any',
      'policy GlobalNetworkPolicy stated for all()',
    ],
  },
  {
    name: 'tiers go by order, then name; those without order are last',
    facts: [
      a,
      tier('last', {}),
      tier('late', { order: 2_000_000, defaultAction: 'Pass' }),
      tier('b', { order: 5 }),
      tier('a', { order: 5 }),
      ...['last', 'late', 'b', 'a', 'kube-admin', 'default', 'kube-baseline'].map((name) =>
        gnp(`p-${name}`, { tier: name }),
      ),
    ],
    about: ['endpoint default/a tier'],
    expected: [
      'endpoint default/a tier 0: a deny in GlobalNetworkPolicy p-a',
      'endpoint default/a tier 1: b deny in GlobalNetworkPolicy p-b',
      'endpoint default/a tier 2: kube-admin pass in GlobalNetworkPolicy p-kube-admin',
      'endpoint default/a tier 3: default deny in GlobalNetworkPolicy p-default',
      'endpoint default/a tier 4: late pass in GlobalNetworkPolicy p-late',
      'endpoint default/a tier 5: kube-baseline pass in GlobalNetworkPolicy p-kube-baseline',
      'endpoint default/a tier 6: last deny in GlobalNetworkPolicy p-last',
    ],
  },
  {
    name: 'a policy of a tier that is not there is in force nowhere',
    facts: [a, gnp('p', { tier: 'gone', ingress: [{ action: 'Allow', source: { selector: 'all()' } }] })],
    expected: [],
  },
  {
    name: 'a stored default tier is the same one',
    facts: [a, tier('default', { order: 1_000_000 }), gnp('p', {})],
    expected: [CHOSEN, OF_ALL],
  },
  {
    name: 'one name in several kinds',
    facts: [a, gnp('p', {}), np('default/p', {}), knp('default/p', { podSelector: {} })],
    about: ['endpoint default/a tier'],
    expected: [
      // Kubernetes' has order 1000, the others none.
      'endpoint default/a tier 0: default deny in KubernetesNetworkPolicy default/p,GlobalNetworkPolicy p,NetworkPolicy default/p',
    ],
  },
  {
    name: 'untracked and preDNAT policies are not for containers',
    facts: [
      a,
      gnp('raw', {
        doNotTrack: true,
        applyOnForward: true,
        ingress: [{ action: 'Allow', source: { selector: 'all()' } }],
      }),
      gnp('early', { preDNAT: true, applyOnForward: true }),
    ],
    expected: [],
  },
  {
    name: 'a staged policy stands where the one that it stages would',
    facts: [
      a,
      fact('StagedGlobalNetworkPolicy', 'p', { order: 1, ingress: [{ action: 'Deny' }] }),
      fact('StagedNetworkPolicy', 'default/p', { order: 2, stagedAction: 'Learn' }),
      gnp('p', { order: 3 }),
    ],
    expected: [
      'endpoint default/a tier 0: default deny in StagedGlobalNetworkPolicy p,StagedNetworkPolicy default/p,GlobalNetworkPolicy p',
      'policy GlobalNetworkPolicy p for all()',
      'policy StagedGlobalNetworkPolicy p for all() staged',
      'policy StagedGlobalNetworkPolicy p in 0: deny from any to any',
      'policy StagedNetworkPolicy default/p for projectcalico.org/namespace == "default" staged',
    ],
  },
  {
    name: 'a staged deletion, and what is to be ignored, are no policies',
    facts: [
      a,
      fact('StagedGlobalNetworkPolicy', 'p', { stagedAction: 'Delete' }),
      fact('StagedNetworkPolicy', 'default/p', { stagedAction: 'Ignore', ingress: [{ action: 'Allow' }] }),
      fact('StagedKubernetesNetworkPolicy', 'default/p', { stagedAction: 'Delete' }),
    ],
    expected: [],
  },
  {
    name: "Kubernetes' policy",
    facts: [
      a,
      b,
      remote,
      knp('default/p', {
        podSelector: { matchLabels: { app: 'web' } },
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'db' } } }], ports: [{ port: 80 }] }],
      }),
    ],
    expected: [
      'endpoint default/a tier 0: default deny in KubernetesNetworkPolicy default/p',
      'policy KubernetesNetworkPolicy default/p for (projectcalico.org/namespace == "default" && app == "web")',
      'policy KubernetesNetworkPolicy default/p in 0: allow proto 6 from [projectcalico.org/namespace == "default" && has(projectcalico.org/orchestrator) && app == "db"] to :80',
      'set [projectcalico.org/namespace == "default" && has(projectcalico.org/orchestrator) && app == "db"]: 10.0.0.2 10.0.0.3',
    ],
  },
  {
    name: "a staged policy of Kubernetes'",
    facts: [a, fact('StagedKubernetesNetworkPolicy', 'default/p', { podSelector: {}, policyTypes: ['Egress'] })],
    expected: [
      'endpoint default/a tier 0: default deny out StagedKubernetesNetworkPolicy default/p',
      'policy StagedKubernetesNetworkPolicy default/p for projectcalico.org/namespace == "default" staged',
    ],
  },
];

const PROFILES: readonly Case[] = [
  {
    name: 'the profile of a namespace allows everything, though nobody wrote it',
    facts: [a],
    about: ['profile '],
    expected: ['profile kns.default in 0: allow from any to any', 'profile kns.default out 0: allow from any to any'],
  },
  {
    name: 'a stored profile of that name holds instead, labels too',
    facts: [
      a,
      namespace('default', { env: 'prod' }),
      fact('Profile', 'kns.default', {
        ingress: [{ action: 'Deny', source: { selector: 'app == "web"' } }],
        labelsToApply: { 'pcns.env': 'stored' },
      }),
      gnp('p', { namespaceSelector: 'env == "prod"' }),
      gnp('q', { namespaceSelector: 'env == "stored"' }),
    ],
    about: ['profile ', 'endpoint ', 'set ['],
    expected: [
      'endpoint default/a profiles: kns.default',
      'endpoint default/a tier 0: default deny in GlobalNetworkPolicy q',
      'profile kns.default in 0: deny from [app == "web"] to any',
      'set [app == "web"]: 10.0.0.1',
    ],
  },
  {
    name: 'profiles are asked in the order in which they are named; one that is not there is named all the same',
    facts: [
      workload('a', '10.0.0.1', {}, { profiles: ['z', 'gone', 'projectcalico-default-allow'] }),
      fact('Profile', 'z', { egress: [{ action: 'Allow', protocol: 'UDP' }] }),
      fact('Profile', 'unused', { egress: [{ action: 'Allow', destination: { selector: 'all()' } }] }),
    ],
    about: ['profile ', 'endpoint ', 'set ['],
    expected: [
      'endpoint default/a profiles: z,gone,projectcalico-default-allow',
      'profile projectcalico-default-allow in 0: allow from any to any',
      'profile projectcalico-default-allow out 0: allow from any to any',
      'profile z out 0: allow proto 17 from any to any',
    ],
  },
  {
    name: 'a container with an empty list of profiles has none',
    facts: [workload('a', '10.0.0.1', {}, { profiles: [] })],
    about: ['profile ', 'endpoint '],
    expected: ['endpoint default/a profiles: '],
  },
  {
    name: 'profiles of containers elsewhere are not in force here, but hand down their labels',
    facts: [
      a,
      shop,
      namespace('shop', { env: 'prod' }),
      gnp('p', { ingress: [{ action: 'Allow', source: { namespaceSelector: 'env == "prod"' } }] }),
    ],
    about: ['profile ', 'set ['],
    expected: ['profile kns.default in 0: allow from any to any', 'profile kns.default out 0: allow from any to any']
      .concat('set [pcns.env == "prod"]: 10.0.0.4')
      .map((line) => line),
  },
  {
    name: 'own labels win over inherited ones, and the first profile over the next',
    facts: [
      workload('a', '10.0.0.1', { x: 'own' }, { profiles: ['one', 'two'] }),
      fact('Profile', 'one', { labelsToApply: { x: 'one', y: 'one' } }),
      fact('Profile', 'two', { labelsToApply: { y: 'two', z: 'two' } }),
      gnp('p', { selector: 'x == "own" && y == "one" && z == "two"' }),
    ],
    about: ['endpoint default/a tier'],
    expected: [CHOSEN],
  },
];

const OTHERS: readonly Case[] = [
  {
    name: 'a host endpoint has all its policies, whichever stage they are for',
    facts: [
      eth0,
      gnp('raw', { selector: 'role == "host"', doNotTrack: true, applyOnForward: true, egress: [{ action: 'Allow' }] }),
      gnp('early', { selector: 'role == "host"', preDNAT: true, applyOnForward: true }),
      gnp('forward', { selector: 'role == "host"', applyOnForward: true }),
      gnp('normal', { selector: 'role == "host"' }),
    ],
    about: ['host ', 'policy '],
    expected: [
      'host h profiles: ',
      'host h tier 0: default deny in GlobalNetworkPolicy early,GlobalNetworkPolicy forward,GlobalNetworkPolicy normal out GlobalNetworkPolicy raw',
      'host h: eth0 192.0.2.1',
      'policy GlobalNetworkPolicy early for role == "host" preDnat forward',
      'policy GlobalNetworkPolicy forward for role == "host" forward',
      'policy GlobalNetworkPolicy normal for role == "host"',
      'policy GlobalNetworkPolicy raw for role == "host" untracked forward',
      'policy GlobalNetworkPolicy raw out 0: allow from any to any',
    ],
  },
  {
    name: 'a host endpoint of all interfaces, with profiles',
    facts: [host('h', { interfaceName: '*', profiles: ['projectcalico-default-allow'] })],
    about: ['host ', 'profile '],
    expected: [
      'host h profiles: projectcalico-default-allow',
      'host h: *',
      'profile projectcalico-default-allow in 0: allow from any to any',
      'profile projectcalico-default-allow out 0: allow from any to any',
    ],
  },
  {
    name: "another node's host endpoint is a member of sets",
    facts: [
      a,
      host(
        'o',
        { node: 'host-b', expectedIPs: ['192.0.2.2', 'fd00::2'], ports: [{ name: 'ssh', protocol: 'TCP', port: 22 }] },
        { role: 'host' },
      ),
      gnp('p', {
        ingress: [{ action: 'Allow', protocol: 'TCP', source: { selector: 'role == "host"', ports: ['ssh'] } }],
      }),
    ],
    about: ['host ', 'set ['],
    expected: [
      'set [role == "host" | tcp ssh]: 192.0.2.2,tcp:22 fd00::2,tcp:22',
      'set [role == "host"]: 192.0.2.2 fd00::2',
    ],
  },
  {
    name: 'untracked policy that chooses a container and a host endpoint is the latter’s alone',
    facts: [a, eth0, gnp('raw', { doNotTrack: true, applyOnForward: true })],
    about: ['host h tier', 'endpoint default/a tier', 'policy '],
    expected: [
      'host h tier 0: default deny in GlobalNetworkPolicy raw',
      'policy GlobalNetworkPolicy raw for all() untracked forward',
    ],
  },
  {
    name: 'network sets, of a namespace and of none; what lies inside of another is not said',
    facts: [
      a,
      fact('NetworkSet', 'shop/n', { nets: ['198.51.100.0/24', '203.0.113.9'] }, { labels: { kind: 'bad' } }),
      fact('GlobalNetworkSet', 'g', { nets: ['198.51.100.7', 'fd00:1::/64'] }, { labels: { kind: 'bad' } }),
      namespace('shop', { env: 'prod' }),
      gnp('p', {
        ingress: [
          { action: 'Deny', source: { selector: 'kind == "bad"' } },
          { action: 'Deny', source: { selector: 'kind == "bad"', namespaceSelector: 'global()' } },
          { action: 'Deny', source: { namespaceSelector: 'env == "prod"' } },
        ],
      }),
    ],
    about: ['set ['],
    expected: [
      'set [!has(projectcalico.org/namespace) && kind == "bad"]: 198.51.100.7 fd00:1::/64',
      'set [kind == "bad"]: 198.51.100.0/24 203.0.113.9 fd00:1::/64',
      'set [pcns.env == "prod"]: 198.51.100.0/24 203.0.113.9',
    ],
  },
  {
    name: 'pools: masqueraded ones, disabled or not, and all',
    facts: [
      pool('a', '10.0.0.0/16', { natOutgoing: true }),
      pool('b', '10.1.0.0/16', { natOutgoing: true, disabled: true }),
      pool('c', 'fd00:10::/64'),
    ],
    about: ['set masq', 'set network'],
    expected: [
      'set masq-ipam-pools: 10.0.0.0/16 10.1.0.0/16',
      'set network-ip-pools: 10.0.0.0/16 10.1.0.0/16 fd00:10::/64',
    ],
  },
  {
    name: 'hosts: addresses of nodes in both families, and those that somebody lists',
    facts: [
      settings(false, '198.51.100.0/24', '198.51.100.3/32', '2001:db8::1'),
      fact('Node', 'host-a', {
        bgp: { ipv4Address: '192.0.2.1/24', ipv6Address: 'fd00::1/64' },
        ipv4VXLANTunnelAddr: '10.0.0.0',
      }),
      fact('Node', 'host-b', { addresses: [{ address: '192.0.2.2' }, { address: '203.0.113.1', type: 'ExternalIP' }] }),
    ],
    about: ['set all-'],
    expected: [
      'set all-hosts-net: 192.0.2.1 192.0.2.2 198.51.100.0/24 2001:db8::1 fd00::1',
      'set all-vxlan-net: 192.0.2.1 192.0.2.2 198.51.100.0/24 2001:db8::1 fd00::1',
    ],
  },
];

const NATS = { ipNATs: [{ internalIP: '10.0.0.1', externalIP: '203.0.113.1' }] };
const floating = (name: string, address: string, annotations: Record<string, string>, more: object = {}): Fact =>
  fact(
    'WorkloadEndpoint',
    `default/${name}`,
    { node: 'host-a', interfaceName: `cali${name}`, ipNetworks: [`${address}/32`], ...more },
    { annotations },
  );
const ANNOTATION = 'cni.projectcalico.org/floatingIPs';
const ABOUT_FLOATING = [
  'endpoint default/a floating',
  'endpoint default/b floating',
  'route 203',
  'route fd00:5',
  'announce ',
];

const FLOATING: readonly Case[] = [
  {
    name: 'floating addresses are off unless they are switched on',
    facts: [workload('a', '10.0.0.1', {}, NATS)],
    about: ABOUT_FLOATING,
    expected: [],
  },
  {
    name: 'a floating address of the resource, announced by the pool that it is in',
    facts: [settings(true), pool('out', '203.0.113.0/24'), workload('a', '10.0.0.1', {}, NATS)],
    about: ABOUT_FLOATING,
    expected: [
      'announce 203.0.113.1/32',
      'endpoint default/a floating: 203.0.113.1 10.0.0.1',
      'route 203.0.113.1/32 calia',
    ],
  },
  {
    name: 'floating addresses of the annotation, in both families; outgoing and announced when asked for',
    facts: [
      settings(true),
      floating(
        'a',
        '10.0.0.1',
        {
          [ANNOTATION]: '["203.0.113.5", "fd00:5::5", "nonsense"]',
          'muslin.io/floating-ip-outgoing': 'true',
          'muslin.io/floating-ip-announce': 'true',
        },
        { ipNetworks: ['10.0.0.1/32', 'fd00::1/128'] },
      ),
    ],
    about: ABOUT_FLOATING,
    expected: [
      'announce 203.0.113.5/32',
      'announce fd00:5::5/128',
      'endpoint default/a floating: 203.0.113.5 10.0.0.1 outgoing',
      'endpoint default/a floating: fd00:5::5 fd00::1 outgoing',
      'route 203.0.113.5/32 calia',
      'route fd00:5::5/128 calia',
    ],
  },
  {
    name: 'an annotation that is no list, and a family that the container has not',
    facts: [
      settings(true),
      floating('a', '10.0.0.1', { [ANNOTATION]: '203.0.113.5' }),
      floating('b', '10.0.0.2', { [ANNOTATION]: '["fd00:5::5"]' }),
    ],
    about: ABOUT_FLOATING,
    expected: [],
  },
  {
    name: 'of two containers with one floating address the lower text wins, not the lower number',
    facts: [
      settings(true),
      floating('a', '10.0.0.9', { [ANNOTATION]: '["203.0.113.5","203.0.113.6"]' }),
      floating('b', '10.0.0.10', { [ANNOTATION]: '["203.0.113.5"]' }),
    ],
    about: ABOUT_FLOATING,
    expected: [
      'endpoint default/a floating: 203.0.113.6 10.0.0.9',
      'endpoint default/b floating: 203.0.113.5 10.0.0.10',
      'route 203.0.113.5/32 calib',
      'route 203.0.113.6/32 calia',
    ],
  },
  {
    name: 'a container elsewhere may be the one that a floating address leads to',
    facts: [
      settings(true),
      floating('a', '10.0.0.9', { [ANNOTATION]: '["203.0.113.5"]', 'muslin.io/floating-ip-announce': 'true' }),
      floating('b', '10.0.0.10', { [ANNOTATION]: '["203.0.113.5"]' }, { node: 'host-b' }),
    ],
    about: ABOUT_FLOATING,
    expected: [],
  },
  {
    name: "an address that is a container's own is not taken from it",
    facts: [
      settings(true),
      floating('a', '10.0.0.9', { [ANNOTATION]: '["203.0.113.5"]' }),
      floating('b', '203.0.113.5', {}),
    ],
    about: ['route 203'],
    expected: ['route 203.0.113.5/32 calib'],
  },
  {
    name: 'further sources, of the resource and of the annotation',
    facts: [
      floating(
        'a',
        '10.0.0.9',
        { 'cni.projectcalico.org/allowedSourcePrefixes': '["10.9.0.0/16","10.8.0.0/16","x"]' },
        { allowSpoofedSourcePrefixes: ['10.8.0.0/16'] },
      ),
    ],
    about: ['endpoint default/a also'],
    expected: ['endpoint default/a also from: 10.8.0.0/16', 'endpoint default/a also from: 10.9.0.0/16'],
  },
];

const CASES = [...RULES, ...ACTIVE, ...PROFILES, ...OTHERS, ...FLOATING];

function run(steps: readonly Step<Fact>[], taught: readonly string[]): string[] {
  const calculation = new Calculation('host-a');
  const collected = new Collected();
  for (const step of [...steps, 'look' as const]) {
    if (step === 'look') collected.take(calculation);
    else tell(calculation, step.fact, step.present);
  }
  return collected.lines(taught);
}

describe('policy', () => {
  for (const { name, facts, about, expected } of CASES) {
    const ways = WAYS.map((way) => ({ way, lines: run(way.steps(facts), expected) }));
    it(name, () => {
      const all = ways[0]?.lines ?? [];
      const concerned = all.filter((line) => (about ?? DEFAULT_ABOUT).some((beginning) => line.startsWith(beginning)));
      const plain = about === undefined ? concerned.filter((line) => !line.includes(' profiles: ')) : concerned;
      assert.deepEqual(plain, [...expected]);
    });
    for (const { way, lines } of ways) {
      it(`${name} (${way.name})`, () => {
        assert.deepEqual(lines, ways[0]?.lines);
      });
    }
    it(`${name}: nothing is left when all facts are gone`, () => {
      const left = run(toldInVain(facts), expected);
      assert.deepEqual(left, [
        'set all-hosts-net: ',
        'set all-vxlan-net: ',
        'set masq-ipam-pools: ',
        'set network-ip-pools: ',
      ]);
    });
  }
});

/** Several versions of the same things, so that each can become the other. */
const VERSIONS: readonly (readonly Fact[])[] = [
  [a, workload('a', '10.0.0.1', { app: 'db' }, NATS), workload('a', '10.0.0.1', {}, { node: 'host-b', ...NATS })],
  [b, workload('b', '10.0.0.2', { app: 'web' }, { profiles: ['z'] }), workload('b', '10.0.0.22', { app: 'db' })],
  [remote, workload('c', '10.0.0.3', { app: 'web' }), floating('c', '10.0.0.3', { [ANNOTATION]: '["203.0.113.1"]' })],
  [eth0, host('h', { interfaceName: '*', profiles: ['z'] }), host('h', { node: 'host-b', expectedIPs: ['192.0.2.9'] })],
  [
    gnp('p', { selector: 'app == "db"', ingress: [{ action: 'Allow', source: { selector: 'app == "web"' } }] }),
    gnp('p', { tier: 't', order: 5, ingress: [{ action: 'Deny', source: { selector: 'app == "db"' } }] }),
    gnp('p', { doNotTrack: true, applyOnForward: true, egress: [{ action: 'Pass' }] }),
  ],
  [
    np('default/q', { order: 1, types: ['Egress'], ingress: [{ action: 'Allow', source: { selector: 'all()' } }] }),
    np('default/q', { order: 9, ingress: [{ action: 'Allow', source: { selector: 'all()' } }] }),
    np('default/q', {
      selector: 'app == "web"',
      egress: [{ action: 'Allow', destination: { notSelector: 'app == "db"' } }],
    }),
  ],
  [
    knp('default/k', { podSelector: {} }),
    knp('default/k', { podSelector: {}, egress: [{ to: [{ namespaceSelector: { matchLabels: { env: 'prod' } } }] }] }),
  ],
  [
    fact('StagedGlobalNetworkPolicy', 's', { namespaceSelector: 'env == "prod"' }),
    fact('StagedGlobalNetworkPolicy', 's', { stagedAction: 'Delete' }),
  ],
  [tier('t', { order: 1 }), tier('t', { order: 2_000_000, defaultAction: 'Pass' })],
  [namespace('default', { env: 'prod' }), namespace('default', { env: 'test' })],
  [
    fact('Profile', 'z', { labelsToApply: { app: 'db' }, ingress: [{ action: 'Allow' }] }),
    fact('Profile', 'z', { egress: [{ action: 'Allow', destination: { selector: 'kind == "bad"' } }] }),
  ],
  [fact('Profile', 'kns.default', { labelsToApply: { 'pcns.env': 'prod' } })],
  [
    fact('GlobalNetworkSet', 'n', { nets: ['198.51.100.0/24'] }, { labels: { app: 'db' } }),
    fact('GlobalNetworkSet', 'n', { nets: ['198.51.100.0/24', '10.0.0.0/8'] }, { labels: { app: 'web', kind: 'bad' } }),
  ],
  [settings(true, '192.0.2.0/24'), settings(false)],
  [pool('o', '203.0.113.0/24'), pool('o', '203.0.113.0/24', { natOutgoing: true, disableBGPExport: true })],
];

const ROUNDS = 60;
const STEPS_PER_ROUND = 60;

/** A walk through random states; after each look the state told in a fresh start must say the same. */
function walk(seed: number): void {
  const random = seededRandom(seed);
  const below = (count: number) => Math.floor(random() * count);
  const calculation = new Calculation('host-a');
  const collected = new Collected();
  const state = new Map<number, Fact>();
  for (let step = 0; step < STEPS_PER_ROUND; step++) {
    const index = below(VERSIONS.length);
    const versions = VERSIONS[index]!;
    const version = versions[below(versions.length)]!;
    const present = random() < 0.75;
    if (present) state.set(index, version);
    else state.delete(index);
    tell(calculation, version, present);
    if (random() < 0.6) continue;
    collected.take(calculation);
    assert.deepEqual(
      collected.lines([]),
      run(
        [...state.values()].map((fact) => ({ fact, present: true })),
        [],
      ),
      `seed ${seed}`,
    );
  }
}

describe('policy that changes', () => {
  it('says at every time what a fresh start would say', () => {
    for (let seed = 1; seed <= ROUNDS; seed++) walk(seed);
  });

  it('keeps the very objects that have not changed, so that nobody works for nothing', () => {
    const calculation = new Calculation('host-a');
    for (const each of [a, b, gnp('p', {}), gnp('q', { selector: 'app == "db"' })]) tell(calculation, each, true);
    calculation.takeChanges();
    tell(calculation, workload('a', '10.0.0.1', { app: 'web', unrelated: 'x' }), true);
    tell(calculation, gnp('p', {}), true);
    const { endpoints, policy, routes, announcements } = calculation.takeChanges();
    assert.deepEqual(
      [endpoints.size, policy.policies.size, policy.profiles.size, policy.sets.size, routes.size],
      [0, 0, 0, 0, 0],
    );
    assert.equal(announcements, undefined);
  });

  it('an endpoint of another host that changes its labels is told as members of sets alone', () => {
    const calculation = new Calculation('host-a');
    const rule = { action: 'Allow', source: { selector: 'app == "db"' } };
    for (const each of [a, remote, gnp('p', { ingress: [rule] })]) tell(calculation, each, true);
    calculation.takeChanges();
    tell(calculation, workload('c', '10.0.0.3', { app: 'web' }, { node: 'host-b' }), true);
    const { endpoints, policy } = calculation.takeChanges();
    assert.deepEqual([endpoints.size, policy.policies.size, policy.profiles.size], [0, 0, 0]);
    assert.deepEqual([...policy.sets.values()], [{ kind: 'nets', added: [], removed: ['10.0.0.3'] }]);
  });
});

describe('floating addresses', () => {
  it('are announced anew when they lead to another container, for that has another device', () => {
    const calculation = new Calculation('host-a');
    const forced = { [ANNOTATION]: '["203.0.113.5"]', 'muslin.io/floating-ip-announce': 'true' };
    const devices = () => calculation.takeChanges().announcements?.map(({ deviceName }) => deviceName);
    for (const each of [settings(true), floating('a', '10.0.0.9', forced)]) tell(calculation, each, true);
    assert.deepEqual(devices(), ['calia']);
    tell(calculation, floating('b', '10.0.0.10', forced), true);
    assert.deepEqual(devices(), ['calib']);
    tell(calculation, floating('b', '10.0.0.10', forced), true);
    assert.equal(devices(), undefined);
  });
});

describe('where policy comes from', () => {
  const source = { 'muslin.io/source': 'web.yaml:3' };
  const lines = { ...source, 'muslin.io/rule-lines': '{"ingress":[12,15],"egress":[20]}' };
  const two = { ingress: [{ action: 'Allow' }, { action: 'Deny' }], egress: [{ action: 'Log' }] };
  const peers = [{ podSelector: {} }, { namespaceSelector: {} }];
  const rows: { name: string; fact: Fact; expected: (string | undefined)[] }[] = [
    { name: 'no file', fact: gnp('p', two), expected: [undefined, undefined, undefined] },
    {
      name: 'a file',
      fact: gnp('p', two, { annotations: source }),
      expected: ['web.yaml:3', 'web.yaml:3', 'web.yaml:3'],
    },
    {
      name: 'lines of rules',
      fact: gnp('p', two, { annotations: lines }),
      expected: ['web.yaml:12', 'web.yaml:15', 'web.yaml:20'],
    },
    {
      name: 'lines that are no lines',
      fact: gnp('p', two, { annotations: { ...source, 'muslin.io/rule-lines': '{"ingress":["x"],"egress":7}' } }),
      expected: ['web.yaml:3', 'web.yaml:3', 'web.yaml:3'],
    },
    {
      name: "rules of Kubernetes' that become several",
      fact: knp('default/p', { podSelector: {}, ingress: [{ from: peers }, {}], egress: [{}] }, { annotations: lines }),
      expected: ['web.yaml:12', 'web.yaml:12', 'web.yaml:15', 'web.yaml:20'],
    },
  ];
  for (const { name, fact, expected } of rows) {
    it(name, () => {
      const calculation = new Calculation('host-a');
      tell(calculation, a, true);
      tell(calculation, fact, true);
      const [policy] = [...calculation.takeChanges().policy.policies.values()];
      const rules = [...policy!.ingress, ...policy!.egress];
      assert.deepEqual(
        rules.map(({ provenance }) => provenance.source),
        expected,
      );
      assert.ok(rules.every(({ provenance }) => provenance.origin === policy?.id));
    });
  }

  it('says which rules are left out and why, as long as the policy is in force here', () => {
    const calculation = new Calculation('host-a');
    const rule = { action: 'Allow', protocol: 'TCP' };
    const left = gnp('p', {
      ingress: [rule, { ...rule, http: { methods: ['GET'] } }],
      egress: [{ ...rule, destination: { services: { name: 'x', namespace: 'y' } } }],
    });
    tell(calculation, left, true);
    calculation.takeChanges();
    assert.equal(calculation.rulesLeftOut().size, 0);
    tell(calculation, a, true);
    calculation.takeChanges();
    const [reasons = []] = [...calculation.rulesLeftOut().values()];
    assert.deepEqual([...calculation.rulesLeftOut().keys()], ['GlobalNetworkPolicy p']);
    assert.match(reasons[0] ?? '', /^ingress\[1\] is left out: it asks for HTTP/);
    assert.match(reasons[1] ?? '', /^egress\[0\] is left out: its destination is the service y\/x,/);
  });

  it('keeps the place that a rule has in its resource, whatever is left out before it', () => {
    const calculation = new Calculation('host-a');
    const rule = { action: 'Allow', protocol: 'TCP' };
    tell(calculation, gnp('p', { ingress: [rule, { ...rule, http: { methods: ['GET'] } }, rule] }), true);
    tell(calculation, a, true);
    const [policy] = [...calculation.takeChanges().policy.policies.values()];
    assert.deepEqual(
      policy?.ingress.map(({ index }) => index),
      [0, 2],
    );
  });
});
