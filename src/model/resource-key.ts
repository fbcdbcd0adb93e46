/**
 * Where a resource lies in the store, and the names that follow from what they name.
 *
 *   /resources/<Kind>/<name>                  /resources/<Kind>/<namespace>/<name>
 *
 * Names and namespaces never hold a slash, so a key reads back without doubt, and `/resources/<Kind>/` lists a kind.
 */
import type { Metadata } from './resource.ts';

/** Under which all resources lie in the store. */
export const RESOURCES_PREFIX = '/resources/';

export interface ResourceId {
  readonly kind: string;
  readonly name: string;
  /** Only for namespaced kinds. */
  readonly namespace?: string;
}

/** The prefix under which all objects of a kind lie, or those in one of its namespaces. */
export function kindPrefix(kind: string, namespace?: string): string {
  return namespace === undefined ? `${RESOURCES_PREFIX}${kind}/` : `${RESOURCES_PREFIX}${kind}/${namespace}/`;
}

export function resourceKey(id: ResourceId): string {
  return `${kindPrefix(id.kind, id.namespace)}${id.name}`;
}

/** The key of a resource that is at hand. */
export function keyOf(resource: { readonly kind: string; readonly metadata: Metadata }): string {
  return resourceKey({ kind: resource.kind, ...resource.metadata });
}

/** What lies under `key`; undefined when it is no key of a resource. */
export function parseResourceKey(key: string): ResourceId | undefined {
  const parts = key.startsWith(RESOURCES_PREFIX) ? key.slice(RESOURCES_PREFIX.length).split('/') : [];
  const [kind, first, second] = parts;
  if (kind === undefined || first === undefined || parts.includes('') || parts.length > 3) return undefined;
  return second === undefined ? { kind, name: first } : { kind, namespace: first, name: second };
}

/** For people, and to tell resources of several kinds apart: "NetworkPolicy shop/db", "Tier security". */
export function formatResourceId({ kind, namespace, name }: ResourceId): string {
  return namespace === undefined ? `${kind} ${name}` : `${kind} ${namespace}/${name}`;
}

/** The name of a block: its canonical cidr with dashes, "172-17-8-0-24". No two prefixes share one. */
export function cidrName(cidr: string): string {
  return cidr.replaceAll(/[.:/]/g, '-');
}

/** The name of a node's claim to a block: "host-a-172-17-8-0-24". */
export function blockAffinityName(node: string, cidr: string): string {
  return `${node}-${cidrName(cidr)}`;
}
