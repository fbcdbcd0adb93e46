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
 * Names follow from the container's id and interface (attachment-names.ts), so DEL needs no memory. It is taken on even while
 * the store is away (detach-queue.ts).
 */
import { CNI_ERROR, type CniErrorCode } from '../../cni/cni-error.ts';
import type { AttachmentId, CniRequest } from '../../cni/request.ts';
import type { CniResult } from '../../cni/result.ts';
import { type Kernel, KernelError } from '../../kernel/kernel.ts';
import { openKernel } from '../../kernel/netlink-kernel.ts';
import { monotonicNow } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import { entryOfKind, valueOfResource } from '../../model/resource-entry.ts';
import { kindPrefix, resourceKey } from '../../model/resource-key.ts';
import type { Labels } from '../../model/selector.ts';
import { DEFAULT_NAMESPACE } from '../../model/validate.ts';
import type { WorkloadEndpoint } from '../../model/workload-endpoint.ts';
import { formatCidr, hostPrefix } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { revision, type Store, StoreError, type Transaction } from '../../store/store.ts';
import { type AddressAllocator, AllocationError } from '../addresses/address-allocator.ts';
import type { Felix } from '../felix.ts';
import type { ContainerLabels } from '../runtimes/container-databases.ts';
import { openContainer, resultOf, unwire, wire } from './attachment-device.ts';
import { type AddRequest, endpointOf, holderAttributes, originOf } from './attachment-endpoint.ts';
import { deviceOf, endpointNameOf, handleOf, type Identity, identityOf } from './attachment-names.ts';
import { cniErrorOf, isStoreTrouble, Refusal } from './cni-refusal.ts';
import type { CniOutcome, CniWork } from './cni-server.ts';
import { containerSideProblem } from './container-side.ts';
import type { Detachment, DetachQueue } from './detach-queue.ts';

/** Rules and routes are in force within milliseconds; a runtime waits longer than this for nobody. */
const READY_TIMEOUT_MS = 10_000;

type CheckRequest = Extract<CniRequest, { readonly command: 'CHECK' }>;
type GcRequest = Extract<CniRequest, { readonly command: 'GC' }>;

/** What the attachments need to know of their node at the time of a call. */
export interface NodeFacts {
  readonly labels: Labels;
  /** Of a container whose network's configuration says nothing of it. */
  readonly workloadMtu: number;
}

interface AttachmentsOptions {
  readonly node: string;
  readonly store: Store;
  readonly allocator: AddressAllocator;
  readonly kernel: Kernel;
  readonly felix: Felix;
  readonly facts: () => NodeFacts;
  /** The endpoints of this node that the agent has been told of, its own writes too. */
  readonly knownEndpoints: () => Iterable<WorkloadEndpoint>;
  /** What the container's runtime has written down of it. */
  readonly labelsOf: (containerId: string) => ContainerLabels;
  /** Where detachments wait that cannot be finished now; `detachNow` is how it finishes them. */
  readonly queue: () => Pick<DetachQueue, 'add' | 'settle'>;
  readonly log: Log;
}

export class Attachments {
  readonly #options: AttachmentsOptions;
  readonly #log: Log;
  /** Devices of those. */
  readonly #beingAttached = new Set<string>();

  constructor(options: AttachmentsOptions) {
    this.#options = options;
    this.#log = options.log;
  }

  /** Carries a request out. What the world refuses is an error for the runtime; our bugs are thrown. */
  async carryOut(request: CniWork): Promise<CniOutcome> {
    try {
      switch (request.command) {
        case 'ADD':
          return { result: await this.#addOnce(request) };
        case 'DEL':
          await this.#detach(request);
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

  /** A second ADD of what is being attached would take the first one's half-made endpoint for one that was left. */
  async #addOnce(request: AddRequest): Promise<CniResult> {
    const device = deviceOf(request);
    if (this.#beingAttached.has(device)) {
      const what = `${request.containerId}: ${request.interfaceName}`;
      throw new Refusal(CNI_ERROR.tryAgainLater, `${what} is being attached at this moment; try again later`);
    }
    this.#beingAttached.add(device);
    try {
      return await this.#add(request);
    } finally {
      this.#beingAttached.delete(device);
    }
  }

  async #add(request: AddRequest): Promise<CniResult> {
    const { kernel, felix, facts, queue } = this.#options;
    this.#requireReady(CNI_ERROR.tryAgainLater);
    const phases = new Phases();
    await queue().settle(request);
    await this.#requireUnattached(request);
    const container = openContainer(request);
    phases.ends('look');
    try {
      const { labels, workloadMtu } = facts();
      const { identity, addresses, safe } = await this.#assignAnew(request, labels);
      phases.ends('assign');
      try {
        const mtu = request.configuration.mtu ?? workloadMtu;
        const wiring = { device: identity.device, mtu, addresses };
        const wired = wire(kernel, container, request, wiring);
        felix.linkChanged(wired.link, false);
        phases.ends('wire');
        await felix.endpointReady(identity.id, READY_TIMEOUT_MS);
        phases.ends('enforce');
        await safe;
        phases.ends('save');
        const networks = addresses.map((address) => formatCidr(hostPrefix(address)));
        const attached = { endpoint: identity.id, device: identity.device, addresses: networks };
        this.#log.info('container attached', { ...attached, phasesMs: phases.milliseconds });
        return resultOf(request, wiring, wired);
      } catch (error) {
        this.#log.warn('attaching failed, undoing it', { endpoint: identity.id });
        await this.#detach(request);
        throw error instanceof KernelError || error instanceof Refusal
          ? error
          : new Refusal(CNI_ERROR.tryAgainLater, `${error instanceof Error ? error.message : error}; try again later`);
      }
    } finally {
      container?.close();
    }
  }

  /** Undoing a second ADD would take what the first one made. The store is asked only where the device is there. */
  async #requireUnattached(attachment: AttachmentId): Promise<void> {
    const device = deviceOf(attachment);
    const isThere = this.#options.felix.interfaces().link(device) !== undefined;
    if (!isThere || (await this.#find(attachment)) === undefined) return;
    const { containerId, interfaceName } = attachment;
    throw new Refusal(
      CNI_ERROR.other,
      `${containerId}: ${interfaceName} is attached already, by device ${device}`,
      'attached',
    );
  }

  /**
   * As `#assign`; an endpoint that is there without a device is of before a reboot, or of a container whose interface
   * somebody has removed, and makes room.
   */
  async #assignAnew(request: AddRequest, labels: Labels): Promise<Assigned> {
    try {
      return await this.#assign(request, labels);
    } catch (error) {
      const isThere = error instanceof AllocationError && error.code === 'conflict';
      if (!isThere || this.#options.kernel.link(deviceOf(request)) !== undefined) throw error;
      this.#log.warn('attached before, and its device is gone: detaching it', { container: request.containerId });
      const { networkName = request.networkName } = (await this.#find(request)) ?? {};
      await this.detachNow({ ...request, networkName });
      return await this.#assign(request, labels);
    }
  }

  /** Addresses and the WorkloadEndpoint, at once; `safe` is when they would survive a power cut, which need not be waited for yet. */
  async #assign(request: AddRequest, labels: Labels): Promise<Assigned> {
    const { node, allocator } = this.#options;
    const { configuration, networkName } = request;
    const identity = identityOf(node, request, request.pod);
    const runtime = this.#runtimeLabels(request.containerId);
    const { promise: taken, resolve: onTaken } = Promise.withResolvers<readonly Ip[]>();
    const safe = allocator.assign(
      {
        ...{ node, labels, handle: handleOf(networkName, request), use: 'Workload' },
        families: configuration.families,
        requestedAddresses: configuration.requestedAddresses,
        requestedPools: configuration.families.flatMap((family) => configuration.pools[family]),
        namespace: identity.namespace,
        attributes: holderAttributes(node, request, identity),
      },
      (addresses): Transaction => {
        const value = valueOfResource(endpointOf(node, request, identity, runtime, addresses));
        const expect = [{ key: identity.key, revision: revision(0) }];
        return { expect, writes: [{ kind: 'put', key: identity.key, value }] };
      },
      onTaken,
    );
    safe.catch(() => undefined); // who waits for it hears of it
    return { identity, addresses: await Promise.race([taken, safe]), safe };
  }

  /** Read before the store is written to, so that policy chooses the container before its first process runs. */
  #runtimeLabels(containerId: string): ContainerLabels {
    const found = this.#options.labelsOf(containerId);
    const { source, problems } = found;
    for (const problem of problems) this.#log.warn('not taken from the runtime', { containerId, source, problem });
    return found;
  }

  /** Takes a detachment on: what cannot be done while the store is away is done later, and the runtime need not ask again. */
  async #detach(detachment: Detachment): Promise<void> {
    const { felix, queue } = this.#options;
    const { storeAway } = felix.storeState();
    try {
      if (storeAway !== undefined) throw new StoreError('unavailable', storeAway);
      await this.detachNow(detachment);
    } catch (error) {
      if (!isStoreTrouble(error)) throw error;
      queue().add(detachment, error instanceof Error ? error.message : String(error));
      if (!this.#isKnownAsForeign(detachment)) this.#removeDevice(detachment);
    }
  }

  /** Whether the interface is another network's, by what was last heard of the store. */
  #isKnownAsForeign(detachment: Detachment): boolean {
    const { node, knownEndpoints } = this.#options;
    const known = named(knownEndpoints(), endpointNameOf(node, detachment));
    return known !== undefined && !isOf({ networkName: originOf(known)?.networkName }, detachment.networkName);
  }

  /** Removes whatever there is of an attachment; nothing at all is fine as well. */
  async detachNow(detachment: Detachment): Promise<void> {
    const { networkName, containerId } = detachment;
    const found = await this.#find(detachment);
    // The runtime cleans up after an ADD that failed because another network has the interface: that one must stay.
    const isForeign = found !== undefined && !isOf(found, networkName);
    const writes: Transaction['writes'] = found && !isForeign ? [{ kind: 'remove', key: found.key }] : [];
    const released = await this.#options.allocator.release(handleOf(networkName, detachment), { expect: [], writes });
    const hadDevice = !isForeign && this.#removeDevice(detachment);
    if (writes.length === 0 && released.length === 0 && !hadDevice) return;
    this.#log.info('container detached', { container: containerId, device: deviceOf(detachment) });
  }

  /** Whether there was one. */
  #removeDevice(attachment: AttachmentId): boolean {
    const { kernel, felix } = this.#options;
    const link = kernel.link(deviceOf(attachment));
    if (link === undefined) return false;
    unwire(kernel, link);
    felix.linkChanged(link, true);
    return true;
  }

  async #check(request: CheckRequest): Promise<void> {
    const container = request.configuration.tap ? undefined : openKernel(request.netns);
    try {
      const found = await this.#find(request);
      const hasDevice = this.#options.kernel.link(deviceOf(request)) !== undefined;
      const problem =
        (container && containerSideProblem(container, request.interfaceName, request.previousAddresses)) ??
        (found === undefined || !isOf(found, request.networkName)
          ? 'the container is not attached to this network'
          : undefined) ??
        (hasDevice ? undefined : `device ${deviceOf(request)} does not exist`);
      if (problem !== undefined) throw new Refusal(CNI_ERROR.other, `${request.containerId}: ${problem}`);
    } finally {
      container?.close();
    }
  }

  /** Removes the attachments of a network on this node which the runtime does not name as valid (CNI SPEC 1.1.0, GC). */
  async #collectGarbage({ networkName, valid }: GcRequest): Promise<void> {
    if (valid === undefined) return; // the runtime did not say, so nothing is known to be stale
    const keep = new Set(valid.map(({ containerId, interfaceName }) => `${containerId} ${interfaceName}`));
    for (const endpoint of await this.#ownEndpoints()) {
      const origin = originOf(endpoint);
      if (origin === undefined || origin.networkName !== networkName) continue;
      if (keep.has(`${origin.containerId} ${origin.interfaceName}`)) continue;
      this.#log.info('removing what the runtime does not know', { endpoint: endpoint.metadata.name });
      await this.detachNow({ ...origin, networkName });
    }
  }

  /** The endpoint's key and network, in whichever namespace the pod was: DEL may come without the pod's name. */
  async #find(attachment: AttachmentId): Promise<Found | undefined> {
    const { node, store } = this.#options;
    const name = endpointNameOf(node, attachment);
    const namespace = await this.#namespaceOf(name);
    const entry = await store.get(resourceKey({ kind: 'WorkloadEndpoint', namespace, name }));
    if (entry === undefined) return undefined;
    const endpoint = entryOfKind('WorkloadEndpoint', entry);
    return { key: entry.key, networkName: endpoint && originOf(endpoint)?.networkName };
  }

  /** This node's endpoints are known as soon as the store has been read; before, all of the network are looked through. */
  async #namespaceOf(name: string): Promise<string> {
    const { felix, knownEndpoints } = this.#options;
    const endpoints = felix.storeState().ready ? knownEndpoints() : await this.#ownEndpoints();
    return named(endpoints, name)?.metadata.namespace ?? DEFAULT_NAMESPACE;
  }

  /** The endpoints of this node, as the store has them. */
  async #ownEndpoints(): Promise<WorkloadEndpoint[]> {
    const { node, store } = this.#options;
    const { entries } = await store.list(kindPrefix('WorkloadEndpoint'));
    return entries
      .flatMap((entry) => entryOfKind('WorkloadEndpoint', entry) ?? [])
      .filter(({ spec }) => spec.node === node);
  }

  #requireReady(code: CniErrorCode): void {
    const { ready, reason } = this.#options.felix.storeState();
    if (!ready) throw new Refusal(code, `the agent is not ready: ${reason}`);
  }
}

interface Assigned {
  readonly identity: Identity;
  readonly addresses: readonly Ip[];
  readonly safe: Promise<unknown>;
}

/** Where an endpoint is in the store. */
interface Found {
  readonly key: string;
  /** The network that it was attached to; undefined where the endpoint does not say. */
  readonly networkName: string | undefined;
}

function named(endpoints: Iterable<WorkloadEndpoint>, name: string): WorkloadEndpoint | undefined {
  for (const endpoint of endpoints) if (endpoint.metadata.name === name) return endpoint;
  return undefined;
}

function isOf({ networkName }: Pick<Found, 'networkName'>, name: string): boolean {
  return networkName === undefined || networkName === name;
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
