/**
 * YAML text to plain values, with positions and against hostile input.
 *
 * JSON is read too, being YAML. Refused before they cost anything: texts that are too long, nested too deeply for the
 * composer's recursion, aliases that multiply, keys that are there twice. Each value can be traced to its place in
 * the text, which is what makes an error message worth reading.
 */
import type { CST, Document, Node } from 'yaml';
import { Composer, isAlias, isCollection, isMap, isScalar, isSeq, LineCounter, Parser, visit } from 'yaml';
import type { Path } from './problem.ts';

/** 300 policies are about 300 kB and parse in a third of a second; nobody writes by hand what is longer than this. */
export const TEXT_LENGTH_MAX = 8 * 1024 * 1024;

/** The deepest resource has about ten levels; a list of them a few more. */
const NESTING_MAX = 64;

/** How many values aliases may stand for in one document: enough to reuse a list of labels, too few for a bomb. */
const ALIASES_MAX = 100;

/** As many as a file may have resources, and as many empty ones between them. */
const DOCUMENTS_MAX = 20_000;

/** Whoever reads the first hundred mends those; what is left only costs time. */
const PROBLEMS_MAX = 1_000;

/**
 * Only JSON's own types come out, whatever the text is tagged as or says of its version: no dates, sets or bytes. Keys that
 * are there twice are found below, in a time that does not grow with the square of their number.
 */
const COMPOSER_OPTIONS = {
  uniqueKeys: false,
  prettyErrors: false,
  schema: 'core',
  resolveKnownTags: false,
  merge: false,
} as const;

export interface Position {
  /** Both count from 1. */
  readonly line: number;
  readonly column: number;
}

export interface YamlDocument {
  readonly value: unknown;
  /** Where the document's first value begins. */
  readonly start: Position;
  /**
   * Where the value at `path` is, or, with `name`, the field's name. What is not there is said to be at the field that
   * should hold it.
   */
  readonly positionOf: (path: Path, place: 'value' | 'name') => Position;
}

export interface YamlProblem {
  readonly position: Position;
  readonly message: string;
}

export type YamlParse =
  | { readonly ok: true; readonly documents: readonly YamlDocument[] }
  | { readonly ok: false; readonly problems: readonly YamlProblem[] };

const START: Position = { line: 1, column: 1 };

/** The documents in `text`, empty ones left out, or all its syntax errors. */
export function parseYaml(text: string): YamlParse {
  if (text.length > TEXT_LENGTH_MAX) {
    return refused(START, `is ${text.length} characters long; at most ${TEXT_LENGTH_MAX}: split it into several files`);
  }
  const lines = new LineCounter();
  const positionAt = (offset: number): Position => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  };
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const tooDeep = findTooDeep(tokens);
  if (tooDeep !== undefined) return refused(positionAt(tooDeep), `is nested more than ${NESTING_MAX} levels deep`);
  const problems: YamlProblem[] = [];
  const documents: YamlDocument[] = [];
  let count = 0;
  for (const document of new Composer(COMPOSER_OPTIONS).compose(tokens)) {
    count += 1;
    if (count > DOCUMENTS_MAX) return refused(START, `has more than ${DOCUMENTS_MAX} documents; split it`);
    const found = [
      ...document.errors.map(({ pos, message }) => ({ offset: pos[0], message })),
      ...contentProblems(document),
    ].sort((a, b) => a.offset - b.offset);
    for (const { offset, message } of found) problems.push({ position: positionAt(offset), message });
    if (problems.length > PROBLEMS_MAX) break;
    if (found.length > 0 || document.contents === null) continue;
    const start = positionAt(document.contents.range[0]);
    try {
      const value: unknown = document.toJS({ maxAliasCount: ALIASES_MAX });
      if (value === null) continue;
      const positionOf = (path: Path, place: 'value' | 'name') => positionAt(offsetOf(document, path, place));
      documents.push({ value, start, positionOf });
    } catch (error) {
      // toJS throws ReferenceError for aliases that are too many or to nothing; anything else is not the text's fault.
      if (!(error instanceof ReferenceError)) throw error;
      problems.push({ position: start, message: `has aliases that stand for more than ${ALIASES_MAX} values` });
    }
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, documents };
}

function refused(position: Position, message: string): YamlParse {
  return { ok: false, problems: [{ position, message }] };
}

interface ContentProblem {
  readonly offset: number;
  readonly message: string;
}

/**
 * What is right as YAML and wrong for us: keys that are there twice or are no plain words, aliases to nothing or to what they
 * stand in, which would be values without an end.
 */
function contentProblems(document: Document.Parsed): ContentProblem[] {
  const problems: ContentProblem[] = [];
  const anchors = new Set<string>();
  const complain = (node: unknown, message: string) => {
    const offset = isScalar(node) || isCollection(node) || isAlias(node) ? (node.range?.[0] ?? 0) : 0;
    problems.push({ offset, message });
  };
  visit(document, {
    Alias: (_, alias, ancestors) => {
      const { source } = alias;
      if (!anchors.has(source)) complain(alias, `"*${source}" stands for nothing: no "&${source}" comes before it`);
      else if (ancestors.some((node) => isCollection(node) && node.anchor === source)) {
        complain(alias, `"*${source}" stands for what it is a part of`);
      }
    },
    Map: (_, map) => {
      if (map.anchor !== undefined) anchors.add(map.anchor);
      const seen = new Set<string>();
      for (const { key } of map.items) {
        const word = isScalar(key) ? String(key.value) : undefined;
        if (word === undefined) complain(key, 'a key must be one word, not a list, a mapping or an alias');
        else if (seen.has(word)) complain(key, 'this key is in the mapping twice; remove one of the two');
        else seen.add(word);
      }
    },
    Seq: (_, list) => {
      if (list.anchor !== undefined) anchors.add(list.anchor);
    },
    Scalar: (_, scalar) => {
      if (scalar.anchor !== undefined) anchors.add(scalar.anchor);
    },
  });
  return problems;
}

/** The offset of a token that lies too deep. Walks with a list of its own, since depth is what is feared. */
function findTooDeep(tokens: readonly CST.Token[]): number | undefined {
  const pending = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
    const { token, depth } = next;
    if (depth > NESTING_MAX) return token.offset;
    if (token.type === 'document' && token.value !== undefined) pending.push({ token: token.value, depth });
    if (!('items' in token)) continue;
    for (const item of token.items) {
      for (const child of [item.key, item.value]) {
        if (child !== undefined && child !== null) pending.push({ token: child, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

/** Follows `path` as far as the document goes. */
function offsetOf(document: Document.Parsed, path: Path, place: 'value' | 'name'): number {
  let node: Node | null | undefined = document.contents;
  let offset = node?.range?.[0] ?? 0;
  for (const [index, step] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const found = childOf(node, step);
    if (found === undefined) return offset;
    const wantsValue = index === path.length - 1 && place === 'value';
    offset = (wantsValue ? found.value?.range?.[0] : undefined) ?? found.nameOffset ?? offset;
    node = found.value;
  }
  return offset;
}

interface Child {
  readonly nameOffset: number | undefined;
  readonly value: Node | null;
}

function childOf(node: Node | null | undefined, step: string | number): Child | undefined {
  if (isSeq<Node>(node) && typeof step === 'number') {
    const value = node.items[step];
    return value === undefined ? undefined : { nameOffset: value.range?.[0], value };
  }
  if (!isMap<Node, Node | null>(node)) return undefined;
  const pair = node.items.find((item) => isScalar(item.key) && String(item.key.value) === String(step));
  return pair === undefined ? undefined : { nameOffset: pair.key.range?.[0], value: pair.value };
}
