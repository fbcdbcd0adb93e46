/**
 * What a running lab remembers on disk, so that each further command finds it: /run/muslin/lab/NAME/state.json.
 *
 * Only what cannot be computed from the topology (kept beside it as topology.yaml) and the names (names.ts): how far the
 * lab has come, the agents' processes, and the workloads as they were really attached. The lab's directory is
 * also its claim to the name: who made it may build. /run is emptied at boot, and so is the lab.
 *
 * The file is replaced whole, by rename; a change is read, made and written while a lock file is held, and holds no await.
 */
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { monotonicNow } from '../lib/clock.ts';
import { LabError } from './lab-error.ts';
import { LABS_DIRECTORY, labPlaces } from './names.ts';
import { identify, isAlive, type ProcessIdentity } from './process.ts';
import { readTopology } from './read-topology.ts';
import type { Topology } from './topology.ts';

export interface LabState {
  readonly format: 1;
  readonly name: string;
  /** `building` until everything has converged; a lab that stays so was left half-built. */
  readonly phase: 'building' | 'up';
  /** The process that builds it. */
  readonly builder: ProcessIdentity;
  /** Where the topology came from. */
  readonly source: string;
  readonly startedAt: string;
  readonly agents: Readonly<Record<string, ProcessIdentity>>;
  /** What routers run, by router. */
  readonly programs: Readonly<Record<string, readonly ProcessIdentity[]>>;
  readonly workloads: Readonly<Record<string, AttachedWorkload>>;
}

export interface AttachedWorkload {
  readonly host: string;
  readonly addresses: readonly string[];
  readonly namespace: string;
  readonly containerId: string;
}

export interface Lab {
  readonly state: LabState;
  readonly topology: Topology;
}

/** Names that have a directory: labs that run, or are being built, or were left behind. */
export function labNames(): string[] {
  if (!existsSync(LABS_DIRECTORY)) return [];
  return readdirSync(LABS_DIRECTORY, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort();
}

/** Claims the name by making the directory; false when somebody has it. */
export function claimLab(state: LabState, topologyText: string): boolean {
  const places = labPlaces(state.name);
  mkdirSync(LABS_DIRECTORY, { recursive: true, mode: 0o755 });
  try {
    mkdirSync(places.directory, { mode: 0o700 });
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
  writeFileSync(places.topology, topologyText);
  write(state);
  return true;
}

/** The lab of this name, or undefined when nothing of it is remembered or what is there cannot be read. */
export function readLab(name: string): Lab | undefined {
  const places = labPlaces(name);
  try {
    // Written by this program alone, in this directory of root's.
    const state = JSON.parse(readFileSync(places.state, 'utf8')) as LabState;
    if (state.format !== 1) return undefined;
    return { state, topology: readTopology(places.topology, readFileSync(places.topology, 'utf8')) };
  } catch {
    return undefined;
  }
}

/** A change is milliseconds; who holds the lock for longer has been stopped. */
const LOCK_PATIENCE_MS = 5_000;
const LOCK_POLL_MS = 5;

/** Replaces the state by what `change` makes of it. Throws LabError `notFound` when the lab is gone. */
export async function changeState(name: string, change: (state: LabState) => LabState): Promise<void> {
  const lockPath = `${labPlaces(name).directory}/state.lock`;
  const deadline = monotonicNow() + LOCK_PATIENCE_MS;
  while (!tryLock(lockPath)) {
    const holder = identify(Number(readLockHolder(lockPath)));
    if (holder === undefined) rmSync(lockPath, { force: true });
    if (monotonicNow() > deadline) throw new LabError('failed', `${lockPath} is held by process ${holder?.pid}`);
    await delay(LOCK_POLL_MS);
  }
  try {
    const lab = readLab(name);
    if (lab === undefined) throw new LabError('notFound', `the lab ${name} is gone`);
    write(change(lab.state));
  } finally {
    rmSync(lockPath, { force: true });
  }
}

/** Whether the process that was building it is still at it. */
export function isBeingBuilt(state: LabState): boolean {
  return state.phase === 'building' && isAlive(state.builder);
}

function tryLock(path: string): boolean {
  try {
    const file = openSync(path, 'wx');
    writeFileSync(file, String(process.pid));
    closeSync(file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') {
      throw new LabError('notFound', 'the lab is gone');
    }
    throw error;
  }
}

/** Empty text (as NaN) while the holder has made the file but not yet written it: then it is asked again. */
function readLockHolder(path: string): string {
  try {
    const text = readFileSync(path, 'utf8');
    return text === '' ? String(process.pid) : text;
  } catch {
    return String(process.pid);
  }
}

function write(state: LabState): void {
  const path = labPlaces(state.name).state;
  writeFileSync(`${path}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${path}.new`, path);
}
