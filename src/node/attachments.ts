/**
 * Attaching containers to the network and detaching them: what the agent does for CNI's verbs.
 *
 * ADD takes these steps, each of which can be undone:
 *   1. look into the container's namespace     nothing is written before it is known to exist and to be free
 *   2. addresses and WorkloadEndpoint          one transaction of the store: from here on DEL can find all of it
 *   3. veth pair, the far end in the container  configured from inside before the near end is up
 *   4. wait until Felix has it in force         rules, settings and routes are Felix's work, not done here
 * If a step fails, what was done is undone in reverse and the runtime gets one error. If the agent dies between, the
 * endpoint is in the store, and the runtime's DEL removes all of it.
 *
 * Names follow from the container's id and interface (attachment-names.ts), so DEL needs no memory.
 */
import { randomUUID } from 'node:crypto';
import type { CniError, CniErrorCode } from '../cni/cni-error.ts';
import { CNI_ERROR } from '../cni/cni-error.ts';
import type { NetworkConfiguration } from '../cni/network-configuration.ts';
import type { AttachmentId, CniRequest } from '../cni/request.ts';
import type { CniResult, ResultAddress, ResultRoute } from '../cni/result.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelError } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { OWN_NAMESPACE, sameNamespace } from '../kernel/network-namespace.ts';
import { addTap } from '../kernel/tap.ts';
import { monotonicNow, wallClockNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { API_VERSION } from '../model/resource.ts';
import { entryOfKind, valueOfResource, withIdentity } from '../model/resource-entry.ts';
import { kindPrefix, resourceKey } from '../model/resource-key.ts';
import type { Labels } from '../model/selector.ts';
import { DEFAULT_NAMESPACE } from '../model/validate.ts';
import type { WorkloadEndpoint, WorkloadEndpointSpec } from '../model/workload-endpoint.ts';
import { formatCidr, hostPrefix, prefixOf } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Link } from '../net/kernel-objects.ts';
import type { Mac } from '../net/mac.ts';
import { WORKLOAD_HOST_MAC } from '../net/mac.ts';
import type { Store, Transaction } from '../store/store.ts';
import { revision, StoreError } from '../store/store.ts';
import type { AddressAllocator } from './address-allocator.ts';
import { AllocationError } from './address-allocator.ts';
import { DEVICE_ATTRIBUTE } from './address-garbage.ts';
import type { Identity } from './attachment-names.ts';
import { deviceOf, endpointNameOf, guestMacOf, handleOf, identityOf, workloadOf } from './attachment-names.ts';
import type { CniOutcome, CniWork } from './cni-server.ts';
import { configureContainerSide, containerSideProblem, workloadGateway } from './container-side.ts';
import type { Felix } from './felix.ts';
import type { ContainerLabels } from './runtimes/container-databases.ts';

/** Rules and routes are in force within milliseconds; a runtime waits longer than this for nobody. */
const READY_TIMEOUT_MS = 10_000;
/** Which of a node's endpoints belong to a network, for GC. */
const NETWORK_ANNOTATION = 'cni.muslin.io/network';

type AddRequest = Extract<CniRequest, { readonly command: 'ADD' }>;
type CheckRequest = Extract<CniRequest, { readonly command: 'CHECK' }>;
type GcRequest = Extract<CniRequest, { readonly command: 'GC' }>;

/** What the attachments need to know of their node at the time of a call. */
export interface NodeFacts {
  readonly labels: Labels;
  /** Of a container whose network's configuration says nothing of it. */
  readonly workloadMtu: number;
}

/** A refusal on its way to the runtime. */
class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: CniErrorCode;
  /** For programs: "attached" (this very attachment is there already), "exists" (its interface is, of somebody else). */
  readonly details: string;

  constructor(code: CniErrorCode, message: string, details = '') {
    super(message);
    this.code = code;
    this.details = details;
  }
}

export class Attachments {
  readonly #node: string;
  readonly #store: Store;
  readonly #allocator: AddressAllocator;
  readonly #kernel: Kernel;
  readonly #felix: Felix;
  readonly #facts: () => NodeFacts;
  readonly #labelsOf: (containerId: string) => ContainerLabels;
  readonly #log: Log;

  constructor(options: {
    readonly node: string;
    readonly store: Store;
    readonly allocator: AddressAllocator;
    readonly kernel: Kernel;
    readonly felix: Felix;
    readonly facts: () => NodeFacts;
    /** What the container's runtime has written down of it. */
    readonly labelsOf: (containerId: string) => ContainerLabels;
    readonly log: Log;
  }) {
    this.#node = options.node;
    this.#store = options.store;
    this.#allocator = options.allocator;
    this.#kernel = options.kernel;
    this.#felix = options.felix;
    this.#facts = options.facts;
    this.#labelsOf = options.labelsOf;
    this.#log = options.log;
  }

  /** Carries a request out. What the world refuses is an error for the runtime; our bugs are thrown. */
  async carryOut(request: CniWork): Promise<CniOutcome> {
    try {
      switch (request.command) {
        case 'ADD':
          return { result: await this.#add(request) };
        case 'DEL':
          await this.#remove(request, request.networkName);
          return { result: undefined };
        case 'CHECK':
          await this.#check(request);
          return { result: undefined };
        case 'GC':
          await this.#collectGarbage(request);
          return { result: undefined };
        case 'STATUS':
          this.#requireReady(CNI_ERROR.notAvailable);
          return { result: undefined };
      }
    } catch (error) {
      return { error: cniErrorOf(error) };
    }
  }

  async #add(request: AddRequest): Promise<CniResult> {
    this.#requireReady(CNI_ERROR.tryAgainLater);
    const phases = new Phases();
    await this.#requireUnattached(request);
    const container = openContainer(request);
    phases.ends('look');
    try {
      const { endpoint, safe } = await this.#assign(request);
      phases.ends('assign');
      try {
        const link = this.#wire(request, endpoint, container);
        phases.ends('wire');
        await this.#felix.endpointReady(endpoint.id, READY_TIMEOUT_MS);
        phases.ends('enforce');
        await safe;
        phases.ends('save');
        this.#log.info('container attached', {
          endpoint: endpoint.id,
          device: endpoint.device,
          addresses: endpoint.networks,
          phasesMs: phases.milliseconds,
        });
        return resultOf(request, endpoint, link, container);
      } catch (error) {
        this.#log.warn('attaching failed, undoing it', { endpoint: endpoint.id });
        await this.#remove(request, request.networkName);
        throw error instanceof KernelError || error instanceof Refusal
          ? error
          : new Refusal(CNI_ERROR.tryAgainLater, String(error instanceof Error ? error.message : error));
      }
    } finally {
      container?.close();
    }
  }

  /** Undoing a second ADD would take what the first one made. The store is asked only when Felix knows the device. */
  async #requireUnattached(attachment: AttachmentId): Promise<void> {
    const device = deviceOf(attachment);
    const isKnown = this.#felix.endpoints().some(({ deviceName }) => deviceName === device);
    const key = isKnown ? await this.#find(attachment) : undefined;
    if (key === undefined) return;
    const { containerId, interfaceName } = attachment;
    throw new Refusal(
      CNI_ERROR.other,
      `${containerId}: ${interfaceName} is attached already, by device ${device}`,
      'attached',
    );
  }

  /** Addresses and the WorkloadEndpoint, at once; `safe` is when they would survive a power cut, which need not be waited for yet. */
  async #assign(request: AddRequest): Promise<{ readonly endpoint: Attached; readonly safe: Promise<unknown> }> {
    const { configuration } = request;
    const identity = identityOf(this.#node, request, request.pod);
    const labels = this.#runtimeLabels(request.containerId);
    let endpoint: WorkloadEndpoint | undefined;
    const { promise: taken, resolve: onTaken } = Promise.withResolvers<readonly Ip[]>();
    const safe = this.#allocator.assign(
      {
        node: this.#node,
        labels: this.#facts().labels,
        handle: handleOf(request.networkName, request),
        families: configuration.families,
        requestedAddresses: configuration.requestedAddresses,
        requestedPools: configuration.families.flatMap((family) => configuration.pools[family]),
        use: 'Workload',
        namespace: identity.namespace,
        attributes: { node: this.#node, [DEVICE_ATTRIBUTE]: identity.device, ...podAttributes(request) },
      },
      (assigned): Transaction => {
        endpoint = this.#endpointOf(request, identity, labels, assigned);
        const put = { kind: 'put', key: identity.key, value: valueOfResource(endpoint) } as const;
        return { expect: [{ key: identity.key, revision: revision(0) }], writes: [put] };
      },
      onTaken,
    );
    safe.catch(() => undefined); // who waits for it hears of it
    const addresses = await Promise.race([taken, safe]);
    const networks = addresses.map((address) => formatCidr(hostPrefix(address)));
    return { endpoint: { ...identity, addresses, networks }, safe };
  }

  /** Read before the store is written to, so that policy chooses the container before its first process runs. */
  #runtimeLabels(containerId: string): Labels {
    const { labels, source, problems } = this.#labelsOf(containerId);
    for (const problem of problems) this.#log.warn('not taken from the runtime', { containerId, source, problem });
    return labels;
  }

  #endpointOf(request: AddRequest, identity: Identity, labels: Labels, addresses: readonly Ip[]): WorkloadEndpoint {
    const namespace = identity.namespace;
    const mac = macOf(request);
    const resource: WorkloadEndpoint = {
      apiVersion: API_VERSION,
      kind: 'WorkloadEndpoint',
      metadata: {
        name: identity.name,
        namespace,
        labels: {
          ...request.configuration.labels,
          ...labels, // of this very container, so more than what is said of its network
          'projectcalico.org/namespace': namespace,
          'projectcalico.org/orchestrator': 'cni',
        },
        annotations: { ...request.configuration.annotations, [NETWORK_ANNOTATION]: request.networkName },
      },
      spec: {
        orchestrator: 'cni',
        node: this.#node,
        containerID: request.containerId,
        workload: workloadOf(request.containerId),
        ...(request.pod && { pod: request.pod.name }),
        endpoint: request.interfaceName,
        ipNetworks: addresses.map((address) => formatCidr(hostPrefix(address))),
        interfaceName: identity.device,
        ...(mac && { mac }),
        ...endpointExtras(request.configuration, addresses),
      },
    };
    return withIdentity(resource, randomUUID(), new Date(wallClockNow()).toISOString());
  }

  /** The veth pair, and the container's end of it; or a tap device, whose other end is the virtual machine's own. */
  #wire(request: AddRequest, endpoint: Attached, container: Kernel | undefined): Link {
    const { mac, mtu } = request.configuration;
    const device = { name: endpoint.device, mac: WORKLOAD_HOST_MAC, mtu: mtu ?? this.#facts().workloadMtu };
    if (container === undefined) {
      const tap = addTap(this.#kernel, device);
      this.#felix.linkChanged(tap, false);
      return tap;
    }
    const link = this.#kernel.addVeth({
      ...device,
      peer: { name: request.interfaceName, namespacePath: request.netns, ...(mac && { mac }) },
    });
    const inside = container.link(request.interfaceName);
    if (inside === undefined)
      throw new Refusal(CNI_ERROR.other, `${request.interfaceName} vanished from ${request.netns}`);
    configureContainerSide(container, inside, endpoint.addresses);
    this.#felix.linkChanged(link, false);
    return link;
  }

  /** Removes whatever there is of an attachment; nothing at all is fine as well. */
  async #remove(attachment: AttachmentId, networkName: string): Promise<void> {
    const found = await this.#find(attachment);
    // The runtime cleans up after an ADD that failed because another network has the interface: that one must stay.
    const isForeign = found !== undefined && !isOf(found, networkName);
    const identity = isForeign ? undefined : found?.key;
    const remove: Transaction =
      identity === undefined ? { expect: [], writes: [] } : { expect: [], writes: [{ kind: 'remove', key: identity }] };
    const released = await this.#allocator.release(handleOf(networkName, attachment), remove);
    const link = isForeign ? undefined : this.#kernel.link(deviceOf(attachment));
    if (link !== undefined) {
      removeLink(this.#kernel, link);
      this.#felix.linkChanged(link, true);
    }
    if (identity === undefined && released.length === 0 && link === undefined) return;
    this.#log.info('container detached', { container: attachment.containerId, device: deviceOf(attachment) });
  }

  async #check(request: CheckRequest): Promise<void> {
    const container = request.configuration.tap ? undefined : openKernel(request.netns);
    try {
      const found = await this.#find(request);
      const problem =
        (container && containerSideProblem(container, request.interfaceName, request.previousAddresses)) ??
        (found === undefined || !isOf(found, request.networkName)
          ? 'the container is not attached to this network'
          : undefined) ??
        (this.#kernel.link(deviceOf(request)) === undefined ? `device ${deviceOf(request)} does not exist` : undefined);
      if (problem !== undefined) throw new Refusal(CNI_ERROR.other, `${request.containerId}: ${problem}`);
    } finally {
      container?.close();
    }
  }

  /** Removes the attachments of a network on this node which the runtime does not name as valid (CNI SPEC 1.1.0, GC). */
  async #collectGarbage({ networkName, valid }: GcRequest): Promise<void> {
    if (valid === undefined) return; // the runtime did not say, so nothing is known to be stale
    const keep = new Set(valid.map(({ containerId, interfaceName }) => `${containerId} ${interfaceName}`));
    for (const { metadata, spec } of await this.#ownEndpoints()) {
      const attachment = { containerId: spec.containerID ?? '', interfaceName: spec.endpoint ?? '' };
      if (metadata.annotations?.[NETWORK_ANNOTATION] !== networkName) continue;
      if (keep.has(`${attachment.containerId} ${attachment.interfaceName}`)) continue;
      this.#log.info('removing what the runtime does not know', { endpoint: metadata.name });
      await this.#remove(attachment, networkName);
    }
  }

  /** The endpoint's key and network, in whichever namespace the pod was: DEL may come without the pod's name. */
  async #find(attachment: AttachmentId): Promise<Found | undefined> {
    const name = endpointNameOf(this.#node, attachment);
    const keyIn = (namespace: string) => resourceKey({ kind: 'WorkloadEndpoint', namespace, name });
    const likely = await this.#store.get(keyIn(DEFAULT_NAMESPACE));
    const found =
      likely === undefined
        ? (await this.#ownEndpoints()).find((endpoint) => endpoint.metadata.name === name)
        : entryOfKind('WorkloadEndpoint', likely);
    if (found === undefined) return likely && { key: likely.key, networkName: undefined };
    const { namespace = DEFAULT_NAMESPACE, annotations } = found.metadata;
    return { key: keyIn(namespace), networkName: annotations?.[NETWORK_ANNOTATION] };
  }

  async #ownEndpoints(): Promise<WorkloadEndpoint[]> {
    const { entries } = await this.#store.list(kindPrefix('WorkloadEndpoint'));
    return entries
      .flatMap((entry) => entryOfKind('WorkloadEndpoint', entry) ?? [])
      .filter(({ spec }) => spec.node === this.#node);
  }

  #requireReady(code: CniErrorCode): void {
    const { ready, reason } = this.#felix.storeState();
    if (!ready) throw new Refusal(code, `the agent is not ready: ${reason}`);
  }
}

/** What each step of an attachment took, for the log. */
class Phases {
  readonly milliseconds: Record<string, number> = {};
  #start = monotonicNow();

  ends(phase: string): void {
    const now = monotonicNow();
    this.milliseconds[phase] = Math.round((now - this.#start) * 100) / 100;
    this.#start = now;
  }
}

/** Where an endpoint is in the store. */
interface Found {
  readonly key: string;
  /** The network that it was attached to; undefined where the endpoint does not say. */
  readonly networkName: string | undefined;
}

function isOf({ networkName }: Found, name: string): boolean {
  return networkName === undefined || networkName === name;
}

/** A device may go by itself at any moment, with its container's namespace; that is as good. */
function removeLink(kernel: Kernel, { index }: Link): void {
  try {
    kernel.removeLink(index);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ENODEV') throw error;
  }
}

/** An attachment with its addresses, as values and as text. */
interface Attached extends Identity {
  readonly addresses: readonly Ip[];
  readonly networks: readonly string[];
}

/** Floating addresses, each in front of the own address of its family, and what else may be sent from. */
function endpointExtras(
  { floatingAddresses, allowedSources }: NetworkConfiguration,
  addresses: readonly Ip[],
): Pick<WorkloadEndpointSpec, 'ipNATs' | 'allowSpoofedSourcePrefixes'> {
  const ipNATs = floatingAddresses.flatMap((external) => {
    const internal = addresses.find(({ family }) => family === external.family);
    return internal === undefined ? [] : { internalIP: formatIp(internal), externalIP: formatIp(external) };
  });
  return {
    ...(ipNATs.length > 0 && { ipNATs }),
    ...(allowedSources.length > 0 && { allowSpoofedSourcePrefixes: allowedSources.map(formatCidr) }),
  };
}

/** The MAC that is known before the kernel has chosen one; a virtual machine's is always. */
function macOf(request: AddRequest): Mac | undefined {
  const { mac, tap } = request.configuration;
  return mac ?? (tap ? guestMacOf(request) : undefined);
}

function podAttributes({ pod }: AddRequest): Record<string, string> {
  return pod === undefined ? {} : { pod: pod.name, namespace: pod.namespace ?? DEFAULT_NAMESPACE };
}

/** The kernel of the container's namespace, in which the interface must not exist yet; undefined for a tap, which has none. */
function openContainer({ netns, interfaceName, configuration }: AddRequest): Kernel | undefined {
  const isHost = sameNamespace(netns, OWN_NAMESPACE);
  if (configuration.tap && isHost) return undefined;
  if (configuration.tap)
    throw new Refusal(
      CNI_ERROR.invalidEnvironment,
      `tap: a tap device is the host's: CNI_NETNS must be ${OWN_NAMESPACE}`,
    );
  if (isHost)
    throw new Refusal(
      CNI_ERROR.invalidEnvironment,
      `${netns} is the host's own network namespace; a container has another one`,
    );
  const container = openKernel(netns);
  if (container.link(interfaceName) === undefined) return container;
  container.close();
  throw new Refusal(CNI_ERROR.other, `${interfaceName} exists already in ${netns}; it is left as it is`, 'exists');
}

function resultOf(request: AddRequest, endpoint: Attached, link: Link, container: Kernel | undefined): CniResult {
  const inside = container?.link(request.interfaceName);
  const sandbox = {
    name: request.interfaceName,
    mac: inside?.mac ?? macOf(request) ?? WORKLOAD_HOST_MAC,
    mtu: link.mtu,
    sandbox: request.netns,
  };
  const host = { name: endpoint.device, mac: WORKLOAD_HOST_MAC, mtu: link.mtu, sandbox: undefined };
  const addresses = endpoint.addresses.map((address): ResultAddress => {
    return { address: hostPrefix(address), gateway: workloadGateway(address.family), interfaceIndex: 1 };
  });
  const routes = endpoint.addresses.map((address): ResultRoute => {
    const gateway = workloadGateway(address.family);
    return { destination: prefixOf(gateway, 0), gateway };
  });
  return { interfaces: [host, sandbox], addresses, routes };
}

function cniErrorOf(error: unknown): CniError {
  if (error instanceof Refusal) return { code: error.code, message: error.message, details: error.details };
  if (error instanceof KernelError) return { code: CNI_ERROR.other, message: error.message, details: error.code };
  if (error instanceof StoreError)
    return { code: CNI_ERROR.tryAgainLater, message: error.message, details: error.code };
  if (error instanceof AllocationError) {
    const code = error.code === 'busy' ? CNI_ERROR.tryAgainLater : CNI_ERROR.other;
    return { code, message: error.message, details: error.code };
  }
  throw error;
}
