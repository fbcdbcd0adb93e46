/**
 * Templates of text with paths in braces, for `-o jsonpath=` and `wait --for=jsonpath=`.
 *
 *   template := ( text | "{" path "}" | "{" string "}" )*
 *   path     := [ "$" ] ( "." name | "." "*" | "[" number "]" | "[" "*" "]" | "[" string "]" )*
 *   string   := "'" … "'" | '"' … '"', with \n, \t and \\ in it
 *
 * The small part of kubectl's JSONPath that people use. What is not there is nothing; several values are joined by blanks;
 * text is printed as it is, anything else as JSON. A negative number counts from the end.
 */
import { isJsonObject } from '../lib/json.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

type Step = string | number | typeof ALL;

const ALL = Symbol('all');

type Part = { readonly text: string } | { readonly path: readonly Step[] };

export type Template = readonly Part[];

/** Longer ones are programs, for which `-o json` and a program are better. */
const TEMPLATE_LENGTH_MAX = 4096;

const STEP = /\.(?<name>[A-Za-z0-9_-]+)|(?<all>\.\*|\[\*\])|\[(?<index>-?\d{1,9})\]|\[(?<text>'[^']*'|"[^"]*")\]/y;

/** Reads a template; throws CommandError with the place of what is wrong. */
export function parseTemplate(text: string): Template {
  if (text.length > TEMPLATE_LENGTH_MAX) throw wrong(text.slice(0, 40), TEMPLATE_LENGTH_MAX, 'is too long');
  const parts: Part[] = [];
  let at = 0;
  while (at < text.length) {
    const open = text.indexOf('{', at);
    if (open !== at) parts.push({ text: text.slice(at, open === -1 ? text.length : open) });
    if (open === -1) break;
    const literal = /\{\s*('[^']*'|"[^"]*")\s*\}/y;
    literal.lastIndex = open;
    const found = literal.exec(text);
    if (found !== null) {
      parts.push({ text: unquoted(found[1] ?? '') });
      at = literal.lastIndex;
      continue;
    }
    const { path, end } = readPath(text, open + 1);
    parts.push({ path });
    at = end;
  }
  return parts;
}

/** The path that begins at `start`, and where the template goes on after its closing brace. */
function readPath(text: string, start: number): { readonly path: Step[]; readonly end: number } {
  const path: Step[] = [];
  let at = text[start] === '$' ? start + 1 : start;
  while (text[at] !== '}') {
    STEP.lastIndex = at;
    const groups = STEP.exec(text)?.groups;
    if (groups === undefined) {
      const remedy = text.includes('}', at) ? "write .name, [0], [*] or ['name']" : 'the closing } is missing';
      throw wrong(text, at, remedy);
    }
    const { name, all, index, text: quoted } = groups;
    if (all !== undefined) path.push(ALL);
    else if (index !== undefined) path.push(Number(index));
    else path.push(name ?? (quoted ?? '').slice(1, -1));
    at = STEP.lastIndex;
  }
  return { path, end: at + 1 };
}

function wrong(text: string, at: number, remedy: string): CommandError {
  return new CommandError(EXIT_CODE.usage, `jsonpath "${text}": at character ${at + 1}: ${remedy}`);
}

function unquoted(quoted: string): string {
  const escapes: Readonly<Record<string, string>> = { n: '\n', t: '\t' };
  return quoted.slice(1, -1).replaceAll(/\\(.)/g, (_, letter: string) => escapes[letter] ?? letter);
}

/** The text that a template gives for a value. */
export function fillTemplate(template: Template, value: unknown): string {
  return template
    .map((part) => ('text' in part ? part.text : valuesAt(value, part.path).map(asText).join(' ')))
    .join('');
}

function valuesAt(value: unknown, path: readonly Step[]): unknown[] {
  return path.reduce<unknown[]>((found, step) => found.flatMap((each) => childrenOf(each, step)), [value]);
}

function childrenOf(value: unknown, step: Step): unknown[] {
  if (Array.isArray(value)) {
    if (step === ALL) return value;
    const item: unknown = typeof step === 'number' ? value.at(step) : undefined;
    return item === undefined ? [] : [item];
  }
  if (!isJsonObject(value)) return [];
  if (step === ALL) return Object.values(value);
  return typeof step === 'string' && Object.hasOwn(value, step) && value[step] !== undefined ? [value[step]] : [];
}

function asText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
