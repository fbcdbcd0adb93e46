/**
 * What to make for a topology, in order: namespaces, then bridges, then cables, then addresses, then routes.
 *
 * Pure, so that what a lab will do to the machine can be read, tested as text, and understood before it happens. A
 * segment is a bridge in a namespace of its own, which no host can see into. A cable is a veth pair made with both ends in
 * their places. Hosts' forwarding is the agent's own business, and so is not here; routers have no agent, so it is.
 *
 * Duplicate address detection is off in the lab's machines: it would hold each IPv6 address back for a second, and
 * the topology has been checked for duplicates.
 */
import { type Cidr, cidr, formatCidr, type InterfaceAddress } from '../net/cidr.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import { fabricRules } from './fabric.ts';
import { fixedNeighbours, type SegmentEnd } from './fixed-neighbours.ts';
import { namespaceOf } from './names.ts';
import type { Plug, Topology } from './topology.ts';

export type Step =
  /** An empty namespace with lo up. */
  | { readonly kind: 'namespace'; readonly namespace: string }
  | { readonly kind: 'sysctl'; readonly namespace: string; readonly name: string; readonly value: string }
  | { readonly kind: 'bridge'; readonly namespace: string; readonly name: string }
  /** A veth pair between a machine's interface and a port of a segment's bridge, both up. */
  | {
      readonly kind: 'cable';
      readonly namespace: string;
      readonly interface: string;
      readonly segmentNamespace: string;
      readonly port: string;
    }
  | {
      readonly kind: 'address';
      readonly namespace: string;
      readonly interface: string;
      readonly address: InterfaceAddress;
    }
  | { readonly kind: 'route'; readonly namespace: string; readonly to: Cidr; readonly via: Ip }
  /** Rules as nft reads them, for a router or segment that passes these addresses only. */
  | { readonly kind: 'fabric'; readonly namespace: string; readonly script: string; readonly addresses: number }
  /** Each of a segment's machines is to know all the others' MAC addresses. */
  | { readonly kind: 'neighbours'; readonly ends: readonly NamespaceEnd[] };

type NamespaceEnd = Omit<SegmentEnd, 'machine'> & { readonly namespace: string };

export const SEGMENT_BRIDGE = 'br0';

/** IFNAMSIZ of linux/if.h without its closing zero. */
const INTERFACE_NAME_LENGTH_MAX = 15;

const DEFAULT_ROUTE = { 4: cidr('0.0.0.0/0'), 6: cidr('::/0') } as const;

interface Machine {
  readonly name: string;
  readonly plugs: readonly Plug[];
  readonly addresses: readonly InterfaceAddress[];
  readonly routes: readonly { readonly to: Cidr; readonly via: Ip }[];
  readonly forwards: boolean;
}

/** The steps that turn an empty place into the topology's machines and wires; workloads come later, by CNI. */
export function planOf(topology: Topology): Step[] {
  const machines: Machine[] = [
    ...topology.hosts.map(({ name, plugs, addresses, gateways }) => ({
      name,
      plugs,
      addresses,
      routes: gateways.map((via) => ({ to: DEFAULT_ROUTE[via.family], via })),
      forwards: false,
    })),
    ...topology.routers.map(({ name, plugs, addresses, routes }) => ({
      name,
      plugs,
      addresses,
      routes,
      forwards: true,
    })),
  ];
  const inLab = (entity: string) => namespaceOf(topology.name, entity);
  return [
    ...topology.segments.flatMap((segment): Step[] => [
      { kind: 'namespace', namespace: inLab(segment) },
      { kind: 'bridge', namespace: inLab(segment), name: SEGMENT_BRIDGE },
    ]),
    ...machines.flatMap((machine): Step[] => [
      { kind: 'namespace', namespace: inLab(machine.name) },
      ...sysctlsOf(machine).map(
        ([name, value]): Step => ({ kind: 'sysctl', namespace: inLab(machine.name), name, value }),
      ),
    ]),
    ...cablesOf(topology.name, machines),
    ...machines.flatMap((machine) =>
      [{ interface: 'lo', addresses: machine.addresses }, ...machine.plugs].flatMap((plug) =>
        plug.addresses.map(
          (address): Step => ({
            kind: 'address',
            namespace: inLab(machine.name),
            interface: plug.interface,
            address,
          }),
        ),
      ),
    ),
    ...machines.flatMap((machine) =>
      machine.routes.map(({ to, via }): Step => ({ kind: 'route', namespace: inLab(machine.name), to, via })),
    ),
    ...fabricRules(topology).map(
      ({ entity, ...rules }): Step => ({ kind: 'fabric', namespace: inLab(entity), ...rules }),
    ),
    ...fixedNeighbours(topology).map(
      (ends): Step => ({
        kind: 'neighbours',
        ends: ends.map(({ machine, ...end }) => ({ namespace: inLab(machine), ...end })),
      }),
    ),
  ];
}

/** Set before there are devices, which take their own values from `default` when they are made. */
function sysctlsOf(machine: Machine): [name: string, value: string][] {
  const families = new Set(
    [machine, ...machine.plugs].flatMap(({ addresses }) => addresses.map(({ address }) => address.family)),
  );
  // A link without addresses has its link-local one, which is then what machines know each other by.
  const hasIpv6 = families.has(6) || machine.plugs.some(({ addresses }) => addresses.length === 0);
  return [
    ...(hasIpv6 ? ([['ipv6/conf/default/accept_dad', '0']] as [string, string][]) : []),
    ...(machine.forwards ? ([['ipv4/ip_forward', '1']] as [string, string][]) : []),
    ...(machine.forwards && hasIpv6 ? ([['ipv6/conf/all/forwarding', '1']] as [string, string][]) : []),
  ];
}

/**
 * Ports are called MACHINE-INTERFACE, so that a capture in a segment can name its side; where that is too long, port-HASH,
 * which stays the same when machines come and go.
 */
function cablesOf(lab: string, machines: readonly Machine[]): Step[] {
  const ends = machines.flatMap((machine) => machine.plugs.map((plug) => ({ machine: machine.name, plug })));
  return ends.map(({ machine, plug }): Step => {
    const port = `${machine}-${plug.interface}`;
    return {
      kind: 'cable',
      namespace: namespaceOf(lab, machine),
      interface: plug.interface,
      segmentNamespace: namespaceOf(lab, plug.segment),
      port: port.length <= INTERFACE_NAME_LENGTH_MAX ? port : `port-${hashText(port)}`,
    };
  });
}

/** FNV-1a, eight hexadecimal digits. */
function hashText(text: string): string {
  let hash = 0x811c9dc5;
  for (const character of text) hash = Math.imul(hash ^ (character.codePointAt(0) ?? 0), 0x01000193) >>> 0;
  return hash.toString(16).padStart(8, '0');
}

/** One line a step, for `lab up --plan` and for messages. */
export function formatStep(step: Step): string {
  switch (step.kind) {
    case 'namespace':
      return `${step.namespace}: make it`;
    case 'sysctl':
      return `${step.namespace}: ${step.name} = ${step.value}`;
    case 'bridge':
      return `${step.namespace}: bridge ${step.name}`;
    case 'cable':
      return `${step.namespace}: ${step.interface} to ${step.port} of ${step.segmentNamespace}`;
    case 'address':
      return `${step.namespace}: ${step.interface} has ${formatIp(step.address.address)}/${step.address.subnet.length}`;
    case 'route':
      return `${step.namespace}: ${formatCidr(step.to)} via ${formatIp(step.via)}`;
    case 'fabric':
      return `${step.namespace}: pass only what is between the ${step.addresses} addresses that machines have`;
    case 'neighbours':
      return `${step.ends.map(({ namespace }) => namespace).join(', ')}: know each other's MAC addresses`;
  }
}
