/**
 * From a raw object to a resource: shape, defaults, names, and the rules that join fields.
 *
 * The one way in, for documents of users (documents.ts) and for what the store holds (resource-entry.ts). All problems come
 * at once; the rules that join fields run only when every field is right by itself.
 */
import { assert } from '../lib/assert.ts';
import { isJsonObject } from '../lib/json.ts';
import { nameProblem } from './fields.ts';
import type { Kind } from './kind.ts';
import type { AnyResource } from './kinds.ts';
import { kindsNamed, unknownKindMessage } from './kinds.ts';
import { metadataSchema } from './metadata.ts';
import { suggestion } from './near-miss.ts';
import type { Path, Problem } from './problem.ts';
import { problemsOf, quote } from './problem.ts';
import type { Metadata } from './resource.ts';

export type Validated =
  | { readonly ok: true; readonly resource: AnyResource; readonly kind: Kind }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** `status` is the system's to write: it may be there, and is dropped. */
const TOP_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

/** Where a namespaced resource is whose document does not say. */
export const DEFAULT_NAMESPACE = 'default';

/**
 * The resource that `raw` (parsed JSON or YAML) describes, with defaults filled in, or all that is wrong with it. A namespaced
 * one that does not say where it is, is in `namespace`.
 */
export function validateResource(raw: unknown, namespace = DEFAULT_NAMESPACE): Validated {
  if (!isJsonObject(raw)) return refused({ path: [], message: `must be a resource, not ${quote(raw)}` });
  const kinds = typeof raw['kind'] === 'string' ? kindsNamed(raw['kind']) : [];
  const [first, ...others] = kinds;
  if (first === undefined) {
    const message =
      typeof raw['kind'] === 'string' ? unknownKindMessage(raw['kind']) : 'is required, as text: IPPool, Node …';
    return refused({ path: ['kind'], message });
  }
  const ofVersion = kinds.find((kind) => kind.apiVersion === raw['apiVersion']);
  const problems: Problem[] = [...envelopeProblems(raw, kinds)];
  // Which of several kinds was meant is not known, so the rest of the document cannot be judged.
  if (ofVersion === undefined && others.length > 0) return { ok: false, problems };
  const kind = ofVersion ?? first;
  const metadata = readMetadata(raw['metadata'], kind, namespace, problems);
  const spec = kind.spec.safeParse(raw['spec'], { reportInput: true });
  if (!spec.success) problems.push(...problemsOf(spec.error, ['spec']));
  if (problems.length > 0 || !spec.success || metadata === undefined) return { ok: false, problems };
  const resource = { apiVersion: kind.apiVersion, kind: kind.kind, metadata, spec: spec.data } as const;
  const joint = kind.check(resource);
  // The row of the registry that bears this kind's name has parsed the spec, so the two belong together.
  return joint.length > 0 ? { ok: false, problems: joint } : { ok: true, resource: resource as AnyResource, kind };
}

/**
 * Like `validateResource`, but fields that are not known are left out, and told of in `warnings`: for documents of newer
 * versions, and of other products. Everything else that is wrong stays wrong.
 */
export function validateLeniently(
  raw: unknown,
  namespace = DEFAULT_NAMESPACE,
): {
  readonly validated: Validated;
  readonly warnings: readonly Problem[];
} {
  const warnings: Problem[] = [];
  let document = raw;
  // What is beside an unknown field may show its own ones only when that is gone. Each round takes fields out, so this ends.
  for (;;) {
    const validated = validateResource(document, namespace);
    const unknown = validated.ok ? [] : validated.problems.filter((problem) => problem.onName === true);
    if (unknown.length === 0) return { validated, warnings };
    const paths = new Set(unknown.map(({ path }) => JSON.stringify(path)));
    document = withoutFields(document, paths, []);
    assert(paths.size === 0, 'an unknown field is in its mapping');
    for (const problem of unknown) warnings.push(problem);
  }
}

/** A copy of `value`, which is at `place`, without the fields at `paths` (in JSON); each is struck off when it is found. */
function withoutFields(value: unknown, paths: Set<string>, place: Path): unknown {
  if (Array.isArray(value)) return value.map((item, index) => withoutFields(item, paths, [...place, index]));
  if (!isJsonObject(value)) return value;
  const kept = Object.entries(value).filter(([name]) => !paths.delete(JSON.stringify([...place, name])));
  return Object.fromEntries(kept.map(([name, member]) => [name, withoutFields(member, paths, [...place, name])]));
}

function refused(problem: Problem): Validated {
  return { ok: false, problems: [problem] };
}

function envelopeProblems(raw: Readonly<Record<string, unknown>>, kinds: readonly Kind[]): Problem[] {
  const problems: Problem[] = [];
  if (kinds.every((kind) => kind.apiVersion !== raw['apiVersion'])) {
    const known = kinds.map((kind) => kind.apiVersion).join(' or ');
    const message =
      raw['apiVersion'] === undefined
        ? `is required: ${known}`
        : `${quote(raw['apiVersion'])} is not known; write ${known}`;
    problems.push({ path: ['apiVersion'], message });
  }
  for (const field of Object.keys(raw)) {
    if (TOP_FIELDS.includes(field)) continue;
    problems.push({ path: [field], message: `unknown field${suggestion(field, TOP_FIELDS)}`, onName: true });
  }
  return problems;
}

/** The metadata in our form; undefined, with the reasons added to `problems`, when something is wrong with it. */
function readMetadata(raw: unknown, kind: Kind, defaultNamespace: string, problems: Problem[]): Metadata | undefined {
  const parsed = metadataSchema.safeParse(raw, { reportInput: true });
  const rawName = isJsonObject(raw) ? raw['name'] : undefined;
  const wrongName = typeof rawName === 'string' ? kind.nameProblem(rawName) : undefined;
  if (wrongName !== undefined) problems.push({ path: ['metadata', 'name'], message: wrongName });
  if (!parsed.success) {
    problems.push(...problemsOf(parsed.error, ['metadata']));
    return undefined;
  }
  const { name, namespace, labels, annotations, resourceVersion, uid, creationTimestamp } = parsed.data;
  if (namespace !== undefined && !kind.namespaced) {
    problems.push({ path: ['metadata', 'namespace'], message: `${kind.kind} has no namespace; remove this line` });
  }
  const wrongNamespace = namespace === undefined ? undefined : nameProblem(namespace);
  if (wrongNamespace !== undefined) problems.push({ path: ['metadata', 'namespace'], message: wrongNamespace });
  return {
    name,
    ...(kind.namespaced && { namespace: namespace ?? defaultNamespace }),
    ...(labels !== undefined && { labels }),
    ...(annotations !== undefined && { annotations }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(uid !== undefined && { uid }),
    ...(typeof creationTimestamp === 'string' && { creationTimestamp }),
  };
}
