/**
 * ClusterInformation: what the network is as a whole, one object called "default".
 *
 * It tells installations apart by `clusterGUID`. While `datastoreReady` is false the store is locked, for a migration:
 * nothing may be assigned or written by agents until it is true again.
 */
import { z } from 'zod';
import { soleNameProblem } from './configuration-name.ts';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Resource } from './resource.ts';

const spec = mapping({
  clusterGUID: z.string().exactOptional(),
  /** Words with commas between them, such as "typha,kdd". */
  clusterType: z.string().exactOptional(),
  calicoVersion: z.string().exactOptional(),
  datastoreReady: z.boolean().exactOptional(),
  variant: z.string().exactOptional(),
});

export type ClusterInformationSpec = Readonly<z.infer<typeof spec>>;
export type ClusterInformation = Resource<'ClusterInformation', ClusterInformationSpec>;

export const clusterInformationKind = kindOf<'ClusterInformation', ClusterInformationSpec>({
  kind: 'ClusterInformation',
  plural: 'clusterinformations',
  shortNames: ['clusterinfo', 'clusterinfos'],
  namespaced: false,
  spec: spec.default({}),
  nameProblem: soleNameProblem,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'GUID', cell: ({ spec }) => spec.clusterGUID ?? '' },
    { title: 'READY', cell: ({ spec }) => String(spec.datastoreReady ?? '') },
    { title: 'TYPE', cell: ({ spec }) => spec.clusterType ?? '', wide: true },
    { title: 'VERSION', cell: ({ spec }) => spec.calicoVersion ?? '', wide: true },
  ],
});
