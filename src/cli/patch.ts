/**
 * `muslin patch`: changes some fields of one resource.
 *
 * The patch is made on the resource as `get -o json` prints it; the result is checked like any document, and written on the
 * condition that nobody else was faster, else it is made again on the newer form. A field that the patch removes goes back
 * to its default.
 */
import { Command, Option } from 'commander';
import type { Json } from '../lib/json.ts';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { jsonPatch, mergePatch } from './json-patch.ts';
import { outputOf } from './output.ts';
import { storeOption, withStore } from './store-option.ts';
import type { TargetOptions } from './target.ts';
import { namespaceOption, oneNamed } from './target.ts';
import type { WriteOptions } from './write.ts';
import { changeStored, checkedChange, dryRunMark, dryRunOption, refuseSystemKind } from './write.ts';

interface PatchOptions extends TargetOptions, WriteOptions {
  readonly patch: string;
  readonly type: 'merge' | 'json';
}

export function patchCommand(): Command {
  return new Command('patch')
    .description('change fields of a resource')
    .argument('<kind>', 'a kind, such as ippool; or KIND/NAME')
    .argument('[name]', 'the resource')
    .requiredOption('-p, --patch <json>', 'what is to change')
    .addOption(
      new Option('--type <type>', 'merge: the fields that change (RFC 7386); json: a list of operations (RFC 6902)')
        .choices(['merge', 'json'])
        .default('merge'),
    )
    .addOption(namespaceOption())
    .addOption(dryRunOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      `\nExamples:\n  muslin patch ippool a -p '{"spec": {"disabled": true}}'` +
        `\n  muslin patch ippool a --type json -p '[{"op": "replace", "path": "/spec/disabled", "value": true}]'`,
    )
    .action(async (word: string, name: string | undefined, options: PatchOptions, command: Command) => {
      const named = oneNamed(name === undefined ? [word] : [word, name], options);
      refuseSystemKind(named.kind, named.kind.kind, 'patched');
      const patch = parsePatch(options.patch);
      const patched = options.type === 'merge' ? mergePatch : jsonPatch;
      // A resource is JSON but for members that may be undefined, which the text leaves out.
      const change = (stored: AnyResource) =>
        checkedChange(patched(JSON.parse(JSON.stringify(documentOf(stored))) as Json, patch), stored);
      await withStore(command, async (store) => {
        const changed = await changeStored(store, named, change, options);
        outputOf(command).result(`${named.title} ${changed ? 'patched' : 'unchanged'}${dryRunMark(options)}\n`);
      });
    });
}

function parsePatch(text: string): Json {
  try {
    // What JSON.parse gives is JSON.
    return JSON.parse(text) as Json;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new CommandError(EXIT_CODE.usage, `the patch is not JSON: ${error.message}`);
  }
}
