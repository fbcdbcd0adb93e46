/**
 * UPDATEs for the codec's tests, built by hand from attributes in hexadecimal, and what becomes of them in one word.
 *
 * `treatmentOf` puts one attribute into an otherwise good UPDATE, in place of the good one of its type, so that a row of a
 * test has to say no more than the attribute and the outcome. Nothing here uses the codec's own writer for what it tests.
 */
import assert from 'node:assert/strict';
import { toHex } from '../../lib/bytes.ts';
import { formatCidr } from '../../net/cidr.ts';
import type { Family } from '../../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import { encodeAttributes } from './attributes.ts';
import { isBgpError } from './errors.ts';
import type { NlriRange } from './nlri.ts';
import { prefixesIn } from './nlri.ts';
import { type Update, type UpdateContext, UpdateDecoder } from './update.ts';
import { hex } from './wire.suite.ts';

export const INTERNAL: UpdateContext = {
  asnBytes: 4,
  external: false,
  families: [4, 6],
  peerAsn: 64512,
  enforceFirstAs: true,
  role: undefined,
  addPathReceive: [],
  ipv4OverIpv6: false,
};
export const EXTERNAL: UpdateContext = { ...INTERNAL, external: true, peerAsn: 65001 };

export const ORIGIN = '40 01 01 00';
export const EMPTY_PATH = '40 02 00';
export const PATH_65001 = '40 02 06 02 01 0000fde9';
export const NEXT_HOP = '40 03 04 0a000002';
export const LOCAL_PREF = '40 05 04 00000064';
/** What a good UPDATE of an internal and of an external peer has. */
export const MANDATORY = `${ORIGIN} ${EMPTY_PATH} ${NEXT_HOP} ${LOCAL_PREF}`;
export const MANDATORY_EXTERNAL = `${ORIGIN} ${PATH_65001} ${NEXT_HOP}`;
/** fd17:9::/64 by fd00::2. */
export const REACH6 = '80 0e 1e 0002 01 10 fd000000000000000000000000000002 00 40 fd17000900000000';
export const PREFIX = '18 ac1109';

/** The body of an UPDATE from its three fields. */
export function body(attributes: string | Uint8Array, announced = '', withdrawn = ''): Uint8Array {
  const length = (bytes: Uint8Array): number[] => [bytes.length >> 8, bytes.length & 255];
  const [gone, block] = [hex(withdrawn), typeof attributes === 'string' ? hex(attributes) : attributes];
  return Uint8Array.from([...length(gone), ...gone, ...length(block), ...block, ...hex(announced)]);
}

/** MP_REACH_NLRI in hexadecimal: prefixes of a family by a next hop of any number of bytes. */
export function mpReach(family: Family, nextHop: string, prefixes: string): string {
  const hop = toHex(hex(nextHop));
  const value = `000${family === 4 ? 1 : 2}01${(hop.length / 2).toString(16).padStart(2, '0')}${hop}00${prefixes}`;
  return `90 0e ${hex(value).length.toString(16).padStart(4, '0')} ${value}`;
}

export function decode(bytes: Uint8Array, context: UpdateContext = INTERNAL): Update {
  const update = new UpdateDecoder(context).decode(bytes);
  assert.ok(!isBgpError(update), `reset: ${isBgpError(update) && update.why}`);
  return update;
}

/** The attributes of an UPDATE that announces something. */
export function attributesOf(bytes: Uint8Array, context: UpdateContext = INTERNAL): PathAttributes {
  const update = decode(bytes, context);
  const [first] = update.announced;
  assert.ok(first !== undefined, update.problems.join('; '));
  return first.attributes;
}

/** The prefixes of ranges, with their path identifiers where they have them: "172.17.9.0/24", "172.17.9.0/24#7". */
function texts(bytes: Uint8Array, ranges: readonly NlriRange[]): string[] {
  return ranges
    .flatMap((range) => prefixesIn(bytes, range))
    .map(({ prefix, pathId }) => `${formatCidr(prefix)}${pathId === undefined ? '' : `#${pathId}`}`);
}

/** One line that says what became of an UPDATE: "+172.17.9.0/24 -fd17:9::/64 !", or "reset 3/1". */
export function outcome(bytes: Uint8Array, context: UpdateContext = INTERNAL): string {
  const update = new UpdateDecoder(context).decode(bytes);
  if (isBgpError(update)) return `reset ${update.code}/${update.subcode}`;
  const announced = update.announced.flatMap(({ range }) => texts(bytes, [range])).map((text) => `+${text}`);
  const withdrawn = texts(bytes, update.withdrawn).map((text) => `-${text}`);
  return [...announced, ...withdrawn].join(' ') + (update.problems.length > 0 ? ' !' : '');
}

/** 'kept': the route is taken and the attribute with it; 'dropped': taken without it; 'withdraw'; 'reset 3/1'. */
export type Outcome = string;

/** What the attribute, in hexadecimal, does to an UPDATE in which nothing else is wrong. */
export function treatmentOf(attribute: string, context: UpdateContext): Outcome {
  const type = hex(attribute)[1];
  const good = (context.external ? [ORIGIN, PATH_65001, NEXT_HOP] : [ORIGIN, EMPTY_PATH, NEXT_HOP, LOCAL_PREF]).filter(
    (other) => hex(other)[1] !== type,
  );
  const bytes = body([...good, attribute].join(' '), PREFIX);
  const update = new UpdateDecoder(context).decode(bytes);
  if (isBgpError(update)) return `reset ${update.code}/${update.subcode}`;
  const [first] = update.announced;
  assert.equal(update.treatedAsWithdraw, first === undefined);
  assert.deepEqual(texts(bytes, first === undefined ? update.withdrawn : [first.range]), ['172.17.9.0/24']);
  if (first === undefined) {
    assert.ok(update.problems.length > 0, 'withdrawn without a word');
    return 'withdraw';
  }
  assert.equal(update.attributesDiscarded, update.problems.length > 0);
  return typesIn(encodeAttributes(first.attributes, context)).includes(type ?? 0) ? 'kept' : 'dropped';
}

/** The types of the attributes in a block that is well-formed. */
function typesIn(block: Uint8Array): number[] {
  const types: number[] = [];
  for (let at = 0; at < block.length; ) {
    const extended = (block[at]! & 0x10) !== 0;
    types.push(block[at + 1]!);
    at += extended ? 4 + block[at + 2]! * 256 + block[at + 3]! : 3 + block[at + 2]!;
  }
  return types;
}
