/**
 * Network namespaces: making, removing, naming, entering them. Interoperates with `ip netns`.
 *
 * A named namespace is a file in /run/netns onto which the kernel's handle is mounted; it lives until that mount and
 * every process and socket in it are gone. A socket belongs for ever to the namespace of the thread that made it, so
 * the process needs to be in another namespace only while it opens a socket or a file of /proc/sys/net: `inNamespace`
 * switches the calling thread, runs synchronous work, and switches back before anything else can run.
 *
 * Invariant: outside `inNamespace` a thread is in its home namespace. If it cannot return there, the process aborts,
 * since from then on it would change the wrong network.
 *
 * Trap: libuv's pool threads start at the first asynchronous fs, dns or crypto call, and inherit the namespace of that
 * moment for ever; see `warmThreadPool`.
 */
import { closeSync, constants, mkdirSync, openSync, readdirSync, stat, statSync, unlinkSync } from 'node:fs';
import { assert } from '../lib/assert.ts';
import { KernelError } from './kernel.ts';
import {
  lockFile,
  MNT_DETACH,
  MS_BIND,
  MS_REC,
  MS_SHARED,
  mount,
  setNetworkNamespace,
  unmount,
  unshareNetworkNamespace,
} from './system-calls.ts';

/** Where iproute2 and the container runtimes keep named namespaces. */
const NAMESPACE_DIRECTORY = '/run/netns';

/** The namespace of the thread that opens it; thread-self, because a worker may live elsewhere than the process. */
export const OWN_NAMESPACE = '/proc/thread-self/ns/net';

/** NAME_MAX of Linux file systems. */
const NAME_LENGTH_MAX = 255;

/** The path of a named namespace. Throws KernelError EINVAL for a name that cannot be a file's. */
export function namespacePath(name: string): string {
  if (name === '' || name === '.' || name === '..' || name.length > NAME_LENGTH_MAX || /[/\0]/.test(name)) {
    throw new KernelError('EINVAL', `"${name}" cannot name a network namespace: a file name without "/" is needed`);
  }
  return `${NAMESPACE_DIRECTORY}/${name}`;
}

/** Makes a named, empty namespace, in which even lo is down; gives its path. EEXIST when the name is taken. */
export function addNamespace(name: string): string {
  const path = namespacePath(name);
  makeDirectory();
  withFileErrors(`network namespace ${name}`, () => closeSync(openSync(path, 'wx', 0o444)));
  try {
    atHomeAgain(() => {
      unshareNetworkNamespace();
      mount(OWN_NAMESPACE, path, MS_BIND);
    });
  } catch (error) {
    removeNamespace(name);
    throw error;
  }
  return path;
}

/** Takes the name away; the namespace itself goes when nothing uses it any more. No such name is no error. */
export function removeNamespace(name: string): void {
  const path = namespacePath(name);
  // EINVAL: a file onto which nothing is mounted, as after a crash half-way through addNamespace, or a reboot.
  ignoring(['EINVAL', 'ENOENT'], () => unmount(path, MNT_DETACH));
  ignoring(['ENOENT'], () => withFileErrors(`network namespace ${name}`, () => unlinkSync(path)));
}

/** The names in use, sorted. */
export function namespaceNames(): string[] {
  try {
    return withFileErrors(NAMESPACE_DIRECTORY, () => readdirSync(NAMESPACE_DIRECTORY)).sort();
  } catch (error) {
    if (error instanceof KernelError && error.code === 'ENOENT') return [];
    throw error;
  }
}

/**
 * Runs `work` with the calling thread inside the namespace at `path`, and returns its answer.
 *
 * The work must be synchronous: what it leaves for later runs at home again, so a promise is an assertion failure.
 * Sockets, processes and workers made inside stay in that namespace. Throws KernelError when `path` is no namespace.
 */
export function inNamespace<Result>(path: string, work: () => Result): Result {
  const there = openNamespace(path);
  try {
    return inOpenNamespace(there, path, work);
  } finally {
    closeSync(there);
  }
}

/** A file descriptor that holds on to the namespace at `path`, or to the thread's own. Close it with fs.closeSync. */
export function openNamespace(path: string = OWN_NAMESPACE): number {
  // O_NONBLOCK: should the path be a named pipe, opening it must not wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NONBLOCK;
  return withFileErrors(`network namespace ${path}`, () => openSync(path, flags));
}

/** `inNamespace` for a namespace that is already open; `name` is what messages call it. */
export function inOpenNamespace<Result>(fd: number, name: string, work: () => Result): Result {
  const result = atHomeAgain(() => {
    try {
      setNetworkNamespace(fd);
    } catch (error) {
      if (!(error instanceof KernelError) || error.code !== 'EINVAL') throw error;
      throw new KernelError('EINVAL', `${name} is not a network namespace`);
    }
    return work();
  });
  assert(!isPromise(result), 'work inside a network namespace must be synchronous, but it returned a promise');
  return result;
}

/** Whether two paths lead to the same namespace. Throws KernelError when one of them leads nowhere. */
export function sameNamespace(pathA: string, pathB: string): boolean {
  const [a, b] = [pathA, pathB].map((path) => withFileErrors(`network namespace ${path}`, () => statSync(path)));
  return a !== undefined && b !== undefined && a.dev === b.dev && a.ino === b.ino;
}

let threadPoolWarm = false;

/**
 * Starts libuv's thread pool in the namespace that the calling thread is in now. Call it before anything switches;
 * `inNamespace` and `addNamespace` do so themselves. One asynchronous call suffices: it starts all threads at once.
 */
export function warmThreadPool(): void {
  if (threadPoolWarm) return;
  threadPoolWarm = true;
  stat('/', () => undefined);
}

/** Runs `work`, which may switch the thread's namespace, and brings the thread back, come what may. */
function atHomeAgain<Result>(work: () => Result): Result {
  warmThreadPool();
  const home = openNamespace();
  try {
    return work();
  } finally {
    try {
      setNetworkNamespace(home);
    } catch (error) {
      process.stderr.write(`cannot return to the home network namespace, aborting: ${error}\n`);
      process.abort();
    }
    closeSync(home);
  }
}

/**
 * /run/netns as a shared mount, so that namespaces mounted there appear in every mount namespace; the same steps, and
 * the same lock against another who is doing them, as in iproute2's `ip netns add`.
 */
function makeDirectory(): void {
  withFileErrors(NAMESPACE_DIRECTORY, () => mkdirSync(NAMESPACE_DIRECTORY, { recursive: true, mode: 0o755 }));
  const lock = withFileErrors(NAMESPACE_DIRECTORY, () => openSync(NAMESPACE_DIRECTORY, 'r'));
  try {
    lockFile(lock);
    try {
      mount('', NAMESPACE_DIRECTORY, MS_SHARED | MS_REC);
    } catch (error) {
      // EINVAL: not a mount point yet.
      if (!(error instanceof KernelError) || error.code !== 'EINVAL') throw error;
      mount(NAMESPACE_DIRECTORY, NAMESPACE_DIRECTORY, MS_BIND | MS_REC);
      mount('', NAMESPACE_DIRECTORY, MS_SHARED | MS_REC);
    }
  } finally {
    closeSync(lock);
  }
}

function isPromise(value: unknown): boolean {
  return typeof value === 'object' && value !== null && 'then' in value && typeof value.then === 'function';
}

/** Turns what node:fs throws into KernelError, with `what` before it. */
export function withFileErrors<Result>(what: string, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') throw error;
    throw new KernelError(error.code, `${what}: ${error.message}`);
  }
}

function ignoring(codes: readonly string[], work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof KernelError) || !codes.includes(error.code)) throw error;
  }
}
