/**
 * The files' part of a purge: what was installed, what the agent has written, and its run directory.
 *
 * A file that somebody has edited since it was installed is his work, and yet must not go on having an effect (a unit that starts at the next
 * boot, a network that runtimes ask for): it is put aside under another name. The agent's own configuration, once edited, stays where
 * it is. A file that was never ours is not looked at. Folders of ours go when they are empty.
 */
import { existsSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { PID_FILE_NAME } from '../agent-process.ts';
import { DETACH_DIRECTORY_NAME } from '../attach/detach-queue.ts';
import { CNI_SOCKET_NAME, CONTROL_SOCKET_NAME } from '../control-api.ts';
import { BACKENDS_FILE_NAME } from '../open-felix.ts';
import { SETTINGS_FILE_NAME } from '../settings-record.ts';
import { isOwnConflist } from './conflist.ts';
import { readIfThere, removeIfEmpty } from './files.ts';
import { fileWork } from './install-error.ts';
import { STATE_DIRECTORY, UNIT_PATH } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { digestOf, MANIFEST_PATH } from './manifest.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';
import type { Systemd } from './systemd.ts';
import { CONFIGURATION_PATH } from './unit.ts';

/** What is put behind the name of a file that somebody has edited. */
const ASIDE = '.edited';

/** The network configuration that the agent writes for container runtimes: with it, they stop asking us. */
export function runtimesPart(path: string): PurgePart {
  return {
    list: () => {
      const text = fileWork(path, () => readIfThere(path))?.toString('utf8');
      if (text === undefined || !asksForUs(text)) return [];
      const detail = isOwnConflist(text) ? 'container runtimes use us by it' : asideDetail(path);
      return [{ kind: 'file', name: path, detail }];
    },
    remove: () => {
      const text = fileWork(path, () => readIfThere(path))?.toString('utf8');
      if (text !== undefined && asksForUs(text)) takeAway(path, isOwnConflist(text));
    },
  };
}

/** What the manifest has, and at last the manifest. */
export function installedPart(
  root: string,
  readManifest: () => Manifest | undefined,
  systemd: Systemd | undefined,
): PurgePart {
  const manifestPath = join(root, MANIFEST_PATH);
  const there = () =>
    [...(readManifest()?.files ?? [])].flatMap(([path, digest]) => {
      const place = join(root, path);
      const content = fileWork(place, () => readIfThere(place));
      return content === undefined ? [] : [{ path, place, isEdited: digestOf(content) !== digest }];
    });
  return {
    list: () => [
      ...there()
        .filter(({ path, isEdited }) => !isEdited || path !== CONFIGURATION_PATH)
        .map(({ place, isEdited }): OwnedObject => {
          return { kind: 'file', name: place, detail: isEdited ? asideDetail(place) : 'installed by muslin' };
        }),
      ...(existsSync(manifestPath) ? [{ kind: 'file', name: manifestPath, detail: 'what was installed' }] : []),
    ],
    remove: () => {
      const files = there();
      for (const { path, place, isEdited } of files) {
        if (path !== CONFIGURATION_PATH || !isEdited) takeAway(place, !isEdited);
      }
      fileWork(manifestPath, () => rmSync(manifestPath, { force: true }));
      for (const directory of [STATE_DIRECTORY, '/etc/muslin']) removeIfEmpty(join(root, directory));
      if (files.some(({ path }) => path === UNIT_PATH)) systemd?.reload();
    },
    notes: () =>
      there()
        .filter(({ path, isEdited }) => isEdited && path === CONFIGURATION_PATH)
        .map(({ place }) => `${place} is kept: somebody has edited it`),
  };
}

/** What an agent leaves in its run directory, besides detachments that wait; others' files there stay. */
const RUN_FILES = [CONTROL_SOCKET_NAME, CNI_SOCKET_NAME, PID_FILE_NAME, BACKENDS_FILE_NAME, SETTINGS_FILE_NAME];

export function runDirectoryPart(directory: string): PurgePart {
  const namesIn = (path: string) => fileWork(path, () => (existsSync(path) ? readdirSync(path) : []));
  const detachments = join(directory, DETACH_DIRECTORY_NAME);
  const files = () => [
    ...namesIn(directory)
      .filter((name) => RUN_FILES.includes(name))
      .map((name) => join(directory, name)),
    ...namesIn(detachments).map((name) => join(detachments, name)),
  ];
  return {
    list: () => files().map((name) => ({ kind: 'file', name, detail: 'of the agent while it runs' })),
    remove: () => {
      for (const path of files()) fileWork(path, () => rmSync(path, { force: true }));
      for (const path of [detachments, directory]) fileWork(path, () => removeIfEmpty(path));
    },
  };
}

function takeAway(path: string, isOurs: boolean): void {
  fileWork(path, () => (isOurs ? rmSync(path, { force: true }) : renameSync(path, `${path}${ASIDE}`)));
}

function asideDetail(path: string): string {
  return `edited by somebody: kept as ${path}${ASIDE}`;
}

/** Whether it is a network of ours, as we made it or as somebody has edited it. */
function asksForUs(text: string): boolean {
  return isOwnConflist(text) || /"type"\s*:\s*"muslin"/.test(text);
}
