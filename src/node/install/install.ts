/**
 * `muslin node install`: puts on the host what the plan says.
 *
 *   wanted files (layout.ts) ─┐
 *   what is there, manifest  ─┴─► plan (install-plan.ts) ─► files, one after the other ─► manifest ─► systemd reads its units
 *
 * Each file is replaced at once; a second run, or one after a run that was interrupted, does what is missing. Nothing is started:
 * an operator wants to look at the configuration first. Nothing is waited for but systemctl, which has a time limit.
 */
import { readdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { AgentConfiguration } from '../configuration.ts';
import { ConfigurationError, parseAgentConfiguration } from '../configuration.ts';
import { VERSION } from '../version.ts';
import { CONFLIST_PATH } from './conflist.ts';
import { readIfThere, replaceFile } from './files.ts';
import { fileWork, InstallError } from './install-error.ts';
import type { InstallPlan, PlannedFile } from './install-plan.ts';
import { planInstall } from './install-plan.ts';
import type { InstalledFile } from './layout.ts';
import { layoutOf, NETWORK_MANAGER_DIRECTORY, UNIT_PATH } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { MANIFEST_PATH, manifestText, parseManifest } from './manifest.ts';
import { openSystemd } from './systemd.ts';
import { CONFIGURATION_PATH, UNIT_NAME } from './unit.ts';

export interface InstallOptions {
  /** The folder that is "/" for the host. */
  readonly root: string;
  /** bin/muslin, as the host sees it. */
  readonly program: string;
  /** The built plugin, as we see it. */
  readonly plugin: string;
  /** A file to become /etc/muslin/muslin.yaml; undefined for a start with defaults. */
  readonly configuration: string | undefined;
  readonly dryRun: boolean;
}

export interface InstallReport {
  readonly version: string;
  readonly root: string;
  readonly dryRun: boolean;
  readonly files: readonly PlannedFile[];
  /** Whether anything was changed, or would be. */
  readonly changed: boolean;
  /** What the operator should know, in sentences. */
  readonly notes: readonly string[];
  /** What is to be done next, as a command. */
  readonly next: string;
}

/** What the drop-in of kernel settings changes at boot. */
const SETTINGS_AT_BOOT: readonly string[] = ['ipv4/ip_forward'];

/** Throws InstallError. */
export function install(options: InstallOptions): InstallReport {
  const { root, dryRun } = options;
  const wanted = layoutOf(readWish(options));
  const plan = readPlan(root, wanted);
  const conflicts = plan.files.filter(({ change }) => change === 'conflict').map(({ path }) => join(root, path));
  if (conflicts.length > 0) {
    const what = conflicts.length === 1 ? 'is there, and was' : 'are there, and were';
    throw new InstallError(
      `${conflicts.join(', ')} ${what} not installed by muslin; move it away and install again. Nothing was changed`,
      'conflict',
    );
  }
  const changed = plan.files.some(({ change }) => change !== 'unchanged' && change !== 'keep');
  if (!dryRun) carryOut(root, wanted, plan);
  return {
    ...{ version: VERSION, root, dryRun, files: plan.files, changed },
    notes: notesOf(root, plan, dryRun ? options.configuration : undefined),
    next: nextStep(root, options.program, plan),
  };
}

/** What was installed below `root`; undefined when nothing was, or nobody knows. */
export function readManifest(root: string): Manifest | undefined {
  const path = join(root, MANIFEST_PATH);
  const text = fileWork(path, () => readIfThere(path))?.toString('utf8');
  return text === undefined ? undefined : parseManifest(text);
}

function readWish({ root, program, plugin, configuration }: InstallOptions) {
  const binary = fileWork(plugin, () => readIfThere(plugin));
  if (binary === undefined) {
    throw new InstallError(`there is no CNI plugin at ${plugin}; build it with: npm run setup`);
  }
  const directory = join(root, NETWORK_MANAGER_DIRECTORY);
  return {
    program,
    plugin: binary,
    configuration: configuration === undefined ? undefined : checkedConfiguration(configuration),
    hasNetworkManager: namesIn(directory) !== undefined,
  };
}

function checkedConfiguration(path: string): string {
  const text = fileWork(path, () => readIfThere(path))?.toString('utf8');
  if (text === undefined)
    throw new InstallError(`there is no file ${path}, to be the agent's configuration`, 'invalid');
  parse(text, path);
  return text;
}

function parse(text: string, path: string): AgentConfiguration {
  try {
    return parseAgentConfiguration(text, path);
  } catch (error) {
    if (error instanceof ConfigurationError) throw new InstallError(error.message, 'invalid');
    throw error;
  }
}

function readPlan(root: string, wanted: readonly InstalledFile[]): InstallPlan {
  const before = readManifest(root);
  const present = new Map<string, Uint8Array>();
  for (const path of new Set([...wanted.map((file) => file.path), ...(before?.files.keys() ?? [])])) {
    const content = fileWork(join(root, path), () => readIfThere(join(root, path)));
    if (content !== undefined) present.set(path, content);
  }
  // Below another root, this machine's kernel says nothing of the host that is to be.
  const settings = root === '/' ? settingsNow() : new Map<string, string>();
  const bootId = root === '/' ? currentBootId() : '';
  return planInstall({ wanted, present, before, settings, bootId, version: VERSION });
}

/** Of this run of the kernel. */
export function currentBootId(): string {
  return readIfThere('/proc/sys/kernel/random/boot_id')?.toString('utf8').trim() ?? '';
}

function settingsNow(): Map<string, string> {
  return new Map(
    SETTINGS_AT_BOOT.flatMap((name) => {
      const value = readIfThere(`/proc/sys/net/${name}`)?.toString('utf8').trim();
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

function carryOut(root: string, wanted: readonly InstalledFile[], plan: InstallPlan): void {
  const contents = new Map(wanted.map((file) => [file.path, file]));
  for (const { path, change } of plan.files) {
    const file = contents.get(path);
    const place = join(root, path);
    if (change === 'remove') fileWork(place, () => rmSync(place, { force: true }));
    if (file === undefined || (change !== 'create' && change !== 'replace')) continue;
    fileWork(place, () => replaceFile(place, file.content, file.mode));
  }
  const manifest = join(root, MANIFEST_PATH);
  const text = manifestText(plan.manifest);
  fileWork(manifest, () => {
    if (readIfThere(manifest)?.toString('utf8') !== text) replaceFile(manifest, text, 0o600);
  });
  const unit = plan.files.find(({ path }) => path === UNIT_PATH);
  if (unit?.change === 'create' || unit?.change === 'replace') openSystemd(root)?.reload();
}

function notesOf(root: string, plan: InstallPlan, configuration: string | undefined): string[] {
  const kept = plan.files.filter(({ change, path }) => change === 'keep' && path !== CONFIGURATION_PATH);
  return [
    ...kept.map(({ path }) => `${join(root, path)} is kept: somebody has edited it since it was installed`),
    ...configurationNotes(root, configuration),
    ...(namesIn(dirname(join(root, CONFLIST_PATH)))
      ?.filter((name) => /\.(conf|conflist|json)$/.test(name) && name < '10-muslin.conflist')
      .map(
        (name) => `container runtimes go on using ${join(root, dirname(CONFLIST_PATH), name)}: they take the first`,
      ) ?? []),
  ];
}

/** The configuration as it is, or would be from `file`. */
function configurationNotes(root: string, file: string | undefined): string[] {
  const path = join(root, CONFIGURATION_PATH);
  const text = (readIfThere(path) ?? (file === undefined ? undefined : readIfThere(file)))?.toString('utf8');
  if (text === undefined) return [];
  try {
    if (parseAgentConfiguration(text, path).cniConfiguration !== undefined) return [];
    return [`container runtimes will not use muslin: ${path} does not say "cniConfiguration: ${CONFLIST_PATH}"`];
  } catch (error) {
    if (error instanceof ConfigurationError) return [`the agent will not start: ${error.message}`];
    throw error;
  }
}

function nextStep(root: string, program: string, plan: InstallPlan): string {
  if (root !== '/') return `on the host itself: systemctl enable --now ${UNIT_NAME}`;
  const systemd = openSystemd(root);
  if (systemd === undefined) {
    return `no systemd runs here; have your service manager run: ${program} node run --config ${CONFIGURATION_PATH}`;
  }
  if (!systemd.isActive()) return `systemctl enable --now ${UNIT_NAME}`;
  const replaced = plan.files.some(({ change }) => change === 'replace');
  return replaced ? `systemctl restart ${UNIT_NAME}` : '';
}

function namesIn(directory: string): string[] | undefined {
  try {
    return readdirSync(directory).sort();
  } catch {
    return undefined; // there is none
  }
}
