/**
 * etcd's messages as types, and the calls of etcd.proto, ready to be made.
 *
 * proto-loader builds the codecs from the file when the first store is opened. It must keep the fields' own spelling: by default
 * it expects camelCase and silently leaves out what is spelled otherwise. 64-bit numbers are read as numbers, since a
 * revision does not reach 2^53; keys and values are Buffers both ways (a string would be taken for base64).
 */
import { join } from 'node:path';
import { loadSync } from '@grpc/proto-loader';

export interface KeyValue {
  readonly key: Buffer;
  readonly mod_revision: number;
  readonly value: Buffer;
}

interface Header {
  readonly revision: number;
}

export interface RangeRequest {
  readonly key: Buffer;
  readonly range_end?: Buffer;
  readonly limit?: number;
  /** 0 is now. */
  readonly revision?: number;
  readonly keys_only?: boolean;
}

interface RangeResponse {
  readonly header: Header;
  readonly kvs: readonly KeyValue[];
  readonly more: boolean;
}

export type RequestOp =
  | { readonly request_range: RangeRequest }
  | { readonly request_put: { readonly key: Buffer; readonly value: Buffer; readonly lease?: number } }
  | { readonly request_delete_range: { readonly key: Buffer } };

export interface Compare {
  readonly result: 'EQUAL' | 'GREATER';
  readonly target: 'MOD';
  readonly key: Buffer;
  /** 0 is that of a key that does not exist. */
  readonly mod_revision: number;
}

export interface TxnRequest {
  readonly compare: readonly Compare[];
  readonly success: readonly RequestOp[];
  readonly failure: readonly RequestOp[];
}

export interface TxnResponse {
  readonly header: Header;
  readonly succeeded: boolean;
  readonly responses: readonly { readonly response_range?: RangeResponse }[];
}

export interface WatchRequest {
  readonly create_request: {
    readonly key: Buffer;
    readonly range_end: Buffer;
    readonly start_revision: number;
    readonly progress_notify: boolean;
    readonly fragment: boolean;
  };
}

export interface WatchResponse {
  readonly header: Header;
  readonly created: boolean;
  readonly canceled: boolean;
  readonly compact_revision: number;
  readonly cancel_reason: string;
  /** More of the same answer follows. */
  readonly fragment: boolean;
  readonly events: readonly { readonly type: 'PUT' | 'DELETE'; readonly kv: KeyValue }[];
}

/** One call of etcd's. */
export interface Method<Request, Response> {
  readonly path: string;
  readonly requestSerialize: (request: Request) => Buffer;
  readonly responseDeserialize: (bytes: Buffer) => Response;
}

const definition = loadSync(join(import.meta.dirname, 'etcd.proto'), {
  keepCase: true,
  longs: Number,
  enums: String,
  defaults: true,
  oneofs: true,
});

export const RANGE = method<RangeRequest, RangeResponse>('KV', 'Range');
export const TXN = method<TxnRequest, TxnResponse>('KV', 'Txn');
export const COMPACT = method<{ readonly revision: number }, object>('KV', 'Compact');
export const WATCH = method<WatchRequest, WatchResponse>('Watch', 'Watch');
export const LEASE_GRANT = method<{ readonly TTL: number; readonly ID: number }, object>('Lease', 'LeaseGrant');
export const LEASE_REVOKE = method<{ readonly ID: number }, object>('Lease', 'LeaseRevoke');
/** A life of 0 in the answer: there is no such lease any more. */
export const LEASE_KEEP_ALIVE = method<{ readonly ID: number }, { readonly TTL: number }>('Lease', 'LeaseKeepAlive');
export const AUTHENTICATE = method<{ readonly name: string; readonly password: string }, { readonly token: string }>(
  'Auth',
  'Authenticate',
);

function method<Request, Response>(service: string, name: string): Method<Request, Response> {
  // The loader knows the types only at run time; etcd.proto is beside us and says the same as the types above.
  const methods = definition[`etcdserverpb.${service}`] as unknown as Readonly<
    Record<string, Method<Request, Response>>
  >;
  const found = methods[name];
  if (found === undefined) throw new Error(`etcd.proto has no ${service}.${name}`);
  return found;
}
