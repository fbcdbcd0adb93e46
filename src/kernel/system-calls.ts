/**
 * System calls that Node does not offer, through koffi (a foreign function interface): sockets before they are
 * connected, namespaces, mounts.
 *
 * The only file here that knows koffi and C signatures. The library is loaded at the first call (15 ms), so that a
 * program that only prints help does not pay for it. A call that fails throws KernelError with errno's name; a call that
 * a signal interrupted is made again. Everything is synchronous and runs on the calling thread, which is what makes
 * switching the namespace of that thread safe.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';
import { KernelError } from './kernel.ts';

type Koffi = typeof import('koffi');

/** Numbers of the Linux ABI that the callers need; from linux/socket.h, linux/netlink.h, linux/sched.h, sys/mount.h. */
export const AF_NETLINK = 16;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const SOL_SOCKET = 1;
export const SO_RCVTIMEO = 20;
export const SO_RCVBUFFORCE = 33;
export const MSG_PEEK = 0x02;
export const MSG_TRUNC = 0x20;
const CLONE_NEWNET = 0x40000000;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SHARED = 0x100000;
export const MNT_DETACH = 2;

interface Functions {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recv(fd: number, buffer: Uint8Array, length: number, flags: number): number;
  setns(fd: number, kind: number): number;
  unshare(flags: number): number;
  mount(source: string, target: string, type: string, flags: number, options: null): number;
  umount2(target: string, flags: number): number;
  flock(fd: number, operation: number): number;
}

let loaded: { readonly koffi: Koffi; readonly functions: Functions } | undefined;

function load(): { readonly koffi: Koffi; readonly functions: Functions } {
  if (loaded !== undefined) return loaded;
  // createRequire gives `any`; the types are those of the package.
  const koffi = createRequire(import.meta.url)('koffi') as Koffi;
  // The names of the process itself, which are those of libc, whichever libc it is.
  const libc = koffi.load(null);
  const functions: Functions = {
    socket: libc.func('int socket(int, int, int)'),
    bind: libc.func('int bind(int, const void *, uint32_t)'),
    setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
    send: libc.func('intptr_t send(int, const void *, size_t, int)'),
    recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
    setns: libc.func('int setns(int, int)'),
    unshare: libc.func('int unshare(int)'),
    mount: libc.func('int mount(const char *, const char *, const char *, unsigned long, const void *)'),
    umount2: libc.func('int umount2(const char *, int)'),
    flock: libc.func('int flock(int, int)'),
  };
  loaded = { koffi, functions };
  return loaded;
}

/** errno's name; where two names share a number, the one that the kernel's sources use. */
const errnoNames = new Map<number, string>(Object.entries(constants.errno).map(([name, value]) => [value, name]));
errnoNames.set(constants.errno.EAGAIN, 'EAGAIN');
errnoNames.set(constants.errno.EOPNOTSUPP, 'EOPNOTSUPP');

/** "ENODEV" for 19; the number itself where it has no name. */
export function errnoName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

/** Makes a call until no signal interrupts it; throws KernelError when it fails. `what` begins the message. */
function call(what: string, run: (functions: Functions) => number): number {
  const { koffi, functions } = load();
  for (;;) {
    const result = run(functions);
    if (result >= 0) return result;
    const errno = koffi.errno();
    if (errno === constants.errno.EINTR) continue;
    const code = errnoName(errno);
    throw new KernelError(code, `${what}: ${code}`);
  }
}

/** A new socket's file descriptor; close it with fs.closeSync. */
export function socket(domain: number, type: number, protocol: number): number {
  return call('socket', (libc) => libc.socket(domain, type, protocol));
}

/** Binds to a sockaddr given as bytes. */
export function bind(fd: number, address: Uint8Array): void {
  call('bind', (libc) => libc.bind(fd, address, address.length));
}

/** Sets a socket option to a C struct given as bytes. */
export function setSocketOption(fd: number, level: number, option: number, value: Uint8Array): void {
  call(`setsockopt ${level}/${option}`, (libc) => libc.setsockopt(fd, level, option, value, value.length));
}

/** Sets a socket option that is a C int. */
export function setSocketNumber(fd: number, level: number, option: number, value: number): void {
  setSocketOption(fd, level, option, new Uint8Array(Int32Array.of(value).buffer));
}

/** Sends one datagram. */
export function send(fd: number, bytes: Uint8Array): void {
  call('send', (libc) => libc.send(fd, bytes, bytes.length, 0));
}

/** Receives one datagram into `buffer`; with MSG_TRUNC the answer is its true length, which may exceed the buffer's. */
export function receive(fd: number, buffer: Uint8Array, flags: number): number {
  return call('recv', (libc) => libc.recv(fd, buffer, buffer.length, flags));
}

/** Moves the calling thread into the network namespace behind a file descriptor. */
export function setNetworkNamespace(fd: number): void {
  call('setns', (libc) => libc.setns(fd, CLONE_NEWNET));
}

/** Moves the calling thread into a new network namespace. */
export function unshareNetworkNamespace(): void {
  call('unshare', (libc) => libc.unshare(CLONE_NEWNET));
}

export function mount(source: string, target: string, flags: number): void {
  call(`mount ${target}`, (libc) => libc.mount(source, target, 'none', flags, null));
}

export function unmount(target: string, flags: number): void {
  call(`umount ${target}`, (libc) => libc.umount2(target, flags));
}

/** Takes the advisory lock of an open file, waiting for it; closing the file gives it back. */
export function lockFile(fd: number): void {
  const exclusive = 2;
  call('flock', (libc) => libc.flock(fd, exclusive));
}

/** Watches a file descriptor from the event loop. */
export interface Poll {
  /** libuv stops watching by itself when the descriptor reports an error; this starts it again. */
  restart(): void;
  /** Ends the watch for good and lets the process exit. */
  close(): void;
}

/** Calls back from the event loop whenever `fd` has something to read (level-triggered). */
export function pollReadable(fd: number, onReadable: () => void): Poll {
  const handle = load().koffi.node.poll(fd, { readable: true }, onReadable);
  return {
    restart: () => {
      handle.stop();
      handle.start({ readable: true }, onReadable);
    },
    close: () => {
      handle.stop();
      handle.close();
    },
  };
}
