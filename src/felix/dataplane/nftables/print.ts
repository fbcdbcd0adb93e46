/**
 * Chains, sets and maps of a filter program in nftables' words.
 *
 * A chain with a hook is a base chain itself, so nobody else's rules come before or behind it in the same chain, and what
 * `accept` ends is our own chain only: other tables at the same hook have their say. Each rule counts its packets and
 * bears the comment "cali:HASH; words": the hash tells which rule it is (rule-hash.ts), the words tell people. A dispatch
 * map is a verdict map: a packet finds its container's chain in one look-up, however many containers there are.
 * Single addresses are in hash sets, where one more costs nothing; prefixes in interval sets, which nft reads as a whole.
 *
 * A chain never changes once made, so its hashes are remembered; its text is not, since it is needed once.
 */
import type { Chain, HookName, ProgramSet, TableName } from '../filter/program.ts';
import { chainedHashes } from '../filter/rule-hash.ts';
import { deviceName, nftChainName } from './names.ts';
import { nftRuleCount, plainText, printRule } from './print-rule.ts';

export const RULE_MARK = 'cali:';
/** NFTNL_UDATA_COMMENT_MAXLEN is 128 bytes with the final zero. */
const COMMENT_MAX = 127;

/** NF_IP_PRI_RAW, _MANGLE, _NAT_DST, _FILTER of linux/netfilter_ipv4.h. */
const PRIORITIES: Readonly<Record<TableName, number>> = { raw: -300, mangle: -150, nat: -100, filter: 0 };
/** Behind NF_IP_PRI_NAT_SRC (100), where kube-proxy looks at its own marks and clears them. */
const SOURCE_NAT_PRIORITY = 110;

/** Device name to chain: the type of both dispatch maps. */
export const DISPATCH_MAP_HEADER = mapHeader('ifname', 'verdict');

interface PrintedChain {
  readonly hashes: readonly string[];
  /** As many texts: matches, counter, action and comment. */
  readonly rules: readonly string[];
  /** As many comments. */
  readonly comments: readonly string[];
}

/** A base chain's header, from words of our own or from those of nft's listing. */
export function baseChainHeader(chain: { type: string; hook: string; priority: number; policy: string }): string {
  return `type ${chain.type} hook ${chain.hook} priority ${chain.priority}; policy ${chain.policy};`;
}

export function mapHeader(keyType: string, valueType: string): string {
  return `type ${keyType} : ${valueType};`;
}

export function setHeader(type: string, flags: readonly string[]): string {
  return `type ${type};${flags.length === 0 ? '' : ` flags ${flags.join(',')};`}`;
}

/** "type filter hook input priority 0; policy accept;", or nothing for a chain without a hook. */
export function chainHeader({ table, hook }: Chain): string {
  if (hook === undefined) return '';
  const type = table === 'nat' ? 'nat' : 'filter';
  return baseChainHeader({ type, hook: hook.toLowerCase(), priority: priorityOf(table, hook), policy: 'accept' });
}

function priorityOf(table: TableName, hook: HookName): number {
  return table === 'nat' && hook === 'POSTROUTING' ? SOURCE_NAT_PRIORITY : PRIORITIES[table];
}

/** The type of a set's elements, and whether these are intervals. */
export function programSetHeader({ family, kind, part }: Pick<ProgramSet, 'family' | 'kind' | 'part'>): string {
  const address = `ipv${family}_addr`;
  if (kind === 'ports') return setHeader(`${address} . inet_proto . inet_service`, []);
  return setHeader(address, part === 'addresses' ? [] : ['interval']);
}

const hashesOfChains = new WeakMap<Chain, readonly string[]>();

/** The hashes of the chain's nft rules, in their order. */
export function chainHashes(chain: Chain): readonly string[] {
  return hashesOfChains.get(chain) ?? printChain(chain).hashes;
}

/** How many nft rules each of the chain's rules has become; `hookRules` follow on `rules`. */
export function nftRuleCounts(chain: Chain): readonly number[] {
  return rulesOf(chain).map(nftRuleCount);
}

export function printChain(chain: Chain): PrintedChain {
  const bodies = rulesOf(chain).flatMap((rule) => {
    const origin = rule.provenance === undefined ? '' : ` (${rule.provenance.origin})`;
    const words = plainText(`${rule.comment}${origin}`);
    return printRule(rule, chain.table).map((body) => ({ body, words }));
  });
  const texts = bodies.map(({ body, words }) => `${body} ${words}`);
  const hashes = hashesOfChains.get(chain) ?? chainedHashes(nftChainName(chain), texts);
  hashesOfChains.set(chain, hashes);
  const comments = bodies.map(({ words }, index) => `${RULE_MARK}${hashes[index]}; ${words}`.slice(0, COMMENT_MAX));
  const rules = bodies.map(({ body }, index) => `${body} comment "${comments[index]}"`);
  return { hashes, rules, comments };
}

/** All rules of a chain, in their order. */
export function rulesOf(chain: Chain): Chain['rules'] {
  return chain.hookRules === undefined ? chain.rules : [...chain.rules, ...chain.hookRules];
}

/** A device that leads to a chain of the filter table. */
export function printDispatch(device: string, chain: string): string {
  return `"${deviceName(device)}" : ${dispatchVerdict(chain)}`;
}

export function dispatchVerdict(chain: string): string {
  return `goto ${nftChainName({ table: 'filter', name: chain })}`;
}
