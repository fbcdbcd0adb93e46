/**
 * `muslin replace`: puts resources in the place of those that are there.
 *
 * Unlike `apply` it never creates: what is not there is an error, and nothing is replaced then.
 */
import { Command } from 'commander';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { WriteOptions } from './write.ts';
import { dryRunOption, writeAll } from './write.ts';

export function replaceCommand(): Command {
  return new Command('replace')
    .description('replace resources with what files say; what is not there is an error')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin get ippool a -o yaml > a.yaml; vi a.yaml; muslin replace -f a.yaml')
    .action(async (options: SourceOptions & WriteOptions, command: Command) => {
      const resources = await readSources(options, outputOf(command).talk);
      await withStore(command, (store) => writeAll(store, resources, 'replaced', options, outputOf(command)));
    });
}
