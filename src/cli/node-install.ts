/**
 * `muslin node install`: puts plugin, unit and configuration on a host, and says what is to be done next.
 *
 * What is there already and right is left alone, so a second run changes nothing; an upgrade replaces what is ours. Exit codes:
 * 2 for a configuration that is wrong, 4 when a file of somebody else's is in the way.
 */
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { renderTable } from '../lib/table.ts';
import type { InstallReport } from '../node/install/install.ts';
import { install } from '../node/install/install.ts';
import { InstallError } from '../node/install/install-error.ts';
import type { FileChange, PlannedFile } from '../node/install/install-plan.ts';
import { CommandError, EXIT_CODE, type ExitCode } from './exit-code.ts';
import { outputOf } from './output.ts';
import { type ViewOptions, viewOption } from './view.ts';
import { dryRunOption } from './write.ts';

interface InstallFlags extends ViewOptions {
  readonly root: string;
  readonly program?: string;
  readonly config?: string;
  readonly dryRun?: boolean;
}

/** Two folders up, from the sources as from a bundle. */
const OWN_TREE = join(import.meta.dirname, '..', '..');

const WORDS: Readonly<Record<FileChange, readonly [done: string, planned: string]>> = {
  create: ['created', 'would be created'],
  replace: ['replaced', 'would be replaced'],
  remove: ['removed', 'would be removed'],
  unchanged: ['unchanged', 'unchanged'],
  keep: ['kept', 'kept'],
  conflict: ['in the way', 'in the way'],
};

export function nodeInstallCommand(): Command {
  return new Command('install')
    .description(
      'Install the agent on this host: CNI plugin, systemd unit, configuration. Container runtimes use it once the agent is ready.',
    )
    .option('--root <dir>', 'install below another root directory, for images and packages', '/')
    .option('--program <path>', 'where bin/muslin is on the host (default: where this one is)')
    .option('--config <file>', "the agent's configuration, taken where there is no /etc/muslin/muslin.yaml yet")
    .addOption(dryRunOption())
    .addOption(viewOption())
    .addHelpText('after', '\nExamples:\n  muslin node install --dry-run\n  muslin node install --config ./muslin.yaml')
    .action((flags: InstallFlags, command: Command) => {
      const report = reporting(() =>
        install({
          root: resolve(flags.root),
          program: flags.program ?? join(OWN_TREE, 'bin', 'muslin'),
          plugin: join(OWN_TREE, 'build', 'cni', 'muslin'),
          configuration: flags.config,
          dryRun: flags.dryRun === true,
        }),
      );
      const output = outputOf(command);
      for (const note of report.notes) output.talk(`${note}\n`);
      output.result(flags.output === 'json' ? `${JSON.stringify(report, undefined, 2)}\n` : textOf(report));
    });
}

function textOf({ version, dryRun, files, changed, next }: InstallReport): string {
  const table = renderTable<PlannedFile>(
    [
      { title: 'FILE', cell: ({ path }) => path },
      { title: 'WHAT', cell: ({ title }) => title },
      { title: 'CHANGE', cell: ({ change }) => WORDS[change][dryRun ? 1 : 0] },
    ],
    files,
  );
  const done = changed ? (dryRun ? 'nothing was changed yet' : 'installed') : 'installed already; nothing to change';
  return `${table}\nmuslin ${version}: ${done}\n${next === '' ? '' : `next: ${next}\n`}`;
}

const EXIT_CODES: Readonly<Record<InstallError['code'], ExitCode>> = {
  failed: EXIT_CODE.failure,
  invalid: EXIT_CODE.usage,
  conflict: EXIT_CODE.conflict,
  timeout: EXIT_CODE.timeout,
};

/** Has InstallError end the command with its sentence. */
export function commandErrorOfInstall(error: unknown): unknown {
  return error instanceof InstallError ? new CommandError(EXIT_CODES[error.code], error.message) : error;
}

function reporting<Result>(work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    throw commandErrorOfInstall(error);
  }
}
