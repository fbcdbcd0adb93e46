/**
 * Which lab, host or workload a command means, when the user may leave the lab's name out.
 *
 * With one lab running there is no doubt; with several, the answer is an error that lists them, never a guess.
 */
import { namespaceNames } from '../kernel/network-namespace.ts';
import { LabError } from './lab-error.ts';
import { namespaceOf } from './names.ts';
import { presentLabs } from './present-labs.ts';
import { type Lab, readLab } from './state.ts';
import { entities, type Host } from './topology.ts';
import { suggestion } from './wording.ts';

/** The lab called `name` or, without a name, the only one there is. Throws LabError `notFound` or `conflict`. */
export function findLab(name: string | undefined): Lab {
  const chosen = name ?? theOnlyLab();
  const lab = readLab(chosen);
  if (lab !== undefined) return lab;
  if (presentLabs().includes(chosen)) {
    throw new LabError('failed', `the lab ${chosen} has lost its state; to remove it: muslin lab down ${chosen}`);
  }
  throw new LabError(
    'notFound',
    `no lab "${chosen}" is up${suggestion(chosen, presentLabs())}; to start it: muslin lab up`,
  );
}

/** The name of the only lab that is there, running or left behind. Throws LabError `notFound` or `conflict`. */
export function theOnlyLab(): string {
  const names = presentLabs();
  const [only] = names;
  if (only === undefined) throw new LabError('notFound', 'no lab is up; to start one: muslin lab up two-hosts');
  if (names.length === 1) return only;
  throw new LabError('conflict', `several labs are up: ${names.join(', ')}; say which, as NAME or --lab NAME`);
}

/** The host of that name. Throws LabError `notFound` with those there are. */
export function findHost(lab: Lab, name: string): Host {
  const host = lab.topology.hosts.find((candidate) => candidate.name === name);
  if (host !== undefined) return host;
  const names = lab.topology.hosts.map((candidate) => candidate.name);
  throw new LabError('notFound', `the lab ${lab.state.name} has no host "${name}"${suggestion(name, names)}`);
}

export interface Entity {
  readonly name: string;
  readonly kind: 'segment' | 'host' | 'router' | 'workload';
  readonly namespace: string;
}

/** Everything in the lab that one can enter: what the topology has, with the workloads as they are now. */
export function labEntities(lab: Lab): Entity[] {
  const { name, workloads } = lab.state;
  const machines = [...entities(lab.topology)].filter(([, kind]) => kind !== 'workload');
  const kinds = [...machines, ...Object.keys(workloads).map((workload) => [workload, 'workload'] as const)];
  return kinds.map(([entity, kind]) => ({ name: entity, kind, namespace: namespaceOf(name, entity) }));
}

/** The entity of that name, whose namespace is there. Throws LabError `notFound` with the list. */
export function findEntity(lab: Lab, name: string): Entity {
  const known = labEntities(lab);
  const entity = known.find((candidate) => candidate.name === name);
  if (entity === undefined) {
    const list = known.map((candidate) => `  ${candidate.name} (${candidate.kind})`).join('\n');
    throw new LabError('notFound', `the lab ${lab.state.name} has no "${name}"; there is:\n${list}`);
  }
  if (namespaceNames().includes(entity.namespace)) return entity;
  throw new LabError('notFound', `the namespace ${entity.namespace} is gone; to start over: muslin lab down, lab up`);
}
