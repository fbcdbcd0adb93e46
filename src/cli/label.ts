/**
 * `muslin label`: sets and removes labels of resources, which selectors choose them by.
 *
 * `key=value` sets, `key-` removes. A label that has another value is only changed with --overwrite, since policy and pools
 * may hang on it.
 */
import { Command } from 'commander';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import { resourceTitle } from '../model/resource.ts';
import { withMetadata } from '../model/resource-entry.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { TargetOptions } from './target.ts';
import { allNamespacesOption, namedAfter, namespaceOption, readKind, selectorOption, targetOf } from './target.ts';
import type { WriteOptions } from './write.ts';
import { changeStored, checkedChange, dryRunMark, dryRunOption, eachInTurn, refuseSystemKind } from './write.ts';

interface LabelOptions extends TargetOptions, WriteOptions {
  readonly overwrite?: boolean;
}

/** Undefined removes the label. */
type LabelChanges = ReadonlyMap<string, string | undefined>;

export function labelCommand(): Command {
  return new Command('label')
    .description('set labels (key=value) and remove them (key-)')
    .argument('<kind>', 'a kind, such as node; or KIND/NAME')
    .argument('<words...>', 'the resources, then key=value or key- once or more')
    .option('--overwrite', 'change labels that have another value')
    .addOption(namespaceOption())
    .addOption(allNamespacesOption())
    .addOption(selectorOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin label node host-a rack=r1\n  muslin label node -l \'rack == "r1"\' rack-',
    )
    .action(async (word: string, words: string[], options: LabelOptions, command: Command) => {
      const changes = changesIn(words.filter(isChange));
      const target = targetOf([word, ...words.filter((each) => !isChange(each))], options);
      for (const kind of target.by === 'name' ? target.items.map((item) => item.kind) : target.kinds) {
        refuseSystemKind(kind, kind.kind, 'labelled');
        if (target.by === 'name' || options.selector !== undefined) continue;
        throw new CommandError(EXIT_CODE.usage, `which ${kind.kind}? write its name, or choose some with -l`);
      }
      const output = outputOf(command);
      await withStore(command, async (store) => {
        const items = target.by === 'name' ? [...target.items] : [];
        for (const kind of target.by === 'kind' ? target.kinds : []) {
          if (target.by !== 'kind') continue;
          items.push(...(await readKind(store, kind, target, output)).map((resource) => namedAfter(kind, resource)));
        }
        if (items.length === 0) output.talk('nothing matches the selector\n');
        await eachInTurn(items, 'labelled', async (named) => {
          const change = (stored: AnyResource) => labelled(stored, changes, options.overwrite === true);
          const changed = await changeStored(store, named, change, options);
          output.result(`${named.title} ${changed ? 'labelled' : 'unchanged'}${dryRunMark(options)}\n`);
        });
      });
    });
}

function isChange(word: string): boolean {
  return word.includes('=') || word.endsWith('-');
}

function changesIn(words: readonly string[]): LabelChanges {
  if (words.length === 0) throw new CommandError(EXIT_CODE.usage, 'which label? write key=value, or key- to remove it');
  const changes = new Map<string, string | undefined>();
  for (const word of words) {
    const equals = word.indexOf('=');
    const key = equals === -1 ? word.slice(0, -1) : word.slice(0, equals);
    if (changes.has(key)) throw new CommandError(EXIT_CODE.usage, `"${key}" is there twice; write it once`);
    changes.set(key, equals === -1 ? undefined : word.slice(equals + 1));
  }
  return changes;
}

function labelled(stored: AnyResource, changes: LabelChanges, overwrite: boolean): AnyResource {
  const title = resourceTitle(stored);
  const labels = new Map(Object.entries(stored.metadata.labels ?? {}));
  for (const [key, value] of changes) {
    const now = labels.get(key);
    if (value === undefined) labels.delete(key);
    else if (now === undefined || now === value || overwrite) labels.set(key, value);
    else {
      const message = `${title}: label ${key} is "${now}" already; to change it to "${value}" add --overwrite`;
      throw new CommandError(EXIT_CODE.conflict, message);
    }
  }
  return checkedChange(documentOf(withMetadata(stored, { labels: Object.fromEntries(labels) })), stored);
}
