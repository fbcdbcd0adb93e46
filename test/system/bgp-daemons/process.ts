/**
 * Programs in network namespaces: started, asked, ended by their own process number, never by name.
 *
 * `eventually` waits for a condition by asking for it again; each asking runs a program or exchanges messages, which keeps
 * the pace. When the condition does not come it fails with what the caller gathers as an explanation.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { promisify } from 'node:util';

/** CI shares its cores; this is when waiting has become pointless, not how fast things should be. */
const PATIENCE_MS = 60_000;
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

const running = new Set<ChildProcess>();

/** A process that runs until it is stopped. */
export class Running {
  readonly child: ChildProcess;
  #log = '';

  constructor(namespace: string, program: string, words: readonly string[], options: { readonly cwd?: string } = {}) {
    // `ip netns exec` becomes the program, so that the process number is the program's own.
    const child = spawn('ip', ['netns', 'exec', namespace, program, ...words], {
      ...options,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(child);
    child.once('close', () => running.delete(child));
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#log = (this.#log + text).slice(-LOG_CHARACTERS_MAX);
      });
    }
    this.child = child;
  }

  get log(): string {
    return this.#log;
  }

  get hasEnded(): boolean {
    return !running.has(this.child);
  }

  async stop(signal: NodeJS.Signals): Promise<void> {
    if (this.hasEnded) return;
    const ended = once(this.child, 'close');
    this.child.kill(signal);
    await ended;
  }
}

/** Ends whatever a failed test has left running. */
export function killAll(): void {
  for (const child of running) child.kill('SIGKILL');
}

// A test file that is told to end removes what it has made: `exit` is where all do so.
process.once('exit', killAll);
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => process.exit(130));

/** Asks until the answer is true. */
export async function eventually(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  explain: () => Promise<string>,
): Promise<void> {
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await isSo())) {
    if (Date.now() < deadline) continue;
    assert.fail(`${what}: not within ${PATIENCE_MS / 1000} s\n${await explain()}`);
  }
}
