/**
 * How resources are printed: as a table, YAML, JSON, names, or through a template.
 *
 * The columns of a table come from the kind's row in the registry. YAML and JSON are what `apply` takes back: several
 * resources become one list. Writing goes through the command, so that tests can read what a user would see.
 */
import type { Command } from 'commander';
import { InvalidArgumentError, Option } from 'commander';
import { stringify } from 'yaml';
import { unreachable } from '../lib/assert.ts';
import type { Column } from '../lib/table.ts';
import { renderTable } from '../lib/table.ts';
import type { Kind } from '../model/kind.ts';
import type { AnyResource } from '../model/kinds.ts';
import { documentOf } from '../model/kinds.ts';
import { suggestion } from '../model/near-miss.ts';
import { API_VERSION } from '../model/resource.ts';
import type { Template } from './jsonpath.ts';
import { fillTemplate, parseTemplate } from './jsonpath.ts';

const FORMATS = ['table', 'wide', 'yaml', 'json', 'name'] as const;

export type Format =
  | { readonly name: (typeof FORMATS)[number] }
  | { readonly name: 'jsonpath'; readonly template: Template };

export function outputOption(): Option {
  return new Option('-o, --output <format>', `how to print: ${FORMATS.join(', ')}, or jsonpath=TEMPLATE`)
    .argParser(formatOf)
    .default({ name: 'table' } satisfies Format, 'table');
}

function formatOf(text: string): Format {
  if (text.startsWith('jsonpath='))
    return { name: 'jsonpath', template: parseTemplate(text.slice('jsonpath='.length)) };
  const name = FORMATS.find((format) => format === text);
  if (name !== undefined) return { name };
  const hint = suggestion(text, FORMATS);
  throw new InvalidArgumentError(`Allowed are ${FORMATS.join(', ')}, jsonpath='{.spec}'${hint}`);
}

/** `ippool/default-pool`: how commands name a resource, which `get` and `delete` also take. */
export function shortTitle(resource: { readonly kind: string; readonly metadata: { readonly name: string } }): string {
  return `${resource.kind.toLowerCase()}/${resource.metadata.name}`;
}

/** Resources of one kind that are printed together. */
export interface Group {
  readonly kind: Kind;
  readonly resources: readonly AnyResource[];
  /** Whether their namespace stands before each line of a table. */
  readonly showNamespace: boolean;
}

/** One resource as itself. */
export function formatResource(kind: Kind, resource: AnyResource, format: Format): string {
  switch (format.name) {
    case 'json':
      return jsonText(documentOf(resource));
    case 'yaml':
      return yamlText(documentOf(resource));
    case 'jsonpath':
      return withNewline(fillTemplate(format.template, documentOf(resource)));
    default:
      return formatGroups([{ kind, resources: [resource], showNamespace: false }], format);
  }
}

/** Groups of resources, one after the other; a list where the format has lists. */
export function formatGroups(groups: readonly Group[], format: Format): string {
  switch (format.name) {
    case 'json':
      return jsonText(listOf(groups));
    case 'yaml':
      return yamlText(listOf(groups));
    case 'jsonpath':
      return withNewline(fillTemplate(format.template, listOf(groups)));
    case 'name':
      return groups.flatMap(({ resources }) => resources.map((resource) => `${shortTitle(resource)}\n`)).join('');
    case 'table':
    case 'wide':
      return groups.map((group) => renderTable(columnsOf(group, format), group.resources)).join('\n');
    default:
      return unreachable(format);
  }
}

/** The columns in which a group is printed. */
export function columnsOf({ kind, showNamespace }: Omit<Group, 'resources'>, format: Format): Column<AnyResource>[] {
  const columns = kind.columns.filter((column) => format.name === 'wide' || column.wide !== true);
  const namespace = { title: 'NAMESPACE', cell: ({ metadata }: AnyResource) => metadata.namespace ?? '' };
  return showNamespace ? [namespace, ...columns] : columns;
}

function listOf(groups: readonly Group[]): object {
  const [first] = groups;
  const items = groups.flatMap(({ resources }) => resources.map(documentOf));
  if (first === undefined || groups.length > 1) return { apiVersion: API_VERSION, kind: 'List', items };
  return { apiVersion: first.kind.apiVersion, kind: `${first.kind.documentKind}List`, items };
}

function withNewline(text: string): string {
  return text === '' || text.endsWith('\n') ? text : `${text}\n`;
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** No folded lines, no anchors, and quotes where YAML 1.1 would see a date or a truth: other parsers read this, too. */
export function yamlText(value: unknown): string {
  return stringify(value, { lineWidth: 0, aliasDuplicateObjects: false, compat: 'yaml-1.1' });
}

/** Where a command writes its results and its talk. */
export interface Output {
  readonly result: (text: string) => void;
  readonly talk: (text: string) => void;
}

/** The command's own outputs: stdout and stderr, or what a test has put in their place. */
export function outputOf(command: Command): Output {
  const { writeOut, writeErr } = command.configureOutput();
  return {
    result: (text) => writeOut?.(text),
    talk: (text) => writeErr?.(text),
  };
}
