/**
 * Reads a selector's text (selector.ts has its meaning).
 *
 *   expr  := and { "||" and }
 *   and   := unary { "&&" unary }
 *   unary := { "!" } ( "has(" label ")" | "all()" | "global()" | label operator | "(" expr ")" )
 *   operator := ( "==" | "!=" | "contains" | "starts with" | "ends with" ) string | ( "in" | "not in" ) set
 *   set   := "{" [ string { "," string } [ "," ] ] "}"
 *
 * Traps, as in Calico: word operators are recognised only right after a label, so a label may be called `in` or `has`;
 * blanks (space and tab, nothing else) may be inside `starts with`, `ends with`, `not in` and before the closing
 * parenthesis of a function, but not between a function's name and its opening one; a word operator needs no blank
 * after it (`a in{"b"}`); strings have no escapes; `!!x` is x.
 */
import type { Comparison, Selector } from './selector.ts';

export type SelectorParse =
  | { readonly ok: true; readonly selector: Selector }
  /** `offset` counts UTF-16 units from 0; it is where what was expected is missing. */
  | { readonly ok: false; readonly offset: number; readonly message: string };

/** Longer texts are refused unread; Calico allows 1024 characters in a policy's selectors. */
export const SELECTOR_LENGTH_MAX = 8192;

/** Parentheses inside each other; far more than a person can read, far less than the stack can hold. */
const NESTING_MAX = 64;

const LABEL_LENGTH_MAX = 512;

/** What the words between a label and its value mean. Longer spellings come before their beginnings. */
const OPERATORS: readonly (readonly [RegExp, Comparison | 'in' | 'not in'])[] = [
  [/==/y, '=='],
  [/!=/y, '!='],
  [/contains/y, 'contains'],
  [/starts[ \t]*with/y, 'starts with'],
  [/ends[ \t]*with/y, 'ends with'],
  [/not[ \t]*in/y, 'not in'],
  [/in/y, 'in'],
];

/** Ends a parse from wherever it is; never leaves this file. */
class SelectorSyntaxError extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

/** The selector that `text` denotes; an empty or blank text chooses everything. */
export function parseSelector(text: string): SelectorParse {
  if (text.length > SELECTOR_LENGTH_MAX) {
    return { ok: false, offset: SELECTOR_LENGTH_MAX, message: `longer than ${SELECTOR_LENGTH_MAX} characters` };
  }
  const parser = new SelectorParser(text);
  try {
    return { ok: true, selector: parser.parse() };
  } catch (error) {
    if (error instanceof SelectorSyntaxError) return { ok: false, offset: error.offset, message: error.message };
    throw error;
  }
}

class SelectorParser {
  readonly #text: string;
  #offset = 0;
  #nesting = 0;

  constructor(text: string) {
    this.#text = text;
  }

  parse(): Selector {
    this.#skipBlanks();
    if (this.#offset === this.#text.length) return { kind: 'all' };
    const selector = this.#joined('||', () => this.#joined('&&', () => this.#unary()));
    if (this.#offset < this.#text.length) this.#fail('expected "&&", "||" or the end');
    return selector;
  }

  /** One operand, or several with `operator` between them. Leaves blanks skipped. */
  #joined(operator: '&&' | '||', operand: () => Selector): Selector {
    const first = operand();
    const operands = [first];
    while (this.#takeSymbol(operator)) operands.push(operand());
    return operands.length === 1 ? first : { kind: operator, operands };
  }

  #unary(): Selector {
    let negated = false;
    while (this.#takeSymbol('!')) negated = !negated;
    const operand = this.#term();
    return negated ? { kind: 'not', operand } : operand;
  }

  #term(): Selector {
    if (this.#takeSymbol('(')) return this.#parenthesised();
    if (this.#takeSymbol('has(')) {
      const label = this.#label();
      this.#expect(')', 'after the label in has(');
      return { kind: 'has', label };
    }
    for (const kind of ['all', 'global'] as const) {
      if (!this.#takeSymbol(`${kind}(`)) continue;
      this.#expect(')', `: ${kind}() takes nothing`);
      return { kind };
    }
    return this.#comparison(this.#label());
  }

  #parenthesised(): Selector {
    this.#nesting += 1;
    if (this.#nesting > NESTING_MAX) this.#fail(`more than ${NESTING_MAX} parentheses inside each other`);
    const selector = this.#joined('||', () => this.#joined('&&', () => this.#unary()));
    this.#expect(')', 'to close the parenthesis');
    this.#nesting -= 1;
    return selector;
  }

  #comparison(label: string): Selector {
    for (const [pattern, kind] of OPERATORS) {
      if (this.#take(pattern) === undefined) continue;
      if (kind === 'in' || kind === 'not in') return { kind, label, values: this.#set() };
      return { kind, label, value: this.#string() };
    }
    const single = this.#text.startsWith('=', this.#offset) ? '; equality is written "=="' : '';
    return this.#fail(
      `expected an operator after the label "${label}": ==, !=, in, not in, contains, starts with or ends with${single}`,
    );
  }

  #set(): string[] {
    this.#expect('{', 'to begin a set');
    const values = new Set<string>();
    while (!this.#takeSymbol('}')) {
      values.add(this.#string());
      if (this.#takeSymbol(',')) continue;
      this.#expect('}', 'to end the set, or ","');
      break;
    }
    return [...values].sort();
  }

  #label(): string {
    const start = this.#offset;
    const label = this.#take(/[A-Za-z0-9_./-]+/y);
    if (label === undefined) return this.#fail('expected a label, has(), all() or "("');
    if (label.length > LABEL_LENGTH_MAX) {
      this.#offset = start;
      this.#fail(`a label longer than ${LABEL_LENGTH_MAX} characters`);
    }
    return label;
  }

  #string(): string {
    const quoted = this.#take(/"[^"]*"|'[^']*'/y);
    if (quoted !== undefined) return quoted.slice(1, -1);
    const open = /["']/y;
    open.lastIndex = this.#offset;
    return this.#fail(open.test(this.#text) ? 'this string has no closing quote' : 'expected a value in quotes');
  }

  #expect(symbol: string, why: string): void {
    if (!this.#takeSymbol(symbol)) this.#fail(`expected "${symbol}" ${why}`);
  }

  #takeSymbol(symbol: string): boolean {
    if (!this.#text.startsWith(symbol, this.#offset)) return false;
    this.#offset += symbol.length;
    this.#skipBlanks();
    return true;
  }

  /** The text that a sticky pattern matches here, with the blanks after it skipped. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#offset;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) return undefined;
    this.#offset += found.length;
    this.#skipBlanks();
    return found;
  }

  #skipBlanks(): void {
    while (this.#text[this.#offset] === ' ' || this.#text[this.#offset] === '\t') this.#offset += 1;
  }

  #fail(message: string): never {
    throw new SelectorSyntaxError(this.#offset, message);
  }
}
