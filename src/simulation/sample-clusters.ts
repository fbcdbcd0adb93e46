/**
 * Clusters of any size as resources: what simulations, measurements and their tests are run on.
 *
 * `mesh` is Calico's default. `reflectors` are nodes without containers, in pairs; each pair serves its part of the hosts, and
 * the pairs know each other. `racks` have an AS each: a switch that reflects inside and speaks eBGP to the other switches over
 * a core of layer 2. Host number i has block number i of the pool, and `containers` endpoints in it.
 */
import type { AnyResource } from '../model/kinds.ts';
import { blockAffinityName, cidrName } from '../model/resource-key.ts';
import type { Cidr } from '../net/cidr.ts';
import { addressIn, cidr, formatCidr, subPrefix } from '../net/cidr.ts';
import { formatIp } from '../net/ip.ts';

const API_VERSION = 'projectcalico.org/v3';
const POOL = cidr('172.16.0.0/12');
const BLOCK_LENGTH = 26;
const BLOCK_ADDRESSES = 64;
/** All hosts are in one subnet, with one network's worth of addresses for each kind. */
const HOSTS = cidr('10.0.0.0/10');
const REFLECTORS = cidr('10.64.0.0/10');
const SWITCHES = cidr('10.128.0.0/10');
const SUBNET_LENGTH = 8;
/** Private AS numbers of four octets (RFC 6996). */
const FIRST_RACK_ASN = 4_200_000_001;

export type ClusterShape =
  | { readonly kind: 'mesh' }
  | { readonly kind: 'reflectors'; readonly pairs: number }
  | { readonly kind: 'racks'; readonly hostsPerRack: number };

export interface SampleOptions {
  readonly hosts: number;
  readonly shape: ClusterShape;
  /** On each host. */
  readonly containers?: number;
}

export function sampleCluster({ hosts, shape, containers = 0 }: SampleOptions): AnyResource[] {
  const numbers = Array.from({ length: hosts }, (_, number) => number);
  return [
    pool(),
    ...topology(shape, hosts),
    ...numbers.map((number) => host(number, shape, hosts)),
    ...numbers.flatMap((number) => containersOf(number, containers)),
  ];
}

export function hostName(number: number): string {
  return `host-${String(number).padStart(4, '0')}`;
}

/** The prefix of a host's block, in text. */
export function hostBlock(number: number): string {
  return formatCidr(blockPrefix(number));
}

function blockPrefix(number: number): Cidr {
  return subPrefix(POOL, BLOCK_LENGTH, number);
}

function pool(): AnyResource {
  const spec = {
    cidr: formatCidr(POOL),
    blockSize: BLOCK_LENGTH,
    ipipMode: 'Never',
    vxlanMode: 'Never',
    natOutgoing: false,
    disabled: false,
    disableBGPExport: false,
    nodeSelector: 'all()',
    assignmentMode: 'Automatic',
    allowedUses: ['Workload', 'Tunnel'],
  };
  return resource('IPPool', 'containers', spec);
}

function host(number: number, shape: ClusterShape, hosts: number): AnyResource {
  const part =
    shape.kind === 'racks'
      ? rackOf(number, shape.hostsPerRack)
      : shape.kind === 'reflectors'
        ? Math.floor((number * shape.pairs) / hosts)
        : 0;
  const bgp = {
    ipv4Address: `${formatIp(addressIn(HOSTS, number + 1))}/${SUBNET_LENGTH}`,
    ...(shape.kind === 'racks' && { asNumber: FIRST_RACK_ASN + part }),
  };
  return resource('Node', hostName(number), { bgp }, { role: 'host', part: String(part) });
}

function rackOf(number: number, hostsPerRack: number): number {
  return Math.floor(number / hostsPerRack);
}

function topology(shape: ClusterShape, hosts: number): AnyResource[] {
  switch (shape.kind) {
    case 'mesh':
      return [];
    case 'reflectors':
      return [...noMesh(), ...reflectors(shape.pairs)];
    case 'racks':
      return [...noMesh(), ...switches(Math.ceil(hosts / shape.hostsPerRack))];
  }
}

function noMesh(): AnyResource[] {
  return [resource('BGPConfiguration', 'default', { nodeToNodeMeshEnabled: false })];
}

function reflectors(pairs: number): AnyResource[] {
  const nodes = Array.from({ length: 2 * pairs }, (_, number) => {
    const address = formatIp(addressIn(REFLECTORS, number + 1));
    const part = Math.floor(number / 2);
    const bgp = { ipv4Address: `${address}/${SUBNET_LENGTH}`, routeReflectorClusterID: `0.0.0.${part + 1}` };
    return resource('Node', `reflector-${number}`, { bgp }, { role: 'reflector', part: String(part) });
  });
  const peers = Array.from({ length: pairs }, (_, part) =>
    between(`part-${part}`, `role == "host" && part == "${part}"`, `role == "reflector" && part == "${part}"`),
  );
  return [...nodes, ...peers, between('reflectors', 'role == "reflector"', 'role == "reflector"')];
}

function switches(racks: number): AnyResource[] {
  const numbers = Array.from({ length: racks }, (_, rack) => rack);
  const nodes = numbers.map((rack) => {
    const bgp = {
      ipv4Address: `${formatIp(addressIn(SWITCHES, rack + 1))}/${SUBNET_LENGTH}`,
      asNumber: FIRST_RACK_ASN + rack,
      routeReflectorClusterID: '0.0.0.1',
    };
    return resource('Node', `switch-${rack}`, { bgp }, { role: 'switch', part: String(rack) });
  });
  const peers = numbers.map((rack) => {
    const inside = [`role == "host" && part == "${rack}"`, `role == "switch" && part == "${rack}"`] as const;
    return between(`rack-${rack}`, ...inside, { nextHopMode: 'Self' });
  });
  return [...nodes, ...peers, between('core', 'role == "switch"', 'role == "switch"')];
}

function between(name: string, nodeSelector: string, peerSelector: string, more: object = {}): AnyResource {
  return resource('BGPPeer', name, { nodeSelector, peerSelector, sourceAddress: 'UseNodeIP', ...more });
}

/** A host's block, and as many endpoints in it. */
export function containersOf(number: number, containers: number): AnyResource[] {
  const node = hostName(number);
  const prefix = blockPrefix(number);
  const text = formatCidr(prefix);
  const ordinals = Array.from({ length: BLOCK_ADDRESSES }, (_, ordinal) => ordinal);
  const isUsed = (ordinal: number): boolean => ordinal > 0 && ordinal <= containers;
  const block = {
    cidr: text,
    affinity: `host:${node}`,
    allocations: ordinals.map((ordinal) => (isUsed(ordinal) ? 0 : null)),
    unallocated: ordinals.filter((ordinal) => !isUsed(ordinal)),
    attributes: containers > 0 ? [{ handle_id: `containers.${node}`, secondary: {} }] : [],
    deleted: false,
  };
  const affinity = { node, cidr: text, state: 'confirmed', deleted: false };
  const endpoints = ordinals.filter(isUsed).map((ordinal) => {
    const name = `${node.replaceAll('-', '--')}-cni-c${ordinal}-eth0`;
    const spec = {
      node,
      orchestrator: 'cni',
      workload: '',
      pod: `c${ordinal}`,
      containerID: `c${ordinal}`,
      endpoint: 'eth0',
      interfaceName: `cali${number.toString(16).padStart(5, '0')}${ordinal.toString(16).padStart(3, '0')}`,
      ipNetworks: [`${formatIp(addressIn(prefix, ordinal))}/32`],
      profiles: ['projectcalico-default-allow'],
    };
    return resource('WorkloadEndpoint', name, spec, { app: `app-${ordinal % 10}` }, 'default');
  });
  return [
    resource('IPAMBlock', cidrName(text), block),
    resource('BlockAffinity', blockAffinityName(node, text), affinity),
    ...endpoints,
  ];
}

function resource(
  kind: AnyResource['kind'],
  name: string,
  spec: object,
  labels?: Readonly<Record<string, string>>,
  namespace?: string,
): AnyResource {
  const metadata = { name, ...(labels && { labels }), ...(namespace !== undefined && { namespace }) };
  // A test has all of them validated (sample-clusters.test.ts); here thousands are made as they are.
  return { apiVersion: API_VERSION, kind, metadata, spec } as AnyResource;
}
