/**
 * `muslin apply`, `create` and `replace`: making the store hold what files say.
 *
 * The three differ in what may be there before: `apply` creates or changes as need be, `create` refuses what is there,
 * `replace` refuses what is not; in both cases nothing at all is written then. What a document leaves out goes back to its
 * default. The work is write.ts's.
 */
import { Command } from 'commander';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, lenientOption, readSources, recursiveOption, sourceNamespaceOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { WriteMode, WriteOptions } from './write.ts';
import { dryRunOption, writeAll } from './write.ts';

interface Verb {
  readonly name: string;
  readonly description: string;
  readonly help: string;
  readonly mode: WriteMode;
}

export function applyCommand(): Command {
  return fileCommand({
    name: 'apply',
    description: 'create or change resources so that they are as files say',
    help: '\nExamples:\n  muslin apply -f pools.yaml\n  muslin get ippools -o yaml | muslin apply -f -',
    mode: 'applied',
  });
}

export function createCommand(): Command {
  return fileCommand({
    name: 'create',
    description: 'create resources from files; what is there already is an error',
    help: '\nExample:\n  muslin create -f pools.yaml',
    mode: 'created',
  });
}

export function replaceCommand(): Command {
  return fileCommand({
    name: 'replace',
    description: 'replace resources with what files say; what is not there is an error',
    help: '\nExample:\n  muslin get ippool a -o yaml > a.yaml; vi a.yaml; muslin replace -f a.yaml',
    mode: 'replaced',
  });
}

function fileCommand({ name, description, help, mode }: Verb): Command {
  return new Command(name)
    .description(description)
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .addOption(sourceNamespaceOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText('after', help)
    .action(async (options: SourceOptions & WriteOptions, command: Command) => {
      const output = outputOf(command);
      const resources = await readSources(options, output.talk);
      await withStore(command, (store) => writeAll(store, resources, mode, options, output));
    });
}
