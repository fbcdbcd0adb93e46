/**
 * `muslin get`: prints resources.
 *
 * Reads the store directly, so it works without an agent. An entry that cannot be read as a resource is named on stderr and
 * left out; the others are printed.
 */
import { Command } from 'commander';
import type { AnyResource } from '../model/kinds.ts';
import { resourceOfEntry } from '../model/resource-entry.ts';
import { kindPrefix } from '../model/resource-key.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Format, Output } from './output.ts';
import { formatResource, formatResources, outputOf, outputOption } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { Target } from './target.ts';
import { DEFAULT_NAMESPACE, keyOfNamed, notFound, targetOf } from './target.ts';

interface GetOptions {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly output: Format;
}

export function getCommand(): Command {
  return new Command('get')
    .description('print resources')
    .argument('<kind>', 'a kind, such as ippool, ippools or ipp; or KIND/NAME')
    .argument('[name]', 'one resource; without it all of the kind')
    .option('-n, --namespace <namespace>', 'the namespace, for kinds that have one', DEFAULT_NAMESPACE)
    .option('-A, --all-namespaces', 'in all namespaces')
    .addOption(outputOption())
    .addOption(storeOption())
    .addHelpText('after', '\nExamples:\n  muslin get ippools -o wide\n  muslin get node host-a -o yaml')
    .action(async (word: string, name: string | undefined, options: GetOptions, command: Command) => {
      const target = targetOf(word, name === undefined ? [] : [name]);
      await withStore(command, (store) => get(store, target, options, outputOf(command)));
    });
}

async function get(store: Store, { kind, names }: Target, options: GetOptions, output: Output): Promise<void> {
  const [name] = names;
  if (name !== undefined) {
    if (options.allNamespaces)
      throw new CommandError(EXIT_CODE.usage, 'a name is in one namespace: leave out -A or NAME');
    const entry = await store.get(keyOfNamed(kind, name, options.namespace));
    if (entry === undefined) throw notFound(kind, name, options.namespace);
    const reading = resourceOfEntry(entry);
    if (!reading.ok) throw new CommandError(EXIT_CODE.failure, reading.problem);
    output.result(formatResource(kind, reading.resource, options.output));
    return;
  }
  const everywhere = options.allNamespaces === true && kind.namespaced;
  const namespace = kind.namespaced && !everywhere ? options.namespace : undefined;
  const { entries } = await store.list(kindPrefix(kind.kind, namespace));
  const resources: AnyResource[] = [];
  for (const entry of entries) {
    const reading = resourceOfEntry(entry);
    if (reading.ok) resources.push(reading.resource);
    else output.talk(`warning: left out: ${reading.problem}\n`);
  }
  const isText = options.output === 'table' || options.output === 'wide';
  if (resources.length === 0 && isText) {
    output.talk(`no ${kind.plural}${namespace === undefined ? '' : ` in namespace ${namespace}`}\n`);
    return;
  }
  output.result(formatResources(kind, resources, options.output, everywhere));
}
