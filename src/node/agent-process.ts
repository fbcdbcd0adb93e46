/**
 * The agent of a run directory as a process: whether one lives there, and ending it.
 *
 * Its number is in a file, which outlives an agent that was killed. A number alone says little, for numbers are used again; so the
 * process must also be one on our agent's command line.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { monotonicNow } from '../lib/clock.ts';

/** In the run directory. */
export const PID_FILE_NAME = 'agent.pid';

/** How often is looked whether it has ended. */
const LOOK_AGAIN_MS = 20;

/** The number of the living agent's process; undefined when none lives there. */
export function agentPid(runDirectory: string): number | undefined {
  const pid = Number(readText(join(runDirectory, PID_FILE_NAME)) ?? '');
  return pid > 0 && isAgent(pid) ? pid : undefined;
}

/** Asks the agent to stop, and waits until its process has ended; false when it has not after `timeoutMs`. */
export async function endAgent(runDirectory: string, timeoutMs: number): Promise<boolean> {
  const pid = agentPid(runDirectory);
  if (pid === undefined) return true;
  const deadline = monotonicNow() + timeoutMs;
  try {
    process.kill(pid, 'SIGTERM');
  } catch (error) {
    // ESRCH: it ended by itself between the look and the signal.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
  while (isAgent(pid)) {
    if (monotonicNow() > deadline) return false;
    await pause(LOOK_AGAIN_MS);
  }
  return true;
}

function isAgent(pid: number): boolean {
  return readText(`/proc/${pid}/cmdline`)?.includes('\0node\0run\0') ?? false;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined; // there is no such process, or no agent has run there
  }
}
