/**
 * `muslin create`: makes resources that are not there yet.
 *
 * Unlike `apply` it never changes an object: one that is there is a conflict, and nothing is created then.
 */
import { Command } from 'commander';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { WriteOptions } from './write.ts';
import { dryRunOption, writeAll } from './write.ts';

export function createCommand(): Command {
  return new Command('create')
    .description('create resources from files; what is there already is an error')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin create -f pools.yaml')
    .action(async (options: SourceOptions & WriteOptions, command: Command) => {
      const resources = await readSources(options, outputOf(command).talk);
      await withStore(command, (store) => writeAll(store, resources, 'created', options, outputOf(command)));
    });
}
