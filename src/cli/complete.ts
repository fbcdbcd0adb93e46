/**
 * `muslin __complete -- WORD… CURRENT`: what could stand in CURRENT's place; asked by the scripts of `muslin completion`.
 *
 * Answers a line for each candidate, `WORD<tab>SUMMARY`, or one line `:files` or `:directories` where the shell itself knows
 * best. A shell asks this while somebody types: it says nothing on stderr, ends with 0 whatever is wrong, makes no
 * store that is not there, and gives up after PATIENCE_MS.
 */
import { existsSync } from 'node:fs';
import { Command } from 'commander';
import { KINDS, kindByWord } from '../model/kinds.ts';
import { kindPrefix, parseResourceKey } from '../model/resource-key.ts';
import { openStore } from '../store/open-store.ts';
import { chosenSocket } from './agent-question.ts';
import type { CommandTable } from './command-row.ts';
import { rowFor } from './command-row.ts';
import type { Candidate, Source } from './complete-words.ts';
import { nextCommandWords, wishAt } from './complete-words.ts';
import { chosenStore } from './store-option.ts';

/** Who waits longer for a name has typed it meanwhile. */
const PATIENCE_MS = 1_500;

/** More names help nobody to choose, and shells ask before they show so many. */
const CANDIDATES_MAX = 1_000;

export function completeCommand(table: CommandTable): Command {
  return new Command('__complete')
    .argument('[words...]', 'the words after muslin, the one at the cursor last')
    .allowUnknownOption()
    .action(async (words: readonly string[]) => {
      const deadline = setTimeout(() => process.exit(0), PATIENCE_MS);
      try {
        process.stdout.write(await answer(table, words));
      } catch {
        // Nothing to offer: whatever is wrong is said by the command itself when it is run.
      }
      clearTimeout(deadline);
    });
}

/** The lines for these words, the last of which is being typed. */
async function answer(table: CommandTable, words: readonly string[]): Promise<string> {
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  const row = rowFor(table.rows, before);
  if (row === undefined) return lines(nextCommandWords(table, before), current);
  const wish = wishAt(row, await row.load(), before.slice(row.path.length), current);
  if (wish.kind === 'words') return lines(wish.candidates, current);
  if (wish.source.kind === 'files' || wish.source.kind === 'directories') return `:${wish.source.kind}\n`;
  return lines(await namesOf(wish.source, wish.options, current), current);
}

/** Only what goes on as `current` begins; after `--option=` the candidates are for its value. */
function lines(candidates: readonly Candidate[], current: string): string {
  const attached = /^--[^=]+=/.exec(current)?.[0] ?? '';
  return candidates
    .map(({ word, summary }) => ({ word: attached + word, summary }))
    .filter(({ word }) => word.startsWith(current))
    .slice(0, CANDIDATES_MAX)
    .map(({ word, summary }) => `${word}\t${summary.replaceAll(/\s+/g, ' ')}\n`)
    .join('');
}

async function namesOf(
  source: Exclude<Source, { readonly kind: 'files' | 'directories' }>,
  options: ReadonlyMap<string, string>,
  current: string,
): Promise<Candidate[]> {
  switch (source.kind) {
    case 'nothing':
      return [];
    case 'kinds': {
      const [kind, name] = current.split('/');
      if (name !== undefined && kind !== undefined) {
        return (await resourceNames(kind, options)).map((word) => ({ word: `${kind}/${word}`, summary: '' }));
      }
      const listed = current.slice(0, current.lastIndexOf(',') + 1);
      return KINDS.map(({ plural, kind }) => ({ word: `${listed}${plural}`, summary: kind }));
    }
    case 'resources':
      return plain(await resourceNames(source.of, options));
    case 'namespaces':
      return plain(await namespaces(options));
    case 'labs':
      return plain((await import('../lab/present-labs.ts')).presentLabs());
    case 'topologies': {
      const { shippedLabs } = await import('../lab/topology-file.ts');
      return plain(shippedLabs());
    }
    case 'peers': {
      const { bgpStatus } = await import('../node/control-client.ts');
      const { peers } = await bgpStatus(options.get('--socket') ?? chosenSocket());
      return peers.map(({ address, description }) => ({ word: address, summary: description }));
    }
    case 'entities': {
      const { findLab, labEntities } = await import('../lab/find-lab.ts');
      const entities = labEntities(findLab(options.get('--lab')));
      return entities
        .filter(({ kind }) => source.only === undefined || kind === source.only)
        .map(({ name, kind }) => ({ word: name, summary: kind }));
    }
  }
}

function plain(words: Iterable<string>): Candidate[] {
  return [...words].map((word) => ({ word, summary: '' }));
}

async function resourceNames(kindWord: string, options: ReadonlyMap<string, string>): Promise<string[]> {
  const kind = kindByWord(kindWord);
  if (kind === undefined) return [];
  const namespace = kind.namespaced ? options.get('--namespace') : undefined;
  const keys = await keysUnder(kindPrefix(kind.kind, namespace), options);
  return [...new Set(keys.flatMap((key) => parseResourceKey(key)?.name ?? []))];
}

async function namespaces(options: ReadonlyMap<string, string>): Promise<Iterable<string>> {
  const found = new Set(['default']);
  for (const kind of KINDS) {
    if (!kind.namespaced) continue;
    for (const key of await keysUnder(kindPrefix(kind.kind), options))
      found.add(parseResourceKey(key)?.namespace ?? '');
  }
  found.delete('');
  return found;
}

async function keysUnder(prefix: string, options: ReadonlyMap<string, string>): Promise<string[]> {
  const url = chosenStore(options.get('--store'));
  const path = url.replace(/^sqlite:\/\//, '');
  if (!path.includes('://') && !existsSync(path)) return [];
  const store = await openStore(url);
  try {
    return (await store.list(prefix)).entries.map(({ key }) => key);
  } finally {
    await store.close();
  }
}
