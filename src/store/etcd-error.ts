/**
 * What etcd and gRPC say, as StoreErrors that tell the user what to do.
 *
 * gRPC's failure has a code of 17 and a text (`details`); etcd puts its own errors into the text, after "etcdserver: ". The
 * rows below are tried in order, the first whose code and text fit decides. What no row knows counts as `unavailable`
 * and shows the text as it came.
 */
import { status } from '@grpc/grpc-js';
import { StoreError } from './store.ts';

/** A call that failed, before anybody knows what that means. */
export class CallFailure extends Error {
  readonly code: status;
  readonly details: string;

  constructor(code: status, details: string) {
    super(details);
    this.code = code;
    this.details = details;
  }
}

type Row = readonly [codes: readonly status[], text: RegExp, code: StoreError['code'], advice: string];

const { UNAVAILABLE, DEADLINE_EXCEEDED, PERMISSION_DENIED, UNAUTHENTICATED, INVALID_ARGUMENT } = status;
const { FAILED_PRECONDITION, OUT_OF_RANGE, RESOURCE_EXHAUSTED, CANCELLED } = status;
const LOGIN_CODES = [INVALID_ARGUMENT, UNAUTHENTICATED, PERMISSION_DENIED, FAILED_PRECONDITION];

const ROWS: readonly Row[] = [
  [
    LOGIN_CODES,
    /authentication failed/,
    'unavailable',
    'user or password is wrong: check user= in the address and MUSLIN_STORE_PASSWORD or the passwordFile',
  ],
  [
    LOGIN_CODES,
    /user name is empty|invalid auth token|auth token is not provided/,
    'unavailable',
    'etcd asks for a login: add user=NAME to the address and set MUSLIN_STORE_PASSWORD',
  ],
  [
    [PERMISSION_DENIED],
    /permission denied/,
    'unavailable',
    "this user may not do that: grant it readwrite on the store's prefix (etcdctl role grant-permission --prefix=true)",
  ],
  [[OUT_OF_RANGE], /compacted|future revision/, 'compacted', 'history no longer reaches back so far; list again'],
  [
    [RESOURCE_EXHAUSTED],
    /space exceeded/,
    'full',
    "etcd's database is full: compact and defragment it, then disarm the alarm (etcdctl alarm disarm)",
  ],
  [
    [INVALID_ARGUMENT],
    /request is too large|too many operations/,
    'invalid',
    'the transaction is larger than this etcd takes: write less at once, or raise its --max-request-bytes and --max-txn-ops',
  ],
  [
    [UNAVAILABLE],
    /certificate|self.signed|altname|issuer|CERT_|ERR_TLS/i,
    'unavailable',
    "TLS failed: ca= must name the authority of etcd's certificate, cert= and key= must be of one that etcd trusts",
  ],
  [
    [UNAVAILABLE],
    /wrong version number|packet length too long|EPROTO/i,
    'unavailable',
    'TLS failed: this endpoint seems to be without TLS; write etcd:// instead of etcds://',
  ],
  [
    [UNAVAILABLE],
    /ECONNRESET|EPIPE|Failed to connect|Connection dropped|socket hang up|Received GOAWAY|disconnected|Protocol error/i,
    'unavailable',
    'the connection was cut; if it always is, etcd wants TLS (etcds://) or a client certificate (cert=, key=), or does not want them',
  ],
  [
    [UNAVAILABLE],
    /No connection established|Name resolution failed/,
    'unavailable',
    'etcd cannot be reached: check address and port, and whether it runs',
  ],
  [[UNAVAILABLE], /no leader|leader changed/, 'unavailable', 'the cluster has no leader: check its members'],
  [[DEADLINE_EXCEEDED], /./, 'unavailable', 'no answer in time: check etcd and the way to it'],
];

/** What gRPC puts behind a failure to connect and OpenSSL before one: when, where in its sources. */
const NOISE = /\s*(\(\d{4}-[\dT:.-]+Z\))?\.? Resolution note:\s*$|[0-9A-F]{8,}:error:[^:]*:|:\S*rec_layer_s3\.c:\d+/g;

/** The StoreError for a failed call; `description` is the store, `endpoint` the member that was asked. */
export function etcdErrorOf(failure: CallFailure, description: string, endpoint: string): StoreError {
  const fits = ([codes, text]: Row) => codes.includes(failure.code) && text.test(failure.details);
  const [, , code, advice] = ROWS.find(fits) ?? [[], /./, 'unavailable' as const, 'etcd refuses'];
  const said = failure.details.replace(NOISE, '').trim();
  return new StoreError(code, `${description}: ${advice} (${endpoint}: ${said})`, { cause: failure });
}

/** Whether another member may do better. */
export function isMembersFault({ code }: CallFailure): boolean {
  return code === UNAVAILABLE || code === DEADLINE_EXCEEDED || code === CANCELLED;
}

/** Whether it is certain that the request has not reached etcd, so that even a write may be tried again. */
export function isUnsent({ code, details }: CallFailure): boolean {
  return (
    code === UNAVAILABLE && /^(No connection established|Name resolution failed|etcdserver: no leader)/.test(details)
  );
}

/** Whether a new login may help: the token is too old, or rights have changed since. */
export function isTokenStale({ details }: CallFailure): boolean {
  return /invalid auth token|revision of auth store is old|auth token is not provided/.test(details);
}

export function isLoginOff({ code, details }: CallFailure): boolean {
  return code === FAILED_PRECONDITION && /authentication is not enabled/.test(details);
}
