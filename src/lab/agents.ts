/**
 * The agents of a lab's hosts: the same program as in production, each in its host's network namespace.
 *
 * They are started detached and outlive us; what they write to stderr goes to the host's log file. Their configuration's
 * path on the command line tells them from every other process (process.ts).
 */
import { spawn } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { inNamespace, namespacePath } from '../kernel/network-namespace.ts';
import { LabError } from './lab-error.ts';
import { hostPlaces, labPlaces, namespaceOf } from './names.ts';
import { endProcesses, identify, type ProcessIdentity } from './process.ts';
import type { Host } from './topology.ts';

/** The program that we are part of ourselves: main.ts in the source tree, main.js in a bundle. */
const PROGRAM = fileURLToPath(new URL(`../cli/main${extname(import.meta.filename)}`, import.meta.url));

/** A clean stop takes milliseconds; an agent that hangs gives up by itself after five seconds. */
const STOP_GRACE_MS = 6_000;

/** Starts the agent of a host whose namespace is there; returns once the process exists, long before it is in sync. */
export function startAgent(lab: string, { name: host, bgp }: Pick<Host, 'name' | 'bgp'>): ProcessIdentity {
  const places = hostPlaces(lab, host);
  mkdirSync(places.runDirectory, { recursive: true, mode: 0o700 });
  writeFileSync(
    places.config,
    stringify({
      node: host,
      store: labPlaces(lab).storeUrl,
      bgp,
      runDirectory: places.runDirectory,
      secretsDirectory: join(places.runDirectory, 'secrets'),
      // Of runtimes that somebody starts in this host, with these as their root: not those of the machine.
      podmanState: join(places.runDirectory, 'podman/libpod/bolt_state.db'),
      containerdState: join(places.runDirectory, 'containerd/io.containerd.metadata.v1.bolt/meta.db'),
    }),
  );
  const log = openSync(places.logFile, 'a');
  try {
    const child = inNamespace(namespacePath(namespaceOf(lab, host)), () =>
      spawn(process.execPath, [...process.execArgv, PROGRAM, 'node', 'run', '--config', places.config], {
        cwd: '/',
        detached: true,
        // The same whoever starts the lab, as under a service manager.
        env: { PATH: process.env.PATH ?? '' },
        stdio: ['ignore', log, log],
      }),
    );
    // Without a listener a failed start would end this process; the missing pid below says it all.
    child.on('error', () => undefined);
    child.unref();
    const identity = child.pid === undefined ? undefined : identify(child.pid);
    if (identity === undefined) throw new LabError('failed', `the agent of ${host} could not be started`);
    return identity;
  } finally {
    closeSync(log);
  }
}

/** Ends agents, politely at first. Processes that are no longer the ones we started are left alone. */
export async function stopAgents(agents: readonly ProcessIdentity[]): Promise<void> {
  await endProcesses(agents, STOP_GRACE_MS);
}

/** The last lines of a host's log; none when there is no log. */
export function lastLogLines(lab: string, host: string, count: number): string[] {
  const path = hostPlaces(lab, host).logFile;
  if (!existsSync(path)) return [];
  return readFileSync(path, 'utf8').trimEnd().split('\n').slice(-count);
}
