/**
 * What is in our table, from nft's listing of it (`nft -j list table inet muslin`).
 *
 * Only what difference.ts compares is read: names, headers, the hashes in the comments, elements of maps and sets. What a
 * rule says is not read, since nft prints the same rule differently from version to version; its hash stands for it.
 * Things that we never make (counters, flags that put the table to sleep, names that cannot be printed back) are not
 * taken apart: they make the table `foreign`, and it is rebuilt in one transaction. A set with an element that we would
 * never make is `odd` and filled anew.
 *
 * The schema is libnftables-json(5), version 1.
 */
import type { JsonObject } from './listing.ts';
import { hashIn, isObject, itemsOf, text } from './listing.ts';
import { readMembers } from './members.ts';
import { isDeviceName, isPlainName } from './names.ts';
import { baseChainHeader, mapHeader, setHeader } from './print.ts';

export interface ActualChain {
  readonly header: string;
  /** A rule that bears none of our hashes counts as "". */
  readonly hashes: readonly string[];
}

export interface ActualMap {
  readonly header: string;
  readonly elements: ReadonlyMap<string, string>;
}

export interface ActualSet {
  readonly header: string;
  /** As a program's sets have them. */
  readonly members: ReadonlySet<string>;
  /** There are more elements than these, which cannot be said as members. */
  readonly odd: boolean;
}

export interface ActualTable {
  readonly chains: ReadonlyMap<string, ActualChain>;
  readonly maps: ReadonlyMap<string, ActualMap>;
  readonly sets: ReadonlyMap<string, ActualSet>;
  /** Something is in the table that is not of our making. */
  readonly foreign: boolean;
}

/** Reads a listing; `undefined` is "there is no such table". Throws ListingUnreadable. */
export function parseListing(listed: unknown): ActualTable | undefined {
  if (listed === undefined) return undefined;
  const reading: Reading = {
    headers: new Map(),
    hashes: new Map(),
    maps: new Map(),
    sets: new Map(),
    foreign: false,
  };
  for (const [kind, body] of itemsOf(listed)) readItem(reading, kind, body);
  const chains = [...reading.headers].map(([name, header]): [string, ActualChain] => [
    name,
    { header, hashes: reading.hashes.get(name) ?? [] },
  ]);
  return { chains: new Map(chains), maps: reading.maps, sets: reading.sets, foreign: reading.foreign };
}

interface Reading {
  readonly headers: Map<string, string>;
  readonly hashes: Map<string, string[]>;
  readonly maps: Map<string, ActualMap>;
  readonly sets: Map<string, ActualSet>;
  foreign: boolean;
}

function readItem(reading: Reading, kind: string, body: JsonObject): void {
  if (kind === 'metainfo') return;
  else if (kind === 'table') reading.foreign ||= 'flags' in body;
  else if (kind === 'chain') readChain(reading, body);
  else if (kind === 'rule') readRule(reading, body);
  else if (kind === 'map') readMap(reading, body);
  else if (kind === 'set') readSet(reading, body);
  else reading.foreign = true;
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
  hashes.push(hashIn(body));
}

function readMap(reading: Reading, body: JsonObject): void {
  const name = text(body['name']);
  const elements = new Map<string, string>();
  for (const element of elementsOf(body)) {
    const [key, verdict] = Array.isArray(element) ? element : [];
    const device = text(key);
    reading.foreign ||= !isDeviceName(device);
    elements.set(device, verdictText(verdict));
  }
  reading.foreign ||= !isPlainName(name);
  const plain = isPlain(body) && !('flags' in body);
  reading.maps.set(name, { header: plain ? mapHeader(text(body['type']), text(body['map'])) : '', elements });
}

function readSet(reading: Reading, body: JsonObject): void {
  const name = text(body['name']);
  const type = body['type'];
  const flags = Array.isArray(body['flags']) ? body['flags'].map(text) : [];
  const typeText = Array.isArray(type) ? type.map(text).join(' . ') : text(type);
  reading.foreign ||= !isPlainName(name);
  reading.sets.set(name, { header: isPlain(body) ? setHeader(typeText, flags) : '', ...readMembers(elementsOf(body)) });
}

/** A timeout or a size make it another set or map than ours. */
function isPlain(body: JsonObject): boolean {
  return ['timeout', 'gc-interval', 'size', 'policy', 'stmt', 'auto-merge'].every((key) => !(key in body));
}

function elementsOf(body: JsonObject): readonly unknown[] {
  return Array.isArray(body['elem']) ? body['elem'] : [];
}

/** {"goto": {"target": "x"}} is "goto x", {"drop": null} is "drop". */
function verdictText(verdict: unknown): string {
  const [[kind, body] = ['', undefined]] = isObject(verdict) ? Object.entries(verdict) : [];
  return isObject(body) ? `${kind} ${text(body['target'])}` : kind;
}
