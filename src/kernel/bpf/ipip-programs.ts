/**
 * IPIP on a kernel that has no such device: two small programs on the traffic of a veth pair and of the uplinks.
 *
 *   container ── route ──► tunl0 ─exit─► encapsulation ──────────► uplink ──► the far host
 *   container ◄─ stack ◄── tunl0 ◄────── decapsulation ◄─entrance─ uplink ◄──
 *
 * The device is one end of a veth pair, without ARP, as routes, policy and people expect it; to its other end goes only what
 * has to be cut into segments before an outer header fits. What is in force is in the kernel alone: programs hang on devices, and refer to the map
 * of hosts. A new process finds programs by name and the map by them, replaces a program whose instructions differ, and
 * otherwise changes nothing.
 *
 * Synchronous, as all of the kernel room. Called by node, where the kernel says that it has no `ipip` (EOPNOTSUPP).
 */
import { closeSync } from 'node:fs';
import { release } from 'node:os';
import { assert } from '../../lib/assert.ts';
import { sameBytes } from '../../lib/bytes.ts';
import { formatIp, type Ip, ipFromBytes } from '../../net/ip.ts';
import { type IfIndex, ifIndex, type Link } from '../../net/kernel-objects.ts';
import { switchOffFeatures } from '../device-features.ts';
import { type Kernel, KernelError } from '../kernel.ts';
import { decodeWaySource, encodeWayGet } from '../netlink/route-question.ts';
import type { TrafficDirection } from '../netlink/traffic-control.ts';
import { openKernel } from '../netlink-kernel.ts';
import { type ControlSocket, openControlSocket } from '../netlink-socket.ts';
import { inOpenNamespace, openNamespace } from '../network-namespace.ts';
import { assemble } from './assembler.ts';
import { type Attachment, type AttachmentKind, openAttachment } from './attachment.ts';
import {
  closingAfter,
  createHashMap,
  loadProgram,
  mapId,
  mapKeys,
  mapValue,
  openMap,
  programFacts,
  putMapValue,
  removeMapValue,
} from './bpf-objects.ts';
import { ipipDecapsulation } from './ipip-decapsulation.ts';
import { ipipEncapsulation } from './ipip-encapsulation.ts';
import { HOST, HOST_KEY_LENGTH, HOSTS_MAP_NAME, HOSTS_MAX, PROGRAM_NAME, TUNNEL_MAC } from './ipip-layout.ts';

/** The device, and the other end of its pair. */
const TUNNEL_NAME = 'tunl0';
const PEER_NAME = 'tunl0-peer';
/** Features of a driver that sends packets of many segments itself; the kernel's own, "generic", is another matter. */
const SEGMENTATION = /^tx-(?!generic).*segmentation$/;
/** Of every network namespace. */
const LOOPBACK = ifIndex(1);
/** From this kernel on a program's lookup of a route tells the source address (BPF_FIB_LOOKUP_SRC). */
const SOURCE_BY_LOOKUP = { major: 6, minor: 7 } as const;

export interface IpipPrograms {
  /** Makes the device, or adopts that of an earlier process, with the program at its exit; it is up afterwards. */
  install(device: { readonly name: typeof TUNNEL_NAME; readonly mtu: number }): Link;
  /**
   * At which devices, Ethernet ones, the tunnel's packets come in. Until it is called those hold that an earlier process has said.
   */
  setUplinks(indexes: readonly IfIndex[]): void;
  /** The far ends, whose packets are taken. Of IPv6 there are none: such addresses are passed over. */
  setHosts(hosts: readonly Ip[]): void;
  /** Takes programs and device away, also those of an earlier process. */
  remove(): void;
  /** Frees what the process holds; what is in force stays in force. */
  close(): void;
}

/** In the namespace at a path, or in the calling thread's own; `kind` is for tests. All throw KernelError. */
export function openIpipPrograms(namespacePath?: string, kind?: AttachmentKind): IpipPrograms {
  const namespace = openNamespace(namespacePath);
  const inside: Inside = (work) => inOpenNamespace(namespace, namespacePath ?? "the thread's network namespace", work);
  try {
    const [attachment, control] = inside(() => [openAttachment(LOOPBACK, kind), openControlSocket()]);
    return new Programs(openKernel(namespacePath), { namespace, inside, attachment, control });
  } catch (error) {
    closeSync(namespace);
    throw error;
  }
}

type Inside = <Result>(work: () => Result) => Result;

interface Shell {
  readonly namespace: number;
  /** Does something with the thread in the namespace. */
  readonly inside: Inside;
  readonly attachment: Attachment;
  readonly control: ControlSocket;
}

/** What is there once the device is. */
interface Installed {
  readonly tunnel: IfIndex;
  /** The map's descriptor. */
  readonly hosts: number;
  /** The descriptor of the program for the uplinks. */
  readonly decapsulation: number;
  /** The devices that have it, as far as this process knows; at first any may. */
  uplinks: readonly IfIndex[] | undefined;
}

class Programs implements IpipPrograms {
  readonly #kernel: Kernel;
  readonly #shell: Shell;
  #installed: Installed | undefined;
  #open = true;

  constructor(kernel: Kernel, shell: Shell) {
    this.#kernel = kernel;
    this.#shell = shell;
  }

  install({ mtu }: { readonly mtu: number }): Link {
    const link = this.#ownPair(mtu);
    const { index } = link;
    if (this.#installed?.tunnel !== index) {
      this.#forget();
      const hosts = this.#adoptHosts(index) ?? createHashMap(HOSTS_MAP_NAME, HOST_KEY_LENGTH, HOST.length, HOSTS_MAX);
      const decapsulation = loadProgram(PROGRAM_NAME.decapsulation, assemble(ipipDecapsulation(index, hosts)));
      this.#installed = { tunnel: index, hosts, decapsulation, uplinks: undefined };
    }
    const { hosts } = this.#installed;
    const program = loadProgram(PROGRAM_NAME.encapsulation, assemble(ipipEncapsulation(index, hosts)));
    closingAfter(program, () => {
      this.#ensure(this.#peer().index, 'ingress', PROGRAM_NAME.encapsulation, program, hosts);
      this.#ensure(index, 'egress', PROGRAM_NAME.encapsulation, program, hosts);
    });
    // What goes on to the other end is cut into segments before. Sockets of the host itself go on making large packets.
    this.#shell.inside(() => switchOffFeatures(TUNNEL_NAME, (name) => SEGMENTATION.test(name)));
    for (const each of [this.#peer(), link]) this.#bringUp(each);
    return this.#kernel.link(TUNNEL_NAME) ?? link;
  }

  setUplinks(indexes: readonly IfIndex[]): void {
    const installed = this.#installed;
    assert(installed !== undefined, 'the tunnel is installed before its uplinks are said');
    const links = this.#kernel.links();
    const withHeader = links.filter(({ mac }) => mac !== undefined).map(({ index }) => index);
    const uplinks = indexes.filter((index) => withHeader.includes(index));
    const candidates = links.map(({ index }) => index).filter((index) => installed.uplinks?.includes(index) ?? true);
    // Should one of them fail, those before it are not forgotten.
    if (installed.uplinks !== undefined) installed.uplinks = [...installed.uplinks, ...uplinks];
    for (const index of uplinks) {
      this.#ensure(index, 'ingress', PROGRAM_NAME.decapsulation, installed.decapsulation, installed.hosts);
    }
    for (const index of candidates.filter((each) => !uplinks.includes(each))) this.#removeFrom(index);
    installed.uplinks = uplinks;
    // Said when all others are right.
    const odd = indexes.find((index) => !uplinks.includes(index));
    if (odd !== undefined) throw unfitUplink(odd, links);
  }

  setHosts(hosts: readonly Ip[]): void {
    const map = this.#installed?.hosts;
    assert(map !== undefined, 'the tunnel is installed before its hosts are said');
    const wanted = new Map(hosts.filter(({ family }) => family === 4).map((host) => [formatIp(host), host]));
    if (wanted.size > HOSTS_MAX) throw new KernelError('E2BIG', `${wanted.size} hosts, of ${HOSTS_MAX} at most`);
    const present = new Set<string>();
    for (const key of mapKeys(map, HOST_KEY_LENGTH)) {
      const name = formatIp(ipFromBytes(key));
      if (wanted.has(name)) present.add(name);
      else removeMapValue(map, key);
    }
    for (const [name, host] of wanted) {
      if (!present.has(name)) putMapValue(map, host.bytes, new Uint8Array(HOST.length));
    }
    if (!tellsSource(release())) for (const host of wanted.values()) this.#putSource(map, host);
  }

  remove(): void {
    for (const { index } of this.#kernel.links()) this.#removeFrom(index);
    this.#forget();
    const link = this.#kernel.link(TUNNEL_NAME);
    if (link !== undefined && this.#isOwn(link)) this.#kernel.removeLink(link.index);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#forget();
    this.#shell.attachment.close();
    this.#shell.control.close();
    this.#kernel.close();
    closeSync(this.#shell.namespace);
  }

  /** The device with its other end, made or made right. */
  #ownPair(mtu: number): Link {
    const present = this.#kernel.link(TUNNEL_NAME);
    if (present !== undefined && !this.#isOwn(present)) {
      const kind = present.kind === undefined ? 'no kind' : `kind ${present.kind}`;
      const right = `a veth with the other end ${PEER_NAME} would be ours; remove the device, or let it be the tunnel`;
      throw new KernelError('EEXIST', `there is a device ${TUNNEL_NAME} of ${kind} already: ${right}`);
    }
    const link =
      present ?? this.#kernel.addVeth({ name: TUNNEL_NAME, mac: TUNNEL_MAC, mtu, peer: { name: PEER_NAME } });
    if (link.mtu !== mtu) this.#kernel.setLinkMtu(link.index, mtu);
    const peer = this.#peer();
    if (peer.mtu !== mtu) this.#kernel.setLinkMtu(peer.index, mtu);
    if (link.mac !== TUNNEL_MAC) this.#kernel.setLinkMac(link.index, TUNNEL_MAC);
    return link;
  }

  #isOwn(link: Link): boolean {
    return link.kind === 'veth' && this.#kernel.link(PEER_NAME)?.kind === 'veth';
  }

  #peer(): Link {
    const link = this.#kernel.link(PEER_NAME);
    if (link === undefined) throw new KernelError('ENODEV', `device ${PEER_NAME} vanished`);
    return link;
  }

  /** Neither end asks for neighbours, in ARP or IPv6, which the tunnel does not carry. */
  #bringUp(link: Link): void {
    const { name } = link;
    const withoutIpv6 = `ipv6/conf/${name}/disable_ipv6`;
    if (this.#kernel.readSysctl(withoutIpv6) === '0') this.#kernel.writeSysctl(withoutIpv6, '1');
    this.#kernel.setLinkArp(link.index, false);
    if (!link.up) this.#kernel.setLinkUp(link.index, true);
  }

  /** The map that an earlier process's programs refer to. */
  #adoptHosts(tunnel: IfIndex): number | undefined {
    const others = this.#kernel.links().map(({ index }) => [index, 'ingress', PROGRAM_NAME.decapsulation] as const);
    for (const [index, direction, name] of [[tunnel, 'egress', PROGRAM_NAME.encapsulation] as const, ...others]) {
      const facts = this.#shell.inside(() => this.#shell.attachment.find(index, direction, name));
      const map = facts?.maps[0] === undefined ? undefined : openMap(facts.maps[0]);
      if (map !== undefined) return map;
    }
    return undefined;
  }

  /** Leaves a program that does the same with the same map where it is. */
  #ensure(index: IfIndex, direction: TrafficDirection, name: string, program: number, hosts: number): void {
    const { attachment } = this.#shell;
    this.#shell.inside(() => {
      const present = attachment.find(index, direction, name);
      const isRight = present?.tag === programFacts(program).tag && present.maps.includes(mapId(hosts));
      if (!isRight) attachment.put(index, direction, name, program);
    });
  }

  #removeFrom(index: IfIndex): void {
    this.#shell.inside(() => this.#shell.attachment.remove(index, 'ingress', PROGRAM_NAME.decapsulation));
  }

  /** The address to send from is the one that the kernel's own routing says. What is learnt of the path stays. */
  #putSource(map: number, host: Ip): void {
    const value = mapValue(map, host.bytes, HOST.length);
    const source = this.#sourceTowards(host);
    if (value === undefined || source === undefined) return;
    if (sameBytes(value.subarray(HOST.source, HOST.source + HOST_KEY_LENGTH), source.bytes)) return;
    value.set(source.bytes, HOST.source);
    putMapValue(map, host.bytes, value);
  }

  #sourceTowards(host: Ip): Ip | undefined {
    try {
      return this.#shell.control
        .request(encodeWayGet(host))
        .map(decodeWaySource)
        .find((each) => each !== undefined);
    } catch (error) {
      // ENETUNREACH and its like: there is no way, and what is sent there is dropped.
      if (error instanceof KernelError) return undefined;
      throw error;
    }
  }

  #forget(): void {
    if (this.#installed === undefined) return;
    closeSync(this.#installed.hosts);
    closeSync(this.#installed.decapsulation);
    this.#installed = undefined;
  }
}

/** The programs read packets behind an Ethernet header; elsewhere they would take what somebody has written for one. */
function unfitUplink(index: IfIndex, links: readonly Link[]): KernelError {
  const link = links.find((each) => each.index === index);
  if (link === undefined) return new KernelError('ENODEV', `there is no device ${index}, which is to be an uplink`);
  const right = 'an uplink of IPIP by programs has one';
  return new KernelError('EOPNOTSUPP', `device ${link.name} has no Ethernet header: ${right}`);
}

/** Whether a kernel of that release tells programs the source address; one that does and says no is told it in vain. */
export function tellsSource(kernelRelease: string): boolean {
  const [major = 0, minor = 0] = kernelRelease.split('.').map(Number);
  return major > SOURCE_BY_LOOKUP.major || (major === SOURCE_BY_LOOKUP.major && minor >= SOURCE_BY_LOOKUP.minor);
}
