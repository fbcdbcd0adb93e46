/**
 * How a command ends: the exit codes that scripts rely on, and the error that carries one.
 *
 * A user's mistake is a `CommandError`: main.ts prints its message on stderr, without a stack trace, and exits with its
 * code. Anything else that is thrown is our bug and shows its stack. stdout is for results, stderr for talk.
 */
export const EXIT_CODE = {
  ok: 0,
  failure: 1,
  usage: 2,
  notFound: 3,
  conflict: 4,
  /** The store or the agent cannot be reached. */
  unreachable: 5,
  /** `diff` and `lab check`: what was compared is not the same. */
  different: 10,
  timeout: 124,
} as const;

export type ExitCode = (typeof EXIT_CODE)[keyof typeof EXIT_CODE];

export class CommandError extends Error {
  override readonly name = 'CommandError';
  readonly exitCode: ExitCode;

  /** `message` says where, what, and what would be right; it may have several lines. */
  constructor(exitCode: ExitCode, message: string) {
    super(message);
    this.exitCode = exitCode;
  }
}
