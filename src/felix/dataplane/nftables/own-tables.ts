/**
 * What a host has of ours in nftables, and how to take it away: our own tables, and what iptables' nft variant has left empty.
 *
 * Our tables are `inet muslin` and those named after it, "inet muslin-…". Rules of iptables' nft variant stand in tables that all its
 * users share; it makes these and their base chains when they are needed and never removes them. Of these a chain may go when our
 * rules were in it, no rule is, and its policy accepts, and a table when nothing is left in it: then they do nothing, and
 * are made again by whoever needs them. Called for `muslin node purge`.
 */
import type { NftChain, NftTable } from '../../../net/nft-objects.ts';
import { isPlainName, NFT_TABLE_NAME } from './names.ts';

/** Family and name of each table of ours. */
export function ownTables(tables: readonly NftTable[]): string[] {
  return tables.flatMap(({ family, name }) => {
    const isOurs = name === NFT_TABLE_NAME || name.startsWith(`${NFT_TABLE_NAME}-`);
    return family === 'inet' && isOurs && isPlainName(name) ? [`inet ${name}`] : [];
  });
}

/**
 * One transaction that removes those of the base chains `touched` which do nothing any more, and the table with the last of
 * all; "" when there is nothing to do. The kernel refuses it as a whole when somebody has put a rule there meanwhile.
 */
export function sweepScript(table: NftTable, touched: ReadonlySet<string>, chains: readonly NftChain[]): string {
  const idle = chains.filter((chain) => {
    const isHere = chain.family === table.family && chain.table === table.name;
    return isHere && touched.has(chain.name) && chain.policy === 'accept' && chain.uses === 0;
  });
  const place = `${table.family} ${table.name}`;
  const lines = idle.map(({ name }) => `delete chain ${place} ${name}\n`);
  if (idle.length > 0 && table.uses === idle.length) lines.push(`delete table ${place}\n`);
  return lines.join('');
}
