/**
 * `muslin validate`: checks files without a store, for editors and for pipelines.
 *
 * Everything that can be known offline is checked: each document by itself, and the rules between the documents. What
 * they would meet in a store is checked by `apply --dry-run`.
 */
import { Command } from 'commander';
import { neighbourProblems } from '../model/network-rules.ts';
import { formatPath } from '../model/problem.ts';
import { resourceTitle } from '../model/resource.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';

export function validateCommand(): Command {
  return new Command('validate')
    .description('check files; reads no store')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addHelpText('after', '\nExample:\n  muslin validate -f network/ -R')
    .action(async (options: SourceOptions, command: Command) => {
      const resources = await readSources(options, outputOf(command).talk);
      const all = resources.map(({ resource }) => resource);
      const problems = resources.flatMap(({ resource, source }) =>
        neighbourProblems(resource, all).map(
          ({ path, message }) => `${source}: ${resourceTitle(resource)}: ${formatPath(path)}: ${message}`,
        ),
      );
      if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
      outputOf(command).result(
        `${resources.length} ${resources.length === 1 ? 'resource is' : 'resources are'} valid\n`,
      );
    });
}
