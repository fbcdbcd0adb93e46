/**
 * Words for the rules of our own chains, those that are there whatever the resources say.
 *
 * A rule of the program is wordy data; most of ours are one condition and one verdict. What is more than a shorthand here
 * is how sets are asked: a backend may keep a set in parts, and a part without members may not be there at all, so
 * "in the set" becomes a rule for each part that is there, and "not in the set" one condition for each.
 */
import type { Family } from '../../../net/ip.ts';
import type { FilterSettings, MarkBits } from '../../desired/filter-settings.ts';
import type { PortRange, SetId } from '../../desired/policy.ts';
import { WORKLOAD_DEVICE_PREFIX } from '../ownership.ts';
import { logPrefix, NFLOG_GROUP } from './log-prefix.ts';
import type { Action, Chain, Direction, End, HookName, Match, Rule, RuleOrigin, TableName } from './program.ts';
import type { SetLookup } from './set-parts.ts';

export function rule(matches: readonly Match[], action: Action, comment: string): Rule {
  return { matches, action, comment, provenance: undefined, origin: undefined };
}

export function hookedChain(table: TableName, name: string, hook: HookName, rules: readonly Rule[]): Chain {
  return { table, name, hook, rules };
}

export function innerChain(table: TableName, name: string, rules: readonly Rule[]): Chain {
  return { table, name, hook: undefined, rules };
}

export function jump(chain: string): Action {
  return { kind: 'jump', chain };
}

export function goto(chain: string): Action {
  return { kind: 'goto', chain };
}

export function setMark(bits: number): Action {
  return { kind: 'mark', set: bits, clear: 0 };
}

export function clearMark(bits: number): Action {
  return { kind: 'mark', set: 0, clear: bits };
}

/** What a packet brings of an earlier table may not decide about it; the drop bit is taken away by nobody. */
export function blanketBits(marks: MarkBits): number {
  return marks.accept | marks.pass | marks.scratch0 | marks.scratch1;
}

export function device(direction: Direction, name: string): Match {
  return { kind: 'device', direction, name, prefix: false, is: true };
}

export function workloadDevice(direction: Direction): Match {
  return { kind: 'device', direction, name: WORKLOAD_DEVICE_PREFIX, prefix: true, is: true };
}

/** Any device but those of containers. */
export function hostDevice(direction: Direction): Match {
  return { kind: 'device', direction, name: WORKLOAD_DEVICE_PREFIX, prefix: true, is: false };
}

export function marked(bits: number): Match {
  return { kind: 'mark', bits, is: true };
}

export function notMarked(bits: number): Match {
  return { kind: 'mark', bits, is: false };
}

export function protocol(number: number): Match {
  return { kind: 'protocol', protocol: number, is: true };
}

/** An address of this host, on whatever device. */
export function localAddress(end: End): Match {
  return { kind: 'local', end, onOutDevice: false, is: true };
}

export function udpTo(port: number): Match {
  return { kind: 'ports', end: 'destination', protocol: 'udp', ports: [onePort(port)], is: true };
}

export function onePort(port: number): PortRange {
  return { first: port, last: port };
}

/** One match for each part; a packet whose end is in the set meets one of them. */
export function inSet(sets: SetLookup, end: End, family: Family, set: SetId): Match[] {
  return sets.parts(set, family).map((part) => ({ kind: 'set', end, family, set, part, is: true }));
}

/** All of these together: of the family, and the end in no part of the set. */
export function notInSet(sets: SetLookup, end: End, family: Family, set: SetId): Match[] {
  const parts = sets.parts(set, family);
  if (parts.length === 0) return [{ kind: 'family', family }];
  return parts.map((part) => ({ kind: 'set', end, family, set, part, is: false }));
}

/**
 * Logs for whoever listens, then denies. `direction` is the endpoint's: what it sends is its egress.
 * `what` names the protection in a few words: "forged source".
 */
export function protect(
  matches: readonly Match[],
  what: string,
  direction: 'ingress' | 'egress',
  settings: Pick<FilterSettings, 'denyAction'>,
): Rule[] {
  const origin: RuleOrigin = { kind: 'protection', name: what, tier: undefined, direction, index: undefined };
  const log: Action = { kind: 'nflog', group: NFLOG_GROUP[direction], prefix: logPrefix('deny', origin) };
  const comment = `Protection: ${what}`;
  return [{ ...rule(matches, log, comment), origin }, rule(matches, { kind: settings.denyAction }, comment)];
}
