/**
 * What the packet filter does is what policy means: random worlds, judged twice.
 *
 *   resources ─┬─► calculation ─► builder ─► program of each host ─► evaluation ─┬─► equal
 *              └─► naive evaluator, straight from the resources ─────────────────┘
 *
 * Each world is reached by changes from the one before it, so that what is compared has come about by updates and
 * removals as well; now and then dialects and settings change, too. Where the two disagree, resources are taken away as
 * long as they still do, and what is left is printed. POLICY_SEED is the seed of the first world, to look at others.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Calculation } from '../../felix/calc/calculation.ts';
import { FilterBuilder } from '../../felix/dataplane/filter/builder.ts';
import type { Evaluation, Outcome, Packet } from '../../felix/dataplane/filter/evaluate.ts';
import { evaluationOf } from '../../felix/dataplane/filter/evaluate.ts';
import type { FilterWorld } from '../../felix/dataplane/filter/match.ts';
import type { Dialect } from '../../felix/dataplane/filter/program.ts';
import { IPTABLES_DIALECT, NFTABLES_DIALECT } from '../../felix/dataplane/filter/program.ts';
import type { FilterSettings } from '../../felix/desired/filter-settings.ts';
import { FILTER_SETTINGS_DEFAULTS } from '../../felix/desired/filter-settings.ts';
import type { AnyResource } from '../../model/kinds.ts';
import { resourceTitle } from '../../model/resource.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { cidr } from '../../net/cidr.ts';
import { formatIp, ip } from '../../net/ip.ts';
import type { Flow, HostPort, Judgement } from './naive-policy.suite.ts';
import { NaivePolicy } from './naive-policy.suite.ts';
import { HOST_ADDRESSES, NODES, randomFlows, randomWorld } from './random-policies.suite.ts';

const WORLDS = 2_000;
const FIRST_SEED = Number(process.env['POLICY_SEED'] ?? 0);
/** After so many worlds the hosts begin anew, so that a failure has no endless history. */
const LIFETIME = 50;
/** After so many worlds the two builders change places and settings. */
const TERM = 10;
const DIALECTS: Readonly<Record<string, Dialect>> = { nftables: NFTABLES_DIALECT, iptables: IPTABLES_DIALECT };
/** But for the failsafe ports, none of these changes who may reach whom. */
const SETTINGS: readonly FilterSettings[] = [
  FILTER_SETTINGS_DEFAULTS,
  {
    ...FILTER_SETTINGS_DEFAULTS,
    marks: { accept: 0x80000000, pass: 0x1, drop: 0x8, scratch0: 0x40, scratch1: 0x4000000 },
    filterAllowAction: 'return',
    mangleAllowAction: 'return',
    denyAction: 'reject',
    dropInvalid: false,
    ipip: true,
    vxlan: { port: 4789 },
    failsafeInbound: [
      { protocol: 'tcp', port: 443, net: undefined },
      { protocol: 'udp', port: 53, net: cidr('198.51.100.0/24') },
    ],
    failsafeOutbound: [{ protocol: 'udp', port: 53, net: undefined }],
  },
];

/** Everything that judges packets on one host. */
class Host {
  readonly node: (typeof NODES)[number];
  readonly eth0: HostPort;
  readonly #calculation: Calculation;
  readonly #builders: readonly FilterBuilder[];
  #resources: ReadonlyMap<string, AnyResource> = new Map();

  constructor(node: (typeof NODES)[number]) {
    this.node = node;
    this.eth0 = { node, name: 'eth0', addresses: HOST_ADDRESSES[node] };
    this.#calculation = new Calculation(node);
    this.#builders = Object.values(DIALECTS).map((dialect) => new FilterBuilder(dialect, FILTER_SETTINGS_DEFAULTS));
    const devices = [{ name: 'eth0', addresses: this.eth0.addresses.map(ip) }];
    for (const builder of this.#builders) builder.setHostDevices(devices);
  }

  isUsedBy(resources: readonly AnyResource[]): boolean {
    return resources.some(({ spec }) => 'node' in spec && spec.node === this.node);
  }

  /** What an operator may change while all of it runs: the backend, and the settings. */
  reconfigure(turn: number): void {
    const dialects = Object.values(DIALECTS);
    for (const [index, builder] of this.#builders.entries()) {
      builder.setDialect(dialects[(index + turn) % dialects.length]!);
      builder.setSettings(SETTINGS[turn % SETTINGS.length]!);
    }
  }

  /** Goes from the resources that it has to these. */
  become(resources: readonly AnyResource[]): void {
    const wanted = new Map(resources.map((resource) => [resourceTitle(resource), resource]));
    for (const key of this.#resources.keys()) if (!wanted.has(key)) this.#update(key, undefined);
    for (const [key, resource] of wanted) this.#update(key, resource);
    this.#resources = wanted;
    const { endpoints, policy } = this.#calculation.takeChanges();
    for (const builder of this.#builders) {
      builder.updateEndpoints(endpoints);
      builder.updatePolicy(policy);
    }
  }

  evaluations(traced: boolean): Evaluation[] {
    const devices = new Map<string, string>();
    for (const resource of this.#resources.values()) {
      if (resource.kind !== 'WorkloadEndpoint' || resource.spec.node !== this.node) continue;
      for (const net of resource.spec.ipNetworks) devices.set(net.split('/')[0]!, resource.spec.interfaceName);
    }
    const world: FilterWorld = {
      isLocal: (address) => this.eth0.addresses.includes(formatIp(address)),
      deviceOf: (address) => devices.get(formatIp(address)) ?? 'eth0',
    };
    return this.#builders.map((builder) => evaluationOf(builder.program, world, traced));
  }

  #update(key: string, resource: AnyResource | undefined): void {
    const [kind, name = ''] = key.split(' ');
    if (kind !== 'WorkloadEndpoint') this.#calculation.updatePolicyResource(key, resource);
    else this.#calculation.updateEndpoint(name, resource?.kind === kind ? resource : undefined);
  }
}

/** All hosts, with a program of each dialect. */
class Hosts {
  readonly #hosts = NODES.map((node) => new Host(node));
  #resources: readonly AnyResource[] = [];
  #settings = FILTER_SETTINGS_DEFAULTS;

  get resources(): readonly AnyResource[] {
    return this.#resources;
  }

  reconfigure(turn: number): void {
    this.#settings = SETTINGS[turn % SETTINGS.length]!;
    for (const host of this.#hosts) host.reconfigure(turn);
  }

  /** A host without containers and devices has nothing to judge; it follows when it has some again. */
  become(resources: readonly AnyResource[]): void {
    this.#resources = resources;
    for (const host of this.#hosts) if (host.isUsedBy(resources)) host.become(resources);
  }

  /** The first packet that the two judge differently, if there is one, in words. */
  disagreement(flows: readonly Flow[]): string | undefined {
    const naive = new NaivePolicy(this.#resources, this.#settings);
    const endpoints = this.#resources.filter((resource) => resource.kind === 'WorkloadEndpoint');
    const endpointOf = new Map(
      endpoints.flatMap((endpoint) => endpoint.spec.ipNetworks.map((net) => [net.split('/')[0]!, endpoint])),
    );
    for (const host of this.#hosts) {
      if (!host.isUsedBy(this.#resources)) continue;
      const evaluations = host.evaluations(false);
      for (const flow of flows) {
        const [sender, receiver] = [flow.source, flow.destination].map((address): End => {
          if (host.eth0.addresses.includes(formatIp(address))) return 'host';
          const endpoint = endpointOf.get(formatIp(address));
          return endpoint?.spec.node === host.node ? endpoint : 'away';
        });
        const judgements = judgementsOf(naive, host, { sender: sender!, receiver: receiver!, flow });
        if (judgements === undefined) continue;
        const allowed = judgements.every((judgement) => judgement.allowed);
        const packet: Packet = { ...flow, inDevice: deviceOf(sender!), outDevice: deviceOf(receiver!) };
        for (const [index, evaluation] of evaluations.entries()) {
          const { verdict } = evaluation(packet);
          if ((verdict === 'accept') === allowed) continue;
          const meant = judgements.map(({ allowed, why }) => `${allowed ? 'allowed' : 'denied'} by ${why}`).join(', ');
          const way = wayText(host.evaluations(true)[index]!(packet));
          return `${flowText(flow)} on ${host.node}, builder ${index}: ${verdict}, but it is ${meant}\n${way}`;
        }
      }
    }
    return undefined;
  }
}

/** Where a packet comes from or goes to, as a host sees it. */
type End = WorkloadEndpoint | 'host' | 'away';

function deviceOf(end: End): string | undefined {
  if (end === 'host') return undefined;
  return end === 'away' ? 'eth0' : end.spec.interfaceName;
}

interface Passage {
  readonly sender: End;
  readonly receiver: End;
  readonly flow: Flow;
}

/** What all who have a say on this host mean; undefined where the packet does not come by. */
function judgementsOf(
  naive: NaivePolicy,
  { eth0 }: Host,
  { sender, receiver, flow }: Passage,
): Judgement[] | undefined {
  if (sender === receiver) return undefined;
  // "The host to its own container is never policed."
  if (sender === 'host' && receiver !== 'away') return [];
  const isForwarded = sender !== 'host' && receiver !== 'host';
  const sends = () => {
    if (sender === 'host') return [];
    return [
      sender === 'away' ? naive.judgeAtDevice(eth0, 'ingress', isForwarded, flow) : naive.judge(sender, 'egress', flow),
    ];
  };
  const receives = () => {
    if (receiver === 'host') return [];
    return [
      receiver === 'away'
        ? naive.judgeAtDevice(eth0, 'egress', isForwarded, flow)
        : naive.judge(receiver, 'ingress', flow),
    ];
  };
  return [...sends(), ...receives()];
}

/** The disagreement in a world that was reached from another one, with the same settings all the time. */
function disagreement(
  turn: number,
  earlier: readonly AnyResource[],
  resources: readonly AnyResource[],
  flows: readonly Flow[],
) {
  const hosts = new Hosts();
  hosts.reconfigure(turn);
  if (earlier.length > 0) {
    hosts.become(earlier);
    // So that the first program is made, and the second one from it.
    hosts.disagreement(flows);
  }
  hosts.become(resources);
  return hosts.disagreement(flows);
}

function wayText({ trace }: Outcome): string {
  return trace
    .map(({ chain, index, rule }) => `    ${chain} ${index}: ${rule.action.kind} (${rule.comment})`)
    .join('\n');
}

function flowText({ source, destination, ...upper }: Flow): string {
  return `${formatIp(source)} to ${formatIp(destination)} ${JSON.stringify(upper)}`;
}

/** Takes away what is not needed for a disagreement. */
function shrunk(
  turn: number,
  earlier: readonly AnyResource[],
  resources: readonly AnyResource[],
  flows: readonly Flow[],
): string {
  let [before, after] = [earlier, resources];
  if (disagreement(turn, [], after, flows) !== undefined) before = [];
  else if (disagreement(turn, before, after, flows) === undefined)
    return 'not in new hosts that come from the world before; settings or more worlds must have a part in it';
  after = fewest(after, (fewer) => disagreement(turn, before, fewer, flows) !== undefined);
  before = fewest(before, (fewer) => disagreement(turn, fewer, after, flows) !== undefined);
  const text = (list: readonly AnyResource[]) => list.map((resource) => `  ${JSON.stringify(resource)}`).join('\n');
  return `${disagreement(turn, before, after, flows)}\nbefore:\n${text(before)}\nthen:\n${text(after)}`;
}

/** What is left when each that can be spared is taken away. */
function fewest(list: readonly AnyResource[], suffices: (fewer: readonly AnyResource[]) => boolean) {
  let left = list;
  for (let index = 0; index < left.length; ) {
    const fewer = left.toSpliced(index, 1);
    if (suffices(fewer)) left = fewer;
    else index += 1;
  }
  return left;
}

describe('the packet filter does what policy means', () => {
  test(`in ${WORLDS} random worlds, each reached from the one before it`, () => {
    let hosts = new Hosts();
    for (let seed = FIRST_SEED; seed < FIRST_SEED + WORLDS; seed++) {
      if (seed % LIFETIME === 0) hosts = new Hosts();
      const turn = Math.floor(seed / TERM);
      hosts.reconfigure(turn);
      const earlier = hosts.resources;
      const resources = randomWorld(seed);
      const flows = randomFlows(resources, seed);
      let found: string | undefined;
      try {
        hosts.become(resources);
        found = hosts.disagreement(flows);
      } catch (error) {
        throw new Error(`seed ${seed}`, { cause: error });
      }
      if (found !== undefined)
        assert.fail(`seed ${seed}: ${found}\nshrunk: ${shrunk(turn, earlier, resources, flows)}`);
    }
  });
});
