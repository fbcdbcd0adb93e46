/**
 * The outer shape of nft's JSON listings, for those who read them: parse.ts what is there, counts.ts how often it was met.
 *
 * A listing is {"nftables": [{"metainfo": …}, {"chain": {…}}, {"rule": {…}}, …]}; an item is an object of one key, which
 * names its kind. The schema is libnftables-json(5), version 1.
 */
import { RULE_MARK } from './print.ts';

/** The world's error: nft printed something that is not a listing. */
export class ListingUnreadable extends Error {
  override readonly name = 'ListingUnreadable';
  readonly code = 'LISTING_UNREADABLE';
}

export type JsonObject = Readonly<Record<string, unknown>>;

/** Kind and body of each item. Throws ListingUnreadable. */
export function itemsOf(listed: unknown): [string, JsonObject][] {
  const items = isObject(listed) ? listed['nftables'] : undefined;
  if (!Array.isArray(items)) {
    throw new ListingUnreadable(
      `nft's listing is not {"nftables": […]}: ${JSON.stringify(listed)?.slice(0, 100)}; see \`nft -j list ruleset\``,
    );
  }
  return items.flatMap((item: unknown) =>
    Object.entries(isObject(item) ? item : {}).map(([kind, body]): [string, JsonObject] => [
      kind,
      isObject(body) ? body : {},
    ]),
  );
}

/** The hash that a rule's comment bears; "" for a rule that is not ours. */
export function hashIn(rule: JsonObject): string {
  const comment = text(rule['comment']);
  return comment.startsWith(RULE_MARK) ? comment.slice(RULE_MARK.length).replace(/;.*$/s, '') : '';
}

export function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
