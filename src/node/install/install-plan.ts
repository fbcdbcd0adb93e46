/**
 * What installing would change, from what is wanted, what is there, and what was installed before.
 *
 *   is there                       then
 *   nothing                        it is created
 *   the same                       nothing, and it counts as installed from now on
 *   what we installed before       it is replaced: an upgrade
 *   ours, edited by somebody       it is kept: his word goes before ours
 *   somebody else's                it is in the way, and nothing at all is installed
 *   what we installed before and want no more                it is removed
 */
import type { InstalledFile } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { digestOf } from './manifest.ts';

export type FileChange = 'create' | 'unchanged' | 'replace' | 'keep' | 'conflict' | 'remove';

export interface PlannedFile {
  readonly path: string;
  readonly title: string;
  readonly change: FileChange;
}

export interface InstallPlan {
  readonly files: readonly PlannedFile[];
  /** As it is to be written once the files are in place. */
  readonly manifest: Manifest;
}

/** `present`: what is there under the paths that are wanted and those of the manifest. `settings`: what they are now. */
export function planInstall(options: {
  readonly wanted: readonly InstalledFile[];
  readonly present: ReadonlyMap<string, Uint8Array>;
  readonly before: Manifest | undefined;
  readonly settings: ReadonlyMap<string, string>;
  readonly bootId: string;
  readonly version: string;
}): InstallPlan {
  const { wanted, present, before, version } = options;
  const installed = before?.files ?? new Map<string, string>();
  const first = before ?? options;
  const digests = new Map<string, string>();
  const files = wanted.map(({ path, title, content, owner }): PlannedFile => {
    const own = installed.get(path);
    const change = changeOf(digestOf(content), digestAt(present, path), own, owner);
    if (change === 'create' || change === 'replace' || change === 'unchanged') digests.set(path, digestOf(content));
    else if (own !== undefined) digests.set(path, own);
    return { path, title, change };
  });
  const paths = new Set(wanted.map(({ path }) => path));
  const stale = [...installed].filter(([path, digest]) => !paths.has(path) && digestAt(present, path) === digest);
  const removed = stale.map(([path]): PlannedFile => ({ path, title: 'not needed any more', change: 'remove' }));
  return {
    files: [...files, ...removed],
    // What settings were before the first installation is what counts.
    manifest: { version, files: digests, bootId: first.bootId, settings: first.settings },
  };
}

function digestAt(present: ReadonlyMap<string, Uint8Array>, path: string): string | undefined {
  const content = present.get(path);
  return content === undefined ? undefined : digestOf(content);
}

function changeOf(
  wanted: string,
  present: string | undefined,
  installed: string | undefined,
  owner: InstalledFile['owner'],
): FileChange {
  if (present === undefined) return 'create';
  if (present === wanted) return 'unchanged';
  if (owner === 'operator') return 'keep';
  if (installed === undefined) return 'conflict';
  return present === installed ? 'replace' : 'keep';
}
