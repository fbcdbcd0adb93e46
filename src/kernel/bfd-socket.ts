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

const IPPROTO_IP = 0;
const IPPROTO_IPV6 = 41;
const IP_TOS = 1;
const IP_TTL = 2;
const IPV6_UNICAST_HOPS = 16;
const IPV6_V6ONLY = 26;
const IPV6_TCLASS = 67;

/** What we send with, and what a packet from the same link still has. */
export const TTL_MAX = 255;
/** Class selector 6, network control: routers and queues let it pass before other traffic. */
const NETWORK_CONTROL = 0xc0;
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
    const { level, ttl, trafficClass } = OPTIONS[family];
    setSocketNumber(fd, level, ttl, TTL_MAX);
    setSocketNumber(fd, level, trafficClass, NETWORK_CONTROL);
    if (device !== undefined) setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`));
    bind(fd, encodeSocketAddress({ address: localAddress, port: sourcePort, scope }));
  });
  const target = encodeSocketAddress({ address, port, scope });
  return {
    send: (bytes) => sendTo(fd, bytes, target),
    close: () => closeSync(fd),
  };
}

const OPTIONS = {
  4: { level: IPPROTO_IP, ttl: IP_TTL, trafficClass: IP_TOS },
  6: { level: IPPROTO_IPV6, ttl: IPV6_UNICAST_HOPS, trafficClass: IPV6_TCLASS },
};

function openSocket(family: Family, filter: Uint8Array): number {
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  closingOnError(fd, () => {
    attachSocketFilter(fd, filter);
    if (family === 6) setSocketNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  });
  return fd;
}

function closingOnError<Result>(fd: number, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    closeSync(fd);
    throw error;
  }
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

/** Instructions of classic BPF: load a byte, jump unless it is at least so much, and return how much of the packet passes. */
const BPF = { loadByte: 0x30, jumpIfAtLeast: 0x35, pass: 0x06 };
/** From here offsets count from the IP header, wherever the packet begins for the socket (SKF_NET_OFF). */
const FROM_IP_HEADER = -0x100000;
const TTL_OFFSET = { 4: 8, 6: 7 } as const;
const WHOLE_PACKET = 0xffff;

function ttlFilter(family: Family, ttlMin: number): Uint8Array {
  return program([
    [BPF.loadByte, 0, 0, FROM_IP_HEADER + TTL_OFFSET[family]],
    [BPF.jumpIfAtLeast, 0, 1, ttlMin],
    [BPF.pass, 0, 0, WHOLE_PACKET],
    [BPF.pass, 0, 0, 0],
  ]);
}

/** For senders: whatever comes to their ports is not for us. */
const NOTHING_PASSES = program([[BPF.pass, 0, 0, 0]]);

/** struct sock_filter: the code, where to jump if true and if false, and a value. */
function program(instructions: readonly (readonly [number, number, number, number])[]): Uint8Array {
  const bytes = new Uint8Array(instructions.length * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, [code, ifTrue, ifFalse, value]] of instructions.entries()) {
    view.setUint16(index * 8, code, true);
    view.setUint8(index * 8 + 2, ifTrue);
    view.setUint8(index * 8 + 3, ifFalse);
    view.setInt32(index * 8 + 4, value, true);
  }
  return bytes;
}
