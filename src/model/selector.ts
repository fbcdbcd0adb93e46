/**
 * Selectors: expressions over labels that choose nodes, endpoints and networks.
 *
 * The language is Calico's; selector-parser.ts reads it. Two traps are in its meaning, and this file is where they are
 * kept: the negative operators (`!=`, `not in`) hold when the label is absent, all others need it to be there; and an
 * empty selector chooses everything. Printing gives the canonical text: sets sorted without repetition, every join of
 * terms in parentheses, so that selectors that are written alike but for blanks have one text.
 */
import { unreachable } from '../lib/assert.ts';

export type Selector =
  | { readonly kind: 'all' }
  /** `global()`: what belongs to no namespace. Only its place gives it a meaning; on labels it holds always. */
  | { readonly kind: 'global' }
  | { readonly kind: 'has'; readonly label: string }
  | { readonly kind: Comparison; readonly label: string; readonly value: string }
  /** Values are sorted and each is there once. */
  | { readonly kind: 'in' | 'not in'; readonly label: string; readonly values: readonly string[] }
  | { readonly kind: 'not'; readonly operand: Selector }
  /** Two or more operands. */
  | { readonly kind: '&&' | '||'; readonly operands: readonly Selector[] };

export type Comparison = '==' | '!=' | 'contains' | 'starts with' | 'ends with';

export type Labels = Readonly<Record<string, string>>;

/** Whether the selector chooses something with these labels. */
export function matches(selector: Selector, labels: Labels): boolean {
  switch (selector.kind) {
    case 'all':
    case 'global':
      return true;
    case 'has':
      return Object.hasOwn(labels, selector.label);
    case 'not':
      return !matches(selector.operand, labels);
    case '&&':
      return selector.operands.every((operand) => matches(operand, labels));
    case '||':
      return selector.operands.some((operand) => matches(operand, labels));
    case '!=':
      return labelOf(labels, selector.label) !== selector.value;
    case 'not in': {
      const value = labelOf(labels, selector.label);
      return value === undefined || !selector.values.includes(value);
    }
    default: {
      const value = labelOf(labels, selector.label);
      return value !== undefined && compares(selector, value);
    }
  }
}

type Positive = Extract<Selector, { readonly kind: Comparison | 'in' | 'not in' }>;

function compares(selector: Positive, value: string): boolean {
  switch (selector.kind) {
    case '==':
      return value === selector.value;
    case 'contains':
      return value.includes(selector.value);
    case 'starts with':
      return value.startsWith(selector.value);
    case 'ends with':
      return value.endsWith(selector.value);
    case 'in':
      return selector.values.includes(value);
    default:
      return false;
  }
}

/** The label's value; labels named like members of Object.prototype are absent unless they are there. */
function labelOf(labels: Labels, label: string): string | undefined {
  return Object.hasOwn(labels, label) ? labels[label] : undefined;
}

/** The canonical text, which parses to the same selector. */
export function printSelector(selector: Selector): string {
  switch (selector.kind) {
    case 'all':
    case 'global':
      return `${selector.kind}()`;
    case 'has':
      return `has(${selector.label})`;
    case 'not':
      return `!${printSelector(selector.operand)}`;
    case '&&':
    case '||':
      return `(${selector.operands.map(printSelector).join(` ${selector.kind} `)})`;
    case 'in':
    case 'not in':
      return `${selector.label} ${selector.kind} {${selector.values.map(printString).join(', ')}}`;
    case '==':
    case '!=':
    case 'contains':
    case 'starts with':
    case 'ends with':
      return `${selector.label} ${selector.kind} ${printString(selector.value)}`;
    default:
      return unreachable(selector);
  }
}

/** The language has no escapes, so a value that was parsed holds at most one of the two quotes. */
function printString(value: string): string {
  return value.includes('"') ? `'${value}'` : `"${value}"`;
}
