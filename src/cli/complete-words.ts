/**
 * What could stand at the end of a command line: from its words to a wish, which complete.ts fulfils.
 *
 * The table of commands and the commands themselves (options, choices, arguments as commander has them) are all that is
 * known, so a command that is added completes at once. What an argument or an option's value names follows from what
 * it is called: SOURCES. Words that make no sense give no candidates, never an error. Pure.
 */
import type { Argument, Command, Option } from 'commander';
import type { CommandRow, CommandTable } from './command-row.ts';

export interface Candidate {
  readonly word: string;
  /** One line for shells that show it; may be empty. */
  readonly summary: string;
}

/** Where live names come from. */
export type Source =
  | { readonly kind: 'kinds' }
  | { readonly kind: 'resources'; readonly of: string }
  | { readonly kind: 'namespaces' }
  | { readonly kind: 'labs' }
  | { readonly kind: 'topologies' }
  | { readonly kind: 'peers' }
  | { readonly kind: 'entities'; readonly only?: 'host' | 'workload' }
  | { readonly kind: 'files' }
  | { readonly kind: 'directories' }
  | { readonly kind: 'nothing' };

export type Wish =
  | { readonly kind: 'words'; readonly candidates: readonly Candidate[] }
  /** `options` are those that stand before, by their long names: --store and --lab choose where names are looked up. */
  | { readonly kind: 'source'; readonly source: Source; readonly options: ReadonlyMap<string, string> };

/** What the values of options name, by the option; an option that is not here takes what cannot be known. */
const OPTION_SOURCES: Readonly<Record<string, Source>> = {
  '--filename': { kind: 'files' },
  '--config': { kind: 'files' },
  '--socket': { kind: 'files' },
  '--store': { kind: 'files' },
  '--from': { kind: 'files' },
  '--to': { kind: 'files' },
  '--output': { kind: 'files' },
  '--file': { kind: 'files' },
  '--peer': { kind: 'peers' },
  '--received': { kind: 'peers' },
  '--advertised': { kind: 'peers' },
  '--directory': { kind: 'directories' },
  '--namespace': { kind: 'namespaces' },
  '--lab': { kind: 'labs' },
  '--host': { kind: 'entities', only: 'host' },
};

/** What `-o <format>` takes; where commander knows the choices itself they come from there. */
const FORMATS = ['table', 'wide', 'yaml', 'json', 'name', 'jsonpath='];

/** What arguments name, by the first word of the command and the argument; `*` is every other command. */
const ARGUMENT_SOURCES: Readonly<Record<string, Source>> = {
  'lab entity': { kind: 'entities' },
  'lab host': { kind: 'entities', only: 'host' },
  'lab name|file': { kind: 'topologies' },
  'lab name': { kind: 'labs' },
  'bgp peer': { kind: 'peers' },
  '* kind': { kind: 'kinds' },
  '* command': { kind: 'files' },
  '* file': { kind: 'files' },
};

/** Commands of which the name is not that of a lab. */
const LAB_NAME_EXCEPTIONS: Readonly<Record<string, Source>> = {
  attach: { kind: 'nothing' },
  detach: { kind: 'entities', only: 'workload' },
};

/** The words that can follow `before` where only the table counts: the first word, or one in a group. */
export function nextCommandWords({ rows, groups }: CommandTable, before: readonly string[]): Candidate[] {
  const found = new Map<string, string>();
  for (const { path, summary, hidden } of rows) {
    if (hidden === true || !before.every((word, index) => path[index] === word)) continue;
    const word = path[before.length];
    if (word === undefined) continue;
    found.set(word, path.length > before.length + 1 ? (groups[word] ?? '') : summary);
  }
  return [...found].map(([word, summary]) => ({ word, summary }));
}

/** What can stand where `current` stands, in `command` after `words` (those after the command's own path). */
export function wishAt(row: CommandRow, command: Command, words: readonly string[], current: string): Wish {
  const { positionals, options, pending, onlyArguments } = readWords(command, words);
  if (pending !== undefined) return valueWish(pending, options);
  if (!onlyArguments && current.startsWith('-')) {
    const attached = /^(--[^=]+)=/.exec(current)?.[1];
    const option = command.options.find(({ long }) => long === attached);
    if (option !== undefined) return valueWish(option, options);
    const candidates = command.options.filter(({ hidden }) => !hidden).map(optionCandidate);
    return { kind: 'words', candidates: [...candidates, { word: '--help', summary: 'show help' }] };
  }
  const last = command.registeredArguments.at(-1);
  const argument = command.registeredArguments[positionals.length] ?? (last?.variadic === true ? last : undefined);
  return argument === undefined ? wordsWish([]) : argumentWish(row, argument, positionals, options);
}

function wordsWish(candidates: readonly Candidate[]): Wish {
  return { kind: 'words', candidates };
}

interface Read {
  readonly positionals: readonly string[];
  readonly options: ReadonlyMap<string, string>;
  /** The option whose value comes next. */
  readonly pending: Option | undefined;
  /** After `--`, or in the words of another command. */
  readonly onlyArguments: boolean;
}

function readWords(command: Command, words: readonly string[]): Read {
  const positionals: string[] = [];
  const options = new Map<string, string>();
  let pending: Option | undefined;
  let onlyArguments = false;
  for (const word of words) {
    if (pending !== undefined) {
      options.set(pending.long ?? '', word);
      pending = undefined;
    } else if (onlyArguments || !word.startsWith('-') || word === '-') {
      positionals.push(word);
    } else if (word === '--') {
      onlyArguments = true;
    } else {
      const [, name = word, value] = /^(--[^=]+)=(.*)$/s.exec(word) ?? [];
      const option = command.options.find(({ long, short }) => long === name || short === name);
      if (value !== undefined) options.set(name, value);
      else if (option?.required === true) pending = option;
    }
  }
  return { positionals, options, pending, onlyArguments };
}

function valueWish(option: Option, options: ReadonlyMap<string, string>): Wish {
  if (option.argChoices !== undefined) return wordsWish(option.argChoices.map((word) => ({ word, summary: '' })));
  if (option.flags.endsWith('<format>')) return wordsWish(FORMATS.map((word) => ({ word, summary: '' })));
  return { kind: 'source', source: OPTION_SOURCES[option.long ?? ''] ?? { kind: 'nothing' }, options };
}

function argumentWish(
  row: CommandRow,
  argument: Argument,
  before: readonly string[],
  options: ReadonlyMap<string, string>,
): Wish {
  if (argument.argChoices !== undefined) return wordsWish(argument.argChoices.map((word) => ({ word, summary: '' })));
  return { kind: 'source', source: argumentSource(row, argument.name(), before), options };
}

function argumentSource({ path: [group, verb = ''] }: CommandRow, name: string, before: readonly string[]): Source {
  const [first] = before;
  if (/^names?$/.test(name) && group !== 'lab') {
    return first === undefined || first.includes('/') ? { kind: 'nothing' } : { kind: 'resources', of: first };
  }
  if (group === 'lab' && name === 'name' && Object.hasOwn(LAB_NAME_EXCEPTIONS, verb)) {
    return LAB_NAME_EXCEPTIONS[verb] ?? { kind: 'nothing' };
  }
  return ARGUMENT_SOURCES[`${group} ${name}`] ?? ARGUMENT_SOURCES[`* ${name}`] ?? { kind: 'nothing' };
}

function optionCandidate(option: Option): Candidate {
  return { word: option.long ?? option.short ?? option.flags, summary: option.description };
}
