/**
 * The devices of an attachment: the container's namespace, the veth pair into it, the tap of a virtual machine.
 *
 * The far end of a pair is made in the container's namespace, where it is set up before the near end comes up: that is Felix's
 * work, once rules are in force. A virtual machine has no namespace; the other end of its tap is its own.
 */
import { CNI_ERROR } from '../../cni/cni-error.ts';
import type { CniResult, ResultAddress, ResultRoute } from '../../cni/result.ts';
import { type Kernel, KernelError } from '../../kernel/kernel.ts';
import { openKernel } from '../../kernel/netlink-kernel.ts';
import { OWN_NAMESPACE, sameNamespace } from '../../kernel/network-namespace.ts';
import { addTap } from '../../kernel/tap.ts';
import { hostPrefix, prefixOf } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import type { Link } from '../../net/kernel-objects.ts';
import { type Mac, WORKLOAD_HOST_MAC } from '../../net/mac.ts';
import { type AddRequest, macOf } from './attachment-endpoint.ts';
import { Refusal } from './cni-refusal.ts';
import { configureContainerSide, workloadGateway } from './container-side.ts';

/** What is to be wired: a device of this name and MTU, and these addresses behind it. */
export interface Wiring {
  readonly device: string;
  readonly mtu: number;
  readonly addresses: readonly Ip[];
}

/** The kernel of the container's namespace, in which the interface must not exist yet; undefined for a tap, which has none. */
export function openContainer({ netns, interfaceName, configuration }: AddRequest): Kernel | undefined {
  if (configuration.tap && sameNamespace(netns, OWN_NAMESPACE)) return undefined;
  if (configuration.tap)
    throw new Refusal(
      CNI_ERROR.invalidEnvironment,
      `tap: a tap device is the host's: CNI_NETNS must be ${OWN_NAMESPACE}`,
    );
  const container = openKernel(netns);
  if (container.link(interfaceName) === undefined) return container;
  container.close();
  throw new Refusal(CNI_ERROR.other, `${interfaceName} exists already in ${netns}; it is left as it is`, 'exists');
}

/** The near end, which is down, and the MAC of the far one. */
export interface Wired {
  readonly link: Link;
  readonly mac: Mac | undefined;
}

/** Makes the devices. `container` is what `openContainer` gave. Throws KernelError. */
export function wire(host: Kernel, container: Kernel | undefined, request: AddRequest, wiring: Wiring): Wired {
  const { mac } = request.configuration;
  const device = { name: wiring.device, mac: WORKLOAD_HOST_MAC, mtu: wiring.mtu };
  if (container === undefined) return { link: addTap(host, device), mac: macOf(request) };
  const { netns: namespacePath, interfaceName } = request;
  const link = host.addVeth({ ...device, peer: { name: interfaceName, namespacePath, ...(mac && { mac }) } });
  const inside = container.link(interfaceName);
  if (inside === undefined) throw new Refusal(CNI_ERROR.other, `${interfaceName} vanished from ${namespacePath}`);
  configureContainerSide(container, inside, wiring.addresses);
  return { link, mac: inside.mac };
}

/** Removes a device and with it what is behind it; it may go by itself at any moment, with its container's namespace. */
export function unwire(host: Kernel, { index }: Link): void {
  try {
    host.removeLink(index);
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== 'ENODEV') throw error;
  }
}

/** What ADD answers. */
export function resultOf(request: AddRequest, { device, addresses: own }: Wiring, { link, mac }: Wired): CniResult {
  const sandbox = { name: request.interfaceName, mac: mac ?? WORKLOAD_HOST_MAC, mtu: link.mtu, sandbox: request.netns };
  const host = { name: device, mac: WORKLOAD_HOST_MAC, mtu: link.mtu, sandbox: undefined };
  const addresses = own.map((address): ResultAddress => {
    return { address: hostPrefix(address), gateway: workloadGateway(address.family), interfaceIndex: 1 };
  });
  const routes = own.map((address): ResultRoute => {
    const gateway = workloadGateway(address.family);
    return { destination: prefixOf(gateway, 0), gateway };
  });
  return { interfaces: [host, sandbox], addresses, routes };
}
