/**
 * Transactions of nftables as netlink messages, members of its sets, the ruleset's generation, and what the kernel tells of changes.
 *
 * A transaction is a batch in one datagram: begin, messages, end; it happens whole or not at all. A message of elements
 * names one set and holds as many as fit an attribute. A prefix is two elements: where it begins, and, marked as an end,
 * the first address behind it; the prefix that reaches the last address has no end, and says to nft that this is meant.
 * Parts of a concatenation are padded to four bytes each. Numbers are in network order.
 * Each transaction raises the ruleset's generation by one; the message of the new one is the last that the kernel sends
 * of it.
 *
 * Tables and chains are read, for nft's own listings are slow, and some of its versions fall over rules of iptables.
 *
 * Source: linux/netfilter/nf_tables.h, nf_tables_api.c; nft's src/segtree.c and libnftnl/udata.h for the open end.
 * Called by kernel/nft-edits.ts, kernel/nft-events.ts, kernel/nft-tables.ts.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Cidr } from '../../net/cidr.ts';
import { formatCidr } from '../../net/cidr.ts';
import { formatIp } from '../../net/ip.ts';
import type { NftChain, NftFamily, NftTable } from '../../net/nft-objects.ts';
import type { SetElement } from '../../net/set-element.ts';
import type { TableEdits } from '../../net/table-edit.ts';
import {
  type NetlinkMessage,
  type NetlinkRequest,
  type NetlinkWriter,
  NLM_F,
  parseAttributes,
  textOf,
} from './message.ts';
import {
  be16,
  be32,
  be32Of,
  NFGENMSG_LENGTH,
  NFNL_SUBSYSTEM,
  nestAttributes,
  netfilterType,
  nfgenmsg,
} from './netfilter.ts';

import {
  encodeChainAdd,
  encodeChainFlush,
  encodeChainRemove,
  encodeRuleAdd,
  NFPROTO_INET,
  NFTA_DATA,
  NFTA_LIST_ELEM,
  writeVerdict,
} from './nft-rules.ts';

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NEW_TABLE = netfilterType(NFNL_SUBSYSTEM.nftables, 0);
const GET_TABLE = netfilterType(NFNL_SUBSYSTEM.nftables, 1);
const NEW_CHAIN = netfilterType(NFNL_SUBSYSTEM.nftables, 3);
const GET_CHAIN = netfilterType(NFNL_SUBSYSTEM.nftables, 4);
const NEW_SET_ELEMENT = netfilterType(NFNL_SUBSYSTEM.nftables, 12);
const DELETE_SET_ELEMENT = netfilterType(NFNL_SUBSYSTEM.nftables, 14);
const NEW_GENERATION = netfilterType(NFNL_SUBSYSTEM.nftables, 15);
const GET_GENERATION = netfilterType(NFNL_SUBSYSTEM.nftables, 16);

/** NFPROTO_*, of those that are looked at. */
const FAMILIES: ReadonlyMap<number, NftFamily> = new Map([
  [NFPROTO_INET, 'inet'],
  [2, 'ip'],
  [10, 'ip6'],
]);

const NFTA_TABLE = { name: 1, use: 3 } as const;
const NFTA_CHAIN = { table: 1, name: 3, policy: 5, use: 6 } as const;
/** NF_ACCEPT. */
const ACCEPT = 1;
const NFTA_SET_ELEM_LIST = { table: 1, set: 2, elements: 3 } as const;
const NFTA_SET_ELEM = { key: 1, value: 2, flags: 3, userData: 6 } as const;
/** In messages of tables, chains, rules, sets, elements, objects and flow tables alike. */
const NFTA_TABLE_NAME = 1;
const NFTA_GEN = { id: 1, processId: 2, processName: 3 } as const;
/** NFT_SET_ELEM_INTERVAL_END. */
const INTERVAL_END = be32(1);
/** What nft writes to itself: type 1 (flags), 4 bytes, SET_ELEM_F_INTERVAL_OPEN. */
const OPEN_ENDED = Uint8Array.of(1, 4, 1, 0, 0, 0);

/** Elements in a message: the largest, an IPv6 prefix, has 64 bytes, and an attribute holds 65,535. */
const ELEMENTS_MAX = 1000;

/** Elements that a message of an error names. */
const ELEMENTS_NAMED_MAX = 3;
/** A device's name as a key of a map: IFNAMSIZ, filled up with zeros. */
const DEVICE_NAME_BYTES = 16;

/** A message of a batch, and what it does, in words, should it be refused. */
export interface BatchMessage {
  readonly request: NetlinkRequest;
  readonly what: () => string;
}

/** One transaction in the table `inet NAME`; what leaves a set or map goes before what comes. */
export function encodeTableBatch(tableName: string, edits: TableEdits): BatchMessage[] {
  const whole = () => `table inet ${tableName}: a transaction`;
  const chain = (name: string, request: NetlinkRequest, verb: string): BatchMessage => ({
    request,
    what: () => `chain inet ${tableName} ${name}: ${verb}`,
  });
  // Each chain is there before the first rule may jump to it, and all are empty before the first of them goes.
  return [
    { request: encodeBatchLimit(BATCH_BEGIN), what: whole },
    ...edits.chains.map(({ name }) => chain(name, encodeChainAdd(tableName, name), 'adding it')),
    ...edits.chains.flatMap(({ name, rules }) => [
      chain(name, encodeChainFlush(tableName, name), 'emptying it'),
      ...rules.map((rule) => chain(name, encodeRuleAdd(tableName, name, rule), `adding "${rule.comment}"`)),
    ]),
    ...edits.members.flatMap(({ set, removed, added }) => [
      ...slices(removed).map((elements) => elementsMessage(tableName, set, 'remove', elements.map(memberOf))),
      ...slices(added).map((elements) => elementsMessage(tableName, set, 'add', elements.map(memberOf))),
    ]),
    ...edits.dispatches.flatMap(({ map, removed, added }) => [
      ...slices(removed).map((devices) =>
        elementsMessage(
          tableName,
          map,
          'remove',
          devices.map((device) => deviceElement(device)),
        ),
      ),
      ...slices(added.map(([device, target]) => deviceElement(device, target))).map((elements) =>
        elementsMessage(tableName, map, 'add', elements),
      ),
    ]),
    ...edits.staleChains.map((name) => chain(name, encodeChainFlush(tableName, name), 'emptying it')),
    ...edits.staleChains.map((name) => chain(name, encodeChainRemove(tableName, name), 'removing it')),
    { request: encodeBatchLimit(BATCH_END), what: whole },
  ];
}

/** Asks for the ruleset's generation. */
export function encodeGenerationGet(): NetlinkRequest {
  return { type: GET_GENERATION, flags: 0, body: nfgenmsg(0, 0).finish() };
}

/** A generation of the ruleset of a namespace, and who made it. */
export interface Generation {
  readonly id: number;
  /** The name of the thread that made it, and its number in the machine's first process namespace. */
  readonly by: string;
}

/** What NFT_MSG_NEWGEN says; undefined for all else and for what is malformed. */
export function decodeGeneration({ type, body }: NetlinkMessage): Generation | undefined {
  if (type !== NEW_GENERATION || body.length < NFGENMSG_LENGTH) return undefined;
  const attributes = parseAttributes(body, NFGENMSG_LENGTH);
  const id = be32Of(attributes?.get(NFTA_GEN.id));
  if (id === undefined) return undefined;
  const name = textOf(attributes?.get(NFTA_GEN.processName));
  return { id, by: `${name ?? 'unknown'} (process ${be32Of(attributes?.get(NFTA_GEN.processId)) ?? 'unknown'})` };
}

/** The generation that the next transaction makes; there is none of number 0. */
export function nextGeneration(id: number): number {
  return (id + 1) >>> 0 || 1;
}

/** Whether the kernel tells that the table `inet NAME`, or something in it, has come, changed or gone. */
export function isAboutTable({ type, body }: NetlinkMessage, tableName: string): boolean {
  if (type >>> 8 !== NFNL_SUBSYSTEM.nftables || type === NEW_GENERATION || body.length < NFGENMSG_LENGTH) return false;
  if (byteAt(body, 0) !== NFPROTO_INET) return false;
  return textOf(parseAttributes(body, NFGENMSG_LENGTH)?.get(NFTA_TABLE_NAME)) === tableName;
}

/** Asks for all tables of all families. */
export function encodeTablesDump(): NetlinkRequest {
  return { type: GET_TABLE, flags: NLM_F.dump, body: nfgenmsg(0, 0).finish() };
}

/** Asks for the chains of all tables. */
export function encodeChainsDump(): NetlinkRequest {
  return { type: GET_CHAIN, flags: NLM_F.dump, body: nfgenmsg(0, 0).finish() };
}

/** A table of IP; undefined for all else and for what is malformed. */
export function decodeTable({ type, body }: NetlinkMessage): NftTable | undefined {
  if (type !== NEW_TABLE || body.length < NFGENMSG_LENGTH) return undefined;
  const family = FAMILIES.get(byteAt(body, 0));
  const attributes = parseAttributes(body, NFGENMSG_LENGTH);
  const name = textOf(attributes?.get(NFTA_TABLE.name));
  const uses = be32Of(attributes?.get(NFTA_TABLE.use));
  return family === undefined || name === undefined || uses === undefined ? undefined : { family, name, uses };
}

/** A chain of such a table; undefined for all else and for what is malformed. */
export function decodeChain({ type, body }: NetlinkMessage): NftChain | undefined {
  if (type !== NEW_CHAIN || body.length < NFGENMSG_LENGTH) return undefined;
  const family = FAMILIES.get(byteAt(body, 0));
  const attributes = parseAttributes(body, NFGENMSG_LENGTH);
  const table = textOf(attributes?.get(NFTA_CHAIN.table));
  const name = textOf(attributes?.get(NFTA_CHAIN.name));
  const uses = be32Of(attributes?.get(NFTA_CHAIN.use));
  const policy = be32Of(attributes?.get(NFTA_CHAIN.policy));
  if (family === undefined || table === undefined || name === undefined || uses === undefined) return undefined;
  return {
    family,
    table,
    name,
    uses,
    policy: policy === undefined ? undefined : policy === ACCEPT ? 'accept' : 'drop',
  };
}

function encodeBatchLimit(type: number): NetlinkRequest {
  return { type, flags: 0, body: nfgenmsg(0, NFNL_SUBSYSTEM.nftables).finish() };
}

function slices<Element>(elements: readonly Element[]): Element[][] {
  return Array.from({ length: Math.ceil(elements.length / ELEMENTS_MAX) }, (_, index) =>
    elements.slice(index * ELEMENTS_MAX, (index + 1) * ELEMENTS_MAX),
  );
}

/** An element in the making, and what it is called. */
interface ElementText {
  readonly write: (writer: NetlinkWriter) => void;
  readonly text: () => string;
}

function elementsMessage(
  tableName: string,
  set: string,
  verb: 'add' | 'remove',
  elements: readonly ElementText[],
): BatchMessage {
  const writer = nfgenmsg(NFPROTO_INET, 0);
  writer.attributeText(NFTA_SET_ELEM_LIST.table, tableName).attributeText(NFTA_SET_ELEM_LIST.set, set);
  nestAttributes(writer, NFTA_SET_ELEM_LIST.elements, () => {
    for (const { write } of elements) write(writer);
  });
  const request =
    verb === 'add'
      ? { type: NEW_SET_ELEMENT, flags: NLM_F.create, body: writer.finish() }
      : { type: DELETE_SET_ELEMENT, flags: 0, body: writer.finish() };
  const what = (): string => {
    const named = elements
      .slice(0, ELEMENTS_NAMED_MAX)
      .map(({ text }) => text())
      .join(', ');
    const more = elements.length > ELEMENTS_NAMED_MAX ? `, … (${elements.length})` : '';
    return `set inet ${tableName} ${set}: ${verb === 'add' ? 'adding' : 'removing'} ${named}${more}`;
  };
  return { request, what };
}

function memberOf(element: SetElement): ElementText {
  switch (element.kind) {
    case 'address':
      return {
        write: (writer) => writeKey(writer, element.address.bytes),
        text: () => formatIp(element.address),
      };
    case 'port': {
      const { address, protocol, port } = element;
      const key = concatenation(address.bytes, Uint8Array.of(protocol), be16(port));
      return {
        write: (writer) => writeKey(writer, key),
        text: () => `${formatIp(address)} . ${protocol} . ${port}`,
      };
    }
    case 'prefix': {
      const end = addressBehind(element.prefix);
      return {
        write: (writer) => {
          writeKey(writer, element.prefix.address.bytes, end === undefined ? 'open' : 'whole');
          if (end !== undefined) writeKey(writer, end, 'end');
        },
        text: () => formatCidr(element.prefix),
      };
    }
  }
}

/** An entry of a dispatch map; without a chain, to be removed. */
function deviceElement(device: string, chain?: string): ElementText {
  const key = new Uint8Array(DEVICE_NAME_BYTES);
  new TextEncoder().encodeInto(device, key);
  return {
    text: () => device,
    write: (writer) =>
      nestAttributes(writer, NFTA_LIST_ELEM, () => {
        nestAttributes(writer, NFTA_SET_ELEM.key, () => writer.attribute(NFTA_DATA.value, key));
        if (chain !== undefined) writeVerdict(writer, NFTA_SET_ELEM.value, { verdict: 'goto', chain });
      }),
  };
}

function writeKey(writer: NetlinkWriter, key: Uint8Array, kind: 'whole' | 'open' | 'end' = 'whole'): void {
  nestAttributes(writer, NFTA_LIST_ELEM, () => {
    if (kind === 'end') writer.attribute(NFTA_SET_ELEM.flags, INTERVAL_END);
    nestAttributes(writer, NFTA_SET_ELEM.key, () => writer.attribute(NFTA_DATA.value, key));
    if (kind === 'open') writer.attribute(NFTA_SET_ELEM.userData, OPEN_ENDED);
  });
}

function concatenation(...parts: readonly Uint8Array[]): Uint8Array {
  const padded = parts.flatMap((part) => [...part, ...new Uint8Array(-part.length & 3)]);
  return Uint8Array.from(padded);
}

/** The first address after the prefix; undefined where it reaches the last there is. */
function addressBehind({ address, length }: Cidr): Uint8Array | undefined {
  const bytes = Uint8Array.from(address.bytes);
  let index = Math.ceil(length / 8) - 1;
  let carry = 1 << (-length & 7);
  for (; index >= 0 && carry > 0; index--) {
    const sum = byteAt(bytes, index) + carry;
    bytes[index] = sum;
    carry = sum >> 8;
  }
  return carry === 0 ? bytes : undefined;
}
