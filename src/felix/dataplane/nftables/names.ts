/**
 * What things of a filter program are called in nftables, where all four tables share one: `inet muslin`.
 *
 * The kernel's order of hooks is by priority, so one table is enough, and one transaction can change everything. Chains of
 * the tables filter and nat keep their names, which people grep for; those of raw and mangle, and nat's chain at OUTPUT,
 * are told apart by the table's name before theirs.
 * libnftables asks the DNS about words that it does not know, and its text is a language, so each name from outside
 * passes `plainName` before it is printed.
 */
import { assert } from '../../../lib/assert.ts';
import type { Family } from '../../../net/ip.ts';
import type { SetId } from '../../desired/policy.ts';
import type { Chain, SetPart, TableName } from '../filter/program.ts';

/** Family and name, as nft's commands want them. */
export const NFT_TABLE = 'inet muslin';
/** Its name alone. */
export const NFT_TABLE_NAME = 'muslin';

/** Longer than any device, set or chain of ours; the kernel takes 255. */
const PLAIN_NAME = /^[A-Za-z][A-Za-z0-9/_.-]{0,127}$/;

/** Whether a name can be printed without being mistaken for anything else. */
export function isPlainName(name: string): boolean {
  return PLAIN_NAME.test(name);
}

/** `name`, when it is a plain one; else it is our bug, since the makers of names know the rule. */
function plainName(name: string): string {
  assert(isPlainName(name), `not a name that nft would take as one: ${JSON.stringify(name)}`);
  return name;
}

/** IFNAMSIZ is 16 bytes with the final zero. Between quotes, so all but what nft takes for its own there. */
const DEVICE_NAME = /^[!#%-)+-[\]-~]{1,15}$/;

export function isDeviceName(name: string): boolean {
  return DEVICE_NAME.test(name);
}

/** `name`, when it can stand between quotes as the name of a device. */
export function deviceName(name: string): string {
  assert(isDeviceName(name), `not a name that nft would take as a device's: ${JSON.stringify(name)}`);
  return name;
}

/** The name of a chain in the one table; chains that jump to one another are of the same table of the program. */
export function nftChainName({ table, name }: Pick<Chain, 'table' | 'name'>): string {
  return plainName(`${prefixOf(table, name)}${name}`);
}

function prefixOf(table: TableName, name: string): string {
  const shared = table === 'filter' || (table === 'nat' && name !== 'cali-OUTPUT');
  return shared ? '' : `${table}-`;
}

/** "cali40s-abc", "cali60s-abc-nets": Calico's names, where nftables has them. */
export function nftSetName({ set, family, part }: { set: SetId; family: Family; part: SetPart }): string {
  return plainName(`cali${family}0${set.replace(':', '-')}${part === 'prefixes' ? '-nets' : ''}`);
}
