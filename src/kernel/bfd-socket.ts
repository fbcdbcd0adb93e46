/**
 * The UDP sockets of BFD (RFC 5881 sections 4 and 5, RFC 5883 section 5).
 *
 * All sessions of a family share one receiver on the well-known port; each has a sender with a source port of its own.
 * A packet that has crossed a router has a smaller TTL than it began with, so a TTL of 255 proves that it comes from the
 * link. Node cannot tell a datagram's TTL; a filter in the kernel lets only those pass that have the right one, before
 * the socket is bound, so that no packet is ever unchecked. Reading never blocks. All sockets belong to the namespace
 * in which the thread is when they are made. Source: man 7 ip, man 7 ipv6, linux/filter.h.
 */
import { closeSync } from 'node:fs';
import type { Family, Ip } from '../net/ip.ts';
import { ip } from '../net/ip.ts';
import {
  CLASS_SELECTOR_6,
  closingOnError,
  IP_OPTIONS,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  NOTHING_PASSES,
  TTL_MAX,
  ttlFilter,
} from './ip-socket.ts';
import { KernelError } from './kernel.ts';
import { decodeSocketAddress, encodeSocketAddress, SOCKET_ADDRESS_LENGTH } from './socket-address.ts';
import {
  AF_INET,
  AF_INET6,
  attachSocketFilter,
  bind,
  interfaceIndex,
  interfaceName,
  pollReadable,
  receiveFrom,
  SO_BINDTODEVICE,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  sendTo,
  setSocketNumber,
  setSocketOption,
  socket,
} from './system-calls.ts';

/** Room for some thousand packets while the thread does not get to run. */
const RECEIVE_BUFFER_LENGTH = 4 * 1024 * 1024;
/** A control packet has 24 bytes, 56 with the longest authentication; the rest is cut off. */
const DATAGRAM_LENGTH_MAX = 128;

export interface BfdDatagram {
  readonly bytes: Uint8Array;
  readonly from: Ip;
  /** The device of a link-local sender. */
  readonly device: string | undefined;
}

export interface BfdReceiver {
  /** The next datagram that waits; undefined when there is none. */
  receive(): BfdDatagram | undefined;
  close(): void;
}

export interface BfdSender {
  /** Throws KernelError when the packet cannot leave. */
  send(bytes: Uint8Array): void;
  close(): void;
}

/** Listens on all addresses of the family; packets whose TTL is below `ttlMin` are dropped by the kernel. */
export function openBfdReceiver(
  { family, port, ttlMin }: { readonly family: Family; readonly port: number; readonly ttlMin: number },
  onReadable: () => void,
): BfdReceiver {
  const fd = openSocket(family, ttlFilter(family, ttlMin));
  const poll = closingOnError(fd, () => {
    // Without CAP_NET_ADMIN the usual length must do, for a few hundred packets.
    ignoring('EPERM', () => setSocketNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_LENGTH));
    bind(fd, encodeSocketAddress({ address: ip(family === 4 ? '0.0.0.0' : '::'), port, scope: 0 }));
    return pollReadable(fd, onReadable);
  });
  const buffer = new Uint8Array(DATAGRAM_LENGTH_MAX);
  const sender = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  return {
    receive: () => {
      const length = ignoring('EAGAIN', () => receiveFrom(fd, buffer, sender));
      const from = length === undefined ? undefined : decodeSocketAddress(sender);
      if (length === undefined || from === undefined) return undefined;
      const device = from.scope === 0 ? undefined : interfaceName(from.scope);
      return { bytes: buffer.slice(0, length), from: from.address, device };
    },
    close: () => {
      poll.close();
      closeSync(fd);
    },
  };
}

export interface BfdSenderOptions {
  readonly localAddress: Ip;
  readonly sourcePort: number;
  readonly address: Ip;
  readonly port: number;
  /** The device that the packets must leave by; undefined leaves it to the routes. */
  readonly device: string | undefined;
}

/** A socket for one session. Throws KernelError: EADDRINUSE for a source port that is taken, ENODEV, EADDRNOTAVAIL. */
export function openBfdSender({ localAddress, sourcePort, address, port, device }: BfdSenderOptions): BfdSender {
  const scope = device === undefined ? 0 : interfaceIndex(device);
  if (device !== undefined && scope === 0) throw new KernelError('ENODEV', `BFD: there is no device ${device}`);
  const { family } = address;
  const fd = openSocket(family, NOTHING_PASSES);
  closingOnError(fd, () => {
    const { level, ttl, trafficClass } = IP_OPTIONS[family];
    setSocketNumber(fd, level, ttl, TTL_MAX);
    setSocketNumber(fd, level, trafficClass, CLASS_SELECTOR_6);
    if (device !== undefined) setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`));
    bind(fd, encodeSocketAddress({ address: localAddress, port: sourcePort, scope }));
  });
  const target = encodeSocketAddress({ address, port, scope });
  return {
    send: (bytes) => sendTo(fd, bytes, target),
    close: () => closeSync(fd),
  };
}

function openSocket(family: Family, filter: Uint8Array): number {
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  closingOnError(fd, () => {
    attachSocketFilter(fd, filter);
    if (family === 6) setSocketNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  });
  return fd;
}

/** The answer of `work`; undefined when it fails with `code`. */
function ignoring<Result>(code: string, work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError && error.code === code) return undefined;
    throw error;
  }
}
