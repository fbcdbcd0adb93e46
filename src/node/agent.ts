/**
 * The agent of one host: wiring, and no rules of its own.
 *
 *   store ─► feed ─┬─► Felix (calculation, dataplane, kernel)
 *                  └─► BGP (speaker configuration, speaker, sockets)
 *   BGP's best paths ─► Felix            Felix's announcements ─► BGP
 *   CNI socket ─► attachments ─► store and the container's namespace; waits for Felix
 *   control socket ─► answers from all of them          metrics, BMP ─► monitoring of BGP
 *
 * Start: open everything, read the store, let Felix and BGP take up what an earlier process left. Stop: close, and leave
 * kernel and peers as they are; the next process goes on from there.
 */
import { join } from 'node:path';
import { openConntrack } from '../kernel/conntrack.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { releaseFreeMemory } from '../kernel/process-memory.ts';
import { wallClockNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { seededRandom } from '../lib/prng.ts';
import { RESOURCES_PREFIX } from '../model/resource-key.ts';
import { sameIp } from '../net/ip.ts';
import { openStore } from '../store/open-store.ts';
import { PRESENCE_PREFIX } from '../store/store.ts';
import { AddressAllocator } from './address-allocator.ts';
import type { NodeFacts } from './attachments.ts';
import { Attachments } from './attachments.ts';
import { nodeAddresses } from './bgp/peer-sessions.ts';
import { Bgp } from './bgp.ts';
import { startCniServer } from './cni-server.ts';
import type { AgentConfiguration } from './configuration.ts';
import { ConnectionCutter } from './connection-cutter.ts';
import type { AgentStatus } from './control-api.ts';
import { CNI_SOCKET_NAME, CONTROL_SOCKET_NAME } from './control-api.ts';
import { startControlServer } from './control-server.ts';
import { Felix } from './felix.ts';
import { DropWatch } from './filter/drop-watch.ts';
import { nftablesProblem, openFilterBackend, openGuard, openLeftovers, recordBackends } from './filter/open-backend.ts';
import { PacketFilter } from './filter/packet-filter.ts';
import { policyControl } from './filter/policy-control.ts';
import { Monitoring } from './monitoring/monitoring.ts';
import { ResourceFeed } from './resource-feed.ts';
import { followStore } from './store-follower.ts';
import { VERSION } from './version.ts';

/** Others learn of a host's death this much later at most; a store that is away for less is not taken for one. */
const PRESENCE_TTL_SECONDS = 15;

/** After everything is in force for the first time: what starting has left behind is garbage by then. */
const STARTED_MS = 2_000;
/** In the run directory: which packet filters may have rules of ours. */
const BACKENDS_FILE_NAME = 'packet-filters';

export interface RunningAgent {
  close(): Promise<void>;
}

/**
 * Starts the agent in the calling thread's network namespace. Rejects with StoreError, KernelError or a server's error when
 * something cannot be opened; what was open by then is closed again.
 */
export async function startAgent(configuration: AgentConfiguration, log: Log): Promise<RunningAgent> {
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    for (let closer = closers.pop(); closer !== undefined; closer = closers.pop()) await closer();
  };
  try {
    await open(configuration, log, closers);
  } catch (error) {
    await close();
    throw error;
  }
  return { close };
}

/** Opens everything, in the order of need; `closers` gets what is to be called, last first, to close it again. */
async function open(configuration: AgentConfiguration, log: Log, closers: (() => unknown)[]): Promise<void> {
  const { node, runDirectory } = configuration;
  const random = seededRandom(wallClockNow() ^ process.pid); // for jitter, which is to differ between hosts
  const startedAt = new Date(wallClockNow()).toISOString();
  const store = await openStore(configuration.store);
  closers.push(() => store.close());
  const kernel = openKernel();
  closers.push(() => kernel.close());
  const backendsFile = join(runDirectory, BACKENDS_FILE_NAME);
  const filter = new PacketFilter({
    openBackend: (choice) => openFilterBackend(choice),
    openLeftovers: () => openLeftovers(backendsFile),
    onBackends: (identities) => recordBackends(backendsFile, identities),
    onApplied: (devices) => cutter.policyChanged(devices),
    log,
  });
  closers.push(() => filter.close());

  const felix: Felix = new Felix({
    ...{ node, kernel, filter, log, random },
    onAnnouncements: (announcements) => bgp.announce(announcements),
    onAddressesGone: (addresses) => cutter.addressesGone(addresses),
    onFirstSync: () => setTimeout(releaseFreeMemory, STARTED_MS).unref(),
  });
  const conntrack = openConntrack();
  closers.push(() => conntrack.close());
  const guard = openGuard();
  closers.push(() => guard?.close());
  const ground = () => felix.cuttingGround();
  const cutter: ConnectionCutter = new ConnectionCutter({ conntrack, guard, ground, log, random });
  closers.push(() => cutter.close());
  const { secretsDirectory, bmpCollector } = configuration;
  const bgp: Bgp = new Bgp({
    ...{ node, random, secretsDirectory },
    log: log.child({ part: 'bgp' }),
    listener: felix,
    monitor: bmpCollector && ((peer, event) => monitoring.monitor(peer, event)),
  });
  const readiness = () => {
    const { inSync, reasons } = felix.status();
    return { ready: inSync, reasons };
  };
  const monitoring = new Monitoring({ bgp: bgp.control, readiness, systemName: node, log, random });
  closers.push(
    () => bgp.close(),
    () => felix.close(),
    () => monitoring.close(),
  );
  const feed = new ResourceFeed({
    ...{ node, felix, bgp, log },
    nftablesProblem,
    onMetrics: (metrics) =>
      monitoring.configure({ metrics, collectors: bmpCollector === undefined ? [] : [bmpCollector] }),
  });
  const stopping = new AbortController();
  const following = followStore(store, RESOURCES_PREFIX, feed, { signal: stopping.signal, log, random });
  closers.push(
    () => following,
    () => stopping.abort(),
  );

  const present = store.keepPresent?.(
    `${PRESENCE_PREFIX}${node}`,
    { startedAt, version: VERSION, pid: process.pid },
    { signal: stopping.signal, ttlSeconds: PRESENCE_TTL_SECONDS },
  );
  closers.push(
    () => present,
    () => stopping.abort(),
  );

  const allocator = new AddressAllocator(store);
  const facts = () => nodeFacts(feed, felix);
  const attachments = new Attachments({ node, store, allocator, kernel, felix, facts, log });
  const status = (): AgentStatus => ({
    ...{ node, version: VERSION, pid: process.pid, startedAt, store: store.description },
    felix: felix.status(),
    bgp: bgp.control.status(),
  });
  const drops = new DropWatch({
    program: () => filter.program,
    deviceName: (index) => felix.interfaces().linkAt(index)?.name,
    workloadAt: (address) => feed.workloadAt(address),
  });
  closers.push(() => drops.close());
  const policy = policyControl({
    ...{ filter, drops },
    endpoints: () => felix.endpoints(),
    workloadOf: (id) => feed.workloadOf(id),
    endpointPending: (id) => felix.endpointPending(id),
    revisionOf: (id) => feed.policyRevision(id),
  });
  const source = { status, readiness, bgp: bgp.control, policy };
  const controlServer = await startControlServer(join(runDirectory, CONTROL_SOCKET_NAME), source);
  closers.push(() => controlServer.closeAllConnections());
  closers.push(() => controlServer.close());
  const cniSocket = join(runDirectory, CNI_SOCKET_NAME);
  const cniServer = await startCniServer(cniSocket, (request) => attachments.carryOut(request), log);
  closers.push(() => cniServer.close());
  log.info('agent started', { version: VERSION, pid: process.pid, store: store.description });
}

/** The uplink is the device that has the node's address: what containers send to others leaves by it. */
function nodeFacts(feed: ResourceFeed, felix: Felix): NodeFacts {
  const own = feed.ownNode();
  const node = own === undefined ? {} : nodeAddresses(own);
  const uplink = [...felix.interfaces().addresses()].find(({ address }) => {
    return [node[4], node[6]].some((each) => sameIp(each?.address, address));
  });
  const link = uplink === undefined ? undefined : felix.interfaces().linkAt(uplink.index);
  return { labels: own?.metadata.labels ?? {}, uplinkMtu: link?.mtu };
}
