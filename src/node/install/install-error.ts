/**
 * Why a host cannot be installed on, or purged: a sentence for its operator, with what would help.
 *
 * Made of what the file system, systemd or another process has refused; printed by the commands without a stack trace.
 */
export class InstallError extends Error {
  override readonly name = 'InstallError';
  /** "conflict": something of somebody else's is in the way, or an agent that runs. "timeout": it did not come to an end. */
  readonly code: 'failed' | 'conflict' | 'timeout' | 'invalid';

  constructor(message: string, code: InstallError['code'] = 'failed') {
    super(message);
    this.code = code;
  }
}

/** Turns what the file system throws into InstallError. */
export function fileWork<Result>(what: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error;
    const reasons: Readonly<Record<string, string>> = {
      EACCES: 'permission denied; root is needed',
      EPERM: 'permission denied; root is needed',
      EROFS: 'the file system is read-only; --root DIR installs elsewhere',
      ENOSPC: 'the disk is full',
      ENOTDIR: 'a part of this path is a file, and should be a folder',
    };
    throw new InstallError(`${what}: ${reasons[error.code] ?? error.message}`);
  }
}
