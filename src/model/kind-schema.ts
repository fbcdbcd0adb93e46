/**
 * A kind's fields as data: the JSON Schema (draft 2020-12) of its documents, made from the schemas that check them.
 *
 * Only shape, defaults and allowed values are in it; rules that are code (prefixes, selectors, joins of fields) are not.
 * `muslin explain` puts it into words.
 */
import { z } from 'zod';
import type { Kind } from './kind.ts';
import { metadataSchema } from './metadata.ts';

/** The part of JSON Schema that our schemas make use of. */
export interface FieldSchema {
  readonly type?: string | readonly string[];
  readonly description?: string;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, FieldSchema>>;
  readonly required?: readonly string[];
  readonly items?: FieldSchema;
  readonly additionalProperties?: boolean | FieldSchema;
  readonly anyOf?: readonly FieldSchema[];
  readonly oneOf?: readonly FieldSchema[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
}

/** What a document of this kind may hold, as users write it. */
export function schemaOfKind(kind: Kind): FieldSchema {
  const spec = jsonSchema(kind.spec);
  return {
    type: 'object',
    properties: { metadata: jsonSchema(metadataSchema), spec },
    required: ['metadata', ...(kind.spec.safeParse(undefined).success ? [] : ['spec'])],
  };
}

function jsonSchema(schema: z.ZodType): FieldSchema {
  // The generator's type is that of any JSON Schema; FieldSchema names the members that we read, all of them optional.
  return z.toJSONSchema(schema, {
    io: 'input',
    unrepresentable: 'any',
    override: ({ zodSchema, jsonSchema }) => {
      // A default stands for what users would write, which the generator doubts for fields that rewrite their text.
      const { def } = zodSchema._zod;
      if (def.type === 'default') jsonSchema.default = def.defaultValue;
    },
  }) as FieldSchema;
}
