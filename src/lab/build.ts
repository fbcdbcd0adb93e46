/**
 * Carrying out a plan: namespaces, bridges, cables, addresses and routes in the kernel, without a subprocess.
 *
 * A step that the kernel refuses stops the rest, and its error names the step. Nothing is undone here; the caller removes
 * the whole lab (teardown.ts), which works from any half-built state.
 */
import { type Kernel, KernelError } from '../kernel/kernel.ts';
import { openKernel } from '../kernel/netlink-kernel.ts';
import { addNamespace, namespacePath } from '../kernel/network-namespace.ts';
import { openNft } from '../kernel/nft.ts';
import { unreachable } from '../lib/assert.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import type { Link, Route } from '../net/kernel-objects.ts';
import { ROUTE_PROTOCOL, ROUTE_SCOPE, ROUTE_TABLE } from '../net/kernel-objects.ts';
import { LabError } from './lab-error.ts';
import { formatStep, SEGMENT_BRIDGE, type Step } from './plan.ts';

/** Does every step, in order. Throws LabError `failed`, or `conflict` when a namespace is there already. */
export function build(steps: readonly Step[]): void {
  const kernels = new Map<string, Kernel>();
  const kernelOf = (namespace: string): Kernel => {
    const open = kernels.get(namespace) ?? openKernel(namespacePath(namespace));
    kernels.set(namespace, open);
    return open;
  };
  try {
    for (const step of steps) {
      try {
        carryOut(step, kernelOf);
      } catch (error) {
        if (!(error instanceof KernelError)) throw error;
        const taken = step.kind === 'namespace' && error.code === 'EEXIST';
        throw new LabError(taken ? 'conflict' : 'failed', `${formatStep(step)}: ${error.message}`, { cause: error });
      }
    }
  } finally {
    for (const kernel of kernels.values()) kernel.close();
  }
}

/** An empty namespace in which lo is up. */
export function addMachineNamespace(name: string): void {
  const kernel = openKernel(addNamespace(name));
  try {
    kernel.setLinkUp(linkNamed(kernel, 'lo').index, true);
  } finally {
    kernel.close();
  }
}

function carryOut(step: Step, kernelOf: (namespace: string) => Kernel): void {
  if (step.kind === 'neighbours') {
    fixNeighbours(step.ends, kernelOf);
    return;
  }
  if (step.kind === 'namespace') {
    addMachineNamespace(step.namespace);
    return;
  }
  const kernel = kernelOf(step.namespace);
  switch (step.kind) {
    case 'sysctl':
      kernel.writeSysctl(step.name, step.value);
      break;
    case 'bridge':
      kernel.setLinkUp(kernel.addBridge(step.name).index, true);
      break;
    case 'cable':
      layCable(step, kernel, kernelOf(step.segmentNamespace));
      break;
    case 'address':
      kernel.addAddress(linkNamed(kernel, step.interface).index, step.address.address, step.address.subnet.length);
      break;
    case 'route':
      kernel.putRoute(staticRoute(step.to, step.via));
      break;
    case 'fabric':
      runNft(step.namespace, step.script);
      break;
    default:
      unreachable(step);
  }
}

function runNft(namespace: string, script: string): void {
  const nft = openNft(namespacePath(namespace));
  try {
    nft.run(script);
  } finally {
    nft.close();
  }
}

/** Each end gets an entry for each address of every other end. */
function fixNeighbours(
  ends: Extract<Step, { kind: 'neighbours' }>['ends'],
  kernelOf: (namespace: string) => Kernel,
): void {
  const links = ends.map((end) => ({ end, link: linkNamed(kernelOf(end.namespace), end.interface) }));
  for (const { end, link } of links) {
    for (const other of links) {
      if (other.end === end) continue;
      for (const address of other.end.addresses) {
        kernelOf(end.namespace).putNeighbour({ index: link.index, address, mac: other.link.mac, permanent: true });
      }
    }
  }
}

function staticRoute(to: Cidr, via: Ip): Route {
  return {
    destination: to,
    type: 'unicast',
    nextHops: [{ gateway: via, index: undefined, onlink: false }],
    protocol: ROUTE_PROTOCOL.static,
    scope: ROUTE_SCOPE.universe,
    table: ROUTE_TABLE.main,
    metric: 0,
    source: undefined,
  };
}

function layCable(cable: Extract<Step, { kind: 'cable' }>, machine: Kernel, segment: Kernel): void {
  const link = machine.addVeth({
    name: cable.interface,
    peer: { name: cable.port, namespacePath: namespacePath(cable.segmentNamespace) },
  });
  const port = linkNamed(segment, cable.port);
  segment.setLinkMaster(port.index, linkNamed(segment, SEGMENT_BRIDGE).index);
  segment.setLinkUp(port.index, true);
  machine.setLinkUp(link.index, true);
}

function linkNamed(kernel: Kernel, name: string): Link {
  const link = kernel.link(name);
  if (link === undefined) throw new KernelError('ENODEV', `there is no device ${name}`);
  return link;
}
