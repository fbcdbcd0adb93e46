/**
 * Chains of a filter program in iptables' words, for one family.
 *
 * A rule begins with the comment "cali:HASH", by which it is known again (filter/rule-hash.ts), and one with words for
 * people. A rule that names the other family, or that can never be true, is not there. iptables takes each of -i, -o, -p, -s
 * and -d once in a rule, so what several matches say of the protocol becomes one -p, and a second prefix becomes a range.
 *
 * The result is pieces, not yet a script: difference.ts chooses those that are needed. All text from outside is made
 * harmless or refused here, since the input of iptables-restore is lines of words.
 */
import { assert, unreachable } from '../../../lib/assert.ts';
import { byteAt } from '../../../lib/bytes.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { formatCidr } from '../../../net/cidr.ts';
import type { Family } from '../../../net/ip.ts';
import { formatIp, ipFromBytes } from '../../../net/ip.ts';
import type { PortRange } from '../../desired/policy.ts';
import type { Action, Chain, End, Match, Rule, TableName } from '../filter/program.ts';
import { chainedHashes } from '../filter/rule-hash.ts';
import { setName } from './ipset.ts';

export interface PrintedRule {
  readonly hash: string;
  /** What follows "-A CHAIN ". */
  readonly text: string;
  readonly rule: Rule;
}

export interface PrintedChain {
  readonly rules: readonly PrintedRule[];
}

export const RULE_MARK = 'cali:';
/** XT_MAX_COMMENT_LEN is 256 bytes with the final zero. */
const COMMENT_MAX = 255;
/** XT_EXTENSION_MAXNAMELEN is 29 bytes with the final zero. */
const CHAIN_NAME = /^[A-Za-z][!#-&(-[\]-~]{0,27}$/;
/** What iptables takes for one word and for no option; "+" at the end would make it a prefix. */
const DEVICE_NAME = /^[#-&(-*,.-[\]-~][!#-&(-*,-[\]-~]{0,14}$/;
/** The prefix in struct xt_log_info is 30 bytes with the final zero. */
const LOG_PREFIX_MAX = 29;
/** The prefix in struct xt_nflog_info is 64 bytes with the final zero. */
const NFLOG_PREFIX_MAX = 63;
/** Bytes of a packet that go to user space: an IPv6 header and a TCP header with options, as in Calico. */
const NFLOG_SIZE = 80;
/** XT_MULTI_PORTS; a range takes two. */
const PORT_SLOTS_MAX = 15;
/** "notice", as in Calico. */
const LOG_LEVEL = 5;

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;
const ICMP_PROTOCOLS = { 4: 1, 6: 58 } as const;

const printedChains = { 4: new WeakMap<Chain, PrintedChain>(), 6: new WeakMap<Chain, PrintedChain>() };

/** A chain without `dispatch` (dispatch-tree.ts); remembered as long as the chain is. */
export function printChain(chain: Chain, family: Family): PrintedChain {
  const known = printedChains[family].get(chain);
  if (known !== undefined) return known;
  const printed = { rules: printRules(chain.name, chain.rules, chain.table, family) };
  const families = chain.rules.some(namesFamily) ? [family] : ([4, 6] as const);
  for (const each of families) printedChains[each].set(chain, printed);
  return printed;
}

/** Whether the rule is another one, or none, in the other family. */
function namesFamily({ matches, action }: Rule): boolean {
  return action.kind === 'dnat' || action.kind === 'snat' || matches.some((match) => 'family' in match);
}

/** The rules that these become for one family; the hashes begin with `chainName`. */
export function printRules(
  chainName: string,
  rules: readonly Rule[],
  table: TableName,
  family: Family,
): readonly PrintedRule[] {
  const bodies = rules.flatMap((rule) => {
    const action = printAction(rule.action, table, family);
    const matches = printMatches(rule.matches, family);
    if (action === undefined || matches === undefined) return [];
    return [{ rule, words: ruleWords(rule), body: [...matches, action].join(' ') }];
  });
  const hashes = chainedHashes(
    chainName,
    bodies.map(({ body, words }) => `${words} ${body}`),
  );
  return bodies.map(({ rule, words, body }, index) => {
    const hash = hashes[index] ?? '';
    const comments = [`${RULE_MARK}${hash}`, words].filter((text) => text !== '');
    return { rule, hash, text: [...comments.map((text) => `-m comment --comment "${text}"`), body].join(' ') };
  });
}

/** A chain's name that iptables can take. */
export function chainWord(name: string): string {
  assert(CHAIN_NAME.test(name), `not a name of a chain of iptables: ${JSON.stringify(name)}`);
  return name;
}

/** What the rule is, and for whom. */
function ruleWords(rule: Rule): string {
  const origin = rule.provenance === undefined ? '' : ` (${rule.provenance.origin})`;
  return plainText(`${rule.comment}${origin}`, COMMENT_MAX);
}

/** Of ASCII what is printed, without what iptables-restore takes for the end of a quoted word. */
function plainText(text: string, lengthMax: number): string {
  return text.replace(/[^ !#-[\]-~]/g, '?').slice(0, lengthMax);
}

/** The matches in iptables' words; undefined where nothing can match. */
function printMatches(matches: readonly Match[], family: Family): string[] | undefined {
  if (matches.some((match) => 'family' in match && match.family !== family)) return undefined;
  const words = new MatchWords();
  const possible = matches.every((match) => words.add(match)) && words.addProtocols(matches);
  return possible ? words.inOrder() : undefined;
}

/** A port or an ICMP type is of a protocol, also where it must be another one: `! --dports` is false for all else. */
function requiredProtocol(match: Match): number | undefined {
  switch (match.kind) {
    case 'protocol':
      return match.is ? match.protocol : undefined;
    case 'ports':
      return PROTOCOLS[match.protocol];
    case 'icmp':
      return ICMP_PROTOCOLS[match.family];
    default:
      return undefined;
  }
}

/** Collects a rule's words, those that may be there once by their option. */
class MatchWords {
  readonly #once = new Map<string, string>();
  readonly #modules: string[] = [];

  /** Options first: multiport and icmp are refused unless the protocol is known by then. */
  inOrder(): string[] {
    const options = ['-i', '-o', '-p', '-s', '-d'].flatMap((option) => this.#once.get(option) ?? []);
    return [...options, ...this.#modules];
  }

  /** False: never true of a packet. */
  add(match: Match): boolean {
    switch (match.kind) {
      case 'device':
        this.#device(match);
        return true;
      case 'family':
      case 'protocol':
        return true; // the one has been seen to, the other is addProtocols'
      case 'nets':
        return this.#nets(match);
      default:
        this.#modules.push(printModule(match));
        return true;
    }
  }

  /** What all matches together ask of the protocol, as one -p. False: contradictory. */
  addProtocols(matches: readonly Match[]): boolean {
    const required = new Set(matches.flatMap((match) => requiredProtocol(match) ?? []));
    const excluded = new Set(
      matches.flatMap((match) => (match.kind === 'protocol' && !match.is ? [match.protocol] : [])),
    );
    const [only] = required;
    if (only !== undefined) {
      this.#once.set('-p', `-p ${only}`);
      return required.size === 1 && !excluded.has(only);
    }
    const [not] = excluded;
    assert(excluded.size <= 1, `iptables can exclude one protocol in a rule, not ${[...excluded]}`);
    if (not !== undefined) this.#once.set('-p', `! -p ${not}`);
    return true;
  }

  #device({ direction, name, prefix, is }: Extract<Match, { kind: 'device' }>): void {
    assert(DEVICE_NAME.test(name), `not a device's name that iptables can take: ${JSON.stringify(name)}`);
    const option = direction === 'in' ? '-i' : '-o';
    const words = `${not(is)}${option} ${name}${prefix ? '+' : ''}`;
    const before = this.#once.get(option);
    assert(
      before === undefined || before === words,
      `iptables takes one device in a rule, not "${before}" and "${words}"`,
    );
    this.#once.set(option, words);
  }

  #nets({ end, prefixes, is }: Extract<Match, { kind: 'nets' }>): boolean {
    assert(!is || prefixes.length === 1, `iptables takes one prefix in a match, not ${prefixes.map(formatCidr)}`);
    for (const prefix of prefixes) {
      // Every packet of the family is in it.
      if (prefix.length === 0) {
        if (is) continue;
        return false;
      }
      const option = end === 'source' ? '-s' : '-d';
      if (this.#once.has(option)) this.#modules.push(printRange(prefix, end, is));
      else this.#once.set(option, `${not(is)}${option} ${formatCidr(prefix)}`);
    }
    return true;
  }
}

function not(is: boolean): string {
  return is ? '' : '! ';
}

/** A prefix for a rule whose -s or -d is taken. */
function printRange(prefix: Cidr, end: End, is: boolean): string {
  const last = Uint8Array.from(prefix.address.bytes, (_, index) => {
    const kept = Math.min(Math.max(prefix.length - index * 8, 0), 8);
    return byteAt(prefix.address.bytes, index) | (0xff >> kept);
  });
  const range = `${formatIp(prefix.address)}-${formatIp(ipFromBytes(last))}`;
  return `-m iprange ${not(is)}--${end === 'source' ? 'src' : 'dst'}-range ${range}`;
}

function printModule(match: Exclude<Match, { kind: 'device' | 'family' | 'protocol' | 'nets' }>): string {
  switch (match.kind) {
    case 'set':
      assert(match.part === 'all', `iptables keeps a set in one part, and was asked for ${match.part} of ${match.set}`);
      return `-m set ${not(match.is)}--match-set ${setName(match)} ${flag(match.end)}`;
    case 'portSet':
      return `-m set ${not(match.is)}--match-set ${setName(match)} ${flag(match.end)},${flag(match.end)}`;
    case 'ports':
      return `-m multiport ${not(match.is)}--${match.end === 'source' ? 's' : 'd'}ports ${printPorts(match.ports)}`;
    case 'icmp': {
      const { type, code } = match.match;
      const option = match.family === 4 ? '-m icmp' : '-m icmp6';
      const value = code === undefined ? `${type}` : `${type}/${code}`;
      return `${option} ${not(match.is)}--${match.family === 4 ? 'icmp' : 'icmpv6'}-type ${value}`;
    }
    case 'conntrack':
      return `-m conntrack ${not(match.is)}--ctstate ${match.states.join(',').toUpperCase()}`;
    case 'dnat':
      return `-m conntrack ${not(match.is)}--ctstate DNAT`;
    case 'mark':
      return `-m mark --mark ${match.is ? hex(match.bits) : '0x0'}/${hex(match.bits)}`;
    case 'local': {
      const type = `${not(match.is)}--${flag(match.end)}-type LOCAL`;
      return `-m addrtype ${type}${match.onOutDevice ? ' --limit-iface-out' : ''}`;
    }
    case 'forged':
      return '-m rpfilter --validmark --invert';
    case 'turn':
      return `-m statistic --mode nth --every ${match.oneIn} --packet 0`;
    case 'limit':
      return `-m limit --limit ${match.count}/${match.per} --limit-burst ${match.burst}`;
    default:
      return unreachable(match);
  }
}

function flag(end: End): string {
  return end === 'source' ? 'src' : 'dst';
}

function hex(bits: number): string {
  return `0x${bits.toString(16)}`;
}

function printPorts(ports: readonly PortRange[]): string {
  const slots = ports.reduce((sum, { first, last }) => sum + (first === last ? 1 : 2), 0);
  assert(slots <= PORT_SLOTS_MAX, `multiport takes ${PORT_SLOTS_MAX} ports, a range counting as two, not ${slots}`);
  return ports.map(({ first, last }) => (first === last ? `${first}` : `${first}:${last}`)).join();
}

/** Undefined: an action of the other family. */
function printAction(action: Action, table: TableName, family: Family): string | undefined {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'return':
    case 'notrack':
      return `-j ${action.kind.toUpperCase()}`;
    case 'reject':
      // The kernel has it for the filter table alone; elsewhere what is refused is dropped.
      return table === 'filter' ? '-j REJECT' : '-j DROP';
    case 'jump':
      return `-j ${chainWord(action.chain)}`;
    case 'goto':
      return `-g ${chainWord(action.chain)}`;
    case 'mark':
      return `-j MARK --set-xmark ${hex(action.set)}/${hex((action.set | action.clear) >>> 0)}`;
    case 'log':
      return `-j LOG --log-prefix "${plainText(action.prefix, LOG_PREFIX_MAX)}" --log-level ${LOG_LEVEL}`;
    case 'nflog': {
      const prefix = plainText(action.prefix, NFLOG_PREFIX_MAX);
      return `-j NFLOG --nflog-group ${action.group} --nflog-prefix "${prefix}" --nflog-size ${NFLOG_SIZE}`;
    }
    case 'dnat':
      return action.to.family === family ? `-j DNAT --to-destination ${formatIp(action.to)}` : undefined;
    case 'snat': {
      if (action.to.family !== family) return undefined;
      const address = formatIp(action.to);
      const bracketed = family === 6 && action.ports !== undefined ? `[${address}]` : address;
      const ports = action.ports === undefined ? '' : `:${action.ports.first}-${action.ports.last}`;
      return `-j SNAT --to-source ${bracketed}${ports} --random-fully`;
    }
    case 'masquerade': {
      const ports = action.ports === undefined ? '' : ` --to-ports ${action.ports.first}-${action.ports.last}`;
      return `-j MASQUERADE${ports} --random-fully`;
    }
    case 'dispatch':
      throw new Error('a dispatch must have become a tree before it is printed');
    default:
      return unreachable(action);
  }
}
