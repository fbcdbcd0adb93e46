/**
 * Rules of tidiness, as functions from the tree to complaints.
 *
 * Where layers.ts looks at who imports whom, these look at each file for itself: head, size, name, forbidden words, and at
 * what nobody uses. Exceptions are rows in the lists below, each with its reason; a row that excuses nothing any more is
 * itself a complaint, so the lists cannot rot.
 */
import { isTest, roomOf } from './rooms.ts';
import type { Reference, Source } from './source.ts';

/** The tree twice: parsed TypeScript, and every text file as it is. */
export interface Tree {
  readonly sources: readonly Source[];
  readonly files: ReadonlyMap<string, string>;
}

/** Paths (or "path:export") that a rule leaves alone, each with the reason. */
export type Exceptions = Readonly<Record<string, string>>;

/** Between the lines of its delimiters, which a head always has: the smallest file gets a sentence. */
const HEAD_LINES_MAX = 15;
/** Beyond this a file must be listed with a reason: it has become two chapters. */
const FILE_LINES_SOFT = 600;
const FILE_LINES_MAX = 1000;
/** One screen. */
const FUNCTION_LINES_MAX = 70;

/** Only here is the machine's clock read. */
const CLOCK_FILE = 'src/lib/clock.ts';

const TAKE_TIME = 'take `now: Instant` as an argument (lib/clock.ts)';
const ASK_FOR_WAKE_UP = 'answer with the Instant at which to be woken, as nextTimer() does';
const TAKE_AS_ARGUMENT = 'take what is needed from it as an argument';

/** What pure code must not use, and what it uses instead. */
const IMPURE: Readonly<Record<string, string>> = {
  'Date.now': TAKE_TIME,
  'new Date()': TAKE_TIME,
  'performance.now': TAKE_TIME,
  'Math.random': 'take a Random as an argument (lib/prng.ts)',
  crypto: 'take a Random as an argument (lib/prng.ts), or let node make the identifier',
  setTimeout: ASK_FOR_WAKE_UP,
  setInterval: ASK_FOR_WAKE_UP,
  setImmediate: ASK_FOR_WAKE_UP,
  queueMicrotask: 'return all outputs at once; none is left for later',
  process: TAKE_AS_ARGUMENT,
  globalThis: TAKE_AS_ARGUMENT,
  fetch: 'return the request as an output; the shell sends it',
  console: 'return what there is to say as an output; the shell logs it',
};

const WAIT_INSTEAD = 'wait for the condition itself (an event, a watch, a line of output), or use a virtual clock';

/** What tests must not wait with. */
const SLEEPS: Readonly<Record<string, string>> = {
  setTimeout: WAIT_INSTEAD,
  setInterval: WAIT_INSTEAD,
  'Atomics.wait': WAIT_INSTEAD,
};

/** Words that say nothing about what is inside. */
const EMPTY_NAMES = /^(utils?|helpers?|commons?|misc|managers?)$/;

/** Each file but a plain `x.test.ts`, which its `x.ts` explains, begins with a comment of 3 lines and more. */
export function heads({ sources }: Tree): string[] {
  return sources
    .filter(({ path }) => !path.endsWith('.test.ts') && !path.endsWith('.d.ts'))
    .flatMap(({ path, text }) => {
      const head = /^(#!.*\n)?\/\*\*\n([\s\S]*?)\n? \*\/\n/.exec(text);
      const lines = head?.[2] === undefined || head[2] === '' ? 0 : head[2].split('\n').length;
      if (lines >= 1 && lines <= HEAD_LINES_MAX) return [];
      const wrong = lines === 0 ? 'no head' : `a head of ${lines} lines`;
      const right = 'what the file is for, its theory, its invariants, who calls it';
      return [`${path}:1: ${wrong}: begin with a comment of /**, 1 to ${HEAD_LINES_MAX} lines, and */: ${right}`];
    });
}

/** Files are chapters; tests and tables of cases may be as long as they like. */
export function fileSizes({ sources }: Tree, excused: Exceptions): string[] {
  const complaints: string[] = [];
  const long = new Set<string>();
  for (const { path, text } of sources) {
    const lines = text.split('\n').length - 1;
    if (isTest(path) || lines <= FILE_LINES_SOFT) continue;
    long.add(path);
    if (lines > FILE_LINES_MAX)
      complaints.push(`${path}: ${lines} lines; never more than ${FILE_LINES_MAX}: split it by idea`);
    else if (!(path in excused)) {
      complaints.push(`${path}: ${lines} lines; above ${FILE_LINES_SOFT} it is split by idea, or listed with a reason`);
    }
  }
  return [...complaints, ...unused(excused, long)];
}

/** A function fits a screen; measured from its name to its closing brace, as formatted. */
export function functionSizes({ sources }: Tree): string[] {
  return sources
    .filter(({ path }) => !isTest(path) || path.startsWith('test/structure/'))
    .flatMap(({ path, functions }) =>
      functions
        .filter(({ lines }) => lines > FUNCTION_LINES_MAX)
        .map(
          ({ name, line, lines }) =>
            `${path}:${line}: ${name} has ${lines} lines; at most ${FUNCTION_LINES_MAX}, a screen`,
        ),
    );
}

/** Pure rooms read no clock, draw no random numbers, and know no process. */
export function impurities({ sources }: Tree): string[] {
  return sources
    .filter(({ path }) => path.startsWith('src/') && !isTest(path) && path !== CLOCK_FILE)
    .flatMap((source) => {
      const room = roomOf(source.path);
      if (room === undefined || room.io) return [];
      return forbidden(source, IMPURE).map(
        ([{ name, line }, instead]) => `${source.path}:${line}: ${name} in the pure room ${room.name}: ${instead}`,
      );
    });
}

/** Tests wait for conditions; a sleep is too long on a fast machine and too short on a slow one. */
export function sleeps({ sources }: Tree, excused: Exceptions): string[] {
  const sleeping = new Set<string>();
  const complaints = sources
    .filter(({ path }) => isTest(path))
    .flatMap((source) => {
      const timers = source.imports
        .filter(({ specifier }) => /^node:timers(\/promises)?$/.test(specifier))
        .map(({ specifier, line }): [Reference, string] => [{ name: specifier, line }, WAIT_INSTEAD]);
      const found = timers.length > 0 ? timers : forbidden(source, SLEEPS);
      if (found.length > 0) sleeping.add(source.path);
      if (source.path in excused) return [];
      return found.map(([{ name, line }, instead]) => `${source.path}:${line}: ${name} in a test: ${instead}`);
    });
  return [...complaints, ...unused(excused, sleeping)];
}

/** Files and folders are named after what is inside, in kebab-case. */
export function names({ files }: Tree): string[] {
  return [...files.keys()].flatMap((path) => {
    const parts = path.split('/');
    const empty = parts.flatMap((part) => part.split(/[-.]/)).find((word) => EMPTY_NAMES.test(word));
    if (empty !== undefined) return [`${path}: "${empty}" says nothing: name it after what is inside`];
    const name = parts.at(-1) ?? '';
    if (!name.endsWith('.ts') || /^[a-z0-9]+(-[a-z0-9]+)*(\.(test|suite|d))?\.ts$/.test(name)) return [];
    return [`${path}: file names are kebab-case: lower-case words joined by "-"`];
  });
}

/**
 * What src exports, somebody imports: another file of src, a test, a bench or a script. A type that another export of the
 * same file mentions is part of that export's contract and may stay.
 */
export function deadExports({ sources }: Tree, excused: Exceptions): string[] {
  const used = new Set<string>();
  for (const { imports } of sources) {
    for (const { path, names: taken } of imports) for (const name of taken) used.add(`${path}:${name}`);
  }
  const complaints: string[] = [];
  const dead = new Set<string>();
  for (const { path, exports } of sources.filter((source) => source.path.startsWith('src/'))) {
    if (used.has(`${path}:*`)) continue;
    for (const { name, line, isType } of exports) {
      if (used.has(`${path}:${name}`)) continue;
      if (isType && exports.some((other) => other.name !== name && other.mentions.has(name))) continue;
      dead.add(`${path}:${name}`);
      if (`${path}:${name}` in excused) continue;
      complaints.push(`${path}:${line}: ${name} is exported but imported nowhere: use it, hide it or remove it`);
    }
  }
  return [...complaints, ...unused(excused, dead)];
}

/** Spelled in pieces, so that this file does not complain of itself. */
const LEFTOVERS: readonly (readonly [RegExp, string])[] = [
  [
    new RegExp(
      `\\b(${['TO', 'FIX', 'XX', 'HA'].map((start, at) => start + ['DO', 'ME', 'X', 'CK'][at]).join('|')})\\b`,
    ),
    'a note to oneself: do it, or write it down outside of the code',
  ],
  [new RegExp(`\\b(it|test|describe|suite)\\.${'on'}ly\\b`), 'the other tests would not run'],
  [new RegExp(`^\\s*${'debug'}ger;?\\s*$`), 'a breakpoint'],
  [/(?<![\w.])[/]work[/]/, 'a path of one machine; paths are relative to the repository'],
];

/** Nothing is left behind that was for the author's eyes. */
export function leftovers({ files }: Tree): string[] {
  return [...files].flatMap(([path, text]) =>
    text.split('\n').flatMap((line, index) =>
      LEFTOVERS.flatMap(([pattern, why]) => {
        const found = pattern.exec(line);
        return found === null ? [] : [`${path}:${index + 1}: ${found[0].trim()}: ${why}`];
      }),
    ),
  );
}

interface Manifest {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

/** The table in docs/dependencies.md has a row with a reason for each runtime dependency, and no other row. */
export function dependencies({ files }: Tree): string[] {
  const page = 'docs/dependencies.md';
  // package.json is ours and npm has checked its shape.
  const manifest = JSON.parse(files.get('package.json') ?? '{}') as Manifest;
  const wanted = Object.keys({ ...manifest.dependencies, ...manifest.optionalDependencies });
  const rows = [...(files.get(page) ?? '').matchAll(/^\| `([^`]+)` \|([^|\n]*)\|/gm)];
  const reasons = new Map(rows.map(([, name = '', reason = '']) => [name, reason.trim()]));
  return [
    ...wanted.filter((name) => !reasons.has(name)).map((name) => `${page}: no row for ${name}, which package.json has`),
    ...wanted.filter((name) => reasons.get(name) === '').map((name) => `${page}: no reason for ${name}`),
    ...[...reasons.keys()]
      .filter((name) => !wanted.includes(name))
      .map((name) => `${page}: ${name} is not in package.json`),
  ];
}

function forbidden(source: Source, table: Readonly<Record<string, string>>): [Reference, string][] {
  return source.references.flatMap((reference): [Reference, string][] => {
    const instead = Object.hasOwn(table, reference.name) ? table[reference.name] : undefined;
    return instead === undefined ? [] : [[reference, instead]];
  });
}

function unused(excused: Exceptions, needed: ReadonlySet<string>): string[] {
  return Object.keys(excused)
    .filter((name) => !needed.has(name))
    .map((name) => `${name}: excused for nothing; take it off the list in test/tidy.test.ts`);
}
