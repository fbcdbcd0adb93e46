/**
 * UPDATE: from bytes to routes, with every error answered as RFC 7606 says.
 *
 * Reading goes in three steps: the frame of the message (its errors reset the session, since prefixes cannot be found),
 * a scan of the attributes' boundaries, and their values. The values are looked up by their raw bytes before they are
 * parsed, so that the hundreds of UPDATEs with one attribute set parse it once.
 * A message may carry IPv4 prefixes in its classic fields and others in MP_REACH_NLRI; each has a next hop of its own.
 *
 * RFC 4271 sections 4.3 and 6.3, RFC 4760 sections 3 to 5, RFC 2545 section 3, RFC 4724 section 2 (End-of-RIB), RFC 7606.
 */
import { ByteReader, byteAt } from '../lib/bytes.ts';
import type { Cidr } from '../net/cidr.ts';
import type { Family, Ip } from '../net/ip.ts';
import { ipFromBytes } from '../net/ip.ts';
import type { AttributeContext, AttributeDraft, PathAttributes } from './attributes.ts';
import {
  ATTRIBUTE,
  attributeRow,
  FLAG_EXTENDED_LENGTH,
  FLAG_OPTIONAL,
  FLAG_PARTIAL,
  FLAG_TRANSITIVE,
} from './attributes.ts';
import { familyOfAfi } from './capabilities.ts';
import type { BgpError } from './errors.ts';
import { bgpError, isBgpError } from './errors.ts';
import { Interner } from './intern.ts';
import { MESSAGE_BYTES_MAX } from './message.ts';
import { decodePrefixes } from './nlri.ts';

/** A few hundred sets are usual; a full table of the Internet has some ten thousand. */
const INTERNED_SETS_MAX = 16_384;

export interface UpdateContext extends AttributeContext {
  /** What was agreed on; prefixes of other families are ignored (RFC 4760 section 7). */
  readonly families: readonly Family[];
  readonly peerAsn: number;
}

export interface Update {
  readonly withdrawn: readonly Cidr[];
  readonly announced: readonly { readonly prefixes: readonly Cidr[]; readonly attributes: PathAttributes }[];
  readonly endOfRib: Family | undefined;
  /** What was malformed and what was done about it, for people. */
  readonly problems: readonly string[];
}

/** What a set of attribute bytes came to; undefined attributes mean: treat as withdraw. */
interface Verdict {
  readonly attributes: PathAttributes | undefined;
  readonly problems: readonly string[];
}

/** Where an attribute stands in the block of attributes. */
interface Span {
  readonly type: number;
  readonly flags: number;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

interface Reach {
  readonly family: Family | undefined;
  readonly nextHop: Ip | undefined;
  readonly prefixes: readonly Cidr[];
}

export class UpdateDecoder {
  readonly #context: UpdateContext;
  readonly #sets = new Interner<Verdict>(INTERNED_SETS_MAX);
  /** The bytes that tell one attribute set from another, gathered here to be looked up. */
  readonly #scratch = new Uint8Array(MESSAGE_BYTES_MAX + 16);

  constructor(context: UpdateContext) {
    this.#context = context;
  }

  /** Reads the body of an UPDATE, or says with which NOTIFICATION the session must end. */
  decode(body: Uint8Array): Update | BgpError {
    const fields = splitFields(body);
    if (isBgpError(fields)) return fields;
    const withdrawn = decodePrefixes(fields.withdrawn, 4);
    const classic = decodePrefixes(fields.announced, 4);
    if (withdrawn === undefined || classic === undefined) {
      return bgpError('invalidNetworkField', 'an IPv4 prefix is longer than 32 bits or than its field');
    }
    const scan = scanAttributes(fields.attributes);
    if (isBgpError(scan)) return scan;
    if (scan.truncated && classic.length === 0) {
      // The rest may have held MP_REACH_NLRI, whose prefixes would then be lost unnoticed (RFC 7606 section 3 j).
      return bgpError(
        'malformedAttributeList',
        'the last attribute is longer than the attributes, and prefixes may hide in it',
      );
    }
    const reach = decodeReach(fields.attributes, scan.reach);
    if (isBgpError(reach)) return reach;
    const unreach = decodeUnreach(fields.attributes, scan.unreach);
    if (isBgpError(unreach)) return unreach;
    return this.#judge(fields.attributes, scan, { withdrawn, classic, reach, unreach });
  }

  #judge(
    block: Uint8Array,
    scan: Scan,
    found: {
      withdrawn: readonly Cidr[];
      classic: readonly Cidr[];
      reach: Reach | undefined;
      unreach: Reach | undefined;
    },
  ): Update {
    const { families } = this.#context;
    const known = (family: Family | undefined): boolean => family !== undefined && families.includes(family);
    const problems = [...scan.problems];
    const withdrawn = known(4) ? [...found.withdrawn] : [];
    const announced: { prefixes: readonly Cidr[]; attributes: PathAttributes }[] = [];
    const announce = (prefixes: readonly Cidr[], nextHop: Ip | undefined): void => {
      if (prefixes.length === 0) return;
      const verdict = this.#verdict(block, scan.spans, nextHop);
      problems.push(...verdict.problems);
      if (verdict.attributes === undefined || scan.truncated) {
        problems.push(`treated ${prefixes.length} prefixes as withdrawn`);
        for (const prefix of prefixes) withdrawn.push(prefix);
      } else announced.push({ prefixes, attributes: verdict.attributes });
    };
    if (found.unreach !== undefined && known(found.unreach.family)) withdrawn.push(...found.unreach.prefixes);
    if (known(4)) announce(found.classic, undefined);
    if (found.reach !== undefined && known(found.reach.family)) announce(found.reach.prefixes, found.reach.nextHop);
    return { withdrawn, announced, endOfRib: endOfRib(block, found), problems };
  }

  /** The attributes with the next hop of MP_REACH_NLRI, or with that of NEXT_HOP where `nextHop` is undefined. */
  #verdict(block: Uint8Array, spans: readonly Span[], nextHop: Ip | undefined): Verdict {
    let length = 0;
    const wanted = nextHop === undefined ? spans : spans.filter((span) => span.type !== ATTRIBUTE.nextHop);
    for (const span of wanted) {
      this.#scratch.set(block.subarray(span.start, span.end), length);
      length += span.end - span.start;
    }
    if (nextHop !== undefined) {
      this.#scratch.set(nextHop.bytes, length);
      length += nextHop.bytes.length;
    }
    const key = this.#scratch.subarray(0, length);
    return this.#sets.intern(key, () => decodeAttributes(block, wanted, nextHop, this.#context));
  }
}

interface Fields {
  readonly withdrawn: ByteReader;
  readonly attributes: Uint8Array;
  readonly announced: ByteReader;
}

function splitFields(body: Uint8Array): Fields | BgpError {
  const reader = new ByteReader(body);
  const withdrawn = reader.sub(reader.u16() ?? -1);
  if (withdrawn === undefined)
    return bgpError('malformedAttributeList', 'the withdrawn routes are longer than the UPDATE');
  const attributes = reader.take(reader.u16() ?? -1);
  if (attributes === undefined) return bgpError('malformedAttributeList', 'the attributes are longer than the UPDATE');
  return { withdrawn, attributes, announced: reader };
}

interface Scan {
  /** All attributes but the two that carry prefixes, each type once. */
  readonly spans: readonly Span[];
  readonly reach: Span | undefined;
  readonly unreach: Span | undefined;
  readonly problems: readonly string[];
  /** The last attribute does not fit: the prefixes of the classic field are to be treated as withdrawn. */
  readonly truncated: boolean;
}

function scanAttributes(block: Uint8Array): Scan | BgpError {
  const spans: Span[] = [];
  const problems: string[] = [];
  let reach: Span | undefined;
  let unreach: Span | undefined;
  let start = 0;
  while (start < block.length) {
    const span = spanAt(block, start);
    if (span === undefined) {
      problems.push(`attribute at byte ${start} is longer than the attributes`);
      return { spans, reach, unreach, problems, truncated: true };
    }
    start = span.end;
    if (span.type === ATTRIBUTE.mpReach || span.type === ATTRIBUTE.mpUnreach) {
      const isReach = span.type === ATTRIBUTE.mpReach;
      if ((isReach ? reach : unreach) !== undefined) {
        return bgpError('malformedAttributeList', `${attributeRow(span.type)?.name} stands twice in one UPDATE`);
      }
      if (isReach) reach = span;
      else unreach = span;
    } else if (spans.some((earlier) => earlier.type === span.type)) {
      problems.push(`attribute ${span.type} stands twice, the first one counts`);
    } else spans.push(span);
  }
  return { spans, reach, unreach, problems, truncated: false };
}

function spanAt(block: Uint8Array, start: number): Span | undefined {
  const flags = byteAt(block, start);
  const extended = (flags & FLAG_EXTENDED_LENGTH) !== 0;
  const valueStart = start + (extended ? 4 : 3);
  if (valueStart > block.length) return undefined;
  const length = extended ? (byteAt(block, start + 2) << 8) | byteAt(block, start + 3) : byteAt(block, start + 2);
  const end = valueStart + length;
  return end > block.length ? undefined : { type: byteAt(block, start + 1), flags, start, valueStart, end };
}

function decodeReach(block: Uint8Array, span: Span | undefined): Reach | undefined | BgpError {
  if (span === undefined) return undefined;
  const value = block.slice(span.start, span.end);
  const reader = new ByteReader(block, span.valueStart, span.end);
  const family = familyOfAfi(reader.u16() ?? 0, reader.u8() ?? 0);
  const nextHop = reader.take(reader.u8() ?? -1);
  const reserved = reader.u8();
  if (nextHop === undefined || reserved === undefined) {
    return bgpError('optionalAttributeError', 'MP_REACH_NLRI is too short for its fields', value);
  }
  if (family === undefined) return { family, nextHop: undefined, prefixes: [] };
  // IPv6 may add its link-local address to the global one (RFC 2545 section 3); the global one is the next hop.
  const lengths = family === 4 ? [4] : [16, 32];
  if (!lengths.includes(nextHop.length)) {
    const why = `MP_REACH_NLRI with a next hop of ${nextHop.length} bytes, IPv${family} has ${lengths.join(' or ')}`;
    return bgpError('optionalAttributeError', why, value);
  }
  const prefixes = decodePrefixes(reader, family);
  if (prefixes === undefined) return bgpError('optionalAttributeError', 'MP_REACH_NLRI has a malformed prefix', value);
  return { family, nextHop: ipFromBytes(nextHop.subarray(0, family === 4 ? 4 : 16)), prefixes };
}

function decodeUnreach(block: Uint8Array, span: Span | undefined): Reach | undefined | BgpError {
  if (span === undefined) return undefined;
  const value = block.slice(span.start, span.end);
  const reader = new ByteReader(block, span.valueStart, span.end);
  const afi = reader.u16();
  const safi = reader.u8();
  if (afi === undefined || safi === undefined) {
    return bgpError('optionalAttributeError', 'MP_UNREACH_NLRI is shorter than 3 bytes', value);
  }
  const family = familyOfAfi(afi, safi);
  if (family === undefined) return { family, nextHop: undefined, prefixes: [] };
  const prefixes = decodePrefixes(reader, family);
  if (prefixes === undefined)
    return bgpError('optionalAttributeError', 'MP_UNREACH_NLRI has a malformed prefix', value);
  return { family, nextHop: undefined, prefixes };
}

/** Which family's End-of-RIB the message is: nothing at all, or an MP_UNREACH_NLRI without prefixes and nothing else. */
function endOfRib(
  block: Uint8Array,
  found: { withdrawn: readonly Cidr[]; classic: readonly Cidr[]; reach: Reach | undefined; unreach: Reach | undefined },
): Family | undefined {
  if (found.withdrawn.length > 0 || found.classic.length > 0 || found.reach !== undefined) return undefined;
  if (block.length === 0) return 4;
  return found.unreach?.prefixes.length === 0 ? found.unreach.family : undefined;
}

function decodeAttributes(
  block: Uint8Array,
  spans: readonly Span[],
  nextHop: Ip | undefined,
  context: UpdateContext,
): Verdict {
  const draft: AttributeDraft = {};
  const problems: string[] = [];
  let withdraw = false;
  for (const span of spans) {
    const row = attributeRow(span.type);
    if (row === undefined) {
      withdraw = keepUnknown(block, span, draft, problems) || withdraw;
    } else if (row.internalOnly === true && context.external) {
      problems.push(`${row.name} from an external peer was discarded`);
    } else if (((span.flags ^ row.flags) & (FLAG_OPTIONAL | FLAG_TRANSITIVE)) !== 0) {
      problems.push(`${row.name} with flags ${span.flags}`);
      withdraw = true;
    } else if (!row.decode(block.subarray(span.valueStart, span.end), draft, context)) {
      problems.push(`malformed ${row.name}${row.whenMalformed === 'discard-attribute' ? ' was discarded' : ''}`);
      withdraw = withdraw || row.whenMalformed === 'treat-as-withdraw';
    }
  }
  const attributes = complete(draft, nextHop, context, problems);
  return { attributes: withdraw ? undefined : attributes, problems };
}

/** Keeps an attribute that we do not know where it is to be passed on; true when the routes must be withdrawn. */
function keepUnknown(block: Uint8Array, span: Span, draft: AttributeDraft, problems: string[]): boolean {
  if ((span.flags & FLAG_OPTIONAL) === 0) {
    problems.push(`unknown attribute ${span.type} claims to be well known`);
    return true;
  }
  if ((span.flags & FLAG_TRANSITIVE) !== 0) {
    const flags = (span.flags & ~FLAG_EXTENDED_LENGTH) | FLAG_PARTIAL;
    const value = block.slice(span.valueStart, span.end);
    draft.unknown = [...(draft.unknown ?? []), { type: span.type, flags, value }];
  }
  return false;
}

/** The finished attributes; undefined where a mandatory one is missing or the path is not from this peer. */
function complete(
  draft: AttributeDraft,
  reachNextHop: Ip | undefined,
  context: UpdateContext,
  problems: string[],
): PathAttributes | undefined {
  const { origin, asPath } = draft;
  const nextHop = reachNextHop ?? draft.nextHop;
  if (origin === undefined || asPath === undefined || nextHop === undefined) {
    const names = { ORIGIN: origin, AS_PATH: asPath, NEXT_HOP: nextHop };
    const missing = Object.entries(names).flatMap(([name, value]) => (value === undefined ? [name] : []));
    problems.push(`without a valid ${missing.join(', ')}`);
    return undefined;
  }
  const path = mergeAs4Path(asPath, draft.as4Path);
  if (context.external && path[0] !== context.peerAsn) {
    problems.push(`AS_PATH begins with ${path[0] ?? 'nothing'} rather than with the peer's AS ${context.peerAsn}`);
    return undefined;
  }
  return {
    origin,
    asPath: path,
    nextHop,
    med: draft.med,
    localPreference: draft.localPreference,
    atomicAggregate: draft.atomicAggregate ?? false,
    aggregator: draft.aggregator,
    communities: draft.communities ?? [],
    largeCommunities: draft.largeCommunities ?? [],
    originatorId: draft.originatorId,
    clusterList: draft.clusterList ?? [],
    unknown: draft.unknown ?? [],
  };
}

/** The true path behind a 16-bit one: its head, where it is longer, and then AS4_PATH (RFC 6793 section 4.2.3). */
function mergeAs4Path(asPath: readonly number[], as4Path: readonly number[] | undefined): readonly number[] {
  if (as4Path === undefined || as4Path.length > asPath.length) return asPath;
  return [...asPath.slice(0, asPath.length - as4Path.length), ...as4Path];
}
