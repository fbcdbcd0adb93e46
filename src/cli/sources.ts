/**
 * The files that `-f` names, as resources: a file, a directory with files, or stdin.
 *
 * Everything is read and checked before a command does anything. Problems of all files come in one error. With `-R` a
 * directory stands for all below it; symbolic links to directories are not followed, so there is no round trip.
 */
import { createReadStream, readdirSync, readFileSync, statSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { Option } from 'commander';
import type { SourceResource } from '../model/documents.ts';
import { parseDocuments } from '../model/documents.ts';
import { resourceTitle } from '../model/resource.ts';
import { keyOf } from '../model/resource-key.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

/** As `-f` names it, and as messages do. */
const STDIN = '-';
const STDIN_TITLE = 'stdin';

/** Bigger files are refused before they are read; documents.ts has the finer limit, in characters. */
const FILE_BYTES_MAX = 32 * 1024 * 1024;

/** As many as one file may have resources: who points at more has pointed at the wrong directory. */
const FILES_MAX = 10_000;

/** Nobody files resources deeper; a tree that goes on is not one of resources. */
const DEPTH_MAX = 32;

export interface SourceOptions {
  readonly filename: readonly string[];
  readonly recursive?: boolean;
  readonly lenient?: boolean;
  readonly namespace?: string;
}

export function filenameOption(): Option {
  return new Option('-f, --filename <file...>', 'a file, a directory with .yaml and .json files, or - for stdin');
}

export function recursiveOption(): Option {
  return new Option('-R, --recursive', 'with -f DIRECTORY: the directories in it, too');
}

export interface Applicable extends SourceResource {
  /** False for stdin, which has no place that could be named later. */
  readonly fromFile: boolean;
}

export function lenientOption(): Option {
  return new Option('--lenient', 'leave out fields that are not known, with a warning, rather than refuse them');
}

/** For commands that write what files say. */
export function sourceNamespaceOption(): Option {
  return new Option(
    '-n, --namespace <name>',
    'of resources that do not say where they are; one that says another is refused',
  );
}

/**
 * All resources in the named files, in order; throws CommandError with all problems of all files. When the options say to be
 * lenient, fields that are not known are left out, and `warn` is told, a line each.
 */
export async function readSources(
  { filename, recursive = false, lenient = false, namespace }: SourceOptions,
  warn: (text: string) => void,
): Promise<Applicable[]> {
  const problems: string[] = [];
  const resources: Applicable[] = [];
  const seen = new Map<string, string>();
  for (const path of filename.flatMap((name) => filesOf(name, recursive))) {
    const fromFile = path !== STDIN;
    const content = await readText(path);
    const parsed = parseDocuments(content, fromFile ? path : STDIN_TITLE, {
      lenient,
      ...(namespace !== undefined && { namespace }),
    });
    if (!parsed.ok) {
      problems.push(...parsed.problems);
      continue;
    }
    for (const warning of parsed.warnings) warn(`warning: ${warning}\n`);
    for (const item of parsed.resources) {
      const earlier = seen.get(keyOf(item.resource));
      if (earlier !== undefined)
        problems.push(`${item.source}: ${resourceTitle(item.resource)} is already at ${earlier}`);
      seen.set(keyOf(item.resource), item.source);
      resources.push({ ...item, fromFile });
    }
  }
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
  if (resources.length === 0) throw new CommandError(EXIT_CODE.usage, `no resources in ${filename.join(', ')}`);
  return resources;
}

/** A directory's YAML and JSON files by name; anything else is itself. */
export function filesOf(path: string, recursive: boolean): string[] {
  if (path === STDIN || !reachable(path, () => statSync(path)).isDirectory()) return [path];
  const files = filesIn(path.replace(/\/+$/, ''), recursive, 0);
  if (files.length <= FILES_MAX) return files;
  throw new CommandError(EXIT_CODE.usage, `${path}: has ${files.length} files; at most ${FILES_MAX}`);
}

function filesIn(directory: string, recursive: boolean, depth: number): string[] {
  if (depth > DEPTH_MAX)
    throw new CommandError(EXIT_CODE.usage, `${directory}: is more than ${DEPTH_MAX} directories deep`);
  const entries = reachable(directory, () => readdirSync(directory, { withFileTypes: true }));
  return entries
    .toSorted((one, other) => (one.name < other.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${directory}/${entry.name}`;
      // A link is no directory here, so it is not gone into and nothing is read twice.
      if (entry.isDirectory()) return recursive ? filesIn(path, recursive, depth + 1) : [];
      if (!/\.(ya?ml|json)$/.test(entry.name)) return [];
      return reachable(path, () => statSync(path)).isDirectory() ? [] : [path];
    });
}

async function readText(path: string): Promise<string> {
  if (path === STDIN) return boundedText(process.stdin, STDIN_TITLE);
  const stat = reachable(path, () => statSync(path));
  // A pipe or a device does not say how much will come.
  if (!stat.isFile()) return boundedText(createReadStream(path), path);
  if (stat.size > FILE_BYTES_MAX) throw tooLong(path, `has ${stat.size} bytes`);
  return reachable(path, () => readFileSync(path, 'utf8'));
}

/** All that comes out of `stream`, which is left alone as soon as it is too much. */
async function boundedText(stream: Readable, title: string): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  try {
    for await (const chunk of stream) {
      length += chunk.length;
      if (length > FILE_BYTES_MAX) throw tooLong(title, 'goes on and on');
      chunks.push(chunk);
    }
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error;
    throw new CommandError(EXIT_CODE.usage, `${title}: ${error.message}`);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLong(title: string, what: string): CommandError {
  return new CommandError(EXIT_CODE.usage, `${title}: ${what}; at most ${FILE_BYTES_MAX} bytes: split it`);
}

function reachable<Result>(path: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (error instanceof CommandError || !(error instanceof Error)) throw error;
    const code = 'code' in error ? error.code : undefined;
    const reason = code === 'ENOENT' ? 'no such file or directory' : error.message;
    throw new CommandError(EXIT_CODE.usage, `${path}: ${reason}`);
  }
}
