/**
 * Members of nftables' sets as netlink messages, the ruleset's generation, and what the kernel tells of changes.
 *
 * A transaction is a batch in one datagram: begin, messages, end; it happens whole or not at all. A message of elements
 * names one set and holds as many as fit an attribute. A prefix is two elements: where it begins, and, marked as an end,
 * the first address behind it; the prefix that reaches the last address has no end, and says to nft that this is meant.
 * Parts of a concatenation are padded to four bytes each. Numbers are in network order.
 * Each transaction raises the ruleset's generation by one; the message of the new one is the last that the kernel sends
 * of it.
 *
 * Source: linux/netfilter/nf_tables.h, nf_tables_api.c; nft's src/segtree.c and libnftnl/udata.h for the open end.
 * Called by kernel/nft-elements.ts and kernel/nft-events.ts.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Cidr } from '../../net/cidr.ts';
import type { SetElement, SetElementsChange } from '../../net/set-element.ts';
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

const BATCH_BEGIN = 0x10;
const BATCH_END = 0x11;
const NEW_SET_ELEMENT = netfilterType(NFNL_SUBSYSTEM.nftables, 12);
const DELETE_SET_ELEMENT = netfilterType(NFNL_SUBSYSTEM.nftables, 14);
const NEW_GENERATION = netfilterType(NFNL_SUBSYSTEM.nftables, 15);
const GET_GENERATION = netfilterType(NFNL_SUBSYSTEM.nftables, 16);

/** Tables of both IP families; NFPROTO_INET of linux/netfilter.h. */
const NFPROTO_INET = 1;

const NFTA_SET_ELEM_LIST = { table: 1, set: 2, elements: 3 } as const;
const NFTA_LIST_ELEM = 1;
const NFTA_SET_ELEM = { key: 1, flags: 3, userData: 6 } as const;
const NFTA_DATA_VALUE = 1;
/** In messages of tables, chains, rules, sets, elements, objects and flow tables alike. */
const NFTA_TABLE_NAME = 1;
const NFTA_GEN = { id: 1, processId: 2, processName: 3 } as const;
/** NFT_SET_ELEM_INTERVAL_END. */
const INTERVAL_END = be32(1);
/** What nft writes to itself: type 1 (flags), 4 bytes, SET_ELEM_F_INTERVAL_OPEN. */
const OPEN_ENDED = Uint8Array.of(1, 4, 1, 0, 0, 0);

/** Elements in a message: the largest, an IPv6 prefix, has 64 bytes, and an attribute holds 65,535. */
const ELEMENTS_MAX = 1000;

/** A message of a batch; the begin and the end are about no set. */
export interface BatchMessage {
  readonly request: NetlinkRequest;
  readonly about: ElementsMessage | undefined;
}

/** For telling what was refused. */
export interface ElementsMessage {
  readonly verb: 'add' | 'remove';
  readonly set: string;
  readonly elements: readonly SetElement[];
}

/** One transaction in the table `inet NAME`: first what leaves each set, then what comes. */
export function encodeElementBatch(tableName: string, changes: readonly SetElementsChange[]): BatchMessage[] {
  const messages: BatchMessage[] = [{ request: encodeBatchLimit(BATCH_BEGIN), about: undefined }];
  for (const { set, removed, added } of changes) {
    for (const elements of slices(removed))
      messages.push(elementsMessage(tableName, { verb: 'remove', set, elements }));
    for (const elements of slices(added)) messages.push(elementsMessage(tableName, { verb: 'add', set, elements }));
  }
  return [...messages, { request: encodeBatchLimit(BATCH_END), about: undefined }];
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

function encodeBatchLimit(type: number): NetlinkRequest {
  return { type, flags: 0, body: nfgenmsg(0, NFNL_SUBSYSTEM.nftables).finish() };
}

function slices(elements: readonly SetElement[]): SetElement[][] {
  return Array.from({ length: Math.ceil(elements.length / ELEMENTS_MAX) }, (_, index) =>
    elements.slice(index * ELEMENTS_MAX, (index + 1) * ELEMENTS_MAX),
  );
}

function elementsMessage(tableName: string, about: ElementsMessage): BatchMessage {
  const { verb, set, elements } = about;
  const writer = nfgenmsg(NFPROTO_INET, 0);
  writer.attributeText(NFTA_SET_ELEM_LIST.table, tableName).attributeText(NFTA_SET_ELEM_LIST.set, set);
  nestAttributes(writer, NFTA_SET_ELEM_LIST.elements, () => {
    for (const element of elements) writeElement(writer, element);
  });
  const request =
    verb === 'add'
      ? { type: NEW_SET_ELEMENT, flags: NLM_F.create, body: writer.finish() }
      : { type: DELETE_SET_ELEMENT, flags: 0, body: writer.finish() };
  return { request, about };
}

function writeElement(writer: NetlinkWriter, element: SetElement): void {
  switch (element.kind) {
    case 'address':
      writeKey(writer, element.address.bytes);
      return;
    case 'port':
      writeKey(writer, concatenation(element.address.bytes, Uint8Array.of(element.protocol), be16(element.port)));
      return;
    case 'prefix': {
      const end = addressBehind(element.prefix);
      writeKey(writer, element.prefix.address.bytes, end === undefined ? 'open' : 'whole');
      if (end !== undefined) writeKey(writer, end, 'end');
    }
  }
}

function writeKey(writer: NetlinkWriter, key: Uint8Array, kind: 'whole' | 'open' | 'end' = 'whole'): void {
  nestAttributes(writer, NFTA_LIST_ELEM, () => {
    if (kind === 'end') writer.attribute(NFTA_SET_ELEM.flags, INTERVAL_END);
    nestAttributes(writer, NFTA_SET_ELEM.key, () => writer.attribute(NFTA_DATA_VALUE, key));
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
