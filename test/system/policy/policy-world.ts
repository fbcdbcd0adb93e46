/**
 * Hosts, containers and an outside, in namespaces of a test's own, with Felix as it runs in production on each host.
 *
 *   w… (cali…) ─┐                                        ┌─ w… (cali…)
 *               ├─ host-a ── eth0 192.168.77.1, .2 ── host-b
 *   w… (cali…) ─┘    └─ eth1 10.99.0.1 ── 10.99.0.2 outside, which is all the world besides, too
 *
 * No process is started: Felix's loop, its kernel and its packet filter are opened in the hosts' namespaces by this one, and
 * resources are told to it as the store would. Between hosts there are static routes, as BGP would make.
 */
import assert from 'node:assert/strict';
import { setTimeout as pause, setImmediate as turn } from 'node:timers/promises';
import type { Kernel } from '../../../src/kernel/kernel.ts';
import { openKernel } from '../../../src/kernel/netlink-kernel.ts';
import { addNamespace, namespacePath, removeNamespace } from '../../../src/kernel/network-namespace.ts';
import { seededRandom } from '../../../src/lib/prng.ts';
import type { AnyResource } from '../../../src/model/kinds.ts';
import { valueOfResource } from '../../../src/model/resource-entry.ts';
import { keyOf } from '../../../src/model/resource-key.ts';
import { validateResource } from '../../../src/model/validate.ts';
import { cidr } from '../../../src/net/cidr.ts';
import type { Ip } from '../../../src/net/ip.ts';
import { ip } from '../../../src/net/ip.ts';
import type { IfIndex, Link } from '../../../src/net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE, ROUTE_TABLE } from '../../../src/net/kernel-objects.ts';
import { WORKLOAD_HOST_MAC } from '../../../src/net/mac.ts';
import { configureContainerSide } from '../../../src/node/attach/container-side.ts';
import { Felix } from '../../../src/node/felix.ts';
import { openFilterBackend } from '../../../src/node/filter/open-backend.ts';
import { PacketFilter } from '../../../src/node/filter/packet-filter.ts';
import { ResourceFeed } from '../../../src/node/resource-feed.ts';
import type { Revision } from '../../../src/store/store.ts';
import { revision } from '../../../src/store/store.ts';
import { Prober } from './prober.ts';

export type TestDataplane = 'nftables' | 'iptables-nft' | 'iptables-legacy';

export const DATAPLANES: readonly TestDataplane[] = ['nftables', 'iptables-nft', 'iptables-legacy'];

/** What FelixConfiguration says for each. */
export const PARAMETERS: Readonly<Record<TestDataplane, object>> = {
  nftables: { nftablesMode: 'Enabled' },
  'iptables-nft': { nftablesMode: 'Disabled', iptablesBackend: 'NFT' },
  'iptables-legacy': { nftablesMode: 'Disabled', iptablesBackend: 'Legacy' },
};

export type HostName = 'host-a' | 'host-b';

export interface TestWorkload {
  readonly name: string;
  readonly namespace?: string;
  readonly host: HostName;
  readonly labels: Readonly<Record<string, string>>;
  /** IPv4, IPv6 or both, without length. */
  readonly addresses: readonly string[];
  /** More of the WorkloadEndpoint's spec: ports, profiles, serviceAccountName, ipNATs… */
  readonly spec?: object;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Addresses of the hosts, and of the outside, by family. */
export const HOST_ADDRESSES: Readonly<Record<HostName, readonly [string, string]>> = {
  'host-a': ['192.168.77.1', 'fd77::1'],
  'host-b': ['192.168.77.2', 'fd77::2'],
};
export const OUTSIDE_ADDRESSES = ['10.99.0.2', 'fd99::2'] as const;
/** More addresses of the outside: hosts far away, and the one at which clouds tell their secrets. */
const FAR_ADDRESSES: readonly string[] = ['198.51.100.7', '203.0.113.9', '169.254.169.254', '2001:db8:99::7'];
/** Floating addresses of host-b's containers are in these; all others are host-a's. */
const FLOATING_AT_HOST_B = ['192.0.2.128/25', '2001:db8:f:0:8000::/65'] as const;
/** Ports that everybody listens at, by TCP and UDP. */
const PORTS: readonly number[] = [22, 53, 68, 80, 81, 443, 546, 4789, 5432, 5978, 6379, 8080];

const PATIENCE_MS = 30_000;

interface Host {
  readonly name: HostName;
  readonly kernel: Kernel;
  readonly felix: Felix;
  readonly filter: PacketFilter;
  readonly feed: ResourceFeed;
}

const LOG = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: (message: string, fields?: object) => console.error(message, fields),
  child: () => LOG,
};

export class PolicyWorld {
  readonly prober = new Prober();
  readonly hosts = new Map<HostName, Host>();
  readonly #prefix: string;
  readonly #workloads: readonly TestWorkload[];
  readonly #namespaces: string[] = [];
  readonly #closers: (() => void)[] = [];
  #present = new Map<string, AnyResource>();
  #revision = 0;

  /** Builds everything; close it in any case. `title` tells worlds of one process apart. */
  static async open(
    title: string,
    dataplane: TestDataplane,
    workloads: readonly TestWorkload[],
    felixConfiguration: object = {},
  ): Promise<PolicyWorld> {
    const world = new PolicyWorld(title, workloads);
    try {
      world.#build();
      await world.#start(dataplane, felixConfiguration);
      return world;
    } catch (error) {
      world.close();
      throw error;
    }
  }

  private constructor(title: string, workloads: readonly TestWorkload[]) {
    this.#prefix = `muslin-test-${process.pid}-${title}-`;
    this.#workloads = workloads;
  }

  /** The namespace of a host, a workload or "outside", for programs that are to run there. */
  namespace(name: string): string {
    return `${this.#prefix}${name}`;
  }

  host(name: HostName): Host {
    const host = this.hosts.get(name);
    assert.ok(host !== undefined, name);
    return host;
  }

  /** Addresses of a workload, a host or "outside". */
  addressesOf(name: string): Ip[] {
    const workload = this.#workloads.find((each) => each.name === name);
    const texts = workload?.addresses ?? (name === 'outside' ? OUTSIDE_ADDRESSES : HOST_ADDRESSES[name as HostName]);
    return texts.map(ip);
  }

  /** All that the store has. */
  get resources(): readonly AnyResource[] {
    return [...this.#present.values()];
  }

  /** The store now has exactly these resources besides those of the world itself; resolves when that is in force on all hosts. */
  async apply(documents: readonly object[]): Promise<void> {
    await this.applyResources(documents.map(resourceOf));
  }

  /** `apply`, of what has been read already; a WorkloadEndpoint of the world's own name stands for that. */
  async applyResources(resources: readonly AnyResource[]): Promise<void> {
    const wanted = new Map(
      [...this.#baseResources.map(resourceOf), ...resources].map((resource) => [keyOf(resource), resource] as const),
    );
    for (const key of this.#present.keys()) {
      if (!wanted.has(key)) for (const { feed } of this.hosts.values()) feed.removed(key);
    }
    for (const [key, resource] of wanted) {
      if (JSON.stringify(this.#present.get(key)) === JSON.stringify(resource)) continue;
      const entry = { key, value: valueOfResource(resource), revision: this.#nextRevision() };
      for (const { feed } of this.hosts.values()) feed.put(entry);
    }
    this.#present = wanted;
    await this.settled();
  }

  /** Resolves when every host has in its kernel what its Felix was told. */
  async settled(): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      for (let count = 0; count < 4; count++) await turn(); // configuration, then a pass, which may ask for another
      const open = [...this.hosts.values()].flatMap(({ name, felix, filter }) => {
        const { inSync, reasons } = felix.status();
        return inSync && filter.inForce ? [] : [`${name}: ${reasons.join('; ')}`];
      });
      if (open.length === 0) return;
      assert.ok(performance.now() < deadline, `not settled: ${open.join(', ')}`);
      await pause(5);
    }
  }

  close(): void {
    for (const closer of this.#closers.reverse()) closer();
    for (const namespace of this.#namespaces) removeNamespace(namespace);
  }

  #baseResources: object[] = [];

  #build(): void {
    for (const name of ['host-a', 'host-b', 'outside', ...this.#workloads.map(({ name }) => name)]) {
      const namespace = this.namespace(name);
      const path = addNamespace(namespace);
      this.#namespaces.push(namespace);
      const kernel = openKernel(path);
      kernel.setLinkUp(linkNamed(kernel, 'lo').index, true);
      kernel.writeSysctl('ipv4/ping_group_range', '0 2147483647');
      kernel.close();
      this.prober.add(name, path);
    }
    this.#closers.push(() => this.prober.close());
    const [a, b, outside] = ['host-a', 'host-b', 'outside'].map((name) => this.#openKernel(name)) as [
      Kernel,
      Kernel,
      Kernel,
    ];
    wire(
      a,
      'eth0',
      HOST_ADDRESSES['host-a'],
      b,
      'eth0',
      HOST_ADDRESSES['host-b'],
      namespacePath(this.namespace('host-b')),
    );
    wire(
      a,
      'eth1',
      ['10.99.0.1', 'fd99::1'],
      outside,
      'eth0',
      OUTSIDE_ADDRESSES,
      namespacePath(this.namespace('outside')),
    );
    for (const kernel of [a, b, outside]) {
      const forwards = kernel === outside ? '0' : '1';
      kernel.writeSysctl('ipv4/ip_forward', forwards);
      kernel.writeSysctl('ipv6/conf/all/forwarding', forwards);
    }
    for (const address of FAR_ADDRESSES) {
      outside.addAddress(linkNamed(outside, 'lo').index, ip(address), ip(address).family === 4 ? 32 : 128);
    }
    for (const [index, prefix] of FLOATING_AT_HOST_B.entries()) {
      route(a, prefix, linkNamed(a, 'eth0').index, HOST_ADDRESSES['host-b'][index] as string); // one of each family
    }
    for (const [kernel, device, via] of [
      [a, 'eth1', OUTSIDE_ADDRESSES],
      [outside, 'eth0', ['10.99.0.1', 'fd99::1']],
      [b, 'eth0', HOST_ADDRESSES['host-a']],
    ] as const) {
      for (const [prefix, gateway] of [
        ['0.0.0.0/0', via[0]],
        ['::/0', via[1]],
      ] as const)
        route(kernel, prefix, linkNamed(kernel, device).index, gateway);
    }
    for (const workload of this.#workloads) {
      const [host, other, via] = workload.host === 'host-a' ? [a, b, 'host-a' as const] : [b, a, 'host-b' as const];
      this.#attach(host, workload);
      for (const address of workload.addresses) {
        const family = ip(address).family;
        route(
          other,
          `${address}/${family === 4 ? 32 : 128}`,
          linkNamed(other, 'eth0').index,
          HOST_ADDRESSES[via][family === 4 ? 0 : 1],
        );
      }
    }
    for (const name of ['host-a', 'host-b', 'outside', ...this.#workloads.map(({ name }) => name)])
      this.prober.listen(name, PORTS);
  }

  #attach(host: Kernel, workload: TestWorkload): void {
    const path = namespacePath(this.namespace(workload.name));
    host.addVeth({ name: deviceOf(workload), mac: WORKLOAD_HOST_MAC, peer: { name: 'eth0', namespacePath: path } });
    const inside = openKernel(path);
    configureContainerSide(inside, linkNamed(inside, 'eth0'), workload.addresses.map(ip));
    inside.close();
  }

  async #start(dataplane: TestDataplane, felixConfiguration: object): Promise<void> {
    this.#baseResources = [
      ...(['host-a', 'host-b'] as const).map((name) => ({
        apiVersion: 'projectcalico.org/v3',
        kind: 'Node',
        metadata: { name },
        spec: { bgp: { ipv4Address: `${HOST_ADDRESSES[name][0]}/24`, ipv6Address: `${HOST_ADDRESSES[name][1]}/64` } },
      })),
      {
        apiVersion: 'projectcalico.org/v3',
        kind: 'FelixConfiguration',
        metadata: { name: 'default' },
        spec: { ...felixConfiguration, ...PARAMETERS[dataplane] },
      },
      ...this.#workloads.map((workload) => endpointOf(workload)),
    ];
    for (const name of ['host-a', 'host-b'] as const) {
      const path = namespacePath(this.namespace(name));
      const kernel = openKernel(path);
      const filter = new PacketFilter({
        openBackend: (choice) => openFilterBackend(choice, path),
        openLeftovers: () => [],
        onBackends: () => undefined,
        onApplied: () => undefined,
        log: LOG,
      });
      const felix = new Felix({
        node: name,
        kernel,
        filter,
        log: LOG,
        random: seededRandom(1),
        onAnnouncements: () => undefined,
      });
      const feed = new ResourceFeed({
        ...{ node: name, felix, log: LOG },
        bgp: { configure: () => undefined },
        onMetrics: () => undefined,
        speaksBgp: true,
        nftablesProblem: () => undefined,
      });
      this.hosts.set(name, { name, kernel, felix, filter, feed });
      this.#closers.push(
        () => kernel.close(),
        () => filter.close(),
        () => felix.close(),
      );
    }
    const entries = this.#baseResources.map(resourceOf).map((resource) => [keyOf(resource), resource] as const);
    this.#present = new Map(entries);
    for (const { feed, felix } of this.hosts.values()) {
      for (const [key, resource] of entries)
        feed.put({ key, value: valueOfResource(resource), revision: this.#nextRevision() });
      feed.inSync();
      felix.converged();
    }
    await this.settled();
  }

  #nextRevision(): Revision {
    this.#revision += 1;
    return revision(this.#revision);
  }

  #openKernel(name: string): Kernel {
    const kernel = openKernel(namespacePath(this.namespace(name)));
    this.#closers.push(() => kernel.close());
    return kernel;
  }
}

export function deviceOf({ name }: { readonly name: string }): string {
  return `cali${name}`;
}

function endpointOf({ name, namespace = 'default', host, labels, addresses, spec, annotations }: TestWorkload): object {
  return {
    apiVersion: 'projectcalico.org/v3',
    kind: 'WorkloadEndpoint',
    metadata: { name, namespace, labels, ...(annotations && { annotations }) },
    spec: {
      node: host,
      interfaceName: deviceOf({ name }),
      ipNetworks: addresses.map((address) => `${address}/${ip(address).family === 4 ? 32 : 128}`),
      ...spec,
    },
  };
}

function resourceOf(document: object): AnyResource {
  const validated = validateResource(document);
  assert.ok(validated.ok, JSON.stringify(validated));
  return validated.resource;
}

function linkNamed(kernel: Kernel, name: string): Link {
  const link = kernel.link(name);
  assert.ok(link !== undefined, `no device ${name}`);
  return link;
}

/** A veth pair between two namespaces, up, with addresses. */
function wire(
  near: Kernel,
  nearDevice: string,
  nearAddresses: readonly [string, string],
  far: Kernel,
  farDevice: string,
  farAddresses: readonly [string, string],
  farPath: string,
): void {
  near.addVeth({ name: nearDevice, peer: { name: farDevice, namespacePath: farPath } });
  for (const [kernel, device, addresses] of [
    [near, nearDevice, nearAddresses],
    [far, farDevice, farAddresses],
  ] as const) {
    const { index } = linkNamed(kernel, device);
    kernel.writeSysctl(`ipv6/conf/${device}/accept_dad`, '0');
    kernel.setLinkUp(index, true);
    kernel.addAddress(index, ip(addresses[0]), 24);
    kernel.addAddress(index, ip(addresses[1]), 64);
  }
}

function route(kernel: Kernel, destination: string, index: IfIndex, gateway: string): void {
  kernel.putRoute({
    destination: cidr(destination),
    type: 'unicast',
    nextHops: [{ gateway: ip(gateway), index, onlink: false }],
    protocol: ROUTE_PROTOCOL.static,
    scope: ROUTE_SCOPE.universe,
    table: ROUTE_TABLE.main,
    metric: 0,
    source: undefined,
  });
}
