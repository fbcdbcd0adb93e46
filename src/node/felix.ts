/**
 * Felix's loop: the one place where this host's kernel is changed.
 *
 *   store events ─► calculation ─┐                    ┌─► kernel (netlink, sysctl)
 *   BGP best paths ─► calculation ┴─► dataplane ─► pass ┤
 *   kernel events ─► reading ────────► dataplane ─► pass └─► packet filter
 *
 * What can wake the loop is the `Wake` union. Events only note that something changed and schedule one pass; a pass reads
 * what has to be read, takes the changes, and applies operations in the dataplane's order until none is left. Passes are
 * synchronous, so two can never interleave. Nothing is written before the store has been read once: until then the
 * kernel keeps what an earlier process left in it, and traffic goes on.
 */

import { Calculation } from '../felix/calc/calculation.ts';
import type { KernelOperation } from '../felix/dataplane/dataplane.ts';
import { Dataplane } from '../felix/dataplane/dataplane.ts';
import type { FilterWorld } from '../felix/dataplane/filter/match.ts';
import { filterWorld } from '../felix/dataplane/forwarding.ts';
import type { Interfaces } from '../felix/dataplane/interfaces.ts';
import { isWorkloadDevice } from '../felix/dataplane/ownership.ts';
import { isHostSetting } from '../felix/dataplane/settings.ts';
import type { Unsettled } from '../felix/dataplane/unsettled.ts';
import { pending } from '../felix/dataplane/unsettled.ts';
import type { Announcement, DesiredChanges, DesiredEndpoint, Gateway, PeerRoute } from '../felix/desired/desired.ts';
import type { FilterSettings } from '../felix/desired/filter-settings.ts';
import type { TunnelKind } from '../felix/desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../felix/desired/tunnels.ts';
import type { IpipPrograms } from '../kernel/bpf/ipip-programs.ts';
import type { Kernel, KernelEvent } from '../kernel/kernel.ts';
import { KernelError } from '../kernel/kernel.ts';
import { assert, unreachable } from '../lib/assert.ts';
import { instant, monotonicNow } from '../lib/clock.ts';
import type { Log } from '../lib/log.ts';
import type { Random } from '../lib/prng.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Ip } from '../net/ip.ts';
import { formatIp } from '../net/ip.ts';
import type { Link } from '../net/kernel-objects.ts';
import { ROUTE_TABLE } from '../net/kernel-objects.ts';
import { EndpointWaiters } from './attach/endpoint-waiters.ts';
import type { BgpListener } from './bgp.ts';
import { Carrier, madeBy } from './carry-out.ts';
import type { FelixStatus, TunnelView } from './control-api.ts';
import type { BackendChoice } from './filter/backend-choice.ts';
import type { CuttingGround } from './filter/connection-cutter.ts';
import type { PacketFilter } from './filter/packet-filter.ts';

/** What has to be read from the kernel before the next pass decides; events keep the rest up to date. */
type Wake = 'nothing' | 'everything';

/** Settings and proxies raise no event; so everything but the packet filter, which keeps its own time, is read again now and then. */
const RESYNC_MS = 60_000;
/** What VXLAN devices were told raises no event that is worth hearing: each neighbour of the host would raise as many. */
const TABLES_MS = 10_000;
/** After a reading has failed, and between passes that could not finish. */
const READING_RETRY_MS = 1_000;
/** Between slices of one pass over the connections, routes hardly change. */
const WORLD_AGE_MS = 1_000;
/** A route may need its device, the device its settings: a few rounds settle all; more would be a loop of ours. */
const ROUNDS_MAX = 8;

/** Where tunnels come from and who is told of them. */
export interface TunnelWorld {
  /** Opens what makes IPIP where the kernel does not. Throws KernelError. */
  readonly openIpipPrograms: () => IpipPrograms;
  /** Called after each pass with the tunnels that receive, by kind their address. */
  readonly onReady: (ready: ReadonlyMap<TunnelKind, Ip>) => void;
}

export class Felix implements BgpListener {
  readonly calculation: Calculation;
  readonly #dataplane: Dataplane;
  readonly #kernel: Kernel;
  readonly #filter: PacketFilter;
  readonly #log: Log;
  readonly #onAnnouncements: (announcements: readonly Announcement[]) => void;
  readonly #onAddressesGone: ((addresses: readonly string[]) => void) | undefined;
  #onFirstSync: (() => void) | undefined;
  readonly #beforeHostSetting: ((name: string, value: string) => void) | undefined;
  readonly #carrier: Carrier;
  readonly #tunnels: TunnelWorld | undefined;
  /** Of which kinds of tunnels it has been told whether they are wanted. */
  readonly #tunnelsTold = new Set<TunnelKind>();
  readonly #waiters = new EndpointWaiters((id) => this.#endpointPending(id));
  readonly #stopWatching: () => void;
  /** Passes that were finished, what they took, and what failed. */
  readonly work = { count: 0, seconds: 0, failures: 0 };
  #wake: Wake = 'everything';
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #lastFullReading = instant(0);
  #lastTableReading = instant(0);
  /** Devices or addresses may differ from those that the packet filter was told of. */
  #hostDevicesMayDiffer = true;
  #world: FilterWorld | undefined;
  #worldReadAt = instant(0);
  #storeInSync = false;
  #storeAway: string | undefined;
  #wasInSync = false;
  #closed = false;

  constructor(options: {
    readonly node: string;
    readonly kernel: Kernel;
    readonly filter: PacketFilter;
    readonly log: Log;
    readonly random: Random;
    readonly onAnnouncements: (announcements: readonly Announcement[]) => void;
    /** Called with the addresses, in text, of containers that are gone. */
    readonly onAddressesGone?: (addresses: readonly string[]) => void;
    /** Called when everything is in force for the first time. */
    readonly onFirstSync?: () => void;
    /** Called before a setting that outlives us is written; what it throws counts as the kernel's refusal. */
    readonly beforeHostSetting?: (name: string, value: string) => void;
    /** Undefined where nobody tells of tunnels: then there are none. */
    readonly tunnels?: TunnelWorld;
  }) {
    this.calculation = new Calculation(options.node);
    this.#dataplane = new Dataplane(options.random);
    this.#kernel = options.kernel;
    this.#filter = options.filter;
    this.#log = options.log;
    this.#onAnnouncements = options.onAnnouncements;
    this.#onFirstSync = options.onFirstSync;
    this.#beforeHostSetting = options.beforeHostSetting;
    this.#onAddressesGone = options.onAddressesGone;
    this.#tunnels = options.tunnels;
    this.#carrier = new Carrier({
      kernel: options.kernel,
      openPrograms: () => {
        assert(options.tunnels !== undefined, 'nobody asks for IPIP where there are no tunnels');
        return options.tunnels.openIpipPrograms();
      },
      onLink: (link, removed) => {
        if (this.#dataplane.observeLink(link, removed)) this.#wake = 'everything'; // routes may have gone with it
        this.#hostDevicesMayDiffer = true;
      },
    });
    this.#stopWatching = options.kernel.watch((event) => this.#onKernelEvent(event));
    options.filter.watch(() => this.#schedule('nothing'));
  }

  /** The calculation has been told something new. */
  calculationChanged(): void {
    this.#schedule('nothing');
  }

  /** A device was made or removed by ourselves: no need to wait for the kernel's event. */
  linkChanged(link: Link, removed: boolean): void {
    this.#dataplane.observeLink(link, removed);
    this.#schedule('nothing');
  }

  /** Our end of a kind of tunnel; undefined when none is wanted (any more). Until this is told of each kind, we are not in sync. */
  setTunnel(kind: TunnelKind, address: Ip | undefined): void {
    this.#tunnelsTold.add(kind);
    this.calculation.setTunnel(kind, address);
    this.#schedule('nothing');
  }

  /** The host has an IPv6 address, so it routes IPv6; one without does once it has a route. */
  routeIpv6(): void {
    if (this.#dataplane.routeIpv6()) this.#schedule('everything'); // other settings matter now
  }

  /** What the packet filter is to be made with; must be told before the store is in sync. */
  configureFilter(choice: BackendChoice, settings: FilterSettings): void {
    this.#filter.configure(choice, settings);
    this.#schedule('nothing');
  }

  storeInSync(): void {
    this.#storeAway = undefined;
    this.#storeInSync = true;
    this.#dataplane.allowRemovals('store');
    this.#schedule('nothing');
  }

  storeAway(reason: string): void {
    this.#storeAway = reason;
  }

  /** Whether new containers can be taken on, and if not why. */
  storeState(): { readonly ready: boolean; readonly reason: string; readonly storeAway: string | undefined } {
    const storeAway = this.#storeAway;
    if (!this.#storeInSync) return { ready: false, reason: 'the store has not been read yet', storeAway };
    if (storeAway !== undefined) return { ready: false, reason: `the store is away: ${storeAway}`, storeAway };
    return { ready: true, reason: '', storeAway };
  }

  endpoints(): readonly DesiredEndpoint[] {
    return this.#dataplane.endpoints();
  }

  /** What is missing until the endpoint's rules, device and routes are in force; undefined when nothing is. */
  endpointPending(id: string): string | undefined {
    return this.#endpointPending(id);
  }

  /** By what connections are judged after a change of policy. Routes are read anew when they are older than a second. */
  cuttingGround(): CuttingGround {
    const now = monotonicNow();
    if (this.#world === undefined || now - this.#worldReadAt > WORLD_AGE_MS) {
      this.#world = filterWorld(this.#kernel.routes(ROUTE_TABLE.main), this.#dataplane.interfaces);
      this.#worldReadAt = now;
    }
    const local = new Map(
      this.#dataplane
        .endpoints()
        .flatMap(({ addresses, deviceName }) =>
          addresses.map(({ address }) => [formatIp(address), deviceName] as const),
        ),
    );
    return { enabled: this.#filter.settings.cutConnections, program: this.#filter.program, world: this.#world, local };
  }

  /** The devices and addresses as last read. */
  interfaces(): Interfaces {
    return this.#dataplane.interfaces;
  }

  best(prefix: Cidr, gateways: readonly Gateway[], peer: Ip | undefined, discard: boolean): void {
    this.calculation.updateLearned(prefix, discard ? 'discard' : gateways, peer);
    this.#schedule('nothing');
  }

  peerRoutes(routes: readonly PeerRoute[]): void {
    this.calculation.updatePeerRoutes(routes);
    this.#schedule('nothing');
  }

  /** What BGP has not confirmed by now is gone for good. */
  converged(): void {
    this.#dataplane.allowRemovals('learned');
    this.#schedule('nothing');
  }

  /** Reads all of the kernel anew at once, as is done now and then: somebody may have changed what raises no event. */
  resync(): void {
    this.#filter.distrust();
    this.#schedule('everything');
  }

  /** Resolves once the endpoint's rules, device and routes are in force; rejects with what is missing after `timeoutMs`. */
  endpointReady(id: string, timeoutMs: number): Promise<void> {
    this.#schedule('nothing');
    return this.#waiters.wait(id, timeoutMs);
  }

  status(): FelixStatus {
    const unsettled = this.#unsettled();
    const reasons = [
      ...(this.#storeInSync ? [] : ['the store has not been read yet']),
      ...(this.#storeAway === undefined ? [] : [`the store is away: ${this.#storeAway}`]),
      ...unsettled.map(({ object, error }) => `${object}: ${error}`),
    ];
    return {
      inSync: reasons.length === 0,
      reasons,
      endpoints: this.#dataplane.endpoints().length,
      routes: this.#dataplane.routeCount,
      unsettled,
      tunnels: this.#tunnelViews(),
      withoutDevice: this.#dataplane.endpointsWithoutDevice(),
      filter: this.#filter.backend,
    };
  }

  /** Stops acting. What is in the kernel stays there: a restart must not be noticed. */
  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#stopWatching();
    this.#carrier.close();
    this.#waiters.giveUp('the agent is stopping');
  }

  #onKernelEvent(event: KernelEvent): void {
    switch (event.kind) {
      case 'link': {
        const mayLoseRoutes = this.#dataplane.observeLink(event.link, event.removed);
        this.#hostDevicesMayDiffer ||= !isWorkloadDevice(event.link.name);
        this.#schedule(mayLoseRoutes ? 'everything' : 'nothing');
        break;
      }
      case 'address':
        // With the last address of a device all its routes go, of which nobody is told.
        this.#schedule(this.#dataplane.observeAddress(event.address, event.removed) ? 'everything' : 'nothing');
        this.#hostDevicesMayDiffer = true;
        break;
      case 'route':
        if (event.route.table !== ROUTE_TABLE.main) break;
        this.#dataplane.observeRoute(event.route, event.removed);
        this.#schedule('nothing');
        break;
      case 'overrun':
        this.#schedule('everything');
        break;
      default:
        unreachable(event);
    }
  }

  #schedule(wake: Wake): void {
    if (wake === 'everything') this.#wake = wake;
    if (this.#scheduled || this.#closed) return;
    this.#scheduled = true;
    setImmediate(() => this.#pass());
  }

  #pass(): void {
    this.#scheduled = false;
    if (this.#closed) return;
    const start = monotonicNow();
    try {
      this.#takeChanges();
      if (this.#storeInSync) {
        this.#read();
        this.#apply();
      }
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.work.failures += 1;
      this.#log.error('pass not finished, trying again', { error: error.message });
      this.#wake = 'everything';
      this.#sleep(READING_RETRY_MS);
      return;
    }
    this.work.count += 1;
    this.work.seconds += (monotonicNow() - start) / 1_000;
    this.#waiters.tell();
    this.#tunnels?.onReady(this.#storeInSync && this.#filter.inForce ? this.#dataplane.tunnelsReady() : new Map());
    this.#noteSync();
    const retry = this.#dataplane.nextRetry();
    const now = monotonicNow();
    const waits = [this.#lastFullReading + RESYNC_MS - now, ...(retry === undefined ? [] : [retry - now])];
    if (!this.#filter.inForce) waits.push(READING_RETRY_MS);
    if (this.#dataplane.tunnelTables.exist) waits.push(this.#lastTableReading + TABLES_MS - now);
    const filterReading = this.#filter.nextReading();
    if (filterReading !== undefined) waits.push(filterReading - now);
    this.#sleep(Math.max(Math.min(...waits), 0));
  }

  #sleep(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      const due = monotonicNow() - this.#lastFullReading >= RESYNC_MS;
      this.#schedule(due ? 'everything' : 'nothing');
    }, milliseconds);
  }

  #takeChanges(): void {
    const changes = this.calculation.takeChanges();
    const gone = this.#addressesLost(changes);
    if (this.#dataplane.update(changes)) this.#wake = 'everything';
    if (gone.length > 0) this.#onAddressesGone?.(gone);
    this.#filter.update(changes);
    if (changes.announcements !== undefined) this.#onAnnouncements(changes.announcements);
  }

  /** Addresses that endpoints of this host had and have no more. */
  #addressesLost({ endpoints }: DesiredChanges): string[] {
    return [...endpoints].flatMap(([id, after]) => {
      const before = this.#dataplane.endpoint(id)?.addresses.map(({ address }) => formatIp(address)) ?? [];
      const kept = new Set(after?.addresses.map(({ address }) => formatIp(address)));
      return before.filter((address) => !kept.has(address));
    });
  }

  #read(): void {
    const wake = this.#wake;
    this.#wake = 'nothing';
    if (wake === 'nothing') {
      if (this.#dataplane.tunnelTables.exist && monotonicNow() - this.#lastTableReading >= TABLES_MS)
        this.#readTables();
      return;
    }
    const links = this.#kernel.links();
    const addresses = this.#kernel.addresses();
    this.#dataplane.observeInterfaces(links, addresses); // which settings there are depends on the devices
    const settings = this.#dataplane.settingNames().flatMap((name): [string, string][] => {
      const value = this.#kernel.readSysctl(name);
      return value === undefined ? [] : [[name, value]];
    });
    this.#dataplane.observe({
      links,
      addresses,
      routes: this.#kernel.routes(ROUTE_TABLE.main),
      proxies: this.#kernel.neighbourProxies(),
      settings: new Map(settings),
    });
    if (this.#dataplane.tunnelTables.exist) this.#readTables();
    this.#hostDevicesMayDiffer = true;
    this.#lastFullReading = monotonicNow();
  }

  #readTables(): void {
    this.#dataplane.observeTunnelTables(this.#kernel.neighbours(), this.#kernel.forwardingEntries());
    this.#lastTableReading = monotonicNow();
  }

  #apply(): void {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const before = this.#dataplane.operationsBeforeFilter(monotonicNow());
      for (const operation of before) this.#carryOut(operation);
      if (this.#hostDevicesMayDiffer) this.#filter.setHostDevices(this.#dataplane.interfaces.hostDevices());
      this.#hostDevicesMayDiffer = false;
      this.#filter.apply();
      if (this.#dataplane.tunnelTables.areNeeded) this.#readTables();
      const after = this.#dataplane.operationsAfterFilter(monotonicNow(), this.#filter.inForce);
      for (const operation of after) this.#carryOut(operation);
      if (before.length + after.length === 0) return;
    }
    this.#log.warn('operations are left after many rounds', { rounds: ROUNDS_MAX });
  }

  #carryOut(operation: KernelOperation): void {
    try {
      this.#announceSetting(operation);
      this.#carrier.carryOut(operation, () => this.#dataplane.report(operation, undefined, monotonicNow()));
      this.#log.debug('done', {
        kind: operation.kind,
        change: operation.operation.kind,
        object: operation.operation.key,
      });
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      this.work.failures += 1;
      this.#dataplane.report(operation, error.message, monotonicNow());
      const { kind, key } = operation.operation;
      this.#log.warn('kernel refused', { kind: operation.kind, change: kind, object: key, error: error.message });
    }
  }

  #announceSetting({ kind, operation }: KernelOperation): void {
    if (kind !== 'setting' || operation.kind === 'remove' || !isHostSetting(operation.key)) return;
    this.#beforeHostSetting?.(operation.key, operation.desired);
  }

  #endpointPending(id: string): string | undefined {
    if (!this.#storeInSync) return 'the store has not been read yet';
    if (!this.#filter.inForce) return `packet filter: ${this.#filter.error ?? 'not applied yet'}`;
    return this.#filter.refusal(id) ?? this.#dataplane.endpointPending(id);
  }

  #tunnelViews(): TunnelView[] {
    const ready = this.#dataplane.tunnelsReady();
    return this.#dataplane.tunnels().map(({ tunnel: { kind, address, local, remotes, hosts }, link }) => ({
      device: TUNNELS[kind].deviceName,
      madeBy: madeBy(kind, link),
      address: formatIp(address),
      local: formatIp(local),
      mtu: link?.mtu ?? null,
      hosts: kind === 'ipip' ? hosts.length : remotes.length,
      receives: this.#filter.inForce && ready.has(kind),
    }));
  }

  #unsettled(): Unsettled[] {
    const { inForce, error: refusal, foreignChange } = this.#filter;
    const error = refusal ?? foreignChange;
    const state = error === undefined ? 'pending' : 'error';
    const isRight = inForce && foreignChange === undefined;
    const filter: Unsettled[] = isRight ? [] : [{ object: 'packet filter', state, error: error ?? 'not applied yet' }];
    const refusals = this.#filter
      .refusals()
      .map(({ endpointId, reason }) => ({ object: `endpoint ${endpointId}`, state: 'error', error: reason }) as const);
    const isTold = this.#tunnels === undefined || TUNNEL_KINDS.every((kind) => this.#tunnelsTold.has(kind));
    const tunnels = isTold ? [] : [pending('tunnels', 'their addresses are not known yet')];
    return [...filter, ...refusals, ...tunnels, ...this.#dataplane.unsettled()];
  }

  #noteSync(): void {
    const { inSync, reasons } = this.status();
    if (inSync === this.#wasInSync) return;
    this.#wasInSync = inSync;
    if (inSync) {
      this.#onFirstSync?.();
      this.#onFirstSync = undefined;
    }
    if (inSync) this.#log.info('in sync', { endpoints: this.#dataplane.endpoints().length });
    else this.#log.info('out of sync', { reasons: reasons.slice(0, 3) });
  }
}
