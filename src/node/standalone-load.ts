/**
 * Reading the file of `muslin bgp run` from the disk, with the secrets that it names.
 *
 * Parsing wants YAML and the schemas, which together weigh more than a quiet speaker. So the speaker has a child process
 * read the file, `muslin bgp run --check`, which hands over what it made of it and is gone with all that it had loaded.
 * The values are plain data; passwords pass through a socket that only the two have.
 */
import { fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, extname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readPasswordFile } from './bgp/bgp-secrets.ts';
import type { StandaloneParse } from './standalone-configuration.ts';

const PROGRAM = fileURLToPath(new URL(`../cli/main${extname(import.meta.filename)}`, import.meta.url));

/** The configuration in `path`, or all that is wrong with it, read in a process of its own. */
export function loadStandalone(path: string): Promise<StandaloneParse> {
  return new Promise((done, reject) => {
    const child = fork(PROGRAM, ['bgp', 'run', '--check', '--config', path], { serialization: 'advanced' });
    child.once('message', (parse) => {
      child.disconnect();
      done(parse as StandaloneParse); // what handOver has sent
    });
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`reading ${path}: the process ended with ${code} and no answer`)));
  });
}

/** Gives the parent what was read, where there is one that waits for it. */
export function handOver(parse: StandaloneParse): boolean {
  return process.send?.(parse) !== undefined;
}

/** The configuration in `path`, or all that is wrong with it. */
export async function readStandalone(path: string): Promise<StandaloneParse> {
  const { parseStandalone } = await import('./standalone-configuration.ts');
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    return { ok: false, problems: [`${path}: cannot be read: ${messageOf(error)}`] };
  }
  return parseStandalone(text, path, (file) => readPasswordFile(resolve(dirname(path), file)));
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
