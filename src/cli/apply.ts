/**
 * `muslin apply`: makes the store hold what files say.
 *
 * Everything is checked before anything is written: the documents, then each change against what is there and what else
 * is applied. After that each resource is one transaction, in the order of the files, conditional on what was read; a
 * conflict with another writer is read and tried again, unless the document names the resourceVersion it stands on.
 * If the store fails in the middle, what was applied stays, and the error says what was and what was not.
 */
import { randomUUID } from 'node:crypto';
import { Command } from 'commander';
import { wallClockNow } from '../lib/clock.ts';
import { sameJson } from '../lib/json.ts';
import { withSource } from '../model/documents.ts';
import type { AnyResource } from '../model/kinds.ts';
import { SOURCE_ANNOTATION } from '../model/metadata.ts';
import { changeProblems, neighbourProblems } from '../model/network-rules.ts';
import { formatPath } from '../model/problem.ts';
import { resourceTitle } from '../model/resource.ts';
import { resourceOfEntry, valueOfResource, withIdentity, withMetadata } from '../model/resource-entry.ts';
import { keyOf, kindPrefix } from '../model/resource-key.ts';
import type { Entry, Store } from '../store/store.ts';
import { revision } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { outputOf, shortTitle } from './output.ts';
import type { Applicable } from './sources.ts';
import { readSources } from './sources.ts';
import { commandErrorOf, storeOption, withStore } from './store-option.ts';

/** Other writers change an object a few times a second at most, so a conflict that stays is not a coincidence. */
const ATTEMPTS_MAX = 5;

/** How many of the resources that were not applied are named. */
const NAMED_MAX = 20;

export function applyCommand(): Command {
  return new Command('apply')
    .description('create or change resources so that they are as files say')
    .requiredOption('-f, --filename <file...>', 'a file, a directory with .yaml and .json files, or - for stdin')
    .addOption(storeOption())
    .addHelpText('after', '\nExamples:\n  muslin apply -f pools.yaml\n  muslin get ippools -o yaml | muslin apply -f -')
    .action(async (options: { readonly filename: readonly string[] }, command: Command) => {
      const resources = await readSources(options.filename);
      refuseSystemKinds(resources, 'applied');
      await withStore(command, (store) => apply(store, resources, outputOf(command)));
    });
}

/** Refuses kinds that agents alone may write; `done` is what cannot be done to them. */
export function refuseSystemKinds(resources: readonly Applicable[], done: string): void {
  const problems = resources.flatMap(({ kind, resource, source }) =>
    kind.writeRefusal === undefined
      ? []
      : [`${source}: ${resourceTitle(resource)} cannot be ${done}: ${kind.writeRefusal}`],
  );
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
}

async function apply(store: Store, resources: readonly Applicable[], output: Output): Promise<void> {
  await refuseBrokenRules(store, resources);
  for (const [done, applicable] of resources.entries()) {
    try {
      const outcome = await applyOne(store, applicable);
      output.result(`${shortTitle(applicable.resource)} ${outcome}\n`);
    } catch (error) {
      throw withProgress(commandErrorOf(error), resources, done);
    }
  }
}

/** Checks the rules that join resources against the store as it will be when all is applied. */
async function refuseBrokenRules(store: Store, resources: readonly Applicable[]): Promise<void> {
  const after = new Map<string, AnyResource>();
  for (const kind of new Set(resources.map(({ kind }) => kind))) {
    for (const entry of (await store.list(kindPrefix(kind.kind))).entries) {
      const reading = resourceOfEntry(entry);
      if (reading.ok) after.set(entry.key, reading.resource);
    }
  }
  const before = new Map(after);
  for (const { resource } of resources) after.set(keyOf(resource), resource);
  const problems = resources.flatMap(({ resource, source }) => {
    const found = [
      ...changeProblems(before.get(keyOf(resource)), resource),
      ...neighbourProblems(resource, after.values()),
    ];
    return found.map(({ path, message }) => `${source}: ${resourceTitle(resource)}: ${formatPath(path)}: ${message}`);
  });
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
}

type Outcome = 'created' | 'configured' | 'unchanged';

async function applyOne(store: Store, applicable: Applicable): Promise<Outcome> {
  const key = keyOf(applicable.resource);
  for (let attempt = 1; attempt <= ATTEMPTS_MAX; attempt++) {
    const entry = await store.get(key);
    const next = nextForm(applicable, entry);
    if (next === undefined) return 'unchanged';
    refuseStale(applicable, entry);
    const expect = [{ key, revision: entry?.revision ?? revision(0) }];
    const result = await store.transact({ expect, writes: [{ kind: 'put', key, value: valueOfResource(next) }] });
    if (result.ok) return entry === undefined ? 'created' : 'configured';
  }
  const message = `${resourceTitle(applicable.resource)} was changed by others ${ATTEMPTS_MAX} times meanwhile; try again`;
  throw new CommandError(EXIT_CODE.conflict, message);
}

/** What is to be stored; undefined when that is there already. */
function nextForm(applicable: Applicable, entry: Entry | undefined): AnyResource | undefined {
  const wanted = applicable.fromFile ? withSource(applicable) : applicable.resource;
  if (entry === undefined) {
    const time = new Date(wallClockNow()).toISOString().replace(/\.\d+Z$/, 'Z');
    return withIdentity(wanted, randomUUID(), time);
  }
  const reading = resourceOfEntry(entry);
  if (!reading.ok) return wanted; // what is there is broken; the document mends it
  const { uid, creationTimestamp, annotations } = reading.resource.metadata;
  const source = wanted.metadata.annotations?.[SOURCE_ANNOTATION] ?? annotations?.[SOURCE_ANNOTATION];
  const next = withMetadata(wanted, {
    ...(uid !== undefined && { uid }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(source !== undefined && { annotations: { ...wanted.metadata.annotations, [SOURCE_ANNOTATION]: source } }),
  });
  return sameJson(valueOfResource(next), valueOfResource(reading.resource)) ? undefined : next;
}

/** A document that names a resourceVersion changes that version only. */
function refuseStale({ resource, source }: Applicable, entry: Entry | undefined): void {
  const stated = resource.metadata.resourceVersion;
  if (stated === undefined || stated === String(entry?.revision)) return;
  const now = entry === undefined ? 'it is not there' : `it is now ${entry.revision}`;
  throw new CommandError(
    EXIT_CODE.conflict,
    `${source}: ${resourceTitle(resource)} stands on resourceVersion ${stated}, but ${now}; get it again, or remove that line`,
  );
}

/** The same error, with what was applied before it and what was not. */
function withProgress(error: unknown, resources: readonly Applicable[], done: number): unknown {
  if (!(error instanceof CommandError) || resources.length === 1) return error;
  const left = resources.slice(done).map(({ resource }) => shortTitle(resource));
  const more = left.length > NAMED_MAX ? ` and ${left.length - NAMED_MAX} more` : '';
  const progress = `applied ${done} of ${resources.length}; not applied: ${left.slice(0, NAMED_MAX).join(', ')}${more}`;
  return new CommandError(error.exitCode, `${error.message}\n${progress}`);
}
