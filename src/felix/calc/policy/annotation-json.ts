/**
 * Annotations whose value is JSON: read with forbearance, since nobody has checked them.
 *
 * An annotation is free text to the store. What cannot be read says nothing, which for every annotation that calc reads is
 * the safe side: no floating address, no further source, no line of a rule.
 */

/** The value of JSON text; undefined where there is none, or it is not JSON. */
export function parsedJson(text: string | undefined): unknown {
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The texts in a JSON list; whatever else is in it is passed over. */
export function textsOfJson(text: string | undefined): string[] {
  const value = parsedJson(text);
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
