/**
 * The programs of a lab's routers: started in their namespaces, like the agents, to outlive us.
 *
 * FRR gives up root before it makes its sockets, so it is let into its router's directory, and through the lab's.
 */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { extname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { inNamespace, namespacePath } from '../kernel/network-namespace.ts';
import { after, monotonicNow } from '../lib/clock.ts';
import { lastLogLines } from './agents.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, labPlaces, namespaceOf } from './names.ts';
import { identify, isAlive, type ProcessIdentity } from './process.ts';
import { FRR_USER, type Launch, launchesOf, type RouterProgram } from './programs.ts';
import type { Router } from './topology.ts';

/** The program that we are part of ourselves: main.ts in the source tree, main.js in a bundle. */
const MUSLIN = fileURLToPath(new URL(`../cli/main${extname(import.meta.filename)}`, import.meta.url));

/** FRR opens its socket in a fraction of a second; a loaded machine is slower by far. */
const SOCKET_WAIT_MS = 30_000;
const POLL_MS = 10;
const LOG_LINES_SHOWN = 10;

/** May be passed through by others; nothing in it can be listed. */
const PASSABLE = 0o711;

/** Starts what a router runs; nothing for one that only forwards. Throws LabError `failed`. */
export async function startRouter(lab: string, router: Router): Promise<readonly ProcessIdentity[]> {
  const { name, runs } = router;
  if (runs === undefined) return [];
  const { runDirectory, controlSocket, logFile } = hostPlaces(lab, name);
  mkdirSync(runDirectory, { recursive: true, mode: 0o700 });
  if (runs.program === 'frr') letFrrIn(labPlaces(lab).directory, runDirectory);
  const identities: ProcessIdentity[] = [];
  for (const launch of launchesOf(runs.program, runDirectory, controlSocket)) {
    const { path, isTopologys } = launch.configuration;
    writeFileSync(path, isTopologys ? runs.configuration : '', { mode: 0o644 });
    const identity = spawnLaunch(lab, name, runs.program, launch, logFile);
    identities.push(identity);
    if (launch.opens !== undefined) await socketOpen(launch.opens, identity, `${name}: ${launch.executable}`, logFile);
  }
  return identities;
}

/** Why a router's program does not run any more; undefined while it does. */
export function whyEnded(lab: string, router: string, identities: readonly ProcessIdentity[]): string | undefined {
  if (identities.every(isAlive)) return undefined;
  const lines = lastLogLines(lab, router, LOG_LINES_SHOWN).map((line) => `  | ${line}`);
  return [`  what the router ${router} runs has ended; its last words:`, ...lines].join('\n');
}

function spawnLaunch(
  lab: string,
  router: string,
  program: RouterProgram,
  { executable, parameters }: Launch,
  logFile: string,
): ProcessIdentity {
  const log = openSync(logFile, 'a');
  try {
    const words = executable === undefined ? [...process.execArgv, MUSLIN, ...parameters] : parameters;
    const child = inNamespace(namespacePath(namespaceOf(lab, router)), () =>
      spawn(executable ?? process.execPath, words, {
        cwd: '/',
        detached: true,
        env: { PATH: process.env.PATH ?? '' },
        stdio: ['ignore', log, log],
      }),
    );
    // Without a listener a failed start would end this process; the missing pid below says it all.
    child.on('error', () => undefined);
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw new LabError('failed', `${program} of the router ${router} could not be started`);
    return identity;
  } finally {
    closeSync(log);
  }
}

async function socketOpen(path: string, identity: ProcessIdentity, who: string, logFile: string): Promise<void> {
  const deadline = after(monotonicNow(), SOCKET_WAIT_MS);
  while (!existsSync(path)) {
    const why = isAlive(identity) ? `has not opened ${path} in ${SOCKET_WAIT_MS / 1000} s` : 'has ended';
    if (!isAlive(identity) || monotonicNow() > deadline) throw new LabError('failed', `${who} ${why}; log: ${logFile}`);
    await delay(POLL_MS);
  }
}

function letFrrIn(labDirectory: string, runDirectory: string): void {
  const user = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === FRR_USER);
  if (user === undefined) throw new LabError('failed', `there is no user ${FRR_USER}; install Debian's package frr`);
  chmodSync(labDirectory, PASSABLE);
  chownSync(runDirectory, Number(user[2]), Number(user[3]));
}
