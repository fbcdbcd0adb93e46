/**
 * nftables' chains and plain rules as netlink messages.
 *
 * A rule is a list of expressions that work on registers: one loads a field, one masks it, one compares it, and the rule ends
 * where a comparison fails. They are those that nft 1.0.6 makes of the same words, so its listing reads as if nft had
 * written them. The mark and a connection's state are in the machine's own order, for the kernel compares registers byte by
 * byte; numbers in attributes are in network order. A comment is a record of nft's own in the rule's user data.
 *
 * Source: linux/netfilter/nf_tables.h; libnftnl's udata.h; `nft --debug=netlink`.
 * Called by nftables.ts beside this file.
 */
import { unreachable } from '../../lib/assert.ts';
import type { PlainRule, RulePart } from '../../net/table-edit.ts';
import type { NetlinkRequest } from './message.ts';
import { type NetlinkWriter, NLM_F } from './message.ts';
import { be16, be32, NFNL_SUBSYSTEM, nestAttributes, netfilterType, nfgenmsg } from './netfilter.ts';

const NEW_CHAIN = netfilterType(NFNL_SUBSYSTEM.nftables, 3);
const DELETE_CHAIN = netfilterType(NFNL_SUBSYSTEM.nftables, 5);
const NEW_RULE = netfilterType(NFNL_SUBSYSTEM.nftables, 6);
const DELETE_RULE = netfilterType(NFNL_SUBSYSTEM.nftables, 8);

/** Tables of both IP families; NFPROTO_INET of linux/netfilter.h. */
export const NFPROTO_INET = 1;

const NFTA_CHAIN = { table: 1, name: 3 } as const;
const NFTA_RULE = { table: 1, chain: 2, expressions: 4, userData: 7 } as const;
/** An element of any list. */
export const NFTA_LIST_ELEM = 1;
const NFTA_EXPR = { name: 1, body: 2 } as const;
export const NFTA_DATA = { value: 1, verdict: 2 } as const;
const NFTA_VERDICT = { code: 1, chain: 2 } as const;

const NFTA_COUNTER = { bytes: 1, packets: 2 } as const;
const NFTA_META = { targetRegister: 1, key: 2, sourceRegister: 3 } as const;
const META_KEY = { mark: 3, protocol: 16 } as const;
const NFTA_CT = { targetRegister: 1, key: 2 } as const;
const CT_STATE = 0;
const NFTA_BITWISE = { source: 1, target: 2, length: 3, mask: 4, xor: 5 } as const;
const NFTA_CMP = { register: 1, operation: 2, value: 3 } as const;
const CMP = { equal: 0, notEqual: 1 } as const;
const NFTA_IMMEDIATE = { register: 1, value: 2 } as const;
const NFTA_LOG = { group: 1, prefix: 2, bytes: 3 } as const;

const REGISTER = { verdict: 0, first: 1 } as const;
/** NF_DROP, NF_ACCEPT, NFT_JUMP, NFT_GOTO, NFT_RETURN. */
const VERDICT = { drop: 0, accept: 1, jump: -3, goto: -4, return: -5 } as const;
/** NFTNL_UDATA_RULE_COMMENT. */
const COMMENT_TYPE = 0;

const ENCODER = new TextEncoder();

export interface VerdictData {
  readonly verdict: keyof typeof VERDICT;
  /** Where it jumps or goes to. */
  readonly chain: string | undefined;
}

/** Makes a chain without a hook; one that is there is left as it is. */
export function encodeChainAdd(table: string, chain: string): NetlinkRequest {
  return { type: NEW_CHAIN, flags: NLM_F.create, body: chainBody(table, chain) };
}

/** Refused while anything leads to the chain. */
export function encodeChainRemove(table: string, chain: string): NetlinkRequest {
  return { type: DELETE_CHAIN, flags: 0, body: chainBody(table, chain) };
}

/** Removes all rules of a chain. */
export function encodeChainFlush(table: string, chain: string): NetlinkRequest {
  const body = inetMessage().attributeText(NFTA_RULE.table, table).attributeText(NFTA_RULE.chain, chain).finish();
  return { type: DELETE_RULE, flags: 0, body };
}

/** Adds a rule at the end of a chain. */
export function encodeRuleAdd(table: string, chain: string, { parts, comment }: PlainRule): NetlinkRequest {
  const writer = inetMessage().attributeText(NFTA_RULE.table, table).attributeText(NFTA_RULE.chain, chain);
  nestAttributes(writer, NFTA_RULE.expressions, () => {
    for (const part of parts) writePart(writer, part);
  });
  const text = ENCODER.encode(comment);
  writer.nested(NFTA_RULE.userData, () => {
    writer
      .u8(COMMENT_TYPE)
      .u8(text.length + 1)
      .bytes(text)
      .u8(0);
  });
  return { type: NEW_RULE, flags: NLM_F.create | NLM_F.append, body: writer.finish() };
}

/** A verdict as the value of an expression or an element. */
export function writeVerdict(writer: NetlinkWriter, attribute: number, { verdict, chain }: VerdictData): void {
  nestAttributes(writer, attribute, () => {
    nestAttributes(writer, NFTA_DATA.verdict, () => {
      writer.attribute(NFTA_VERDICT.code, be32(VERDICT[verdict] >>> 0));
      if (chain !== undefined) writer.attributeText(NFTA_VERDICT.chain, chain);
    });
  });
}

function inetMessage(): NetlinkWriter {
  return nfgenmsg(NFPROTO_INET, 0);
}

function chainBody(table: string, chain: string): Uint8Array {
  return inetMessage().attributeText(NFTA_CHAIN.table, table).attributeText(NFTA_CHAIN.name, chain).finish();
}

function writePart(writer: NetlinkWriter, part: RulePart): void {
  switch (part.kind) {
    case 'protocol':
      load(writer, 'meta', NFTA_META.targetRegister, META_KEY.protocol);
      compare(writer, part.is ? CMP.equal : CMP.notEqual, Uint8Array.of(part.protocol));
      return;
    case 'conntrack':
      load(writer, 'ct', NFTA_CT.targetRegister, CT_STATE);
      mask(writer, part.states, 0);
      compare(writer, part.is ? CMP.notEqual : CMP.equal, ownOrder(0));
      return;
    case 'mark':
      load(writer, 'meta', NFTA_META.targetRegister, META_KEY.mark);
      mask(writer, part.bits, 0);
      compare(writer, CMP.equal, ownOrder(part.value));
      return;
    case 'counter':
      expression(writer, 'counter', () => {
        const zero = new Uint8Array(8);
        writer.attribute(NFTA_COUNTER.bytes, zero).attribute(NFTA_COUNTER.packets, zero);
      });
      return;
    case 'setMark':
      load(writer, 'meta', NFTA_META.targetRegister, META_KEY.mark);
      mask(writer, part.keep, part.set);
      expression(writer, 'meta', () => {
        writer.attribute(NFTA_META.key, be32(META_KEY.mark)).attribute(NFTA_META.sourceRegister, be32(REGISTER.first));
      });
      return;
    case 'log':
      expression(writer, 'log', () => {
        writer.attributeText(NFTA_LOG.prefix, part.prefix);
        writer.attribute(NFTA_LOG.group, be16(part.group)).attribute(NFTA_LOG.bytes, be32(part.bytes));
      });
      return;
    case 'verdict':
      decide(writer, { verdict: part.verdict, chain: undefined });
      return;
    case 'jump':
    case 'goto':
      decide(writer, { verdict: part.kind, chain: part.chain });
      return;
    default:
      unreachable(part);
  }
}

function expression(writer: NetlinkWriter, name: string, write: () => void): void {
  nestAttributes(writer, NFTA_LIST_ELEM, () => {
    writer.attributeText(NFTA_EXPR.name, name);
    nestAttributes(writer, NFTA_EXPR.body, write);
  });
}

function load(writer: NetlinkWriter, name: 'meta' | 'ct', targetRegister: number, key: number): void {
  expression(writer, name, () => {
    // Both have the key as attribute 2.
    writer.attribute(NFTA_META.key, be32(key)).attribute(targetRegister, be32(REGISTER.first));
  });
}

/** The first register becomes (itself & keep) ^ flip. */
function mask(writer: NetlinkWriter, keep: number, flip: number): void {
  expression(writer, 'bitwise', () => {
    writer.attribute(NFTA_BITWISE.source, be32(REGISTER.first)).attribute(NFTA_BITWISE.target, be32(REGISTER.first));
    writer.attribute(NFTA_BITWISE.length, be32(4));
    nestAttributes(writer, NFTA_BITWISE.mask, () => writer.attribute(NFTA_DATA.value, ownOrder(keep)));
    nestAttributes(writer, NFTA_BITWISE.xor, () => writer.attribute(NFTA_DATA.value, ownOrder(flip)));
  });
}

function compare(writer: NetlinkWriter, operation: number, value: Uint8Array): void {
  expression(writer, 'cmp', () => {
    writer.attribute(NFTA_CMP.register, be32(REGISTER.first)).attribute(NFTA_CMP.operation, be32(operation));
    nestAttributes(writer, NFTA_CMP.value, () => writer.attribute(NFTA_DATA.value, value));
  });
}

function decide(writer: NetlinkWriter, verdict: VerdictData): void {
  expression(writer, 'immediate', () => {
    writer.attribute(NFTA_IMMEDIATE.register, be32(REGISTER.verdict));
    writeVerdict(writer, NFTA_IMMEDIATE.value, verdict);
  });
}

/** The codec is for little-endian machines (netlink-socket.ts). */
function ownOrder(value: number): Uint8Array {
  return Uint8Array.of(value, value >>> 8, value >>> 16, value >>> 24);
}
