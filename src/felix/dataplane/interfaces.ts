/**
 * The host's devices and addresses, as far as we have been told.
 *
 * Filled by a full reading and kept up to date by the kernel's events, so that a container that comes or goes costs the
 * same on a host with one container and on one with a thousand. Each change says what it means for routes: whether only those
 * out of one device need another look, or all, because a way to other hosts has changed.
 */
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { Address, IfIndex, Link } from '../../net/kernel-objects.ts';
import type { HostDevice } from './filter/host-devices.ts';
import { isWorkloadDevice } from './ownership.ts';

export interface InterfaceChanges {
  /** Names of devices that came, went, or went up or down. */
  readonly devices: ReadonlySet<string>;
  /** Whether one of them, or an address, is one that other hosts are reached by. */
  readonly uplinks: boolean;
}

const NOTHING: InterfaceChanges = { devices: new Set(), uplinks: false };

export class Interfaces {
  readonly #byName = new Map<string, Link>();
  readonly #byIndex = new Map<IfIndex, Link>();
  readonly #addresses = new Map<string, Address>();

  link(name: string): Link | undefined {
    return this.#byName.get(name);
  }

  linkAt(index: IfIndex): Link | undefined {
    return this.#byIndex.get(index);
  }

  links(): IterableIterator<Link> {
    return this.#byIndex.values();
  }

  addresses(): IterableIterator<Address> {
    return this.#addresses.values();
  }

  /** The devices that are no container's, with their addresses. */
  hostDevices(): HostDevice[] {
    const byIndex = new Map<IfIndex, { name: string; addresses: Ip[] }>();
    for (const { index, name } of this.#byIndex.values()) {
      if (!isWorkloadDevice(name)) byIndex.set(index, { name, addresses: [] });
    }
    for (const { index, address } of this.#addresses.values()) byIndex.get(index)?.addresses.push(address);
    return [...byIndex.values()];
  }

  /** Takes a complete reading. */
  replace(links: readonly Link[], addresses: readonly Address[]): InterfaceChanges {
    const indexes = new Set(links.map(({ index }) => index));
    const changes = [
      ...[...this.#byIndex.values()].filter(({ index }) => !indexes.has(index)).map((link) => this.removeLink(link)),
      ...links.map((link) => this.putLink(link)),
    ];
    const keys = new Set(addresses.map(addressKey));
    for (const [key, address] of this.#addresses) if (!keys.has(key)) changes.push(this.removeAddress(address));
    changes.push(...addresses.map((address) => this.putAddress(address)));
    return {
      devices: new Set(changes.flatMap(({ devices }) => [...devices])),
      uplinks: changes.some(({ uplinks }) => uplinks),
    };
  }

  putLink(link: Link): InterfaceChanges {
    const before = this.#byIndex.get(link.index);
    const renamed = before !== undefined && before.name !== link.name;
    if (renamed) this.#byName.delete(before.name);
    const namesake = this.#byName.get(link.name);
    this.#byIndex.set(link.index, link);
    this.#byName.set(link.name, link);
    if (namesake?.index === link.index && namesake.up === link.up) return NOTHING;
    return changed(renamed ? [before.name, link.name] : [link.name]);
  }

  removeLink(link: Link): InterfaceChanges {
    this.#byIndex.delete(link.index);
    if (this.#byName.get(link.name)?.index !== link.index) return NOTHING;
    this.#byName.delete(link.name);
    return changed([link.name]);
  }

  putAddress(address: Address): InterfaceChanges {
    const isNew = !this.#addresses.has(addressKey(address));
    this.#addresses.set(addressKey(address), address);
    return isNew ? this.#addressChanged(address) : NOTHING;
  }

  removeAddress(address: Address): InterfaceChanges {
    return this.#addresses.delete(addressKey(address)) ? this.#addressChanged(address) : NOTHING;
  }

  #addressChanged({ index }: Address): InterfaceChanges {
    const link = this.#byIndex.get(index);
    return { devices: new Set(), uplinks: link === undefined || !isWorkloadDevice(link.name) };
  }
}

function changed(names: readonly string[]): InterfaceChanges {
  return { devices: new Set(names), uplinks: names.some((name) => !isWorkloadDevice(name)) };
}

function addressKey({ index, address, prefixLength }: Address): string {
  return `${index} ${formatIp(address)}/${prefixLength}`;
}
