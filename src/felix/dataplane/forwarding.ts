/**
 * Where this host would send a packet: what the packet filter's interpreter has to know of routes and addresses.
 *
 * The longest prefix wins, and of several metrics the lowest, as in the kernel's main table; policy routing by other people's
 * tables is not known here, so an answer may be wrong for their packets. Whoever asks must bear that.
 */
import { formatCidr, hostPrefix, prefixOf } from '../../net/cidr.ts';
import type { Family, Ip } from '../../net/ip.ts';
import { addressBits, formatIp } from '../../net/ip.ts';
import type { Route } from '../../net/kernel-objects.ts';
import type { FilterWorld } from './filter/match.ts';
import type { Interfaces } from './interfaces.ts';

/** The host as it is now: a snapshot of the routes of its main table, and its devices as they change. */
export function filterWorld(routes: readonly Route[], interfaces: Interfaces): FilterWorld {
  const devices = new Map<string, { readonly device: string | undefined; readonly metric: number }>();
  const lengths: Record<Family, Set<number>> = { 4: new Set(), 6: new Set() };
  for (const { destination, metric, nextHops } of routes) {
    const key = formatCidr(destination);
    const before = devices.get(key);
    if (before !== undefined && before.metric <= metric) continue;
    const index = nextHops[0]?.index;
    const device = index === undefined ? undefined : interfaces.linkAt(index)?.name;
    devices.set(key, { device, metric });
    lengths[destination.address.family].add(destination.length);
  }
  const longestFirst = {
    4: [...lengths[4]].toSorted((a, b) => b - a),
    6: [...lengths[6]].toSorted((a, b) => b - a),
  };
  const local = new Map<string, Set<string>>();
  for (const { index, address } of interfaces.addresses()) {
    const key = formatIp(address);
    local.set(key, (local.get(key) ?? new Set()).add(interfaces.linkAt(index)?.name ?? ''));
  }
  return {
    isLocal: (address, deviceName) => {
      const on = local.get(formatIp(address));
      return on !== undefined && (deviceName === undefined || on.has(deviceName));
    },
    deviceOf: (address: Ip) => {
      for (const length of longestFirst[address.family]) {
        const prefix = length === addressBits(address.family) ? hostPrefix(address) : prefixOf(address, length);
        const found = devices.get(formatCidr(prefix));
        if (found !== undefined) return found.device;
      }
      return undefined;
    },
  };
}
