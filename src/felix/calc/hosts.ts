/**
 * The hosts of the network as far as ways between them go: their addresses with subnets, and the ends of their tunnels.
 *
 * A host that bears a tunnel's address in its Node resource says by it that it receives through that tunnel: it writes the address
 * when device, address and packet filter are in force, and takes it away before any of them goes. A MAC address that no Node
 * tells follows from the host's name, as Calico's does, so that both kinds of hosts find each other.
 */
import { sha1 } from '../../lib/sha1.ts';
import type { Node } from '../../model/node.ts';
import type { InterfaceAddress } from '../../net/cidr.ts';
import { parseInterfaceAddress } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { formatIp, parseIp } from '../../net/ip.ts';
import type { Mac } from '../../net/mac.ts';
import { macFromBytes, parseMac } from '../../net/mac.ts';
import type { TunnelKind } from '../desired/tunnels.ts';

export interface HostFacts {
  readonly name: string;
  readonly ends: Readonly<Record<Family, InterfaceAddress | undefined>>;
  /** The address of each tunnel that the host receives through. */
  readonly tunnels: Readonly<Record<TunnelKind, Ip | undefined>>;
  /** Of its VXLAN device, by the family of the tunnel. */
  readonly macs: Readonly<Record<Family, Mac>>;
}

function hostFacts({ metadata: { name }, spec }: Node): HostFacts {
  const { bgp } = spec;
  return {
    name,
    ends: {
      4: parseInterfaceAddress(bgp?.ipv4Address ?? ''),
      6: parseInterfaceAddress(bgp?.ipv6Address ?? ''),
    },
    tunnels: {
      ipip: parseIp(bgp?.ipv4IPIPTunnelAddr ?? ''),
      vxlan: parseIp(spec.ipv4VXLANTunnelAddr ?? ''),
      'vxlan-v6': parseIp(spec.ipv6VXLANTunnelAddr ?? ''),
    },
    macs: {
      4: parseMac(spec.vxlanTunnelMACAddr ?? '') ?? vxlanMacOf(name, 4),
      6: parseMac(spec.vxlanTunnelMACAddrV6 ?? '') ?? vxlanMacOf(name, 6),
    },
  };
}

/** The letter "f" of Calico's, 0x66: a single device's address, locally administered. */
const MAC_FIRST_BYTE = 0x66;

/** The address of a host's VXLAN device where its Node has none. */
export function vxlanMacOf(node: string, family: Family): Mac {
  const digest = sha1(family === 4 ? node : `${node}-v6`);
  return macFromBytes(Uint8Array.of(MAC_FIRST_BYTE, ...digest.subarray(0, 5)));
}

/** All hosts by name and by address. */
export class Hosts {
  readonly #byName = new Map<string, HostFacts>();
  /** Of those that claim an address the first by name has it. */
  readonly #byAddress = new Map<string, Set<string>>();

  get(name: string): HostFacts | undefined {
    return this.#byName.get(name);
  }

  all(): IterableIterator<HostFacts> {
    return this.#byName.values();
  }

  at(address: Ip): HostFacts | undefined {
    const [name] = [...(this.#byAddress.get(formatIp(address)) ?? [])].sort();
    return name === undefined ? undefined : this.#byName.get(name);
  }

  /** Gives the facts before and after, where they differ in anything; undefined where nothing changed. */
  update(name: string, node: Node | undefined): readonly HostFacts[] | undefined {
    const before = this.#byName.get(name);
    const after = node === undefined ? undefined : hostFacts(node);
    if (textOf(before) === textOf(after)) return undefined;
    this.#index(before, false);
    if (after === undefined) this.#byName.delete(name);
    else this.#byName.set(name, after);
    this.#index(after, true);
    return [before, after].filter((facts) => facts !== undefined);
  }

  #index(facts: HostFacts | undefined, present: boolean): void {
    for (const end of Object.values(facts?.ends ?? {})) {
      if (end === undefined || facts === undefined) continue;
      const key = formatIp(end.address);
      const names = this.#byAddress.get(key) ?? new Set();
      if (present) names.add(facts.name);
      else names.delete(facts.name);
      if (names.size === 0) this.#byAddress.delete(key);
      else this.#byAddress.set(key, names);
    }
  }
}

function textOf(facts: HostFacts | undefined): string {
  if (facts === undefined) return '';
  const { ends, tunnels, macs } = facts;
  const addresses = [ends[4], ends[6]].map((end) => (end && `${formatIp(end.address)}/${end.subnet.length}`) ?? '');
  const own = Object.values(tunnels).map((address) => (address === undefined ? '' : formatIp(address)));
  return [...addresses, ...own, macs[4], macs[6]].join(' ');
}
