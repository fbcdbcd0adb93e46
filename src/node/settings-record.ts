/**
 * What the host's kernel settings were before we changed them, written down so that a purge can put them back.
 *
 * Each setting is written down once, before its first change, with those that the kernel changes along with it. The file is in the
 * run directory, which a reboot empties as it resets the settings. Written by the agent, read by `muslin node purge`.
 */
import { settingsThatFollow } from '../felix/dataplane/settings.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { withFileErrors } from '../kernel/network-namespace.ts';
import { isJsonObject } from '../lib/json.ts';
import { readIfThere, replaceFile } from './install/files.ts';

/** In the run directory. */
export const SETTINGS_FILE_NAME = 'host-settings.json';

export interface RecordedSetting {
  /** Below /proc/sys/net. */
  readonly name: string;
  readonly before: string;
  /** What we have written. */
  readonly written: string;
  /** What other settings were, which the kernel changes along with this one. */
  readonly followers: Readonly<Record<string, string>>;
}

/** Notes what `name` is now, unless that has been noted already. Throws KernelError. */
export function recordSetting(path: string, kernel: Kernel, wish: { readonly name: string; readonly value: string }) {
  const recorded = readSettingsRecord(path);
  if (recorded.some(({ name }) => name === wish.name)) return;
  const before = kernel.readSysctl(wish.name);
  if (before === undefined) return;
  const devices = kernel.links().map(({ name }) => name);
  const followers = settingsThatFollow(wish.name, devices).flatMap((name): [string, string][] => {
    const value = kernel.readSysctl(name);
    return value === undefined ? [] : [[name, value]];
  });
  const entry = { name: wish.name, before, written: wish.value, followers: Object.fromEntries(followers) };
  const text = `${JSON.stringify([...recorded, entry], undefined, 2)}\n`;
  withFileErrors(`noting what ${wish.name} was`, () => replaceFile(path, text, 0o600));
}

/** What was noted, in the order of the changes. What cannot be read as such is nothing. Throws KernelError. */
export function readSettingsRecord(path: string): RecordedSetting[] {
  const text = withFileErrors(path, () => readIfThere(path))?.toString('utf8') ?? '[]';
  const entries = parse(text);
  return Array.isArray(entries) ? entries.filter(isRecordedSetting) : [];
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isRecordedSetting(value: unknown): value is RecordedSetting {
  if (!isJsonObject(value)) return false;
  const texts = [value['name'], value['before'], value['written']];
  const { followers } = value;
  return [...texts, ...(isJsonObject(followers) ? Object.values(followers) : [undefined])].every(
    (text) => typeof text === 'string',
  );
}
