/**
 * Names of configurations: their name says for whom they hold.
 *
 * Some are one for the whole network and are called "default". Others can besides be made for one node, as "node.NAME", and
 * then override the default one field by field.
 */
import { nameProblem } from './fields.ts';
import { quote } from './problem.ts';

/** The name of the configuration that holds everywhere. */
export const DEFAULT_CONFIGURATION = 'default';

const NODE_PREFIX = 'node.';

/** What is wrong with the name of a kind of which there is one for the whole network. */
export function soleNameProblem(name: string): string | undefined {
  return name === DEFAULT_CONFIGURATION ? undefined : `${quote(name)} must be "default"; there is one for all nodes`;
}

/** Whether the name is that of a configuration for all nodes or for one. */
export function isLayerName(name: string): boolean {
  return name === DEFAULT_CONFIGURATION || name.startsWith(NODE_PREFIX);
}

/** What is wrong with the name of a kind that can be made for all nodes and for one. */
export function layerNameProblem(name: string): string | undefined {
  if (isLayerName(name)) return nameProblem(name);
  return `${quote(name)} is neither "default" (for all nodes) nor "node.NAME" (for one node)`;
}
