/**
 * What a lab looks like now: each host with its agent's answer, the workloads, routers and segments.
 *
 * The shapes are what `-o json` prints, so fields are only ever added.
 */
import { namespaceNames } from '../kernel/network-namespace.ts';
import { formatIp } from '../net/ip.ts';
import type { AgentStatus } from '../node/control-api.ts';
import { AgentUnreachable, agentStatus } from '../node/control-client.ts';
import { missingFromSync } from './converge.ts';
import { hostPlaces, labPlaces, namespaceOf } from './names.ts';
import { presentLabs } from './present-labs.ts';
import { isAlive } from './process.ts';
import { readTopology } from './read-topology.ts';
import { establishedSessions } from './session-count.ts';
import { isBeingBuilt, type Lab, readLab } from './state.ts';
import { type Host, nodeAddress, type Router } from './topology.ts';
import { findTopology, shippedLabs } from './topology-file.ts';

export interface LabStatus {
  readonly name: string;
  readonly condition: LabCondition;
  readonly description: string;
  readonly source: string;
  readonly startedAt: string;
  readonly store: string;
  readonly segments: readonly { readonly name: string; readonly namespace: string }[];
  readonly hosts: readonly HostStatus[];
  /** Established BGP sessions, each counted once. */
  readonly sessions: number;
  readonly routers: readonly MachineStatus[];
  readonly workloads: readonly WorkloadStatus[];
}

/** `stale` is a lab that cannot be used any more, only removed. */
export type LabCondition = 'up' | 'building' | 'half-built' | 'stale';

export interface MachineStatus {
  readonly name: string;
  readonly namespace: string;
  readonly addresses: readonly string[];
}

export interface HostStatus extends MachineStatus {
  readonly running: boolean;
  readonly pid: number | undefined;
  readonly logFile: string;
  readonly controlSocket: string;
  readonly inSync: boolean;
  /** Why not; empty when in sync. */
  readonly reasons: readonly string[];
  readonly sessions: readonly { readonly address: string; readonly description: string; readonly state: string }[];
}

export interface WorkloadStatus extends MachineStatus {
  readonly host: string;
}

export async function labStatus({ state, topology }: Lab): Promise<LabStatus> {
  const { name } = state;
  const hosts = await Promise.all(topology.hosts.map((host) => hostStatus({ state, topology }, host)));
  return {
    name,
    condition: conditionOf(name),
    description: topology.description,
    source: state.source,
    startedAt: state.startedAt,
    store: labPlaces(name).storeUrl,
    segments: topology.segments.map((segment) => ({ name: segment, namespace: namespaceOf(name, segment) })),
    hosts,
    sessions: establishedSessions(
      topology,
      hosts.flatMap(({ sessions }) => sessions),
    ),
    routers: topology.routers.map((router) => machineStatus(name, router)),
    workloads: Object.entries(state.workloads).map(([workload, { host, addresses, namespace }]) => ({
      name: workload,
      namespace,
      addresses,
      host,
    })),
  };
}

function machineStatus(lab: string, machine: Host | Router): MachineStatus {
  const addresses = ([4, 6] as const).flatMap((family) => nodeAddress(machine, family)?.address ?? []);
  return { name: machine.name, namespace: namespaceOf(lab, machine.name), addresses: addresses.map(formatIp) };
}

async function hostStatus({ state }: Lab, host: Host): Promise<HostStatus> {
  const places = hostPlaces(state.name, host.name);
  const identity = state.agents[host.name];
  const running = identity !== undefined && isAlive(identity);
  const answer = running ? await statusOrReason(places.controlSocket) : 'the agent is not running';
  return {
    ...machineStatus(state.name, host),
    running,
    pid: running ? identity.pid : undefined,
    logFile: places.logFile,
    controlSocket: places.controlSocket,
    inSync: typeof answer !== 'string' && answer.felix.inSync,
    reasons:
      typeof answer === 'string'
        ? [answer]
        : missingFromSync({ ready: answer.felix.inSync, reasons: answer.felix.reasons }),
    sessions:
      typeof answer === 'string'
        ? []
        : answer.bgp.peers.map(({ address, description, state: session }) => ({
            address,
            description,
            state: session,
          })),
  };
}

async function statusOrReason(socket: string): Promise<AgentStatus | string> {
  try {
    return await agentStatus(socket);
  } catch (error) {
    if (error instanceof AgentUnreachable) return error.message;
    throw error;
  }
}

/** How a lab is of which something is there. */
function conditionOf(name: string): LabCondition {
  const lab = readLab(name);
  if (lab === undefined) return 'stale';
  if (lab.state.phase === 'building') return isBeingBuilt(lab.state) ? 'building' : 'half-built';
  const namespaces = new Set(namespaceNames());
  const whole = lab.topology.hosts.every((host) => namespaces.has(namespaceOf(name, host.name)));
  return whole ? 'up' : 'stale';
}

/** A row of `lab list`: each shipped topology, and each lab that is there. */
export interface LabListing {
  readonly name: string;
  readonly condition: LabCondition | 'down';
  readonly description: string;
}

export function listLabs(): LabListing[] {
  const present = presentLabs();
  const names = [...new Set([...shippedLabs(), ...present])].sort();
  return names.map((name) => ({
    name,
    condition: present.includes(name) ? conditionOf(name) : 'down',
    description: descriptionOf(name),
  }));
}

function descriptionOf(name: string): string {
  const running = readLab(name);
  if (running !== undefined) return running.topology.description;
  if (!shippedLabs().includes(name)) return '';
  const { source, text } = findTopology(name);
  return readTopology(source, text).description;
}
