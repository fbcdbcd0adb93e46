/**
 * OPEN: who the sender is, and what it can do.
 *
 * Only the form is judged here; whether the sender is whom we expect is the session's question. Optional parameters come
 * in two encodings, the classic one and the extended one of RFC 9072, which is recognised by type 255; we send the classic.
 *
 * RFC 4271 sections 4.2 and 6.2, RFC 5492, RFC 6793 section 4.2.3 (AS_TRANS), RFC 6286 (identifiers), RFC 9072.
 */
import { assert } from '../../lib/assert.ts';
import { ByteReader, ByteWriter, byteAt, sameBytes } from '../../lib/bytes.ts';
import type { RouterId } from '../../net/asn.ts';
import { routerIdBytes, routerIdFromBytes } from '../../net/asn.ts';
import type { Capabilities } from './capabilities.ts';
import { decodeCapabilities, encodeCapabilities, NO_CAPABILITIES } from './capabilities.ts';
import type { BgpError } from './errors.ts';
import { bgpError, isBgpError } from './errors.ts';
import { encodeMessage, MESSAGE_TYPE } from './message.ts';

export interface Open {
  /** The sender's AS number: of the four-octet capability where it has sent one. */
  readonly asn: number;
  readonly holdTimeSeconds: number;
  readonly routerId: RouterId;
  readonly capabilities: Capabilities;
}

const BGP_VERSION = 4;
/** What stands in 16 bits for an AS number that needs 32 (RFC 6793). */
export const AS_TRANS = 23456;

/** Where the optional parameters begin in the body; the byte before is their length. */
const PARAMETERS_AT = 10;
const PARAMETER_CAPABILITIES = 2;
const PARAMETER_EXTENDED = 255;

export function encodeOpen(open: Open): Uint8Array {
  const capabilities = encodeCapabilities(open.capabilities);
  assert(capabilities.length <= 253, `our own capabilities take ${capabilities.length} bytes, one parameter holds 253`);
  const writer = new ByteWriter(64);
  writer.u8(BGP_VERSION).u16(open.asn > 0xffff ? AS_TRANS : open.asn);
  writer.u16(open.holdTimeSeconds).bytes(routerIdBytes(open.routerId));
  writer.u8(capabilities.length + 2);
  writer.u8(PARAMETER_CAPABILITIES).u8(capabilities.length).bytes(capabilities);
  return encodeMessage(MESSAGE_TYPE.open, writer.finish());
}

/** Reads the body of an OPEN, or says with which NOTIFICATION it is to be answered. */
export function decodeOpen(body: Uint8Array): Open | BgpError {
  const reader = new ByteReader(body);
  const version = reader.u8() ?? 0;
  if (version !== BGP_VERSION) {
    return bgpError('unsupportedVersion', `BGP version ${version}, we speak 4`, Uint8Array.of(0, BGP_VERSION));
  }
  const shortAsn = reader.u16() ?? 0;
  const holdTimeSeconds = reader.u16() ?? 0;
  const routerId = routerIdFromBytes(reader.take(4) ?? new Uint8Array(4));
  const capabilities = capabilitiesOf(body);
  if (isBgpError(capabilities)) return capabilities;
  const asn = capabilities.fourOctetAsn ?? shortAsn;
  if (asn === 0) return bgpError('badPeerAs', 'AS 0 is reserved');
  if (routerId === undefined) return bgpError('badRouterId', 'the BGP identifier 0.0.0.0 is not allowed');
  if (holdTimeSeconds === 1 || holdTimeSeconds === 2) {
    return bgpError('unacceptableHoldTime', `hold time of ${holdTimeSeconds} s, allowed are 0, or 3 and more`);
  }
  return { asn, holdTimeSeconds, routerId, capabilities };
}

/** What was read last: peers of one kind say the same, and a thousand of them share one value. */
let lastRead: { readonly bytes: Uint8Array; readonly capabilities: Capabilities } | undefined;

function capabilitiesOf(body: Uint8Array): Capabilities | BgpError {
  const bytes = body.subarray(PARAMETERS_AT - 1);
  if (lastRead !== undefined && sameBytes(lastRead.bytes, bytes)) return lastRead.capabilities;
  const parameters = optionalParameters(body);
  if (parameters === undefined)
    return bgpError('malformedOpen', 'the lengths of the optional parameters do not add up');
  const capabilities = decodeParameters(parameters.reader, parameters.lengthBytes);
  if (!isBgpError(capabilities)) lastRead = { bytes: bytes.slice(), capabilities };
  return capabilities;
}

interface OptionalParameters {
  readonly reader: ByteReader;
  /** How many bytes say the length of one parameter: two in the extended encoding. */
  readonly lengthBytes: 1 | 2;
}

function optionalParameters(body: Uint8Array): OptionalParameters | undefined {
  const length = byteAt(body, PARAMETERS_AT - 1);
  if (length !== 0 && byteAt(body, PARAMETERS_AT) === PARAMETER_EXTENDED) {
    const reader = new ByteReader(body, PARAMETERS_AT + 1);
    return reader.u16() === reader.remaining ? { reader, lengthBytes: 2 } : undefined;
  }
  const reader = new ByteReader(body, PARAMETERS_AT);
  return reader.remaining === length ? { reader, lengthBytes: 1 } : undefined;
}

function decodeParameters(reader: ByteReader, lengthBytes: 1 | 2): Capabilities | BgpError {
  let capabilities = NO_CAPABILITIES;
  while (reader.remaining > 0) {
    const type = reader.u8();
    const value = reader.sub((lengthBytes === 1 ? reader.u8() : reader.u16()) ?? -1);
    if (value === undefined) return bgpError('malformedOpen', 'an optional parameter is longer than its message');
    if (type !== PARAMETER_CAPABILITIES) {
      return bgpError('unsupportedOptionalParameter', `optional parameter of type ${type}, known is 2`);
    }
    const decoded = decodeCapabilities(value, capabilities);
    if (decoded === undefined) return bgpError('malformedOpen', 'a capability is longer than its parameter');
    capabilities = decoded;
  }
  return capabilities;
}
