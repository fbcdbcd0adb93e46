/**
 * The files that `-f` names, as resources: a file, a directory with files, or stdin.
 *
 * Everything is read and checked before a command does anything. Problems of all files come in one error.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { text } from 'node:stream/consumers';
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

export interface Applicable extends SourceResource {
  /** False for stdin, which has no place that could be named later. */
  readonly fromFile: boolean;
}

/** All resources in `paths`, in order; throws CommandError with all problems of all files. */
export async function readSources(paths: readonly string[]): Promise<Applicable[]> {
  const problems: string[] = [];
  const resources: Applicable[] = [];
  const seen = new Map<string, string>();
  for (const path of paths.flatMap(filesOf)) {
    const fromFile = path !== STDIN;
    const parsed = parseDocuments(fromFile ? readText(path) : await text(process.stdin), fromFile ? path : STDIN_TITLE);
    if (!parsed.ok) {
      problems.push(...parsed.problems);
      continue;
    }
    for (const item of parsed.resources) {
      const earlier = seen.get(keyOf(item.resource));
      if (earlier !== undefined)
        problems.push(`${item.source}: ${resourceTitle(item.resource)} is already at ${earlier}`);
      seen.set(keyOf(item.resource), item.source);
      resources.push({ ...item, fromFile });
    }
  }
  if (problems.length > 0) throw new CommandError(EXIT_CODE.usage, problems.join('\n'));
  if (resources.length === 0) throw new CommandError(EXIT_CODE.usage, `no resources in ${paths.join(', ')}`);
  return resources;
}

/** A directory's own YAML and JSON files by name; anything else is itself. */
function filesOf(path: string): string[] {
  if (path === STDIN || !reachable(path, () => statSync(path)).isDirectory()) return [path];
  return reachable(path, () => readdirSync(path))
    .filter((name) => /\.(ya?ml|json)$/.test(name))
    .sort()
    .map((name) => `${path.replace(/\/+$/, '')}/${name}`);
}

function readText(path: string): string {
  return reachable(path, () => {
    const { size } = statSync(path);
    if (size <= FILE_BYTES_MAX) return readFileSync(path, 'utf8');
    throw new CommandError(EXIT_CODE.usage, `${path}: has ${size} bytes; at most ${FILE_BYTES_MAX}: split it`);
  });
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
