/**
 * A lab's network as values: what is to be built, who runs where, and what must then be true.
 *
 * Parsed once from YAML (read-topology.ts) and never checked again. A segment is a layer-2 network; a host runs the agent;
 * a router only forwards, by static routes or those of a BGP speaker that it runs, and knows nothing of containers; one that
 * forwards assigned addresses only is the fabric of a cloud; a workload is a container without an image: a namespace attached
 * by the CNI plugin.
 */

import type { AnyResource } from '../model/kinds.ts';
import type { Labels } from '../model/selector.ts';
import type { Asn } from '../net/asn.ts';
import type { Cidr, InterfaceAddress } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import type { RouterProgram } from './programs.ts';

export interface Topology {
  readonly name: string;
  readonly description: string;
  readonly segments: readonly string[];
  readonly hosts: readonly Host[];
  readonly routers: readonly Router[];
  readonly workloads: readonly Workload[];
  /** IPPool, IPReservation, BGPConfiguration … Node resources are made from the hosts. */
  readonly resources: readonly AnyResource[];
  readonly checks: readonly Check[];
}

/** One end of a cable: an interface of a host or router, plugged into a segment. */
export interface Plug {
  readonly interface: string;
  readonly segment: string;
  readonly addresses: readonly InterfaceAddress[];
}

export interface Host {
  readonly name: string;
  readonly plugs: readonly Plug[];
  /** Addresses of the machine rather than of a link: they are on lo. */
  readonly addresses: readonly InterfaceAddress[];
  /** Default gateways, at most one a family. */
  readonly gateways: readonly Ip[];
  readonly asNumber: Asn | undefined;
  /** Of a reflector, in the notation of addresses; undefined for a host that reflects nothing. */
  readonly routeReflectorClusterID: string | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether the agent speaks BGP; else it computes its routes from the store. */
  readonly bgp: boolean;
  /** Blocks of a pool that the host owns from the start; further ones it claims as it needs them. */
  readonly blocks: readonly Cidr[];
}

export interface Router {
  readonly name: string;
  readonly plugs: readonly Plug[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly StaticRoute[];
  /**
   * `assigned`: on the router's segments only packets pass whose source and destination are both addresses that the
   * topology gives to machines there (fabric.ts).
   */
  readonly forwards: 'all' | 'assigned';
  /** A BGP speaker of its own, with its configuration in that program's words; undefined for a router that only forwards. */
  readonly runs: { readonly program: RouterProgram; readonly configuration: string } | undefined;
}

export interface StaticRoute {
  readonly to: Cidr;
  readonly via: Ip;
}

export interface Workload {
  readonly name: string;
  readonly host: string;
  /** Asked for by name; none means that the address manager chooses. */
  readonly addresses: readonly Ip[];
  /** What policies choose it by. */
  readonly labels: Labels;
  /** As of a pod: floating addresses, services. */
  readonly annotations: Readonly<Record<string, string>>;
}

/** What must hold once the lab is up. `shows` is a line as iproute2 prints it, where * stands for any letters. */
export type Check =
  /** Each of these pings each other one. */
  | { readonly kind: 'reach'; readonly among: readonly string[] }
  /** No ping from the one to the other is answered. */
  | { readonly kind: 'unreachable'; readonly from: string; readonly to: string }
  /** So many BGP sessions of a host are established. */
  | { readonly kind: 'sessions'; readonly on: string; readonly established: number }
  | { readonly kind: 'route'; readonly on: string; readonly shows: string }
  | { readonly kind: 'neighbour'; readonly on: string; readonly shows: string };

/** Every name that has a namespace, with what it is. */
export function entities(topology: Topology): Map<string, 'segment' | 'host' | 'router' | 'workload'> {
  return new Map([
    ...topology.segments.map((name) => [name, 'segment'] as const),
    ...topology.hosts.map(({ name }) => [name, 'host'] as const),
    ...topology.routers.map(({ name }) => [name, 'router'] as const),
    ...topology.workloads.map(({ name }) => [name, 'workload'] as const),
  ]);
}

/** The address that machines know each other by: the first of the family, the machine's own before those of its links. */
export function nodeAddress(machine: Host | Router, family: Family): InterfaceAddress | undefined {
  const all = [...machine.addresses, ...machine.plugs.flatMap((plug) => plug.addresses)];
  return all.find(({ address }) => address.family === family);
}
