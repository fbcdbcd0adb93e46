/**
 * Hosts of a lab that is up: one joins, one leaves, one is cut off and comes back.
 *
 * Who joins is built, told to the store and started as by `lab up`; the others learn of it from the store. Who leaves gives its
 * containers back, ends its agent, and is struck from the store, which is what the others follow. Who is cut off
 * loses the far end of its cables, as when a switch dies: it keeps its addresses, sees no carrier, and nobody is told.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { namespacePath, removeNamespace } from '../kernel/network-namespace.ts';
import { after, monotonicNow } from '../lib/clock.ts';
import { startAgent, stopAgents } from './agents.ts';
import { build } from './build.ts';
import { detach } from './change-lab.ts';
import { missingFromAgents, waitUntil } from './converge.ts';
import { type HostDocument, withHost, withoutHost } from './edit-topology.ts';
import { findHost, labEntities } from './find-lab.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, labPlaces, namespaceOf } from './names.ts';
import { planOf, type Step } from './plan.ts';
import { labProcesses } from './process.ts';
import { readTopology } from './read-topology.ts';
import { forgetHost, seedHost } from './seed.ts';
import { changeState, type Lab } from './state.ts';
import { suggestion } from './wording.ts';

/** A host joins; resolves once its agent is in sync and has its sessions. Throws LabError, with nothing left behind. */
export async function addHost(
  lab: Lab,
  name: string,
  document: HostDocument,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<void> {
  const taken = labEntities(lab).find((entity) => entity.name === name);
  if (taken !== undefined)
    throw new LabError('conflict', `the lab has a ${taken.kind} ${name} already; choose another name`);
  const { name: labName } = lab.state;
  const places = labPlaces(labName);
  const before = readFileSync(places.topology, 'utf8');
  const text = withHost(before, name, document);
  const topology = readTopology(places.topology, text);
  const host = findHost({ state: lab.state, topology }, name);
  const namespace = namespaceOf(labName, name);
  try {
    // A fabric and fixed neighbours are told of the new addresses.
    const concerns = (step: Step) =>
      step.kind === 'fabric' || step.kind === 'neighbours' || step.namespace === namespace;
    build(planOf(topology).filter(concerns));
    writeFileSync(places.topology, text);
    await seedHost(labName, host);
    const agent = startAgent(labName, host);
    await changeState(labName, (state) => ({ ...state, agents: { ...state.agents, [name]: agent } }));
    const patience = { deadline: after(monotonicNow(), timeoutMs), signal };
    for (const question of host.bgp ? (['inSync', 'sessions'] as const) : (['inSync'] as const))
      await waitUntil(labName, missingFromAgents(labName, { [name]: agent }, question), patience);
  } catch (error) {
    await takeAway(labName, name, before);
    throw error;
  }
}

/** A host leaves for good, with its workloads. Throws LabError. */
export async function removeHost(lab: Lab, name: string): Promise<void> {
  const host = findHost(lab, name);
  if (lab.topology.hosts.length === 1)
    throw new LabError('invalid', `${name} is the lab's last host; to end it: muslin lab down ${lab.state.name}`);
  const workloads = Object.entries(lab.state.workloads).filter(([, workload]) => workload.host === host.name);
  for (const [workload] of workloads) await detach(lab, workload);
  const names = [
    ...workloads.map(([workload]) => workload),
    ...lab.topology.workloads.filter((each) => each.host === name).map((each) => each.name),
  ];
  const text = readFileSync(labPlaces(lab.state.name).topology, 'utf8');
  await takeAway(lab.state.name, name, withoutHost(text, name, names));
}

/** Whatever there is of the host goes; `topologyText` is the lab's without it. */
async function takeAway(lab: string, host: string, topologyText: string): Promise<void> {
  await stopAgents(labProcesses(hostPlaces(lab, host).config));
  await forgetHost(lab, host);
  removeNamespace(namespaceOf(lab, host));
  writeFileSync(labPlaces(lab).topology, topologyText);
  await changeState(lab, (state) => {
    const { [host]: _, ...agents } = state.agents;
    return { ...state, agents };
  });
}

/** Pulls the cables of a host or router out of their segments, or puts them back; gives their interfaces. Throws LabError. */
export function setCables(lab: Lab, machine: string, interfaceName: string | undefined, plugged: boolean): string[] {
  const machines = [...lab.topology.hosts, ...lab.topology.routers].map(({ name }) => name);
  if (!machines.includes(machine)) {
    const hint = suggestion(machine, machines);
    throw new LabError('notFound', `the lab ${lab.state.name} has no host or router "${machine}"${hint}`);
  }
  const own = planOf(lab.topology).filter(
    (step) => step.kind === 'cable' && step.namespace === namespaceOf(lab.state.name, machine),
  );
  const cables = own.flatMap((step) => (step.kind === 'cable' ? [step] : []));
  const chosen = cables.filter((cable) => interfaceName === undefined || cable.interface === interfaceName);
  if (chosen.length === 0) {
    const hint = suggestion(
      interfaceName ?? '',
      cables.map((cable) => cable.interface),
    );
    throw new LabError('notFound', `${machine} has no interface "${interfaceName ?? ''}"${hint}`);
  }
  for (const cable of chosen) {
    const kernel = openKernel(namespacePath(cable.segmentNamespace));
    try {
      const port = kernel.link(cable.port);
      if (port === undefined)
        throw new LabError('failed', `there is no device ${cable.port} in ${cable.segmentNamespace}`);
      kernel.setLinkUp(port.index, plugged);
    } finally {
      kernel.close();
    }
  }
  return chosen.map((cable) => cable.interface);
}
