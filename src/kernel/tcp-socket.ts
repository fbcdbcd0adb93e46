/**
 * TCP sockets with what routers ask of them and Node does not offer, made before Node gets them.
 *
 * TCP MD5 (RFC 2385): a listener has a key for each peer, or for a prefix of peers; segments from there that bear no or a
 * wrong digest are dropped by the kernel, so a wrong key looks like silence. An accepted socket inherits the key of its
 * peer. TTL security (RFC 5082): all sockets send with a TTL of 255, which no router can have decremented where a peer one
 * hop away sees it; on those that ask for it the kernel drops what comes from farther. Whether the SYN came from near is
 * known only after the connection was accepted, by the header that the kernel has saved of it.
 *
 * Source: linux/tcp.h, linux/in.h, linux/in6.h, man 7 tcp. Called by node/bgp/bgp-listeners.ts and bgp-connection.ts.
 */
import type { Cidr } from '../net/cidr.ts';
import { formatCidr, hostPrefix } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { unmapIp } from '../net/ip.ts';
import {
  CLASS_SELECTOR_6,
  closingOnError,
  IP_OPTIONS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_V6ONLY,
  TTL_MAX,
  TTL_OFFSET,
} from './ip-socket.ts';
import { KernelError } from './kernel.ts';
import { decodeSocketAddress, encodeSocketAddress, SOCKET_ADDRESS_LENGTH } from './socket-address.ts';
import {
  AF_INET,
  AF_INET6,
  accept,
  bind,
  interfaceIndex,
  interfaceName,
  listen,
  SO_BINDTODEVICE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  setSocketNumber,
  setSocketOption,
  socket,
  socketName,
  socketOption,
} from './system-calls.ts';

const SO_REUSEADDR = 2;
const IPPROTO_TCP = 6;
const IP_BIND_ADDRESS_NO_PORT = 24;
const TCP_NODELAY = 1;
const TCP_SAVE_SYN = 27;
const TCP_SAVED_SYN = 28;
const TCP_MD5SIG_EXT = 32;
const TCP_MD5SIG_FLAG_PREFIX = 1;

/** struct tcp_md5sig: an address's 128 bytes, flags, prefix length, key length, interface index, key. */
const MD5SIG_LENGTH = 216;
const MD5SIG_ADDRESS_LENGTH = 128;
/** TCP_MD5SIG_MAXKEYLEN. */
export const PASSWORD_BYTES_MAX = 80;
/** The longest IPv6 and TCP headers with room for extensions; of the SYN only its first bytes matter. */
const SAVED_SYN_LENGTH = 512;

/** What a peer's connections are protected by. */
export interface Protection {
  readonly password: string | undefined;
  /** How many hops away the peer may be, 1 … 255. */
  readonly ttlSecurityHops: number | undefined;
}

/**
 * A socket that listens, ready for pollReadable and acceptTcp; close it with fs.closeSync. An IPv6 socket takes IPv6 only.
 * Throws KernelError, such as EADDRINUSE.
 */
export function listenTcp(address: Ip, port: number, backlog: number): number {
  const fd = openTcp(address.family);
  return closingOnError(fd, () => {
    setSocketNumber(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (address.family === 6) setSocketNumber(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
    setSocketNumber(fd, IPPROTO_TCP, TCP_SAVE_SYN, 1);
    bind(fd, encodeSocketAddress({ address, port, scope: 0 }));
    listen(fd, backlog);
    return fd;
  });
}

/**
 * A socket that is ready to connect to `peer`. Throws KernelError: ENODEV when there is no such device, EADDRNOTAVAIL when
 * the source is not an address of this host.
 */
export function dialTcp(
  peer: Ip,
  from: { readonly source: Ip | undefined; readonly device: string | undefined } & Protection,
): number {
  const { source, device, password } = from;
  const fd = openTcp(peer.family);
  return closingOnError(fd, () => {
    if (device !== undefined) setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, new TextEncoder().encode(`${device}\0`));
    if (password !== undefined) setPassword(fd, hostPrefix(peer), password);
    setTtlSecurity(fd, peer.family, from.ttlSecurityHops);
    if (source !== undefined) {
      // The kernel takes the local port when it knows the other end, so that one port serves towards many peers.
      setSocketNumber(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
      const scope = device === undefined ? 0 : interfaceIndex(device);
      bind(fd, encodeSocketAddress({ address: source, port: 0, scope }));
    }
    return fd;
  });
}

export interface AcceptedTcp {
  readonly fd: number;
  readonly peerAddress: Ip;
  readonly localAddress: Ip;
  /** The device of a link-local peer. */
  readonly device: string | undefined;
}

/** The next connection that waits at a listening socket; undefined when none does. Throws KernelError, such as EMFILE. */
export function acceptTcp(listener: number): AcceptedTcp | undefined {
  const name = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  let fd: number;
  try {
    fd = accept(listener, name, SOCK_NONBLOCK | SOCK_CLOEXEC);
  } catch (error) {
    if (error instanceof KernelError && error.code === 'EAGAIN') return undefined;
    throw error;
  }
  return closingOnError(fd, () => {
    const peer = decodeSocketAddress(name);
    const localAddress = localAddressOf(fd);
    if (peer === undefined || localAddress === undefined) throw new KernelError('EAFNOSUPPORT', 'accept: not TCP/IP');
    const device = peer.scope === 0 ? undefined : interfaceName(peer.scope);
    return { fd, peerAddress: unmapIp(peer.address), localAddress, device };
  });
}

/**
 * How many hops away the sender of an accepted connection's SYN was at least, 1 for a neighbour; 256 when that is not
 * known. The kernel keeps the header for one question only.
 */
export function synHops(fd: number, family: Family): number {
  const header = new Uint8Array(SAVED_SYN_LENGTH);
  const length = socketOption(fd, IPPROTO_TCP, TCP_SAVED_SYN, header);
  const offset = TTL_OFFSET[family];
  return TTL_MAX + 1 - (length > offset ? (header[offset] ?? 0) : 0);
}

/** Lets in only what comes from at most `hops` hops away; undefined for any distance. */
export function setTtlSecurity(fd: number, family: Family, hops: number | undefined): void {
  const { level, ttlMin } = IP_OPTIONS[family];
  setSocketNumber(fd, level, ttlMin, hops === undefined ? 0 : TTL_MAX + 1 - hops);
}

/**
 * Sets or changes the TCP MD5 key of all peers of a prefix (the longest that fits a peer counts), or takes it away. On a
 * connection the prefix is its peer's address. Throws KernelError: ENOMEM where net.core.optmem_max allows no more keys.
 */
export function setPassword(fd: number, prefix: Cidr, password: string | undefined): void {
  const key = new TextEncoder().encode(password ?? '');
  if (key.length > PASSWORD_BYTES_MAX) {
    const wrong = `the TCP MD5 key for ${formatCidr(prefix)} has ${key.length} bytes`;
    throw new KernelError('EINVAL', `${wrong}: at most ${PASSWORD_BYTES_MAX} are possible`);
  }
  const bytes = new Uint8Array(MD5SIG_LENGTH);
  const view = new DataView(bytes.buffer);
  bytes.set(encodeSocketAddress({ address: prefix.address, port: 0, scope: 0 }));
  view.setUint8(MD5SIG_ADDRESS_LENGTH, TCP_MD5SIG_FLAG_PREFIX);
  view.setUint8(MD5SIG_ADDRESS_LENGTH + 1, prefix.length);
  view.setUint16(MD5SIG_ADDRESS_LENGTH + 2, key.length, true);
  bytes.set(key, MD5SIG_ADDRESS_LENGTH + 8);
  try {
    setSocketOption(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, bytes);
  } catch (error) {
    // There was no key to take away.
    if (key.length === 0 && error instanceof KernelError && error.code === 'ENOENT') return;
    throw error;
  }
}

/** A socket's own address; undefined where it has none. */
export function localAddressOf(fd: number): Ip | undefined {
  const name = new Uint8Array(SOCKET_ADDRESS_LENGTH);
  socketName(fd, name);
  const own = decodeSocketAddress(name);
  return own === undefined ? undefined : unmapIp(own.address);
}

/** What every socket here has; accepted ones inherit it from their listener. */
function openTcp(family: Family): number {
  const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
  return closingOnError(fd, () => {
    const { level, ttl, trafficClass } = IP_OPTIONS[family];
    setSocketNumber(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    setSocketNumber(fd, level, ttl, TTL_MAX);
    setSocketNumber(fd, level, trafficClass, CLASS_SELECTOR_6);
    return fd;
  });
}
