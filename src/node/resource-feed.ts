/**
 * What the store says, handed on to those whom it concerns.
 *
 * Containers, policies and blocks go to Felix's calculation, peers and filters to BGP, nodes, pools and containers to both,
 * and configurations to whomever they configure. Kinds that change nothing on a host are passed over. A resource that is not valid counts as absent, and is said so in the
 * log: it must not stop the others.
 */

import { calculationSettings } from '../felix/calc/calculation-settings.ts';
import { endpointId } from '../felix/calc/local-endpoints.ts';
import type { TunnelKind } from '../felix/desired/tunnels.ts';
import type { Log } from '../lib/log.ts';
import { setOrDelete } from '../lib/set-or-delete.ts';
import type { BgpConfiguration } from '../model/bgp-configuration.ts';
import { DEFAULT_BGP_CONFIGURATION } from '../model/bgp-configuration.ts';
import type { BgpFilter } from '../model/bgp-filter.ts';
import type { BgpPeer } from '../model/bgp-peer.ts';
import type { FelixConfiguration } from '../model/felix-configuration.ts';
import type { IpPool } from '../model/ip-pool.ts';
import type { AnyResource, KindName } from '../model/kinds.ts';
import type { Node } from '../model/node.ts';
import { formatResourceId, parseResourceKey } from '../model/resource-key.ts';
import { DEFAULT_NAMESPACE } from '../model/validate.ts';
import type { WorkloadEndpoint } from '../model/workload-endpoint.ts';
import { cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Entry } from '../store/store.ts';
import { workloadMtu } from './attach/workload-mtu.ts';
import { nodeAddresses } from './bgp/peer-sessions.ts';
import { parseDurationMs } from './bgp/peer-settings.ts';
import type { Bgp } from './bgp.ts';
import { EntryReader } from './entry-reader.ts';
import type { Felix } from './felix.ts';
import { felixOnNode } from './felix-layers.ts';
import { chooseBackend } from './filter/backend-choice.ts';
import { filterSettings } from './filter/filter-settings.ts';
import type { FelixNumbers } from './monitoring/felix-metrics.ts';
import { metricsPlace } from './monitoring/metrics-place.ts';
import type { MetricsPlace } from './monitoring/metrics-server.ts';
import type { StoreListener } from './store-follower.ts';
import type { TunnelFacts } from './tunnels/tunnel-keeper.ts';
import { neededTunnels } from './tunnels/tunnel-wishes.ts';

/** Who keeps this host's tunnels. */
export interface TunnelListener {
  configure(facts: TunnelFacts): void;
  /** The tunnels by which packets are taken. */
  receiving(): ReadonlySet<TunnelKind>;
}

export class ResourceFeed implements StoreListener {
  readonly #node: string;
  readonly #felix: Felix;
  readonly #bgp: Pick<Bgp, 'configure'>;
  readonly #reader: EntryReader;
  readonly #log: Log;
  readonly #nodes = new Map<string, Node>();
  readonly #bgpResources = {
    nodes: this.#nodes,
    configurations: new Map<string, BgpConfiguration>(),
    peers: new Map<string, BgpPeer>(),
    filters: new Map<string, BgpFilter>(),
    pools: new Map<string, IpPool>(),
    endpoints: new Map<string, WorkloadEndpoint>(),
  };
  /** Containers of all hosts, by address: names for packets. */
  readonly #endpointsByAddress = new Map<string, string>();
  readonly #workloads = new Map<string, string>();
  readonly #addressesByEndpoint = new Map<string, readonly string[]>();
  /** By resource in text, "NetworkPolicy shop/db". */
  readonly #policyRevisions = new Map<string, string>();
  readonly #felixConfigurations = new Map<string, FelixConfiguration>();
  readonly #onMetrics: (place: MetricsPlace | undefined) => void;
  readonly #nftablesProblem: () => string | undefined;
  readonly #speaksBgp: boolean;
  readonly #tunnels: TunnelListener | undefined;
  /** Changes that were told, by kind. */
  readonly updates = new Map<string, number>();
  #resyncs = 0;
  #inSync = false;
  #isConfiguring = false;

  constructor(options: {
    readonly node: string;
    readonly felix: Felix;
    readonly bgp: Pick<Bgp, 'configure'>;
    /** Shared with whoever reads the same entries. */
    readonly reader?: EntryReader;
    readonly log: Log;
    /** Where metrics are to be served now; undefined for nowhere. */
    readonly onMetrics: (place: MetricsPlace | undefined) => void;
    /** Why nftables does not work on this host; undefined when it does. */
    readonly nftablesProblem: () => string | undefined;
    /** Where no BGP is spoken, all routes to other hosts follow from the store, unless a configuration says otherwise. */
    readonly speaksBgp: boolean;
    /** Undefined where nobody keeps tunnels. */
    readonly tunnels?: TunnelListener;
  }) {
    this.#node = options.node;
    this.#felix = options.felix;
    this.#bgp = options.bgp;
    this.#reader = options.reader ?? new EntryReader();
    this.#log = options.log;
    this.#onMetrics = options.onMetrics;
    this.#speaksBgp = options.speaksBgp;
    this.#tunnels = options.tunnels;
    let works = false;
    this.#nftablesProblem = () => {
      const problem = works ? undefined : options.nftablesProblem();
      works = problem === undefined; // what works is not tried again at each change of a configuration
      return problem;
    };
  }

  /** What the packet filter depends on besides resources may be otherwise: which tunnels receive. */
  tunnelsChanged(): void {
    this.#configure();
  }

  /** The resource of our own node, once it is there. */
  ownNode(): Node | undefined {
    return this.#nodes.get(this.#node);
  }

  /** The endpoints of our own node. */
  ownEndpoints(): Iterable<WorkloadEndpoint> {
    return this.#bgpResources.endpoints.values();
  }

  /** What people call the container that has an address, on whatever host: "default/a1". */
  workloadAt(address: Ip): string | undefined {
    const id = this.#endpointsByAddress.get(formatIp(address));
    return id === undefined ? undefined : this.workloadOf(id);
  }

  /** What people call an endpoint, by its pod or container: "default/a1"; its id where it has neither. */
  workloadOf(id: string): string {
    return this.#workloads.get(id) ?? id;
  }

  /** The revision of a policy's resource, as it was last heard of: "NetworkPolicy shop/db". */
  policyRevision(policy: string): string | undefined {
    return this.#policyRevisions.get(policy);
  }

  /** How often all of the store was read. */
  get resyncs(): number {
    return this.#resyncs;
  }

  /** How many there are in the whole network. */
  clusterNumbers(): FelixNumbers['cluster'] {
    const kinds = new Map<string, number>();
    for (const title of this.#policyRevisions.keys()) {
      const kind = title.slice(0, title.indexOf(' '));
      kinds.set(kind, (kinds.get(kind) ?? 0) + 1);
    }
    const count = (...names: KindName[]) => names.reduce((sum, name) => sum + (kinds.get(name) ?? 0), 0);
    const policies = [...kinds].filter(([kind]) => kind.endsWith('NetworkPolicy'));
    return {
      hosts: this.#nodes.size,
      hostEndpoints: count('HostEndpoint'),
      policies: policies.reduce((sum, [, number]) => sum + number, 0),
      profiles: count('Profile', 'Namespace'),
      tiers: count('Tier'),
      workloadEndpoints: this.#addressesByEndpoint.size,
    };
  }

  /** How often this node is to say what its rules have met; 0 for never. */
  reportingIntervalMs(): number {
    const { felix } = felixOnNode(this.#node, this.ownNode(), this.#felixConfigurations);
    return parseDurationMs(felix.reportingInterval) ?? 0;
  }

  /** Of a container that is attached now; `uplinkMtu` is undefined while the node has no uplink. */
  workloadMtu(uplinkMtu: number | undefined): number {
    const { felix } = felixOnNode(this.#node, this.ownNode(), this.#felixConfigurations);
    return workloadMtu({ uplinkMtu, pools: this.#bgpResources.pools.values(), felix });
  }

  put(entry: Entry): void {
    const reading = this.#reader.read(entry);
    if (!reading.ok) this.#log.warn('resource ignored: it is not valid', { problem: reading.problem });
    this.#take(entry.key, reading.ok ? reading.resource : undefined);
  }

  removed(key: string): void {
    this.#take(key, undefined);
  }

  inSync(): void {
    this.#resyncs += 1;
    this.#inSync = true;
    this.#configureFelix();
    this.#felix.storeInSync();
    this.#configure();
  }

  away(reason: string): void {
    this.#felix.storeAway(reason);
  }

  #take(key: string, resource: AnyResource | undefined): void {
    const id = parseResourceKey(key);
    if (id === undefined) return;
    this.updates.set(id.kind, (this.updates.get(id.kind) ?? 0) + 1);
    const { calculation } = this.#felix;
    switch (id.kind as KindName) {
      case 'Node':
        setOrDelete(this.#nodes, id.name, ofKind('Node', resource));
        calculation.updateNode(id.name, ofKind('Node', resource));
        this.#configure();
        break;
      case 'BGPConfiguration':
        setOrDelete(this.#bgpResources.configurations, id.name, ofKind('BGPConfiguration', resource));
        this.#configure();
        return;
      case 'BGPPeer':
        setOrDelete(this.#bgpResources.peers, id.name, ofKind('BGPPeer', resource));
        this.#configure();
        return;
      case 'BGPFilter':
        setOrDelete(this.#bgpResources.filters, id.name, ofKind('BGPFilter', resource));
        this.#configure();
        return;
      case 'FelixConfiguration':
        setOrDelete(this.#felixConfigurations, id.name, ofKind('FelixConfiguration', resource));
        this.#configure();
        return;
      case 'WorkloadEndpoint':
        this.#takeEndpoint(endpointId(id.namespace ?? '', id.name), ofKind('WorkloadEndpoint', resource));
        break;
      case 'IPPool':
        setOrDelete(this.#bgpResources.pools, id.name, ofKind('IPPool', resource));
        calculation.updatePool(id.name, ofKind('IPPool', resource));
        this.#configure();
        break;
      case 'IPAMBlock':
        calculation.updateBlock(id.name, ofKind('IPAMBlock', resource));
        break;
      case 'BlockAffinity':
        calculation.updateAffinity(id.name, ofKind('BlockAffinity', resource));
        break;
      case 'Tier':
      case 'NetworkPolicy':
      case 'GlobalNetworkPolicy':
      case 'StagedNetworkPolicy':
      case 'StagedGlobalNetworkPolicy':
      case 'KubernetesNetworkPolicy':
      case 'StagedKubernetesNetworkPolicy':
      case 'Profile':
      case 'Namespace':
      case 'NetworkSet':
      case 'GlobalNetworkSet':
      case 'HostEndpoint':
        setOrDelete(this.#policyRevisions, formatResourceId(id), resource?.metadata.resourceVersion);
        calculation.updatePolicyResource(formatResourceId(id), resource);
        break;
      default:
        return;
    }
    this.#felix.calculationChanged();
  }

  /** Containers come and go all the time; BGP is asked only where some of them are peers. */
  #takeEndpoint(id: string, endpoint: WorkloadEndpoint | undefined): void {
    this.#felix.calculation.updateEndpoint(id, endpoint);
    this.#nameAddresses(id, endpoint);
    const workload = endpoint?.spec.pod ?? endpoint?.spec.workload;
    setOrDelete(
      this.#workloads,
      id,
      workload && endpointId(endpoint?.metadata.namespace ?? DEFAULT_NAMESPACE, workload),
    );
    const { endpoints, peers } = this.#bgpResources;
    const before = endpoints.has(id);
    setOrDelete(endpoints, id, endpoint?.spec.node === this.#node ? endpoint : undefined);
    const concerns = before || endpoints.has(id);
    const mayPeer = [...peers.values()].some(({ spec }) => spec.localWorkloadSelector !== undefined);
    if (concerns && mayPeer) this.#configure();
  }

  #nameAddresses(id: string, endpoint: WorkloadEndpoint | undefined): void {
    const addresses = (endpoint?.spec.ipNetworks ?? []).map((network) => formatIp(cidr(network).address));
    for (const address of this.#addressesByEndpoint.get(id) ?? []) {
      if (this.#endpointsByAddress.get(address) === id) this.#endpointsByAddress.delete(address);
    }
    setOrDelete(this.#addressesByEndpoint, id, endpoint && addresses);
    for (const address of addresses) this.#endpointsByAddress.set(address, id);
  }

  /** Once for all that came in one turn: a listing, or a file that was applied. */
  #configure(): void {
    if (!this.#inSync || this.#isConfiguring) return; // peers come and go while the listing is being read
    this.#isConfiguring = true;
    setImmediate(() => this.#configureNow());
  }

  #configureNow(): void {
    this.#isConfiguring = false;
    this.#configureFelix();
    const own = this.ownNode();
    if (own !== undefined && nodeAddresses(own)[6] !== undefined) this.#felix.routeIpv6();
    this.#bgp.configure(this.#bgpResources);
    const metrics = own === undefined ? undefined : felixOnNode(this.#node, own, this.#felixConfigurations).felix;
    this.#onMetrics(metrics && metricsPlace(metrics));
  }

  /** A node without a resource yet has no labels that a configuration could choose it by. */
  #configureFelix(): void {
    const { felix, annotations } = felixOnNode(this.#node, this.ownNode(), this.#felixConfigurations);
    const choice = chooseBackend(felix, this.#nftablesProblem);
    const node = this.ownNode();
    const { pools } = this.#bgpResources;
    const addresses = node === undefined ? {} : nodeAddresses(node);
    this.#tunnels?.configure({ node, needed: neededTunnels({ pools: pools.values(), felix, addresses }) });
    const settings = filterSettings({ felix, annotations }, pools.values(), choice.kind, this.#tunnels?.receiving());
    const bgp = this.#bgpResources.configurations.get(DEFAULT_BGP_CONFIGURATION);
    this.#felix.calculation.setSettings(calculationSettings(felix, bgp, this.#speaksBgp));
    this.#felix.configureFilter(choice, settings);
  }
}

function ofKind<Name extends KindName>(kind: Name, resource: AnyResource | undefined) {
  // `kind` tells the members of the union apart, which the compiler does not see through the type parameter.
  return resource?.kind === kind ? (resource as Extract<AnyResource, { readonly kind: Name }>) : undefined;
}
