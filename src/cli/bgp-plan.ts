/**
 * `muslin bgp plan`: what applying files would do to sessions and routes of the whole network, before anybody applies them.
 *
 * All nodes are run in this process as they would run (simulation/plan.ts), from the resources in the store, or from files in
 * its place (`--from`). What `apply` would refuse is refused here, too. A file called `NAME.delete.yaml` says what is deleted.
 * With `--steps` each file is a step, in the order of the command line and by name in a directory.
 *
 * Ends with 0 when no session and no route would change and with 10 when any would, as `diff` does.
 */
import { Command } from 'commander';
import type { AnyResource } from '../model/kinds.ts';
import { resourceOfEntry, valueOfResource } from '../model/resource-entry.ts';
import { keyOf, RESOURCES_PREFIX } from '../model/resource-key.ts';
import type { Change, Step } from '../simulation/plan.ts';
import { simulatePlan } from '../simulation/plan.ts';
import type { PlanView } from '../simulation/plan-view.ts';
import { isChange, planView } from '../simulation/plan-view.ts';
import { openMemoryStore } from '../store/memory.ts';
import type { Store } from '../store/store.ts';
import { planText } from './bgp-plan-text.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf, shortTitle } from './output.ts';
import type { Applicable, SourceOptions } from './sources.ts';
import { filenameOption, filesOf, lenientOption, readSources, recursiveOption } from './sources.ts';
import { storeOption, withStore } from './store-option.ts';
import type { ViewOptions } from './view.ts';
import { viewOption } from './view.ts';
import { planWrites, refuseSystemKinds } from './write.ts';

const DELETES = /\.delete\.(ya?ml|json)$/;

interface PlanOptions extends SourceOptions, ViewOptions {
  readonly from?: readonly string[];
  readonly steps?: boolean;
  readonly delete?: boolean;
  readonly node?: readonly string[];
}

export function bgpPlanCommand(): Command {
  return new Command('plan')
    .description('show what applying files would do to sessions and routes; ends with 10 when it is anything')
    .addOption(filenameOption().makeOptionMandatory())
    .addOption(recursiveOption())
    .addOption(lenientOption())
    .option('--steps', 'each file is a step of its own, made when the one before has settled')
    .option('--delete', 'the files say what is deleted; without it only those called NAME.delete.yaml do')
    .option('--from <file...>', 'what is there now, in the place of the store (see: muslin store export --all)')
    .option('--node <name...>', 'show everything about these nodes')
    .addOption(viewOption())
    .addOption(storeOption())
    .addHelpText(
      'after',
      '\nExamples:\n  muslin bgp plan -f reflectors.yaml\n  muslin bgp plan --steps -f 1-peers.yaml 2-reflect.yaml 3-mesh-off.yaml\n  muslin bgp plan -f network/ --from network.yaml --node host-a',
    )
    .action(async (options: PlanOptions, command: Command) => {
      const output = outputOf(command);
      const view = await withState(options, command, (store) => viewOf(store, options, output));
      output.result(options.output === 'json' ? `${JSON.stringify(view, undefined, 2)}\n` : planText(view));
      if (isChange(view)) process.exitCode = EXIT_CODE.different;
    });
}

/** Works on a copy of what is there, so that steps can be written into it one after the other. */
async function withState<Result>(
  options: PlanOptions,
  command: Command,
  work: (store: Store) => Promise<Result>,
): Promise<Result> {
  const output = outputOf(command);
  const now =
    options.from === undefined
      ? await withStore(command, (store) => resourcesIn(store, output))
      : (await readSources({ ...options, filename: options.from }, output.talk)).map(({ resource }) => resource);
  const copy = openMemoryStore();
  try {
    await write(copy, now);
    return await work(copy);
  } finally {
    await copy.close();
  }
}

async function resourcesIn(store: Store, output: Output): Promise<AnyResource[]> {
  return (await store.list(RESOURCES_PREFIX)).entries.flatMap((entry) => {
    const reading = resourceOfEntry(entry);
    if (reading.ok) return [reading.resource];
    output.talk(`warning: left out: ${reading.problem}\n`);
    return [];
  });
}

async function write(store: Store, resources: readonly AnyResource[]): Promise<void> {
  for (const resource of resources) {
    const put = { kind: 'put', key: keyOf(resource), value: valueOfResource(resource) } as const;
    await store.transact({ expect: [], writes: [put] });
  }
}

async function viewOf(store: Store, options: PlanOptions, output: Output): Promise<PlanView> {
  const now = await resourcesIn(store, output);
  const steps: Step[] = [];
  for (const { title, files } of stepFiles(options)) {
    const changes: Change[] = [];
    for (const file of files) changes.push(...(await changesOf(store, file, options, output)));
    steps.push({ title, changes });
  }
  const unknown = (options.node ?? []).filter((name) => !isKnownNode(name, now, steps));
  if (unknown.length > 0)
    throw new CommandError(EXIT_CODE.notFound, `no Node ${unknown.join(', ')}, neither now nor after a step`);
  const silent = simulatePlan(now, steps, 'silent');
  const passing = silent.externalPeers.length > 0 ? simulatePlan(now, steps, 'passing') : undefined;
  return planView(steps, silent, passing, (node) => options.node?.includes(node) === true);
}

function stepFiles({ filename, recursive = false, steps }: PlanOptions): { title: string; files: string[] }[] {
  const files = filename.flatMap((name) => filesOf(name, recursive));
  if (steps === true) return files.map((file) => ({ title: file, files: [file] }));
  return [{ title: files.length === 1 ? (files[0] ?? '') : `${files.length} files`, files }];
}

/** What a file changes, which is then as it says in `store`. */
async function changesOf(store: Store, file: string, options: PlanOptions, output: Output): Promise<Change[]> {
  const applicable = await readSources({ ...options, filename: [file] }, output.talk);
  const isDeletion = options.delete === true || DELETES.test(file);
  const changes = isDeletion ? await deletions(store, applicable) : await applications(store, applicable);
  const resources = changes.flatMap(({ resource }) => resource ?? []);
  await write(store, resources);
  for (const { key, resource } of changes) {
    if (resource === undefined) await store.transact({ expect: [], writes: [{ kind: 'remove', key }] });
  }
  return changes;
}

async function applications(store: Store, applicable: readonly Applicable[]): Promise<Change[]> {
  const planned = await planWrites(store, applicable);
  return planned.flatMap(({ after }): Change[] =>
    after === undefined ? [] : [{ title: shortTitle(after), key: keyOf(after), resource: after }],
  );
}

async function deletions(store: Store, applicable: readonly Applicable[]): Promise<Change[]> {
  refuseSystemKinds(applicable, 'deleted');
  const changes: Change[] = [];
  for (const { resource, source } of applicable) {
    const key = keyOf(resource);
    if ((await store.get(key)) === undefined)
      throw new CommandError(EXIT_CODE.notFound, `${source}: ${shortTitle(resource)} is not there to be deleted`);
    changes.push({ title: shortTitle(resource), key, resource: undefined });
  }
  return changes;
}

function isKnownNode(name: string, now: readonly AnyResource[], steps: readonly Step[]): boolean {
  const written = steps.flatMap(({ changes }) => changes.flatMap(({ resource }) => resource ?? []));
  return [...now, ...written].some(({ kind, metadata }) => kind === 'Node' && metadata.name === name);
}
