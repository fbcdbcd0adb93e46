/**
 * All nodes of a cluster as production would run them, made from its resources.
 *
 *   resources ─► speaker configuration ─┐                       ┌─► best paths ─► calculation ─► routes
 *             └► calculation ─ announcements ─► speaker ◄─ wire ─► other speakers
 *
 * Each node has its real Calculation and its real Speaker. What `apply` is given replaces all resources, as a store's change
 * does for all agents at once; `momentsSince` shows what else may be for a moment, as no two agents hear of it at once. Pure: equal resources give equal states. Called by plan.ts and by bench/scale.ts.
 */
import type { Origination, PeerName, SpeakerOutput } from '../bgp/contract.ts';
import { peerName } from '../bgp/contract.ts';
import type { PeerConfig, SpeakerConfig } from '../bgp/peer-config.ts';
import { needsReset } from '../bgp/session/needs-reset.ts';
import { Calculation } from '../felix/calc/calculation.ts';
import { calculationSettings } from '../felix/calc/calculation-settings.ts';
import type { RouteTarget } from '../felix/desired/desired.ts';
import { sameJson } from '../lib/json.ts';
import { DEFAULT_BGP_CONFIGURATION } from '../model/bgp-configuration.ts';
import { formatCidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { compareIp, formatIp, isLinkLocal } from '../net/ip.ts';
import type { BgpSetup, SecretReader } from '../node/bgp/bgp-resources.ts';
import { speakerConfiguration } from '../node/bgp/speaker-configuration.ts';
import { felixOnNode } from '../node/felix-layers.ts';
import type { ClusterResources } from './cluster-resources.ts';
import { clusterResources } from './cluster-resources.ts';
import type { ClusterState, NodeState, Route, SessionState } from './cluster-state.ts';
import type { ExternalBehaviour, ExternalSession } from './external-peers.ts';
import { externalSpeaker } from './external-peers.ts';
import type { Member, Traffic, VirtualNetworkOptions } from './virtual-network.ts';
import { VirtualNetwork } from './virtual-network.ts';

/** Secrets are not read: the same reference gives the same password, which is all that two ends need. */
const standInSecret: SecretReader = ({ name, key }) => ({ secret: `${name}/${key}` });

interface SimulatedNode {
  readonly name: string;
  readonly calculation: Calculation;
  readonly member: Member;
  readonly routes: Map<string, Route>;
  /** What it last got from the resources; undefined where BGP cannot speak. */
  setup: BgpSetup | undefined;
  announced: readonly Origination[];
}

export interface ClusterOptions extends VirtualNetworkOptions {
  readonly external: ExternalBehaviour;
}

export class Cluster {
  readonly network: VirtualNetwork;
  readonly #external: ExternalBehaviour;
  readonly #nodes = new Map<string, SimulatedNode>();
  /** By address in text. */
  readonly #outsiders = new Map<string, Member>();
  #resources: ClusterResources = clusterResources([]);
  #problems: readonly string[] = [];

  constructor(options: ClusterOptions) {
    this.network = new VirtualNetwork(options);
    this.#external = options.external;
  }

  /** All resources anew, on all nodes at once. */
  apply(resources: ClusterResources): void {
    const setups = this.#setups(resources);
    this.#calculate(resources);
    let isOther = false;
    for (const [name, node] of this.#nodes) {
      const setup = setups.get(name);
      if (setup === undefined) this.#remove(node);
      else isOther = this.#configure(node, setup, setup.speaker) || isOther;
    }
    if (isOther) this.#configureOutsiders();
    this.#resources = resources;
  }

  /** The sessions that resources ask for, on one node that has heard of them before the others. */
  applyOn(name: string, resources: ClusterResources): void {
    const node = this.#nodes.get(name);
    const setup = this.#setups(resources, [name]).get(name);
    if (node !== undefined && setup !== undefined) this.#configure(node, setup, setup.speaker);
  }

  /** How each node speaks now. */
  configurations(): Map<string, SpeakerConfig> {
    const configs = new Map<string, SpeakerConfig>();
    for (const [name, { setup }] of this.#nodes) if (setup !== undefined) configs.set(name, setup.speaker);
    return configs;
  }

  /**
   * The moments between an earlier configuration and this one in which no node can count on another having heard of the
   * change: with the sessions that both ends had then and have now, passing on what they passed on then and pass on now, under
   * the policies of then and of now. None where nothing has been taken away. Ends in the state in which it began.
   */
  momentsSince(before: ReadonlyMap<string, SpeakerConfig>): ClusterState[] {
    const moments: ClusterState[] = [];
    for (const policies of ['now', 'then'] as const) {
      const configs = keptConfigs(before, this.configurations(), policies);
      if (configs === undefined) continue;
      for (const [name, config] of configs) this.#reconfigure(name, config);
      this.settle();
      moments.push(this.state());
    }
    if (moments.length === 0) return moments;
    for (const [name, config] of this.configurations()) this.#reconfigure(name, config);
    this.settle();
    this.takeLost();
    return moments;
  }

  #reconfigure(name: string, config: SpeakerConfig): void {
    const member = this.#nodes.get(name)?.member;
    if (member !== undefined && !sameJson(member.config, config))
      this.network.configure(member, config, ownAddresses(config));
  }

  settle(): void {
    this.network.settle();
  }

  /** What is not as a resource's author wants it, a sentence each. */
  get problems(): readonly string[] {
    return this.#problems;
  }

  get traffic(): Traffic {
    return this.network.traffic;
  }

  get externalPeers(): readonly string[] {
    return [...this.#outsiders.keys()];
  }

  /** The sessions that each node has lost since the last asking. */
  takeLost(): Map<string, ReadonlySet<PeerName>> {
    const lost = new Map<string, ReadonlySet<PeerName>>();
    for (const [name, { member }] of this.#nodes) {
      lost.set(name, new Set(member.lost));
      member.lost.clear();
    }
    return lost;
  }

  member(name: string): Member | undefined {
    return this.#nodes.get(name)?.member;
  }

  /** As it is now, of which nothing changes any more. */
  state(): ClusterState {
    const nodes = new Map<string, NodeState>();
    for (const node of this.#nodes.values()) {
      this.#takeChanges(node);
      const { name, member, routes, setup, announced } = node;
      nodes.set(name, {
        addresses: setup === undefined ? [] : ownAddresses(setup.speaker).map(formatIp),
        sessions: sessionsOf(member),
        routes: new Map(routes),
        announced: announced.map(({ prefix }) => formatCidr(prefix)),
      });
    }
    return { nodes };
  }

  #setups(resources: ClusterResources, names: Iterable<string> = resources.nodes.keys()): Map<string, BgpSetup> {
    const setups = new Map<string, BgpSetup>();
    const problems = new Set<string>();
    for (const name of names) {
      const endpoints = resources.endpoints.get(name) ?? new Map();
      const setup = speakerConfiguration(name, { ...resources, endpoints }, standInSecret);
      if ('reason' in setup) {
        problems.add(setup.reason);
        continue;
      }
      setups.set(name, setup);
      for (const problem of setup.problems) problems.add(problem);
      for (const { device } of setup.unnumbered)
        problems.add(`Node ${name}: who is at the other end of ${device} is not known here: no session`);
    }
    this.#problems = [...problems];
    return setups;
  }

  /** Hands each node's calculation what has changed for it. */
  #calculate(resources: ClusterResources): void {
    for (const name of resources.nodes.keys()) if (!this.#nodes.has(name)) this.#add(name);
    const before = this.#resources;
    const nodes = [...changes(before.nodes, resources.nodes)];
    const pools = [...changes(before.pools, resources.pools)];
    const blocks = [...changes(before.blocks, resources.blocks)];
    const affinities = [...changes(before.affinities, resources.affinities)];
    for (const [name, { calculation }] of this.#nodes) {
      // A node that has just come has heard of nothing yet.
      const isNew = !before.nodes.has(name);
      for (const [key, value] of isNew ? resources.nodes : nodes) calculation.updateNode(key, value);
      for (const [key, value] of isNew ? resources.pools : pools) calculation.updatePool(key, value);
      for (const [key, value] of isNew ? resources.blocks : blocks) calculation.updateBlock(key, value);
      for (const [key, value] of isNew ? resources.affinities : affinities) calculation.updateAffinity(key, value);
      const endpoints = resources.endpoints.get(name) ?? new Map();
      for (const [key, value] of changes(before.endpoints.get(name) ?? new Map(), endpoints))
        calculation.updateEndpoint(key, value);
      const { felix } = felixOnNode(name, resources.nodes.get(name), resources.felixConfigurations);
      const bgp = resources.configurations.get(DEFAULT_BGP_CONFIGURATION);
      calculation.setSettings(calculationSettings(felix, bgp, true));
    }
    for (const node of this.#nodes.values()) this.#takeChanges(node);
  }

  #add(name: string): void {
    const calculation = new Calculation(name);
    const onBest = (best: Extract<SpeakerOutput, { kind: 'best' }>): void => this.#learn(name, best);
    const member = this.network.add(name, { onBest });
    const announced: readonly Origination[] = [];
    this.#nodes.set(name, { name, calculation, member, routes: new Map(), setup: undefined, announced });
  }

  #learn(name: string, { prefix, gateways, discard, peer }: Extract<SpeakerOutput, { kind: 'best' }>): void {
    const node = this.#nodes.get(name);
    if (node === undefined) return;
    const named = gateways.map(({ address, device }) => ({ address, deviceName: device }));
    node.calculation.updateLearned(prefix, discard ? 'discard' : named, peer);
  }

  #takeChanges(node: SimulatedNode): void {
    const { routes, announcements } = node.calculation.takeChanges();
    for (const [destination, route] of routes) {
      if (route === undefined) node.routes.delete(destination);
      else node.routes.set(destination, routeOf(route.target));
    }
    if (announcements === undefined) return;
    node.announced = announcements.map(({ prefix, deviceName }) => ({
      prefix,
      device: deviceName,
      communities: [],
      largeCommunities: [],
      localPreference: undefined,
    }));
    this.network.announce(node.member, node.announced);
  }

  #configure(node: SimulatedNode, setup: BgpSetup, speaker: SpeakerConfig): boolean {
    // As the agent does: what is configured as before is not touched.
    if (sameJson(node.setup, setup) && sameJson(node.member.config, speaker)) return false;
    node.setup = setup;
    node.calculation.updatePeerRoutes(setup.peerRoutes);
    this.network.configure(node.member, speaker, ownAddresses(speaker));
    return true;
  }

  #remove(node: SimulatedNode): void {
    this.network.stop(node.member);
    this.#nodes.delete(node.name);
  }

  /** Stand-ins for all addresses that nodes dial and no node has. */
  #configureOutsiders(): void {
    const nodes = [...this.#nodes.values()];
    const known = new Set(nodes.flatMap(({ setup }) => (setup ? ownAddresses(setup.speaker).map(formatIp) : [])));
    const sessions = new Map<string, ExternalSession[]>();
    for (const { setup } of nodes) {
      for (const peer of setup?.speaker.peers ?? []) {
        const address = formatIp(peer.address);
        if (known.has(address) || isLinkLocal(peer.address)) continue;
        const nodeAddress = peer.sourceAddress ?? setup?.speaker.nextHops[peer.address.family];
        if (setup === undefined || nodeAddress === undefined) continue;
        const session = { nodeAddress, nodeAsn: peer.localAsn ?? setup.speaker.asn, peer };
        sessions.set(address, [...(sessions.get(address) ?? []), session]);
      }
    }
    for (const [address, member] of this.#outsiders) {
      if (sessions.has(address)) continue;
      this.network.stop(member);
      this.#outsiders.delete(address);
    }
    for (const [address, list] of sessions) {
      const config = externalSpeaker(list, this.#external);
      if (config === undefined) continue;
      const member = this.#outsiders.get(address) ?? this.network.add(address);
      if (!this.#outsiders.has(address)) this.network.announce(member, []);
      this.#outsiders.set(address, member);
      this.network.configure(member, config, ownAddresses(config));
    }
  }
}

/** What of each node's configuration can be counted on; undefined where that is all there was, or says nothing new. */
function keptConfigs(
  before: ReadonlyMap<string, SpeakerConfig>,
  after: ReadonlyMap<string, SpeakerConfig>,
  policies: 'then' | 'now',
): Map<string, SpeakerConfig> | undefined {
  const configs = new Map<string, SpeakerConfig>();
  let isLess = false;
  for (const [name, now] of after) {
    const then = before.get(name);
    const known = new Map(then?.peers.map((peer) => [peerName(peer), peer]));
    const peers = now.peers.flatMap((peer): PeerConfig[] => {
      const earlier = known.get(peerName(peer));
      if (earlier === undefined || !staysUp(earlier, peer)) return [];
      const reflectorClient = earlier.reflectorClient && peer.reflectorClient;
      const samePolicies =
        sameJson(earlier.importPolicy, peer.importPolicy) && sameJson(earlier.exportPolicy, peer.exportPolicy);
      isLess ||= policies === 'now' ? reflectorClient !== earlier.reflectorClient || !samePolicies : !samePolicies;
      const { importPolicy, exportPolicy } = policies === 'now' ? peer : earlier;
      return [{ ...earlier, reflectorClient, importPolicy, exportPolicy }];
    });
    isLess ||= policies === 'now' && then !== undefined && peers.length < then.peers.length;
    configs.set(name, { ...(then ?? now), peers });
  }
  return isLess ? configs : undefined;
}

/** Whether routes stay in use from one configuration of a session to the other; a reset is bridged by graceful restart. */
function staysUp(before: PeerConfig, after: PeerConfig): boolean {
  if (after.shutdown !== undefined || before.asn !== after.asn) return false;
  return needsReset(before, after) === undefined || before.gracefulRestart !== 'off';
}

function sessionsOf(member: Member): Map<PeerName, SessionState> {
  const own = member.config?.asn;
  const sessions = new Map<PeerName, SessionState>();
  for (const [name, { asn, localAsn, reflectorClient, description }] of member.peers) {
    const isExternal = asn !== undefined && asn !== (localAsn ?? own);
    const type = isExternal ? 'external' : reflectorClient ? 'client' : 'internal';
    sessions.set(name, { type, description, isEstablished: member.established.has(name) });
  }
  return sessions;
}

function ownAddresses({ nextHops }: SpeakerConfig): Ip[] {
  return ([4, 6] as const).flatMap((family) => nextHops[family] ?? []);
}

function routeOf(target: RouteTarget): Route {
  if (target.kind !== 'gateways') return { gateways: undefined, text: target.kind };
  const gateways = target.gateways
    .map(({ address }) => address)
    .sort(compareIp)
    .map(formatIp);
  return { gateways, text: `via ${gateways.join(' ')}` };
}

/** What is other in `after`; undefined for what is gone. */
function* changes<Value>(
  before: ReadonlyMap<string, Value>,
  after: ReadonlyMap<string, Value>,
): Generator<[string, Value | undefined]> {
  for (const key of before.keys()) if (!after.has(key)) yield [key, undefined];
  for (const [key, value] of after) if (before.get(key) !== value) yield [key, value];
}
