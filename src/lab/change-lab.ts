/**
 * Changing a lab that is up: workloads come and go, agents are started again.
 *
 * Each change is made in the world first and then remembered; where remembering fails, `lab down` still finds what was
 * made, by its name.
 */
import { KernelError } from '../kernel/kernel.ts';
import { after, monotonicNow } from '../lib/clock.ts';
import type { Labels } from '../model/selector.ts';
import type { Ip } from '../net/ip.ts';
import { startAgent, stopAgents } from './agents.ts';
import { missingFromAgents, waitUntil } from './converge.ts';
import { findHost, labEntities } from './find-lab.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, NAME_LENGTH_MAX, NAME_PATTERN } from './names.ts';
import { isAlive, labProcesses } from './process.ts';
import { startRouter } from './routers.ts';
import { type AttachedWorkload, changeState, type Lab } from './state.ts';
import type { Router } from './topology.ts';
import { suggestion } from './wording.ts';
import { attachWorkload, detachWorkload, requirePlugin } from './workloads.ts';

/** Makes a namespace and attaches it to a host. Throws LabError, with nothing left behind. */
export async function attach(
  lab: Lab,
  name: string,
  hostName: string,
  addresses: readonly Ip[],
  labels: Labels,
): Promise<AttachedWorkload> {
  findHost(lab, hostName);
  requirePlugin();
  if (!NAME_PATTERN.test(name) || name.length > NAME_LENGTH_MAX) {
    throw new LabError(
      'invalid',
      `"${name}" is not a name: at most ${NAME_LENGTH_MAX} of a-z, 0-9 and "-", such as a3`,
    );
  }
  const taken = labEntities(lab).find((entity) => entity.name === name);
  if (taken !== undefined)
    throw new LabError('conflict', `the lab has a ${taken.kind} ${name} already; choose another name`);
  try {
    const workload = await attachWorkload(lab.topology, { name, host: hostName, addresses, labels, annotations: {} });
    await changeState(lab.state.name, (state) => ({ ...state, workloads: { ...state.workloads, [name]: workload } }));
    return workload;
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    throw new LabError(error.code === 'EEXIST' ? 'conflict' : 'failed', error.message, { cause: error });
  }
}

/** Detaches a workload and removes its namespace. Throws LabError. */
export async function detach(lab: Lab, name: string): Promise<void> {
  const workload = lab.state.workloads[name];
  if (workload === undefined) {
    const hint = suggestion(name, Object.keys(lab.state.workloads));
    throw new LabError('notFound', `the lab ${lab.state.name} has no workload "${name}"${hint}`);
  }
  requirePlugin();
  await detachWorkload(lab.state.name, name, workload);
  await changeState(lab.state.name, (state) => {
    const { [name]: _, ...workloads } = state.workloads;
    return { ...state, workloads };
  });
}

/** Starts a host's agent again, ending the one that runs, and waits until it is in sync. Throws LabError. */
export async function restart(lab: Lab, hostName: string, timeoutMs: number, signal: AbortSignal): Promise<number> {
  const router = lab.topology.routers.find(({ name, runs }) => name === hostName && runs !== undefined);
  if (router !== undefined) return restartRouter(lab.state.name, router);
  const host = findHost(lab, hostName);
  const { name } = lab.state;
  await stopAgents(labProcesses(hostPlaces(name, host.name).config));
  const agent = startAgent(name, host);
  await changeState(name, (state) => ({ ...state, agents: { ...state.agents, [host.name]: agent } }));
  const patience = { deadline: after(monotonicNow(), timeoutMs), signal };
  try {
    await waitUntil(name, missingFromAgents(name, { [host.name]: agent }, 'inSync'), patience);
    // While another agent is away its session cannot come back.
    const others = Object.entries(lab.state.agents).filter(([other]) => other !== host.name);
    if (host.bgp && others.every(([, identity]) => isAlive(identity))) {
      await waitUntil(name, missingFromAgents(name, { [host.name]: agent }, 'sessions'), patience);
    }
  } catch (error) {
    if (!(error instanceof LabError) || error.code === 'interrupted') throw error;
    throw new LabError(error.code, `the agent of ${host.name} is not in sync:\n${error.message}`, { cause: error });
  }
  return agent.pid;
}

/** Ends what a router runs and starts it again; gives the last of its processes, which is the one that speaks BGP. */
async function restartRouter(lab: string, router: Router): Promise<number> {
  await stopAgents(labProcesses(`${hostPlaces(lab, router.name).runDirectory}/`));
  const identities = await startRouter(lab, router);
  await changeState(lab, (state) => ({ ...state, programs: { ...state.programs, [router.name]: identities } }));
  return identities.at(-1)?.pid ?? 0;
}
