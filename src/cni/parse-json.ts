/**
 * JSON from a caller, with a bound on how deep it is nested.
 *
 * JSON.parse takes any depth, and whatever walks the value afterwards (JSON.stringify, when a message quotes it) runs out of
 * stack: a pod's annotation would end the agent. The plugin has the same bound (NESTING_MAX in shim.c). Whether the text is
 * JSON at all is for JSON.parse to say; the depth of text that is not does not matter.
 */
const NESTING_MAX = 64;

export type ParsedJson =
  | { readonly ok: true; readonly value: unknown }
  | { readonly ok: false; readonly reason: string };

/** The value of `text`; never throws. */
export function parseJson(text: string): ParsedJson {
  if (isTooDeep(text)) return { ok: false, reason: `nested more than ${NESTING_MAX} deep` };
  try {
    return { ok: true, value: JSON.parse(text) };
  } catch (error) {
    return { ok: false, reason: error instanceof Error ? error.message : String(error) };
  }
}

function isTooDeep(text: string): boolean {
  let depth = 0;
  let isString = false;
  for (let at = 0; at < text.length; at++) {
    const character = text[at];
    if (isString) {
      if (character === '\\') at += 1;
      else if (character === '"') isString = false;
    } else if (character === '"') isString = true;
    else if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth -= 1;
    if (depth > NESTING_MAX) return true;
  }
  return false;
}
