/**
 * From a raw object to a resource: shape, defaults, names, and the rules that join fields.
 *
 * The one way in, for documents of users (documents.ts) and for what the store holds (resource-entry.ts). All problems come
 * at once; the rules that join fields run only when every field is right by itself.
 */
import { isJsonObject } from '../lib/json.ts';
import { nameProblem } from './fields.ts';
import type { Kind } from './kind.ts';
import type { AnyResource } from './kinds.ts';
import { kindNamed, unknownKindMessage } from './kinds.ts';
import { metadataSchema } from './metadata.ts';
import { suggestion } from './near-miss.ts';
import type { Problem } from './problem.ts';
import { problemsOf, quote } from './problem.ts';
import type { Metadata } from './resource.ts';
import { API_VERSION } from './resource.ts';

export type Validated =
  | { readonly ok: true; readonly resource: AnyResource; readonly kind: Kind }
  | { readonly ok: false; readonly problems: readonly Problem[] };

/** `status` is the system's to write: it may be there, and is dropped. */
const TOP_FIELDS = ['apiVersion', 'kind', 'metadata', 'spec', 'status'];

const DEFAULT_NAMESPACE = 'default';

/** The resource that `raw` (parsed JSON or YAML) describes, with defaults filled in, or all that is wrong with it. */
export function validateResource(raw: unknown): Validated {
  if (!isJsonObject(raw)) return refused({ path: [], message: `must be a resource, not ${quote(raw)}` });
  const kind = typeof raw['kind'] === 'string' ? kindNamed(raw['kind']) : undefined;
  if (kind === undefined) {
    const message =
      typeof raw['kind'] === 'string' ? unknownKindMessage(raw['kind']) : 'is required, as text: IPPool, Node …';
    return refused({ path: ['kind'], message });
  }
  const problems: Problem[] = [...envelopeProblems(raw)];
  const metadata = readMetadata(raw['metadata'], kind, problems);
  const spec = kind.spec.safeParse(raw['spec'], { reportInput: true });
  if (!spec.success) problems.push(...problemsOf(spec.error, ['spec']));
  if (problems.length > 0 || !spec.success || metadata === undefined) return { ok: false, problems };
  const resource = { apiVersion: API_VERSION, kind: kind.kind, metadata, spec: spec.data } as const;
  const joint = kind.check(resource);
  // The row of the registry that bears this kind's name has parsed the spec, so the two belong together.
  return joint.length > 0 ? { ok: false, problems: joint } : { ok: true, resource: resource as AnyResource, kind };
}

function refused(problem: Problem): Validated {
  return { ok: false, problems: [problem] };
}

function envelopeProblems(raw: Readonly<Record<string, unknown>>): Problem[] {
  const problems: Problem[] = [];
  if (raw['apiVersion'] !== API_VERSION) {
    const message =
      raw['apiVersion'] === undefined
        ? `is required: ${API_VERSION}`
        : `${quote(raw['apiVersion'])} is not known; write ${API_VERSION}`;
    problems.push({ path: ['apiVersion'], message });
  }
  for (const field of Object.keys(raw)) {
    if (TOP_FIELDS.includes(field)) continue;
    problems.push({ path: [field], message: `unknown field${suggestion(field, TOP_FIELDS)}`, onName: true });
  }
  return problems;
}

/** The metadata in our form; undefined, with the reasons added to `problems`, when something is wrong with it. */
function readMetadata(raw: unknown, kind: Kind, problems: Problem[]): Metadata | undefined {
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
    ...(kind.namespaced && { namespace: namespace ?? DEFAULT_NAMESPACE }),
    ...(labels !== undefined && { labels }),
    ...(annotations !== undefined && { annotations }),
    ...(resourceVersion !== undefined && { resourceVersion }),
    ...(uid !== undefined && { uid }),
    ...(typeof creationTimestamp === 'string' && { creationTimestamp }),
  };
}
