/**
 * The network that the tests of container runtimes share: two hosts with agents and BGP, and containers that only runtimes bring.
 *
 * Here is what all of them need to know of it: the network configuration list, policies, where the store is, and what a container
 * leaves behind where it was not removed as a whole. Used by the tests beside it.
 */
import assert from 'node:assert/strict';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { AnyResource, KindName } from '../../../src/model/kinds.ts';
import { entryOfKind } from '../../../src/model/resource-entry.ts';
import type { WorkloadEndpoint } from '../../../src/model/workload-endpoint.ts';
import { openStore } from '../../../src/store/open-store.ts';
import { TestLab } from '../two-hosts-fixture.ts';

export const PLUGIN_DIRECTORY = fileURLToPath(new URL('../../../build/cni', import.meta.url));
/** Where Debian has the other plugins. */
export const DEBIAN_PLUGIN_DIRECTORY = '/usr/lib/cni';
export const NETWORK = 'muslin';
const HOST_NAMES = ['host-a', 'host-b'];

/** The two hosts of the README, with agents and BGP, and no workloads: the runtimes bring them. */
export class RuntimeLab extends TestLab {
  #untouched: object = {};

  constructor() {
    super('two-hosts');
    const { workloads: _workloads, checks: _checks, ...topology } = parse(readFileSync(this.file, 'utf8'));
    writeFileSync(this.file, stringify(topology));
  }

  /** Brings the lab up, until the hosts have learnt each other's routes. */
  async start(): Promise<void> {
    this.up();
    for (const host of HOST_NAMES) {
      await this.eventually(`${host} has a route to the other`, () =>
        this.routes(host).some((line) => / via /.test(line)),
      );
    }
    this.#untouched = await this.#traces();
  }

  get #store(): string {
    return `sqlite:///run/muslin/lab/${this.name}/store.db`;
  }

  runDirectory(host: string): string {
    return `/run/muslin/lab/${this.name}/${host}`;
  }

  /** The resources of some kinds in this lab's store. */
  async stored<Name extends KindName>(...kinds: Name[]): Promise<Extract<AnyResource, { readonly kind: Name }>[]> {
    const store = await openStore(this.#store);
    const { entries } = await store.list('/resources/');
    await store.close();
    return kinds.flatMap((kind) => entries.flatMap((entry) => entryOfKind(kind, entry) ?? []));
  }

  /** The endpoint that a container has, found by its address. */
  async endpointAt(address: string): Promise<WorkloadEndpoint> {
    const endpoints = await this.stored('WorkloadEndpoint');
    const endpoint = endpoints.find(({ spec }) => spec.ipNetworks?.includes(`${address}/32`));
    assert.ok(endpoint !== undefined, `no endpoint has ${address}`);
    return endpoint;
  }

  /** What the store has of containers. */
  async inStore(): Promise<object> {
    const blocks = await this.stored('IPAMBlock');
    return {
      endpoints: (await this.stored('WorkloadEndpoint')).map(({ metadata }) => metadata.name),
      handles: (await this.stored('IPAMHandle')).map(({ metadata }) => metadata.name),
      // A block remembers in which order its addresses were freed; who has which is what counts.
      allocated: blocks.map(({ spec }) => spec.allocations.flatMap((owner, index) => (owner === null ? [] : [index]))),
    };
  }

  /** Waits until store and kernels have no more of containers than before the first one. */
  async nothingLeft(): Promise<void> {
    await this.eventually('nothing is left of containers', async () => {
      assert.deepEqual(await this.#traces(), this.#untouched);
      return true;
    });
  }

  /** Other tables of the packet filter are not ours: the port mapping plugin keeps its chains once it has made them. */
  async #traces(): Promise<object> {
    const kernels = HOST_NAMES.map((host) => ({
      devices: this.inside(host, 'ip', '-br', 'link').replaceAll(/ +$/gm, ''),
      routes: this.routes(host),
      rules: this.inside(host, 'nft', '-s', 'list', 'table', 'inet', 'muslin'),
    }));
    return { ...(await this.inStore()), kernels };
  }

  /** Does `work` with the policies in force. */
  async withPolicies(work: () => void | Promise<void>): Promise<void> {
    const file = join(this.directory, 'policies.yaml');
    writeFileSync(file, POLICIES);
    this.#change('apply', '-f', file);
    try {
      await work();
    } finally {
      this.#change('delete', '-f', file);
    }
  }

  #change(...args: string[]): void {
    const outcome = this.muslin(...args, '--store', this.#store);
    assert.equal(outcome.code, 0, outcome.stdout + outcome.stderr);
  }
}

/** The network configuration list of a host, as docs/runtimes.md has it. */
export function conflist(lab: RuntimeLab, host: string): string {
  const muslin = {
    type: 'muslin',
    agentSocket: `${lab.runDirectory(host)}/cni.sock`,
    ipam: { type: 'muslin' },
    capabilities: { ips: true, mac: true, 'io.kubernetes.cri.pod-annotations': true },
  };
  const portmap = { type: 'portmap', capabilities: { portMappings: true }, snat: true };
  return JSON.stringify({ cniVersion: '1.0.0', name: NETWORK, plugins: [muslin, portmap] });
}

/** Only what has `app=web` may reach what has `app=db`, and what has `app=locked` may reach nothing. */
const POLICIES = `
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: { name: db-from-web }
spec:
  selector: app == 'db'
  types: [Ingress]
  ingress:
    - { action: Allow, protocol: TCP, source: { selector: app == 'web' }, destination: { ports: [80] } }
---
apiVersion: projectcalico.org/v3
kind: NetworkPolicy
metadata: { name: locked, namespace: default }
spec:
  selector: app == 'locked'
  types: [Egress]
`;

/** A shell command for busybox that prints the web page at an address; it fails when there is none within some seconds. */
export function fetchCommand(address: string, port = 80, seconds = 10): string {
  // Its wget looks names up, for which a static program loads libraries that may not fit; its nc takes addresses as they are,
  // and would wait for ever for what accepts and says nothing.
  return `printf 'GET / HTTP/1.0\\r\\n\\r\\n' | busybox timeout ${seconds} busybox nc ${address} ${port} | tail -n 1 | grep hello`;
}

/** Runs `work` for each item, some at a time. */
export async function inParallel<T>(
  items: readonly T[],
  width: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  const rest = [...items];
  const lane = async (): Promise<void> => {
    for (let item = rest.shift(); item !== undefined; item = rest.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: width }, lane));
}
