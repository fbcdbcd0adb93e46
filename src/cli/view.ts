/**
 * Showing one view of a command's result: a table for people, or JSON for programs.
 *
 * JSON is the object as the agent or the lab made it, so a script sees everything and its shape only grows. Tables have no
 * colours, so that they can be cut and compared.
 */
import { Option } from 'commander';

export interface ViewOptions {
  readonly output: 'table' | 'json';
}

/** `-o json`. */
export function viewOption(): Option {
  return new Option('-o, --output <format>', 'table or json').choices(['table', 'json']).default('table');
}

/** Prints `value` as JSON, or the text that `table` makes. */
export function show(options: ViewOptions, value: unknown, table: () => string): void {
  process.stdout.write(options.output === 'json' ? `${JSON.stringify(value, undefined, 2)}\n` : table());
}

const UNITS: readonly [milliseconds: number, letter: string][] = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'm'],
  [1_000, 's'],
];

/** "3h12m", "45s", "0s": the two largest units, for tables. */
export function durationText(milliseconds: number): string {
  const parts: string[] = [];
  let rest = milliseconds;
  for (const [unit, letter] of UNITS) {
    const count = Math.floor(rest / unit);
    rest -= count * unit;
    if (count > 0 || parts.length > 0) parts.push(`${count}${letter}`);
  }
  return parts.length === 0 ? '0s' : parts.slice(0, 2).join('');
}
