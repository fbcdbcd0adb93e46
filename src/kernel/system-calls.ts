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
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_CLOEXEC = 0o2000000;
export const SOCK_NONBLOCK = 0o4000;
export const SOL_SOCKET = 1;
export const SO_RCVTIMEO = 20;
const SO_ATTACH_FILTER = 26;
export const SO_BINDTODEVICE = 25;
export const SO_SNDBUFFORCE = 32;
export const SO_RCVBUFFORCE = 33;
/** The longest name of a device with its closing zero, from linux/if.h. */
const IF_NAMESIZE = 16;
export const MSG_PEEK = 0x02;
export const MSG_TRUNC = 0x20;
const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x40000000;
const PRIO_PROCESS = 0;
const CLONE_NEWNET = 0x40000000;
export const MS_BIND = 0x1000;
export const MS_REC = 0x4000;
export const MS_SHARED = 0x100000;
export const MNT_DETACH = 2;
/** From malloc.h of glibc. */
const M_MMAP_THRESHOLD = -3;
const M_ARENA_MAX = -8;

/** __NR_bpf by CPU, from asm/unistd.h. */
const BPF_CALL_NUMBER: Readonly<Partial<Record<NodeJS.Architecture, number>>> = { x64: 321, arm64: 280 };

interface Functions {
  socket(domain: number, type: number, protocol: number): number;
  bind(fd: number, address: Uint8Array, length: number): number;
  listen(fd: number, backlog: number): number;
  accept4(fd: number, address: Uint8Array, length: Uint32Array, flags: number): number;
  getsockname(fd: number, address: Uint8Array, length: Uint32Array): number;
  setsockopt(fd: number, level: number, option: number, value: Uint8Array, length: number): number;
  getsockopt(fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array): number;
  sendto(
    fd: number,
    bytes: Uint8Array,
    length: number,
    flags: number,
    address: Uint8Array,
    addressLength: number,
  ): number;
  recvfrom(
    fd: number,
    buffer: Uint8Array,
    size: number,
    flags: number,
    address: Uint8Array,
    length: Uint32Array,
  ): number;
  if_nametoindex(name: string): number;
  if_indextoname(index: number, name: Uint8Array): unknown;
  send(fd: number, bytes: Uint8Array, length: number, flags: number): number;
  recv(fd: number, buffer: Uint8Array, length: number, flags: number): number;
  setns(fd: number, kind: number): number;
  unshare(flags: number): number;
  mount(source: string, target: string, type: string, flags: number, options: null): number;
  umount2(target: string, flags: number): number;
  flock(fd: number, operation: number): number;
  sched_setscheduler(thread: number, policy: number, parameters: Uint8Array): number;
  setpriority(which: number, who: number, priority: number): number;
  ioctl(fd: number, request: number, argument: Uint8Array): number;
  ioctlNumber(fd: number, request: number, argument: number): number;
  syscall(number: number, command: number, attributes: Uint8Array, size: number): number;
  readonly glibc: Allocator | undefined;
}

/** What glibc lets be said to its malloc; other libraries have nothing of the kind. */
interface Allocator {
  mallopt(parameter: number, value: number): number;
  malloc_trim(keptBytes: number): number;
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
    listen: libc.func('int listen(int, int)'),
    accept4: libc.func('int accept4(int, void *, void *, int)'),
    getsockname: libc.func('int getsockname(int, void *, void *)'),
    getsockopt: libc.func('int getsockopt(int, int, int, void *, void *)'),
    sendto: libc.func('intptr_t sendto(int, const void *, size_t, int, const void *, uint32_t)'),
    recvfrom: libc.func('intptr_t recvfrom(int, void *, size_t, int, void *, void *)'),
    if_nametoindex: libc.func('unsigned int if_nametoindex(const char *)'),
    if_indextoname: libc.func('void *if_indextoname(unsigned int, void *)'),
    setsockopt: libc.func('int setsockopt(int, int, int, const void *, uint32_t)'),
    send: libc.func('intptr_t send(int, const void *, size_t, int)'),
    recv: libc.func('intptr_t recv(int, void *, size_t, int)'),
    setns: libc.func('int setns(int, int)'),
    unshare: libc.func('int unshare(int)'),
    mount: libc.func('int mount(const char *, const char *, const char *, unsigned long, const void *)'),
    umount2: libc.func('int umount2(const char *, int)'),
    flock: libc.func('int flock(int, int)'),
    sched_setscheduler: libc.func('int sched_setscheduler(int, int, const void *)'),
    setpriority: libc.func('int setpriority(int, int, int)'),
    // Variadic in C; on the CPUs that we know an argument of a variadic function goes where any other goes.
    ioctl: libc.func('int ioctl(int, unsigned long, void *)'),
    ioctlNumber: libc.func('ioctl', 'int', ['int', 'unsigned long', 'unsigned long']),
    syscall: libc.func('intptr_t syscall(long, int, void *, unsigned int)'),
    glibc: allocatorOf(libc),
  };
  loaded = { koffi, functions };
  return loaded;
}

function allocatorOf(libc: ReturnType<Koffi['load']>): Allocator | undefined {
  try {
    return {
      mallopt: libc.func('int mallopt(int, int)'),
      malloc_trim: libc.func('int malloc_trim(size_t)'),
    };
  } catch {
    return undefined; // there is no such name
  }
}

/**
 * Has malloc take blocks of this size and more from the kernel one by one and give them back at once. Unless told, it raises
 * the size to 32 MB as it sees larger blocks, and their gaps stay with the process. All threads share one arena, for the
 * same reason.
 */
export function mapLargeBlocks(bytes: number): void {
  const allocator = load().functions.glibc;
  allocator?.mallopt(M_MMAP_THRESHOLD, bytes);
  allocator?.mallopt(M_ARENA_MAX, 1);
}

/** Hands memory that malloc holds for later back to the kernel, where the C library can do that. */
export function trimMalloc(): void {
  load().functions.glibc?.malloc_trim(0);
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
    if (errno === constants.errno.EAGAIN) throw NOTHING_READY;
    const code = errnoName(errno);
    throw new KernelError(code, `${what}: ${code}`);
  }
}

/** Of a socket that does not block, read empty: as frequent as its events, and a stack costs more than the call. */
const NOTHING_READY = new KernelError('EAGAIN', 'the call would block: EAGAIN');

/** A new socket's file descriptor; close it with fs.closeSync. */
export function socket(domain: number, type: number, protocol: number): number {
  return call('socket', (libc) => libc.socket(domain, type, protocol));
}

/** Binds to a sockaddr given as bytes. */
export function bind(fd: number, address: Uint8Array): void {
  call('bind', (libc) => libc.bind(fd, address, address.length));
}

/** Makes a bound socket take connections; `backlog` of them may wait to be accepted. */
export function listen(fd: number, backlog: number): void {
  call('listen', (libc) => libc.listen(fd, backlog));
}

/** The next waiting connection's file descriptor; its peer's sockaddr is written into `address`. EAGAIN: none waits. */
export function accept(fd: number, address: Uint8Array, flags: number): number {
  const length = Uint32Array.of(address.length);
  return call('accept', (libc) => libc.accept4(fd, address, length, flags));
}

/** Writes the socket's own sockaddr into `address`. */
export function socketName(fd: number, address: Uint8Array): void {
  const length = Uint32Array.of(address.length);
  call('getsockname', (libc) => libc.getsockname(fd, address, length));
}

/** Reads a socket option into `value`; gives how many bytes it has. */
export function socketOption(fd: number, level: number, option: number, value: Uint8Array): number {
  const length = Uint32Array.of(value.length);
  call(`getsockopt ${level}/${option}`, (libc) => libc.getsockopt(fd, level, option, value, length));
  return length[0] ?? 0;
}

/** The index of the thread's namespace's device of that name; 0 when there is none. */
export function interfaceIndex(name: string): number {
  return load().functions.if_nametoindex(name);
}

/** The device's name; undefined when there is none of that index. */
export function interfaceName(index: number): string | undefined {
  const name = new Uint8Array(IF_NAMESIZE);
  if (load().functions.if_indextoname(index, name) === null) return undefined;
  return new TextDecoder().decode(name.subarray(0, name.indexOf(0)));
}

/** Sends one datagram to a sockaddr given as bytes. */
export function sendTo(fd: number, bytes: Uint8Array, address: Uint8Array): void {
  call('sendto', (libc) => libc.sendto(fd, bytes, bytes.length, 0, address, address.length));
}

/** Receives one datagram into `buffer` and its sender's sockaddr into `address`; gives its length. EAGAIN: none waits. */
export function receiveFrom(fd: number, buffer: Uint8Array, address: Uint8Array): number {
  const length = Uint32Array.of(address.length);
  return call('recvfrom', (libc) => libc.recvfrom(fd, buffer, buffer.length, 0, address, length));
}

/** Has a classic BPF program (struct sock_filter each 8 bytes) decide which packets a socket gets. */
export function attachSocketFilter(fd: number, program: Uint8Array): void {
  // struct sock_fprog: how many instructions, and, aligned to 8 bytes, where.
  const description = BigUint64Array.of(BigInt(program.length / 8), load().koffi.address(program));
  setSocketOption(fd, SOL_SOCKET, SO_ATTACH_FILTER, new Uint8Array(description.buffer));
}

/** Has the calling thread run before all threads of ordinary priority; its children do not inherit it. */
export function setRealTimePriority(priority: number): void {
  const parameters = new Uint8Array(Int32Array.of(priority).buffer);
  call('sched_setscheduler', (libc) => libc.sched_setscheduler(0, SCHED_RR | SCHED_RESET_ON_FORK, parameters));
}

/** Gives the calling thread alone (which is what 0 means on Linux) another share of the CPU, -20 being the largest. */
export function setNiceness(niceness: number): void {
  call('setpriority', (libc) => libc.setpriority(PRIO_PROCESS, 0, niceness));
}

/** Has a device's driver do what `request` says, with a C struct given as bytes or with a number. `what` is for messages. */
export function control(what: string, fd: number, request: number, argument: Uint8Array | number): void {
  call(what, (libc) =>
    typeof argument === 'number' ? libc.ioctlNumber(fd, request, argument) : libc.ioctl(fd, request, argument),
  );
}

/**
 * bpf(2), for which libc has no function: does `command` with a union bpf_attr given as bytes, into which the kernel may write.
 * Buffers that the bytes point to (addressOf) are to be kept by the caller until this returns. `what` is for messages.
 */
export function bpfCall(what: string, command: number, attributes: Uint8Array): number {
  const number = BPF_CALL_NUMBER[process.arch];
  if (number === undefined)
    throw new KernelError('ENOSYS', `${what}: bpf(2) has no number that is known on ${process.arch}`);
  return call(what, (libc) => libc.syscall(number, command, attributes, attributes.length));
}

/** Where a buffer lies, for C structs that point to it; it stays there as long as it is referred to. */
export function addressOf(bytes: Uint8Array): bigint {
  return load().koffi.address(bytes);
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
  /** Stops watching until `restart`. */
  pause(): void;
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
    pause: () => handle.stop(),
    close: () => {
      handle.stop();
      handle.close();
    },
  };
}
