/**
 * What a user points at on the command line: a kind, and maybe a name in it.
 *
 * `ippool default-pool` and `ippool/default-pool` are the same, so that names printed by one command can be pasted
 * into the next.
 */
import type { Kind } from '../model/kind.ts';
import { kindByWord, unknownKindMessage } from '../model/kinds.ts';
import { resourceKey } from '../model/resource-key.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';

export const DEFAULT_NAMESPACE = 'default';

export interface Target {
  readonly kind: Kind;
  readonly names: readonly string[];
}

/** Reads `KIND`, `KIND NAME…` or `KIND/NAME`. */
export function targetOf(word: string, names: readonly string[]): Target {
  const [kindWord = '', ...rest] = word.split('/');
  const kind = kindByWord(kindWord);
  if (kind === undefined) throw new CommandError(EXIT_CODE.usage, unknownKindMessage(kindWord));
  if (rest.length === 0) return { kind, names };
  if (names.length > 0 || rest.length > 1 || rest[0] === '') {
    throw new CommandError(EXIT_CODE.usage, `"${[word, ...names].join(' ')}": write KIND NAME or KIND/NAME`);
  }
  return { kind, names: rest };
}

/** The key of an object that a user has named; a wrong name is refused here, since no object can have it. */
export function keyOfNamed(kind: Kind, name: string, namespace: string): string {
  const problem = kind.nameProblem(name) ?? (/^[\x21-\x2e\x30-\x7e]+$/.test(name) ? undefined : 'is not a name');
  if (problem !== undefined) throw new CommandError(EXIT_CODE.usage, `${kind.kind}: ${problem}`);
  return resourceKey({ kind: kind.kind, name, ...(kind.namespaced && { namespace }) });
}

export function notFound(kind: Kind, name: string, namespace: string): CommandError {
  const place = kind.namespaced ? ` in namespace ${namespace}` : '';
  return new CommandError(EXIT_CODE.notFound, `${kind.kind} ${name} not found${place}`);
}
