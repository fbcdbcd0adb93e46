/**
 * Services: addresses that stand for several containers at once, on one host or on many.
 *
 * A container asks to be one of them by its annotation, or by a label, which more runtimes hand on. That counts where a pool for such addresses (`allowedUses:
 * [LoadBalancer]`) has the address, so that no container takes what the operator has not set aside. A host
 * sends connections to its own containers of the service; it announces the address as long as it has one, and routers
 * spread over such hosts. A host that has none needs to know those of others only for what its own containers send.
 *
 * Told of endpoints of all hosts; those of no service, nearly all, cost a look.
 */
import { SERVICE_ADDRESS_LABEL, SERVICE_ADDRESSES_ANNOTATION } from '../../../model/metadata.ts';
import { resourceTitle } from '../../../model/resource.ts';
import type { WorkloadEndpoint } from '../../../model/workload-endpoint.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { cidr, containsIp } from '../../../net/cidr.ts';
import { compareIp, formatIp, type Ip, parseIp } from '../../../net/ip.ts';
import type { DesiredService } from '../../desired/desired.ts';
import type { Provenance } from '../../desired/provenance.ts';
import { sourceOf } from '../provenance.ts';
import { textsOfJson } from './annotation-json.ts';

/** Each is a chain of rules and a route on every host that has the container. */
export const SERVICE_ADDRESSES_MAX = 16;
/** A connection's first packet meets as many rules; more containers than these, the lowest, get none. */
export const SERVICE_BACKENDS_MAX = 64;

/** A container's part in services. */
interface Membership {
  readonly node: string;
  readonly deviceName: string;
  readonly provenance: Provenance;
  readonly services: readonly Ip[];
  readonly own: readonly Ip[];
}

/** A service, and the device of the first container of this host. */
export interface PlacedService {
  readonly service: DesiredService;
  /** Undefined where no container is here. */
  readonly deviceName: string | undefined;
}

/** How many containers a service has. */
interface ServiceSize {
  readonly address: Ip;
  readonly isInPool: boolean;
  readonly here: number;
  readonly everywhere: number;
}

/** A service that a container asks to be part of. */
export interface ServiceStanding extends ServiceSize {
  /** Whether this host announces it; else why not. */
  readonly state: 'announced' | 'in no pool' | 'in no range' | 'excluded node';
}

interface Backend extends Membership {
  readonly id: string;
  readonly address: Ip;
}

export class Services {
  readonly #node: string;
  readonly #memberships = new Map<string, Membership>();
  /** By address in text, whom it stands for. */
  readonly #members = new Map<string, Set<string>>();
  #pools: readonly Cidr[] = [];
  readonly #mayDiffer = new Set<string>();

  constructor(node: string) {
    this.#node = node;
  }

  update(id: string, endpoint: WorkloadEndpoint | undefined): void {
    const before = this.#memberships.get(id);
    const membership = endpoint && membershipOf(endpoint);
    if (before === undefined && membership === undefined) return;
    for (const address of before?.services ?? []) {
      const members = this.#members.get(formatIp(address));
      members?.delete(id);
      if (members?.size === 0) this.#members.delete(formatIp(address));
      this.#mayDiffer.add(formatIp(address));
    }
    if (membership === undefined) this.#memberships.delete(id);
    else this.#memberships.set(id, membership);
    for (const address of membership?.services ?? []) {
      const text = formatIp(address);
      this.#members.set(text, (this.#members.get(text) ?? new Set()).add(id));
      this.#mayDiffer.add(text);
    }
  }

  /** The prefixes of all pools that are for services. */
  setPools(pools: readonly Cidr[]): void {
    this.#pools = pools;
    for (const address of this.#members.keys()) this.#mayDiffer.add(address);
  }

  /** Services that may differ since the last call, by address in text; undefined where it is none any more. */
  takeChanges(): Map<string, PlacedService | undefined> {
    const changes = new Map([...this.#mayDiffer].map((address) => [address, this.#service(address)] as const));
    this.#mayDiffer.clear();
    return changes;
  }

  /** What an endpoint asks to be part of. */
  of(id: string): ServiceSize[] {
    return (this.#memberships.get(id)?.services ?? []).map((address) => {
      const backends = this.#backends(formatIp(address), address);
      const here = backends.filter(({ node }) => node === this.#node).length;
      return { address, isInPool: this.#isInPool(address), here, everywhere: backends.length };
    });
  }

  #service(text: string): PlacedService | undefined {
    const address = parseIp(text);
    if (address === undefined || !this.#isInPool(address)) return undefined;
    const everywhere = this.#backends(text, address);
    const here = everywhere.filter(({ node }) => node === this.#node);
    const chosen = (here.length > 0 ? here : everywhere).slice(0, SERVICE_BACKENDS_MAX);
    if (chosen.length === 0) return undefined;
    const backends = chosen.map((backend) => ({ address: backend.address, provenance: backend.provenance }));
    return { service: { address, backends, isHere: here.length > 0 }, deviceName: here[0]?.deviceName };
  }

  #isInPool(address: Ip): boolean {
    return this.#pools.some((pool) => containsIp(pool, address));
  }

  /** By their own addresses. */
  #backends(text: string, { family }: Ip): Backend[] {
    const backends = [...(this.#members.get(text) ?? [])].flatMap((id): Backend[] => {
      const membership = this.#memberships.get(id);
      const address = membership?.own.find((own) => own.family === family);
      return membership === undefined || address === undefined ? [] : [{ ...membership, id, address }];
    });
    return backends.sort((a, b) => compareIp(a.address, b.address) || (a.id < b.id ? -1 : 1));
  }
}

/** Undefined where it asks for none. */
function membershipOf(endpoint: WorkloadEndpoint): Membership | undefined {
  const { metadata, spec } = endpoint;
  const label = metadata.labels?.[SERVICE_ADDRESS_LABEL];
  const texts = [...textsOfJson(metadata.annotations?.[SERVICE_ADDRESSES_ANNOTATION]), ...(label ? [label] : [])];
  const services = new Map(texts.flatMap((text) => parseIp(text) ?? []).map((address) => [formatIp(address), address]));
  if (services.size === 0) return undefined;
  return {
    node: spec.node,
    deviceName: spec.interfaceName,
    provenance: sourceOf(resourceTitle(endpoint), metadata),
    services: [...services.values()].slice(0, SERVICE_ADDRESSES_MAX),
    own: spec.ipNetworks.map((network) => cidr(network).address),
  };
}
