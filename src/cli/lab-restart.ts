/**
 * `muslin lab restart`: a host's agent is started again.
 *
 * Ends a running one politely first; one that has crashed or was killed is simply started. It returns when the agent is in
 * sync with store and kernel. Its BGP sessions may take a moment longer, since they depend on the peers.
 */
import { Command } from 'commander';
import { restart } from '../lab/change-lab.ts';
import { findLab } from '../lab/find-lab.ts';
import { LabError } from '../lab/lab-error.ts';
import { monotonicNow } from '../lib/clock.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { type LabOption, labAction, labOption, parseSeconds, untilInterrupted } from './lab-action.ts';

interface RestartFlags extends LabOption {
  readonly timeout: number;
}

/** The same as for a whole lab. */
const TIMEOUT_SECONDS = 30;

export function labRestartCommand(): Command {
  return new Command('restart')
    .description("Start a host's agent again, ending the one that runs, and wait until it is in sync.")
    .argument('<host>', 'the host')
    .option('--timeout <seconds>', 'how long it may take', parseSeconds, TIMEOUT_SECONDS)
    .addOption(labOption())
    .addHelpText('after', '\nExample:\n  muslin lab restart host-a')
    .action((host: string, flags: RestartFlags) => labAction(() => again(host, flags)));
}

async function again(host: string, { lab, timeout }: RestartFlags): Promise<void> {
  const start = monotonicNow();
  const interruption = untilInterrupted();
  try {
    const pid = await restart(findLab(lab), host, timeout * 1000, interruption.signal);
    process.stdout.write(`${host} is in sync again after ${(monotonicNow() - start).toFixed(0)} ms, pid ${pid}\n`);
  } catch (error) {
    if (!(error instanceof LabError) || error.code !== 'interrupted') throw error;
    throw new CommandError(EXIT_CODE.failure, `interrupted; the agent of ${host} was started and goes on by itself`);
  } finally {
    interruption.done();
  }
}
