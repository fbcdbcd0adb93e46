/**
 * The service manager of this machine, as far as installing and purging need it: asked by systemctl, as an operator would.
 *
 * Each question has a time limit, which is said when it is over. Where systemd does not run (a container, another init) there is
 * none of it, however many of its programs are installed (sd_booted(3)).
 */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { InstallError } from './install-error.ts';
import { UNIT_NAME } from './unit.ts';

/** A stop takes TimeoutStopSec of the unit at most; all else milliseconds. */
const ANSWER_TIMEOUT_MS = 30_000;

export interface Systemd {
  /** Whether it runs, is on its way to, or has just failed and will be tried again. */
  isActive(): boolean;
  isEnabled(): boolean;
  /** Reads the units anew. */
  reload(): void;
  /** Ends it and has it not come back, also with the next boot. */
  disable(): void;
}

/** Of the machine whose files are below `root`; undefined when no systemd runs there. */
export function openSystemd(root: string): Systemd | undefined {
  if (root !== '/' || !existsSync('/run/systemd/system')) return undefined;
  const must = (...words: readonly string[]): void => {
    const { status, errors } = systemctl(words);
    if (status !== 0) throw new InstallError(`systemctl ${words.join(' ')}: ${errors.trim() || `exit code ${status}`}`);
  };
  return {
    isActive: () => !['inactive', 'unknown', ''].includes(systemctl(['is-active', UNIT_NAME]).output.trim()),
    isEnabled: () => systemctl(['is-enabled', '--quiet', UNIT_NAME]).status === 0,
    reload: () => must('daemon-reload'),
    disable: () => must('disable', '--now', UNIT_NAME),
  };
}

function systemctl(words: readonly string[]): { status: number; output: string; errors: string } {
  const result = spawnSync('systemctl', words, { encoding: 'utf8', timeout: ANSWER_TIMEOUT_MS });
  if (result.error !== undefined || result.status === null) {
    const waited = `no answer after ${ANSWER_TIMEOUT_MS / 1_000} s`;
    throw new InstallError(`systemctl ${words.join(' ')}: ${result.signal === null ? result.error?.message : waited}`);
  }
  return { status: result.status, output: result.stdout, errors: result.stderr };
}
