/**
 * Two ways to write down a change to a JSON value: a merge patch (RFC 7386) and a JSON patch (RFC 6902).
 *
 * A merge patch looks like the part of the value that changes; null removes a member. A JSON patch is a list of operations
 * on places (JSON pointers, RFC 6901), of which the first that fails stops all. Values are never changed in place. What
 * is wrong is a CommandError that names the operation; `test` that does not hold is a conflict.
 */
import type { Json } from '../lib/json.ts';
import { isJsonObject, sameJson } from '../lib/json.ts';
import { suggestion } from '../model/near-miss.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

/** More operations than a person or a sane program writes. */
const OPERATIONS_MAX = 1_000;

const OPERATIONS = ['add', 'remove', 'replace', 'move', 'copy', 'test'] as const;

type JsonObject = { readonly [name: string]: Json };

function isObject(value: Json | undefined): value is JsonObject {
  return isJsonObject(value);
}

/** RFC 7386, section 2. */
export function mergePatch(target: Json, patch: Json): Json {
  if (!isObject(patch)) return patch;
  const members = new Map(isObject(target) ? Object.entries(target) : []);
  for (const [name, change] of Object.entries(patch)) {
    if (change === null) members.delete(name);
    else members.set(name, mergePatch(members.get(name) ?? null, change));
  }
  return Object.fromEntries(members);
}

/** RFC 6902, section 4. */
export function jsonPatch(target: Json, patch: Json): Json {
  if (!Array.isArray(patch))
    throw new CommandError(EXIT_CODE.usage, 'a json patch is a list of operations: [{"op": …}]');
  if (patch.length > OPERATIONS_MAX) {
    throw new CommandError(EXIT_CODE.usage, `the patch has ${patch.length} operations; at most ${OPERATIONS_MAX}`);
  }
  return patch.reduce<Json>((value, operation: Json, index) => {
    try {
      return operate(value, operation);
    } catch (error) {
      if (!(error instanceof PatchProblem)) throw error;
      throw new CommandError(error.exitCode, `operation ${index} of the patch: ${error.message}`);
    }
  }, target);
}

/** Why an operation cannot be done; never leaves this file. */
class PatchProblem extends Error {
  readonly exitCode: typeof EXIT_CODE.usage | typeof EXIT_CODE.conflict;

  constructor(message: string, exitCode: PatchProblem['exitCode'] = EXIT_CODE.usage) {
    super(message);
    this.exitCode = exitCode;
  }
}

function operate(value: Json, operation: Json): Json {
  if (!isObject(operation)) throw new PatchProblem('must be a mapping with "op" and "path"');
  const name = OPERATIONS.find((known) => known === operation['op']);
  if (name === undefined) {
    const text = String(operation['op']);
    throw new PatchProblem(`op "${text}" is not one of ${OPERATIONS.join(', ')}${suggestion(text, OPERATIONS)}`);
  }
  const path = pointerIn(operation, 'path');
  switch (name) {
    case 'add':
      return put(value, path, given(operation), 'insert');
    case 'remove':
      return take(value, path);
    case 'replace':
      at(value, path);
      return put(value, path, given(operation), 'replace');
    case 'test':
      if (sameJson(at(value, path), given(operation))) return value;
      throw new PatchProblem(
        `test: ${pointerText(path)} is ${JSON.stringify(at(value, path))}, not ${JSON.stringify(given(operation))}`,
        EXIT_CODE.conflict,
      );
    case 'copy':
      return put(value, path, at(value, pointerIn(operation, 'from')), 'insert');
    case 'move': {
      const from = pointerIn(operation, 'from');
      if (from.length < path.length && from.every((step, index) => step === path[index])) {
        throw new PatchProblem(`${pointerText(from)} cannot move into itself`);
      }
      return put(take(value, from), path, at(value, from), 'insert');
    }
  }
}

function given(operation: JsonObject): Json {
  const value = operation['value'];
  if (value === undefined) throw new PatchProblem(`"${String(operation['op'])}" needs a "value"`);
  return value;
}

/** A JSON pointer as its steps (RFC 6901). */
function pointerIn(operation: JsonObject, member: 'path' | 'from'): readonly string[] {
  const text = operation[member];
  if (typeof text === 'string' && (text === '' || text.startsWith('/')) && !/~(?![01])/.test(text)) {
    return text
      .split('/')
      .slice(1)
      .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'));
  }
  throw new PatchProblem(`"${member}" must be a place such as /spec/cidr, not ${JSON.stringify(text) ?? 'nothing'}`);
}

function pointerText(path: readonly string[]): string {
  return path.map((step) => `/${step.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('') || 'the whole';
}

function at(value: Json, path: readonly string[]): Json {
  let here: Json | undefined = value;
  for (const [index, step] of path.entries()) {
    here = Array.isArray(here) ? here[itemIndex(here, step, 'there')] : memberOf(here, step);
    if (here === undefined) throw absent(path.slice(0, index + 1));
  }
  return here ?? null;
}

function memberOf(value: Json | undefined, name: string): Json | undefined {
  return isObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

function absent(path: readonly string[]): PatchProblem {
  return new PatchProblem(`${pointerText(path)} is not there`);
}

/** The number that a step into a list means; `end` lets it be one beyond the last, which "-" also means. */
function itemIndex(list: readonly Json[], step: string, upTo: 'there' | 'end'): number {
  const index = upTo === 'end' && step === '-' ? list.length : /^(0|[1-9]\d{0,8})$/.test(step) ? Number(step) : -1;
  if (index >= 0 && index < list.length + (upTo === 'end' ? 1 : 0)) return index;
  throw new PatchProblem(`"${step}" is not a place in a list of ${list.length}`);
}

/** `value` with `change` made to the list or mapping that holds the last step of `path`. */
function inParent(
  value: Json,
  path: readonly string[],
  change: (parent: readonly Json[] | JsonObject, step: string) => Json,
): Json {
  const [step, ...rest] = path;
  if (step === undefined) throw new PatchProblem('the whole resource cannot be removed; use delete');
  const isList = Array.isArray(value);
  if (!isList && !isObject(value)) throw absent(path);
  if (rest.length === 0) return change(value, step);
  const child = at(value, [step]);
  const changed = inParent(child, rest, change);
  return isList ? value.with(itemIndex(value, step, 'there'), changed) : { ...value, [step]: changed };
}

function put(value: Json, path: readonly string[], item: Json, way: 'insert' | 'replace'): Json {
  if (path.length === 0) return item;
  return inParent(value, path, (parent, step) => {
    if (!isList(parent)) return { ...parent, [step]: item };
    const index = itemIndex(parent, step, way === 'insert' ? 'end' : 'there');
    return way === 'insert' ? parent.toSpliced(index, 0, item) : parent.with(index, item);
  });
}

function take(value: Json, path: readonly string[]): Json {
  return inParent(value, path, (parent, step) => {
    if (isList(parent)) return parent.toSpliced(itemIndex(parent, step, 'there'), 1);
    if (!Object.hasOwn(parent, step)) throw absent(path);
    const { [step]: _, ...rest } = parent;
    return rest;
  });
}

function isList(value: readonly Json[] | JsonObject): value is readonly Json[] {
  return Array.isArray(value);
}
