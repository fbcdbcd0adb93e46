/**
 * What a user points at on the command line: kinds, names in them, or those that a selector chooses.
 *
 * `ippool default-pool` and `ippool/default-pool` are the same, so that names printed by one command can be pasted
 * into the next. `nodes,ippools` are two kinds. Reading a selection gives resources; entries that cannot be read as
 * resources are named on stderr and left out, unless they were asked for by name.
 */
import { Option } from 'commander';
import type { Kind } from '../model/kind.ts';
import type { AnyResource } from '../model/kinds.ts';
import { kindByWord, unknownKindMessage } from '../model/kinds.ts';
import { resourceOfEntry } from '../model/resource-entry.ts';
import { keyOf, kindPrefix, resourceKey } from '../model/resource-key.ts';
import type { Selector } from '../model/selector.ts';
import { matches } from '../model/selector.ts';
import { parseSelector } from '../model/selector-parser.ts';
import { DEFAULT_NAMESPACE } from '../model/validate.ts';
import type { Entry, Store } from '../store/store.ts';
import { CommandError, EXIT_CODE } from './exit-code.ts';
import type { Output } from './output.ts';
import { shortTitle } from './output.ts';

export interface TargetOptions {
  readonly namespace: string;
  readonly allNamespaces?: boolean;
  readonly selector?: string;
}

export function namespaceOption(): Option {
  return new Option('-n, --namespace <namespace>', 'the namespace, for kinds that have one').default(DEFAULT_NAMESPACE);
}

export function allNamespacesOption(): Option {
  return new Option('-A, --all-namespaces', 'in all namespaces');
}

export function selectorOption(): Option {
  return new Option('-l, --selector <selector>', 'only those with such labels: \'rack == "r1" && has(ssd)\'');
}

/** An object that was named; it need not be there. */
export interface Named {
  readonly kind: Kind;
  readonly key: string;
  readonly name: string;
  readonly namespace: string;
  /** `ippool/a` */
  readonly title: string;
}

/** What a command line points at: named objects, or all of some kinds in some place that match. */
export type Target =
  | { readonly by: 'name'; readonly items: readonly Named[] }
  | {
      readonly by: 'kind';
      readonly kinds: readonly Kind[];
      /** Undefined: all of them. */
      readonly namespace: string | undefined;
      readonly selector: Selector;
    };

/** Reads `KIND`, `KIND,KIND`, `KIND NAME…` or `KIND/NAME…` with the options beside it. */
export function targetOf(words: readonly string[], options: TargetOptions): Target {
  const selector = options.selector === undefined ? undefined : selectorOf(options.selector);
  const items = namedBy(words, options.namespace);
  if (items.length > 0) {
    if (options.allNamespaces === true)
      throw new CommandError(EXIT_CODE.usage, 'a name is in one namespace: leave out -A or NAME');
    if (selector !== undefined)
      throw new CommandError(EXIT_CODE.usage, 'a name needs no selector: leave out -l or NAME');
    return { by: 'name', items };
  }
  const namespace = options.allNamespaces === true ? undefined : options.namespace;
  const kinds = [...new Set((words[0] ?? '').split(',').map(kindOfWord))];
  return { by: 'kind', kinds, namespace, selector: selector ?? { kind: 'all' } };
}

/** The objects that are named; none when only kinds are. */
function namedBy(words: readonly string[], namespace: string): Named[] {
  const [first = '', ...names] = words;
  const joined = words.filter((word) => word.includes('/'));
  // A slash inside of a later word may belong to a wrong name, which the kind's own rule explains better.
  if (!first.includes('/'))
    return first.includes(',') && names.length > 0 ? mixed(words) : namedIn(first, names, namespace);
  if (joined.length < words.length) return mixed(words);
  return words.flatMap((word) => {
    const [kind = '', name = '', ...rest] = word.split('/');
    return name === '' || rest.length > 0 ? mixed([word]) : namedIn(kind, [name], namespace);
  });
}

function namedIn(kindWord: string, names: readonly string[], namespace: string): Named[] {
  if (names.length === 0) return [];
  const kind = kindOfWord(kindWord);
  return names.map((name) => namedOf(kind, name, namespace));
}

function mixed(words: readonly string[]): never {
  throw new CommandError(EXIT_CODE.usage, `"${words.join(' ')}": write KIND NAME or KIND/NAME`);
}

export function kindOfWord(word: string): Kind {
  const kind = kindByWord(word);
  if (kind === undefined) throw new CommandError(EXIT_CODE.usage, unknownKindMessage(word));
  return kind;
}

/** An object that a user has named; a wrong name is refused here, since no object can have it. */
function namedOf(kind: Kind, name: string, namespace: string): Named {
  const problem = kind.nameProblem(name) ?? (/^[\x21-\x2e\x30-\x7e]+$/.test(name) ? undefined : 'is not a name');
  if (problem !== undefined) throw new CommandError(EXIT_CODE.usage, `${kind.kind}: ${problem}`);
  const key = resourceKey({ kind: kind.kind, name, ...(kind.namespaced && { namespace }) });
  return { kind, key, name, namespace, title: shortTitle({ kind: kind.kind, metadata: { name } }) };
}

/** The object that a resource is, as if it had been named. */
export function namedAfter(kind: Kind, resource: AnyResource): Named {
  const { name, namespace = DEFAULT_NAMESPACE } = resource.metadata;
  return { kind, key: keyOf(resource), name, namespace, title: shortTitle(resource) };
}

/** The one object that a command is about, from `KIND NAME` or `KIND/NAME`. */
export function oneNamed(words: readonly string[], options: TargetOptions): Named {
  const target = targetOf(words, options);
  const [named, ...more] = target.by === 'name' ? target.items : [];
  if (named === undefined) throw new CommandError(EXIT_CODE.usage, `which ${words[0]}? write KIND NAME or KIND/NAME`);
  if (more.length > 0) throw new CommandError(EXIT_CODE.usage, 'one object at a time: write one NAME');
  return named;
}

function selectorOf(text: string): Selector {
  const parsed = parseSelector(text);
  if (parsed.ok) return parsed.selector;
  const [, label, value] = /^([\w./-]+)=([\w.-]+)$/.exec(text) ?? [];
  const hint = label === undefined ? '' : `; write '${label} == "${value}"'`;
  const message = `"${text}" is not a selector: at character ${parsed.offset + 1}: ${parsed.message}${hint}`;
  throw new CommandError(EXIT_CODE.usage, message);
}

export function notFound({ kind, name, namespace }: Pick<Named, 'kind' | 'name' | 'namespace'>): CommandError {
  const place = kind.namespaced ? ` in namespace ${namespace}` : '';
  return new CommandError(EXIT_CODE.notFound, `${kind.kind} ${name} not found${place}`);
}

/** The resource in an entry, which is there and must be readable. */
export function resourceIn(entry: Entry): AnyResource {
  const reading = resourceOfEntry(entry);
  if (!reading.ok) throw new CommandError(EXIT_CODE.failure, reading.problem);
  return reading.resource;
}

/** The named object; throws when it is not there or cannot be read. */
export async function readNamed(store: Store, named: Named): Promise<AnyResource> {
  const entry = await store.get(named.key);
  if (entry === undefined) throw notFound(named);
  return resourceIn(entry);
}

/** The prefix under which a kind's objects lie, in the namespace if the kind has namespaces. */
export function prefixOf(kind: Kind, namespace: string | undefined): string {
  return kindPrefix(kind.kind, kind.namespaced ? namespace : undefined);
}

/** All of a kind that match; what cannot be read is named on stderr. */
export async function readKind(
  store: Store,
  kind: Kind,
  { namespace, selector }: Extract<Target, { by: 'kind' }>,
  output: Output,
): Promise<AnyResource[]> {
  const resources: AnyResource[] = [];
  for (const entry of (await store.list(prefixOf(kind, namespace))).entries) {
    const reading = resourceOfEntry(entry);
    if (!reading.ok) output.talk(`warning: left out: ${reading.problem}\n`);
    else if (isSelected(selector, reading.resource)) resources.push(reading.resource);
  }
  return resources;
}

export function isSelected(selector: Selector, { metadata }: AnyResource): boolean {
  return matches(selector, metadata.labels ?? {});
}
