/**
 * `muslin node purge`: every trace of muslin on this host, listed, removed, and looked for again.
 *
 * The order: runtimes stop asking us; the agent stops, which would put things back; containers leave the network; only then the packet
 * filter goes; routes, settings, the node's records in the store, installed files, and at last what the agent has
 * noted. Nothing of it touches the host's own packets: its tables go at once, and what bears no mark of ours stays (ownership.ts).
 * Everything that is waited for has a time limit and says what it was.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { openIpipPrograms } from '../../kernel/bpf/ipip-programs.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { openKernel } from '../../kernel/netlink-kernel.ts';
import { openStore } from '../../store/open-store.ts';
import { agentPid, endAgent } from '../agent-process.ts';
import type { AgentConfiguration } from '../configuration.ts';
import { ConfigurationError, parseAgentConfiguration, readAgentConfiguration } from '../configuration.ts';
import type { RecordedSetting } from '../settings-record.ts';
import { readSettingsRecord, SETTINGS_FILE_NAME } from '../settings-record.ts';
import { CONFLIST_PATH } from './conflist.ts';
import { currentBootId, readManifest } from './install.ts';
import { InstallError } from './install-error.ts';
import { installedPart, runDirectoryPart, runtimesPart } from './purge-files.ts';
import { filterParts } from './purge-filter.ts';
import { devicesPart, routesPart, settingsPart } from './purge-network.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';
import { storePart } from './purge-store.ts';
import { tunnelsPart } from './purge-tunnels.ts';
import type { Systemd } from './systemd.ts';
import { openSystemd } from './systemd.ts';
import { CONFIGURATION_PATH, UNIT_NAME } from './unit.ts';

export interface PurgeOptions {
  /** The folder that is "/" for the host's files. Another one is an image, of which there are files and nothing else. */
  readonly root: string;
  /**
   * The configuration of an agent of this machine, in this network namespace; undefined for the one that was installed, and defaults
   * where there is none.
   */
  readonly configuration: string | undefined;
  readonly keepStore: boolean;
  readonly keepSettings: boolean;
  /** Whether an agent that no service manager runs is ended. */
  readonly stopAgent: boolean;
}

export interface PurgePlan {
  readonly node: string;
  /** In the order in which they go. */
  readonly objects: readonly OwnedObject[];
  readonly notes: readonly string[];
}

export interface PurgeReport extends PurgePlan {
  /** What is there still. */
  readonly left: readonly OwnedObject[];
  /** What the kernel has refused in the last round, in sentences. */
  readonly refusals: readonly string[];
}

/** The agent gives up by itself after five seconds. */
const STOP_TIMEOUT_MS = 15_000;
/** A set that a rule has just let go of, a record that another host has changed: what is left is tried again so often. */
const ROUNDS_MAX = 5;
/** A store that does not answer must not keep a host from being purged. */
const STORE_TIMEOUT_MS = 20_000;
/** What settings were written to by the drop-in for booting. */
const WRITTEN_AT_BOOT = '1';

/** What there is. Throws InstallError, KernelError, StoreError. */
export async function planPurge(options: PurgeOptions): Promise<PurgePlan> {
  return withParts(options, async (parts, node) => ({ node, ...(await look(parts)) }));
}

/** Removes it, and looks again. Throws as `planPurge`; what was removed by then stays removed. */
export async function purge(options: PurgeOptions): Promise<PurgeReport> {
  return withParts(options, async (parts, node) => {
    const { objects, notes } = await look(parts);
    for (const part of parts) part.check?.();
    let left: readonly OwnedObject[] = objects;
    let refusals: readonly string[] = [];
    for (let round = 0; round < ROUNDS_MAX && left.length > 0; round++) {
      refusals = await removeAll(parts);
      left = (await look(parts)).objects;
    }
    return { node, objects, notes, left, refusals };
  });
}

/** What the kernel refuses is left, and the rest goes all the same; anything else ends the purge. */
async function removeAll(parts: readonly PurgePart[]): Promise<string[]> {
  const refusals: string[] = [];
  for (const part of parts) {
    try {
      await part.remove();
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      refusals.push(error.message);
    }
  }
  return refusals;
}

async function look(parts: readonly PurgePart[]): Promise<{ objects: OwnedObject[]; notes: string[] }> {
  const objects: OwnedObject[] = [];
  for (const part of parts) objects.push(...(await part.list()));
  return { objects, notes: parts.flatMap((part) => part.notes?.() ?? []) };
}

/** Opens all parts, in the order in which they are carried out, and closes them. */
async function withParts<Result>(
  options: PurgeOptions,
  work: (parts: readonly PurgePart[], node: string) => Promise<Result>,
): Promise<Result> {
  const { root } = options;
  const configuration = readConfiguration(options);
  const systemd = openSystemd(root);
  const files = installedPart(root, () => readManifest(root), systemd);
  if (root !== '/' && options.configuration === undefined) {
    return work([runtimesPart(join(root, configuration.cniConfiguration ?? CONFLIST_PATH)), files], configuration.node);
  }
  const kernel = openKernel();
  const filters = filterParts();
  const store = options.keepStore ? undefined : await openNodeStore(configuration);
  const { node, runDirectory } = configuration;
  // Read now, since both records go before the purge has ended.
  const recorded = options.keepSettings ? [] : recordedSettings(root, runDirectory);
  const parts: PurgePart[] = [
    runtimesPart(configuration.cniConfiguration ?? join(root, CONFLIST_PATH)),
    agentPart(runDirectory, systemd, options.stopAgent),
    devicesPart(kernel),
    tunnelsPart(kernel, () => openIpipPrograms()),
    ...filters,
    routesPart(kernel),
    settingsPart(kernel, recorded),
    ...(store === undefined ? [] : [patient(storePart(store, node), store.description)]),
    files,
    runDirectoryPart(runDirectory),
  ];
  try {
    return await work(parts, node);
  } finally {
    for (const part of filters) part.close?.();
    kernel.close();
    await store?.close();
  }
}

/** As the agent has it. */
function readConfiguration({ root, configuration }: PurgeOptions): AgentConfiguration {
  const path = configuration ?? join(root, CONFIGURATION_PATH);
  try {
    if (configuration === undefined && !existsSync(path)) return parseAgentConfiguration('', path);
    return readAgentConfiguration(path);
  } catch (error) {
    if (error instanceof ConfigurationError) throw new InstallError(error.message, 'invalid');
    throw error;
  }
}

/** Undefined where there is nothing to look into: opening a file that is not there would make it. */
async function openNodeStore({ store: url }: AgentConfiguration) {
  const path = /^(?:sqlite:\/\/)?(\/.*)$/.exec(url)?.[1];
  if (url === 'memory:' || (path !== undefined && !existsSync(path))) return undefined;
  const opening = openStore(url);
  try {
    return await inTime(opening, url);
  } catch (error) {
    opening.then(
      (store) => store.close(),
      () => undefined,
    );
    throw error;
  }
}

/** What the agent has noted in this boot goes before what was there when we were installed. */
function recordedSettings(root: string, runDirectory: string): RecordedSetting[] {
  const noted = readSettingsRecord(join(runDirectory, SETTINGS_FILE_NAME));
  const manifest = readManifest(root);
  // Before the first boot with our drop-in it has changed nothing: whatever forwards has been told so by others.
  const atBoot = manifest?.bootId === currentBootId() ? [] : [...(manifest?.settings ?? [])];
  const installed = atBoot.map(([name, before]): RecordedSetting => {
    return { name, before, written: WRITTEN_AT_BOOT, followers: {} };
  });
  return [...noted, ...installed.filter(({ name }) => !noted.some((each) => each.name === name))];
}

function agentPart(runDirectory: string, systemd: Systemd | undefined, stopAgent: boolean): PurgePart {
  return {
    list: () => {
      const pid = agentPid(runDirectory);
      const runs = systemd?.isActive() || systemd?.isEnabled();
      return [
        ...(runs ? [{ kind: 'unit', name: UNIT_NAME, detail: 'is stopped, and not started again' }] : []),
        ...(pid === undefined ? [] : [{ kind: 'agent', name: `pid ${pid}`, detail: 'is stopped' }]),
      ];
    },
    check: () => {
      const pid = agentPid(runDirectory);
      if (pid === undefined || stopAgent || systemd?.isActive()) return;
      const why = `the agent runs, with pid ${pid}, and would put everything back`;
      throw new InstallError(
        `${why}; stop it first, or have it stopped: --stop-agent. Nothing was changed`,
        'conflict',
      );
    },
    remove: async () => {
      if (systemd?.isActive() || systemd?.isEnabled()) systemd.disable();
      const pid = agentPid(runDirectory);
      if (pid === undefined) return;
      if (await endAgent(runDirectory, STOP_TIMEOUT_MS)) return;
      const wait = `waited ${STOP_TIMEOUT_MS / 1_000} s for the agent, pid ${pid}, to stop`;
      throw new InstallError(`${wait}; end it with kill -9 ${pid}, and purge again`, 'timeout');
    },
  };
}

/** The part, with a limit to how long its store may take. */
function patient(part: PurgePart, store: string): PurgePart {
  return {
    list: () => inTime(Promise.resolve(part.list()), store),
    remove: () => inTime(Promise.resolve(part.remove()), store),
  };
}

async function inTime<Result>(work: Promise<Result>, store: string): Promise<Result> {
  const seconds = STORE_TIMEOUT_MS / 1_000;
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const hint = "the node's records stay there with --keep-store";
    late.reject(new InstallError(`waited ${seconds} s for the store ${store}; ${hint}`, 'timeout'));
  }, STORE_TIMEOUT_MS);
  try {
    return await Promise.race([work, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
