/**
 * The life of this host's tunnels, from the pool that asks for one to the last packet that comes by it.
 *
 *   needed ─► address from IPAM ─► Felix makes the device ─► it receives ─► Node bears the address: others send
 *   needed no more ─► others hear of it (grace) ─► Node bears it no more ─► Felix removes the device ─► address released
 *
 * So whoever reads an address in a Node may send to it. Each step is taken when the one before has been seen to be done, and all of
 * it again after a restart: what IPAM, the kernel and the Node have already is left as it is. IPAM is asked again now and then, for
 * somebody may have released what is in use here. Errors are kept for the status, and tried again.
 */
import type { TunnelKind } from '../../felix/desired/tunnels.ts';
import { TUNNEL_KINDS, TUNNELS } from '../../felix/desired/tunnels.ts';
import { keepsTunnelAddress, poolPrefix } from '../../ipam/pools.ts';
import type { Backoff } from '../../lib/backoff.ts';
import { backoffMs } from '../../lib/backoff.ts';
import type { Instant } from '../../lib/clock.ts';
import { instant } from '../../lib/clock.ts';
import type { Log } from '../../lib/log.ts';
import type { Random } from '../../lib/prng.ts';
import type { IpPool } from '../../model/ip-pool.ts';
import type { Node } from '../../model/node.ts';
import { containsIp } from '../../net/cidr.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp, sameIp } from '../../net/ip.ts';
import type { Store } from '../../store/store.ts';
import { StoreError } from '../../store/store.ts';
import type { AddressAllocator } from '../addresses/address-allocator.ts';
import { AllocationError } from '../addresses/address-allocator.ts';
import { DEVICE_ATTRIBUTE } from '../addresses/address-garbage.ts';
import { tunnelOfNode, writeTunnel } from './tunnel-node.ts';
import { TunnelGrace } from './tunnel-wishes.ts';

export interface TunnelFacts {
  /** This host's; undefined while it has none. */
  readonly node: Node | undefined;
  readonly needed: ReadonlyMap<TunnelKind, readonly IpPool[]>;
}

interface KeeperOptions {
  readonly node: string;
  /** Whose writes the feed hears at once. */
  readonly store: Store;
  readonly allocator: Pick<AddressAllocator, 'assign' | 'addressesOf' | 'release' | 'releaseAddress'>;
  readonly setTunnel: (kind: TunnelKind, address: Ip | undefined) => void;
  /** Called when a tunnel receives no more, so that the packet filter may be closed for it. */
  readonly onClosed: () => void;
  readonly log: Log;
  readonly random: Random;
  readonly now: () => Instant;
}

const RETRY: Backoff = { firstMs: 200, maxMs: 10_000 };
/** Somebody may release an address by hand; another container would get it sooner or later. */
const RECHECK_MS = 60_000;

export class TunnelKeeper {
  readonly #options: KeeperOptions;
  readonly #grace = new TunnelGrace();
  #facts: TunnelFacts | undefined;
  #ready: ReadonlyMap<TunnelKind, Ip> = new Map();
  /** What Felix was told last; kinds that it was not told of are not in it. */
  readonly #told = new Map<TunnelKind, Ip | undefined>();
  /** Addresses that IPAM has for us, as far as known; undefined where it has none. */
  readonly #held = new Map<TunnelKind, Ip | undefined>();
  #heldSince = instant(0);
  readonly #problems = new Map<TunnelKind, string>();
  #failures = 0;
  #wake: () => void = () => undefined;
  #isAwake = false;

  constructor(options: KeeperOptions) {
    this.#options = options;
  }

  /** Takes what the store says now, once it has been read. */
  configure(facts: TunnelFacts): void {
    this.#facts = facts;
    this.#updateGrace(this.#options.now());
    this.#stir();
  }

  /** Takes which tunnels receive, by kind their address. */
  setReady(ready: ReadonlyMap<TunnelKind, Ip>): void {
    const same = TUNNEL_KINDS.every((kind) => sameIp(ready.get(kind), this.#ready.get(kind)));
    this.#ready = ready;
    if (!same) this.#stir();
  }

  /** The tunnels by which packets are taken, or will be. */
  receiving(): ReadonlySet<TunnelKind> {
    const told = TUNNEL_KINDS.filter((kind) => this.#told.get(kind) !== undefined);
    return new Set([...this.#grace.kept(this.#options.now()), ...told]);
  }

  /** Why a tunnel cannot be had, in sentences. */
  problems(): string[] {
    return [...this.#problems.values()];
  }

  /** Goes on until `signal` aborts. What is there stays: a restart must not be noticed. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#isAwake = false;
      const waitMs = await this.look();
      if (this.#isAwake || signal.aborted) continue;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, waitMs);
        this.#wake = done;
        signal.addEventListener('abort', done, { once: true });
        function done(): void {
          clearTimeout(timer);
          signal.removeEventListener('abort', done);
          resolve();
        }
      });
    }
  }

  /** Takes all steps that can be taken now; gives after how many milliseconds to look again. Never throws for the world's errors. */
  async look(): Promise<number> {
    const now = this.#options.now();
    if (this.#facts === undefined) return RECHECK_MS;
    if (now - this.#heldSince >= RECHECK_MS) {
      this.#held.clear();
      this.#heldSince = now;
    }
    let failed = false;
    for (const kind of TUNNEL_KINDS) failed = !(await this.#lookAt(kind, now)) || failed;
    this.#failures = failed ? this.#failures + 1 : 0;
    const timer = this.#grace.nextTimer(now);
    const waits = [RECHECK_MS - (now - this.#heldSince), ...(timer === undefined ? [] : [timer - now])];
    if (failed) waits.push(backoffMs(RETRY, this.#failures, this.#options.random));
    return Math.max(Math.min(...waits), 0);
  }

  /** Gives whether all went well. */
  async #lookAt(kind: TunnelKind, now: Instant): Promise<boolean> {
    try {
      if (this.#grace.kept(now).has(kind)) await this.#keep(kind);
      else await this.#giveUp(kind, now);
      this.#problems.delete(kind);
      return true;
    } catch (error) {
      if (!(error instanceof StoreError) && !(error instanceof AllocationError)) throw error;
      const problem = `tunnel ${TUNNELS[kind].deviceName}: ${error.message}`;
      if (this.#problems.get(kind) !== problem) this.#options.log.warn('tunnel not as it should be', { problem });
      this.#problems.set(kind, problem);
      // That it cannot be had now is known; one that is there already goes on.
      if (error instanceof AllocationError && !this.#told.has(kind)) this.#tell(kind, undefined);
      return false;
    }
  }

  async #keep(kind: TunnelKind): Promise<void> {
    const address = await this.#address(kind);
    this.#tell(kind, address);
    const { node } = this.#facts ?? {};
    const receives = address !== undefined && sameIp(this.#ready.get(kind), address);
    if (node === undefined || !receives || sameIp(tunnelOfNode(node, kind), address)) return;
    await this.#writeNode(kind, address);
  }

  async #giveUp(kind: TunnelKind, now: Instant): Promise<void> {
    const { node } = this.#facts ?? {};
    if (node === undefined) {
      // Somebody may be about to write it (again): nothing is given up, and nothing begun.
      if (!this.#told.has(kind)) this.#tell(kind, undefined);
      return;
    }
    if (tunnelOfNode(node, kind) !== undefined) await this.#writeNode(kind, undefined);
    const wasThere = this.#told.get(kind) !== undefined;
    this.#tell(kind, undefined);
    if (!this.#held.has(kind)) this.#held.set(kind, (await this.#addressesOf(kind))[0]);
    if (this.#held.get(kind) !== undefined) {
      await this.#options.allocator.release(this.#handle(kind));
      this.#held.set(kind, undefined);
      this.#options.log.info('tunnel given up', { device: TUNNELS[kind].deviceName });
    }
    this.#updateGrace(now);
    if (wasThere) this.#options.onClosed();
  }

  /** The address that we hold if it will do, else another one. */
  async #address(kind: TunnelKind): Promise<Ip | undefined> {
    const known = this.#held.get(kind);
    if (known !== undefined && this.#fits(kind, known)) return known;
    const held = await this.#addressesOf(kind);
    const borne = this.#facts?.node && tunnelOfNode(this.#facts.node, kind);
    const fitting = held.filter((address) => this.#fits(kind, address));
    const chosen = fitting.find((address) => sameIp(address, borne)) ?? fitting[0] ?? (await this.#assign(kind));
    for (const address of held) {
      if (!sameIp(address, chosen)) await this.#options.allocator.releaseAddress(this.#handle(kind), address);
    }
    this.#held.set(kind, chosen);
    return chosen;
  }

  /** A pool that is disabled gives out no more, but what it gave holds. One that asks for the tunnel no more has no say. */
  #fits(kind: TunnelKind, address: Ip): boolean {
    const { node, needed } = this.#facts ?? {};
    const pools = needed?.get(kind);
    if (pools === undefined) return true; // kept for a while yet, as it is
    const labels = node?.metadata.labels ?? {};
    return pools.some((pool) => containsIp(poolPrefix(pool), address) && keepsTunnelAddress(pool, labels));
  }

  async #assign(kind: TunnelKind): Promise<Ip | undefined> {
    const { node, needed } = this.#facts ?? {};
    const pools = needed?.get(kind);
    if (pools === undefined) return undefined;
    const { family, deviceName } = TUNNELS[kind];
    const name = this.#options.node;
    const [address] = await this.#options.allocator.assign({
      node: name,
      labels: node?.metadata.labels ?? {},
      handle: this.#handle(kind),
      families: [family],
      requestedAddresses: [],
      requestedPools: pools.map(({ metadata }) => metadata.name).sort(),
      use: 'Tunnel',
      namespace: undefined,
      attributes: { node: name, type: TYPES[kind], [DEVICE_ATTRIBUTE]: deviceName },
    });
    const text = address && formatIp(address);
    this.#options.log.info('tunnel has an address', { device: deviceName, address: text });
    return address;
  }

  #addressesOf(kind: TunnelKind): Promise<readonly Ip[]> {
    return this.#options.allocator.addressesOf(this.#handle(kind));
  }

  #handle(kind: TunnelKind): string {
    return `${kind}-tunnel-addr-${this.#options.node}`;
  }

  async #writeNode(kind: TunnelKind, address: Ip | undefined): Promise<void> {
    const { store, node } = this.#options;
    if (await writeTunnel(store, node, kind, address)) return;
    throw new AllocationError('busy', `Node ${node} was changed by others again and again; trying later`);
  }

  #tell(kind: TunnelKind, address: Ip | undefined): void {
    if (this.#told.has(kind) && sameIp(this.#told.get(kind), address)) return;
    this.#told.set(kind, address);
    this.#options.setTunnel(kind, address);
  }

  #updateGrace(now: Instant): void {
    const { node, needed } = this.#facts ?? {};
    const borne = TUNNEL_KINDS.filter((kind) => node !== undefined && tunnelOfNode(node, kind) !== undefined);
    const told = TUNNEL_KINDS.filter((kind) => this.#told.get(kind) !== undefined);
    this.#grace.update(now, new Set(needed?.keys() ?? []), new Set([...borne, ...told]));
  }

  #stir(): void {
    this.#isAwake = true;
    this.#wake();
  }
}

/** Calico's names for what such an address is for. */
const TYPES: Readonly<Record<TunnelKind, string>> = {
  ipip: 'ipipTunnelAddress',
  vxlan: 'vxlanTunnelAddress',
  'vxlan-v6': 'vxlanV6TunnelAddress',
};
