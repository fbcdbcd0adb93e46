/**
 * `muslin store import`: the resources of an export into a store, those that agents keep for themselves included.
 *
 * Into an empty store, or with --merge into one that holds something; then what the files say replaces what is there, but
 * never a block, claim or handle that is there and different: it says which addresses are in use now. All is checked before
 * anything is written, as `apply` does it. Each write demands that the entry is as it was read.
 */
import { Command } from 'commander';
import { sameJson } from '../lib/json.ts';
import { resourceTitle } from '../model/resource.ts';
import { valueOfResource } from '../model/resource-entry.ts';
import { keyOf } from '../model/resource-key.ts';
import type { Entry, Store } from '../store/store.ts';
import { revision } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf } from './output.ts';
import { progress } from './progress.ts';
import type { Applicable, SourceOptions } from './sources.ts';
import { filenameOption, readSources, recursiveOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import { refuseBrokenRules } from './write.ts';
import type { GuardedWrite } from './write-batches.ts';
import { writeBatches } from './write-batches.ts';

const EVERYTHING = '/';

/** How many resources that stand against a merge are named. */
const NAMED_MAX = 20;

interface ImportOptions extends SourceOptions {
  readonly merge?: boolean;
}

export function storeImportCommand(): Command {
  return new Command('import')
    .description('Fill a store with the resources of "muslin store export".')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .option('--merge', 'also into a store that holds something: what the files say replaces what is there')
    .addOption(storeOption())
    .addHelpText('after', '\nExample:\n  muslin store import -f network.yaml --store /var/lib/muslin/store.db')
    .action(async (options: ImportOptions, command: Command) => {
      const resources = await readSources(options, outputOf(command).talk);
      await withStore(command, (store) => importAll(store, resources, options.merge === true, outputOf(command)));
    });
}

async function importAll(
  store: Store,
  resources: readonly Applicable[],
  merge: boolean,
  output: Output,
): Promise<void> {
  const { entries } = await store.list(EVERYTHING);
  if (entries.length > 0 && !merge) {
    const advice = 'choose an empty store, or --merge';
    throw new CommandError(
      EXIT_CODE.conflict,
      `${store.description} holds ${entries.length} entries already: ${advice}`,
    );
  }
  await refuseBrokenRules(store, resources);
  const present = new Map(entries.map((entry) => [entry.key, entry]));
  refuseOverAgents(resources, present);
  const writes = resources.flatMap((item) => writeFor(item, present) ?? []);
  const report = progress('imported', writes.length, output);
  let done = 0;
  for (const batch of writeBatches(writes)) {
    const result = await store.transact({
      expect: batch.map(({ expect }) => expect),
      writes: batch.map(({ write }) => write),
    });
    if (!result.ok) {
      const message = `${result.conflicts[0]} was changed by another writer meanwhile; ${done} of ${writes.length} are imported: run it again with --merge`;
      throw new CommandError(EXIT_CODE.conflict, message);
    }
    done += batch.length;
    report(done);
  }
  const created = writes.filter(({ expect }) => expect.revision === 0).length;
  const unchanged = resources.length - writes.length;
  output.result(`${created} created, ${writes.length - created} configured, ${unchanged} unchanged\n`);
}

function writeFor({ resource }: Applicable, present: ReadonlyMap<string, Entry>): GuardedWrite | undefined {
  const key = keyOf(resource);
  const value = valueOfResource(resource);
  const there = present.get(key);
  if (there !== undefined && sameJson(there.value, value)) return undefined;
  return { write: { kind: 'put', key, value }, expect: { key, revision: there?.revision ?? revision(0) } };
}

function refuseOverAgents(resources: readonly Applicable[], present: ReadonlyMap<string, Entry>): void {
  const against = resources.filter(
    (item) =>
      item.kind.writeRefusal !== undefined &&
      present.has(keyOf(item.resource)) &&
      writeFor(item, present) !== undefined,
  );
  if (against.length === 0) return;
  const lines = against
    .slice(0, NAMED_MAX)
    .map(
      ({ source, resource, kind }) =>
        `${source}: ${resourceTitle(resource)} is there, and different: ${kind.writeRefusal}`,
    );
  const more = against.length > NAMED_MAX ? [`and ${against.length - NAMED_MAX} more`] : [];
  const advice = 'nothing was imported; leave these out, or import into an empty store';
  throw new CommandError(EXIT_CODE.conflict, [...lines, ...more, advice].join('\n'));
}
