/**
 * `muslin store migrate`: copies a whole store into another one, and proves it.
 *
 * Every key with its value goes over as it is, whatever it holds. Revisions belong to a store and do not go over; nothing
 * that is stored stands on them, since a resource is kept without its resourceVersion. Each write demands that the target's
 * entry is as it was read, so a second writer is noticed. Then both stores are read again and compared entry by entry.
 * What is in the target already and right is left alone: a copy that was interrupted goes on where it ended.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:os';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Command } from 'commander';
import { isJsonObject, sameJson } from '../lib/json.ts';
import { openStore } from '../store/open-store.ts';
import type { Entry, Store } from '../store/store.ts';
import { PRESENCE_PREFIX, revision, STATUS_PREFIX } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { untilInterrupted } from './lab-action.ts';
import type { Output } from './output.ts';
import { outputOf } from './output.ts';
import { progress } from './progress.ts';
import { commandErrorOf } from './store-option.ts';
import type { GuardedWrite } from './write-batches.ts';
import { writeBatches } from './write-batches.ts';

const EVERYTHING = '/';

/** How many keys that differ are named. */
const NAMED_MAX = 10;

interface MigrateOptions {
  readonly from: string;
  readonly to: string;
  readonly overwrite?: boolean;
}

interface Interruption {
  readonly signal: AbortSignal;
  readonly received: () => NodeJS.Signals | undefined;
}

export function storeMigrateCommand(): Command {
  return new Command('migrate')
    .description(
      'Copy everything from one store into another, and compare the two at the end. Stop the agents and leave the source alone meanwhile.',
    )
    .requiredOption('--from <url>', 'the store to read, such as sqlite:///var/lib/muslin/store.db')
    .requiredOption('--to <url>', 'the store to fill')
    .option('--overwrite', 'also into a store that holds something: afterwards it holds what the source has, no more')
    .addHelpText(
      'after',
      '\nExample:\n  muslin store migrate --from /var/lib/muslin/store.db --to /mnt/backup/store.db',
    )
    .action(async (options: MigrateOptions, command: Command) => {
      const interruption = untilInterrupted();
      try {
        await withStores(options, (source, target) =>
          migrate(source, target, options, interruption, outputOf(command)),
        );
      } finally {
        interruption.done();
      }
    });
}

async function withStores(
  { from, to }: MigrateOptions,
  work: (source: Store, target: Store) => Promise<void>,
): Promise<void> {
  try {
    const source = await openStore(from);
    try {
      const target = await openStore(to);
      try {
        await work(source, target);
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  } catch (error) {
    throw commandErrorOf(error);
  }
}

async function migrate(
  source: Store,
  target: Store,
  options: MigrateOptions,
  interruption: Interruption,
  output: Output,
): Promise<void> {
  if (source.description === target.description) {
    throw new CommandError(EXIT_CODE.usage, `${source.description}: --from and --to are the same store`);
  }
  const wanted = await lasting(source);
  if (wanted.length === 0) {
    throw new CommandError(EXIT_CODE.usage, `${source.description} holds nothing; is it the right store for --from?`);
  }
  const present = await lasting(target);
  if (present.length > 0 && options.overwrite !== true) {
    const advice = 'choose an empty store; or --overwrite, which makes it a copy of the source';
    throw new CommandError(
      EXIT_CODE.conflict,
      `${target.description} holds ${countText(present.length)} already: ${advice}`,
    );
  }
  const writes = writesBetween(wanted, present);
  if (!(await copy(target, writes, interruption, output))) return;
  await compare(source, target, output);
}

/** What makes `present` into `wanted`; what is right already needs nothing. Removals come last. */
function writesBetween(wanted: readonly Entry[], present: readonly Entry[]): GuardedWrite[] {
  const left = new Map(present.map((entry) => [entry.key, entry]));
  const writes: GuardedWrite[] = [];
  for (const { key, value } of wanted) {
    const there = left.get(key);
    left.delete(key);
    if (there !== undefined && sameJson(there.value, value)) continue;
    writes.push({ write: { kind: 'put', key, value }, expect: { key, revision: there?.revision ?? revision(0) } });
  }
  for (const { key, revision } of left.values()) {
    writes.push({ write: { kind: 'remove', key }, expect: { key, revision } });
  }
  return writes;
}

/** Carries the writes out; false when it was interrupted, which has then been said. */
async function copy(
  target: Store,
  writes: readonly GuardedWrite[],
  interruption: Interruption,
  output: Output,
): Promise<boolean> {
  const report = progress('copied', writes.length, output);
  let done = 0;
  for (const batch of writeBatches(writes)) {
    await nextTurn(); // a driver may work without ever waiting, and signals come only between turns
    if (interruption.signal.aborted) {
      const received = interruption.received();
      process.exitCode = 128 + (received === undefined ? 0 : constants.signals[received]);
      const advice = 'run the same command again with --overwrite, which goes on from here';
      output.talk(
        `muslin: ${received}: ${done} of ${writes.length} changes made; ${target.description} is incomplete: ${advice}\n`,
      );
      return false;
    }
    const result = await target.transact({
      expect: batch.map(({ expect }) => expect),
      writes: batch.map(({ write }) => write),
    });
    if (!result.ok) {
      const [key] = result.conflicts;
      const advice = 'see that nothing else uses the target, then run the same command again with --overwrite';
      throw new CommandError(
        EXIT_CODE.conflict,
        `${target.description}: ${key} was changed by another writer meanwhile; ${advice}`,
      );
    }
    done += batch.length;
    report(done);
  }
  return true;
}

/** Reads both stores again and compares every entry; says how many there are and their digest. */
async function compare(source: Store, target: Store, output: Output): Promise<void> {
  const from = await lasting(source);
  const to = await lasting(target);
  const different = writesBetween(from, to).map(({ write }) => write.key);
  if (different.length > 0) {
    const named = different.slice(0, NAMED_MAX).join(', ');
    const more = different.length > NAMED_MAX ? ` and ${different.length - NAMED_MAX} more` : '';
    const advice = 'something wrote meanwhile: stop it, then run the same command again with --overwrite';
    throw new CommandError(
      EXIT_CODE.different,
      `${target.description} is not what ${source.description} is, in ${countText(different.length)}: ${named}${more}; ${advice}`,
    );
  }
  const digests = [digestOf(from), digestOf(to)];
  if (digests[0] !== digests[1]) {
    throw new CommandError(
      EXIT_CODE.different,
      `the digests differ: ${digests.join(' in the source, ')} in the target`,
    );
  }
  output.result(`${countText(to.length)}, the same in both stores; sha256 ${digests[0]}\n`);
}

/** SHA-256 over all keys and values, in order of the keys; the order of members in a value does not count. */
/** All entries but what agents say of themselves, which means nothing elsewhere. */
async function lasting(store: Store): Promise<Entry[]> {
  const { entries } = await store.list(EVERYTHING);
  return entries.filter(({ key }) => ![PRESENCE_PREFIX, STATUS_PREFIX].some((prefix) => key.startsWith(prefix)));
}

function digestOf(entries: readonly Entry[]): string {
  const hash = createHash('sha256');
  for (const { key, value } of entries) hash.update(`${key}\n${JSON.stringify(inOrder(value))}\n`);
  return hash.digest('hex');
}

function inOrder(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(inOrder);
  if (!isJsonObject(value)) return value;
  const members = Object.entries(value).toSorted(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(members.map(([name, member]) => [name, inOrder(member)]));
}

function countText(count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`;
}
