/**
 * What the store says, handed on to those whom it concerns.
 *
 * One resource goes to one place: containers and blocks to Felix's calculation, nodes and BGP settings to BGP. Kinds that
 * change nothing on a host are passed over. A resource that is not valid counts as absent, and is said so in the
 * log: it must not stop the others.
 */
import { endpointId } from '../felix/calc/local-endpoints.ts';
import type { Log } from '../lib/log.ts';
import type { BgpConfiguration } from '../model/bgp-configuration.ts';
import type { AnyResource, KindName } from '../model/kinds.ts';
import type { Node } from '../model/node.ts';
import { resourceOfEntry } from '../model/resource-entry.ts';
import { parseResourceKey } from '../model/resource-key.ts';
import type { Entry } from '../store/store.ts';
import type { Bgp } from './bgp.ts';
import type { Felix } from './felix.ts';
import { nodeAddresses } from './speaker-configuration.ts';
import type { StoreListener } from './store-follower.ts';

export class ResourceFeed implements StoreListener {
  readonly #node: string;
  readonly #felix: Felix;
  readonly #bgp: Bgp;
  readonly #log: Log;
  readonly #nodes = new Map<string, Node>();
  readonly #configurations = new Map<string, BgpConfiguration>();
  #inSync = false;

  constructor(options: { readonly node: string; readonly felix: Felix; readonly bgp: Bgp; readonly log: Log }) {
    this.#node = options.node;
    this.#felix = options.felix;
    this.#bgp = options.bgp;
    this.#log = options.log;
  }

  /** The resource of our own node, once it is there. */
  ownNode(): Node | undefined {
    return this.#nodes.get(this.#node);
  }

  put(entry: Entry): void {
    const reading = resourceOfEntry(entry);
    if (!reading.ok) this.#log.warn('resource ignored: it is not valid', { problem: reading.problem });
    this.#take(entry.key, reading.ok ? reading.resource : undefined);
  }

  removed(key: string): void {
    this.#take(key, undefined);
  }

  inSync(): void {
    this.#inSync = true;
    this.#felix.storeInSync();
    this.#configureBgp();
  }

  away(reason: string): void {
    this.#felix.storeAway(reason);
  }

  #take(key: string, resource: AnyResource | undefined): void {
    const id = parseResourceKey(key);
    if (id === undefined) return;
    const { calculation } = this.#felix;
    switch (id.kind as KindName) {
      case 'Node':
        setOrDelete(this.#nodes, id.name, ofKind('Node', resource));
        this.#configureBgp();
        return;
      case 'BGPConfiguration':
        setOrDelete(this.#configurations, id.name, ofKind('BGPConfiguration', resource));
        this.#configureBgp();
        return;
      case 'WorkloadEndpoint':
        calculation.updateEndpoint(endpointId(id.namespace ?? '', id.name), ofKind('WorkloadEndpoint', resource));
        break;
      case 'IPPool':
        calculation.updatePool(id.name, ofKind('IPPool', resource));
        break;
      case 'IPAMBlock':
        calculation.updateBlock(id.name, ofKind('IPAMBlock', resource));
        break;
      case 'BlockAffinity':
        calculation.updateAffinity(id.name, ofKind('BlockAffinity', resource));
        break;
      default:
        return;
    }
    this.#felix.calculationChanged();
  }

  #configureBgp(): void {
    if (!this.#inSync) return; // peers come and go while the listing is being read
    const own = this.ownNode();
    this.#felix.setIpv6(own !== undefined && nodeAddresses(own)[6] !== undefined);
    this.#bgp.configure({ nodes: this.#nodes, configurations: this.#configurations });
  }
}

function ofKind<Name extends KindName>(kind: Name, resource: AnyResource | undefined) {
  // `kind` tells the members of the union apart, which the compiler does not see through the type parameter.
  return resource?.kind === kind ? (resource as Extract<AnyResource, { readonly kind: Name }>) : undefined;
}

function setOrDelete<Value>(map: Map<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
