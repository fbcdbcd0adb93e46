/**
 * BlockAffinity: the claim of a node to a block.
 *
 * Written before the block and removed after it, in three states, so that a crash at any point leaves a claim from which
 * the next run can go on: `pending` (about to make the block), `confirmed` (the block exists and is ours),
 * `pendingDeletion` (about to give it up). The name follows from node and cidr (resource-key.ts).
 */
import { z } from 'zod';
import { cidrField, mapping, nameField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';
import { blockAffinityName } from './resource-key.ts';

const spec = mapping({
  node: nameField(),
  cidr: cidrField(),
  state: z.enum(['pending', 'confirmed', 'pendingDeletion']),
  deleted: z.boolean().default(false),
});

export type BlockAffinitySpec = Readonly<z.infer<typeof spec>>;
export type BlockAffinity = Resource<'BlockAffinity', BlockAffinitySpec>;

function check({ metadata, spec }: BlockAffinity): Problem[] {
  const name = blockAffinityName(spec.node, spec.cidr);
  return metadata.name === name
    ? []
    : [{ path: ['metadata', 'name'], message: `must be ${name}, after node and cidr` }];
}

export const blockAffinityKind = kindOf<'BlockAffinity', BlockAffinitySpec>({
  kind: 'BlockAffinity',
  plural: 'blockaffinities',
  shortNames: ['affinity', 'affinities'],
  namespaced: false,
  writeRefusal: 'it is a claim of a node to a block; agents make and drop claims themselves',
  spec,
  // The name joins two others, so it may be longer than either; `check` ties it to them.
  nameProblem: () => undefined,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'NODE', cell: ({ spec }) => spec.node },
    { title: 'CIDR', cell: ({ spec }) => spec.cidr },
    { title: 'STATE', cell: ({ spec }) => spec.state },
  ],
});
