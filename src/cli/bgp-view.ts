/**
 * How `muslin bgp …` shows what the agent answers: a table or text for people, JSON or YAML for programs.
 *
 * JSON and YAML are the agent's objects as they stand (bgp/views.ts). Long lists are printed while they come, so a table of
 * a million routes needs no more memory here than a page of it.
 */
import { once } from 'node:events';
import { Option } from 'commander';
import type { Column } from '../lib/table.ts';

const FORMATS = ['table', 'wide', 'json', 'yaml'] as const;

export interface BgpViewOptions {
  readonly output: (typeof FORMATS)[number];
}

/** `-o table|wide|json|yaml`. */
export function bgpViewOption(): Option {
  return new Option('-o, --output <format>', 'table, wide, json or yaml').choices(FORMATS).default('table');
}

/** Prints `value` in the format asked for; for people as `text` makes it. */
export async function showBgp({ output }: BgpViewOptions, value: unknown, text: () => string): Promise<void> {
  if (output === 'json') await print(`${JSON.stringify(value, undefined, 2)}\n`);
  else if (output === 'yaml') await print(await yamlText(value));
  else await print(text());
}

/** Prints the items of all pages as one list, page by page. */
export async function showList(format: 'json' | 'yaml', pages: AsyncIterable<readonly object[]>): Promise<void> {
  let begun = false;
  for await (const page of pages) {
    if (page.length === 0) continue;
    if (format === 'yaml') await print(await yamlText(page));
    else {
      const items = page.map((item) => JSON.stringify(item, undefined, 2).replaceAll(/^/gm, '  '));
      await print(`${begun ? ',' : '['}\n${items.join(',\n')}`);
    }
    begun = true;
  }
  if (format === 'json') await print(begun ? '\n]\n' : '[]\n');
  else if (!begun) await print('[]\n');
}

/** The columns of a format for people. */
export function shownColumns<Row>(columns: readonly Column<Row>[], { output }: BgpViewOptions): readonly Column<Row>[] {
  return columns.filter(({ wide }) => output === 'wide' || wide !== true);
}

/** Only who asks for YAML waits for its library. */
async function yamlText(value: unknown): Promise<string> {
  const { stringify } = await import('yaml');
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' });
}

/** Resolves when there is room for more. */
async function print(text: string): Promise<void> {
  if (!process.stdout.write(text)) await once(process.stdout, 'drain');
}

/** `count` of something: "1 route", "2 routes". */
export function counted(count: number, singular: string): string {
  return `${count} ${singular}${count === 1 ? '' : 's'}`;
}
