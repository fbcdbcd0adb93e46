/**
 * How resources are printed: as a table, YAML, JSON or names.
 *
 * The columns of a table come from the kind's row in the registry. YAML and JSON are what `apply` takes back: several
 * resources become one list. Writing goes through the command, so that tests can read what a user would see.
 */
import type { Command } from 'commander';
import { Option } from 'commander';
import { stringify } from 'yaml';
import { unreachable } from '../lib/assert.ts';
import { renderTable } from '../lib/table.ts';
import type { Kind } from '../model/kind.ts';
import type { AnyResource } from '../model/kinds.ts';
import { API_VERSION } from '../model/resource.ts';

const FORMATS = ['table', 'wide', 'yaml', 'json', 'name'] as const;

export type Format = (typeof FORMATS)[number];

export function outputOption(): Option {
  return new Option('-o, --output <format>', 'how to print').choices(FORMATS).default('table');
}

/** `ippool/default-pool`: how commands name a resource, which `get` and `delete` also take. */
export function shortTitle(resource: { readonly kind: string; readonly metadata: { readonly name: string } }): string {
  return `${resource.kind.toLowerCase()}/${resource.metadata.name}`;
}

/** One resource as itself. */
export function formatResource(kind: Kind, resource: AnyResource, format: Format): string {
  if (format === 'json') return jsonText(resource);
  if (format === 'yaml') return yamlText(resource);
  return formatResources(kind, [resource], format, false);
}

/** Several resources of a kind; `showNamespace` puts their namespace before each line of a table. */
export function formatResources(
  kind: Kind,
  resources: readonly AnyResource[],
  format: Format,
  showNamespace: boolean,
): string {
  switch (format) {
    case 'json':
      return jsonText(listOf(kind, resources));
    case 'yaml':
      return yamlText(listOf(kind, resources));
    case 'name':
      return resources.map((resource) => `${shortTitle(resource)}\n`).join('');
    case 'table':
    case 'wide': {
      const columns = kind.columns.filter((column) => format === 'wide' || column.wide !== true);
      const namespace = { title: 'NAMESPACE', cell: ({ metadata }: AnyResource) => metadata.namespace ?? '' };
      return renderTable<AnyResource>(showNamespace ? [namespace, ...columns] : columns, resources);
    }
    default:
      return unreachable(format);
  }
}

function listOf(kind: Kind, items: readonly AnyResource[]): object {
  return { apiVersion: API_VERSION, kind: `${kind.kind}List`, items };
}

function jsonText(value: object): string {
  return `${JSON.stringify(value, undefined, 2)}\n`;
}

/** No folded lines, no anchors, and quotes where YAML 1.1 would see a date or a truth: other parsers read this, too. */
function yamlText(value: object): string {
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
