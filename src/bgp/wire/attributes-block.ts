/**
 * The path attributes of an UPDATE, all together: from a run of bytes to one set, or to "treat as withdraw".
 *
 * `readAttributes` takes the attributes without the two that carry prefixes, and the next hop of MP_REACH_NLRI where there is
 * one; the answer depends on nothing else, so that it can be kept for equal bytes. Every attribute is looked at
 * though one before it was malformed, so that all problems are told. Of one that stands twice the first counts.
 * Unknown attributes that are optional and transitive are kept and get the Partial bit; other optional ones are dropped;
 * those that claim to be well known withdraw the routes.
 *
 * RFC 4271 sections 5 and 6.3, RFC 6793 section 4.2.3, RFC 7606 sections 3 and 4, RFC 9234 section 5. Called by update.ts.
 */
import { byteAt, toHex } from '../../lib/bytes.ts';
import type { Ip } from '../../net/ip.ts';
import { formatIp } from '../../net/ip.ts';
import type { Role } from '../peer-config.ts';
import { mergeAs4Path } from './as-path.ts';
import type { AsnWidth, PathAttributes } from './attributes.ts';
import {
  ATTRIBUTE,
  FLAG_EXTENDED_LENGTH,
  FLAG_OPTIONAL,
  FLAG_PARTIAL,
  FLAG_TRANSITIVE,
  OPTIONAL_TRANSITIVE,
} from './attributes.ts';
import type { AttributeDraft, AttributeRow, Treatment } from './attributes-table.ts';
import { attributeRow } from './attributes-table.ts';
import { AS_TRANS } from './open.ts';

/** How far the two sides of a session trust each other, and how they write. */
export interface AttributeContext extends AsnWidth {
  /** An eBGP session. */
  readonly external: boolean;
  readonly peerAsn: number;
  /** An external peer's paths must begin with its AS number; not so those of a route server. */
  readonly enforceFirstAs: boolean;
  /** Our own role, where both have one (RFC 9234). */
  readonly role: Role | undefined;
}

/** The next hops of MP_REACH_NLRI. */
export interface NextHops {
  readonly nextHop: Ip;
  readonly linkLocalNextHop: Ip | undefined;
}

/** What attribute bytes came to. */
export interface AttributeVerdict {
  /** Undefined: treat as withdraw. */
  readonly attributes: PathAttributes | undefined;
  /** The bytes themselves are wrong, rather than that they lack something or may not come from this peer. */
  readonly malformed: boolean;
  /** Something was malformed and left out. */
  readonly discarded: boolean;
  /** What was malformed and what was done about it, for people. */
  readonly problems: readonly string[];
}

/** What most sets have in most places: one object for all of them. */
const NONE: readonly never[] = [];
/** A value is quoted up to here: enough to recognise it by, short enough for a log line. */
const QUOTED_BYTES_MAX = 32;

/**
 * Reads all attributes in `block`, for routes with the next hops of `reach`, or that of NEXT_HOP where there are none.
 * `readsNextHop` is false for an UPDATE with MP_REACH_NLRI only: a NEXT_HOP in it is not looked at (RFC 4760 section 3).
 */
export function readAttributes(
  block: Uint8Array,
  reach: NextHops | undefined,
  readsNextHop: boolean,
  context: AttributeContext,
): AttributeVerdict {
  const reading: Reading = { draft: {}, context, problems: [], withdraw: false, discarded: false };
  const seen = new Uint8Array(256 / 8); // a bit for each type
  for (let start = 0; start < block.length; ) {
    const end = attributeEnd(block, start);
    if (end === undefined) {
      reading.problems.push(`the attribute at byte ${start} is longer than the attributes`);
      reading.withdraw = true;
      break;
    }
    const flags = byteAt(block, start);
    const type = byteAt(block, start + 1);
    const value = block.subarray(start + headerBytes(flags), end);
    start = end;
    const [place, bit] = [type >> 3, 1 << (type & 7)];
    if ((byteAt(seen, place) & bit) !== 0) {
      reading.problems.push(`attribute ${type} stands twice, the first one counts`);
      reading.discarded = true;
    } else if (type !== ATTRIBUTE.nextHop || readsNextHop) readAttribute(reading, type, flags, value);
    seen[place] = byteAt(seen, place) | bit;
  }
  const malformed = reading.withdraw;
  const attributes = malformed ? undefined : complete(reading, reach);
  return { attributes, malformed, discarded: reading.discarded, problems: reading.problems };
}

/** Flags, type and length. */
export function headerBytes(flags: number): 3 | 4 {
  return (flags & FLAG_EXTENDED_LENGTH) === 0 ? 3 : 4;
}

/** Where the attribute at `start` ends; undefined when that is beyond `end`. */
export function attributeEnd(bytes: Uint8Array, start: number, end: number = bytes.length): number | undefined {
  const header = headerBytes(byteAt(bytes, start));
  if (start + header > end) return undefined;
  const length = header === 4 ? (byteAt(bytes, start + 2) << 8) | byteAt(bytes, start + 3) : byteAt(bytes, start + 2);
  return start + header + length > end ? undefined : start + header + length;
}

/**
 * Whether the flags are not those that the attribute must have. Partial says that somebody passed an attribute on without
 * knowing it, which can only be with an optional transitive one (RFC 4271 section 4.3).
 */
export function flagsConflict(flags: number, wanted: number): boolean {
  if (((flags ^ wanted) & (FLAG_OPTIONAL | FLAG_TRANSITIVE)) !== 0) return true;
  return (flags & FLAG_PARTIAL) !== 0 && wanted !== OPTIONAL_TRANSITIVE;
}

interface Reading {
  readonly draft: AttributeDraft;
  readonly context: AttributeContext;
  readonly problems: string[];
  withdraw: boolean;
  discarded: boolean;
}

function readAttribute(reading: Reading, type: number, flags: number, value: Uint8Array): void {
  const { draft, context } = reading;
  const row = attributeRow(type);
  if (row === undefined) {
    if ((flags & FLAG_OPTIONAL) === 0) {
      complain(reading, 'treat-as-withdraw', `unknown attribute ${type} claims to be well known`, value);
    } else if ((flags & FLAG_TRANSITIVE) !== 0) keep(draft, type, flags | FLAG_PARTIAL, value);
    return;
  }
  if (flagsConflict(flags, row.flags)) {
    const treatment = row.whenFlaggedWrong ?? 'treat-as-withdraw';
    complain(reading, treatment, `${row.name} with flags 0x${flags.toString(16)}`, value);
  } else if (row.internalOnly === true && context.external) {
    complain(reading, 'discard-attribute', `${row.name} from an external peer`, value);
  } else readValue(reading, row, flags, value);
}

function readValue(reading: Reading, row: AttributeRow, flags: number, value: Uint8Array): void {
  const wrong = row.decode(value, reading.draft, reading.context);
  if (wrong !== undefined) complain(reading, row.whenMalformed, `malformed ${row.name}: ${wrong}`, value);
  else if (row.use === 'pass-on') keep(reading.draft, row.type, flags, value);
}

function keep(draft: AttributeDraft, type: number, flags: number, value: Uint8Array): void {
  // The lower bits say nothing, and are zero when sent (RFC 4271 section 4.3).
  const kept = flags & (FLAG_OPTIONAL | FLAG_TRANSITIVE | FLAG_PARTIAL);
  draft.unknown = [...(draft.unknown ?? []), { type, flags: kept, value: value.slice() }];
}

function complain(reading: Reading, treatment: Treatment, what: string, value?: Uint8Array): void {
  const quoted = value === undefined || value.length === 0 ? '' : ` (${toHex(value.subarray(0, QUOTED_BYTES_MAX))})`;
  reading.problems.push(`${what}${quoted}${treatment === 'discard-attribute' ? ' was discarded' : ''}`);
  if (treatment === 'discard-attribute') reading.discarded = true;
  else reading.withdraw = true;
}

/** The finished attributes; undefined where a mandatory one is missing or the route may not come from this peer. */
function complete(reading: Reading, reach: NextHops | undefined): PathAttributes | undefined {
  const { draft, context } = reading;
  const { origin, asPath } = draft;
  const nextHop = reach === undefined ? draft.nextHop : reach.nextHop;
  if (origin === undefined || asPath === undefined || nextHop === undefined) {
    const names = { ORIGIN: origin, AS_PATH: asPath, NEXT_HOP: nextHop };
    const missing = Object.entries(names).flatMap(([name, value]) => (value === undefined ? [name] : []));
    complain(reading, 'treat-as-withdraw', `without ${missing.join(', ')}`);
    return undefined;
  }
  const { path, aggregator } = joinHalves(reading, asPath);
  if (isMartian(nextHop)) complain(reading, 'treat-as-withdraw', `next hop ${formatIp(nextHop)}`);
  if (context.external && context.enforceFirstAs && path[0] !== context.peerAsn) {
    const first = path[0] === undefined ? 'is empty' : `begins with ${path[0]}`;
    complain(
      reading,
      'treat-as-withdraw',
      `AS_PATH ${first} rather than beginning with the peer's AS ${context.peerAsn}`,
    );
  }
  const onlyToCustomer = judgeOnlyToCustomer(reading);
  if (reading.withdraw) return undefined;
  return {
    origin,
    asPath: path,
    nextHop,
    linkLocalNextHop: reach?.linkLocalNextHop,
    med: draft.med,
    localPreference: draft.localPreference,
    atomicAggregate: draft.atomicAggregate ?? false,
    aggregator,
    communities: draft.communities ?? NONE,
    extendedCommunities: draft.extendedCommunities ?? NONE,
    largeCommunities: draft.largeCommunities ?? NONE,
    originatorId: draft.originatorId,
    clusterList: draft.clusterList ?? NONE,
    onlyToCustomer,
    unknown: draft.unknown === undefined ? NONE : [...draft.unknown].sort((a, b) => a.type - b.type),
  };
}

/**
 * Puts together what a peer of 16-bit AS numbers has in two halves. An AGGREGATOR with a number of its own beside an
 * AS4_AGGREGATOR was set by somebody who did not know AS4_PATH, so that both AS4 attributes are out of date.
 */
function joinHalves(
  { draft, context }: Reading,
  asPath: readonly number[],
): { path: readonly number[]; aggregator: PathAttributes['aggregator'] } {
  const { aggregator, as4Aggregator, as4Path } = draft;
  // Between peers of 32 bits there is nothing to put together (RFC 6793 section 6).
  if (context.asnBytes === 4) return { path: asPath, aggregator };
  if (aggregator !== undefined && as4Aggregator !== undefined && aggregator.asn !== AS_TRANS) {
    return { path: asPath, aggregator };
  }
  return {
    path: as4Path === undefined ? asPath : mergeAs4Path(asPath, as4Path),
    aggregator: aggregator === undefined ? undefined : (as4Aggregator ?? aggregator),
  };
}

/** An address that no router can have (RFC 4271 section 6.3): this network, this host, multicast, reserved. */
function isMartian({ family, bytes }: Ip): boolean {
  const first = byteAt(bytes, 0);
  if (family === 4) return first === 0 || first === 127 || first >= 224;
  const isZeroButLast = bytes.subarray(0, 15).every((byte) => byte === 0);
  return first === 0xff || (isZeroButLast && byteAt(bytes, 15) <= 1);
}

/** The AS after which the route may only go down; a leak makes it unusable (RFC 9234 section 5, ingress). */
function judgeOnlyToCustomer(reading: Reading): number | undefined {
  const { draft, context } = reading;
  const { onlyToCustomer } = draft;
  if (!context.external || context.role === undefined) return onlyToCustomer;
  const comesFromBelow = context.role === 'provider' || context.role === 'route-server';
  if (onlyToCustomer === undefined) return comesFromBelow ? undefined : context.peerAsn;
  if (comesFromBelow || (context.role === 'peer' && onlyToCustomer !== context.peerAsn)) {
    complain(reading, 'treat-as-withdraw', `route leak: OTC ${onlyToCustomer} from AS ${context.peerAsn}`);
  }
  return onlyToCustomer;
}
