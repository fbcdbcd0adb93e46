/**
 * `muslin get`: prints resources, once or as they change.
 *
 * Reads the store directly, so it works without an agent. An entry that cannot be read as a resource is named on stderr and
 * left out; the others are printed. Several kinds are printed one after the other; names that are not there are said
 * after those that are.
 */
import { Command } from 'commander';
import type { AnyResource } from '../model/kinds.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Format, Group, Output } from './output.ts';
import { formatGroups, formatResource, outputOf, outputOption } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { Named, Target, TargetOptions } from './target.ts';
import {
  allNamespacesOption,
  namespaceOption,
  notFound,
  readKind,
  resourceIn,
  selectorOption,
  targetOf,
} from './target.ts';
import { watchAndPrint } from './watch.ts';

interface GetOptions extends TargetOptions {
  readonly output: Format;
  readonly watch?: boolean;
}

export function getCommand(): Command {
  return new Command('get')
    .description('print resources')
    .argument('<kind>', 'a kind, such as ippool, ippools or ipp; several as nodes,ippools; or KIND/NAME')
    .argument('[names...]', 'some resources; without them all of the kind')
    .addOption(namespaceOption())
    .addOption(allNamespacesOption())
    .addOption(selectorOption())
    .addOption(outputOption())
    .option('-w, --watch', 'go on printing what changes, until Ctrl-C')
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin get nodes,ippools -o wide\n  muslin get node host-a -o yaml\n  muslin get wep -A -l \'app == "web"\' -w' +
        "\n  muslin get ippools -o jsonpath='{.items[*].spec.cidr}'",
    )
    .action(async (word: string, names: string[], options: GetOptions, command: Command) => {
      const target = targetOf([word, ...names], options);
      const output = outputOf(command);
      await withStore(command, (store) =>
        options.watch === true
          ? watchAndPrint(store, target, options.output, output)
          : get(store, target, options.output, output),
      );
    });
}

async function get(store: Store, target: Target, format: Format, output: Output): Promise<void> {
  if (target.by === 'name') return getNamed(store, target.items, format, output);
  const groups: Group[] = [];
  for (const kind of target.kinds) {
    const showNamespace = kind.namespaced && target.namespace === undefined;
    groups.push({ kind, showNamespace, resources: await readKind(store, kind, target, output) });
  }
  if (format.name !== 'table' && format.name !== 'wide') return output.result(formatGroups(groups, format));
  const present = groups.filter(({ resources }) => resources.length > 0);
  if (present.length > 0) return output.result(formatGroups(present, format));
  const place = target.namespace !== undefined && target.kinds.every(({ namespaced }) => namespaced);
  const names = target.kinds.map(({ plural }) => plural).join(', ');
  output.talk(`no ${names}${place ? ` in namespace ${target.namespace}` : ''}\n`);
}

async function getNamed(store: Store, items: readonly Named[], format: Format, output: Output): Promise<void> {
  const found = new Map<Named['kind'], AnyResource[]>();
  const missing: string[] = [];
  for (const named of items) {
    const entry = await store.get(named.key);
    if (entry === undefined) missing.push(notFound(named).message);
    else found.set(named.kind, [...(found.get(named.kind) ?? []), resourceIn(entry)]);
  }
  const groups = [...found].map(([kind, resources]) => ({ kind, resources, showNamespace: false }));
  const [first] = groups;
  const [only] = first?.resources ?? [];
  if (first !== undefined && only !== undefined && items.length === 1)
    output.result(formatResource(first.kind, only, format));
  else if (groups.length > 0) output.result(formatGroups(groups, format));
  if (missing.length > 0) throw new CommandError(EXIT_CODE.notFound, missing.join('\n'));
}
