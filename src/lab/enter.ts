/**
 * Running a command inside a lab's namespace, with our own stdin, stdout and stderr.
 *
 * Only the network is the entity's: files, processes and users stay the machine's, so every tool that is installed can be
 * used. For a host, MUSLIN_SOCKET and MUSLIN_STORE lead muslin's own commands to that host's agent and the lab's
 * store; for a router MUSLIN_SOCKET leads to its speaker, where that is muslin's. Signals go to the command: what a terminal sends reaches it anyway, what is sent to us is passed on.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { fileURLToPath } from 'node:url';
import { inNamespace, namespacePath } from '../kernel/network-namespace.ts';
import type { Entity } from './find-lab.ts';
import { hostPlaces, labPlaces } from './names.ts';

const BIN_DIRECTORY = fileURLToPath(new URL('../../bin', import.meta.url));

/** Sent by the terminal to the whole foreground group, the command among them. */
const SIGNALS_OF_TERMINAL = ['SIGINT', 'SIGQUIT'] as const;
const SIGNALS_PASSED_ON = ['SIGTERM', 'SIGHUP'] as const;

/** The shell's codes for a command that is there but cannot be run, and for one that is not there. */
const CANNOT_RUN = 126;
const NOT_FOUND = 127;

/**
 * Runs `command` inside the entity's namespace. The answer is its exit code, 128 and the number of the signal that ended
 * it, or 126 or 127, as a shell's would be, when it could not be run, which `onRefused` is told.
 */
export async function enter(
  lab: string,
  entity: Entity,
  command: readonly [string, ...string[]],
  onRefused: (reason: string) => void,
): Promise<number> {
  const [program, ...parameters] = command;
  const env = {
    ...process.env,
    PATH: `${BIN_DIRECTORY}:${process.env.PATH ?? ''}`,
    ...((entity.kind === 'host' || entity.kind === 'router') && {
      MUSLIN_SOCKET: hostPlaces(lab, entity.name).controlSocket,
    }),
    ...(entity.kind === 'host' && { MUSLIN_STORE: labPlaces(lab).storeUrl }),
  };
  const child = inNamespace(namespacePath(entity.namespace), () =>
    spawn(program, parameters, { stdio: 'inherit', env }),
  );
  const ignore = () => undefined;
  const passOn = (signal: NodeJS.Signals) => child.kill(signal);
  for (const signal of SIGNALS_OF_TERMINAL) process.on(signal, ignore);
  for (const signal of SIGNALS_PASSED_ON) process.on(signal, passOn);
  try {
    return await new Promise<number>((resolve) => {
      child.on('error', (error) => {
        const isMissing = 'code' in error && error.code === 'ENOENT';
        onRefused(isMissing ? `${program}: there is no such command` : error.message);
        resolve(isMissing ? NOT_FOUND : CANNOT_RUN);
      });
      child.on('close', (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    for (const signal of SIGNALS_OF_TERMINAL) process.off(signal, ignore);
    for (const signal of SIGNALS_PASSED_ON) process.off(signal, passOn);
  }
}
