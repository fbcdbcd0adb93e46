/**
 * `muslin lab up`: builds a lab and waits until it works.
 *
 * Progress goes to stderr, a line for each stage with the time it took; stdout gets what to do next. When interrupted it
 * cleans up and ends with 128 and the signal's number, as a shell would report it.
 */
import { constants } from 'node:os';
import { Command, Option } from 'commander';
import { LabError } from '../lab/lab-error.ts';
import type { LabDataplane } from '../lab/seed.ts';
import { LAB_DATAPLANES } from '../lab/seed.ts';
import { nodeAddress, type Topology } from '../lab/topology.ts';
import { bringUp } from '../lab/up.ts';
import { monotonicNow } from '../lib/clock.ts';
import { labAction, parseSeconds, untilInterrupted } from './lab-action.ts';

interface UpFlags {
  readonly timeout?: number;
  readonly keep?: boolean;
  readonly dataplane?: LabDataplane;
}

export function labUpCommand(): Command {
  return new Command('up')
    .description('Build a lab from a topology and wait until it has converged. On failure nothing is left.')
    .argument('<name|file>', 'a shipped topology (muslin lab list), or a file: ./my-lab.yaml')
    .option('--timeout <seconds>', 'how long it may take; else 30, and 2 more for each machine', parseSeconds)
    .addOption(
      new Option('--dataplane <name>', 'the packet filter of the hosts; else as the topology says').choices(
        LAB_DATAPLANES,
      ),
    )
    .option('--keep', 'leave a lab that failed as it is, for a look')
    .addHelpText('after', '\nExample:\n  muslin lab up two-hosts\n  muslin lab exec host-a -- ip route')
    .action((nameOrFile: string, flags: UpFlags) => labAction(() => up(nameOrFile, flags)));
}

async function up(nameOrFile: string, flags: UpFlags): Promise<void> {
  const start = monotonicNow();
  const interruption = untilInterrupted();
  try {
    const topology = await bringUp(nameOrFile, {
      timeoutMs: flags.timeout === undefined ? undefined : flags.timeout * 1000,
      keep: flags.keep === true,
      dataplane: flags.dataplane,
      signal: interruption.signal,
      onStage: (stage, tookMs) => process.stderr.write(`${stage.padEnd(40)} ${tookMs.toFixed(0).padStart(6)} ms\n`),
    });
    const took = ((monotonicNow() - start) / 1000).toFixed(1);
    process.stdout.write(`${topology.name} is up after ${took} s\n${firstSteps(topology)}`);
  } catch (error) {
    const signal = interruption.received();
    if (!(error instanceof LabError) || error.code !== 'interrupted' || signal === undefined) throw error;
    process.stderr.write(
      `muslin: ${signal}: ${flags.keep ? 'the lab was kept as it is' : 'the lab was removed again'}\n`,
    );
    process.exitCode = 128 + constants.signals[signal];
  } finally {
    interruption.done();
  }
}

/** What to type next, a line each. `ip route` shows IPv4 alone, which is next to nothing where no host has it. */
export function firstSteps({ name, hosts }: Topology): string {
  const host = hosts.find((each) => nodeAddress(each, 4) !== undefined);
  const look = host === undefined ? `${hosts[0]?.name} -- ip -6 route` : `${host.name} -- ip route`;
  return `  muslin lab status ${name}\n  muslin lab exec ${look}\n  muslin lab down ${name}\n`;
}
