/**
 * From the text of a file to resources, or to all that is wrong with it, in one go.
 *
 * A file may hold several YAML documents or JSON, and lists of resources (`kind: List`, `kind: IPPoolList`). Each error is
 * one line that an editor can jump to: `pools.yaml:7:9: spec.cidr: "10.0.0.1/8" has host bits set; write 10.0.0.0/8`.
 *
 * The annotation muslin.io/source records where an applied object came from: `withSource` sets it to FILE:LINE for a named
 * file, and it counts as part of the object, so that explanations name the place where the text stands now; beside it
 * stand the lines of the rules that the object has. Text
 * from stdin has no such place: there the annotation is what the document says, or else stays what it was in the store.
 * So `get -o yaml | apply -f -` changes nothing.
 */
import { isJsonObject } from '../lib/json.ts';
import type { Kind } from './kind.ts';
import type { AnyResource } from './kinds.ts';
import { KINDS } from './kinds.ts';
import { RULE_LINES_ANNOTATION, SOURCE_ANNOTATION } from './metadata.ts';
import type { Path, Problem } from './problem.ts';
import { formatPath, quote } from './problem.ts';
import { resourceTitle } from './resource.ts';
import { keyOf } from './resource-key.ts';
import { validateLeniently, validateResource } from './validate.ts';
import type { Position, YamlDocument } from './yaml-text.ts';
import { parseYaml } from './yaml-text.ts';

/** More than all objects of a large network; a file with more is not what its author thinks it is. */
export const RESOURCES_MAX = 10_000;

/** Who sees more than a screenful mends the first ones and tries again. */
const PROBLEMS_MAX = 100;

export interface SourceResource {
  readonly resource: AnyResource;
  readonly kind: Kind;
  /** "FILE:LINE" of the resource's first line. */
  readonly source: string;
  /** The lines of a policy's rules, by direction; undefined for what has no rules. */
  readonly ruleLines: RuleLines | undefined;
}

/** As RULE_LINES_ANNOTATION holds them, in JSON. */
type RuleLines = Partial<Record<(typeof DIRECTIONS)[number], readonly number[]>>;

const DIRECTIONS = ['ingress', 'egress'] as const;

export type DocumentsParse =
  | {
      readonly ok: true;
      readonly resources: readonly SourceResource[];
      /** In the form of problems; none unless asked to be lenient. */
      readonly warnings: readonly string[];
    }
  /** One line each: FILE:LINE:COLUMN, the field, what is wrong. */
  | { readonly ok: false; readonly problems: readonly string[] };

export interface ParseOptions {
  /** Leave out fields that are not known, with a warning each, where they would else be errors. */
  readonly lenient?: boolean;
  /** Where namespaced resources are that do not say so; one that says another is an error. */
  readonly namespace?: string;
}

/** All resources in the text of `file`; the name serves only for messages and sources. */
export function parseDocuments(
  text: string,
  file: string,
  { lenient = false, namespace }: ParseOptions = {},
): DocumentsParse {
  const parsed = parseYaml(text);
  const at = ({ line, column }: Position) => `${file}:${line}:${column}`;
  if (!parsed.ok)
    return {
      ok: false,
      problems: cut(parsed.problems.map((problem) => `${at(problem.position)}: ${problem.message}`)),
    };
  const resources: SourceResource[] = [];
  const problems: string[] = [];
  const warnings: string[] = [];
  const sources = new Map<string, string>();
  let count = 0;
  for (const document of parsed.documents) {
    for (const { raw, path } of itemsOf(document)) {
      count += 1;
      if (count > RESOURCES_MAX)
        return { ok: false, problems: [`${file}: more than ${RESOURCES_MAX} resources; split the file`] };
      const { validated, warnings: leftOut } = lenient
        ? validateLeniently(raw, namespace)
        : { validated: validateResource(raw, namespace), warnings: [] };
      warnings.push(...linesOf(leftOut, document, path, at).map((line) => `${line}; left out`));
      if (!validated.ok) {
        problems.push(...linesOf(validated.problems, document, path, at));
        continue;
      }
      const { resource, kind } = validated;
      const elsewhere = otherNamespace(resource, namespace);
      if (elsewhere !== undefined) problems.push(...linesOf([elsewhere], document, path, at));
      const source = `${file}:${document.positionOf(path, 'value').line}`;
      const earlier = sources.get(keyOf(resource));
      if (earlier !== undefined) problems.push(`${source}: ${resourceTitle(resource)} is already at ${earlier}`);
      sources.set(keyOf(resource), source);
      const lineOf = (inside: Path) => document.positionOf([...path, ...inside], 'value').line;
      resources.push({ resource, kind, source, ruleLines: ruleLinesOf(raw, lineOf) });
    }
  }
  return problems.length > 0
    ? { ok: false, problems: cut(problems) }
    : { ok: true, resources, warnings: cut(warnings) };
}

/** The resource with its origin recorded. */
export function withSource({ resource, source, ruleLines }: Omit<SourceResource, 'kind'>): AnyResource {
  const annotations = {
    ...resource.metadata.annotations,
    [SOURCE_ANNOTATION]: source,
    ...(ruleLines && { [RULE_LINES_ANNOTATION]: JSON.stringify(ruleLines) }),
  };
  return { ...resource, metadata: { ...resource.metadata, annotations } };
}

/** The lines of the rules of a resource as it was written; `lineOf` knows where a field of it begins. */
export function ruleLinesOf(raw: unknown, lineOf: (field: Path) => number): RuleLines | undefined {
  const spec = isJsonObject(raw) ? raw['spec'] : undefined;
  if (!isJsonObject(spec)) return undefined;
  const lines: RuleLines = {};
  for (const direction of DIRECTIONS) {
    const rules = spec[direction];
    if (!Array.isArray(rules) || rules.length === 0) continue;
    lines[direction] = rules.map((_, index) => lineOf(['spec', direction, index]));
  }
  return Object.keys(lines).length === 0 ? undefined : lines;
}

function otherNamespace({ metadata }: AnyResource, namespace: string | undefined): Problem | undefined {
  const own = metadata.namespace;
  if (namespace === undefined || own === undefined || own === namespace) return undefined;
  const message = `${quote(own)} is not ${quote(namespace)}, the namespace that was asked for`;
  return { path: ['metadata', 'namespace'], message };
}

interface Item {
  readonly raw: unknown;
  readonly path: Path;
}

/** The document itself, or the items of the list that it is. */
function itemsOf({ value }: YamlDocument): readonly Item[] {
  if (!isJsonObject(value) || !isListKind(value['kind']) || !Array.isArray(value['items']))
    return [{ raw: value, path: [] }];
  return value['items'].map((raw: unknown, index) => ({ raw, path: ['items', index] }));
}

function isListKind(kind: unknown): boolean {
  return kind === 'List' || KINDS.some((known) => kind === `${known.documentKind}List`);
}

/** Problems as lines, in the order in which they stand in the text. */
function linesOf(
  problems: readonly Problem[],
  document: YamlDocument,
  path: Path,
  at: (position: Position) => string,
): string[] {
  return problems
    .map((problem) => {
      const position = document.positionOf([...path, ...problem.path], problem.onName ? 'name' : 'value');
      return { position, text: describe(path, problem) };
    })
    .sort((a, b) => a.position.line - b.position.line || a.position.column - b.position.column)
    .map(({ position, text }) => `${at(position)}: ${text}`);
}

function describe(path: Path, problem: Problem): string {
  const field = formatPath([...path, ...problem.path]);
  return field === '' ? problem.message : `${field}: ${problem.message}`;
}

function cut(problems: readonly string[]): readonly string[] {
  if (problems.length <= PROBLEMS_MAX) return problems;
  return [...problems.slice(0, PROBLEMS_MAX), `and ${problems.length - PROBLEMS_MAX} more`];
}
