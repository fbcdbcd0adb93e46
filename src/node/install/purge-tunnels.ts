/**
 * The tunnels' part of a purge: their devices with what stands on them, and the programs that make IPIP where the kernel does not.
 *
 * VXLAN's devices bear names that nobody else uses. IPIP's is the kernel's own where it has one, which cannot be removed: it loses
 * its addresses and goes down. Where it is ours, the programs on the uplinks go with it.
 */
import { TUNNEL_KINDS, TUNNELS } from '../../felix/desired/tunnels.ts';
import type { IpipPrograms } from '../../kernel/bpf/ipip-programs.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import type { Link } from '../../net/kernel-objects.ts';
import { madeBy } from '../carry-out.ts';
import { unlessGone } from './purge-network.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';

/** How the kernel's own device for IPIP calls itself. */
const KERNEL_IPIP = 'ipip';

export function tunnelsPart(kernel: Kernel, openPrograms: () => IpipPrograms): PurgePart {
  const tunnels = () =>
    TUNNEL_KINDS.flatMap((kind) => {
      const link = kernel.link(TUNNELS[kind].deviceName);
      return link === undefined || !isInUse(kernel, link) ? [] : [{ kind, link }];
    });
  return {
    list: () =>
      tunnels().map(({ kind, link }): OwnedObject => {
        return { kind: 'tunnel', name: link.name, detail: `to other hosts, by ${madeBy(kind, link)}` };
      }),
    remove: () => {
      for (const { kind, link } of tunnels()) {
        if (kind !== 'ipip') unlessGone('ENODEV', () => kernel.removeLink(link.index));
        else if (link.kind === KERNEL_IPIP) quiet(kernel, link);
        else removePrograms(openPrograms());
      }
    },
  };
}

function isInUse(kernel: Kernel, { kind, up, index }: Link): boolean {
  return kind !== KERNEL_IPIP || up || kernel.addresses().some((address) => address.index === index);
}

function quiet(kernel: Kernel, { index }: Link): void {
  for (const { address, prefixLength } of kernel.addresses().filter((each) => each.index === index)) {
    unlessGone('EADDRNOTAVAIL', () => kernel.removeAddress(index, address, prefixLength));
  }
  kernel.setLinkUp(index, false);
}

function removePrograms(programs: IpipPrograms): void {
  try {
    programs.remove();
  } finally {
    programs.close();
  }
}
