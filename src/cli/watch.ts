/**
 * `get --watch` and what `wait` stands on: a set of resources as it is and as it changes.
 *
 * Both follow the store from the revision of a list, so nothing is lost between the two, and a watch that breaks goes on from
 * a new list (node/store-follower.ts). A resource whose labels no longer match is gone, like one that was deleted.
 */
import type { Log } from '../lib/log.ts';
import type { Column } from '../lib/table.ts';
import { renderTable } from '../lib/table.ts';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import { resourceOfEntry } from '../model/resource-entry.ts';
import { StoreFollower } from '../node/store-follower.ts';
import type { Entry, Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Format, Output } from './output.ts';
import { columnsOf, formatResource, shortTitle } from './output.ts';
import type { Target } from './target.ts';
import { isSelected, prefixOf } from './target.ts';

/** What became of a resource; `there` is said of those that are there at the beginning. */
export type Change = 'there' | 'added' | 'changed' | 'gone';

/** The follower's words go to `listener.away`, and from there to the user. */
const SILENT: Log = { debug: nothing, info: nothing, warn: nothing, error: nothing, child: () => SILENT };

function nothing(): void {}

export interface TargetListener {
  /** `resource` is the newest form; for `gone` the last one that was known. */
  readonly changed: (change: Change, resource: AnyResource) => void;
  /** All that was there at the beginning has been told. */
  readonly inSync: () => void;
}

/** Follows what `target` points at, which is of one kind, until `signal` aborts. */
export async function followTarget(
  store: Store,
  target: Target,
  listener: TargetListener,
  output: Output,
  signal: AbortSignal,
): Promise<void> {
  const known = new Map<string, AnyResource>();
  let begun = false;
  const gone = (key: string) => {
    const last = known.get(key);
    if (last === undefined) return;
    known.delete(key);
    listener.changed('gone', last);
  };
  const put = (entry: Entry) => {
    if (!isPointedAt(target, entry.key)) return;
    const reading = resourceOfEntry(entry);
    if (!reading.ok) output.talk(`warning: left out: ${reading.problem}\n`);
    if (!reading.ok || (target.by === 'kind' && !isSelected(target.selector, reading.resource))) return gone(entry.key);
    const change = known.has(entry.key) ? 'changed' : begun ? 'added' : 'there';
    known.set(entry.key, reading.resource);
    listener.changed(change, reading.resource);
  };
  const inSync = () => {
    begun = true;
    listener.inSync();
  };
  const away = (reason: string) => output.talk(`warning: the store cannot be followed, trying again: ${reason}\n`);
  const options = { signal, log: SILENT, random: Math.random };
  await new StoreFollower(store, kindPrefixOf(target), { put, removed: gone, inSync, away }, options).run();
}

function isPointedAt(target: Target, key: string): boolean {
  return target.by === 'kind' || target.items.some((item) => item.key === key);
}

/** The one prefix that is followed; throws when there would have to be several. */
function kindPrefixOf(target: Target): string {
  const kinds = new Set(target.by === 'name' ? target.items.map(({ kind }) => kind) : target.kinds);
  const [kind] = kinds;
  if (kind === undefined || kinds.size > 1)
    throw new CommandError(EXIT_CODE.usage, 'one kind at a time can be watched');
  return prefixOf(kind, target.by === 'name' ? target.items[0]?.namespace : target.namespace);
}

/** Prints what there is, then a line or document for each change, until Ctrl-C. */
export async function watchAndPrint(store: Store, target: Target, format: Format, output: Output): Promise<void> {
  const stop = new AbortController();
  const abort = () => stop.abort();
  process.once('SIGINT', abort);
  try {
    const print = printerOf(target, format, output);
    await followTarget(store, target, { changed: print, inSync: nothing }, output, stop.signal);
  } finally {
    process.removeListener('SIGINT', abort);
  }
}

function printerOf(target: Target, format: Format, output: Output): TargetListener['changed'] {
  if (format.name === 'table' || format.name === 'wide') return tablePrinterOf(target, format, output);
  return (change, resource) => {
    if (format.name === 'json') output.result(`${JSON.stringify({ change, resource: documentOf(resource) })}\n`);
    else if (format.name === 'name') output.result(`${shortTitle(resource)} ${change}\n`);
    else {
      const [kind] = target.by === 'name' ? target.items.map((item) => item.kind) : target.kinds;
      if (kind === undefined) return;
      const start = format.name === 'yaml' ? `--- # ${change}\n` : '';
      output.result(`${start}${formatResource(kind, resource, format)}`);
    }
  };
}

/** Rows one at a time: a column is as wide as the widest cell so far, since lines that were printed cannot move. */
function tablePrinterOf(target: Target, format: Format, output: Output): TargetListener['changed'] {
  const [kind] = target.by === 'name' ? target.items.map((item) => item.kind) : target.kinds;
  if (kind === undefined) return nothing;
  const showNamespace = target.by === 'kind' && kind.namespaced && target.namespace === undefined;
  const columns = columnsOf({ kind, showNamespace }, format);
  const cells: Column<readonly string[]>[] = ['CHANGE', ...columns.map(({ title }) => title)].map((title, index) => ({
    title,
    cell: (row) => row[index] ?? '',
  }));
  let widest: readonly string[] = ['changed'];
  let isFirst = true;
  return (change, resource) => {
    const row = [change, ...columns.map(({ cell }) => cell(resource))];
    widest = row.map((cell, index) => (cell.length > (widest[index]?.length ?? 0) ? cell : (widest[index] ?? '')));
    const [head, , line] = renderTable(cells, [widest, row]).split('\n');
    output.result(isFirst ? `${head}\n${line}\n` : `${line}\n`);
    isFirst = false;
  };
}
