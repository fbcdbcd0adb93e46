/**
 * `muslin store export`: all resources as a stream of YAML documents, which `store import` takes back.
 *
 * Sorted as a network is best applied, what others refer to first. Identity (uid, creationTimestamp) goes along, the
 * resourceVersion does not: it belongs to the store. What agents keep for themselves (blocks, claims, handles) is left out
 * unless --all is given: a restored block says that addresses are in use, which only the same containers make true.
 * An export that import would refuse for its size is refused at once; `store migrate` has no such limit.
 */
import { randomUUID } from 'node:crypto';
import { renameSync, rmSync, writeFileSync } from 'node:fs';
import { Command } from 'commander';
import { RESOURCES_MAX } from '../model/documents.ts';
import type { AnyResource } from '../model/kinds.ts';
import { KINDS } from '../model/kinds.ts';
import { resourceOfEntry, valueOfResource } from '../model/resource-entry.ts';
import { kindPrefix } from '../model/resource-key.ts';
import { TEXT_LENGTH_MAX } from '../model/yaml-text.ts';
import type { Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf, yamlText } from './output.ts';
import { storeOption, withStore } from './store-option.ts';

interface ExportOptions {
  readonly output?: string;
  readonly all?: boolean;
}

export function storeExportCommand(): Command {
  return new Command('export')
    .description('Print all resources as YAML that "muslin store import" takes back.')
    .option('-o, --output <file>', 'write to a file, readable for its owner only, instead of to stdout')
    .option('--all', 'also what agents keep for themselves: blocks, affinities, handles')
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin store export --all -o network.yaml')
    .action(async (options: ExportOptions, command: Command) => {
      const text = await withStore(command, (store) => exportText(store, options.all === true, outputOf(command)));
      if (options.output === undefined) outputOf(command).result(text);
      else writeWhole(options.output, text);
    });
}

async function exportText(store: Store, all: boolean, output: Output): Promise<string> {
  const resources: AnyResource[] = [];
  let unreadable = 0;
  // One listing for all kinds is one moment; kind by kind they would not fit together.
  const { entries } = await store.list('/');
  for (const kind of KINDS) {
    if (kind.writeRefusal !== undefined && !all) continue;
    const prefix = kindPrefix(kind.kind);
    for (const entry of entries) {
      if (!entry.key.startsWith(prefix)) continue;
      const reading = resourceOfEntry(entry);
      if (reading.ok) resources.push(reading.resource);
      else {
        unreadable += 1;
        output.talk(`warning: left out: ${reading.problem}\n`);
      }
    }
  }
  const advice = 'for a copy of everything: muslin store migrate --from STORE --to FILE';
  if (resources.length > RESOURCES_MAX) {
    const message = `${resources.length} resources; import takes at most ${RESOURCES_MAX} at once; ${advice}`;
    throw new CommandError(EXIT_CODE.failure, message);
  }
  const text = resources.map((resource) => `---\n${yamlText(valueOfResource(resource))}`).join('');
  if (text.length > TEXT_LENGTH_MAX) {
    const message = `${text.length} characters; import takes at most ${TEXT_LENGTH_MAX} at once; ${advice}`;
    throw new CommandError(EXIT_CODE.failure, message);
  }
  if (unreadable > 0) output.talk(`warning: ${unreadable} entries are not in this export; ${advice}\n`);
  return text;
}

/** Replaces the file whole, so that a full disk does not cost the export that was there before. */
function writeWhole(path: string, text: string): void {
  const next = `${path}.${randomUUID()}.new`;
  try {
    writeFileSync(next, text, { mode: 0o600, flush: true });
    renameSync(next, path);
  } catch (error) {
    rmSync(next, { force: true });
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandError(EXIT_CODE.failure, `${path} cannot be written: ${reason}`);
  }
}
