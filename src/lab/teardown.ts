/**
 * Removing a lab, from whatever state it is in: running, half-built, or with its memory lost.
 *
 * Works from what is there, not from what should be: processes on the command lines of agents and routers' programs, namespaces of the lab's name,
 * its directory. Only these are ended, and only those that the lab started. Devices, routes and rules go with their
 * namespaces. Doing it twice does nothing the second time.
 */
import { rmSync } from 'node:fs';
import { removeNamespace } from '../kernel/network-namespace.ts';
import { stopAgents } from './agents.ts';
import { labPlaces } from './names.ts';
import { labNamespaces } from './present-labs.ts';
import { labProcesses } from './process.ts';
import { labNames, readLab } from './state.ts';

export interface Removed {
  /** Agents and programs of routers. */
  readonly processes: number;
  readonly namespaces: number;
  /** Whether anything at all was there. */
  readonly any: boolean;
}

/** Ends the lab's agents, removes its namespaces and its directory. Throws KernelError when the kernel refuses. */
export async function tearDown(lab: string): Promise<Removed> {
  const directory = labPlaces(lab).directory;
  const state = readLab(lab)?.state;
  const remembered = [...Object.values(state?.agents ?? {}), ...Object.values(state?.programs ?? {}).flat()];
  const found = labProcesses(`${directory}/`);
  // What the memory and the process table agree on, and what only the process table knows.
  const agents = [...remembered, ...found.filter(({ pid }) => !remembered.some((known) => known.pid === pid))];
  await stopAgents(agents);
  const namespaces = labNamespaces(lab);
  for (const namespace of namespaces) removeNamespace(namespace);
  const hadDirectory = labNames().includes(lab);
  rmSync(directory, { recursive: true, force: true });
  return {
    processes: found.length,
    namespaces: namespaces.length,
    any: hadDirectory || namespaces.length > 0 || found.length > 0,
  };
}
