/**
 * Keeping a map in step with something that comes and goes: undefined takes the key away.
 */
export function setOrDelete<Key, Value>(map: Map<Key, Value>, key: Key, value: Value | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
