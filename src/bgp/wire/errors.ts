/**
 * What is said when a session ends: the error codes of NOTIFICATION, in words.
 *
 * A BgpError is a value: what went wrong with a peer's bytes or with the peer itself, as the NOTIFICATION that tells it so,
 * and a sentence for the log. All errors that there are, ours and those that only others raise, are rows of one table; it
 * also puts a received code into words, and says what each end means for the next try and for the peer's routes. Nothing
 * here throws, whatever the bytes.
 *
 * RFC 4271 sections 4.5 and 6 (codes), RFC 4486 (cease), RFC 6608 (state machine), RFC 7313 (route refresh), RFC 8538 (hard
 * reset), RFC 9003 (shutdown communication), RFC 9234 (roles), RFC 9384 (BFD), RFC 9687 (send hold timer).
 */
import { byteAt, toHex } from '../../lib/bytes.ts';

export interface BgpError {
  readonly code: number;
  readonly subcode: number;
  readonly data: Uint8Array;
  /** What went wrong, for people: quotes the value and says what would have been right. */
  readonly why: string;
}

interface ErrorRow {
  readonly code: number;
  readonly subcode: number;
  readonly text: string;
  /** Somebody has to change something before another try can end better, so that a quick one is of no use. */
  readonly lasting?: true;
  /** Graceful restart does not apply: the peer's routes are to go at once (RFC 8538 section 3). */
  readonly hard?: true;
}

const ERRORS = {
  connectionNotSynchronized: { code: 1, subcode: 1, text: 'connection not synchronized', lasting: true },
  badMessageLength: { code: 1, subcode: 2, text: 'bad message length', lasting: true },
  badMessageType: { code: 1, subcode: 3, text: 'bad message type', lasting: true },
  malformedOpen: { code: 2, subcode: 0, text: 'OPEN message error', lasting: true },
  unsupportedVersion: { code: 2, subcode: 1, text: 'unsupported version number', lasting: true },
  badPeerAs: { code: 2, subcode: 2, text: 'bad peer AS', lasting: true },
  badRouterId: { code: 2, subcode: 3, text: 'bad BGP identifier', lasting: true },
  unsupportedOptionalParameter: { code: 2, subcode: 4, text: 'unsupported optional parameter', lasting: true },
  unacceptableHoldTime: { code: 2, subcode: 6, text: 'unacceptable hold time', lasting: true },
  unsupportedCapability: { code: 2, subcode: 7, text: 'unsupported capability', lasting: true },
  roleMismatch: { code: 2, subcode: 11, text: 'role mismatch', lasting: true },
  malformedAttributeList: { code: 3, subcode: 1, text: 'malformed attribute list', lasting: true },
  unrecognizedWellKnownAttribute: { code: 3, subcode: 2, text: 'unrecognized well-known attribute', lasting: true },
  missingWellKnownAttribute: { code: 3, subcode: 3, text: 'missing well-known attribute', lasting: true },
  attributeFlagsError: { code: 3, subcode: 4, text: 'attribute flags error', lasting: true },
  attributeLengthError: { code: 3, subcode: 5, text: 'attribute length error', lasting: true },
  invalidOrigin: { code: 3, subcode: 6, text: 'invalid ORIGIN attribute', lasting: true },
  invalidNextHop: { code: 3, subcode: 8, text: 'invalid NEXT_HOP attribute', lasting: true },
  optionalAttributeError: { code: 3, subcode: 9, text: 'optional attribute error', lasting: true },
  invalidNetworkField: { code: 3, subcode: 10, text: 'invalid network field', lasting: true },
  malformedAsPath: { code: 3, subcode: 11, text: 'malformed AS_PATH', lasting: true },
  holdTimerExpired: { code: 4, subcode: 0, text: 'hold timer expired' },
  unexpectedMessage: { code: 5, subcode: 0, text: 'state machine error', lasting: true },
  unexpectedInOpenSent: { code: 5, subcode: 1, text: 'unexpected message in OpenSent', lasting: true },
  unexpectedInOpenConfirm: { code: 5, subcode: 2, text: 'unexpected message in OpenConfirm', lasting: true },
  unexpectedInEstablished: { code: 5, subcode: 3, text: 'unexpected message in Established', lasting: true },
  maximumPrefixes: { code: 6, subcode: 1, text: 'maximum number of prefixes reached', lasting: true, hard: true },
  administrativeShutdown: { code: 6, subcode: 2, text: 'administrative shutdown', hard: true },
  peerDeconfigured: { code: 6, subcode: 3, text: 'peer de-configured', hard: true },
  administrativeReset: { code: 6, subcode: 4, text: 'administrative reset' },
  connectionRejected: { code: 6, subcode: 5, text: 'connection rejected' },
  configurationChange: { code: 6, subcode: 6, text: 'other configuration change' },
  collision: { code: 6, subcode: 7, text: 'connection collision resolution' },
  outOfResources: { code: 6, subcode: 8, text: 'out of resources', lasting: true },
  hardReset: { code: 6, subcode: 9, text: 'hard reset', hard: true },
  bfdDown: { code: 6, subcode: 10, text: 'BFD down', hard: true },
  invalidRefreshLength: { code: 7, subcode: 1, text: 'invalid message length', lasting: true },
  sendHoldTimerExpired: { code: 8, subcode: 0, text: 'send hold timer expired' },
} as const satisfies Readonly<Record<string, ErrorRow>>;

export type ErrorName = keyof typeof ERRORS;

const ROWS: readonly ErrorRow[] = Object.values(ERRORS);

const CODE_TEXTS: readonly (string | undefined)[] = [
  undefined,
  'message header error',
  'OPEN message error',
  'UPDATE message error',
  'hold timer expired',
  'state machine error',
  'cease',
  'ROUTE-REFRESH message error',
  'send hold timer expired',
];

const CEASE = 6;

/** What a NOTIFICATION carries, whoever sent it. */
type Told = Pick<BgpError, 'code' | 'subcode' | 'data'>;

/** The longest text that a shutdown communication can carry, in bytes (RFC 9003 section 2: one length byte). */
const SHUTDOWN_TEXT_BYTES_MAX = 255;
/** Unknown data is quoted up to here: enough to recognise a message by, short enough for a log line. */
const QUOTED_BYTES_MAX = 64;
const NO_DATA = new Uint8Array(0);

export function bgpError(name: ErrorName, why: string, data: Uint8Array = NO_DATA): BgpError {
  const { code, subcode } = ERRORS[name];
  return { code, subcode, data, why };
}

/** The end of a session whose operator keeps it down, with what he says about it (RFC 9003). */
export function administrativeShutdown(text: string): BgpError {
  if (text === '') return bgpError('administrativeShutdown', 'shut down');
  return bgpError('administrativeShutdown', `shut down: ${text}`, shutdownData(text));
}

/** Whether a decoder's answer is the error rather than the value; no decoded value has a `why`. */
export function isBgpError(value: object | undefined): value is BgpError {
  return value !== undefined && 'why' in value;
}

/** Whether the next try had better wait until somebody has changed something. Codes that we do not know: yes. */
export function isLasting(told: Told): boolean {
  const inner = hardResetReason(told) ?? told;
  const row = rowOf(inner);
  return row === undefined || row.lasting === true;
}

/** Whether the session's routes go at once even where both sides restart gracefully after NOTIFICATIONs. */
export function isHard(told: Told): boolean {
  return rowOf(told)?.hard === true;
}

/** Whether the peer refused our OPEN for what it offers, so that one that offers less may do (RFC 5492 section 3). */
export function refusesOffer({ code, subcode }: Told): 'parameters' | 'capabilities' | undefined {
  const is = (name: ErrorName): boolean => ERRORS[name].code === code && ERRORS[name].subcode === subcode;
  if (is('unsupportedOptionalParameter')) return 'parameters';
  return is('unsupportedCapability') ? 'capabilities' : undefined;
}

/** The error put into a hard reset, for a peer that takes every other NOTIFICATION for a restart (RFC 8538 section 3.1). */
export function hardReset(error: BgpError): BgpError {
  return bgpError('hardReset', error.why, Uint8Array.of(error.code, error.subcode, ...error.data));
}

/** Whether this NOTIFICATION says that no graceful restart is meant; its reason is inside. */
export function isHardReset({ code, subcode }: Told): boolean {
  return code === ERRORS.hardReset.code && subcode === ERRORS.hardReset.subcode;
}

/** Whether the peer's operator has ended it for a while or for good: then the peer being away is no news. */
export function isMeantToLast(told: Told): boolean {
  const { code, subcode } = hardResetReason(told) ?? told;
  return [ERRORS.administrativeShutdown, ERRORS.peerDeconfigured].some(
    (row) => row.code === code && row.subcode === subcode,
  );
}

function hardResetReason(told: Told): Told | undefined {
  if (!isHardReset(told) || told.data.length < 2) return undefined;
  return { code: byteAt(told.data, 0), subcode: byteAt(told.data, 1), data: told.data.subarray(2) };
}

function rowOf({ code, subcode }: Told): ErrorRow | undefined {
  return ROWS.find((row) => row.code === code && row.subcode === subcode);
}

/** A NOTIFICATION in words: "cease: administrative shutdown (6/2): moving to the new rack". */
export function describeNotification(code: number, subcode: number, data: Uint8Array): string {
  const known = rowOf({ code, subcode, data });
  const general = CODE_TEXTS[code] ?? 'unknown error';
  const text = known === undefined || known.text === general ? general : `${general}: ${known.text}`;
  const detail = describeErrorDetail({ code, subcode, data });
  return `${text} (${code}/${subcode})${detail === '' ? '' : `: ${detail}`}`;
}

function describeErrorDetail(told: Told): string {
  const { code, subcode, data } = told;
  if (data.length === 0) return '';
  const reason = hardResetReason(told);
  if (reason !== undefined && !isHardReset(reason)) {
    return describeNotification(reason.code, reason.subcode, reason.data);
  }
  const isShutdown = code === CEASE && (subcode === 2 || subcode === 4);
  const text = isShutdown ? shutdownText(data) : undefined;
  return text ?? `data ${toHex(data.subarray(0, QUOTED_BYTES_MAX))}${data.length > QUOTED_BYTES_MAX ? '…' : ''}`;
}

/** The text of a shutdown communication, without control characters; undefined when it is malformed or no UTF-8. */
function shutdownText(data: Uint8Array): string | undefined {
  const length = byteAt(data, 0);
  if (length > data.length - 1) return undefined;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(data.subarray(1, 1 + length));
    return text.replaceAll(/\p{Cc}+/gu, ' ').trim();
  } catch {
    return undefined;
  }
}

/** The data of an administrative shutdown or reset that carries `text`, cut at a character where it is too long. */
export function shutdownData(text: string): Uint8Array {
  const bytes = new Uint8Array(SHUTDOWN_TEXT_BYTES_MAX);
  const { written } = new TextEncoder().encodeInto(text, bytes);
  return Uint8Array.of(written, ...bytes.subarray(0, written));
}
