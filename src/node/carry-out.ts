/**
 * Carrying out one operation of the dataplane on the kernel.
 *
 * No decisions but one: IPIP's device is the kernel's where it has such devices, else one that two programs of ours serve, in the
 * same wire format. What became of a device is told at once, since the next operations need its number, and the kernel's event comes
 * later. That something has gone by itself is as good as having removed it.
 */
import type { KernelOperation } from '../felix/dataplane/dataplane.ts';
import type { TunnelDevice, TunnelStep } from '../felix/dataplane/tunnel-device.ts';
import { tunnelSteps } from '../felix/dataplane/tunnel-device.ts';
import type { IpipEnds } from '../felix/dataplane/tunnels.ts';
import type { TunnelKind } from '../felix/desired/tunnels.ts';
import type { IpipPrograms } from '../kernel/bpf/ipip-programs.ts';
import type { Kernel } from '../kernel/kernel.ts';
import { KernelError } from '../kernel/kernel.ts';
import { assert, unreachable } from '../lib/assert.ts';
import type { Operation } from '../lib/reconciler.ts';
import type { IfIndex, Link } from '../net/kernel-objects.ts';

/** How the kernel's own device for IPIP calls itself. */
const KERNEL_IPIP = 'ipip';

export class Carrier {
  readonly #kernel: Kernel;
  readonly #openPrograms: () => IpipPrograms;
  readonly #onLink: (link: Link, removed: boolean) => void;
  #programs: IpipPrograms | undefined;

  constructor(options: {
    readonly kernel: Kernel;
    readonly openPrograms: () => IpipPrograms;
    /** A device of ours came, changed or went. */
    readonly onLink: (link: Link, removed: boolean) => void;
  }) {
    this.#kernel = options.kernel;
    this.#openPrograms = options.openPrograms;
    this.#onLink = options.onLink;
  }

  close(): void {
    this.#programs?.close();
  }

  /** Throws KernelError. `done` is called when it has succeeded, before what became of devices is told. */
  carryOut(step: KernelOperation, done: () => void): void {
    if (step.kind === 'tunnel') {
      this.#carryOutTunnel(step.operation, done);
      return;
    }
    this.#carryOutObject(step);
    done();
  }

  #carryOutObject(step: Exclude<KernelOperation, { readonly kind: 'tunnel' }>): void {
    const kernel = this.#kernel;
    switch (step.kind) {
      case 'route':
        put(step.operation, (route) => kernel.putRoute(route));
        remove(step.operation, 'ESRCH', (route) => kernel.removeRoute(route));
        break;
      case 'setting':
        put(step.operation, (value, name) => kernel.writeSysctl(name, value));
        break;
      case 'proxy':
        put(step.operation, ({ index, address }) => kernel.addNeighbourProxy(index, address));
        break;
      case 'linkUp':
        put(step.operation, ({ index }) => kernel.setLinkUp(index, true));
        break;
      case 'tunnelAddress':
        put(step.operation, ({ index, address, prefixLength }) => kernel.addAddress(index, address, prefixLength));
        remove(step.operation, 'EADDRNOTAVAIL', ({ index, address, prefixLength }) =>
          kernel.removeAddress(index, address, prefixLength),
        );
        break;
      case 'neighbour':
        put(step.operation, (neighbour) => kernel.putNeighbour(neighbour));
        remove(step.operation, 'ENOENT', ({ index, address }) => kernel.removeNeighbour(index, address));
        break;
      case 'forwarding':
        put(step.operation, (entry) => kernel.putForwardingEntry(entry));
        remove(step.operation, 'ENOENT', (entry) => kernel.removeForwardingEntry(entry));
        break;
      case 'ipipPrograms':
        put(step.operation, (ends) => this.#serveIpip(ends));
        break;
      default:
        unreachable(step);
    }
  }

  /** Hosts first, so that nobody's packets are taken before it is known whose may be. */
  #serveIpip({ mtu, hosts, uplinks }: IpipEnds): void {
    const programs = this.#ipipPrograms();
    programs.install({ name: 'tunl0', mtu });
    programs.setHosts(hosts);
    programs.setUplinks(uplinks);
  }

  #carryOutTunnel(operation: Operation<TunnelDevice>, done: () => void): void {
    const { name } = operation.kind === 'remove' ? operation.actual : operation.desired;
    const before = this.#kernel.link(name);
    for (const step of tunnelSteps(operation)) this.#carryOutStep(step, before);
    done();
    const after = this.#kernel.link(name);
    if (before !== undefined && before.index !== after?.index) this.#onLink(before, true);
    if (after !== undefined) this.#onLink(after, false);
  }

  #carryOutStep(step: TunnelStep, before: Link | undefined): void {
    const kernel = this.#kernel;
    switch (step.do) {
      case 'make':
        this.#make(step.device);
        break;
      case 'remove':
        this.#remove(step.index, before);
        break;
      case 'setMtu':
        kernel.setLinkMtu(step.index, step.mtu);
        break;
      case 'setMac':
        kernel.setLinkMac(step.index, step.mac);
        break;
      case 'setUp':
        kernel.setLinkUp(step.index, step.up);
        break;
      default:
        unreachable(step);
    }
  }

  #make({ kind, name, mtu, vxlan }: TunnelDevice): void {
    if (kind === 'ipip') {
      try {
        this.#kernel.addIpip({ name, mtu });
      } catch (error) {
        if (!(error instanceof KernelError) || error.code !== 'EOPNOTSUPP') throw error;
        this.#ipipPrograms().install({ name: 'tunl0', mtu });
      }
      return;
    }
    const { vni, port, local, parent, mac } = vxlan ?? {};
    assert(vni !== undefined && port !== undefined && local !== undefined && mac !== undefined, `${name} is VXLAN`);
    this.#kernel.addVxlan({ name, vni, port, local, parent, mac, mtu });
  }

  /** The kernel's device for IPIP cannot be removed. */
  #remove(index: IfIndex, link: Link | undefined): void {
    if (link?.name === 'tunl0' && link.kind === KERNEL_IPIP) this.#kernel.setLinkUp(index, false);
    else if (link?.name === 'tunl0') this.#ipipPrograms().remove();
    else unlessGone('ENODEV', () => this.#kernel.removeLink(index));
  }

  #ipipPrograms(): IpipPrograms {
    this.#programs ??= this.#openPrograms();
    return this.#programs;
  }
}

/** How a tunnel is made on this kernel; "" for one that is not there yet. */
export function madeBy(kind: TunnelKind, link: Link | undefined): string {
  if (link === undefined) return '';
  if (kind !== 'ipip') return 'kernel vxlan';
  return link.kind === KERNEL_IPIP ? 'kernel ipip' : 'eBPF programs';
}

function put<Value>(operation: Operation<Value>, work: (value: Value, key: string) => void): void {
  if (operation.kind !== 'remove') work(operation.desired, operation.key);
}

/** Kinds of objects that are not removed go with their device. `code` says that it has gone by itself. */
function remove<Value>(operation: Operation<Value>, code: string, work: (value: Value) => void): void {
  if (operation.kind === 'remove') unlessGone(code, () => work(operation.actual));
}

function unlessGone(code: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== code) throw error;
  }
}
