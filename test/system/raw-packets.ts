/**
 * IPv4 packets byte by byte: built, sent into a network namespace, and looked for on a device there.
 *
 * What is looked at are the frames as they cross a device (packet sockets), so a test sees headers that no socket shows. A packet
 * that should not come is shown not to by one that is sent after it on the same way, and does come. RFC 791, 792, 1071.
 */
import { closeSync } from 'node:fs';
import { inNamespace } from '../../src/kernel/network-namespace.ts';
import { encodeSocketAddress } from '../../src/kernel/socket-address.ts';
import {
  AF_INET,
  bind,
  interfaceIndex,
  type Poll,
  pollReadable,
  receive,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  sendTo,
  setSocketNumber,
  socket,
} from '../../src/kernel/system-calls.ts';
import { formatIp, ip, ipFromBytes } from '../../src/net/ip.ts';

const AF_PACKET = 17;
/** ETH_P_ALL in network order. */
const ALL_PROTOCOLS = 0x0300;
/** A raw socket whose packets bring their IP header along. */
const IPPROTO_RAW = 255;
const ETHERNET_LENGTH = 14;
const HEADER_LENGTH = 20;
const FRAME_LENGTH_MAX = 1 << 17;
/** Room for what comes while the event loop is busy. */
const BUFFER_LENGTH = 16 * 1024 * 1024;
/** When waiting has become pointless; CI shares its cores. */
const PATIENCE_MS = 60_000;

export interface Ipv4 {
  readonly source: string;
  readonly destination: string;
  readonly protocol: number;
  readonly ttl: number;
  readonly trafficClass: number;
  readonly dontFragment: boolean;
  readonly moreFragments: boolean;
  /** In bytes. */
  readonly fragmentOffset: number;
  readonly options: Uint8Array;
  readonly payload: Uint8Array;
}

const DEFAULTS = {
  protocol: 253, // for experiments (RFC 3692)
  ttl: 64,
  trafficClass: 0,
  dontFragment: false,
  moreFragments: false,
  fragmentOffset: 0,
  options: new Uint8Array(0),
  payload: new Uint8Array(0),
};

/** The bytes of a packet; what is not said is plain. */
export function buildIpv4(fields: Partial<Ipv4> & Pick<Ipv4, 'source' | 'destination'>): Uint8Array {
  const packet = { ...DEFAULTS, ...fields };
  const headerLength = HEADER_LENGTH + packet.options.length;
  const bytes = new Uint8Array(headerLength + packet.payload.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x40 | (headerLength / 4);
  bytes[1] = packet.trafficClass;
  view.setUint16(2, bytes.length);
  view.setUint16(4, 0x4d75); // the kernel would choose one for 0
  view.setUint16(
    6,
    (packet.dontFragment ? 0x4000 : 0) | (packet.moreFragments ? 0x2000 : 0) | (packet.fragmentOffset / 8),
  );
  bytes[8] = packet.ttl;
  bytes[9] = packet.protocol;
  bytes.set(ip(packet.source).bytes, 12);
  bytes.set(ip(packet.destination).bytes, 16);
  bytes.set(packet.options, HEADER_LENGTH);
  view.setUint16(10, checksum(bytes.subarray(0, headerLength)));
  bytes.set(packet.payload, headerLength);
  return bytes;
}

/** The packet in these bytes; undefined when they are none, or its checksum is wrong. */
export function parseIpv4(bytes: Uint8Array): Ipv4 | undefined {
  const headerLength = (bytes[0]! & 0xf) * 4;
  if (bytes[0]! >> 4 !== 4 || bytes.length < headerLength) return undefined;
  if (checksum(bytes.subarray(0, headerLength)) !== 0) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const fragment = view.getUint16(6);
  return {
    source: formatIp(ipFromBytes(bytes.subarray(12, 16))),
    destination: formatIp(ipFromBytes(bytes.subarray(16, 20))),
    protocol: bytes[9]!,
    ttl: bytes[8]!,
    trafficClass: bytes[1]!,
    dontFragment: (fragment & 0x4000) !== 0,
    moreFragments: (fragment & 0x2000) !== 0,
    fragmentOffset: (fragment & 0x1fff) * 8,
    options: bytes.slice(HEADER_LENGTH, headerLength),
    payload: bytes.slice(headerLength),
  };
}

/** An ICMP message with its checksum in place. */
export function buildIcmp(type: number, code: number, rest: Uint8Array): Uint8Array {
  const bytes = Uint8Array.of(type, code, 0, 0, ...rest);
  new DataView(bytes.buffer).setUint16(2, checksum(bytes));
  return bytes;
}

/** The Internet checksum; over bytes that contain a right one it is 0. */
export function checksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let index = 0; index < bytes.length; index += 2) sum += (bytes[index]! << 8) | (bytes[index + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** Sends a packet as it is from the namespace at `path`; only its checksum is the kernel's. */
export function sendIpv4(path: string, packet: Uint8Array): void {
  const fd = inNamespace(path, () => socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW));
  try {
    const address = ipFromBytes(packet.subarray(16, 20));
    sendTo(fd, packet, encodeSocketAddress({ address, port: 0, scope: 0 }));
  } finally {
    closeSync(fd);
  }
}

/** Sees all IPv4 packets that cross a device, in both directions. */
export class Sniffer {
  readonly #fd: number;
  readonly #poll: Poll;
  readonly #seen: Ipv4[] = [];
  #wake: () => void = () => undefined;

  constructor(path: string, device: string) {
    this.#fd = inNamespace(path, () => {
      const fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, ALL_PROTOCOLS);
      setSocketNumber(fd, SOL_SOCKET, SO_RCVBUFFORCE, BUFFER_LENGTH);
      const address = new Uint8Array(20); // struct sockaddr_ll
      const view = new DataView(address.buffer);
      view.setUint16(0, AF_PACKET, true);
      view.setUint16(2, ALL_PROTOCOLS, true);
      view.setInt32(4, interfaceIndex(device), true);
      bind(fd, address);
      return fd;
    });
    this.#poll = pollReadable(this.#fd, () => this.#read());
  }

  /** All that have been seen so far, in their order. */
  get seen(): readonly Ipv4[] {
    this.#read();
    return this.#seen;
  }

  /** The first packet that is meant, seen already or still to come. */
  async packet(what: string, isMeant: (packet: Ipv4) => boolean): Promise<Ipv4> {
    const late = AbortSignal.timeout(PATIENCE_MS);
    for (;;) {
      const found = this.seen.find(isMeant);
      if (found !== undefined) return found;
      const next = new Promise<void>((resolve) => {
        this.#wake = resolve;
        late.onabort = () => resolve();
      });
      if (late.aborted) throw new Error(`${what} did not come; ${this.#seen.length} other packets did`);
      await next;
    }
  }

  /** Forgets what has been seen. */
  clear(): void {
    this.#read();
    this.#seen.length = 0;
  }

  close(): void {
    this.#poll.close();
    closeSync(this.#fd);
  }

  #read(): void {
    const buffer = new Uint8Array(FRAME_LENGTH_MAX);
    for (;;) {
      let length: number;
      try {
        length = receive(this.#fd, buffer, 0);
      } catch {
        break; // EAGAIN: no more; ENETDOWN: the device is down
      }
      const packet = parseIpv4(buffer.slice(ETHERNET_LENGTH, length));
      if (packet !== undefined) this.#seen.push(packet);
    }
    this.#wake();
  }
}
