/**
 * What was installed, by path and digest, and what kernel settings were before: how a later install, or a purge, knows a file of ours
 * from one of somebody else's and from one of ours that somebody has edited.
 *
 * It lies in /var/lib/muslin/installed.json. One that cannot be read is as good as none: then nothing that is there is ours.
 */
import { createHash } from 'node:crypto';
import { isJsonObject } from '../../lib/json.ts';
import { STATE_DIRECTORY } from './layout.ts';

export const MANIFEST_PATH = `${STATE_DIRECTORY}/installed.json`;

export interface Manifest {
  readonly version: string;
  /** Digests as they were installed, by path on the host. */
  readonly files: ReadonlyMap<string, string>;
  /** Of the kernel's run in which `settings` were read: only in a later one can the drop-in have changed them. */
  readonly bootId: string;
  /** What settings that a drop-in changes at boot were when it was put in place, by name below /proc/sys/net. */
  readonly settings: ReadonlyMap<string, string>;
}

export function digestOf(content: Uint8Array): string {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`;
}

export function manifestText({ version, files, bootId, settings }: Manifest): string {
  const document = {
    format: 1,
    version,
    files: Object.fromEntries([...files].toSorted(byName)),
    bootId,
    settings: Object.fromEntries([...settings].toSorted(byName)),
  };
  return `${JSON.stringify(document, undefined, 2)}\n`;
}

/** Undefined for what is no manifest. */
export function parseManifest(text: string): Manifest | undefined {
  const document = parse(text);
  if (!isJsonObject(document) || document['format'] !== 1) return undefined;
  const { version, bootId } = document;
  return {
    version: typeof version === 'string' ? version : '',
    files: textsOf(document['files']),
    bootId: typeof bootId === 'string' ? bootId : '',
    settings: textsOf(document['settings']),
  };
}

function textsOf(value: unknown): Map<string, string> {
  const entries = isJsonObject(value) ? Object.entries(value) : [];
  return new Map(entries.flatMap(([name, text]) => (typeof text === 'string' ? [[name, text] as const] : [])));
}

function byName([a]: readonly [string, string], [b]: readonly [string, string]): number {
  return a < b ? -1 : 1;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
