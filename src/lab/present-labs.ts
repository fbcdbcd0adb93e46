/**
 * Which labs there are on the machine, from what is really there: directories, and namespaces by their names.
 *
 * A lab without a directory has lost its memory, but not its namespaces; it can be recognised as long as its name is known,
 * which it is for the shipped ones.
 */
import { namespaceNames } from '../kernel/network-namespace.ts';
import { namespacesOfLab } from './names.ts';
import { labNames } from './state.ts';
import { shippedLabs } from './topology-file.ts';

/** The namespaces that belong to this lab and to no other one that is there or is shipped. */
export function labNamespaces(lab: string): string[] {
  const others = [...labNames(), ...shippedLabs()].filter((other) => other !== lab);
  return namespacesOfLab(lab, namespaceNames(), others);
}

/** Labs of which something is there: those with a directory, and shipped ones that have left namespaces behind. */
export function presentLabs(): string[] {
  const leftBehind = shippedLabs().filter((lab) => labNamespaces(lab).length > 0);
  return [...new Set([...labNames(), ...leftBehind])].sort();
}
