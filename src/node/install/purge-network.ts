/**
 * The network's part of a purge: containers' devices with what stands on them, routes, and kernel settings.
 *
 * What is ours is told by the marks of felix/dataplane/ownership.ts. Devices go first, and take their routes and proxies with them: from
 * then on no packet of a container passes, so that the packet filter may go. Settings are put back to what the agent, or
 * the installation, has written down, unless somebody has changed them since.
 */
import type { RouteOwner } from '../../felix/dataplane/ownership.ts';
import { isWorkloadDevice, routeOwnership } from '../../felix/dataplane/ownership.ts';
import type { Kernel } from '../../kernel/kernel.ts';
import { KernelError } from '../../kernel/kernel.ts';
import { formatIp } from '../../net/ip.ts';
import type { Link, Route } from '../../net/kernel-objects.ts';
import { formatRoute, ROUTE_TABLE } from '../../net/kernel-objects.ts';
import type { RecordedSetting } from '../settings-record.ts';
import type { OwnedObject, PurgePart } from './purge-part.ts';

export function devicesPart(kernel: Kernel): PurgePart {
  const devices = () => kernel.links().filter(({ name }) => isWorkloadDevice(name));
  return {
    list: () => {
      const own = devices();
      const names = new Map(own.map(({ index, name }) => [index, name]));
      const proxies = kernel.neighbourProxies().flatMap(({ index, address }): OwnedObject[] => {
        const device = names.get(index);
        return device === undefined ? [] : [{ kind: 'proxy', name: `${formatIp(address)} dev ${device}`, detail: '' }];
      });
      const detail = 'its container loses its network';
      return [...own.map(({ name }): OwnedObject => ({ kind: 'device', name, detail })), ...proxies];
    },
    remove: () => {
      for (const { index } of devices()) unlessGone('ENODEV', () => kernel.removeLink(index));
    },
  };
}

export function routesPart(kernel: Kernel): PurgePart {
  const read = () => ownRoutes(kernel.links(), kernel.routes(ROUTE_TABLE.main));
  return {
    list: () => read().map(({ name, detail }): OwnedObject => ({ kind: 'route', name, detail })),
    remove: () => {
      for (const { route } of read()) unlessGone('ESRCH', () => kernel.removeRoute(route));
    },
    notes: () =>
      read().some(({ route }) => route.destination.length === 0)
        ? ['the default route was learnt by BGP and goes as well: this host may not be reached any more by others']
        : [],
  };
}

interface OwnRoute {
  readonly route: Route;
  readonly name: string;
  readonly detail: string;
}

function ownRoutes(links: readonly Link[], routes: readonly Route[]): OwnRoute[] {
  const names = new Map(links.map(({ index, name }) => [index, name]));
  return routes.flatMap((route) => {
    const devices = route.nextHops.flatMap(({ index }) => (index === undefined ? [] : (names.get(index) ?? [])));
    const owner = routeOwnership(route, devices);
    if (owner === undefined) return [];
    const text = formatRoute(route, (index) => names.get(index)).replace(/ proto \d+$/, '');
    return [{ route, name: text, detail: ROUTE_DETAILS[owner] }];
  });
}

const ROUTE_DETAILS: Readonly<Record<RouteOwner, string>> = {
  local: 'to a container',
  learned: 'proto bird',
  stored: 'proto 80',
};

/** `recorded`: what settings were before us, the first of a name counts. */
export function settingsPart(kernel: Kernel, recorded: readonly RecordedSetting[]): PurgePart {
  const now = (name: string) => kernel.readSysctl(name);
  const changed = () => recorded.filter(({ name, before, written }) => before !== written && now(name) === written);
  return {
    list: () =>
      changed().map(({ name, before, written }): OwnedObject => {
        return { kind: 'setting', name, detail: `${written}, was ${before} before` };
      }),
    remove: () => {
      for (const { name, before, followers } of changed()) {
        kernel.writeSysctl(name, before);
        for (const [follower, value] of Object.entries(followers)) {
          const present = now(follower); // its device may be gone
          if (present !== undefined && present !== value) kernel.writeSysctl(follower, value);
        }
      }
    },
    notes: () =>
      recorded.flatMap(({ name, before, written }) => {
        const value = now(name);
        if (value === undefined || value === written || value === before) return [];
        return [`${name} is left at ${value}: somebody has changed it since muslin set it to ${written}`];
      }),
  };
}

/** That it has gone by itself is as good. */
export function unlessGone(code: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if (!(error instanceof KernelError) || error.code !== code) throw error;
  }
}
