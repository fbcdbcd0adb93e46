/**
 * What a host has of ours in nftables, and how to take it away: our own tables, and what iptables' nft variant has left empty.
 *
 * Our tables are `inet muslin` and those named after it, "inet muslin-…". Rules of iptables' nft variant stand in tables that all its
 * users share; it makes these and their base chains when they are needed and never removes them. Of these a chain may go when our
 * rules were in it, no rule is, and its policy accepts, and a table when nothing is left in it: then they do nothing, and
 * are made again by whoever needs them. Listings are those of `nft -j`. Called for `muslin node purge`.
 */
import { itemsOf, text } from './listing.ts';
import { isPlainName, NFT_TABLE_NAME } from './names.ts';

/** Family and name of each table of ours, in a listing of all tables. Throws ListingUnreadable. */
export function ownTables(listed: unknown): string[] {
  return itemsOf(listed).flatMap(([kind, { family, name }]) => {
    const isOurs = name === NFT_TABLE_NAME || text(name).startsWith(`${NFT_TABLE_NAME}-`);
    return kind === 'table' && family === 'inet' && isOurs && isPlainName(text(name)) ? [`inet ${text(name)}`] : [];
  });
}

/** Two transactions, one after the other: a table that sleeps goes without a packet being lost (script.ts). */
export function tableRemoval(table: string): readonly [string, string] {
  const asleep = `add table ${table} { flags dormant; }\n`;
  return [asleep, `${asleep}delete table ${table}\n`];
}

/**
 * One transaction that removes those of the base chains `touched` which do nothing any more, and the table with the last of
 * all; "" when there is nothing to do. The kernel refuses it as a whole when somebody has put a rule there meanwhile.
 */
export function sweepScript(table: string, touched: ReadonlySet<string>, listed: unknown): string {
  const items = itemsOf(listed);
  const inUse = new Set(items.flatMap(([kind, { chain }]) => (kind === 'rule' ? [text(chain)] : [])));
  const chains = items.flatMap(([kind, chain]) => (kind === 'chain' ? [chain] : []));
  const idle = chains.filter(({ name, hook, policy }) => {
    return touched.has(text(name)) && typeof hook === 'string' && policy === 'accept' && !inUse.has(text(name));
  });
  if (idle.length === 0) return '';
  const hasOthers = items.some(([kind]) => !['metainfo', 'table', 'chain', 'rule'].includes(kind));
  const isLast = idle.length === chains.length && !hasOthers;
  const lines = idle.map(({ name }) => `delete chain ${table} ${text(name)}\n`);
  return `${lines.join('')}${isLast ? `delete table ${table}\n` : ''}`;
}

/** The chains of ours in tables of iptables, "ip filter cali-FORWARD", in a listing of all chains. Throws ListingUnreadable. */
export function ownIptablesChains(listed: unknown): string[] {
  return itemsOf(listed).flatMap(([kind, { family, table, name }]) => {
    const isIptables = kind === 'chain' && (family === 'ip' || family === 'ip6');
    return isIptables && text(name).startsWith('cali-') ? [`${family} ${text(table)} ${text(name)}`] : [];
  });
}
