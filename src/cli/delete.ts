/**
 * `muslin delete`: removes resources by name, by selector, or those that files describe.
 *
 * What is not there is an error (exit code 3), said after everything else was removed, so that a second run of a
 * clean-up removes what the first one left. A pool whose addresses are in use is not removed (exit code 4).
 */
import { Command } from 'commander';
import { removePool } from '../node/addresses/address-pool-removal.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf } from './output.ts';
import type { SourceOptions } from './sources.ts';
import { filenameOption, readSources, recursiveOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { Named, Target, TargetOptions } from './target.ts';
import {
  allNamespacesOption,
  namedAfter,
  namespaceOption,
  notFound,
  readKind,
  selectorOption,
  targetOf,
} from './target.ts';
import type { WriteOptions } from './write.ts';
import { dryRunMark, dryRunOption, eachInTurn, refuseSystemKind, refuseSystemKinds } from './write.ts';

interface DeleteOptions extends TargetOptions, WriteOptions, Partial<Pick<SourceOptions, 'filename' | 'recursive'>> {
  readonly ignoreNotFound?: boolean;
}

export function deleteCommand(): Command {
  return new Command('delete')
    .description('remove resources')
    .argument('[kind]', 'a kind, such as ippool; or KIND/NAME')
    .argument('[names...]', 'the resources')
    .addOption(filenameOption())
    .addOption(recursiveOption())
    .addOption(namespaceOption())
    .addOption(allNamespacesOption())
    .addOption(selectorOption())
    .option('--ignore-not-found', 'what is not there is no error')
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin delete ippool old-pool\n  muslin delete -f pools.yaml\n  muslin delete wep -l \'app == "web"\' --dry-run',
    )
    .action(async (word: string | undefined, names: string[], options: DeleteOptions, command: Command) => {
      const target = await doomedBy(word, names, options, command);
      await withStore(command, (store) => removeAll(store, target, options, outputOf(command)));
    });
}

async function doomedBy(
  word: string | undefined,
  names: string[],
  options: DeleteOptions,
  command: Command,
): Promise<Target> {
  const { filename, recursive = false } = options;
  if ((word === undefined) === (filename === undefined)) {
    throw new CommandError(EXIT_CODE.usage, 'what is to be deleted? write KIND NAME, or -f FILE');
  }
  if (filename !== undefined) {
    // The option has a default, which is not to contradict what the files say.
    const isAsked = command.getOptionValueSource('namespace') === 'cli';
    const source = { filename, recursive, ...(isAsked && { namespace: options.namespace }) };
    const resources = await readSources(source, outputOf(command).talk);
    refuseSystemKinds(resources, 'deleted');
    return { by: 'name', items: resources.map(({ kind, resource }) => namedAfter(kind, resource)) };
  }
  const target = targetOf([word ?? '', ...names], options);
  for (const kind of target.by === 'name' ? target.items.map((item) => item.kind) : target.kinds) {
    refuseSystemKind(kind, kind.kind, 'deleted');
    if (target.by === 'kind' && options.selector === undefined) {
      throw new CommandError(EXIT_CODE.usage, `which ${kind.kind}? write its name, or choose some with -l`);
    }
  }
  return target;
}

async function removeAll(store: Store, target: Target, options: DeleteOptions, output: Output): Promise<void> {
  const doomed: Named[] = target.by === 'name' ? [...target.items] : [];
  if (target.by === 'kind') {
    for (const kind of target.kinds) {
      doomed.push(...(await readKind(store, kind, target, output)).map((resource) => namedAfter(kind, resource)));
    }
    if (doomed.length === 0) output.talk('nothing matches the selector\n');
  }
  const missing: string[] = [];
  await eachInTurn(doomed, 'deleted', async (named) => {
    if ((await store.get(named.key)) === undefined) {
      missing.push(notFound(named).message);
      return;
    }
    if (named.kind.kind === 'IPPool') await removeUnusedPool(store, named, options);
    else if (options.dryRun !== true)
      await store.transact({ expect: [], writes: [{ kind: 'remove', key: named.key }] });
    output.result(`${named.title} deleted${dryRunMark(options)}\n`);
  });
  if (missing.length > 0 && options.ignoreNotFound !== true) {
    throw new CommandError(EXIT_CODE.notFound, missing.join('\n'));
  }
}

async function removeUnusedPool(store: Store, { title, key }: Named, options: DeleteOptions): Promise<void> {
  const removal = await removePool(store, key, options.dryRun === true);
  if (removal.kind === 'busy')
    throw new CommandError(EXIT_CODE.conflict, `${title} is being changed by others; try again`);
  if (removal.kind !== 'in-use') return;
  const hint =
    'set disabled: true to assign no more of them, and remove those containers; to see them: muslin ipam show --show-blocks';
  throw new CommandError(EXIT_CODE.conflict, `${title} cannot be deleted: ${removal.message}\n${hint}`);
}
