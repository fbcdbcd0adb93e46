/**
 * WorkloadEndpoint: one network interface of one container, with its addresses and the labels that policy sees.
 *
 * The agent writes it when the runtime asks for the container's network and removes it afterwards. `interfaceName` is the
 * host end of the veth pair; `ipNetworks` are the container's own addresses, always single ones (/32, /128);
 * `ipNATs` give it floating addresses, each in front of one of its own.
 */
import { z } from 'zod';
import { cidr } from '../net/cidr.ts';
import { formatIp, ip } from '../net/ip.ts';
import {
  addressField,
  cidrField,
  hostCidrField,
  interfaceNameField,
  macField,
  mapping,
  nameField,
  portField,
} from './fields.ts';
import { kindOf } from './kind.ts';
import { SERVICE_ADDRESS_LABEL, SERVICE_ADDRESSES_ANNOTATION } from './metadata.ts';
import type { Problem } from './problem.ts';
import { portNameField, protocolField } from './protocol.ts';
import type { Resource } from './resource.ts';

const port = mapping({
  name: portNameField().exactOptional(),
  protocol: protocolField(),
  port: portField(),
  hostPort: z.int().min(0).max(65535).exactOptional(),
  hostIP: addressField().exactOptional(),
});

const amount = () => z.int().min(0).exactOptional();

const qosControls = mapping({
  ingressBandwidth: amount(),
  egressBandwidth: amount(),
  ingressBurst: amount(),
  egressBurst: amount(),
  ingressPeakrate: amount(),
  egressPeakrate: amount(),
  ingressMinburst: amount(),
  egressMinburst: amount(),
  ingressPacketRate: amount(),
  egressPacketRate: amount(),
  ingressPacketBurst: amount(),
  egressPacketBurst: amount(),
  ingressMaxConnections: amount(),
  egressMaxConnections: amount(),
  dscp: z
    .union([z.int().min(0).max(63), z.string()], { error: 'must be a number from 0 to 63, or a name such as AF11' })
    .exactOptional(),
});

const spec = mapping({
  orchestrator: z.string().exactOptional(),
  node: nameField(),
  containerID: z.string().exactOptional(),
  pod: z.string().exactOptional(),
  workload: z.string().exactOptional(),
  endpoint: z.string().exactOptional(),
  serviceAccountName: z.string().exactOptional(),
  ipNetworks: z.array(hostCidrField()).readonly().default([]),
  ipNATs: z
    .array(mapping({ internalIP: addressField(), externalIP: addressField() }))
    .readonly()
    .exactOptional(),
  ipv4Gateway: addressField(4).exactOptional(),
  ipv6Gateway: addressField(6).exactOptional(),
  profiles: z.array(nameField()).readonly().exactOptional(),
  interfaceName: interfaceNameField(),
  mac: macField().exactOptional(),
  ports: z.array(port).readonly().exactOptional(),
  allowSpoofedSourcePrefixes: z.array(cidrField()).readonly().exactOptional(),
  qosControls: qosControls.exactOptional(),
});

export type WorkloadEndpointSpec = Readonly<z.infer<typeof spec>>;
export type WorkloadEndpoint = Resource<'WorkloadEndpoint', WorkloadEndpointSpec>;

function check({ spec }: WorkloadEndpoint): Problem[] {
  const problems: Problem[] = [];
  const own = spec.ipNetworks.map((network) => formatIp(cidr(network).address));
  for (const [index, { internalIP, externalIP }] of (spec.ipNATs ?? []).entries()) {
    if (!own.includes(internalIP)) {
      const message = `"${internalIP}" is not an address of this endpoint; ipNetworks has ${own.join(', ') || 'none'}`;
      problems.push({ path: ['spec', 'ipNATs', index, 'internalIP'], message });
    }
    if (ip(internalIP).family !== ip(externalIP).family) {
      const message = `"${externalIP}" is of another family than "${internalIP}"; both must be IPv4 or both IPv6`;
      problems.push({ path: ['spec', 'ipNATs', index, 'externalIP'], message });
    }
  }
  return problems;
}

/** The annotation is JSON, which is read in earnest where it counts. */
function servicesText({ labels, annotations }: WorkloadEndpoint['metadata']): string {
  const listed = annotations?.[SERVICE_ADDRESSES_ANNOTATION]?.replaceAll(/[[\]"\s]/g, '') ?? '';
  return [
    ...(listed === '' ? [] : [listed]),
    ...(labels?.[SERVICE_ADDRESS_LABEL] ? [labels[SERVICE_ADDRESS_LABEL]] : []),
  ].join();
}

export const workloadEndpointKind = kindOf<'WorkloadEndpoint', WorkloadEndpointSpec>({
  kind: 'WorkloadEndpoint',
  plural: 'workloadendpoints',
  shortNames: ['wep', 'weps'],
  namespaced: true,
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'WORKLOAD', cell: ({ spec }) => spec.pod ?? spec.workload ?? '' },
    { title: 'NODE', cell: ({ spec }) => spec.node },
    { title: 'NETWORKS', cell: ({ spec }) => spec.ipNetworks.join(',') },
    { title: 'INTERFACE', cell: ({ spec }) => spec.interfaceName },
    { title: 'PROFILES', cell: ({ spec }) => (spec.profiles ?? []).join(','), wide: true },
    { title: 'SERVICES', cell: ({ metadata }) => servicesText(metadata), wide: true },
    { title: 'NATS', cell: ({ spec }) => (spec.ipNATs ?? []).map((nat) => nat.externalIP).join(','), wide: true },
  ],
});
