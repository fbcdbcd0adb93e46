/**
 * How a cluster of a given size and shape does: sessions, messages, tables, and the time to converge after each misfortune.
 *
 * Speakers, their configurations and what they announce are those of production: each host's block and containers go
 * through its calculation, its BGP through the translation of resources. Where thousands of hosts are told the same, only
 * some of them take it in (`listeners`); all of them dial, speak, announce and are lost like any other. Time is that of
 * virtual-network.ts. Pure; called by bench/scale.ts and its test.
 */
import type { Origination } from '../bgp/contract.ts';
import type { SpeakerConfig } from '../bgp/peer-config.ts';
import { Calculation } from '../felix/calc/calculation.ts';
import { assert } from '../lib/assert.ts';
import type { Instant } from '../lib/clock.ts';
import type { AnyResource } from '../model/kinds.ts';
import type { Ip } from '../net/ip.ts';
import { speakerConfiguration } from '../node/bgp/speaker-configuration.ts';
import type { ClusterResources } from './cluster-resources.ts';
import { clusterResources } from './cluster-resources.ts';
import type { ClusterShape } from './sample-clusters.ts';
import { containersOf, hostName, sampleCluster } from './sample-clusters.ts';
import type { Member } from './virtual-network.ts';
import { VirtualNetwork } from './virtual-network.ts';

/** Routers in the same building. */
export const LATENCY_MS = 0.2;

export interface Scenario {
  readonly hosts: number;
  readonly shape: ClusterShape;
  readonly containers: number;
  /** How many hosts take in what they are told, at most. */
  readonly listenersMax: number;
}

/** What follows from one event. */
export interface Phase {
  /** From the event to the last change of a session or route anywhere. */
  readonly ms: number;
  readonly updates: number;
  readonly bytes: number;
  /** Processor time of the speaker that was busiest, and of all of them. */
  readonly busiestMs: number;
  readonly allMs: number;
}

/** The tables of one speaker. */
export interface Table {
  readonly paths: number;
  readonly attributeSets: number;
  readonly sessions: number;
}

export interface ScaleResult {
  readonly sessions: number;
  readonly listeners: number;
  readonly speakers: number;
  readonly host: Table;
  /** A reflector, or a rack's switch. */
  readonly hub: Table | undefined;
  readonly coldStart: Phase;
  readonly hostLoss: Phase;
  readonly hubLoss: Phase | undefined;
}

export interface ScaleWorld {
  readonly stopwatch: () => number;
  /** Called when all speakers are there and know nothing, and when they have converged. */
  readonly onStage: (stage: 'made' | 'converged') => void;
}

export function runScenario(scenario: Scenario, { stopwatch, onStage }: ScaleWorld): ScaleResult {
  const network = new VirtualNetwork({ seed: 1, latencyMs: LATENCY_MS, stopwatch });
  const resources = clusterResources(sampleCluster({ hosts: scenario.hosts, shape: scenario.shape }));
  const every = Math.max(Math.ceil(scenario.hosts / scenario.listenersMax), 1);
  const members = new Map<string, Member>();
  const setups: { readonly member: Member; readonly config: SpeakerConfig; readonly announced: Origination[] }[] = [];
  const hostNumbers = new Map(Array.from({ length: scenario.hosts }, (_, number) => [hostName(number), number]));
  for (const name of resources.nodes.keys()) {
    const number = hostNumbers.get(name);
    const member = network.add(name, { listens: number === undefined || number % every === 0 });
    members.set(name, member);
    const announced = number === undefined ? [] : announcementsOf(name, number, scenario.containers, resources);
    setups.push({ member, config: configurationOf(name, resources), announced });
  }
  onStage('made');
  const watch = new PhaseWatch(network, [...members.values()]);
  for (const { member, config, announced } of setups) {
    network.announce(member, announced);
    network.configure(member, config, addressesOf(config));
  }
  const coldStart = watch.settle();
  onStage('converged');
  const hubName = scenario.shape.kind === 'mesh' ? undefined : hubNameOf(scenario.shape.kind);
  const [host, hub] = [members.get(hostName(0)), members.get(hubName ?? '')];
  assert(host !== undefined, 'a cluster has a host');
  const tables = { host: tableOf(host), hub: hub && tableOf(hub), sessions: network.establishedEnds / 2 };
  const last = members.get(hostName(scenario.hosts - 1));
  if (last !== undefined) network.vanish(last);
  const hostLoss = watch.settle();
  if (hub !== undefined) network.vanish(hub);
  const hubLoss = hub === undefined ? undefined : watch.settle();
  const listeners = [...members.values()].filter(({ name, listens }) => listens && hostNumbers.has(name)).length;
  return { ...tables, listeners, speakers: members.size, coldStart, hostLoss, hubLoss };
}

function hubNameOf(kind: 'reflectors' | 'racks'): string {
  return kind === 'reflectors' ? 'reflector-0' : 'switch-0';
}

function tableOf({ speaker, established }: Member): Table {
  const { paths, attributeSets } = speaker.sizes();
  return { paths, attributeSets, sessions: established.size };
}

function configurationOf(name: string, resources: ClusterResources): SpeakerConfig {
  const setup = speakerConfiguration(name, { ...resources, endpoints: new Map() }, () => ({ problem: 'no secrets' }));
  assert(!('reason' in setup), `${name} has a configuration`);
  return setup.speaker;
}

function addressesOf({ nextHops }: SpeakerConfig): Ip[] {
  return ([4, 6] as const).flatMap((family) => nextHops[family] ?? []);
}

/** What the host's calculation makes of its own block and containers. */
function announcementsOf(name: string, number: number, containers: number, resources: ClusterResources): Origination[] {
  const calculation = new Calculation(name);
  for (const [key, pool] of resources.pools) calculation.updatePool(key, pool);
  calculate(calculation, containersOf(number, containers));
  const { announcements = [] } = calculation.takeChanges();
  return announcements.map(({ prefix, deviceName }) => ({
    prefix,
    device: deviceName,
    communities: [],
    largeCommunities: [],
    localPreference: undefined,
  }));
}

/** Tells a calculation of resources, as the feed of an agent does. */
export function calculate(calculation: Calculation, resources: Iterable<AnyResource>): void {
  const { nodes, pools, blocks, affinities, endpoints } = clusterResources(resources);
  for (const [key, node] of nodes) calculation.updateNode(key, node);
  for (const [key, pool] of pools) calculation.updatePool(key, pool);
  for (const [key, block] of blocks) calculation.updateBlock(key, block);
  for (const [key, affinity] of affinities) calculation.updateAffinity(key, affinity);
  for (const onNode of endpoints.values()) {
    for (const [key, endpoint] of onNode) calculation.updateEndpoint(key, endpoint);
  }
}

/** Measures from one settled state to the next. */
class PhaseWatch {
  readonly #network: VirtualNetwork;
  readonly #members: readonly Member[];
  #since: Instant;
  #updates = 0;
  #bytes = 0;
  #busyMs: number[];

  constructor(network: VirtualNetwork, members: readonly Member[]) {
    this.#network = network;
    this.#members = members;
    this.#since = network.now;
    this.#busyMs = members.map(({ busyMs }) => busyMs);
  }

  settle(): Phase {
    const network = this.#network;
    network.settle();
    const { updates, bytes } = network.traffic;
    const spent = this.#members.map(({ busyMs }, index) => busyMs - (this.#busyMs[index] ?? 0));
    const phase = {
      ms: Math.max(network.changedAt - this.#since, 0),
      updates: updates - this.#updates,
      bytes: bytes - this.#bytes,
      busiestMs: spent.reduce((most, ms) => Math.max(most, ms), 0),
      allMs: spent.reduce((sum, ms) => sum + ms, 0),
    };
    this.#since = network.now;
    this.#updates = updates;
    this.#bytes = bytes;
    this.#busyMs = this.#members.map(({ busyMs }) => busyMs);
    return phase;
  }
}
