/**
 * Namespace, as Kubernetes has it: a name under which policies, sets and endpoints stand, with labels.
 *
 * Only its labels matter here: namespaceSelectors choose by them. Its spec is Kubernetes' own bookkeeping, read so that
 * exports can be applied, and kept as it is.
 */
import { z } from 'zod';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import { formatLabels } from './metadata.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';
import { KUBERNETES_CORE } from './resource.ts';

/** RFC 1123: the longest label of a host name. */
const NAME_LENGTH_MAX = 63;

const spec = mapping({ finalizers: z.array(z.string()).readonly().exactOptional() });

export type NamespaceSpec = Readonly<z.infer<typeof spec>>;
export type Namespace = Resource<'Namespace', NamespaceSpec>;

function namespaceNameProblem(name: string): string | undefined {
  if (name.length <= NAME_LENGTH_MAX && /^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) return undefined;
  return `${quote(name)} is not the name of a namespace: 1 to ${NAME_LENGTH_MAX} lower-case letters, digits and "-", with a letter or digit at each end`;
}

export const namespaceKind = kindOf<'Namespace', NamespaceSpec>({
  kind: 'Namespace',
  apiVersion: KUBERNETES_CORE,
  plural: 'namespaces',
  shortNames: ['ns'],
  namespaced: false,
  spec: spec.default({}),
  nameProblem: namespaceNameProblem,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'LABELS', cell: ({ metadata }) => formatLabels(metadata.labels ?? {}), wide: true },
  ],
});
