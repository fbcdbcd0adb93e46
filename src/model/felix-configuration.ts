/**
 * FelixConfiguration: how Felix works, on all nodes ("default"), on those a selector chooses, or on one ("node.NAME").
 *
 * The parameters are the rows of felix-parameters.ts; the schema is made from them. Those that are absent stay absent:
 * configurations lie one over the other, so filling in values here would make a narrow one override everything below it.
 * `effectiveFelix` joins them with the values that hold where nobody sets any.
 */
import type { z } from 'zod';
import { isLayerName, layerNameProblem } from './configuration-name.ts';
import { FELIX_PARAMETERS } from './felix-parameters.ts';
import { mapping } from './fields.ts';
import { kindOf } from './kind.ts';
import type { Problem } from './problem.ts';
import type { Resource } from './resource.ts';

type Parameters = typeof FELIX_PARAMETERS;

type Shape = { readonly [Name in keyof Parameters]: z.ZodExactOptional<Parameters[Name]['type']> };

// The entries are those of the table, one for one, which Object.fromEntries forgets.
const shape = Object.fromEntries(
  Object.entries(FELIX_PARAMETERS).map(([name, parameter]) => [name, parameter.type.exactOptional()]),
) as Shape;

const spec = mapping(shape);

export type FelixConfigurationSpec = Readonly<z.infer<typeof spec>>;
export type FelixConfiguration = Resource<'FelixConfiguration', FelixConfigurationSpec>;

/** All parameters; those that may be unset are undefined where nobody sets them. */
export type EffectiveFelix = {
  readonly [Name in keyof Parameters]:
    | z.infer<Parameters[Name]['type']>
    | (Parameters[Name]['default'] extends undefined ? undefined : never);
};

// Each row's value is of its row's type, as `row` and `unset` see to; Object.fromEntries forgets which is whose.
const BUILT_IN = Object.fromEntries(
  Object.entries(FELIX_PARAMETERS).map(([name, parameter]) => [name, parameter.default]),
) as EffectiveFelix;

/**
 * What holds on a node: `layers` over the built-in values, each over those before it. Calico's order is the default
 * configuration, those whose nodeSelector chooses the node, the node's own.
 */
export function effectiveFelix(layers: readonly (FelixConfiguration | undefined)[]): EffectiveFelix {
  let effective = BUILT_IN;
  for (const layer of layers) effective = { ...effective, ...layer?.spec };
  return effective;
}

function check({ metadata, spec }: FelixConfiguration): Problem[] {
  const problems: Problem[] = [];
  const wrong = (field: keyof FelixConfigurationSpec, message: string) =>
    problems.push({ path: ['spec', field], message });
  if (!isLayerName(metadata.name) && spec.nodeSelector === undefined) {
    const message = `${layerNameProblem(metadata.name)}; under another name it needs spec.nodeSelector`;
    problems.push({ path: ['metadata', 'name'], message });
  }
  if (isLayerName(metadata.name) && spec.nodeSelector !== undefined) {
    wrong('nodeSelector', `has no use in ${metadata.name}, whose name says for which nodes it is; choose another name`);
  }
  if (spec.routeTableRange !== undefined && spec.routeTableRanges !== undefined) {
    wrong('routeTableRange', 'is the old form of routeTableRanges; remove it');
  }
  return problems;
}

export const felixConfigurationKind = kindOf<'FelixConfiguration', FelixConfigurationSpec>({
  kind: 'FelixConfiguration',
  plural: 'felixconfigurations',
  shortNames: ['felixconfig', 'felixconfigs'],
  namespaced: false,
  spec: spec.default({}),
  check,
  columns: [
    { title: 'NAME', cell: ({ metadata }) => metadata.name },
    { title: 'NODESELECTOR', cell: ({ spec }) => spec.nodeSelector ?? '', wide: true },
  ],
});
