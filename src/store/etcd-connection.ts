/**
 * Calls to an etcd cluster: one connection at a time, a deadline for each call, a login that is renewed when it runs out.
 *
 * Every member answers for the whole cluster, so we talk to one and move on to the next when it fails. A read is tried at each
 * member once; a write only if it is certain that it has not been sent, since otherwise it may have happened. There is no
 * further patience here: who calls hears of an unreachable cluster at once and decides for himself how long to wait.
 */
import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { ChannelCredentials, ClientDuplexStream, ClientOptions, ServiceError } from '@grpc/grpc-js';
import { Client, connectivityState, credentials, Metadata, status } from '@grpc/grpc-js';
import type { EtcdAddress, EtcdEndpoint, EtcdTls } from './etcd-address.ts';
import { CallFailure, etcdErrorOf, isLoginOff, isMembersFault, isTokenStale, isUnsent } from './etcd-error.ts';
import type { Method } from './etcd-rpc.ts';
import { AUTHENTICATE } from './etcd-rpc.ts';
import { StoreError } from './store.ts';

/** etcd gives up on a proposal after 5 s plus twice its election timeout; longer waiting is for nothing. */
const CALL_MS = 8_000;

/** A TCP connection takes a round trip or two, TLS two more: a member that is not there by then is passed over. */
const CONNECT_MS = 3_000;

/**
 * A member that has vanished without a word is noticed after 15 s; etcd closes connections that ask more often than every
 * 5 s. Between connection attempts: quick at first, and never so slow that a restarted etcd is kept waiting.
 */
const CHANNEL_OPTIONS: ClientOptions = {
  'grpc.keepalive_time_ms': 10_000,
  'grpc.keepalive_timeout_ms': 5_000,
  'grpc.initial_reconnect_backoff_ms': 100,
  'grpc.max_reconnect_backoff_ms': 2_000,
  // A page of a listing may be large, and etcd is trusted; the page's own limit bounds it.
  'grpc.max_receive_message_length': -1,
};

/** Sent as the server's name where the endpoint is an address, for which TLS has no server names. */
const NAMELESS = 'etcd.invalid';

interface Member {
  readonly endpoint: EtcdEndpoint;
  readonly client: Client;
}

export class EtcdConnection {
  readonly #address: EtcdAddress;
  readonly #closing = new AbortController();
  /** Those in use come and go with the member that is asked. */
  #member: Member;
  #memberIndex = 0;
  #token: Promise<string | undefined> | undefined;

  constructor(address: EtcdAddress) {
    this.#address = address;
    this.#member = this.#connect(address.endpoints[0]);
  }

  /** Aborts when the connection is closed. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /** Makes a call that may be made again. Throws StoreError. */
  read<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    return this.#call(method, request, isMembersFault);
  }

  /** Makes a call that must not happen twice. Throws StoreError; when it is `unavailable`, it may have happened. */
  write<Request, Response>(method: Method<Request, Response>, request: Request): Promise<Response> {
    return this.#call(method, request, isUnsent);
  }

  /** Opens a stream to the present member. It has no deadline; it ends when its member has lost its leader. */
  async stream<Request, Response>(method: Method<Request, Response>): Promise<ClientDuplexStream<Request, Response>> {
    this.assertOpen();
    try {
      const metadata = await this.#metadata();
      this.assertOpen();
      metadata.set('hasleader', 'true');
      const { path, requestSerialize, responseDeserialize } = method;
      return this.#member.client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
    } catch (error) {
      throw error instanceof CallFailure ? this.streamFailed(error) : error;
    }
  }

  /** The StoreError for a stream's failure; the next call goes to another member. */
  streamFailed(failure: CallFailure): StoreError {
    if (this.closing.aborted) return this.#closedError();
    const { endpoint } = this.#member;
    this.#forgetStaleToken(failure);
    if (isMembersFault(failure)) this.#moveOn(this.#member);
    return etcdErrorOf(failure, this.#address.description, endpoint.text);
  }

  assertOpen(): void {
    if (this.closing.aborted) throw this.#closedError();
  }

  close(): void {
    this.#closing.abort();
    this.#member.client.close();
  }

  async #call<Request, Response>(
    method: Method<Request, Response>,
    request: Request,
    mayRepeat: (failure: CallFailure) => boolean,
  ): Promise<Response> {
    let loggedInAgain = false;
    for (let tried = 1; ; tried++) {
      this.assertOpen();
      const member = this.#member;
      try {
        return await this.#unary(member, method, request, await this.#metadata());
      } catch (error) {
        this.assertOpen();
        if (!(error instanceof CallFailure)) throw error;
        if (this.#forgetStaleToken(error) && !loggedInAgain) {
          loggedInAgain = true;
          continue;
        }
        if (isMembersFault(error)) this.#moveOn(member);
        if (tried < this.#address.endpoints.length && mayRepeat(error)) continue;
        throw etcdErrorOf(error, this.#address.description, member.endpoint.text);
      }
    }
  }

  #forgetStaleToken(failure: CallFailure): boolean {
    if (this.#address.login === undefined || !isTokenStale(failure)) return false;
    this.#token = undefined;
    return true;
  }

  async #metadata(): Promise<Metadata> {
    const metadata = new Metadata();
    this.#token ??= this.#logIn();
    try {
      const token = await this.#token;
      if (token !== undefined) metadata.set('token', token);
    } catch (error) {
      this.#token = undefined;
      throw error;
    }
    return metadata;
  }

  /** undefined where there is nobody to log in, or etcd has logins switched off. */
  async #logIn(): Promise<string | undefined> {
    const { login } = this.#address;
    if (login === undefined) return undefined;
    try {
      const request = { name: login.user, password: login.password() };
      return (await this.#unary(this.#member, AUTHENTICATE, request, new Metadata())).token;
    } catch (error) {
      if (error instanceof CallFailure && isLoginOff(error)) return undefined;
      throw error;
    }
  }

  /** Makes one call at one member. Throws CallFailure. */
  async #unary<Request, Response>(
    { client, endpoint }: Member,
    { path, requestSerialize, responseDeserialize }: Method<Request, Response>,
    request: Request,
    metadata: Metadata,
  ): Promise<Response> {
    await connected(client, endpoint);
    return new Promise((resolve, reject) => {
      const cancel = () => call.cancel();
      const answered = (error: ServiceError | null, response?: Response) => {
        this.closing.removeEventListener('abort', cancel);
        if (error !== null) reject(new CallFailure(error.code, error.details));
        else if (response !== undefined) resolve(response);
        else reject(new CallFailure(status.INTERNAL, 'an answer without a message'));
      };
      // Another call may have given this member up meanwhile.
      if (client.getChannel().getConnectivityState(false) === connectivityState.SHUTDOWN) return reject(givenUp());
      const options = { deadline: Date.now() + CALL_MS };
      const call = client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        options,
        answered,
      );
      this.closing.addEventListener('abort', cancel);
    });
  }

  /** Takes the next member, unless somebody else's call has done that already. */
  #moveOn(failed: Member): void {
    const { endpoints } = this.#address;
    if (this.#member !== failed || endpoints.length === 1 || this.closing.aborted) return;
    this.#memberIndex = (this.#memberIndex + 1) % endpoints.length;
    // What is under way there ends by its own deadline or failure.
    failed.client.close();
    this.#member = this.#connect(endpoints[this.#memberIndex] ?? endpoints[0]);
  }

  #connect(endpoint: EtcdEndpoint): Member {
    const { tls } = this.#address;
    const nameless =
      tls !== undefined && isIP(endpoint.host) !== 0 ? { 'grpc.ssl_target_name_override': NAMELESS } : {};
    const client = new Client(endpoint.text, credentialsOf(tls, endpoint), { ...CHANNEL_OPTIONS, ...nameless });
    return { endpoint, client };
  }

  #closedError(): StoreError {
    return new StoreError('closed', `${this.#address.description}: the store has been closed`);
  }
}

function credentialsOf(tls: EtcdTls | undefined, { host }: EtcdEndpoint): ChannelCredentials {
  if (tls === undefined) return credentials.createInsecure();
  const { ca = null, cert = null, key = null } = tls;
  try {
    return credentials.createSsl(ca, key, cert, {
      checkServerIdentity: (_, certificate) => checkServerIdentity(host, certificate),
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new StoreError('invalid', `the store's ca=, cert= or key= is not what TLS can use: ${reason}`);
  }
}

function givenUp(): CallFailure {
  return new CallFailure(status.UNAVAILABLE, 'No connection established. The member has been given up');
}

/** Waits until a call would be sent, or would fail at once. Throws CallFailure when that takes too long. */
async function connected(client: Client, endpoint: EtcdEndpoint): Promise<void> {
  const channel = client.getChannel();
  const deadline = Date.now() + CONNECT_MS;
  for (;;) {
    const state = channel.getConnectivityState(true);
    if (state === connectivityState.SHUTDOWN) throw givenUp();
    if (state !== connectivityState.IDLE && state !== connectivityState.CONNECTING) return;
    const changed = await new Promise<boolean>((resolve) => {
      channel.watchConnectivityState(state, deadline, (error) => resolve(error === undefined || error === null));
    });
    if (!changed) {
      const details = `No connection established. ${endpoint.text} has not answered for ${CONNECT_MS / 1000} s`;
      throw new CallFailure(status.UNAVAILABLE, details);
    }
  }
}
