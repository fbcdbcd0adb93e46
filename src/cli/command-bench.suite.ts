/**
 * A bench for tests of resource commands: each runs in this process on an SQLite store in a directory of its own.
 *
 * Commands see the arguments that a user types and a store; tests see stdout, stderr, the exit code and the store.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { fileURLToPath } from 'node:url';
import { CommanderError } from 'commander';
import { resourceKey } from '../model/resource-key.ts';
import { openSqliteStore } from '../store/sqlite.ts';
import type { Json, Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { buildProgram } from './program.ts';

export const root = mkdtempSync(join(tmpdir(), 'muslin-test-cli-'));
after(() => rmSync(root, { recursive: true, force: true }));
let directories = 0;

interface Run {
  readonly stdout: string;
  readonly stderr: string;
  readonly exitCode: number;
}

export interface Bench {
  readonly directory: string;
  readonly url: string;
  /** Runs `muslin ARGUMENTS --store URL`. */
  readonly run: (...words: string[]) => Promise<Run>;
  /** The same as a process, for what ends with Ctrl-C; `heard` is told all of stdout so far whenever there is more. */
  readonly listen: (heard: (stdout: string, interrupt: () => void) => void, ...words: string[]) => Promise<Run>;
  /** Writes a file into the directory and says its path. */
  readonly file: (name: string, text: string) => string;
  readonly withStore: <Result>(work: (store: Store) => Promise<Result>) => Promise<Result>;
}

export function bench(): Bench {
  directories += 1;
  const directory = join(root, String(directories));
  mkdirSync(directory);
  const url = join(directory, 'store.db');
  return {
    directory,
    url,
    run: (...words) => run([...words, '--store', url]),
    listen: (heard, ...words) => listen([...words, '--store', url], heard),
    file: (name, text) => {
      writeFileSync(join(directory, name), text);
      return join(directory, name);
    },
    withStore: async (work) => {
      const store = openSqliteStore(url);
      try {
        return await work(store);
      } finally {
        await store.close();
      }
    },
  };
}

/** Runs `muslin WORDS`. */
export async function run(words: readonly string[]): Promise<Run> {
  let stdout = '';
  let stderr = '';
  const program = await buildProgram(words);
  for (const command of program.commands.flatMap((each) => [each, ...each.commands])) {
    command.configureOutput({
      writeOut: (text) => {
        stdout += text;
      },
      writeErr: (text) => {
        stderr += text;
      },
    });
  }
  try {
    await program.parseAsync(words, { from: 'user' });
    // A command that ends well may have set a code, such as diff's.
    const exitCode = Number(process.exitCode ?? EXIT_CODE.ok);
    return { stdout, stderr, exitCode };
  } catch (error) {
    if (error instanceof CommanderError)
      return { stdout, stderr, exitCode: error.exitCode === 0 ? 0 : EXIT_CODE.usage };
    if (!(error instanceof CommandError)) throw error;
    return { stdout, stderr: stderr + error.message, exitCode: error.exitCode };
  } finally {
    process.exitCode = undefined;
  }
}

/** A command that nobody ends is ended, so that a wrong test fails and does not hang. */
const LISTEN_MS = 20_000;

const MAIN = fileURLToPath(new URL('./main.ts', import.meta.url));

async function listen(words: readonly string[], heard: Parameters<Bench['listen']>[0]): Promise<Run> {
  const child = spawn(process.execPath, [MAIN, ...words], { stdio: ['ignore', 'pipe', 'pipe'], timeout: LISTEN_MS });
  let stdout = '';
  let stderr = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    heard(stdout, () => child.kill('SIGINT'));
  });
  const [exitCode] = await once(child, 'close');
  return { stdout, stderr, exitCode };
}

const HEAD = 'apiVersion: projectcalico.org/v3\n';

/** The document of a pool; `more` are further lines of its spec. */
export function pool(name: string, cidr: string, more = ''): string {
  return `---\n${HEAD}kind: IPPool\nmetadata:\n  name: ${name}\nspec:\n  cidr: ${cidr}\n${more}`;
}

/** The document of a node; `labels` is a mapping in YAML. */
export function node(name: string, labels = '{}'): string {
  return `---\n${HEAD}kind: Node\nmetadata:\n  name: ${name}\n  labels: ${labels}\nspec: {}\n`;
}

/** Puts a resource into the store as it is, whatever is wrong with it. */
export async function put(store: Store, kind: string, name: string, spec: Json, namespace?: string): Promise<void> {
  const metadata = namespace === undefined ? { name } : { name, namespace };
  const value = { apiVersion: 'projectcalico.org/v3', kind, metadata, spec };
  const key = resourceKey({ kind, ...metadata });
  await store.transact({ expect: [], writes: [{ kind: 'put', key, value }] });
}
