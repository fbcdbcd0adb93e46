/**
 * Tap devices: a network card for a virtual machine, whose Ethernet frames a process reads and writes at a file descriptor.
 *
 * A persistent one stays when the process ends, with its routes and rules, and waits for the next: a machine may stop and start
 * again. Without a process it has no carrier. Flags of the frames (IFF_VNET_HDR) are what the process that opens it says.
 * Everything here happens in the network namespace of the calling thread. ioctls of linux/if_tun.h, on /dev/net/tun
 * (Documentation/networking/tuntap.rst).
 */
import { closeSync, constants, openSync } from 'node:fs';
import type { Link } from '../net/kernel-objects.ts';
import type { Mac } from '../net/mac.ts';
import { macBytes } from '../net/mac.ts';
import type { Kernel } from './kernel.ts';
import { KernelError } from './kernel.ts';
import { withFileErrors } from './network-namespace.ts';
import { control } from './system-calls.ts';

const TUN_DEVICE = '/dev/net/tun';
const TUNSETIFF = 0x400454ca;
const TUNSETPERSIST = 0x400454cb;
const SIOCSIFHWADDR = 0x8924;
/** A device of Ethernet frames, without a header of the kernel's own before each, under a name that is free. */
const IFF_TAP = 0x0002;
const IFF_NO_PI = 0x1000;
const IFF_TUN_EXCL = 0x8000;
/** struct ifreq: the name, then a union; 40 bytes on 64-bit machines. */
const IFREQ_LENGTH = 40;
const IFREQ_NAME_MAX = 15;
const IFREQ_UNION = 16;
/** sa_family of an Ethernet address, from linux/if_arp.h. */
const ARPHRD_ETHER = 1;

/** Makes a persistent tap device, which is down, in `kernel`'s namespace, the calling thread's. EEXIST: the name is taken. */
export function addTap(kernel: Kernel, tap: { readonly name: string; readonly mac: Mac; readonly mtu: number }): Link {
  if (kernel.link(tap.name) !== undefined) throw new KernelError('EEXIST', `there is a device ${tap.name} already`);
  const fd = openTap(tap.name, IFF_TUN_EXCL);
  try {
    const address = new Uint8Array(IFREQ_LENGTH);
    new DataView(address.buffer).setUint16(IFREQ_UNION, ARPHRD_ETHER, true);
    address.set(macBytes(tap.mac), IFREQ_UNION + 2);
    control(`MAC of tap ${tap.name}`, fd, SIOCSIFHWADDR, address);
    control(`TUNSETPERSIST ${tap.name}`, fd, TUNSETPERSIST, 1);
  } finally {
    closeSync(fd);
  }
  const link = kernel.link(tap.name);
  if (link === undefined) throw new KernelError('ENODEV', `device ${tap.name} vanished`);
  kernel.setLinkMtu(link.index, tap.mtu);
  return { ...link, mtu: tap.mtu };
}

/** The end of the machine: a descriptor that gives a frame at each read (EAGAIN: none waits) and takes one at each write. */
export function openTap(name: string, flags = 0): number {
  const bytes = new TextEncoder().encode(name);
  if (bytes.length > IFREQ_NAME_MAX) throw new KernelError('EINVAL', `"${name}" is too long for a device`);
  const fd = withFileErrors(`${TUN_DEVICE}, which tap devices are made by`, () =>
    openSync(TUN_DEVICE, constants.O_RDWR | constants.O_NONBLOCK),
  );
  try {
    const request = new Uint8Array(IFREQ_LENGTH);
    request.set(bytes);
    new DataView(request.buffer).setUint16(IFREQ_UNION, IFF_TAP | IFF_NO_PI | flags, true);
    control(`tap ${name}`, fd, TUNSETIFF, request);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}
