/**
 * What is in our table, from nft's listing of it (`nft -j list table inet muslin`).
 *
 * Only what difference.ts compares is read: names, headers, the hashes in the comments, and map elements. What a rule says is
 * not read, since nft prints the same rule differently from version to version; its hash stands for it.
 * Things that we never make (sets, counters, flags that put the table to sleep, names that cannot be printed back) are
 * not taken apart: they make the table `foreign`, and it is rebuilt in one transaction.
 *
 * The schema is libnftables-json(5), version 1.
 */
import { baseChainHeader, isPlainName, mapHeader, RULE_MARK } from './print.ts';

export interface ActualChain {
  readonly header: string;
  /** A rule that bears none of our hashes counts as "". */
  readonly hashes: readonly string[];
}

export interface ActualMap {
  readonly header: string;
  readonly elements: ReadonlyMap<string, string>;
}

export interface ActualTable {
  readonly chains: ReadonlyMap<string, ActualChain>;
  readonly maps: ReadonlyMap<string, ActualMap>;
  /** Something is in the table that is not of our making. */
  readonly foreign: boolean;
}

/** The world's error: nft printed something that is not a listing. */
export class ListingUnreadable extends Error {
  override readonly name = 'ListingUnreadable';
  readonly code = 'LISTING_UNREADABLE';
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Reads a listing; `undefined` is "there is no such table". Throws ListingUnreadable. */
export function parseListing(listed: unknown): ActualTable | undefined {
  if (listed === undefined) return undefined;
  const items = isObject(listed) ? listed['nftables'] : undefined;
  if (!Array.isArray(items)) {
    throw new ListingUnreadable(
      `nft's listing is not {"nftables": […]}: ${JSON.stringify(listed)?.slice(0, 100)}; see \`nft -j list ruleset\``,
    );
  }
  const reading: Reading = { headers: new Map(), hashes: new Map(), maps: new Map(), foreign: false };
  for (const item of items) readItem(reading, isObject(item) ? item : {});
  const chains = [...reading.headers].map(([name, header]): [string, ActualChain] => [
    name,
    { header, hashes: reading.hashes.get(name) ?? [] },
  ]);
  return { chains: new Map(chains), maps: reading.maps, foreign: reading.foreign };
}

interface Reading {
  readonly headers: Map<string, string>;
  readonly hashes: Map<string, string[]>;
  readonly maps: Map<string, ActualMap>;
  foreign: boolean;
}

/** An item is an object of one key, which names its kind. */
function readItem(reading: Reading, item: JsonObject): void {
  for (const [kind, value] of Object.entries(item)) {
    const body = isObject(value) ? value : {};
    if (kind === 'metainfo') continue;
    else if (kind === 'table') reading.foreign ||= 'flags' in body;
    else if (kind === 'chain') readChain(reading, body);
    else if (kind === 'rule') readRule(reading, body);
    else if (kind === 'map') readMap(reading, body);
    else reading.foreign = true;
  }
}

function readChain(reading: Reading, body: JsonObject): void {
  const name = text(body['name']);
  reading.foreign ||= !isPlainName(name);
  reading.headers.set(name, 'hook' in body ? chainHeader(body) : '');
}

function chainHeader(body: JsonObject): string {
  const header = baseChainHeader({
    type: text(body['type']),
    hook: text(body['hook']),
    priority: Number(body['prio']),
    policy: text(body['policy']),
  });
  return 'dev' in body ? `${header} on devices` : header;
}

function readRule(reading: Reading, body: JsonObject): void {
  const name = text(body['chain']);
  const hashes = reading.hashes.get(name) ?? [];
  reading.hashes.set(name, hashes);
  hashes.push(hashIn(text(body['comment'])));
}

function hashIn(comment: string): string {
  return comment.startsWith(RULE_MARK) ? comment.slice(RULE_MARK.length).replace(/;.*$/s, '') : '';
}

function readMap(reading: Reading, body: JsonObject): void {
  const name = text(body['name']);
  const elements = new Map<string, string>();
  const listed = Array.isArray(body['elem']) ? body['elem'] : [];
  for (const element of listed) {
    const [key, verdict] = Array.isArray(element) ? element : [];
    const device = text(key);
    reading.foreign ||= !isPlainName(device);
    elements.set(device, verdictText(verdict));
  }
  // Flags, a timeout or a size make it another map than ours.
  const plain = ['flags', 'timeout', 'gc-interval', 'size', 'policy', 'stmt'].every((key) => !(key in body));
  reading.foreign ||= !isPlainName(name);
  reading.maps.set(name, { header: plain ? mapHeader(text(body['type']), text(body['map'])) : '', elements });
}

/** {"goto": {"target": "x"}} is "goto x", {"drop": null} is "drop". */
function verdictText(verdict: unknown): string {
  const [[kind, body] = ['', undefined]] = isObject(verdict) ? Object.entries(verdict) : [];
  return isObject(body) ? `${kind} ${text(body['target'])}` : kind;
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
