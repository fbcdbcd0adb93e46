/**
 * Programs in network namespaces: started, asked, ended by their own process number, never by name.
 *
 * `eventually` waits for a condition by asking for it again, not too often: asking takes the processors from those that are to
 * do the work. When the condition does not come it fails with what the caller gathers as an explanation.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';

/** CI shares its cores; this is when waiting has become pointless, not how fast things should be. */
const PATIENCE_MS = 60_000;
/** Between two askings. */
const PACE_MS = 50;
/** Ten thousand routes as JSON take 20 MB. */
const ANSWER_BYTES_MAX = 256 * 1024 * 1024;
/** The end of a log tells what went wrong. */
const LOG_CHARACTERS_MAX = 64_000;

/** Runs iproute2 and gives its output. */
export function ip(...words: readonly string[]): string {
  return execFileSync('ip', words, { encoding: 'utf8', stdio: 'pipe' });
}

/** Runs a program in a namespace to its end, and gives its standard output; throws when it fails. */
export async function ask(namespace: string, program: string, ...words: readonly string[]): Promise<string> {
  const options = { maxBuffer: ANSWER_BYTES_MAX, timeout: PATIENCE_MS };
  const { stdout } = await promisify(execFile)('ip', ['netns', 'exec', namespace, program, ...words], options);
  return stdout;
}

/** As `ask`; a failure is an answer, too: a daemon that is not up yet says nothing that a test waits for. */
export async function tryAsk(namespace: string, program: string, ...words: readonly string[]): Promise<string> {
  try {
    return await ask(namespace, program, ...words);
  } catch (error) {
    return String(error);
  }
}

const running = new Map<ChildProcess, string>();

/** A process that runs until it is stopped. */
export class Running {
  readonly #child: ChildProcess;
  #log = '';

  constructor(
    namespace: string,
    program: string,
    words: readonly string[],
    { cwd, onLine }: { readonly cwd?: string; readonly onLine?: (line: string) => void } = {},
  ) {
    // `ip netns exec` becomes the program, so that the process number is the program's own.
    const child = spawn('ip', ['netns', 'exec', namespace, program, ...words], {
      cwd,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    if (onLine !== undefined) createInterface({ input: child.stdout }).on('line', onLine);
    running.set(child, namespace);
    child.once('close', () => running.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARACTERS_MAX);
      });
    }
    this.#child = child;
  }

  get log(): string {
    return this.#log;
  }

  get hasEnded(): boolean {
    return !running.has(this.#child);
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.#child, 'close');
    this.#child.kill(signal);
    await ended;
  }

  /** Sends a signal that does not end it. */
  tell(signal: NodeJS.Signals): void {
    if (!this.hasEnded) this.#child.kill(signal);
  }
}

/** Ends whatever still runs in these namespaces, or in all. */
export async function killAll(namespaces?: ReadonlySet<string>): Promise<void> {
  const left = [...running].filter(([, namespace]) => namespaces?.has(namespace) ?? true);
  const ended = left.map(([child]) => once(child, 'close'));
  for (const [child] of left) child.kill('SIGKILL');
  await Promise.all(ended);
}

// A test file that is told to end removes what it has made: `exit` is where all do so.
process.once('exit', () => void killAll());
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(130));

/** Asks until the answer is true. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  explain: () => Promise<string>,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() > deadline) assert.fail(`${what}: not within ${PATIENCE_MS / 1000} s\n${await explain()}`);
    await pause(PACE_MS);
  }
}
