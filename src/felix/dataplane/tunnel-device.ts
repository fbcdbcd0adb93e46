/**
 * The device of a tunnel: what it should be, what it is, and the steps from one to the other.
 *
 * What makes a VXLAN device the one it is cannot be changed, so a device that differs in that is made anew; MTU, MAC address and being
 * up are set. IPIP's device is the kernel's where it has one, else the one that programs of ours serve: both bear one name, and a
 * link of any kind under it counts. The kernel's stays when it is not wanted any more, since it cannot be removed; it goes down.
 */

import { unreachable } from '../../lib/assert.ts';
import type { Operation } from '../../lib/reconciler.ts';
import { addressBits, type Ip, sameIp } from '../../net/ip.ts';
import type { IfIndex, Link, VxlanAttributes } from '../../net/kernel-objects.ts';
import type { Mac } from '../../net/mac.ts';
import type { DesiredTunnel, TunnelKind } from '../desired/tunnels.ts';
import { isTunnelDevice, TUNNELS } from '../desired/tunnels.ts';
import type { Interfaces } from './interfaces.ts';
import { isWorkloadDevice } from './ownership.ts';

export interface TunnelDevice {
  readonly kind: TunnelKind;
  readonly name: string;
  /** Of what is there; undefined in what is desired. */
  readonly index: IfIndex | undefined;
  readonly mtu: number;
  readonly up: boolean;
  /** Undefined for IPIP, and for a device of another kind under VXLAN's name. */
  readonly vxlan: (VxlanAttributes & { readonly mac: Mac | undefined }) | undefined;
}

export type TunnelStep =
  | { readonly do: 'make'; readonly device: TunnelDevice }
  | { readonly do: 'remove'; readonly index: IfIndex }
  | { readonly do: 'setMtu'; readonly index: IfIndex; readonly mtu: number }
  | { readonly do: 'setMac'; readonly index: IfIndex; readonly mac: Mac }
  | { readonly do: 'setUp'; readonly index: IfIndex; readonly up: boolean };

const LOOPBACK = 'lo';
/** Ethernet's, where no uplink tells another one. */
const MTU_FALLBACK = 1500;

/** The device that a tunnel should have, or what it waits for. */
export function desiredDevice(tunnel: DesiredTunnel, interfaces: Interfaces): TunnelDevice | string {
  const { kind, local, mtu, vxlan } = tunnel;
  const { deviceName: name, overhead } = TUNNELS[kind];
  const uplink = uplinkOf(local, interfaces);
  if (uplink === undefined) return 'no device has the address that this host has in its Node resource';
  const { parent, mtu: uplinkMtu } = uplink;
  return {
    ...{ kind, name, index: undefined, up: true },
    mtu: mtu === 0 ? uplinkMtu - overhead : mtu,
    vxlan: vxlan && { vni: vxlan.vni, port: vxlan.port, mac: vxlan.mac, local, parent, learning: false },
  };
}

/** What a link under a tunnel's name is. */
export function actualDevice(kind: TunnelKind, { name, index, mtu, up, mac, vxlan }: Link): TunnelDevice {
  return { kind, name, index, mtu, up, vxlan: kind === 'ipip' ? undefined : vxlan && { ...vxlan, mac } };
}

export function sameDevice(a: TunnelDevice, b: TunnelDevice): boolean {
  return a.mtu === b.mtu && a.up === b.up && a.vxlan?.mac === b.vxlan?.mac && isSameTunnel(a, b);
}

/** What is to be done, in this order. A device that was made is down until the next look at it. */
export function tunnelSteps(operation: Operation<TunnelDevice>): TunnelStep[] {
  switch (operation.kind) {
    case 'add':
      return [{ do: 'make', device: operation.desired }];
    case 'remove': {
      const { index } = operation.actual;
      return index === undefined ? [] : [{ do: 'remove', index }];
    }
    case 'change':
      return changes(operation.actual, operation.desired);
    default:
      return unreachable(operation);
  }
}

function changes(actual: TunnelDevice, desired: TunnelDevice): TunnelStep[] {
  const { index } = actual;
  if (index === undefined) return [];
  if (!isSameTunnel(actual, desired)) {
    return [
      { do: 'remove', index },
      { do: 'make', device: desired },
    ];
  }
  const mac = desired.vxlan?.mac;
  return [
    ...(actual.mtu === desired.mtu ? [] : [{ do: 'setMtu', index, mtu: desired.mtu } as const]),
    ...(mac === undefined || actual.vxlan?.mac === mac ? [] : [{ do: 'setMac', index, mac } as const]),
    ...(actual.up === desired.up ? [] : [{ do: 'setUp', index, up: desired.up } as const]),
  ];
}

function isSameTunnel({ vxlan: a }: TunnelDevice, { vxlan: b }: TunnelDevice): boolean {
  if (a === undefined || b === undefined) return a === b;
  const isSameNetwork = a.vni === b.vni && a.port === b.port && a.learning === b.learning;
  return isSameNetwork && sameIp(a.local, b.local) && a.parent === b.parent;
}

/** The device that packets with our own address leave by. Where that is on none that leads anywhere, the narrowest uplink counts. */
function uplinkOf(local: Ip, interfaces: Interfaces) {
  const having = [...interfaces.addresses()].filter(({ address }) => sameIp(address, local));
  const links = having.flatMap(({ index }) => interfaces.linkAt(index) ?? []);
  const [first] = links.sort((a, b) => a.index - b.index);
  if (first === undefined) return undefined;
  if (isUplink(first)) return { parent: first.index, mtu: first.mtu };
  const mtus = [...interfaces.links()].filter((link) => link.up && isUplink(link)).map(({ mtu }) => mtu);
  return { parent: undefined, mtu: Math.min(MTU_FALLBACK, ...mtus) };
}

/** Whether a device may lead to other hosts: all that are no container's, no tunnel and no loopback. */
export function isUplink({ name, kind }: Link): boolean {
  return name !== LOOPBACK && kind !== 'dummy' && !isWorkloadDevice(name) && !isTunnelDevice(name);
}

/** The length of a tunnel's own address: it stands for itself alone. */
export function tunnelPrefixLength(kind: TunnelKind): number {
  return addressBits(TUNNELS[kind].family);
}
