/**
 * What a row of the table of commands is (commands.ts), for those who are handed the table because they are in it themselves:
 * completion and manual pages are made from all rows.
 */
import type { Command } from 'commander';

export interface CommandRow {
  /** The words after `muslin`. */
  readonly path: readonly [string] | readonly [string, string];
  readonly summary: string;
  readonly load: () => Promise<Command>;
  /** Not in the help: for the shell's completion, not for people. */
  readonly hidden?: true;
}

export interface CommandTable {
  readonly rows: readonly CommandRow[];
  /** Summaries of the first words that lead to several commands. */
  readonly groups: Readonly<Record<string, string>>;
}

/** The row that the words of a command line lead to; undefined for a group, an unknown word, or none. */
export function rowFor(rows: readonly CommandRow[], words: readonly string[]): CommandRow | undefined {
  return rows.find(({ path }) => path.every((word, index) => words[index] === word));
}
