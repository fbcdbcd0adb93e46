/**
 * UPDATE: from bytes to routes, with every error answered as RFC 7606 says.
 *
 * Prefixes are not made into values: a decoded UPDATE says where in the body they stand, and that they are well-formed.
 * Reading goes in three steps: the frame of the message and of its prefixes (errors reset the session, since prefixes cannot be
 * found), the boundaries of the attributes, and their values. The values are looked up by their raw bytes before they
 * are parsed, so that the hundreds of UPDATEs with one attribute set parse it once.
 * A message may carry IPv4 prefixes in its classic fields and others in MP_REACH_NLRI; each has a next hop of its own.
 *
 * RFC 4271 sections 4.3 and 6.3, RFC 4760 sections 3 to 5, RFC 2545 section 3, RFC 4724 section 2 (End-of-RIB), RFC 7606,
 * RFC 7911 section 3, RFC 8950. Called by peer.ts, a decoder for each session.
 */
import { byteAt } from '../../lib/bytes.ts';
import type { Family } from '../../net/ip.ts';
import { ipFromBytes } from '../../net/ip.ts';
import type { PathAttributes } from './attributes.ts';
import { ATTRIBUTE, OPTIONAL_NON_TRANSITIVE } from './attributes.ts';
import type { AttributeContext, AttributeVerdict, NextHops } from './attributes-block.ts';
import { attributeEnd, flagsConflict, headerBytes, readAttributes } from './attributes-block.ts';
import { familyOfAfi } from './capabilities.ts';
import type { BgpError } from './errors.ts';
import { bgpError, isBgpError } from './errors.ts';
import { Interner } from './intern.ts';
import type { NlriRange } from './nlri.ts';
import { isWellFormed } from './nlri.ts';

/** A few hundred sets are usual; a full table of the Internet has some ten thousand. */
const INTERNED_SETS_MAX = 16_384;
/** Those take about 1 MiB; extended messages would otherwise let a peer make us keep 64 KiB for each of them. */
const INTERNED_BYTES_MAX = 2 * 1024 * 1024;
/** Holds most attribute sets; it grows with the largest that the peer has sent. */
const KEY_BYTES_INITIAL = 256;

export interface UpdateContext extends AttributeContext {
  /** What was agreed on; prefixes of other families are ignored (RFC 4760 section 7). */
  readonly families: readonly Family[];
  /** Families in which the peer puts a path identifier before each prefix (RFC 7911). */
  readonly addPathReceive: readonly Family[];
  /** IPv4 prefixes may have IPv6 next hops (RFC 8950). */
  readonly ipv4OverIpv6: boolean;
}

export interface Update {
  /** With what is treated as withdrawn. */
  readonly withdrawn: readonly NlriRange[];
  /** The attributes are the same object for equal bytes, while the decoder remembers them. */
  readonly announced: readonly { readonly range: NlriRange; readonly attributes: PathAttributes }[];
  readonly endOfRib: Family | undefined;
  /** What was malformed and what was done about it, for people. */
  readonly problems: readonly string[];
  readonly treatedAsWithdraw: boolean;
  readonly attributesDiscarded: boolean;
}

/** Where an attribute's value stands in the body. */
interface Span {
  readonly flags: number;
  readonly start: number;
  readonly valueStart: number;
  readonly end: number;
}

/** The boundaries of an UPDATE. */
interface Frame {
  readonly withdrawn: NlriRange;
  readonly classic: NlriRange;
  readonly blockStart: number;
  readonly blockEnd: number;
  readonly reach: Span | undefined;
  readonly unreach: Span | undefined;
}

/** MP_REACH_NLRI or MP_UNREACH_NLRI; the range is undefined for a family that we do not know. */
interface Reachability {
  readonly range: NlriRange | undefined;
  readonly nextHops: NextHops | undefined;
}

/** The bytes that tell one attribute set from another, gathered here to be looked up; by one decoder at a time. */
let keyRoom = new Uint8Array(KEY_BYTES_INITIAL);

export class UpdateDecoder {
  readonly #context: UpdateContext;
  readonly #sets = new Interner<AttributeVerdict>({ entriesMax: INTERNED_SETS_MAX, bytesMax: INTERNED_BYTES_MAX });

  constructor(context: UpdateContext) {
    this.#context = context;
  }

  /** Reads the body of an UPDATE, or says with which NOTIFICATION the session must end. The ranges are of this body. */
  decode(body: Uint8Array): Update | BgpError {
    const frame = this.#frame(body);
    if (isBgpError(frame)) return frame;
    const reach = frame.reach === undefined ? undefined : decodeReach(body, frame.reach, this.#context);
    if (isBgpError(reach)) return reach;
    const unreach = frame.unreach === undefined ? undefined : decodeUnreach(body, frame.unreach, this.#context);
    if (isBgpError(unreach)) return unreach;
    if (isEmpty(frame.classic) && (reach === undefined || isEmpty(reach.range))) {
      const error = this.#checkWithoutPrefixes(body, frame);
      if (error !== undefined) return error;
    }
    return this.#judge(body, frame, reach, unreach);
  }

  #frame(body: Uint8Array): Frame | BgpError {
    const withdrawnEnd = 2 + u16At(body, 0);
    const blockStart = withdrawnEnd + 2;
    if (blockStart > body.length) {
      return bgpError('malformedAttributeList', 'the withdrawn routes are longer than the UPDATE');
    }
    const blockEnd = blockStart + u16At(body, withdrawnEnd);
    if (blockEnd > body.length) {
      return bgpError('malformedAttributeList', 'the attributes are longer than the UPDATE');
    }
    const pathIds = this.#context.addPathReceive.includes(4);
    const withdrawn = { family: 4, start: 2, end: withdrawnEnd, pathIds } as const;
    const classic = { family: 4, start: blockEnd, end: body.length, pathIds } as const;
    if (!isWellFormed(body, withdrawn) || !isWellFormed(body, classic)) {
      return bgpError('invalidNetworkField', 'an IPv4 prefix is longer than 32 bits or than its field');
    }
    return scanAttributes(body, { withdrawn, classic, blockStart, blockEnd });
  }

  /**
   * An UPDATE that announces nothing but has attributes: where one of them is wrong, the prefixes may be what was lost, and
   * nothing is there to be withdrawn (RFC 7606 section 5.2).
   */
  #checkWithoutPrefixes(body: Uint8Array, frame: Frame): BgpError | undefined {
    const unreachBytes = frame.unreach === undefined ? 0 : frame.unreach.end - frame.unreach.start;
    if (frame.blockEnd - frame.blockStart === unreachBytes) return undefined;
    const { problems, malformed } = this.#verdict(body, frame, undefined);
    if (!malformed) return undefined;
    const why = `prefixes may be lost in an UPDATE without any: ${problems.join('; ')}`;
    return bgpError('malformedAttributeList', why);
  }

  #judge(body: Uint8Array, frame: Frame, reach: Reachability | undefined, unreach: Reachability | undefined): Update {
    const { families } = this.#context;
    const withdrawn: NlriRange[] = [];
    const announced: { range: NlriRange; attributes: PathAttributes }[] = [];
    let problems: readonly string[] = wrongFlags(frame);
    const flagged = problems.length > 0;
    let treatedAsWithdraw = false;
    let attributesDiscarded = false;
    const withdraw = (range: NlriRange | undefined): void => {
      if (range !== undefined && !isEmpty(range) && families.includes(range.family)) withdrawn.push(range);
    };
    const announce = (range: NlriRange, nextHops: NextHops | undefined): void => {
      if (isEmpty(range) || !families.includes(range.family)) return;
      const verdict = this.#verdict(body, frame, nextHops);
      if (verdict.problems.length > 0) problems = [...problems, ...verdict.problems];
      attributesDiscarded ||= verdict.discarded;
      if (verdict.attributes === undefined || flagged) {
        treatedAsWithdraw = true;
        withdrawn.push(range);
      } else announced.push({ range, attributes: verdict.attributes });
    };
    withdraw(frame.withdrawn);
    withdraw(unreach?.range);
    announce(frame.classic, undefined);
    if (reach?.range !== undefined) announce(reach.range, reach.nextHops);
    const endOfRib = this.#endOfRib(body, frame, unreach);
    return { withdrawn, announced, endOfRib, problems, treatedAsWithdraw, attributesDiscarded };
  }

  /** Which family's End-of-RIB the message is: nothing at all, or an MP_UNREACH_NLRI without prefixes and nothing else. */
  #endOfRib(body: Uint8Array, frame: Frame, unreach: Reachability | undefined): Family | undefined {
    if (!isEmpty(frame.withdrawn) || !isEmpty(frame.classic)) return undefined;
    if (body.length === 4) return 4;
    const range = unreach?.range;
    if (range === undefined || frame.unreach === undefined || !isEmpty(range)) return undefined;
    const isAlone = frame.unreach.start === frame.blockStart && frame.unreach.end === frame.blockEnd;
    return isAlone && this.#context.families.includes(range.family) ? range.family : undefined;
  }

  /** The attributes with the next hop of MP_REACH_NLRI, or with that of NEXT_HOP where there is none. */
  #verdict(body: Uint8Array, frame: Frame, nextHops: NextHops | undefined): AttributeVerdict {
    const { blockStart, blockEnd, reach, unreach } = frame;
    if (keyRoom.length < blockEnd - blockStart + KEY_BYTES_INITIAL) {
      keyRoom = new Uint8Array(2 * (blockEnd - blockStart + KEY_BYTES_INITIAL));
    }
    const key = keyRoom;
    // First what the answer depends on beside the attributes: whether NEXT_HOP counts, and what stands in its place.
    const readsNextHop = nextHops === undefined || !isEmpty(frame.classic);
    key[0] = readsNextHop ? 1 : 0;
    key[1] = 0;
    let length = 2;
    if (nextHops !== undefined && reach !== undefined) {
      const nextHopEnd = reach.valueStart + 4 + byteAt(body, reach.valueStart + 3);
      length = copy(body, reach.valueStart + 3, nextHopEnd, key, 1);
    }
    const attributesStart = length;
    let at = blockStart;
    const [first, second] = inOrder(reach, unreach);
    if (first !== undefined) {
      length = copy(body, at, first.start, key, length);
      at = first.end;
    }
    if (second !== undefined) {
      length = copy(body, at, second.start, key, length);
      at = second.end;
    }
    length = copy(body, at, blockEnd, key, length);
    // Nothing that is read keeps a view of these bytes, which the next UPDATE overwrites.
    return this.#sets.intern(key, length, () =>
      readAttributes(key.subarray(attributesStart, length), nextHops, readsNextHop, this.#context),
    );
  }
}

/** Whether there is a range, and nothing in it. */
function isEmpty(range: NlriRange | undefined): boolean {
  return range !== undefined && range.start === range.end;
}

/** Finds MP_REACH_NLRI and MP_UNREACH_NLRI among the attributes. */
function scanAttributes(
  body: Uint8Array,
  fields: Pick<Frame, 'withdrawn' | 'classic' | 'blockStart' | 'blockEnd'>,
): Frame | BgpError {
  let reach: Span | undefined;
  let unreach: Span | undefined;
  for (let start = fields.blockStart; start < fields.blockEnd; ) {
    const end = attributeEnd(body, start, fields.blockEnd);
    const type = start + 1 < fields.blockEnd ? byteAt(body, start + 1) : 0;
    if (type === ATTRIBUTE.mpReach || type === ATTRIBUTE.mpUnreach) {
      if (end === undefined) {
        return bgpError('malformedAttributeList', `${REACHABILITY_NAMES[type]} is longer than the attributes`);
      }
      const flags = byteAt(body, start);
      const span = { flags, start, valueStart: start + headerBytes(flags), end };
      if ((type === ATTRIBUTE.mpReach ? reach : unreach) !== undefined) {
        return bgpError('malformedAttributeList', `${REACHABILITY_NAMES[type]} stands twice in one UPDATE`);
      }
      if (type === ATTRIBUTE.mpReach) reach = span;
      else unreach = span;
    }
    // What comes after a truncated attribute cannot be found; reading its block finds the error.
    start = end ?? fields.blockEnd;
  }
  return { ...fields, reach, unreach };
}

const REACHABILITY_NAMES = { [ATTRIBUTE.mpReach]: 'MP_REACH_NLRI', [ATTRIBUTE.mpUnreach]: 'MP_UNREACH_NLRI' } as const;

/** MP_REACH_NLRI and MP_UNREACH_NLRI with other flags than theirs withdraw what the UPDATE announces. */
function wrongFlags({ reach, unreach }: Frame): readonly string[] {
  const complaint = (span: Span | undefined, name: string): string[] =>
    span !== undefined && flagsConflict(span.flags, OPTIONAL_NON_TRANSITIVE)
      ? [`${name} with flags 0x${span.flags.toString(16)}`]
      : [];
  if (reach === undefined && unreach === undefined) return NO_PROBLEMS;
  return [...complaint(reach, 'MP_REACH_NLRI'), ...complaint(unreach, 'MP_UNREACH_NLRI')];
}

const NO_PROBLEMS: readonly string[] = [];

function decodeReach(body: Uint8Array, span: Span, context: UpdateContext): Reachability | BgpError {
  const { valueStart, end } = span;
  const nextHopStart = valueStart + 4;
  const nextHopLength = byteAt(body, valueStart + 3);
  // A reserved byte stands between the next hop and the prefixes.
  const start = nextHopStart + nextHopLength + 1;
  if (nextHopStart > end || start > end) {
    return attributeError(body, span, 'MP_REACH_NLRI is too short for its fields');
  }
  const family = familyOfAfi(u16At(body, valueStart), byteAt(body, valueStart + 2));
  if (family === undefined) return { range: undefined, nextHops: undefined };
  const lengths = nextHopLengths(family, context.ipv4OverIpv6);
  if (!lengths.includes(nextHopLength)) {
    const why = `MP_REACH_NLRI with a next hop of ${nextHopLength} bytes, IPv${family} has ${lengths.join(' or ')}`;
    return attributeError(body, span, why);
  }
  const range = { family, start, end, pathIds: context.addPathReceive.includes(family) };
  if (!isWellFormed(body, range)) return attributeError(body, span, 'MP_REACH_NLRI has a malformed prefix');
  return { range, nextHops: decodeNextHops(body.subarray(nextHopStart, nextHopStart + nextHopLength)) };
}

function decodeUnreach(body: Uint8Array, span: Span, context: UpdateContext): Reachability | BgpError {
  const start = span.valueStart + 3;
  if (start > span.end) return attributeError(body, span, 'MP_UNREACH_NLRI is shorter than 3 bytes');
  const family = familyOfAfi(u16At(body, span.valueStart), byteAt(body, span.valueStart + 2));
  if (family === undefined) return { range: undefined, nextHops: undefined };
  const range = { family, start, end: span.end, pathIds: context.addPathReceive.includes(family) };
  if (!isWellFormed(body, range)) return attributeError(body, span, 'MP_UNREACH_NLRI has a malformed prefix');
  return { range, nextHops: undefined };
}

function nextHopLengths(family: Family, ipv4OverIpv6: boolean): readonly number[] {
  if (family === 6) return [16, 32];
  return ipv4OverIpv6 ? [4, 16, 32] : [4];
}

/**
 * IPv6 may add its link-local address to the global one (RFC 2545 section 3). A peer without a global address sends the
 * link-local one alone, or after zeros, or twice; then it is the next hop. Second halves that are not link-local say nothing.
 */
function decodeNextHops(bytes: Uint8Array): NextHops {
  if (bytes.length < 32) return { nextHop: ipFromBytes(bytes), linkLocalNextHop: undefined };
  const first = ipFromBytes(bytes.subarray(0, 16));
  const second = bytes.subarray(16);
  if (!isLinkLocal(second)) return { nextHop: first, linkLocalNextHop: undefined };
  const isAlone = isLinkLocal(first.bytes) || first.bytes.every((byte) => byte === 0);
  return isAlone
    ? { nextHop: ipFromBytes(second), linkLocalNextHop: undefined }
    : { nextHop: first, linkLocalNextHop: ipFromBytes(second) };
}

/** fe80::/10 */
function isLinkLocal(bytes: Uint8Array): boolean {
  return byteAt(bytes, 0) === 0xfe && (byteAt(bytes, 1) & 0xc0) === 0x80;
}

/** The error that quotes the attribute, as RFC 4271 section 6.3 wants it. */
function attributeError(body: Uint8Array, span: Span, why: string): BgpError {
  return bgpError('optionalAttributeError', why, body.slice(span.start, span.end));
}

function inOrder(a: Span | undefined, b: Span | undefined): readonly [Span | undefined, Span | undefined] {
  return a !== undefined && b !== undefined && a.start > b.start ? [b, a] : [a, b];
}

/** Copies part of `from` to `offset` of `to`; answers where it ends there. Faster by hand than a view for few bytes. */
function copy(from: Uint8Array, start: number, end: number, to: Uint8Array, offset: number): number {
  for (let at = start; at < end; at++) to[offset++] = byteAt(from, at);
  return offset;
}

/** Two bytes; what lies beyond the end counts as zero, and the caller's bounds check finds it. */
function u16At(bytes: Uint8Array, at: number): number {
  return (byteAt(bytes, at) << 8) | byteAt(bytes, at + 1);
}
