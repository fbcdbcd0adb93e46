/**
 * `muslin delete`: removes resources by name, or those that files describe.
 *
 * What is not there is an error (exit code 3), said after everything else was removed, so that a second run of a
 * clean-up removes what the first one left.
 */
import { Command } from 'commander';
import type { Kind } from '../model/kind.ts';
import { keyOf } from '../model/resource-key.ts';
import type { Store } from '../store/store.ts';
import { refuseSystemKinds } from './apply.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf, shortTitle } from './output.ts';
import { readSources } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import { DEFAULT_NAMESPACE, keyOfNamed, notFound, targetOf } from './target.ts';

interface DeleteOptions {
  readonly namespace: string;
  readonly filename?: readonly string[];
  readonly ignoreNotFound?: boolean;
}

interface Doomed {
  readonly kind: Kind;
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
}

export function deleteCommand(): Command {
  return new Command('delete')
    .description('remove resources')
    .argument('[kind]', 'a kind, such as ippool; or KIND/NAME')
    .argument('[names...]', 'the resources')
    .option('-f, --filename <file...>', 'remove what a file, a directory or stdin (-) describes')
    .option('-n, --namespace <namespace>', 'the namespace, for kinds that have one', DEFAULT_NAMESPACE)
    .option('--ignore-not-found', 'what is not there is no error')
    .addOption(storeOption())
    .addHelpText('after', '\nExamples:\n  muslin delete ippool old-pool\n  muslin delete -f pools.yaml')
    .action(async (word: string | undefined, names: string[], options: DeleteOptions, command: Command) => {
      const doomed = await doomedBy(word, names, options);
      await withStore(command, (store) => removeAll(store, doomed, options, outputOf(command)));
    });
}

async function doomedBy(word: string | undefined, names: string[], options: DeleteOptions): Promise<Doomed[]> {
  if ((word === undefined) === (options.filename === undefined)) {
    throw new CommandError(EXIT_CODE.usage, 'what is to be deleted? write KIND NAME, or -f FILE');
  }
  if (options.filename !== undefined) {
    const resources = await readSources(options.filename);
    refuseSystemKinds(resources, 'deleted');
    return resources.map(({ kind, resource }) => {
      const { name, namespace = DEFAULT_NAMESPACE } = resource.metadata;
      return { kind, key: keyOf(resource), name, namespace };
    });
  }
  const target = targetOf(word ?? '', names);
  const { kind, names: named } = target;
  if (kind.writeRefusal !== undefined) {
    throw new CommandError(EXIT_CODE.usage, `${kind.kind} cannot be deleted: ${kind.writeRefusal}`);
  }
  if (named.length === 0) throw new CommandError(EXIT_CODE.usage, `which ${kind.kind}? write its name`);
  const { namespace } = options;
  return named.map((name) => ({ kind, key: keyOfNamed(kind, name, namespace), name, namespace }));
}

async function removeAll(
  store: Store,
  doomed: readonly Doomed[],
  options: DeleteOptions,
  output: Output,
): Promise<void> {
  const missing: string[] = [];
  for (const { kind, key, name, namespace } of doomed) {
    if ((await store.get(key)) === undefined) {
      missing.push(notFound(kind, name, namespace).message);
      continue;
    }
    await store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
    output.result(`${shortTitle({ kind: kind.kind, metadata: { name } })} deleted\n`);
  }
  if (missing.length > 0 && options.ignoreNotFound !== true) {
    throw new CommandError(EXIT_CODE.notFound, missing.join('\n'));
  }
}
