/**
 * A rule of a filter program in nftables' words: matches, a counter, what to do.
 *
 * A match that names a family or a protocol holds for packets of these alone, turned around or not; so does nft's. Lists
 * become anonymous sets, whose intervals may not overlap, so prefixes inside of others are left out and ranges of ports
 * are joined. Numbers are printed instead of words, since the words are looked up in the machine's own /etc.
 * One rule may become two: nftables does not evaluate what it asks of a connection where there is none; or none, where it
 * asks for what no packet is.
 */
import { assert, unreachable } from '../../../lib/assert.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { compareCidr, containsCidr, familyOf, formatCidr } from '../../../net/cidr.ts';
import type { Family, Ip } from '../../../net/ip.ts';
import { addressBits, formatIp } from '../../../net/ip.ts';
import type { PortRange } from '../../desired/policy.ts';
import type { Action, Direction, End, Match, Rule, TableName } from '../filter/program.ts';
import { deviceName, nftChainName, nftSetName } from './names.ts';

type Of<Kind extends Match['kind']> = Extract<Match, { readonly kind: Kind }>;

export const ALL_MARK_BITS = 0xffff_ffff;
/** How much of a logged packet is copied: the IPv6 and TCP headers with some options; Calico's --nflog-size. */
export const LOGGED_BYTES = 80;
/** Where the source port is ours to choose, it is chosen at random: two processors else choose the same one and lose a packet. */
const RANDOM_PORT = 'fully-random';
/** A quote ends nft's strings, "$" begins a variable. */
const NOT_IN_STRINGS = /[^ !#%-[\]-~]/g;

/** The nft rules that are this rule in a chain of that table: one; or two, of which a packet meets one; or none. */
export function printRule(rule: Rule, table: TableName): readonly string[] {
  return alternatives(rule).map((matches) => {
    const words = [...matches.map(printMatch), 'counter', printAction(rule.action, table)];
    return words.filter((word) => word !== '').join(' ');
  });
}

/** How many nft rules the rule is. */
export function nftRuleCount(rule: Rule): number {
  return alternatives(rule).length;
}

/** Text between double quotes: of ASCII what is printed and means nothing to nft. */
export function plainText(text: string): string {
  return text.replace(NOT_IN_STRINGS, '?');
}

/** What `ct status` is asked of a packet without a connection is never so, turned around or not. */
const NO_CONNECTION: Match = { kind: 'conntrack', states: ['invalid', 'untracked'], is: true };

/** None for a rule that no packet can meet, since nft refuses those that it sees through, and with them all others. */
function alternatives(rule: Rule): readonly (readonly Match[])[] {
  const protocols = protocolsOf(rule);
  const portless = [...protocols].some((protocol) => !PORT_PROTOCOLS.has(protocol));
  const asksPorts = rule.matches.some((match) => match.kind === 'portSet' && match.is);
  if (familiesOf(rule).size > 1 || protocols.size > 1 || (portless && asksPorts)) return [];
  // What has no ports is in no set of ports; nft's own listing fails on rules that ask.
  const matches = portless ? rule.matches.filter(({ kind }) => kind !== 'portSet') : rule.matches;
  const index = matches.findIndex((match) => match.kind === 'dnat' && !match.is);
  return index === -1 ? [matches] : [matches, matches.with(index, NO_CONNECTION)];
}

const PROTOCOLS = { tcp: 6, udp: 17, sctp: 132 } as const;
const PORT_PROTOCOLS: ReadonlySet<number> = new Set(Object.values(PROTOCOLS));
const ICMP = { 4: 1, 6: 58 } as const;

function familiesOf({ matches, action }: Rule): ReadonlySet<Family> {
  const families = new Set<Family>('to' in action ? [action.to.family] : []);
  for (const match of matches) if ('family' in match) families.add(match.family);
  return families;
}

function protocolsOf({ matches }: Rule): ReadonlySet<number> {
  const protocols = new Set<number>();
  for (const match of matches) {
    if (match.kind === 'protocol' && match.is) protocols.add(match.protocol);
    if (match.kind === 'ports') protocols.add(PROTOCOLS[match.protocol]);
    if (match.kind === 'icmp') protocols.add(ICMP[match.family]);
  }
  return protocols;
}

function printMatch(match: Match): string {
  switch (match.kind) {
    case 'device':
      return printDevice(match);
    case 'family':
      return `meta nfproto ipv${match.family}`;
    case 'protocol':
      return `meta l4proto ${not(match)}${match.protocol}`;
    case 'nets':
      return printNets(match);
    case 'set':
      return `${addressKey(match)} ${not(match)}@${nftSetName(match)}`;
    case 'portSet': {
      const key = `${addressKey(match)} . meta l4proto . th ${match.end === 'source' ? 'sport' : 'dport'}`;
      return `${key} ${not(match)}@${nftSetName({ ...match, part: 'all' })}`;
    }
    case 'ports':
      return `${match.protocol} ${match.end === 'source' ? 'sport' : 'dport'} ${printPortList(match)}`;
    case 'icmp':
      return printIcmp(match);
    case 'conntrack':
      // As bits: an anonymous set for each such rule would make a large transaction slow.
      return match.is ? `ct state ${match.states.join(',')}` : `ct state & (${match.states.join(' | ')}) == 0`;
    case 'dnat':
      return match.is ? 'ct status dnat' : 'ct status & dnat != dnat';
    case 'mark':
      return `meta mark & ${hex(match.bits)} == ${match.is ? hex(match.bits) : 0}`;
    case 'local':
      return `fib ${match.end === 'source' ? 'saddr' : 'daddr'}${match.onOutDevice ? ' . oif' : ''} type ${not(match)}local`;
    case 'forged':
      return 'fib saddr . mark . iif oif missing';
    case 'turn':
      return `numgen inc mod ${match.oneIn} 0`;
    case 'limit':
      return `limit rate ${match.count}/${match.per} burst ${match.burst} packets`;
    default:
      return unreachable(match);
  }
}

function printDevice({ direction, name, prefix, is }: Of<'device'>): string {
  if (!prefix) return `${deviceKey(direction)} ${not({ is })}"${deviceName(name)}"`;
  if (name !== '') return `${deviceKey(direction)} ${not({ is })}"${deviceName(name)}*"`;
  assert(is, 'a match that no device fits');
  return ''; // any device; nft refuses a star alone
}

function printNets(match: Of<'nets'>): string {
  assert(match.prefixes.length > 0, 'a match on addresses without a prefix');
  assert(
    match.prefixes.every((prefix) => familyOf(prefix) === match.family),
    'prefixes of another family in a match',
  );
  return `${addressKey(match)} ${not(match)}${oneOf(outermost(match.prefixes).map(printPrefix))}`;
}

/** Without those that lie inside of others. */
function outermost(prefixes: readonly Cidr[]): Cidr[] {
  const kept: Cidr[] = [];
  for (const prefix of [...prefixes].sort(compareCidr)) {
    const last = kept.at(-1);
    if (last === undefined || !containsCidr(last, prefix)) kept.push(prefix);
  }
  return kept;
}

function printPrefix(prefix: Cidr): string {
  return prefix.length === addressBits(familyOf(prefix)) ? formatIp(prefix.address) : formatCidr(prefix);
}

function printIcmp({ family, match, is }: Of<'icmp'>): string {
  const word = family === 4 ? 'icmp' : 'icmpv6';
  if (match.code === undefined) return `${word} type ${not({ is })}${match.type}`;
  if (is) return `${word} type ${match.type} ${word} code ${match.code}`;
  return `${word} type . ${word} code != { ${match.type} . ${match.code} }`;
}

function printPortList(match: Of<'ports'>): string {
  const ports = joinedPorts(match.ports);
  const [only] = ports;
  // nft 1.0.6 joins comparisons of adjacent fields, so that "neither of two ports" would become "not both". Ranges it leaves alone.
  if (!match.is && ports.length === 1 && only !== undefined) return `!= ${only.first}-${only.last}`;
  return `${not(match)}${oneOf(ports.map(printPorts))}`;
}

function joinedPorts(ranges: readonly PortRange[]): PortRange[] {
  const joined: { first: number; last: number }[] = [];
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const open = joined.at(-1);
    if (open !== undefined && first <= open.last + 1) open.last = Math.max(open.last, last);
    else joined.push({ first, last });
  }
  return joined;
}

function printPorts({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

function printAction(action: Action, table: TableName): string {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'reject':
    case 'return':
    case 'notrack':
      return action.kind;
    case 'jump':
    case 'goto':
      return `${action.kind} ${nftChainName({ table, name: action.chain })}`;
    case 'dispatch':
      return `${deviceKey(action.direction)} vmap @${action.map}`;
    case 'mark':
      return printMark(action);
    case 'log':
      return `log prefix "${plainText(action.prefix)}" level notice`;
    case 'nflog':
      return `log prefix "${plainText(action.prefix)}" group ${action.group} snaplen ${LOGGED_BYTES}`;
    case 'dnat':
      return `dnat ${familyWord(action.to.family)} to ${formatIp(action.to)}`;
    case 'snat':
      return `snat ${familyWord(action.to.family)} to ${printSource(action.to, action.ports)}`;
    case 'masquerade':
      return `masquerade${action.ports === undefined ? '' : ` to :${printPorts(action.ports)}`} ${RANDOM_PORT}`;
    default:
      return unreachable(action);
  }
}

/** First cleared, then set. */
function printMark({ set, clear }: { set: number; clear: number }): string {
  const kept = (ALL_MARK_BITS & ~(clear | set)) >>> 0;
  if (clear === 0) return `meta mark set meta mark | ${hex(set)}`;
  return `meta mark set meta mark & ${hex(kept)}${set === 0 ? '' : ` | ${hex(set)}`}`;
}

function printSource(to: Ip, ports: PortRange | undefined): string {
  if (ports === undefined) return formatIp(to);
  return `${to.family === 4 ? formatIp(to) : `[${formatIp(to)}]`}:${printPorts(ports)} ${RANDOM_PORT}`;
}

function not({ is }: { readonly is: boolean }): string {
  return is ? '' : '!= ';
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values.join() : `{ ${values.join(', ')} }`;
}

function addressKey({ family, end }: { readonly family: Family; readonly end: End }): string {
  return `${familyWord(family)} ${end === 'source' ? 'saddr' : 'daddr'}`;
}

function familyWord(family: Family): string {
  return family === 4 ? 'ip' : 'ip6';
}

function deviceKey(direction: Direction): string {
  return direction === 'in' ? 'iifname' : 'oifname';
}

function hex(bits: number): string {
  return `0x${bits.toString(16)}`;
}
