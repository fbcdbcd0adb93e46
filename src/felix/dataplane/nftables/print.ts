/**
 * A filter program in nftables' words.
 *
 * Everything is in one table, `inet muslin`, which serves both families; it is ours alone. Each rule counts its packets and
 * bears the comment "cali:HASH; words": the hash tells which rule it is (rule-hash.ts), the words tell people. A dispatch map
 * is a verdict map, so a packet finds its container's chain in one look-up, however many containers there are.
 *
 * The result is pieces, not yet a script: difference.ts chooses those that are needed. libnftables asks the DNS about words
 * that it does not know, and its text is a language, so each name from outside passes `isPlainName` before it is printed.
 */
import { assert, unreachable } from '../../../lib/assert.ts';
import type { Cidr } from '../../../net/cidr.ts';
import { familyOf, formatCidr } from '../../../net/cidr.ts';
import { addressBits, formatIp } from '../../../net/ip.ts';
import type { Action, Chain, Direction, DispatchMap, FilterProgram, Hook, Match, Rule } from '../filter/program.ts';
import { chainedHashes } from './rule-hash.ts';

/** Family and name, as nft's commands want them. */
export const NFT_TABLE = 'inet muslin';
export const RULE_MARK = 'cali:';
/** NFTNL_UDATA_COMMENT_MAXLEN is 128 bytes with the final zero. */
const COMMENT_MAX = 127;

export interface PrintedChain {
  /** "type filter hook input priority 0; policy accept;", or nothing for a chain without a hook. */
  readonly header: string;
  readonly hashes: readonly string[];
  /** As many texts: matches, counter, verdict and comment. */
  readonly rules: readonly string[];
}

interface PrintedMap {
  readonly header: string;
  /** Device name to verdict. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface PrintedTable {
  readonly chains: ReadonlyMap<string, PrintedChain>;
  readonly maps: ReadonlyMap<string, PrintedMap>;
}

export function printProgram(program: FilterProgram): PrintedTable {
  return {
    chains: new Map(program.chains.map((chain) => [plainName(chain.name), printChain(chain)])),
    maps: new Map(program.maps.map((map) => [map.name, printMap(map)])),
  };
}

/** Whether a name can be printed without being mistaken for anything else. Longer than any device or chain of ours. */
export function isPlainName(name: string): boolean {
  return /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(name);
}

/** A base chain's header, from words of our own or from those of nft's listing. */
export function baseChainHeader(chain: { type: string; hook: string; priority: number; policy: string }): string {
  return `type ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy ${chain.policy};`;
}

export function mapHeader(keyType: string, valueType: string): string {
  return `type ${keyType} : ${valueType};`;
}

const printedChains = new WeakMap<Chain, PrintedChain>();

function printChain(chain: Chain): PrintedChain {
  const known = printedChains.get(chain);
  if (known !== undefined) return known;
  const bodies = chain.rules.map((rule) => ({ body: ruleBody(rule), words: ruleWords(rule) }));
  const hashes = chainedHashes(
    chain.name,
    bodies.map(({ body, words }) => `${body} ${words}`),
  );
  const rules = bodies.map(({ body, words }, index) => {
    const comment = `${RULE_MARK}${hashes[index]}; ${words}`.slice(0, COMMENT_MAX);
    return `${body} comment "${comment}"`;
  });
  const printed = { header: chain.hook === undefined ? '' : hookHeader(chain.hook), hashes, rules };
  printedChains.set(chain, printed);
  return printed;
}

function hookHeader(hook: Hook): string {
  return baseChainHeader({ type: 'filter', hook: hook.point, priority: hook.priority, policy: 'accept' });
}

function printMap(map: DispatchMap): PrintedMap {
  const elements = [...map.entries].map(([device, chain]): [string, string] => [
    plainName(device),
    `goto ${plainName(chain)}`,
  ]);
  return { header: mapHeader('ifname', 'verdict'), elements: new Map(elements) };
}

function ruleBody(rule: Rule): string {
  return [...rule.matches.map(printMatch), 'counter', printAction(rule.action)].join(' ');
}

/** What the rule is, and for whom; of ASCII what is printed, without the double quote and the backslash. */
function ruleWords(rule: Rule): string {
  const origin = rule.provenance === undefined ? '' : ` (${rule.provenance.origin})`;
  return `${rule.comment}${origin}`.replace(/[^ !#-[\]-~]/g, '?');
}

function printMatch(match: Match): string {
  switch (match.kind) {
    case 'devicePrefix':
      return `${deviceKey(match.direction)} "${plainName(match.prefix)}*"`;
    case 'family':
      return `meta nfproto ipv${match.family}`;
    case 'source':
      return printSource(match.prefixes, match.inside);
    case 'conntrack':
      return `ct state ${match.states.join(',')}`;
    case 'protocol':
      return `meta l4proto ${match.protocol}`;
    case 'destinationPort':
      return `${match.protocol} dport ${match.port}`;
    case 'icmpv6Type':
      return `icmpv6 type ${oneOf(match.types.map(String))}`;
    default:
      return unreachable(match);
  }
}

function printAction(action: Action): string {
  switch (action.kind) {
    case 'accept':
    case 'drop':
    case 'return':
      return action.kind;
    case 'jump':
    case 'goto':
      return `${action.kind} ${plainName(action.chain)}`;
    case 'dispatch':
      return `${deviceKey(action.direction)} vmap @${action.map}`;
    default:
      return unreachable(action);
  }
}

function printSource(prefixes: readonly Cidr[], inside: boolean): string {
  const first = prefixes[0];
  assert(first !== undefined, 'a match on the source without a prefix');
  const family = familyOf(first);
  const texts = prefixes.map((prefix) => {
    assert(familyOf(prefix) === family, 'prefixes of both families in one match');
    return prefix.length === addressBits(family) ? formatIp(prefix.address) : formatCidr(prefix);
  });
  return `${family === 4 ? 'ip' : 'ip6'} saddr ${inside ? '' : '!= '}${oneOf([...new Set(texts)])}`;
}

function oneOf(values: readonly string[]): string {
  return values.length === 1 ? values.join() : `{ ${values.join(', ')} }`;
}

function deviceKey(direction: Direction): string {
  return direction === 'in' ? 'iifname' : 'oifname';
}

function plainName(name: string): string {
  assert(isPlainName(name), `not a name that nft would take as one: ${JSON.stringify(name)}`);
  return name;
}
