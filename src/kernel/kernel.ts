/**
 * The kernel of one network namespace, as the agent sees it.
 *
 * It holds no policy: it reads what is there, does what it is told, and says what went wrong. Everything is synchronous,
 * because a netlink request is answered in microseconds and an answer that comes later would be one more hidden state. Two
 * implementations, the real one over netlink and a fake one in memory, pass the same suite (kernel.suite.ts); where
 * they differ, the fake is wrong.
 */
import type { Ip } from '../net/ip.ts';
import type {
  Address,
  ForwardingEntry,
  IfIndex,
  Link,
  Neighbour,
  NeighbourProxy,
  Route,
} from '../net/kernel-objects.ts';
import type { Mac } from '../net/mac.ts';

/** A veth pair whose far end is made inside another network namespace (never moved: moving costs 17 ms). */
export interface VethPair {
  readonly name: string;
  readonly mac?: Mac;
  /** Of both ends. */
  readonly mtu?: number;
  readonly peer: { readonly name: string; readonly namespacePath?: string; readonly mac?: Mac };
}

/** A VXLAN device that learns nothing: it is told who is behind which address. */
export interface VxlanDevice {
  readonly name: string;
  readonly vni: number;
  readonly port: number;
  readonly local: Ip;
  readonly parent: IfIndex | undefined;
  readonly mac: Mac;
  readonly mtu: number;
}

/**
 * What changed, as it is now or, where it was removed, as it was last. IPv4 routes that go because their device went down
 * or was removed are not told of, since the kernel does not: then they are to be read anew.
 */
export type KernelEvent =
  | { readonly kind: 'link'; readonly link: Link; readonly removed: boolean }
  | { readonly kind: 'address'; readonly address: Address; readonly removed: boolean }
  | { readonly kind: 'route'; readonly route: Route; readonly removed: boolean }
  /** Events were lost (ENOBUFS): read everything anew. */
  | { readonly kind: 'overrun' };

export interface Kernel {
  links(): Link[];
  link(name: string): Link | undefined;
  addresses(): Address[];
  /**
   * Unicast, blackhole and other routes of one table and both families; the kernel's cache is left out, and routes that
   * a Route cannot express (by type of service, by source prefix). IPv6 routes are in normal form: scope 0, and metric 0
   * where the kernel says 1024, its default.
   */
  routes(table: number): Route[];
  /** Without those that the kernel makes for multicast and the like (NUD_NOARP). */
  neighbours(): Neighbour[];

  addVeth(pair: VethPair): Link;
  addBridge(name: string): Link;
  /** EEXIST when the name is taken, or another device has the same network and port. */
  addVxlan(device: VxlanDevice): Link;
  /**
   * The IPIP tunnel to everybody: the one that the kernel has from the start where its module is loaded, else a new one. EOPNOTSUPP
   * where the kernel has no such devices.
   */
  addIpip(device: { readonly name: string; readonly mtu: number }): Link;
  setLinkUp(index: IfIndex, up: boolean): void;
  setLinkMaster(index: IfIndex, master: IfIndex): void;
  setLinkMtu(index: IfIndex, mtu: number): void;
  setLinkMac(index: IfIndex, mac: Mac): void;
  /** Whether the device asks for and answers about its neighbours. */
  setLinkArp(index: IfIndex, arp: boolean): void;
  removeLink(index: IfIndex): void;

  /** IPv6 addresses are usable at once: IPAM made them unique, so the kernel need not look for duplicates. */
  addAddress(index: IfIndex, address: Ip, prefixLength: number): void;
  /** EADDRNOTAVAIL when the device does not have it. */
  removeAddress(index: IfIndex, address: Ip, prefixLength: number): void;

  /** Adds the route, or puts it in the place of the one with the same key, whoever's that is (NLM_F_REPLACE). */
  putRoute(route: Route): void;
  /** Fails with ESRCH when no such route is there: destination, table, metric, protocol and type must match. */
  removeRoute(route: Route): void;

  putNeighbour(neighbour: Neighbour): void;
  /** Fails with ENOENT when it is not there. */
  removeNeighbour(index: IfIndex, address: Ip): void;
  /** Of all VXLAN devices. */
  forwardingEntries(): ForwardingEntry[];
  /** Adds the entry, or puts it in the place of the one for the same MAC address. For VXLAN devices only. */
  putForwardingEntry(entry: ForwardingEntry): void;
  /** Fails with ENOENT when it is not there. */
  removeForwardingEntry(entry: ForwardingEntry): void;
  /** A proxy entry: the device answers ARP (IPv4) or NDP (IPv6) for an address that no device has. */
  addNeighbourProxy(index: IfIndex, address: Ip): void;
  /** All proxy entries of both families. */
  neighbourProxies(): NeighbourProxy[];

  /** Reads /proc/sys/net/…; `name` is the path below it, "ipv4/ip_forward". Undefined when there is no such file. */
  readSysctl(name: string): string | undefined;
  writeSysctl(name: string, value: string): void;

  /** Calls back for each change until the returned function is called. At most one watcher a kernel. */
  watch(onEvent: (event: KernelEvent) => void): () => void;

  close(): void;
}

/** The world's error: the kernel said no. */
export class KernelError extends Error {
  override readonly name = 'KernelError';
  /** errno's name: "ENODEV", "EEXIST", "ESRCH" … */
  readonly code: string;

  constructor(code: string, message: string) {
    // Many of them say no more than that something is not there, and a stack costs more than the call that found it out.
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
    this.code = code;
  }
}
