/**
 * `muslin apply`: makes the store hold what files say, creating or changing as need be.
 *
 * The work is write.ts's; what a document leaves out goes back to its default.
 */
import { Command } from 'commander';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { WriteOptions } from './write.ts';
import { dryRunOption, writeAll } from './write.ts';

export function applyCommand(): Command {
  return new Command('apply')
    .description('create or change resources so that they are as files say')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExamples:\n  muslin apply -f pools.yaml\n  muslin get ippools -o yaml | muslin apply -f -')
    .action(async (options: SourceOptions & WriteOptions, command: Command) => {
      const output = outputOf(command);
      const resources = await readSources(options, output.talk);
      await withStore(command, (store) => writeAll(store, resources, 'applied', options, output));
    });
}
