/**
 * Waiting for a lab to converge, on conditions rather than for a time.
 *
 * A condition is a function that names all that is still missing; when it names nothing, it is met. So a wait that fails
 * says what it was waiting for and where, with the last lines of the logs concerned. An agent that has ended fails the
 * wait at once, since nothing will come of waiting longer.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Instant } from '../lib/clock.ts';
import { monotonicNow } from '../lib/clock.ts';
import { formatCidr, sameCidr } from '../net/cidr.ts';
import { ROUTE_TABLE } from '../net/kernel-objects.ts';
import type { BgpStatus, Readiness } from '../node/control-api.ts';
import { AgentUnreachable, agentReadiness, bgpStatus } from '../node/control-client.ts';
import { lastLogLines } from './agents.ts';
import { type Assertion, assertionText, judge, withKernel } from './check.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, namespaceOf } from './names.ts';
import { isAlive, type ProcessIdentity } from './process.ts';
import { establishedSessions } from './session-count.ts';
import type { Topology } from './topology.ts';

/** Something that is still missing, and the host whose log may tell why. */
export interface Missing {
  readonly host: string | undefined;
  readonly reason: string;
}

export interface Patience {
  readonly deadline: Instant;
  readonly signal: AbortSignal;
}

/** Short against what is waited for: a process starts in 100 ms. */
const POLL_MS = 10;

/** Asking sixty agents takes long, and they are to have the processors: a pause is at least so many times as long, */
const PAUSE_TO_ASKING = 4;
/** and at most this long: what takes so much of asking is waiting, as for an echo. */
const PAUSE_MS_MAX = 500;

const LOG_LINES_SHOWN = 10;

/** Waits until `missing` names nothing. Throws LabError `timeout`, `failed` when an agent ended, `interrupted`. */
export async function waitUntil(
  lab: string,
  missing: () => Promise<readonly Missing[]>,
  patience: Patience,
): Promise<void> {
  for (;;) {
    const asked = monotonicNow();
    const left = await missing();
    if (left.length === 0) return;
    const now = monotonicNow();
    throwIfInterrupted(patience.signal);
    if (now > patience.deadline) throw new LabError('timeout', missingText(lab, left));
    await delay(Math.min(Math.max((now - asked) * PAUSE_TO_ASKING, POLL_MS), PAUSE_MS_MAX));
  }
}

export function throwIfInterrupted(signal: AbortSignal): void {
  if (signal.aborted) throw new LabError('interrupted', 'interrupted');
}

/** What is missing, and what the logs of the hosts concerned end with. */
function missingText(lab: string, missing: readonly Missing[]): string {
  const hosts = new Set(missing.flatMap(({ host }) => host ?? []));
  return [
    ...missing.map(({ host, reason }) => `  ${host === undefined ? '' : `${host}: `}${reason}`),
    ...[...hosts].flatMap((host) => logText(lab, host)),
  ].join('\n');
}

function logText(lab: string, host: string): string[] {
  const lines = lastLogLines(lab, host, LOG_LINES_SHOWN).map((line) => `  | ${line}`);
  return [`  the last lines of ${host}'s log:`, ...(lines.length === 0 ? ['  | (empty)'] : lines)];
}

export type StatusQuestion = 'inSync' | 'sessions';

/**
 * What keeps the hosts' agents from being in sync or, with `sessions`, from having all their BGP sessions. Only those are asked
 * again that something was missing of, until nothing is; then all, so that what holds in the end holds everywhere at once.
 */
export function missingFromAgents(
  lab: string,
  agents: Readonly<Record<string, ProcessIdentity>>,
  question: StatusQuestion,
): () => Promise<Missing[]> {
  const all = Object.entries(agents);
  let open = all;
  return async () => {
    const askedAll = open.length === all.length;
    let left = await askAgents(lab, open, question);
    if (left.length === 0 && !askedAll) left = await askAgents(lab, all, question);
    const hosts = new Set(left.map(({ host }) => host));
    open = all.filter(([host]) => hosts.has(host));
    return left;
  };
}

async function askAgents(
  lab: string,
  agents: readonly (readonly [host: string, identity: ProcessIdentity])[],
  question: StatusQuestion,
): Promise<Missing[]> {
  const answers = await Promise.all(
    agents.map(async ([host, identity]) => {
      try {
        const { controlSocket } = hostPlaces(lab, host);
        const reasons =
          question === 'inSync'
            ? missingFromSync(await agentReadiness(controlSocket))
            : missingFromSessions(await bgpStatus(controlSocket));
        return reasons.map((reason) => ({ host, reason }));
      } catch (error) {
        if (!(error instanceof AgentUnreachable)) throw error;
        if (isAlive(identity)) return [{ host, reason: error.message }];
        throw new LabError('failed', [`  the agent of ${host} has ended`, ...logText(lab, host)].join('\n'));
      }
    }),
  );
  return answers.flat();
}

/** How many sessions are established now; an agent that does not answer has none. */
export async function countSessions(topology: Topology): Promise<number> {
  const ends = await Promise.all(
    topology.hosts.map(async ({ name }) => {
      try {
        return (await bgpStatus(hostPlaces(topology.name, name).controlSocket)).peers;
      } catch (error) {
        if (error instanceof AgentUnreachable) return [];
        throw error;
      }
    }),
  );
  return establishedSessions(topology, ends.flat());
}

/** Pure: why an agent is not in sync; nothing when it is. */
export function missingFromSync({ ready, reasons }: Readiness): readonly string[] {
  if (ready) return [];
  return reasons.length === 0 ? ['not in sync'] : reasons;
}

/** Pure: whether an agent only says that a gateway is in none of its subnets, as where plain routing is shown to fail. */
export function isOutOfReach(reason: string): boolean {
  return /^route \S+: no device that is up has \S+ in its subnet/.test(reason);
}

/** Pure: which sessions are missing, and why; nothing when all are established. */
export function missingFromSessions({ problem, peers }: Pick<BgpStatus, 'problem' | 'peers'>): string[] {
  if (problem !== '') return [`BGP does not run: ${problem}`];
  return peers
    .filter(({ state }) => state !== 'Established')
    .map(({ address, description, state, lastError }) => {
      const why = lastError === '' ? '' : `: ${lastError}`;
      return `BGP with ${address} (${description}) is ${state}${why}`;
    });
}

/** Each host must route every block of the others. */
export function missingRoutes(topology: Topology): Missing[] {
  return topology.hosts.flatMap((host) => {
    const blocks = topology.hosts.filter(({ name }) => name !== host.name).flatMap((other) => other.blocks);
    const routes = withKernel(namespaceOf(topology.name, host.name), (kernel) => kernel.routes(ROUTE_TABLE.main));
    return blocks
      .filter((block) => !routes.some(({ destination }) => sameCidr(destination, block)))
      .map((block) => ({ host: host.name, reason: `there is no route to ${formatCidr(block)}` }));
  });
}

/**
 * Which assertions do not hold. Those that have held once are not asked again, except that nothing answers: before the
 * network works that is so everywhere, and means something only when all else holds at the same time.
 */
export function missingAssertions(lab: string, assertions: readonly Assertion[]): () => Promise<Missing[]> {
  let open = assertions;
  return async () => {
    const failed = (await judge(lab, open)).filter(({ pass }) => !pass);
    const stillToMiss = open.filter(({ kind }) => kind === 'unreachable');
    open = [...failed.map(({ assertion }) => assertion).filter(({ kind }) => kind !== 'unreachable'), ...stillToMiss];
    return failed.map(({ assertion, found }) => ({
      host: undefined,
      reason: `not so: ${assertionText(assertion)} (${found})`,
    }));
  };
}
