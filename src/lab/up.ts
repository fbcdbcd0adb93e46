/**
 * Bringing a lab up, from a topology to a network that has converged.
 *
 *   read → claim the name → build → seed the store → start agents → in sync → attach workloads → sessions, routes → checks
 *
 * Each stage is announced with the time it took. A lab comes up whole or not at all: on failure, timeout or interruption
 * everything that was made is removed again, unless the caller wants to keep it for a look.
 */
import { KernelError } from '../kernel/kernel.ts';
import { assert } from '../lib/assert.ts';
import { after, monotonicNow, wallClockNow } from '../lib/clock.ts';
import { StoreError } from '../store/store.ts';
import { startAgent } from './agents.ts';
import { build } from './build.ts';
import { assertionsOf } from './check.ts';
import {
  countSessions,
  isOutOfReach,
  type Missing,
  missingAssertions,
  missingFromAgents,
  missingRoutes,
  type Patience,
  throwIfInterrupted,
  waitUntil,
} from './converge.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces } from './names.ts';
import { planOf } from './plan.ts';
import { labNamespaces } from './present-labs.ts';
import { identify } from './process.ts';
import { requirePrograms } from './programs.ts';
import { readTopology } from './read-topology.ts';
import { startRouter, whyEnded } from './routers.ts';
import type { LabDataplane } from './seed.ts';
import { seedStore } from './seed.ts';
import { changeState, claimLab, isBeingBuilt, readLab } from './state.ts';
import { tearDown } from './teardown.ts';
import type { Topology } from './topology.ts';
import { findTopology } from './topology-file.ts';
import { counted } from './wording.ts';
import { attachWorkload, requirePlugin } from './workloads.ts';

export interface UpOptions {
  /** For everything together; undefined: as the number of machines needs. */
  readonly timeoutMs: number | undefined;
  /** Leave a lab that failed as it is. */
  readonly keep: boolean;
  /** Which packet filter the hosts use; undefined leaves it to the topology's FelixConfiguration. */
  readonly dataplane: LabDataplane | undefined;
  readonly signal: AbortSignal;
  /** Told of each stage as it ends. */
  readonly onStage: (stage: string, tookMs: number) => void;
}

type BoundedOptions = UpOptions & { readonly timeoutMs: number };

/** Two hosts take two seconds, sixty forty; a slow machine that is busy with other things must not be called a failure. */
const TIMEOUT_MS = 30_000;
const TIMEOUT_PER_MACHINE_MS = 2_000;

/** Labs need root: they make network namespaces. */
export function requireRoot(): void {
  if (process.getuid?.() === 0) return;
  throw new LabError('failed', 'a lab makes network namespaces, which only root may; run it again with sudo');
}

/** Builds the lab and waits until it has converged; gives its topology. Throws LabError. */
export async function bringUp(nameOrFile: string, options: UpOptions): Promise<Topology> {
  const { source, text } = findTopology(nameOrFile);
  const topology = readTopology(source, text);
  requireRoot();
  requirePlugin();
  requirePrograms(topology.routers);
  claim(topology, source, text);
  const machines = topology.hosts.length + topology.routers.length;
  const timeoutMs = options.timeoutMs ?? TIMEOUT_MS + machines * TIMEOUT_PER_MACHINE_MS;
  try {
    await raise(topology, { ...options, timeoutMs });
    await changeState(topology.name, (state) => ({ ...state, phase: 'up' }));
    return topology;
  } catch (error) {
    if (!options.keep) await tearDown(topology.name);
    throw explained(error, topology.name, { ...options, timeoutMs });
  }
}

/** Makes the name ours, or says what stands in the way. */
function claim(topology: Topology, source: string, text: string): void {
  const { name } = topology;
  const builder = identify(process.pid);
  assert(builder !== undefined, 'a process can see itself in /proc');
  const startedAt = new Date(wallClockNow()).toISOString();
  const left = labNamespaces(name).length > 0 && readLab(name) === undefined;
  const state = {
    format: 1,
    name,
    phase: 'building',
    builder,
    source,
    startedAt,
    agents: {},
    programs: {},
    workloads: {},
  } as const;
  if (!left && claimLab(state, text)) return;
  const before = readLab(name)?.state;
  const condition =
    before === undefined
      ? 'has been left behind, its state lost'
      : isBeingBuilt(before)
        ? `is being built by process ${before.builder.pid}`
        : before.phase === 'building'
          ? 'has been left half-built'
          : 'is up already';
  throw new LabError('conflict', `the lab ${name} ${condition}; to remove it: muslin lab down ${name}`);
}

async function raise(topology: Topology, options: BoundedOptions): Promise<void> {
  const { name } = topology;
  const stage = async (title: string | (() => Promise<string>), work: () => Promise<void> | void): Promise<void> => {
    const start = monotonicNow();
    await work();
    // A turn of the event loop, so that a signal that came during synchronous work is seen.
    await new Promise((resolve) => setImmediate(resolve));
    throwIfInterrupted(options.signal);
    const tookMs = monotonicNow() - start;
    options.onStage(typeof title === 'string' ? title : await title(), tookMs);
  };
  const patience: Patience = { deadline: after(monotonicNow(), options.timeoutMs), signal: options.signal };
  const machines = topology.hosts.length + topology.routers.length;
  await stage(`${counted(machines, 'machine')} on ${counted(topology.segments.length, 'segment')}`, () =>
    build(planOf(topology)),
  );
  await stage('store with nodes, resources and blocks', () => seedStore(topology, options.dataplane));
  await stage('agents started', () =>
    changeState(name, (state) => ({
      ...state,
      agents: Object.fromEntries(topology.hosts.map((host) => [host.name, startAgent(name, host)])),
    })),
  );
  const agents = readLab(name)?.state.agents ?? {};
  // Where something is to be out of reach, the topology's own checks say which routes there are.
  const showsOutOfReach = topology.checks.some(({ kind }) => kind === 'unreachable');
  await startRouters(topology, stage);
  const missingSync = missingFromAgents(name, agents, 'inSync');
  const isExcused = ({ reason }: Missing) => showsOutOfReach && isOutOfReach(reason);
  await stage('agents in sync', () =>
    waitUntil(name, async () => (await missingSync()).filter((missing) => !isExcused(missing)), patience),
  );
  await stage(`${counted(topology.workloads.length, 'workload')} attached`, () => attachAll(topology));
  const sessions = async () => counted(await countSessions(topology), 'BGP session');
  const speaking = Object.entries(agents).filter(([host]) => topology.hosts.find((each) => each.name === host)?.bgp);
  const missingSessions = missingFromAgents(name, Object.fromEntries(speaking), 'sessions');
  await stage(
    async () => `${await sessions()} established`,
    () =>
      waitUntil(
        name,
        () => {
          requireRouters(name);
          return missingSessions();
        },
        patience,
      ),
  );
  if (!showsOutOfReach) {
    await stage('routes in the kernels', () => waitUntil(name, async () => missingRoutes(topology), patience));
  }
  const assertions = assertionsOf(topology, readLab(name)?.state.workloads ?? {});
  await stage(`${counted(assertions.length, 'check')} passed`, () =>
    waitUntil(name, missingAssertions(name, assertions), patience),
  );
}

type StageRunner = (title: string, work: () => Promise<void>) => Promise<void>;

/** Before anything can wait for them. A program that ends at once, as of a mistake in its configuration, is not waited for. */
async function startRouters(topology: Topology, stage: StageRunner): Promise<void> {
  const { name } = topology;
  const routers = topology.routers.filter(({ runs }) => runs !== undefined);
  if (routers.length === 0) return;
  await stage(`${counted(routers.length, 'router')} with a speaker started`, async () => {
    const started = await Promise.all(
      routers.map(async (router) => [router.name, await startRouter(name, router)] as const),
    );
    await changeState(name, (state) => ({ ...state, programs: Object.fromEntries(started) }));
  });
}

/** Throws LabError `failed` when what a router runs has ended. */
function requireRouters(lab: string): void {
  for (const [router, identities] of Object.entries(readLab(lab)?.state.programs ?? {})) {
    const why = whyEnded(lab, router, identities);
    if (why !== undefined) throw new LabError('failed', why);
  }
}

/** All workloads at once, as when a host's containers start together; each has been tried when this returns. */
async function attachAll(topology: Topology): Promise<void> {
  const tries = await Promise.allSettled(
    topology.workloads.map(async (workload) => [workload.name, await attachWorkload(topology, workload)] as const),
  );
  const attached = tries.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []));
  await changeState(topology.name, (state) => ({ ...state, workloads: Object.fromEntries(attached) }));
  for (const outcome of tries) if (outcome.status === 'rejected') throw outcome.reason;
}

function explained(error: unknown, lab: string, options: BoundedOptions): unknown {
  const logs = options.keep
    ? `\nit was kept; its logs: ${hostPlaces(lab, 'HOST').logFile}\nto remove it: muslin lab down ${lab}`
    : '';
  if (error instanceof KernelError || error instanceof StoreError) {
    return new LabError('failed', `the lab ${lab} could not be built: ${error.message}${logs}`, { cause: error });
  }
  if (!(error instanceof LabError) || error.code === 'interrupted') return error;
  const what =
    error.code === 'timeout'
      ? `has not converged in ${options.timeoutMs / 1000} s:\n${error.message}`
      : `could not be built:\n${error.message}`;
  return new LabError(error.code, `the lab ${lab} ${what}${logs}`, { cause: error });
}
