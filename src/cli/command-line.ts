/**
 * Runs one command and turns how it ended into an exit code; called by main.ts.
 *
 *   returns              0, or the code that the command has set
 *   CommandError         its message on stderr, its exit code, no stack trace
 *   commander's error    commander has said what is wrong; 2 (0 for --help and --version)
 *   anything else        our bug: the stack trace; 1
 *
 * A reader of our output that goes away (`muslin get | head -1`) is no error: we end quietly.
 */
import { CommanderError } from 'commander';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { buildProgram, WELCOME, withoutHelpWord } from './program.ts';

/** Runs what these words say (without node and the script), and sets the process's exit code. */
export async function runCommandLine(given: readonly string[]): Promise<void> {
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: Error) => {
      if ('code' in error && error.code === 'EPIPE') process.exit();
      throw error;
    });
  }
  try {
    const words = withoutHelpWord(given);
    if (words.length === 0) process.stdout.write(WELCOME);
    else await (await buildProgram(words)).parseAsync(words, { from: 'user' });
  } catch (error) {
    process.exitCode = exitCodeOf(error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT_CODE.ok : EXIT_CODE.usage;
  if (error instanceof CommandError) {
    process.stderr.write(`muslin: ${error.message}\n`);
    return error.exitCode;
  }
  const stack = error instanceof Error ? error.stack : String(error);
  process.stderr.write(`muslin: this is a bug in muslin:\n${stack}\n`);
  return EXIT_CODE.failure;
}
