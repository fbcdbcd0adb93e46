/**
 * Small random worlds of policy: containers on one host or two, networks, and policies of all kinds, from a seed.
 *
 * Labels, ports and prefixes come from short lists, so that rules meet packets often; a world in which nothing matches
 * shows nothing. Each resource passes the model's validation, as what comes from a user must. The same seed gives the
 * same world.
 */
import assert from 'node:assert/strict';
import type { Random } from '../../lib/prng.ts';
import { seededRandom } from '../../lib/prng.ts';
import type { AnyResource } from '../../model/kinds.ts';
import { validateResource } from '../../model/validate.ts';
import type { Ip } from '../../net/ip.ts';
import { ip } from '../../net/ip.ts';
import type { Flow } from './naive-policy.suite.ts';

export const NODES = ['host-a', 'host-b'] as const;

/** Of the device eth0 of each host. */
export const HOST_ADDRESSES = {
  'host-a': ['192.0.2.10', '2001:db8:10::a'],
  'host-b': ['192.0.2.11', '2001:db8:10::b'],
} as const satisfies Readonly<Record<(typeof NODES)[number], readonly string[]>>;

/** Nobody's, one of a network set, one of another host. */
const OUTSIDE = ['198.51.100.7', '203.0.113.9', '192.0.2.2', '2001:db8:51::7', '2001:db8:113::9'] as const;

const NAMESPACES = ['shop', 'bank'] as const;
const LABELS = { app: ['web', 'api', 'db'], tier: ['a', 'ab', 'b'], quarantine: ['true'] } as const;
const NAMESPACE_LABELS = { env: ['prod', 'test'], team: ['red', 'blue'] } as const;
const NAMED_PORTS = ['http', 'dns', 'admin'] as const;
const PORTS = [53, 80, 81, 443, 8080] as const;
const NETS_V4 = [
  '10.65.0.0/24',
  '10.65.0.0/30',
  '10.65.0.2/32',
  '10.65.0.4/31',
  '203.0.113.0/24',
  '203.0.113.8/29',
  '0.0.0.0/1',
  '198.51.100.7/32',
];
const NETS_V6 = ['fd00:65::/64', 'fd00:65::/126', 'fd00:65::2/128', '2001:db8::/32', '2001:db8:113::/48', '8000::/1'];
const TIERS = ['default', 'default', 'security', 'platform', 'kube-admin', 'kube-baseline'] as const;
const ORDERS = [null, 10, 20, 1000, -5.5] as const;

type Document = Readonly<Record<string, unknown>>;

class Dice {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** 0 … count - 1. */
  below(count: number): number {
    return Math.floor(this.#random() * count);
  }

  chance(probability: number): boolean {
    return this.#random() < probability;
  }

  of<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }

  /** From `least` to `most` items, each of its own. */
  times<Item>(least: number, most: number, make: (index: number) => Item): Item[] {
    return Array.from({ length: least + this.below(most - least + 1) }, (_, index) => make(index));
  }

  /** Each label with even odds. */
  labels(table: Readonly<Record<string, readonly string[]>>): Record<string, string> {
    return Object.fromEntries(
      Object.entries(table)
        .filter(([name]) => this.chance(name === 'quarantine' ? 0.2 : 0.6))
        .map(([name, values]) => [name, this.of(values)]),
    );
  }

  /** Fields that are there with the given odds. */
  fields(odds: number, fields: Readonly<Record<string, () => unknown>>): Record<string, unknown> {
    return Object.fromEntries(
      Object.entries(fields)
        .filter(() => this.chance(odds))
        .map(([name, make]) => [name, make()]),
    );
  }
}

/** The few tiers and orders that the policies of a world have, so that they get into each other's way. */
interface Habits {
  readonly tiers: readonly string[];
  readonly orders: readonly (number | null)[];
  /** Whether devices of hosts are policed, so that policies which act early or on what is forwarded matter. */
  readonly hostEndpoints: boolean;
}

/** The resources of the world of a seed. Odd seeds have their containers on two hosts. */
export function randomWorld(seed: number): AnyResource[] {
  const dice = new Dice(seed);
  const habits: Habits = {
    tiers: dice.times(1, 3, () => dice.of(TIERS)),
    orders: dice.times(1, 2, () => dice.of(ORDERS)),
    hostEndpoints: dice.chance(0.4),
  };
  const documents: Document[] = [
    ...NAMESPACES.map((name) => ({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name, labels: dice.labels(NAMESPACE_LABELS) },
    })),
    ...dice.times(4, 7, (index) => endpoint(dice, index, seed % 2 === 0 ? NODES[0] : dice.of(NODES))),
    ...dice.times(0, 2, (index) =>
      calico('GlobalNetworkSet', { name: `global-${index}`, labels: dice.labels(LABELS) }, { nets: nets(dice) }),
    ),
    ...dice.times(0, 2, (index) =>
      calico(
        'NetworkSet',
        { name: `set-${index}`, namespace: dice.of(NAMESPACES), labels: dice.labels(LABELS) },
        { nets: nets(dice) },
      ),
    ),
    ...hostEndpoints(dice, habits),
    ...profiles(dice),
    ...(['security', 'platform'] as const).map((name) => calico('Tier', { name }, tier(dice))),
    ...dice.times(1, 8, (index) => policy(dice, index, habits)),
  ];
  return documents.map((document) => {
    const validated = validateResource(document);
    if (!validated.ok) assert.fail(`seed ${seed}: ${JSON.stringify(document)}: ${JSON.stringify(validated)}`);
    return validated.resource;
  });
}

function calico(kind: string, metadata: Document, spec: unknown): Document {
  return { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
}

function endpoint(dice: Dice, index: number, node: string): Document {
  const host = index + 1;
  const ports = dice.times(0, 2, () => ({
    name: dice.of(NAMED_PORTS),
    protocol: dice.of(['TCP', 'UDP']),
    port: dice.of(PORTS),
  }));
  const families = dice.chance(0.8) ? [4, 6] : [dice.of([4, 6])];
  const namespace = dice.of(NAMESPACES);
  const named = dice.chance(0.2) ? ['base', ...(dice.chance(0.7) ? [`kns.${namespace}`] : [])] : undefined;
  return calico(
    'WorkloadEndpoint',
    { name: `w${host}`, namespace, labels: dice.labels(LABELS) },
    {
      node,
      ...(dice.chance(0.8) && { orchestrator: dice.of(['k8s', 'cni']) }),
      interfaceName: `cali${host}`,
      ipNetworks: [
        ...(families.includes(4) ? [`10.65.0.${host}/32`] : []),
        ...(families.includes(6) ? [`fd00:65::${host}/128`] : []),
      ],
      ports,
      ...(named && { profiles: named }),
      ...(dice.chance(0.5) && { serviceAccountName: dice.of(['clerk', 'robot']) }),
    },
  );
}

/** Devices of the two hosts, and of one that no program here is for. */
function hostEndpoints(dice: Dice, habits: Habits): Document[] {
  const own = dice.times(habits.hostEndpoints ? 1 : 0, habits.hostEndpoints ? 3 : 0, (index) => {
    const node = dice.of(NODES);
    const place = dice.of([
      { interfaceName: 'eth0' },
      { interfaceName: '*' },
      { expectedIPs: [HOST_ADDRESSES[node][0]] },
    ]);
    return { name: `host-${dice.below(9)}${index}`, node, ...place };
  });
  const foreign = dice.chance(0.3)
    ? [{ name: 'edge', node: 'host-z', interfaceName: 'eth0', expectedIPs: ['192.0.2.2'] }]
    : [];
  return [...own, ...foreign].map(({ name, ...spec }) =>
    calico(
      'HostEndpoint',
      { name, labels: dice.labels(LABELS) },
      {
        ...spec,
        profiles: dice.of([[], [], ['base'], ['projectcalico-default-allow']]),
        ports: dice.times(0, 1, () => ({ name: dice.of(NAMED_PORTS), protocol: 'TCP', port: dice.of(PORTS) })),
      },
    ),
  );
}

/** `base`, which may be missing, and now and then somebody's own rules in the place of a namespace's. */
function profiles(dice: Dice): Document[] {
  const rules = () => ({
    ingress: dice.times(0, 2, () => rule(dice, 'ingress', ['Allow', 'Deny', 'Log'])),
    egress: dice.times(0, 2, () => rule(dice, 'egress', ['Allow', 'Deny', 'Log'])),
    labelsToApply: dice.labels(LABELS),
  });
  return [
    ...(dice.chance(0.8) ? [calico('Profile', { name: 'base' }, rules())] : []),
    ...(dice.chance(0.1) ? [calico('Profile', { name: 'kns.shop' }, rules())] : []),
  ];
}

function tier(dice: Dice): Document {
  return { order: dice.of([null, 1, 1, 2_000_000, 20_000_000]), defaultAction: dice.of(['Pass', 'Deny']) };
}

function nets(dice: Dice): string[] {
  return dice.times(1, 4, () => dice.of(dice.chance(0.6) ? NETS_V4 : NETS_V6));
}

function policy(dice: Dice, index: number, habits: Habits): Document {
  // Names do not follow the order in which policies are made.
  const name = `${dice.of(['x', 'y', 'z'])}${index}`;
  const namespace = dice.of(NAMESPACES);
  const draw = dice.below(100);
  if (draw < 35) return calico('GlobalNetworkPolicy', { name }, globalSpec(dice, habits));
  if (draw < 65) return calico('NetworkPolicy', { name, namespace }, calicoSpec(dice, habits));
  if (draw < 90) return kubernetesPolicy(dice, { name, namespace });
  if (draw < 95) return calico('StagedGlobalNetworkPolicy', { name }, calicoSpec(dice, habits));
  return calico('StagedNetworkPolicy', { name, namespace }, calicoSpec(dice, habits));
}

function calicoSpec(dice: Dice, habits: Habits): Document {
  const [ingress, egress] = (['ingress', 'egress'] as const).map((direction) =>
    dice.times(0, 3, () => rule(dice, direction, ['Allow', 'Allow', 'Deny', 'Pass', 'Log'])),
  );
  return {
    tier: dice.of(habits.tiers),
    order: dice.of(habits.orders),
    selector: dice.chance(0.4) ? 'all()' : selector(dice, 2),
    ingress,
    egress,
    ...dice.fields(0.2, {
      types: () => dice.of([['Ingress'], ['Egress'], ['Ingress', 'Egress']]),
      serviceAccountSelector: () => dice.of(['all()', 'role == "teller"', '!has(role)']),
    }),
  };
}

/** What a policy of the whole network has besides; some act earlier than others. */
function globalSpec(dice: Dice, habits: Habits): Document {
  const spec = calicoSpec(dice, habits);
  const draw = dice.below(habits.hostEndpoints ? 5 : 20);
  if (draw === 0) return { ...spec, applyOnForward: true, doNotTrack: true };
  if (draw === 1) return { ...spec, egress: [], types: ['Ingress'], applyOnForward: true, preDNAT: true };
  const fields = { namespaceSelector: () => namespaceSelector(dice, false), applyOnForward: () => true };
  return { ...spec, ...dice.fields(habits.hostEndpoints ? 0.4 : 0.2, fields) };
}

function namespaceSelector(dice: Dice, isPeer: boolean): string {
  const texts = [
    'all()',
    'env == "prod"',
    'env != "prod"',
    'team in {"red", "green"}',
    '!has(env)',
    'has(team) && env == "test"',
  ];
  return dice.of([...texts, 'projectcalico.org/name == "shop"', ...(isPeer ? ['global()'] : [])]);
}

function selector(dice: Dice, depth: number): string {
  const draw = dice.below(depth > 0 ? 13 : 9);
  const name = dice.of(['app', 'tier', 'quarantine', 'nobody']);
  const value = () => `'${dice.of([...LABELS.app, ...LABELS.tier, 'true'])}'`;
  const set = () => `{${dice.times(0, 3, value).join(', ')}}`;
  const inner = () => selector(dice, depth - 1);
  const forms: readonly (() => string)[] = [
    () => `${name} == ${value()}`,
    () => `${name} != ${value()}`,
    () => `${name} in ${set()}`,
    () => `${name} not in ${set()}`,
    () => `has(${name})`,
    () => `${name} contains '${dice.of(['a', 'b', ''])}'`,
    () => `${name} starts with '${dice.of(['a', 'w'])}'`,
    () => `${name} ends with "${dice.of(['b', 'i'])}"`,
    () => 'all()',
    () => `!(${inner()})`,
    () => `(${inner()}) && (${inner()})`,
    () => `${inner()} || ${inner()}`,
    () => `!has(${name}) && ${inner()}`,
  ];
  return forms[draw]!();
}

function rule(dice: Dice, direction: 'ingress' | 'egress', actions: readonly string[]): Document {
  const family = dice.of([4, 4, 6] as const);
  const protocol = dice.of([
    undefined,
    undefined,
    'TCP',
    'TCP',
    6,
    'UDP',
    17,
    'SCTP',
    family === 4 ? 'ICMP' : 'ICMPv6',
  ]);
  const isIcmp = protocol === 'ICMP' || protocol === 'ICMPv6';
  const icmp = () => ({ type: dice.of([8, 128, 3]), ...(dice.chance(0.4) && { code: dice.of([0, 1]) }) });
  const peer = direction === 'ingress' ? 'source' : 'destination';
  const ends = Object.fromEntries(
    (['source', 'destination'] as const).map((end) => [
      end,
      ruleEnd(dice, { protocol, isIcmp, family, odds: end === peer ? 0.35 : 0.12, end }),
    ]),
  );
  return {
    action: dice.of(actions),
    ...(protocol !== undefined && { protocol }),
    ...ends,
    ...(isIcmp && dice.fields(0.4, { icmp, notICMP: icmp })),
    ...(!isIcmp && dice.chance(0.15) && { ipVersion: family }),
    ...(dice.chance(0.1) && { notProtocol: dice.of(['TCP', 'UDP', 132, 'ICMP']) }),
  };
}

interface EndContext {
  readonly protocol: string | number | undefined;
  readonly isIcmp: boolean;
  readonly family: 4 | 6;
  readonly odds: number;
  readonly end: 'source' | 'destination';
}

function ruleEnd(dice: Dice, { protocol, isIcmp, family, odds, end }: EndContext): Document {
  const prefixes = () => dice.times(1, 3, () => dice.of(family === 4 ? NETS_V4 : NETS_V6));
  const port = (): string | number => {
    if (protocol === undefined || dice.chance(0.25)) return dice.of(NAMED_PORTS);
    return dice.chance(0.7) ? dice.of(PORTS) : dice.of(['1:80', '81:443', '80:90', '8000:9000']);
  };
  const portOdds = end === 'destination' ? 0.35 : 0.03;
  return {
    ...dice.fields(odds, { selector: () => selector(dice, 1) }),
    ...dice.fields(odds / 2, {
      nets: prefixes,
      notNets: prefixes,
      notSelector: () => selector(dice, 1),
      namespaceSelector: () => namespaceSelector(dice, true),
    }),
    ...dice.fields(odds / 6, {
      serviceAccounts: () => ({
        ...dice.fields(0.7, {
          names: () => [dice.of(['clerk', 'robot'])],
          selector: () => dice.of(['all()', '!has(role)']),
        }),
      }),
    }),
    ...(!isIcmp &&
      dice.fields(portOdds, { ports: () => dice.times(1, 4, port), notPorts: () => dice.times(1, 2, port) })),
  };
}

function kubernetesPolicy(dice: Dice, metadata: Document): Document {
  const expression = () =>
    dice.of([
      { key: 'app', operator: 'In', values: ['web', 'db'] },
      { key: 'tier', operator: 'NotIn', values: ['a'] },
      { key: 'app', operator: 'Exists' },
      { key: 'quarantine', operator: 'DoesNotExist' },
    ]);
  const podSelector = () =>
    dice.of([{}, { matchLabels: dice.labels(LABELS) }, { matchExpressions: dice.times(1, 2, expression) }]);
  const namespaces = () =>
    dice.of([
      {},
      { matchLabels: { env: 'prod' } },
      { matchExpressions: [{ key: 'env', operator: 'NotIn', values: ['prod'] }] },
    ]);
  const peer = (): Document => {
    const draw = dice.below(4);
    if (draw === 0) return { podSelector: podSelector() };
    if (draw === 1) return { namespaceSelector: namespaces() };
    if (draw === 2) return { podSelector: podSelector(), namespaceSelector: namespaces() };
    return {
      ipBlock: dice.of([
        { cidr: '0.0.0.0/0', except: ['10.65.0.0/30', '203.0.113.0/24'] },
        { cidr: '10.65.0.0/24', except: ['10.65.0.2/32'] },
        { cidr: '::/0', except: ['fd00:65::/126'] },
        { cidr: '203.0.113.0/24' },
      ]),
    };
  };
  const port = () =>
    dice.of([
      { port: 80 },
      { protocol: 'UDP', port: 53 },
      { port: 80, endPort: 443 },
      { port: 'http' },
      { protocol: 'UDP' },
      { protocol: 'TCP', port: 'admin' },
    ]);
  const rules = (end: string) =>
    dice.times(0, 2, () => ({
      ...dice.fields(0.7, { [end]: () => dice.times(0, 2, peer), ports: () => dice.times(0, 2, port) }),
    }));
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata,
    spec: {
      podSelector: podSelector(),
      ...dice.fields(0.6, { ingress: () => rules('from'), egress: () => rules('to') }),
      ...dice.fields(0.3, { policyTypes: () => dice.of([['Ingress'], ['Egress'], ['Ingress', 'Egress']]) }),
    },
  };
}

/** Beyond this a world's packets cost more than the next world would. */
const FLOWS_MAX = 32;

/** Packets between containers, hosts and outside. */
export function randomFlows(resources: readonly AnyResource[], seed: number): Flow[] {
  const dice = new Dice(seed ^ 0x5eed);
  const own = resources.flatMap((resource) =>
    resource.kind === 'WorkloadEndpoint' ? resource.spec.ipNetworks.map((net) => ip(net.split('/')[0]!)) : [],
  );
  const outside = [...OUTSIDE, ...Object.values(HOST_ADDRESSES).flat()].map(ip);
  const pairs = [
    ...own.flatMap((source) => [...own, ...outside].map((destination) => [source, destination] as const)),
    ...outside.flatMap((source) => [...own, ...outside].map((destination) => [source, destination] as const)),
  ];
  return pairs
    .filter(([source, destination]) => source.family === destination.family && source !== destination)
    .map((pair) => ({ pair, rank: dice.below(1_000_000) }))
    .sort((a, b) => a.rank - b.rank)
    .slice(0, FLOWS_MAX)
    .map(({ pair }) => pair)
    .map(([source, destination]) => ({ source, destination, ...upperHeader(dice, source) }));
}

function upperHeader(dice: Dice, { family }: Ip): Omit<Flow, 'source' | 'destination'> {
  if (dice.chance(0.15)) {
    return { protocol: family === 4 ? 1 : 58, icmpType: dice.of([8, 128, 3]), icmpCode: dice.of([0, 1]) };
  }
  return {
    protocol: dice.of([6, 6, 6, 17, 17, 132]),
    sourcePort: dice.of([80, 40_000]),
    destinationPort: dice.of(PORTS),
  };
}
