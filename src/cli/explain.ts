/**
 * `muslin explain`: what a kind is made of, field by field, in words.
 *
 * The words come from the schema that checks documents (model/kind-schema.ts), so they cannot say something else. A path may
 * leave out `spec.`; a list is gone through without a number (`node.spec.addresses.type`).
 */
import { Command } from 'commander';
import { renderTable } from '../lib/table.ts';
import type { Kind } from '../model/kind.ts';
import type { FieldSchema } from '../model/kind-schema.ts';
import { schemaOfKind } from '../model/kind-schema.ts';
import { suggestion } from '../model/near-miss.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import { outputOf } from './output.ts';
import { kindOfWord } from './target.ts';

export function explainCommand(): Command {
  return new Command('explain')
    .description('say what the fields of a kind are')
    .argument('<kind[.field]>', 'a kind, and the way to one of its fields')
    .addHelpText(
      'after',
      '\nExamples:\n  muslin explain ippool\n  muslin explain ippool.spec.blockSize\n  muslin explain node.bgp',
    )
    .action((word: string, _: object, command: Command) => {
      const [kindWord = '', ...path] = word.split('.');
      outputOf(command).result(explain(kindOfWord(kindWord), path));
    });
}

interface Place {
  readonly path: readonly string[];
  readonly schema: FieldSchema;
  readonly isRequired: boolean;
}

function explain(kind: Kind, words: readonly string[]): string {
  const root = schemaOfKind(kind);
  const path = words.length === 0 || Object.hasOwn(root.properties ?? {}, words[0] ?? '') ? words : ['spec', ...words];
  const { schema, isRequired } = findField(kind, root, path);
  const facts: [string, string][] = [['KIND', kind.kind]];
  if (path.length > 0) {
    facts.push(['FIELD', path.join('.')], ['TYPE', typeOf(schema)], ['REQUIRED', isRequired ? 'yes' : 'no']);
    if (schema.default !== undefined) facts.push(['DEFAULT', JSON.stringify(schema.default)]);
    facts.push(...limitsOf(schema).map((limit): [string, string] => ['ALLOWED', limit]));
    if (schema.description !== undefined) facts.push(['MEANING', schema.description]);
  } else {
    facts.push(['WORDS', [kind.plural, ...kind.shortNames].join(', ')]);
    facts.push(['NAMESPACED', kind.namespaced ? 'yes' : 'no']);
    if (kind.writeRefusal !== undefined) facts.push(['WRITTEN BY', `muslin alone: ${kind.writeRefusal}`]);
  }
  const head = facts.map(([name, value]) => `${`${name}:`.padEnd(12)} ${value}\n`).join('');
  // A kind's own page shows what it is about at once: the fields of its spec.
  const shown = path.length === 0 ? findField(kind, root, ['spec']).schema : schema;
  const fields = fieldsOf(path.length === 0 ? ['spec'] : path, shown);
  return fields.length === 0 ? head : `${head}\n${fieldTable(fields)}`;
}

function findField(kind: Kind, root: FieldSchema, path: readonly string[]): Place {
  let place: Place = { path: [], schema: root, isRequired: true };
  for (const step of path) {
    const fields = fieldsOf(place.path, place.schema);
    const next = fields.find((field) => field.path.at(-1) === step) ?? anyMember(place, step);
    if (next === undefined) {
      const names = fields.map((field) => field.path.at(-1) ?? '');
      const known = names.length === 0 ? 'it has no fields' : `fields: ${names.join(', ')}`;
      const title = [kind.kind, ...place.path].join('.');
      throw new CommandError(EXIT_CODE.usage, `${title} has no field "${step}"${suggestion(step, names)} (${known})`);
    }
    place = next;
  }
  return place;
}

/** The fields right below a field; for a list, those of its items. */
function fieldsOf(path: readonly string[], schema: FieldSchema): Place[] {
  if (schema.items !== undefined) return fieldsOf(path, schema.items);
  const own = Object.entries(schema.properties ?? {}).map(([name, field]) => ({
    path: [...path, name],
    schema: field,
    isRequired: schema.required?.includes(name) === true,
  }));
  return [...own, ...(schema.anyOf ?? schema.oneOf ?? []).flatMap((variant) => fieldsOf(path, variant))];
}

/** The member of that name of a mapping whose names are free. */
function anyMember({ path, schema }: Place, name: string): Place | undefined {
  const { additionalProperties: member } = schema;
  return typeof member === 'object' ? { path: [...path, name], schema: member, isRequired: false } : undefined;
}

function fieldTable(fields: readonly Place[]): string {
  const columns = [
    { title: 'FIELD', cell: ({ path }: Place) => path.at(-1) ?? '' },
    { title: 'TYPE', cell: ({ schema }: Place) => typeOf(schema) },
    {
      title: 'DEFAULT',
      cell: ({ schema, isRequired }: Place) =>
        schema.default === undefined ? (isRequired ? '(required)' : '') : JSON.stringify(schema.default),
    },
    { title: 'ALLOWED', cell: ({ schema }: Place) => limitsOf(schema.items ?? schema).join('; ') },
  ];
  return renderTable(columns, fields);
}

const TYPE_WORDS: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'number',
  integer: 'whole number',
  boolean: 'true or false',
  object: 'mapping',
  null: 'nothing',
};

function typeOf(schema: FieldSchema): string {
  if (schema.items !== undefined) return `list of ${typeOf(schema.items)}`;
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined) return [...new Set(variants.map(typeOf))].join(' or ');
  if (typeof schema.additionalProperties === 'object') return `mapping to ${typeOf(schema.additionalProperties)}`;
  const types = typeof schema.type === 'string' ? [schema.type] : (schema.type ?? []);
  return types.length === 0 ? 'anything' : types.map((type) => TYPE_WORDS[type] ?? type).join(' or ');
}

function limitsOf(schema: FieldSchema): string[] {
  const variants = schema.anyOf ?? schema.oneOf;
  if (variants !== undefined) return variants.flatMap(limitsOf);
  const limits: string[] = [];
  if (schema.enum !== undefined) limits.push(schema.enum.map(String).join(', '));
  if (schema.const !== undefined) limits.push(String(schema.const));
  const minimum = isBound(schema.minimum) ? schema.minimum : undefined;
  const maximum = isBound(schema.maximum) ? schema.maximum : undefined;
  if (minimum !== undefined && maximum !== undefined) limits.push(`${minimum} to ${maximum}`);
  else if (minimum !== undefined) limits.push(`${minimum} and more`);
  else if (maximum !== undefined) limits.push(`up to ${maximum}`);
  if (schema.maxItems !== undefined) limits.push(`up to ${schema.maxItems} items`);
  if (schema.pattern !== undefined) limits.push(`matching ${schema.pattern}`);
  return limits;
}

/** The bounds of JavaScript's exact whole numbers come from the schema's machinery and tell nobody anything. */
function isBound(bound: number | undefined): boolean {
  return bound !== undefined && Math.abs(bound) < Number.MAX_SAFE_INTEGER;
}
