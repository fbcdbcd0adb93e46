/**
 * Chains of others that drop what they forward, unless a rule of theirs accepts it.
 *
 * Docker sets the policy of FORWARD to drop; in nftables an accept of ours does not overrule that, so containers cannot reach
 * each other across hosts, and nothing in our own rules says why. So the operator is told. The listing is that of
 * `nft -j list chains`, all tables; chains of iptables' nft variant are among them.
 */
import { itemsOf, text } from './listing.ts';
import { NFT_TABLE } from './names.ts';

/** A sentence for each such chain. Throws ListingUnreadable. */
export function forwardDrops(listed: unknown): string[] {
  if (listed === undefined) return [];
  return itemsOf(listed).flatMap(([kind, chain]) => {
    const table = `${text(chain['family'])} ${text(chain['table'])}`;
    const drops = kind === 'chain' && chain['hook'] === 'forward' && chain['policy'] === 'drop' && table !== NFT_TABLE;
    if (!drops) return [];
    const name = text(chain['name']);
    return [
      `the chain ${name} of table ${table} drops forwarded packets that none of its own rules accepts, our containers' too`,
    ];
  });
}
