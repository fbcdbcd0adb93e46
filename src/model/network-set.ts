/**
 * NetworkSet and GlobalNetworkSet: prefixes with labels, which the selectors of rules choose as they choose endpoints.
 *
 * So a rule stays as it is while a list of networks changes. A NetworkSet is for its own namespace, a GlobalNetworkSet for all.
 * The label that tells the namespace is the system's to give: whoever could write it could put a set of their own
 * among those that another namespace trusts.
 */
import { z } from 'zod';
import type { Column } from '../lib/table.ts';
import { mapping, netField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Metadata, Resource } from './resource.ts';

/** The most members that a set of addresses in Calico's packet filter holds. */
const NETS_MAX = 1_048_576;

const NAMESPACE_LABEL = 'projectcalico.org/namespace';

const spec = mapping({ nets: z.array(netField()).max(NETS_MAX).readonly().default([]) });

type NetworkSetSpec = Readonly<z.infer<typeof spec>>;
export type NetworkSet = Resource<'NetworkSet', NetworkSetSpec>;
export type GlobalNetworkSet = Resource<'GlobalNetworkSet', NetworkSetSpec>;

function check({ metadata }: { readonly metadata: Metadata }): Problem[] {
  const label = metadata.labels?.[NAMESPACE_LABEL];
  if (label === undefined) return [];
  const message = `"${label}" cannot be set: the system gives this label; remove it, and write metadata.namespace of a NetworkSet`;
  return [{ path: ['metadata', 'labels', NAMESPACE_LABEL], message, onName: true }];
}

const columns: readonly Column<NetworkSet | GlobalNetworkSet>[] = [
  { title: 'NAME', cell: ({ metadata }) => metadata.name },
  { title: 'NETS', cell: ({ spec }) => spec.nets.join(','), wide: true },
];

export const networkSetKind = kindOf<'NetworkSet', NetworkSetSpec>({
  kind: 'NetworkSet',
  plural: 'networksets',
  shortNames: ['netset', 'netsets'],
  namespaced: true,
  spec: spec.default({ nets: [] }),
  check,
  columns,
});

export const globalNetworkSetKind = kindOf<'GlobalNetworkSet', NetworkSetSpec>({
  kind: 'GlobalNetworkSet',
  plural: 'globalnetworksets',
  shortNames: ['gns', 'gnetset', 'gnetsets'],
  namespaced: false,
  spec: spec.default({ nets: [] }),
  check,
  columns,
});
