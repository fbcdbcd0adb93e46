/**
 * Processes that outlive us: recognising one again, and ending it.
 *
 * A process id alone says little: ids are used again. A process is known by its id together with its start time
 * (/proc/PID/stat, field 22, in clock ticks since boot), and is ended only while both still fit.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicNow } from '../lib/clock.ts';
import { labFileOf } from './programs.ts';

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTicks: number;
}

/** How often a condition of the machine is looked at. */
const POLL_MS = 10;

/** The identity of a process that exists now. */
export function identify(pid: number): ProcessIdentity | undefined {
  const stat = readProc(pid, 'stat');
  // The second field is the command in parentheses and may itself hold spaces and parentheses.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ');
  const startTicks = Number(fields?.[19]);
  const ended = fields?.[0] === 'Z' || fields?.[0] === 'X';
  return fields === undefined || ended || !Number.isFinite(startTicks) ? undefined : { pid, startTicks };
}

export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTicks === identity.startTicks;
}

/** Agents and routers' programs whose file (programs.ts) begins with `prefix`. */
export function labProcesses(prefix: string): (ProcessIdentity & { readonly config: string })[] {
  return readdirSync('/proc').flatMap((entry) => {
    const pid = Number(entry);
    if (!Number.isInteger(pid)) return [];
    const config = labFileOf((readProc(pid, 'cmdline') ?? '').split('\0'));
    const identity = config?.startsWith(prefix) ? identify(pid) : undefined;
    return identity === undefined || config === undefined ? [] : [{ ...identity, config }];
  });
}

/** Ends the processes: SIGTERM, and SIGKILL for those that are still there after `graceMs`. Returns when all are gone. */
export async function endProcesses(identities: readonly ProcessIdentity[], graceMs: number): Promise<void> {
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const identity of identities) if (isAlive(identity)) send(identity.pid, signal);
    const deadline = monotonicNow() + graceMs;
    while (identities.some(isAlive) && monotonicNow() < deadline) await delay(POLL_MS);
    if (!identities.some(isAlive)) return;
  }
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // ESRCH: it ended by itself between the look and the signal.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

function readProc(pid: number, file: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return undefined; // the process is gone
  }
}
