/**
 * Containers' devices: their settings, the gateway that they answer for, and that they are up; and the host's own settings.
 *
 * Each is an object of its own with its own state and error, so that one sysctl that cannot be written neither hides nor holds
 * up the rest. Of these objects none is ever removed by us: they go with their device, and the host's settings stay on.
 */
import type { Backoff } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import { earlier } from '../../lib/clock.ts';
import type { Random } from '../../lib/prng.ts';
import type { ObjectStatus, Operation } from '../../lib/reconciler.ts';
import { Reconciler } from '../../lib/reconciler.ts';
import { formatIp } from '../../net/ip.ts';
import type { IfIndex, Link, NeighbourProxy } from '../../net/kernel-objects.ts';
import type { DesiredEndpoint } from '../desired/desired.ts';
import { WORKLOAD_GATEWAY } from '../desired/desired.ts';
import { isTunnelDevice } from '../desired/tunnels.ts';
import type { Interfaces } from './interfaces.ts';
import { isWorkloadDevice } from './ownership.ts';
import { deviceSettings, hostSettings, IPV6_FORWARDING } from './settings.ts';
import type { Unsettled } from './unsettled.ts';
import { unsettledOf } from './unsettled.ts';

/** A device that is to be up. */
export interface LinkUp {
  readonly index: IfIndex;
  readonly name: string;
}

/** Values of accept_ra (Linux, ip-sysctl): the first is the default. */
const HEED_UNLESS_FORWARDING = '1';
const HEED_ALWAYS = '2';

export class Devices {
  readonly settings: Reconciler<string>;
  readonly proxies: Reconciler<NeighbourProxy>;
  readonly links: Reconciler<LinkUp>;
  readonly #interfaces: Interfaces;
  #ipv6 = false;
  /** Ids of the endpoints that claim a device, by its name. */
  readonly #claims = new Map<string, Map<string, DesiredEndpoint>>();
  /** What is desired of a device at present, so that it can be taken back. */
  readonly #desired = new Map<string, { readonly settings: readonly string[]; readonly proxy: string }>();

  constructor(interfaces: Interfaces, backoff: Backoff, random: Random) {
    this.#interfaces = interfaces;
    this.settings = new Reconciler<string>({ backoff, random, equal: (a, b) => a === b });
    this.proxies = new Reconciler<NeighbourProxy>({ backoff, random, equal: () => true });
    this.links = new Reconciler<LinkUp>({ backoff, random, equal: (a, b) => a.index === b.index });
    this.#wantHostSettings();
  }

  /** The host routes IPv6, from now on; gives whether that is new. It is never taken back: others may have come to need it. */
  routeIpv6(): boolean {
    const isNew = !this.#ipv6;
    this.#ipv6 = true;
    this.#wantHostSettings();
    return isNew;
  }

  /** An endpoint claims its device, or does so no more. */
  claim(endpoint: DesiredEndpoint, wanted: boolean): void {
    const claims = this.#claims.get(endpoint.deviceName) ?? new Map();
    if (wanted) claims.set(endpoint.id, endpoint);
    else claims.delete(endpoint.id);
    if (claims.size === 0) this.#claims.delete(endpoint.deviceName);
    else this.#claims.set(endpoint.deviceName, claims);
    this.#resolve(endpoint.deviceName);
  }

  /** The device under this name came, went, or went up or down. */
  deviceChanged(name: string, before: Link | undefined): void {
    const link = this.#interfaces.link(name);
    if (before !== undefined && before.index !== link?.index) this.#forget(name);
    this.#resolve(name);
  }

  /** Takes a complete reading of settings and proxies. */
  observe(settings: ReadonlyMap<string, string>, proxies: readonly NeighbourProxy[]): void {
    this.settings.replaceActual(settings);
    for (const name of this.#advertisementSettings()) {
      if (settings.get(name) === HEED_UNLESS_FORWARDING) this.settings.setDesired(name, HEED_ALWAYS);
    }
    this.proxies.replaceActual(new Map(proxies.map((proxy) => [proxyKey(proxy), proxy])));
  }

  settingNames(): string[] {
    const desired = [...this.settings.desiredEntries()].map(([name]) => name);
    return [...new Set([...desired, ...this.#advertisementSettings()])];
  }

  operations(now: Instant) {
    return {
      settings: withoutRemovals(this.settings.operations(now)).sort(forwardingLast),
      proxies: withoutRemovals(this.proxies.operations(now)),
      links: withoutRemovals(this.links.operations(now)),
    };
  }

  nextRetry(): Instant | undefined {
    return [this.settings, this.proxies, this.links].map((each) => each.nextRetry()).reduce(earlier, undefined);
  }

  unsettled(): Unsettled[] {
    return [
      ...unsettledOf('setting', this.settings),
      ...unsettledOf('proxy neighbour', this.proxies),
      ...unsettledOf('device', this.links),
    ];
  }

  /** The objects of an endpoint's device with their states; the device must be there. */
  statesOf(endpoint: DesiredEndpoint, link: Link): [string, ObjectStatus][] {
    const proxy = proxyKey({ index: link.index, address: WORKLOAD_GATEWAY });
    return [
      ...[...deviceSettings(endpoint).keys()].map((name): [string, ObjectStatus] => {
        return [`setting ${name}`, this.settings.status(name)];
      }),
      [`device ${link.name}`, this.links.status(link.name)],
      [`proxy neighbour ${proxy}`, this.proxies.status(proxy)],
    ];
  }

  /** A host that forwards stops heeding router advertisements, to which it may owe its own default route. */
  #advertisementSettings(): string[] {
    if (!this.#ipv6) return [];
    const uplinks = [...this.#interfaces.links()].filter(
      ({ name }) => !isWorkloadDevice(name) && !isTunnelDevice(name),
    );
    return uplinks.map(({ name }) => `ipv6/conf/${name}/accept_ra`);
  }

  #wantHostSettings(): void {
    for (const [name, value] of hostSettings(this.#ipv6)) this.settings.setDesired(name, value);
  }

  #resolve(name: string): void {
    const claims = [...(this.#claims.get(name)?.values() ?? [])];
    const link = claims.length === 0 ? undefined : this.#interfaces.link(name);
    const before = this.#desired.get(name);
    if (link === undefined) {
      // What was there of it is of no more interest: it goes with the device, and would be a difference until then.
      this.#forget(name);
      for (const setting of before?.settings ?? []) this.settings.setDesired(setting, undefined);
      if (before !== undefined) this.proxies.setDesired(before.proxy, undefined);
      this.links.setDesired(name, undefined);
      this.#desired.delete(name);
      return;
    }
    const settings = new Map(claims.flatMap((endpoint) => [...deviceSettings(endpoint)]));
    const proxy = { index: link.index, address: WORKLOAD_GATEWAY };
    if (before !== undefined && before.proxy !== proxyKey(proxy)) this.proxies.setDesired(before.proxy, undefined);
    for (const [setting, value] of settings) this.settings.setDesired(setting, value);
    this.proxies.setDesired(proxyKey(proxy), proxy);
    this.links.setDesired(name, { index: link.index, name });
    this.links.setActual(name, link.up ? { index: link.index, name } : undefined);
    this.#desired.set(name, { settings: [...settings.keys()], proxy: proxyKey(proxy) });
  }

  /** What was read of a device does not hold for another one under the same name. */
  #forget(name: string): void {
    const before = this.#desired.get(name);
    for (const setting of before?.settings ?? []) this.settings.setActual(setting, undefined);
    if (before !== undefined) this.proxies.setActual(before.proxy, undefined);
    this.links.setActual(name, undefined);
  }
}

/** When IPv6 forwarding is switched on, the kernel drops default routes from advertisements that it will not heed then. */
function forwardingLast(a: { readonly key: string }, b: { readonly key: string }): number {
  return Number(a.key === IPV6_FORWARDING) - Number(b.key === IPV6_FORWARDING);
}

function withoutRemovals<Value>(operations: readonly Operation<Value>[]) {
  return operations.filter((operation) => operation.kind !== 'remove');
}

function proxyKey(proxy: NeighbourProxy): string {
  return `${proxy.index} ${formatIp(proxy.address)}`;
}
