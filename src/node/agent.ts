/**
 * The agent of one host: wiring, and no rules of its own.
 *
 *   store ─► feed ─┬─► Felix (calculation, dataplane, kernel)
 *                  └─► BGP (speaker configuration, speaker, sockets)
 *   BGP's best paths ─► Felix            Felix's announcements ─► BGP
 *   Felix's tunnels that receive ─► keeper ─► addresses from IPAM, the Node in the store; Felix
 *   CNI socket ─► attachments ─► store and the container's namespace; waits for Felix (open-attachments.ts)
 *   control socket ─► answers from all of them          metrics, BMP ─► monitoring of BGP
 *
 * Start: open everything, read the store, let Felix and BGP take up what an earlier process left. Stop: close, and leave
 * kernel and peers as they are; the next process goes on from there.
 */
import { join } from 'node:path';
import { NFLOG_GROUP } from '../felix/dataplane/filter/log-prefix.ts';
import { openNflogSocket } from '../kernel/nflog-socket.ts';
import { wallClockNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import { seededRandom } from '../lib/prng.ts';
import { RESOURCES_PREFIX } from '../model/resource-key.ts';
import { openStore } from '../store/open-store.ts';
import type { Store } from '../store/store.ts';
import { PRESENCE_PREFIX } from '../store/store.ts';
import { AddressAllocator } from './addresses/address-allocator.ts';
import { openAttachments } from './attach/open-attachments.ts';
import { Bgp } from './bgp.ts';
import type { AgentConfiguration } from './configuration.ts';
import type { AgentStatus, PolicyControl, Readiness } from './control-api.ts';
import { CONTROL_SOCKET_NAME } from './control-api.ts';
import { startControlServer } from './control-server.ts';
import { EntryReader } from './entry-reader.ts';
import type { Felix } from './felix.ts';
import { DropWatch } from './filter/drop-watch.ts';
import { nftablesProblem } from './filter/open-backend.ts';
import type { PacketFilter } from './filter/packet-filter.ts';
import type { PolicyControlOptions } from './filter/policy-control.ts';
import { policyControl, policyViews } from './filter/policy-control.ts';
import { PolicyReporter } from './filter/policy-reporter.ts';
import { felixNumbers } from './monitoring/felix-numbers.ts';
import { Monitoring } from './monitoring/monitoring.ts';
import { openFelix } from './open-felix.ts';
import { ResourceFeed } from './resource-feed.ts';
import { StoreFollower } from './store-follower.ts';
import { openTunnels } from './tunnels/open-tunnels.ts';
import type { TunnelKeeper } from './tunnels/tunnel-keeper.ts';
import { VERSION } from './version.ts';

/** Others learn of a host's death this much later at most; a store that is away for less is not taken for one. */
const PRESENCE_TTL_SECONDS = 15;

export interface RunningAgent {
  /** Resolves when everything has been in force for the first time; never, if it never is. */
  readonly inSync: Promise<void>;
  readonly readiness: () => Readiness;
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
  const inSync = Promise.withResolvers<void>();
  try {
    const { readiness } = await open({ configuration, log, closers, onFirstSync: inSync.resolve });
    return { inSync: inSync.promise, readiness, close };
  } catch (error) {
    await close();
    throw error;
  }
}

/** Opens everything, in the order of need; `closers` gets what is to be called, last first, to close it again. */
async function open(parts: {
  readonly configuration: AgentConfiguration;
  readonly log: Log;
  readonly closers: (() => unknown)[];
  readonly onFirstSync: () => void;
}): Promise<{ readonly readiness: () => Readiness }> {
  const { configuration, log, closers, onFirstSync } = parts;
  const { node, runDirectory, secretsDirectory, bmpCollector } = configuration;
  const random = seededRandom(wallClockNow() ^ process.pid); // for jitter, which is to differ between hosts
  const startedAt = new Date(wallClockNow()).toISOString();
  const store = await openStore(configuration.store);
  closers.push(() => store.close());
  const { felix, kernel, filter } = openFelix({
    ...{ node, runDirectory, log, random, onFirstSync, closers },
    onAnnouncements: (announcements) => bgp.announce(announcements),
    onTunnelsReady: (ready) => keeper.setReady(ready),
  });
  const bgp: Bgp = new Bgp({
    ...{ node, random, secretsDirectory },
    isSpoken: configuration.bgp,
    log: log.child({ part: 'bgp' }),
    listener: felix,
    monitor: bmpCollector && ((peer, event) => monitoring.monitor(peer, event)),
  });
  const readiness = () => readinessOf(felix);
  const monitoring = new Monitoring({
    ...{ bgp: bgp.control, readiness, systemName: node, log, random },
    felix: () => felixNumbers({ felix, feed, filter, denials: policy.denials() }),
  });
  for (const each of [bgp, felix, monitoring]) closers.push(() => each.close());
  const reader = new EntryReader();
  const feed = new ResourceFeed({
    ...{ node, felix, bgp, reader, log },
    nftablesProblem,
    speaksBgp: configuration.bgp,
    tunnels: { configure: (facts) => keeper.configure(facts), receiving: () => keeper.receiving() },
    onMetrics: (metrics) =>
      monitoring.configure({ metrics, collectors: bmpCollector === undefined ? [] : [bmpCollector] }),
  });
  const stopping = new AbortController();
  const follower = new StoreFollower(store, RESOURCES_PREFIX, feed, { signal: stopping.signal, log, random });
  const following = follower.run();
  closers.push(
    () => following,
    () => stopping.abort(),
  );
  keepPresent({ store, node, startedAt, stopping, closers });
  const ownStore = follower.ownStore(({ writes }, revision) => reader.wrote(writes, revision));
  const allocator = new AddressAllocator(ownStore, { reader });
  const keeper: TunnelKeeper = openTunnels({
    store: ownStore,
    ...{ node, allocator, felix, feed, log, random, stopping, closers },
  });
  const policy = seePolicy({ felix, feed, filter, store, node, log, signal: stopping.signal, closers });
  closers.push(() => stopping.abort());
  const status = (): AgentStatus => ({
    ...{ node, version: VERSION, pid: process.pid, startedAt, store: store.description },
    felix: felix.status(),
    bgp: bgp.control.status(),
    warnings: [...filter.warnings(), ...keeper.problems()],
  });
  await serveControl(runDirectory, { status, readiness, bgp: bgp.control, policy }, closers);
  const attaching = { configuration, allocator, kernel, felix, feed, log, random, closers };
  await openAttachments({ store: ownStore, ...attaching });
  log.info('agent started', { version: VERSION, pid: process.pid, store: store.description });
  return { readiness };
}

/** Answers on the control socket. */
async function serveControl(
  runDirectory: string,
  source: Parameters<typeof startControlServer>[1],
  closers: (() => unknown)[],
): Promise<void> {
  const server = await startControlServer(join(runDirectory, CONTROL_SOCKET_NAME), source);
  closers.push(() => server.closeAllConnections());
  closers.push(() => server.close());
}

/** Lets the other machines that share the store know that this agent lives. */
function keepPresent(parts: {
  readonly store: Store;
  readonly node: string;
  readonly startedAt: string;
  readonly stopping: AbortController;
  readonly closers: (() => unknown)[];
}): void {
  const { store, node, startedAt, stopping, closers } = parts;
  const present = store.keepPresent?.(
    `${PRESENCE_PREFIX}${node}`,
    { startedAt, version: VERSION, pid: process.pid },
    { signal: stopping.signal, ttlSeconds: PRESENCE_TTL_SECONDS },
  );
  closers.push(
    () => present,
    () => stopping.abort(),
  );
}

function readinessOf(felix: Felix): Readiness {
  const { inSync, reasons } = felix.status();
  return { ready: inSync, reasons };
}

/** Answers about policy, and the node's report of it in the store. What has to be waited for and closed goes to `closers`. */
function seePolicy(parts: {
  readonly felix: Felix;
  readonly feed: ResourceFeed;
  readonly filter: PacketFilter;
  readonly store: Store;
  readonly node: string;
  readonly log: Log;
  readonly signal: AbortSignal;
  readonly closers: (() => unknown)[];
}): PolicyControl {
  const { felix, feed, filter, store, node, log, signal, closers } = parts;
  const drops = new DropWatch({
    program: () => filter.program,
    deviceName: (index) => felix.interfaces().linkAt(index)?.name,
    workloadAt: (address) => feed.workloadAt(address),
    listen: (onPackets) => openNflogSocket(undefined, Object.values(NFLOG_GROUP), onPackets),
  });
  closers.push(() => drops.close());
  const options: PolicyControlOptions = {
    ...{ filter, drops },
    endpoints: () => felix.endpoints(),
    servicesOf: (id) => felix.calculation.servicesOf(id),
    workloadOf: (id) => feed.workloadOf(id),
    endpointPending: (id) => felix.endpointPending(id),
    revisionOf: (id) => feed.policyRevision(id),
  };
  const reporter = new PolicyReporter({
    ...{ store, node, log },
    views: (withHits) => (felix.storeState().ready ? policyViews(options, withHits) : undefined),
    leftOut: () => felix.calculation.rulesLeftOut(),
    intervalMs: () => feed.reportingIntervalMs(),
  });
  const reporting = reporter.run(signal);
  closers.push(() => reporting);
  return policyControl(options);
}
