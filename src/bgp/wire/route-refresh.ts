/**
 * ROUTE-REFRESH: "send me all of this family again", and where such an answer begins and ends.
 *
 * Subtype 0 is the request; 1 and 2 enclose the answer, so that what it does not name can be removed (enhanced route
 * refresh). What we do not understand is passed over: other families, other subtypes. Only a wrong length of a subtype that
 * both have agreed on ends the session.
 *
 * RFC 2918, RFC 7313. The body is AFI (two bytes), subtype, SAFI; a filter may follow a request (RFC 5291) and is skipped.
 */
import { ByteReader, ByteWriter } from '../../lib/bytes.ts';
import type { Family } from '../../net/ip.ts';
import { familyOfAfi, writeAfiSafi } from './capabilities.ts';
import type { BgpError } from './errors.ts';
import { bgpError } from './errors.ts';
import { encodeMessage, MESSAGE_TYPE } from './message.ts';

export type RefreshKind = 'request' | 'begin' | 'end';

export interface Refresh {
  readonly family: Family;
  readonly kind: RefreshKind;
}

const KINDS: readonly RefreshKind[] = ['request', 'begin', 'end'];
const BODY_BYTES = 4;

export function encodeRefresh({ family, kind }: Refresh): Uint8Array {
  const body = writeAfiSafiOf(family);
  body[2] = KINDS.indexOf(kind);
  return encodeMessage(MESSAGE_TYPE.routeRefresh, body);
}

/** AFI, a byte for the subtype, SAFI. */
function writeAfiSafiOf(family: Family): Uint8Array {
  const writer = new ByteWriter(BODY_BYTES);
  writeAfiSafi(writer, family);
  const [high = 0, low = 0, safi = 0] = writer.finish();
  return Uint8Array.of(high, low, 0, safi);
}

/**
 * Reads a body; undefined for what is of no concern to us. `enhanced` says whether both have agreed on RFC 7313: without,
 * the subtype is a reserved byte that is ignored.
 */
export function decodeRefresh(body: Uint8Array, enhanced: boolean): Refresh | BgpError | undefined {
  const reader = new ByteReader(body);
  const afi = reader.u16();
  const subtype = reader.u8();
  const safi = reader.u8();
  const kind = enhanced ? KINDS[subtype ?? 0] : 'request';
  const mustBeExact = kind === 'begin' || kind === 'end';
  if (afi === undefined || safi === undefined || (mustBeExact && body.length !== BODY_BYTES)) {
    const why = `ROUTE-REFRESH with a body of ${body.length} bytes, it has ${BODY_BYTES}`;
    return bgpError('invalidRefreshLength', why, encodeMessage(MESSAGE_TYPE.routeRefresh, body));
  }
  const family = familyOfAfi(afi, safi);
  return family === undefined || kind === undefined ? undefined : { family, kind };
}
