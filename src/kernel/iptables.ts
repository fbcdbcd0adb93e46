/**
 * Running iptables-save, iptables-restore and ipset in one network namespace.
 *
 * iptables comes in two variants, which keep their rules in different parts of the kernel and do not see each other's:
 * "legacy" and "nft". A host should use one, so `openIptables` takes the one in which others have their rules, as Calico does.
 * Each input is given to a program of its own, started inside the namespace; a table's part of it takes effect as a whole or
 * not at all, an input for ipset line by line.
 *
 * iptables-legacy locks /run/xtables.lock, which all network namespaces of a machine share, so it waits for others for some
 * seconds. The kernel lets go of a set some time after the last rule that named it; until then it cannot be destroyed, which
 * is tried again for a moment and then left. Everything else that is refused is a KernelError with the program's words and the line.
 */
import { spawnSync } from 'node:child_process';
import { closeSync } from 'node:fs';
import type { Family } from '../net/ip.ts';
import { KernelError } from './kernel.ts';
import { inOpenNamespace, openNamespace } from './network-namespace.ts';

export type IptablesVariant = 'legacy' | 'nft';

/** A program and its whole input, lines that end in a newline. */
export interface IptablesInput {
  readonly program: 'ipset' | 'iptables-restore' | 'ip6tables-restore';
  readonly input: string;
}

export interface Iptables {
  readonly variant: IptablesVariant;
  /** Why this variant, in words: "asked for", "others have 12 rules in it, …". */
  readonly reason: string;
  /** "iptables 1.8.9, ipset 7.17". */
  readonly version: string;
  /** What iptables-save prints of all tables that are there. */
  save(family: Family): string;
  /** The same with counters. */
  saveWithCounters(family: Family): string;
  /** What `ipset save` prints of all sets. */
  saveSets(): string;
  /** Runs them in order. Throws KernelError at the first that is refused; those before it have taken effect. */
  run(inputs: readonly IptablesInput[]): void;
  close(): void;
}

export interface IptablesChoice {
  /** Undefined: the thread's own. */
  readonly namespacePath: string | undefined;
  readonly variant: IptablesVariant | 'auto';
  /** How many rules of other people's an output of iptables-save has; decides for "auto". */
  readonly countForeignRules: (save: string) => number;
}

/** Before 1.8.3, rules were sometimes replaced at the wrong place by the nft variant; 1.6.2 brought `-w` to legacy's restore. */
const IPTABLES_MIN = [1, 8, 3] as const;
/** Protocol 6 of the kernel, hash:ip,port with SCTP and `-exist` for restore. */
const IPSET_MIN = [6, 38] as const;

/** Throws KernelError ENOENT or EOPNOTSUPP where a program is missing or too old, saying which and what is needed. */
export function openIptables({ namespacePath, variant, countForeignRules }: IptablesChoice): Iptables {
  // Held open, because the path may lead elsewhere later.
  const namespace = namespacePath === undefined ? undefined : openNamespace(namespacePath);
  const run: Runner = (program, words, input) =>
    namespace === undefined
      ? spawn(program, words, input)
      : inOpenNamespace(namespace, namespacePath ?? '', () => spawn(program, words, input));
  try {
    const chosen = variant === 'auto' ? chooseVariant(run, countForeignRules) : { variant, reason: 'asked for' };
    const version = checkVersions(run, chosen.variant);
    return {
      ...chosen,
      version,
      save: (family) => save(run, chosen.variant, family, []),
      saveWithCounters: (family) => save(run, chosen.variant, family, ['-c']),
      saveSets: () => output(run('ipset', ['save'], ''), 'ipset save'),
      run: (inputs) => {
        for (const each of inputs) {
          if (each.program === 'ipset') runIpset(run, each.input);
          else restore(run, chosen.variant, each.program, each.input);
        }
      },
      close: () => {
        if (namespace !== undefined) closeSync(namespace);
      },
    };
  } catch (error) {
    if (namespace !== undefined) closeSync(namespace);
    throw error;
  }
}

interface Result {
  readonly status: number | null;
  readonly output: string;
  readonly errors: string;
}

type Runner = (program: string, words: readonly string[], input: string) => Result;

const SPAWN_TIMEOUT_MS = 60_000; // 100,000 rules take some seconds; beyond this it hangs
const SPAWN_OUTPUT_MAX = 1 << 28; // 100,000 rules are some 20 MB

function spawn(program: string, words: readonly string[], input: string): Result {
  const result = spawnSync(program, words, {
    input,
    encoding: 'utf8',
    // Where they live is in no ordinary user's path; messages are read by their English words.
    env: { PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin`, LC_ALL: 'C' },
    timeout: SPAWN_TIMEOUT_MS,
    maxBuffer: SPAWN_OUTPUT_MAX,
  });
  if (result.error === undefined) return { status: result.status, output: result.stdout, errors: result.stderr };
  const code = 'code' in result.error && typeof result.error.code === 'string' ? result.error.code : 'EIO';
  const hint = code === 'ENOENT' ? `: install the package ${program.startsWith('ipset') ? 'ipset' : 'iptables'}` : '';
  throw new KernelError(code, `cannot run ${program}${hint || `: ${result.error.message}`}`);
}

function programName(variant: IptablesVariant, family: Family, verb: 'save' | 'restore'): string {
  return `${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-${verb}`;
}

function save(run: Runner, variant: IptablesVariant, family: Family, words: readonly string[]): string {
  const program = programName(variant, family, 'save');
  const text = output(run(program, words, ''), program);
  // Printed as a comment, and the table left out, so that nobody could tell which rules of ours are there.
  const foreign = /^# Table `(raw|mangle|nat|filter)' is incompatible.*$/m.exec(text);
  if (foreign === null) return text;
  throw new KernelError(
    'EOPNOTSUPP',
    `${program}: ${foreign[0].slice(2)} Somebody has written rules with nft into a table of iptables; remove these or choose nftables`,
  );
}

function output(result: Result, program: string): string {
  if (result.status === 0) return result.output;
  throw new KernelError(codeOf(result.errors), `${program}: ${words(result.errors)}`);
}

/** The variant in which others have more rules; of equals the one that is newer and there. */
function chooseVariant(
  run: Runner,
  countForeignRules: (save: string) => number,
): { variant: IptablesVariant; reason: string } {
  const counts = new Map<IptablesVariant, number>();
  for (const variant of ['nft', 'legacy'] as const) {
    try {
      const families = [4, 6] as const;
      const texts = families.map((family) => save(run, variant, family, []));
      counts.set(
        variant,
        texts.reduce((sum, text) => sum + countForeignRules(text), 0),
      );
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
  const nft = counts.get('nft');
  const legacy = counts.get('legacy');
  if (nft === undefined && legacy === undefined) {
    throw new KernelError(
      'ENOENT',
      'no iptables works here: install the package iptables (1.8.3 or newer), or choose nftables',
    );
  }
  if (legacy === undefined) return { variant: 'nft', reason: 'iptables-legacy does not work here' };
  if (nft === undefined) return { variant: 'legacy', reason: 'iptables-nft does not work here' };
  const variant = legacy > nft ? 'legacy' : 'nft';
  return { variant, reason: `others have ${legacy} rules in iptables-legacy and ${nft} in iptables-nft` };
}

function checkVersions(run: Runner, variant: IptablesVariant): string {
  const iptables = programName(variant, 4, 'restore');
  const versions = [
    ['iptables', versionOf(run, iptables), IPTABLES_MIN],
    ['ipset', versionOf(run, 'ipset'), IPSET_MIN],
  ] as const;
  for (const [name, version, minimum] of versions) {
    if (isAtLeast(version, minimum)) continue;
    throw new KernelError('EOPNOTSUPP', `${name} ${version} is too old: ${minimum.join('.')} or newer is needed`);
  }
  return versions.map(([name, version]) => `${name} ${version}`).join(', ');
}

function versionOf(run: Runner, program: string): string {
  const text = output(run(program, ['--version'], ''), `${program} --version`);
  return /\bv(\d+(?:\.\d+)+)/.exec(text)?.[1] ?? '0';
}

function isAtLeast(version: string, minimum: readonly number[]): boolean {
  const parts = version.split('.').map(Number);
  for (const [index, least] of minimum.entries()) {
    const part = parts[index] ?? 0;
    if (part !== least) return part > least;
  }
  return true;
}

/** How long iptables-legacy waits for others who hold the lock. */
const LOCK_WAIT_SECONDS = '5';

function restore(run: Runner, variant: IptablesVariant, program: IptablesInput['program'], input: string): void {
  const real = programName(variant, program === 'ip6tables-restore' ? 6 : 4, 'restore');
  const result = run(real, ['--noflush', '-w', LOCK_WAIT_SECONDS], input);
  if (result.status !== 0) throw refusal(real, result.errors, input);
}

/** Together a third of a second: the kernel lets go of what a rule named within some milliseconds. */
const IN_USE_TRIES = 30;
const IN_USE_WAIT_MS = 10;

/** A set that somebody's rule goes on naming is left; who lists the sets will find it and may try again. */
function runIpset(run: Runner, input: string): void {
  let lines = input.split('\n');
  for (let tries = 1; ; tries++) {
    const rest = lines.join('\n');
    const { status, errors } = run('ipset', ['-exist', 'restore'], rest);
    if (status === 0) return;
    // The lines before it have taken effect.
    lines = lines.slice(failedLine(errors) - 1);
    const inUse = errors.includes('in use by a kernel component') && lines[0]?.startsWith('destroy ');
    if (!inUse) throw refusal('ipset', errors, rest);
    if (tries < IN_USE_TRIES) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, IN_USE_WAIT_MS);
    else lines = lines.slice(1);
  }
}

function failedLine(errors: string): number {
  return Number(/\bline:? (\d+)/.exec(errors)?.[1] ?? 1);
}

/** Lines and messages are quoted up to this length. */
const QUOTE_MAX = 500;

function refusal(program: string, errors: string, input: string): KernelError {
  const number = /\bline:? (\d+)/.exec(errors)?.[1];
  const line = number === undefined ? undefined : input.split('\n')[Number(number) - 1];
  const quoted = line === undefined ? '' : `; the line was: ${line.slice(0, QUOTE_MAX)}`;
  return new KernelError(codeOf(errors), `${program}: ${words(errors)}${quoted}`);
}

/** What was said, without the advice to read the manual. */
function words(errors: string): string {
  const lines = errors.split('\n').filter((line) => line !== '' && !line.startsWith('Try `'));
  return lines.join('; ').slice(0, QUOTE_MAX) || 'failed without a word';
}

/** errno by the words of strerror(3) and of ipset. */
const CODES: readonly (readonly [string, string])[] = [
  ['Permission denied', 'EPERM'],
  ['Operation not permitted', 'EPERM'],
  ['in use by a kernel component', 'EBUSY'],
  ['xtables lock', 'EBUSY'],
  ['Resource temporarily unavailable', 'EAGAIN'],
  ['No such file or directory', 'ENOENT'],
  ['does not exist', 'ENOENT'],
  ["doesn't exist", 'ENOENT'],
  ['already exists', 'EEXIST'],
  ['Cannot allocate memory', 'ENOMEM'],
  ['Operation not supported', 'EOPNOTSUPP'],
];

function codeOf(errors: string): string {
  return CODES.find(([text]) => errors.includes(text))?.[1] ?? 'EINVAL';
}
