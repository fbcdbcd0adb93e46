/**
 * JSON as a type, and when two JSON values are the same.
 *
 * What the store keeps and what documents are made of. Objects are equal when they have the same members, in whatever
 * order; arrays when they have the same items in the same order.
 */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** Whether `value` is an object with named members: neither null nor an array. */
export function isJsonObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Equality of JSON values. A member that is undefined counts as absent, as JSON text would have it. */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true; // the common case of shared values, however large they are
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length === b.length && a.every((item, index) => sameJson(item, b[index]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const names = new Set([...Object.keys(a), ...Object.keys(b)]);
  return [...names].every((name) => sameJson(a[name], b[name]));
}
