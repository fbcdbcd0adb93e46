/**
 * Wiring of all that has to do with attaching containers.
 *
 *   CNI socket ─► attachments ─► allocator ─► store          runtimes' databases ─► labels
 *                     ▲    └───► container's namespace; waits for Felix
 *        queue ───────┘  DEL that could not be finished
 *        garbage ─────┘  containers that are gone without DEL, addresses that nobody holds
 *
 * What has been opened goes to `closers`, to be closed in the opposite order.
 */
import { join } from 'node:path';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { Store } from '../../store/store.ts';
import type { AddressAllocator } from '../addresses/address-allocator.ts';
import { AddressGarbage } from '../addresses/address-garbage.ts';
import { nodeAddresses } from '../bgp/peer-sessions.ts';
import type { AgentConfiguration } from '../configuration.ts';
import { CNI_SOCKET_NAME } from '../control-api.ts';
import type { Felix } from '../felix.ts';
import type { ResourceFeed } from '../resource-feed.ts';
import { containerLabels, isKnownContainer } from '../runtimes/container-databases.ts';
import { AttachmentGarbage } from './attachment-garbage.ts';
import { Attachments, type NodeFacts } from './attachments.ts';
import { startCniServer } from './cni-server.ts';
import { type Detachment, DetachQueue } from './detach-queue.ts';
import { startGarbageRounds } from './garbage-rounds.ts';
import { uplinkMtu } from './workload-mtu.ts';

/** Begins to serve the CNI socket. What was left undone is known before the first container may come. */
export async function openAttachments(parts: {
  readonly configuration: AgentConfiguration;
  /** Whose writes the feed hears at once. */
  readonly store: Store;
  /** Over the same store. */
  readonly allocator: AddressAllocator;
  readonly kernel: Kernel;
  readonly felix: Felix;
  readonly feed: ResourceFeed;
  readonly log: Log;
  readonly random: Random;
  readonly closers: (() => unknown)[];
}): Promise<void> {
  const { configuration, store, allocator, kernel, felix, feed, log, random, closers } = parts;
  const { node, runDirectory, podmanState: podman, containerdState: containerd } = configuration;
  const facts = () => nodeFacts(feed, felix);
  const hasDevice = (name: string) => kernel.link(name) !== undefined;
  const labelsOf = (id: string) => containerLabels(id, { podman, containerd });
  const isKnown = (runtime: string, id: string) => isKnownContainer(runtime, id, { podman, containerd });
  const common = { node, store, allocator, log };
  const knownEndpoints = () => feed.ownEndpoints();
  const attachments = new Attachments({
    ...{ ...common, kernel, felix, facts, knownEndpoints, labelsOf },
    queue: () => queue,
  });
  const detach = (detachment: Detachment) => attachments.detachNow(detachment);
  const queue = new DetachQueue({ runDirectory, detach, log, random });
  closers.push(queue.start());
  const gone = new AttachmentGarbage({ knownEndpoints, hasDevice, isKnown, detach, log });
  const leaked = new AddressGarbage({ ...common, labels: () => facts().labels, hasDevice });
  const collectors = [gone, leaked].map((each) => (now: number, graceMs: number) => each.collect(now, graceMs));
  closers.push(startGarbageRounds(store, log, collectors));
  const server = await startCniServer(
    join(runDirectory, CNI_SOCKET_NAME),
    (request) => attachments.carryOut(request),
    log,
  );
  closers.push(() => server.close());
}

function nodeFacts(feed: ResourceFeed, felix: Felix): NodeFacts {
  const own = feed.ownNode();
  const node = own === undefined ? {} : nodeAddresses(own);
  const links = felix.interfaces().links();
  const uplink = uplinkMtu([node[4]?.address, node[6]?.address], [...links], [...felix.interfaces().addresses()]);
  return { labels: own?.metadata.labels ?? {}, workloadMtu: feed.workloadMtu(uplink) };
}
