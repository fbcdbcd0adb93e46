/**
 * What is wrong with a document, in words for the person who wrote it.
 *
 * A problem has the place (a path into the document) and a sentence that quotes what was there and says what would be
 * right. zod finds the problems of shape; this file turns its issues into our sentences, one problem each. Schemas made by
 * `mapping` (fields.ts) report unknown fields, with the nearest known one, through `unknownFieldsMessage`.
 */
import type { z } from 'zod';
import { suggestion } from './near-miss.ts';

export type Path = readonly (string | number)[];

export interface Problem {
  readonly path: Path;
  readonly message: string;
  /** It is the field's name that is wrong, not its value. */
  readonly onName?: true;
}

/** What a value is called in messages: its JSON text, cut where it would not help to see more. */
export function quote(value: unknown): string {
  // JSON has no word for numbers without an end, and would call them null.
  const text = typeof value === 'number' ? String(value) : (JSON.stringify(value) ?? 'nothing');
  return text.length > QUOTE_LENGTH_MAX ? `${text.slice(0, QUOTE_LENGTH_MAX)}…` : text;
}

/** Enough to recognise the value by; more would hide the sentence around it. */
const QUOTE_LENGTH_MAX = 120;

/** `spec.ipNetworks[0]`; the empty path is the document itself. */
export function formatPath(path: Path): string {
  return path.map((step, index) => (typeof step === 'number' ? `[${step}]` : index === 0 ? step : `.${step}`)).join('');
}

/** Looking for the nearest of many names takes time, and no reader mends more than this at once. */
const SUGGESTIONS_MAX = 100;

/** One line a field, in the order of `fields`, so that `problemsOf` can give each its own place. */
export function unknownFieldsMessage(fields: readonly string[], known: readonly string[]): string {
  return fields
    .map((field, index) => `unknown field${index < SUGGESTIONS_MAX ? suggestion(field, known) : ''}`)
    .join('\n');
}

/** All problems that zod found, with `path` before each of their own paths. */
export function problemsOf(error: z.ZodError, path: Path): Problem[] {
  return error.issues.flatMap((issue) => {
    const place = [...path, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))];
    if (issue.code !== 'unrecognized_keys') return [{ path: place, message: sentence(issue) }];
    const messages = issue.message.split('\n');
    return issue.keys.map((key, index) => ({
      path: [...place, key],
      message: messages[index] ?? issue.message,
      onName: true,
    }));
  });
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
};

function sentence(issue: z.core.$ZodIssue): string {
  const value = quote(issue.input);
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'is required';
      const isScalar = typeof issue.input === 'number' || typeof issue.input === 'boolean';
      const remedy = issue.expected === 'string' && isScalar ? `; put it in quotes: '${issue.input}'` : '';
      return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, not ${value}${remedy}`;
    }
    case 'invalid_value': {
      if (issue.input === undefined) return 'is required';
      const allowed = issue.values.map(String);
      const near = typeof issue.input === 'string' ? suggestion(issue.input, allowed) : '';
      return `${value} is not one of ${allowed.join(', ')}${near}`;
    }
    case 'too_small':
      return `${value} is too small: at least ${issue.minimum}${counted(issue.origin)}`;
    case 'too_big':
      return `${value} is too big: at most ${issue.maximum}${counted(issue.origin)}`;
    default:
      return issue.message;
  }
}

function counted(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' || origin === 'record' ? ' items' : '';
}
