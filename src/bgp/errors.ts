/**
 * What is said when a session ends: the error codes of NOTIFICATION, in words.
 *
 * A BgpError is a value: what went wrong with a peer's bytes or with the peer itself, as the NOTIFICATION that tells it so,
 * and a sentence for the log. All errors that we can raise are rows of one table; the same table puts a received code into
 * words. Nothing here throws, whatever the bytes.
 *
 * RFC 4271 section 4.5 and 6 (codes), RFC 4486 (cease), RFC 6608 (state machine), RFC 9003 (shutdown communication).
 */
import { byteAt, toHex } from '../lib/bytes.ts';

export interface BgpError {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  /** What went wrong, for people: quotes the value and says what would have been right. */
  readonly why: string;
}

const ERRORS = {
  connectionNotSynchronized: { code: 1, subcode: 1, text: 'connection not synchronized' },
  badMessageLength: { code: 1, subcode: 2, text: 'bad message length' },
  badMessageType: { code: 1, subcode: 3, text: 'bad message type' },
  malformedOpen: { code: 2, subcode: 0, text: 'OPEN message error' },
  unsupportedVersion: { code: 2, subcode: 1, text: 'unsupported version number' },
  badPeerAs: { code: 2, subcode: 2, text: 'bad peer AS' },
  badRouterId: { code: 2, subcode: 3, text: 'bad BGP identifier' },
  unsupportedOptionalParameter: { code: 2, subcode: 4, text: 'unsupported optional parameter' },
  unacceptableHoldTime: { code: 2, subcode: 6, text: 'unacceptable hold time' },
  unsupportedCapability: { code: 2, subcode: 7, text: 'unsupported capability' },
  malformedAttributeList: { code: 3, subcode: 1, text: 'malformed attribute list' },
  optionalAttributeError: { code: 3, subcode: 9, text: 'optional attribute error' },
  invalidNetworkField: { code: 3, subcode: 10, text: 'invalid network field' },
  holdTimerExpired: { code: 4, subcode: 0, text: 'hold timer expired' },
  unexpectedInOpenSent: { code: 5, subcode: 1, text: 'unexpected message in OpenSent' },
  unexpectedInOpenConfirm: { code: 5, subcode: 2, text: 'unexpected message in OpenConfirm' },
  unexpectedInEstablished: { code: 5, subcode: 3, text: 'unexpected message in Established' },
  maximumPrefixes: { code: 6, subcode: 1, text: 'maximum number of prefixes reached' },
  administrativeShutdown: { code: 6, subcode: 2, text: 'administrative shutdown' },
  peerDeconfigured: { code: 6, subcode: 3, text: 'peer de-configured' },
  administrativeReset: { code: 6, subcode: 4, text: 'administrative reset' },
  connectionRejected: { code: 6, subcode: 5, text: 'connection rejected' },
  configurationChange: { code: 6, subcode: 6, text: 'other configuration change' },
  collision: { code: 6, subcode: 7, text: 'connection collision resolution' },
  outOfResources: { code: 6, subcode: 8, text: 'out of resources' },
} as const;

export type ErrorName = keyof typeof ERRORS;

const CODE_TEXTS: readonly (string | undefined)[] = [
  undefined,
  'message header error',
  'OPEN message error',
  'UPDATE message error',
  'hold timer expired',
  'state machine error',
  'cease',
];

export const HOLD_TIMER_EXPIRED = 4;
export const CEASE = 6;

/** The longest text that a shutdown communication can carry, in bytes (RFC 9003 section 2: one length byte). */
const SHUTDOWN_TEXT_BYTES_MAX = 255;
/** Unknown data is quoted up to here: enough to recognise a message by, short enough for a log line. */
const QUOTED_BYTES_MAX = 64;
const NO_DATA = new Uint8Array(0);

export function bgpError(name: ErrorName, why: string, data: Uint8Array = NO_DATA): BgpError {
  const { code, subcode } = ERRORS[name];
  return { code, subcode, data, why };
}

/** Whether a decoder's answer is the error rather than the value; no decoded value has a `why`. */
export function isBgpError(value: object | undefined): value is BgpError {
  return value !== undefined && 'why' in value;
}

/** A NOTIFICATION in words: "cease: administrative shutdown (6/2): moving to the new rack". */
export function describeNotification(code: number, subcode: number, data: Uint8Array): string {
  const known = Object.values(ERRORS).find((row) => row.code === code && row.subcode === subcode);
  const general = CODE_TEXTS[code] ?? 'unknown error';
  const text = known === undefined || known.text === general ? general : `${general}: ${known.text}`;
  const detail = describeErrorDetail(code, subcode, data);
  return `${text} (${code}/${subcode})${detail === '' ? '' : `: ${detail}`}`;
}

function describeErrorDetail(code: number, subcode: number, data: Uint8Array): string {
  if (data.length === 0) return '';
  const isShutdown = code === CEASE && (subcode === 2 || subcode === 4);
  const text = isShutdown ? shutdownText(data) : undefined;
  return text ?? `data ${toHex(data.subarray(0, QUOTED_BYTES_MAX))}${data.length > QUOTED_BYTES_MAX ? '…' : ''}`;
}

/** The text of a shutdown communication, without control characters; undefined when it is malformed. */
function shutdownText(data: Uint8Array): string | undefined {
  const length = byteAt(data, 0);
  if (length > SHUTDOWN_TEXT_BYTES_MAX || length > data.length - 1) return undefined;
  const text = new TextDecoder().decode(data.subarray(1, 1 + length));
  return text.replaceAll(/\p{Cc}+/gu, ' ').trim();
}

/** The data of an administrative shutdown or reset that carries `text`, cut at a character where it is too long. */
export function shutdownData(text: string): Uint8Array {
  let bytes = new TextEncoder().encode(text);
  for (let kept = text; bytes.length > SHUTDOWN_TEXT_BYTES_MAX; ) {
    kept = kept.slice(0, -1);
    bytes = new TextEncoder().encode(kept);
  }
  return Uint8Array.of(bytes.length, ...bytes);
}
