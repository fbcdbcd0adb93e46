/**
 * Packets between network namespaces, sent and looked for by one process.
 *
 * Sockets are made inside a namespace and used from here; a listening TCP socket completes handshakes in the kernel without
 * anybody accepting. So a probe costs microseconds: what gets through on one machine has arrived by the time that the sending call
 * returns, or a softirq later. What should arrive is waited for; what should not is looked for once more at the end of the
 * round, and a cell that is wrong is probed anew, with patience, before it counts: no verdict hangs on a timing.
 */
import { closeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { setTimeout as pause } from 'node:timers/promises';
import { KernelError } from '../../../src/kernel/kernel.ts';
import { inOpenNamespace, openNamespace } from '../../../src/kernel/network-namespace.ts';
import type { SocketAddress } from '../../../src/kernel/socket-address.ts';
import { decodeSocketAddress, encodeSocketAddress, SOCKET_ADDRESS_LENGTH } from '../../../src/kernel/socket-address.ts';
import {
  AF_INET,
  AF_INET6,
  accept,
  bind,
  listen,
  receiveFrom,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOCK_STREAM,
  SOL_SOCKET,
  sendTo,
  setSocketNumber,
  setSocketOption,
  socket,
} from '../../../src/kernel/system-calls.ts';
import type { Family, Ip } from '../../../src/net/ip.ts';
import { sameIp } from '../../../src/net/ip.ts';

/** "icmp" is an echo and its answer; "icmp-type" any packet of ICMP, one way; "ip" a packet of any protocol, one way. */
export type ProbeProtocol = 'tcp' | 'udp' | 'icmp' | 'icmp-type' | 'ip';

export interface Probe {
  readonly from: string;
  readonly to: Ip;
  readonly protocol: ProbeProtocol;
  /** Of no meaning for icmp; the type for icmp-type, the number in the IP header for ip. */
  readonly port: number;
  /** For icmp-type. */
  readonly code?: number | undefined;
  /** The address to send from, whether or not it is the sender's own; absent: as the kernel chooses. */
  readonly source?: Ip | undefined;
  readonly sourcePort?: number | undefined;
  /** For udp: got through only if the receiver saw this sender. */
  readonly seenAs?: SeenAs | undefined;
}

export interface SeenAs {
  readonly address: Ip;
  /** Both ends counted. */
  readonly ports: readonly [number, number] | undefined;
}

const BACKLOG = 4096;
const SO_REUSEADDR = 2;
const SO_LINGER = 13;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const IPPROTO_IP = 0;
/** Packets from and to addresses that are not the socket's namespace's own (ip(7), linux/in6.h). */
const IP_TRANSPARENT = 19;
const IPV6_TRANSPARENT = 75;
/** Protocols of "ip" probes that are listened for: IPIP, and one for experiments (RFC 3692), by family. */
const RAW_PROTOCOLS: readonly (readonly [Family, number])[] = [
  [4, 4],
  [4, 253],
  [6, 253],
];
/** Stands behind the probe's number in packets that no port tells apart from others. */
const RAW_MARK = 0x6d75736c;
/** How long what should arrive may take on a machine that does other things. */
const ARRIVAL_MS = 3_000;
/** After the last arrival, how long something may still come that should not. */
const SETTLE_MS = 4;

interface Pending {
  readonly fd: number;
  readonly arrived: () => boolean;
}

interface Receiver {
  readonly fd: number;
  /** Where its packets bear the probe's number: behind an IPv4 header of a length of its own, and so many bytes. */
  readonly hasHeader: boolean;
  readonly skip: number;
  readonly isMarked: boolean;
}

// createRequire gives `any`; the types are those of the package.
const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi');
const libc = koffi.load('libc.so.6');
const connectCall = libc.func('int connect(int, const uint8_t *, uint32_t)') as (
  fd: number,
  address: Uint8Array,
  length: number,
) => number;
const peerNameCall = libc.func('int getpeername(int, _Out_ uint8_t *, _Inout_ uint32_t *)') as (
  fd: number,
  address: Uint8Array,
  length: Uint32Array,
) => number;

export class Prober {
  readonly #namespaces = new Map<string, number>();
  readonly #listeners: number[] = [];
  readonly #receivers: Receiver[] = [];
  /** By number, with the sender that the receiver saw. */
  readonly #received = new Map<number, SocketAddress | undefined>();
  #nextId = 1;

  /** A place to send from and to listen in; `path` as /run/netns/NAME. Ping sockets must be allowed there. */
  add(name: string, path: string): void {
    this.#namespaces.set(name, openNamespace(path));
  }

  /** Answers in the namespace at all of its addresses of both families. */
  listen(name: string, ports: readonly number[]): void {
    this.#inside(name, () => {
      for (const port of ports) {
        for (const family of [4, 6] as const) {
          this.#listeners.push(bound(family, SOCK_STREAM, port));
          const fd = bound(family, SOCK_DGRAM, port);
          this.#receivers.push({ fd, hasHeader: false, skip: 0, isMarked: false });
        }
      }
      for (const family of [4, 6] as const) {
        const fd = open(family, SOCK_RAW, family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
        this.#receivers.push({ fd, hasHeader: family === 4, skip: 4, isMarked: true });
      }
      for (const [family, protocol] of RAW_PROTOCOLS) {
        const fd = open(family, SOCK_RAW, protocol);
        this.#receivers.push({ fd, hasHeader: family === 4, skip: 0, isMarked: true });
      }
    });
  }

  /** Whether each probe got through; `expected` tells what is worth waiting for. */
  async run(probes: readonly Probe[], expected: readonly boolean[]): Promise<boolean[]> {
    const got = await this.#round(probes, expected);
    const wrong = probes.flatMap((_, index) => (got[index] === expected[index] ? [] : [index]));
    if (wrong.length === 0) return got;
    const again = wrong.map((index) => probes[index] as Probe); // its own index
    const second = await this.#round(
      again,
      again.map(() => true),
    );
    for (const [position, index] of wrong.entries()) got[index] = second[position] === true;
    return got;
  }

  /** As `run`, but what is wrong is not tried again: for those who look for moments in which packets fare otherwise. */
  once(probes: readonly Probe[], expected: readonly boolean[]): Promise<boolean[]> {
    return this.#round(probes, expected);
  }

  async #round(probes: readonly Probe[], expected: readonly boolean[]): Promise<boolean[]> {
    const pending = probes.map((probe) => this.#send(probe));
    const missing = () => {
      this.#collect();
      return pending.some(({ arrived }, index) => expected[index] === true && !arrived());
    };
    const deadline = performance.now() + ARRIVAL_MS;
    while (missing() && performance.now() < deadline) await pause(1);
    await pause(SETTLE_MS);
    this.#collect();
    const got = pending.map(({ arrived }) => arrived());
    for (const { fd } of pending) closeSync(fd);
    this.#drain();
    this.#received.clear();
    return got;
  }

  close(): void {
    const receivers = this.#receivers.map(({ fd }) => fd);
    for (const fd of [...this.#listeners, ...receivers, ...this.#namespaces.values()]) closeSync(fd);
  }

  #send(probe: Probe): Pending {
    const { from, to, protocol, port } = probe;
    const id = this.#nextId++;
    const address = encodeSocketAddress({
      address: to,
      port: protocol === 'tcp' || protocol === 'udp' ? port : 0,
      scope: 0,
    });
    const opened = (type: number, number: number) => this.#inside(from, () => openFrom(probe, type, number));
    if (protocol === 'tcp') {
      const fd = opened(SOCK_STREAM, 0);
      // A reset instead of a farewell: nothing of the connection is left behind.
      setSocketOption(fd, SOL_SOCKET, SO_LINGER, new Uint8Array(Int32Array.of(1, 0).buffer));
      connectCall(fd, address, address.length);
      return { fd, arrived: () => isConnected(fd) };
    }
    const icmp = to.family === 4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
    if (protocol === 'icmp') {
      const fd = opened(SOCK_DGRAM, icmp);
      const echo = new Uint8Array(8);
      echo[0] = to.family === 4 ? 8 : 128;
      tolerant(() => sendTo(fd, echo, address));
      let answered = false;
      return { fd, arrived: () => (answered ||= hasEchoReply(fd, to.family)) };
    }
    const fd =
      protocol === 'udp' ? opened(SOCK_DGRAM, 0) : opened(SOCK_RAW, protocol === 'icmp-type' ? icmp : probe.port);
    const bytes =
      protocol === 'icmp-type' ? icmpPacket(probe, id) : new Uint8Array(Uint32Array.of(id, RAW_MARK).buffer);
    tolerant(() => sendTo(fd, bytes, address));
    return { fd, arrived: () => this.#received.has(id) && isAsSeen(probe.seenAs, this.#received.get(id)) };
  }

  /** Takes what has arrived by UDP and by raw sockets. */
  #collect(): void {
    const bytes = new Uint8Array(128);
    const view = new DataView(bytes.buffer);
    const sender = new Uint8Array(SOCKET_ADDRESS_LENGTH);
    for (const { fd, hasHeader, skip, isMarked } of this.#receivers) {
      while (tolerant(() => receiveFrom(fd, bytes, sender)) !== undefined) {
        const start = (hasHeader ? (view.getUint8(0) & 0x0f) * 4 : 0) + skip;
        if (isMarked && view.getUint32(start + 4, true) !== RAW_MARK) continue;
        this.#received.set(view.getUint32(start, true), decodeSocketAddress(sender));
      }
    }
  }

  #drain(): void {
    const peer = new Uint8Array(SOCKET_ADDRESS_LENGTH);
    for (const listener of this.#listeners) {
      for (;;) {
        const fd = tolerant(() => accept(listener, peer, SOCK_NONBLOCK | SOCK_CLOEXEC));
        if (fd === undefined) break;
        closeSync(fd);
      }
    }
  }

  #inside<Result>(name: string, work: () => Result): Result {
    const fd = this.#namespaces.get(name);
    if (fd === undefined) throw new Error(`no such namespace in the prober: ${name}`);
    return inOpenNamespace(fd, name, work);
  }
}

function open(family: Family, type: number, protocol: number): number {
  return socket(family === 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
}

/** A socket to send a probe with, bound to where it is to come from. */
function openFrom({ to: { family }, source, sourcePort }: Probe, type: number, protocol: number): number {
  const fd = open(family, type, protocol);
  if (source === undefined && sourcePort === undefined) return fd;
  setSocketNumber(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (family === 4) setSocketNumber(fd, IPPROTO_IP, IP_TRANSPARENT, 1);
  else setSocketNumber(fd, IPPROTO_IPV6, IPV6_TRANSPARENT, 1);
  const address = source ?? unspecified(family);
  bind(fd, encodeSocketAddress({ address, port: sourcePort ?? 0, scope: 0 }));
  return fd;
}

function unspecified(family: Family): Ip {
  return { family, bytes: new Uint8Array(family === 4 ? 4 : 16) } as Ip; // as its maker would
}

function isAsSeen(wanted: SeenAs | undefined, sender: SocketAddress | undefined): boolean {
  if (wanted === undefined) return true;
  if (sender === undefined || !sameIp(sender.address, wanted.address)) return false;
  const [first, last] = wanted.ports ?? [0, 65_535];
  return first <= sender.port && sender.port <= last;
}

/** Type, code, checksum (which the kernel fills in for IPv6), the probe's number, the mark, and room for a timestamp's fields. */
function icmpPacket({ port: type, code = 0 }: Probe, id: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(20));
  view.setUint8(0, type);
  view.setUint8(1, code);
  view.setUint32(4, id, true);
  view.setUint32(8, RAW_MARK, true);
  let sum = 0;
  for (let offset = 0; offset < view.byteLength; offset += 2) sum += view.getUint16(offset);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  view.setUint16(2, ~sum & 0xffff);
  return new Uint8Array(view.buffer);
}

function bound(family: Family, type: number, port: number): number {
  const fd = open(family, type, 0);
  setSocketNumber(fd, SOL_SOCKET, SO_REUSEADDR, 1);
  if (family === 6) setSocketNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
  bind(fd, encodeSocketAddress({ address: unspecified(family), port, scope: 0 }));
  if (type === SOCK_STREAM) listen(fd, BACKLOG);
  return fd;
}

function isConnected(fd: number): boolean {
  const name = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  return peerNameCall(fd, name, Uint32Array.of(name.length)) === 0;
}

/** On a ping socket errors such as "unreachable" come as errors of the call, and only replies as bytes. */
function hasEchoReply(fd: number, family: Family): boolean {
  const bytes = new Uint8Array(64);
  const sender = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  const length = tolerant(() => receiveFrom(fd, bytes, sender));
  return length !== undefined && bytes[0] === (family === 4 ? 0 : 129);
}

/** A packet that is refused on its way, or not there yet, is an answer and no failure of the test. */
function tolerant<Result>(work: () => Result): Result | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof KernelError) return undefined;
    throw error;
  }
}
