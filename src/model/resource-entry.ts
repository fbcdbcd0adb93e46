/**
 * Resources as the store keeps them.
 *
 * The value under a key is the resource without `resourceVersion`: that is the entry's own revision, in text, and is put in
 * when an entry is read. An entry whose value is not a valid resource (written by another version, or by another
 * hand) is reported as such; readers treat it as absent, and say so, rather than fail altogether.
 */
import type { Json } from '../lib/json.ts';
import { isJsonObject } from '../lib/json.ts';
import type { AnyResource, KindName } from './kinds.ts';
import { documentOf } from './kinds.ts';
import type { Problem } from './problem.ts';
import { formatPath } from './problem.ts';
import type { Metadata } from './resource.ts';
import { keyOf } from './resource-key.ts';
import { validateResource } from './validate.ts';

/** An entry of the store, as far as it matters here (store.ts has the whole). */
export interface StoredEntry {
  readonly key: string;
  readonly value: unknown;
  readonly revision: number;
}

export type EntryReading =
  | { readonly ok: true; readonly resource: AnyResource }
  | { readonly ok: false; readonly problem: string };

/** The resource in an entry, with the entry's revision as its resourceVersion. */
export function resourceOfEntry(entry: StoredEntry): EntryReading {
  const validated = validateResource(entry.value);
  if (!validated.ok) return { ok: false, problem: `${entry.key}: ${validated.problems.map(formatProblem).join('; ')}` };
  const { resource } = validated;
  if (keyOf(resource) !== entry.key) return { ok: false, problem: `${entry.key}: holds ${keyOf(resource)}` };
  return { ok: true, resource: withMetadata(resource, { resourceVersion: String(entry.revision) }) };
}

/** The resource in an entry when it is valid and of this kind, else undefined. */
export function entryOfKind<Name extends KindName>(
  kind: Name,
  entry: StoredEntry,
): Extract<AnyResource, { readonly kind: Name }> | undefined {
  const reading = resourceOfEntry(entry);
  if (!reading.ok || reading.resource.kind !== kind) return undefined;
  // `kind` tells the members of the union apart, which the compiler does not see through the type parameter.
  return reading.resource as Extract<AnyResource, { readonly kind: Name }>;
}

/** The value to store for a resource. */
export function valueOfResource(resource: AnyResource): Json {
  const { resourceVersion: _, ...metadata } = resource.metadata;
  return withoutUndefined({ ...documentOf(resource), metadata });
}

/** A resource that is about to be created, with its identity: a random `uid`, and the time as RFC 3339 text. */
export function withIdentity<R extends AnyResource>(resource: R, uid: string, creationTimestamp: string): R {
  return withMetadata(resource, { uid, creationTimestamp });
}

/** The same resource with some of its metadata replaced. */
export function withMetadata<R extends AnyResource>(resource: R, metadata: Partial<Metadata>): R {
  return { ...resource, metadata: { ...resource.metadata, ...metadata } };
}

function formatProblem({ path, message }: Problem): string {
  return `${formatPath(path)}: ${message}`;
}

/** JSON of a value that is JSON but for members that are undefined; those are left out. */
function withoutUndefined(value: unknown): Json {
  if (Array.isArray(value)) return value.map(withoutUndefined);
  if (isJsonObject(value)) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return Object.fromEntries(members.map(([name, member]) => [name, withoutUndefined(member)]));
  }
  // Resources are made by schemas that let through only JSON's own types, so what is left is a scalar.
  return value as Json;
}
