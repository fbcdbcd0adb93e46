/**
 * What a kind of resource is: one row of the registry in kinds.ts.
 *
 * A kind's file declares its spec as a schema, checks what one field alone cannot tell, and names the columns of its
 * table. Everything that works on all kinds (documents, store, CLI) reads these rows; adding a kind is adding a
 * file and a row.
 */
import type { z } from 'zod';
import type { Column } from '../lib/table.ts';
import { nameProblem } from './fields.ts';
import type { Problem } from './problem.ts';
import type { ApiVersion, Resource } from './resource.ts';
import { API_VERSION } from './resource.ts';

export interface KindDefinition<Name extends string, Spec extends object> {
  readonly kind: Name;
  /** By default Calico's own. */
  readonly apiVersion?: ApiVersion;
  /** What documents call the kind, where that name is another kind's in another group of the API; by default `kind`. */
  readonly documentKind?: string;
  /** Lower case, as in `muslin get ippools`. */
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  /** Why users may read but not write objects of this kind; absent where they may. */
  readonly writeRefusal?: string;
  readonly spec: z.ZodType<Spec>;
  /** What is wrong with a name; by default the rule that fits DNS. */
  readonly nameProblem?: (name: string) => string | undefined;
  /** Rules that join several fields. Runs only on resources whose fields are each right. */
  readonly check?: (resource: Resource<Name, Spec>) => readonly Problem[];
  readonly columns: readonly Column<Resource<Name, Spec>>[];
}

/** A row of the registry: a definition whose spec type has been forgotten, so that rows can stand in one list. */
export interface Kind {
  readonly kind: string;
  readonly apiVersion: ApiVersion;
  readonly documentKind: string;
  readonly plural: string;
  readonly shortNames: readonly string[];
  readonly namespaced: boolean;
  readonly writeRefusal: string | undefined;
  readonly spec: z.ZodType<object>;
  readonly nameProblem: (name: string) => string | undefined;
  readonly check: (resource: Resource<string, object>) => readonly Problem[];
  readonly columns: readonly Column<Resource<string, object>>[];
}

/**
 * The row of a definition. The casts forget the spec's type: a row's `check` and `columns` are only ever handed what
 * the same row's `spec` has parsed, which validate.ts and the stored `kind` see to.
 */
export function kindOf<Name extends string, Spec extends object>(definition: KindDefinition<Name, Spec>): Kind {
  return {
    kind: definition.kind,
    apiVersion: definition.apiVersion ?? API_VERSION,
    documentKind: definition.documentKind ?? definition.kind,
    plural: definition.plural,
    shortNames: definition.shortNames,
    namespaced: definition.namespaced,
    writeRefusal: definition.writeRefusal,
    spec: definition.spec,
    nameProblem: definition.nameProblem ?? nameProblem,
    check: (resource) => definition.check?.(resource as Resource<Name, Spec>) ?? [],
    columns: definition.columns as readonly Column<Resource<string, object>>[],
  };
}
