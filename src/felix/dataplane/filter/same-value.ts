/**
 * Whether two values of a program say the same: plain data, in which addresses are bytes.
 *
 * Chains are made anew when something that they depend on may have changed, and mostly it has not. What is equal stays
 * the value that it was, and nothing is printed or sent to the kernel for it.
 */
export function sameValue(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) || a instanceof Uint8Array) return sameList(a, b);
  const [ours, theirs] = [definedEntries(a), new Map(definedEntries(b))];
  return (
    ours.length === theirs.size && ours.every(([key, value]) => theirs.has(key) && sameValue(value, theirs.get(key)))
  );
}

function sameList(a: readonly unknown[] | Uint8Array, b: object): boolean {
  if (!Array.isArray(b) && !(b instanceof Uint8Array)) return false;
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (!sameValue(a[index], b[index])) return false;
  return true;
}

function definedEntries(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, each]) => each !== undefined);
}
