/**
 * Telling the service manager how we are: datagrams to the Unix socket that it names, as sd_notify(3) sends them.
 *
 * Nothing here waits: what the service manager does not take at once is lost, as nobody could be told of it. A path that begins with
 * "@" is an abstract name, which stands in the socket address without its "@" behind a zero byte (unix(7)). The
 * socket is opened once, in the network namespace of the process, to which abstract names belong.
 */
import { closeSync } from 'node:fs';
import { KernelError } from './kernel.ts';
import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, sendTo, socket } from './system-calls.ts';

export interface NotifySocket {
  /** Assignments such as "READY=1", as one message. Throws KernelError when nobody listens there. */
  send(assignments: readonly string[]): void;
  close(): void;
}

/** sun_path has 108 bytes, of which one ends a path. */
const PATH_BYTES_MAX = 107;

/** `path` is absolute, or "@" and an abstract name. Throws KernelError. */
export function openNotifySocket(path: string): NotifySocket {
  const address = unixAddress(path);
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  return {
    send: (assignments) => {
      try {
        sendTo(fd, new TextEncoder().encode(assignments.map((line) => `${line}\n`).join('')), address);
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'EAGAIN') throw error;
      }
    },
    close: () => closeSync(fd),
  };
}

/** C's struct sockaddr_un, as long as it needs to be. Throws KernelError EINVAL for what is no path. */
export function unixAddress(path: string): Uint8Array {
  const isAbstract = path.startsWith('@');
  const bytes = new TextEncoder().encode(isAbstract ? `\0${path.slice(1)}` : `${path}\0`);
  if (!/^[@/]./.test(path) || bytes.length > PATH_BYTES_MAX + 1) {
    const right = `an absolute path, or "@" and a name, of at most ${PATH_BYTES_MAX} bytes`;
    throw new KernelError('EINVAL', `"${path}" is not the place of a Unix socket: ${right}`);
  }
  const address = new Uint8Array(2 + bytes.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(bytes, 2);
  return address;
}
