/**
 * BGPConfiguration: what holds for BGP on all nodes ("default") or on one ("node.<name>").
 *
 * Fields that are absent stay absent: the one for a node overrides the default one field by field, so filling in
 * defaults here would make it override everything. `effectiveBgp` joins the two with the built-in values.
 * The AS number, the mesh and the advertised service ranges belong to the whole network and are refused on a node's.
 */
import { z } from 'zod';
import { communityField, isCommunity, passwordField, routePriorityField } from './bgp-fields.ts';
import { DEFAULT_CONFIGURATION, layerNameProblem } from './configuration-name.ts';
import { addressField, asnField, cidrField, durationField, mapping, portField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';

/** Calico's bounds, which keep generated filters and announcements to a size that peers accept. */
const COMMUNITIES_MAX = 500;
const PREFIX_ADVERTISEMENTS_MAX = 500;
const ADVERTISEMENT_COMMUNITIES_MAX = 50;

const COMMUNITY_NAME = /^[a-zA-Z0-9_.-]+$/;

const cidrList = () =>
  z
    .array(mapping({ cidr: cidrField() }))
    .readonly()
    .exactOptional();

const spec = mapping({
  logSeverityScreen: z.enum(['Trace', 'Debug', 'Info', 'Warning', 'Error', 'Fatal']).exactOptional(),
  nodeToNodeMeshEnabled: z.boolean().exactOptional(),
  asNumber: asnField().exactOptional(),
  serviceClusterIPs: cidrList(),
  serviceExternalIPs: cidrList(),
  serviceLoadBalancerIPs: cidrList(),
  serviceLoadBalancerAggregation: z.enum(['Enabled', 'Disabled']).exactOptional(),
  communities: z
    .array(
      mapping({
        name: z.string().regex(COMMUNITY_NAME, 'must be letters, digits, "_", "." and "-"'),
        value: communityField(),
      }),
    )
    .max(COMMUNITIES_MAX)
    .readonly()
    .exactOptional(),
  prefixAdvertisements: z
    .array(
      mapping({
        cidr: cidrField(),
        communities: z.array(z.string()).max(ADVERTISEMENT_COMMUNITIES_MAX).readonly().default([]),
      }),
    )
    .max(PREFIX_ADVERTISEMENTS_MAX)
    .readonly()
    .exactOptional(),
  listenPort: portField().exactOptional(),
  nodeMeshPassword: passwordField().exactOptional(),
  nodeMeshMaxRestartTime: durationField().exactOptional(),
  bindMode: z.enum(['None', 'NodeIP']).exactOptional(),
  ignoredInterfaces: z.array(z.string().min(1)).readonly().exactOptional(),
  localWorkloadPeeringIPV4: addressField(4).exactOptional(),
  localWorkloadPeeringIPV6: addressField(6).exactOptional(),
  programClusterRoutes: z.enum(['Enabled', 'Disabled', 'EnabledIPIPOnly', 'EnabledNoEncapOnly']).exactOptional(),
  ipv4NormalRoutePriority: routePriorityField().exactOptional(),
  ipv6NormalRoutePriority: routePriorityField().exactOptional(),
});

export type BgpConfigurationSpec = Readonly<z.infer<typeof spec>>;
export type BgpConfiguration = Resource<'BGPConfiguration', BgpConfigurationSpec>;

/** The name of the configuration that holds for all nodes. */
export const DEFAULT_BGP_CONFIGURATION = DEFAULT_CONFIGURATION;

/** The name of the configuration that overrides the default one on a node. */
export function nodeBgpConfigurationName(node: string): string {
  return `node.${node}`;
}

const BUILT_IN = {
  logSeverityScreen: 'Info',
  nodeToNodeMeshEnabled: true,
  asNumber: 64512,
  listenPort: 179,
  ipv4NormalRoutePriority: 1024,
  ipv6NormalRoutePriority: 1024,
} as const satisfies BgpConfigurationSpec;

/** A configuration in which every field that has a built-in value is set. */
export type EffectiveBgp = BgpConfigurationSpec & Required<Pick<BgpConfigurationSpec, keyof typeof BUILT_IN>>;

/** What holds on a node: its own configuration over the default one over the built-in values. */
export function effectiveBgp(
  everywhere: BgpConfiguration | undefined,
  node: BgpConfiguration | undefined,
): EffectiveBgp {
  return { ...BUILT_IN, ...everywhere?.spec, ...node?.spec };
}

const NETWORK_WIDE = [
  'asNumber',
  'nodeToNodeMeshEnabled',
  'nodeMeshPassword',
  'serviceClusterIPs',
  'serviceExternalIPs',
  'serviceLoadBalancerIPs',
] as const;

function check({ metadata, spec }: BgpConfiguration): Problem[] {
  const problems: Problem[] = [];
  if (metadata.name !== DEFAULT_BGP_CONFIGURATION) {
    for (const field of NETWORK_WIDE) {
      if (spec[field] === undefined) continue;
      problems.push({
        path: ['spec', field],
        message: 'holds for the whole network; set it in BGPConfiguration default',
      });
    }
  }
  if (spec.nodeMeshPassword !== undefined && spec.nodeToNodeMeshEnabled === false) {
    problems.push({ path: ['spec', 'nodeMeshPassword'], message: 'needs the mesh; set nodeToNodeMeshEnabled to true' });
  }
  if ((spec.communities?.length ?? 0) > 0 && (spec.prefixAdvertisements?.length ?? 0) === 0) {
    problems.push({
      path: ['spec', 'communities'],
      message: 'have no use without prefixAdvertisements; add one or remove them',
    });
  }
  const names = new Set(spec.communities?.map((community) => community.name));
  for (const [index, advertisement] of (spec.prefixAdvertisements ?? []).entries()) {
    for (const [place, community] of advertisement.communities.entries()) {
      if (names.has(community) || isCommunity(community)) continue;
      problems.push({
        path: ['spec', 'prefixAdvertisements', index, 'communities', place],
        message: `${quote(community)} is neither the name of one of spec.communities nor a value such as 64512:100`,
      });
    }
  }
  return problems;
}

export const bgpConfigurationKind = kindOf<'BGPConfiguration', BgpConfigurationSpec>({
  kind: 'BGPConfiguration',
  plural: 'bgpconfigurations',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  namespaced: false,
  spec: spec.default({}),
  nameProblem: layerNameProblem,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'LOGSEVERITY', cell: ({ spec }) => spec.logSeverityScreen ?? '' },
    { title: 'MESHENABLED', cell: ({ spec }) => String(spec.nodeToNodeMeshEnabled ?? '') },
    { title: 'ASNUMBER', cell: ({ spec }) => String(spec.asNumber ?? '') },
    { title: 'LISTENPORT', cell: ({ spec }) => String(spec.listenPort ?? ''), wide: true },
  ],
});
