/**
 * CalicoNodeStatus: a request that a node keep reporting how it is.
 *
 * `classes` says what to report: the agent, its BGP sessions, its routes. The report goes into `status`, which is the
 * system's to write and is dropped from documents.
 */
import { z } from 'zod';
import { mapping, nameField } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import { quote } from './problem.ts';
import type { Resource } from './resource.ts';

/** Calico's bound, a day; 0 turns the reports off. */
const UPDATE_PERIOD_SECONDS_MAX = 86_400;

const CLASSES = ['Agent', 'BGP', 'Routes'] as const;

const spec = mapping({
  node: nameField(),
  classes: z.array(z.enum(CLASSES)).min(1).readonly(),
  updatePeriodSeconds: z.int().min(0).max(UPDATE_PERIOD_SECONDS_MAX),
});

export type CalicoNodeStatusSpec = Readonly<z.infer<typeof spec>>;
export type CalicoNodeStatus = Resource<'CalicoNodeStatus', CalicoNodeStatusSpec>;

function check({ spec }: CalicoNodeStatus): Problem[] {
  return spec.classes.flatMap((name, index) =>
    spec.classes.indexOf(name) === index
      ? []
      : [{ path: ['spec', 'classes', index], message: `${quote(name)} is there already; remove it` }],
  );
}

export const calicoNodeStatusKind = kindOf<'CalicoNodeStatus', CalicoNodeStatusSpec>({
  kind: 'CalicoNodeStatus',
  plural: 'caliconodestatuses',
  shortNames: ['nodestatus'],
  namespaced: false,
  spec,
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'NODE', cell: ({ spec }) => spec.node },
    { title: 'CLASSES', cell: ({ spec }) => spec.classes.join(',') },
    { title: 'PERIOD', cell: ({ spec }) => `${spec.updatePeriodSeconds}s`, wide: true },
  ],
});
