/**
 * What the lab's commands share: how its errors become exit codes, how a lab is named, how interruptions are heard.
 *
 * The lab itself throws typed errors and never prints or exits (lab/lab-error.ts); the one table from their codes to exit
 * codes is here. What is none of these errors passes, and main.ts shows it as the bug that it is.
 */
import { Option } from 'commander';
import { KernelError } from '../kernel/kernel.ts';
import { LabError, type LabErrorCode } from '../lab/lab-error.ts';
import { StoreError } from '../store/store.ts';
import { CommandError, EXIT_CODE, type ExitCode } from './exit-code.ts';

const EXIT_CODES: Readonly<Record<Exclude<LabErrorCode, 'interrupted'>, ExitCode>> = {
  invalid: EXIT_CODE.usage,
  notFound: EXIT_CODE.notFound,
  conflict: EXIT_CODE.conflict,
  unreachable: EXIT_CODE.unreachable,
  timeout: EXIT_CODE.timeout,
  failed: EXIT_CODE.failure,
};

/** Runs a lab's work; what the world refuses becomes a CommandError. */
export async function labAction<Result>(work: () => Promise<Result> | Result): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof LabError && error.code !== 'interrupted') {
      throw new CommandError(EXIT_CODES[error.code], error.message);
    }
    if (error instanceof KernelError && (error.code === 'EPERM' || error.code === 'EACCES')) {
      throw new CommandError(EXIT_CODE.failure, `${error.message}; labs need root: run it again with sudo`);
    }
    if (error instanceof KernelError || error instanceof StoreError) {
      throw new CommandError(EXIT_CODE.failure, error.message);
    }
    throw error;
  }
}

export function labOption(): Option {
  return new Option('--lab <name>', 'the lab; needed only when several are up');
}

export interface LabOption {
  readonly lab?: string;
}

/** Seconds as a person writes them. Throws CommandError. */
export function parseSeconds(text: string): number {
  const seconds = Number(text);
  if (text.trim() !== '' && Number.isFinite(seconds) && seconds > 0 && seconds <= TIMEOUT_SECONDS_MAX) return seconds;
  throw new CommandError(EXIT_CODE.usage, `"${text}" is not a timeout; write seconds from 1 to ${TIMEOUT_SECONDS_MAX}`);
}

/** A lab that needs more than an hour does not converge. */
const TIMEOUT_SECONDS_MAX = 3_600;

/** A signal that aborts at SIGINT or SIGTERM until `done` is called; `received` tells which came. */
export function untilInterrupted(): {
  readonly signal: AbortSignal;
  readonly received: () => NodeJS.Signals | undefined;
  readonly done: () => void;
} {
  const controller = new AbortController();
  let received: NodeJS.Signals | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    received ??= signal;
    controller.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal);
  return {
    signal: controller.signal,
    received: () => received,
    done: () => {
      for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.off(signal, onSignal);
    },
  };
}
