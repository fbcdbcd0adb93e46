/**
 * `muslin node run`: the agent as a process.
 *
 * Runs in the foreground until SIGTERM or SIGINT, then closes and exits with 0; kernel and peers keep what they have, so
 * a restart is not felt. Started twice on one run directory, the second one refuses. An error that nobody expected ends
 * the process with its stack in the log: the supervisor starts a new one, which goes on from the kernel and the store.
 */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { warmThreadPool } from '../kernel/network-namespace.ts';
import { holdLittleInReserve } from '../kernel/process-memory.ts';
import type { Log } from '../lib/log.ts';
import type { RunningAgent } from './agent.ts';
import { startAgent } from './agent.ts';
import type { AgentConfiguration } from './configuration.ts';
import { ConfigurationError, readAgentConfiguration } from './configuration.ts';
import { openLog } from './log.ts';

const PID_FILE_NAME = 'agent.pid';
/** A stop that hangs would only be ended by SIGKILL, without a word in the log. */
const STOP_TIMEOUT_MS = 5_000;

/**
 * Runs the agent until it is told to stop. Throws ConfigurationError for a bad configuration, StoreError or KernelError when
 * it cannot start.
 */
export async function runNode(options: { readonly configPath: string }): Promise<void> {
  const configuration = readAgentConfiguration(options.configPath);
  warmThreadPool();
  holdLittleInReserve();
  const log = openLog(configuration.node, configuration.logLevel);
  process.on('uncaughtException', (error) => fail(log, error));
  process.on('unhandledRejection', (error) => fail(log, error));
  const pidFile = takeRunDirectory(configuration);
  try {
    const agent = await startAgent(configuration, log);
    await stopSignal();
    await stop(agent, log);
  } finally {
    rmSync(pidFile, { force: true });
  }
  process.exit(0);
}

/** The directory of our sockets, for root alone; refuses while another agent lives there. */
function takeRunDirectory({ runDirectory }: AgentConfiguration): string {
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const pidFile = join(runDirectory, PID_FILE_NAME);
  const pid = existsSync(pidFile) ? Number(readFileSync(pidFile, 'utf8')) : 0;
  if (pid > 0 && pid !== process.pid && isAgent(pid)) {
    throw new ConfigurationError(`${runDirectory}: an agent runs here already, with pid ${pid}; stop it first`);
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return pidFile;
}

/** Whether the process is an agent, and not some other one that has got its number since. */
function isAgent(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('\0node\0run\0');
  } catch {
    return false;
  }
}

function stopSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
}

async function stop(agent: RunningAgent, log: Log): Promise<void> {
  log.info('stopping');
  const timer = setTimeout(
    () => fail(log, new Error(`not stopped after ${STOP_TIMEOUT_MS / 1000} s`)),
    STOP_TIMEOUT_MS,
  );
  await agent.close();
  clearTimeout(timer);
  log.info('stopped');
}

function fail(log: Log, error: unknown): never {
  const stack = error instanceof Error ? error.stack : undefined;
  log.error('agent ends: this is a bug', { error: error instanceof Error ? error.message : String(error), stack });
  process.exit(1);
}
