/**
 * Finding a container's labels in the databases of the runtimes of this host, at the moment that it is attached.
 *
 * The files are read as they lie there, page by page, while their owners may write: no lock is taken that podman or containerd
 * would have to wait for. If the newest transaction has changed meanwhile, what was read may be of two states, and is
 * read again. A runtime that is not there has no file, which is not a problem; whatever else is wrong is a sentence for
 * the log, and the container is attached without labels from there.
 * A lookup costs some tens of microseconds. Called by attachments.ts.
 */
import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import type { BoltSource } from './bolt.ts';
import { openSnapshot } from './bolt.ts';
import type { AcceptedLabels, LabelLookup } from './container-labels.ts';
import { containerdLabels, podmanLabels } from './container-labels.ts';

/** Paths of the databases. */
export interface ContainerDatabases {
  readonly podman: string;
  readonly containerd: string;
}

export interface ContainerLabels {
  readonly labels: Readonly<Record<string, string>>;
  /** Which runtime knows the container; undefined when none does. */
  readonly source: keyof ContainerDatabases | undefined;
  /** What could not be read or used, a sentence each. */
  readonly problems: readonly string[];
}

export const DEFAULT_CONTAINER_DATABASES: ContainerDatabases = {
  podman: '/var/lib/containers/storage/libpod/bolt_state.db',
  containerd: '/var/lib/containerd/io.containerd.metadata.v1.bolt/meta.db',
};

const LOOKUPS: readonly (readonly [keyof ContainerDatabases, LabelLookup])[] = [
  ['podman', podmanLabels],
  ['containerd', containerdLabels],
];

/** A transaction waits for the disk, a lookup does not: even one repetition is rare. */
const TRIES_MAX = 16;

/** The labels of the container that CNI calls `containerId`. */
export function containerLabels(containerId: string, databases: ContainerDatabases): ContainerLabels {
  const problems: string[] = [];
  for (const [source, lookup] of LOOKUPS) {
    const found = lookUp(databases[source], containerId, lookup);
    if (found === undefined) continue;
    if ('damage' in found) problems.push(`${databases[source]}: ${found.damage}`);
    else {
      problems.push(...found.leftOut.map((problem) => `label ${problem}`));
      return { labels: found.labels, source, problems };
    }
  }
  return { labels: {}, source: undefined, problems };
}

/** Whether the runtime still knows the container; undefined where its database is not there or cannot be read. */
export function isKnownContainer(
  source: string,
  containerId: string,
  databases: ContainerDatabases,
): boolean | undefined {
  const [name, lookup] = LOOKUPS.find(([each]) => each === source) ?? [];
  if (name === undefined || lookup === undefined || !existsSync(databases[name])) return undefined;
  const found = lookUp(databases[name], containerId, lookup);
  if (found === undefined) return false;
  return 'damage' in found ? undefined : true;
}

function lookUp(path: string, containerId: string, lookup: LabelLookup): ReturnType<LabelLookup> {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    return isAbsence(error) ? undefined : { damage: messageOf(error) };
  }
  try {
    return readConsistently(sourceOf(file), containerId, lookup);
  } catch (error) {
    return { damage: messageOf(error) };
  } finally {
    closeSync(file);
  }
}

/** Looks up until nothing was written meanwhile; exported for tests with a writer of their own. */
export function readConsistently(
  source: BoltSource,
  containerId: string,
  lookup: LabelLookup,
): AcceptedLabels | undefined | { readonly damage: string } {
  for (let tries = 0; tries < TRIES_MAX; tries++) {
    const snapshot = openSnapshot(source);
    if ('damage' in snapshot) return snapshot;
    const found = lookup(snapshot, containerId);
    const afterwards = openSnapshot(source);
    if (!('damage' in afterwards) && afterwards.transaction === snapshot.transaction) return found;
  }
  return { damage: `was written to during each of ${TRIES_MAX} readings` };
}

function sourceOf(file: number): BoltSource {
  return (offset, length) => {
    const bytes = Buffer.allocUnsafe(length);
    return readSync(file, bytes, 0, length, offset) === length ? bytes : undefined;
  };
}

function isAbsence(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
