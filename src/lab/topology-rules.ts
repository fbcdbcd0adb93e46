/**
 * What must hold between the parts of a topology file: names that refer to something, addresses that are given once.
 *
 * Pure: a document whose fields are each well-formed goes in, everything that is wrong with it as a whole comes out, each
 * with the path of the field that is to be changed. All problems are found at once.
 */
import { type Cidr, containsIp, formatCidr, overlaps } from '../net/cidr.ts';
import { formatIp, type Ip } from '../net/ip.ts';
import type { TopologyDocument } from './topology-schema.ts';
import { suggestion } from './wording.ts';

export interface Problem {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

/** Everything that is wrong between fields; empty when nothing is. */
export function brokenRules(document: TopologyDocument): Problem[] {
  return [
    ...namesGivenTwice(document),
    ...danglingReferences(document),
    ...addressesGivenTwice(document),
    ...overlappingBlocks(document),
    ...unreachableGateways(document),
    ...(Object.keys(document.hosts).length === 0
      ? [{ path: ['hosts'], message: 'a lab has at least one host; write it under its name' }]
      : []),
  ];
}

/** Machines with links: hosts and routers alike, with where they stand in the file. */
function machines(document: TopologyDocument) {
  return [
    ...Object.entries(document.hosts).map(([name, { links, addresses }]) => ({
      path: ['hosts', name],
      links,
      addresses,
    })),
    ...Object.entries(document.routers).map(([name, { links, addresses }]) => ({
      path: ['routers', name],
      links,
      addresses,
    })),
  ];
}

/** Segments, hosts, routers and workloads share the namespace names, so one name may be given once only. */
function namesGivenTwice(document: TopologyDocument): Problem[] {
  return repeated([
    ...document.segments.map((name, index) => ({ path: ['segments', index], value: name })),
    ...(['hosts', 'routers', 'workloads'] as const).flatMap((kind) =>
      Object.keys(document[kind]).map((name) => ({ path: [kind, name], value: name })),
    ),
  ]);
}

function addressesGivenTwice(document: TopologyDocument): Problem[] {
  const ofMachines = machines(document).flatMap(({ path, links, addresses }) => [
    ...addresses.map(({ address }, index) => ({ path: [...path, 'addresses', index], value: formatIp(address) })),
    ...Object.entries(links).flatMap(([name, plug]) =>
      plug.addresses.map(({ address }, index) => ({
        path: [...path, 'links', name, 'addresses', index],
        value: formatIp(address),
      })),
    ),
  ]);
  const ofWorkloads = Object.entries(document.workloads).flatMap(([name, { addresses }]) =>
    addresses.map((address, index) => ({ path: ['workloads', name, 'addresses', index], value: formatIp(address) })),
  );
  return repeated([...ofMachines, ...ofWorkloads]);
}

function repeated(uses: readonly { path: PropertyKey[]; value: string }[]): Problem[] {
  const first = new Map<string, PropertyKey[]>();
  return uses.flatMap(({ path, value }) => {
    const before = first.get(value);
    first.set(value, before ?? path);
    return before === undefined
      ? []
      : [{ path, message: `"${value}" is already given to ${before.join('.')}; each one needs its own` }];
  });
}

function danglingReferences(document: TopologyDocument): Problem[] {
  const hosts = Object.keys(document.hosts);
  const addressed = [...hosts, ...Object.keys(document.routers), ...Object.keys(document.workloads)];
  const refer = (path: PropertyKey[], kind: string, name: string, known: readonly string[]): Problem[] =>
    known.includes(name) ? [] : [{ path, message: `there is no ${kind} "${name}"${suggestion(name, known)}` }];
  return [
    ...machines(document).flatMap(({ path, links }) =>
      Object.entries(links).flatMap(([name, { segment }]) =>
        refer([...path, 'links', name, 'segment'], 'segment', segment, document.segments),
      ),
    ),
    ...Object.entries(document.workloads).flatMap(([name, { host }]) =>
      refer(['workloads', name, 'host'], 'host', host, hosts),
    ),
    ...document.checks.flatMap((check, index) => {
      const path = ['checks', index];
      const unknown = namesIn(check).flatMap(({ field, name, hostOnly }) =>
        hostOnly
          ? refer([...path, ...field], 'host', name, hosts)
          : refer([...path, ...field], 'host, router or workload', name, addressed),
      );
      return [...unknown, ...(check.unreachable === undefined ? [] : pingsOfOneself(path, check.unreachable))];
    }),
  ];
}

/** The names that a check is about, each with where it stands in the check. */
function namesIn({ reach, unreachable, sessions, route, neighbour }: TopologyDocument['checks'][number]) {
  return [
    ...(reach ?? []).map((name, place) => ({ field: ['reach', place], name, hostOnly: false })),
    ...(unreachable === undefined ? [] : (['from', 'to'] as const)).map((end) => ({
      field: ['unreachable', end],
      name: unreachable?.[end] ?? '',
      hostOnly: false,
    })),
    ...(sessions === undefined ? [] : [{ field: ['sessions', 'on'], name: sessions.on, hostOnly: true }]),
    ...(route === undefined ? [] : [{ field: ['route', 'on'], name: route.on, hostOnly: false }]),
    ...(neighbour === undefined ? [] : [{ field: ['neighbour', 'on'], name: neighbour.on, hostOnly: false }]),
  ];
}

function pingsOfOneself(path: PropertyKey[], { from, to }: { readonly from: string; readonly to: string }): Problem[] {
  if (from !== to) return [];
  return [{ path: [...path, 'unreachable', 'to'], message: `"${to}" is where the pings start; write another one` }];
}

/** A block has one owner. */
function overlappingBlocks(document: TopologyDocument): Problem[] {
  const seen: { block: Cidr; host: string }[] = [];
  return Object.entries(document.hosts).flatMap(([host, { blocks }]) =>
    blocks.flatMap((block, index) => {
      const other = seen.find((earlier) => overlaps(earlier.block, block));
      seen.push({ block, host });
      if (other === undefined) return [];
      const message = `${formatCidr(block)} overlaps ${formatCidr(other.block)} of ${other.host}; a block has one owner`;
      return [{ path: ['hosts', host, 'blocks', index], message }];
    }),
  );
}

/** A gateway must be in a subnet of one of the machine's links, and a host has one default gateway a family. */
function unreachableGateways(document: TopologyDocument): Problem[] {
  const attached = (links: TopologyDocument['hosts'][string]['links'], gateway: Ip) =>
    Object.values(links).some((plug) => plug.addresses.some(({ subnet }) => containsIp(subnet, gateway)));
  const outside = (path: PropertyKey[], gateway: Ip): Problem => ({
    path,
    message: `${formatIp(gateway)} is in no subnet of the machine's links; a gateway is a neighbour`,
  });
  const ofHosts = Object.entries(document.hosts).flatMap(([name, { links, gateways }]) =>
    gateways.flatMap((gateway, index) => {
      const path = ['hosts', name, 'gateways', index];
      const twice = gateways.slice(0, index).some(({ family }) => family === gateway.family);
      if (twice)
        return [{ path, message: `a second default gateway for IPv${gateway.family}; one a family is enough` }];
      return attached(links, gateway) ? [] : [outside(path, gateway)];
    }),
  );
  const ofRouters = Object.entries(document.routers).flatMap(([name, { links, routes }]) =>
    routes.flatMap(({ via }, index) =>
      attached(links, via) ? [] : [outside(['routers', name, 'routes', index, 'via'], via)],
    ),
  );
  return [...ofHosts, ...ofRouters];
}
