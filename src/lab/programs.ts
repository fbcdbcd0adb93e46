/**
 * What a router may run: another BGP speaker than the agent, with a configuration that the topology has in its own words.
 *
 * A program is one or several processes, each with a file of the lab's on its command line, by which it is found again
 * and ended (process.ts), whoever has started it and died. Sockets and logs are in the router's directory. Pure but for the look
 * whether the program is there; started and ended by routers.ts.
 */
import { existsSync } from 'node:fs';
import { basename, join } from 'node:path';
import { LabError } from './lab-error.ts';

export const ROUTER_PROGRAMS = ['muslin-bgp', 'bird', 'frr'] as const;

export type RouterProgram = (typeof ROUTER_PROGRAMS)[number];

/** What is asked here of a topology's routers. */
interface RouterWithProgram {
  readonly name: string;
  readonly runs: { readonly program: RouterProgram } | undefined;
}

/** One process of a program. */
export interface Launch {
  /** A path, or undefined for muslin itself. */
  readonly executable: string | undefined;
  readonly parameters: readonly string[];
  /** What must be in its configuration file: the topology's text, or nothing. */
  readonly configuration: { readonly path: string; readonly isTopologys: boolean };
  /** The next process needs this socket. */
  readonly opens: string | undefined;
}

/** Where Debian puts daemons; not on everybody's PATH. */
const BIRD = '/usr/sbin/bird';
const FRR_DIRECTORY = '/usr/lib/frr';
/** In the order in which they are started: zebra has the kernel, and the others come to it. */
const FRR_DAEMONS = ['zebra', 'bfdd', 'bgpd'] as const;
/** What FRR becomes once it is up; it makes its sockets after that. */
export const FRR_USER = 'frr';

/** The processes of a program, in the order in which they are started. */
export function launchesOf(program: RouterProgram, directory: string, controlSocket: string): Launch[] {
  const own = (path: string, isTopologys = true) => ({ path: join(directory, path), isTopologys });
  switch (program) {
    case 'muslin-bgp': {
      const configuration = own('bgp.yaml');
      const parameters = ['bgp', 'run', '--config', configuration.path, '--socket', controlSocket];
      return [{ executable: undefined, parameters, configuration, opens: undefined }];
    }
    case 'bird': {
      const configuration = own('bird.conf');
      const places = ['-s', join(directory, 'bird.ctl'), '-P', join(directory, 'bird.pid')];
      const parameters = ['-f', '-c', configuration.path, ...places];
      return [{ executable: BIRD, parameters, configuration, opens: undefined }];
    }
    case 'frr':
      return FRR_DAEMONS.map((daemon) => {
        const configuration = own(`${daemon}.conf`, daemon === 'bgpd');
        const zserv = join(directory, 'zserv.api');
        return {
          executable: join(FRR_DIRECTORY, daemon),
          parameters: [
            ...['-f', configuration.path, '-i', join(directory, `${daemon}.pid`), '-z', zserv],
            ...['--vty_socket', directory, '-A', '127.0.0.1', '-P', '0', '-u', FRR_USER, '-g', FRR_USER],
            ...(daemon === 'bfdd' ? ['--bfdctl', join(directory, 'bfdd.sock')] : []),
          ],
          configuration,
          opens: daemon === 'zebra' ? zserv : undefined,
        };
      });
  }
}

/** The lab's file on a command line of an agent or of a router's program; undefined when it is another command's. */
export function labFileOf(commandLine: readonly string[]): string | undefined {
  const after = (option: string): string | undefined => {
    const place = commandLine.indexOf(option);
    return place < 0 ? undefined : commandLine[place + 1];
  };
  const name = basename(commandLine[0] ?? '');
  if (name === basename(BIRD)) return after('-c');
  if (FRR_DAEMONS.some((daemon) => daemon === name)) return after('-f');
  const place = commandLine.indexOf('--config');
  const verb = place < 2 ? '' : commandLine.slice(place - 2, place).join(' ');
  return verb === 'node run' || verb === 'bgp run' ? after('--config') : undefined;
}

const PACKAGES: Readonly<Record<RouterProgram, string>> = { 'muslin-bgp': 'muslin', bird: 'bird2', frr: 'frr' };

/** Throws LabError `failed` for the first router whose program is not installed. */
export function requirePrograms(routers: readonly RouterWithProgram[]): void {
  for (const { name, runs } of routers) {
    if (runs === undefined) continue;
    const missing = launchesOf(runs.program, '', '').find(
      ({ executable }) => executable !== undefined && !existsSync(executable),
    );
    if (missing === undefined) continue;
    const what = `the router ${name} runs ${runs.program}, and there is no ${missing.executable}`;
    throw new LabError('failed', `${what}; install Debian's package ${PACKAGES[runs.program]}`);
  }
}
