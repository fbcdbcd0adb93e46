/**
 * `muslin node run`: the agent as a process.
 *
 * Runs in the foreground until SIGTERM or SIGINT, then closes and exits with 0; kernel and peers keep what they have, so
 * a restart is not felt. Started twice on one run directory, the second one refuses. An error that nobody expected ends
 * the process with its stack in the log: the supervisor starts a new one, which goes on from the kernel and the store.
 * The supervisor is told that we are ready, and container runtimes are, only when everything is in force for the first time.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { warmThreadPool } from '../kernel/network-namespace.ts';
import { holdLittleInReserve } from '../kernel/process-memory.ts';
import type { Log } from '../lib/log.ts';
import type { RunningAgent } from './agent.ts';
import { startAgent } from './agent.ts';
import { agentPid, PID_FILE_NAME } from './agent-process.ts';
import type { AgentConfiguration } from './configuration.ts';
import { ConfigurationError, readAgentConfiguration } from './configuration.ts';
import type { Readiness } from './control-api.ts';
import { writeCniConfiguration } from './install/cni-configuration-file.ts';
import { openLog } from './log.ts';
import type { ServiceNotifier } from './service-notifier.ts';
import { openServiceNotifier } from './service-notifier.ts';

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
    const service = serviceOf(agent, log);
    void agent.inSync.then(() => {
      offerNetwork(configuration, log);
      service.ready();
    });
    await stopSignal();
    service.stopping();
    await stop(agent, log);
    service.close();
  } finally {
    rmSync(pidFile, { force: true });
  }
  process.exit(0);
}

/** The service manager's ear. Its socket is ours alone: programs that we start have nothing to tell it. */
function serviceOf(agent: RunningAgent, log: Log): ServiceNotifier {
  const environment = { ...process.env };
  for (const name of ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID']) delete process.env[name];
  return openServiceNotifier({ environment, pid: process.pid, status: () => statusLine(agent.readiness()), log });
}

function statusLine({ ready, reasons }: Readiness): string {
  return ready ? 'in sync with store and kernel' : `not in sync: ${reasons.join('; ')}`;
}

/** From now on container runtimes may ask us. A host whose file cannot be written has a network for those it has. */
function offerNetwork(configuration: AgentConfiguration, log: Log): void {
  const path = configuration.cniConfiguration;
  try {
    const outcome = writeCniConfiguration(configuration);
    if (outcome === 'written') log.info('container runtimes are offered the network', { path });
    if (outcome === 'kept') log.info('the network configuration was edited by somebody, and is kept', { path });
  } catch (error) {
    log.error('the network configuration for container runtimes cannot be written', {
      path,
      error: error instanceof Error ? error.message : String(error),
    });
  }
}

/** The directory of our sockets, for root alone; refuses while another agent lives there. */
function takeRunDirectory({ runDirectory }: AgentConfiguration): string {
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  const pidFile = join(runDirectory, PID_FILE_NAME);
  const pid = agentPid(runDirectory);
  if (pid !== undefined && pid !== process.pid) {
    throw new ConfigurationError(`${runDirectory}: an agent runs here already, with pid ${pid}; stop it first`);
  }
  writeFileSync(pidFile, `${process.pid}\n`, { mode: 0o600 });
  return pidFile;
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
