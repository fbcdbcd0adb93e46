/**
 * How commands write resources: all of a set of documents, or one stored object changed.
 *
 * Everything is checked before anything is written: whether users may write the kind, whether what must (not) be there is
 * (not) there, and each change against what the store holds and what else is written. After that each resource is one
 * transaction, conditional on what was read; a conflict with another writer is read and tried again, unless a
 * resourceVersion says which state the change stands on. If it fails in the middle, what was written stays, and the
 * error says what was and what was not. A dry run does all of this but the transaction.
 */
import { randomUUID } from 'node:crypto';
import { Option } from 'commander';
import { wallClockNow } from '../lib/clock.ts';
import { sameJson } from '../lib/json.ts';
import { withSource } from '../model/documents.ts';
import type { Kind } from '../model/kind.ts';
import type { AnyResource } from '../model/kinds.ts';
import { SOURCE_ANNOTATION } from '../model/metadata.ts';
import { changeProblems, neighbourProblems } from '../model/network-rules.ts';
import { formatPath } from '../model/problem.ts';
import { resourceTitle } from '../model/resource.ts';
import { resourceOfEntry, valueOfResource, withIdentity, withMetadata } from '../model/resource-entry.ts';
import { keyOf, kindPrefix } from '../model/resource-key.ts';
import { validateResource } from '../model/validate.ts';
import type { Entry, Store } from '../store/store.ts';
import { revision } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { shortTitle } from './output.ts';
import type { Applicable } from './sources.ts';
import { commandErrorOf } from './store-option.ts';
import type { Named } from './target.ts';
import { notFound, resourceIn } from './target.ts';

/** Other writers change an object a few times a second at most, so a conflict that stays is not a coincidence. */
const ATTEMPTS_MAX = 5;

/** How many of the resources that were not written are named. */
const NAMED_MAX = 20;

export interface WriteOptions {
  readonly dryRun?: boolean;
}

export function dryRunOption(): Option {
  return new Option('--dry-run', 'check everything and say what would be done; write nothing');
}

/** What follows a line that says what was done. */
export function dryRunMark(options: WriteOptions): string {
  return options.dryRun === true ? ' (dry run)' : '';
}

/** Which state of the store a set of documents is for, in the word that says what was done. */
export type WriteMode = 'applied' | 'created' | 'replaced';

/** Throws unless users may write the kind; `done` is what cannot be done to `title`. */
export function refuseSystemKind(kind: Kind, title: string, done: string): void {
  if (kind.writeRefusal === undefined) return;
  throw new CommandError(EXIT_CODE.usage, `${title} cannot be ${done}: ${kind.writeRefusal}`);
}

/** The same for documents, all refusals in one error. */
export function refuseSystemKinds(resources: readonly Applicable[], done: string): void {
  const problems = resources.flatMap(({ kind, resource, source }) =>
    kind.writeRefusal === undefined
      ? []
      : [`${source}: ${resourceTitle(resource)} cannot be ${done}: ${kind.writeRefusal}`],
  );
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
}

/** Writes all documents, in their order, and prints a line for each. */
export async function writeAll(
  store: Store,
  resources: readonly Applicable[],
  mode: WriteMode,
  options: WriteOptions,
  output: Output,
): Promise<void> {
  refuseSystemKinds(resources, mode);
  if (mode !== 'applied') await refuseWrongPresence(store, resources, mode);
  await refuseBrokenRules(store, resources);
  await eachInTurn(resources, mode, async (applicable) => {
    const outcome = await writeOne(store, applicable, mode, options);
    output.result(`${shortTitle(applicable.resource)} ${outcome}${dryRunMark(options)}\n`);
  });
}

/** What applying would do to one object; `after` is undefined when it would do nothing. */
export interface PlannedWrite {
  readonly before: AnyResource | undefined;
  readonly after: AnyResource | undefined;
}

/** What applying all documents would do, in their order; refuses what applying would refuse. */
export async function planWrites(store: Store, resources: readonly Applicable[]): Promise<PlannedWrite[]> {
  refuseSystemKinds(resources, 'applied');
  await refuseBrokenRules(store, resources);
  const planned: PlannedWrite[] = [];
  for (const applicable of resources) {
    const entry = await store.get(keyOf(applicable.resource));
    refuseStale(applicable, entry);
    const reading = entry === undefined ? undefined : resourceOfEntry(entry);
    const before = reading?.ok === true ? reading.resource : undefined;
    planned.push({ before, after: nextForm(applicable, entry) });
  }
  return planned;
}

/** Does `work` for each; an error from the middle says how far it went. `done` is the word for that. */
export async function eachInTurn<Item extends { readonly resource: AnyResource } | Named>(
  items: readonly Item[],
  done: string,
  work: (item: Item) => Promise<void>,
): Promise<void> {
  for (const [count, item] of items.entries()) {
    try {
      await work(item);
    } catch (thrown) {
      const error = commandErrorOf(thrown);
      if (!(error instanceof CommandError) || items.length === 1) throw error;
      const left = items.slice(count).map((each) => ('resource' in each ? shortTitle(each.resource) : each.title));
      const more = left.length > NAMED_MAX ? ` and ${left.length - NAMED_MAX} more` : '';
      const progress = `${done} ${count} of ${items.length}; not ${done}: ${left.slice(0, NAMED_MAX).join(', ')}${more}`;
      throw new CommandError(error.exitCode, `${error.message}\n${progress}`);
    }
  }
}

/** What is to be created must not be there, what is to be replaced must be; all that are otherwise are named. */
async function refuseWrongPresence(store: Store, resources: readonly Applicable[], mode: WriteMode): Promise<void> {
  const problems: string[] = [];
  for (const applicable of resources) {
    const problem = presenceProblem(applicable, await store.get(keyOf(applicable.resource)), mode);
    if (problem !== undefined) problems.push(problem);
  }
  if (problems.length === 0) return;
  const exitCode = mode === 'created' ? EXIT_CODE.conflict : EXIT_CODE.notFound;
  throw new CommandError(exitCode, `${problems.join('\n')}\nnothing was ${mode}`);
}

function presenceProblem({ resource, source }: Applicable, entry: Entry | undefined, mode: WriteMode) {
  const title = `${source}: ${resourceTitle(resource)}`;
  if (mode === 'created' && entry !== undefined) return `${title} is already there; use apply or replace to change it`;
  if (mode === 'replaced' && entry === undefined) return `${title} is not there; use create or apply to make it`;
  return undefined;
}

/** Checks the rules that join resources against the store as it will be when all is written. */
export async function refuseBrokenRules(store: Store, resources: readonly Placed[]): Promise<void> {
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
    const place = source === undefined ? '' : `${source}: `;
    const found = [
      ...changeProblems(before.get(keyOf(resource)), resource),
      ...neighbourProblems(resource, after.values()),
    ];
    return found.map(({ path, message }) => `${place}${resourceTitle(resource)}: ${formatPath(path)}: ${message}`);
  });
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
}

/** A resource, and where its text is when it came from a text. */
interface Placed {
  readonly kind: Kind;
  readonly resource: AnyResource;
  readonly source?: string;
}

type Outcome = 'created' | 'configured' | 'replaced' | 'unchanged';

async function writeOne(
  store: Store,
  applicable: Applicable,
  mode: WriteMode,
  options: WriteOptions,
): Promise<Outcome> {
  const key = keyOf(applicable.resource);
  return conditionally(resourceTitle(applicable.resource), async () => {
    const entry = await store.get(key);
    const wrong = presenceProblem(applicable, entry, mode);
    if (wrong !== undefined) throw new CommandError(EXIT_CODE.conflict, wrong);
    const next = nextForm(applicable, entry);
    if (next === undefined) return 'unchanged';
    refuseStale(applicable, entry);
    if (!(await putOver(store, entry, next, options))) return undefined;
    return entry === undefined ? 'created' : mode === 'replaced' ? 'replaced' : 'configured';
  });
}

/**
 * Changes one stored object: `change` makes the new form from the stored one. It is called again when another writer was
 * faster, and must give a valid resource of the same name. A resourceVersion in the new form that is not the stored one
 * is a conflict. Says whether anything changed.
 */
export async function changeStored(
  store: Store,
  { kind, key, name, namespace }: Named,
  change: (stored: AnyResource) => AnyResource,
  options: WriteOptions,
): Promise<boolean> {
  return conditionally(`${kind.kind} ${name}`, async () => {
    const entry = await store.get(key);
    if (entry === undefined) throw notFound({ kind, name, namespace });
    const stored = resourceIn(entry);
    const changed = change(stored);
    refuseStale({ resource: changed }, entry);
    const next = withStoredIdentity(changed, stored);
    if (sameStored(next, stored)) return false;
    await refuseBrokenRules(store, [{ kind, resource: next }]);
    return (await putOver(store, entry, next, options)) ? true : undefined;
  });
}

/** Tries until `attempt` gives something; undefined says that another writer was faster. */
async function conditionally<Result>(title: string, attempt: () => Promise<Result | undefined>): Promise<Result> {
  for (let count = 1; count <= ATTEMPTS_MAX; count++) {
    const result = await attempt();
    if (result !== undefined) return result;
  }
  const message = `${title} was changed by others ${ATTEMPTS_MAX} times meanwhile; try again`;
  throw new CommandError(EXIT_CODE.conflict, message);
}

/** Puts `next` in the place of `entry`; false when something else is there by now. */
async function putOver(
  store: Store,
  entry: Entry | undefined,
  next: AnyResource,
  options: WriteOptions,
): Promise<boolean> {
  if (options.dryRun === true) return true;
  const key = keyOf(next);
  const result = await store.transact({
    expect: [{ key, revision: entry?.revision ?? revision(0) }],
    writes: [{ kind: 'put', key, value: valueOfResource(next) }],
  });
  return result.ok;
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
  const next = withStoredIdentity(wanted, reading.resource);
  return sameStored(next, reading.resource) ? undefined : next;
}

/** The resource as the same object as the stored one; its recorded source stays where it does not bring its own. */
function withStoredIdentity(wanted: AnyResource, stored: AnyResource): AnyResource {
  const { uid, creationTimestamp, annotations } = stored.metadata;
  const source = wanted.metadata.annotations?.[SOURCE_ANNOTATION] ?? annotations?.[SOURCE_ANNOTATION];
  return withMetadata(wanted, {
    ...(uid !== undefined && { uid }),
    ...(creationTimestamp !== undefined && { creationTimestamp }),
    ...(source !== undefined && { annotations: { ...wanted.metadata.annotations, [SOURCE_ANNOTATION]: source } }),
  });
}

function sameStored(a: AnyResource, b: AnyResource): boolean {
  return sameJson(valueOfResource(a), valueOfResource(b));
}

/** A form that names a resourceVersion changes that version only. */
function refuseStale({ resource, source }: Omit<Placed, 'kind'>, entry: Entry | undefined): void {
  const stated = resource.metadata.resourceVersion;
  if (stated === undefined || stated === String(entry?.revision)) return;
  const now = entry === undefined ? 'it is not there' : `it is now ${entry.revision}`;
  const place = source === undefined ? '' : `${source}: `;
  throw new CommandError(
    EXIT_CODE.conflict,
    `${place}${resourceTitle(resource)} stands on resourceVersion ${stated}, but ${now}; get it again, or remove that line`,
  );
}

/** The resource that a changed form of `stored` makes; throws with all that is wrong with it. */
export function checkedChange(raw: unknown, stored: AnyResource): AnyResource {
  const title = resourceTitle(stored);
  const validated = validateResource(raw);
  if (!validated.ok) {
    const lines = validated.problems.map(({ path, message }) => `${title}: ${formatPath(path)}: ${message}`);
    throw new CommandError(EXIT_CODE.usage, lines.join('\n'));
  }
  if (keyOf(validated.resource) === keyOf(stored)) return validated.resource;
  const now = resourceTitle(validated.resource);
  throw new CommandError(EXIT_CODE.usage, `${title} would become ${now}; kind, name and namespace cannot change`);
}
