/**
 * A raw ICMPv6 socket on one device, for router advertisements and solicitations.
 *
 * The kernel passes on only these two types, and only with a hop limit of 255: a packet that has crossed a router has less,
 * so the sender is on the link (RFC 4861 section 6.1). Both filters are in force before the socket is bound to its
 * device, and what came before is thrown away. Our own packets are not heard.
 *
 * Source: RFC 3542 section 3.2, linux/icmpv6.h, linux/in6.h, linux/filter.h, man 7 raw. Called by node/bgp/unnumbered.ts.
 */
import { closeSync } from 'node:fs';
import type { Ip } from '../net/ip.ts';
import { ip } from '../net/ip.ts';
import { IPPROTO_IPV6, TTL_MAX, ttlFilter } from './ip-socket.ts';
import { KernelError } from './kernel.ts';
import type { RouterMessageKind } from './router-advertisement.ts';
import {
  encodeRouterAdvertisement,
  encodeRouterSolicitation,
  ROUTER_ADVERTISEMENT,
  ROUTER_SOLICITATION,
  routerMessageKind,
} from './router-advertisement.ts';
import { decodeSocketAddress, encodeSocketAddress, SOCKET_ADDRESS_LENGTH } from './socket-address.ts';
import type { Poll } from './system-calls.ts';
import {
  AF_INET6,
  attachSocketFilter,
  interfaceIndex,
  pollReadable,
  receiveFrom,
  SO_BINDTODEVICE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  sendTo,
  setSocketNumber,
  setSocketOption,
  socket,
} from './system-calls.ts';

const IPPROTO_ICMPV6 = 58;
const ICMPV6_FILTER = 1;
const IPV6_MULTICAST_HOPS = 18;
const IPV6_MULTICAST_LOOP = 19;
const IPV6_ADD_MEMBERSHIP = 20;

const ALL_NODES = ip('ff02::1');
const ALL_ROUTERS = ip('ff02::2');
/** More than an advertisement with many options has; the rest is cut off, which makes it malformed. */
const MESSAGE_LENGTH_MAX = 1500;
/** What is read in one turn of the event loop. */
const MESSAGES_PER_TURN = 64;

export interface RouterSocket {
  /** The device's index at the time of opening: a device that is made anew has another one. */
  readonly index: number;
  /** Throws KernelError: ENETDOWN, EADDRNOTAVAIL while the device has no address, ENODEV, ENXIO when it is gone. */
  send(kind: RouterMessageKind): void;
  close(): void;
}

/** Opens it in the calling thread's namespace. Throws KernelError: ENODEV, EPERM. */
export function openRouterSocket(device: string, onMessage: (kind: RouterMessageKind, from: Ip) => void): RouterSocket {
  const index = interfaceIndex(device);
  if (index === 0) throw new KernelError('ENODEV', `there is no device ${device}`);
  const fd = socket(AF_INET6, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_ICMPV6);
  const state: { poll: Poll | undefined } = { poll: undefined };
  const close = (): void => {
    state.poll?.close();
    state.poll = undefined;
    closeSync(fd);
  };
  const buffer = new Uint8Array(MESSAGE_LENGTH_MAX);
  const onReadable = (): void => {
    for (let count = 0; count < MESSAGES_PER_TURN && state.poll !== undefined; count++) {
      const message = receive(fd, buffer);
      if (message === 'empty') return;
      if (message !== undefined) onMessage(message.kind, message.from);
    }
  };
  try {
    setOptions(fd, device, index);
    while (receive(fd, buffer) !== 'empty'); // what came before the filters were in force
    state.poll = pollReadable(fd, onReadable);
  } catch (error) {
    close();
    throw error;
  }
  return {
    index,
    send: (kind) => {
      if (kind === 'advertisement') sendTo(fd, encodeRouterAdvertisement(), to(ALL_NODES, index));
      else sendTo(fd, encodeRouterSolicitation(), to(ALL_ROUTERS, index));
    },
    close,
  };
}

function setOptions(fd: number, device: string, index: number): void {
  attachSocketFilter(fd, ttlFilter(6, TTL_MAX));
  // A bit for each of the 256 types; a type whose bit is set is blocked.
  const types = new Uint32Array(8).fill(0xffffffff);
  for (const type of [ROUTER_SOLICITATION, ROUTER_ADVERTISEMENT]) {
    types[type >> 5] = ((types[type >> 5] ?? 0) & ~(1 << (type & 31))) >>> 0;
  }
  setSocketOption(fd, IPPROTO_ICMPV6, ICMPV6_FILTER, new Uint8Array(types.buffer));
  setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`));
  setSocketNumber(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, TTL_MAX);
  setSocketNumber(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
  // struct ipv6_mreq: group, interface index. Every host is in the group of all nodes.
  const membership = Uint8Array.of(...ALL_ROUTERS.bytes, ...new Uint8Array(Int32Array.of(index).buffer));
  setSocketOption(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, membership);
}

function to(address: Ip, scope: number): Uint8Array {
  return encodeSocketAddress({ address, port: 0, scope });
}

/** The next message; undefined for one that is to be ignored. */
function receive(
  fd: number,
  buffer: Uint8Array,
): { readonly kind: RouterMessageKind; readonly from: Ip } | 'empty' | undefined {
  const sender = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  let length: number;
  try {
    length = receiveFrom(fd, buffer, sender);
  } catch (error) {
    // ENETDOWN: the device has gone down; the next send says so, too.
    if (error instanceof KernelError && (error.code === 'EAGAIN' || error.code === 'ENETDOWN')) return 'empty';
    throw error;
  }
  const kind = routerMessageKind(buffer.subarray(0, length));
  const from = decodeSocketAddress(sender);
  // The kernel gives a scope to link-local senders only; the unspecified address of a host without one has none.
  if (kind === undefined || from === undefined || from.scope === 0) return undefined;
  return { kind, from: from.address };
}
