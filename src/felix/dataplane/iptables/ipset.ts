/**
 * Sets of addresses as ipset keeps them: their names, what is there, and the commands that lead to what should be.
 *
 * A "nets" set is a hash:net, a "ports" set a hash:ip,port, each of one family, named as Calico names them. What rules will
 * need is made and added before they are written, what they needed is removed after; so commands come in two parts.
 * A set that was made otherwise, or that changes more than it keeps, is filled anew under another name and swapped, which
 * happens at once. Only sets of the same type can be swapped, and none that a rule names can be destroyed: where somebody
 * has put one of another type in its place, the rules have to let go of it first (plan.ts).
 */

import type { Family } from '../../../net/ip.ts';
import { formatIp, parseIp } from '../../../net/ip.ts';
import type { SetId, SetKind } from '../../desired/policy.ts';
import type { ProgramSet, ProgramSetChange, SetKey } from '../filter/program.ts';

/** As in Calico; the memory is taken when there are members, not before. */
const MEMBERS_MAX = 1_048_576;
/** A command for a member costs 10 µs; swapping, a new set for some milliseconds. */
const SWAP_FROM = 512;
/** Sets of ours, temporary ones too. */
const OWN_NAME = /^cali[46][0t]/;
const TEMPORARY_NAME = /^cali[46]t/;

/** "cali40s:abc": at most 31 characters, since an id has at most 25. */
export function setName({ set, family }: { readonly set: SetId; readonly family: Family }): string {
  return `cali${family}0${set}`;
}

/** The name of the set that a key of the program's stands for. */
export function setNameOfKey(key: SetKey): string {
  const [set = '', family = ''] = key.split(' ');
  return `cali${family}0${set}`;
}

/** A set as it is there. */
interface SavedSet {
  readonly type: string;
  /** "family inet maxelem 1048576" and whatever else somebody chose; the kernel's own numbers are left out. */
  readonly options: string;
  readonly members: ReadonlySet<string>;
}

/** Commands for `ipset -exist restore`. */
export interface SetCommands {
  /** What rules need, made before they are written. */
  readonly before: string[];
  /** What no rule needs any more. */
  readonly after: string[];
}

/** Our sets in the output of `ipset save`, by name. */
export function parseIpsetSave(text: string): Map<string, SavedSet> {
  const sets = new Map<string, SavedSet & { members: Set<string> }>();
  for (const line of text.split('\n')) {
    const [verb, name = '', ...words] = line.split(' ');
    if (!OWN_NAME.test(name)) continue;
    if (verb === 'create') {
      const [type = '', ...options] = words;
      sets.set(name, { type, options: chosenOptions(options), members: new Set() });
    } else if (verb === 'add') {
      sets.get(name)?.members.add(canonicalMember(words.join(' ')));
    }
  }
  return sets;
}

/** Options of `create` that the kernel adds by itself, each with a value. */
const KERNEL_OPTIONS: ReadonlySet<string> = new Set(['hashsize', 'bucketsize', 'initval']);

function chosenOptions(words: readonly string[]): string {
  return words
    .filter((word, index) => !KERNEL_OPTIONS.has(word) && !KERNEL_OPTIONS.has(words[index - 1] ?? ''))
    .join(' ');
}

/** ipset prints some IPv6 addresses with a dotted quad at the end. */
function canonicalMember(text: string): string {
  if (!text.includes('.') || !text.includes(':')) return text;
  const [, address = '', rest = ''] = /^([^/,]+)(.*)$/.exec(text) ?? [];
  const parsed = parseIp(address);
  return parsed === undefined ? text : formatIp(parsed) + rest;
}

/** Whether a set of that name is there whose place the wanted one can take only when no rule names it any more. */
export function cannotBecome(wanted: ProgramSet, saved: SavedSet | undefined): boolean {
  if (saved === undefined) return false;
  return saved.type !== TYPES[wanted.kind] || !saved.options.startsWith(`${familyOption(wanted.family)} `);
}

const TYPES: Readonly<Record<SetKind, string>> = { nets: 'hash:net', ports: 'hash:ip,port' };

function familyOption(family: Family): string {
  return family === 4 ? 'family inet' : 'family inet6';
}

function header({ kind, family }: ProgramSet, name: string): string {
  return `create ${name} ${TYPES[kind]} ${optionsOf(family)}`;
}

function optionsOf(family: Family): string {
  return `${familyOption(family)} maxelem ${MEMBERS_MAX}`;
}

/** The prefix of length 0 is none for hash:net, so it is its two halves. */
const HALVES: Readonly<Record<string, readonly string[]>> = {
  '0.0.0.0/0': ['0.0.0.0/1', '128.0.0.0/1'],
  '::/0': ['::/1', '8000::/1'],
};

function kernelMembers(members: Iterable<string>): Set<string> {
  const texts = new Set<string>();
  for (const member of members) for (const text of HALVES[member] ?? [member]) texts.add(text);
  return texts;
}

/** From what is there (undefined: no such set) to what should be. No commands where these are equal. */
export function reconcileSet(wanted: ProgramSet, saved: SavedSet | undefined): SetCommands {
  const members = kernelMembers(wanted.members);
  if (saved === undefined) return { before: fill(wanted, setName(wanted), members), after: [] };
  if (cannotBecome(wanted, saved)) {
    const name = setName(wanted);
    return { before: [`destroy ${name}`, ...fill(wanted, name, members)], after: [] };
  }
  const added = [...members].filter((member) => !saved.members.has(member));
  const removed = [...saved.members].filter((member) => !members.has(member));
  // Members with options of their own (a timeout, "nomatch") can only be got rid of together.
  const sound = saved.options === optionsOf(wanted.family) && !removed.some((member) => member.includes(' '));
  return sound ? memberCommands(wanted, added, removed) : swap(wanted, members);
}

/**
 * A set that nobody wants any more. Emptied first: it stays where a foreign rule names it, and may be wanted again. A temporary
 * one, left by a process that was killed, must be gone before its name is used.
 */
export function removeSet(name: string): SetCommands {
  const commands = [`flush ${name}`, `destroy ${name}`];
  return TEMPORARY_NAME.test(name) ? { before: commands, after: [] } : { before: [], after: commands };
}

/** What a change to a set takes; undefined as the set: it goes. */
export function changeSet(name: string, { now, added, removed }: ProgramSetChange, isNew: boolean): SetCommands {
  if (now === undefined) return removeSet(name);
  const members = () => kernelMembers(now.members);
  if (isNew) return { before: fill(now, name, members()), after: [] };
  const gone = [...kernelMembers(removed)];
  // What is half of a greater prefix may still be, or be no more, a member for its own sake.
  const kept = gone.some((member) => member.endsWith('/1')) ? members() : now.members;
  return memberCommands(
    now,
    [...kernelMembers(added)],
    gone.filter((member) => !kept.has(member)),
  );
}

function fill(set: ProgramSet, name: string, members: Iterable<string>): string[] {
  return [header(set, name), ...Array.from(members, (member) => `add ${name} ${member}`)];
}

function memberCommands(set: ProgramSet, added: readonly string[], removed: readonly string[]): SetCommands {
  const changed = added.length + removed.length;
  if (changed >= SWAP_FROM && changed > set.members.size) return swap(set, kernelMembers(set.members));
  const name = setName(set);
  return {
    before: added.map((member) => `add ${name} ${member}`),
    after: removed.map((member) => `del ${name} ${member}`),
  };
}

/** One at a time, so one name for each family suffices. */
function swap(set: ProgramSet, members: Iterable<string>): SetCommands {
  const temporary = `cali${set.family}t0`;
  return {
    before: [...fill(set, temporary, members), `swap ${temporary} ${setName(set)}`, `destroy ${temporary}`],
    after: [],
  };
}
